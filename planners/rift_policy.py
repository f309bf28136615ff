"""The traffic policy as the ego's planner: what drives the others of `--traffic rift:STYLE`, at the wheel.

It decides twice a second among the modes of its lane and of the lanes beside it, and follows what it chose in
between; its lines follow the route's lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planner import Candidates, Plan, PlannerSpec, PlanStatus
from drive.sim.traffic.paths import match_lanes
from drive.sim.traffic.rift.fleet import Crowd, Fleet, bodies_of, crowd_states
from drive.sim.traffic.rift.lines import route_lines
from drive.sim.traffic.rift.net import SIZES
from drive.trajectory import Trajectory
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task
    from drive.sim.kernels.layout import Paths
    from drive.sim.traffic.rift.policy import Driver

    Floats = NDArray[np.float64]

DT = 0.1


@dataclass(frozen=True, slots=True)
class RiftPolicyConfig:
    """`weights`: a style's name, `base` for people's own way, or a file."""

    weights: str = "safe"


class RiftPolicyPlanner:
    """One vehicle under the traffic policy."""

    config_type = RiftPolicyConfig

    def __init__(self, config: RiftPolicyConfig | None = None) -> None:
        from drive.sim.traffic.rift.policy import Driver, load_policy

        self.config = config or RiftPolicyConfig()
        self.driver = Driver(load_policy(self.config.weights)[0])
        self.spec = PlannerSpec(
            "rift_policy", horizon=4.0, dt=DT, rate=2.0, history=1.0, needs=("road", "route")
        )

    def start(self, task: Task) -> _Session:
        v = task.vehicle
        own = np.array([[v.length, v.width, v.rear_axle_to_center, v.wheelbase]], dtype=np.float32)
        return _Session(self.driver, task, own)


@dataclass(slots=True, eq=False)
class _Session:
    driver: Driver
    task: Task
    own: NDArray[np.float32]
    paths: Paths | None = None
    fleet: Fleet | None = None
    _lines: Any = field(default=None)

    def plan(self, observation: Observation) -> Plan:
        ego = observation.ego[:7].astype(np.float64)
        if self.fleet is None and not self._find(ego):
            return _stopping(observation, "the policy has no lane under it")
        assert self.fleet is not None
        assert self.paths is not None
        self.fleet.states = np.ascontiguousarray(ego[None], dtype=np.float32)
        self.fleet.states[0, 3] = max(ego[3], 0.0)
        decision = self.driver.decide(self.fleet, self._crowd(observation), self.paths)
        self.fleet.follow(decision.sight, decision.choice)
        # As it was drawn: who drives the ego tracks it, and what was tracked before would brake late.
        states = np.zeros((decision.drawn.poses.shape[2], 7))
        states[:, :4] = decision.drawn.poses[0, decision.choice[0]]
        states[0] = ego
        times = observation.time + DT * np.arange(len(states))
        valid = np.flatnonzero(decision.logits[0] > -1e7)
        logits = np.asarray(decision.logits[0, valid], dtype=np.float64)
        weight: Floats = np.exp(logits - logits.max())
        poses = decision.drawn.poses[0, valid].astype(np.float64)
        many = np.zeros((len(valid), len(states), 7))
        many[..., :4] = poses
        return Plan(
            Trajectory.uniform(observation.time, DT, states),
            candidates=Candidates(
                np.asarray(times, dtype=np.float64), many, {"logit": logits},
                probability=np.asarray(weight / weight.sum(), dtype=np.float64),
                chosen=int(np.flatnonzero(valid == decision.choice[0])[0]),
            ),
        )  # fmt: skip

    def _find(self, ego: Floats) -> bool:
        lane, _ = match_lanes(self.task.roadmap, ego[None, :3])
        if lane[0] < 0:
            return False
        self.paths, path = route_lines(self.task.roadmap, self.task.route.lanes, int(lane[0]))
        self.fleet = Fleet.of([0], [0], [path], ego[None], self.own)
        return True

    def _crowd(self, o: Observation) -> Crowd:
        """The ego is row 0, whom it sees follow."""
        every = round(SIZES.history_dt / self.task.dt)
        count, steps = len(o.agents), o.agent_history.shape[1] if len(o.agents) else len(o.ego_history)
        history = []
        rear = float(self.own[0, 2])
        for back in range(SIZES.history):
            at = steps - 1 - back * every
            rows, there = np.zeros((1, count + 1, 5)), np.zeros((1, count + 1), dtype=np.bool_)
            if at >= 0:
                e = o.ego_history[at]
                c, s = np.cos(e[2]), np.sin(e[2])
                rows[0, 0] = (e[0] + rear * c, e[1] + rear * s, e[2], e[3] * c, e[3] * s)
                there[0, 0] = True
                if count:
                    rows[0, 1:], there[0, 1:] = o.agent_history[:, at], o.agent_history_valid[:, at]
            history.append(crowd_states(rows, there))
        size = np.concatenate((self.own[:1, :2], o.agent_size[:, :2])) if count else self.own[:1, :2]
        kind = np.concatenate(([AgentKind.VEHICLE], o.agent_kind)).astype(np.uint8)
        lights = o.signals[None] if len(o.signals) else np.zeros((1, 1), dtype=np.uint8)
        return Crowd(
            np.stack(history), bodies_of(size, kind)[None], np.ascontiguousarray(lights, dtype=np.uint8)
        )


def _stopping(o: Observation, why: str) -> Plan:
    """Straight on, braking at 3 m/s^2."""
    t = DT * np.arange(41)
    v = np.maximum(float(o.ego[3]) - 3.0 * t, 0.0)
    s = np.concatenate(([0.0], np.cumsum(0.5 * DT * (v[1:] + v[:-1]))))
    states = np.zeros((len(t), 7))
    states[:, 0] = o.ego[0] + s * np.cos(o.ego[2])
    states[:, 1] = o.ego[1] + s * np.sin(o.ego[2])
    states[:, 2], states[:, 3] = o.ego[2], v
    states[0] = o.ego[:7]
    return Plan(Trajectory.uniform(o.time, DT, states), status=PlanStatus.FALLBACK, reason=why)


__all__ = ["RiftPolicyConfig", "RiftPolicyPlanner"]
