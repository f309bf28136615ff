"""The drivers behind the generated logs: they follow, stop, merge and give way as people do."""

import numpy as np
import pytest

from drive.datasets.generate.curves import chain
from drive.datasets.generate.drivers import Body, Driver, draw_body, draw_driver
from drive.datasets.generate.junctions import give_way
from drive.datasets.generate.kernels.base import PARKED
from drive.datasets.generate.projections import project
from drive.datasets.generate.roads import Profile
from drive.datasets.generate.traffic import Actor, Drive, Gate, Order, Task, Traffic, TrafficLane
from drive.vehicle import AgentKind

CAR = Body(AgentKind.VEHICLE, 4.5, 1.8, 1.5, 1.26)


def road(length: float = 3000.0, lanes: int = 1, curvature: float = 0.0) -> Traffic:
    t = Traffic()
    t.add_frame(chain([(length, curvature, curvature)]))
    for i in range(lanes):
        near = (i + 1 if i + 1 < lanes else -1, i - 1)
        t.add_lane(TrafficLane(0, Profile.of(3.5 * i), 30.0, near))
    return t


def gap(d: Drive, behind: int, ahead: int) -> np.ndarray:
    """Bumper-to-bumper distance at the logged samples."""
    a, b = d.traffic.actors[behind].body, d.traffic.actors[ahead].body
    front = d.log[behind, :, 0] + a.rear + 0.5 * a.length
    return d.log[ahead, :, 0] + b.rear - 0.5 * b.length - front


@pytest.mark.parametrize(("headway", "delay"), [(1.0, 0.0), (1.5, 0.4), (2.0, 0.6)])
def test_idm_settles_at_its_equilibrium_gap(headway: float, delay: float) -> None:
    t = road()
    driver = Driver(factor=1.0, headway=headway, gap=2.0, delay=delay, accel=1.5, brake=2.0)
    follower = t.add(Actor("follower", CAR, 0, 0.0, 20.0, driver))
    lead = t.add(Actor("lead", CAR, 0, 60.0, 20.0, Driver(factor=20.0 / 30.0, delay=0.0)))
    d = t.run(0.0, 110.0)
    assert d.log[lead, -1, 1] == pytest.approx(20.0, abs=1e-3)
    # Treiber 2000, eq. 5: s = (s0 + v T) / sqrt(1 - (v / v0)^4); with v = 20 of 30 m/s the root is 0.895806.
    expected = {1.0: 24.5589, 1.5: 35.7220, 2.0: 46.8851}[headway]
    assert gap(d, follower, lead)[-1] == pytest.approx(expected, abs=0.15)


def test_free_driver_reaches_the_wanted_speed_without_passing_it() -> None:
    t = road()
    i = t.add(Actor("free", CAR, 0, 0.0, 5.0, Driver(factor=0.9)))
    v = t.run(0.0, 60.0).log[i, :, 1]
    assert v[-1] == pytest.approx(27.0, abs=0.2)
    assert v.max() <= 27.0 + 1e-6


def test_driver_stops_behind_a_braking_lead_comfortably() -> None:
    t = road()
    i = t.add(Actor("ego", CAR, 0, 0.0, 15.0, Driver(headway=1.4, delay=0.4)))
    lead = t.add(Actor("lead", CAR, 0, 32.0, 15.0, orders=(Order(3.0, 90.0, 0.0, 2.5),)))
    d = t.run(0.0, 30.0)
    assert d.log[i, -1, 1] < 0.05
    assert gap(d, i, lead).min() > 1.0
    assert gap(d, i, lead)[-1] < 4.5
    assert d.log[i, :, 2].min() > -4.0
    jerk = np.diff(d.log[i, :, 2]) / 0.1
    assert np.abs(jerk).max() < 4.5


def test_driver_slows_for_a_bend() -> None:
    t = Traffic()
    t.add_frame(chain([(200.0, 0, 0), (20.0, 0, 0.02), (80.0, 0.02, 0.02), (20.0, 0.02, 0), (300.0, 0, 0)]))
    t.add_lane(TrafficLane(0, Profile.of(0.0), 20.0))
    i = t.add(Actor("car", CAR, 0, 0.0, 18.0, Driver(lateral=2.0)))
    log = t.run(0.0, 40.0).log[i]
    inside = (log[:, 0] > 225.0) & (log[:, 0] < 295.0)
    # On a radius of 50 m, 2 m/s^2 allow 10 m/s.
    assert log[inside, 1].max() < 10.6
    assert log[inside, 1].min() > 8.5
    assert log[:, 2].min() > -2.5
    assert log[-1, 1] > 15.0


def test_merging_driver_waits_for_the_gap_and_never_passes_the_end_of_its_lane() -> None:
    t = road(lanes=2)
    i = t.add(Actor("merger", CAR, 0, 0.0, 14.0, tasks=(Task(1, begin=20.0, by=180.0),)))
    others = [
        t.add(Actor(f"n{k}", CAR, 1, -150.0 + 22.0 * k, 14.0, Driver(factor=14 / 30, cooperate=0.0)))
        for k in range(10)
    ]
    d = t.run(0.0, 40.0)
    assert d.moves[i] == 1
    assert 20.0 <= d.move_begin[i, 0] <= 180.0
    s = d.log[i, :, 0]
    merged = s > d.move_begin[i, 0] + d.move_length[i, 0]
    assert d.offset(i, s)[merged] == pytest.approx(3.5)
    for o in others:
        close = np.abs(d.log[o, :, 0] - s) < 4.5
        assert (np.abs(d.offset(o, d.log[o, :, 0]) - d.offset(i, s)) > 1.8)[close].all()


def test_mobil_overtakes_a_slow_vehicle_only_where_there_is_room() -> None:
    def changes(blocked: bool) -> int:
        t = road(lanes=2)
        i = t.add(Actor("fast", CAR, 0, 0.0, 25.0, Driver(mobil=True, polite=0.3)))
        t.add(Actor("slow", CAR, 0, 80.0, 14.0, Driver(factor=14.0 / 30.0)))
        if blocked:
            for k in range(14):
                who = Driver(factor=22.0 / 30.0, cooperate=0.0)
                t.add(Actor(f"n{k}", CAR, 1, -60.0 + 19.0 * k, 22.0, who))
        return int(t.run(0.0, 8.0).moves[i])

    assert changes(blocked=False) == 1
    assert changes(blocked=True) == 0


def test_parked_vehicle_is_passed_by_moving_over_and_coming_back() -> None:
    t = road()
    parked = t.add(Actor("parked", CAR, 0, 200.0, 0.0, bias=-2.2, mode=PARKED))
    tasks = (Task(0, 1.0, begin=120.0, by=160.0, length=35.0), Task(0, 0.0, begin=206.0, length=35.0))
    i = t.add(Actor("car", CAR, 0, 0.0, 12.0, Driver(factor=0.45), tasks=tasks))
    d = t.run(0.0, 30.0)
    assert d.log[parked, :, 1].max() == 0.0
    offset = d.offset(i, d.log[i, :, 0])
    beside = np.abs(d.log[i, :, 0] - 200.0) < 4.5
    assert offset[beside] == pytest.approx(1.0)
    assert offset[-1] == pytest.approx(0.0, abs=1e-9)
    assert d.log[i, :, 1].min() > 8.0


def test_red_light_is_kept_and_a_late_yellow_is_passed() -> None:
    def cross(distance: float) -> Drive:
        t = road(lanes=1)
        t.gates.append(Gate(0, 200.0, signal=0))
        t.add(Actor("car", CAR, 0, 200.0 - distance - 3.51, 13.0, Driver(factor=13.0 / 30.0)))
        states = np.full((1, 401), 3, dtype=np.uint8)
        states[0, :60] = 2  # three seconds of yellow, then red
        return t.run(0.0, 20.0, states)

    far = cross(60.0).log[0]
    assert far[-1, 1] < 0.05
    assert 196.0 < far[-1, 0] + 3.51 < 200.0
    near = cross(15.0).log[0]
    assert near[:, 1].min() > 12.0


def test_who_gives_way_waits_until_the_other_has_passed() -> None:
    t = Traffic()
    t.add_frame(chain([(200.0, 0.0, 0.0)]))
    t.add_frame(chain([(200.0, 0.0, 0.0)]).moved((100.0, -100.0, np.pi / 2)))
    for f in (0, 1):
        t.add_lane(TrafficLane(f, Profile.of(0.0), 14.0))
    gate = give_way(project(t.frames), 0, {1: 18.0}, (60.0, 140.0), 2.3, 3.0)
    assert gate is not None
    assert 93.0 < gate.station < 96.0
    assert gate.zones[0].enter == pytest.approx(98.0, abs=1.0)
    t.gates.append(gate)
    a = t.add(Actor("minor", CAR, 0, 40.0, 10.0))
    b = t.add(Actor("major", CAR, 1, 38.0, 12.0))
    d = t.run(0.0, 15.0)
    at = [int(np.argmax(d.log[i, :, 0] > 100.0)) for i in (a, b)]
    assert at[1] < at[0]
    assert d.log[b, : at[1], 1].min() > 11.0
    assert d.log[a, -1, 0] > 105.0


def test_states_agree_with_the_path_that_is_driven() -> None:
    t = road(lanes=2, curvature=0.005)
    i = t.add(Actor("car", CAR, 0, 0.0, 15.0, Driver(factor=0.5), tasks=(Task(1, begin=60.0),)))
    d = t.run(0.0, 15.0)
    x = d.rear_states(i)
    step = np.hypot(*np.diff(x[:, :2], axis=0).T) / 0.1
    assert step == pytest.approx(0.5 * (x[1:, 3] + x[:-1, 3]), abs=0.03)
    turn = np.diff(np.unwrap(x[:, 2])) / 0.1
    assert turn == pytest.approx(0.5 * (x[1:, 6] + x[:-1, 6]), abs=0.01)


def test_drivers_and_bodies_differ_within_human_bounds() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    drivers = [draw_driver(rng) for _ in range(300)]
    headways = np.array([x.headway for x in drivers])
    assert 1.0 <= headways.min() < 1.15
    assert 1.85 < headways.max() <= 2.0
    assert len({x.factor for x in drivers}) == 300
    bodies = [draw_body(rng) for _ in range(300)]
    kinds = {b.kind for b in bodies}
    assert {AgentKind.VEHICLE, AgentKind.TRUCK, AgentKind.BUS} <= kinds
    assert all(3.5 < b.length < 13.0 and 1.6 < b.width < 2.6 for b in bodies)
