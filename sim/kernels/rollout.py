"""Roll candidate trajectories out through the LQR tracker and the lagged bicycle.

Source of the procedure: tuplan_garage, simulation/pdm_simulator.py. Candidates are independent: one
alone gives the same bits as in a batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.lqr import (
    HORIZON,
    fit_profiles,
    lagged_step,
    longitudinal_command,
    lqr_settings,
    speed_factor,
    steering_command,
    wrap_to,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.vehicle import VehicleParams


@scalar
def roll_candidate(poses, b, start, row, factor, settings, speed, curvature, states):
    """Fill `states[b] (T, 7)` by driving the reference `poses[b] (T, >= 3)` from `start[row] (7,)`."""
    count = factor.shape[0]
    fit_profiles(poses, b, factor, settings, speed, curvature)
    x, y, h = start[row, 0], start[row, 1], start[row, 2]
    v, a, d = start[row, 3], start[row, 4], start[row, 5]
    for c in range(7):
        states[b, 0, c] = start[row, c]
    pi, two_pi = settings[15], settings[16]
    for k in range(count):
        target = speed[min(k + HORIZON, count - 1)]
        command = longitudinal_command(v, target, settings)
        rate = settings[0] - settings[0]
        if v > settings[12] or target > settings[12]:
            rx, ry, rh = poses[b, k, 0], poses[b, k, 1], poses[b, k, 2]
            lateral = (y - ry) * math.cos(rh) - (x - rx) * math.sin(rh)
            heading = wrap_to(h - rh, pi, two_pi)
            rate = steering_command(lateral, heading, d, v, command, curvature, k, settings)
        x, y, h, v, a, d, w = lagged_step(x, y, h, v, a, d, command, rate, settings)
        states[b, k + 1, 0], states[b, k + 1, 1], states[b, k + 1, 2] = x, y, h
        states[b, k + 1, 3], states[b, k + 1, 4], states[b, k + 1, 5] = v, a, d
        states[b, k + 1, 6] = w


@kernel
def rollout(poses, start, factor, settings, speed, curvature, states):
    """Roll out a batch.

    `poses (B, T, >= 3)` references sampled every dt, near the origin (float32 has 7 digits);
    `start (1 or B, 7)`; `factor (T - 1, 3)` of `speed_factor`; `settings` of `lqr_settings`; scratch
    `speed (2 (T - 1),)` and `curvature (T - 1,)`; result `states (B, T, 7)`. All of one precision.
    """
    single = start.shape[0] == 1
    for b in range(poses.shape[0]):
        roll_candidate(poses, b, start, 0 if single else b, factor, settings, speed, curvature, states)


def rollout_candidates(
    poses: ArrayLike,
    start: ArrayLike,
    vehicle: VehicleParams,
    dt: float = 0.1,
    compat: str = "reference",
    dtype: Any = np.float32,
) -> NDArray[Any]:
    """Rolled-out states `(B, T, 7)` of references `poses (B, T, >= 3)` from `start (7,)` or `(B, 7)`.

    Positions are moved to the first start before they are rounded to `dtype`, and back afterwards in
    float64; so the result is float64 in the coordinates of the input.
    """
    p = np.asarray(poses, dtype=np.float64)
    s = np.atleast_2d(np.asarray(start, dtype=np.float64)).copy()
    if p.ndim != 3 or p.shape[1] < 3 or p.shape[2] < 3:
        raise InputError(f"candidates must be (B, T >= 3, >= 3), got {p.shape}")
    if s.shape[1] != 7 or len(s) not in (1, len(p)):
        raise InputError(f"start must be (7,) or ({len(p)}, 7), got {s.shape}")
    origin = s[0, :2].copy()
    local = p[..., :3].copy()
    local[..., :2] -= origin
    s[:, :2] -= origin
    count = p.shape[1] - 1
    kind = np.dtype(dtype)
    states = np.empty((len(p), count + 1, 7), dtype=kind)
    rollout(
        np.ascontiguousarray(local, dtype=kind),
        np.ascontiguousarray(s, dtype=kind),
        speed_factor(count, dt, compat, kind.char),
        lqr_settings(vehicle, dt, kind),
        np.empty(2 * count, dtype=kind),
        np.empty(count, dtype=kind),
        states,
    )
    out = states.astype(np.float64)
    out[..., :2] += origin
    return out
