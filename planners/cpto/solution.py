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
from drive.planners.cpto.kernels.check import CONTACT, judge, lay_motions
from drive.planners.cpto.kernels.propose import ACCEL, SLOPE, brake_from
from drive.planners.cpto.kernels.view import lay_pairs, lay_references, nearness
from drive.planners.cpto.qp import OSQP, control_points, convexify, flat
from drive.planners.cpto.view import COUNTED, PHANTOMS
from drive.planners.cpto.warm import Memory, warm

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from drive.planners.cpto.drives import Drives
    from drive.planners.cpto.kernels.admm import Iterate, Scratch
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
REASONS = ("it would meet somebody", "it would leave the road", "it would break the vehicle's limits")
UNSEEN = "somebody unseen may come"
CLOSE = 8.0
"""m from a drive, as `nearness` measures, beyond which somebody is no obstacle to it."""
MOST_SLOPE = 0.7
"""Of the motion to the road, as a tangent."""
BRAKING, BRAKING_JERK = 3.5, 6.0
"""m/s^2 and m/s^3 of the braking branch."""
HARDEST_JERK = 20.0
"""m/s^3 of the braking plan."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Branches' `motions (Z, 2 N - 1, 6)` of Frenet states on the fine grid, their `states (Z, N, 7)` in the
    world, and the `times (Z,)` at which they fail.

    `fails_at` is the first of those that count, infinite if none fails, and `reason` why;
    `phantoms_at` is that of the branch with phantoms; `braking` is the
    braking branch where it passes; `row` the drive that it came from; `memory` is for the
    next call.
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
    memory: Memory


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
        self.memory: Memory | None = None
        self.scratch: dict[int, Scratch] = {}

    def conflicts(self, view: View, track: Floats) -> Floats:
        """How near a drive `(6, K)` at the forecasts' samples comes to each of the others, m."""
        out = np.empty(len(view.used))
        nearness(view.pose, view.half, view.used, track[None], 1, out)
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
        now: float,
        heading: float,
    ) -> Solution:
        """Optimise the branches that start from drive `row` at the time `now`; the loop ends at `until`
        (perf_counter)."""
        nominal = refine(drives.tracks[row], self.planner.config.steps)
        option = int(drives.option[row])
        tracks = np.stack([self._branch(nominal, options, view, driver, option, z) for z in configurations])
        problem, pairs = self._problem(scene, view, state, configurations, tracks)
        keys: list[Hashable] = [z.key for z in configurations]
        path = (scene.frame, options.kind[option])
        it = self._iterate(problem, tracks, until, now, path, keys, pairs)
        memory = Memory(now, path, keys, pairs, it.dual, it.press)
        found = self._judge(it.w[:2], it, memory, problem, scene, view, state, configurations, row, heading)
        how = self.planner.config.polish
        if how == "always" or (how == "failed" and math.isfinite(found.fails_at)):
            polished = self.backend.solve(
                convexify(self.planner.model, self.weights, problem, it), flat(it.w)
            )
            if polished is not None:
                w = control_points(polished, len(tracks))
                better = self._judge(w, it, memory, problem, scene, view, state, configurations, row, heading)
                if better.fails_at >= found.fails_at:
                    return better
        return found

    def _judge(
        self,
        w: Floats,
        it: Iterate,
        memory: Memory,
        problem: Problem,
        scene: RoadScene,
        view: View,
        state: Floats,
        configurations: list[Configuration],
        row: int,
        heading: float,
    ) -> Solution:
        """The motions of control points `w (2, Z, 10)`, checked."""
        begin, free = self.planner.fine
        motions = np.empty((len(configurations), free.shape[2], 6))
        lay_motions(begin, free, w, problem.start, float(state[0]), MOST_SLOPE, motions)
        states, found = self._check(motions, heading, scene, view, np.stack([z.used for z in configurations]))
        fails_at, phantoms_at, reason, braking = math.inf, math.inf, "", None
        for (when, why), configuration, motion in zip(found, configurations, motions, strict=True):
            if configuration.brakes and configuration.key != ("likely",):
                braking = motion if not math.isfinite(when) else None
            elif configuration.key == PHANTOMS:
                phantoms_at = when
            elif when < fails_at:
                fails_at, reason = when, why
        return Solution(
            motions, states[:, ::2], np.array([when for when, _ in found]), problem.probability, fails_at,
            phantoms_at, reason, braking, row, it.residual, memory,
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
            brake_from(nominal, joint, c.dt, BRAKING, BRAKING_JERK, out)
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
    ) -> tuple[Problem, list[tuple[int, int]]]:
        """The loop's problem, and of whom (id) and which disc each of its pairs is."""
        c, frame = self.planner.config, scene.frame
        steps = c.steps
        used = np.stack([z.used for z in configurations])
        count = len(tracks)
        near = np.empty(len(view.used))
        nearness(view.pose, view.half, (used == COUNTED).any(0).astype(np.uint8), tracks, COARSE, near)
        chosen = np.argsort(near, kind="stable")[: c.obstacles]
        chosen = chosen[near[chosen] < CLOSE]
        active = np.ascontiguousarray(used[:, chosen] == COUNTED, dtype=np.uint8)
        most = len(chosen) * c.discs
        place, shape, lead = np.empty((most, 2, steps)), np.empty((most, 4, steps)), np.empty(most)
        owner, disc = np.empty((2, most), dtype=np.int64)
        station = float(state[0])
        pairs = lay_pairs(
            view.pose, view.half, chosen, COARSE, tracks, active, station, self.own, c.discs, c.turned, True,
            place, shape, lead, owner, disc,
        )  # fmt: skip
        hold = scene.hold.station - station + 0.3
        lines = np.empty((8, count, steps))
        lay_references(
            frame.rows, frame.step, tracks, station, 0.5 * self.vehicle.width + 0.1,
            hold if math.isfinite(hold) else 1e6, lines,
        )  # fmt: skip
        v_ref, x_ref, y_ref, psi_ref, v_max, x_hi, y_lo, y_hi = lines
        problem = Problem(
            start=_start(state),
            probability=np.array([z.probability for z in configurations]),
            v_ref=v_ref,
            x_ref=x_ref,
            y_ref=y_ref,
            psi_ref=psi_ref,
            v_max=v_max,
            x_hi=x_hi,
            y_lo=y_lo,
            y_hi=y_hi,
            place=place[:pairs],
            shape=shape[:pairs],
            lead=lead[:pairs],
            active=np.ascontiguousarray(active[:, owner[:pairs]]),
            gamma=self.gamma,
            side=np.where(y_ref[:, -1] >= y_ref[:, 0], 1.0, -1.0),
        )
        ids = view.id[chosen[owner[:pairs]]].tolist()
        return problem, list(zip(ids, disc[:pairs].tolist(), strict=True))

    def _iterate(
        self,
        problem: Problem,
        tracks: Floats,
        until: float,
        now: float,
        path: Hashable,
        keys: list[Hashable],
        pairs: list[tuple[int, int]],
    ) -> Iterate:
        """Run the loop from the drives, and from the last call's duals where they are of this `path`."""
        c, planner = self.planner.config, self.planner
        it = make_iterate(len(tracks), len(problem.lead), c.steps)
        it.path[:, 0, 0], it.path[:, 0, 1] = problem.x_ref, problem.y_ref
        it.path[:, 1, 0], it.path[:, 1, 1] = problem.v_ref, tracks[:, SLOPE]
        it.path[:, 2, 0] = tracks[:, ACCEL]
        it.psi[:] = problem.psi_ref
        if c.warm:
            warm(it, self.memory, now, c.dt, path, keys, pairs)
        mode = MODES[c.consensus]
        factors = planner.factors(self.weights, problem, mode)
        scratch = self.scratch.get(len(tracks))
        if scratch is None:
            scratch = self.scratch[len(tracks)] = make_scratch(len(tracks), c.steps)
        left, fresh = c.iterations, True
        while left > 0:
            some = left if until == math.inf else min(left, 10)
            iterate(
                planner.model, self.weights, factors, problem, it, mode, fresh, True, c.barrier == "time",
                some, scratch,
            )  # fmt: skip
            left, fresh = left - some, False
            if time.perf_counter() > until:
                break
        return it

    def brake(self, motion: Floats) -> Floats:
        """The braking plan: to rest as hard as the settings allow, on the path of a motion `(T, 6)`."""
        dt = 0.5 * self.planner.config.dt
        out = np.ascontiguousarray(motion.T)
        brake_from(out.copy(), 0, dt, self.planner.config.brake, HARDEST_JERK, out)
        # The path is that of the motion, in other times.
        out[5] = np.gradient(out[4], dt)
        return np.ascontiguousarray(out.T)

    def check(self, motion: Floats, scene: RoadScene, view: View, used: Bytes) -> tuple[float, str]:
        """When a motion first fails, infinite if it does not, and why."""
        return self._check(motion[None], 0.0, scene, view, used[None])[1][0]

    def _check(
        self, motions: Floats, heading: float, scene: RoadScene, view: View, used: Bytes
    ) -> tuple[Floats, list[tuple[float, str]]]:
        """World states `(Z, T, 7)` of motions `(Z, T, 6)`; when each of them first fails, and why."""
        count, frame = len(motions), scene.frame
        states = np.empty((*motions.shape[:2], 7))
        out, who = np.empty((count, 3)), np.empty(count, dtype=np.int64)
        judge(
            motions, 0.5 * self.planner.config.dt, frame.rows, frame.step, frame.origin,
            self.vehicle.wheelbase, heading, self.own, view.poses, view.half, used, 2 * COARSE, self.limits,
            states, out, who,
        )  # fmt: skip
        found = []
        for times, row in zip(out.tolist(), who.tolist(), strict=True):
            when, reason = min(times), ""
            if math.isfinite(when):
                reason = REASONS[times.index(when)]
                if when == times[CONTACT]:
                    met = int(view.id[row])
                    reason = f"it would meet road user {met}" if met >= 0 else UNSEEN
            found.append((when, reason))
        return states, found


def _start(state: Floats) -> Floats:
    """x, y and heading with two derivatives each, of a Frenet state."""
    _, vx, ax, y, vy, ay = state.tolist()
    speed = vx * vx + vy * vy
    psi, turn = 0.0, 0.0
    if speed > 0.25:
        psi = math.atan2(vy, max(vx, 0.5))
        turn = min(max((vx * ay - vy * ax) / speed, -1.0), 1.0)
    return np.array([(0.0, vx, ax), (y, vy, ay), (psi, turn, 0.0)])
