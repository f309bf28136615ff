"""Triggers and conditions of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.datasets.openscenario.model import (
    Collides,
    Compare,
    Condition,
    ElementState,
    ParameterIs,
    ReachPosition,
    Unsupported,
)
from drive.datasets.openscenario.positions import read_position

if TYPE_CHECKING:
    from drive.datasets.openscenario.element import Element
    from drive.datasets.openscenario.model import Test, Trigger

SIMPLE = {
    "SpeedCondition": ("speed", "value"),
    "AccelerationCondition": ("acceleration", "value"),
    "RelativeSpeedCondition": ("relative_speed", "value"),
}
LASTING = {
    "StandStillCondition": ("standstill", "duration"),
    "EndOfRoadCondition": ("end_of_road", "duration"),
    "OffroadCondition": ("offroad", "duration"),
}


def read_trigger(holder: Element | None) -> Trigger | None:
    """The groups of a <StartTrigger> or <StopTrigger>; None without one, or where it is empty."""
    if holder is None:
        return None
    groups = tuple(tuple(_condition(c) for c in g.all("Condition")) for g in holder.all("ConditionGroup"))
    return tuple(g for g in groups if g) or None


def _condition(c: Element) -> Condition:
    name, edge, delay = c.label(), c.text("conditionEdge", "none"), c.number("delay", 0.0)
    by = c.find("ByEntityCondition", "ByValueCondition")
    if by is None:
        raise c.error(f"the condition '{name}' is empty")
    if by.tag == "ByValueCondition":
        return Condition(name, _value(by.only()), edge=edge, delay=delay)
    who = by.need("TriggeringEntities")
    return Condition(
        name,
        _entity(by.need("EntityCondition").only()),
        tuple(e.text("entityRef") for e in who.all("EntityRef")),
        who.text("triggeringEntitiesRule", "any") == "all",
        edge,
        delay,
    )


def _value(c: Element) -> Test:
    if c.tag == "SimulationTimeCondition":
        return Compare("time", c.text("rule"), c.number("value"))
    if c.tag == "ParameterCondition":
        return ParameterIs(c.text("parameterRef", ""), c.text("rule", ""), c.text("value", ""))
    if c.tag == "StoryboardElementStateCondition":
        return ElementState(c.text("storyboardElementType"), c.text("storyboardElementRef"), c.text("state"))
    return Unsupported(c.skip())


def _entity(c: Element) -> Test:
    kind = c.tag
    if kind in SIMPLE:
        what, name = SIMPLE[kind]
        return Compare(what, c.text("rule"), c.number(name), c.text("entityRef", "") or None)
    if kind in LASTING:
        what, name = LASTING[kind]
        return Compare(what, "greaterOrEqual", c.number(name))
    if kind == "TraveledDistanceCondition":
        return Compare("traveled", "greaterOrEqual", c.number("value"))
    if kind == "ReachPositionCondition":
        return ReachPosition(read_position(c.need("Position")), c.number("tolerance"))
    if kind in ("TimeHeadwayCondition", "TimeToCollisionCondition"):
        return _gap(c, "headway" if kind == "TimeHeadwayCondition" else "ttc")
    if kind == "RelativeDistanceCondition":
        axis = c.text("relativeDistanceType", "euclidianDistance")
        return Compare(
            "distance",
            c.text("rule"),
            c.number("value"),
            c.text("entityRef"),
            freespace=c.flag("freespace"),
            axis={"cartesianDistance": "euclidian", "euclidianDistance": "euclidian"}.get(axis, axis),
            along_road=_along(c),
        )
    if kind == "DistanceCondition":
        return Compare(
            "distance",
            c.text("rule"),
            c.number("value"),
            position=read_position(c.need("Position")),
            freespace=c.flag("freespace"),
            axis="euclidian",
            along_road=_along(c),
        )
    if kind == "CollisionCondition":
        other = c.find("EntityRef")
        return Collides(None if other is None else other.text("entityRef"))
    return Unsupported(c.skip())


def _gap(c: Element, what: str) -> Test:
    """A time headway, or a time to collision with an entity or a position."""
    target = c.find("TimeToCollisionConditionTarget")
    entity, position = c.text("entityRef", "") or None, None
    if target is not None:
        inner = target.only()
        if inner.tag == "EntityRef":
            entity = inner.text("entityRef")
        else:
            position = read_position(target if inner.tag != "Position" else inner)
    return Compare(
        what,
        c.text("rule"),
        c.number("value"),
        entity,
        position,
        c.flag("freespace"),
        along_road=_along(c),
    )


def _along(c: Element) -> bool:
    """Whether a distance is measured along the road: 1.0 says so by a flag, 1.1 by a coordinate system."""
    system = c.text("coordinateSystem", "")
    return system in ("road", "lane", "trajectory") if system else c.flag("alongRoute")
