"""What recorded drivers want, as far as their recording shows it: how fast, and how hard they brake.

Reactive drivers aim at the limit; a tractor, a loaded truck or the first car of a jam does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.kernels.wish import STRIDE, steady_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLOW = 0.85
"""Who never drives above this share of what the road allows may want to be slow."""
LASTS = 2.0
"""Seconds of steady driving on a free road that a wish is read from."""
SAME = 0.93
"""Share of its fastest speed that such driving must reach: who drives faster elsewhere wants more."""
HARD = 4.0
"""m/s^2: what is harder in a recording is an emergency, or noise."""


def desired_speeds(
    poses: Floats,
    speed: Floats,
    valid: NDArray[np.bool_],
    centers: Floats,
    limit: Floats,
    look: NDArray[np.bool_],
    dt: float,
) -> Floats:
    """Speeds in m/s `(A,)` that drivers want, infinite where the recording shows no wish below the limit.

    `poses (A, T, 3)` are the recorded ways, `centers (A, T, 2)` the boxes' centres, `limit (A,)` the
    limits of the roads in m/s; only who is marked in `look (A,)` is asked.
    """
    out = np.full(len(poses), np.inf)
    ways, boxes = np.ascontiguousarray(poses), np.ascontiguousarray(centers)
    enough = math.ceil(LASTS / (STRIDE * dt) - 1e-9)
    for i in np.flatnonzero(look & valid.any(1)):
        here = np.flatnonzero(valid[i])
        top = float(speed[i, here].max())
        slow = SLOW * float(limit[i])
        if 0.5 < top < slow and steady_alone(
            i, here, ways, speed, valid, boxes, SAME * top, slow, dt, enough
        ):
            out[i] = top
    return out


def hardest_braking(speed: Floats, valid: NDArray[np.bool_], dt: float) -> float:
    """Deceleration in m/s^2 that a recorded driver reaches over half a second, at most `HARD`."""
    v = speed[valid]
    span = max(round(0.5 / dt), 1)
    if len(v) <= span:
        return 0.0
    return float(np.clip((v[:-span] - v[span:]).max() / (span * dt), 0.0, HARD))
