"""Samples driven faster, slower, or to a stop: the same path at other speeds.

A few dozen samples do not hold every deceleration that somebody's braking may ask for; along the paths that
were drawn they are cheap to add. Where a path ends it is drawn on along its lane, by pure pursuit; so is one
that has only begun, which leads to the lane from where the ego is, and one that leads to beside the lane's
middle: who stands behind somebody has no other path that leads around.
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
    motion: MotionSettings, states: Tensor, way: Way, caps: Tensor, asides: Tensor,
    paces: tuple[float, ...] = PACES,
) -> Tensor:  # fmt: skip
    """Samples `(B, M, (K + A) * paces, knots, 2)` along the paths of roll-outs `(B, M, K, steps + 1, 7)` and
    so many m `asides (B, M, A)` to the left of the lanes `way` of B * M, at steady accelerations, no faster
    than `caps (B, M)` in m/s."""
    b, m, count, length = states.shape[:4]
    total = count + asides.shape[2]
    base = np.empty((b * m, total, length, states.shape[4]))
    base[:, :count] = states.detach().cpu().numpy().reshape(b * m, *states.shape[2:])
    base[:, count:] = base[:, :1, :1]  # the last ones have only begun
    aside = np.zeros((b * m, total))
    aside[:, count:] = asides.detach().cpu().numpy().reshape(b * m, -1)
    pace, cap = np.asarray(paces, np.float64), caps.detach().double().cpu().numpy().reshape(-1)
    horizon = motion.knots * motion.every * motion.dt
    begun = base[:, 0, 0, 3]
    far = float((np.minimum(begun + horizon * max(pace.max(), 0.0), np.maximum(cap, begun)) * horizon).max())
    onward, bends = drawn_on(np.ascontiguousarray(base[:, :, -1]), way, far, motion.curvature, aside)
    size = len(np.arange(0.0, far + 2.0 * GRID, GRID))
    drawn = np.empty((b * m, total, len(pace), motion.knots, 2))
    paced(
        base, count, aside, onward, bends, pace, cap, motion.every, motion.dt,
        np.array((motion.centre, motion.half, motion.yaw_rate, motion.slowest, motion.curvature)),
        float(VEHICLE.wheelbase), np.empty((3, size)), np.empty((2, length + len(onward))), drawn,
    )  # fmt: skip
    found = torch.from_numpy(drawn.reshape(b, m, -1, motion.knots, 2))
    return found.to(states).clamp(-1.0, 1.0)


__all__ = ["PACES", "variants"]
