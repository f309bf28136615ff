"""A city's map: nuPlan's layers as one road map, built once and then kept on disk by content."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from drive.cache import cache_folder
from drive.datasets.conventions import origin_near
from drive.datasets.nuplan.areas import add_areas
from drive.datasets.nuplan.edges import RawEdge, read_edges
from drive.datasets.nuplan.gpkg import Features, read_layers
from drive.datasets.nuplan.rejoin import full_name, lane_key, rejoined, signal_name
from drive.datasets.nuplan.specs import specs_of
from drive.errors import InputError, MapError
from drive.files import parse_json
from drive.roadmap import RoadMap, RoadMapBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 1
"""Part of the name of what is kept: a city built by another version of this file is built anew."""

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
BARE = frozenset(("lanes_polygons", "lane_connectors", "gen_lane_connectors_scaled_width_polygons"))
"""Layers whose shapes are not needed: lanes are what lies between their boundaries."""
OPTIONAL = frozenset(("walkways", "carpark_areas", "generic_drivable_areas", "drive_areas", "drive_lanes"))


@dataclass(frozen=True, eq=False)
class City:
    """A map with positions relative to `origin`, and nuPlan's ids of its parts.

    `fids (F,)` of lanes and connectors with the lane `fid_lane (F,)` of the road map that each is (part of)
    and the light `fid_signal (F,)` that a connector's status sets ("" none); `blocks` (roadblocks and
    roadblock connectors) with their lane group `block_group`, -1 for what the road map does not hold.
    `world (L,)` and `area_world (A,)` tell of which road map, of several that we put into one city, a lane or
    area is; -1 elsewhere. `restored`: the road maps that we put into it are as they were before; their lanes,
    groups and signals carry `full_name`s.
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
    restored: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def group_of(self) -> dict[str, int]:
        """Lane group, or -1, by the id of a roadblock or roadblock connector."""
        return dict(zip(self.blocks, self.block_group.tolist(), strict=True))

    @cached_property
    def light_of(self) -> dict[int, tuple[str, int]]:
        """Light and lane by the id of a connector."""
        rows = zip(self.fids.tolist(), self.fid_signal, self.fid_lane.tolist(), strict=True)
        return {fid: (name, lane) for fid, name, lane in rows if name and lane >= 0}


def load_city(path: Path, restore: bool = True) -> City:
    """The city of a `map.gpkg`, from memory, from the disk's cache, or built anew.

    A map that we wrote from another one is read as that one; without `restore` it is read as the devkit sees
    it, with the pieces that lanes were cut into, and nuPlan's ids.
    Raises InputError or MapError naming the file.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: the map cannot be read ({error.strerror or error})") from None
    return _load(str(path), stat.st_mtime_ns, stat.st_size, restore)


@lru_cache(maxsize=6)
def _load(path: str, changed: int, size: int, restore: bool) -> City:
    file = Path(path)
    kept = cache_folder("nuplan-maps") / f"{_digest(file)}-{FORMAT}{'' if restore else '-raw'}.npz"
    try:
        return _unpack(kept)
    except (OSError, KeyError, ValueError, EOFError, MapError, BadZipFile):
        pass  # not there, or damaged: it is built and written anew
    city = build_city(file, restore)
    _keep(city, kept)
    return city


def build_city(path: Path, restore: bool = True) -> City:
    """Read a `map.gpkg` and build its road map; see `load_city`."""
    layers, _ = read_layers(path, LAYERS, OPTIONAL, BARE)
    name = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
    notes: list[str] = []
    edges = read_edges(layers, path.name, notes)
    ours = restore and any("world" in edge.about for edge in edges)
    middle = np.median(np.concatenate([e.center for e in edges]), axis=0)
    origin = origin_near(float(middle[0]), float(middle[1]))
    builder = RoadMapBuilder(origin)
    specs = rejoined(edges, _other_lanes(layers, path.name), path.name) if ours else specs_of(edges, layers)
    for spec in specs:
        try:
            builder.add(spec)
        except MapError as error:
            notes.append(str(error))
    area_world = add_areas(builder, layers, path.name, ours, notes)
    try:
        roadmap = builder.build()
    except MapError as error:
        raise MapError(f"{path.name}: {error}{': ' + notes[0] if notes else ''}") from None
    return _city(name, roadmap, origin, edges, ours, np.asarray(area_world, dtype=np.int32), notes)


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
    world = np.full(roadmap.num_lanes, -1, dtype=np.int32)
    for edge in edges:
        lane = lane_at.get(full_name(lane_key(edge)) if ours else str(edge.fid), -1)
        fids.append(edge.fid)
        lanes.append(lane)
        if lane >= 0:
            world[lane] = int(edge.about.get("world", -1))
        if not edge.connector:
            signals.append("")
        else:
            signals.append(signal_name(edge, at) if ours else str(edge.fid))
        if edge.group is not None:
            whole = lane >= 0 and not edge.about.get("seam")
            group = int(roadmap.group[lane]) if ours and whole else group_at.get(str(edge.group), -1)
            blocks.setdefault(str(edge.group), group)
    if ours:
        world[:] = [int(lane_id.partition("/")[0]) for lane_id in roadmap.lane_ids]
    return City(
        name,
        roadmap,
        origin,
        np.asarray(fids, dtype=np.int64),
        np.asarray(lanes, dtype=np.int32),
        tuple(signals),
        tuple(blocks),
        np.asarray(list(blocks.values()), dtype=np.int32),
        world,
        area_world,
        ours,
        tuple(notes),
    )


def _other_lanes(layers: Mapping[str, Features], name: str) -> list[Any]:
    import shapely

    layer = layers.get("drive_lanes")
    out = []
    for text, shape in zip(layer.columns.get("drive", []), layer.shapes, strict=True) if layer else ():
        lines = [shapely.get_coordinates(part) for part in shapely.get_parts(shape)]
        if len(lines) == 3:
            try:
                about = parse_json(text)
            except (TypeError, ValueError):
                about = None
            if not isinstance(about, dict):
                told = str(text)[:40]
                raise MapError(f"{name}: the column 'drive' holds '{told}' instead of what we write")
            out.append((about, (lines[0], lines[1], lines[2])))
    return out


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _keep(city: City, path: Path) -> None:
    """Write a city beside the others; a disk that is full or read-only costs only time."""
    about = {"name": city.name, "origin": city.origin, "notes": city.notes, "restored": city.restored}
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
    # Opened here: NumPy leaves a damaged file open that it opens itself.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
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
        bool(about["restored"]),
        tuple(about["notes"]),
    )
