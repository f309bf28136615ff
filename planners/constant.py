"""Keeps the present speed and steering: the floor that every planner must clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Plan, PlannerSpec
from drive.trajectory import Trajectory
from drive.vehicle import HEADING, SPEED, STATE_SIZE, STEERING, YAW_RATE

if TYPE_CHECKING:
    from drive.planner import Observation
    from drive.scenario import Task


@dataclass(frozen=True, slots=True)
class ConstantConfig:
    """`horizon` in s; `turning` keeps the present yaw rate, otherwise the heading is kept."""

    horizon: float = 8.0
    turning: bool = False


class Constant:
    """Constant speed, and constant heading or yaw rate."""

    config_type = ConstantConfig

    def __init__(self, config: ConstantConfig | None = None) -> None:
        self.config = config or ConstantConfig()
        self.spec = PlannerSpec("constant", horizon=self.config.horizon, needs=())

    def start(self, task: Task) -> _ConstantSession:
        return _ConstantSession(self.config, task.dt)


@dataclass(frozen=True, slots=True)
class _ConstantSession:
    config: ConstantConfig
    dt: float

    def plan(self, observation: Observation) -> Plan:
        t = self.dt * np.arange(round(self.config.horizon / self.dt) + 1)
        ego = observation.ego
        rate = float(ego[YAW_RATE]) if self.config.turning else 0.0
        states = np.zeros((len(t), STATE_SIZE))
        states[:, HEADING] = ego[HEADING] + rate * t
        middle = states[:, HEADING] - 0.5 * rate * self.dt
        step = ego[SPEED] * self.dt * np.stack((np.cos(middle), np.sin(middle)), axis=-1)
        step[0] = 0.0
        states[:, :2] = ego[:2] + np.cumsum(step, axis=0)
        states[:, SPEED] = ego[SPEED]
        states[:, YAW_RATE] = rate
        states[:, STEERING] = ego[STEERING] if self.config.turning else 0.0
        states[0] = ego[:STATE_SIZE]
        return Plan(Trajectory.uniform(observation.time, self.dt, states))
