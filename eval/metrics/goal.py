"""Whether the ego reached its goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import points_in_polygon
from drive.vehicle import HEADING, SPEED, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drive.runlog import RunLog

RADIUS = 2.0
"""A goal that is only a position counts as reached by the box centre within this many metres."""
_EPS = 1e-6


def goal_reached(run: RunLog) -> bool | None:
    """Whether at any sample all conditions of the goal hold at once; None where that says nothing.

    The goal is `header["scenario"]["goal"]` with any of `position` [x, y], `polygon`, `lanes`, and the
    intervals `heading` (rad), `speed` (m/s) and `time` (s). The box centre must lie in the polygon or in
    one of the lanes; a position counts where neither is given. Heading intervals are read modulo a turn, as
    CommonRoad's goal regions are.

    None without a goal, and for the end of a mission: a goal without a time that the expert, driven by
    somebody, does not come to itself lies beyond the scenario. An expert of source "idm" has no say: it
    is a stand-in that may be stuck where a planner gets through.
    """
    held = at_goal(run)
    return None if held is None else bool(held.any())


def at_goal(run: RunLog) -> NDArray[np.bool_] | None:
    """At which samples `(N,)` all conditions of the goal hold; None where `goal_reached` is."""
    goal: Mapping[str, Any] = run.header["scenario"].get("goal") or {}
    given = [key for key in ("position", "polygon", "lanes", "heading", "speed", "time") if _has(goal, key)]
    if not given or len(run.ego) == 0:
        return None
    driven = run.expert_source != "idm" and len(run.expert) > 0
    if "time" not in given and driven and not _held(run, goal, given, run.expert, run.times).any():
        return None
    return _held(run, goal, given, run.ego, run.times)


def _held(
    run: RunLog,
    goal: Mapping[str, Any],
    given: Sequence[str],
    states: NDArray[np.float64],
    times: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """At which samples the motion `states (N, 7)` of the run's vehicle meets the conditions `given`."""
    center = rear_to_center(states, run.vehicle.rear_axle_to_center)
    held = np.ones(len(states), dtype=np.bool_)
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
        turn = (states[:, HEADING] - low + _EPS) % (2.0 * np.pi)
        held &= turn <= high - low + 2.0 * _EPS
    if "speed" in given:
        held &= _within(states[:, SPEED], goal["speed"])
    if "time" in given:
        held &= _within(times, goal["time"])
    return np.asarray(held)


def _within(values: NDArray[np.float64], interval: Sequence[float]) -> NDArray[np.bool_]:
    low, high = (float(v) for v in interval)
    return np.asarray((values >= low - _EPS) & (values <= high + _EPS))


def _has(goal: Mapping[str, Any], key: str) -> bool:
    value = goal.get(key)
    return value is not None and len(value) > 0
