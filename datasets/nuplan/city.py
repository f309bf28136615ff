"""A city's map: nuPlan's layers as one road map, built once and then kept on disk by content."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.cache import user_cache
from drive.datasets.nuplan.areas import add_areas, junctions, stop_lines
from drive.datasets.nuplan.edges import RawEdge, read_edges
from drive.datasets.nuplan.gpkg import Features, read_layers
from drive.datasets.nuplan.rejoin import full_name, lane_key, rejoined, signal_name
from drive.errors import InputError, MapError
from drive.roadmap import LaneKind, LaneSpec, Marking, RoadMap, RoadMapBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 1
"""Part of the name of what is kept: a city built by another version of this file is built anew."""
GRID = 1000.0

LAYERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lanes_polygons": (
        ("lane_fid", "lane_group_fid", "lane_index", "left_boundary_fid", "right_boundary_fid"),
        ("speed_limit_mps", "drive"),
    ),
    "lane_connectors": (
        ("exit_lane_fid", "entry_lane_fid", "lane_group_connector_fid"),
        ("speed_limit_mps", "traffic_light_stop_line_fids", "drive"),
    ),
    "gen_lane_connectors_scaled_width_polygons": (
        ("lane_connector_fid", "left_boundary_fid", "right_boundary_fid"),
        (),
    ),
    "baseline_paths": (("lane_fid", "lane_connector_fid"), ()),
    "boundaries": ((), ()),
    "stop_polygons": (("stop_polygon_type_fid",), ("drive",)),
    "intersections": ((), ("drive",)),
    "crosswalks": ((), ("drive",)),
    "road_segments": ((), ("drive",)),
    "walkways": ((), ("drive",)),
    "carpark_areas": ((), ("drive",)),
    "generic_drivable_areas": ((), ("drive",)),
    "drive_areas": ((), ("kind", "drive")),
    "drive_lanes": ((), ("drive",)),
}
"""Of each layer the columns that it must have and those that it may have."""
OPTIONAL = frozenset(("walkways", "carpark_areas", "generic_drivable_areas", "drive_areas", "drive_lanes"))


@dataclass(frozen=True, eq=False)
class City:
    """A map with positions relative to `origin`, and nuPlan's ids of its parts.

    `fids (F,)` of lanes and connectors with the lane `fid_lane (F,)` of the road map that each is (part of)
    and the light `fid_signal (F,)` that a connector's status sets ("" none); `blocks` (roadblocks and
    roadblock connectors) with their lane group `block_group`, -1 for what the road map does not hold.
    `world (L,)` and `area_world (A,)` tell which of several road maps, put into one city by us, a lane or area
    is of; -1 elsewhere.
    """

    name: str
    roadmap: RoadMap
    origin: tuple[float, float]
    fids: NDArray[np.int64]
    fid_lane: NDArray[np.int32]
    fid_signal: tuple[str, ...]
    blocks: tuple[str, ...]
    block_group: NDArray[np.int32]
    world: NDArray[np.int32]
    area_world: NDArray[np.int32]
    notes: tuple[str, ...] = ()


def load_city(path: Path, rejoin: bool = True) -> City:
    """The city of a `map.gpkg`, from memory, from the disk's cache, or built anew.

    A map that we wrote is put together as it was before, unless `rejoin` is false: then it is what others,
    such as the devkit, see.

    Raises InputError or MapError naming the file.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: the map cannot be read ({error.strerror or error})") from None
    return _load(str(path), stat.st_mtime_ns, stat.st_size, rejoin)


@lru_cache(maxsize=6)
def _load(path: str, changed: int, size: int, rejoin: bool) -> City:
    file = Path(path)
    kept = user_cache("nuplan-maps") / f"{_digest(file)}-{FORMAT}{'' if rejoin else 'r'}.npz"
    try:
        return _unpack(kept)
    except (OSError, KeyError, ValueError, EOFError, MapError, json.JSONDecodeError):
        pass  # not there, or damaged: it is built and written anew
    except Exception as error:  # zipfile.BadZipFile is no ValueError
        if type(error).__name__ != "BadZipFile":
            raise
    city = build_city(file, rejoin)
    _keep(city, kept)
    return city


def build_city(path: Path, rejoin: bool = True) -> City:
    """Read a `map.gpkg` and build its road map."""
    layers, _ = read_layers(path, LAYERS, OPTIONAL)
    if not rejoin:
        layers = {name: _foreign(layer) for name, layer in layers.items() if not name.startswith("drive_")}
    name = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
    notes: list[str] = []
    edges = read_edges(layers, path.name, notes)
    ours = any("world" in edge.about for edge in edges)
    middle = np.median(np.concatenate([e.center for e in edges]), axis=0)
    origin = float(round(middle[0] / GRID) * GRID), float(round(middle[1] / GRID) * GRID)
    builder = RoadMapBuilder(origin)
    specs = rejoined(edges, _other_lanes(layers), path.name) if ours else _specs(edges, layers)
    for spec in specs:
        try:
            builder.add(spec)
        except MapError as error:
            notes.append(str(error))
    area_world = add_areas(builder, layers, path.name, notes)
    try:
        roadmap = builder.build()
    except MapError as error:
        raise MapError(f"{path.name}: {error}{': ' + notes[0] if notes else ''}") from None
    return _city(name, roadmap, origin, edges, ours, np.asarray(area_world, dtype=np.int32), notes)


def _foreign(layer: Features) -> Features:
    """A layer without what we alone wrote into it."""
    return replace(layer, columns={name: v for name, v in layer.columns.items() if name != "drive"})


def _city(
    name: str,
    roadmap: RoadMap,
    origin: tuple[float, float],
    edges: list[RawEdge],
    ours: bool,
    area_world: NDArray[np.int32],
    notes: list[str],
) -> City:
    lane_at = {lane_id: k for k, lane_id in enumerate(roadmap.lane_ids)}
    group_at = {group_id: k for k, group_id in enumerate(roadmap.group_ids)}
    at = {edge.fid: edge for edge in edges}
    fids, lanes, signals = [], [], []
    blocks: dict[str, int] = {}
    for edge in edges:
        lane = lane_at.get(full_name(lane_key(edge)) if ours else str(edge.fid), -1)
        fids.append(edge.fid)
        lanes.append(lane)
        if not edge.connector:
            signals.append("")
        else:
            signals.append(signal_name(edge, at) if ours else str(edge.fid))
        if edge.group is not None:
            whole = lane >= 0 and not edge.about.get("seam")
            group = int(roadmap.group[lane]) if ours and whole else group_at.get(_block(edge), -1)
            blocks.setdefault(str(edge.group), group)
    world = [int(i.partition("/")[0]) if ours else -1 for i in roadmap.lane_ids]
    return City(
        name,
        roadmap,
        origin,
        np.asarray(fids, dtype=np.int64),
        np.asarray(lanes, dtype=np.int32),
        tuple(signals),
        tuple(blocks),
        np.asarray(list(blocks.values()), dtype=np.int32),
        np.asarray(world, dtype=np.int32),
        area_world,
        tuple(notes),
    )


def _block(edge: RawEdge) -> str:
    return str(edge.group)


def _specs(edges: list[RawEdge], layers: Mapping[str, Features]) -> list[LaneSpec]:
    """Lanes of a map that nuPlan's makers (or others) wrote.

    The map names no permission to change lanes: between lanes of one group it is taken as given, on
    connectors as not given. Neighbours are lanes of adjacent `lane_index`, connectors between such, and
    oncoming lanes that share a left boundary.
    """
    place = {(e.group, e.index): e.fid for e in edges if not e.connector and e.group is not None}
    right_of: dict[int, int] = {}
    for edge in edges:
        if not edge.connector and (edge.group, edge.index + 1) in place:
            right_of[edge.fid] = place[edge.group, edge.index + 1]
    between = {(e.source, e.target): e.fid for e in edges if e.connector}
    for edge in edges:
        if edge.connector and edge.source in right_of and edge.target in right_of:
            beside = between.get((right_of[edge.source], right_of[edge.target]))
            if beside is not None:
                right_of[edge.fid] = beside
    left_of = {b: a for a, b in right_of.items()}
    follow: dict[int, list[str]] = {}
    for edge in edges:
        if edge.connector and edge.source is not None:
            follow.setdefault(edge.source, []).append(str(edge.fid))
    oncoming: dict[int, list[int]] = {}
    for edge in edges:
        if edge.bounds[0] is not None and not edge.connector:
            oncoming.setdefault(edge.bounds[0], []).append(edge.fid)
    crossing = junctions(edges, layers)
    stops = stop_lines(edges, layers)
    out = []
    for edge in edges:
        left, right = left_of.get(edge.fid), right_of.get(edge.fid)
        other = [f for f in oncoming.get(edge.bounds[0] or -1, []) if f != edge.fid]
        successors = follow.get(edge.fid, [])
        if edge.connector:
            successors = [] if edge.target is None else [str(edge.target)]
        spec = LaneSpec(
            id=str(edge.fid),
            left=edge.left,
            right=edge.right,
            center=edge.center,
            kind=LaneKind.CONNECTOR if edge.connector else LaneKind.LANE,
            speed_limit=edge.limit,
            intersection=edge.fid in crossing,
            successors=successors,
            left_lane=None if left is None else str(left),
            right_lane=None if right is None else str(right),
            left_change=not edge.connector,
            right_change=not edge.connector,
            left_opposite=str(other[0]) if other and left is None and not edge.connector else None,
            left_marking=Marking.NONE if edge.connector else Marking.DASHED if left else Marking.SOLID,
            right_marking=Marking.NONE if edge.connector else Marking.DASHED if right else Marking.SOLID,
            signal=str(edge.fid) if edge.lights else None,
            stop_station=stops.get(edge.fid),
            group=None if edge.group is None else _block(edge),
        )
        out.append(spec)
    return out


def _other_lanes(layers: Mapping[str, Features]) -> list[Any]:
    import shapely

    layer = layers.get("drive_lanes")
    out = []
    for text, shape in zip(layer.columns.get("drive", []), layer.shapes, strict=True) if layer else ():
        lines = [shapely.get_coordinates(part) for part in shapely.get_parts(shape)]
        if len(lines) == 3:
            out.append((json.loads(text), (lines[0], lines[1], lines[2])))
    return out


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _keep(city: City, path: Path) -> None:
    """Write a city beside the others; a disk that is full or read-only costs only time."""
    about = {"name": city.name, "origin": city.origin, "notes": city.notes}
    arrays: dict[str, Any] = {f"map_{k}": v for k, v in city.roadmap.to_arrays().items()}
    for field in ("fids", "fid_lane", "block_group", "world", "area_world"):
        arrays[field] = getattr(city, field)
    for field in ("fid_signal", "blocks"):
        arrays[field] = np.asarray(getattr(city, field), dtype=np.str_)
    arrays["about"] = np.asarray(json.dumps(about))
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def _unpack(path: Path) -> City:
    with np.load(path, allow_pickle=False) as data:
        arrays = dict(data)
    about = json.loads(str(arrays["about"]))
    roadmap = RoadMap.from_arrays({k[4:]: v for k, v in arrays.items() if k.startswith("map_")})
    return City(
        about["name"],
        roadmap,
        tuple(about["origin"]),
        arrays["fids"],
        arrays["fid_lane"],
        tuple(arrays["fid_signal"].tolist()),
        tuple(arrays["blocks"].tolist()),
        arrays["block_group"],
        arrays["world"],
        arrays["area_world"],
        tuple(about["notes"]),
    )
