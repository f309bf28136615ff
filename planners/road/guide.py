"""What guides a planner on roads: its way as a frame, where it is on it, who is around, where to halt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.planners.road.holds import WAITING, Hold, find_hold
from drive.planners.road.others import Forecaster, Others
from drive.sim.road.frame import RoadFrame
from drive.sim.road.way import find_way

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task

    Floats = NDArray[np.float64]

PAUSE = 0.5
"""s between two searches for a way."""
MARGIN = 1.5
"""m beside the lanes in the way's direction, and beyond the area, at which a way counts as left."""
RENEW = 150.0
"""m of frame left at which it is laid anew."""


@dataclass(frozen=True, slots=True)
class GuideSettings:
    """How ways are searched (`drive.sim.road.way.WaySettings`) and frames made.

    `lateral_acceleration` and `braking` in m/s^2 make the frame's LIMIT; `reach` in m: who is farther away
    is not looked at.
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
    reach: float = 120.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "offsets":
                good = len(value) > 0 and all(math.isfinite(x) for x in value)
            else:
                good = 0.0 < value < math.inf
            if not good:
                raise InputError(f"road.{f.name} must be positive and finite, got {value}")


@dataclass(frozen=True, slots=True, eq=False)
class RoadScene:
    """One moment on the road: the ego's `state (6,)` on the `frame` (s, s', s'', d, d', d''), the `others`,
    and where it has to `hold`."""

    frame: RoadFrame
    state: Floats
    others: Others
    hold: Hold


@dataclass(slots=True, eq=False)
class Guide:
    """The guide of one ego in one run; `times (T,)` s from now at which others are wanted, the first one 0.

    Forecasts should reach 6 s and more, or gaps at give-way lines are misjudged.
    """

    task: Task
    times: NDArray[np.floating[Any]]
    settings: GuideSettings = field(default_factory=GuideSettings)
    frame: RoadFrame | None = None
    hold: Hold = field(default_factory=Hold)
    _station: float = 0.0
    _searched: float = -math.inf
    _forecaster: Forecaster | None = None

    def look(self, observation: Observation) -> RoadScene | None:
        """The scene of an observation, or None where there is no lane to follow."""
        ego = observation.ego
        found = self._follow(ego, observation.time)
        if found is None:
            return None
        frame, state = found
        self._station = float(state[0])
        if self._forecaster is None:
            self._forecaster = Forecaster(self.task.roadmap, self.settings.reach)
        others = self._forecaster.look(observation, frame, np.asarray(self.times, dtype=np.float64))
        self.hold = find_hold(
            frame, state, others, observation, self.task.vehicle, self.hold.reason in WAITING
        )
        return RoadScene(frame, state, others, self.hold)

    def _follow(self, ego: Floats, time: float) -> tuple[RoadFrame, Floats] | None:
        """The frame and the ego's state on it; a new frame where the ego has left it or its end is near."""
        frame, state = self.frame, None
        if frame is not None:
            state = frame.state(ego, self._station)
            s, d = float(state[0]), float(state[3])
            room = frame.room(s)
            lost = d > room[0] + MARGIN or -d > room[1] + MARGIN
            short = not frame.ends and frame.length - s < RENEW
            if not (lost or short):
                return frame, state
        if time - self._searched >= PAUSE:
            self._searched = time
            way = find_way(self.task.roadmap, self.task.route, ego, self.settings)
            if way is not None:
                how = self.settings
                self.frame = frame = RoadFrame.of(
                    way, self.task.roadmap, how.lateral_acceleration, how.braking
                )
                state = frame.state(ego, frame.nearest(float(ego[0]), float(ego[1])))
        return None if frame is None or state is None else (frame, state)
