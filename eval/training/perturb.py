"""An ego beside the one that was observed: the same world, seen from a displaced state."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import box_corners, boxes_overlap, from_frame, to_frame, wrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.vehicle import HEADING, SPEED, STEERING, YAW_RATE, X, Y, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.store import DataRequest
    from drive.planner import Observation
    from drive.roadmap.model import RoadMap
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

TRIES = 4


def displaced(
    state: Floats, request: DataRequest, rng: np.random.Generator, vehicle: VehicleParams
) -> Floats:
    """A state `(7,)` drawn evenly about another one, its speed never below 0."""
    lateral, heading, speed = rng.uniform(-1.0, 1.0, 3) * (request.lateral, request.heading, request.speed)
    out = np.array(state, dtype=np.float64)
    out[X] -= lateral * math.sin(state[HEADING])
    out[Y] += lateral * math.cos(state[HEADING])
    out[HEADING] = wrap_angle(state[HEADING] + heading)
    out[SPEED] = max(float(state[SPEED]) + speed, 0.0)
    out[YAW_RATE] = out[SPEED] * math.tan(out[STEERING]) / vehicle.wheelbase
    return out


def fits(
    state: Floats,
    roadmap: RoadMap,
    vehicle: VehicleParams,
    agents: Floats,
    present: NDArray[np.bool_],
    size: Floats,
) -> bool:
    """Whether an ego can be there: on the road, and clear of all others `(A, >= 3)` by a hand's breadth."""
    center = rear_to_center(state, vehicle.rear_axle_to_center)
    corners = box_corners(center, state[HEADING], vehicle.length + 0.2, vehicle.width + 0.2)
    if not DrivableArea.of(roadmap).contains(corners.reshape(-1, 2)).all():
        return False
    near = present & (np.hypot(*(agents[:, :2] - center).T) < 30.0)
    if not near.any():
        return True
    others = box_corners(agents[near, :2], agents[near, 2], size[near, 0], size[near, 1])
    return not boxes_overlap(np.broadcast_to(corners, others.shape), others).any()


def draw_fitting(
    state: Floats,
    request: DataRequest,
    rng: np.random.Generator,
    roadmap: RoadMap,
    vehicle: VehicleParams,
    agents: Floats,
    present: NDArray[np.bool_],
    size: Floats,
) -> Floats | None:
    """The first of a few displaced states in which an ego can be; None where none is."""
    for _ in range(TRIES):
        drawn = displaced(state, request, rng, vehicle)
        if fits(drawn, roadmap, vehicle, agents, present, size):
            return drawn
    return None


def moved(states: Floats, old: Floats, new: Floats) -> Floats:
    """States `(N, 7)` carried along rigidly as the pose `old` goes to `new`."""
    out = np.array(states, dtype=np.float64)
    out[:, :3] = from_frame(to_frame(out[:, :3], old[:3]), new[:3])
    return out


def as_driven(states: Floats, old: Floats, new: Floats, dt: float, now: bool) -> Floats:
    """As `moved`, and as much faster or slower all along, at least at rest: from farther back or from nearer.

    The states are every `dt` s up to the present one (`now`), or to the one before it.
    """
    out = moved(states, old, new)
    speed = out[:, SPEED].copy()
    out[:, SPEED] = np.maximum(speed + (new[SPEED] - old[SPEED]), 0.0)
    out[:, YAW_RATE] *= np.where(speed > 0.1, out[:, SPEED] / np.maximum(speed, 0.1), 1.0)
    steps = dt * (out[:, SPEED] - speed)
    if now:
        steps[-1] = 0.0
    for axis, along in ((X, np.cos(out[:, HEADING])), (Y, np.sin(out[:, HEADING]))):
        out[:, axis] -= np.cumsum((steps * along)[::-1])[::-1]
    return out


def seen_from(observation: Observation, state: Floats, dt: float | None = None) -> Observation:
    """The observation of an ego in another state: its past is carried along, with `dt` in s `as_driven` at
    its speed; the world is the same.

    Whom it sees, and how far it is on its route, stay as they were.
    """
    history, ego = observation.ego_history, observation.ego
    past = moved(history, ego, state) if dt is None else as_driven(history, ego, state, dt, now=True)
    past[-1] = state
    return replace(observation, ego=state.copy(), ego_history=past, images={})
