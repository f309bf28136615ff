"""Actions of OpenSCENARIO as what a storyboard does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.sim.traffic.story.model import (
    ChangeLane,
    ChangeOffset,
    FollowPoints,
    KeepDistance,
    NoMotion,
    Profile,
    Remove,
    Speed,
    Synchronise,
    TakeRoute,
    Teleport,
)

if TYPE_CHECKING:
    from drive.datasets.openscenario.places import Ground
    from drive.datasets.openscenario.text import Text
    from drive.sim.traffic.story.model import Doing

DIMENSIONS = ("time", "distance", "rate")
SHAPES = ("step", "linear", "cubic", "sinusoidal")
IDLE = (
    "ControllerAction", "ActivateControllerAction", "AppearanceAction", "VisibilityAction",
    "EnvironmentAction", "ParameterAction", "VariableAction", "InfrastructureAction", "SetMonitorAction",
    "UserDefinedAction",
)  # fmt: skip
"""Actions that move nobody."""
CLOTHOID_STEP = 0.5


def action(text: Text, ground: Ground) -> tuple[Doing | None, tuple[str, ...]]:
    """What the element with a <PrivateAction>, <GlobalAction> or <UserDefinedAction> in it says, and who acts
    where it says so itself. None, and noted by name, where that is not read."""
    if not text.node.children:
        text.skip("Action without content")
        return None, ()
    kind = text.only()
    if kind.tag == "GlobalAction":
        return _global(kind.only(), ground)
    if kind.tag == "UserDefinedAction":
        return NoMotion(kind.tag), ()
    return private(kind, ground), ()


def private(text: Text, ground: Ground) -> Doing | None:
    """What a <PrivateAction> says."""
    kind = text.only()
    if kind.tag in IDLE:
        return NoMotion(kind.tag)
    if kind.tag == "TeleportAction":
        place = ground.place(kind.need("Position"))
        return None if place is None else Teleport(place)
    if kind.tag == "SynchronizeAction":
        return _synchronise(kind, ground)
    inner = kind.only()
    read = {
        "SpeedAction": _speed, "LaneChangeAction": _change_lane, "LaneOffsetAction": _offset,
        "LongitudinalDistanceAction": _keep_distance,
    }.get(inner.tag)  # fmt: skip
    if read is not None:
        return read(inner)
    if inner.tag == "FollowTrajectoryAction":
        return _follow(inner, ground)
    if inner.tag == "AcquirePositionAction":
        place = ground.place(inner.need("Position"))
        return None if place is None else TakeRoute((place,))
    if inner.tag == "AssignRouteAction":
        return _route(inner, ground)
    text.skip(inner.tag)
    return None


def _global(kind: Text, ground: Ground) -> tuple[Doing | None, tuple[str, ...]]:
    if kind.tag == "EntityAction":
        who = (kind.entity(),)
        inner = kind.only()
        if inner.tag == "DeleteEntityAction":
            return Remove(), who
        place = ground.place(inner.need("Position"))
        return (None if place is None else Teleport(place)), who
    if kind.tag in IDLE:
        if kind.tag == "InfrastructureAction":
            kind.skip("TrafficSignalAction")
        return NoMotion(kind.tag), ()
    kind.skip(kind.only().tag if kind.tag == "TrafficAction" else kind.tag)
    return None, ()


def _profile(text: Text) -> Profile:
    shape = text.choice("dynamicsShape", SHAPES)
    dimension = text.choice("dynamicsDimension", DIMENSIONS, "time")
    return Profile(shape, dimension, abs(text.number("value", 0.0)))


def _speed(text: Text) -> Doing:
    profile = _profile(text.need("SpeedActionDynamics"))
    target = text.need("SpeedActionTarget").only()
    if target.tag == "AbsoluteTargetSpeed":
        return Speed(target.number("value"), profile)
    return Speed(
        target.number("value"),
        profile,
        target.entity(),
        target.choice("speedTargetValueType", ("delta", "factor"), "delta"),
        target.flag("continuous"),
    )


def _change_lane(text: Text) -> Doing:
    profile = _profile(text.need("LaneChangeActionDynamics"))
    target = text.need("LaneChangeTarget").only()
    entity = target.entity() if target.tag == "RelativeTargetLane" else ""
    return ChangeLane(target.whole("value"), profile, entity, text.number("targetLaneOffset", 0.0))


def _offset(text: Text) -> Doing:
    dynamics = text.need("LaneOffsetActionDynamics")
    target = text.need("LaneOffsetTarget").only()
    most = dynamics.number("maxLateralAcc", 0.0)
    return ChangeOffset(
        target.number("value"),
        dynamics.choice("dynamicsShape", SHAPES, "step"),
        most if most > 0.0 else None,
        target.entity(default=""),
        text.flag("continuous"),
    )


def _keep_distance(text: Text) -> Doing:
    limits = text.child("DynamicConstraints")
    most = {
        name: None if limits is None else limits.number(key, 0.0) or None
        for name, key in (
            ("acceleration", "maxAcceleration"), ("braking", "maxDeceleration"), ("speed", "maxSpeed"),
        )
    }  # fmt: skip
    in_time = "timeGap" in text.node.attributes
    value = text.number("timeGap" if in_time else "distance", 0.0)
    if text.text("displacement", "any") == "leadingReferencedEntity":
        value = -value
    return KeepDistance(
        text.entity(), value, in_time, text.flag("freespace"), text.flag("continuous"), **most
    )


def _synchronise(text: Text, ground: Ground) -> Doing | None:
    theirs = ground.place(text.need("TargetPositionMaster"))
    mine = ground.place(text.need("TargetPosition"))
    if mine is None or theirs is None:
        return None
    final, relative = None, False
    speed = text.child("FinalSpeed")
    if speed is not None:
        kind = speed.only()
        relative = kind.tag == "RelativeSpeedToMaster"
        final = kind.number("value")
    return Synchronise(text.entity("masterEntityRef"), mine, theirs, final, relative)


def _route(text: Text, ground: Ground) -> Doing | None:
    route = text.child("Route") or ground.catalogs.entry(text.child("CatalogReference"))
    if route is None:
        return None
    found = [ground.place(point.need("Position")) for point in route.children("Waypoint")]
    return TakeRoute(tuple(p for p in found if p is not None))


def _follow(text: Text, ground: Ground) -> Doing | None:
    holder = text.child("TrajectoryRef") or text
    trajectory = holder.child("Trajectory") or ground.catalogs.entry(holder.child("CatalogReference"))
    if trajectory is None:
        return None
    shape = trajectory.need("Shape").only()
    if shape.tag == "Polyline":
        points, times = _polyline(shape, ground)
    elif shape.tag == "Clothoid":
        points, times = _clothoid(shape, ground)
    else:
        text.skip(shape.tag)
        return None
    if points is None or len(points) < 2:
        return None
    timing = text.child("TimeReference")
    clock = None if timing is None else timing.child("Timing")
    if clock is None or times is None:
        return FollowPoints(points)
    scale, shift = clock.number("scale", 1.0), clock.number("offset", 0.0)
    times = times * scale + shift
    if (np.diff(times) <= 0.0).any():
        raise shape.fault("the times of its vertices do not increase")
    absolute = clock.text("domainAbsoluteRelative", "relative") == "absolute"
    return FollowPoints(points, times, absolute)


def _polyline(shape: Text, ground: Ground) -> tuple[np.ndarray | None, np.ndarray | None]:
    rows, times = [], []
    for vertex in shape.children("Vertex"):
        place = ground.place(vertex.need("Position"))
        if place is None or not hasattr(place, "x") or hasattr(place, "entity"):
            shape.skip("Vertex that depends on an entity")
            return None, None
        inner = vertex.need("Position").only()
        told = "h" in inner.node.attributes or inner.tag != "WorldPosition"
        rows.append((place.x, place.y, place.heading if told else math.nan))
        times.append(vertex.number("time", math.nan))
    if len(rows) > 1_000_000:
        raise InputError(f"{shape.doc.name}: a trajectory has more than a million vertices")
    points = np.array(rows, dtype=np.float64).reshape(-1, 3)
    if np.isnan(points[:, 2]).any():
        points[:, 2] = math.nan
    when = np.array(times, dtype=np.float64)
    return points, None if np.isnan(when).any() else when


def _clothoid(shape: Text, ground: Ground) -> tuple[np.ndarray | None, np.ndarray | None]:
    place = ground.place(shape.need("Position"))
    if place is None or hasattr(place, "entity"):
        return None, None
    bend = shape.number("curvature")
    change = shape.number("curvaturePrime", shape.number("curvatureDot", 0.0))
    length = shape.number("length")
    if not 0.0 < length < 1e5:
        raise shape.fault(f"a clothoid of {length:g} m cannot be followed")
    n = max(int(length / CLOTHOID_STEP), 2)
    s = np.linspace(0.0, length, n + 1)
    # The middle of each step tells its direction: an error of third order in the step.
    mid = 0.5 * (s[1:] + s[:-1])
    h = place.heading + bend * mid + 0.5 * change * mid * mid
    x = place.x + np.concatenate(([0.0], np.cumsum(np.cos(h) * np.diff(s))))
    y = place.y + np.concatenate(([0.0], np.cumsum(np.sin(h) * np.diff(s))))
    points = np.stack((x, y, place.heading + bend * s + 0.5 * change * s * s), axis=-1)
    first, last = shape.number("startTime", math.nan), shape.number("stopTime", math.nan)
    if math.isnan(first) or math.isnan(last):
        return points, None
    return points, np.linspace(first, last, len(points))
