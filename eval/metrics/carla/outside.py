"""Where the ego was outside of its route's lanes: off the driving lanes, or in a lane that runs against it.

Source: scenario_runner `OutsideRouteLanesTest`. It compares the distance to the nearest lane's centre with
half that lane's width; here the distance to the lane's edge, which is the same in a lane of even width. It
tells a wrong lane by the flip of the nearest lane's direction; here by the angle between lane and ego,
which differs only for an ego that has turned round itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla import constants as c
from drive.geometry import wrap_angle
from drive.roadmap.model import LaneKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.ego import Ego
    from drive.eval.metrics.nuplan.lanes import Driven, LaneShapes

    Bools = NDArray[np.bool_]


def off_lanes(shapes: LaneShapes, ego: Ego, allowed: float) -> Bools:
    """Whether the box centre is more than `allowed` metres from every driving and parking lane `(N,)`."""
    import shapely

    points = shapely.points(ego.center)
    trees = [shapes.tree]
    parking = np.flatnonzero(shapes.roadmap.kind == LaneKind.PARKING)
    if len(parking):
        rings = [shapely.Polygon(shapes.roadmap.polygon(int(lane))) for lane in parking]
        trees.append(shapely.STRtree(shapely.make_valid(np.asarray(rings, dtype=object))))
    nearest = np.full(len(ego), np.inf)
    for tree in trees:
        (source, _), distance = tree.query_nearest(points, all_matches=False, return_distance=True)
        nearest[source] = np.minimum(nearest[source], distance)
    return np.asarray(nearest > allowed)


def wrong_way(shapes: LaneShapes, ego: Ego, driven: Driven, angle: float = c.WRONG_WAY_ANGLE) -> Bools:
    """Whether the box centre is in lanes that all run over `angle` degrees from the ego's heading `(N,)`.

    Never in an intersection or on a connector, as the leaderboard has it, nor off the lanes.
    """
    roadmap = shapes.roadmap
    crossing = shapes.in_intersection(ego.center, driven.lanes)
    out = np.zeros(len(ego), dtype=np.bool_)
    for n, lanes in enumerate(driven.lanes):
        if not lanes or crossing[n] or any(shapes.is_connector(lane) for lane in lanes):
            continue
        turns = []
        for lane in lanes:
            rows = roadmap.rows(lane)
            gap = roadmap.points[rows] - ego.center[n]
            nearest = int(np.argmin(np.einsum("ij,ij->i", gap, gap)))
            turns.append(abs(float(wrap_angle(roadmap.heading[rows][nearest] - ego.heading[n]))))
        out[n] = min(turns) > np.radians(angle)
    return out
