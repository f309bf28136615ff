"""A planner of the nuPlan devkit as one of ours, so that it drives in our loop and benchmark.

Written against motional/nuplan-devkit at e924167, `planning/simulation/planner/abstract_planner.py`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from nuplan.common.actor_state.state_representation import StateSE2, TimePoint
from nuplan.planning.simulation.history.simulation_history_buffer import SimulationHistoryBuffer
from nuplan.planning.simulation.observation.observation_type import DetectionsTracks
from nuplan.planning.simulation.planner.abstract_planner import PlannerInitialization, PlannerInput
from nuplan.planning.simulation.simulation_time_controller.simulation_iteration import SimulationIteration

from drive.errors import InputError, PlanError
from drive.planner import Plan, PlannerSpec
from drive.sim.nuplan.convert import Signals, detections, devkit_vehicle, ego_row, ego_state
from drive.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from nuplan.planning.simulation.planner.abstract_planner import AbstractPlanner

    from drive.planner import Observation
    from drive.scenario import Task
    from drive.sim.nuplan.convert import Place

    Floats = NDArray[np.float64]

PAST = 2.1
"""s of the past that the devkit keeps for its planners: 22 samples with the present one."""
START_US = 1_600_000_000_000_000
"""Time of a scenario's start in the devkit's microseconds, where the source tells none."""


class Hosted:
    """A devkit planner in our loop.

    `make` gives a fresh planner for each session; `locate` gives, for a task, the devkit's map and the origin
    that the task's positions are relative to (the map's lane ids are the task's). Oracles, which want the
    devkit's scenario, and planners of sensor data are refused with InputError.
    """

    def __init__(
        self, make: Callable[[], AbstractPlanner], locate: Callable[[Task], tuple[Any, Place]]
    ) -> None:
        one = make()
        if one.requires_scenario:
            raise InputError(
                f"the devkit planner '{one.name()}' wants the devkit's scenario: it is an oracle"
            )
        if one.observation_type() is not DetectionsTracks:
            raise InputError(f"the devkit planner '{one.name()}' wants sensor data, and we have tracks")
        self.make, self.locate = make, locate
        self.spec = PlannerSpec(one.name(), horizon=8.0, history=PAST, needs=("road", "route"))

    def start(self, task: Task) -> _HostedSession:
        """A fresh planner, initialised with the route's roadblocks and the goal."""
        map_api, origin = self.locate(task)
        planner = self.make()
        route, roadmap = task.route, task.roadmap
        goal = route.goal.position
        if goal is None:
            goal = route.line[-1] if route.known else None
        planner.initialize(
            PlannerInitialization(
                [roadmap.group_ids[g] for g in route.groups],
                None if goal is None else StateSE2(goal[0] + origin[0], goal[1] + origin[1], 0.0),
                map_api,
            )
        )
        return _HostedSession(planner, task, origin)


class _HostedSession:
    """One scenario of a devkit planner: its rolling history in the devkit's objects."""

    def __init__(self, planner: AbstractPlanner, task: Task, origin: Place) -> None:
        self.planner, self.task, self.origin = planner, task, origin
        self.vehicle = devkit_vehicle(task.vehicle)
        self.signals = Signals(task.roadmap)
        self.buffer: SimulationHistoryBuffer | None = None

    def plan(self, observation: Observation) -> Plan:
        now = START_US + round(1e6 * observation.time)
        step = round(1e6 * self.task.dt)
        past = len(observation.ego_history) - 1
        if self.buffer is None:
            states, tracks = zip(
                *(self._sample(observation, k, now - (past - k) * step) for k in range(past + 1)), strict=True
            )
            self.buffer = SimulationHistoryBuffer(
                deque(states, past + 1), deque(tracks, past + 1), self.task.dt
            )
        else:
            self.buffer.append(*self._sample(observation, past, now))
        given = PlannerInput(
            SimulationIteration(TimePoint(now), observation.step),
            self.buffer,
            self.signals.write(observation.signals, now),
        )
        return Plan(self._ours(self.planner.compute_trajectory(given), observation, now))

    def _sample(self, observation: Observation, k: int, time_us: int) -> tuple[Any, DetectionsTracks]:
        there = observation.agent_history_valid[:, k]
        return (
            ego_state(observation.ego_history[k], time_us, self.origin, self.vehicle),
            detections(
                observation.agent_history[there, k],
                observation.agent_size[there],
                observation.agent_kind[there],
                [f"{number:016x}" for number in observation.agent_id[there].tolist()],
                time_us,
                self.origin,
            ),
        )

    def _ours(self, trajectory: Any, observation: Observation, now: int) -> Trajectory:
        """The devkit's trajectory from now on."""
        states = [s for s in trajectory.get_sampled_trajectory() if s.time_point.time_us > now]
        if not states:
            raise PlanError(f"the devkit planner '{self.planner.name()}' planned nothing beyond now")
        first = ego_row(trajectory.get_state_at_time(TimePoint(now)), self.origin)
        rows = np.stack([first, *(ego_row(s, self.origin) for s in states)])
        times = np.array([0, *(s.time_point.time_us - now for s in states)], dtype=np.float64)
        return Trajectory(observation.time + 1e-6 * times, rows)
