"""Walkers that go by themselves: straight to a place, or along the sidewalks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import project_to_polyline
from drive.roadmap import LaneKind
from drive.sim.carla.kernels.layout import HALF_X, X, Y

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap import RoadMap
    from drive.sim.carla.world.world import CarlaWorld

    Floats = NDArray[np.float64]

ARRIVED, NEAR = 0.3, 3.0
"""Metres from a goal at which a walker has arrived, and between the ends of sidewalks that touch."""


@dataclass(slots=True)
class Walk:
    """Where a walker goes: the points `way (N, 2)` still ahead in CARLA's frame, m/s, and the sidewalk's row.

    On a sidewalk `lane` the walk goes on at its end; -1: it ends there.
    """

    way: Floats
    speed: float
    lane: int = -1
    forward: bool = True


def sidewalks(roadmap: RoadMap) -> NDArray[np.intp]:
    """Lanes for people on foot; shoulders where a map has none of them."""
    for kind in (LaneKind.SIDEWALK, LaneKind.SHOULDER):
        found = np.flatnonzero(roadmap.kind == kind)
        if len(found):
            return found
    return np.zeros(0, dtype=np.intp)


def line_of(roadmap: RoadMap, lane: int, forward: bool) -> Floats:
    """A sidewalk's middle `(N, 2)` in CARLA's frame, the way it is walked."""
    line = roadmap.centerline(lane) * (1.0, -1.0)
    return line if forward else line[::-1]


def stroll(world: CarlaWorld, row: int, speed: float) -> Walk | None:
    """A walk along the sidewalk nearest to a walker, or None where there is none."""
    m = world.town.roadmap
    here = world.actors.body[row, X : Y + 1]
    best: tuple[float, int] | None = None
    for lane in sidewalks(m):
        rows = m.rows(int(lane))
        gap = float(np.hypot(*(m.points[rows] * (1.0, -1.0) - here).T).min())
        if best is None or gap < best[0]:
            best = (gap, int(lane))
    if best is None:
        return None
    line = line_of(m, best[1], True)
    _, _, k = project_to_polyline(here[None], line)
    return Walk(line[int(k[0]) + 1 :], speed, best[1])


def advance_walks(world: CarlaWorld) -> None:
    """Point every walker that goes by itself at its next place."""
    for actor in sorted(world.walks):
        walk = world.walks[actor]
        row = world.actors.row(actor)
        here = world.actors.body[row, X : Y + 1]
        reach = ARRIVED + float(world.actors.param[row, HALF_X])
        while len(walk.way) and np.hypot(*(walk.way[0] - here)) < reach:
            walk.way = walk.way[1:]
            if not len(walk.way) and walk.lane >= 0:
                _go_on(world.town.roadmap, walk)
        if not len(walk.way):
            del world.walks[actor]
            world.direct(row, (0.0, 0.0, 0.0), 0.0)
            continue
        way = walk.way[0] - here
        world.direct(row, (float(way[0]), float(way[1]), 0.0), walk.speed)


def _go_on(roadmap: RoadMap, walk: Walk) -> None:
    """The next sidewalk that begins (or ends) where this one ends, the lowest lane first; else back."""
    end = line_of(roadmap, walk.lane, walk.forward)[-1]
    for lane in sidewalks(roadmap):
        if lane == walk.lane:
            continue
        for forward in (True, False):
            line = line_of(roadmap, int(lane), forward)
            if np.hypot(*(line[0] - end)) < NEAR:
                walk.lane, walk.forward, walk.way = int(lane), forward, line
                return
    walk.forward = not walk.forward
    walk.way = line_of(roadmap, walk.lane, walk.forward)
