"""Map features to a `RoadMap`: lanes get widths, neighbours and stop lines, and the ground is approximated.

The data set gives lanes by their middles. A lane's half width at a point is the distance to the road line or
edge that the lane names there, else half the distance to the lane beside, else to a road edge near by, else
half of 3.5 m. There is no drivable area: ground within `REACH` of a motor lane's middle counts, up to road
edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from drive.errors import MapError
from drive.geometry import arc_length, polyline_heading, project_to_polyline, remove_duplicates
from drive.roadmap import AreaKind, LaneKind, LaneSpec, Marking, RoadMap, RoadMapBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.datasets.waymo.features import Features, Lane, Neighbour

    Floats = NDArray[np.float64]

MPH = 0.44704
REACH = 4.0
"""Metres beside a lane's middle that count as ground to drive on."""
HALF_LANE, HALF_BIKE = 1.75, 0.9
LEAST, MOST = 0.9, 3.0
"""Bounds of a lane's half width in m; what lies farther off is not the lane's own edge."""
SHARED = 0.7
"""Part of both lanes along which they must lie side by side to count as neighbours."""
SAME_LEVEL = 3.0
"""Metres between the heights of lanes that meet; more is a bridge."""
BIKE = 3
BROKEN, SOLID, DOUBLE = (1, 4, 5), (2, 6), (3, 7, 8)
MARKINGS = {
    **dict.fromkeys(BROKEN, Marking.DASHED),
    **dict.fromkeys(SOLID, Marking.SOLID),
    **dict.fromkeys(DOUBLE, Marking.DOUBLE_SOLID),
}
SMOOTH = 9
"""Points of a moving mean over half widths; the data set's points lie half a metre apart."""


def build_roadmap(
    features: Features, origin: tuple[float, float], stops: Mapping[int, Floats]
) -> tuple[RoadMap, tuple[str, ...]]:
    """The road map relative to `origin`, and notes on what had to be left out.

    `stops` are the lanes with a signal and their stop points `(2,)`, NaN where none was told. Raises MapError
    for a map without lanes.
    """
    if not features.lanes:
        raise MapError("the map is empty: it has no lane")
    builder = RoadMapBuilder(origin)
    notes: list[str] = []
    edges = [e for e in features.edges.values() if len(e) > 1]
    tree = shapely.STRtree([shapely.LineString(edge[:, :2]) for edge in edges])
    links = {ident: dict.fromkeys(lane.exits) for ident, lane in features.lanes.items()}
    for ident, lane in features.lanes.items():
        for before in lane.entries:
            if before in links:
                links[before][ident] = None
    inside = crossing_lanes(features, links)
    notes.append(f"{len(inside)} lanes that cross others are taken to lie in intersections")
    partial = 0
    for lane in features.lanes.values():
        beside = {side: _neighbour(features, lane, side) for side in ("left", "right")}
        partial += sum(len(lane.neighbours[side]) > 0 and beside[side] is None for side in beside)
        builder.add(_spec(features, lane, tree, beside, tuple(links[lane.id]), lane.id in inside))
    if partial:
        notes.append(f"{partial} neighbours that lie beside a lane for less than {SHARED:.0%} are left out")
    for lane in features.lanes.values():
        for ring in _ground(lane, tree) if lane.kind != BIKE else ():
            builder.add_area(ring, AreaKind.GENERIC, f"ground {lane.id}")
    for areas, kind in (
        (features.crosswalks, AreaKind.CROSSWALK),
        (features.driveways, AreaKind.GENERIC),
    ):
        for ident, ring in areas.items():
            try:
                builder.add_area(ring, kind, str(ident))
            except MapError as error:
                notes.append(f"map feature {ident}: {error}")
    _place_stops(features, builder, stops, notes)
    return builder.build(), tuple(notes)


def _spec(
    features: Features,
    lane: Lane,
    tree: Any,
    beside: Mapping[str, Neighbour | None],
    successors: tuple[int, ...],
    inside: bool,
) -> LaneSpec:
    line = remove_duplicates(lane.line, 1e-3)
    kept = np.searchsorted(arc_length(lane.line[:, :2]), arc_length(line[:, :2]) - 1e-9)
    kept = np.minimum(kept, len(lane.line) - 1)
    heading = polyline_heading(line[:, :2])
    across = np.stack((-np.sin(heading), np.cos(heading)), axis=-1)
    bounds = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        half = half_widths(features, lane, side, tree)[kept]
        bounds[side] = np.column_stack((line[:, :2] + sign * half[:, None] * across, line[:, 2]))
    kind = LaneKind.CONNECTOR if inside else LaneKind.LANE
    names = {side: str(near.lane) if near is not None else None for side, near in beside.items()}
    return LaneSpec(
        id=str(lane.id),
        left=bounds["left"],
        right=bounds["right"],
        center=line,
        kind=LaneKind.BICYCLE if lane.kind == BIKE else kind,
        speed_limit=lane.limit_mph * MPH,
        intersection=inside,
        successors=tuple(str(s) for s in successors),
        left_lane=names["left"],
        right_lane=names["right"],
        left_change=_may_change(beside["left"]),
        right_change=_may_change(beside["right"]),
        left_marking=_marking(features, lane, "left", beside["left"]),
        right_marking=_marking(features, lane, "right", beside["right"]),
    )


def crossing_lanes(features: Features, links: Mapping[int, Mapping[int, object]]) -> set[int]:
    """Lanes whose middle crosses that of another at the same height: the data set does not name
    intersections. One that follows another or branches off from the same lane does not cross it."""
    lanes = [lane for lane in features.lanes.values() if lane.kind != BIKE]
    lines = np.asarray([shapely.LineString(lane.line[:, :2]) for lane in lanes], dtype=object)
    one, two = shapely.STRtree(lines).query(lines, predicate="crosses")
    before: dict[int, set[int]] = {}
    for ident, after in links.items():
        for follower in after:
            before.setdefault(follower, set()).add(ident)
    inside: set[int] = set()
    for a, b in zip(one.tolist(), two.tolist(), strict=True):
        first, second = lanes[a].id, lanes[b].id
        related = second in links[first] or first in links[second]
        if a >= b or related or before.get(first, set()) & before.get(second, set()):
            continue
        meet = shapely.get_coordinates(shapely.intersection(lines[a], lines[b]))[0]
        heights = [
            lanes[k].line[int(np.argmin(np.hypot(*(lanes[k].line[:, :2] - meet).T))), 2] for k in (a, b)
        ]
        if abs(heights[0] - heights[1]) < SAME_LEVEL:
            inside |= {first, second}
    return inside


def half_widths(features: Features, lane: Lane, side: str, tree: Any) -> Floats:
    """Half widths `(N,)` of a lane at its points, to the left or to the right."""
    points = shapely.points(lane.line[:, :2])
    half = np.full(len(points), np.nan)
    ranges = [(int(a), int(b), int(of)) for _, a, b, of, _ in lane.bounds[side].tolist()]
    for first, last, of in ranges:
        other = features.edges[of] if of in features.edges else features.lines.get(of, (0, None))[1]
        if other is not None and len(other) > 1:
            _closest(half, points, slice(max(first, 0), max(last, 0) + 1), other, 1.0)
    for near in lane.neighbours[side]:
        if near.lane in features.lanes and np.isnan(half).any():
            rows = slice(max(near.first, 0), max(near.last, 0) + 1)
            _closest(half, points, rows, features.lanes[near.lane].line, 0.5, only_unknown=True)
    unknown = np.isnan(half)
    if unknown.any() and len(tree.geometries):
        half[unknown] = _to_edge(lane.line, side, tree)[unknown]
    default = HALF_BIKE if lane.kind == BIKE else HALF_LANE
    half = np.where((half >= LEAST) & (half <= MOST), half, np.nan)
    known = np.flatnonzero(~np.isnan(half))
    if not len(known):
        return np.full(len(half), default)
    # Short holes are bridged from their ends; far from anything known a lane is as wide as usual.
    at = np.arange(len(half))
    filled = np.interp(at, known, half[known])
    far = np.abs(at[:, None] - known[None]).min(1) > 4 * SMOOTH
    filled[far] = default
    padded = np.pad(filled, SMOOTH // 2, mode="edge")
    return np.convolve(padded, np.full(SMOOTH, 1.0 / SMOOTH), mode="valid")


def _closest(
    half: Floats, points: Any, rows: slice, line: Floats, part: float, only_unknown: bool = False
) -> None:
    distance = part * shapely.distance(points[rows], shapely.LineString(line[:, :2]))
    new = np.isnan(half[rows]) if only_unknown else np.ones(len(distance), dtype=np.bool_)
    half[rows] = np.where(new, np.fmin(half[rows], distance), half[rows])


def _to_edge(line: Floats, side: str, tree: Any) -> Floats:
    """Distances `(N,)` to the first road edge across the lane on one side; NaN for none within `MOST`."""
    heading = polyline_heading(line[:, :2])
    sign = 1.0 if side == "left" else -1.0
    across = sign * MOST * np.stack((-np.sin(heading), np.cos(heading)), axis=-1)
    rays = shapely.linestrings(np.stack((line[:, :2], line[:, :2] + across), axis=1))
    ray, edge = tree.query(rays, predicate="intersects")
    out = np.full(len(line), np.nan)
    if len(ray):
        met = shapely.intersection(rays[ray], tree.geometries[edge])
        gap = shapely.distance(met, shapely.points(line[ray, :2]))
        np.fmin.at(out, ray, gap)
    return out


def _neighbour(features: Features, lane: Lane, side: str) -> Neighbour | None:
    """The lane that lies beside nearly all of this one, if there is one."""
    best, most = None, SHARED
    for near in lane.neighbours[side]:
        other = features.lanes.get(near.lane)
        if other is None or near.lane == lane.id:
            continue
        here = (near.last - near.first + 1) / len(lane.line)
        there = (near.there[1] - near.there[0] + 1) / len(other.line)
        if min(here, there) >= most:
            best, most = near, min(here, there)
    return best


def _may_change(near: Neighbour | None) -> bool:
    """Whether the line towards a neighbour may be crossed along most of it."""
    if near is None:
        return False
    length = near.bounds[:, 2] - near.bounds[:, 1] + 1.0
    solid = np.isin(near.bounds[:, 4], (*SOLID, *DOUBLE))
    return bool(length[solid].sum() <= 0.5 * length.sum())


def _marking(features: Features, lane: Lane, side: str, near: Neighbour | None) -> Marking:
    """The line that stands longest at one side of a lane."""
    table = lane.bounds[side] if len(lane.bounds[side]) else near.bounds if near is not None else None
    if table is None or not len(table):
        return Marking.NONE
    longest = table[int(np.argmax(table[:, 2] - table[:, 1]))]
    if int(longest[3]) in features.edges:
        return Marking.CURB
    return MARKINGS.get(int(longest[4]), Marking.NONE)


def _ground(lane: Lane, tree: Any) -> list[Floats]:
    """Simple rings of ground along a lane: within `REACH` of its middle and this side of road edges."""
    middle = shapely.LineString(lane.line[:, :2])
    strip = shapely.buffer(middle, REACH, cap_style="flat", join_style="mitre", mitre_limit=1.5)
    near = tree.query(strip, predicate="intersects")
    if len(near):
        walls = shapely.union_all(shapely.buffer(tree.geometries[near], 0.02, cap_style="flat"))
        strip = shapely.difference(strip, walls)
    parts = [p for p in shapely.get_parts(strip) if p.geom_type == "Polygon" and p.area > 1.0]
    kept = [p for p in parts if shapely.length(shapely.intersection(p, middle)) > 0.5]
    return [shapely.get_coordinates(shapely.get_exterior_ring(p)) for p in kept]


def _place_stops(
    features: Features, builder: RoadMapBuilder, stops: Mapping[int, Floats], notes: list[str]
) -> None:
    for lane, point in stops.items():
        spec = builder.lanes.get(str(lane))
        if spec is None:
            notes.append(f"a signal stands on lane {lane}, which the map does not have")
            continue
        spec.signal = str(lane)
        spec.stop_station = station(spec, point - builder.origin) if np.isfinite(point).all() else 0.0
    for lanes, place in features.stops:
        for lane in lanes:
            spec = builder.lanes.get(str(lane))
            # A signal rules where both stand.
            if spec is not None and spec.signal is None and len(place):
                spec.stop_station = station(spec, place[-1, :2] - builder.origin)


def station(spec: LaneSpec, point: Floats) -> float:
    """Station of the place on a lane that lies beside a point; negative before the lane's start."""
    line = spec.center if spec.center is not None else spec.left
    s, _, _ = project_to_polyline(point[None], line)
    if s[0] > 0.0:
        return float(s[0])
    ahead = (line[1] - line[0]) / np.hypot(*(line[1] - line[0]))
    return float(np.clip((point - line[0]) @ ahead, -15.0, 0.0))
