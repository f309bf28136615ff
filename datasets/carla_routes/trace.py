"""The lanes along a route's key points, as CARLA's leaderboard traces them through its lane graph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import ScenarioError
from drive.geometry import project_to_polyline
from drive.roadmap import GridIndex, LaneKind, find_route

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

NEAR = 4.0
"""Metres around a key point in which lanes are looked for; without one, twice and four times as far."""
AROUND = 3
HEIGHT = 0.3
"""Metres beside a lane that a metre above or below it counts as: maps with bridges need it."""
WRONG = 4.0
"""What a metre beside the lane costs, in metres of detour: CARLA takes the nearest lane, always."""
SPACING = 8.0
"""Key points nearer to the one before are left out: dense ones jitter, and say nothing more."""
CHANGE = 10.0
DETOUR = 4.0


def trace_route(roadmap: RoadMap, points: Floats) -> tuple[tuple[int, ...], float, float]:
    """Lanes along `points (N, 2 or 3)`, with the stations of the first point on the first lane and of the
    last point on the last one.

    The cheapest sequence (Viterbi) of lanes near the points and of ways between them; lane changes and
    detours cost. Raises ScenarioError where a point is off the road, or no way leads on.
    """
    picks = _thinned(points)
    columns = [_candidates(roadmap, p) for p in picks]
    for p, column in zip(picks, columns, strict=True):
        if not column:
            raise ScenarioError(f"the route's point ({p[0]:.1f}, {p[1]:.1f}) lies off every lane of the map")
    total = [cost for _, _, cost in columns[0]]
    back: list[list[tuple[int, tuple[int, ...]]]] = []
    for t in range(1, len(picks)):
        gap = float(np.hypot(*(picks[t][:2] - picks[t - 1][:2])))
        costs, steps = [], []
        for lane, station, own in columns[t]:
            best: tuple[float, int, tuple[int, ...]] = (np.inf, 0, ())
            for k, (before, at, _) in enumerate(columns[t - 1]):
                if total[k] >= best[0]:
                    continue
                way, price = _between(roadmap, before, at, lane, station, gap)
                best = min(best, (total[k] + price, k, way))
            costs.append(best[0] + own)
            steps.append(best[1:])
        if not np.isfinite(costs).any():
            a, b = picks[t - 1], picks[t]
            raise ScenarioError(
                f"no way leads along the lanes from ({a[0]:.1f}, {a[1]:.1f}) to ({b[0]:.1f}, {b[1]:.1f})"
            )
        total = costs
        back.append(steps)
    at = int(np.argmin(total))
    last = columns[-1][at][1]
    parts: list[tuple[int, ...]] = []
    for steps in reversed(back):
        before, way = steps[at]
        parts.append(way)
        at = before
    lanes = [columns[0][at][0]]
    for way in reversed(parts):
        lanes += way[1:]
    return tuple(lanes), columns[0][at][1], last


def _thinned(points: Floats) -> list[Floats]:
    """The first and last point, and of those between such that lie apart."""
    kept = [points[0]]
    for p in points[1:-1]:
        if np.hypot(*(p[:2] - kept[-1][:2])) >= SPACING and np.hypot(*(p[:2] - points[-1, :2])) >= SPACING:
            kept.append(p)
    return [*kept, points[-1]]


def _candidates(roadmap: RoadMap, point: Floats) -> list[tuple[int, float, float]]:
    """The lanes nearest to a point: (lane, station, cost)."""
    found: list[tuple[int, float, float]] = []
    for reach in (NEAR, 2.0 * NEAR, 4.0 * NEAR):
        for lane in GridIndex.of(roadmap).near(float(point[0]), float(point[1]), reach):
            if roadmap.kind[lane] > LaneKind.CONNECTOR:
                continue
            rows = roadmap.rows(int(lane))
            s, d, _ = project_to_polyline(point[None, :2], roadmap.points[rows])
            station = float(np.clip(s[0], 0.0, roadmap.length[lane]))
            gap = float(np.hypot(d[0], s[0] - station))
            if len(point) > 2 and len(roadmap.elevation):
                z = float(np.interp(station, roadmap.station[rows], roadmap.elevation[rows]))
                gap += HEIGHT * abs(z - float(point[2]))
            if gap <= reach:
                found.append((int(lane), station, WRONG * gap))
        if found:
            break
    return sorted(found, key=lambda item: (item[2], item[0]))[:AROUND]


def _between(
    roadmap: RoadMap, a: int, at: float, b: int, station: float, gap: float
) -> tuple[tuple[int, ...], float]:
    """The way from a place on lane `a` to one on lane `b`, and what it costs beyond the straight line."""
    if a == b and station >= at - 1.0:
        return (a,), 0.0
    reach = DETOUR * gap + 100.0 + float(roadmap.length[a])
    if a == b:
        # Behind on the same lane: all the way round.
        rounds = [find_route(roadmap, int(n), (b,), reach) for n in roadmap.successors(a)]
        ways = [(a, *w) for w in rounds if w is not None]
        way = min(ways, key=lambda w: float(roadmap.length[list(w)].sum())) if ways else None
    else:
        way = find_route(roadmap, a, (b,), reach)
    if way is None:
        return (), np.inf
    length, changes = -at + station, 0
    for before, after in pairwise(way):
        if after in roadmap.successors(before):
            length += float(roadmap.length[before])
        else:
            changes += 1
    if length < -1.0:
        return (), np.inf  # it would drive backwards along a neighbour
    return way, max(length - gap, 0.0) + CHANGE * changes
