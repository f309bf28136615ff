"""Samples driven faster, slower, or to a stop: the same path at other speeds.

A few dozen samples do not hold every deceleration that somebody's braking may ask for; along the paths that
were drawn they are cheap to add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.nn._torch import Tensor, torch
from drive.planners.stl_diffusion.motion import VEHICLE

if TYPE_CHECKING:
    from drive.planners.stl_diffusion.motion import MotionSettings

PACES = (-6.0, -4.0, -2.5, -1.5, -0.8, 0.0, 0.8, 1.6)
"""m/s^2, kept until the vehicle stands or is as fast as it may be."""
SLOWING = 2.0
"""m/s^2; how a speed above the bound is given up."""


def variants(
    motion: MotionSettings, states: Tensor, caps: Tensor, paces: tuple[float, ...] = PACES
) -> Tensor:
    """Samples `(B, M, K * paces, knots, 2)` along the paths of roll-outs `(B, M, K, steps + 1, 7)` at steady
    accelerations, no faster than `caps (B, M)` in m/s."""
    b, m, count = states.shape[:3]
    base = states.detach().double().cpu().numpy()
    window = motion.every * motion.dt
    way = np.zeros(base.shape[:4])
    way[..., 1:] = np.cumsum(base[..., :-1, 3] * motion.dt, -1)
    pace = np.asarray(paces)
    cap = caps.detach().double().cpu().numpy()[:, :, None, None]
    speed = np.repeat(base[..., 0, 3, None], len(pace), -1)  # (B, M, K, P)
    place = np.zeros_like(speed)
    drawn = np.empty((b, m, count, len(pace), motion.knots, 2))
    for k in range(motion.knots):
        change = np.minimum(window * pace, np.maximum(cap - speed, -window * SLOWING))
        after = np.maximum(speed + change, 0.0)
        place = place + 0.5 * window * (speed + after)
        # Who stands goes on braking: a speed of 0 is held so.
        asked = np.where((after <= 0.0) & (pace < 0.0), pace, (after - speed) / window)
        drawn[..., k, 0] = (asked - motion.centre) / motion.half
        speed = after
        for index in np.ndindex(b, m, count):
            angle = np.interp(place[index], way[index], base[index][:, 5])
            turned = np.tan(angle) / VEHICLE.wheelbase * np.maximum(after[index], motion.slowest)
            drawn[(*index, slice(None), k, 1)] = turned / motion.yaw_rate
    found = torch.from_numpy(drawn.reshape(b, m, count * len(pace), motion.knots, 2))
    return found.to(states).clamp(-1.0, 1.0)


__all__ = ["PACES", "variants"]
