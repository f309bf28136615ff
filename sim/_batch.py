"""What batches of candidates share: checks at the boundary, and threads over the candidates."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.sim.kernels.checks import first_bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def checked(array: Any, name: str, dtype: Any, shape: tuple[int | None, ...]) -> None:
    """Raise InputError unless `array` is of this dtype and shape (None: any length) and in C order."""
    wanted = np.dtype(dtype)
    if (
        type(array) is np.ndarray
        and array.dtype == wanted
        and array.flags.c_contiguous
        and (array.shape == shape or _fits(array.shape, shape))
    ):
        return
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if not _fits(array.shape, shape):
        want = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{name} must have the shape ({want}), got {array.shape}")
    if array.dtype != wanted:
        raise InputError(f"{name} must be {wanted}, got {array.dtype}; .astype('{wanted}') makes it so")
    if not array.flags.c_contiguous:
        raise InputError(f"{name} must be contiguous in memory; np.ascontiguousarray makes it so")


def whole(value: Any, name: str, least: int) -> int:
    """`value` as an int, or InputError unless it is a whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number, at least {least}, got {value!r}")
    return int(value)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(n is None or n == m for n, m in zip(wanted, shape, strict=True))


def writeable(array: NDArray[Any], name: str, *sources: Any) -> None:
    """Raise InputError unless results may be written into `array` without changing what is still read."""
    if not array.flags.writeable:
        raise InputError(f"{name} is read-only; results need an array that can be written to")
    for source in sources:
        if np.may_share_memory(array, source):
            raise InputError(
                f"{name} shares memory with the input, which is still read; give a buffer of its own"
            )


def flattened(
    array: Any, name: str, columns: tuple[int, int], dtype: Any = None
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """A batch `(N, T, F)` or `(S, C, T, F)` as `(N, T, F)`, and its leading shape.

    F must lie in `columns` (least, most); without a `dtype`, float32 and float64 will do.
    """
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} must be a NumPy array, got {type(array).__name__}")
    least, most = columns
    if array.ndim not in (3, 4) or not least <= array.shape[-1] <= most or array.shape[-2] < 1:
        wide = str(least) if least == most else f">= {least}"
        raise InputError(f"{name} must be (N, T, {wide}) or (S, C, T, {wide}), got {array.shape}")
    if dtype is None and array.dtype not in FLOATS:
        raise InputError(f"{name} must be float32 or float64, got {array.dtype}")
    checked(array, name, array.dtype if dtype is None else dtype, array.shape)
    return array.reshape(-1, *array.shape[-2:]), array.shape[:-2]


def finite(array: NDArray[Any], name: str, item: str, limit: float) -> None:
    """Raise InputError for the first item of `array (N, ...)` with a value beyond `limit`, or NaN."""
    if array.size == 0:
        return
    row = int(first_bad(array.reshape(len(array), -1), array.dtype.type(limit)))
    if row < 0:
        return
    place = np.argwhere(~(np.abs(array[row]) < limit))[0]
    value = float(array[(row, *place)])
    where = f"{name} of {item} {row}" + (f" at step {place[0]}" if len(place) > 1 else "")
    if np.isfinite(value):
        raise InputError(
            f"{where}: {value:g} is too far from 0 for float32; give positions relative to an origin nearby"
        )
    raise InputError(f"{where}: column {place[-1]} is {value}, it must be finite")


def scene_rows(scene: Any, lead: tuple[int, ...], count: int, what: str) -> NDArray[np.int64]:
    """For each candidate of a batch of leading shape `lead`, which of `count` scenes it belongs to."""
    if len(lead) == 2:
        if scene is not None:
            raise InputError("scene goes with flat batches (N, ...); here the first axis is the scene")
        if count not in (1, lead[0]):
            raise InputError(f"{what}: got {count} for a batch of {lead[0]} scenes")
        return np.repeat(numbers(lead[0]), lead[1]) if count > 1 else zeros(lead[0] * lead[1])
    if scene is None:
        if count == 1:
            return zeros(lead[0])
        if count != lead[0]:
            raise InputError(f"{what}: got {count} for {lead[0]} candidates; name the scene of each")
        return numbers(count)
    if not isinstance(scene, np.ndarray) or scene.dtype.kind not in "iu" or scene.shape != lead:
        raise InputError(f"scene must be an array of {lead[0]} integers, one for each candidate")
    if len(scene) and not 0 <= int(scene.min()) <= int(scene.max()) < count:
        raise InputError(f"scene must lie in 0 .. {count - 1}, got {scene.min()} .. {scene.max()}")
    return scene.astype(np.int64, order="C", copy=False)


def share(count: int, threads: int, run: Callable[[int, int, int], object]) -> None:
    """Call `run(worker, low, high)` on equal parts of `count` candidates, each in a thread of its own."""
    if threads == 1 or count < 2 * threads:
        run(0, 0, count)
        return
    cuts = [count * k // threads for k in range(threads + 1)]
    pool = _pool(os.getpid(), threads)
    for part in [pool.submit(run, k, cuts[k], cuts[k + 1]) for k in range(threads)]:
        part.result()


@lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Kept, since threads cost more to start than a small batch takes; a fork needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="drive-batch")


# Writeable, though nobody may: kernels would be compiled a second time for arrays that are not.


@lru_cache(maxsize=16)
def numbers(count: int) -> NDArray[np.int64]:
    return np.arange(count)


@lru_cache(maxsize=16)
def zeros(count: int) -> NDArray[np.int64]:
    return np.zeros(count, dtype=np.int64)
