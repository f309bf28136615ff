"""Drives what the log's driver drove: privileged, the reference that shows what a score is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import ScenarioError
from drive.planner import Plan, PlannerSpec
from drive.trajectory import Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task


@dataclass(frozen=True, slots=True)
class LogReplayConfig:
    """`horizon` in s of the replayed trajectory."""

    horizon: float = 8.0


class LogReplay:
    """Replays the expert's states; past the log's end it goes on at the last speed and heading."""

    config_type = LogReplayConfig

    def __init__(self, config: LogReplayConfig | None = None) -> None:
        self.config = config or LogReplayConfig()
        self.spec = PlannerSpec("log", horizon=self.config.horizon, privileged=True)

    def start(self, task: Task) -> _LogSession:
        if task.log is None or task.log.expert is None:
            raise ScenarioError("the log planner needs a scenario whose log is given to it")
        states = task.log.expert.states
        rows = round(self.config.horizon / task.dt) + 1
        last = states[-1]
        t = task.dt * np.arange(1, rows + 1)
        tail = np.tile(last, (rows, 1))
        tail[:, 0] += t * last[3] * np.cos(last[2])
        tail[:, 1] += t * last[3] * np.sin(last[2])
        tail[:, 4:] = 0.0
        return _LogSession(np.concatenate((states, tail)), task.dt, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _LogSession:
    states: NDArray[np.float64]
    dt: float
    rows: int

    def plan(self, observation: Observation) -> Plan:
        k = observation.step
        states = self.states[k : k + self.rows]
        return Plan(Trajectory.uniform(observation.time, self.dt, states))
