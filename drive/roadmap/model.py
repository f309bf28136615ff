"""The road map: lanes as flat arrays in compressed rows, which every kernel reads without a copy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MapError
from drive.geometry import arc_length, polyline_curvature, polyline_heading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int32]
    Bools = NDArray[np.bool_]


class LaneKind(IntEnum):
    """What a lane is for. `CONNECTOR` is a lane through a junction (nuPlan's lane connector)."""

    LANE = 0
    CONNECTOR = 1
    BICYCLE = 2
    SIDEWALK = 3
    PARKING = 4
    SHOULDER = 5

    @property
    def drivable(self) -> bool:
        """Whether motor vehicles may drive on it (parking and shoulder are drivable ground, not lanes)."""
        return self in (LaneKind.LANE, LaneKind.CONNECTOR)


class Marking(IntEnum):
    """Painted line at a lane's side, as the viewer draws it."""

    NONE = 0
    DASHED = 1
    SOLID = 2
    CURB = 3
    DOUBLE_SOLID = 4


class AreaKind(IntEnum):
    """What a polygon of `RoadMap.areas` is; `ROAD`, `INTERSECTION`, `PARKING`, `GENERIC` are drivable."""

    ROAD = 0
    INTERSECTION = 1
    PARKING = 2
    GENERIC = 3
    CROSSWALK = 4
    WALKWAY = 5
    OCCLUDER = 6
    STOP = 7


DRIVABLE_AREAS = (AreaKind.ROAD, AreaKind.INTERSECTION, AreaKind.PARKING, AreaKind.GENERIC)


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """Simple polygons in compressed rows: polygon i is `points[start[i]:start[i + 1]]`, open rings.

    `points (P, 2)` metres, `start (N + 1,)`, `kind (N,)` values of `AreaKind`.
    """

    points: Floats
    start: Ints
    kind: NDArray[np.uint8]

    def __post_init__(self) -> None:
        whole = len(self.start) > 0 and self.start[0] == 0 and self.start[-1] == len(self.points)
        if not whole or len(self.kind) != len(self.start) - 1 or (np.diff(self.start) < 3).any():
            raise MapError("polygons need three points or more each, and a start and a kind for each")
        if not np.isfinite(self.points).all():
            raise MapError("polygons must be finite")

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, index: int) -> Floats:
        return self.points[self.start[index] : self.start[index + 1]]

    def of_kind(self, *kinds: AreaKind) -> list[Floats]:
        return [self[i] for i in range(len(self)) if self.kind[i] in kinds]

    @classmethod
    def from_rings(cls, rings: Sequence[Floats], kinds: Sequence[int]) -> Polygons:
        start = np.concatenate(([0], np.cumsum([len(r) for r in rings]))).astype(np.int32)
        points = [np.zeros((0, 2)), *(np.asarray(r, dtype=np.float64)[:, :2] for r in rings)]
        return cls(np.concatenate(points), start, np.asarray(kinds, dtype=np.uint8))


@dataclass(frozen=True, eq=False)
class RoadMap:
    """Lanes, their graph, signals and areas; positions in metres relative to the scenario's origin.

    Lane i owns the rows `lane_start[i]:lane_start[i + 1]` of the per-point arrays. Its centreline runs
    in driving direction; `left` and `right` are its bounds, sampled at the same rows, so that its
    polygon is `left` followed by `right` reversed. Build one with `RoadMapBuilder`.
    """

    # Per point (P rows).
    points: Floats  # (P, 2)
    left: Floats  # (P, 2)
    right: Floats  # (P, 2)
    heading: Floats  # (P,)
    station: Floats  # (P,) arc length from the lane's start
    curvature: Floats  # (P,)
    # Per lane (L rows).
    lane_start: Ints  # (L + 1,)
    lane_ids: tuple[str, ...]
    kind: NDArray[np.uint8]  # LaneKind
    speed_limit: Floats  # (L,) m/s, NaN where none is known
    intersection: Bools  # (L,)
    group: Ints  # (L,) lanes side by side in one direction (nuPlan's roadblock)
    left_lane: Ints  # (L,) neighbour in the same direction, -1 none
    right_lane: Ints
    left_change: Bools  # (L,) whether the change is permitted
    right_change: Bools
    left_opposite: Ints  # (L,) oncoming neighbour, -1 none
    left_marking: NDArray[np.uint8]  # Marking
    right_marking: NDArray[np.uint8]
    signal: Ints  # (L,) the signal that must not be red to enter beyond the stop line, -1 none
    # (L,) stop line's station on the lane (negative: before its start), NaN none; a stop line without a
    # signal is a give-way line.
    stop_station: Floats
    # Lane graph in compressed rows.
    successor_start: Ints  # (L + 1,)
    successor: Ints
    predecessor_start: Ints
    predecessor: Ints
    # Everything else.
    group_ids: tuple[str, ...]
    signal_ids: tuple[str, ...]
    areas: Polygons
    elevation: Floats = field(default_factory=lambda: np.zeros(0))  # (P,) or empty where flat
    right_opposite: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int32))  # (L,) or empty: none
    area_ids: tuple[str, ...] = ()  # the source's ids of `areas`, or empty

    def __post_init__(self) -> None:
        for f in fields(self):
            # All planners and runs share one map: nobody may write into it.
            if isinstance(value := getattr(self, f.name), np.ndarray):
                object.__setattr__(self, f.name, read_only(value))
        n, rows = len(self.lane_start) - 1, len(self.points)
        if n < 1 or rows < 2:
            raise MapError("the road map is empty: it has no lane")
        expected = (
            ((rows, 2), ("points", "left", "right")),
            ((rows,), ("heading", "station", "curvature", "elevation")),
            ((n,), ("kind", "speed_limit", "intersection", "group", "left_lane", "right_lane")),
            ((n,), ("left_change", "right_change", "left_opposite", "left_marking", "right_marking")),
            ((n,), ("signal", "stop_station", "right_opposite")),
            ((n + 1,), ("successor_start", "predecessor_start")),
        )
        for shape, names in expected:
            for name in names:
                found = getattr(self, name).shape
                if found != shape and not (name in _OPTIONAL and found == (0,)):
                    raise MapError(f"the road map's array '{name}' has the shape {found} instead of {shape}")
        for name in ("points", "left", "right"):
            if not np.isfinite(getattr(self, name)).all():
                raise MapError(f"the road map's {name} hold values that are not finite")
        if len(self.lane_ids) != n:
            raise MapError(f"the road map names {len(self.lane_ids)} lanes but holds {n}")
        if self.lane_start[0] != 0 or self.lane_start[-1] != rows or (np.diff(self.lane_start) < 2).any():
            raise MapError("the road map's lane_start does not give every lane two points or more")
        for name in ("successor", "predecessor"):
            start, lanes = getattr(self, f"{name}_start"), getattr(self, name)
            if start[0] != 0 or start[-1] != len(lanes) or (np.diff(start) < 0).any():
                raise MapError(f"the road map's {name}_start does not fit its {name} array")
        # Kernels index with these without a check.
        for name, size, low in (
            ("successor", n, 0),
            ("predecessor", n, 0),
            ("left_lane", n, -1),
            ("right_lane", n, -1),
            ("left_opposite", n, -1),
            ("right_opposite", n, -1),
            ("group", len(self.group_ids), 0),
            ("signal", len(self.signal_ids), -1),
        ):
            values = getattr(self, name)
            if len(values) and not low <= values.min() <= values.max() < size:
                raise MapError(f"the road map's {name} array names something that does not exist")

    @property
    def num_lanes(self) -> int:
        return len(self.lane_start) - 1

    def rows(self, lane: int) -> slice:
        return slice(int(self.lane_start[lane]), int(self.lane_start[lane + 1]))

    def centerline(self, lane: int) -> Floats:
        return self.points[self.rows(lane)]

    def polygon(self, lane: int) -> Floats:
        """Outline `(2 n, 2)` of a lane: left bound, then the right bound backwards."""
        rows = self.rows(lane)
        return np.concatenate((self.left[rows], self.right[rows][::-1]))

    @cached_property
    def length(self) -> Floats:
        """Centreline lengths `(L,)`."""
        return self.station[self.lane_start[1:] - 1]

    @cached_property
    def half_width(self) -> Floats:
        """Distances `(P, 2)` from the centreline to the left and to the right bound, m."""
        return np.stack(
            (np.hypot(*(self.left - self.points).T), np.hypot(*(self.right - self.points).T)), axis=-1
        )

    def successors(self, lane: int) -> Ints:
        return self.successor[self.successor_start[lane] : self.successor_start[lane + 1]]

    def predecessors(self, lane: int) -> Ints:
        return self.predecessor[self.predecessor_start[lane] : self.predecessor_start[lane + 1]]

    def lane_index(self, lane_id: str) -> int:
        try:
            return self._lane_at[lane_id]
        except KeyError:
            raise MapError(f"the map has no lane '{lane_id}'") from None

    @cached_property
    def _lane_at(self) -> dict[str, int]:
        return {lane_id: i for i, lane_id in enumerate(self.lane_ids)}

    def group_lanes(self, group: int) -> NDArray[np.intp]:
        return np.flatnonzero(self.group == group)

    def limit(self, lane: int, default: float) -> float:
        """Speed limit of a lane in m/s; one without takes the largest of its predecessors and successors."""
        value = float(self.speed_limit[lane])
        if np.isfinite(value):
            return value
        near = np.concatenate((self.predecessors(lane), self.successors(lane)))
        known = self.speed_limit[near]
        known = known[np.isfinite(known)]
        return float(known.max()) if len(known) else default

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest and largest x and y of all lane bounds: (x0, y0, x1, y1)."""
        both = np.concatenate((self.left, self.right))
        low, high = both.min(0), both.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @cached_property
    def content_hash(self) -> str:
        return hash_arrays(self.to_arrays())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Flat arrays that hold all of the map, as the run log stores them."""
        out: dict[str, NDArray[Any]] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "areas":
                out.update(area_points=value.points, area_start=value.start, area_kind=value.kind)
            elif isinstance(value, tuple):
                out[f.name] = np.asarray(value, dtype=np.str_) if value else np.zeros(0, dtype="<U1")
            else:
                out[f.name] = value
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> RoadMap:
        """Inverse of `to_arrays`."""
        values: dict[str, Any] = {}
        try:
            for f in fields(cls):
                if f.name in _OPTIONAL and f.name not in arrays:
                    continue
                if f.name == "areas":
                    parts = (arrays[f"area_{part}"] for part in ("points", "start", "kind"))
                    values["areas"] = Polygons(*parts)
                elif f.name.endswith("_ids"):
                    values[f.name] = tuple(str(v) for v in arrays[f.name])
                else:
                    values[f.name] = arrays[f.name]
        except KeyError as error:
            raise MapError(f"the stored map lacks the array {error}") from None
        return cls(**values)


_OPTIONAL = ("elevation", "right_opposite", "area_ids")  # fields with a default; files may lack them


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written; the array's maker keeps its own."""
    view = array.view()
    view.flags.writeable = False
    return view


def derive_point_arrays(points: Floats, lane_start: Ints) -> tuple[Floats, Floats, Floats]:
    """Heading, station and curvature per point of lanes stored in compressed rows."""
    heading, station, curvature = np.empty(len(points)), np.empty(len(points)), np.empty(len(points))
    for i in range(len(lane_start) - 1):
        rows = slice(int(lane_start[i]), int(lane_start[i + 1]))
        heading[rows] = polyline_heading(points[rows])
        station[rows] = arc_length(points[rows])
        curvature[rows] = polyline_curvature(points[rows])
    return heading, station, curvature


def hash_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hex digest of named arrays: names, dtypes, shapes and bytes; independent of insertion order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{a.dtype.str}|{a.shape}|".encode())
        digest.update(a.tobytes())
    return digest.hexdigest()
