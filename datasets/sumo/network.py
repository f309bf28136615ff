"""A SUMO network as its file has it: edges, lanes, connections, junctions, programs of the signals.

The elements and attributes are those of SUMO's documentation, "Networks/SUMO Road Networks" and
"Simulation/Traffic Lights" (release 1.28).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.xml import MAX_COORDINATE, Document, Node, parse_xml
from drive.errors import MapError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_BYTES = 256 * 1024 * 1024
DEFAULT_WIDTH = 3.2
"""m, of a lane that names none (SUMO_const_laneWidth)."""
MOTOR = frozenset(
    [
        "private",
        "emergency",
        "authority",
        "army",
        "vip",
        "passenger",
        "hov",
        "taxi",
        "bus",
        "coach",
        "delivery",
        "truck",
        "trailer",
        "motorcycle",
        "moped",
        "evehicle",
        "custom1",
        "custom2",
    ]
)
CLASSES = MOTOR | frozenset(
    [
        "pedestrian",
        "bicycle",
        "tram",
        "rail_urban",
        "rail",
        "rail_electric",
        "rail_fast",
        "ship",
        "container",
        "cable_car",
        "subway",
        "aircraft",
        "wheelchair",
        "scooter",
        "drone",
    ]
)
OPEN_CLASSES = frozenset(("ignoring",))
"""Vehicles of this class drive wherever there is a lane."""
ROADS = ("", "normal", "connector")


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """`shape (N, 2)` or `(N, 3)`; `length` as the file says, which need not be the shape's; `users` classes.

    `opposite` is the lane that `<neigh>` names; `change_left` and `change_right` the classes that may.
    """

    id: str
    edge: str
    index: int
    speed: float
    length: float
    width: float
    shape: Floats
    users: frozenset[str]
    change_left: frozenset[str]
    change_right: frozenset[str]
    opposite: str | None

    def open_to(self, who: str) -> bool:
        return who in self.users or who in OPEN_CLASSES


@dataclass(frozen=True, slots=True)
class Edge:
    """`function` "" of a road, or "internal", "crossing", "walkingarea", "connector"; lanes right to left."""

    id: str
    function: str
    start: str
    end: str
    lanes: tuple[str, ...]

    @property
    def is_road(self) -> bool:
        return self.function in ROADS


@dataclass(frozen=True, slots=True)
class Connection:
    """From lane to lane, through the junction's lane `via` where there is one.

    `program` and `link` name the signal; `state` is SUMO's: M and O without, m, o, s, w, = with giving way.
    """

    start: str
    end: str
    via: str | None
    program: str | None
    link: int
    state: str


@dataclass(frozen=True, slots=True, eq=False)
class Junction:
    id: str
    kind: str
    shape: Floats


@dataclass(frozen=True, slots=True)
class Program:
    """Phases (seconds, a letter a link) of a signal; the cycle begins `offset` s after the clock."""

    id: str
    name: str
    kind: str
    offset: float
    phases: tuple[tuple[float, str], ...]

    def state_at(self, time: float) -> str:
        """The letters at a time of SUMO's clock, each phase as long as planned."""
        cycle = sum(duration for duration, _ in self.phases)
        at = math.fmod(time - self.offset, cycle)
        at += cycle if at < 0.0 else 0.0
        for duration, state in self.phases:
            if at < duration - 1e-9:
                return state
            at -= duration
        return self.phases[-1][1]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """All of a file; `lefthand` where traffic keeps left. Coordinates are the file's own, in m."""

    name: str
    version: str
    edges: Mapping[str, Edge]
    lanes: Mapping[str, Lane]
    connections: tuple[Connection, ...]
    junctions: tuple[Junction, ...]
    programs: Mapping[str, Program]
    lefthand: bool
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Roads, their lanes, junctions and signals, counted as SUMO's own `sumolib` counts them."""
        roads = [edge for edge in self.edges.values() if edge.is_road]
        return {
            "edges": len(roads),
            "lanes": sum(len(edge.lanes) for edge in roads),
            "nodes": sum(junction.kind != "internal" for junction in self.junctions),
            "tls": len({c.program for c in self.connections if c.program}),
        }


def read_network(path: Path) -> Network:
    """Read a `.net.xml`; raises InputError or MapError, one line that names the file and the line."""
    document = parse_xml(path, MAX_BYTES)
    root = document.root
    if root.tag != "net":
        raise MapError(f"{document.name}: its root is <{root.tag}>; a SUMO network begins with <net>")
    edges: dict[str, Edge] = {}
    lanes: dict[str, Lane] = {}
    for node in root.all("edge"):
        edge, found = _edge(document, node)
        if edge.id in edges:
            raise MapError(f"{document.name}: line {node.line}: the edge '{edge.id}' is defined twice")
        edges[edge.id] = edge
        for lane in found:
            if lane.id in lanes:
                raise MapError(f"{document.name}: line {node.line}: the lane '{lane.id}' is defined twice")
            lanes[lane.id] = lane
    if not any(edge.is_road for edge in edges.values()):
        raise MapError(f"{document.name}: the network has no road; is the file complete?")
    programs = {}
    for node in root.all("tlLogic"):
        program = read_program(document, node)
        programs[program.id] = program
    connections, lost = _connections(document, root, edges, lanes)
    return Network(
        document.name,
        root.attributes.get("version", ""),
        edges,
        lanes,
        connections,
        tuple(_junction(document, node) for node in root.all("junction")),
        programs,
        root.attributes.get("lefthand", "").lower() in ("true", "1", "yes"),
        (f"{lost} connections name lanes that the file lacks",) if lost else (),
    )


def read_program(document: Document, node: Node) -> Program:
    """A `<tlLogic>` of a network or an additional file."""
    name = document.attribute(node, "id")
    phases = [
        (number(document, phase, "duration"), document.attribute(phase, "state"))
        for phase in node.all("phase")
    ]
    if not phases or min(d for d, _ in phases) < 0.0 or sum(d for d, _ in phases) <= 0.0:
        raise MapError(f"{document.name}: line {node.line}: the signal '{name}' has no phases that take time")
    return Program(
        name,
        node.attributes.get("programID", ""),
        node.attributes.get("type", "static"),
        number(document, node, "offset", 0.0),
        tuple(phases),
    )


def number(document: Document, node: Node, name: str, default: float | None = None) -> float:
    """A finite number of an attribute; raises InputError with the line."""
    text = node.attributes.get(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise document.error(node, f"<{node.tag}> has {name}='{(text or '')[:24]}', not a finite number")
    return value


def _edge(document: Document, node: Node) -> tuple[Edge, list[Lane]]:
    name = document.attribute(node, "id")
    lanes = [_lane(document, child, name) for child in node.all("lane")]
    lanes.sort(key=lambda lane: lane.index)
    if not lanes:
        raise document.error(node, f"the edge '{name}' has no lane")
    a = node.attributes
    edge = Edge(name, a.get("function", ""), a.get("from", ""), a.get("to", ""), tuple(x.id for x in lanes))
    return edge, lanes


def _lane(document: Document, node: Node, edge: str) -> Lane:
    name = document.attribute(node, "id")
    width = number(document, node, "width", DEFAULT_WIDTH)
    speed, length = number(document, node, "speed"), number(document, node, "length")
    if not (0.0 < width < 100.0 and length >= 0.0 and speed >= 0.0):
        raise document.error(
            node, f"the lane '{name}' has width {width:g}, length {length:g}, speed {speed:g}"
        )
    a = node.attributes
    neigh = node.find("neigh")
    return Lane(
        name,
        edge,
        int(number(document, node, "index")),
        speed,
        length,
        width,
        shape_of(document, node, 2),
        _users(a.get("allow"), a.get("disallow")),
        _users(a.get("changeLeft"), None),
        _users(a.get("changeRight"), None),
        None if neigh is None else neigh.attributes.get("lane"),
    )


def shape_of(document: Document, node: Node, least: int) -> Floats:
    """The attribute `shape`, "x,y x,y" or "x,y,z x,y,z", with `least` points or more."""
    rows = [point.split(",") for point in node.attributes.get("shape", "").split()]
    try:
        shape = np.array([[float(v) for v in row] for row in rows], dtype=np.float64)
    except ValueError:
        raise document.error(node, f"<{node.tag}> has a shape that is no list of points") from None
    if len(rows) < least or (rows and (shape.ndim != 2 or shape.shape[1] not in (2, 3))):
        raise document.error(node, f"<{node.tag}> has a shape of {len(rows)} points, needs {least}")
    if not (np.isfinite(shape).all() and (np.abs(shape) < MAX_COORDINATE).all()):
        raise document.error(node, f"<{node.tag}> has a shape beyond all maps, or one that is not finite")
    return shape if len(rows) else np.zeros((0, 2))


def _users(allow: str | None, disallow: str | None) -> frozenset[str]:
    """Vehicle classes by SUMO's pair of attributes, of which one is given."""
    if allow is not None:
        return CLASSES if "all" in allow.split() else CLASSES & set(allow.split())
    if disallow is not None:
        return frozenset() if "all" in disallow.split() else CLASSES - set(disallow.split())
    return CLASSES


def _connections(
    document: Document, root: Node, edges: Mapping[str, Edge], lanes: Mapping[str, Lane]
) -> tuple[tuple[Connection, ...], int]:
    found: list[Connection] = []
    lost = 0
    for node in root.all("connection"):
        a = node.attributes
        ends = []
        for edge, index in (("from", "fromLane"), ("to", "toLane")):
            known = edges.get(document.attribute(node, edge))
            k = int(number(document, node, index))
            ends.append(known.lanes[k] if known is not None and 0 <= k < len(known.lanes) else None)
        start, end = ends
        via = a.get("via")
        if start is None or end is None or (via is not None and via not in lanes):
            lost += 1
            continue
        link = max(int(number(document, node, "linkIndex", -1.0)), -1)
        found.append(Connection(start, end, via, a.get("tl"), link, a.get("state", "M")))
    return tuple(found), lost


def _junction(document: Document, node: Node) -> Junction:
    return Junction(
        document.attribute(node, "id"), node.attributes.get("type", ""), shape_of(document, node, 0)
    )
