"""What guides a planner on roads: its way as a frame, where it is on it, who is around, where to halt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planners.road.holds import WAITING, Hold, find_hold
from drive.planners.road.others import Forecaster, Others
from drive.sim.road.follow import Follower, FollowSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task
    from drive.sim.road.frame import RoadFrame

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GuideSettings(FollowSettings):
    """How ways are followed, and the `reach` in m: who is farther away is not looked at."""

    reach: float = 120.0


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
    _follower: Follower | None = None
    _forecaster: Forecaster | None = None

    def look(self, observation: Observation) -> RoadScene | None:
        """The scene of an observation, or None where there is no lane to follow."""
        if self._follower is None:
            self._follower = Follower(self.task.roadmap, self.task.route, self.settings)
        found = self._follower.follow(observation.ego, observation.time)
        if found is None:
            return None
        frame, state = found
        self.frame = frame
        if self._forecaster is None:
            self._forecaster = Forecaster(self.task.roadmap, self.settings.reach)
        others = self._forecaster.look(observation, frame, np.asarray(self.times, dtype=np.float64))
        self.hold = find_hold(
            frame, state, others, observation, self.task.vehicle, self.hold.reason in WAITING
        )
        return RoadScene(frame, state, others, self.hold)
