"""One ego in one run: look, choose a drive, optimise, check, fall back."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Candidates, Plan, PlanStatus
from drive.planners.cpto.drives import COARSE, drive_all, make_driver
from drive.planners.cpto.options import KEEP, make_options
from drive.planners.cpto.phantoms import find_crossings, make_phantoms
from drive.planners.cpto.solution import UNSEEN, Solver
from drive.planners.cpto.view import LIKELY, ROOM_TO_TURN, hypotheses, look_around, with_phantoms
from drive.planners.road.guide import Guide, GuideSettings
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.cpto.drives import Drives
    from drive.planners.cpto.phantoms import Crossing
    from drive.planners.cpto.planner import CPTO
    from drive.planners.cpto.solution import Solution
    from drive.planners.cpto.view import View
    from drive.planners.road.guide import RoadScene
    from drive.scenario import Task

    Floats = NDArray[np.float64]

LOOK_AHEAD = 8.0
"""s that drives are judged for."""
STANDS = 0.3
STANDING_TIME = 3.0
"""s after which who stands may be passed even where it looks like a queue."""
ASIDE = 0.8
"""m beside the line from which who stands is taken to be parked."""
STRAYED = (1.0, 1.0, 1.5)
"""m along, m/s and m across by which the ego may be off its last plan and still be on it."""
OFF = 15.0
"""m from the line, or before it begins, at which no road is planned on."""
RETRIES = 2
SOON = 2.5
"""s: a motion that fails later is driven, for there is time to mend it, and what is foreseen changes."""


class CPTOSession:
    """What one ego remembers: its guide, who stands since when, its last choice and its last motion."""

    def __init__(self, planner: CPTO, task: Task) -> None:
        self.planner, self.task = planner, task
        c = planner.config
        step = COARSE * c.dt
        count = math.ceil(max(LOOK_AHEAD, c.dt * c.steps) / step - 1e-9) + 1
        times = np.asarray(step * np.arange(count), dtype=np.float64)
        self.times = times
        self.guide = Guide(task, times, GuideSettings(lateral_acceleration=c.bends))
        self.driver = make_driver(c, task.vehicle)
        self.solver = Solver(planner, task.vehicle)
        self.standing: dict[int, float] = {}
        self.chosen = (KEEP, 0)
        self.ahead: Floats | None = None
        self.laid: object = None
        self.planned_at = -math.inf
        self.crossings: list[Crossing] = []
        self.crossings_of: object = None

    def plan(self, observation: Observation) -> Plan:
        began = time.perf_counter()
        scene = self.guide.look(observation)
        if scene is None:
            return self._brake(observation, "no lane to follow", PlanStatus.INFEASIBLE)
        c, vehicle = self.planner.config, self.task.vehicle
        if abs(scene.state[3]) > OFF or not -OFF < scene.state[0] < scene.frame.length:
            return self._brake(observation, "the ego is off the road", PlanStatus.INFEASIBLE)
        state = self._begin(scene, observation.time)
        view = look_around(scene, vehicle)
        if c.phantoms and c.branches > 1:
            view = self._expect(view, observation, scene)
        blocking = self._blocking(scene, view, observation.time)
        options = make_options(
            scene.frame, float(state[0]), max(float(state[1]), 0.0), vehicle, blocking,
            scene.hold.station + self.driver.front, c.lane_changes,
        )  # fmt: skip
        speed = max(float(state[1]), 0.0)
        heading = math.atan2(float(state[4]), max(speed, 0.5))
        start = np.array([state[0], speed, state[2], state[3], state[4], heading])
        likely = view.used * (view.existence >= (LIKELY if c.branches > 1 else 0.5))
        drives = drive_all(
            options,
            view,
            likely.astype(np.uint8),
            self.driver,
            start,
            len(self.times),
            self.chosen,
        )
        left = math.inf if observation.time_budget is None else observation.time_budget
        tried: list[tuple[float, float, Solution]] = []
        for row in _attempts(drives):
            near = self.solver.conflicts(view, drives.tracks[row])
            found = self.solver.solve(
                scene, view, options, self.driver, state, drives, row, hypotheses(view, near, c),
                began + 0.7 * left, observation.time, float(observation.ego[2]),
            )  # fmt: skip
            # Whom nobody has seen is no reason to brake hard, but to be slower where that helps.
            tried.append((found.fails_at, found.phantoms_at, found))
            good = math.isinf(found.fails_at) and math.isinf(found.phantoms_at)
            enough = math.isinf(found.fails_at) and len(tried) > 1
            if good or enough or time.perf_counter() - began > 0.5 * left:
                break
        return self._answer(observation, scene, view, options.kind, drives, tried)

    def _expect(self, view: View, observation: Observation, scene: RoadScene) -> View:
        """The view with whom occlusion edges may hide."""
        if self.crossings_of is not scene.frame:
            self.crossings = find_crossings(self.task.roadmap, scene.frame)
            self.crossings_of = scene.frame
        poses, half = make_phantoms(
            observation, scene.frame, float(scene.state[0]), self.crossings, self.times,
            self.planner.config,
        )  # fmt: skip
        return with_phantoms(view, scene.frame, poses, half) if len(poses) else view

    def _begin(self, scene: RoadScene, now: float) -> Floats:
        """The state to plan from: what the last plan foresaw for now, unless the ego is elsewhere.

        A plan that begins at the ego hides from the tracker what it is to correct.
        """
        state = scene.state
        if self.ahead is not None and self.laid is scene.frame:
            at = (now - self.planned_at) / (0.5 * self.planner.config.dt)
            k = round(at)
            if abs(at - k) < 1e-3 and 0 < k < len(self.ahead):
                foreseen = self.ahead[k]
                off = np.abs(foreseen - state)
                if off[0] < STRAYED[0] and off[1] < STRAYED[1] and off[3] < STRAYED[2]:
                    # Along the road the ego itself counts: for bends and gaps it matters where it is.
                    return np.array([state[0], state[1], *foreseen[2:]])
        return np.array(state)

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
            still = now - since >= STANDING_TIME or now < 1.0
            parked = not others.yields[i] and (abs(d) > ASIDE or still)
            if others.kind[i] == AgentKind.STATIC or parked:
                rows.append((s, d, others.extent[i, 0, 0], others.extent[i, 0, 1]))
                view.half[np.flatnonzero(view.row == i), 2] = ROOM_TO_TURN
        self.standing = known
        return np.array(rows).reshape(-1, 4)

    def _answer(
        self,
        observation: Observation,
        scene: RoadScene,
        view: View,
        kinds: tuple[int, ...],
        drives: Drives,
        tried: list[tuple[float, float, Solution]],
    ) -> Plan:
        """The first motion that passes its check: optimised, braking branch, what was planned before."""
        c, vehicle = self.planner.config, self.task.vehicle
        when, unseen, best = max(tried, key=lambda one: one[:2])
        if math.isinf(tried[0][0]) and not math.isinf(unseen):
            # Slower would not help against whom nobody has seen.
            when, _, best = tried[0]
        status, reason = PlanStatus.OK, ""
        motion = best.motions[0]
        if best is not tried[0][2]:
            status, reason = PlanStatus.DEGRADED, tried[0][2].reason or UNSEEN
        if when < SOON:
            status, reason = PlanStatus.FALLBACK, best.reason
            motion, instead = self._instead(observation.time, scene, view, tried[0][2].braking, motion)
            reason = f"{reason}: {instead}"
        elif math.isfinite(when):
            status, reason = PlanStatus.DEGRADED, best.reason
        self.chosen = (kinds[drives.option[best.row]], int(drives.rule[best.row]))
        self.ahead, self.laid, self.planned_at = motion, scene.frame, observation.time
        self.solver.memory = best.memory
        candidates = Candidates(
            observation.time + self.planner.basis.times,
            best.states,
            {"fails_at": np.minimum(best.times, 1e3)},
            best.probability,
            0,
            self.planner.basis.shared if c.consensus == "exact" else 0,
        )
        figures = {
            "fails_at": min(when, 99.0),
            "drive_contact": float(drives.judgements[best.row, 0]),
            "option": float(self.chosen[0]),
            "rule": float(self.chosen[1]),
            "branches": float(len(best.motions)),
            "attempts": float(len(tried)),
            "residual_obstacles": float(best.residual[2]),
            "consensus": float(best.residual[4]),
        }
        return plan_on_frame(
            scene.frame, motion[::2], c.dt, observation, vehicle, status, reason, candidates, figures
        )

    def _instead(
        self, now: float, scene: RoadScene, view: View, branch: Floats | None, motion: Floats
    ) -> tuple[Floats, str]:
        """What is driven where no branch that counts is fit to be: the plan before while it is, the braking
        branch where it passes, or else the braking plan on the path of `motion`."""
        shifted = self._shifted(now, scene)
        if shifted is not None and self.solver.check(shifted, scene, view, view.used)[0] > SOON:
            return shifted, "the plan before"
        if branch is not None:
            return branch, "the braking branch"
        return self.solver.brake(motion), "the braking plan"

    def _shifted(self, now: float, scene: RoadScene) -> Floats | None:
        """The last motion from now on, its end held; None where it does not reach here."""
        if self.ahead is None or self.laid is not scene.frame:
            return None
        dt = 0.5 * self.planner.config.dt
        k = round((now - self.planned_at) / dt)
        if not 0 < k < len(self.ahead) // 2:
            return None
        end = self.ahead[-1]
        more = np.repeat(end[None], k, axis=0)
        more[:, 0] += dt * np.arange(1, k + 1) * max(end[1], 0.0)
        more[:, [2, 4, 5]] = 0.0
        motion = np.concatenate((self.ahead[k:], more))
        motion[:, 0] += scene.state[0] - motion[0, 0]
        return motion

    def _brake(self, observation: Observation, reason: str, status: PlanStatus) -> Plan:
        c = self.planner.config
        self.ahead = None
        return braking_plan(
            observation, self.task.vehicle, reason, status, dt=c.dt, horizon=c.dt * (c.steps - 1)
        )


def _attempts(drives: Drives) -> list[int]:
    """The best drive, then the best ones that are slower on the same option, then on any."""
    best = drives.best
    slower = drives.rule > drives.rule[best]
    same = drives.option == drives.option[best]
    order = [best]
    for mask in (slower & same, ~same):
        if mask.any():
            rows = np.flatnonzero(mask)
            order.append(int(rows[np.argmin(drives.cost[rows])]))
    return order[: 1 + RETRIES]
