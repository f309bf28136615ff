"""One ego in one run: look, choose drives, optimise, check, fall back."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Candidates, Plan, PlanStatus
from drive.planners.cpto.arrays import make_iterate, make_scratch
from drive.planners.cpto.drives import Drives, drive_all, make_driver
from drive.planners.cpto.kernels import check as checks
from drive.planners.cpto.kernels.admm import ADMM, EXACT, NONE, Problem, Weights, iterate
from drive.planners.cpto.kernels.propose import ACCEL, OFFSET, SLOPE, SPEED, STATION
from drive.planners.cpto.kernels.view import lay_pairs, nearness
from drive.planners.cpto.options import KEEP, make_options
from drive.planners.cpto.view import COUNTED, Configuration, View, hypotheses, look_around
from drive.planners.road.guide import Guide
from drive.planners.road.kernels import line as columns
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.cpto.kernels.admm import Iterate
    from drive.planners.cpto.options import Options
    from drive.planners.cpto.planner import CPTO
    from drive.planners.road.guide import RoadScene
    from drive.scenario import Task

    Floats = NDArray[np.float64]

MODES = {"exact": EXACT, "admm": ADMM, "none": NONE}
LOOK_AHEAD = 8.0
"""s that drives are judged for."""
STANDS = 0.3
STANDING_TIME = 3.0
"""s after which who stands may be passed even where it looks like a queue."""
ASIDE = 0.8
ROOM_TO_TURN = 5.0
REASONS = ("it would meet a road user", "it would leave the road", "it would break the vehicle's limits")


@dataclass(eq=False)
class CPTOSession:
    """What one ego remembers: its guide, who stands since when, the last choice and the last iterate."""

    planner: CPTO
    task: Task
    guide: Guide = field(init=False)
    standing: dict[int, float] = field(default_factory=dict)
    chosen: tuple[int, int] = (KEEP, 0)
    last: Plan | None = None
    ahead: Floats | None = None
    laid: object = None
    planned_at: float = 0.0
    start: Floats = field(default_factory=lambda: np.zeros(6))

    def __post_init__(self) -> None:
        c, vehicle = self.planner.config, self.task.vehicle
        times = c.dt * np.arange(max(round(LOOK_AHEAD / c.dt) + 1, c.steps))
        self.guide = Guide(self.task, times)
        self.driver = make_driver(c, vehicle)
        self.gamma = np.linspace(c.gamma, 1.0, c.steps)
        self.curvature = math.tan(vehicle.max_steering) / vehicle.wheelbase
        self.weights = Weights(
            c.w_acceleration, c.w_jerk, c.w_speed, c.w_place, c.w_lane, c.w_heading, c.rho, c.tie, c.relax,
            c.speed_up + 0.4, c.brake, c.sideways, min(self.curvature, 0.2), c.dual_limit,
        )  # fmt: skip
        half = 0.5 * vehicle.length
        self.own = np.array([vehicle.rear_axle_to_center, half, 0.5 * vehicle.width, 0.4, 0.15])
        self.limits = np.array([vehicle.max_acceleration + 0.5, vehicle.max_braking, self.curvature])

    def plan(self, observation: Observation) -> Plan:
        began = time.perf_counter()
        scene = self.guide.look(observation)
        if scene is None:
            return self._brake(observation, "no lane to follow", PlanStatus.INFEASIBLE)
        state = self._begin(scene, observation.time)
        view = look_around(scene, self.task.vehicle, np.zeros(len(scene.others)))
        blocking = self._blocking(scene, view, observation.time)
        front = self.driver.front
        options = make_options(
            scene.frame, float(state[0]), max(float(state[1]), 0.0), self.task.vehicle, blocking,
            scene.hold.station + front, self.planner.config.lane_changes,
        )  # fmt: skip
        self.start = state
        start = np.array([state[0], max(state[1], 0.0), state[2], state[3], state[4]])
        samples = len(self.guide.times)
        likely = view.used * (view.existence >= 0.3)
        drives = drive_all(
            options, view, likely.astype(np.uint8), self.driver, start, samples, self.chosen
        )
        return self._optimise(observation, scene, view, options, drives, began)

    def _begin(self, scene: RoadScene, now: float) -> Floats:
        """The state to plan from: what the last plan foresaw for now, unless the ego is elsewhere.

        A plan that begins at the ego hides from the tracker what it is to correct.
        """
        state = scene.state.copy()
        if self.ahead is not None and self.laid is scene.frame:
            at = (now - self.planned_at) / (0.5 * self.planner.config.dt)
            k = round(at)
            if abs(at - k) < 1e-3 and 0 < k < len(self.ahead):
                foreseen = self.ahead[k]
                off = np.abs(foreseen - state)
                if off[0] < 1.0 and off[3] < 0.5 and off[1] < 1.0:
                    return np.array(foreseen)
        return state

    def _blocking(self, scene: RoadScene, view: View, now: float) -> Floats:
        """Who stands and may be passed `(B, 4)`: station, offset, half extents."""
        others = scene.others
        rows = []
        known = {}
        for i, key in enumerate(others.id.tolist()):
            if others.speeds[i, 0] > STANDS:
                continue
            since = known[key] = self.standing.get(key, now)
            s, d = others.frenet[i, 0]
            ahead = s + others.extent[i, 0, 0] - scene.state[0]
            if not -5.0 < ahead < 80.0 or others.kind[i] == AgentKind.PEDESTRIAN:
                continue
            still = others.kind[i] == AgentKind.STATIC or now - since >= STANDING_TIME or now < 1.0
            if others.kind[i] != AgentKind.STATIC and (
                others.yields[i] or not (abs(d) > ASIDE or still)
            ):
                continue
            rows.append((s, d, others.extent[i, 0, 0], others.extent[i, 0, 1]))
            view.half[i, 2] = ROOM_TO_TURN
        self.standing = known
        return np.array(rows).reshape(-1, 4)

    def _optimise(
        self,
        observation: Observation,
        scene: RoadScene,
        view: View,
        options: Options,
        drives: Drives,
        began: float,
    ) -> Plan:
        c, basis = self.planner.config, self.planner.basis
        best = drives.best
        kind = options.kind[drives.option[best]]
        nominal = drives.tracks[best, :, : c.steps]
        conflict = np.empty(len(view.used))
        nearness(view.pose, view.half, view.used, drives.tracks[best : best + 1], conflict)
        configurations = hypotheses(view, conflict, c)
        tracks = np.empty((len(configurations), 5, c.steps))
        for z, configuration in enumerate(configurations):
            tracks[z] = self._branch_drive(
                nominal, options, view, configuration, int(drives.option[best]), drives
            )
        problem = self._problem(scene, view, configurations, tracks)
        it = self._iterate(problem, tracks, began, observation.time_budget)
        self.chosen = (kind, int(drives.rule[best]))
        return self._answer(observation, scene, view, configurations, problem, it, drives)

    def _branch_drive(
        self,
        nominal: Floats,
        options: Options,
        view: View,
        configuration: Configuration,
        option: int,
        drives: Drives,
    ) -> Floats:
        """A branch's drive `(5, N)`: the trunk of the nominal one, then what its own hypothesis asks for."""
        c, joint = self.planner.config, self.planner.basis.shared - 1
        out = nominal.copy()
        if configuration.key == ("likely",) and not configuration.brakes:
            return out
        start = nominal[:, joint].copy()
        if configuration.brakes:
            t = c.dt * np.arange(c.steps - joint)
            ramp = np.minimum(start[ACCEL], 0.0) - 6.0 * t
            v = np.maximum(start[SPEED] + np.cumsum(np.maximum(ramp, -3.5)) * c.dt, 0.0)
            out[SPEED, joint:] = v
            way = np.concatenate(([0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * c.dt)))
            out[OFFSET, joint:] = np.interp(start[STATION] + way, nominal[STATION], nominal[OFFSET])
            out[STATION, joint:] = start[STATION] + way
            out[SLOPE, joint:] = np.gradient(out[OFFSET, joint:], c.dt)
            out[ACCEL, joint:] = np.gradient(v, c.dt)
            return out
        later = drive_all(
            options, view, configuration.used, self.driver, start, c.steps - joint, (-1, -1), joint, option
        )
        out[:, joint:] = later.tracks[later.best]
        return out

    def _problem(
        self, scene: RoadScene, view: View, configurations: list[Configuration], tracks: Floats
    ) -> Problem:
        c, frame, state = self.planner.config, scene.frame, self.start
        count, steps, vehicle = len(configurations), c.steps, self.task.vehicle
        used = np.stack([z.used for z in configurations])
        near = np.empty(len(view.used))
        anybody = (used == COUNTED).any(0).astype(np.uint8)
        nearness(view.pose, view.half, anybody, tracks, near)
        chosen = np.argsort(near, kind="stable")[: c.obstacles]
        chosen = chosen[near[chosen] < 8.0]
        active = np.ascontiguousarray((used[:, chosen] == COUNTED).astype(np.uint8))
        most = len(chosen) * c.discs
        place, shape = np.empty((most, 2, steps)), np.empty((most, 4, steps))
        lead, owner = np.empty(most), np.empty(most, dtype=np.int64)
        pairs = lay_pairs(
            view.pose, view.half, chosen, tracks, active, self.own, c.discs, c.turned, True,
            place, shape, lead, owner,
        )  # fmt: skip
        place = place[:pairs].copy()
        place[:, 0] -= state[0]
        s = tracks[:, STATION]
        k = np.clip((s / frame.step).astype(np.int64), 0, len(frame.rows) - 1)
        half = 0.5 * vehicle.width
        y = tracks[:, OFFSET]
        y_hi = np.maximum(frame.rows[k, columns.EDGE_LEFT] - half - 0.1, y + 0.02)
        y_lo = np.minimum(-frame.rows[k, columns.EDGE_RIGHT] + half + 0.1, y - 0.02)
        v_max = np.maximum(frame.rows[k, columns.LIMIT], tracks[:, SPEED]) * 1.0
        x_hi = np.full((count, steps), max(scene.hold.station - state[0], 0.0) + 0.3)
        if not np.isfinite(scene.hold.station):
            x_hi[:] = 1e6
        x_hi = np.maximum(x_hi, s - state[0])
        return Problem(
            np.ascontiguousarray(self._start(state)),
            np.array([z.probability for z in configurations]),
            np.ascontiguousarray(tracks[:, SPEED]),
            s - state[0],
            np.ascontiguousarray(y),
            np.arctan2(tracks[:, SLOPE], np.maximum(tracks[:, SPEED], 0.5)),
            v_max,
            x_hi,
            y_lo,
            y_hi,
            np.ascontiguousarray(place),
            np.ascontiguousarray(shape[:pairs]),
            lead[:pairs].copy(),
            np.ascontiguousarray(active[:, owner[:pairs]]),
            self.gamma,
            np.where(y[:, -1] >= y[:, 0], 1.0, -1.0),
        )

    def _start(self, state: Floats) -> Floats:
        """x, y and heading with two derivatives."""
        _, vx, ax, y, vy, ay = state
        speed = vx * vx + vy * vy
        moving = speed > 0.25
        psi = math.atan2(vy, vx) if moving else 0.0
        turn = (vx * ay - vy * ax) / speed if moving else 0.0
        return np.array([(0.0, vx, ax), (y, vy, ay), (psi, min(max(turn, -1.0), 1.0), 0.0)])

    def _iterate(self, problem: Problem, tracks: Floats, began: float, budget: float | None) -> Iterate:
        c, planner = self.planner.config, self.planner
        it = make_iterate(len(tracks), len(problem.lead), c.steps)
        it.path[:, 0, 0], it.path[:, 0, 1] = problem.x_ref, tracks[:, OFFSET]
        it.path[:, 1, 0], it.path[:, 1, 1] = tracks[:, SPEED], tracks[:, SLOPE]
        it.path[:, 2, 0] = tracks[:, ACCEL]
        it.psi[:] = problem.psi_ref
        scratch = make_scratch(len(tracks), c.steps)
        left, fresh = c.iterations, True
        while left > 0:
            some = left if budget is None else min(left, 10)
            iterate(
                planner.model, self.weights, problem, it, MODES[c.consensus], fresh, True,
                c.barrier == "time", some, scratch,
            )  # fmt: skip
            left, fresh = left - some, False
            if budget is not None and time.perf_counter() - began > 0.7 * budget:
                break
        return it

    def _frenet(self, w: Floats, start: Floats, station: float) -> Floats:
        """Frenet states `(2 N - 1, 6)` on the fine grid of control points `w (2, 10)`."""
        begin, free = self.planner.fine
        out = np.empty((free.shape[2], 6))
        for axis in range(2):
            for r in range(3):
                out[:, 3 * axis + r] = start[axis] @ begin[r] + w[axis] @ free[r]
        out[:, 0] += station
        return out

    def _check(self, frenet: Floats, scene: RoadScene, view: View, used: Floats) -> tuple[float, str]:
        """When a motion first fails, infinite if it does not, and why."""
        states = scene.frame.states(frenet, self.task.vehicle, 0.0)
        out, who = np.empty(3), np.empty(1, dtype=np.int64)
        checks.check(
            states, frenet, 0.5 * self.planner.config.dt, scene.frame.rows, scene.frame.step, self.own,
            view.poses, view.half, used, 2, self.limits, out, who,
        )  # fmt: skip
        first = int(np.argmin(out))
        if not np.isfinite(out[first]):
            return math.inf, ""
        return float(out[first]), REASONS[first]

    def _answer(
        self,
        observation: Observation,
        scene: RoadScene,
        view: View,
        configurations: list[Configuration],
        problem: Problem,
        it: Iterate,
        drives: Drives,
    ) -> Plan:
        c = self.planner.config
        station = float(self.start[0])
        fine = [self._frenet(it.w[:2, z], problem.start, station) for z in range(len(configurations))]
        found = [
            self._check(f, scene, view, z.used) for f, z in zip(fine, configurations, strict=True)
        ]
        states = np.stack(
            [scene.frame.states(f[::2], self.task.vehicle, float(observation.ego[2])) for f in fine]
        )
        probability = np.array([z.probability for z in configurations])
        candidates = Candidates(
            observation.time + self.planner.basis.times,
            states,
            {"fails_at": np.minimum([t for t, _ in found], 1e3)},
            probability,
            0,
            self.planner.basis.shared,
        )
        when, why = found[0]
        self.ahead, self.laid, self.planned_at = fine[0], scene.frame, observation.time
        status = PlanStatus.OK if not np.isfinite(when) else PlanStatus.DEGRADED
        figures = {
            "fails_at": min(when, 99.0),
            "drive_contact": float(drives.judgements[drives.best, 0]),
            "option": float(self.chosen[0]),
            "rule": float(self.chosen[1]),
            "branches": float(len(configurations)),
            "residual_obstacles": float(it.residual[2]),
            "consensus": float(it.residual[4]),
        }
        return plan_on_frame(
            scene.frame, fine[0][::2], c.dt, observation, self.task.vehicle, status, why, candidates, figures
        )

    def _brake(self, observation: Observation, reason: str, status: PlanStatus) -> Plan:
        c = self.planner.config
        return braking_plan(
            observation, self.task.vehicle, reason, status, dt=c.dt, horizon=c.dt * (c.steps - 1)
        )
