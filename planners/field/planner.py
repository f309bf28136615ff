"""The planner in the frame of the road: intention by the field, motion by the swarm, checked on a finer grid.

After Li, Tian, Wang, Yang, Lin (arXiv 2504.14747), whose constants are not public: docs/field.md says what
is theirs and what is ours.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Candidates, Plan, PlannerSpec, PlanStatus
from drive.planners.field.config import FieldConfig
from drive.planners.field.draw import drawn
from drive.planners.field.intention import Intention, Lane, Stage
from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.cost import follow
from drive.planners.field.kernels.field import deficit, line_risk
from drive.planners.field.problem import NO_PARTICLE, Memory, Problem, pace_of, search, settings
from drive.planners.field.scene import Crowd, crowd_of, parked_ahead, road_table, start_of, within_reach
from drive.planners.field.seeds import seeds_of
from drive.planners.road.guide import Guide, GuideSettings
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.sim.kernels import line as columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.road.guide import RoadScene
    from drive.scenario import Task
    from drive.sim.road.frame import RoadFrame

    Floats = NDArray[np.float64]

STITCH_D, STITCH_V, STITCH_SHARE = 0.3, 0.6, 0.3
"""Up to which offset (m) and speed (m/s) from the last plan the next one begins on it, and how much of the
ego's own offset is in that beginning."""
SOON = 2.5
"""s: a contact that the plan would meet sooner is braked for, a later one is planned for again."""
IN_LANE, MOST_ASIDE = 1.3, 5.0
"""m beside what is aimed at that the swarm looks at, in the lane, and where something is to be dodged."""
SWERVE = 0.6
"""m beside a box that stands that the first particles keep."""
MOST_OVER = 1.3
"""A last cost may grow by this factor before a second swarm is sent."""
SHOWN, SHOWN_DT = 5, 0.5


class Field:
    """Risk field, lane-change intention and an improved particle swarm in the frame of the road."""

    config_type = FieldConfig

    def __init__(self, config: FieldConfig | None = None) -> None:
        self.config = config or FieldConfig()
        c = self.config
        self.spec = PlannerSpec("field", horizon=c.dt * c.steps, dt=c.dt, needs=("road", "route"))

    def start(self, task: Task) -> FieldSession:
        return FieldSession(self.config, task)


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    """The last plan: when, on which frame, its particle, its start, its motion (N, 6), its cost."""

    time: float
    frame: RoadFrame
    particle: Floats
    start: Floats
    motion: Floats
    plan: Plan
    cost: float


class FieldSession:
    """One ego in one scene."""

    def __init__(self, config: FieldConfig, task: Task) -> None:
        self.config, self.task = config, task
        self.guide = Guide(
            task,
            config.dt * config.stride * np.arange(config.steps // config.stride + 1),
            GuideSettings(
                fallback_speed=config.fallback_speed, lateral_acceleration=config.comfortable_lateral
            ),
        )
        self.memory = Memory.of(config.particles)
        self.intention = Intention(config)
        self.frame: RoadFrame | None = None
        self.road = np.zeros((2, la.ROAD))
        self.setting = np.zeros(la.SETTINGS)
        self.aim = 0
        self.last: _Last | None = None
        self.cycle = 0
        self.pressed = False
        self.pace = 0.0

    def plan(self, observation: Observation) -> Plan:
        began = time.perf_counter()
        scene = self.guide.look(observation)
        if scene is None:
            self.last = None
            return self._brake(observation, "no lane to follow")
        c, vehicle = self.config, self.task.vehicle
        self._adopt(scene.frame)
        start = self._start(observation, scene)
        crowd = crowd_of(scene, self.road, vehicle, c.dt, c.stride, c.neighbours)
        lanes = self._lanes(scene, start, crowd)
        self.intention.update(observation.time, float(start[3]), lanes)
        self._steer_for(self.intention.aim)
        problem = self._problem(observation, scene, start, crowd)
        particle, cost, made = self._search(problem, observation, began)
        return self._answer(problem, particle, cost, made, observation, scene, crowd)

    def _adopt(self, frame: RoadFrame) -> None:
        if frame is not self.frame:
            self.frame, self.road, self.aim = frame, road_table(frame), 0
            self.setting = settings(self.config, self.task.vehicle, frame.step)

    def _start(self, observation: Observation, scene: RoadScene) -> Floats:
        """Where the plan begins: on the last plan where the ego has kept to it, else where the ego is."""
        ego, last = observation.ego, self.last
        here = start_of(ego, scene.state, scene.frame, self.task.vehicle)
        if last is None:
            return here
        ahead = (observation.time - last.time) / self.config.dt
        k = round(ahead)
        if not 0 < k < len(last.motion) or abs(ahead - k) > 1e-3:
            return here
        if last.frame is scene.frame:
            there: Floats = last.motion[k].copy()
        else:
            state = last.plan.trajectory.states[k]
            there = start_of(
                state, scene.frame.state(state, float(scene.state[0])), scene.frame, self.task.vehicle
            )
        if abs(there[3] - here[3]) > STITCH_D or abs(there[1] - here[1]) > STITCH_V:
            return here
        # Along the road the ego is where it is; across it, what the controls missed is worked off.
        there[0] = here[0]
        there[3:] += STITCH_SHARE * (here[3:] - there[3:])
        return there

    def _lanes(self, scene: RoadScene, start: Floats, crowd: Crowd) -> dict[int, Lane]:
        """The kept lane and those beside it that go on for a while."""
        rows, step, c = scene.frame.rows, scene.frame.step, self.config
        s, v = float(start[0]), float(start[1])
        here = min(max(int(s / step), 0), len(rows) - 1)
        there = min(here + int(max(60.0, 6.0 * v) / step), len(rows) - 1)
        offsets = {0: 0.0}
        for name, column in ((1, columns.LANE_LEFT), (-1, columns.LANE_RIGHT)):
            if np.isfinite(rows[here : there + 1, column]).all():
                offsets[name] = float(rows[here, column])
        if len(offsets) == 1:
            return {0: Lane(0.0, 0.0, 0.0)}
        wish = float(self.road[here, la.WISH])
        hold = scene.hold.station - s
        out, found, centre = {}, np.empty(4), self.task.vehicle.rear_axle_to_center
        # Those in the lane beside are no reason against a lane, or nobody would ever pass.
        plain = self.setting.copy()
        plain[la.SIGMA_SIDE_CLOSING] = 0.0
        for name, offset in offsets.items():
            risk = line_risk(wish, s + centre, offset, self.road, crowd.others, crowd.body, plain)
            deficit(
                v, s + centre, self.task.vehicle.length, offset, c.lane_width, crowd.now, crowd.body, found
            )  # fmt: skip
            # Nobody overtakes in front of a red light.
            out[name] = Lane(offset, 0.0 if hold < 60.0 else float(risk), float(found[0]))
        return out

    def _steer_for(self, lane: int) -> None:
        if lane == self.aim or self.frame is None:
            return
        self.aim = lane
        column = {1: columns.LANE_LEFT, -1: columns.LANE_RIGHT}.get(lane)
        self.road[:, la.AIM] = 0.0 if column is None else np.nan_to_num(self.frame.rows[:, column])

    def _problem(self, observation: Observation, scene: RoadScene, start: Floats, crowd: Crowd) -> Problem:
        c, vehicle = self.config, self.task.vehicle
        frame, road = scene.frame, self.road
        nose = vehicle.rear_axle_to_center + 0.5 * vehicle.length
        first = min(max(int(start[0] / frame.step), 0), len(road) - 2)
        ahead = slice(first, min(first + int(max(40.0, 6.0 * start[1]) / frame.step), len(road)))
        half = 0.5 * vehicle.width
        window = road[ahead]
        aim = float(window[:, la.AIM][min(len(window) - 1, int(3.0 * start[1] / frame.step))])
        parked = parked_ahead(scene, crowd, aim, half)
        # The lanes of others are for passing what stands there for good.
        right, left = (la.EDGE_RIGHT, la.EDGE_LEFT) if parked else (la.RIGHT, la.LEFT)
        low_d = min(float(window[:, right].min()) + half, float(start[3]), aim)
        high_d = max(float(window[:, left].max()) - half, float(start[3]), aim)
        # Lanes are changed by intention; without one, and with nothing to dodge, the ego stays in its own.
        dodges = bool(parked) or self.pressed or self.intention.stage is not Stage.KEEP
        reach = MOST_ASIDE if dodges else IN_LANE
        low_d = max(low_d, min(aim - reach, float(start[3])))
        high_d = min(high_d, max(aim + reach, float(start[3])))
        top = max(float(window[:, la.WISH].max()), 1.0)
        low = np.array([low_d, c.min_time, 0.0, c.min_speed_time, low_d, 1.0])
        high = np.array([high_d + 1e-3, c.max_time, top, c.max_time, high_d + 1e-3, c.max_time])
        hold = scene.hold.station
        stops = np.array([hold + nose]) if math.isfinite(hold) else np.zeros(0)
        others, body = within_reach(crowd, start, low_d, high_d, top)
        problem = Problem(
            start, road, others, body, stops, pace_of(start, road, self.setting, c.steps),
            NO_PARTICLE, self.setting, low, high, np.zeros((0, la.PARTICLE)), c.stride,
        )  # fmt: skip
        warm = self._warm(observation.time, problem)
        offsets = self._offsets(aim, low_d, high_d, crowd, parked)
        return problem.with_(
            seeds=seeds_of(problem, offsets, warm), last=NO_PARTICLE if warm is None else warm
        )

    def _warm(self, time: float, problem: Problem) -> Floats | None:
        """The last particle, moved on: the same curves from here."""
        last = self.last
        if last is None or last.frame is not self.frame:
            return None
        p, passed = last.particle.copy(), self.config.dt * round((time - last.time) / self.config.dt)
        p[[la.T_LAT, la.T_LON, la.T_VIA]] -= passed
        return np.asarray(np.clip(p, problem.low, problem.high))

    def _offsets(
        self, aim: float, low: float, high: float, crowd: Crowd, parked: list[int]
    ) -> tuple[float, ...]:
        """Offsets of the first particles: what is aimed at, and past both sides of what stands there."""
        if not parked:
            return (aim,)
        now, body = crowd.now[parked[0]], crowd.body[parked[0]]
        reach = float(body[la.HALF_WIDTH]) + 0.5 * self.task.vehicle.width + SWERVE
        sides = (float(now[la.OD]) + reach, float(now[la.OD]) - reach)
        return (aim, *(d for d in sides if low <= d <= high))

    def _search(self, problem: Problem, observation: Observation, began: float) -> tuple[Floats, float, int]:
        c = self.config
        generations, again = c.generations, c.restart
        budget = observation.time_budget
        if budget is not None and self.pace > 0.0:
            left = 0.6 * (budget - (time.perf_counter() - began))
            affordable = int(left / self.pace)
            generations = min(generations, max(affordable, 1))
            again = again and affordable > 2 * generations
        seed = c.seed * 1_000_003 + self.task.seed
        timed = time.perf_counter()
        particle, cost, made = search(problem, self.memory, generations, seed, 2 * self.cycle)
        rounds = generations
        worse = self.last is None or cost > MOST_OVER * self.last.cost + 5.0
        if again and (worse or problem.cost(particle[None])[1][0, :5].max() > 0.0):
            rounds += generations
            second, cost2, made2 = search(problem, self.memory, generations, seed, 2 * self.cycle + 1)
            made += made2
            if cost2 < cost:
                particle, cost = second, cost2
        # Only how long a round takes is remembered; without a budget nothing depends on it.
        self.pace = max((time.perf_counter() - timed) / rounds, 0.9 * self.pace)
        self.cycle += 1
        return particle, cost, made

    def _answer(
        self,
        problem: Problem,
        particle: Floats,
        cost: float,
        made: int,
        observation: Observation,
        scene: RoadScene,
        crowd: Crowd,
    ) -> Plan:
        """The motion of the best particle if it passes on the fine grid, else the last plan, else braking."""
        c = self.config
        _, reports = problem.cost(particle[None], 1)
        contact = float(reports[0, 5])
        self.pressed = contact < SOON
        figures = {
            "cost": cost,
            "evaluations": float(made),
            "lane": float(self.intention.lane),
            "aim": float(self.intention.aim),
            "stage": float(list(Stage).index(self.intention.stage)),
            "hold": min(scene.hold.station - float(problem.start[0]), 200.0),
        }
        if contact < SOON and problem.start[1] > 0.3:
            kept = self._keep(observation, problem)
            if kept is not None and kept[0] > contact:
                particle, contact = kept[1], kept[0]
            if contact < SOON and self._brakes_better(problem, crowd, contact):
                self.last = None
                return self._brake(observation, f"no way past a box in {contact:.1f} s", figures, 7.0)
        motion = np.empty((c.steps + 1, 6))
        follow(particle, problem.start, self.setting, c.dt, motion)
        bad = self._faults(reports[0])
        plan = plan_on_frame(
            scene.frame,
            in_time(motion),
            c.dt,
            observation,
            self.task.vehicle,
            PlanStatus.DEGRADED if bad else PlanStatus.OK,
            bad,
            self._candidates(problem, scene, observation, particle, cost),
            figures,
            controlled=True,
        )
        self.last = _Last(observation.time, scene.frame, particle, problem.start, motion, plan, cost)
        if c.draw:
            ego, start = observation.ego, problem.start
            heat = drawn(
                ego[:3], float(start[1]), float(start[0]), scene.frame, self.road, crowd, self.setting
            )
            plan = replace(plan, heat=heat)
        return plan

    def _brake(
        self,
        observation: Observation,
        reason: str,
        figures: dict[str, float] | None = None,
        braking: float = 5.0,
    ) -> Plan:
        c = self.config
        return braking_plan(
            observation, self.task.vehicle, reason, braking=braking, dt=c.dt, horizon=c.dt * c.steps,
            figures=figures,
        )  # fmt: skip

    def _keep(self, observation: Observation, problem: Problem) -> tuple[float, Floats] | None:
        """The last particle and when it would meet somebody, if it is there."""
        if np.isnan(problem.last[0]):
            return None
        _, reports = problem.cost(problem.last[None], 1)
        return float(reports[0, 5]), problem.last.copy()

    def _brakes_better(self, problem: Problem, crowd: Crowd, contact: float) -> bool:
        """Whether braking hard, straight on, meets nobody, or not before `contact`, and is for who is ahead.

        Who is beside, or comes from behind, is not met less by standing in the way.
        """
        s, v, d = (float(problem.start[k]) for k in (0, 1, 3))
        ahead = crowd.now[:, la.OS] - s - self.task.vehicle.rear_axle_to_center
        beside = (
            np.abs(crowd.now[:, la.OD] - d) - crowd.body[:, la.HALF_WIDTH] - 0.5 * self.task.vehicle.width
        )
        if not ((ahead > 0.0) & (ahead < v * contact + 12.0) & (beside < 1.5)).any():
            return False
        p = np.array([[problem.start[3], 6.0, 0.0, max(1.5 * v / 7.0, 0.5), 0.0, 1.0]])
        _, reports = problem.cost(p, 1)
        return float(reports[0, 5]) >= contact

    def _faults(self, report: Floats) -> str:
        if report[5] < 1e8:
            return f"meets a box in {report[5]:.1f} s"
        for value, least, what in (
            (report[1], 0.02, "leaves the road"),
            (report[4], 0.3, "passes a line that holds it"),
            (report[2], 0.05, "breaks the limits of acceleration"),
            (report[3], 0.05, "breaks the limit of curvature"),
        ):
            if value > least:
                return what
        return ""

    def _candidates(
        self, problem: Problem, scene: RoadScene, observation: Observation, particle: Floats, cost: float
    ) -> Candidates:
        """The best particles of the swarm, coarsely, for the replay."""
        order = np.argsort(self.memory.cost, kind="stable")[: SHOWN - 1]
        shown = np.concatenate((particle[None], self.memory.best[order]))
        n = int(self.config.dt * self.config.steps / SHOWN_DT) + 1
        motion = np.empty((len(shown), n, 6))
        for row, p in zip(motion, shown, strict=True):
            follow(p, problem.start, self.setting, SHOWN_DT, row)
        flat = scene.frame.states(
            in_time(motion.reshape(-1, 6)), self.task.vehicle, float(observation.ego[2])
        )
        costs = np.concatenate(([cost], self.memory.cost[order]))
        return Candidates(
            np.asarray(observation.time + SHOWN_DT * np.arange(n), dtype=np.float64),
            flat.reshape(len(shown), n, 7),
            {"score": -costs},
            chosen=0,
        )


def in_time(motion: Floats) -> Floats:
    """Frenet states `(N, 6)` with derivatives in time of those with slopes over the way."""
    out = motion.copy()
    v, a = motion[:, 1], motion[:, 2]
    out[:, 4] = motion[:, 4] * v
    out[:, 5] = motion[:, 5] * v * v + motion[:, 4] * a
    return out
