"""Keeps the way of one agent and the table of its line, and renews both where it leaves them or they end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from drive.errors import InputError
from drive.sim.road.frame import RoadFrame
from drive.sim.road.way import Way, find_way

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.scenario import Route

    Floats = NDArray[np.float64]

PAUSE = 0.5
"""s between two searches for a way."""
MARGIN = 1.5
"""m beside the lanes in the way's direction, and beyond the area, at which a way counts as left."""
RENEW = 150.0
"""m of frame left at which it is laid anew."""


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """How ways are searched (`drive.sim.road.way.WaySettings`) and frames made.

    `lateral_acceleration` and `braking` in m/s^2 make the frame's LIMIT.
    """

    offsets: tuple[float, ...] = (0.0,)
    fallback_speed: float = 13.9
    search_depth: int = 30
    path_step: float = 1.0
    path_ahead: float = 400.0
    path_extension: float = 200.0
    lane_change_time: float = 5.0
    lateral_acceleration: float = 2.0
    braking: float = 1.5

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "offsets":
                good = len(value) > 0 and all(math.isfinite(x) for x in value)
            else:
                good = 0.0 < value < math.inf
            if not good:
                raise InputError(f"road.{f.name} must be positive and finite, got {value}")


@dataclass(slots=True, eq=False)
class Follower:
    """The way of one agent in one run: `way` and `frame` are None until one is found."""

    roadmap: RoadMap
    route: Route
    settings: FollowSettings = field(default_factory=FollowSettings)
    way: Way | None = None
    frame: RoadFrame | None = None
    _station: float = 0.0
    _searched: float = -math.inf

    def follow(self, ego: Floats, time: float) -> tuple[RoadFrame, Floats] | None:
        """The frame and the state `(6,)` on it of a rear-axle state `(7,)`, or None where there is no way.

        A new frame where the agent has left it or its end is near; `time` in s never falls.
        """
        frame, state = self.frame, None
        if frame is not None:
            state = frame.state(ego, self._station)
            self._station = s = float(state[0])
            d, room = float(state[3]), frame.room(s)
            lost = d > room[0] + MARGIN or -d > room[1] + MARGIN
            short = not frame.ends and frame.length - s < RENEW
            if not (lost or short):
                return frame, state
        if time - self._searched >= PAUSE:
            self._searched = time
            way = find_way(self.roadmap, self.route, ego, self.settings)
            if way is not None:
                how = self.settings
                self.way = way
                self.frame = frame = RoadFrame.of(way, self.roadmap, how.lateral_acceleration, how.braking)
                state = frame.state(ego, frame.nearest(float(ego[0]), float(ego[1])))
                self._station = float(state[0])
        return None if frame is None or state is None else (frame, state)
