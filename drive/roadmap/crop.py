"""A part of a road map: some of its lanes and areas, with the graph between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MapError
from drive.roadmap.model import Polygons, RoadMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def crop(roadmap: RoadMap, lanes: Bools, areas: Bools, shift: tuple[float, float] = (0.0, 0.0)) -> RoadMap:
    """The map's `lanes (L,)` and `areas (A,)` that are marked, moved by `shift` in m, in their old order.

    Links to lanes that are left out are dropped, as are groups and signals that no lane is left of.
    Raises MapError where no lane is marked.
    """
    keep = np.flatnonzero(lanes)
    if not len(keep):
        raise MapError("the part of the road map holds no lane")
    counts = np.diff(roadmap.lane_start)[keep]
    rows = _ranges(roadmap.lane_start[keep], counts)
    new = np.full(roadmap.num_lanes + 1, -1, dtype=np.int32)  # the last entry answers for -1
    new[keep] = np.arange(len(keep), dtype=np.int32)
    signal, signal_ids = _renumbered(roadmap.signal[keep], roadmap.signal_ids)
    group, group_ids = _renumbered(roadmap.group[keep], roadmap.group_ids)
    left_lane, right_lane = new[roadmap.left_lane[keep]], new[roadmap.right_lane[keep]]
    graph: dict[str, Any] = {}
    for name in ("successor", "predecessor"):
        start, target = getattr(roadmap, f"{name}_start"), getattr(roadmap, name)
        degree = np.diff(start)[keep]
        linked = new[target[_ranges(start[keep], degree)]]
        owner = np.repeat(np.arange(len(keep)), degree)[linked >= 0]
        graph[name] = linked[linked >= 0]
        graph[f"{name}_start"] = np.concatenate(
            ([0], np.cumsum(np.bincount(owner, minlength=len(keep))))
        ).astype(np.int32)
    by = np.asarray(shift, dtype=np.float64)
    return RoadMap(
        points=roadmap.points[rows] + by,
        left=roadmap.left[rows] + by,
        right=roadmap.right[rows] + by,
        heading=roadmap.heading[rows],
        station=roadmap.station[rows],
        curvature=roadmap.curvature[rows],
        lane_start=np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
        lane_ids=tuple(roadmap.lane_ids[k] for k in keep.tolist()),
        kind=roadmap.kind[keep],
        speed_limit=roadmap.speed_limit[keep],
        intersection=roadmap.intersection[keep],
        group=group,
        left_lane=left_lane,
        right_lane=right_lane,
        left_change=roadmap.left_change[keep] & (left_lane >= 0),
        right_change=roadmap.right_change[keep] & (right_lane >= 0),
        left_opposite=new[roadmap.left_opposite[keep]],
        left_marking=roadmap.left_marking[keep],
        right_marking=roadmap.right_marking[keep],
        signal=signal,
        stop_station=roadmap.stop_station[keep],
        group_ids=group_ids,
        signal_ids=signal_ids,
        areas=_areas(roadmap.areas, np.flatnonzero(areas), by),
        elevation=roadmap.elevation[rows] if len(roadmap.elevation) else roadmap.elevation,
        right_opposite=new[roadmap.right_opposite[keep]] if len(roadmap.right_opposite) else new[:0],
        area_ids=tuple(roadmap.area_ids[k] for k in np.flatnonzero(areas).tolist())
        if roadmap.area_ids
        else (),
        **graph,
    )


def lanes_in(roadmap: RoadMap, low: Floats, high: Floats) -> Bools:
    """Which lanes `(L,)` have a point of their centreline in the box from `low (2,)` to `high (2,)`."""
    inside = ((roadmap.points >= low) & (roadmap.points <= high)).all(1)
    return np.asarray(np.logical_or.reduceat(inside, roadmap.lane_start[:-1]), dtype=np.bool_)


def areas_in(areas: Polygons, low: Floats, high: Floats) -> Bools:
    """Which areas `(A,)` have a bounding box that meets the box from `low (2,)` to `high (2,)`."""
    if not len(areas):
        return np.zeros(0, dtype=np.bool_)
    smallest = np.minimum.reduceat(areas.points, areas.start[:-1])
    largest = np.maximum.reduceat(areas.points, areas.start[:-1])
    return np.asarray(((smallest <= high) & (largest >= low)).all(1))


def _ranges(start: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.intp]:
    """Rows `start[i] ... start[i] + counts[i] - 1` of all i in turn."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) + np.repeat(start - before, counts), dtype=np.intp)


def _renumbered(
    index: NDArray[np.int32], names: tuple[str, ...]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Indices into those of `names` that are left, -1 kept, in the order in which the names stood."""
    used = np.unique(index[index >= 0])
    new = np.full(len(names) + 1, -1, dtype=np.int32)
    new[used] = np.arange(len(used), dtype=np.int32)
    return new[index], tuple(names[k] for k in used.tolist())


def _areas(areas: Polygons, keep: NDArray[np.intp], by: Floats) -> Polygons:
    counts = np.diff(areas.start)[keep]
    rows = _ranges(areas.start[keep], counts)
    start = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return Polygons(areas.points[rows] + by, start, areas.kind[keep])
