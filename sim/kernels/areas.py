"""The drivable areas of many maps in flat arrays, so that each world of a batch can have its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import ZERO, F, in_area
from drive.sim.kernels.score_area import Area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap.drivable import DrivableArea

ROOM_STEP = F(0.25)  # m, how finely the room beside a path is measured


class Areas(NamedTuple):
    """Compiled `drive.roadmap.DrivableArea`s one after the other; `of (W,)` is the one of each world.

    `frame (N, 3)`: corner x0, y0 and cell size in m; `shape (N, 2)` rows and columns; `first (N + 1, 4)`:
    where the cells of each begin in `state`, `start`, `triangles` and `corners`, in which they count on their
    own.
    """

    of: NDArray[np.int32]
    frame: NDArray[np.float32]
    shape: NDArray[np.int32]
    first: NDArray[np.int64]
    state: NDArray[np.uint8]
    start: NDArray[np.int32]
    triangles: NDArray[np.int32]
    corners: NDArray[np.float32]


def join_areas(areas: Sequence[DrivableArea], of: Sequence[int]) -> Areas:
    """Areas whose n-th world has the area number `of[n]`."""
    sizes = [(a.state.size, a.start.size, a.triangles.size, len(a.corners)) for a in areas]
    return Areas(
        np.asarray(of, dtype=np.int32),
        np.array([(a.x0, a.y0, a.cell) for a in areas], dtype=np.float32),
        np.array([a.state.shape for a in areas], dtype=np.int32),
        np.concatenate(([[0] * 4], np.cumsum(sizes, axis=0))).astype(np.int64),
        np.concatenate([a.state.reshape(-1) for a in areas]),
        np.concatenate([a.start for a in areas]),
        np.concatenate([a.triangles for a in areas]),
        np.ascontiguousarray(np.concatenate([a.corners for a in areas])),
    )


@scalar
def area_at(n, areas):
    """Area number `n` as a view."""
    a, b = areas.first[n], areas.first[n + 1]
    return Area(
        areas.frame[n, 0],
        areas.frame[n, 1],
        areas.frame[n, 2],
        areas.state[a[0] : b[0]].reshape((areas.shape[n, 0], areas.shape[n, 1])),
        areas.start[a[1] : b[1]],
        areas.triangles[a[2] : b[2]],
        areas.corners[a[3] : b[3]],
    )


@kernel
def measure_room(points, area, most, out):
    """Fill `out (R, 2)`: how far it is from `points (R, 4)` (x, y, cos, sin) to the edge left and right.

    At most `most`, and zero where the point itself is outside.
    """
    for r in range(points.shape[0]):
        for side in range(2):
            sign = F(1.0) if side == 0 else F(-1.0)
            gap = ZERO
            while gap <= most and in_area(
                points[r, 0] - sign * gap * points[r, 3], points[r, 1] + sign * gap * points[r, 2],
                area.x0, area.y0, area.cell, area.state, area.start, area.triangles, area.corners,
            ):  # fmt: skip
                gap += ROOM_STEP
            out[r, side] = min(max(gap - ROOM_STEP, ZERO), most)
