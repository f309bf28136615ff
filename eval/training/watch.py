"""A planner watched while it drives: what it was told at some samples is kept."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from drive.planner import CameraSpec, Observation, Plan, Planner, PlannerSpec, Session
    from drive.scenario import Task


@dataclass(slots=True, eq=False)
class Watched:
    """A planner whose observations at the samples `at` are kept, or the next where it is asked more seldom,
    with `history` s of the past and with the pictures of `cameras`, whatever it asks for itself."""

    planner: Planner
    at: Collection[int]
    history: float = 1.5
    cameras: tuple[CameraSpec, ...] = ()
    seen: list[Observation] = field(default_factory=list)

    @property
    def spec(self) -> PlannerSpec:
        """The planner's own, with more of the past."""
        own = self.planner.spec
        names = {camera.name for camera in own.cameras}
        more = tuple(camera for camera in self.cameras if camera.name not in names)
        return replace(own, history=max(own.history, self.history), cameras=own.cameras + more)

    def start(self, task: Task) -> _WatchedSession:
        """Open the planner's session."""
        return _WatchedSession(self, self.planner.start(task), sorted(self.at))


@dataclass(slots=True, eq=False)
class _WatchedSession:
    watched: Watched
    session: Session
    wanted: list[int]

    def plan(self, observation: Observation) -> Plan:
        due = bisect_right(self.wanted, observation.step)
        if due:
            self.watched.seen.append(observation)
            del self.wanted[:due]
        return self.session.plan(observation)

    def __getattr__(self, name: str) -> Any:
        # Who batches or looks into sessions finds the planner's own.
        return getattr(self.session, name)
