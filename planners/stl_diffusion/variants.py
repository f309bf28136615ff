"""Samples driven faster, slower, or to a stop: the same path at other speeds.

A few dozen samples do not hold every deceleration that somebody's braking may ask for; along the paths that
were drawn they are cheap to add. Where a path ends it is drawn on along its lane, by pure pursuit; so is one
that has only begun, which leads to the lane from where the ego is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.nn._torch import Tensor, torch
from drive.planners.stl_diffusion.motion import VEHICLE
from drive.planners.stl_diffusion.onward import drawn_on
from drive.planners.stl_diffusion.variants_kernel import GRID, paced

if TYPE_CHECKING:
    from drive.nn.way import Way
    from drive.planners.stl_diffusion.motion import MotionSettings

PACES = (-6.0, -4.0, -2.5, -1.5, -0.8, 0.0, 0.8, 1.6)
"""m/s^2, kept until the vehicle stands or is as fast as it may be."""


def variants(
    motion: MotionSettings, states: Tensor, way: Way, caps: Tensor, paces: tuple[float, ...] = PACES
) -> Tensor:
    """Samples `(B, M, (K + 1) * paces, knots, 2)` along the paths of roll-outs `(B, M, K, steps + 1, 7)` and
    along the lanes `way` of B * M at steady accelerations, no faster than `caps (B, M)` in m/s."""
    b, m, count, length = states.shape[:4]
    base = np.empty((b * m, count + 1, length, states.shape[4]))
    base[:, :count] = states.detach().cpu().numpy().reshape(b * m, *states.shape[2:])
    base[:, count] = base[:, 0, :1]  # the last one has only begun
    pace, cap = np.asarray(paces, np.float64), caps.detach().double().cpu().numpy().reshape(-1)
    horizon = motion.knots * motion.every * motion.dt
    begun = base[:, 0, 0, 3]
    far = float((np.minimum(begun + horizon * max(pace.max(), 0.0), np.maximum(cap, begun)) * horizon).max())
    onward, bends = drawn_on(np.ascontiguousarray(base[:, :, -1]), way, far, motion.curvature)
    size = len(np.arange(0.0, far + 2.0 * GRID, GRID))
    drawn = np.empty((b * m, count + 1, len(pace), motion.knots, 2))
    paced(
        base, onward, bends, pace, cap, motion.every, motion.dt,
        np.array((motion.centre, motion.half, motion.yaw_rate, motion.slowest, motion.curvature)),
        float(VEHICLE.wheelbase), np.empty((3, size)), np.empty((2, length + len(onward) - 1)), drawn,
    )  # fmt: skip
    found = torch.from_numpy(drawn.reshape(b, m, -1, motion.knots, 2))
    return found.to(states).clamp(-1.0, 1.0)


__all__ = ["PACES", "variants"]
