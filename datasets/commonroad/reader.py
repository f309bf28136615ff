"""Reads CommonRoad XML of the versions 2018b and 2020a into plain data.

Written from the format's published description and schema (M. Althoff, M. Koschi, S. Manzinger,
"CommonRoad: Composable benchmarks for motion planning on roads", IV 2017, and the XSD of the versions).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.commonroad.model import (
    CommonRoadFile,
    GoalState,
    Incoming,
    Lanelet,
    PlanningProblem,
    TrafficLight,
    TrafficSign,
)
from drive.datasets.commonroad.obstacles import read_obstacle, region_polygon
from drive.datasets.xml import MAX_COORDINATE, Document, Node, parse_xml
from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

VERSIONS = ("2018b", "2020a")
OBSTACLES = ("obstacle", "staticObstacle", "dynamicObstacle")


def read_commonroad(path: str | Path) -> CommonRoadFile:
    """Read a scenario file. Raises InputError with the file's name and the line of the fault.

    Obstacles that cannot be used (set-based predictions, no valid sample …) are left out and counted in
    `skipped`; the map's lanelets are checked when the road map is built.
    """
    doc = parse_xml(Path(path))
    root = doc.root
    if root.tag != "commonRoad":
        what = "a solution, not a scenario" if root.tag == "CommonRoadSolution" else f"root <{root.tag}>"
        raise InputError(f"{doc.name}: no CommonRoad scenario ({what})")
    version = root.attributes.get("commonRoadVersion", "none")
    if version not in VERSIONS:
        raise doc.error(root, f"CommonRoad version {version} is not supported (known: {', '.join(VERSIONS)})")
    dt = _time_step(doc, root)
    skipped: list[str] = []
    obstacles = [o for n in root.all(*OBSTACLES) if (o := read_obstacle(doc, n, dt, skipped)) is not None]
    phantoms = root.all("phantomObstacle")
    skipped += [f"phantom obstacle {n.attributes.get('id')}: only a set of occupancies" for n in phantoms]
    tags = root.attributes.get("tags", "").split()
    tags += [child.tag for node in root.all("scenarioTags") for child in node.children]
    return CommonRoadFile(
        name=doc.name,
        benchmark=root.attributes.get("benchmarkID", "").strip(),
        version=version,
        dt=dt,
        source=root.attributes.get("source", "").strip(),
        author=root.attributes.get("author", "").strip(),
        tags=tuple(tags),
        lanelets=tuple(_lanelet(doc, n) for n in root.all("lanelet")),
        signs={s.id: s for s in (_sign(doc, n) for n in root.all("trafficSign"))},
        lights={s.id: s for s in (_light(doc, n) for n in root.all("trafficLight"))},
        # The ids of incomings are left aside: published files use one several times.
        intersections=tuple(tuple(_incoming(c) for c in n.all("incoming")) for n in root.all("intersection")),
        obstacles=tuple(obstacles),
        problems=tuple(_problem(doc, n) for n in root.all("planningProblem")),
        buildings=tuple(_buildings(doc, root, skipped)),
        skipped=tuple(skipped),
    )


def _time_step(doc: Document, root: Node) -> float:
    text = doc.attribute(root, "timeStepSize")
    try:
        dt = float(text)
    except ValueError:
        dt = math.nan
    if not 0.0 < dt <= 10.0:
        raise doc.error(root, f"timeStepSize '{text[:20]}' is no step in seconds")
    return dt


def _points(doc: Document, nodes: Iterable[Node]) -> NDArray[np.float64]:
    return np.asarray([doc.point(n) for n in nodes], dtype=np.float64).reshape(-1, 2)


def _lanelet(doc: Document, node: Node) -> Lanelet:
    left, right = doc.require(node, "leftBound"), doc.require(node, "rightBound")
    limit, stop = node.find("speedLimit"), node.find("stopLine")
    lights = list(node.refs("trafficLightRef"))
    stop_points = None
    if stop is not None:
        lights += [ref for ref in stop.refs("trafficLightRef") if ref not in lights]
        stop_points = _points(doc, stop.all("point"))
        if len(stop_points) != 2:
            stop_points = np.zeros((0, 2))
    return Lanelet(
        id=doc.attribute(node, "id"),
        line=node.line,
        left=_points(doc, left.all("point")),
        right=_points(doc, right.all("point")),
        left_marking=left.value("lineMarking"),
        right_marking=right.value("lineMarking"),
        predecessors=node.refs("predecessor"),
        successors=node.refs("successor"),
        adjacent_left=_adjacent(node, "adjacentLeft"),
        adjacent_right=_adjacent(node, "adjacentRight"),
        types=frozenset(n.text.strip() for n in node.all("laneletType")),
        users=frozenset(n.text.strip() for n in node.all("userOneWay", "userBidirectional")),
        speed_limit=None if limit is None else doc.number(limit),
        signs=node.refs("trafficSignRef"),
        lights=tuple(lights),
        stop=stop_points,
    )


def _adjacent(node: Node, tag: str) -> tuple[str, bool] | None:
    child = node.find(tag)
    if child is None or "ref" not in child.attributes:
        return None
    return child.attributes["ref"].strip(), child.attributes.get("drivingDir") == "same"


def _sign(doc: Document, node: Node) -> TrafficSign:
    elements = [
        (e.value("trafficSignID") or "", tuple(v.text.strip() for v in e.all("additionalValue")))
        for e in node.all("trafficSignElement")
    ]
    return TrafficSign(doc.attribute(node, "id"), tuple(elements))


def _light(doc: Document, node: Node) -> TrafficLight:
    cycle: list[tuple[str, int]] = []
    offset = 0
    box = node.find("cycle")
    if box is not None:
        for element in box.all("cycleElement"):
            duration = doc.number(doc.require(element, "duration"))
            if not (math.isfinite(duration) and duration >= 0):
                raise doc.error(element, "a traffic light's phase has no duration in time steps")
            cycle.append((element.value("color") or "inactive", int(duration)))
        shift = box.find("timeOffset")
        value = 0.0 if shift is None else doc.number(shift)
        offset = int(value) if math.isfinite(value) else 0
    direction, active = node.value("direction") or "all", node.value("active") != "false"
    return TrafficLight(doc.attribute(node, "id"), tuple(cycle), offset, direction, active)


def _incoming(node: Node) -> Incoming:
    return Incoming(
        node.refs("incomingLanelet"),
        node.refs("successorsLeft", "outgoingLeft"),
        node.refs("successorsStraight", "outgoingStraight"),
        node.refs("successorsRight", "outgoingRight"),
    )


def _buildings(doc: Document, root: Node, skipped: list[str]) -> Iterable[NDArray[np.float64]]:
    for node in root.all("environmentObstacle"):
        name, shape = f"environment obstacle {node.attributes.get('id')}", node.find("shape")
        polygon = None if shape is None else region_polygon(doc, shape)[1]
        if polygon is None or not np.isfinite(polygon).all() or len(polygon) < 3:
            skipped.append(f"{name}: no polygon")
        elif node.value("type") in (None, "building", "pillar", "unknown"):
            yield polygon
        else:
            skipped.append(f"{name}: a {node.value('type')} hides nothing")


def _problem(doc: Document, node: Node) -> PlanningProblem:
    state = doc.require(node, "initialState")
    center, _ = region_polygon(doc, doc.require(state, "position"))
    if center is None:
        raise doc.error(state, "the initial position is neither a point nor a shape")
    heading, speed = doc.middle(state.find("orientation")), doc.middle(state.find("velocity"))
    if not (np.abs((*center, heading, speed)) < MAX_COORDINATE).all():
        raise doc.error(state, "the initial position, orientation or velocity is missing or not finite")
    rest = [doc.middle(state.find(tag)) for tag in ("acceleration", "yawRate")]
    acceleration, yaw_rate = (v if math.isfinite(v) else 0.0 for v in rest)
    return PlanningProblem(
        doc.attribute(node, "id"),
        doc.step(state),
        float(center[0]),
        float(center[1]),
        heading,
        speed,
        acceleration,
        yaw_rate,
        tuple(_goal(doc, g) for g in node.all("goalState")),
    )


def _goal(doc: Document, node: Node) -> GoalState:
    def interval(tag: str) -> tuple[float, float] | None:
        child = node.find(tag)
        low, high = (math.nan, math.nan) if child is None else doc.exact(child)
        return (low, high) if math.isfinite(low + high) else None

    position = node.find("position")
    center, polygon = (None, None) if position is None else region_polygon(doc, position)
    for values in (center, polygon):
        if values is not None and not (np.abs(values) < MAX_COORDINATE).all():
            raise doc.error(node, "the goal's position is not finite")
    lanelets = () if position is None else position.refs("lanelet")
    return GoalState(
        center, polygon, lanelets, interval("time"), interval("orientation"), interval("velocity")
    )
