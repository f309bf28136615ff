"""A plain sampler of quartics and quintics in the frame of the road (Werling and others, 2010).
`drive bench --planner examples/baselines/frenet.py:Sampler`"""

import itertools
from dataclasses import dataclass

import numpy as np

from drive.errors import InputError
from drive.planner import PlannerSpec, PlanStatus
from drive.planners.road.guide import Guide
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.sim.kernels.line import LANE_LEFT, LANE_RIGHT, LIMIT

DT = 0.1
TIMES = DT * np.arange(51)


@dataclass(frozen=True)
class SamplerConfig:
    """Times in s and shares of the limit that are combined with the lanes' centres; cost weights."""

    times: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0)
    shares: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    weight_jerk: float = 0.1
    weight_offset: float = 0.5
    weight_speed: float = 0.3
    margin: float = 0.4

    def __post_init__(self):
        if not self.times or not self.shares or min(self.times) <= 0.0:
            raise InputError("sampler needs positive times, and shares of the limit")


class Sampler:
    config_type = SamplerConfig

    def __init__(self, config=None):
        self.config = config or SamplerConfig()
        self.spec = PlannerSpec("sampler", horizon=5.0, dt=DT, needs=("road", "route"))

    def start(self, task):
        return SamplerSession(self.config, task, Guide(task, np.append(TIMES, 6.0)))


@dataclass
class SamplerSession:
    config: SamplerConfig
    task: object
    guide: Guide

    def plan(self, observation):
        scene = self.guide.look(observation)
        if scene is None:
            return braking_plan(observation, self.task.vehicle, "no lane to follow")
        frame, state, c = scene.frame, scene.state, self.config
        s0, limit = float(state[0]), float(frame.at(state[0], LIMIT))
        lanes = [0.0, *(float(frame.at(s0 + 40.0, column)) for column in (LANE_LEFT, LANE_RIGHT))]
        lanes = [d for d in lanes if np.isfinite(d)]
        ends = np.array(list(itertools.product(lanes, c.times, [limit * q for q in c.shares], c.times)))
        s = longitudinal(state[:3], ends[:, 2], ends[:, 3])
        d = lateral(state[3:], ends[:, 0], ends[:, 1])
        cost = (c.weight_jerk * (s[3] ** 2 + d[3] ** 2) + c.weight_speed * (s[1] - limit) ** 2).sum(1)
        cost += c.weight_offset * (d[0] ** 2).sum(1)
        bad = (s[1] < -0.01).any(1) | (s[2] < -6.0).any(1) | (s[2] > 3.0).any(1)
        bad |= (np.abs(s[1] ** 2 * frame.at(s[0], 3) + d[2]) > 4.0).any(1)
        bad |= self._met(scene, s[0], d[0]) | (s[0] > scene.hold.station).any(1)
        if bad.all():
            return braking_plan(observation, self.task.vehicle, "no sample is free", PlanStatus.DEGRADED)
        best = int(np.argmin(np.where(bad, np.inf, cost)))
        motion = np.stack([s[0][best], s[1][best], s[2][best], d[0][best], d[1][best], d[2][best]], axis=-1)
        motion[:, 1] = np.maximum(motion[:, 1], 0.0)
        return plan_on_frame(frame, motion, DT, observation, self.task.vehicle)

    def _met(self, scene, s, d):
        """Whether each sample (C,) meets another on the frame; who is behind in its lane does not count."""
        o, vehicle = scene.others, self.task.vehicle
        met = np.zeros(len(s), dtype=bool)
        for a in range(len(o)):
            if o.frenet[a, 0, 0] < s[0, 0] and abs(o.frenet[a, 0, 1] - d[0, 0]) < 1.75:
                continue
            along = np.abs(s + vehicle.rear_axle_to_center - o.frenet[a, : len(TIMES), 0])
            across = np.abs(d - o.frenet[a, : len(TIMES), 1])
            near = along < o.extent[a, : len(TIMES), 0] + 0.5 * vehicle.length + 1.0
            beside = across < o.extent[a, : len(TIMES), 1] + 0.5 * vehicle.width + self.config.margin
            met |= (near & beside).any(1)
        return met


def longitudinal(now, speed, duration):
    """s and three derivatives, each (C, T): quartics to a speed without acceleration, then steady."""
    s, v, a = now
    t = np.minimum(TIMES[None], duration[:, None])
    c3 = ((speed - v - 2.0 / 3.0 * a * duration) / duration**2)[:, None]
    c4 = -(a + 6.0 * c3 * duration[:, None]) / (12.0 * duration[:, None] ** 2)
    over, last = TIMES[None] - t, TIMES[None] > duration[:, None]
    way = s + t * (v + t * (0.5 * a + t * (c3 + t * c4))) + over * speed[:, None]
    rest = (v + t * (a + t * (3 * c3 + t * 4 * c4)), a + t * (6 * c3 + t * 12 * c4), 6 * c3 + 24 * c4 * t)
    return way, rest[0], np.where(last, 0.0, rest[1]), np.where(last, 0.0, rest[2])


def lateral(now, end, duration):
    """d and three derivatives, each (C, T): quintics in time to an offset, then straight."""
    d, u, w = now
    n = duration[:, None]
    t = np.minimum(TIMES[None], n)
    rest = (end[:, None] - d) - u * n - 0.5 * w * n**2
    turn, fade = (-u - w * n) * n, -w * n**2
    c3 = (10 * rest - 4 * turn + 0.5 * fade) / n**3
    c4 = (-15 * rest + 7 * turn - fade) / n**4
    c5 = (6 * rest - 3 * turn + 0.5 * fade) / n**5
    last = TIMES[None] > n
    first = d + t * (u + t * (0.5 * w + t * (c3 + t * (c4 + t * c5))))
    second = u + t * (w + t * (3 * c3 + t * (4 * c4 + t * 5 * c5)))
    third = w + t * (6 * c3 + t * (12 * c4 + t * 20 * c5))
    fourth = 6 * c3 + t * (24 * c4 + t * 60 * c5)
    return first, *(np.where(last, 0.0, x) for x in (second, third, fourth))
