"""nuPlan's routes, which name lane groups, as sequences of lanes."""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.matching import make_route
from drive.geometry import wrap_angle
from drive.roadmap import LaneKind, find_route
from drive.scenario import Goal, Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

FAR = 25.0
"""Metres from the ego beyond which no lane is its own."""
ON_ROUTE = 5.0
"""Metres that a lane of the route may be farther away than the nearest lane and still be taken for the start:
routes of the data set sometimes begin beside the ego."""


def nearest_lanes(roadmap: RoadMap, pose: Floats, radius: float = FAR) -> list[tuple[float, int]]:
    """(cost, lane) of the lanes near a pose `(3,)`, best first: metres to the next point of the centreline,
    and 5 m per radian by which it points another way, beyond 45 degrees."""
    gap = np.hypot(*(roadmap.points - pose[:2]).T)
    # Points of long straight lanes lie far apart: what is beside a segment counts, not its ends alone.
    start, end = roadmap.points[:-1], roadmap.points[1:]
    step = end - start
    length2 = np.maximum((step**2).sum(1), 1e-12)
    u = np.clip(((pose[:2] - start) * step).sum(1) / length2, 0.0, 1.0)
    across = np.hypot(*(pose[:2] - start - u[:, None] * step).T)
    across[roadmap.lane_start[1:-1] - 1] = np.inf  # from one lane to the next
    gap[:-1] = np.minimum(gap[:-1], across)
    turn = np.abs(wrap_angle(roadmap.heading - pose[2]))
    cost = np.where(gap > radius, np.inf, gap + 5.0 * np.maximum(turn - 0.25 * np.pi, 0.0))
    best = np.minimum.reduceat(cost, roadmap.lane_start[:-1])
    best[roadmap.kind > LaneKind.CONNECTOR] = np.inf
    order = np.argsort(best, kind="stable")
    return [(float(best[k]), int(k)) for k in order[np.isfinite(best[order])]]


def route_along(
    roadmap: RoadMap, names: Sequence[str], pose: Floats, goal: Floats | None = None
) -> tuple[Route, str]:
    """The route from a rear-axle pose `(3,)` through the groups that nuPlan's route names, and 150 m farther,
    as far as road is; and a word on what did not fit.

    `names` are ids of the map's groups (roadblocks and roadblock connectors, in a map that was read without
    restoring); those that it does not hold are passed over. `goal (2,)` is the mission's goal.
    """
    at = {name: k for k, name in enumerate(roadmap.group_ids)}
    lanes, note = lanes_along(roadmap, [at[name] for name in names if name in at], pose)
    if not lanes:
        return Route(goal=Goal(position=goal)), note
    return make_route(roadmap, pose, lanes, Goal(position=goal, lanes=lanes[-1:])), note


def lanes_along(roadmap: RoadMap, groups: Sequence[int], pose: Floats) -> tuple[tuple[int, ...], str]:
    """Lanes from a pose `(3,)` through lane groups in their order, and a word on what did not fit.

    Of all ways through the groups the one with the fewest changes of lane; where the groups do not follow
    each other it ends. Empty where no lane is near.
    """
    near = nearest_lanes(roadmap, pose)
    if not near:
        return (), "no lane within 25 m of the ego"
    place: dict[int, list[int]] = {}
    for k, group in enumerate(groups):
        place.setdefault(group, []).append(k)
    first = next(((cost, lane) for cost, lane in near if int(roadmap.group[lane]) in place), None)
    if first is not None and first[0] <= near[0][0] + ON_ROUTE:
        lane = first[1]
        lanes, end = _through(roadmap, groups, lane, place[int(roadmap.group[lane])][0])
        note = (
            ""
            if end == len(groups) - 1
            else f"the route breaks off after {end + 1} of {len(groups)} lane groups"
        )
        return lanes, note
    lane = near[0][1]
    targets = [k for k in range(roadmap.num_lanes) if int(roadmap.group[k]) in place]
    way = find_route(roadmap, lane, targets, max_length=500.0) if targets else None
    if way is None:
        return (lane,), "no way leads from the ego to the route; it goes straight on"
    lanes, _ = _through(roadmap, groups, way[-1], place[int(roadmap.group[way[-1]])][0])
    return (*way[:-1], *lanes), "the ego starts off its route"


def _through(roadmap: RoadMap, groups: Sequence[int], lane: int, at: int) -> tuple[tuple[int, ...], int]:
    """Lanes from `lane`, which is in group `at`, to the last group that can be reached, and which that is."""
    cost = {(at, lane): 0}
    parent: dict[tuple[int, int], tuple[int, int]] = {}
    queue = [(0, -at, lane)]
    done: set[tuple[int, int]] = set()
    while queue:
        c, k, here = heapq.heappop(queue)
        node = (-k, here)
        if node in done:
            continue
        done.add(node)
        if node[0] == len(groups) - 1:
            return _back(parent, node), node[0]
        follow = [int(n) for n in roadmap.successors(here)]
        steps = [(node[0] + 1, n, 0) for n in follow if int(roadmap.group[n]) == groups[node[0] + 1]]
        for side in (roadmap.left_lane, roadmap.right_lane):
            beside = int(side[here])
            if beside >= 0 and roadmap.group[beside] == roadmap.group[here]:
                steps.append((node[0], beside, 1))
        for i, n, w in steps:
            if c + w < cost.get((i, n), 1 << 30):
                cost[i, n] = c + w
                parent[i, n] = node
                heapq.heappush(queue, (c + w, -i, n))
    far = max(done, key=lambda node: (node[0], -cost[node]))
    return _back(parent, far), far[0]


def _back(parent: dict[tuple[int, int], tuple[int, int]], node: tuple[int, int]) -> tuple[int, ...]:
    path = [node[1]]
    while node in parent:
        node = parent[node]
        path.append(node[1])
    out = path[::-1]
    return tuple([out[0], *(b for a, b in pairwise(out) if b != a)])
