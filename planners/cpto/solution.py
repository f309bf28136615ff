"""From a drive to branches that share their trunk: the loop's problem, its solution and the check of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.cpto.arrays import make_iterate, make_scratch
from drive.planners.cpto.drives import COARSE, drive_all, refine
from drive.planners.cpto.kernels.admm import ADMM, EXACT, NONE, Problem, Weights, iterate
from drive.planners.cpto.kernels.check import check
from drive.planners.cpto.kernels.propose import ACCEL, HEADING, OFFSET, SLOPE, SPEED, STATION
from drive.planners.cpto.kernels.view import lay_pairs, nearness
from drive.planners.cpto.qp import OSQP, control_points, convexify, flat
from drive.planners.cpto.view import COUNTED, PHANTOMS
from drive.planners.road.kernels import line as columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.cpto.drives import Drives
    from drive.planners.cpto.kernels.admm import Iterate
    from drive.planners.cpto.kernels.propose import Driver
    from drive.planners.cpto.options import Options
    from drive.planners.cpto.planner import CPTO
    from drive.planners.cpto.qp import QPBackend
    from drive.planners.cpto.view import Configuration, View
    from drive.planners.road.guide import RoadScene
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]
    Bytes = NDArray[np.uint8]

MODES = {"exact": EXACT, "admm": ADMM, "none": NONE}
REASONS = ("it would meet a road user", "it would leave the road", "it would break the vehicle's limits")
CLOSE = 8.0
"""m from a drive, as `nearness` measures, beyond which somebody is no obstacle to it."""
MOST_SLOPE = 0.7
"""Of the motion to the road, as a tangent."""
BRAKING, BRAKING_JERK = 3.5, 6.0
"""m/s^2 and m/s^3 of the braking branch."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Branches' `motions (Z, 2 N - 1, 6)` of Frenet states on the fine grid, their `states (Z, N, 7)` in the
    world, and the `times (Z,)` at which they fail.

    `fails_at` is the first of those that count, infinite if none fails, and `reason` why;
    `phantoms_at` is that of the branch with phantoms; `braking` is the
    braking branch where it passes; `row` the drive that it came from.
    """

    motions: Floats
    states: Floats
    times: Floats
    probability: Floats
    fails_at: float
    phantoms_at: float
    reason: str
    braking: Floats | None
    row: int
    residual: Floats


class Solver:
    """Builds and solves the problems of one vehicle."""

    def __init__(self, planner: CPTO, vehicle: VehicleParams) -> None:
        self.planner, self.vehicle = planner, vehicle
        c = planner.config
        curvature = math.tan(vehicle.max_steering) / vehicle.wheelbase
        self.backend: QPBackend = OSQP()
        self.gamma = np.linspace(c.gamma, 1.0, c.steps)
        self.weights = Weights(
            c.w_acceleration, c.w_jerk, c.w_speed, c.w_place, c.w_lane, c.w_heading, c.rho, c.tie, c.relax,
            c.speed_up + 0.4, c.brake, c.sideways, min(curvature, 0.2), c.dual_limit,
        )  # fmt: skip
        half = 0.5 * vehicle.length
        self.own = np.array([vehicle.rear_axle_to_center, half, 0.5 * vehicle.width, 0.4, 0.15])
        self.limits = np.array([vehicle.max_acceleration + 0.5, vehicle.max_braking, curvature])

    def conflicts(self, view: View, track: Floats) -> Floats:
        """How near a drive comes to each of the others, m."""
        out = np.empty(len(view.used))
        nearness(view.pose, view.half, view.used, track[None], out)
        return out

    def solve(
        self,
        scene: RoadScene,
        view: View,
        options: Options,
        driver: Driver,
        state: Floats,
        drives: Drives,
        row: int,
        configurations: list[Configuration],
        until: float,
        heading: float,
    ) -> Solution:
        """Optimise the branches that start from drive `row`; the loop ends at `until` (perf_counter)."""
        nominal = refine(drives.tracks[row], self.planner.config.steps)
        option = int(drives.option[row])
        tracks = np.stack([self._branch(nominal, options, view, driver, option, z) for z in configurations])
        problem = self._problem(scene, view, state, configurations, tracks)
        it = self._iterate(problem, tracks, until)
        found = self._judge(it.w[:2], it, problem, scene, view, state, configurations, row, heading)
        how = self.planner.config.polish
        if how == "always" or (how == "failed" and math.isfinite(found.fails_at)):
            polished = self.backend.solve(
                convexify(self.planner.model, self.weights, problem, it), flat(it.w)
            )
            if polished is not None:
                w = control_points(polished, len(tracks))
                better = self._judge(w, it, problem, scene, view, state, configurations, row, heading)
                if better.fails_at >= found.fails_at:
                    return better
        return found

    def _judge(
        self,
        w: Floats,
        it: Iterate,
        problem: Problem,
        scene: RoadScene,
        view: View,
        state: Floats,
        configurations: list[Configuration],
        row: int,
        heading: float,
    ) -> Solution:
        """The motions of control points `w (2, Z, 10)`, checked."""
        motions = self._motions(w, problem.start, float(state[0]))
        states = [scene.frame.states(m, self.vehicle, heading) for m in motions]
        found = [
            self._check(m, s, scene, view, z.used)
            for m, s, z in zip(motions, states, configurations, strict=True)
        ]
        fails_at, phantoms_at, reason, braking = math.inf, math.inf, "", None
        for (when, why), configuration, motion in zip(found, configurations, motions, strict=True):
            if configuration.brakes and configuration.key != ("likely",):
                braking = motion if not math.isfinite(when) else None
            elif configuration.key == PHANTOMS:
                phantoms_at = when
            elif when < fails_at:
                fails_at, reason = when, why
        return Solution(
            motions, np.stack(states)[:, ::2], np.array([when for when, _ in found]), problem.probability,
            fails_at, phantoms_at, reason, braking, row, it.residual,
        )  # fmt: skip

    def _branch(
        self,
        nominal: Floats,
        options: Options,
        view: View,
        driver: Driver,
        option: int,
        configuration: Configuration,
    ) -> Floats:
        """A branch's drive `(6, N)`: the trunk of the nominal one, then what its own hypothesis asks for."""
        c, joint = self.planner.config, self.planner.basis.shared - 1
        out = nominal.copy()
        if configuration.brakes:
            t = c.dt * np.arange(c.steps - joint)
            falls = np.maximum(min(nominal[ACCEL, joint], 0.0) - BRAKING_JERK * t, -BRAKING)
            v = np.maximum(nominal[SPEED, joint] + c.dt * np.concatenate(([0.0], np.cumsum(falls[1:]))), 0.0)
            way = np.concatenate(([0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * c.dt)))
            out[SPEED, joint:], out[STATION, joint:] = v, nominal[STATION, joint] + way
            out[ACCEL, joint:] = np.gradient(v, c.dt)
            out[OFFSET, joint:] = np.interp(out[STATION, joint:], nominal[STATION], nominal[OFFSET])
            out[SLOPE, joint:] = np.gradient(out[OFFSET, joint:], c.dt)
            out[HEADING, joint:] = np.interp(out[STATION, joint:], nominal[STATION], nominal[HEADING])
        elif configuration.key != ("likely",):
            later = drive_all(
                options, view, configuration.used, driver, nominal[:, joint].copy(),
                (c.steps - joint) // COARSE + 1,
                (-1, -1), joint, option,
            )  # fmt: skip
            out[:, joint:] = refine(later.tracks[later.best], c.steps - joint)
        return out

    def _problem(
        self,
        scene: RoadScene,
        view: View,
        state: Floats,
        configurations: list[Configuration],
        tracks: Floats,
    ) -> Problem:
        c, frame = self.planner.config, scene.frame
        steps = c.steps
        used = np.stack([z.used for z in configurations])
        near = np.empty(len(view.used))
        nearness(view.pose, view.half, (used == COUNTED).any(0).astype(np.uint8), tracks, near)
        chosen = np.argsort(near, kind="stable")[: c.obstacles]
        chosen = chosen[near[chosen] < CLOSE]
        active = np.ascontiguousarray(used[:, chosen] == COUNTED, dtype=np.uint8)
        most = len(chosen) * c.discs
        place, shape = np.empty((most, 2, steps)), np.empty((most, 4, steps))
        lead, owner = np.empty(most), np.empty(most, dtype=np.int64)
        pairs = lay_pairs(
            view.pose, view.half, chosen, tracks, active, self.own, c.discs, c.turned, True,
            place, shape, lead, owner,
        )  # fmt: skip
        place = place[:pairs].copy()
        place[:, 0] -= state[0]
        s, y, v = (np.ascontiguousarray(tracks[:, j]) for j in (STATION, OFFSET, SPEED))
        rows = frame.rows[np.clip((s / frame.step).astype(np.int64), 0, len(frame.rows) - 1)]
        half = 0.5 * self.vehicle.width + 0.1
        hold = scene.hold.station - state[0] + 0.3
        return Problem(
            start=_start(state),
            probability=np.array([z.probability for z in configurations]),
            v_ref=v,
            x_ref=s - state[0],
            y_ref=y,
            psi_ref=np.ascontiguousarray(tracks[:, HEADING]),
            v_max=np.maximum(rows[..., columns.LIMIT], v),
            x_hi=np.maximum(s - state[0], hold if math.isfinite(hold) else 1e6),
            y_lo=np.minimum(half - rows[..., columns.EDGE_RIGHT], y - 0.02),
            y_hi=np.maximum(rows[..., columns.EDGE_LEFT] - half, y + 0.02),
            place=place,
            shape=shape[:pairs],
            lead=lead[:pairs],
            active=np.ascontiguousarray(active[:, owner[:pairs]]),
            gamma=self.gamma,
            side=np.where(y[:, -1] >= y[:, 0], 1.0, -1.0),
        )

    def _iterate(self, problem: Problem, tracks: Floats, until: float) -> Iterate:
        c, planner = self.planner.config, self.planner
        it = make_iterate(len(tracks), len(problem.lead), c.steps)
        it.path[:, 0, 0], it.path[:, 0, 1] = problem.x_ref, problem.y_ref
        it.path[:, 1, 0], it.path[:, 1, 1] = problem.v_ref, tracks[:, SLOPE]
        it.path[:, 2, 0] = tracks[:, ACCEL]
        it.psi[:] = problem.psi_ref
        scratch = make_scratch(len(tracks), c.steps)
        left, fresh = c.iterations, True
        while left > 0:
            some = left if until == math.inf else min(left, 10)
            iterate(
                planner.model, self.weights, problem, it, MODES[c.consensus], fresh, True,
                c.barrier == "time", some, scratch,
            )  # fmt: skip
            left, fresh = left - some, False
            if time.perf_counter() > until:
                break
        return it

    def _motions(self, w: Floats, start: Floats, station: float) -> Floats:
        """Frenet states `(Z, 2 N - 1, 6)` on the fine grid of control points `w (2, Z, 10)`."""
        begin, free = self.planner.fine
        out = np.empty((w.shape[1], free.shape[2], 6))
        for axis in range(2):
            for r in range(3):
                out[:, :, 3 * axis + r] = w[axis] @ free[r] + start[axis] @ begin[r]
        out[:, :, 0] += station
        # What is left of going backwards or sideways at standstill would turn the car about.
        out[:, :, 1] = np.maximum(out[:, :, 1], 0.0)
        out[:, :, 4] = np.clip(out[:, :, 4], -MOST_SLOPE * out[:, :, 1], MOST_SLOPE * out[:, :, 1])
        return out

    def check(self, motion: Floats, scene: RoadScene, view: View, used: Bytes) -> tuple[float, str]:
        """When a motion first fails, infinite if it does not, and why."""
        return self._check(motion, scene.frame.states(motion, self.vehicle, 0.0), scene, view, used)

    def _check(
        self, motion: Floats, states: Floats, scene: RoadScene, view: View, used: Bytes
    ) -> tuple[float, str]:
        out, who = np.empty(3), np.empty(1, dtype=np.int64)
        check(
            states, motion, 0.5 * self.planner.config.dt, scene.frame.rows, scene.frame.step, self.own,
            view.poses, view.half, used, 2, self.limits, out, who,
        )  # fmt: skip
        first = int(np.argmin(out))
        if not math.isfinite(out[first]):
            return math.inf, ""
        return float(out[first]), REASONS[first]


def _start(state: Floats) -> Floats:
    """x, y and heading with two derivatives each, of a Frenet state."""
    _, vx, ax, y, vy, ay = state.tolist()
    speed = vx * vx + vy * vy
    psi, turn = 0.0, 0.0
    if speed > 0.25:
        psi = math.atan2(vy, max(vx, 0.5))
        turn = min(max((vx * ay - vy * ax) / speed, -1.0), 1.0)
    return np.array([(0.0, vx, ax), (y, vy, ay), (psi, turn, 0.0)])
