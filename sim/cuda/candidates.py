"""`rollout` and `score` on a GPU, from and into arrays that stay there."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.sim._batch import FLOATS, finite, flattened
from drive.sim.candidates import REACH, Scores, checked_rules, term_bits
from drive.sim.cuda.device import borrowed, gpu, on_device, upload_all
from drive.sim.kernels.lqr import lqr_settings, speed_factor
from drive.sim.kernels.score import ALL_TERMS, PDM_RULES, SCORE_SIZE, TERMS, Rules, Scratch
from drive.sim.kernels.score_comfort import PDM_WINDOWS, ComfortFilters, ComfortWindows, comfort_filters
from drive.sim.kernels.score_contacts import FORECAST_EXTRA, WORD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drive.sim.cuda.device import DeviceArray
    from drive.sim.cuda.scenes import DeviceScenes
    from drive.vehicle import VehicleParams


class DeviceWork(NamedTuple):
    """Scratch of both primitives for so many threads, on the device."""

    speed: DeviceArray
    curvature: DeviceArray
    score: Scratch

    @classmethod
    def make(cls, candidates: int, samples: int, agents: int = WORD, dtype: Any = np.float32) -> DeviceWork:
        """For batches of up to so many candidates of `samples` states, and up to `agents` others."""
        from drive.sim.kernels.cuda_candidates import MOST_THREADS, THREADS

        cuda = gpu()
        m = min(-(-max(candidates, 1) // THREADS) * THREADS, MOST_THREADS)
        n, words = max(samples - 1, 1), max(-(-agents // WORD), 1)
        room = cuda.device_array
        return cls(
            room((4 * n, m), np.dtype(dtype)),
            room((n, m), np.dtype(dtype)),
            Scratch(
                room((4, samples, m), np.float32),
                room((4, samples, m), np.float32),
                room((samples, m), np.float32),
                room((words, samples, m), np.uint32),
                room((words, m), np.uint32),
            ),
        )


class DeviceScores(NamedTuple):
    """`Scores` on the device."""

    values: DeviceArray
    comfort: DeviceArray

    @classmethod
    def empty(cls, *shape: int) -> DeviceScores:
        """Room for the scores of candidates of a shape `(N,)` or `(S, C)`."""
        room = gpu().device_array
        return cls(room((*shape, SCORE_SIZE), np.float32), room((*shape, 6), np.uint8))

    def to_host(self) -> Scores:
        """A copy in main memory; waits until the device is done."""
        return Scores(self.values.copy_to_host(), self.comfort.copy_to_host())


def rollout(
    vehicle: VehicleParams,
    start: Any,
    poses: Any = None,
    controls: Any = None,
    *,
    scene: Any = None,
    dt: float = 0.1,
    compat: str = "reference",
    out: Any = None,
    work: DeviceWork | None = None,
) -> DeviceArray:
    """`drive.sim.rollout` on the GPU: states `(N, T, 7)` or `(S, C, T, 7)` on the device.

    Arrays may be NumPy's, which are checked as there and copied, or lie on the device, whose values are
    taken as they are. Does not wait until the device is done.
    """
    from drive.sim.kernels.cuda_candidates import controls_kernel, rollout_kernel

    if (poses is None) == (controls is None):
        raise InputError("a roll-out needs either poses or controls")
    if not (np.isfinite(dt) and dt > 0.0):
        raise InputError(f"a roll-out's dt must be positive, got {dt}")
    if poses is not None:
        flat, lead = _batch(poses, "poses", (3, 99), None)
        samples = flat.shape[1]
        if samples < 3:
            raise InputError(f"the tracker needs poses at 3 steps or more, got {samples}")
    else:
        flat, lead = _batch(controls, "controls", (2, 2), None)
        samples = flat.shape[1] + 1
    dtype = flat.dtype
    if isinstance(start, np.ndarray):
        start = start[None] if start.ndim == 1 else start
        begin = _copied(start, "start", dtype, (None, 7), "scene")
    else:
        begin = borrowed(start, "start", (dtype,), (None, 7))
    which, each = _scene_of(scene, lead, len(begin), "start")
    states = _room(out, (*lead, samples, 7), dtype)
    total = states.reshape(-1, samples, 7) if len(lead) == 2 else states
    settings = _settings(vehicle, dt, dtype.char)
    if poses is None:
        _launch(controls_kernel(), flat.shape[0], flat.shape[0])(flat, begin, which, each, settings, total)
    else:
        factor = _factor(samples - 1, dt, compat, dtype.char)
        w = work if work is not None else DeviceWork.make(flat.shape[0], samples, WORD, dtype)
        if w.speed.shape[0] != 4 * (samples - 1) or w.speed.dtype != dtype:
            raise InputError(f"work was not made for {samples} samples of {dtype}")
        _launch(rollout_kernel(), flat.shape[0], w.speed.shape[1])(
            flat, begin, which, each, factor, settings, w.speed, w.curvature, total
        )
    return states


def score(
    states: Any,
    scenes: DeviceScenes,
    *,
    scene: Any = None,
    rules: Rules = PDM_RULES,
    windows: ComfortWindows = PDM_WINDOWS,
    terms: Iterable[str] | None = None,
    out: DeviceScores | None = None,
    work: DeviceWork | None = None,
) -> DeviceScores:
    """`drive.sim.score` on the GPU, against scenes of `upload_scenes`.

    `states` may be NumPy's, which are checked as there and copied, or lie on the device, whose values are
    taken as they are. Does not wait until the device is done.
    """
    from drive.sim.kernels.cuda_candidates import score_kernel

    flat, lead = _batch(states, "states", (7, 7), np.float32)
    which, each = _scene_of(scene, lead, scenes.count, "scenes")
    samples = flat.shape[1]
    if scenes.steps < samples + FORECAST_EXTRA:
        raise InputError(
            f"agents must be known for {samples + FORECAST_EXTRA} steps, {FORECAST_EXTRA} more than the "
            f"candidates, got {scenes.steps}"
        )
    asked = ALL_TERMS if terms is None else term_bits(terms)
    rules = checked_rules(rules)
    scores = out if out is not None else DeviceScores.empty(*lead)
    values = borrowed(scores.values, "out.values", (np.float32,), (*lead, SCORE_SIZE))
    comfort = borrowed(scores.comfort, "out.comfort", (np.uint8,), (*lead, 6))
    if len(lead) == 2:
        values, comfort = values.reshape(-1, SCORE_SIZE), comfort.reshape(-1, 6)
    length = samples if asked & TERMS["comfort"] else max(samples, 5)
    filters = _filters(length, round(float(rules.dt), 6), windows)
    scratch = (work if work is not None else DeviceWork.make(flat.shape[0], samples, scenes.agents)).score
    held = scratch.near.shape[0] * WORD
    if scratch.places.shape[1] != samples or held != scenes.agents:
        raise InputError(
            f"work was made for {scratch.places.shape[1]} samples and {held} agents, the scenes need "
            f"{samples} and {scenes.agents}"
        )
    kernel = score_kernel(bool(asked & TERMS["progress"]))
    _launch(kernel, flat.shape[0], scratch.places.shape[2])(
        flat, which, each, scenes.arrays, filters, rules, asked, scratch, comfort, values
    )
    return scores


def _launch(kernel: Any, candidates: int, most: int) -> Any:
    """The kernel with as many threads as there are candidates, or as there is scratch for."""
    from drive.sim.kernels.cuda_candidates import THREADS

    blocks = -(-min(candidates, most) // THREADS)
    return kernel[blocks, THREADS] if candidates else _idle


def _idle(*_: Any) -> None:
    """No candidates: nothing to launch."""


def _batch(
    values: Any, name: str, columns: tuple[int, int], dtype: Any
) -> tuple[DeviceArray, tuple[int, ...]]:
    """`_batch.flattened`, on the device."""
    if not on_device(values):
        flat, lead = flattened(values, name, columns, dtype)
        finite(flat, name, "candidate", REACH if flat.dtype == np.float32 else np.inf)
        return gpu().to_device(flat), lead
    array = borrowed(values, name, FLOATS if dtype is None else (dtype,), [None] * len(values.shape))
    shape = tuple(array.shape)
    if len(shape) not in (3, 4) or not columns[0] <= shape[-1] <= columns[1] or shape[-2] < 1:
        raise InputError(f"{name} must be (N, T, F) or (S, C, T, F), F from {columns[0]}, got {shape}")
    return (array.reshape(-1, *shape[-2:]) if len(shape) == 4 else array), shape[:-2]


def _copied(values: Any, name: str, dtype: Any, shape: tuple[int | None, ...], item: str) -> DeviceArray:
    from drive.sim._batch import checked

    checked(values, name, dtype, shape)
    finite(values, name, item, REACH if dtype == np.float32 else np.inf)
    return gpu().to_device(values)


def _room(out: Any, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
    return gpu().device_array(shape, dtype) if out is None else borrowed(out, "out", (dtype,), shape)


def _scene_of(scene: Any, lead: tuple[int, ...], count: int, what: str) -> tuple[DeviceArray, int]:
    """The scene of each candidate, or how many in a row share one (then the array is not read)."""
    from drive.sim._batch import scene_rows

    if scene is not None and on_device(scene):
        return borrowed(scene, "scene", (np.int64, np.int32), lead), 0
    rows = scene_rows(scene, lead, count, what)
    if scene is not None:
        return gpu().to_device(rows), 0
    total = int(np.prod(lead))
    if count == 1:
        return _nobody(), max(total, 1)
    return _nobody(), lead[1] if len(lead) == 2 else 1


@lru_cache(maxsize=1)
def _nobody() -> DeviceArray:
    return gpu().to_device(np.zeros(1, dtype=np.int64))


@lru_cache(maxsize=64)
def _settings(vehicle: VehicleParams, dt: float, dtype: str) -> DeviceArray:
    return gpu().to_device(lqr_settings(vehicle, dt, dtype))


@lru_cache(maxsize=64)
def _factor(count: int, dt: float, compat: str, dtype: str) -> DeviceArray:
    return gpu().to_device(speed_factor(count, dt, compat, dtype))


@lru_cache(maxsize=32)
def _filters(length: int, dt: float, windows: ComfortWindows) -> ComfortFilters:
    return upload_all(comfort_filters(length, dt, windows))
