"""Map and route for a planner in the devkit's simulation: what its adapter hands on of the map's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.nuplan.city import load_city
from drive.geometry import project_to_polyline, wrap_angle
from drive.roadmap.model import LaneKind
from drive.roadmap.route import extend_route, find_route, route_groups, route_line
from drive.scenario import Goal, Route

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drive.roadmap.model import RoadMap

AHEAD = 300.0
"""m that a route is carried on where the roadblocks end."""


def scout(
    gpkg: Path,
    pose: tuple[float, float, float],
    roadblocks: Sequence[str],
    goal: tuple[float, float] | None,
) -> tuple[RoadMap, Route, tuple[float, float]]:
    """The map as the devkit sees it, the route along the roadblocks, and the map's origin.

    `pose` of the rear axle and `goal` are in the map's projection.
    """
    city = load_city(gpkg, rejoin=False)
    x, y = city.origin
    here = (pose[0] - x, pose[1] - y, pose[2])
    there = None if goal is None else np.array([goal[0] - x, goal[1] - y])
    return city.roadmap, roadblock_route(city.roadmap, here, roadblocks, there), city.origin


def roadblock_route(
    roadmap: RoadMap,
    pose: tuple[float, float, float],
    roadblocks: Sequence[str],
    goal: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None,
) -> Route:
    """The route from the rear axle's `pose` along roadblocks (ids of the map's lane groups) to `goal`.

    It begins on the lane that lies closest and points the ego's way; roadblocks behind it stay in the list of
    groups. Empty where no roadblock is on the map.
    """
    at = {name: k for k, name in enumerate(roadmap.group_ids)}
    groups = tuple(at[block] for block in roadblocks if block in at)
    if not groups:
        return Route(goal=Goal(position=goal))
    start, station = _start(roadmap, groups, pose)
    lanes: tuple[int, ...] = (start,)
    first = groups.index(int(roadmap.group[start]))
    for group in groups[first + 1 :]:
        members = [int(lane) for lane in roadmap.group_lanes(group)]
        step = find_route(roadmap, lanes[-1], members, 2000.0)
        if step is None:
            break
        lanes += step[1:]
    if goal is not None and len(members := roadmap.group_lanes(int(roadmap.group[lanes[-1]]))) > 1:
        gaps = [abs(float(project_to_polyline(goal[None], roadmap.centerline(int(k)))[1][0])) for k in members]
        step = find_route(roadmap, lanes[-1], (int(members[int(np.argmin(gaps))]),), 2000.0)
        lanes += step[1:] if step is not None else ()
    left = float(roadmap.length[list(lanes)].sum()) - station
    if left < AHEAD:
        lanes = extend_route(roadmap, lanes, AHEAD - left)
    return Route(
        lanes,
        tuple(dict.fromkeys((*groups, *route_groups(roadmap, lanes)))),
        route_line(roadmap, lanes, station),
        Goal(position=goal),
    )


def _start(
    roadmap: RoadMap, groups: Sequence[int], pose: tuple[float, float, float]
) -> tuple[int, float]:
    """The lane of these groups that the pose fits best, and the pose's station on it."""
    point = np.array([pose[:2]])
    best, station, least = -1, 0.0, np.inf
    for lane in np.flatnonzero(np.isin(roadmap.group, groups) & (roadmap.kind <= LaneKind.CONNECTOR)).tolist():
        line = roadmap.centerline(lane)
        s, d, k = project_to_polyline(point, line)
        beyond = max(-float(s[0]), float(s[0]) - float(roadmap.length[lane]), 0.0)
        step = line[k[0] + 1] - line[k[0]]
        turn = abs(float(wrap_angle(np.arctan2(step[1], step[0]) - pose[2])))
        misfit = abs(float(d[0])) + beyond + 5.0 * turn
        if misfit < least:
            best, station, least = lane, float(np.clip(s[0], 0.0, roadmap.length[lane])), misfit
    return best, station
