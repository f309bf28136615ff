"""Builds a `RoadMap` from lanes given one at a time, by outside ids, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import MapError
from drive.geometry import arc_length, polygon_area, polyline_heading
from drive.roadmap.model import AreaKind, LaneKind, Marking, Polygons, RoadMap, derive_point_arrays

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

MIN_LANE_LENGTH = 0.05
MIN_POINT_SPACING = 1e-3


@dataclass
class LaneSpec:
    """One lane as a reader knows it. Ids are the source's; neighbours and successors may be unknown yet.

    Bounds and centre are `(N, 2)`, or `(N, 3)` where the source knows heights; they need not have the
    same number of points. `speed_limit` in m/s; one that is not positive counts as unknown.
    `stop_station` in m along the centreline; without a signal it is that of a give-way line.
    `RoadMapBuilder.add` brings the lines to common rows in place and fills `elevation (N,)`.
    """

    id: str
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    center: NDArray[np.float64] | None = None
    kind: LaneKind = LaneKind.LANE
    speed_limit: float | None = None
    intersection: bool = False
    successors: Iterable[str] = ()
    left_lane: str | None = None
    right_lane: str | None = None
    left_change: bool = True
    right_change: bool = True
    left_opposite: str | None = None
    left_marking: Marking = Marking.DASHED
    right_marking: Marking = Marking.DASHED
    signal: str | None = None
    stop_station: float | None = None
    group: str | None = None
    right_opposite: str | None = None
    elevation: NDArray[np.float64] | None = None


@dataclass
class RoadMapBuilder:
    """Collects lanes and areas; `build` checks them and compiles the flat arrays.

    `origin (2,)` is subtracted from every position.
    """

    origin: tuple[float, float] = (0.0, 0.0)
    lanes: dict[str, LaneSpec] = field(default_factory=dict)
    rings: list[NDArray[np.float64]] = field(default_factory=list)
    ring_kinds: list[int] = field(default_factory=list)
    ring_ids: list[str] = field(default_factory=list)

    def add(self, lane: LaneSpec) -> None:
        """Add a lane; its bounds are brought to the same rows and its driving direction is checked.

        Raises MapError for a duplicate id, fewer than two points, values that are not finite, a lane
        without length, or bounds on the wrong side of the centreline.
        """
        if lane.id in self.lanes:
            raise MapError(f"lane '{lane.id}' is defined twice")
        lines = {"left bound": lane.left, "right bound": lane.right}
        if lane.center is not None:
            lines["centreline"] = lane.center
        left, right, *given = _checked_lines(lane.id, lines, self.origin)
        if not given and len(left) != len(right):
            left, right = _same_rows(left, right)
        center = given[0] if given else 0.5 * (left + right)
        if not (len(center) == len(left) == len(right)):
            n = max(len(center), len(left), len(right))
            center, left, right = (_at_fractions(line, n) for line in (center, left, right))
        keep = _spaced(center, MIN_POINT_SPACING)
        center, left, right = center[keep], left[keep], right[keep]
        if len(center) < 2 or arc_length(center)[-1] < MIN_LANE_LENGTH:
            raise MapError(f"lane '{lane.id}' has no length")
        heading = polyline_heading(center)
        across = left - right
        offset = np.cos(heading) * across[:, 1] - np.sin(heading) * across[:, 0]
        if float(np.median(offset)) < 0.0:
            raise MapError(f"lane '{lane.id}': its left bound lies right of its right one (reversed bounds)")
        if center.shape[1] == 3:
            lane.elevation = center[:, 2]
        lane.left, lane.right, lane.center = left[:, :2], right[:, :2], center[:, :2]
        self.lanes[lane.id] = lane

    def add_area(self, ring: ArrayLike, kind: AreaKind, area_id: str = "") -> None:
        """Add a simple polygon `(N, 2)`; a closing point is dropped, degenerate rings are refused."""
        points = np.asarray(ring, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] < 2:
            raise MapError(f"an area of kind {kind.name.lower()} needs points (N, 2), got {points.shape}")
        points = points[:, :2] - self.origin
        if len(points) > 1 and np.allclose(points[0], points[-1], rtol=0.0, atol=1e-6):
            points = points[:-1]
        if len(points) < 3 or not np.isfinite(points).all() or abs(polygon_area(points)) < 1e-6:
            raise MapError(f"an area of kind {kind.name.lower()} is no polygon")
        self.rings.append(points)
        self.ring_kinds.append(int(kind))
        self.ring_ids.append(area_id)

    def build(self) -> RoadMap:
        """Compile the map; references to lanes that were never added are dropped."""
        if not self.lanes:
            raise MapError("the road map is empty: it has no lane")
        ids = tuple(self.lanes)
        at = {lane_id: i for i, lane_id in enumerate(ids)}
        specs = list(self.lanes.values())
        counts = [len(s.left) for s in specs]
        lane_start = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        centers = [s.center for s in specs if s.center is not None]
        points = np.concatenate(centers)
        heading, station, curvature = derive_point_arrays(points, lane_start)
        edges = [[at[x] for x in dict.fromkeys(s.successors) if x in at] for s in specs]
        reverse: list[list[int]] = [[] for _ in specs]
        for i, row in enumerate(edges):
            for j in row:
                reverse[j].append(i)
        heights = [s.elevation for s in specs if s.elevation is not None]
        signals = tuple(dict.fromkeys(s.signal for s in specs if s.signal is not None))
        signal_at = {signal: k for k, signal in enumerate(signals)}
        group, group_ids = self._groups(specs, at)

        def lane_ref(name: str) -> NDArray[np.int32]:
            near = [at.get(getattr(s, name) or "", -1) for s in specs]
            return np.asarray([-1 if j == i else j for i, j in enumerate(near)], dtype=np.int32)

        def flags(name: str) -> NDArray[np.bool_]:
            return np.asarray([bool(getattr(s, name)) for s in specs])

        def numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
            return np.asarray([np.nan if v is None else float(v) for v in values])

        left_lane, right_lane = lane_ref("left_lane"), lane_ref("right_lane")
        return RoadMap(
            points=points,
            left=np.concatenate([s.left for s in specs]),
            right=np.concatenate([s.right for s in specs]),
            heading=heading,
            station=station,
            curvature=curvature,
            lane_start=lane_start,
            lane_ids=ids,
            kind=np.asarray([s.kind for s in specs], dtype=np.uint8),
            speed_limit=numbers(_limit(s.speed_limit) for s in specs),
            intersection=flags("intersection"),
            group=group,
            left_lane=left_lane,
            right_lane=right_lane,
            left_change=flags("left_change") & (left_lane >= 0),
            right_change=flags("right_change") & (right_lane >= 0),
            left_opposite=lane_ref("left_opposite"),
            left_marking=np.asarray([s.left_marking for s in specs], dtype=np.uint8),
            right_marking=np.asarray([s.right_marking for s in specs], dtype=np.uint8),
            signal=np.asarray(
                [-1 if s.signal is None else signal_at[s.signal] for s in specs], dtype=np.int32
            ),
            stop_station=numbers(s.stop_station for s in specs),
            successor_start=_starts(edges),
            successor=_flat(edges),
            predecessor_start=_starts(reverse),
            predecessor=_flat(reverse),
            group_ids=group_ids,
            signal_ids=signals,
            areas=Polygons.from_rings(self.rings, self.ring_kinds),
            elevation=np.concatenate(heights) if len(heights) == len(specs) else np.zeros(0),
            right_opposite=lane_ref("right_opposite"),
            area_ids=tuple(self.ring_ids) if any(self.ring_ids) else (),
        )

    @staticmethod
    def _groups(specs: list[LaneSpec], at: Mapping[str, int]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Lanes side by side in one direction form a group, unless the source names its own groups."""
        parent = list(range(len(specs)))

        def root(i: int) -> int:
            while parent[i] != i:
                parent[i] = parent[parent[i]]
                i = parent[i]
            return i

        by_name: dict[str, int] = {}
        for i, s in enumerate(specs):
            if s.group is not None:
                parent[root(i)] = root(by_name.setdefault(s.group, i))
                continue
            for near in (s.left_lane, s.right_lane):
                if near is not None and near in at and specs[at[near]].group is None:
                    parent[max(root(i), root(at[near]))] = min(root(i), root(at[near]))
        roots = [root(i) for i in range(len(specs))]
        order = {r: k for k, r in enumerate(dict.fromkeys(roots))}
        names = tuple(specs[r].group or f"g{specs[r].id}" for r in order)
        return np.asarray([order[r] for r in roots], dtype=np.int32), names


def _starts(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.concatenate(([0], np.cumsum([len(r) for r in rows]))).astype(np.int32)


def _flat(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.asarray([j for row in rows for j in row], dtype=np.int32)


def _checked_lines(
    lane_id: str, lines: Mapping[str, ArrayLike], origin: tuple[float, float]
) -> list[NDArray[np.float64]]:
    """The lines relative to the origin, `(N, 3)` where all of them know heights, else `(N, 2)`."""
    out = []
    for name, values in lines.items():
        line = np.asarray(values, dtype=np.float64)
        if line.ndim != 2 or len(line) < 2 or line.shape[1] < 2:
            raise MapError(f"lane '{lane_id}': its {name} needs at least two points")
        if not np.isfinite(line[:, :2]).all():
            raise MapError(f"lane '{lane_id}': its {name} holds values that are not finite")
        out.append(line)
    columns = 3 if all(v.shape[1] > 2 and np.isfinite(v[:, 2]).all() for v in out) else 2
    shift = np.array([*origin, 0.0])[:columns]
    return [line[:, :columns] - shift for line in out]


def _spaced(line: NDArray[np.float64], spacing: float) -> NDArray[np.intp]:
    """Rows of a polyline of which each lies at least `spacing` metres of way after the one before."""
    s = arc_length(line)
    if (np.diff(s) >= spacing).all():
        return np.arange(len(s))
    kept = [0]
    for i in range(1, len(s)):
        if s[i] - s[kept[-1]] >= spacing:
            kept.append(i)
    return np.asarray(kept, dtype=np.intp)


def _limit(value: float | None) -> float | None:
    return value if value is not None and value > 0.0 else None


def _sample(line: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a polyline `(P, D)` at fractions of its length."""
    s = arc_length(line)
    u = s / max(s[-1], 1e-9)
    return np.stack([np.interp(at, u, line[:, k]) for k in range(line.shape[1])], axis=-1)


def _at_fractions(line: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sample a polyline at `count` equal fractions of its length."""
    return _sample(line, np.linspace(0.0, 1.0, count))


def _same_rows(
    left: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring two bounds with different vertex counts to common fractions of their lengths."""
    sl, sr = arc_length(left), arc_length(right)
    at = np.union1d(sl / max(sl[-1], 1e-9), sr / max(sr[-1], 1e-9))
    return _sample(left, at), _sample(right, at)
