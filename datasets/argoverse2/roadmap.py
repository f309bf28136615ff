"""The vector map of an Argoverse 2 log (`log_map_archive_*.json`) as a `RoadMap`.

Format: the JSON of the data set's vector maps, as documented with the public devkit `av2` (MIT): lane
segments with left and right boundaries, drivable areas, pedestrian crossings; metres in the city's frame.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from drive.datasets.argoverse2.tables import MAX_VALUE
from drive.datasets.source import file_key
from drive.errors import InputError, MapError
from drive.roadmap import AreaKind, LaneKind, LaneSpec, Marking, RoadMap, RoadMapBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_FILE = 1 << 28
MARKINGS = {
    "DASHED": Marking.DASHED,
    "SOLID": Marking.SOLID,
    "DOUBLE_SOLID": Marking.DOUBLE_SOLID,
    "DOUBLE_DASH": Marking.DASHED,
}
COLOURS = ("_WHITE", "_YELLOW", "_BLUE")


def read_map(path: Path, origin: tuple[float, float]) -> tuple[RoadMap, tuple[str, ...]]:
    """The road map relative to `origin`, and notes on what had to be left out.

    Lane segments within an intersection are connectors; bike lanes are of kind bicycle; bus lanes are lanes
    into which others may not change. The file knows neither speed limits nor signals. Raises InputError or
    MapError naming the file for one that is damaged, has no lanes, or holds lanes that cannot be.
    """
    data = _read(path)
    segments = {str(key): value for key, value in _section(path, data, "lane_segments").items()}
    if not segments:
        raise MapError(f"{path.name}: the map is empty: it has no lane segment")
    builder = RoadMapBuilder(origin)
    along = {key: _direction(path, key, segment) for key, segment in segments.items()}
    notes: list[str] = []
    outside = 0
    for key, segment in segments.items():
        try:
            builder.add(_lane(path, key, segment, segments, along))
        except MapError as error:
            raise MapError(f"{path.name}: {error}") from None
        outside += sum(str(s) not in segments for s in segment.get("successors") or ())
    if outside:
        notes.append(f"{outside} successors lie outside of the map")
    for key, area in _section(path, data, "drivable_areas").items():
        ring = _points(path, f"drivable area {key}", area, "area_boundary")
        _area(builder, ring, AreaKind.ROAD, str(key), notes)
    for key, crossing in _section(path, data, "pedestrian_crossings").items():
        where = f"crossing {key}"
        edge, other = (_points(path, where, crossing, name) for name in ("edge1", "edge2"))
        ring = np.concatenate((edge, other[::-1]))
        if not shapely.Polygon(ring).is_valid:  # the edges run against each other
            ring = np.concatenate((edge, other))
        _area(builder, ring, AreaKind.CROSSWALK, str(key), notes)
    return builder.build(), tuple(notes)


def _read(path: Path) -> Mapping[str, Any]:
    file_key(path, MAX_FILE)
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name}: truncated, or no JSON ({str(error)[:80]})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path.name}: no vector map: it holds a {type(data).__name__}")
    return data


def _section(path: Path, data: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name, {})
    if name == "lane_segments" and name not in data:
        raise MapError(f"{path.name}: no vector map: it lacks '{name}'")
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise InputError(f"{path.name}: '{name}' is no table of objects")
    return found


def _points(path: Path, where: str, owner: Mapping[str, Any], name: str) -> Floats:
    """A list of {x, y, z} as `(N, 3)`; z is NaN where it is missing."""
    try:
        points = np.asarray([(p["x"], p["y"], p.get("z", np.nan)) for p in owner[name]], dtype=np.float64)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise InputError(f"{path.name}: {where}: '{name}' is no list of points") from None
    points = points.reshape(-1, 3)
    if len(points) < 2 or not (np.abs(points[:, :2]) < MAX_VALUE).all():
        raise MapError(f"{path.name}: {where}: '{name}' needs two points or more, all finite")
    return points


def _direction(path: Path, key: str, segment: Mapping[str, Any]) -> Floats:
    left, right = (_points(path, f"lane {key}", segment, f"{s}_lane_boundary") for s in ("left", "right"))
    return np.asarray((left[-1] - left[0] + right[-1] - right[0])[:2])


def _lane(
    path: Path,
    key: str,
    segment: Mapping[str, Any],
    segments: Mapping[str, Mapping[str, Any]],
    along: Mapping[str, Floats],
) -> LaneSpec:
    inside = bool(segment.get("is_intersection", False))
    kind = LaneKind.CONNECTOR if inside else LaneKind.LANE
    if segment.get("lane_type") == "BIKE":
        kind = LaneKind.BICYCLE
    left, right = (_points(path, f"lane {key}", segment, f"{s}_lane_boundary") for s in ("left", "right"))
    beside: dict[str, tuple[str | None, str | None, bool]] = {}
    for side in ("left", "right"):
        near = segment.get(f"{side}_neighbor_id")
        name = None if near is None or str(near) not in segments else str(near)
        # A neighbour may run either way, which only its geometry tells.
        same = name is not None and float(along[name] @ along[key]) > 0.0
        permitted = False
        if name is not None and same:
            near_type = segments[name].get("lane_type")
            permitted = marking(segment.get(f"{side}_lane_mark_type"), side == "left") in (
                Marking.NONE,
                Marking.DASHED,
            ) and (near_type == segment.get("lane_type") or near_type not in ("BIKE", "BUS"))
        beside[side] = (name if same else None, None if same else name, permitted)
    successors = segment.get("successors") or ()
    if not isinstance(successors, (list, tuple)):
        raise InputError(f"{path.name}: lane {key}: 'successors' is no list")
    return LaneSpec(
        id=key,
        left=left,
        right=right,
        kind=kind,
        intersection=inside,
        successors=tuple(str(s) for s in successors),
        left_lane=beside["left"][0],
        right_lane=beside["right"][0],
        left_change=beside["left"][2],
        right_change=beside["right"][2],
        left_opposite=beside["left"][1],
        right_opposite=beside["right"][1],
        left_marking=marking(segment.get("left_lane_mark_type"), left=True),
        right_marking=marking(segment.get("right_lane_mark_type"), left=False),
    )


def marking(name: Any, left: bool) -> Marking:
    """The line next to the lane whose left (or right) bound carries the mark; of two, named left to right."""
    text = str(name)
    for colour in COLOURS:
        text = text.removesuffix(colour)
    if text in ("DASH_SOLID", "SOLID_DASH"):
        text = text.split("_")[1 if left else 0]
    return MARKINGS.get("DASHED" if text == "DASH" else text, Marking.NONE)


def _area(builder: RoadMapBuilder, ring: Floats, kind: AreaKind, name: str, notes: list[str]) -> None:
    try:
        builder.add_area(ring, kind, name)
    except MapError as error:
        notes.append(f"{name}: {error}")
