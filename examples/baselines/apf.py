"""An artificial potential field followed by its gradient: the plain controller that the field planner is
compared with. `drive bench --planner examples/baselines/apf.py:APF`"""

from dataclasses import dataclass

import numpy as np

from drive.errors import InputError
from drive.planner import PlannerSpec
from drive.planners.road.guide import Guide
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.sim.kernels.line import LANE_LEFT, LANE_RIGHT, LIMIT

DT = 0.1
TIMES = DT * np.arange(41)


@dataclass(frozen=True)
class APFConfig:
    """Pull to the nearest lane's centre (1/s), push of others along (m/s^2) and across (m/s), reach in m."""

    pull: float = 0.6
    push_along: float = 9.0
    push_across: float = 3.0
    reach_along: float = 12.0
    reach_across: float = 1.6

    def __post_init__(self):
        if min(self.pull, self.reach_along, self.reach_across) <= 0.0:
            raise InputError("apf's pull and reaches must be positive")


class APF:
    config_type = APFConfig

    def __init__(self, config=None):
        self.config = config or APFConfig()
        self.spec = PlannerSpec("apf", horizon=4.0, dt=DT, needs=("road", "route"))

    def start(self, task):
        return APFSession(self.config, task, Guide(task, np.concatenate((TIMES, [5.0, 6.0]))))


@dataclass
class APFSession:
    config: APFConfig
    task: object
    guide: Guide

    def plan(self, observation):
        scene = self.guide.look(observation)
        if scene is None:
            return braking_plan(observation, self.task.vehicle, "no lane to follow")
        vehicle, state, out = self.task.vehicle, scene.state, np.zeros((len(TIMES), 6))
        s, v, d, u = state[0], max(state[1], 0.0), state[3], state[4]
        for k in range(len(TIMES)):
            push, drift = self._forces(scene, k, s + vehicle.rear_axle_to_center, v, d)
            room = max(scene.hold.station - s, 0.0)
            wanted = min(float(scene.frame.at(s, LIMIT)), (4.0 * room) ** 0.5)
            a = float(np.clip(0.8 * (wanted - v) - push, -5.0, 2.0))
            w = float(np.clip(4.0 * (np.clip(drift, -1.5, 1.5) * min(v / 5.0, 1.0) - u), -2.0, 2.0))
            out[k] = s, v, a if v > 0.0 else 0.0, d, u, w
            s, v = s + DT * v, max(v + DT * a, 0.0)
            d, u = d + DT * u, (u + DT * w) if v > 0.0 else 0.0
        return plan_on_frame(scene.frame, out, DT, observation, vehicle)

    def _forces(self, scene, k, s, v, d):
        """Minus the potential's gradient at the time k: braking along the line, and the speed across it."""
        c, frame, o = self.config, scene.frame, scene.others
        lanes = np.array([0.0, *(float(frame.at(s, column)) for column in (LANE_LEFT, LANE_RIGHT))])
        lanes = lanes[np.isfinite(lanes)]
        drift = -c.pull * (d - lanes[np.argmin(np.abs(lanes - d))])
        left, right = frame.room(s)
        edge = np.exp(-(left - d) / 0.5) - np.exp(-(right + d) / 0.5)
        if not len(o):
            return 0.0, drift - edge
        ds, dd = s - o.frenet[:, k, 0], d - o.frenet[:, k, 1]
        gap = np.maximum(np.abs(ds) - o.extent[:, k, 0] - 0.5 * self.task.vehicle.length, 0.0)
        u = np.exp(-0.5 * ((gap / c.reach_along) ** 2 + (dd / c.reach_across) ** 2))
        ahead = ds < 0.0
        side = np.where(np.abs(dd) < 0.05, 0.05, dd)
        across = c.push_across * (u * np.tanh(side / 0.5) * (gap < 15.0)).sum()
        return float(c.push_along * (u * ahead).max()), drift - edge + float(across)
