"""Comfort of rolled-out states: fixed Savitzky-Golay filters and strict bounds.

A Savitzky-Golay filter of a series of known length is a constant matrix; so are filters applied one
after the other. Sources: nuPlan devkit, metrics ego_acceleration, ego_jerk and others (windows 8, 15
and 5); tuplan_garage, scoring/pdm_comfort_metrics.py, which passes the whole length as the window of
the longitudinal acceleration and of the jerk's derivative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.savgol import savgol_matrix
from drive.sim.kernels.compile import scalar
from drive.sim.kernels.scalar import PI, TWO_PI, ZERO, F

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_LON_ACCELERATION, MAX_LON_ACCELERATION = F(-4.05), F(2.40)
MAX_LAT_ACCELERATION, MAX_JERK, MAX_LON_JERK = F(4.89), F(8.37), F(4.13)
MAX_YAW_RATE, MAX_YAW_ACCELERATION = F(0.95), F(1.93)
COMFORT_NAMES = (
    "lon_acceleration",
    "lat_acceleration",
    "jerk",
    "lon_jerk",
    "yaw_acceleration",
    "yaw_rate",
)


@dataclass(frozen=True, slots=True)
class ComfortWindows:
    """Filter windows in samples; 0 stands for the whole series. The defaults are nuPlan's."""

    acceleration: int = 8
    jerk: int = 15
    smoothing: int = 8
    yaw_rate: int = 5
    yaw_acceleration: int = 5


PDM_WINDOWS = ComfortWindows(acceleration=0, jerk=0)
"""What PDM-Closed's scorer in effect uses."""


class ComfortFilters(NamedTuple):
    """Filter matrices `(<= T, T)`, applied as matrix times series, of one length and step.

    Rows that cannot hold an extreme are left out. The yaw filters are `(T, w)` with the first sample
    `(T,)` of each row's window.
    """

    acceleration: NDArray[np.float32]
    jerk: NDArray[np.float32]
    yaw_rate: NDArray[np.float32]
    yaw_rate_first: NDArray[np.int32]
    yaw_acceleration: NDArray[np.float32]
    yaw_acceleration_first: NDArray[np.int32]


def _filter(length: int, window: int, order: int, deriv: int = 0, dt: float = 1.0) -> NDArray[np.float64]:
    """`savgol_matrix` with a window as `ComfortWindows` have it, cut to the series."""
    window = min(window, length) if window > 0 else length
    if order >= window:
        raise InputError(
            f"a comfort filter of order {order} needs a window of more than {order} samples, got {window} of "
            f"{length}; terms without 'comfort' need none"
        )
    return savgol_matrix(length, window, order, deriv, dt)


def _band(matrix: NDArray[np.float64], window: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    length = len(matrix)
    window = min(window, length) if window > 0 else length
    first = np.clip(np.arange(length) - window // 2, 0, length - window)
    rows = np.stack([matrix[i, k : k + window] for i, k in enumerate(first)])
    return np.ascontiguousarray(rows, dtype=np.float32), first.astype(np.int32)


@lru_cache(maxsize=32)
def comfort_filters(length: int, dt: float = 0.1, windows: ComfortWindows = PDM_WINDOWS) -> ComfortFilters:
    """The filters for series of `length` samples every `dt` seconds."""
    smooth = _filter(length, windows.smoothing, 2)
    yaw = _filter(length, windows.yaw_rate, 2, 1, dt)
    turn = _filter(length, windows.yaw_acceleration, 3, 2, dt)
    jerk = _filter(length, windows.jerk, 2, 1, dt)
    if windows.jerk == 0 or windows.jerk >= length:
        # The slope of one parabola is a straight line: its ends are its extremes.
        jerk = jerk[[0, -1]]
    return ComfortFilters(
        np.ascontiguousarray(_filter(length, windows.acceleration, 2), dtype=np.float32),
        np.ascontiguousarray(jerk @ smooth, dtype=np.float32),
        *_band(yaw, windows.yaw_rate),
        *_band(turn, windows.yaw_acceleration),
    )


@scalar
def bounded(matrix, rows, r, low, high):
    """Whether all samples of the filtered series `rows[r]` lie strictly between two bounds."""
    for i in range(matrix.shape[0]):
        value = ZERO
        for k in range(matrix.shape[1]):
            j = np.uintp(k)
            value += matrix[np.uintp(i), j] * rows[np.uintp(r), j]
        if not (low < value < high):
            return False
    return True


@scalar
def band_bounded(matrix, first, rows, r, bound):
    """`bounded` for a banded filter and a symmetric bound."""
    for i in range(matrix.shape[0]):
        value = ZERO
        for k in range(matrix.shape[1]):
            value += matrix[i, k] * rows[r, first[i] + k]
        if not (-bound < value < bound):
            return False
    return True


@scalar
def candidate_comfort(states, b, lateral, filters, rows, comfort):
    """Fill `comfort[b] (6,)` in the order of COMFORT_NAMES; True if all hold. `rows (4, T)` is scratch.

    `lateral` weighs v times the yaw rate as lateral acceleration: 1 is physical, 0 is what nuPlan's
    kinematic bicycle reports at the rear axle and PDM-Closed therefore scores.
    """
    samples = states.shape[1]
    turns = ZERO
    for k in range(samples):
        lon = states[b, k, 4]
        lat = lateral * states[b, k, 3] * states[b, k, 6]
        rows[0, k] = lon
        rows[1, k] = lat
        rows[2, k] = hypot(lon, lat)
        if k > 0:
            step = states[b, k, 2] - states[b, k - 1, 2]
            if step > PI:
                turns = turns - TWO_PI
            elif step < -PI:
                turns = turns + TWO_PI
        rows[3, k] = states[b, k, 2] + turns
    return comfort_of_rows(lateral != ZERO, filters, rows, b, comfort)


@scalar
def comfort_of_rows(lateral, filters, rows, b, comfort):
    """Fill `comfort[b] (6,)` from `rows (4, T)`: longitudinal and lateral acceleration, their size, and the
    unwrapped heading. Without `lateral` the lateral one is 0 and not looked at.
    """
    # Differences of headings are small; without this their common part costs digits.
    base = rows[3, 0]
    for k in range(rows.shape[1]):
        rows[3, k] = rows[3, k] - base
    comfort[b, 0] = bounded(filters.acceleration, rows, 0, MIN_LON_ACCELERATION, MAX_LON_ACCELERATION)
    comfort[b, 1] = not lateral or bounded(
        filters.acceleration, rows, 1, -MAX_LAT_ACCELERATION, MAX_LAT_ACCELERATION
    )
    comfort[b, 2] = bounded(filters.jerk, rows, 2, -MAX_JERK, MAX_JERK)
    comfort[b, 3] = bounded(filters.jerk, rows, 0, -MAX_LON_JERK, MAX_LON_JERK)
    comfort[b, 4] = band_bounded(
        filters.yaw_acceleration, filters.yaw_acceleration_first, rows, 3, MAX_YAW_ACCELERATION
    )
    comfort[b, 5] = band_bounded(filters.yaw_rate, filters.yaw_rate_first, rows, 3, MAX_YAW_RATE)
    good = True
    for k in range(6):
        good = good and comfort[b, k] != 0
    return good
