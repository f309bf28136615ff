"""The way that a planner on roads follows: lanes on the route, their centreline, and paths beside it.

Source of the search: tuplan_garage, abstract_pdm_planner.py and utils/route_utils.py. Two things are
ours: where no lane leads on to the next group, the way changes lanes instead of ending; and beyond the
route's end it goes on along the straightest lanes.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from drive.geometry import (
    Projector,
    arc_length,
    points_in_polygon,
    polyline_heading,
    project_to_polyline,
    remove_duplicates,
    resample_polyline,
    unwrap_angle,
    wrap_angle,
)
from drive.roadmap.index import GridIndex
from drive.roadmap.model import LaneKind
from drive.roadmap.route import extend_route, find_route, route_groups, route_line
from drive.sim.kernels.pdm_plan import nearest_segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.scenario import Route

    Floats = NDArray[np.float64]

HEADING_TOLERANCE = np.pi / 4.0
BEHIND = 15.0
"""Metres of road behind the ego that the path should cover."""


class WaySettings(Protocol):
    """What the search and the sampling of a way depend on: lengths in m, times in s, speeds in m/s.

    `offsets` of the paths beside the centreline, sampled every `path_step`; the way is searched
    `search_depth` lane groups ahead, reaches up to `path_ahead` beyond the ego and `path_extension` beyond
    the route; a change of lanes takes `lane_change_time`; `fallback_speed` holds where a lane has no limit.
    """

    @property
    def offsets(self) -> tuple[float, ...]: ...
    @property
    def fallback_speed(self) -> float: ...
    @property
    def search_depth(self) -> int: ...
    @property
    def path_step(self) -> float: ...
    @property
    def path_ahead(self) -> float: ...
    @property
    def path_extension(self) -> float: ...
    @property
    def lane_change_time(self) -> float: ...


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """The centreline and the paths beside it, compiled.

    `origin (2,)` to which positions are relative; `lines (J, P, 2)` the paths, `station (J, P)` along
    each; path 0 is sampled evenly and has offset 0 if the settings begin with 0. `line (P, 2)`,
    `line_station (P,)`, `heading (P,)` unwrapped, `limit (P,)` in m/s and `half_width (P,)` belong to
    the centreline, `lane_of (P,)` the lane that each of its vertices lies on, -1 none. `stops (J, Q)` are
    stations of stop lines on each path, `signals (Q,)` their signals; `give_way (G,)` stations on the
    centreline of those that belong to no signal.
    """

    origin: Floats
    line: Floats
    line_station: Floats
    heading: Floats
    limit: Floats
    half_width: Floats
    lane_of: NDArray[np.int32]
    lines: Floats
    station: Floats
    stops: Floats
    signals: NDArray[np.int32]
    give_way: Floats
    lanes: tuple[int, ...]
    on_route: tuple[int, ...]
    truncated: bool


def find_way(roadmap: RoadMap, route: Route, ego: Floats, settings: WaySettings) -> Way | None:
    """The way from the ego's state `(7,)`, or None where there is no lane to follow."""
    lanes, allowed = find_lanes(roadmap, route, ego, settings)
    if not lanes:
        return None
    return compile_way(roadmap, lanes, allowed, ego, settings)


def find_lanes(
    roadmap: RoadMap, route: Route, ego: Floats, settings: WaySettings
) -> tuple[tuple[int, ...], frozenset[int]]:
    """Lanes to follow and the lanes that count as on the route; without a lane near both are empty."""
    groups = route.groups or route_groups(roadmap, route.lanes)
    groups = tuple(dict.fromkeys(int(g) for g in groups))
    here = GridIndex.of(roadmap).nearest_lane(ego[:2], float(ego[2]))
    if not groups:
        if here is None:
            return (), frozenset()
        lanes = extend_route(roadmap, (here[0],), settings.path_ahead)
        return lanes, _lanes_of(roadmap, route_groups(roadmap, lanes)) | set(lanes)
    allowed = _lanes_of(roadmap, groups) | {int(lane) for lane in route.lanes}
    start = _starting_lane(roadmap, allowed, ego)
    if start is None and here is not None:
        # Off the route: drive to it if a lane leads there.
        back = find_route(roadmap, here[0], allowed, 2000.0)
        if back is not None:
            allowed = allowed | set(back)
            start = here[0]
    if start is None:
        start = _nearest_of(roadmap, allowed, ego)
    if start is None:
        return (), frozenset()
    group = int(roadmap.group[start])
    begin = groups.index(group) if group in groups else 0
    target = groups[min(begin + settings.search_depth, len(groups)) - 1]
    lanes, reached = _shortest(roadmap, start, target, allowed)
    if not reached:
        goals = _lanes_of(roadmap, (target,))
        # Another way there may be as short, as in a grid of streets; the route's own comes first.
        change = find_route(roadmap, start, goals, among=allowed) or find_route(roadmap, start, goals)
        lanes = change if change is not None else lanes
    return extend_route(roadmap, lanes, settings.path_extension), frozenset(allowed | set(lanes))


def _lanes_of(roadmap: RoadMap, groups: Sequence[int]) -> frozenset[int]:
    member = np.isin(roadmap.group, groups) & (roadmap.kind <= LaneKind.CONNECTOR)
    return frozenset(int(lane) for lane in np.flatnonzero(member))


def _starting_lane(roadmap: RoadMap, allowed: frozenset[int], ego: Floats) -> int | None:
    """Of the allowed lanes that hold the rear axle, the one that points most the ego's way."""
    best, least = None, HEADING_TOLERANCE * 2.0
    for lane in GridIndex.of(roadmap).near(float(ego[0]), float(ego[1])):
        if int(lane) not in allowed or not points_in_polygon(ego[:2], roadmap.polygon(int(lane))):
            continue
        line = roadmap.centerline(int(lane))
        _, _, k = project_to_polyline(ego[None, :2], line)
        segment = line[k[0] + 1] - line[k[0]]
        turn = abs(float(wrap_angle(np.arctan2(segment[1], segment[0]) - ego[2])))
        if turn < least - 1e-6:
            best, least = int(lane), turn
    return best


def _nearest_of(roadmap: RoadMap, allowed: frozenset[int], ego: Floats) -> int | None:
    best, least = None, np.inf
    for lane in sorted(allowed):
        line = roadmap.centerline(lane)
        gap = float(np.hypot(*(line - ego[:2]).T).min())
        if gap < least:
            best, least = lane, gap
    return best


def _shortest(
    roadmap: RoadMap, start: int, target: int, allowed: frozenset[int]
) -> tuple[tuple[int, ...], bool]:
    """Dijkstra along successors on the route: lanes to the target group, or the deepest way found."""
    cost, depth, parent = {start: 0.0}, {start: 1}, {start: -1}
    queue, done = [(0.0, start)], set()
    end, reached = start, False
    while queue:
        c, lane = heapq.heappop(queue)
        if lane in done:
            continue
        done.add(lane)
        if int(roadmap.group[lane]) == target:
            end, reached = lane, True
            break
        if (depth[lane], -c) > (depth[end], -cost[end]):
            end = lane
        for n in roadmap.successors(lane):
            nxt, total = int(n), c + float(roadmap.length[n])
            if nxt in allowed and nxt not in done and total < cost.get(nxt, np.inf):
                cost[nxt], depth[nxt], parent[nxt] = total, depth[lane] + 1, lane
                heapq.heappush(queue, (total, nxt))
    path = [end]
    while parent[path[-1]] >= 0:
        path.append(parent[path[-1]])
    return tuple(reversed(path)), reached


def compile_way(
    roadmap: RoadMap, lanes: Sequence[int], allowed: frozenset[int], ego: Floats, settings: WaySettings
) -> Way:
    """Sample the centreline of a lane sequence and lay the offset paths beside it."""
    raw = _centreline(roadmap, lanes, ego, settings)
    station = arc_length(raw)
    here = float(project_to_polyline(ego[None, :2], raw)[0][0])
    truncated = bool(station[-1] - here > settings.path_ahead)
    if truncated:
        raw = raw[: int(np.searchsorted(station, here + settings.path_ahead)) + 1]
    origin = ego[:2].copy()
    line = resample_polyline(raw - origin, settings.path_step)
    along = arc_length(line)
    heading = np.asarray(unwrap_angle(polyline_heading(line)))
    normal = np.stack((-np.sin(heading), np.cos(heading)), axis=-1)
    lines = line[None] + np.asarray(settings.offsets)[:, None, None] * normal[None]
    stations = np.stack([arc_length(path) for path in lines])
    limit, half_width, lane_of = _per_vertex(roadmap, lanes, line + origin, settings)
    at, signals = _stop_lines(roadmap, lanes, line + origin, along)
    give_way, signals = at[signals < 0], signals[signals >= 0]
    at = at[: len(at) - len(give_way)]
    stops = np.stack([np.interp(at, along, s) for s in stations]) + np.minimum(at, 0.0)
    return Way(
        origin,
        line,
        along,
        heading,
        limit,
        half_width,
        lane_of,
        np.ascontiguousarray(lines),
        stations,
        np.ascontiguousarray(stops),
        signals,
        give_way,
        tuple(int(lane) for lane in lanes),
        tuple(sorted(allowed)),
        truncated,
    )


def _centreline(roadmap: RoadMap, lanes: Sequence[int], ego: Floats, settings: WaySettings) -> Floats:
    """The line along the lanes; a change right at the start begins where the ego is."""
    first = int(lanes[0])
    s = float(project_to_polyline(ego[None, :2], roadmap.centerline(first))[0][0])
    pieces = [roadmap.centerline(first)]
    rest = list(lanes[1:])
    if rest and rest[0] not in roadmap.successors(first):
        chain = [first]
        while rest and rest[0] not in roadmap.successors(chain[-1]):
            chain.append(int(rest.pop(0)))
        pieces = [_change(roadmap, first, chain[-1], s, float(ego[3]) * settings.lane_change_time)]
    if rest:
        pieces.append(route_line(roadmap, rest))
    if s < BEHIND:
        heading = roadmap.heading[roadmap.lane_start[first]]
        before = [
            (abs(float(wrap_angle(roadmap.heading[roadmap.lane_start[p + 1] - 1] - heading))), int(p))
            for p in roadmap.predecessors(first)
            if roadmap.kind[p] <= LaneKind.CONNECTOR and int(p) != first
        ]
        if before:
            pieces.insert(0, roadmap.centerline(min(before)[1]))
    return remove_duplicates(np.concatenate(pieces), 1e-2)


def _change(roadmap: RoadMap, start: int, end: int, station: float, length: float) -> Floats:
    """From one lane's centreline over to a neighbour's, beginning at `station`."""
    total = float(roadmap.length[start])
    n = max(int(total / 2.0), 8)
    u = np.linspace(0.0, 1.0, n + 1)
    both = []
    for lane in (start, end):
        rows = roadmap.rows(lane)
        at = roadmap.station[rows] / roadmap.length[lane]
        p = roadmap.points[rows]
        both.append(np.stack((np.interp(u, at, p[:, 0]), np.interp(u, at, p[:, 1])), axis=-1))
    begin = min(max(station, 0.0), total)
    length = min(max(length, 25.0), max(0.9 * (total - begin), 1.0))
    w = np.clip((u * total - begin) / length, 0.0, 1.0)
    w = (w * w * (3.0 - 2.0 * w))[:, None]
    return np.asarray((1.0 - w) * both[0] + w * both[1])


def _per_vertex(
    roadmap: RoadMap, lanes: Sequence[int], line: Floats, settings: WaySettings
) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Speed limit and half width of the lane at each vertex of the line, and which lane that is."""
    limit, half = np.full(len(line), np.nan), np.full(len(line), 1.75)
    lane_of = np.full(len(line), -1, dtype=np.int32)
    gap = np.full(len(line), np.inf)
    for lane in dict.fromkeys(int(x) for x in lanes):
        rows = roadmap.rows(lane)
        points = roadmap.points[rows]
        low, high = points.min(0) - 5.0, points.max(0) + 5.0
        near = np.flatnonzero(((line >= low) & (line <= high)).all(1))
        if not len(near):
            continue
        s, d, k = project(line[near], points)
        beyond = np.maximum(np.maximum(-s, s - roadmap.length[lane]), 0.0)
        away = np.hypot(d, beyond)
        better = away < gap[near] - 1e-6
        take = near[better]
        gap[take] = away[better]
        lane_of[take] = lane
        limit[take] = roadmap.limit(lane, settings.fallback_speed)
        width = np.hypot(*(roadmap.left[rows] - roadmap.right[rows]).T)
        half[take] = 0.5 * width[k[better]]
    return np.where(np.isfinite(limit), limit, settings.fallback_speed), half, lane_of


def project(points: Floats, line: Floats) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """`project_to_polyline` for hundreds of points, in a time that does not grow with their product."""
    projector = Projector(line)
    nearest = np.empty(len(points), dtype=np.intp)
    nearest_segments(projector.vertices, projector.station, points, nearest)
    return projector.feet(points, nearest)


def stop_on_lane(roadmap: RoadMap, lane: int) -> float | None:
    """Station on a lane of its stop line, with or without a signal; None where it has none.

    A signal without a line holds at the junction: before a lane in it, at the end of one that leads there.
    """
    stop = float(roadmap.stop_station[lane])
    if np.isfinite(stop):
        return stop
    if roadmap.signal[lane] < 0:
        return None
    return 0.0 if roadmap.intersection[lane] else float(roadmap.length[lane])


def _stop_lines(
    roadmap: RoadMap, lanes: Sequence[int], line: Floats, along: Floats
) -> tuple[Floats, NDArray[np.int32]]:
    """Stations `(Q,)` on the line of the lanes' stop lines, and their signals `(Q,)`, -1 none, those last."""
    at, signals = [], []
    for lane in sorted(dict.fromkeys(int(x) for x in lanes), key=lambda x: bool(roadmap.signal[x] < 0)):
        stop = stop_on_lane(roadmap, lane)
        if stop is None:
            continue
        rows = roadmap.rows(lane)
        inside = min(max(stop, 0.0), float(roadmap.length[lane]))
        p = roadmap.points[rows]
        point = [np.interp(inside, roadmap.station[rows], p[:, k]) for k in range(2)]
        s, d, _ = project_to_polyline(np.array([point]), line)
        if abs(d[0]) > 10.0 or s[0] > along[-1]:
            continue
        at.append(float(s[0]) + min(stop, 0.0))
        signals.append(int(roadmap.signal[lane]))
    return np.asarray(at, dtype=np.float64), np.asarray(signals, dtype=np.int32)
