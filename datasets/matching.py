"""Lane sequences: from a start pose to goal lanes, and the one that a recorded vehicle really drove."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import polyline_heading, project_to_polyline, wrap_angle
from drive.roadmap import extend_route, find_route, route_groups, route_line
from drive.roadmap.index import GridIndex
from drive.scenario import Goal, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

BEYOND = 150.0
"""Metres that a route goes on beyond its goal, so that no planner meets the end of the world there."""
MAX_TURN = np.pi / 3.0
NO_LINK = 20.0
STRIDE = 5


def lanes_under(roadmap: RoadMap, point: Floats, heading: float | None) -> list[tuple[int, float]]:
    """Motor lanes whose polygon holds the point and that point its way, with costs, best first.

    The cost is the lateral offset in m plus 2 m per radian of heading. Empty off the lanes.
    """
    found = []
    for lane in GridIndex.of(roadmap).lanes_at(point):
        if roadmap.kind[lane] > 1:
            continue
        line = roadmap.centerline(lane)
        _, d, k = project_to_polyline(np.asarray(point)[None], line)
        cost = abs(float(d[0]))
        if heading is not None:
            turn = abs(float(wrap_angle(polyline_heading(line[k[0] : k[0] + 2])[0] - heading)))
            if turn > MAX_TURN:
                continue
            cost += 2.0 * turn
        found.append((lane, cost))
    return sorted(found, key=lambda item: (item[1], item[0]))


def start_lanes(roadmap: RoadMap, point: Floats, heading: float) -> list[int]:
    """Lanes that a vehicle may be said to drive on, best first; empty if none lies within 25 m."""
    under = [lane for lane, _ in lanes_under(roadmap, point, heading)]
    nearest = GridIndex.of(roadmap).nearest_lane(point, heading)
    if nearest is not None and nearest[0] not in under:
        under.append(nearest[0])
    return under


def any_change(roadmap: RoadMap) -> RoadMap:
    """The same map with every change to a neighbour permitted: people do cross solid lines."""
    return replace(roadmap, left_change=roadmap.left_lane >= 0, right_change=roadmap.right_lane >= 0)


def route_to(
    roadmap: RoadMap, starts: Sequence[int], goals: Iterable[int]
) -> tuple[tuple[int, ...] | None, bool]:
    """Lanes from the best start that has a way to a goal, and whether every lane change is permitted."""
    targets = tuple(goals)
    for permitted in (True, False):
        graph = roadmap if permitted else any_change(roadmap)
        for start in starts:
            lanes = find_route(graph, start, targets)
            if lanes is not None:
                return lanes, permitted
    return None, True


def make_route(
    roadmap: RoadMap, start: Floats, lanes: Sequence[int], goal: Goal, beyond: float = BEYOND
) -> Route:
    """A route from the position `start` along `lanes` and `beyond` metres farther, as far as road is."""
    longer = extend_route(roadmap, lanes, beyond)
    station, _, _ = project_to_polyline(start[None, :2], roadmap.centerline(longer[0]))
    line = route_line(roadmap, longer, float(station[0]))
    return Route(longer, route_groups(roadmap, longer), line, goal)


def driven_lanes(roadmap: RoadMap, poses: Floats) -> tuple[int, ...]:
    """The lane sequence that a vehicle with centre poses `(T, 3)` drove; empty where it never was on a lane.

    The most likely path through the lanes under every fifth pose (Viterbi; offset and heading cost, lane
    changes cost more than following the road), joined through the lane graph.
    """
    graph = any_change(roadmap)
    picks = poses[np.unique(np.append(np.arange(0, len(poses), STRIDE), len(poses) - 1))]
    columns: list[list[tuple[int, float]]] = []
    kept: list[Floats] = []
    for pose in picks:
        under = lanes_under(roadmap, pose[:2], float(pose[2]))
        if not under and (near := GridIndex.of(roadmap).nearest_lane(pose[:2], float(pose[2]), radius=4.0)):
            under = [(near[0], abs(near[2]))]
        if under:
            columns.append(under)
            kept.append(pose)
    if not columns:
        return ()
    links: dict[tuple[int, int], tuple[int, ...] | None] = {}

    def link(a: int, b: int, moved: float) -> tuple[int, ...] | None:
        if (a, b) not in links:
            reach = 2.0 * moved + 60.0 + float(graph.length[a])
            links[a, b] = find_route(graph, a, (b,), max_length=reach)
        return links[a, b]

    total = np.asarray([cost for _, cost in columns[0]])
    back: list[NDArray[np.intp]] = []
    for t in range(1, len(columns)):
        moved = float(np.hypot(*(kept[t][:2] - kept[t - 1][:2])))
        step = np.asarray(
            [[_link_cost(graph, link(a, b, moved)) for a, _ in columns[t - 1]] for b, _ in columns[t]]
        )
        through = step + total[None]
        back.append(np.argmin(through, axis=1))
        total = through.min(1) + np.asarray([cost for _, cost in columns[t]])
    at = int(np.argmin(total))
    chain = [columns[-1][at][0]]
    for t in range(len(back) - 1, -1, -1):
        at = int(back[t][at])
        chain.append(columns[t][at][0])
    return _join(graph, chain[::-1], links)


def _link_cost(roadmap: RoadMap, lanes: tuple[int, ...] | None) -> float:
    if lanes is None:
        return NO_LINK
    steps = pairwise(lanes)
    return sum(0.1 if b in roadmap.successors(a) else 1.0 for a, b in steps)


def _join(
    graph: RoadMap, chain: list[int], links: dict[tuple[int, int], tuple[int, ...] | None]
) -> tuple[int, ...]:
    """Chain of matched lanes as one connected sequence; ends where the graph has no way on."""
    out = [chain[0]]
    for lane in chain[1:]:
        if lane == out[-1]:
            continue
        way = links.get((out[-1], lane)) or find_route(graph, out[-1], (lane,))
        if way is None:
            break
        out.extend(way[1:])
    return tuple(out)
