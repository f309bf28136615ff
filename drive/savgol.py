"""The filter of Savitzky and Golay (1964): polynomials fitted to windows of evenly spaced samples.

As SciPy's `savgol_filter(mode="interp")` has it: inside, each window's polynomial is evaluated at its middle
(half a sample late where the window is even); at both ends the outermost window's at each sample. Our own,
because to import `scipy.signal` takes longer than to drive a scene.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@lru_cache(maxsize=64)
def _coefficients(window: int, order: int, deriv: int) -> tuple[Floats, Floats, Floats]:
    """Weights of the inner samples `(window,)` and of the first and last `window // 2`, at unit spacing."""
    x = np.arange(window) - 0.5 * (window - 1)
    fit = np.linalg.pinv(np.vander(x, order + 1, increasing=True))
    half = window // 2
    derived = np.zeros((window, order + 1))
    for power in range(deriv, order + 1):
        derived[:, power] = math.perm(power, deriv) * x ** (power - deriv)
    ends = derived @ fit
    return math.factorial(deriv) * fit[deriv], ends[:half], ends[window - half :]


def savgol(values: ArrayLike, window: int, order: int, deriv: int = 0, dt: float = 1.0) -> Floats:
    """Smooth `values (N,)`, or take their derivative of order `deriv` at spacing `dt` seconds.

    A series shorter than the window shrinks it, as in nuPlan's devkit; one that is too short for the order
    lowers the order (the devkit raises). A derivative that the samples cannot give is 0.
    """
    y = np.asarray(values, dtype=np.float64)
    n = len(y)
    window = min(window, n)
    order = min(order, window - 1)
    if n == 0 or order < deriv:
        return np.zeros(n)
    inner, first, last = _coefficients(window, order, deriv)
    half, before = window // 2, (window - 1) // 2
    out = np.empty(n)
    out[:half] = first @ y[:window]
    out[n - half :] = last @ y[n - window :]
    if n > 2 * half:
        out[half : n - half] = np.correlate(y, inner, "valid")[half - before :]
    return out / dt**deriv


def savgol_matrix(length: int, window: int, order: int, deriv: int = 0, dt: float = 1.0) -> Floats:
    """`savgol` of series of `length` samples as a matrix `(length, length)`; the window lies within them and
    holds more samples than the order."""
    inner, first, last = _coefficients(window, order, deriv)
    half, before = window // 2, (window - 1) // 2
    out = np.zeros((length, length))
    out[:half, :window] = first
    out[length - half :, length - window :] = last
    for i in range(half, length - half):
        out[i, i - before : i - before + window] = inner
    return out / dt**deriv


__all__ = ["savgol", "savgol_matrix"]
