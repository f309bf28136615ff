"""Reads the route files of CARLA's leaderboard 1.0 and 2.x and of Bench2Drive into plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.xml import Document, Node, parse_xml
from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_COORDINATE = 1e6


@dataclass(frozen=True, slots=True)
class CarlaEvent:
    """A scenario along a route: its type, trigger point (x, y, z in m, right-handed; heading in rad), and
    the values of its other elements by `element` or `element.attribute`."""

    type: str
    trigger: tuple[float, float, float, float]
    values: tuple[tuple[str, str], ...]

    def value(self, name: str, default: float) -> float:
        """A number among the values; the default where there is none, or no number."""
        try:
            found = float(dict(self.values)[name])
        except (KeyError, ValueError):
            return default
        return found if math.isfinite(found) else default


@dataclass(frozen=True, slots=True, eq=False)
class CarlaRoute:
    """One route: `points (N, 3)` in metres, right-handed (CARLA's y with its sign changed).

    `scenarios` are the types of what is triggered along it, in the file's order, `events` those of them
    that have a trigger point; `weathers` how many weather records it has.
    """

    id: str
    town: str
    points: Floats
    scenarios: tuple[str, ...]
    weathers: int
    events: tuple[CarlaEvent, ...] = ()


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
    given = [_event(doc, s) for s in scenarios.all("scenario")] if scenarios else []
    events = tuple(e for e in given if e is not None)
    return CarlaRoute(name, town, np.asarray(points), types, count, events)


def _event(doc: Document, node: Node) -> CarlaEvent | None:
    point = node.find("trigger_point")
    if point is None:
        return None
    try:
        yaw = float(point.attributes.get("yaw", "0"))
    except ValueError:
        yaw = math.nan
    if not math.isfinite(yaw):
        raise doc.error(point, f"yaw='{point.attributes['yaw'][:24]}' is no angle")
    values = []
    for child in node.children:
        if child is not point:
            for key, text in child.attributes.items():
                values.append((child.tag if key == "value" else f"{child.tag}.{key}", text))
    heading = -math.radians(yaw)
    place = (*_position(doc, point), math.atan2(math.sin(heading), math.cos(heading)))
    return CarlaEvent(node.attributes.get("type", "unknown"), place, tuple(values))


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
