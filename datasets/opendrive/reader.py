"""Reads OpenDRIVE 1.4 to 1.7 into plain data, road by road.

Written from the format's published description (ASAM OpenDRIVE 1.7.0, and 1.4 of its predecessor).
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from drive.datasets.opendrive.model import (
    Connection,
    Controller,
    Cubics,
    End,
    Geometry,
    Junction,
    Lane,
    OpenDriveFile,
    Road,
    RoadLink,
    RoadMark,
    RoadObject,
    Section,
    Signal,
)
from drive.datasets.xml import Document, Node, parse_xml
from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 512 * 1024 * 1024
MAX_NUMBER = 1e8
MAX_LENGTH = 1e6
"""Metres of one road."""
VERSIONS = ((1, 4), (1, 8))
"""From the first up to, but without, the second. Later ones are read as 1.7 and said so."""
SPEED_UNITS = {"": 1.0, "m/s": 1.0, "km/h": 1.0 / 3.6, "mph": 0.44704}
SHAPES = ("line", "arc", "spiral", "poly3", "paramPoly3")
PARAM = ("aU", "bU", "cU", "dU", "aV", "bV", "cV", "dV")


def read_opendrive(path: str | Path) -> OpenDriveFile:
    """Read a road network. Raises InputError with the file's name and the line of the fault."""
    roads: dict[str, Road] = {}
    junctions: dict[str, Junction] = {}
    controllers: list[Controller] = []
    skipped: Counter[str] = Counter()
    about = {"version": ""}

    def take(doc: Document, node: Node) -> None:
        if doc.root.tag != "OpenDRIVE":
            raise InputError(f"{doc.name}: no OpenDRIVE road network (root <{doc.root.tag}>)")
        if node.tag == "header":
            about["version"] = _version(doc, node, skipped)
        elif node.tag == "road":
            road = _road(doc, node, skipped)
            if road.id in roads:
                raise doc.error(node, f"road '{road.id}' is defined twice")
            roads[road.id] = road
        elif node.tag == "junction":
            junction = _junction(doc, node, skipped)
            junctions[junction.id] = junction
        elif node.tag == "controller":
            signals = tuple(dict.fromkeys(c.attributes.get("signalId", "") for c in node.all("control")))
            controllers.append(Controller(doc.attribute(node, "id"), _order(node), signals))
        elif node.tag not in ("userData", "include", "dataQuality"):
            skipped[node.tag] += 1

    doc = parse_xml(Path(path), MAX_BYTES, take)
    if doc.root.tag != "OpenDRIVE":
        raise InputError(f"{doc.name}: no OpenDRIVE road network (root <{doc.root.tag}>)")
    if not roads:
        raise InputError(f"{doc.name}: the road network is empty: it has no <road>")
    return OpenDriveFile(doc.name, about["version"], roads, junctions, tuple(controllers), dict(skipped))


def _version(doc: Document, node: Node, skipped: Counter[str]) -> str:
    text = f"{node.attributes.get('revMajor', ''):.20}.{node.attributes.get('revMinor', ''):.20}"
    try:
        found = (int(node.attributes["revMajor"]), int(node.attributes["revMinor"]))
    except (KeyError, ValueError):
        raise doc.error(node, f"<header> gives no OpenDRIVE version that can be read ('{text}')") from None
    if found < VERSIONS[0] or found[0] > VERSIONS[1][0]:
        raise doc.error(node, f"OpenDRIVE {text} is not supported (1.4 to 1.7 are)")
    if found >= VERSIONS[1]:
        skipped[f"what OpenDRIVE {text} has beyond 1.7"] += 1
    return text


def _number(doc: Document, node: Node, name: str, default: float | None = None) -> float:
    """A finite attribute; without it the default, or InputError where there is none."""
    text = node.attributes.get(name, "").strip()
    if not text:
        if default is None:
            raise doc.error(node, f"<{node.tag}> lacks the attribute {name}")
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < MAX_NUMBER:
        raise doc.error(node, f"<{node.tag}> has {name}='{text[:24]}', not a number that makes sense")
    return value


def _lane_id(doc: Document, node: Node, name: str = "id") -> int:
    text = doc.attribute(node, name)
    try:
        return int(text)
    except ValueError:
        raise doc.error(node, f"<{node.tag}> has {name}='{text[:24]}', not the id of a lane") from None


def _order(node: Node) -> int:
    try:
        return int(node.attributes.get("sequence", "0"))
    except ValueError:
        return 0


def _cubics(doc: Document, nodes: Iterable[Node], station: str = "s") -> Cubics:
    rows = [[_number(doc, n, key, 0.0) for key in (station, "a", "b", "c", "d")] for n in nodes]
    table = np.asarray(sorted(rows, key=lambda row: row[0]), dtype=np.float64).reshape(-1, 5)
    return Cubics(table[:, 0].copy(), table[:, 1:].copy())


def _speeds(doc: Document, nodes: Iterable[tuple[float, Node]]) -> tuple[tuple[float, float], ...]:
    """(offset, m/s) of each speed record; NaN where it says that there is no limit, or none is given."""
    out = []
    for offset, node in nodes:
        unit = node.attributes.get("unit", "").strip()
        try:
            value = float(node.attributes.get("max", "")) * SPEED_UNITS.get(unit, math.nan)
        except ValueError:
            value = math.nan
        out.append((offset, value if value > 0.0 else math.nan))
    return tuple(sorted(out, key=lambda row: row[0]))


def _road(doc: Document, node: Node, skipped: Counter[str]) -> Road:
    length = _number(doc, node, "length")
    road_id = doc.attribute(node, "id")
    if not 0.0 < length <= MAX_LENGTH:
        raise doc.error(node, f"road '{road_id}' is {length:g} m long; up to {MAX_LENGTH:g} m are allowed")
    link, lanes = node.find("link"), doc.require(node, "lanes")
    types = list(node.all("type"))
    speeds = [(_number(doc, t, "s", 0.0), s) for t in types for s in t.all("speed")]
    junction = node.attributes.get("junction", "-1").strip()
    elevation, lateral = node.find("elevationProfile"), node.find("lateralProfile")
    if lateral is not None:
        for child in lateral.children:
            if any(abs(_number(doc, child, key, 0.0)) > 1e-9 for key in "abcd"):
                skipped[f"{child.tag} (the road is taken as level across)"] += 1
    for child in node.children:
        if child.tag in ("railroad",):
            skipped[child.tag] += 1
    signals, objects = node.find("signals"), node.find("objects")
    return Road(
        id=road_id,
        line=node.line,
        length=length,
        junction="" if junction in ("-1", "") else junction,
        rule="LHT" if node.attributes.get("rule", "RHT").strip() == "LHT" else "RHT",
        predecessor=_road_link(doc, link, "predecessor", skipped),
        successor=_road_link(doc, link, "successor", skipped),
        plan=_plan(doc, node, road_id),
        elevation=_cubics(doc, elevation.all("elevation") if elevation is not None else ()),
        lane_offset=_cubics(doc, lanes.all("laneOffset")),
        sections=_sections(doc, lanes, road_id, length, skipped),
        speeds=_speeds(doc, speeds),
        signals=tuple(_signals(doc, signals)) if signals is not None else (),
        objects=tuple(_objects(doc, objects, skipped)) if objects is not None else (),
    )


def _contact(doc: Document, node: Node, default: End | None = None) -> End:
    text = node.attributes.get("contactPoint", default or "").strip()
    if text not in ("start", "end"):
        raise doc.error(node, f"<{node.tag}> has contactPoint='{text[:24]}'; it must be start or end")
    return cast("End", text)


def _road_link(doc: Document, link: Node | None, tag: str, skipped: Counter[str]) -> RoadLink | None:
    node = link.find(tag) if link is not None else None
    if node is None:
        return None
    kind, other = node.attributes.get("elementType", "road"), doc.attribute(node, "elementId")
    if "elementS" in node.attributes:
        skipped["link to a place inside a road (virtual junction)"] += 1
        return None
    return RoadLink(kind, other, "start" if kind == "junction" else _contact(doc, node))


def _plan(doc: Document, node: Node, road_id: str) -> tuple[Geometry, ...]:
    pieces = []
    for g in doc.require(node, "planView").all("geometry"):
        shape = next((c for c in g.children if c.tag in SHAPES), None)
        if shape is None:
            raise doc.error(g, f"road '{road_id}': <geometry> holds none of {', '.join(SHAPES)}")
        length = _number(doc, g, "length")
        if length < 0.0 or length > MAX_LENGTH:
            raise doc.error(g, f"road '{road_id}': a <geometry> has the length {length:g}")
        values: tuple[float, ...] = ()
        if shape.tag == "arc":
            values = (_number(doc, shape, "curvature"),)
        elif shape.tag == "spiral":
            values = (_number(doc, shape, "curvStart"), _number(doc, shape, "curvEnd"))
        elif shape.tag == "poly3":
            values = tuple(_number(doc, shape, key) for key in "abcd")
        elif shape.tag == "paramPoly3":
            whole = length if shape.attributes.get("pRange", "normalized") == "arcLength" else 1.0
            values = (*(_number(doc, shape, key) for key in PARAM), whole)
        # A piece without length has no direction to speak of; files do hold such.
        if length > 1e-9:
            s, x, y, heading = (_number(doc, g, key) for key in ("s", "x", "y", "hdg"))
            pieces.append(Geometry(s, x, y, heading, length, shape.tag, values))
    if not pieces:
        raise doc.error(node, f"road '{road_id}' has no <geometry> with a length")
    return tuple(sorted(pieces, key=lambda piece: piece.s))


def _sections(
    doc: Document, lanes: Node, road_id: str, length: float, skipped: Counter[str]
) -> tuple[Section, ...]:
    nodes = sorted(lanes.all("laneSection"), key=lambda n: _number(doc, n, "s"))
    if not nodes:
        raise doc.error(lanes, f"road '{road_id}' has no <laneSection>")
    starts = [min(_number(doc, n, "s"), length) for n in nodes]
    out = []
    for n, (a, b) in zip(nodes, pairwise([*starts, length]), strict=True):
        found: dict[int, Lane] = {}
        for side in n.all("left", "center", "right"):
            for child in side.all("lane"):
                lane = _lane(doc, child, skipped)
                if lane.id in found:
                    raise doc.error(child, f"road '{road_id}': lane {lane.id} is there twice in one section")
                found[lane.id] = lane
        ids = sorted({*found, 0})
        if ids[-1] - ids[0] != len(ids) - 1:
            raise doc.error(n, f"road '{road_id}': a section's lane ids are not consecutive: {ids}")
        out.append(Section(a, b, found))
    return tuple(out)


def _lane(doc: Document, node: Node, skipped: Counter[str]) -> Lane:
    link = node.find("link")

    def refs(tag: str) -> tuple[int, ...]:
        return tuple(_lane_id(doc, n) for n in link.all(tag)) if link is not None else ()

    widths, borders = list(node.all("width")), list(node.all("border"))
    for child in node.children:
        if child.tag in ("height", "material", "access", "rule"):
            skipped[f"lane {child.tag}"] += 1
    return Lane(
        id=_lane_id(doc, node),
        type=node.attributes.get("type", "none").strip(),
        widths=_cubics(doc, widths or borders, "sOffset"),
        is_border=not widths and bool(borders),
        predecessors=refs("predecessor"),
        successors=refs("successor"),
        marks=tuple(
            sorted(
                (
                    RoadMark(
                        _number(doc, m, "sOffset", 0.0),
                        m.attributes.get("type", "none").strip(),
                        m.attributes.get("laneChange", "").strip(),
                    )
                    for m in node.all("roadMark")
                ),
                key=lambda m: m.offset,
            )
        ),
        speeds=_speeds(doc, ((_number(doc, s, "sOffset", 0.0), s) for s in node.all("speed"))),
    )


def _signals(doc: Document, node: Node) -> Iterable[Signal]:
    for n in node.all("signal", "signalReference"):
        yield Signal(
            id=doc.attribute(n, "id"),
            s=_number(doc, n, "s"),
            t=_number(doc, n, "t", 0.0),
            orientation=n.attributes.get("orientation", "none").strip(),
            lanes=tuple(
                (_lane_id(doc, v, "fromLane"), _lane_id(doc, v, "toLane")) for v in n.all("validity")
            ),
            type=n.attributes.get("type", "").strip(),
            name=n.attributes.get("name", "").strip(),
            is_reference=n.tag == "signalReference",
            height=_number(doc, n, "zOffset", 0.0),
            heading=_number(doc, n, "hOffset", 0.0),
        )


def _objects(doc: Document, node: Node, skipped: Counter[str]) -> Iterable[RoadObject]:
    for n in node.children:
        if n.tag != "object":
            skipped[n.tag] += 1
            continue
        outlines = n.find("outlines")
        outline = n.find("outline") or (outlines.find("outline") if outlines is not None else None)
        corners: list[tuple[float, float]] = []
        on_road = False
        for c in outline.children if outline is not None else ():
            if c.tag == "cornerRoad":
                on_road = True
                corners.append((_number(doc, c, "s"), _number(doc, c, "t")))
            elif c.tag == "cornerLocal":
                corners.append((_number(doc, c, "u"), _number(doc, c, "v")))
        if n.find("repeat") is not None:
            skipped["repetition of an object"] += 1
        yield RoadObject(
            id=n.attributes.get("id", "").strip(),
            type=n.attributes.get("type", "").strip(),
            name=n.attributes.get("name", "").strip(),
            s=_number(doc, n, "s", 0.0),
            t=_number(doc, n, "t", 0.0),
            heading=_number(doc, n, "hdg", 0.0),
            length=_number(doc, n, "length", 0.0),
            width=_number(doc, n, "width", 0.0),
            corners=np.asarray(corners, dtype=np.float64).reshape(-1, 2),
            on_road=on_road,
            orientation=n.attributes.get("orientation", "none").strip(),
        )


def _junction(doc: Document, node: Node, skipped: Counter[str]) -> Junction:
    kind = node.attributes.get("type", "").strip() or "default"
    connections = []
    for c in node.all("connection"):
        other = c.attributes.get("linkedRoad" if kind == "direct" else "connectingRoad", "").strip()
        other = other or c.attributes.get("connectingRoad", "").strip() or c.attributes.get("linkedRoad", "")
        incoming = c.attributes.get("incomingRoad", "").strip()
        if not other or not incoming:
            skipped["connection without its two roads"] += 1
            continue
        links = tuple((_lane_id(doc, k, "from"), _lane_id(doc, k, "to")) for k in c.all("laneLink"))
        connections.append(Connection(incoming, other, _contact(doc, c, "start"), links))
    if kind not in ("default", "direct"):
        skipped[f"{kind} junction"] += 1
    order = tuple((_order(k), doc.attribute(k, "id")) for k in node.all("controller"))
    return Junction(doc.attribute(node, "id"), kind, tuple(connections), order)
