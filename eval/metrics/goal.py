"""Whether the ego reached its goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import points_in_polygon
from drive.vehicle import HEADING, SPEED, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.runlog import RunLog

RADIUS = 2.0
"""A goal that is only a position counts as reached by the box centre within this many metres."""
_EPS = 1e-6


def goal_reached(run: RunLog) -> bool | None:
    """Whether at any sample all conditions of the goal hold at once; None where no goal was set.

    The goal is `header["scenario"]["goal"]` with any of `position` [x, y], `polygon`, `lanes`, and the
    intervals `heading` (rad), `speed` (m/s) and `time` (s). The box centre must lie in the polygon or in
    one of the lanes; a position counts where neither is given. Heading intervals are read modulo a turn, as
    CommonRoad's goal regions are.
    """
    goal: Mapping[str, Any] = run.header["scenario"].get("goal") or {}
    given = [key for key in ("position", "polygon", "lanes", "heading", "speed", "time") if _has(goal, key)]
    if not given or len(run.ego) == 0:
        return None
    center = rear_to_center(run.ego, run.vehicle.rear_axle_to_center)
    held = np.ones(len(run.ego), dtype=np.bool_)
    places: list[NDArray[np.bool_]] = []
    if "polygon" in given:
        places.append(points_in_polygon(center, np.asarray(goal["polygon"], dtype=np.float64)))
    if "lanes" in given and run.roadmap is not None:
        places += [points_in_polygon(center, run.roadmap.polygon(int(lane))) for lane in goal["lanes"]]
    if not places and "position" in given:
        offset = center - np.asarray(goal["position"], dtype=np.float64)[:2]
        places.append(np.hypot(offset[:, 0], offset[:, 1]) <= RADIUS)
    if places:
        held &= np.any(places, axis=0)
    if "heading" in given:
        low, high = (float(v) for v in goal["heading"])
        turn = (run.ego[:, HEADING] - low + _EPS) % (2.0 * np.pi)
        held &= turn <= high - low + 2.0 * _EPS
    for key, values in (("speed", run.ego[:, SPEED]), ("time", run.times)):
        if key in given:
            low, high = (float(v) for v in goal[key])
            held &= (values >= low - _EPS) & (values <= high + _EPS)
    return bool(held.any())


def _has(goal: Mapping[str, Any], key: str) -> bool:
    value = goal.get(key)
    return value is not None and len(value) > 0
