"""Trajectory refinement: proposed controls are matched to the two decoders, and four candidates fused.

Source: the Hydra-NeXt repository, closed-loop agent (facts; written anew); Li et al., Hydra-NeXt 2025,
section 3.4. Everything is NumPy, for any leading axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
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


def joined(first: ArrayLike, rest: ArrayLike) -> Floats:
    """Poses `(A + C, 3)`: `first (A, 3)`, and then `rest` from its row A on, moved to where the first ends.

    `rest (A + C, 3)` is placed so that its pose A - 1 lies on the last of `first`: no jump, no kink.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(rest, dtype=np.float64)
    count = len(a)
    turn = a[-1, 2] - b[count - 1, 2]
    c, s = np.cos(turn), np.sin(turn)
    off = b[count:, :2] - b[count - 1, :2]
    moved = np.column_stack(
        (
            a[-1, 0] + c * off[:, 0] - s * off[:, 1],
            a[-1, 1] + s * off[:, 0] + c * off[:, 1],
            b[count:, 2] + turn,
        )
    )
    return np.concatenate((a[:, :3], moved))


__all__ = ["MATCHED", "densify", "fuse", "joined", "match"]
