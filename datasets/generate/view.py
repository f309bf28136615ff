"""What a driver can see: straight lines of sight past buildings and tall vehicles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import box_corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.drivers import Body

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def box_of(states: Floats, body: Body) -> Floats:
    """Corners `(..., 4, 2)` of a road user whose reference point has the states `(..., 7)`."""
    heading = states[..., 2]
    forward = np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    return box_corners(states[..., :2] + body.rear * forward, heading, body.length, body.width)


def sees(eye: Floats, target: Floats, occluders: Sequence[Floats]) -> Bools:
    """Whether something can be seen at each of T samples: its centre or one of its corners is in sight.

    `eye (T, 2)`, `target (T, 4, 2)` corners; each occluder is a ring `(N, 2)` or one a sample `(T, N, 2)`.
    """
    points = np.concatenate((target, target.mean(axis=1, keepdims=True)), axis=1)
    free = np.ones(points.shape[:2], dtype=np.bool_)
    for ring in occluders:
        a = np.broadcast_to(ring, (len(eye), *ring.shape[-2:]))
        b = np.roll(a, -1, axis=1)
        free &= ~_crosses(eye[:, None, None], points[:, :, None], a[:, None], b[:, None]).any(axis=2)
    return np.asarray(free.any(axis=1))


def _crosses(p: Floats, q: Floats, a: Floats, b: Floats) -> Bools:
    """Whether segments p-q and a-b `(..., 2)` cross in their interiors."""

    def side(o: Floats, u: Floats, v: Floats) -> Floats:
        x, y = u - o, v - o
        return np.asarray(x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0])

    apart = side(p, q, a) * side(p, q, b) < 0.0
    return np.asarray(apart & (side(a, b, p) * side(a, b, q) < 0.0))
