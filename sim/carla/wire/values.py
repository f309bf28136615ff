"""Values from a client, checked: what comes over the wire is anybody's.

Each function gives a plain value, or raises WireError that says which call's parameter is wrong.
"""

from __future__ import annotations

import math
from typing import Any

from drive.sim.carla.wire.messages import WireError

MAX_ID = (1 << 32) - 1

Six = tuple[float, float, float, float, float, float]
Three = tuple[float, float, float]


def number(value: Any, what: str) -> float:
    """A finite number."""
    if type(value) is float or type(value) is int:
        if math.isfinite(value):
            return float(value)
        raise WireError(f"{what} is not finite")
    raise WireError(f"{what} is not a number")


def integer(value: Any, what: str, low: int = 0, high: int = MAX_ID) -> int:
    if type(value) is not int:
        raise WireError(f"{what} is not a whole number")
    if not low <= value <= high:
        raise WireError(f"{what} is not between {low} and {high}")
    return value


def actor_id(value: Any) -> int:
    return integer(value, "the actor's id")


def flag(value: Any, what: str) -> bool:
    if type(value) is not bool:
        raise WireError(f"{what} is not true or false")
    return value


def text(value: Any, what: str) -> str:
    if type(value) is not str:
        raise WireError(f"{what} is not a text")
    return value


def array(value: Any, what: str, least: int, most: int | None = None) -> list[Any]:
    """A list with `least` items or more (further ones of a later release are let be), at most `most`."""
    if type(value) is not list or len(value) < least or (most is not None and len(value) > most):
        raise WireError(f"{what} is not an array of {least} or more")
    return value


def numbers(value: Any, what: str, count: int) -> tuple[float, ...]:
    items = array(value, what, count)
    return tuple(number(item, what) for item in items[:count])


def vector(value: Any, what: str = "the vector") -> Three:
    x, y, z = numbers(value, what, 3)
    return x, y, z


def transform(value: Any) -> Six:
    """x, y, z in metres, pitch, yaw, roll in degrees."""
    parts = array(value, "the transform", 2)
    location, rotation = vector(parts[0], "the location"), vector(parts[1], "the rotation")
    return (*location, *rotation)


def optional(value: Any, what: str) -> Any:
    """The value of an optional: `[false]` or `[true, value]`."""
    if type(value) is list and value:
        if value[0] is False:
            return None
        if value[0] is True and len(value) == 2:
            return value[1]
    raise WireError(f"{what} is not an optional")


def description(value: Any) -> tuple[str, dict[str, str]]:
    """A blueprint with the attributes that the client chose: its id, and the attributes as texts."""
    parts = array(value, "the actor's description", 3)
    attributes = {}
    for item in array(parts[2], "the attributes", 0, 256):
        entry = array(item, "an attribute", 3)
        attributes[text(entry[0], "an attribute's name")] = text(entry[2], "an attribute's value")
    return text(parts[1], "the blueprint's id"), attributes


CONTROL = ("throttle", "steer", "brake")


def vehicle_control(value: Any) -> tuple[float, float, float, bool, bool, bool, int]:
    """Throttle, steer, brake; hand brake, reverse, manual gears; gear.

    CARLA's Traffic Manager sends values out of range, which are clamped like in the game; NaN is an error.
    """
    parts = array(value, "the control", 7)
    throttle, steer, brake = (_pedal(v, name) for v, name in zip(parts, CONTROL, strict=False))
    return (
        min(max(throttle, 0.0), 1.0),
        min(max(steer, -1.0), 1.0),
        min(max(brake, 0.0), 1.0),
        flag(parts[3], "the hand brake"),
        flag(parts[4], "reverse"),
        flag(parts[5], "the manual gear shift"),
        integer(parts[6], "the gear", -(1 << 31), (1 << 31) - 1),
    )


def _pedal(value: Any, what: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise WireError(f"{what} is not a number")
    if value != value:
        raise WireError(f"{what} is not a number (NaN)")
    return float(value)
