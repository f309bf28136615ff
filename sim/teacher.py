"""The teacher: scores of any candidates at one moment of a drive whose further course is known.

Source of the procedure: NAVSIM version 2 (`pdm_scorer.py`), and the generation of labels for GTRS and its
like: all candidates are driven by the tracker from the ego's state for four seconds among the others as they
were recorded, with the expert's plan beside them, and scored in one call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.geometry import from_frame
from drive.roadmap.model import LaneKind
from drive.scenario import SignalState
from drive.sim.candidates import ScoreScene, rollout, score
from drive.sim.kernels import teach as kernels
from drive.sim.kernels.score import DIRECTION, DRIVABLE, NAVSIM_RULES, NO_COLLISION, PROGRESS, TTC
from drive.sim.kernels.score_comfort import ComfortWindows, comfort_filters
from drive.sim.kernels.score_contacts import FORECAST_EXTRA
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from drive.roadmap.model import RoadMap
    from drive.sim.road.way import Way
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

TEACHER_NAMES = ("nc", "dac", "ddc", "tlc", "ep", "ttc", "lk", "hc", "score")
"""No collision at fault, drivable area, driving direction, traffic lights, progress, time to collision, lane
keeping, comfort with the past, and the score; all in [0, 1]."""
TEACHER_VERSION = "1"
"""Changes whenever a label changes."""
PROGRESS_MODES = ("generate", "batch")
LIGHT_RULES = ("enter", "touch")
DT = 0.1
LANE_KEEPING_LIMIT, LANE_KEEPING_SAMPLES = 0.5, 20
PROGRESS_THRESHOLD = 5.0
KNOWN_AFTER = FORECAST_EXTRA
"""Samples beyond the candidates' last for which the others must be known."""
WINDOW = (30.0, 250.0)
"""Metres of the course behind and ahead of the ego among which a candidate's foot is searched."""
_NC, _DAC, _DDC, _TLC, _EP, _TTC, _LK, _HC, _SCORE = range(9)


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """How labels are made. The published choices are "generate", "touch", 0 and "reference".

    `progress` "generate" divides a candidate's metres by the larger of its own and the reference's, so that
    a label does not depend on the other candidates; "batch" by the best of the call's. `lights` "touch"
    forbids to be in a junction while its light is red, "enter" to drive into it then. A metre driven above
    the way's limit takes `speeding` metres off the progress: at 0 a candidate gains by speeding, at 1 it
    does not, and above it loses. `compat` is the tracker's; "fixed" is that of our closed loop.
    """

    progress: str = "generate"
    lights: str = "enter"
    speeding: float = 2.0
    compat: str = "fixed"

    def __post_init__(self) -> None:
        if self.progress not in PROGRESS_MODES:
            raise UnknownNameError("progress mode", self.progress, PROGRESS_MODES)
        if self.lights not in LIGHT_RULES:
            raise UnknownNameError("light rule", self.lights, LIGHT_RULES)
        if not 0.0 <= self.speeding < math.inf:
            raise InputError(f"speeding costs 0 or more metres a metre, not {self.speeding}")


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a moment is measured along: `line (P, 2)` in scenario coordinates, `limit (P,)` m/s at its
    vertices, and the lanes in whose direction one may drive."""

    line: Floats
    limit: Floats
    on_route: tuple[int, ...]

    @classmethod
    def of(cls, way: Way) -> Course:
        """The course along a way."""
        return cls(way.line + way.origin, way.limit, way.on_route)


class Others(NamedTuple):
    """Who else is there from a moment on, every 0.1 s: states `(A, K, 5)` in TRACK_COLUMNS, valid `(A, K)`,
    size `(A, 3)`, kind `(A,)`."""

    states: Floats
    valid: NDArray[np.bool_]
    size: Floats
    kind: NDArray[np.uint8]


class Labels(NamedTuple):
    """`values (K, 9)` in TEACHER_NAMES, `metres (K,)` of progress, and the driven `states (K, T + 1, 7)`
    about the ego's position in scenario axes."""

    values: NDArray[np.float32]
    metres: NDArray[np.float32]
    states: NDArray[np.float32]


class Teacher:
    """Labels for one map and one vehicle."""

    def __init__(
        self, roadmap: RoadMap, vehicle: VehicleParams, settings: TeacherSettings | None = None
    ) -> None:
        self.roadmap, self.vehicle = roadmap, vehicle
        self.settings = settings or TeacherSettings()

    def lesson(
        self,
        start: ArrayLike,
        course: Course,
        others: Others,
        signals: NDArray[np.uint8],
        past: ArrayLike = (),
        horizon: int = 40,
    ) -> Lesson:
        """One moment made ready: the ego's state `start (7,)`, `signals (S, K)` from then on, and the ego's
        states before it `past (P, 7)`, oldest first, all every 0.1 s and in scenario coordinates.

        Raises InputError where the others are not known for `horizon` steps and the scorer's look-ahead.
        """
        begin = np.asarray(start, dtype=np.float64)[:7]
        if begin.shape != (7,) or not np.isfinite(begin).all():
            raise InputError(f"a lesson starts from a finite state (7,), got {begin.tolist()}")
        known, needed = others.states.shape[1], horizon + 1 + KNOWN_AFTER
        if known < needed or signals.shape[1] < horizon + 1:
            raise InputError(f"a lesson of {horizon} steps needs {needed} samples of the others, got {known}")
        states = np.array(others.states[:, :needed])
        # Objects stand, whatever their velocity says, as in the devkit.
        states[others.kind == AgentKind.STATIC, :, 3:] = 0.0
        there = others.valid[:, :needed].any(1)
        agents = (states[there], others.valid[there, :needed], others.size[there], others.kind[there])
        origin = begin[:2]
        scene = ScoreScene.of(self.roadmap, course.on_route, course.line, self.vehicle, agents, origin)
        scene = replace(scene, window=_window(scene.line, scene.station))
        before = np.array(past, dtype=np.float64).reshape(-1, 7)
        before[:, :2] -= origin
        gates, red = closed_lanes(self.roadmap, course.on_route, signals[:, : horizon + 1])
        limit = np.ascontiguousarray(course.limit, dtype=np.float32)
        return Lesson(self, begin, scene, before.astype(np.float32), limit, gates, red, horizon)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A moment that is ready to label candidates; made by `Teacher.lesson`."""

    teacher: Teacher
    start: Floats
    scene: ScoreScene
    past: NDArray[np.float32]
    limit: NDArray[np.float32]
    gates: NDArray[np.int64]
    red: NDArray[np.uint8]
    horizon: int

    def rollout(self, candidates: ArrayLike, first: ArrayLike | None = None) -> NDArray[np.float32]:
        """The states `(K, T + 1, 7)` float32 of candidates `(K, T, 3)` of the ego's frame, driven from the
        start by the tracker, about the ego's position in scenario axes.

        They begin at the ego's pose, or at `first (3,)`, as the plans of planners that plan along a line.
        """
        c = np.ascontiguousarray(candidates, dtype=np.float32)
        if c.ndim != 3 or c.shape[1:] != (self.horizon, 3):
            raise InputError(f"candidates must be (K, {self.horizon}, 3), got {c.shape}")
        heading = float(self.start[2])
        poses = np.empty((len(c), self.horizon + 1, 3), dtype=np.float32)
        angles = (np.float32(f(heading)) for f in (math.cos, math.sin, float))
        kernels.place_candidates(c, *angles, poses)
        if first is not None:
            poses[:, 0] = from_frame(np.asarray(first), (0.0, 0.0, heading))
        begin = np.concatenate(([0.0, 0.0], self.start[2:])).astype(np.float32)
        compat = self.teacher.settings.compat
        return rollout(self.teacher.vehicle, begin, poses, dt=DT, compat=compat)

    def label(self, candidates: ArrayLike, reference: NDArray[np.float32] | None = None) -> Labels:
        """Labels of candidates `(K, T, 3)` of the ego's frame; `reference (T + 1, 7)` are the expert's driven
        states, from `rollout`, against which "generate" measures progress.
        """
        return self.judge(self.rollout(candidates), reference)

    def judge(self, states: NDArray[np.float32], reference: NDArray[np.float32] | None = None) -> Labels:
        """As `label`, for motions that are driven already."""
        s = self.teacher.settings
        if reference is None and s.progress == "generate":
            raise InputError("the progress mode 'generate' needs a reference: the expert's driven states")
        driven = states if reference is None else np.concatenate((reference[None], states))
        found = score(driven, self.scene, rules=NAVSIM_RULES, terms=_TERMS).values
        more = self._teach(driven)
        out = np.empty((len(driven), len(TEACHER_NAMES)), dtype=np.float32)
        out[:, [_NC, _DAC, _DDC, _TTC]] = found[:, [NO_COLLISION, DRIVABLE, DIRECTION, TTC]]
        out[:, _TLC], out[:, _LK] = more[:, kernels.LIGHTS], more[:, kernels.LANE_KEEPING]
        out[:, _HC] = more[:, kernels.HISTORY_COMFORT]
        product = out[:, _NC] * out[:, _DAC] * out[:, _DDC] * out[:, _TLC]
        metres = np.maximum(found[:, PROGRESS] - np.float32(s.speeding) * more[:, kernels.EXCESS], 0.0)
        out[:, _EP] = self._progress(metres, product)
        weighted = 5.0 * (out[:, _EP] + out[:, _TTC]) + 2.0 * (out[:, _LK] + out[:, _HC])
        out[:, _SCORE] = product * weighted / 14.0
        if not (np.isfinite(out).all() and out.min() >= 0.0 and out.max() <= 1.0 + 1e-6):
            raise InputError("a label lies outside [0, 1]: the scene's map or tracks are not sound")
        skip = 0 if reference is None else 1
        return Labels(np.minimum(out[skip:], 1.0), metres[skip:], driven[skip:])

    def _progress(self, metres: NDArray[np.float32], product: NDArray[np.float32]) -> NDArray[np.float32]:
        kept = metres * product
        if self.teacher.settings.progress == "batch":
            best = kept.max()
            return np.clip(metres / best, 0.0, 1.0) if best > PROGRESS_THRESHOLD else np.ones_like(kept)
        best = np.maximum(kept, kept[0])
        return np.where(best > PROGRESS_THRESHOLD, kept / np.maximum(best, 1e-6), np.float32(1.0))

    def _teach(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        scene, length = self.scene, len(self.past) + states.shape[1]
        out = np.empty((len(states), kernels.TAUGHT), dtype=np.float32)
        kernels.teach(
            states, self.past, scene.ego, scene.lanes, scene.line, scene.station, scene.window, self.limit,
            self.gates, self.red, self.teacher.settings.lights == "enter",
            comfort_filters(length, DT, ComfortWindows()), np.float32(LANE_KEEPING_LIMIT),
            LANE_KEEPING_SAMPLES, np.float32(DT), np.empty((4, length), dtype=np.float32),
            np.empty((len(states), 6), dtype=np.uint8), out,
        )  # fmt: skip
        return out


def red_gates(roadmap: RoadMap, on_route: Iterable[int]) -> list[tuple[int, int]]:
    """Pairs (signal, lane): the lanes of the route in a junction that a red signal closes.

    A signal at the end of a lane that leads to a junction closes the lanes behind it.
    """
    allowed = {int(lane) for lane in on_route}
    gates: dict[tuple[int, int], None] = {}
    for lane in allowed:
        signal = int(roadmap.signal[lane])
        if signal < 0:
            continue
        own = bool(roadmap.intersection[lane]) or int(roadmap.kind[lane]) == LaneKind.CONNECTOR
        behind = [lane] if own else roadmap.successors(lane).tolist()
        gates.update({(signal, x): None for x in behind if x in allowed})
    return sorted(gates)


def closed_lanes(
    roadmap: RoadMap, on_route: Iterable[int], signals: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The lanes that a signal closes at any of T samples: rows of their bounds `(G, 2)`, first and last, and
    when `(G, T)`."""
    red = np.ascontiguousarray(signals == SignalState.RED, dtype=np.uint8)
    found = [(s, lane) for s, lane in red_gates(roadmap, on_route) if red[s].any()]
    start = roadmap.lane_start
    rows = [(int(start[lane]), int(start[lane + 1]) - 1) for _, lane in found]
    when = red[[s for s, _ in found]] if found else np.zeros((0, signals.shape[1]), dtype=np.uint8)
    return np.asarray(rows, dtype=np.int64).reshape(-1, 2), np.ascontiguousarray(when)


def _window(line: Floats, station: Floats) -> NDArray[np.int32]:
    """Between which vertices of a line candidates that begin at the origin are looked for."""
    here = station[int(np.argmin((line**2).sum(1)))]
    low, high = np.searchsorted(station, (here - WINDOW[0], here + WINDOW[1]))
    low = min(max(int(low) - 1, 0), len(line) - 2)
    return np.array([low, max(min(int(high), len(line) - 1), low + 1)], dtype=np.int32)


_TERMS = ("area", "collision", "progress", "time_to_collision")

__all__ = [
    "DT", "KNOWN_AFTER", "TEACHER_NAMES", "TEACHER_VERSION", "Course", "Labels", "Lesson", "Others",
    "Teacher", "TeacherSettings", "closed_lanes", "red_gates",
]  # fmt: skip
