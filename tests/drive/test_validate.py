"""Annotation of plans: faults at times known by hand, and nothing else flagged."""

import numpy as np
import pytest

from drive.planner import Forecasts, Observation, Plan
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.scenario import Route, Task
from drive.terrain import Terrain
from drive.trajectory import Trajectory
from drive.validate import validate
from drive.vehicle import VehicleParams

# The box reaches from 1 m behind to 3 m in front of the rear axle and 1 m to each side.
VEHICLE = VehicleParams(length=4.0, width=2.0, wheelbase=2.5, rear_axle_to_center=1.0, max_steering=0.6)


def task(ground=None):
    """A road along x from -50 to 100, 10 m wide."""
    if ground is None:
        at = np.linspace(-50, 100, 16)
        builder = RoadMapBuilder()
        builder.add(LaneSpec("a", np.stack((at, at * 0 + 5), -1), np.stack((at, at * 0 - 5), -1)))
        ground = builder.build()
    return Task(ground, Route(), VEHICLE, 0.1, 10.0)


def seen(agents=(), forecasts=None, time=2.0, speed=10.0, valid=True):
    """An observation of agents given as (x, y, heading, vx, vy), each 4 m by 2 m."""
    a = np.array(agents, dtype=float).reshape(-1, 5)
    n = len(a)
    ego = np.array([0.0, 0, 0, speed, 0, 0, 0])
    return Observation(
        time=time,
        step=20,
        ego=ego,
        ego_history=ego[None],
        agents=a,
        agent_history=a[:, None],
        agent_history_valid=np.ones((n, 1), dtype=bool),
        agent_size=np.tile([4.0, 2.0, 1.5], (n, 1)),
        agent_kind=np.zeros(n, dtype=np.uint8),
        agent_id=np.arange(n),
        agent_valid=np.full(n, valid),
        existence=np.ones(n),
        covariance=np.zeros((n, 3, 3)),
        occlusion_edges=np.zeros((0, 2, 2)),
        signals=np.zeros(0, dtype=np.uint8),
        route_progress=np.full(2, np.nan),
        forecasts=forecasts,
    )


def going(x, y=0.0, heading=0.0, dt=0.1, start=2.0):
    """A plan through positions along time."""
    x = np.asarray(x, dtype=float)
    poses = np.stack(np.broadcast_arrays(x, y, heading), -1)
    return Plan(Trajectory.from_poses(start + dt * np.arange(len(x)), poses))


def steady(dt=0.1, speed=10.0, seconds=4.0):
    return going(speed * dt * np.arange(round(seconds / dt) + 1), dt=dt)


@pytest.mark.parametrize("dt", [0.05, 0.1, 0.5, 1.0])
def test_a_drivable_plan_on_a_free_road_is_not_touched(dt):
    plan = steady(dt)
    before = plan.trajectory.states.copy()
    report = validate(plan, seen(), task())
    assert report.ok
    assert report.violations == ()
    assert np.isinf([report.kinematic_time, report.collision_time, report.off_road_time]).all()
    assert np.array_equal(plan.trajectory.states, before)


def test_collision_with_a_standing_car_at_the_known_time():
    # Its rear is at 38 m; our front, 3 m ahead of the axle, gets there after 3.5 s.
    report = validate(steady(), seen([[40, 0, 0, 0, 0]]), task())
    assert report.collision_time == pytest.approx(3.5, abs=0.051)
    assert "another road user's box at 3.5" in report.violations[0]
    assert np.isinf(validate(steady(), seen([[40, 2.1, 0, 0, 0]]), task()).collision_time)
    assert np.isinf(validate(steady(), seen([[40, 0, 0, 0, 0]], valid=False), task()).collision_time)


def test_agents_move_on_at_their_velocity():
    # Rear at 18 m, 4 m/s: the gap of 15 m closes at 6 m/s in 2.5 s.
    assert validate(steady(), seen([[20, 0, 0, 4, 0]]), task()).collision_time == pytest.approx(
        2.5, abs=0.051
    )
    assert validate(steady(), seen([[20, 0, 0, 10, 0]]), task()).ok
    # One that drives north across: its front edge, 2 m ahead of its centre, comes to y = -1 at 1.7 s.
    crossing = [[18.5, -20, np.pi / 2, 0, 10]]
    assert validate(steady(), seen(crossing), task()).collision_time == pytest.approx(1.7, abs=0.051)


def test_forecasts_replace_constant_velocity_and_may_begin_later():
    times = 2.0 + np.array([1.0, 2.0, 3.0, 4.0])
    still, leaving = np.tile([40.0, 0, 0], (4, 1)), np.tile([40.0, 0, 0], (4, 1))
    leaving[:, 1] = [1, 2, 3, 4]  # out of the way by 3 m when we arrive
    mean = np.stack((still, leaving))[None]
    for probability, expected in (([0.9, 0.1], 3.5), ([0.1, 0.9], np.inf)):
        f = Forecasts(times, mean, np.zeros((1, 2, 4, 2, 2)), np.array([probability]))
        report = validate(steady(), seen([[40, 0, 0, 0, 0]], f), task())
        assert report.collision_time == pytest.approx(expected, abs=0.051)
    # Before the forecast's first time the agent moves there from where it is now.
    near = np.tile([100.0, 0, 0], (1, 1, 4, 1))
    f = Forecasts(times, near, np.zeros((1, 1, 4, 2, 2)), np.ones((1, 1)))
    assert validate(steady(), seen([[4, 0, 0, 0, 0]], f), task()).collision_time == 0.0


def test_leaving_the_road_at_the_known_time():
    # Sliding left at a heading of 0.1 rad from y = 0: the front left corner starts at 1.29 m.
    s = 10.0 * 0.1 * np.arange(41)
    plan = going(s * np.cos(0.1), s * np.sin(0.1), 0.1)
    left_corner = 3 * np.sin(0.1) + 1 * np.cos(0.1)
    expected = (5 - left_corner) / (10 * np.sin(0.1))
    report = validate(plan, seen(), task())
    assert report.off_road_time == pytest.approx(expected, abs=0.051)
    assert np.isinf(report.kinematic_time)


def arc(radius, speed=5.0):
    phi = speed / radius * 0.1 * np.arange(21)
    return going(radius * np.sin(phi), radius * (1 - np.cos(phi)), phi)


def test_turns_tighter_than_the_steering_allows():
    smallest = 2.5 / np.tan(0.6)  # wheelbase over the tangent of the largest steering angle: 3.65 m
    assert np.isinf(validate(arc(1.1 * smallest), seen(speed=5.0), task()).kinematic_time)
    assert validate(arc(0.8 * smallest), seen(speed=5.0), task()).kinematic_time == pytest.approx(0.1)


@pytest.mark.parametrize("dt", [0.05, 0.1, 0.5])
@pytest.mark.parametrize(("braking", "bad"), [(7.0, False), (11.0, False), (14.0, True)])
def test_braking_is_judged_alike_on_every_grid(dt, braking, bad):
    """The limit is 8 m/s^2 and half as much again passes."""
    t = dt * np.arange(round(1.0 / dt) + 1)
    report = validate(going(20 * t - 0.5 * braking * t**2, dt=dt), seen(speed=20.0), task())
    assert np.isfinite(report.kinematic_time) == bad


def test_a_jump_a_slide_and_a_rush_are_flagged_where_they_begin():
    x = 10 * 0.1 * np.arange(21)
    jump = np.where(np.arange(21) > 12, x + 3, x)
    assert validate(going(jump), seen(), task()).kinematic_time == pytest.approx(1.3)
    slide = np.where(np.arange(21) > 5, 0.3 * (np.arange(21) - 5), 0.0)
    assert validate(going(x, slide), seen(), task()).kinematic_time == pytest.approx(0.6)
    rush = going(6.0 * np.arange(15) - 45)  # 60 m/s, more than the vehicle's 50
    assert validate(rush, seen(speed=60.0), task()).kinematic_time == pytest.approx(0.1)
    assert np.isfinite(validate(going(3 * 0.1 * np.arange(31) ** 2), seen(), task()).kinematic_time)


def test_reversing_and_stopping_are_fine():
    t = 0.1 * np.arange(41)
    assert validate(going(-2 * t), seen(speed=-2.0), task()).ok
    stopping = np.where(t < 2, 8 * t - 2 * t**2, 8.0)
    assert validate(going(stopping), seen(speed=8.0), task()).ok
    assert validate(going(np.zeros(9)), seen(speed=0.0), task()).ok


def test_the_headings_wrap_is_no_turn():
    s = 0.5 * np.arange(21)
    heading = np.pi - 0.03 + s * 0.005
    x = np.concatenate(([0.0], np.cumsum(0.5 * np.cos(heading[:-1] + 0.00125))))
    y = np.concatenate(([0.0], np.cumsum(0.5 * np.sin(heading[:-1] + 0.00125))))
    wrapped = np.angle(np.exp(1j * heading))
    assert (np.diff(wrapped) < -6).any()
    assert validate(going(x, y, wrapped), seen(speed=5.0), task()).ok


def test_the_mirrored_scene_has_the_mirrored_report():
    a = validate(arc(12.0), seen([[12, 7, 0.5, -1, 0.3]]), task())
    mirrored = arc(12.0)
    mirrored.trajectory.states[:, [1, 2, 6]] *= -1
    b = validate(mirrored, seen([[12, -7, -0.5, -1, -0.3]]), task())
    assert (a.kinematic_time, a.collision_time, a.off_road_time) == (
        b.kinematic_time,
        b.collision_time,
        b.off_road_time,
    )
    assert np.isfinite(a.collision_time)
    assert np.isfinite(a.off_road_time)


def test_one_state_and_a_terrain_can_be_validated():
    one = Plan(Trajectory.from_poses([2.0], [[0.0, 0, 0]]))
    assert validate(one, seen(), task()).ok
    ground = Terrain(np.zeros((2, 2)), 1.0, 9.81, np.zeros(0), np.zeros((0, 2)), np.zeros(0))
    assert np.isinf(validate(steady(), seen(), task(ground)).off_road_time)
