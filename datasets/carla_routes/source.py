"""CARLA route files as a source of scenarios.

References: `routes.xml#24211` (the route of that id), `routes.xml` (all whose town's map is at hand). The
maps, `TOWN.xodr`, are looked for beside the file and in the folders that DRIVE_CARLA_MAPS names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.carla_routes.reader import CarlaRoute, read_routes
from drive.datasets.xml import SNIFF_BYTES, root_tag
from drive.errors import InputError, ScenarioError, UnknownNameError

if TYPE_CHECKING:
    from drive.scenario import Scenario

MAPS = "DRIVE_CARLA_MAPS"
PLACES = ("", "maps", "OpenDrive", "CarlaUE4/Content/Carla/Maps/OpenDrive")
"""Where below a folder the towns' maps may be; the last is CARLA's own layout."""


@dataclass(frozen=True, slots=True)
class CarlaRoutesSource:
    """The source "carla_routes"."""

    name: str = "carla_routes"

    def matches(self, ref: str) -> bool:
        path = Path(ref.partition("#")[0])
        return path.suffix.lower() == ".xml" and path.is_file() and _holds_routes(path)

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """The routes whose town's map is found. Raises InputError where there is none."""
        where, _, route = ref.partition("#")
        if ego == "recorded":
            raise InputError(f"{Path(where).name}: a route file holds no recorded drive")
        if route:
            return [ref]
        found = [r for r in _routes(where) if find_map(Path(where), r.town) is not None]
        if not found:
            raise InputError(f"{Path(where).name}: {_missing(_routes(where)[0].town)}")
        return [f"{where}#{r.id}" for r in found]

    def skipped(self, ref: str, ego: str = "planned") -> list[tuple[str, str]]:
        """(file, reason) for each town without a map."""
        where, _, route = ref.partition("#")
        if route or ego == "recorded":
            return []
        counts: dict[str, int] = {}
        for r in _routes(where):
            if find_map(Path(where), r.town) is None:
                counts[r.town] = counts.get(r.town, 0) + 1
        name = Path(where).name
        return [(name, f"{n} routes: no map {town}.xodr, here or in {MAPS}") for town, n in counts.items()]

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """One scenario. Raises InputError or ScenarioError naming the file and the route."""
        where, _, name = ref.partition("#")
        path, routes = Path(where), _routes(where)
        name = name or routes[0].id
        route = next((r for r in routes if r.id == name), None)
        if route is None:
            raise UnknownNameError(f"route of {path.name}", name, [r.id for r in routes])
        town = find_map(path, route.town)
        if town is None:
            raise InputError(f"{path.name}: {_missing(route.town)}")
        try:
            return route_scenario(path.name, route, town)
        except ScenarioError as error:
            raise ScenarioError(f"{path.name}: route '{route.id}' in {town.name}: {error}") from None


def route_scenario(file: str, route: CarlaRoute, town: Path) -> Scenario:
    """The scenario of a route on a town's map: the ego stands at its first point at time 0."""
    from drive.datasets.carla_routes.trace import trace_route
    from drive.datasets.opendrive.scenario import draws, make_scenario, time_for
    from drive.datasets.opendrive.source import load_map

    built = load_map(town)
    points = route.points - np.asarray([*built.origin, 0.0])
    lanes, start, end = trace_route(built.roadmap, points)
    notes = [f"scenario not simulated: {kind}" for kind in dict.fromkeys(route.scenarios)]
    if route.weathers:
        notes.append("weather not simulated")
    return make_scenario(
        built,
        lanes,
        start,
        f"{file}#{route.id}",
        draws(file, route.id),
        duration=time_for(built.roadmap, lanes, start, end),
        goal=points[-1, :2],
        family="carla_routes",
        tags=(route.town, *dict.fromkeys(route.scenarios)),
        notes=tuple(notes),
        format="CARLA routes",
        rolling=False,
    )


def find_map(file: Path, town: str) -> Path | None:
    """The OpenDRIVE file of a town, or None; `Town10HD_Opt` is `Town10HD` with other meshes."""
    folders = [file.parent, *(Path(f) for f in os.environ.get(MAPS, "").split(os.pathsep) if f)]
    for folder in folders:
        for place in PLACES:
            for name in dict.fromkeys((town, town.removesuffix("_Opt"))):
                path = folder / place / f"{name}.xodr"
                if path.is_file():
                    return path
    return None


def _missing(town: str) -> str:
    return (
        f"no map {town}.xodr beside it; put it there, or name its folder in {MAPS}"
        " (a running CARLA gives it by world.get_map().to_opendrive())"
    )


def _holds_routes(path: Path) -> bool:
    """SUMO's route files have the same root; those of CARLA name towns."""
    if root_tag(path) != "routes":
        return False
    with open(path, "rb") as file:
        return b"town=" in file.read(SNIFF_BYTES)


def _routes(where: str) -> tuple[CarlaRoute, ...]:
    path = Path(where)
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    return _cached_routes(where, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _cached_routes(path: str, changed: int, size: int) -> tuple[CarlaRoute, ...]:
    return read_routes(path)


SOURCE = CarlaRoutesSource()
