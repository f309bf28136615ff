"""Actions of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.datasets.openscenario.model import (
    AddEntity,
    AssignRoute,
    ChangeLane,
    DeleteEntity,
    Dynamics,
    FollowTrajectory,
    KeepDistance,
    OffsetInLane,
    SetSpeed,
    Teleport,
    Unsupported,
)
from drive.datasets.openscenario.positions import read_position

if TYPE_CHECKING:
    from drive.datasets.openscenario.element import Element
    from drive.datasets.openscenario.model import Action

WRAPPERS = ("LongitudinalAction", "LateralAction", "RoutingAction", "EntityAction", "ControllerAction")


def read_actions(holder: Element) -> list[Action]:
    """The actions in <PrivateAction>, <GlobalAction> or <Init>'s elements, wrappers taken off."""
    found: list[Action] = []
    for child in holder.children():
        if child.tag == "EntityAction":
            found.append(_entity(child))
        elif child.tag in WRAPPERS:
            found += read_actions(child)
        elif child.tag in READERS:
            found.append(READERS[child.tag](child))
        else:
            found.append(Unsupported(child.skip()))
    return found


def _dynamics(a: Element, tag: str) -> Dynamics:
    d = a.need(tag)
    # A rate is written with either sign: where to says the target.
    return Dynamics(d.text("dynamicsShape"), d.text("dynamicsDimension"), abs(d.number("value", 0.0)))


def _teleport(a: Element) -> Action:
    return Teleport(read_position(a.need("Position")))


def _speed(a: Element) -> Action:
    dynamics = _dynamics(a, "SpeedActionDynamics")
    target = a.need("SpeedActionTarget").only()
    if target.tag == "AbsoluteTargetSpeed":
        return SetSpeed(dynamics, target.number("value"))
    factor = target.text("speedTargetValueType", "delta") == "factor"
    return SetSpeed(
        dynamics, target.number("value"), target.text("entityRef"), factor, target.flag("continuous")
    )


def _lane_change(a: Element) -> Action:
    dynamics = _dynamics(a, "LaneChangeActionDynamics")
    target = a.need("LaneChangeTarget").only()
    entity = target.text("entityRef") if target.tag == "RelativeTargetLane" else None
    return ChangeLane(dynamics, target.whole("value"), entity, a.number("targetLaneOffset", 0.0))


def _lane_offset(a: Element) -> Action:
    dynamics = a.find("LaneOffsetActionDynamics")
    target = a.need("LaneOffsetTarget").only()
    return OffsetInLane(
        "step" if dynamics is None else dynamics.text("dynamicsShape", "step"),
        None if dynamics is None else dynamics.maybe("maxLateralAcc"),
        target.number("value"),
        target.text("entityRef") if target.tag == "RelativeTargetLaneOffset" else None,
        a.flag("continuous"),
    )


def _distance(a: Element) -> Action:
    return KeepDistance(
        a.text("entityRef"),
        a.maybe("distance"),
        a.maybe("timeGap"),
        a.flag("freespace"),
        a.flag("continuous"),
    )


def _trajectory(a: Element) -> Action:
    # 1.0 has the trajectory in the action, 1.1 in a reference.
    holder = a.find("TrajectoryRef") or a
    trajectory = holder.find("Trajectory")
    shape = trajectory.find("Shape") if trajectory is not None else None
    line = shape.find("Polyline") if shape is not None else None
    if trajectory is None or line is None:
        return Unsupported(a.skip("FollowTrajectoryAction without a polyline of its own"))
    vertices = list(line.all("Vertex"))
    if len(vertices) < 2:
        raise line.error("<Polyline> needs two vertices")
    times = [v.maybe("time") for v in vertices]
    known = [t for t in times if t is not None]
    mode = a.find("TrajectoryFollowingMode")
    reference = a.find("TimeReference")
    timing = reference.find("Timing") if reference is not None else None
    return FollowTrajectory(
        tuple(known) if len(known) == len(times) else (),
        tuple(read_position(v.need("Position")) for v in vertices),
        trajectory.flag("closed"),
        "position" if mode is None else mode.text("followingMode", "position"),
        None
        if timing is None
        else (
            timing.text("domainAbsoluteRelative", "relative") == "relative",
            timing.number("scale", 1.0),
            timing.number("offset", 0.0),
        ),
    )


def _route(a: Element) -> Action:
    route = a.find("Route")
    if route is None:
        return Unsupported(a.skip("AssignRouteAction without a route of its own"))
    points = tuple(read_position(w.need("Position")) for w in route.all("Waypoint"))
    return AssignRoute(points, route.flag("closed"))


def _acquire(a: Element) -> Action:
    return AssignRoute((read_position(a.need("Position")),), closed=False)


def _entity(a: Element) -> Action:
    what = a.only()
    if what.tag == "AddEntityAction":
        return AddEntity(a.text("entityRef"), read_position(what.need("Position")))
    if what.tag == "DeleteEntityAction":
        return DeleteEntity(a.text("entityRef"))
    return Unsupported(what.skip())


READERS = {
    "TeleportAction": _teleport,
    "SpeedAction": _speed,
    "LaneChangeAction": _lane_change,
    "LaneOffsetAction": _lane_offset,
    "LongitudinalDistanceAction": _distance,
    "FollowTrajectoryAction": _trajectory,
    "AssignRouteAction": _route,
    "AcquirePositionAction": _acquire,
}
