"""Batches of candidate motions: `rollout` drives them, `score` judges them.

Both take a flat batch of N candidates, with the scene of each where there are several, or a batch of S
scenes by C candidates. Input is checked here, once: shapes, dtypes, memory order, finite values. Nothing
is converted or copied silently. Buffers given (`out`, `work`) are written over, so that a loop allocates
nothing; the bits of the results depend neither on the number of threads nor on the rest of the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.sim._batch import checked, finite, flattened, numbers, scene_rows, share, writeable
from drive.sim.kernels import rollout as kernels
from drive.sim.kernels.lqr import lqr_settings, speed_factor
from drive.sim.kernels.score import (
    ALL_TERMS,
    PDM_RULES,
    SCORE_NAMES,
    SCORE_SIZE,
    TERMS,
    Agents,
    Rules,
    Scratch,
    pdm_score,
)
from drive.sim.kernels.score import score as score_kernel
from drive.sim.kernels.score_comfort import PDM_WINDOWS, ComfortWindows, comfort_filters
from drive.sim.kernels.score_contacts import WORD
from drive.sim.score_scene import ScoreScene

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from drive.vehicle import VehicleParams

REACH = 1e5
"""Metres from the origin beyond which float32 is too coarse for a vehicle."""


class Work(NamedTuple):
    """Scratch buffers of both primitives, one set a thread."""

    speed: NDArray[Any]
    curvature: NDArray[Any]
    score: tuple[Scratch, ...]

    @classmethod
    def make(cls, samples: int, agents: int = WORD, threads: int = 1, dtype: Any = np.float32) -> Work:
        """For candidates of `samples` states, up to `agents` others, and so many threads."""
        speed, curvature = (
            np.empty((_count(threads), max(samples - 1, 1) * n), dtype=np.dtype(dtype)) for n in (4, 1)
        )
        return cls(speed, curvature, tuple(Scratch.make(samples, agents) for _ in range(threads)))


class Scores(NamedTuple):
    """`values (..., SCORE_SIZE)` float32 in the order of SCORE_NAMES, NaN for terms not asked for, and
    `comfort (..., 6)` uint8 in the order of COMFORT_NAMES."""

    values: NDArray[np.float32]
    comfort: NDArray[np.uint8]

    @classmethod
    def empty(cls, *shape: int) -> Scores:
        """Room for the scores of candidates of a shape `(N,)` or `(S, C)`."""
        return cls(np.empty((*shape, SCORE_SIZE), np.float32), np.empty((*shape, 6), np.uint8))

    def column(self, name: str) -> NDArray[np.float32]:
        """One of SCORE_NAMES, `(...)`."""
        if name not in SCORE_NAMES:
            raise UnknownNameError("score", name, SCORE_NAMES)
        return np.asarray(self.values[..., SCORE_NAMES.index(name)])


def rollout(
    vehicle: VehicleParams,
    start: NDArray[Any],
    poses: NDArray[Any] | None = None,
    controls: NDArray[Any] | None = None,
    *,
    scene: NDArray[Any] | None = None,
    dt: float = 0.1,
    compat: str = "reference",
    out: NDArray[Any] | None = None,
    work: Work | None = None,
    threads: int = 1,
) -> NDArray[Any]:
    """Rear-axle states `(N, T, 7)` or `(S, C, T, 7)` of candidates driven for T - 1 steps of `dt` s.

    Either `poses (..., T, >= 3)`, tracked by the LQR with the lagged bicycle (`compat` as in
    `LQRTracker`), or `controls (..., T - 1, 2)`, acceleration in m/s^2 and steering rate in rad/s applied
    to the kinematic bicycle without lags; only the steering angle is clipped. `start (7,)`, `(S, 7)`, or
    `(N, 7)`; `scene (N,)` integers name the start of each candidate. All arrays are float32, with
    positions near the origin, or all float64.

    Raises InputError, with the candidate's number where it is about one.
    """
    if (poses is None) == (controls is None):
        raise InputError("a roll-out needs either poses or controls")
    if not (np.isfinite(dt) and dt > 0.0):
        raise InputError(f"a roll-out's dt must be positive, got {dt}")
    if poses is not None:
        flat, lead = flattened(poses, "poses", (3, 99))
        samples = flat.shape[1]
        if samples < 3:
            raise InputError(f"the tracker needs poses at 3 steps or more, got {samples}")
    else:
        flat, lead = flattened(controls, "controls", (2, 2))
        samples = flat.shape[1] + 1
    begin = start[None] if isinstance(start, np.ndarray) and start.ndim == 1 else start
    checked(begin, "start", flat.dtype, (None, 7))
    rows = scene_rows(scene, lead, len(begin), "start")
    limit = REACH if flat.dtype == np.float32 else np.inf
    finite(flat, "controls" if poses is None else "poses", "candidate", limit)
    finite(begin, "start", "scene", limit)
    if out is None:
        out = np.empty((*lead, samples, 7), dtype=flat.dtype)
    else:
        checked(out, "out", flat.dtype, (*lead, samples, 7))
        writeable(out, "out", flat, begin)
    states, n = out.reshape(-1, samples, 7), samples - 1
    settings = lqr_settings(vehicle, dt, flat.dtype)
    if poses is None:

        def run(worker: int, low: int, high: int) -> None:
            kernels.rollout_controls(flat, begin, rows, low, high, settings, states)
    else:
        factor = speed_factor(n, dt, compat, flat.dtype.char)
        buffers = _buffers(work, samples, 0, threads, flat.dtype)

        def run(worker: int, low: int, high: int) -> None:
            speed, curvature = buffers.speed[worker, : 4 * n], buffers.curvature[worker, :n]
            kernels.rollout(flat, begin, rows, low, high, factor, settings, speed, curvature, states)

    share(len(flat), _count(threads), run)
    return out


def score(
    states: NDArray[np.float32],
    scenes: ScoreScene | Sequence[ScoreScene],
    *,
    scene: NDArray[Any] | None = None,
    rules: Rules = PDM_RULES,
    windows: ComfortWindows = PDM_WINDOWS,
    terms: Iterable[str] | None = None,
    out: Scores | None = None,
    work: Work | None = None,
    threads: int = 1,
) -> Scores:
    """Scores of rolled-out `states (N, T, 7)` or `(S, C, T, 7)`, float32, every `rules.dt` s.

    `scenes` is what they are scored against: one for all, or one for each scene, to which `scene (N,)`
    points. `terms` of TERMS leave work out: the other columns are NaN. A total: `pdm_score`.

    Raises InputError, with the candidate's number where it is about one.
    """
    flat, lead = flattened(states, "states", (7, 7), np.float32)
    several = (scenes,) if isinstance(scenes, ScoreScene) else tuple(scenes)
    rows = scene_rows(scene, lead, len(several), "scenes")
    finite(flat, "states", "candidate", REACH)
    samples = flat.shape[1]
    most = max((one.padded(samples, k) for k, one in enumerate(several)), default=0)
    asked = ALL_TERMS if terms is None else term_bits(terms)
    rules = checked_rules(rules)
    scores = out if out is not None else Scores.empty(*lead)
    if out is not None:
        checked(out.values, "out.values", np.float32, (*lead, SCORE_SIZE))
        checked(out.comfort, "out.comfort", np.uint8, (*lead, 6))
        writeable(out.values, "out.values", flat)
        writeable(out.comfort, "out.comfort")
    values, comfort = scores.values.reshape(-1, SCORE_SIZE), scores.comfort.reshape(-1, 6)
    # Filters that nobody reads need not fit.
    length = samples if asked & TERMS["comfort"] else max(samples, 5)
    filters = comfort_filters(length, round(float(rules.dt), 6), windows)
    buffers = _buffers(work, samples, most, threads, np.float32).score
    if len(several) == 1:
        order, bounds = numbers(len(flat)), [0, len(flat)]
    else:
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], np.arange(len(several) + 1)).tolist()

    def run(worker: int, low: int, high: int) -> None:
        for number, s in enumerate(several):
            which = order[max(bounds[number], low) : min(bounds[number + 1], high)]
            if len(which):
                score_kernel(
                    flat, which, s.ego, s.agents, s.area, s.lanes, s.line, s.station, s.shift, s.window,
                    filters, rules, asked, buffers[worker], comfort, values,
                )  # fmt: skip

    share(len(flat), _count(threads), run)
    return scores


def _count(threads: int) -> int:
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    return threads


def checked_rules(rules: Rules) -> Rules:
    """The rules in the kernel's types: it would be compiled again for others. InputError without a dt."""
    if not (np.isfinite(rules.dt) and rules.dt > 0.0):
        raise InputError(f"the rules' dt must be positive, got {rules.dt}")
    return Rules(
        int(rules.direction_window), int(rules.ttc_last), int(rules.allowed), np.float32(rules.lateral),
        np.float32(rules.dt),
    )  # fmt: skip


def term_bits(terms: Iterable[str]) -> int:
    names = {terms} if isinstance(terms, str) else set(terms)
    for name in names - set(TERMS):
        raise UnknownNameError("score term", name, TERMS)
    return sum(TERMS[name] for name in names)


def _buffers(work: Work | None, samples: int, agents: int, threads: int, dtype: Any) -> Work:
    """The buffers given, if they are large enough, or new ones."""
    if work is None:
        return Work.make(samples, agents, _count(threads), dtype)
    held, scratch = len(work.score), work.score[0]
    if held < threads or scratch.places.shape[1] != samples or len(scratch.ignored) * WORD < agents:
        raise InputError(
            f"work was made for {scratch.places.shape[1]} samples, {len(scratch.ignored) * WORD} agents and "
            f"{held} threads; Work.make({samples}, {agents}, {threads}) makes what is needed"
        )
    if work.speed.dtype != dtype:
        raise InputError(f"work was made for {work.speed.dtype}, the candidates are {np.dtype(dtype)}")
    return work


__all__ = [
    "PDM_RULES",
    "SCORE_NAMES",
    "TERMS",
    "Agents",
    "ComfortWindows",
    "Rules",
    "ScoreScene",
    "Scores",
    "Work",
    "pdm_score",
    "rollout",
    "score",
]
