"""What a throttle does: the acceleration of CARLA's cars, from a fit that others made and published.

World on Rails (Chen, Koltun, Krähenbühl, 2021) fitted the speed after a step of 0.05 s of its Lincoln in
CARLA 0.9.10 by a polynomial of speed k (km/h) and throttle; Hydra-NeXt and others use its coefficients. It
coasts below a throttle of 0.3, which no fit was made for, and curls up beyond the speeds that were driven.
Here it is tabled, made to fall with speed and to rise with throttle, fades out at `FADE` m/s, and is joined
to a coasting deceleration, which is an assumption.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.carla.kernels.move import SPEED_STEP, THROTTLE_STEP

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

FIT = (9.63873001e-1, 4.37535692e-4, -3.80192912e-1, 1.74950069, 9.16787414e-2, -7.05461530e-2)
FIT_SQUARE = (-1.05996152e-3, 6.71079346e-4)
FIT_STEP = 0.05
LEAST_THROTTLE = 0.3
FITTED, FADE = 30.0, 60.0
"""m/s up to which the fit is used, and at which full throttle does no more than coast."""


def fitted(speed: ArrayLike, throttle: ArrayLike) -> Floats:
    """Acceleration in m/s^2 by the published fit at speeds in m/s."""
    k, u = np.asarray(3.6 * np.asarray(speed, dtype=np.float64)), np.asarray(throttle, dtype=np.float64)
    after = FIT[0] * k + FIT[1] * k * k + FIT[2] * u + FIT[3] * u * u + FIT[4] * k * u + FIT[5] * k * u * u
    after = after + FIT_SQUARE[0] * k * k * u + FIT_SQUARE[1] * k * k * u * u
    return np.asarray((after - k) / 3.6 / FIT_STEP)


def coasting(speed: ArrayLike) -> Floats:
    """Acceleration in m/s^2 (negative) of a car that rolls in gear: rolling, engine and air."""
    v = np.asarray(speed, dtype=np.float64)
    return np.asarray(-(0.25 + 0.03 * v + 0.0005 * v * v))


@cache
def throttle_table() -> Floats:
    """Accelerations `(throttles, speeds)` in steps of `THROTTLE_STEP` and `SPEED_STEP` m/s."""
    throttle = np.arange(round(1.0 / THROTTLE_STEP) + 1) * THROTTLE_STEP
    speed = np.arange(round(FADE / SPEED_STEP) + 1) * SPEED_STEP
    low = coasting(speed)
    inside = np.minimum(speed, FITTED)
    table = fitted(inside[None], np.maximum(throttle, LEAST_THROTTLE)[:, None])
    table = np.minimum.accumulate(table, axis=1)
    fade = np.clip((FADE - speed) / (FADE - FITTED), 0.0, 1.0)
    table = low + fade * np.maximum(table - low, 0.0)
    start = table[np.argmax(throttle >= LEAST_THROTTLE - 1e-9)]
    share = np.clip(throttle / LEAST_THROTTLE, 0.0, 1.0)[:, None]
    table = np.where(share < 1.0, low + share * (start - low), table)
    table = np.maximum.accumulate(table, axis=0)
    table.flags.writeable = False
    return table
