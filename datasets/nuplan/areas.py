"""Polygons of a map: areas, which lanes lie in junctions, and where stop lines are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.nuplan.rejoin import full_name
from drive.datasets.nuplan.schema import STOP_LIGHT, STOP_YIELD
from drive.errors import MapError
from drive.roadmap import AreaKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drive.datasets.nuplan.edges import RawEdge
    from drive.datasets.nuplan.gpkg import Features
    from drive.roadmap import RoadMapBuilder

AREAS = {
    "road_segments": AreaKind.ROAD,
    "intersections": AreaKind.INTERSECTION,
    "carpark_areas": AreaKind.PARKING,
    "generic_drivable_areas": AreaKind.GENERIC,
    "crosswalks": AreaKind.CROSSWALK,
    "walkways": AreaKind.WALKWAY,
    "stop_polygons": AreaKind.STOP,
}


def add_areas(
    builder: RoadMapBuilder, layers: Mapping[str, Features], name: str, restore: bool, notes: list[str]
) -> list[int]:
    """Put the areas into the map; returns for each of which road map it is (-1 where the file is not ours).

    Polygons with holes are cut into ones without. With `restore`, for files that we wrote, what only
    restates the lanes is left out, and the order is the one in which the areas were written.
    """
    import shapely

    found: list[tuple[tuple[int, int], Any, AreaKind, str]] = []
    empty = 0
    for layer_name in (*AREAS, "drive_areas"):
        layer = layers.get(layer_name)
        if layer is None:
            continue
        kinds = layer.columns.get("kind")
        for k, shape in enumerate(layer.shapes):
            world, order, area_id = -1, k, str(layer.fids[k])
            about = _told(layer.columns["drive"][k] if "drive" in layer.columns else None, name)
            world = about.get("world", -1)
            if restore:
                if "area" not in about:
                    continue
                order, area_id = about["area"], full_name((world, about["id"])) if about["id"] else ""
            kind = AREAS.get(layer_name) if kinds is None else AreaKind(int(kinds[k]))
            polygons = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon"] if shape else []
            empty += not polygons
            for polygon in polygons:
                found += [
                    ((world, order), ring, AreaKind(kind or 0), area_id) for ring in simple_rings(polygon)
                ]
    if restore:
        found.sort(key=lambda item: item[0])
    worlds = []
    for (world, _), ring, kind, area_id in found:
        try:
            builder.add_area(ring, kind, area_id)
            worlds.append(world)
        except MapError:
            empty += 1
    if empty:
        notes.append(f"{empty} areas without extent are left out")
    return worlds


def simple_rings(polygon: Any) -> list[Any]:
    """Outlines `(N, 2)` of pieces without holes that make up a polygon (shapely)."""
    import shapely

    if not len(polygon.interiors):
        return [shapely.get_coordinates(polygon.exterior)]
    if not polygon.is_valid:
        whole = shapely.make_valid(polygon)
        parts = [p for p in shapely.get_parts(whole) if p.geom_type == "Polygon"]
        return [ring for part in parts for ring in simple_rings(part)] if len(parts) else []
    x0, y0, x1, y1 = polygon.bounds
    # A cut through a hole opens it; the pieces have one hole fewer at least.
    cut = shapely.get_x(polygon.interiors[0].centroid)
    out = []
    for box in (
        shapely.box(x0 - 1.0, y0 - 1.0, cut, y1 + 1.0),
        shapely.box(cut, y0 - 1.0, x1 + 1.0, y1 + 1.0),
    ):
        for part in shapely.get_parts(shapely.intersection(polygon, box)):
            if part.geom_type == "Polygon" and part.area > 1e-6:
                out += simple_rings(part)
    return out


def junctions(edges: Sequence[RawEdge], layers: Mapping[str, Features]) -> set[int]:
    """Connectors whose middle lies in an intersection."""
    import shapely

    shapes = [s for s in layers["intersections"].shapes if s is not None]
    inside = [e for e in edges if e.connector]
    if not shapes or not inside:
        return set()
    middle = shapely.points(np.asarray([e.center[len(e.center) // 2] for e in inside]))
    hits = shapely.STRtree(shapes).query(middle, predicate="intersects")[0]
    return {inside[int(k)].fid for k in hits}


def stop_lines(edges: Sequence[RawEdge], layers: Mapping[str, Features]) -> dict[int, float]:
    """Stations of stop lines in m, by the id of the lane or connector that they hold up.

    A connector with lights stops where it enters the nearest of its stop polygons, which may lie on the lane
    before it (a negative station), else at its start. A yield polygon makes a give-way line on the lane that
    runs into it.
    """
    import shapely

    layer = layers["stop_polygons"]
    polygons = dict(zip(layer.fids.tolist(), layer.shapes, strict=True))
    kinds = dict(zip(layer.fids.tolist(), layer.whole("stop_polygon_type_fid"), strict=True))
    at = {edge.fid: edge for edge in edges}
    out: dict[int, float] = {}
    for edge in edges:
        if not edge.lights:
            continue
        line = shapely.LineString(edge.center)
        known = [f for f in edge.lights if polygons.get(f) is not None]
        found = [polygons[f] for f in known if kinds[f] == STOP_LIGHT] or [polygons[f] for f in known]
        stations = [s for p in found if (s := _entry(line, p)) is not None]
        before = at.get(edge.source or -1)
        if not stations and before is not None:
            way = shapely.LineString(before.center)
            stations = [s - way.length for p in found if (s := _entry(way, p)) is not None]
        out[edge.fid] = min(stations, key=abs) if stations else 0.0
    yields = [(f, p) for f, p in polygons.items() if kinds[f] == STOP_YIELD and p is not None]
    if yields:
        plain = [e for e in edges if not e.lights]
        lines = np.asarray([shapely.LineString(e.center) for e in plain], dtype=object)
        shapes = [p for _, p in yields]
        first, second = shapely.STRtree(shapes).query(lines, predicate="intersects")
        hits = sorted(zip(first.tolist(), second.tolist(), strict=True))
        held = {plain[i].fid for i, _ in hits if not plain[i].connector}
        for i, j in hits:
            edge = plain[i]
            if edge.connector and edge.source in held:
                continue
            station = _entry(lines[i], shapes[j])
            if station is not None:
                out.setdefault(edge.fid, station)
    return out


def _entry(line: Any, polygon: Any) -> float | None:
    """Station at which a line first meets a polygon; None where it does not."""
    import shapely

    common = shapely.intersection(line, polygon)
    if common.is_empty:
        return None
    return float(shapely.line_locate_point(line, shapely.points(shapely.get_coordinates(common))).min())


def _told(text: Any, name: str) -> dict[str, Any]:
    """The column `drive` of an area; empty for what only restates the lanes."""
    try:
        about = json.loads(text) if text else {}
        if "area" in about:
            return {"world": int(about["world"]), "area": int(about["area"]), "id": str(about["id"])}
        return {"world": int(about["world"])} if about else {}
    except (TypeError, ValueError, KeyError, RecursionError):
        raise MapError(
            f"{name}: the column 'drive' holds '{str(text)[:40]}' instead of what we write"
        ) from None
