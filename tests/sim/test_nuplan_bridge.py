"""Our planners in the devkit's terms and its planners in ours, on the devkit or a stub of its interface."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from drive.datasets.source import load
from drive.errors import InputError, PlanError
from drive.planner import Plan
from drive.planner import planner as make_planner
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder, route_line
from drive.scenario import Goal, Route, SignalState
from drive.sim.loop import simulate
from drive.trajectory import Trajectory
from drive.vehicle import AgentKind, VehicleParams

ORIGIN = (664_000.0, 3_998_000.0)
START_US = 1_609_459_202_500_000
ROADBLOCKS = ["11", "12", "13"]


@pytest.fixture(scope="module")
def bridge():
    """The bridge's modules, on the devkit where there is one."""
    stubbed: list[str] = []
    try:
        importlib.import_module("nuplan.planning.simulation.planner.abstract_planner")
        importlib.import_module("nuplan.planning.simulation.trajectory.interpolated_trajectory")
    except ImportError:
        for name in [n for n in sys.modules if n.split(".")[0] == "nuplan"]:
            del sys.modules[name]
        spec = importlib.util.spec_from_file_location(
            "nuplan_stub", Path(__file__).with_name("nuplan_stub.py")
        )
        stub = importlib.util.module_from_spec(spec)
        sys.modules["nuplan_stub"] = stub
        spec.loader.exec_module(stub)
        stubbed = [*stub.install(), "nuplan_stub"]
    yield {n: importlib.import_module(f"drive.sim.nuplan.{n}") for n in ("convert", "planner", "hosted")}
    if stubbed:
        for name in (*stubbed, *(n for n in sys.modules if n.startswith("drive.sim.nuplan."))):
            sys.modules.pop(name, None)


def road():
    """Lane 1, connector 2 with a light, lane 3, along x."""
    builder = RoadMapBuilder()
    for name, x0, x1, kind, after in (
        ("1", 0.0, 60.0, LaneKind.LANE, ["2"]),
        ("2", 60.0, 80.0, LaneKind.CONNECTOR, ["3"]),
        ("3", 80.0, 400.0, LaneKind.LANE, []),
    ):
        x = np.linspace(x0, x1, 21)
        side = np.full_like(x, 1.75)
        builder.add(
            LaneSpec(
                id=name,
                left=np.column_stack((x, side)),
                right=np.column_stack((x, -side)),
                kind=kind,
                speed_limit=12.0,
                successors=after,
                signal="2" if name == "2" else None,
                group=f"1{name}",
            )
        )
    return builder.build()


def scout(gpkg, pose, roadblocks, goal):
    roadmap = road()
    assert list(roadblocks) == ROADBLOCKS
    assert goal == (ORIGIN[0] + 300.0, ORIGIN[1])
    lanes = (0, 1, 2)
    route = Route(lanes, lanes, route_line(roadmap, lanes), Goal(position=np.array([300.0, 0.0])))
    return roadmap, route, ORIGIN


class Maps:
    """The devkit's map, as far as the adapter looks at it."""

    map_name = "us-nv-las-vegas-strip"

    def __init__(self) -> None:
        self._maps_db = self
        self._map_root = "maps"

    def get_version(self, name: str) -> str:
        return "9.15.1915"


class Scene:
    """Inputs as the devkit gives them: an ego at 10 m/s, a car ahead, a cone, and a walker from step 2 on."""

    def __init__(self, bridge) -> None:
        self.c = bridge["convert"]
        vehicle = self.c.devkit_vehicle(VehicleParams())
        self.vehicle = vehicle
        self.egos: deque = deque(maxlen=22)
        self.seen: deque = deque(maxlen=22)
        for k in range(-21, 1):
            self.add(k)

    def ego(self, k: int):
        row = np.array([5.0 + 1.0 * k, 0.0, 0.0, 10.0, 0.3, 0.01, 0.02])
        return self.c.ego_state(row, START_US + 100_000 * k, ORIGIN, self.vehicle)

    def add(self, k: int) -> None:
        rows = [[40.0 + 0.5 * k, 0.0, 0.0, 5.0, 0.0], [60.0, 3.0, 0.5, 0.0, 0.0]]
        kinds, names, sizes = (
            [AgentKind.VEHICLE, AgentKind.STATIC],
            ["car", "cone"],
            [(4.5, 1.9, 1.5), (0.5,) * 3],
        )
        if k >= 2:
            rows.append([30.0, 4.0 - 0.1 * k, -1.5, 0.0, -1.0])
            kinds.append(AgentKind.PEDESTRIAN)
            names.append("walker")
            sizes.append((0.6, 0.6, 1.8))
        self.egos.append(self.ego(k))
        self.seen.append(
            self.c.detections(
                np.array(rows),
                np.array(sizes),
                np.array(kinds, dtype=np.uint8),
                names,
                START_US + 100_000 * k,
                ORIGIN,
            )
        )

    def input(self, k: int):
        from nuplan.common.actor_state.state_representation import TimePoint
        from nuplan.common.maps.maps_datatypes import TrafficLightStatusData, TrafficLightStatusType
        from nuplan.planning.simulation.history.simulation_history_buffer import SimulationHistoryBuffer
        from nuplan.planning.simulation.planner.abstract_planner import PlannerInput
        from nuplan.planning.simulation.simulation_time_controller.simulation_iteration import (
            SimulationIteration,
        )

        if k:
            self.add(k)
        now = START_US + 100_000 * k
        lights = [
            TrafficLightStatusData(TrafficLightStatusType.RED, 2, now),
            TrafficLightStatusData(TrafficLightStatusType.GREEN, 77, now),  # of another junction
        ]
        buffer = SimulationHistoryBuffer(deque(self.egos, 22), deque(self.seen, 22), 0.1)
        return PlannerInput(SimulationIteration(TimePoint(now), k), buffer, lights)


def initialised(bridge, planner):
    from nuplan.common.actor_state.state_representation import StateSE2
    from nuplan.planning.simulation.planner.abstract_planner import PlannerInitialization

    made = bridge["planner"].ToolkitPlanner(planner, scout)
    goal = StateSE2(ORIGIN[0] + 300.0, ORIGIN[1], 0.0)
    made.initialize(PlannerInitialization(ROADBLOCKS, goal, Maps()))
    return made


def straight(observation, seconds: float = 8.0, dt: float = 0.1) -> Plan:
    t = dt * np.arange(1, round(seconds / dt) + 1)
    poses = np.column_stack((observation.ego[0] + 10.0 * t, np.zeros_like(t), np.zeros_like(t)))
    return Plan.from_poses(observation, poses, dt, np.full_like(t, 10.0))


def test_the_observation_is_the_devkits_input(bridge) -> None:
    heard = []

    @make_planner("listener", history=1.0)
    def listener(observation, task):
        heard.append((observation, task))
        return straight(observation)

    made, scene = initialised(bridge, listener), Scene(bridge)
    for k in range(4):
        made.compute_trajectory(scene.input(k))
    first, task = heard[0]
    assert task.dt == pytest.approx(0.1)
    assert task.vehicle.rear_axle_to_center == pytest.approx(1.461)
    assert (first.time, first.step) == (0.0, 0)
    np.testing.assert_allclose(first.ego, [5.0, 0.0, 0.0, 10.0, 0.3, 0.01, 0.02], atol=1e-8)
    np.testing.assert_allclose(first.ego_history[:, 0], np.arange(-5.0, 6.0), atol=1e-8)
    assert first.agent_kind.tolist() == [AgentKind.VEHICLE, AgentKind.STATIC]
    np.testing.assert_allclose(first.agents[0], [40.0, 0.0, 0.0, 5.0, 0.0], atol=1e-8)
    np.testing.assert_allclose(first.agent_size[0], [4.5, 1.9, 1.5])
    np.testing.assert_allclose(first.agents[1, 3:], 0.0)  # static objects have no velocity there
    np.testing.assert_allclose(first.agent_history[0, :, 0], np.arange(35.0, 40.1, 0.5), atol=1e-8)
    assert first.signals.tolist() == [SignalState.RED]
    np.testing.assert_allclose(first.route_progress, [5.0, 0.0], atol=1e-6)
    last = heard[-1][0]
    assert last.time == pytest.approx(0.3)
    assert last.agent_id.tolist() == [0, 1, 2]
    assert last.agent_kind[2] == AgentKind.PEDESTRIAN
    assert last.agent_history_valid[2].sum() == 2


def test_the_plan_goes_back_in_the_devkits_terms(bridge) -> None:
    made, scene = initialised(bridge, make_planner("short")(lambda o, t: straight(o, 3.0))), Scene(bridge)
    trajectory = made.compute_trajectory(scene.input(0))
    states = trajectory.get_sampled_trajectory()
    assert states[0].time_point.time_us == START_US
    assert states[-1].time_point.time_us == START_US + 8_000_000
    assert made.extended == 1
    assert made.statuses == [("ok", "")]
    assert states[-1].rear_axle.x == pytest.approx(ORIGIN[0] + 5.0 + 80.0)
    assert states[10].dynamic_car_state.rear_axle_velocity_2d.x == pytest.approx(10.0)
    whole = initialised(bridge, make_planner("whole")(lambda o, t: straight(o, 8.0)))
    whole.compute_trajectory(Scene(bridge).input(0))
    assert whole.extended == 0


def test_a_slower_planner_is_asked_less_often_and_its_plan_lasts(bridge) -> None:
    calls = []

    @make_planner("slow", rate=5.0)
    def slow(observation, task):
        calls.append(observation.step)
        return straight(observation)

    made, scene = initialised(bridge, slow), Scene(bridge)
    handed = [made.compute_trajectory(scene.input(k)) for k in range(4)]
    assert calls == [0, 2]
    assert handed[1] is handed[0]
    assert handed[0].get_sampled_trajectory()[-1].time_point.time_us >= START_US + 8_100_000


def test_the_last_curvature_holds_where_a_plan_is_prolonged(bridge) -> None:
    radius, speed = 50.0, 5.0
    t = np.arange(0.0, 2.01, 0.1)
    turn = speed * t / radius
    states = np.zeros((len(t), 7))
    states[:, :4] = np.column_stack(
        (radius * np.sin(turn), radius * (1.0 - np.cos(turn)), turn, np.full_like(t, speed))
    )
    longer = bridge["planner"].prolong(Trajectory(t, states), 0.1, 8.0)
    assert longer.duration == pytest.approx(8.0)
    away = np.hypot(longer.states[:, 0], longer.states[:, 1] - radius)
    np.testing.assert_allclose(away, radius, atol=5e-3)
    assert longer.states[-1, 2] == pytest.approx(0.8)
    stopped = states.copy()
    stopped[-1, 3] = 0.0
    at_rest = bridge["planner"].prolong(Trajectory(t, stopped), 0.1, 8.0)
    np.testing.assert_allclose(at_rest.states[len(t) :, :3], np.tile(stopped[-1, :3], (60, 1)), atol=1e-12)


def test_who_cannot_drive_there_is_refused(bridge) -> None:
    kind = bridge["planner"].ToolkitPlanner
    for name, what in (("log", "the log"), ("rover", "terrain")):
        with pytest.raises(InputError, match=what):
            kind(name, scout)
    from nuplan.planning.simulation.planner.abstract_planner import AbstractPlanner

    made = kind("idm", scout)
    assert isinstance(made, AbstractPlanner)
    assert made.name() == "drive_idm"
    with pytest.raises(PlanError, match="before"):
        made.compute_trajectory(Scene(bridge).input(0))
    with pytest.raises(InputError, match="file"):
        bridge["planner"].map_file(object())


@pytest.mark.parametrize("name", ["idm", "pdm"])
def test_there_and_back_again(bridge, name: str) -> None:
    """One of our planners, made one of the devkit's and hosted as such, drives as it does by itself."""
    scenario = load("gen/stop_for_lead/3")
    scenario = scenario.with_(origin=ORIGIN)
    given = scenario.route

    def as_it_was(gpkg, pose, roadblocks, goal):
        assert pose[0] == pytest.approx(ORIGIN[0] + scenario.initial[0])
        assert list(roadblocks) == [scenario.roadmap.group_ids[g] for g in given.groups]
        return scenario.roadmap, given, ORIGIN

    hosted = bridge["hosted"].Hosted(
        lambda: bridge["planner"].ToolkitPlanner(name, as_it_was), lambda task: (Maps(), ORIGIN)
    )
    from drive.registry import load_planner

    ours = simulate(scenario, load_planner(name), traffic="log", visibility="all", stop=60)
    theirs = simulate(scenario, hosted, traffic="log", visibility="all", stop=60)
    assert theirs.header["failure"] is None
    np.testing.assert_allclose(theirs.ego, ours.ego, atol=1e-3)


def test_devkit_planners_that_we_cannot_feed_are_refused(bridge) -> None:
    from nuplan.planning.simulation.planner.abstract_planner import AbstractPlanner

    class Oracle(AbstractPlanner):
        requires_scenario = True

        def name(self):
            return "oracle"

        def initialize(self, initialization):
            pass

        def observation_type(self):
            return object

        def compute_planner_trajectory(self, current_input):
            raise NotImplementedError

    class Camera(Oracle):
        requires_scenario = False

    with pytest.raises(InputError, match="oracle"):
        bridge["hosted"].Hosted(Oracle, lambda task: (Maps(), ORIGIN))
    with pytest.raises(InputError, match="sensor data"):
        bridge["hosted"].Hosted(Camera, lambda task: (Maps(), ORIGIN))


def test_without_the_devkit_one_line_says_what_to_do(tmp_path) -> None:
    from drive.sim.nuplan.devkit import find_devkit

    with pytest.raises(InputError, match="no nuPlan devkit"):
        find_devkit(tmp_path)
