"""Collisions in the CARLA world: all are parted, momentum is kept, energy is never made, nobody tunnels."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from drive.geometry import box_corners, boxes_overlap
from drive.sim.carla.kernels.layout import INERTIA, MASS, PHYSICS, VX, VY, WZ, X, Y
from drive.sim.carla.world.errors import SpawnError

sys.path.insert(0, str(Path(__file__).parent))
from carla_town import run, straight

CAR, TRUCK = "vehicle.tesla.model3", "vehicle.carlamotors.carlacola"


@pytest.fixture
def world(tmp_path):
    return straight(tmp_path)


def momentum(world, actors) -> np.ndarray:
    """Linear (x, y) and angular about the origin."""
    out = np.zeros(3)
    for a in actors:
        row = world.actors.row(a)
        b, p = world.actors.body[row], world.actors.param[row]
        out += (
            p[MASS] * b[VX],
            p[MASS] * b[VY],
            p[INERTIA] * b[WZ] + p[MASS] * (b[X] * b[VY] - b[Y] * b[VX]),
        )
    return out


def energy(world, actors) -> float:
    rows = [world.actors.row(a) for a in actors]
    b, p = world.actors.body[rows], world.actors.param[rows]
    return float(
        (0.5 * p[:, MASS] * (b[:, VX] ** 2 + b[:, VY] ** 2) + 0.5 * p[:, INERTIA] * b[:, WZ] ** 2).sum()
    )


def overlapping(world, actors) -> int:
    """How many pairs of boxes overlap, by their outlines and another module's test."""
    outlines = []
    for a in actors:
        x, y, _, _, yaw, _ = world.transform(a)
        half = world.actor(a).half
        # Shrunk by a centimetre: touching is allowed.
        outlines.append(
            box_corners(np.array((x, y)), np.radians(yaw), 2.0 * half[0] - 0.02, 2.0 * half[1] - 0.02)
        )
    return sum(bool(boxes_overlap(a, b)) for a, b in itertools.combinations(outlines, 2))


def aloft(world, name, pose) -> int:
    """Something that no wheel or friction touches: 5 m above the road, without weight."""
    actor = world.spawn(name, (1000.0 + pose[0], pose[1], 5.0, 0.0, pose[2], 0.0))
    world.set_gravity(actor, False)
    return actor


@pytest.mark.parametrize("seed", range(12))
def test_momentum_is_kept_and_energy_not_made(world, seed):
    rng = np.random.default_rng(seed)
    actors = []
    while len(actors) < 6:
        name = (CAR, TRUCK, "vehicle.yamaha.yzf")[int(rng.integers(3))]
        try:
            actors.append(
                aloft(world, name, (rng.uniform(-12, 12), rng.uniform(-8, 8), rng.uniform(-180, 180)))
            )
        except SpawnError:
            continue
    for a in actors:
        place = world.transform(a)[:2] - (1000.0, 0.0)
        world.set_target_velocity(a, (*(-place * rng.uniform(0.5, 2.0)), 0.0))
        world.set_target_angular_velocity(a, (0.0, 0.0, rng.uniform(-90, 90)))
    met = 0
    for _ in range(60):
        before, held = momentum(world, actors), energy(world, actors)
        world.tick(0.05)
        met += len(world.contacts())
        # Parting moves places, so that only the linear momentum is exact.
        assert momentum(world, actors)[:2] == pytest.approx(before[:2], abs=1e-6)
        assert energy(world, actors) <= held * (1.0 + 1e-9)
    assert met > 0
    assert overlapping(world, actors) == 0


def test_a_head_on_crash_of_equals_stops_both(world):
    one, other = aloft(world, CAR, (0.0, 0.0, 0.0)), aloft(world, CAR, (10.0, 0.0, 180.0))
    world.set_target_velocity(one, (10.0, 0.0, 0.0))
    world.set_target_velocity(other, (-10.0, 0.0, 0.0))
    impulses = []
    for _ in range(20):
        world.tick(0.05)
        impulses += [c[2] for c in world.contacts()]
    assert np.hypot(*world.velocity(one)[:2]) < 1e-9
    # 1850 kg from 10 m/s to none.
    assert sum(i[0] for i in impulses) == pytest.approx(-18500.0, rel=1e-9)


def test_a_truck_that_runs_into_a_standing_car_goes_on_with_it(world):
    """Plastic: 5500 kg at 10 m/s and 1850 kg at rest leave at 5500 / 7350 of 10 m/s."""
    truck, car = aloft(world, TRUCK, (0.0, 0.0, 0.0)), aloft(world, CAR, (12.0, 0.0, 0.0))
    world.set_target_velocity(truck, (10.0, 0.0, 0.0))
    run(world, 2.0)
    assert world.velocity(car)[0] == pytest.approx(55000.0 / 7350.0, rel=1e-6)
    assert world.velocity(truck)[0] == pytest.approx(55000.0 / 7350.0, rel=1e-6)


def test_a_hit_beside_the_middle_turns_the_one_that_is_hit(world):
    one, other = aloft(world, CAR, (0.0, 0.0, 0.0)), aloft(world, CAR, (8.0, 1.2, 90.0))
    world.set_target_velocity(one, (10.0, 0.0, 0.0))
    run(world, 1.0)
    # An arm of -1.2 m along y, a push along x: r x J is along +z.
    assert world.actors.body[world.actors.row(other), WZ] > 0.1


@pytest.mark.parametrize("fast", [10.0, 50.0, 140.0])
@pytest.mark.parametrize("name", ["static.prop.streetbarrier", "static.prop.container", CAR])
def test_nobody_goes_through_what_stands(world, name, fast):
    wall = world.spawn(name, (100.0, 1.75, 0.0, 0.0, 90.0, 0.0))
    world.set_simulate_physics(wall, False)
    car = world.spawn(CAR, (40.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    world.set_target_velocity(car, (fast, 0.0, 0.0))
    world.apply_control(car, throttle=1.0)
    run(world, 8.0)
    assert world.transform(car)[0] < 100.0
    assert (world.transform(wall)[:2] == (100.0, 1.75)).all()
    assert overlapping(world, [wall, car]) == 0


def test_a_queue_that_is_run_into_comes_apart(world):
    """The pile-up of a crude response: ten cars closely behind one another, the last one at 20 m/s."""
    cars = [world.spawn(CAR, (60.0 + 5.2 * k, 1.75, 0.0, 0.0, 0.0, 0.0)) for k in range(10)]
    ram = world.spawn(CAR, (20.0, 1.4, 0.0, 0.0, 2.0, 0.0))
    world.set_target_velocity(ram, (20.0, 0.0, 0.0))
    run(world, 6.0)
    assert overlapping(world, [*cars, ram]) == 0
    for car in (*cars, ram):
        world.apply_control(car, throttle=0.7, steer=0.0)
    places = np.array([world.transform(c)[:2] for c in cars])
    run(world, 6.0)
    assert overlapping(world, [*cars, ram]) == 0
    gone = np.hypot(*(np.array([world.transform(c)[:2] for c in cars]) - places).T)
    assert gone.min() > 5.0  # they drive on


def test_walkers_are_pushed_aside_and_told_of(world):
    walker = world.spawn("walker.pedestrian.0001", (60.0, 1.75, 1.0, 0.0, 0.0, 0.0))
    car = world.spawn(CAR, (40.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    sensor = world.spawn("sensor.other.collision", (0.0,) * 6, parent=car)
    world.set_target_velocity(car, (12.0, 0.0, 0.0))
    told = []
    for _ in range(60):
        world.tick(0.05)
        told += world.measure([sensor])
        assert overlapping(world, [walker, car]) == 0
    assert told[0][:2] == (sensor, "collision")
    other, impulse = told[0][2]
    assert other == walker
    # At most the walker's 80 kg brought to the car's speed; on the car, so backwards.
    assert -80.0 * 12.0 <= impulse[0] < -0.5 * 80.0 * 12.0
    assert world.transform(walker)[0] > 62.0


def test_dirt_on_the_road_is_rolled_over(world):
    """The debris that the scenario ControlLoss spreads, 15 to 19 cm high; a briefcase is in the way."""
    for k, name in enumerate(("dirtdebris01", "dirtdebris03")):
        world.spawn(f"static.prop.{name}", (60.0 + 4.0 * k, 1.75, 0.0, 0.0, 0.0, 0.0))
    car = world.spawn("vehicle.tesla.model3", (40.0, 1.75, 0.3, 0.0, 0.0, 0.0))
    world.apply_control(car, throttle=0.6)
    met = []
    for _ in range(140):
        world.tick(0.05)
        met += world.contacts()
    assert met == []
    passed = world.transform(car)[0]
    assert passed > 75.0
    world.spawn("static.prop.briefcase", (passed + 15.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    for _ in range(100):
        world.tick(0.05)
        met += world.contacts()
    assert met != []


def test_props_stand_until_they_are_loose(world):
    cone = world.spawn("static.prop.constructioncone", (60.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    car = world.spawn(CAR, (50.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    world.apply_control(car, throttle=0.8)
    run(world, 3.0)
    assert (world.transform(cone)[:2] == (60.0, 1.75)).all()
    assert not world.actors.flag[world.actors.row(cone), PHYSICS]
    world.set_simulate_physics(cone, True)
    run(world, 3.0)
    assert world.transform(cone)[0] > 62.0
    assert overlapping(world, [cone, car]) == 0


def test_what_is_above_or_without_collisions_is_not_met(world):
    car = world.spawn(CAR, (40.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    bridge = world.spawn("static.prop.container", (60.0, 1.75, 6.0, 0.0, 0.0, 0.0))
    ghost = world.spawn("static.prop.container", (80.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    world.set_collisions(ghost, False)
    world.set_target_velocity(car, (15.0, 0.0, 0.0))
    met = 0
    for _ in range(80):
        world.tick(0.05)
        met += len(world.contacts())
    assert met == 0
    assert world.transform(car)[0] > 85.0
    assert world.transform(bridge)[2] == 6.0
