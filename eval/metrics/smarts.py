"""The four costs of SMARTS and its overall score, applied to a run of ours.

Source: huawei-noah/SMARTS v2.0.1 (8b24f65, MIT), `smarts/env/gymnasium/wrappers/metric/{costs,formula}.py`
and `smarts/benchmark/driving_smarts/v2023/metric_formula_drive.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from drive.errors import InputError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.eval.metrics.carla.course import Course, follow, ticks
from drive.eval.metrics.carla.outside import wrong_way
from drive.eval.metrics.nuplan.collisions import touching
from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.nuplan.lanes import LaneShapes
from drive.eval.metrics.nuplan.lanes import follow as drive_along
from drive.geometry import project_to_polyline, unwrap_angle, wrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.vehicle import ACCELERATION, YAW_RATE, AgentKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

STEP = 0.1  # s
MAX_JERK = math.hypot(0.9, 0.9)  # m/s^3
MAX_ACCELERATION = math.hypot(2.0, 1.47)  # m/s^2
PENALTY_STEPS = 30  # a discomfort counts for 3 s
MIN_DISPLACEMENT = 0.1  # m
HEADWAY = 3.0  # s
FIELD = math.radians(40.0)  # to each side
OPPOSITE = math.radians(179.0)
DECAY = 0.05  # 1/m
ON_ROUTE = 7.0  # m
PARTS = ("destination", "time", "humanness", "rules")
COSTS = ("dist_to_destination", "time_cost", "humanness_error", "rule_violation")

Humanness = Literal["default", "drive_2023"]


def speed_limit_cost(speed: Floats, limit: Floats) -> Floats:
    """min(overspeed / (0.5 limit), 1)^2 per step; 0 where the limit is unknown."""
    over = np.divide(np.maximum(speed - limit, 0.0), 0.5 * limit, out=np.zeros(len(speed)), where=limit > 0.0)
    return np.asarray(np.minimum(over, 1.0) ** 2)


def jerk_cost(jerk: Floats) -> Floats:
    """min(|jerk| / 1.27, 1) per step."""
    return np.asarray(np.minimum(np.abs(jerk) / MAX_JERK, 1.0))


def obstacle_cost(run: RunLog, ego: Ego) -> Floats:
    """exp(-0.05 d) of the nearest vehicle within 3 s of the ego's speed and 40 degrees ahead, NaN with none.

    Vehicles (not pedestrians) that come straight towards the ego, within a degree, are left out.
    """
    motor = np.asarray([k not in (AgentKind.PEDESTRIAN, AgentKind.STATIC) for k in AgentKind])[run.agent_kind]
    gap = run.agents[..., :2] - ego.center
    away = np.hypot(gap[..., 0], gap[..., 1])
    side = wrap_angle(np.arctan2(gap[..., 1], gap[..., 0]) - ego.heading)
    turned = np.abs(wrap_angle(run.agents[..., 2] - ego.heading))
    seen = run.agent_valid & motor[:, None] & (away <= HEADWAY * ego.speed) & (ego.speed > 0.0)
    seen &= (np.abs(side) <= FIELD) & (turned <= OPPOSITE)
    cost = np.where(seen, np.exp(-DECAY * away), -np.inf).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(cost), cost, np.nan)


def comfort_cost(position: Floats) -> float:
    """Share of the steps, and of 3 s after the drive, within 3 s after a jerk or acceleration above bounds.

    From positions `(T, 2)` every 0.1 s; displacements of 0.1 m or less count as standing; braking does not
    count, as the published code takes no magnitude.
    """
    moved = np.hypot(*np.diff(position, axis=0).T)
    level = np.zeros(len(position))
    for n in range(2, len(position)):
        acceleration = jerk = 0.0
        if moved[n - 1] > MIN_DISPLACEMENT and moved[n - 2] > MIN_DISPLACEMENT:
            acceleration = (moved[n - 1] - moved[n - 2]) / STEP**2
            if n > 2 and moved[n - 3] > MIN_DISPLACEMENT:
                jerk = (acceleration - (moved[n - 2] - moved[n - 3]) / STEP**2) / STEP
        level[n] = max(jerk / MAX_JERK, acceleration / MAX_ACCELERATION)
    bad = np.concatenate((level > 1.0, np.zeros(PENALTY_STEPS, dtype=np.bool_)))
    near = np.convolve(bad, np.ones(PENALTY_STEPS), "full")[: len(bad)] > 0.5
    return float(near.mean())


@dataclass(frozen=True, slots=True)
class SmartsScore:
    """Overall = mean of 1 - cost over distance left, time, humanness error and rule violation.

    `humanness` "default" has distance to obstacles, jerk and lane-centre offset; "drive_2023", the variant
    of the Driving SMARTS 2023 tracks, comfort and offset. `last_step` mirrors how the published mean of the
    obstacles' cost ends: over the steps with an obstacle alone, and 0 where the last step has none; without
    it it is the mean over all steps.
    """

    humanness: Humanness = "default"
    last_step: bool = True
    name: str = "smarts"

    @property
    def version(self) -> str:
        flags = [] if self.humanness == "default" else [f"humanness={self.humanness}"]
        flags += [] if self.last_step else ["last-step=off"]
        return " ".join(["SMARTS v2.0.1 (8b24f65)", *flags])

    def evaluate(self, run: RunLog) -> Evaluation:
        """Judge a run; it ends at the first contact and off the road. Raises InputError on terrain."""
        if run.terrain is not None:
            raise InputError("the score 'smarts' is for runs on roads")
        course = Course.of(run)
        if course is None:
            return Evaluation(0.0, {name: MetricResult.missing() for name in PARTS})
        figures, series = self._figures(run, course)
        costs = {
            "dist_to_destination": figures["dist_to_destination"],
            "time_cost": figures["time_cost"],
            "humanness_error": self._humanness(figures),
            "rule_violation": 0.5 * (figures["speed_limit"] + figures["wrong_way"]),
        }
        metrics = {
            part: MetricResult(1.0 - costs[cost], series=series if part == "humanness" else {})
            for part, cost in zip(PARTS, COSTS, strict=True)
        }
        metrics |= {k: MetricResult(float(v), scored=False) for k, v in (figures | costs).items()}
        failed = run.header.get("failure") is not None
        values = {name: metric.score for name, metric in metrics.items()}
        return Evaluation(0.0 if failed else self.recompute(values), metrics)

    def recompute(self, metrics: Mapping[str, float | None]) -> float:
        """The score from the metrics' values, as a table of results holds them; 0 without a route."""
        parts = [metrics.get(name) for name in PARTS]
        known = [part for part in parts if part is not None]
        return sum(known) / len(PARTS) if len(known) == len(PARTS) else 0.0

    def _humanness(self, figures: Mapping[str, float]) -> float:
        offset = figures["lane_center_offset"]
        if self.humanness == "drive_2023":
            return 0.5 * (figures["comfort"] + offset)
        return (figures["dist_to_obstacles"] + figures["jerk_linear"] + offset) / 3.0

    def _figures(self, run: RunLog, course: Course) -> tuple[dict[str, float], dict[str, Floats]]:
        ego = Ego.of(run)
        n = len(ego)
        off = np.zeros(n, dtype=np.bool_)
        if run.roadmap is not None:
            off = ~DrivableArea.of(run.roadmap).contains(ego.center)
        _, hit = touching(run, ego)
        stops = [int(k) for k in (hit.min(initial=n), np.argmax(off) if off.any() else n) if k < n]
        end = min(stops, default=n - 1)
        way = follow(course, run.times, ego.center, np.zeros(n, dtype=np.bool_))
        arrived = int(way.sample[way.completed]) if way.completed >= 0 else n
        reached = arrived <= end
        if reached and course.goal:
            end = arrived
        offset, over, wrong = _on_lanes(run, ego, off)
        jerk = jerk_cost(_jerk(run, ego))
        obstacles = obstacle_cost(run, ego)
        fine, _ = ticks(run.times[: end + 1], STEP)
        places = np.stack([np.interp(fine, run.times, ego.center[:, i]) for i in range(2)], axis=1)
        part = slice(1, end + 1) if end else slice(0, 1)
        figures = {
            "dist_to_destination": 0.0 if reached else _remaining(course, ego.center[: end + 1]),
            "time_cost": min(arrived / (n - 1), 1.0) if reached and not stops and n > 1 else 1.0,
            "speed_limit": float(over[part].mean()),
            "wrong_way": float(wrong[part].mean()),
            "dist_to_obstacles": self._mean_obstacles(obstacles[part]),
            "jerk_linear": float(jerk[part].mean()),
            "lane_center_offset": float(offset[part].mean()),
            "comfort": comfort_cost(places),
        }
        series = {
            "obstacle_cost": obstacles,
            "jerk_cost": jerk,
            "offset_cost": offset,
            "overspeed_cost": over,
        }
        return figures, series

    def _mean_obstacles(self, costs: Floats) -> float:
        if not self.last_step:
            return float(np.nan_to_num(costs).mean())
        return 0.0 if np.isnan(costs[-1]) else float(np.nanmean(costs))

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        return dict(_TEXTS)


def _jerk(run: RunLog, ego: Ego) -> Floats:
    """Magnitude `(N,)` of the change of the box centre's acceleration, in m/s^3; 0 at the first sample."""
    rate, a = run.ego[:, YAW_RATE], run.ego[:, ACCELERATION]
    d = run.vehicle.rear_axle_to_center
    speed = run.ego[:, 3]
    ahead, left = a - d * rate**2, speed * rate + d * run.ego_yaw_acceleration
    h = unwrap_angle(ego.heading)
    world = np.stack((ahead * np.cos(h) - left * np.sin(h), ahead * np.sin(h) + left * np.cos(h)), axis=1)
    change = np.diff(world, axis=0, prepend=world[:1])
    return np.asarray(np.hypot(change[:, 0], change[:, 1]) / ego.dt)


def _remaining(course: Course, center: Floats) -> float:
    """Share of the route that is left, with the way driven off it, at most 1."""
    if course.last == 0:
        return 0.0
    s, d, _ = project_to_polyline(center, course.points)
    near = np.flatnonzero(np.abs(d) <= ON_ROUTE)
    since = int(near[-1]) if len(near) else 0
    strayed = float(np.hypot(*np.diff(center[since:], axis=0).T).sum())
    left = strayed + abs(float(d[since])) + abs(course.length - float(s[since]))
    return min(left / course.length, 1.0)


def _on_lanes(run: RunLog, ego: Ego, off: Bools) -> tuple[Floats, Floats, Bools]:
    """Costs of the offset from the lane's centre and of speed, and whether the lane is driven the wrong way;
    none of them counts off the road or in no lane."""
    n = len(ego)
    offset, over, wrong = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.bool_)
    if run.roadmap is None:
        return offset, over, wrong
    shapes = LaneShapes.of(run.roadmap)
    driven = drive_along(shapes, ego.center, ego.heading, run.route_lanes.tolist())
    limit = np.full(n, np.nan)
    first = np.asarray([lanes[0] if lanes else -1 for lanes in driven.route])
    for lane in np.unique(first[first >= 0]).tolist():
        at = np.flatnonzero((first == lane) & ~off)
        limit[at] = run.roadmap.speed_limit[lane]
        rows = run.roadmap.rows(lane)
        s, d, _ = project_to_polyline(ego.center[at], run.roadmap.centerline(lane))
        width = np.hypot(*(run.roadmap.left[rows] - run.roadmap.right[rows]).T)
        half = 0.5 * np.interp(s, run.roadmap.station[rows], width)
        offset[at] = np.minimum((d / half) ** 2, 1.0)
    over = speed_limit_cost(ego.speed, limit)
    return offset, over, wrong_way(shapes, ego, driven, 90.0) & ~off


_SOURCE = "Source: SMARTS v2.0.1, metric/costs.py."
_TEXTS = {
    "smarts": "The formulas of SMARTS applied to a run of this toolkit: 1/4 of (1 - cost) for each of the "
    "four. "
    "The mean over scenes is not weighted by difficulty, which SMARTS does. A run ends at the first contact "
    "with anybody, with the box centre off the road, and at the scenario's own goal. Source: "
    "metric/formula.py.",
    "destination": "1 - dist_to_destination.",
    "time": "1 - time_cost.",
    "humanness": "1 - humanness_error.",
    "rules": "1 - rule_violation.",
    "dist_to_destination": "Not scored by itself. 0 on arrival, else what is left of the route and the "
    "distance "
    "driven since the ego was last within 7 m of it, over its length, at most 1. The route is that of "
    "the CARLA formulas here: to the goal, or where that lies beyond the scenario to 2 m before the expert's "
    "last place; SMARTS has a goal of 2 m radius. " + _SOURCE,
    "time_cost": "Not scored by itself. Steps to the arrival over those of the scenario; 1 without arrival "
    "and after a contact or off the road. A route that ends where the expert was takes nearly all of the "
    "time: "
    "who drives like the expert has about 1. " + _SOURCE,
    "humanness_error": "Not scored by itself. Mean of dist_to_obstacles, jerk_linear and "
    "lane_center_offset, or "
    "with humanness='drive_2023' of comfort and lane_center_offset. " + _SOURCE,
    "rule_violation": "Not scored by itself. Mean of speed_limit and wrong_way. " + _SOURCE,
    "speed_limit": "Not scored by itself. Mean of min(overspeed / (0.5 limit), 1)^2; the limit is the "
    "lane's own, "
    "none where it has none. " + _SOURCE,
    "wrong_way": "Not scored by itself. Share of steps in a lane that runs over 90 degrees against the ego, "
    "not in intersections. " + _SOURCE,
    "dist_to_obstacles": "Not scored by itself. exp(-0.05 d) of the nearest vehicle within 3 s and 40 "
    "degrees "
    "ahead. As published: mean over the steps with such a vehicle, and 0 if the last step has none; "
    "last_step=False takes the mean over all steps. " + _SOURCE,
    "jerk_linear": "Not scored by itself. Mean of min(|jerk| / 1.27, 1), of the box centre, by differences "
    "of its "
    "acceleration. " + _SOURCE,
    "lane_center_offset": "Not scored by itself. Mean of (offset / half width)^2, at most 1 a step. "
    + _SOURCE,
    "comfort": "Not scored by itself. Share of the time (and 3 s more) within 3 s after a jerk above 1.27 "
    "m/s^3 or "
    "an acceleration above 2.48 m/s^2; braking does not count, as published. " + _SOURCE,
}

SMARTS = SmartsScore()
