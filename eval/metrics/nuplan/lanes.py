"""Which lanes the ego's centre and corners are in, sample by sample, by the devkit's rules.

Source: nuplan-devkit `planning/metrics/utils/route_extractor.py` and `ego_lane_change.py`. Lanes and lane
connectors are the map's lanes of kind LANE and CONNECTOR, roadblocks its groups. Where lanes overlap (the
devkit raises) a centre takes the one it fits best: headed within 45 degrees, on the given route, most
parallel; connectors are listed in that order, where the devkit lists them in the file's. Corners keep all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.metrics.nuplan import constants as c
from drive.geometry import wrap_angle
from drive.roadmap.drivable import GAP
from drive.roadmap.model import AreaKind, LaneKind, RoadMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.ego import Ego

    Floats = NDArray[np.float64]
    Lanes = list[tuple[int, ...]]
    Route = list[tuple[int, ...]]

SAME_WAY = np.pi / 4.0


class LaneShapes:
    """Shapely shapes of a map's lanes, made once and kept with the map."""

    def __init__(self, roadmap: RoadMap) -> None:
        import shapely

        self.roadmap = roadmap
        self.lanes = np.flatnonzero(roadmap.kind <= int(LaneKind.CONNECTOR))
        rings = [shapely.Polygon(roadmap.polygon(int(lane))) for lane in self.lanes]
        self.polygons = np.asarray(shapely.make_valid(np.asarray(rings, dtype=object)))
        self.row = {int(lane): i for i, lane in enumerate(self.lanes)}
        self.tree = shapely.STRtree(self.polygons)
        areas = [shapely.Polygon(ring) for ring in roadmap.areas.of_kind(AreaKind.INTERSECTION)]
        self.intersections = shapely.union_all(shapely.make_valid(np.asarray(areas, dtype=object)))
        shapely.prepare(self.intersections)
        self._lines: dict[int, Any] = {}

    @classmethod
    def of(cls, roadmap: RoadMap) -> LaneShapes:
        cached: LaneShapes | None = roadmap.__dict__.get("_nuplan_lane_shapes")
        if cached is None:
            cached = cls(roadmap)
            roadmap.__dict__["_nuplan_lane_shapes"] = cached
        return cached

    def is_connector(self, lane: int) -> bool:
        return int(self.roadmap.kind[lane]) == LaneKind.CONNECTOR

    def locate(self, lane: int, points: Floats) -> Floats:
        """Station `(N,)` of the foot of `points (N, 2)` on a lane's baseline, from 0 to its length."""
        import shapely

        line = self._lines.get(lane)
        if line is None:
            line = self._lines[lane] = shapely.LineString(self.roadmap.centerline(lane))
        return np.asarray(shapely.line_locate_point(line, shapely.points(points)))

    def distance(self, lane: int, points: Floats) -> Floats:
        """Distance `(N,)` of `points (N, 2)` to a lane's polygon, 0 inside."""
        import shapely

        return np.asarray(shapely.distance(self.polygons[self.row[lane]], shapely.points(points)))

    def lanes_at(self, points: Floats) -> list[tuple[int, ...]]:
        """For each of `points (N, 2)` the lanes that contain it, in index order; edges do not count."""
        import shapely

        which, row = self.tree.query(shapely.points(points), predicate="within")
        found: list[list[int]] = [[] for _ in range(len(points))]
        for i, lane in zip(which.tolist(), self.lanes[row].tolist(), strict=True):
            found[i].append(lane)
        return [tuple(sorted(lanes)) for lanes in found]

    def in_intersection(self, points: Floats, lanes: Sequence[tuple[int, ...]]) -> NDArray[np.bool_]:
        """Whether `points (N, 2)`, known to be in `lanes`, lie in an intersection."""
        import shapely

        flag = self.roadmap.intersection
        out = np.asarray([any(flag[lane] for lane in row) for row in lanes], dtype=np.bool_)
        if not shapely.is_empty(self.intersections):
            out |= shapely.contains_xy(self.intersections, points[:, 0], points[:, 1])
        return out

    def in_group(self, group: int, points: Floats, lanes: Sequence[tuple[int, ...]]) -> NDArray[np.bool_]:
        """Whether `points (N, 2)`, known to be in `lanes`, are in a group; slits between its lanes count."""
        of = self.roadmap.group
        out = np.asarray([any(of[lane] == group for lane in row) for row in lanes], dtype=np.bool_)
        lost = np.asarray([not row for row in lanes], dtype=np.bool_)
        if lost.any():
            members = [int(m) for m in self.roadmap.group_lanes(group) if int(m) in self.row]
            near = [self.distance(lane, points[lost]) <= GAP for lane in members]
            out[lost] = np.sum(near, axis=0) >= 2
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """A drive: `center (N, 2)` of the box, `lanes` all lanes that contain it, and `route`, the devkit's list
    of route objects: the lane or connectors it was in, one tuple a sample, empty in none."""

    center: Floats
    lanes: Lanes
    route: Route


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the ego was: its drive; `together (N,)` whether the four corners share a lane or lie in directly
    connected ones; `intersection (N,)` whether the rear axle is in an intersection."""

    driven: Driven
    together: NDArray[np.bool_]
    intersection: NDArray[np.bool_]


def follow(
    shapes: LaneShapes, center: Floats, heading: Floats, preferred: Iterable[int], lanes: Lanes | None = None
) -> Driven:
    """The drive of box centres `(N, 2)` with headings `(N,)`; `preferred`: lanes of the given route."""
    found = shapes.lanes_at(center) if lanes is None else lanes
    return Driven(center, found, route_of(shapes, center, heading, found, preferred))


def places(shapes: LaneShapes, ego: Ego, preferred: Iterable[int]) -> Places:
    """The lanes of the ego's centre, rear axle and corners."""
    n = len(ego)
    found = shapes.lanes_at(np.concatenate((ego.center, ego.rear, ego.corners.reshape(-1, 2))))
    driven = follow(shapes, ego.center, ego.heading, preferred, found[:n])
    corners = found[2 * n :]
    together = corners_together(shapes, [corners[4 * i : 4 * i + 4] for i in range(n)])
    return Places(driven, together, shapes.in_intersection(ego.rear, found[n : 2 * n]))


def route_of(
    shapes: LaneShapes,
    center: Floats,
    heading: Floats,
    lanes: Sequence[tuple[int, ...]],
    preferred: Iterable[int],
) -> Route:
    """The lane or connectors of each of `center (N, 2)`, followed from sample to sample.

    A sample stays in its predecessor's lanes while they contain it, else passes to a successor of the only
    one, else is searched anew. Out of a connector it may not jump to another nor vanish inside an
    intersection while within 5 m of the old one. At last several connectors are thinned out from the end
    of the drive backwards to those that it ends up in.
    """
    wanted = frozenset(int(lane) for lane in preferred)
    crossing = shapes.in_intersection(center, lanes)
    route: Route = []
    current: tuple[int, ...] = ()
    for i, here in enumerate(lanes):
        if current:
            kept = tuple(lane for lane in current if lane in here)
            if not kept and len(current) == 1:
                kept = tuple(int(s) for s in shapes.roadmap.successors(current[0]) if int(s) in here)
            current = kept
        if not current:
            current = _search(shapes, center[i], float(heading[i]), here, wanted)
            before = route[-1] if i > 1 else ()
            if (
                before
                and shapes.is_connector(before[0])
                and (shapes.is_connector(current[0]) if current else crossing[i])
            ):
                near = tuple(
                    lane
                    for lane in before
                    if shapes.distance(lane, center[i : i + 1])[0] < c.SAME_CONNECTOR_DISTANCE
                )
                current = near or current
        route.append(current)
    return _thin_out(shapes, route)


def _search(
    shapes: LaneShapes, point: Floats, heading: float, here: tuple[int, ...], wanted: frozenset[int]
) -> tuple[int, ...]:
    """The best lane at a point, or all connectors there, best first."""
    if len(here) < 2:
        return here
    plain = tuple(lane for lane in here if not shapes.is_connector(lane))
    if len(plain) == 1:
        return plain

    def misfit(lane: int) -> tuple[bool, bool, float]:
        rows = shapes.roadmap.rows(lane)
        offset = shapes.roadmap.points[rows] - point
        nearest = int(np.argmin(np.einsum("ij,ij->i", offset, offset)))
        turn = abs(float(wrap_angle(shapes.roadmap.heading[rows][nearest] - heading)))
        return turn > SAME_WAY, lane not in wanted, round(turn, 6)

    ranked = tuple(sorted(plain or here, key=misfit))
    return ranked[:1] if plain else ranked


def _thin_out(shapes: LaneShapes, route: Route) -> Route:
    out = list(route)
    for i in range(len(out) - 2, -1, -1):
        lanes, later = route[i], out[i + 1]
        if len(lanes) < 2:
            continue
        if len(lanes) > len(later) and set(later) <= set(lanes):
            out[i] = later
        if later and not shapes.is_connector(later[0]):
            entering = set(shapes.roadmap.predecessors(later[0]).tolist())
            out[i] = tuple(lane for lane in lanes if lane in entering) or out[i]
    return out


def corners_together(shapes: LaneShapes, corners: Sequence[Sequence[tuple[int, ...]]]) -> NDArray[np.bool_]:
    """Whether the four corners (front left, rear left, rear right, front right) lie in one common lane, or
    in lanes so connected that one lane is the same as or follows those of both rear corners and is the
    same as or precedes those of both front corners. False with any corner in no lane.
    """
    roadmap = shapes.roadmap
    ahead: dict[int, frozenset[int]] = {}
    behind: dict[int, frozenset[int]] = {}

    def after(lanes: Iterable[int]) -> set[int]:
        out = set(lanes)
        for lane in tuple(out):
            if lane not in ahead:
                ahead[lane] = frozenset(roadmap.successors(lane).tolist())
            out |= ahead[lane]
        return out

    def before(lanes: Iterable[int]) -> set[int]:
        out = set(lanes)
        for lane in tuple(out):
            if lane not in behind:
                behind[lane] = frozenset(roadmap.predecessors(lane).tolist())
            out |= behind[lane]
        return out

    def joined(four: Sequence[tuple[int, ...]]) -> bool:
        front_left, rear_left, rear_right, front_right = (set(lanes) for lanes in four)
        if front_left & rear_left & rear_right & front_right:
            return True
        if not (front_left and rear_left and rear_right and front_right):
            return False
        from_left, from_right = after(rear_left), after(rear_right)
        if not (rear_left & from_right or rear_right & from_left):
            return False
        return bool(before(front_left) & from_right & before(front_right) & from_left)

    out = np.zeros(len(corners), dtype=np.bool_)
    candidates: set[int] = set()
    known: dict[tuple[tuple[int, ...], ...], bool] = {}
    for i, found in enumerate(corners):
        pool, seen, four = candidates, set[int](), []
        for here in found:
            lanes = tuple(lane for lane in here if lane in pool)
            if not lanes and len(pool) == 1:
                lanes = tuple(s for s in roadmap.successors(next(iter(pool))).tolist() if s in here)
            if not lanes:
                plain = tuple(lane for lane in here if not shapes.is_connector(lane))
                lanes = plain or here
                if i == 1:  # The devkit lets the second sample's corners inform each other.
                    pool = pool | set(lanes)
            seen |= set(lanes)
            four.append(tuple(sorted(lanes)))
        candidates = seen
        key = tuple(four)
        if key not in known:
            known[key] = joined(four)
        out[i] = known[key]
    return out
