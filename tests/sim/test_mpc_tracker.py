"""The tracker by model predictive control: its model, its programme, and how it drives."""

from __future__ import annotations

import math
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

import drive
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.sim.mpc_tracker import NU, STEER, MPCTracker, TrackerMPC, reference
from drive.sim.trackers import LQRTracker, make_tracker
from drive.sim.vehicles import bicycle_step
from drive.trajectory import Trajectory
from drive.vehicle import VehicleParams

VEHICLE = VehicleParams()


def circle(radius=40.0, speed=8.0, duration=8.0, accelerated=0.0):
    """A plan that begins at the origin to the east and turns left, and its distances."""
    t = 0.1 * np.arange(round(duration / 0.1) + 1)
    s = speed * t + 0.5 * accelerated * t * t
    poses = np.column_stack((radius * np.sin(s / radius), radius * (1.0 - np.cos(s / radius)), s / radius))
    return Trajectory.from_poses(t, poses)


def followed(tracker, plan, state, seconds, vehicle=VEHICLE):
    """States and commands of one vehicle that follows one plan."""
    states, commands = [state], []
    for k in range(round(seconds / 0.1)):
        commands.append(tracker.track(plan, 0.1 * k, states[-1], vehicle))
        states.append(bicycle_step(states[-1], *commands[-1], vehicle, 0.1)[0])
    return np.array(states), np.array(commands)


def on_circle(radius=40.0, speed=8.0, aside=0.0):
    angle = math.atan(VEHICLE.wheelbase / radius)
    return np.array([0.0, aside, 0.0, speed, 0.0, angle, speed / radius])


def test_predictions_are_the_loops_own_bicycle_near_the_plan():
    # Small random commands about the plan: what the linear model foresees against the nonlinear vehicle.
    tracker, plan = MPCTracker(), circle()
    rng = np.random.default_rng(3)
    state = on_circle(aside=0.05)
    pose, speed, curvature = reference(plan, 0.0, 0.1, 20, VEHICLE)
    free, reach = tracker._predicted(tracker._errors(state, pose), speed, curvature, VEHICLE)
    moves = np.column_stack((rng.normal(0.0, 0.3, 20), rng.normal(0.0, 0.02, 20)))
    told = free + reach @ moves.ravel()
    for k in range(20):
        state = bicycle_step(state, *moves[k], VEHICLE, 0.1)[0]
        ref = reference(plan, 0.1 * (k + 1), 0.1, 20, VEHICLE)[0]
        np.testing.assert_allclose(told[k], tracker._errors(state, ref), atol=0.02)


def test_the_programme_is_that_of_an_interior_point():
    # Far off the plan, so that bounds bind; written out in cvxpy from the same weights, solved by Clarabel.
    settings = TrackerMPC()
    tracker, plan, n = MPCTracker(settings), circle(), settings.steps
    tight = replace(VEHICLE, max_acceleration=0.8, max_steering_rate=0.05, max_steering=0.1)
    state = np.array([-1.0, 2.0, 0.1, 5.0, 0.5, 0.05, 0.0])
    pose, speed, curvature = reference(plan, 0.0, 0.1, n, tight)
    first = tracker._errors(state, pose)
    form, linear, low, high = tracker._programme(first, speed, curvature, tight)
    ours = tracker._run(form, linear, low, high, tight)

    free, reach = tracker._predicted(first, speed, curvature, tight)
    u = cp.Variable(NU * n)
    e = [free[k] + reach[k] @ u for k in range(n)]
    before = [first[4], *(x[4] for x in e[:-1])]
    cost = sum(
        settings.along * cp.square(x[0])
        + settings.aside * cp.square(x[1])
        + settings.heading * cp.square(x[2])
        + settings.speed * cp.square(x[3] - speed[k + 1])
        + settings.acceleration * cp.square(x[4] - (speed[k + 1] - speed[k]) / 0.1)
        + settings.jerk * cp.square((x[4] - before[k]) / 0.1)
        + settings.steering_rate * cp.square(u[2 * k + 1])
        for k, x in enumerate(e)
    )
    rules = [cp.abs(x[5]) <= 0.1 for x in e]
    rules += [u[0::2] <= 0.8, u[0::2] >= -tight.max_braking, cp.abs(u[1::2]) <= 0.05]
    cp.Problem(cp.Minimize(cost + 5e-7 * cp.sum_squares(u)), rules).solve(solver="CLARABEL")
    np.testing.assert_allclose(ours, u.value, atol=2e-3)
    assert np.isclose(ours[STEER::NU], -0.05, atol=1e-4).any() or np.isclose(ours[::NU], 0.8, atol=1e-4).any()


def test_it_drives_a_bend_and_comes_back_to_the_line():
    states, commands = followed(MPCTracker(), circle(), on_circle(aside=0.5), 7.0)
    off = np.hypot(states[:, 0], states[:, 1] - 40.0) - 40.0
    assert abs(off[-1]) < 0.05
    assert abs(states[-1, 3] - 8.0) < 0.05
    # It starts 0.5 m inside and hardly goes beyond the line.
    assert off.max() < 0.1
    assert off.min() > -0.51
    assert np.abs(commands[:, 0]).max() < 1.0


def test_it_makes_up_for_a_late_start_where_the_lqr_does_not():
    # A metre behind the plan: the LQR tracker looks at speeds only and stays behind.
    late = on_circle()
    late[0] -= 1.0
    behind = []
    for tracker in (MPCTracker(), LQRTracker()):
        states, _ = followed(tracker, circle(), late, 7.0)
        driven = 40.0 * np.unwrap(np.arctan2(states[:, 0], 40.0 - states[:, 1]))[-1]
        behind.append(8.0 * 7.0 - driven)
    assert abs(behind[0]) < 0.2
    assert behind[1] > 0.5


def test_it_keeps_the_vehicles_limits_and_stops():
    t = 0.1 * np.arange(81)
    stop = Trajectory.from_poses(t, np.zeros((81, 3)))
    state = np.array([0.0, 0.0, 0.0, 15.0, 0.0, 0.0, 0.0])
    states, commands = followed(MPCTracker(), stop, state, 8.0)
    assert commands[:, 0].min() >= -VEHICLE.max_braking - 1e-9
    assert commands[:5, 0].max() < -6.0
    assert abs(states[-1, 3]) < 0.05
    assert states[:, 3].min() > -0.3
    fast = Trajectory.from_poses(t, np.column_stack((40.0 * t, 0.0 * t, 0.0 * t)))
    _, commands = followed(MPCTracker(), fast, np.zeros(7), 1.0)
    assert commands[:, 0].max() <= VEHICLE.max_acceleration + 1e-9


def test_short_plans_and_the_time_past_their_end():
    tracker = MPCTracker()
    one = Trajectory.from_poses(np.array([0.0]), np.zeros((1, 3)))
    assert tracker.track(one, 0.0, on_circle(), VEHICLE) == (-80.0, 0.0)
    two = Trajectory.from_poses(np.array([0.0, 0.1]), np.array([[0.0, 0.0, 0.0], [0.8, 0.0, 0.0]]))
    for time in (0.0, 0.1, 3.0):
        a, rate = tracker.track(two, time, np.array([8.0 * min(time, 0.1), 0, 0, 8.0, 0, 0, 0]), VEHICLE)
        assert abs(a) < 0.05
        assert abs(rate) < 1e-3


def test_a_plan_to_beyond_any_place_is_told_of_and_not_driven():
    t = 0.1 * np.arange(41)
    far = Trajectory.from_poses(t, np.column_stack((1e200 * t, 0.0 * t, 0.0 * t)))
    assert np.isnan(MPCTracker().track(far, 0.0, on_circle(), VEHICLE)).all()
    lost = on_circle()
    lost[0] = np.nan
    assert np.isnan(MPCTracker().track(circle(), 0.0, lost, VEHICLE)).all()


def test_plans_turned_and_moved_give_the_same_commands():
    plan, state = circle(accelerated=0.5), on_circle(aside=0.2)
    c, s = math.cos(2.5), math.sin(2.5)
    turn = np.array([[c, -s], [s, c]])
    poses = plan.states[:, :3].copy()
    poses[:, :2] = poses[:, :2] @ turn.T + [300.0, -70.0]
    poses[:, 2] += 2.5
    other = state.copy()
    other[:2], other[2] = turn @ state[:2] + [300.0, -70.0], state[2] + 2.5
    moved = Trajectory.from_poses(plan.times, poses)
    one = MPCTracker().track(plan, 0.3, state, VEHICLE)
    np.testing.assert_allclose(MPCTracker().track(moved, 0.3, other, VEHICLE), one, atol=1e-6)


def test_settings_that_cannot_be():
    for bad in ({"dt": 0.0}, {"steps": 1}, {"aside": -1.0}, {"jerk": 0.0}, {"speed": math.inf}):
        with pytest.raises(InputError):
            TrackerMPC(**bad)
    with pytest.raises(UnknownNameError, match="mpc"):
        make_tracker("mpx", 0.1)


def test_it_is_chosen_in_the_closed_loop_on_roads():
    scene = drive.load_scenario("gen/lane_follow_curved/0")
    usual, lqr, mpc, again = (
        drive.run("pdm", scene, **how)
        for how in ({}, {"tracker": "lqr"}, {"tracker": "mpc"}, {"tracker": "mpc"})
    )
    np.testing.assert_array_equal(usual.ego, lqr.ego)
    np.testing.assert_array_equal(mpc.ego, again.ego)
    assert np.abs(mpc.ego[-1, :2] - lqr.ego[-1, :2]).max() > 1e-3
    assert mpc.header["tracker"] == "mpc"
    assert usual.header["tracker"] == "lqr"
    # A plan with controls of its own is driven by these, whatever the tracker.
    one, other = (drive.run("mpc", scene, tracker=name) for name in ("lqr", "mpc"))
    np.testing.assert_array_equal(one.ego, other.ego)
    with pytest.raises(UnknownNameError):
        drive.run("pdm", scene, tracker="pid")
    with pytest.raises(InputError, match="closed loop"):
        drive.run("pdm", scene, tracker="mpc", mode="open")
    with pytest.raises(ScenarioError, match="tracker of its own"):
        drive.run("rover", "gen/lunar_reference/0", tracker="mpc")


def test_speeds_are_those_of_the_poses():
    _, speed, curvature = reference(circle(accelerated=1.0), 1.0, 0.1, 20, VEHICLE)
    np.testing.assert_allclose(speed, 8.0 + 0.1 * np.arange(10, 31), atol=0.06)
    np.testing.assert_allclose(curvature, 1.0 / 40.0, atol=1e-4)
