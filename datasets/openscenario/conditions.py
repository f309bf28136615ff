"""Triggers and conditions of OpenSCENARIO as what a storyboard asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.sim.traffic.story.asked import RULES
from drive.sim.traffic.story.model import Test

if TYPE_CHECKING:
    from drive.datasets.openscenario.places import Ground
    from drive.datasets.openscenario.text import Text
    from drive.sim.traffic.story.model import Trigger

EDGES = ("none", "rising", "falling", "risingOrFalling")
PLAIN = ("Speed", "Acceleration", "TraveledDistance", "StandStill", "EndOfRoad", "Offroad", "RelativeSpeed")
"""Conditions that compare one number of an entity."""
ELEMENTS = {"action": "action", "event": "event", "act": "act"}


def trigger(text: Text | None, ground: Ground) -> Trigger | None:
    """A <StartTrigger> or <StopTrigger>; None without the element, and for an empty one: what has no
    condition to wait for starts at once, and is not stopped.

    A condition that is not read is noted by name and never holds.
    """
    if text is None or text.child("ConditionGroup") is None:
        return None
    return tuple(
        tuple(_condition(c, ground) for c in group.children("Condition"))
        for group in text.children("ConditionGroup")
    )


def _condition(text: Text, ground: Ground) -> Test:
    edge = text.choice("conditionEdge", EDGES, "none")
    common = {"delay": max(text.number("delay", 0.0), 0.0), "edge": edge}
    kind = text.only()
    if kind.tag == "ByEntityCondition":
        return _by_entity(kind, ground, common)
    return _by_value(kind.only(), common)


def _never(text: Text) -> Test:
    text.skip(text.tag)
    return Test("Constant", value=0.0)


def _by_value(text: Text, common: dict[str, Any]) -> Test:
    if text.tag == "SimulationTimeCondition":
        return Test("SimulationTime", text.choice("rule", RULES), text.number("value"), **common)
    if text.tag == "StoryboardElementStateCondition":
        kind = ELEMENTS.get(text.text("storyboardElementType"))
        if kind is None:
            text.skip(f"StoryboardElementStateCondition of a {text.text('storyboardElementType')}")
            return Test("Constant", value=0.0)
        element, state = text.text("storyboardElementRef"), text.text("state")
        return Test(text.tag.removesuffix("Condition"), along=kind, element=element, state=state, **common)
    if text.tag == "ParameterCondition":
        # Parameters do not change while a storyboard is played.
        found = text.parameters.values.get(text.reference("parameterRef"))
        if found is None:
            return _never(text)
        return Test("Constant", value=float(_compare(found, text)), **common)
    return _never(text)


def _compare(found: str, text: Text) -> bool:
    value, rule = text.text("value"), text.choice("rule", RULES)
    try:
        return RULES[rule](float(found), float(value))
    except ValueError:
        return (found == value) if rule == "equalTo" else (found != value)


def _by_entity(text: Text, ground: Ground, common: dict[str, Any]) -> Test:
    who = text.need("TriggeringEntities")
    common |= {
        "who": tuple(ref.entity() for ref in who.children("EntityRef")),
        "every": who.text("triggeringEntitiesRule", "any") == "all",
    }
    asked = text.need("EntityCondition").only()
    kind = asked.tag.removesuffix("Condition")
    if kind in ("StandStill", "EndOfRoad", "Offroad"):
        return Test(kind, "greaterOrEqual", asked.number("duration"), **common)
    if kind in PLAIN:
        rule = asked.choice("rule", RULES, "greaterOrEqual")
        entity = asked.entity(default="")
        return Test(kind, rule, asked.number("value"), entity=entity, **common)
    if kind == "Collision":
        ref = asked.child("EntityRef")
        if ref is None:
            return _never(asked)
        return Test(kind, entity=ref.entity(), **common)
    if kind == "ReachPosition":
        place = ground.place(asked.need("Position"))
        return Test(kind, "lessOrEqual", asked.number("tolerance"), place=place, **common)
    if kind not in ("RelativeDistance", "Distance", "TimeHeadway", "TimeToCollision"):
        return _never(asked)
    entity, place = asked.entity(default=""), None
    if kind == "Distance":
        place = ground.place(asked.need("Position"))
    if kind == "TimeToCollision":
        target = asked.need("TimeToCollisionConditionTarget").only()
        if target.tag == "EntityRef":
            entity = target.entity()
        else:
            place = ground.place(target)
    if not entity and place is None:
        return _never(asked)
    along, in_lane = _measure(asked, kind)
    return Test(
        kind, asked.choice("rule", RULES), asked.number("value"), entity=entity, place=place,
        freespace=asked.flag("freespace"), along=along, in_lane=in_lane, **common,
    )  # fmt: skip


def _measure(text: Text, kind: str) -> tuple[str, bool]:
    """How a distance is measured, and whether along the lane; version 1.0 says it by `alongRoute`."""
    system = text.text("coordinateSystem", "lane" if text.flag("alongRoute") else "entity")
    usual = "longitudinal" if kind == "TimeHeadway" else "euclidianDistance"
    how = text.text("relativeDistanceType", "longitudinal" if text.flag("alongRoute") else usual)
    along = how if how in ("longitudinal", "lateral") else "euclidean"
    return along, system in ("lane", "road", "trajectory")
