"""A planner that breaks rules on purpose, so that a comparison sees each branch of each metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Plan, PlannerSpec
from drive.roadmap.frenet import FrenetFrame
from drive.trajectory import Trajectory
from drive.vehicle import HEADING, SPEED

if TYPE_CHECKING:
    from drive.planner import Observation
    from drive.scenario import Task

HORIZON, DT = 8.0, 0.1


@dataclass(frozen=True, slots=True)
class Script:
    """Along the route's line at `speed` m/s (picked up and shed with `acceleration` m/s^2).

    From `start` s on it moves over to `offset` m left of the line within `ramp` s; from `stop` s on it stops.
    It looks at nobody.
    """

    name: str = "script"
    speed: float = 8.0
    acceleration: float = 2.0
    offset: float = 0.0
    start: float = 2.0
    ramp: float = 3.0
    stop: float = 1e3


class Scripted:
    """Drives a `Script`."""

    config_type = Script

    def __init__(self, config: Script | None = None) -> None:
        self.config = config or Script()
        self.spec = PlannerSpec(self.config.name, horizon=HORIZON, needs=("road", "route"))

    def start(self, task: Task) -> _ScriptSession:
        return _ScriptSession(self.config, FrenetFrame.from_line(task.route.line))


@dataclass(frozen=True, slots=True, eq=False)
class _ScriptSession:
    script: Script
    frame: FrenetFrame

    def plan(self, observation: Observation) -> Plan:
        s, ego = self.script, observation.ego
        times = observation.time + DT * np.arange(round(HORIZON / DT) + 1)
        wish = np.where(times < s.stop, s.speed, 0.0)
        speed = np.empty(len(times))
        speed[0] = max(float(ego[SPEED]), 0.0)
        for k in range(1, len(times)):
            change = np.clip(wish[k] - speed[k - 1], -s.acceleration * DT, s.acceleration * DT)
            speed[k] = speed[k - 1] + change
        here, beside = self.frame.to_frenet(ego[:2])
        station = here + np.concatenate(([0.0], np.cumsum(0.5 * DT * (speed[1:] + speed[:-1]))))
        u = np.clip((times - s.start) / s.ramp, 0.0, 1.0)
        offset = s.offset * u * u * (3.0 - 2.0 * u)
        # Whoever starts beside the line works that off as it drives on.
        offset = offset + (beside - offset[0]) * np.exp(-(station - here) / 15.0)
        poses = self.frame.pose_at(station, offset)
        slant = np.gradient(offset, np.maximum.accumulate(station + 1e-6 * np.arange(len(station))))
        poses[:, HEADING] += np.arctan(np.where(speed > 0.5, slant, 0.0))
        made = Trajectory.from_poses(times, poses, speed)
        made.states[0] = ego
        return Plan(made)
