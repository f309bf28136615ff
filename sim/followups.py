"""Where the second stage of a pseudo-closed loop starts: beside the recorded driver, four seconds later.

NAVSIM's follow-up scenes are rendered around places to which recorded and planned drives led; nobody can
render a log's missing views here, so the starts are a fixed set: behind, at and before the place of the
recorded driver on its own path, and half a metre to either side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import (
    arc_length,
    box_corners,
    boxes_overlap,
    polyline_heading,
    remove_duplicates,
    unwrap_angle,
    wrap_angle,
)
from drive.roadmap.drivable import DrivableArea
from drive.vehicle import HEADING, SPEED, rear_to_center

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

    A start that is off the drivable area or touches somebody is left out, but for the recorded driver's own
    place; so are starts at one place. Speeds and headings are those of an even drive along the path.
    """
    assert scenario.expert is not None
    expert = scenario.expert.states[:, :7]
    line = remove_duplicates(expert[:, :2], 0.05)
    if len(line) < 2:
        h = expert[end, HEADING]
        line = expert[end, :2] + np.outer([-1.0, 1.0], [np.cos(h), np.sin(h)])
    path = _Path(line)
    first, last = path.station(expert[begin, :2]), path.station(expert[end, :2])
    found: list[tuple[Floats, Floats]] = []
    places: list[Floats] = []
    for share in SHARES:
        for offset in OFFSETS:
            speed = share * abs(float(expert[end, SPEED]))
            at = first + share * (last - first)
            back = DT * speed * np.arange(PAST + apart, -1, -1)
            states = path.drive(np.asarray(at - back, dtype=np.float64), offset, speed)
            own = share == 1.0 and offset == 0.0
            twin = any(np.hypot(*(states[-1, :2] - p)) < 0.1 for p in places)
            if not own and (twin or not _free(scenario, states[-1], end)):
                continue
            places.append(states[-1, :2])
            found.append((states[apart:], states[: PAST + 1]))
    return found


class _Path:
    """A polyline that goes straight on beyond both of its ends."""

    def __init__(self, line: Floats) -> None:
        self.points, self.along = line, arc_length(line)
        self.heading = unwrap_angle(polyline_heading(line))

    def station(self, point: Floats) -> float:
        return float(self.along[int(np.argmin(np.hypot(*(self.points - point).T)))])

    def drive(self, stations: Floats, offset: float, speed: float) -> Floats:
        """States `(N, 7)` at `stations (N,)`, `offset` m to the left."""
        h = np.interp(stations, self.along, self.heading)
        out = np.zeros((len(stations), 7))
        beyond = stations - np.clip(stations, 0.0, self.along[-1])
        for axis, turned in ((0, np.cos(h)), (1, np.sin(h))):
            out[:, axis] = np.interp(stations, self.along, self.points[:, axis]) + beyond * turned
        out[:, 0] -= offset * np.sin(h)
        out[:, 1] += offset * np.cos(h)
        out[:, HEADING], out[:, SPEED] = wrap_angle(h), speed
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
