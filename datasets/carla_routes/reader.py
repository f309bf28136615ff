"""Reads the route files of CARLA's leaderboard 1.0 and 2.x and of Bench2Drive into plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.commonroad.parse import Document, Node, parse_xml
from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_COORDINATE = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class CarlaRoute:
    """One route: `points (N, 3)` in metres, right-handed (CARLA's y with its sign changed).

    `scenarios` are the types of what is triggered along it, in the file's order; `weathers` how many
    weather records it has.
    """

    id: str
    town: str
    points: Floats
    scenarios: tuple[str, ...]
    weathers: int


def read_routes(path: str | Path) -> tuple[CarlaRoute, ...]:
    """The routes of a file. Raises InputError with the file's name and the line of the fault."""
    found: dict[str, CarlaRoute] = {}

    def take(doc: Document, node: Node) -> None:
        if node.tag != "route":
            return
        route = _route(doc, node)
        if route.id in found:
            raise doc.error(node, f"route '{route.id}' is there twice")
        found[route.id] = route

    doc = parse_xml(Path(path), on_child=take)
    if doc.root.tag != "routes" or not found:
        raise InputError(f"{doc.name}: no CARLA routes in it (root <{doc.root.tag}>)")
    return tuple(found.values())


def _route(doc: Document, node: Node) -> CarlaRoute:
    name, town = doc.attribute(node, "id"), doc.attribute(node, "town")
    # Leaderboard 1.0 has <waypoint> in the route, 2.x <position> in its <waypoints>.
    holder = node.find("waypoints") or node
    points = [_position(doc, p) for p in holder.all("position", "waypoint")]
    if len(points) < 2:
        raise doc.error(node, f"route '{name}' has {len(points)} positions; it needs two")
    scenarios = node.find("scenarios")
    types = tuple(s.attributes.get("type", "unknown") for s in scenarios.all("scenario")) if scenarios else ()
    weathers = node.find("weathers")
    count = len(list(weathers.all("weather"))) if weathers else 0
    return CarlaRoute(name, town, np.asarray(points), types, count)


def _position(doc: Document, node: Node) -> tuple[float, float, float]:
    values = []
    for key in "xyz":
        try:
            value = float(node.attributes.get(key, "0" if key == "z" else ""))
        except ValueError:
            value = math.nan
        if not abs(value) < MAX_COORDINATE:
            raise doc.error(node, f"<{node.tag}> has {key}='{node.attributes.get(key, '')[:24]}', no metres")
        values.append(value)
    return values[0], -values[1], values[2]
