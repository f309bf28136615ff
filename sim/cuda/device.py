"""The GPU: whether there is one, and arrays on it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    T = TypeVar("T", bound=tuple[Any, ...])

DeviceArray = Any
"""An array on the device as Numba has it: `copy_to_host()`, `__cuda_array_interface__`."""


def gpu() -> Any:
    """The module `numba.cuda`, once it is known to reach a GPU.

    Raises MissingExtraError without numba-cuda and InputError without a GPU.
    """
    import numba

    simulated = bool(getattr(numba.config, "ENABLE_CUDASIM", False))
    if find_spec("numba_cuda") is None and not simulated:
        raise MissingExtraError("numba-cuda", "cuda")
    from numba import cuda as module

    cuda: Any = module
    if not cuda.is_available():
        raise InputError("CUDA finds no GPU and driver here; drive.sim has the same primitives on the CPU")
    return cuda


def upload_all(arrays: T) -> T:
    """A named tuple of arrays copied to the device; its scalars stay."""
    cuda = gpu()
    kind: Any = type(arrays)
    moved = (cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in arrays)
    return kind(*moved)  # type: ignore[no-any-return]


def download_all(arrays: T) -> T:
    """The way back of `upload_all`; waits until the device is done."""
    kind: Any = type(arrays)
    return kind(*(a.copy_to_host() for a in arrays))  # type: ignore[no-any-return]


def on_device(values: Any) -> bool:
    """Whether an array lies on a GPU already."""
    return hasattr(values, "__cuda_ndarray__") or hasattr(values, "__cuda_array_interface__")


def borrowed(values: Any, name: str, dtypes: Sequence[Any], shape: Sequence[int | None]) -> DeviceArray:
    """Somebody's array on the device, without copying, once its dtype, shape (None: any) and order fit."""
    array = values if hasattr(values, "__cuda_ndarray__") else gpu().as_cuda_array(values)
    if len(array.shape) != len(shape) or any(
        want not in (None, have) for have, want in zip(array.shape, shape, strict=True)
    ):
        want = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{name} must have the shape ({want}), got {tuple(array.shape)}")
    if array.dtype not in [np.dtype(d) for d in dtypes]:
        raise InputError(f"{name} must be {' or '.join(str(np.dtype(d)) for d in dtypes)}, got {array.dtype}")
    if not array.is_c_contiguous():
        raise InputError(f"{name} must be contiguous in the device's memory")
    return array
