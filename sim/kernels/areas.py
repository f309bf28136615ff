"""The drivable areas of many maps in flat arrays, so that each world of a batch can have its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import ZERO, F, left_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOM_STEP = F(0.25)  # m, how finely the room beside a path is measured


class Areas(NamedTuple):
    """Compiled `drive.roadmap.DrivableArea`s one after the other; `of (W,)` is the one of each world.

    `frame (N, 3)`: corner x0, y0 and cell size in m; `shape (N, 2)` rows and columns; `first (N, 3)`: where
    its cells in `state`, its rows in `start` and its triangles in `corners` begin. `start` and `triangles`
    count within one area.
    """

    of: NDArray[np.int32]
    frame: NDArray[np.float32]
    shape: NDArray[np.int32]
    first: NDArray[np.int64]
    state: NDArray[np.uint8]
    start: NDArray[np.int32]
    lists: NDArray[np.int64]
    triangles: NDArray[np.int32]
    corners: NDArray[np.float32]


@scalar
def in_areas(x, y, n, areas):
    """Whether a point lies in area `n`; as `drive.sim.kernels.scalar.in_area` decides it."""
    px, py = x - areas.frame[n, 0], y - areas.frame[n, 1]
    if not (px >= ZERO and py >= ZERO):
        return False
    c, r = int(px / areas.frame[n, 2]), int(py / areas.frame[n, 2])
    if c >= areas.shape[n, 1] or r >= areas.shape[n, 0]:
        return False
    cell = r * areas.shape[n, 1] + c
    kind = areas.state[areas.first[n, 0] + cell]
    if kind != 2:
        return kind == 1
    row = areas.first[n, 1] + cell
    for k in range(areas.start[row], areas.start[row + 1]):
        i = areas.first[n, 2] + areas.triangles[areas.lists[n] + k]
        ax, ay, bx, by = areas.corners[i, 0], areas.corners[i, 1], areas.corners[i, 2], areas.corners[i, 3]
        cx, cy = areas.corners[i, 4], areas.corners[i, 5]
        if (
            left_of(px, py, ax, ay, bx, by)
            and left_of(px, py, bx, by, cx, cy)
            and left_of(px, py, cx, cy, ax, ay)
        ):
            return True
    return False


@kernel
def measure_room(points, areas, n, most, out):
    """Fill `out (R, 2)`: how far it is from `points (R, 4)` (x, y, cos, sin) to the edge left and right, <= most.

    Zero where the point itself is outside.
    """
    for r in range(points.shape[0]):
        for side in range(2):
            sign = F(1.0) if side == 0 else F(-1.0)
            gap = ZERO
            while gap <= most and in_areas(
                points[r, 0] - sign * gap * points[r, 3], points[r, 1] + sign * gap * points[r, 2], n, areas
            ):
                gap += ROOM_STEP
            out[r, side] = min(max(gap - ROOM_STEP, ZERO), most)
