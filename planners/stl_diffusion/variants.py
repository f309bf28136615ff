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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.way import Way
    from drive.planners.stl_diffusion.motion import MotionSettings

    Floats = NDArray[np.float64]

PACES = (-6.0, -4.0, -2.5, -1.5, -0.8, 0.0, 0.8, 1.6)
"""m/s^2, kept until the vehicle stands or is as fast as it may be."""
SLOWING = 2.0
"""m/s^2; how a speed above the bound is given up."""
STRIDE, AHEAD = 2.5, (7.0, 15.0)
"""m; how a path is drawn on, towards which point of the lane: a second ahead, within these."""


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
    places, speeds, drawn = [np.zeros_like(speed)], [speed], []
    for _ in range(motion.knots):
        change = np.minimum(window * pace, np.maximum(cap - speed, -window * SLOWING))
        after = np.maximum(speed + change, 0.0)
        # Who stands goes on braking: a speed of 0 is held so.
        asked = np.where((after <= 0.0) & (pace < 0.0), pace, (after - speed) / window)
        drawn.append((asked - motion.centre) / motion.half)
        places.append(places[-1] + 0.5 * window * (speed + after))
        speeds.append(after)
        speed = after
    place, after = np.stack(places[1:], -1), np.stack(speeds[1:], -1)
    farther = float((place[..., -1].max(-1) - gone[..., -1]).max())
    onward, bends = drawn_on(base[..., -1, :].reshape(b * m, count, -1), way, farther, motion.curvature)
    turned = np.empty_like(place)
    for row, lane in enumerate(np.ndindex(b, m)):
        for k in range(count):
            at = np.concatenate((gone[(*lane, k)], gone[(*lane, k, -1)] + onward[1:]))
            bent = np.concatenate((np.tan(base[(*lane, k)][:, 5]) / VEHICLE.wheelbase, bends[row, k, 1:]))
            turned[(*lane, k)] = np.interp(place[(*lane, k)], at, bent)
    turned *= np.maximum(after, motion.slowest) / motion.yaw_rate
    both = np.stack((np.stack(drawn, -1), turned), -1).reshape(b, m, count * len(pace), motion.knots, 2)
    return torch.from_numpy(both).to(states).clamp(-1.0, 1.0)


def drawn_on(states: Floats, way: Way, far: float, most: float) -> tuple[Floats, Floats]:
    """How `states (L, K, 7)` go on along lanes `way` of L: distances `(D,)` from 0 on, and curvatures
    `(L, K, D)`, none above `most`; straight where there is no lane."""
    x, y, heading = (states[..., k].copy() for k in range(3))
    points = way.starts.detach().double().cpu().numpy()
    there = (way.missing == 0.0).cpu().numpy()
    known = there.any(-1)[:, None]
    last = np.where(there, np.arange(there.shape[1]), 0).max(-1)[:, None]
    step = np.median(way.lengths.detach().cpu().numpy()[there]) if there.any() else 1.0
    index = np.round(np.clip(states[..., 3], *AHEAD) / step).astype(np.int64)
    row = np.arange(len(states))[:, None]
    onward = np.arange(0.0, max(far, 0.0) + 2.0 * STRIDE, STRIDE)
    out = np.zeros((*x.shape, len(onward)))
    for k in range(len(onward)):
        square = np.square(points[:, None] - np.stack((x, y), -1)[:, :, None]).sum(-1)
        near = np.where(there[:, None], square, np.inf).argmin(-1)
        goal = points[row, np.minimum(near + index, last)]
        dx, dy = goal[..., 0] - x, goal[..., 1] - y
        aside = dy * np.cos(heading) - dx * np.sin(heading)
        bend = np.where(known, 2.0 * aside / np.maximum(dx * dx + dy * dy, 9.0), 0.0)
        out[..., k] = bend = np.clip(bend, -most, most)
        middle = heading + 0.5 * STRIDE * bend
        x, y, heading = x + STRIDE * np.cos(middle), y + STRIDE * np.sin(middle), heading + STRIDE * bend
    return onward, out


__all__ = ["PACES", "drawn_on", "variants"]
