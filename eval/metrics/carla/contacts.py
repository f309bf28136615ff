"""Collisions of a run, as the leaderboard counts them: every contact, whoever caused it, few of them twice.

Source: scenario_runner `CollisionTest`, on leaderboard-1.0 and leaderboard-2.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla import constants as c
from drive.eval.metrics.nuplan.collisions import touching
from drive.roadmap.model import AreaKind
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.ego import Ego
    from drive.runlog import RunLog

Event = tuple[int, str]
"""Sample and name of an infraction."""
BUILDING = -1


def kind_of(kind: int) -> str:
    """The infraction that touching a road user of this `AgentKind` is; CARLA's bicycles are vehicles."""
    if kind == AgentKind.PEDESTRIAN:
        return "collisions_pedestrian"
    if kind in (AgentKind.STATIC, AgentKind.UNKNOWN):
        return "collisions_layout"
    return "collisions_vehicle"


def collisions(run: RunLog, ego: Ego, first_rules: bool = False) -> list[Event]:
    """Collisions in order of time.

    Since 2.0 a contact counts where the ego has 0.1 m/s or more, has gone more than 5 m since the last
    collision, and touches somebody else than then or more than 5 s later. In 1.0 (`first_rules`) the speed
    does not matter, the place must lie more than 3 m from all collisions not yet 5 m behind, and the user
    of the last one is free again after 5 s.
    """
    who, when = touching(run, ego)
    static, there = _buildings(run, ego)
    users = np.concatenate((who, static))
    samples = np.concatenate((when, there))
    order = np.lexsort((users, samples))
    found: list[Event] = []
    last_user, last_time = BUILDING, -np.inf
    places: list[NDArray[np.float64]] = []
    latest = 0
    for user, sample in zip(users[order].tolist(), samples[order].tolist(), strict=True):
        # The ego may have left a place and come back: every sample since then has its say.
        way = ego.center[latest : sample + 1]
        places = [p for p in places if (np.hypot(*(way - p).T) <= c.COLLISION_RADIUS).all()]
        latest = sample
        if run.times[sample] - last_time > c.SAME_USER_TIME:
            last_user = BUILDING
        within = c.SAME_PLACE_1_0 if first_rules else c.COLLISION_RADIUS
        if user == last_user != BUILDING:
            continue
        if any(np.hypot(*(ego.center[sample] - p)) <= within for p in places):
            continue
        if not first_rules and ego.speed[sample] < c.STANDING_SPEED:
            continue
        name = "collisions_layout" if user == BUILDING else kind_of(int(run.agent_kind[user]))
        found.append((sample, name))
        last_time = float(run.times[sample])
        last_user = last_user if user == BUILDING else user
        places = [*places, ego.center[sample]] if first_rules else [ego.center[sample]]
    return found


def _buildings(run: RunLog, ego: Ego) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Samples at which the ego's box meets a building, as `touching` gives them."""
    rings = [] if run.roadmap is None else run.roadmap.areas.of_kind(AreaKind.OCCLUDER)
    if not rings:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    import shapely

    tree = shapely.STRtree(shapely.make_valid(np.asarray([shapely.Polygon(r) for r in rings], dtype=object)))
    hits, _ = tree.query(shapely.polygons(ego.corners), predicate="intersects")
    when = np.unique(hits)
    return np.full(len(when), BUILDING, dtype=np.intp), when
