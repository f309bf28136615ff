"""Between CARLA's frame and ours.

CARLA is left-handed: x forward, y to the right, z up, angles in degrees, yaw clockwise from above, pitch nose
up. Ours is right-handed, y to the left, angles in radians counter-clockwise, pitch nose down. So y, yaw and
pitch change their signs, roll and z do not. (Their `Rotation` is Unreal's; see `matrix`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def to_ours(poses: ArrayLike) -> Floats:
    """CARLA's poses `(..., 6)` x, y, z, pitch, yaw, roll (deg) as ours: x, y, z, roll, pitch, yaw (rad)."""
    p = np.asarray(poses, dtype=np.float64)
    x, y, z, pitch, yaw, roll = np.moveaxis(p, -1, 0)
    turns = (np.radians(roll), -np.radians(pitch), wrap_angle(-np.radians(yaw)))
    return np.stack((x, -y, z, *turns), axis=-1)


def to_carla(poses: ArrayLike) -> Floats:
    """Inverse of `to_ours`: x, y, z, roll, pitch, yaw (rad) as CARLA's x, y, z, pitch, yaw, roll (deg)."""
    p = np.asarray(poses, dtype=np.float64)
    x, y, z, roll, pitch, yaw = np.moveaxis(p, -1, 0)
    turns = (-np.degrees(pitch), -np.degrees(wrap_angle(yaw)), np.degrees(roll))
    return np.stack((x, -y, z, *turns), axis=-1)


def flip(vectors: ArrayLike) -> Floats:
    """Places, velocities or forces `(..., 2 or 3)` from one frame to the other."""
    v = np.array(vectors, dtype=np.float64)
    v[..., 1] = -v[..., 1]
    return v


def flip_rate(rates: ArrayLike) -> Floats:
    """Angular velocities `(..., 3)` about x, y, z from one frame to the other, the unit unchanged."""
    w = np.array(rates, dtype=np.float64)
    w[..., 1:] = -w[..., 1:]
    return w


def matrix(pose: ArrayLike) -> Floats:
    """The matrix `(4, 4)` from the axes of a pose in CARLA's frame to that frame (`Transform.get_matrix`)."""
    x, y, z, *turns = np.asarray(pose, dtype=np.float64)
    p, h, r = np.radians(turns)
    (cp, ch, cr), (sp, sh, sr) = (f(np.array((p, h, r))) for f in (np.cos, np.sin))
    return np.array(
        [
            [cp * ch, ch * sp * sr - sh * cr, -ch * sp * cr - sh * sr, x],
            [cp * sh, sh * sp * sr + ch * cr, -sh * sp * cr + ch * sr, y],
            [sp, -cp * sr, cp * cr, z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def compose(outer: ArrayLike, inner: ArrayLike) -> Floats:
    """The pose `(6,)` in CARLA's frame of something at `inner` relative to `outer`."""
    m = matrix(outer) @ matrix(inner)
    pitch = np.arcsin(np.clip(m[2, 0], -1.0, 1.0))
    yaw, roll = np.arctan2(m[1, 0], m[0, 0]), np.arctan2(-m[2, 1], m[2, 2])
    return np.array((*m[:3, 3], *np.degrees((pitch, yaw, roll))))
