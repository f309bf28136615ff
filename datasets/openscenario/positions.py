"""Positions of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.datasets.openscenario.model import (
    LanePosition,
    Orientation,
    RelativeLanePosition,
    RelativePosition,
    RelativeRoadPosition,
    RoadPosition,
    Unsupported,
    WorldPosition,
)

if TYPE_CHECKING:
    from drive.datasets.openscenario.element import Element
    from drive.datasets.openscenario.model import Position


def read_position(holder: Element) -> Position:
    """The position in an element such as <Position>; one that is not read is counted."""
    p = holder.only()
    kind = p.tag
    if kind == "WorldPosition":
        return WorldPosition(p.number("x"), p.number("y"), p.number("h", 0.0))
    turn = _orientation(p)
    if kind == "LanePosition":
        return LanePosition(p.text("roadId"), p.whole("laneId"), p.number("s"), p.number("offset", 0.0), turn)
    if kind == "RoadPosition":
        return RoadPosition(p.text("roadId"), p.number("s"), p.number("t", 0.0), turn)
    if kind == "RelativeLanePosition":
        along = p.maybe("dsLane")
        return RelativeLanePosition(
            p.text("entityRef"),
            p.whole("dLane", 0),
            p.number("ds", 0.0) if along is None else along,
            along is not None,
            p.number("offset", 0.0),
            turn,
        )
    if kind == "RelativeRoadPosition":
        return RelativeRoadPosition(p.text("entityRef"), p.number("ds"), p.number("dt", 0.0), turn)
    if kind in ("RelativeObjectPosition", "RelativeWorldPosition"):
        world = kind == "RelativeWorldPosition"
        return RelativePosition(p.text("entityRef"), p.number("dx"), p.number("dy"), world, turn)
    return Unsupported(p.skip())


def _orientation(p: Element) -> Orientation | None:
    o = p.find("Orientation")
    if o is None:
        return None
    return Orientation(o.number("h", 0.0), o.text("type", "absolute") == "relative")
