"""Where the second stage of a pseudo-closed loop starts: beside the recorded driver, four seconds later.

NAVSIM's follow-up scenes are rendered around places to which recorded and planned drives led; nobody can
render a log's missing views here, so the starts are a fixed set: behind, at and before the place of the
recorded driver on its own path, and half a metre to either side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import arc_length, box_corners, boxes_overlap, unwrap_angle, wrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.vehicle import ACCELERATION, HEADING, SPEED, STEERING, YAW_RATE, X, Y, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

DT = 0.1
PAST = 15
"""Samples of the past that a frame knows: 1.5 s."""
SHARES = (1.0, 0.4, 0.7, 1.2)
"""Of the recorded driver's way and speed; the first one is its own place."""
OFFSETS = (0.0, -0.5, 0.5)
"""Metres to the left of its path."""


def follow_ups(scenario: Scenario, begin: int, end: int, apart: int) -> list[tuple[Floats, Floats]]:
    """Pairs of pasts `(PAST + 1, 7)`: up to a start at the sample `end`, and up to `apart` samples before it.

    Each is the recorded drive since the sample `begin` with a share of its way and of its speeds, moved to a
    side. A start that is off the drivable area or touches somebody is left out, but for the recorded driver's
    own place; so are starts at one place.
    """
    assert scenario.expert is not None
    path = _Path(scenario.expert.states[:, :7], scenario.vehicle.wheelbase)
    samples = np.arange(end - PAST - apart, end + 1)
    found: list[tuple[Floats, Floats]] = []
    for share in SHARES:
        for offset in OFFSETS:
            states = path.drive(samples, begin, share, offset)
            own = share == 1.0 and offset == 0.0
            twin = any(np.hypot(*(states[-1, :2] - late[-1, :2])) < 0.1 for late, _ in found)
            if own or not (twin or not _free(scenario, states[-1], end)):
                found.append((states[apart:], states[: PAST + 1]))
    return found


class _Path:
    """The recorded drive as a path that goes straight on beyond its end, and the speeds along it."""

    def __init__(self, states: Floats, wheelbase: float) -> None:
        self.states, self.wheelbase = states, wheelbase
        self.along = arc_length(states[:, :2])
        # Where it stands the path has no direction.
        kept = [0]
        for k, s in enumerate(self.along):
            if s > self.along[kept[-1]] + 0.05:
                kept.append(k)
        self.station, self.points = self.along[kept], states[kept, :2]
        self.heading = unwrap_angle(states[kept, HEADING])
        moves = len(kept) > 1
        self.curvature = np.gradient(self.heading, self.station) if moves else np.zeros(1)

    def drive(self, samples: NDArray[np.intp], begin: int, share: float, offset: float) -> Floats:
        """States `(N, 7)` at the recorded samples, `offset` m to the left."""
        first = self.along[begin]
        station = first + share * (self.along[samples] - first)
        h = np.interp(station, self.station, self.heading)
        beyond = np.maximum(station - self.station[-1], 0.0)
        bend = np.where(beyond > 0.0, 0.0, np.interp(station, self.station, self.curvature))
        out = np.zeros((len(samples), 7))
        for axis, turned in ((X, np.cos(h)), (Y, np.sin(h))):
            out[:, axis] = np.interp(station, self.station, self.points[:, axis]) + beyond * turned
        out[:, X] -= offset * np.sin(h)
        out[:, Y] += offset * np.cos(h)
        out[:, HEADING] = wrap_angle(h)
        out[:, SPEED] = share * self.states[samples, SPEED]
        out[:, ACCELERATION] = share * self.states[samples, ACCELERATION]
        out[:, STEERING], out[:, YAW_RATE] = np.arctan(self.wheelbase * bend), out[:, SPEED] * bend
        return out


def _free(scenario: Scenario, state: Floats, sample: int) -> bool:
    """Whether the ego's box is on the drivable area and touches nobody whom the log has there."""
    v, tracks = scenario.vehicle, scenario.tracks
    center = rear_to_center(state, v.rear_axle_to_center)
    mine = box_corners(center, state[HEADING], v.length, v.width)
    if not DrivableArea.of(scenario.roadmap).contains(mine).all():
        return False
    there = tracks.valid[:, sample].copy()
    there[scenario.ego] = False
    s = tracks.states[there, sample]
    theirs = box_corners(s[:, :2], s[:, 2], tracks.size[there, 0], tracks.size[there, 1])
    return not bool(boxes_overlap(np.broadcast_to(mine, theirs.shape), theirs).any())
