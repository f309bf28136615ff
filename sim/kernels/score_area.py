"""Where a point is: the drivable area and the lanes, packed for kernels.

Both structures hold float32 positions relative to their own corner, and that corner relative to the
frame in which the points are given; so one compiled map serves frames that move with the ego.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.roadmap.drivable import DrivableArea
from drive.roadmap.index import GridIndex
from drive.roadmap.model import LaneKind
from drive.sim.kernels.compile import scalar
from drive.sim.kernels.scalar import ONE, ZERO, F, in_area

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap

DRIVABLE_LANE, ON_ROUTE, INTERSECTION = 1, 2, 4
"""Bits of a lane's flags."""
LANE_CELL = 4.0
SLACK, TINY = F(0.9999), F(1e-12)


class Area(NamedTuple):
    """A compiled `DrivableArea`; see there. `x0, y0` are relative to the frame of the points."""

    x0: np.float32
    y0: np.float32
    cell: np.float32
    state: NDArray[np.uint8]
    start: NDArray[np.int32]
    triangles: NDArray[np.int32]
    corners: NDArray[np.float32]

    @classmethod
    def of(cls, area: DrivableArea, origin: tuple[float, float] = (0.0, 0.0)) -> Area:
        """The area for points relative to `origin`, a position in the map's coordinates."""
        return cls(
            np.float32(area.x0 - origin[0]),
            np.float32(area.y0 - origin[1]),
            np.float32(area.cell),
            area.state,
            area.start,
            area.triangles,
            area.corners,
        )


class LaneGrid(NamedTuple):
    """Lanes as quadrilaterals between neighbouring rows of their bounds, sorted into grid cells.

    `start (rows * columns + 1,)`, `segments` the rows of the quadrilaterals per cell; `left`, `right
    (P, 2)` relative to (x0, y0); `lane (P,)` the owner of a row; `flags (L,)` bits of the lanes.
    """

    x0: np.float32
    y0: np.float32
    cell: np.float32
    shape: NDArray[np.int32]
    start: NDArray[np.int32]
    segments: NDArray[np.int32]
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    lane: NDArray[np.int32]
    flags: NDArray[np.uint8]

    def moved(self, corner: tuple[float, float], origin: tuple[float, float]) -> LaneGrid:
        """The same lanes for points relative to `origin`; `corner` is the grid's in map coordinates."""
        return self._replace(x0=np.float32(corner[0] - origin[0]), y0=np.float32(corner[1] - origin[1]))


def lane_grid(roadmap: RoadMap, on_route: Iterable[int] = ()) -> tuple[LaneGrid, tuple[float, float]]:
    """The lanes of a map for points in map coordinates, and the grid's corner `(x0, y0)` there."""
    index: GridIndex | None = roadmap.__dict__.get("_lane_cells")
    if index is None:
        index = GridIndex.build(roadmap, LANE_CELL)
        roadmap.__dict__["_lane_cells"] = index
    corner = np.array([index.x0, index.y0])
    flags = np.zeros(roadmap.num_lanes, dtype=np.uint8)
    drivable = np.isin(roadmap.kind, (LaneKind.LANE, LaneKind.CONNECTOR, LaneKind.PARKING))
    flags[drivable] |= DRIVABLE_LANE
    flags[roadmap.intersection & drivable] |= INTERSECTION
    flags[np.asarray(list(on_route), dtype=np.int64)] |= ON_ROUTE
    grid = LaneGrid(
        np.float32(index.x0),
        np.float32(index.y0),
        np.float32(index.cell),
        np.array([index.rows, index.columns], dtype=np.int32),
        index.start,
        index.segments,
        np.ascontiguousarray(roadmap.left - corner, dtype=np.float32),
        np.ascontiguousarray(roadmap.right - corner, dtype=np.float32),
        index.lane_of_row,
        flags,
    )
    return grid, (index.x0, index.y0)


@scalar
def in_quad(px, py, left, right, k):
    """Whether a point lies in the piece of lane between the rows k and k + 1 (edges included)."""
    ax, ay = left[k, 0], left[k, 1]
    bx, by = right[k, 0], right[k, 1]
    cx, cy = right[k + 1, 0], right[k + 1, 1]
    dx, dy = left[k + 1, 0], left[k + 1, 1]
    ab = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
    bc = (cx - bx) * (py - by) - (cy - by) * (px - bx)
    ca = (ax - cx) * (py - cy) - (ay - cy) * (px - cx)
    if ab >= ZERO and bc >= ZERO and ca >= ZERO:
        return True
    cd = (dx - cx) * (py - cy) - (dy - cy) * (px - cx)
    da = (ax - dx) * (py - dy) - (ay - dy) * (px - dx)
    return -ca >= ZERO and cd >= ZERO and da >= ZERO


@scalar
def lane_cell(px, py, lanes):
    """Grid cell of a point relative to the grid's corner; -1 outside."""
    if not (px >= ZERO and py >= ZERO):
        return -1
    column, row = int(px / lanes.cell), int(py / lanes.cell)
    if column >= lanes.shape[1] or row >= lanes.shape[0]:
        return -1
    return row * lanes.shape[1] + column


@scalar
def lane_with(x, y, lanes, wanted, hint):
    """Row of a piece of lane that holds the point and has any of the `wanted` bits, or -1.

    `hint` is tried first, and the piece after it: the last answer for a point just before.
    """
    px, py = x - lanes.x0, y - lanes.y0
    if hint >= 0:
        if in_quad(px, py, lanes.left, lanes.right, hint):
            return hint
        after = hint + 1
        same = after + 1 < lanes.lane.shape[0] and lanes.lane[after + 1] == lanes.lane[hint]
        if same and in_quad(px, py, lanes.left, lanes.right, after):
            return after
    cell = lane_cell(px, py, lanes)
    if cell < 0:
        return -1
    for i in range(lanes.start[cell], lanes.start[cell + 1]):
        k = lanes.segments[i]
        if (lanes.flags[lanes.lane[k]] & wanted) != 0 and in_quad(px, py, lanes.left, lanes.right, k):
            return k
    return -1


@scalar
def in_lane(px, py, lanes, lane):
    """Whether a point relative to the grid's corner lies in one lane."""
    cell = lane_cell(px, py, lanes)
    if cell < 0:
        return False
    for i in range(lanes.start[cell], lanes.start[cell + 1]):
        k = lanes.segments[i]
        if lanes.lane[k] == lane and in_quad(px, py, lanes.left, lanes.right, k):
            return True
    return False


@scalar
def in_multiple_lanes(cx, cy, cos, sin, half_length, half_width, lanes):
    """Whether a box's corners lie in more than one lane and no lane holds all of them."""
    x, y = cx - lanes.x0, cy - lanes.y0
    first, several = -1, False
    for corner in range(4):
        lon = half_length if corner < 2 else -half_length
        lat = half_width if (corner == 0 or corner == 3) else -half_width
        px, py = x + lon * cos - lat * sin, y + lon * sin + lat * cos
        cell = lane_cell(px, py, lanes)
        if cell < 0:
            continue
        for i in range(lanes.start[cell], lanes.start[cell + 1]):
            k = lanes.segments[i]
            lane = lanes.lane[k]
            if (lanes.flags[lane] & DRIVABLE_LANE) == 0 or lane == first:
                continue
            if in_quad(px, py, lanes.left, lanes.right, k):
                if first < 0:
                    first = lane
                else:
                    several = True
    if not several:
        return False
    # A lane that holds all four corners holds the first one.
    fx, fy = x + half_length * cos - half_width * sin, y + half_length * sin + half_width * cos
    cell = lane_cell(fx, fy, lanes)
    if cell < 0:
        return True
    for i in range(lanes.start[cell], lanes.start[cell + 1]):
        k = lanes.segments[i]
        lane = lanes.lane[k]
        if (lanes.flags[lane] & DRIVABLE_LANE) == 0 or not in_quad(fx, fy, lanes.left, lanes.right, k):
            continue
        held = True
        for corner in range(1, 4):
            lon = half_length if corner < 2 else -half_length
            lat = half_width if corner == 3 else -half_width
            px, py = x + lon * cos - lat * sin, y + lon * sin + lat * cos
            if not in_lane(px, py, lanes, lane):
                held = False
        if held:
            return False
    return True


@scalar
def box_in_area(cx, cy, cos, sin, half_length, half_width, area):
    """Whether all four corners of a box lie in the drivable area."""
    for corner in range(4):
        lon = half_length if corner < 2 else -half_length
        lat = half_width if (corner == 0 or corner == 3) else -half_width
        x, y = cx + lon * cos - lat * sin, cy + lon * sin + lat * cos
        if not in_area(
            x, y, area.x0, area.y0, area.cell, area.state, area.start, area.triangles, area.corners
        ):
            return False
    return True


@scalar
def project(line, station, x, y, low, high):
    """Nearest point of the polyline `line[low:high + 1]`: (segment, fraction, signed offset).

    Blocks of eight segments whose middle vertex is too far for any of their points are skipped, so
    the answer is exact. The first of equally near segments wins.
    """
    best = ZERO
    found = False
    k = low
    while k < high:
        end = min(k + 8, high)
        m = (k + end) // 2
        gx, gy = x - line[m, 0], y - line[m, 1]
        gap = gx * gx + gy * gy
        if not found or gap < best:
            best = gap
            found = True
        k = end
    best = math.sqrt(best)
    segment, fraction, offset = low, ZERO, ZERO
    nearest = best * best
    first = True
    k = low
    while k < high:
        end = min(k + 8, high)
        m = (k + end) // 2
        gx, gy = x - line[m, 0], y - line[m, 1]
        reach = max(station[m] - station[k], station[end] - station[m]) + best
        # A little more, so that rounding cannot drop the block that holds the answer.
        if (gx * gx + gy * gy) * SLACK <= reach * reach:
            for i in range(k, end):
                sx, sy = line[i + 1, 0] - line[i, 0], line[i + 1, 1] - line[i, 1]
                rx, ry = x - line[i, 0], y - line[i, 1]
                u = min(max((rx * sx + ry * sy) / max(sx * sx + sy * sy, TINY), ZERO), ONE)
                ox, oy = rx - u * sx, ry - u * sy
                gap = ox * ox + oy * oy
                if first or gap < nearest:
                    first = False
                    nearest, segment, fraction = gap, i, u
                    root = math.sqrt(gap)
                    offset = root if sx * ry - sy * rx >= ZERO else -root
        k = end
    return segment, fraction, offset


def frame_area(
    area: DrivableArea, lanes: LaneGrid, corner: tuple[float, float], origin: Any
) -> tuple[Area, LaneGrid]:
    """Both structures for points relative to the position `origin (2,)`."""
    at = (float(origin[0]), float(origin[1]))
    return Area.of(area, at), lanes.moved(corner, at)
