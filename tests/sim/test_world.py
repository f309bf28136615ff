"""The batch step against its references, and the properties that a simulator must have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

from drive.datasets.source import load
from drive.errors import ScenarioError, SimulationError
from drive.sim import Controller, compile_world, step
from drive.sim.kernels import reference
from drive.sim.kernels.follow import find_leader
from drive.sim.kernels.scalar import idm_acceleration
from drive.sim.kernels.survey import REACH
from drive.sim.traffic import IDM, IDM_COMPAT, LOG, MOBIL, cast
from drive.vehicle import AgentKind

CROWDS = run_path(str(Path(__file__).with_name("crowds.py")))
looked, placed = CROWDS["looked"], CROWDS["placed"]

CARS = [(60.0, 0.3, 8.0), (45.0, 3.5, 12.0), (90.0, 3.3, 6.0), (130.0, 0.0, 0.0), (10.0, 3.5, 14.0)]


def world_of(scenario: Any, traffic: Any = IDM, **kwargs: Any) -> Any:
    return compile_world([cast(scenario, traffic, **kwargs)], scenario.dt, traffic.anticipate)


def state_of(world: Any, w: int = 0) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(world.motion, name)[w]) for name in world.motion._fields}


def test_idm_acceleration_by_hand() -> None:
    # v = 10, lead 8, gap 20, v0 = 15, s0 = 1, T = 1.5, a = 1, b = 2, exponent 4:
    # s* = 1 + 15 + 10 * 2 / (2 sqrt 2) = 23.0711; 1 - (2/3)^4 - (23.0711 / 20)^2 = -0.528...
    got = idm_acceleration(*(np.float32(v) for v in (10, 8, 20, 15, 1, 1.5, 1, 2, 4)))
    assert float(got) == pytest.approx(1.0 - 16.0 / 81.0 - (23.0710678 / 20.0) ** 2, rel=1e-5)
    # A gap below the minimum counts as the minimum.
    near = idm_acceleration(*(np.float32(v) for v in (0, 0, 0.2, 15, 1, 1.5, 1, 2, 4)))
    assert float(near) == pytest.approx(0.0, abs=1e-6)


def test_step_equals_its_reference(straight: Any, scenario: Any) -> None:
    world = world_of(scenario(straight(), CARS))
    assert (world.agents.controller[0, 1:] == Controller.IDM).all()
    world.motion.offset[:] = 0.0
    world.agents.stop_station[:] = np.nan  # the reference has no drivers who stop of their own will
    for _ in range(40):
        expected = reference.idm_step(world, 0)
        hit = reference.collisions(world, 0)
        pose = np.zeros((1, 6, 5))
        pose[0, 0] = [float(world.motion.x[0, 0]) + 1.0, 0.0, 0.0, 10.0, 0.0]
        after = step(world, pose=pose)
        got = np.column_stack(
            [state_of(after)[n] for n in ("x", "y", "heading", "speed", "steering", "yaw_rate")]
        )
        np.testing.assert_allclose(got[1:], expected[1:], rtol=1e-5, atol=2e-4)
        assert not (state_of(world)["collided"].astype(bool) ^ hit).any()
        world = after


def test_collisions_equal_the_reference_on_random_boxes(straight: Any, scenario: Any) -> None:
    rng = np.random.default_rng(0)
    base = scenario(straight(), [(100.0 + 8 * k, 0.0, 0.0) for k in range(15)])
    world = world_of(base, LOG)
    for _ in range(20):
        m = world.motion
        m.x[:], m.y[:] = rng.uniform(0, 40, m.x.shape), rng.uniform(0, 15, m.y.shape)
        m.heading[:] = rng.uniform(-np.pi, np.pi, m.heading.shape)
        world.agents.controller[:] = Controller.CONTROL
        m.speed[:] = 0.0
        m.steering[:] = 0.0
        after = step(world)
        np.testing.assert_array_equal(after.motion.collided[0].astype(bool), reference.collisions(after, 0))


def test_one_world_alone_equals_the_same_world_in_a_batch(straight: Any, scenario: Any) -> None:
    roads = straight()
    many = [scenario(roads, CARS[: 2 + k], speed=8.0 + k) for k in range(4)]
    for model in (LOG, IDM, MOBIL):
        batch = compile_world([cast(s, model) for s in many], 0.1)
        alone = [compile_world([cast(s, model)], 0.1) for s in many]
        pose = np.zeros((4, batch.num_agents, 5))
        for k in range(60):
            pose[:, 0, 0] = 20.0 + 1.1 * k
            batch = step(batch, pose=pose, threads=2)
            alone = [step(a, pose=pose[i : i + 1, : a.num_agents]) for i, a in enumerate(alone)]
        for i, a in enumerate(alone):
            n = a.num_agents
            for name in ("x", "y", "heading", "speed", "vx", "presence", "collided", "station"):
                np.testing.assert_array_equal(
                    getattr(batch.motion, name)[i, :n],
                    getattr(a.motion, name)[0],
                    err_msg=f"{model.name} {name}",
                )
            assert not batch.present[i, n:].any()


def test_many_steps_a_visit_equal_single_steps(straight: Any, scenario: Any) -> None:
    one = world_of(scenario(straight(), CARS), MOBIL)
    before = {k: v.copy() for k, v in state_of(one).items()}
    twenty = step(one, steps=20)
    for name, values in before.items():
        np.testing.assert_array_equal(values, state_of(one)[name])
    for _ in range(20):
        one = step(one)
    for name, values in state_of(one).items():
        np.testing.assert_array_equal(values, state_of(twenty)[name], err_msg=name)


def test_permuting_the_agents_permutes_the_result(straight: Any, scenario: Any) -> None:
    roads, order = straight(), [3, 0, 4, 2, 1]
    a = world_of(scenario(roads, CARS))
    b = world_of(scenario(roads, [CARS[k] for k in order]))
    for _ in range(80):
        a, b = step(a), step(b)
    for name in ("x", "y", "speed"):
        np.testing.assert_array_equal(state_of(a)[name][1:][order], state_of(b)[name][1:])


def test_idm_platoon_reaches_the_equilibrium_gap(straight: Any, scenario: Any) -> None:
    """Behind a leader at v the gap tends to (s0 + v T) / sqrt(1 - (v / v0)^4)."""
    s = scenario(straight(4000.0), [(60.0, 0.0, 8.0), (40.0, 0.0, 8.0)])
    world = world_of(s, IDM, overrides={1: Controller.TRAJECTORY})
    pose = np.zeros((1, 3, 5))
    pose[0, 0] = [-500.0, 50.0, 0.0, 0.0, 0.0]
    x = float(world.motion.x[0, 1])
    for _ in range(1500):
        x += 0.8
        pose[0, 1] = [x, 0.0, 0.0, 8.0, 0.0]
        world = step(world, pose=pose, out=world)
    gap = float(world.motion.x[0, 1] - world.motion.x[0, 2]) - 4.8
    assert gap == pytest.approx((1.0 + 8.0 * 1.5) / np.sqrt(1.0 - (8.0 / 15.0) ** 4), abs=0.05)


@pytest.mark.parametrize(("state", "passes"), [(3, False), (1, True)])
def test_traffic_stops_at_red_and_passes_at_green(
    straight: Any, scenario: Any, state: int, passes: bool
) -> None:
    roads = straight(stop_at=150.0)
    signals = np.full((1, 151), state, dtype=np.uint8)
    world = world_of(scenario(roads, [(60.0, 3.5, 12.0)], signals=signals))
    pose = np.zeros((1, 2, 5))
    for _ in range(150):
        world = step(world, pose=pose)
    front = float(world.centers()[0, 1, 0]) + 2.4
    assert (front > 160.0) if passes else (146.0 < front <= 150.0)


def test_a_slower_car_is_overtaken_by_mobil_and_followed_by_idm(straight: Any, scenario: Any) -> None:
    cars = [(40.0, 0.0, 13.0), (80.0, 0.0, 4.0)]
    for model, changes in ((IDM, False), (MOBIL, True)):
        world = world_of(scenario(straight(), cars, start=400.0), model, overrides={2: Controller.LOG})
        y = []
        for _ in range(120):
            world = step(world)
            y.append(float(world.motion.y[0, 1]))
            assert not world.motion.collided[0, 1:].any()
        assert (max(y) > 2.8) == changes


def test_who_reacts_and_who_replays(straight: Any, scenario: Any) -> None:
    kinds = [AgentKind.VEHICLE, AgentKind.PEDESTRIAN, AgentKind.BICYCLE, AgentKind.VEHICLE]
    s = scenario(straight(), [(60, 0, 5), (80, 0, 1), (70, 3.5, 4), (90, -2.6, 0)], kinds=kinds)
    kept = cast(s, IDM)
    assert kept.controller[1:].tolist() == [Controller.IDM, Controller.LOG, Controller.LOG, Controller.LOG]
    assert kept.log_valid[1:, 5].all()
    # nuPlan's reactive mode drops cyclists and parked cars, and keeps pedestrians.
    dropped = cast(s, IDM_COMPAT)
    assert dropped.log_valid[1:, 5].tolist() == [1, 1, 0, 0]


def test_bad_arrays_are_refused(straight: Any, scenario: Any) -> None:
    world = world_of(scenario(straight(), CARS))
    with pytest.raises(SimulationError, match="shape"):
        step(world, control=np.zeros((1, 2, 2)))
    with pytest.raises(SimulationError, match="finite"):
        step(world, pose=np.full((1, 6, 5), np.nan))
    with pytest.raises(SimulationError, match="control must be an array of numbers"):
        step(world, control=np.full((1, 6, 2), "fast"))
    for wrong in ({"steps": -1}, {"steps": 1.5}, {"threads": 0}):
        with pytest.raises(SimulationError, match="0 steps or more and a thread"):
            step(world, **wrong)


def test_worlds_that_do_not_fit_are_refused(straight: Any, scenario: Any) -> None:
    s = scenario(straight(), CARS)
    world, two = world_of(s), compile_world([cast(s, IDM)] * 2, 0.1)
    with pytest.raises(SimulationError, match=r"out.motion.sample must be int32 of shape \(1,\)"):
        step(world, out=two)
    # Written by the shape of x: a shorter row would be written past its end.
    m = two.motion
    for name, array in (("y", m.y[:, :3].copy()), ("x", m.x.astype(float)), ("speed", m.speed[:, ::-1])):
        with pytest.raises(SimulationError, match=f"world.motion.{name} must be float32"):
            step(dataclasses.replace(two, motion=m._replace(**{name: array})))
    for name, value in (("x", np.nan), ("speed", np.inf)):
        lost = getattr(m, name).copy()
        lost[1, 4] = value
        with pytest.raises(SimulationError, match="agent 4 of world 1 has a state that is not finite"):
            step(dataclasses.replace(two, motion=m._replace(**{name: lost})))
        # Where nobody is, nobody looks.
        away = m.presence.copy()
        away[1, 4] = 0
        assert (
            step(dataclasses.replace(two, motion=m._replace(presence=away, **{name: lost}))).num_worlds == 2
        )
    for dt in (0.0, np.nan):
        with pytest.raises(ScenarioError, match="dt must be positive"):
            compile_world([cast(s, IDM)], dt)


def test_a_padded_agent_changes_nothing(straight: Any, scenario: Any) -> None:
    s = scenario(straight(), CARS)
    tracks = s.tracks
    gone = dataclasses.replace(
        tracks,
        states=np.concatenate((tracks.states, np.zeros((1, 151, 5)))),
        valid=np.concatenate((tracks.valid, np.zeros((1, 151), dtype=bool))),
        size=np.concatenate((tracks.size, tracks.size[:1])),
        kind=np.append(tracks.kind, np.uint8(0)),
        rear_to_centre=np.append(tracks.rear_to_centre, 1.0),
        ids=(*tracks.ids, "nobody"),
    )
    a, b = world_of(s), world_of(s.with_(tracks=gone))
    for _ in range(50):
        a, b = step(a), step(b)
    for name in ("x", "y", "speed", "collided"):
        np.testing.assert_array_equal(state_of(a)[name], state_of(b)[name][:6])


def test_mobil_changes_lanes_where_its_reference_does(straight: Any, scenario: Any) -> None:
    rng = np.random.default_rng(5)
    changes = 0
    for _ in range(3):
        cars = [
            (40.0 + 22.0 * k + rng.uniform(0, 8), 3.5 * rng.integers(0, 2), rng.uniform(3, 14))
            for k in range(9)
        ]
        world = world_of(scenario(straight(3000.0), cars, start=10.0), MOBIL)
        pose = np.zeros((1, 10, 5))
        pose[0, 0] = [-500.0, 90.0, 0.0, 0.0, 0.0]
        for _ in range(60):
            m = world.motion
            expected = {}
            for i in range(1, 10):
                if m.cooldown[0, i] > 0.0 or m.speed[0, i] <= 2.0 or m.presence[0, i] != 1:
                    continue
                gains = [
                    reference.mobil_gain(world, 0, i, side) for side in (world.paths.left, world.paths.right)
                ]
                if abs(max(gains) - 0.2) > 0.02 and np.isfinite(max(gains)):
                    expected[i] = max(gains) > 0.2
            before = m.path[0].copy()
            world = step(world, pose=pose)
            for i, change in expected.items():
                assert (world.motion.path[0, i] != before[i]) == change
                changes += change
    assert changes >= 5


def test_letting_others_go_first_equals_its_reference() -> None:
    met = 0
    for seed in (0, 2):
        world = world_of(load(f"gen/dense_merge/{seed}"))
        for k in range(120):
            if k % 5 == 0:
                m, g = world.motion, world.agents
                around = placed(world, 0)
                for i in np.flatnonzero(world.present[0] & (g.controller[0] == Controller.IDM)):
                    path, station = int(m.path[0, i]), m.station[0, i]
                    got = looked(world, 0, int(i), around)[3:]
                    expected = reference.yielding(world, 0, int(i), path, float(station))
                    met += expected[0] < 1e6
                    # Where the path bends, a foot may fall on either of two segments: 0.03 rad x 4 m.
                    np.testing.assert_allclose([float(v) for v in got], expected, rtol=1e-4, atol=0.12)
            pose = np.zeros((1, world.num_agents, 5))
            ego = int(np.flatnonzero(world.agents.controller[0] == Controller.TRAJECTORY)[0])
            pose[0, ego] = [
                world.motion.x[0, ego],
                world.motion.y[0, ego],
                world.motion.heading[0, ego],
                0,
                0,
            ]
            world = step(world, pose=pose)
    assert met >= 10


@pytest.mark.parametrize(
    "ref",
    ["gen/roundabout/2", "gen/t_junction_yield/4", "gen/dense_highway/1", "gen/lane_follow_curved/4",
     "gen/construction_narrowing/3", "gen/signalised_intersection/5"],
)  # fmt: skip
def test_nobody_is_passed_over_whom_a_close_look_would_find(ref: str) -> None:
    """The leaders after a survey are those of a look at everybody, without one."""
    scenario = load(ref)
    world = compile_world([cast(scenario, IDM, {scenario.ego: Controller.IDM})], scenario.dt)
    m, g, p = world.motion, world.agents, world.paths
    led = 0
    for _ in range(12):
        m = world.motion
        around = placed(world, 0)
        for i in np.flatnonzero(world.present[0] & (g.controller[0] == Controller.IDM)):
            path = int(m.path[0, i])
            first, last = int(p.start[path]), int(p.start[path + 1]) - 1
            want = find_leader(
                int(i), m.station[0, i], g.rear_to_center[0, i], m.x[0, i], m.y[0, i], REACH, first, last,
                p.step[path], p.rows, world.anticipate, around[0], world.num_agents,
            )  # fmt: skip
            got = looked(world, 0, int(i), around)
            assert got[0] == want[0]
            np.testing.assert_allclose(
                [float(v) for v in got[1:3]], [float(v) for v in want[1:]], rtol=1e-5, atol=1e-4
            )
            led += want[0] >= 0
        world = step(world, steps=10)
    assert led > 20


def test_worlds_of_one_cast_share_its_paths(scenario: Any, straight: Any) -> None:
    first = cast(scenario(straight(), [(60.0, 0.0, 4.0)]), IDM)
    other = cast(scenario(straight(stop_at=90.0), [(40.0, 3.5, 8.0)], speed=6.0), IDM)
    batch = compile_world([other, first, other, first], 0.1)
    assert len(batch.paths.step) == len(first.paths.step) + len(other.paths.step)
    driven = step(batch, steps=50).motion
    for k, c in enumerate((other, first, other, first)):
        alone = step(compile_world([c], 0.1), steps=50).motion
        np.testing.assert_array_equal(driven.x[k], alone.x[0])
        np.testing.assert_array_equal(driven.speed[k], alone.speed[0])
