"""A part of a road map: what lies near a line, with everything that refers to it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MapError
from drive.geometry import remove_duplicates, resample_polyline
from drive.roadmap.model import Polygons, RoadMap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def crop(
    roadmap: RoadMap, near: ArrayLike, margin: float, origin: tuple[float, float] = (0.0, 0.0)
) -> RoadMap:
    """The lanes and areas that come within `margin` metres of the line `near (N, 2)`; lanes stay whole.

    `near` is in the map's coordinates (one point will do); `origin` is subtracted from all positions
    of the result. Raises MapError where no lane lies near enough.
    """
    from scipy.spatial import cKDTree

    line = remove_duplicates(np.asarray(near, dtype=np.float64).reshape(-1, 2))
    step = max(0.25 * margin, 1.0)
    tree = cKDTree(resample_polyline(line, step) if len(line) > 1 else line)
    low, high = line.min(0) - margin, line.max(0) + margin

    def close(points: Floats) -> Bools:
        """Whether points `(P, 2)` are near; the samples of the line may be half a step away."""
        found = ((points >= low) & (points <= high)).all(1)
        if found.any():
            found[found] = tree.query(points[found], distance_upper_bound=margin + 0.5 * step)[0] < np.inf
        return np.asarray(found)

    lanes = np.logical_or.reduceat(close(roadmap.points), roadmap.lane_start[:-1])
    if not lanes.any():
        raise MapError(f"no lane of the map lies within {margin:g} m of the place that is asked for")
    areas = roadmap.areas
    kept = np.logical_or.reduceat(close(areas.points), areas.start[:-1]) if len(areas) else np.zeros(0, bool)
    return select(roadmap, lanes, kept, origin)


def select(roadmap: RoadMap, lanes: Bools, areas: Bools, origin: tuple[float, float] = (0.0, 0.0)) -> RoadMap:
    """The map of the lanes `(L,)` and areas `(N,)` that are marked; references to others are dropped."""
    m, keep = roadmap, np.flatnonzero(lanes)
    counts = np.diff(m.lane_start)
    rows = np.repeat(lanes, counts)
    renamed = np.full(m.num_lanes + 1, -1, dtype=np.int32)  # the last entry is the one that -1 finds
    renamed[keep] = np.arange(len(keep))
    groups, group = np.unique(m.group[keep], return_inverse=True)
    lights = np.unique(m.signal[keep][m.signal[keep] >= 0])
    new_light = np.full(len(m.signal_ids) + 1, -1, dtype=np.int32)
    new_light[lights] = np.arange(len(lights))
    values: dict[str, Any] = {}
    for f in fields(m):
        array = getattr(m, f.name)
        if f.name in ("points", "left", "right"):
            values[f.name] = array[rows] - np.asarray(origin)
        elif f.name in ("heading", "station", "curvature", "elevation"):
            values[f.name] = array[rows] if len(array) else array
        elif f.name in ("left_lane", "right_lane", "left_opposite", "right_opposite"):
            values[f.name] = renamed[array[keep]] if len(array) else array
        elif isinstance(array, np.ndarray) and len(array) == m.num_lanes and f.name not in _COMPRESSED:
            values[f.name] = array[keep]
    # A lane whose neighbour is gone has nowhere to change to.
    values["left_change"] = values["left_change"] & (values["left_lane"] >= 0)
    values["right_change"] = values["right_change"] & (values["right_lane"] >= 0)
    for name in ("successor", "predecessor"):
        values[f"{name}_start"], values[name] = _links(
            getattr(m, f"{name}_start"), getattr(m, name), lanes, renamed
        )
    at = np.flatnonzero(areas)
    rings = [m.areas[int(i)] - np.asarray(origin) for i in at]
    return RoadMap(
        **values
        | {
            "lane_start": np.concatenate(([0], np.cumsum(counts[keep]))).astype(np.int32),
            "lane_ids": tuple(m.lane_ids[i] for i in keep),
            "group": group.astype(np.int32),
            "group_ids": tuple(m.group_ids[i] for i in groups),
            "signal": new_light[m.signal[keep]],
            "signal_ids": tuple(m.signal_ids[i] for i in lights),
            "areas": Polygons.from_rings(rings, m.areas.kind[at].tolist()),
            "area_ids": tuple(m.area_ids[i] for i in at) if m.area_ids else (),
        }
    )


_COMPRESSED = ("lane_start", "successor", "successor_start", "predecessor", "predecessor_start", "areas")


def _links(
    start: NDArray[np.int32], target: NDArray[np.int32], lanes: Bools, renamed: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    owner = np.repeat(np.arange(len(start) - 1), np.diff(start))
    kept = lanes[owner] & lanes[target]
    counts = np.bincount(renamed[owner[kept]], minlength=int(lanes.sum()))
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int32), renamed[target[kept]]
