"""history_comfort and two_frame_extended_comfort, with nuPlan's filters and bounds.

Source: navsim `scoring/pdm_comfort_metrics.py` (`ego_is_comfortable`, `ego_is_two_frame_extended_comfort`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.navsim import constants as c
from drive.eval.metrics.nuplan import constants as n
from drive.eval.metrics.nuplan.comfort import within_bounds
from drive.eval.metrics.nuplan.signals import smooth, unwrap
from drive.savgol import savgol
from drive.vehicle import ACCELERATION, HEADING, YAW_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def history_comfort(past: Floats, ego: Floats, rear_axle_to_center: float) -> dict[str, bool]:
    """Which of nuPlan's six bounds hold on `past (P, 7)` and `ego (T, 7)` together.

    Longitudinal acceleration and jerk are those of the box centre, shifted as in the devkit; a bicycle
    reports no lateral acceleration at its rear axle, so that this bound never bites.
    """
    states = np.concatenate((past, ego))
    omega = states[:, YAW_RATE]
    alpha = np.concatenate(([0.0], np.diff(omega) / c.DT))
    a = states[:, ACCELERATION]
    shift = rear_axle_to_center * (omega**2 + alpha)
    return within_bounds(smooth(a + shift, np.zeros(len(a)), np.abs(a), states[:, HEADING], c.DT))


def extended_differences(now: Floats, before: Floats, apart: int = c.APART) -> tuple[float, ...]:
    """Root mean squares of the differences between two drives `(T, 7)`, the second `apart` samples earlier.

    Of acceleration, jerk, yaw rate and yaw acceleration, where the drives overlap.
    """
    one, other = _signals(now[: len(now) - apart]), _signals(before[apart:])
    return tuple(
        float(np.sqrt(np.mean((mine - theirs) ** 2))) for mine, theirs in zip(one, other, strict=True)
    )


def extended_comfort(differences: tuple[float, ...]) -> float:
    """1 where all four differences are within their limits, else 0."""
    limits = (
        c.EXTENDED_ACCELERATION,
        c.EXTENDED_JERK,
        c.EXTENDED_YAW_RATE,
        c.EXTENDED_YAW_ACCELERATION,
    )
    return float(all(value <= limit for value, limit in zip(differences, limits, strict=True)))


def _signals(states: Floats) -> tuple[Floats, ...]:
    acceleration = np.round(savgol(np.abs(states[:, ACCELERATION]), *n.ACCELERATION_FILTER), n.DECIMALS)
    heading = unwrap(states[:, HEADING])
    window = n.YAW_RATE_FILTER[0]
    return (
        acceleration,
        np.round(savgol(acceleration, *n.JERK_FILTER, deriv=1, dt=c.DT), n.DECIMALS),
        np.round(savgol(heading, *n.YAW_RATE_FILTER, deriv=1, dt=c.DT), n.DECIMALS),
        np.round(savgol(heading, window, c.EXTENDED_YAW_ORDER, deriv=2, dt=c.DT), n.DECIMALS),
    )
