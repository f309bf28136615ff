"""What of a map is shown to networks and never moves: pieces of lanes and of the road's outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.geometry import arc_length
from drive.roadmap.drivable import DrivableArea
from drive.roadmap.model import LaneKind
from drive.roadmap.raster import expand
from drive.sim.kernels.sensors import Grid

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from drive.nn.scene import SceneSizes
    from drive.roadmap.model import RoadMap

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int32]

CELL = 40.0
MAX_CELLS = 1_000_000
FALLBACK_LIMIT = 13.9
"""m/s on lanes of which no limit is known, nor of their neighbours along the road."""
SHORTEST_RING = 1.0
"""m: shorter rings of the outline are rounding, not edges."""


class Pieces(NamedTuple):
    """N polylines of Q points each, cut from longer ones.

    `points (N, Q, 2)` in m; `circle (N, 3)` centre and radius of each; `source (N,)` the lane or the ring
    that each was cut from; `grid` lists the pieces whose centre lies in a cell.
    """

    points: Floats
    circle: Floats
    source: Ints
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """A map's pieces: `lanes` with `direction (N, Q, 2)` unit vectors, `half_width (N, Q)` in m and `info`
    `(N, 3)`, the limit in m/s, and whether the lane is in an intersection and gives way; `signal (N,)` the
    lane's, -1 none; `edges`, the outline of the drivable area, the road on its left."""

    lanes: Pieces
    direction: Floats
    half_width: Floats
    info: Floats
    signal: Ints
    edges: Pieces

    @classmethod
    def of(cls, roadmap: RoadMap, sizes: SceneSizes) -> Pictured:
        """The pieces of a map, cut once for each way of cutting and kept with the map."""
        key = (sizes.lane_points, sizes.lane_length, sizes.edge_points, sizes.edge_length)
        kept: dict[Any, Pictured] = roadmap.__dict__.setdefault("_pictured", {})
        if key not in kept:
            kept[key] = cls.build(roadmap, sizes)
        return kept[key]

    @classmethod
    def build(cls, roadmap: RoadMap, sizes: SceneSizes) -> Pictured:
        """Lanes for motor vehicles, and the rings of the drivable area, cut into even pieces."""
        drivable = np.flatnonzero(roadmap.kind <= LaneKind.CONNECTOR)
        row, share, owner = cut_lines(
            roadmap.station, roadmap.lane_start, drivable, sizes.lane_length, sizes.lane_points
        )
        heading = np.stack((np.cos(roadmap.heading), np.sin(roadmap.heading)), axis=-1)
        direction = _between(heading, row, share)
        direction /= np.maximum(np.hypot(direction[..., 0], direction[..., 1]), 1e-9)[..., None]
        width = 0.5 * np.hypot(*(roadmap.left - roadmap.right).T)
        limit = np.array(roadmap.speed_limit)
        for lane in np.flatnonzero(~np.isfinite(limit)).tolist():
            limit[lane] = roadmap.limit(lane, FALLBACK_LIMIT)
        gives_way = np.isfinite(roadmap.stop_station) & (roadmap.signal < 0)
        info = np.stack((limit, roadmap.intersection, gives_way), axis=-1).astype(np.float64)
        rings = outline(roadmap)
        start = np.concatenate(([0], np.cumsum([len(r) for r in rings]))).astype(np.int32)
        along = np.concatenate([np.zeros(0), *(arc_length(r) for r in rings)])
        edge_row, edge_share, ring = cut_lines(
            along, start, np.arange(len(rings)), sizes.edge_length, sizes.edge_points
        )
        corners = np.concatenate([np.zeros((0, 2)), *rings])
        return cls(
            _pieces(_between(roadmap.points, row, share), owner),
            direction,
            _between(width, row, share),
            info[owner],
            np.ascontiguousarray(roadmap.signal[owner], dtype=np.int32),
            _pieces(_between(corners, edge_row, edge_share), ring),
        )


def cut_lines(
    station: Floats, start: Ints, lines: NDArray[np.intp], length: float, points: int
) -> tuple[NDArray[np.intp], Floats, Ints]:
    """Even pieces of about `length` m of polylines in compressed rows, `points` places on each.

    `station (P,)` is the arc length on each line, `lines` which of them are cut. Returns rows `(N, points)`
    and shares of the way to the next row `(N, points)` of the places, and the line `(N,)` of each piece.
    """
    first, last = start[:-1].astype(np.intp)[lines], start[1:].astype(np.intp)[lines] - 1
    total = station[last]
    count = np.maximum(np.rint(total / length), 1.0).astype(np.intp)
    owner, k = expand(count)
    # Lines one after the other, a metre apart: one search finds all places.
    begin = np.concatenate(([0.0], np.cumsum(total + 1.0)))
    place, rows = expand(last - first + 1)
    every = station[first[place] + rows] + begin[place]
    at = (k[:, None] + np.linspace(0.0, 1.0, points)) * (total / count)[owner, None]
    offset = np.concatenate(([0], np.cumsum(last - first + 1)))
    found = np.searchsorted(every, at + begin[owner, None], side="right") - 1
    local = np.clip(found - offset[owner, None], 0, (last - first - 1)[owner, None])
    row = first[owner, None] + local
    span = station[row + 1] - station[row]
    share = np.clip((at - station[row]) / np.maximum(span, 1e-12), 0.0, 1.0)
    return row, share, lines[owner].astype(np.int32)


def outline(roadmap: RoadMap) -> list[Floats]:
    """Closed rings `(V, 2)` of the drivable area, the road on their left.

    Where a ring begins, and the order of the rings, does not depend on how the map lies in the plane.
    """
    import shapely

    anchor = roadmap.points[0]
    rings = []
    for part in shapely.get_parts(DrivableArea.of(roadmap).polygon):
        if part.geom_type != "Polygon":
            continue
        for ring, outer in [(part.exterior, True), *((hole, False) for hole in part.interiors)]:
            line = shapely.get_coordinates(ring)
            if shapely.is_ccw(ring) != outer:
                line = line[::-1]
            if ring.length >= SHORTEST_RING:
                rings.append(_begun(line, anchor))
    rings.sort(
        key=lambda r: (round(float(np.hypot(*(r[0] - anchor))), 3), round(float(arc_length(r)[-1]), 3))
    )
    return rings


def _begun(ring: Floats, anchor: Floats) -> Floats:
    """A closed ring that begins at its point nearest to the anchor."""
    a, step = ring[:-1], np.diff(ring, axis=0)
    square = np.maximum((step * step).sum(1), 1e-18)
    u = np.clip(((anchor - a) * step).sum(1) / square, 0.0, 1.0)
    feet = a + u[:, None] * step
    gap = np.hypot(*(feet - anchor).T)
    k = int(np.argmin(np.round(gap, 6)))
    return np.concatenate((feet[k : k + 1], a[k + 1 :], a[: k + 1], feet[k : k + 1]))


def _between(values: Floats, row: NDArray[np.intp], share: Floats) -> Floats:
    """Values `(P, ...)` interpolated at places `(N, Q)`."""
    weight = share if values.ndim == 1 else share[..., None]
    return np.ascontiguousarray(values[row] + weight * (values[row + 1] - values[row]))


def _pieces(points: Floats, source: Ints) -> Pieces:
    if not len(points):
        nobody = np.zeros(0, dtype=np.int32)
        grid = Grid(0.0, 0.0, CELL, 1, 1, 0.0, np.zeros(2, dtype=np.int32), nobody)
        return Pieces(points.reshape(0, points.shape[1], 2), np.zeros((0, 3)), nobody, grid)
    low, high = points.min(1), points.max(1)
    centre = 0.5 * (low + high)
    radius = np.hypot(*np.moveaxis(points - centre[:, None], -1, 0)).max(1)
    (x0, y0), (x1, y1) = centre.min(0).tolist(), centre.max(0).tolist()
    cell = max(
        CELL, float(np.sqrt((x1 - x0) * (y1 - y0) / MAX_CELLS)), 4.0 * max(x1 - x0, y1 - y0) / MAX_CELLS
    )
    columns, rows = int((x1 - x0) / cell) + 1, int((y1 - y0) / cell) + 1
    column, row = ((centre - (x0, y0)) / cell).astype(np.intp).T
    cells = row * columns + column
    start = np.zeros(rows * columns + 1, dtype=np.int32)
    np.cumsum(np.bincount(cells, minlength=rows * columns), out=start[1:])
    order = np.argsort(cells, kind="stable").astype(np.int32)
    grid = Grid(x0, y0, cell, columns, rows, float(radius.max()), start, order)
    return Pieces(points, np.ascontiguousarray(np.column_stack((centre, radius))), source, grid)
