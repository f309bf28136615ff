"""Planners that break the contract, each in one way, and some that keep it; loaded by path."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drive.planner import CameraSpec, Observation, Plan, Planner, PlannerSpec, Session, planner
from drive.scenario import Task
from drive.trajectory import Trajectory

CALLS: list[int] = []


def ahead(observation: Observation, speed: float | None = None, steps: int = 40, dt: float = 0.1) -> Plan:
    """Straight on at the ego's speed, from where the ego is."""
    x, y, heading, own = observation.ego[:4]
    v = own if speed is None else speed
    way = v * dt * np.arange(1, steps + 1)
    poses = np.column_stack((x + way * np.cos(heading), y + way * np.sin(heading), np.full(steps, heading)))
    return Plan.from_poses(observation, poses, dt, np.full(steps, v))


def moved(plan: Plan, *by: float) -> Plan:
    t = plan.trajectory
    shift = np.zeros(t.states.shape[1])
    shift[: len(by)] = by
    return replace(plan, trajectory=Trajectory(t.times, t.states + shift))


@planner(horizon=4.0)
def good(observation: Observation, task: Task) -> Plan:
    return ahead(observation)


SMALL = CameraSpec("small", 24, 16, (20.0, 20.0, 12.0, 8.0), frames=2)


@planner(horizon=4.0, cameras=(SMALL,))
def looks(observation: Observation, task: Task) -> Plan:
    """Slower, the brighter the picture."""
    return ahead(observation, observation.ego[3] * (1.0 - float(observation.images["small"].mean()) / 512.0))


@planner(horizon=4.0, cameras=(SMALL,))
def paints_its_pictures(observation: Observation, task: Task) -> Plan:
    observation.images["small"][0, 3] = 0
    return ahead(observation)


@planner(horizon=4.0)
def not_finite(observation: Observation, task: Task) -> Plan:
    plan = ahead(observation)
    return moved(plan, np.nan) if observation.step == 3 else plan


@planner(horizon=4.0)
def returns_none(observation: Observation, task: Task) -> Any:
    return None


@planner(horizon=4.0)
def slips(observation: Observation, task: Task) -> Plan:
    return task.vehicle.front_overhang  # type: ignore[attr-defined,no-any-return]


@planner(horizon=4.0)
def is_cancelled(observation: Observation, task: Task) -> Plan:
    raise asyncio.CancelledError


@planner(horizon=4.0)
def chatters(observation: Observation, task: Task) -> Plan:
    print("x" * 1000)
    return ahead(observation)


@planner(horizon=4.0)
def leaves_a_thread(observation: Observation, task: Task) -> Plan:
    if observation.step == 0:
        threading.Thread(target=time.sleep, args=(300.0,)).start()
    return ahead(observation)


@planner(horizon=4.0)
def odd_status(observation: Observation, task: Task) -> Plan:
    return replace(ahead(observation), status="splendid")  # type: ignore[arg-type]


@planner(horizon=4.0)
def in_its_own_frame(observation: Observation, task: Task) -> Plan:
    return moved(ahead(observation), *-observation.ego[:3])


@planner(horizon=4.0)
def from_the_box_centre(observation: Observation, task: Task) -> Plan:
    heading, gap = observation.ego[2], task.vehicle.rear_axle_to_center
    return moved(ahead(observation), gap * np.cos(heading), gap * np.sin(heading))


@planner(horizon=4.0)
def late(observation: Observation, task: Task) -> Plan:
    t = ahead(observation).trajectory
    return Plan(Trajectory(t.times + 0.1, t.states))


@planner(horizon=8.0)
def short(observation: Observation, task: Task) -> Plan:
    return ahead(observation)


@planner(horizon=4.0, dt=0.1)
def coarse(observation: Observation, task: Task) -> Plan:
    return ahead(observation, steps=8, dt=0.5)


@planner(horizon=4.0)
def unseeded(observation: Observation, task: Task) -> Plan:
    return ahead(observation, observation.ego[3] + np.random.normal())


@planner(horizon=4.0)
def hash_order(observation: Observation, task: Task) -> Plan:
    return ahead(observation, observation.ego[3] + 1e-6 * (hash("a way") % 1_000_003))


@planner(horizon=4.0)
def scribbles(observation: Observation, task: Task) -> Plan:
    plan = ahead(observation)
    observation.agents[:, :2] -= observation.ego[:2]
    return plan


@planner(horizon=4.0)
def moves_the_map(observation: Observation, task: Task) -> Plan:
    task.roadmap.points[:, 0] += 1.0
    return ahead(observation)


@planner(horizon=4.0)
def forces_the_map(observation: Observation, task: Task) -> Plan:
    station = np.asarray(task.roadmap.station)
    while not station.flags.writeable:
        station = station.base
    station += 1e-3
    return ahead(observation)


@planner(horizon=4.0)
def remembers_in_the_module(observation: Observation, task: Task) -> Plan:
    CALLS.append(observation.step)
    return ahead(observation, observation.ego[3] + 1e-3 * len(CALLS))


@planner(horizon=4.0, rate=100.0)
def slow(observation: Observation, task: Task) -> Plan:
    time.sleep(0.025)
    return ahead(observation)


@planner(horizon=4.0)
def needs_somebody(observation: Observation, task: Task) -> Plan:
    gaps = np.hypot(*(observation.agents[observation.agent_valid, :2] - observation.ego[:2]).T)
    nearest = int(np.argmin(gaps))
    return ahead(observation, min(observation.ego[3], gaps[nearest]))


@planner(horizon=4.0)
def needs_a_long_route(observation: Observation, task: Task) -> Plan:
    station = observation.route_progress[0]
    target = next(p for p in task.route.line if p[0] ** 2 + p[1] ** 2 > (station + 30.0) ** 2)
    return ahead(observation, min(observation.ego[3], float(target[0]) + 100.0))


@planner(horizon=4.0)
def talks(observation: Observation, task: Task) -> Plan:
    print("planning")
    return ahead(observation)


@planner(horizon=4.0, needs=("lidar",))
def wants_lidar(observation: Observation, task: Task) -> Plan:
    return ahead(observation)


@planner(horizon=4.0, deterministic=False)
def admits_chance(observation: Observation, task: Task) -> Plan:
    return ahead(observation, observation.ego[3] + np.random.normal())


@planner(horizon=4.0)
def only_at_home(observation: Observation, task: Task) -> Plan:
    if multiprocessing.parent_process() is not None:
        raise RuntimeError("not in a worker")
    return ahead(observation)


@planner(horizon=4.0)
def dies_abroad(observation: Observation, task: Task) -> Plan:
    if multiprocessing.parent_process() is not None:
        os._exit(7)
    return ahead(observation)


class Stateful:
    """Keeps its last speed in the planner, where all sessions find it."""

    def __init__(self) -> None:
        self.spec = PlannerSpec("stateful", horizon=4.0)
        self.last = 0.0

    def start(self, task: Task) -> Session:
        return self

    def plan(self, observation: Observation) -> Plan:
        speed = 0.5 * (self.last + float(observation.ego[3]))
        self.last = speed
        return ahead(observation, speed)


class OnlyOne:
    """Refuses a second session."""

    def __init__(self) -> None:
        self.spec = PlannerSpec("only_one", horizon=4.0)
        self.open = False

    def start(self, task: Task) -> Session:
        if self.open:
            raise RuntimeError("there is one session already")
        self.open = True
        return self

    def plan(self, observation: Observation) -> Plan:
        return ahead(observation)


class WithoutStart:
    """Cannot start at all."""

    def __init__(self) -> None:
        self.spec = PlannerSpec("without_start", horizon=4.0)

    def start(self, task: Task) -> Session:
        raise KeyError("weights")

    def plan(self, observation: Observation) -> Plan:
        return ahead(observation)


class Counting:
    """Counts its sessions in the class."""

    sessions: list[int] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.spec = PlannerSpec("counting", horizon=4.0)

    def start(self, task: Task) -> Session:
        self.sessions.append(1)
        return self

    def plan(self, observation: Observation) -> Plan:
        return ahead(observation, observation.ego[3] + len(self.sessions))


@dataclass
class SoftConfig:
    speed: float = 5.0
    share: float = 2.0


@dataclass(frozen=True)
class HardConfig:
    speed: float = 5.0
    share: float = 2.0


class Cruise:
    """Has settings and remembers them."""

    config_type: type = HardConfig

    def __init__(self, config: HardConfig) -> None:
        self.config = config
        self.spec = PlannerSpec("cruise", horizon=4.0)

    def start(self, task: Task) -> Session:
        return self

    def plan(self, observation: Observation) -> Plan:
        return ahead(observation, self.config.speed / self.config.share)


class SoftCruise(Cruise):
    config_type = SoftConfig


class SilentCruise(Cruise):
    def __init__(self, config: HardConfig) -> None:
        super().__init__(config)
        del self.config
        self.speed = config.speed

    def plan(self, observation: Observation) -> Plan:
        return ahead(observation, self.speed)


class Batched:
    """Slows down for whoever is near; memory is the session's, and `plan_batch` does the same at once."""

    reach = 30.0

    def __init__(self) -> None:
        self.spec = PlannerSpec("batched", horizon=4.0)

    def start(self, task: Task) -> BatchedSession:
        return BatchedSession(self)

    def speed(self, observation: Observation, before: float) -> float:
        gaps = np.hypot(*(observation.agents[:, :2] - observation.ego[:2]).T)
        near = bool((gaps[observation.agent_valid] < self.reach).any())
        return 0.9 * before if near else before

    def plan_batch(self, sessions: list[BatchedSession], observations: Any) -> list[Plan]:
        return [session.plan(observations[row]) for row, session in enumerate(sessions)]


@dataclass
class BatchedSession:
    planner: Batched
    last: float | None = None

    def plan(self, observation: Observation) -> Plan:
        before = float(observation.ego[3]) if self.last is None else self.last
        self.last = self.planner.speed(observation, before)
        return ahead(observation, self.last)


class BatchedWithoutMask(Batched):
    """Takes the padding of a batch, which lies at the origin, for agents."""

    def plan_batch(self, sessions: list[BatchedSession], observations: Any) -> list[Plan]:
        everybody = np.ones_like(observations.agent_valid)
        return super().plan_batch(sessions, replace(observations, agent_valid=everybody))


class BatchedTooFew(Batched):
    def plan_batch(self, sessions: list[BatchedSession], observations: Any) -> list[Plan]:
        return super().plan_batch(sessions[:1], observations)


not_a_planner: Planner | int = 3
