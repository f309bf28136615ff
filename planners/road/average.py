"""A moving average, as offsets that are aimed for need it: without their jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def moving_average(values: Floats, half: int) -> Floats:
    """The mean of each of `values (N,)` and the `half` before and after it, the ends held."""
    wide = np.concatenate((np.repeat(values[:1], half), values, np.repeat(values[-1:], half)))
    width = 2 * half + 1
    return np.convolve(wide, np.full(width, 1.0 / width), "valid")
