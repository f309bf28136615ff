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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.way import Way
    from drive.planners.stl_diffusion.motion import MotionSettings

    Floats = NDArray[np.float64]

PACES = (-6.0, -4.0, -2.5, -1.5, -0.8, 0.0, 0.8, 1.6)
"""m/s^2, kept until the vehicle stands or is as fast as it may be."""
SLOWING = 2.0
"""m/s^2; how a speed above the bound is given up."""
SIDEWAYS, YAWING = 2.5, 0.9
"""m/s^2, and a share of the greatest yaw rate: how bends are driven by who does not brake anyway."""
RETURN = 0.7
"""Which share of a missed heading is made good from one knot to the next."""
GRID = 0.5
"""m; how finely paths are looked at."""


def variants(
    motion: MotionSettings, states: Tensor, way: Way, caps: Tensor, paces: tuple[float, ...] = PACES
) -> Tensor:
    """Samples `(B, M, (K + 1) * paces, knots, 2)` along the paths of roll-outs `(B, M, K, steps + 1, 7)` and
    along the lanes `way` of B * M at steady accelerations, no faster than `caps (B, M)` in m/s."""
    b, m, count, length = states.shape[:4]
    base = states.detach().double().cpu().numpy()
    base = np.concatenate((base, np.repeat(base[:, :, :1, :1], length, 3)), 2)
    count += 1
    window = motion.every * motion.dt
    gone = np.zeros(base.shape[:4])
    gone[..., 1:] = np.cumsum(base[..., :-1, 3] * motion.dt, -1)
    gone[:, :, -1] = 0.0  # the last one has only begun
    pace = np.asarray(paces)
    cap = caps.detach().double().cpu().numpy()[:, :, None, None]
    speed = np.repeat(base[..., 0, 3, None], len(pace), -1)  # (B, M, K, P)
    horizon = motion.knots * window
    far = float((np.minimum(speed + horizon * max(pace.max(), 0.0), np.maximum(cap, speed)) * horizon).max())
    onward, bends = drawn_on(base[..., -1, :].reshape(b * m, count, -1), way, far, motion.curvature)
    grid = np.arange(0.0, far + 2.0 * GRID, GRID)
    bent = np.empty((b, m, count, len(grid)))
    for row, lane in enumerate(np.ndindex(b, m)):
        for k in range(count):
            at = np.concatenate((gone[(*lane, k)], gone[(*lane, k, -1)] + onward[1:]))
            wheel = np.tan(base[(*lane, k)][:, 5]) / VEHICLE.wheelbase
            bent[(*lane, k)] = np.interp(grid, at, np.concatenate((wheel, bends[row, k, 1:])))
    swift = fastest(bent, YAWING * motion.yaw_rate)
    place, drawn = np.zeros_like(speed), np.empty((*speed.shape, motion.knots, 2))
    # The wheels turn evenly from one knot to the next: what that misses of the path's heading is made good.
    course = np.zeros_like(bent)
    course[..., 1:] = np.cumsum(0.5 * GRID * (bent[..., 1:] + bent[..., :-1]), -1)
    held, missed = np.repeat(bent[..., :1], len(pace), -1), np.zeros_like(speed)
    for k in range(motion.knots):
        goal = np.maximum(speed + np.minimum(window * pace, np.maximum(cap - speed, -window * SLOWING)), 0.0)
        there = place + 0.5 * window * (speed + goal)
        limit = taken(swift, there)
        after = np.where(pace >= 0.0, np.minimum(goal, np.maximum(limit, speed - window * SLOWING)), goal)
        after = np.maximum(after, 0.0)
        way_on = 0.5 * window * (speed + after)
        before, place = place, place + way_on
        half = 0.5 * np.maximum(way_on, 2.0 * GRID)
        mean = (taken(course, place + half) - taken(course, place - half)) / (2.0 * half)
        turn = np.clip(mean + RETURN * missed / (2.0 * half), -motion.curvature, motion.curvature)
        missed = missed + taken(course, place) - taken(course, before) - 0.5 * way_on * (held + turn)
        held = turn
        # Who stands goes on braking: a speed of 0 is held so.
        asked = np.where((after <= 0.0) & (pace < 0.0), pace, (after - speed) / window)
        drawn[..., k, 0] = (asked - motion.centre) / motion.half
        drawn[..., k, 1] = turn * np.maximum(after, motion.slowest) / motion.yaw_rate
        speed = after
    found = torch.from_numpy(drawn.reshape(b, m, count * len(pace), motion.knots, 2))
    return found.to(states).clamp(-1.0, 1.0)


def taken(values: Floats, places: Floats) -> Floats:
    """`values (..., G)` every GRID m as they are at `places (..., P)`, linear in between."""
    at = np.clip(places / GRID, 0.0, values.shape[-1] - 1.001)
    index = at.astype(np.int64)
    share = at - index
    low, high = (np.take_along_axis(values, index + k, -1) for k in (0, 1))
    return (1.0 - share) * low + share * high


def fastest(bent: Floats, yaw_rate: float) -> Floats:
    """How fast paths of curvatures `bent (..., G)` may be driven: with this yaw rate and SIDEWAYS at most,
    slowed down for by SLOWING."""
    bent = np.maximum(np.abs(bent), 1e-3)
    out = np.minimum(yaw_rate / bent, np.sqrt(SIDEWAYS / bent))
    for k in range(out.shape[-1] - 2, -1, -1):
        ahead = np.sqrt(np.square(out[..., k + 1]) + 2.0 * SLOWING * GRID)
        out[..., k] = np.minimum(out[..., k], ahead)
    return out


__all__ = ["PACES", "variants"]
