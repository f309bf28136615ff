"""Writes nuPlan's map folder: the index file and one GeoPackage a city."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.nuplan.network import Edge, Ids, Network, build_network
from drive.datasets.nuplan.schema import CITIES, MAP_VERSION, STOP_LIGHT, STOP_YIELD
from drive.datasets.nuplan.write_layers import LAYERS, Layer, write_file
from drive.geometry import polyline_heading
from drive.roadmap import AreaKind, LaneKind
from drive.roadmap.drivable import drivable_polygon

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

STOP_DEPTH = 0.5
"""Extent in m of a stop polygon along the lane; its near edge is the stop line."""
LOST = 0.2
"""Share of a lane's area that an overlap may take from it before a note says so."""

AREA_LAYERS = {
    AreaKind.ROAD: "road_segments",
    AreaKind.INTERSECTION: "intersections",
    AreaKind.PARKING: "carpark_areas",
    AreaKind.GENERIC: "generic_drivable_areas",
    AreaKind.CROSSWALK: "crosswalks",
    AreaKind.WALKWAY: "walkways",
}
GROUND_LAYERS = {
    LaneKind.PARKING: "generic_drivable_areas",
    LaneKind.SHOULDER: "generic_drivable_areas",
    LaneKind.SIDEWALK: "walkways",
}


@dataclass
class Placed:
    """A road map in a city: its lanes in nuPlan's terms, where its origin lies, what could not be kept."""

    roadmap: RoadMap
    network: Network
    offset: tuple[float, float]
    number: int = 0
    notes: list[str] = field(default_factory=list)


def place(roadmap: RoadMap, offset: tuple[float, float], ids: Ids, number: int = 0) -> Placed:
    """A road map with its origin at the UTM position `offset`, the city's `number`th."""
    notes = ["heights are not written: nuPlan's maps are flat"] if len(roadmap.elevation) else []
    return Placed(roadmap, build_network(roadmap, ids), offset, number, notes)


def write_maps(folder: Path, city: str, placed: Sequence[Placed], ids: Ids) -> list[Path]:
    """Write `nuplan-maps-v1.0.json` and the four cities' `map.gpkg`, of which only `city` holds roads.

    The devkit opens all four when it starts. A file that is there already is replaced.
    """
    index = {name: {"version": version, "layers": {}} for name, (version, _, _) in CITIES.items()}
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / f"{MAP_VERSION}.json"
    listing.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    out = [listing]
    for name, (version, epsg, _) in CITIES.items():
        layers = {layer: Layer() for layer in LAYERS}
        for world in placed if name == city else ():
            _add_map(layers, world, ids)
        path = folder / name / version / "map.gpkg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        write_file(path, layers if name == city else {"lane_connectors": Layer()}, epsg)
        out.append(path)
    return out


def _add_map(layers: dict[str, Layer], world: Placed, ids: Ids) -> None:
    net, offset = world.network, np.asarray(world.offset)
    import shapely

    lines: dict[bytes, int] = {}

    def line(points: Floats) -> Any:
        return shapely.LineString(points + offset)

    def bound(points: Floats) -> int:
        key = np.round(points, 6).tobytes()
        if key not in lines:
            lines[key] = ids.claim()
            layers["boundaries"].add(lines[key], line(points))
        return lines[key]

    outline = _outlines(net, offset, world.notes)
    stops = _add_stops(layers["stop_polygons"], world, ids)
    for edge in net.lanes:
        limit = float(world.roadmap.speed_limit[edge.piece.lane])
        layers["lanes_polygons"].add(
            edge.fid,
            outline[edge],
            lane_fid=edge.fid,
            lane_group_fid=edge.group,
            lane_index=edge.index,
            left_boundary_fid=bound(edge.lines[1]),
            right_boundary_fid=bound(edge.lines[2]),
            speed_limit_mps=limit,
            drive=_about(world, edge),
        )
        layers["baseline_paths"].add(
            ids.claim(), line(edge.lines[0]), lane_fid=edge.fid, lane_connector_fid=None
        )
    for edge in net.connectors:
        assert edge.source is not None
        assert edge.target is not None
        lights = (stops.get(edge.piece.lane), stops.get(edge.source.piece.lane)) if edge.signal >= 0 else ()
        layers["lane_connectors"].add(
            edge.fid,
            line(edge.lines[0]),
            exit_lane_fid=edge.source.fid,
            entry_lane_fid=edge.target.fid,
            lane_group_connector_fid=edge.group,
            speed_limit_mps=float(world.roadmap.speed_limit[edge.piece.lane]),
            traffic_light_stop_line_fids=",".join(dict.fromkeys(str(s) for s in lights if s is not None)),
            drive=_about(world, edge),
        )
        layers["gen_lane_connectors_scaled_width_polygons"].add(
            edge.fid,
            outline[edge],
            lane_connector_fid=edge.fid,
            left_boundary_fid=bound(edge.lines[1]),
            right_boundary_fid=bound(edge.lines[2]),
        )
        layers["baseline_paths"].add(
            ids.claim(), line(edge.lines[0]), lane_fid=None, lane_connector_fid=edge.fid
        )
    for fid, row in net.groups().items():
        layers["lane_groups_polygons"].add(fid, _multi([outline[e] for e in row]))
    crossings = _add_areas(layers, world, outline, ids)
    for fid, row in net.group_connectors().items():
        shape = _multi([outline[e] for e in row])
        inside = [i for i, area in crossings if area.intersects(shape.representative_point())]
        source, target = row[0].source, row[0].target
        assert source is not None
        assert target is not None
        layers["lane_group_connectors"].add(
            fid,
            shape,
            from_lane_group_fid=source.group,
            to_lane_group_fid=target.group,
            intersection_fid=inside[0] if inside else -1,
        )


def _about(world: Placed, edge: Edge) -> str:
    """What nuPlan's columns cannot say of a lane, as JSON: of which lane of the source it is a part, and
    that lane's properties."""
    lane, piece = edge.piece.lane, edge.piece
    part = {"world": world.number, "lane": world.roadmap.lane_ids[lane], "part": piece.part}
    if edge.seam:
        return json.dumps({**part, "seam": True})
    return json.dumps({**part, "head": edge.head, **_properties(world.roadmap, lane)})


def _properties(m: RoadMap, lane: int) -> dict[str, Any]:
    def names(*lanes: int) -> list[str | None]:
        return [m.lane_ids[k] if k >= 0 else None for k in lanes]

    stop = float(m.stop_station[lane])
    right_opposite = m.right_opposite[lane] if len(m.right_opposite) else -1
    return {
        "row": lane,
        "kind": int(m.kind[lane]),
        "group": m.group_ids[m.group[lane]],
        "sides": names(m.left_lane[lane], m.right_lane[lane]),
        "change": [bool(m.left_change[lane]), bool(m.right_change[lane])],
        "marking": [int(m.left_marking[lane]), int(m.right_marking[lane])],
        "opposite": names(m.left_opposite[lane], right_opposite),
        "intersection": bool(m.intersection[lane]),
        "signal": m.signal_ids[m.signal[lane]] if m.signal[lane] >= 0 else None,
        "stop": stop if np.isfinite(stop) else None,
    }


def _outlines(net: Network, offset: Floats, notes: list[str]) -> dict[Edge, Any]:
    """Polygons of all lanes and connectors in UTM; no two lanes overlap, since the devkit refuses a point in
    two lanes: what two share goes to the lower id."""
    import shapely

    out: dict[Edge, Any] = {}
    for edge in (*net.lanes, *net.connectors):
        shape = edge.polygon
        if shape is None:
            # Bounds that coincide leave no area; a sliver about the centreline stands in.
            shape = shapely.LineString(edge.lines[0]).buffer(0.05, cap_style="flat")
        out[edge] = shapely.transform(shape, lambda xy: xy + offset)
    lanes = net.lanes
    shapes = np.asarray([out[e] for e in lanes], dtype=object)
    tree = shapely.STRtree(shapes)
    first, second = tree.query(shapes, predicate="intersects")
    before = shapely.area(shapes)
    for i, j in sorted(zip(first.tolist(), second.tolist(), strict=True)):
        if i < j and shapely.area(shapely.intersection(shapes[i], shapes[j])) > 0.0:
            rest = [p for p in shapely.get_parts(shapely.difference(shapes[j], shapes[i])) if p.area > 1e-6]
            shapes[j] = max(rest, key=lambda p: p.area) if rest else shapes[j]
    for edge, shape, area in zip(lanes, shapes, before, strict=True):
        out[edge] = shape
        if shape.area < (1.0 - LOST) * area:
            name = net.roadmap.lane_ids[edge.piece.lane]
            notes.append(f"lane '{name}' gave {1.0 - shape.area / area:.0%} of its area to lanes it overlaps")
    return out


def _add_stops(layer: Layer, world: Placed, ids: Ids) -> dict[int, int]:
    """Stop polygons behind the stop lines; ids by lane."""
    import shapely

    m, out = world.roadmap, {}
    about = json.dumps({"world": world.number, "ground": True})
    for lane in np.flatnonzero(np.isfinite(m.stop_station) | (m.signal >= 0)):
        if m.kind[lane] > LaneKind.CONNECTOR:
            continue
        station = float(m.stop_station[lane])
        rows = m.rows(int(lane))
        if not np.isfinite(station):
            station = 0.0 if m.kind[lane] == LaneKind.CONNECTOR else float(m.length[lane])
        s, line = m.station[rows], m.points[rows]
        heading = np.unwrap(polyline_heading(line))
        edges = []
        for at in (station, station + STOP_DEPTH):
            inside = float(np.clip(at, s[0], s[-1]))
            h = float(np.interp(inside, s, heading))
            point = np.array([np.interp(inside, s, line[:, 0]), np.interp(inside, s, line[:, 1])])
            point = point + (at - inside) * np.array([np.cos(h), np.sin(h)])
            left, right = (float(np.interp(inside, s, m.half_width[rows, k])) for k in (0, 1))
            across = np.array([-np.sin(h), np.cos(h)])
            edges.append((point + left * across, point - right * across))
        ring = np.asarray([edges[0][0], edges[0][1], edges[1][1], edges[1][0]]) + world.offset
        out[int(lane)] = ids.claim()
        kind = STOP_LIGHT if m.signal[lane] >= 0 else STOP_YIELD
        layer.add(out[int(lane)], shapely.Polygon(ring), stop_polygon_type_fid=kind, drive=about)
    return out


def _add_areas(
    layers: dict[str, Layer], world: Placed, outline: dict[Edge, Any], ids: Ids
) -> list[tuple[int, Any]]:
    """Areas of the map, the drivable area as a whole, and the junctions; the latter with their ids.

    The column `drive` tells what a feature is: the area's place in the map's list and its id, or "ground"
    of what only restates the lanes.
    """
    import shapely

    m, offset = world.roadmap, np.asarray(world.offset)
    ground = json.dumps({"world": world.number, "ground": True})
    crossings: list[tuple[int, Any]] = []
    for k in range(len(m.areas)):
        kind = AreaKind(m.areas.kind[k])
        about = json.dumps({"world": world.number, "area": k, "id": m.area_ids[k] if m.area_ids else ""})
        shape = shapely.Polygon(m.areas[k] + offset)
        fid = ids.claim(m.area_ids[k] if m.area_ids else "")
        if kind in AREA_LAYERS:
            more = {"intersection_type_fid": 0} if kind == AreaKind.INTERSECTION else {}
            layers[AREA_LAYERS[kind]].add(fid, shape, drive=about, **more)
        else:
            layers["drive_areas"].add(fid, shape, kind=int(kind), drive=about)
        if kind == AreaKind.INTERSECTION:
            crossings.append((fid, shape))
    inside = [outline[e] for e in world.network.connectors if m.intersection[e.piece.lane] and not e.seam]
    inside = [p for p in inside if not any(a.intersects(p.representative_point()) for _, a in crossings)]
    for shape in shapely.get_parts(shapely.union_all(inside)) if inside else ():
        if shape.geom_type == "Polygon":
            crossings.append((ids.claim(), shape))
            layers["intersections"].add(crossings[-1][0], shape, intersection_type_fid=0, drive=ground)
    whole = shapely.transform(drivable_polygon(m), lambda xy: xy + offset)
    for shape in shapely.get_parts(whole):
        layers["road_segments"].add(ids.claim(), shape, drive=ground)
    for lane in (int(k) for k in np.flatnonzero(m.kind > LaneKind.CONNECTOR)):
        _add_other_lane(layers, world, lane, ids)
    return crossings


def _add_other_lane(layers: dict[str, Layer], world: Placed, lane: int, ids: Ids) -> None:
    """A lane that nobody drives on: as ground where nuPlan has ground for it, and whole in our own layer."""
    import shapely

    m, offset = world.roadmap, np.asarray(world.offset)
    rows = m.rows(lane)
    lines = shapely.MultiLineString([line[rows] + offset for line in (m.points, m.left, m.right)])
    limit = float(m.speed_limit[lane])
    about = {"world": world.number, "lane": m.lane_ids[lane], "limit": limit if np.isfinite(limit) else None}
    for name, near in (("successors", m.successors(lane)), ("predecessors", m.predecessors(lane))):
        about[name] = [m.lane_ids[k] for k in near]
    layers["drive_lanes"].add(ids.claim(), lines, drive=json.dumps({**about, **_properties(m, lane)}))
    ground = GROUND_LAYERS.get(LaneKind(m.kind[lane]))
    if ground is not None:
        ring = shapely.make_valid(shapely.Polygon(m.polygon(lane) + offset))
        for shape in (p for p in shapely.get_parts(ring) if p.geom_type == "Polygon"):
            about = {"world": world.number, "ground": True}
            layers[ground].add(ids.claim(), shape, drive=json.dumps(about))


def _multi(shapes: list[Any]) -> Any:
    """Union as one polygon of one or several parts."""
    import shapely

    whole = shapely.union_all(shapes)
    return shapely.MultiPolygon([p for p in shapely.get_parts(whole) if p.geom_type == "Polygon"])
