"""Obstacles of a CommonRoad file: shapes to boxes, states to samples, samples to tracks on a clock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.commonroad.model import Obstacle
from drive.datasets.xml import MAX_COORDINATE
from drive.geometry import rotate, wrap_angle
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.xml import Document, Node

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

KINDS = {
    "car": AgentKind.VEHICLE,
    "taxi": AgentKind.VEHICLE,
    "priorityVehicle": AgentKind.VEHICLE,
    "truck": AgentKind.TRUCK,
    "train": AgentKind.TRUCK,
    "bus": AgentKind.BUS,
    "motorcycle": AgentKind.MOTORCYCLE,
    "bicycle": AgentKind.BICYCLE,
    "pedestrian": AgentKind.PEDESTRIAN,
}
HEIGHTS = {
    "truck": 3.5, "train": 3.5, "bus": 3.2, "building": 10.0, "pillar": 3.0, "pedestrian": 1.75,
}  # fmt: skip
"""Heights in m by type, which decide who hides others; the format knows none. All else is 1.6 m high."""
CIRCLE_SIDES = 24
SHAPES = ("rectangle", "circle", "polygon")


def region_polygon(doc: Document, node: Node) -> tuple[Floats | None, Floats | None]:
    """Centre `(2,)` and outline `(N, 2)` of a position or shape; a point has no outline, lanelets neither.

    Of several shapes the first counts.
    """
    point = node.find("point")
    if point is not None:
        return np.asarray(doc.point(point)), None
    for child in node.all(*SHAPES):
        outline = _outline(doc, child)
        center = child.find("center")
        if child.tag == "polygon":
            return 0.5 * (outline.min(0) + outline.max(0)), outline
        return np.zeros(2) if center is None else np.asarray(doc.point(center)), outline
    return None, None


def _outline(doc: Document, node: Node) -> Floats:
    """Outline `(N, 2)` of a rectangle, circle or polygon, in the frame that the element is given in."""
    if node.tag == "polygon":
        ring = np.asarray([doc.point(p) for p in node.all("point")], dtype=np.float64).reshape(-1, 2)
        if len(ring) < 3:
            raise doc.error(node, "<polygon> needs at least three points")
        return ring
    center = node.find("center")
    offset = np.zeros(2) if center is None else np.asarray(doc.point(center))
    if node.tag == "circle":
        angle = 2.0 * np.pi * np.arange(CIRCLE_SIDES) / CIRCLE_SIDES
        # A circle's bounding box must be exact, and is: the sides are a multiple of four.
        return offset + doc.number(doc.require(node, "radius")) * np.stack((np.cos(angle), np.sin(angle)), -1)
    length, width = (0.5 * doc.number(doc.require(node, tag)) for tag in ("length", "width"))
    turn, shift = node.find("orientation"), node.find("originXShift")
    if shift is not None:
        offset = offset + np.asarray((doc.number(shift), 0.0))
    corners = np.asarray([(length, width), (-length, width), (-length, -width), (length, -width)])
    return offset + rotate(corners, 0.0 if turn is None else doc.number(turn))


def read_obstacle(doc: Document, node: Node, dt: float, skipped: list[str]) -> Obstacle | None:
    """One obstacle, or None with a reason appended to `skipped`."""
    name = f"obstacle {doc.attribute(node, 'id')}"
    static = node.tag == "staticObstacle" or node.value("role") == "static"
    kind_name = node.value("type") or "unknown"
    # A parked car in a lane is a thing too: as a vehicle, traffic that reacts would drive it away.
    kind = AgentKind.STATIC if static else KINDS.get(kind_name, AgentKind.UNKNOWN)

    outlines = [_outline(doc, child) for shape in node.all("shape") for child in shape.all(*SHAPES)]
    corners = np.concatenate(outlines) if outlines else np.zeros((0, 2))
    extent = np.ptp(corners, axis=0) if len(corners) else np.zeros(2)
    if not ((np.abs(corners) < MAX_COORDINATE).all() and (extent > 0.0).all()):
        skipped.append(f"{name}: its shape has no size")
        return None
    offset = 0.5 * (corners.min(0) + corners.max(0))

    trajectory = node.find("trajectory")
    if not static and trajectory is None:
        reason = "a set-based prediction" if node.find("occupancySet") is not None else "no trajectory"
        skipped.append(f"{name}: {reason}, no motion to replay")
        return None
    nodes = list(node.all("initialState"))
    if trajectory is not None and not static:
        nodes += trajectory.all("state")
    rows = {doc.step(n): _state(doc, n) for n in reversed(nodes)}
    steps = np.asarray(sorted(rows), dtype=np.int64)
    states = _finish(steps, np.asarray([rows[int(k)] for k in steps]).reshape(-1, 5), offset, dt, static)
    good = np.isfinite(states).all(1)
    if good.sum() < (1 if static else 2):
        skipped.append(
            f"{name}: fewer than two valid samples" if not static else f"{name}: no valid position"
        )
        return None
    size = (float(extent[0]), float(extent[1]))
    return Obstacle(doc.attribute(node, "id"), kind_name, kind, static, size, steps, states)


def _state(doc: Document, node: Node) -> tuple[float, float, float, float, float]:
    """(x, y, heading, velocity, lateral velocity) of the reference point; NaN for what is missing."""
    center, _ = region_polygon(doc, doc.require(node, "position"))
    x, y = (math.nan, math.nan) if center is None else (float(center[0]), float(center[1]))
    heading = doc.middle(node.find("orientation"))
    along, lateral = doc.middle(node.find("velocity")), doc.middle(node.find("velocityY"))
    if math.isnan(heading) and math.isfinite(along) and math.isfinite(lateral):
        # A point mass: its two velocities are along the axes of the map, and it heads where it goes.
        heading, along, lateral = math.atan2(lateral, along), math.hypot(along, lateral), 0.0
    return x, y, heading, along, lateral


def _finish(steps: NDArray[np.int64], raw: Floats, offset: Floats, dt: float, static: bool) -> Floats:
    """Rows of `_state` as states `(N, 5)` of the box centre: offset applied, velocity in map axes."""
    if not len(raw):
        return np.zeros((0, 5))
    out = np.empty((len(raw), 5))
    heading = raw[:, 2]
    arm = rotate(np.broadcast_to(offset, (len(raw), 2)), heading)
    out[:, :2] = raw[:, :2] + arm
    out[:, 2] = wrap_angle(heading)
    along, lateral = raw[:, 3], np.where(np.isnan(raw[:, 4]), 0.0, raw[:, 4])
    out[:, 3:] = rotate(np.stack((along, lateral), -1), heading)
    if static:
        out[:, 3:] = 0.0
    elif np.isnan(along).all() and len(raw) > 1:
        # The file gives positions alone.
        out[:, 3] = np.gradient(out[:, 0], steps * dt)
        out[:, 4] = np.gradient(out[:, 1], steps * dt)
    out[np.abs(out) > MAX_COORDINATE] = np.nan
    return out


def height_of(obstacle: Obstacle) -> float:
    return HEIGHTS.get(obstacle.type, 1.6)


def sample(obstacle: Obstacle, at: Floats) -> tuple[Floats, Bools]:
    """States `(T, 5)` and validity `(T,)` at the times `at (T,)`, in time steps of the file.

    Linear between two consecutive valid samples, headings along the shorter arc; a sample next to a gap
    is not valid. Things that stand are valid always.
    """
    good = obstacle.valid
    if obstacle.static:
        states = np.broadcast_to(obstacle.states[good][0], (len(at), 5)).copy()
        return states, np.ones(len(at), dtype=np.bool_)
    steps = obstacle.steps
    low = np.clip(np.searchsorted(steps, at + 1e-6, side="right") - 1, 0, len(steps) - 1)
    high = np.minimum(low + 1, len(steps) - 1)
    w = at - steps[low]
    on_sample = np.abs(w) < 1e-6
    between = (w > 0.0) & (steps[high] - steps[low] == 1) & (w < 1.0)
    valid = good[low] & (on_sample | (between & good[high]))
    a, b = obstacle.states[low], obstacle.states[high]
    w = np.where(on_sample, 0.0, w)[:, None]
    states = np.where(w > 0.0, a + w * (b - a), a)
    turn = wrap_angle(b[:, 2] - a[:, 2])
    states[:, 2] = wrap_angle(np.where(w[:, 0] > 0.0, a[:, 2] + w[:, 0] * turn, a[:, 2]))
    return np.where(valid[:, None], states, 0.0), np.asarray(valid)
