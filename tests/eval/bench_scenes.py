"""Tiny scenes and planners, good and bad, that the benchmark's tests drive; loaded by path."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drive.planner import FunctionPlanner, Observation, Plan, PlannerSpec
from drive.roadmap import RoadMapBuilder
from drive.roadmap.builder import LaneSpec
from drive.scenario import Expert, Goal, Route, Scenario, Task, tracks_from_rows
from drive.trajectory import Trajectory
from drive.vehicle import AgentKind, VehicleParams

STEPS, DT = 12, 0.1


def straight(
    name: str, speed: float = 8.0, gap: float = 30.0, steps: int = STEPS, expert: bool = True
) -> Scenario:
    """A straight lane along x, the ego at x = 20 m, a slower car `gap` metres ahead, a goal to reach."""
    builder = RoadMapBuilder()
    x = np.linspace(0.0, 300.0, 61)
    builder.add(
        LaneSpec(
            "lane",
            np.stack((x, np.full(61, 1.75)), 1),
            np.stack((x, np.full(61, -1.75)), 1),
            speed_limit=15.0,
        )
    )
    vehicle = VehicleParams()
    times = DT * np.arange(steps + 1)
    rear = 20.0 + speed * times
    ego = np.stack(
        (rear + vehicle.rear_axle_to_center, 0 * times, 0 * times, 0 * times + speed, 0 * times), 1
    )
    lead = np.stack(
        (20.0 + gap + 0.8 * speed * times, 0 * times, 0 * times, 0 * times + 0.8 * speed, 0 * times), 1
    )
    valid = np.ones(steps + 1, dtype=np.bool_)
    size = (vehicle.length, vehicle.width, vehicle.height)
    tracks = tracks_from_rows(
        [
            ("ego", AgentKind.VEHICLE, size, ego, valid),
            ("lead", AgentKind.VEHICLE, (4.6, 1.9, 1.5), lead, valid),
        ]
    )
    human = np.zeros((steps + 1, 7))
    human[:, 0], human[:, 3] = rear, speed
    end = ego[-1, :2]
    line = np.stack((x, 0 * x), 1)
    return Scenario(
        id=name,
        dt=DT,
        duration=steps * DT,
        environment=builder.build(),
        tracks=tracks,
        ego=0,
        initial=human[0],
        vehicle=vehicle,
        route=Route((0,), (0,), line, Goal(position=end)),
        expert=Expert(human, "generated") if expert else None,
        signals=np.zeros((0, steps + 1), dtype=np.uint8),
        family="straight" if gap > 20.0 else "close",
        tags=("dense",) if gap <= 20.0 else (),
    )


def scenes(count: int, **changes: float) -> list[Scenario]:
    return [straight(f"tiny/straight/{k}", speed=6.0 + k, **changes) for k in range(count)]  # type: ignore[arg-type]


def ahead(observation: Observation, speed: float) -> Plan:
    x, y, heading = observation.ego[:3]
    way = speed * 0.1 * np.arange(1, 41)
    return Plan.from_poses(
        observation, np.stack((x + way * np.cos(heading), y + way * np.sin(heading), np.full(40, heading)), 1)
    )


def _keep(observation: Observation, task: Task) -> Plan:
    return ahead(observation, float(observation.ego[3]))


def _noisy(observation: Observation, task: Task) -> Plan:
    """Depends on the seed of the run."""
    generator = np.random.default_rng((task.seed, observation.step))
    return ahead(observation, float(observation.ego[3]) + generator.normal())


def _slow(observation: Observation, task: Task) -> Plan:
    time.sleep(0.02)
    return _keep(observation, task)


def _not_finite(observation: Observation, task: Task) -> Plan:
    plan = _keep(observation, task)
    return Plan(Trajectory(plan.trajectory.times, plan.trajectory.states * np.nan))


def _wrong_shape(observation: Observation, task: Task) -> Plan:
    return Plan(Trajectory(np.zeros(3), np.zeros((3, 2))))


def _none(observation: Observation, task: Task) -> Plan:
    return None  # type: ignore[return-value]


def _raises(observation: Observation, task: Task) -> Plan:
    if observation.step >= 5:
        raise ZeroDivisionError("in step 5")
    return _keep(observation, task)


def _sleeps(observation: Observation, task: Task) -> Plan:
    time.sleep(1000.0)
    return _keep(observation, task)


def _hangs_in_c(observation: Observation, task: Task) -> Plan:
    """Never comes back to the interpreter, so that no alarm of Python reaches it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(1000.0)
    return _keep(observation, task)


def _dies(observation: Observation, task: Task) -> Plan:
    os.kill(os.getpid(), signal.SIGKILL)
    return _keep(observation, task)


def _dies_once(observation: Observation, task: Task) -> Plan:
    """Kills its process in the first run of a machine that lacks a mark."""
    mark = Path(os.environ["DRIVE_TEST_MARK"])
    if not mark.exists():
        mark.write_text("dead")
        os.kill(os.getpid(), signal.SIGKILL)
    return _keep(observation, task)


def _kills_parent_once(observation: Observation, task: Task) -> Plan:
    """Kills whoever started its process, in the first run of a machine that lacks a mark."""
    mark = Path(os.environ["DRIVE_TEST_MARK"])
    if not mark.exists():
        mark.write_text("dead")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000.0)
    return _keep(observation, task)


def _exits(observation: Observation, task: Task) -> Plan:
    raise SystemExit(3)


def _interrupts(observation: Observation, task: Task) -> Plan:
    raise KeyboardInterrupt


def _prints(observation: Observation, task: Task) -> Plan:
    print("noise on the standard output")
    return _keep(observation, task)


def named(name: str, function: object) -> FunctionPlanner:
    return FunctionPlanner(PlannerSpec(name, horizon=4.0), function)  # type: ignore[arg-type]


keep = named("keep", _keep)
noisy = named("noisy", _noisy)
slow = named("slow", _slow)
not_finite = named("not_finite", _not_finite)
wrong_shape = named("wrong_shape", _wrong_shape)
none = named("none", _none)
raises = named("raises", _raises)
sleeps = named("sleeps", _sleeps)
hangs_in_c = named("hangs_in_c", _hangs_in_c)
dies = named("dies", _dies)
dies_once = named("dies_once", _dies_once)
kills_parent_once = named("kills_parent_once", _kills_parent_once)
exits = named("exits", _exits)
interrupts = named("interrupts", _interrupts)
prints = named("prints", _prints)


@dataclass(frozen=True)
class CruiseConfig:
    speed: float = 5.0


class Cruise:
    """A planner with a setting."""

    config_type = CruiseConfig

    def __init__(self, config: CruiseConfig) -> None:
        self.config, self.spec = config, PlannerSpec("cruise", horizon=4.0)

    def start(self, task: Task) -> Cruise:
        return self

    def plan(self, observation: Observation) -> Plan:
        return ahead(observation, self.config.speed)
