"""Lane sequences from A to B, and the reference line along them."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import MapError
from drive.geometry import remove_duplicates, wrap_angle
from drive.roadmap.model import LaneKind

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap

LANE_CHANGE_COST = 20.0
"""Metres of detour that one lane change is worth when a route is searched."""


def find_route(
    roadmap: RoadMap,
    start: int,
    goals: Iterable[int],
    max_length: float = 20_000.0,
    among: Container[int] | None = None,
) -> tuple[int, ...] | None:
    """Cheapest lane sequence from lane `start` to any of `goals` (Dijkstra), or None.

    Steps follow successors, or change to a permitted neighbour at the price of `LANE_CHANGE_COST`; where
    `among` is given, to its lanes only. Consecutive lanes of the result are therefore successors or
    neighbours.
    """
    targets = {int(g) for g in goals}
    cost = {int(start): 0.0}
    parent: dict[int, int] = {}
    queue = [(0.0, int(start))]
    done: set[int] = set()
    while queue:
        c, lane = heapq.heappop(queue)
        if lane in done:
            continue
        done.add(lane)
        if lane in targets:
            path = [lane]
            while path[-1] in parent:
                path.append(parent[path[-1]])
            return tuple(reversed(path))
        if c > max_length:
            return None
        steps = [(int(n), float(roadmap.length[lane])) for n in roadmap.successors(lane)]
        if roadmap.left_change[lane]:
            steps.append((int(roadmap.left_lane[lane]), LANE_CHANGE_COST))
        if roadmap.right_change[lane]:
            steps.append((int(roadmap.right_lane[lane]), LANE_CHANGE_COST))
        for n, w in steps:
            if among is not None and n not in among:
                continue
            if roadmap.kind[n] <= LaneKind.CONNECTOR and c + w < cost.get(n, np.inf):
                cost[n], parent[n] = c + w, lane
                heapq.heappush(queue, (c + w, n))
    return None


def straightest_successor(roadmap: RoadMap, lane: int) -> int:
    """The successor for motor vehicles that turns least over its length, or -1 at a dead end."""
    best, least = -1, np.inf
    for n in roadmap.successors(lane):
        if roadmap.kind[n] > LaneKind.CONNECTOR:
            continue
        h = roadmap.heading[roadmap.rows(int(n))]
        turn = abs(float(wrap_angle(h[-1] - h[0])))
        if turn < least - 1e-6:
            best, least = int(n), turn
    return best


def extend_route(roadmap: RoadMap, lanes: Sequence[int], length: float) -> tuple[int, ...]:
    """Append straightest successors until `length` more metres are covered, or the road ends or closes.

    No lane is appended twice: on a ring road the route stops before it meets itself.
    """
    out, covered = list(lanes), 0.0
    while covered < length:
        nxt = straightest_successor(roadmap, out[-1])
        if nxt < 0 or nxt in out:
            break
        out.append(nxt)
        covered += float(roadmap.length[nxt])
    return tuple(out)


def route_groups(roadmap: RoadMap, lanes: Sequence[int]) -> tuple[int, ...]:
    """Lane groups (roadblocks) along a lane sequence, repeats of the same group merged."""
    groups = [int(roadmap.group[lane]) for lane in lanes]
    return tuple(g for i, g in enumerate(groups) if i == 0 or g != groups[i - 1])


def route_line(roadmap: RoadMap, lanes: Sequence[int], start: float = 0.0) -> NDArray[np.float64]:
    """Centreline `(N, 2)` along a lane sequence.

    Where the sequence changes to a neighbour, the line crosses over linearly along the stretch that
    both lanes share, from the fraction 0.3 to 0.7 of it; on the first lane, of what lies beyond the
    station `start` in m, where the vehicle is. Raises MapError for an empty sequence, and for one that
    jumps to a lane which is neither a successor nor beside.
    """
    if len(lanes) == 0:
        raise MapError("a route needs at least one lane")
    pieces: list[NDArray[np.float64]] = []
    k = 0
    while k < len(lanes):
        chain = [int(lanes[k])]
        while k + 1 < len(lanes) and lanes[k + 1] not in roadmap.successors(int(lanes[k])):
            k += 1
            if not _beside(roadmap, chain[-1], int(lanes[k])):
                a, b = (roadmap.lane_ids[i] for i in (chain[-1], int(lanes[k])))
                raise MapError(
                    f"the route jumps from lane '{a}' to '{b}', neither its successor nor beside it"
                )
            chain.append(int(lanes[k]))
        passed = 0.0 if pieces else min(max(start / float(roadmap.length[chain[0]]), 0.0), 0.9)
        pieces.append(_cross_over(roadmap, chain, passed))
        k += 1
    return remove_duplicates(np.concatenate(pieces), 1e-3)


def _beside(roadmap: RoadMap, a: int, b: int) -> bool:
    near = (roadmap.left_lane[a], roadmap.right_lane[a])
    return (
        b in near
        or a in (roadmap.left_lane[b], roadmap.right_lane[b])
        or roadmap.group[a] == roadmap.group[b]
    )


def _cross_over(roadmap: RoadMap, chain: list[int], passed: float = 0.0) -> NDArray[np.float64]:
    if len(chain) == 1:
        return roadmap.centerline(chain[0])
    n = max(int(roadmap.length[chain[0]] / 2.0), 8 * len(chain))
    u = np.linspace(0.0, 1.0, n + 1)
    lines = []
    for lane in chain:
        rows = roadmap.rows(lane)
        s = roadmap.station[rows] / roadmap.length[lane]
        p = roadmap.points[rows]
        lines.append(np.stack((np.interp(u, s, p[:, 0]), np.interp(u, s, p[:, 1])), axis=-1))
    changes = len(chain) - 1
    # The k-th change happens in the k-th equal part of the shared stretch.
    along = changes * np.maximum(u - passed, 0.0) / (1.0 - passed)
    low = np.minimum(along.astype(int), changes - 1)
    w = np.clip((along - low - 0.3) / 0.4, 0.0, 1.0)[:, None]
    stack = np.stack(lines)
    row = np.arange(n + 1)
    return np.asarray((1.0 - w) * stack[low, row] + w * stack[low + 1, row])
