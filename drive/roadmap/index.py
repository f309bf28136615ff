"""Uniform-grid index from a position to the lanes near it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import points_in_polygon, project_to_polyline, wrap_angle
from drive.roadmap.model import LaneKind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.roadmap.model import RoadMap

MAX_CELLS = 1_000_000
MAX_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class GridIndex:
    """Cells of a uniform grid, each with the segments whose lane piece may reach into it.

    `segments` are rows of the map's points (segment k runs from row k to k + 1 of one lane), listed
    per cell in compressed rows by `start (rows * columns + 1,)`.
    """

    roadmap: RoadMap
    x0: float
    y0: float
    cell: float
    columns: int
    rows: int
    start: NDArray[np.int32]
    segments: NDArray[np.int32]
    lane_of_row: NDArray[np.int32]

    @classmethod
    def of(cls, roadmap: RoadMap) -> GridIndex:
        """The index of a map, built once and kept with the map."""
        cached: GridIndex | None = roadmap.__dict__.get("_grid_index")
        if cached is None:
            cached = roadmap.__dict__["_grid_index"] = cls.build(roadmap)
        return cached

    @classmethod
    def build(cls, roadmap: RoadMap, cell: float = 10.0, margin: float = 0.0) -> GridIndex:
        """Index every segment by the bounding box of its piece of lane (both bounds and centreline).

        With a `margin` cells list what lies within so many metres of them as well. Cells grow beyond `cell`
        metres where a huge map or very long segments would take too much memory.
        """
        counts = np.diff(roadmap.lane_start)
        lane_of_row = np.repeat(np.arange(roadmap.num_lanes, dtype=np.int32), counts)
        seg = np.flatnonzero(lane_of_row[:-1] == lane_of_row[1:])
        ends = [line[k] for line in (roadmap.left, roadmap.right, roadmap.points) for k in (seg, seg + 1)]
        low, high = np.minimum.reduce(ends) - margin, np.maximum.reduce(ends) + margin
        (x0, y0), (x1, y1) = low.min(0).tolist(), high.max(0).tolist()
        while True:
            columns, rows = int((x1 - x0) / cell) + 1, int((y1 - y0) / cell) + 1
            (c0, r0), (c1, r1) = (((v - (x0, y0)) / cell).astype(int).T for v in (low, high))
            wide, tall = c1 - c0 + 1, r1 - r0 + 1
            if columns * rows <= MAX_CELLS and int((wide * tall).sum()) <= MAX_ENTRIES + len(seg):
                break
            cell *= 1.5
        owner = np.repeat(np.arange(len(seg)), wide * tall)
        local = np.arange(len(owner)) - np.repeat(np.cumsum(wide * tall) - wide * tall, wide * tall)
        cells = (r0[owner] + local // wide[owner]) * columns + c0[owner] + local % wide[owner]
        order = np.argsort(cells, kind="stable")
        start = np.zeros(rows * columns + 1, dtype=np.int32)
        np.cumsum(np.bincount(cells, minlength=rows * columns), out=start[1:])
        return cls(
            roadmap, x0, y0, cell, columns, rows, start, seg[owner[order]].astype(np.int32), lane_of_row
        )

    def near(self, x: float, y: float, radius: float = 0.0) -> NDArray[np.int32]:
        """Lanes with a piece in the cells that a square of half side `radius` around (x, y) touches."""
        if not (np.isfinite(x) and np.isfinite(y)):
            return np.zeros(0, dtype=np.int32)
        c0 = max(int(np.floor((x - radius - self.x0) / self.cell)), 0)
        c1 = min(int(np.floor((x + radius - self.x0) / self.cell)), self.columns - 1)
        r0 = max(int(np.floor((y - radius - self.y0) / self.cell)), 0)
        r1 = min(int(np.floor((y + radius - self.y0) / self.cell)), self.rows - 1)
        if c0 > c1 or r0 > r1:
            return np.zeros(0, dtype=np.int32)
        found = [
            self.segments[self.start[r * self.columns + c0] : self.start[r * self.columns + c1 + 1]]
            for r in range(r0, r1 + 1)
        ]
        return np.asarray(np.unique(self.lane_of_row[np.concatenate(found)]), dtype=np.int32)

    def lanes_at(self, point: ArrayLike) -> list[int]:
        """Lanes whose polygon contains the point, in index order."""
        p = np.asarray(point, dtype=np.float64)
        return [
            int(lane)
            for lane in self.near(float(p[0]), float(p[1]))
            if points_in_polygon(p, self.roadmap.polygon(int(lane)))
        ]

    def nearest_lane(
        self, point: ArrayLike, heading: float | None = None, radius: float = 25.0
    ) -> tuple[int, float, float] | None:
        """The best lane at a point: `(lane, station, offset)`, or None if none lies within `radius`.

        Only lanes for motor vehicles count. With a heading, a lane that points another way costs as
        much as 5 m of distance per radian beyond 45 degrees, so that crossing lanes lose. Ties go to
        the lane of the smallest index.
        """
        p = np.asarray(point, dtype=np.float64)
        best: tuple[float, int, float, float] | None = None
        seen: set[int] = set()
        for r in (min(2.0, radius), min(8.0, radius), radius):
            for lane in self.near(float(p[0]), float(p[1]), r):
                if self.roadmap.kind[lane] > LaneKind.CONNECTOR or int(lane) in seen:
                    continue
                seen.add(int(lane))
                line = self.roadmap.centerline(int(lane))
                s, d, k = project_to_polyline(p[None], line)
                beyond = max(-s[0], s[0] - self.roadmap.length[lane], 0.0)
                cost = float(np.hypot(d[0], beyond))
                if cost > radius:
                    continue
                if heading is not None:
                    seg = line[k[0] + 1] - line[k[0]]
                    turn = abs(float(wrap_angle(np.arctan2(seg[1], seg[0]) - heading)))
                    cost += 5.0 * max(turn - np.pi / 4.0, 0.0)
                if best is None or (cost, int(lane)) < best[:2]:
                    station = float(np.clip(s[0], 0.0, self.roadmap.length[lane]))
                    best = (cost, int(lane), station, float(d[0]))
            # A lane not met yet is farther away than r, so it costs more than r.
            if best is not None and best[0] <= r:
                break
        return None if best is None else best[1:]
