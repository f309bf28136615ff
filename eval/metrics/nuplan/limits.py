"""drivable_area_compliance and speed_limit_compliance.

Source: nuplan-devkit `drivable_area_compliance.py`, `speed_limit_compliance.py`, `violation_metric_base.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.base import MetricResult
from drive.eval.metrics.nuplan import constants as c
from drive.roadmap.drivable import DrivableArea

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.ego import Ego
    from drive.eval.metrics.nuplan.lanes import LaneShapes, Route
    from drive.roadmap.model import RoadMap

    Floats = NDArray[np.float64]


def drivable_area_compliance(roadmap: RoadMap, ego: Ego) -> MetricResult:
    """0 where any corner was ever 0.3 m or more outside the drivable area, else 1.

    The area is the union of drivable polygons and lanes, which is what the devkit's two tests (layer, then
    distance to the lane of the centre) come to.
    """
    edge = edge_distance(DrivableArea.of(roadmap), ego.corners).min(-1)
    far = bool((edge <= -c.OFF_ROAD_DISTANCE).any())
    statistics: dict[str, float | int | bool | None] = {
        "drivable_area_compliance": not far,
        "corners_in_drivable_area": bool((edge >= 0.0).all()),
        "min_road_edge_distance": float(edge.min()) if len(edge) else None,
    }
    return MetricResult(float(not far), statistics=statistics, series={"road_edge_distance": edge})


def edge_distance(area: DrivableArea, points: Floats) -> Floats:
    """Distance in m of `points (..., 2)` to the edge of the area: positive inside, negative outside.

    `DrivableArea.signed_distance` by a tree of the edge's segments.
    """
    import shapely

    tree = area.__dict__.get("_edge_tree")
    if tree is None:
        rings = [shapely.get_coordinates(r) for r in shapely.get_parts(shapely.boundary(area.polygon))]
        pieces = np.concatenate([np.stack((r[:-1], r[1:]), axis=1) for r in rings])
        tree = area.__dict__["_edge_tree"] = shapely.STRtree(shapely.linestrings(pieces))
    flat = points.reshape(-1, 2)
    (source, _), distance = tree.query_nearest(shapely.points(flat), all_matches=False, return_distance=True)
    out = np.zeros(len(flat))
    out[source] = distance
    out = np.where(area.contains(flat), out, -out)
    return np.asarray(out.reshape(points.shape[:-1]))


def speed_limits(shapes: LaneShapes, route: Route) -> Floats:
    """Limit in m/s at each sample `(N,)`, NaN where none is known or the ego is in no lane.

    On connectors it is the largest limit of all lanes before and after them, and none if one of those has
    none; the connector's own limit is not read, unless it has no such lane.
    """
    roadmap = shapes.roadmap
    known: dict[tuple[int, ...], float] = {(): np.nan}
    for lanes in route:
        if lanes in known:
            continue
        if not shapes.is_connector(lanes[0]):
            known[lanes] = float(roadmap.speed_limit[lanes[0]])
            continue
        near = np.concatenate(
            [np.concatenate((roadmap.successors(x), roadmap.predecessors(x))) for x in lanes]
        )
        limits = roadmap.speed_limit[near if len(near) else list(lanes)]
        known[lanes] = float(limits.max())  # NaN where any is NaN
    return np.asarray([known[lanes] for lanes in route], dtype=np.float64)


def speed_limit_compliance(shapes: LaneShapes, route: Route, ego: Ego) -> MetricResult:
    """max(0, 1 - sum of overspeed dt / (2.23 m/s duration)); 1 without overspeed.

    The sum has one term more than the duration has steps.
    """
    limit = speed_limits(shapes, route)
    over = np.nan_to_num(np.maximum(ego.speed - limit, 0.0), nan=0.0)
    statistics = _violations(over)
    series = {"speed_limit": limit, "overspeed": over}
    duration = ego.dt * (len(ego) - 1)
    if not over.any() or duration <= 0.0:
        return MetricResult(1.0, statistics=statistics, series=series)
    loss = float(over.sum()) * ego.dt / (c.MAX_OVERSPEED * duration)
    return MetricResult(max(0.0, 1.0 - loss), statistics=statistics, series=series)


def _violations(over: Floats) -> dict[str, float | int | bool | None]:
    """Number of stretches above the limit, and the largest, the smallest and the mean of their depths.

    `min` is the smallest of the stretches' largest depths; the mean weighs each stretch's mean by its time
    up to the first sample after it, so that one of the last sample alone weighs nothing (the devkit's NaN
    where no other exists is None here).
    """
    bad = np.concatenate(([False], over > 0.0, [False]))
    start, end = np.flatnonzero(bad[1:] & ~bad[:-1]), np.flatnonzero(~bad[1:] & bad[:-1])
    name = "speed_limit_compliance"
    if len(start) == 0:
        return {name: True}
    depth = [over[a:b] for a, b in zip(start, end, strict=True)]
    peaks = [float(d.max()) for d in depth]
    weight = np.minimum(end, len(over) - 1) - start
    mean = float(np.dot([d.mean() for d in depth], weight) / weight.sum()) if weight.sum() else None
    return {
        f"number_of_violations_of_{name}": len(depth),
        f"max_violation_of_{name}": max(peaks),
        f"min_violation_of_{name}": min(peaks),
        f"mean_violation_of_{name}": mean,
        name: False,
    }
