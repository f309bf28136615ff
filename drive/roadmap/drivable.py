"""The drivable area: a compiled 2 m grid for kernels and exact distances for metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.roadmap.model import DRIVABLE_AREAS, LaneKind, RoadMap
from drive.roadmap.raster import expand, fill, spans

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

OUTSIDE, INSIDE, BOUNDARY = 0, 1, 2
DRIVABLE_LANES = (LaneKind.LANE, LaneKind.CONNECTOR, LaneKind.PARKING, LaneKind.SHOULDER)
GAP = 0.02
"""Neighbouring lanes of real maps leave slits of a few millimetres; the union is closed over this width."""
MAX_CELLS = 4_000_000
MARGIN = 0.01
"""Cells this close to the boundary count as cut, so that no rounding in float32 matters elsewhere."""

THINNEST = 1e-4
"""m: thinner triangles are left out, for in float32 all of the plane may lie within the three sides of one;
the kernels' slack at a triangle's sides covers the crack."""


@dataclass(frozen=True, eq=False)
class DrivableArea:
    """Where a vehicle may be: the union of drivable lanes and of `DRIVABLE_AREAS` polygons.

    `state (rows, columns)` says of each cell whether it is outside, inside or cut by the boundary;
    the triangles that meet a cut cell are listed in compressed rows (`start`, `triangles`), and
    `corners (T, 6)` holds their vertices, counter-clockwise. Float32, relative to (x0, y0).
    """

    polygon: Any  # shapely geometry
    x0: float
    y0: float
    cell: float
    state: NDArray[np.uint8]
    start: NDArray[np.int32]
    triangles: NDArray[np.int32]
    corners: NDArray[np.float32]

    @classmethod
    def of(cls, roadmap: RoadMap) -> DrivableArea:
        """The area of a map, compiled once and kept with the map."""
        cached: DrivableArea | None = roadmap.__dict__.get("_drivable_area")
        if cached is None:
            cached = cls.build(drivable_polygon(roadmap))
            roadmap.__dict__["_drivable_area"] = cached
        return cached

    @classmethod
    def build(cls, polygon: Any, cell: float = 2.0) -> DrivableArea:
        """Triangulate a polygon (with holes, or of several parts) and sort the triangles into grid cells.

        The cells of a map larger than `MAX_CELLS` of them are larger than `cell` metres.
        """
        import shapely

        parts = shapely.get_parts(shapely.constrained_delaunay_triangles(polygon))
        tri = shapely.get_coordinates(parts).reshape(-1, 4, 2)[:, :3].copy()
        if len(tri) == 0:
            empty = np.zeros(0, dtype=np.int32)
            state = np.zeros((1, 1), dtype=np.uint8)
            corners = np.zeros((0, 6), dtype=np.float32)
            return cls(polygon, 0.0, 0.0, cell, state, np.zeros(2, dtype=np.int32), empty, corners)
        ab, ac = tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]
        clockwise = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0] < 0.0
        tri[clockwise] = tri[clockwise][:, ::-1]

        x0, y0, x1, y1 = (float(v) for v in polygon.bounds)
        extent = max(x1 - x0, y1 - y0)
        cell = max(cell, 4.0 * extent / MAX_CELLS, float(np.sqrt((x1 - x0) * (y1 - y0) / MAX_CELLS)))
        x0, y0 = x0 - cell, y0 - cell
        columns, rows = int((x1 - x0) / cell) + 2, int((y1 - y0) / cell) + 2
        corner = np.array([x0, y0])
        coordinates, ring = shapely.get_coordinates(
            shapely.get_parts(shapely.boundary(polygon)), return_index=True
        )
        edges = np.stack((coordinates[:-1], coordinates[1:]), axis=1)[ring[:-1] == ring[1:]] - corner
        tri -= corner
        tri = tri[_height(tri.astype(np.float32)) > THINNEST]
        corners = tri.reshape(-1, 6).astype(np.float32)
        state = np.where(fill(edges, cell, rows, columns), INSIDE, OUTSIDE).astype(np.uint8)
        _, row, c0, c1 = spans(edges, cell, MARGIN)
        piece, k = expand(c1 - c0 + 1)
        cut = np.unique(row[piece] * columns + c0[piece] + k)
        state.reshape(-1)[cut] = BOUNDARY

        shape, row, c0, c1 = spans(tri, cell, MARGIN)
        low = np.searchsorted(cut, row * columns + c0)
        piece, k = expand(np.searchsorted(cut, row * columns + c1, side="right") - low)
        cells, owner = cut[low[piece] + k], shape[piece]
        order = np.lexsort((owner, cells))
        start = np.zeros(rows * columns + 1, dtype=np.int32)
        np.cumsum(np.bincount(cells, minlength=rows * columns), out=start[1:])
        return cls(polygon, x0, y0, cell, state, start, owner[order].astype(np.int32), corners)

    @cached_property
    def _boundary(self) -> Any:
        import shapely

        boundary = shapely.boundary(self.polygon)
        shapely.prepare(boundary)
        return boundary

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether `points (..., 2)` lie in the area (its edge included). The reference of the kernel."""
        import shapely

        p = np.asarray(points, dtype=np.float64)
        shapely.prepare(self.polygon)
        return np.asarray(shapely.intersects_xy(self.polygon, p[..., 0], p[..., 1]))

    def distance_outside(self, points: ArrayLike) -> NDArray[np.float64]:
        """Distance in metres of `points (..., 2)` to the area; 0 inside, infinite where there is no area."""
        import shapely

        p = np.asarray(points, dtype=np.float64)
        out = np.zeros(p.shape[:-1])
        off = ~self.contains(p)
        if off.any():
            out[off] = shapely.distance(shapely.points(p[off]), self.polygon)
        return np.where(np.isnan(out), np.inf, out)

    def signed_distance(self, points: ArrayLike) -> NDArray[np.float64]:
        """Distance in metres of `points (..., 2)` to the road's edge: positive inside, negative outside."""
        import shapely

        p = np.asarray(points, dtype=np.float64)
        gap = shapely.distance(shapely.points(p), self._boundary)
        gap = np.where(np.isnan(gap), np.inf, gap)
        return np.where(self.contains(p), gap, -gap)


def _height(triangles: NDArray[np.float32]) -> NDArray[np.float64]:
    """Heights `(N,)` of triangles `(N, 3, 2)` over their longest side, m."""
    side = (np.roll(triangles, -1, axis=1) - triangles).astype(np.float64)
    twice = side[:, 0, 0] * side[:, 1, 1] - side[:, 0, 1] * side[:, 1, 0]
    longest = np.hypot(side[..., 0], side[..., 1]).max(1)
    return np.asarray(np.abs(twice) / np.maximum(longest, 1e-9))


def drivable_polygon(roadmap: RoadMap) -> Any:
    """Union (shapely) of the drivable lanes and areas of a map, slits closed."""
    import shapely

    lanes = np.flatnonzero(np.isin(roadmap.kind, DRIVABLE_LANES))
    rings = [roadmap.polygon(int(i)) for i in lanes] + roadmap.areas.of_kind(*DRIVABLE_AREAS)
    shapes = shapely.make_valid(np.asarray([shapely.Polygon(ring) for ring in rings], dtype=object))
    union = shapely.union_all(shapely.buffer(shapes, GAP, join_style="mitre", mitre_limit=2.0))
    closed = shapely.buffer(union, -GAP, join_style="mitre", mitre_limit=2.0)
    polygons = [g for g in shapely.get_parts(closed) if g.geom_type == "Polygon" and g.area > 1e-6]
    return shapely.union_all(polygons) if polygons else union
