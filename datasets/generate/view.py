"""What a driver can see: straight lines of sight past buildings and tall vehicles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.kernels.base import PARKED
from drive.datasets.generate.kernels.view import hide
from drive.geometry import box_corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.drivers import Body
    from drive.datasets.generate.traffic import Drive

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def box_of(states: Floats, body: Body) -> Floats:
    """Corners `(..., 4, 2)` of a road user whose reference point has the states `(..., 7)`."""
    heading = states[..., 2]
    forward = np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    return box_corners(states[..., :2] + body.rear * forward, heading, body.length, body.width)


def sees(eye: Floats, target: Floats, occluders: Sequence[Floats]) -> Bools:
    """Whether something can be seen at each of T samples: its centre or one of its corners is in sight.

    `eye (T, 2)`, `target (T, 4, 2)` corners; each occluder is a ring `(N, 2)` or one a sample `(T, N, 2)`.
    """
    points = np.concatenate((target, target.mean(axis=1, keepdims=True)), axis=1)
    free = np.ones(points.shape[:2], dtype=np.bool_)
    for ring in occluders:
        hide(
            np.ascontiguousarray(eye), points, np.ascontiguousarray(ring.reshape(-1, *ring.shape[-2:])), free
        )
    return np.asarray(free.any(axis=1))


def tall_boxes(drive: Drive, seer: int) -> list[Floats]:
    """Boxes of all vehicles that are too tall for `seer` to look over, one a sample where they move."""
    actors = drive.traffic.actors
    found = []
    for i, actor in enumerate(actors):
        if i == seer or actor.body.height < actors[seer].body.height or actor.body.rear == 0.0:
            continue
        ring = box_of(drive.rear_states(i), actor.body)
        found.append(ring[0] if actor.mode == PARKED else ring)
    return found


def eye_of(drive: Drive, seer: int) -> Floats:
    states, rear = drive.rear_states(seer), drive.traffic.actors[seer].body.rear
    return np.asarray(states[:, :2] + rear * np.stack((np.cos(states[:, 2]), np.sin(states[:, 2])), axis=-1))


def notice_times(drive: Drive, who: int, leave: float, late: dict[int, float], walls: list[Floats]) -> Floats:
    """From when on each driver takes notice of who crosses: seen on its way, and a moment later."""
    count = len(drive.traffic.actors)
    out = np.full((count, count), -np.inf)
    body = drive.traffic.actors[who].body
    corners = box_of(drive.rear_states(who), body)
    times = 0.1 * np.arange(len(corners))
    for i, extra in late.items():
        seen = sees(eye_of(drive, i), corners, [*tall_boxes(drive, i), *walls]) & (times > leave)
        out[i, who] = times[int(np.argmax(seen))] + extra if seen.any() else np.inf
    return out
