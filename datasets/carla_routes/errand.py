"""Leaderboard routes on the road network that a CARLA server itself tells."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.carla_routes.trace import trace_route
from drive.datasets.opendrive.reader import read_opendrive
from drive.datasets.opendrive.roadmap import BuiltMap, build_roadmap
from drive.datasets.opendrive.traffic import DEFAULT_LIMIT
from drive.errors import ScenarioError
from drive.geometry import Projector
from drive.roadmap import crop, extend_route, route_groups, route_line
from drive.scenario import Goal, Route
from drive.sim.carla.pilot import Errand
from drive.sim.carla.scenes import STAGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.carla_routes.reader import CarlaRoute

    Floats = NDArray[np.float64]

BEYOND, MARGIN = 100.0, 200.0
"""Metres that the route goes on beyond its goal, and that the map reaches around it."""
SLOW, SPARE, AT_LIGHT = 0.4, 60.0, 30.0
"""Time for a route: its length at this share of the limits, seconds to spare, and more for each light."""
LONGEST = 3600.0


def errand_of(text: str, town: str, route: CarlaRoute, file: str = "", name: str = "") -> Errand:
    """The errand of a route in a town whose OpenDRIVE text is given. Raises InputError or ScenarioError."""
    built = built_from(text, town)
    try:
        return make_errand(
            built,
            town,
            route.points,
            name or f"{file}#{route.id}",
            tags=(route.town, *dict.fromkeys(route.scenarios)),
            source=file,
            notes=[f"scenario not staged: {k}" for k in dict.fromkeys(route.scenarios) if k not in STAGED],
        )
    except ScenarioError as error:
        raise ScenarioError(f"{file}: route '{route.id}' in {town}: {error}") from None


def errand_along(text: str, town: str, points: Floats, name: str) -> Errand:
    """The errand along points `(N, 3)` (OpenDRIVE's axes) of a town whose OpenDRIVE text is given."""
    return make_errand(built_from(text, town), town, points, name)


def make_errand(
    built: BuiltMap,
    town: str,
    points: Floats,
    name: str,
    tags: tuple[str, ...] = (),
    source: str = "",
    notes: Sequence[str] = (),
) -> Errand:
    """The errand along points `(N, 3)` in OpenDRIVE's coordinates."""
    whole = built.roadmap
    lanes, start, _ = trace_route(whole, points - np.array([*built.origin, 0.0]))
    lanes = extend_route(whole, lanes, BEYOND)
    line = route_line(whole, lanes, start)
    origin = tuple(float(np.round(v / 100.0) * 100.0) + 0.0 for v in line[0])
    near = (origin[0], origin[1])
    roadmap = crop(whole, line, MARGIN, near)
    way = tuple(roadmap.lane_index(whole.lane_ids[i]) for i in lanes)
    line = route_line(roadmap, way, start)
    shift = np.array((built.origin[0] + near[0], built.origin[1] + near[1]))
    goal = points[-1, :2] - shift
    along = Projector(line)
    begin, _, _ = along(points[:1, :2] - shift)
    end, _, _ = along(goal[None])
    at = float(begin[0])
    k = int(np.clip(np.searchsorted(along.station, at, side="right") - 1, 0, len(along.vertices) - 2))
    step = along.vertices[k + 1] - along.vertices[k]
    unit = step / np.hypot(*step)
    place = along.vertices[k] + (at - along.station[k]) * unit
    rows = roadmap.rows(way[0])
    z = (
        float(np.interp(start, roadmap.station[rows], roadmap.elevation[rows]))
        if len(roadmap.elevation)
        else 0.0
    )
    seconds = sum(float(roadmap.length[i]) / roadmap.limit(i, DEFAULT_LIMIT) for i in way)
    lights = int((roadmap.signal[list(way)] >= 0).sum())
    duration = float(np.ceil(min(seconds / SLOW + SPARE + AT_LIGHT * lights, LONGEST)))
    return Errand(
        id=name,
        town=town,
        roadmap=roadmap,
        route=Route(way, route_groups(roadmap, way), line, Goal(position=goal), ((0.0, "follow"),)),
        start=(float(place[0]), float(place[1]), float(np.arctan2(unit[1], unit[0])), z),
        origin=(float(shift[0]), float(shift[1])),
        duration=duration,
        goal_station=float(end[0]),
        source=source,
        tags=tags,
        notes=(*built.notes, *notes),
    )


def built_from(text: str, town: str) -> BuiltMap:
    """The road map of an OpenDRIVE text, built once as long as it stays among the last few."""
    return _built(text, town)


@lru_cache(maxsize=4)
def _built(text: str, town: str) -> BuiltMap:
    with tempfile.TemporaryDirectory(prefix="drive-carla-") as folder:
        path = Path(folder) / f"{town}.xodr"
        path.write_text(text, encoding="utf-8")
        return build_roadmap(read_opendrive(path))
