"""Trajectory refinement: proposed controls are matched to the two decoders, and four candidates fused.

Source: the Hydra-NeXt repository, closed-loop agent (facts; written anew); Li et al., Hydra-NeXt 2025,
section 3.4. Everything is NumPy, for any leading axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.geometry import unwrap_angle, wrap_angle
from drive.planners.hydra_next.kinematics import BRAKE, STEER, THROTTLE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MATCHED = (4, 9)
"""Rows of a 10 Hz roll-out that are compared: 0.5 s and 1.0 s."""
MAX_THROTTLE = 0.75
TURNING_THROTTLE = 0.5
TURNING_STEER = 0.1
TURNING_SPEED = 1.0
SHORTEST = 2.0
"""m of way within which nobody comes back to another one."""


def densify(controls: ArrayLike, every: int = 5) -> Floats:
    """Controls `(..., 4, 3)` half a second apart as 15 at 10 Hz `(..., 15, 3)`, linear between them."""
    c = np.asarray(controls, dtype=np.float64)
    at = np.arange(every * (c.shape[-2] - 1)) / every
    low = at.astype(np.intp)
    w = (at - low)[:, None]
    return np.asarray((1.0 - w) * c[..., low, :] + w * c[..., low + 1, :])


def match(rolled: ArrayLike, target: ArrayLike) -> NDArray[np.intp]:
    """Which roll-out of `(..., N, 10, >= 2)` is nearest to `target (..., 2, 2)` at 0.5 and 1.0 s: `(...)`.

    The sum of squared distances counts; of equals the first.
    """
    r, t = np.asarray(rolled, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if r.shape[-2] <= MATCHED[1]:
        raise InputError(f"matching needs roll-outs of 1 s, 10 steps, got {r.shape[-2]}")
    apart = r[..., MATCHED, :2] - t[..., None, :, :2]
    return np.asarray(np.argmin(np.square(apart).sum((-2, -1)), axis=-1))


def fuse(candidates: ArrayLike, speed: ArrayLike, votes: int | None = None) -> Floats:
    """One control `(..., 3)` of the candidates `(..., M, 3)`, pedals.

    It brakes if at least half of them do (`votes` otherwise), as hard as those that brake do on average;
    throttle is then 0, else the mean; steering is the mean. Clips: the throttle at 0.75, and at 0.5 while
    turning (|steering| above 0.1) faster than 1 m/s.
    """
    c = np.asarray(candidates, dtype=np.float64)
    brakes = c[..., BRAKE] > 0.0
    count = brakes.sum(-1)
    needed = (c.shape[-2] + 1) // 2 if votes is None else votes
    hard = np.where(count >= needed, c[..., BRAKE].sum(-1) / np.maximum(count, 1), 0.0)
    steer = np.clip(c[..., STEER].mean(-1), -1.0, 1.0)
    turning = (np.abs(steer) > TURNING_STEER) & (np.asarray(speed) > TURNING_SPEED)
    top = np.where(turning, TURNING_THROTTLE, MAX_THROTTLE)
    push = np.where(hard > 0.0, 0.0, np.clip(c[..., THROTTLE].mean(-1), 0.0, top))
    return np.stack((push, steer, np.clip(hard, 0.0, 1.0)), -1)


def joined(first: ArrayLike, rest: ArrayLike, dt: float = 0.1, over: float = 2.0) -> Floats:
    """Poses `(A + C, 3)` every `dt` s: `first (A, 3)`, and then back to `rest (A + C, 3)`, a motion that was
    to be driven from the same start.

    Where `first` ends it lies beside `rest`, turned against it, and ahead of it or behind. The offset aside
    and the turn fade along the way that `rest` takes in `over` s, that along the way in as much time: the way
    has no jump and no kink, and after `over` s it is that of `rest`. Who hardly moves stays beside it.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(rest, dtype=np.float64)
    count, left = len(a), len(b) - len(a)
    if left <= 0:
        return np.array(a[:, :3])
    line = np.concatenate((np.zeros((1, 3)), b[:, :3]))
    way = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))))
    c, s = np.cos(line[count, 2]), np.sin(line[count, 2])
    off = a[-1, :2] - line[count, :2]
    ahead, aside = c * off[0] + s * off[1], c * off[1] - s * off[0]
    turn = float(wrap_angle(a[-1, 2] - line[count, 2]))
    # It goes on as fast as it came, and gets to where the other is by then.
    pace = float(np.hypot(*(a[-1, :2] - (a[-2, :2] if count > 1 else np.zeros(2))))) / dt
    theirs = (way[count + 1] - way[count]) / dt
    t = np.minimum(np.arange(left + 1) * dt / over, 1.0)
    at = np.maximum.accumulate(way[count:] + _fade(t, ahead, (pace - theirs) * over))
    back = float(np.interp(over, dt * np.arange(left + 1), way[count:])) - at[0]
    if back < SHORTEST:
        beside, tilt = np.full(left, aside), np.full(left, turn)
    else:
        u = np.minimum((at[1:] - at[0]) / back, 1.0)
        slope = np.tan(turn) * back
        beside, tilt = _fade(u, aside, slope), np.arctan(_fade_slope(u, aside, slope) / back)
    at = at[1:]
    x, y = (np.interp(at, way, line[:, k]) for k in (0, 1))
    h = np.interp(at, way, unwrap_angle(line[:, 2]))
    beyond = np.maximum(at - way[-1], 0.0)
    moved = np.column_stack(
        (
            x + beyond * np.cos(h) - beside * np.sin(h),
            y + beyond * np.sin(h) + beside * np.cos(h),
            wrap_angle(h + tilt),
        )
    )
    return np.concatenate((a[:, :3], moved))


def _fade(u: Floats, value: float, slope: float) -> Floats:
    """The cubic that begins with a value and a slope at 0, and ends at 1 with neither."""
    return np.asarray((value * (1.0 + 2.0 * u) + slope * u) * np.square(1.0 - u))


def _fade_slope(u: Floats, value: float, slope: float) -> Floats:
    return np.asarray(slope * (1.0 - u) * (1.0 - 3.0 * u) - 6.0 * value * u * (1.0 - u))


__all__ = ["MATCHED", "densify", "fuse", "joined", "match"]
