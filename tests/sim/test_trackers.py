"""The LQR tracker and the bicycle against the published formulation written out with dense matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drive.errors import InputError, PlanError
from drive.planner import Control, ControlKind
from drive.sim.kernels.lqr import fit_profiles, lqr_settings, speed_factor
from drive.sim.kernels.reference_rollout import commands, difference_matrix, profiles, step
from drive.sim.trackers import LQRTracker
from drive.sim.vehicles import apply_control, bicycle_step, control_commands
from drive.trajectory import Trajectory
from drive.vehicle import VehicleParams

VEHICLE = VehicleParams()


def winding(samples=81, still=False, seed=0):
    """Poses `(T, 3)` of a drive with changing speed and curvature, its headings crossing pi."""
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(samples)
    v = np.zeros(samples) if still else 6.0 + 3.0 * np.sin(0.7 * t)
    h = 3.0 + 0.4 * np.sin(0.9 * t) + rng.normal(0.0, 0.004, samples)
    xy = np.cumsum(np.stack((v * np.cos(h), v * np.sin(h)), -1), 0) * 0.1
    return np.column_stack((xy, (h + np.pi) % (2 * np.pi) - np.pi))


def fitted(poses, compat, dtype=np.float64):
    count = len(poses) - 1
    speed, curvature = np.empty(4 * count, dtype), np.empty(count, dtype)
    factor = speed_factor(count, 0.1, compat, np.dtype(dtype).char)
    fit_profiles(poses[None].astype(dtype), 0, factor, lqr_settings(VEHICLE, 0.1, dtype), speed, curvature)
    return speed[:count], curvature


@pytest.mark.parametrize("compat", ["fixed", "reference"])
@pytest.mark.parametrize("samples", [3, 4, 5, 11, 41, 81])
@pytest.mark.parametrize("still", [False, True])
def test_profiles_equal_the_dense_least_squares(compat, samples, still):
    poses = winding(samples, still)
    for ours, theirs in zip(fitted(poses, compat), profiles(poses, 0.1, compat), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)
    for ours, theirs in zip(fitted(poses, compat, np.float32), profiles(poses, 0.1, compat), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=3e-5)


def test_released_difference_matrix_has_the_slice_fault():
    # The second slice assignment leaves only the last one of the first: worked out by hand for 3 rows.
    assert difference_matrix(3, "fixed").tolist() == [[-1, 1, 0, 0], [0, -1, 1, 0], [0, 0, -1, 1]]
    assert difference_matrix(3, "reference").tolist() == [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1]]


def test_the_two_variants_differ():
    poses = winding()
    assert np.abs(fitted(poses, "fixed")[0] - fitted(poses, "reference")[0]).max() > 1e-3


def test_fit_recovers_constant_speed_and_curvature():
    # On a circle of 50 m at 10 m/s every displacement is v dt along the heading, up to the chord's angle.
    t = 0.1 * np.arange(61)
    h = 10.0 / 50.0 * t
    heading = h[:-1]
    xy = np.concatenate((np.zeros((1, 2)), np.cumsum(np.stack((np.cos(heading), np.sin(heading)), -1), 0)))
    speed, curvature = fitted(np.column_stack((xy, h)), "fixed")
    np.testing.assert_allclose(speed, 10.0, atol=1e-9)
    np.testing.assert_allclose(curvature, 1.0 / 50.0, atol=1e-9)


def dense_commands(poses, time, state, compat):
    """The tracker as published: dense fits, interpolated profiles, products of 3 x 3 matrices."""
    speed, curvature = profiles(poses, 0.1, compat)
    times = 0.1 * np.arange(len(speed))
    target = np.interp(time + 1.0, times, speed)
    ahead = np.interp(time + 0.1 * np.arange(10), times, curvature)
    clock = 0.1 * np.arange(len(poses))
    h = np.interp(time, clock, np.unwrap(poses[:, 2]))
    pose = np.array([np.interp(time, clock, poses[:, 0]), np.interp(time, clock, poses[:, 1]), h])
    return commands(state, pose, float(target), ahead, VEHICLE, 0.1)


@pytest.mark.parametrize("compat", ["fixed", "reference"])
@pytest.mark.parametrize("time", [0.0, 0.1, 0.37, 3.0, 7.5, 8.0])
def test_tracker_equals_the_published_formulation(compat, time):
    poses = winding()
    trajectory = Trajectory.from_poses(5.0 + 0.1 * np.arange(81), poses)
    at = trajectory.at(5.0 + time)
    rng = np.random.default_rng(7)
    for _ in range(20):
        state = np.concatenate((at[:3] + rng.normal(0.0, [0.5, 0.5, 0.2]), rng.uniform(0.0, 12.0, 1),
                                rng.normal(0.0, [1.0, 0.2, 0.1])))  # fmt: skip
        ours = LQRTracker(compat=compat).track(trajectory, 5.0 + time, state, VEHICLE)
        np.testing.assert_allclose(ours, dense_commands(poses, time, state, compat), rtol=1e-8, atol=1e-8)


def test_stopping_controller():
    trajectory = Trajectory.from_poses(0.1 * np.arange(41), np.zeros((41, 3)))
    state = np.array([0.0, 0.3, 0.1, 0.15, 0.0, 0.1, 0.0])
    assert LQRTracker().track(trajectory, 0.0, state, VEHICLE) == (pytest.approx(-0.075), 0.0)
    state[3] = 0.25
    assert LQRTracker().track(trajectory, 0.0, state, VEHICLE)[0] == pytest.approx(-10.0 / 11.0 * 0.25)


def follow(trajectory, state, steps, compat="fixed"):
    tracker, out = LQRTracker(compat=compat), [state]
    for k in range(steps):
        command = tracker.track(trajectory, trajectory.times[0] + 0.1 * k, state, VEHICLE)
        state, _ = bicycle_step(state, *command, VEHICLE, 0.1)
        out.append(state)
    return np.array(out)


@pytest.mark.parametrize("heading", [0.0, 2.0, math.pi, -1.2])
def test_straight_line_at_constant_speed_is_held(heading):
    t = 0.1 * np.arange(101)
    poses = np.column_stack((8.0 * t * np.cos(heading), 8.0 * t * np.sin(heading), np.full(101, heading)))
    states = follow(Trajectory.from_poses(t, poses), np.array([0.0, 0.0, heading, 8.0, 0.0, 0.0, 0.0]), 100)
    assert np.hypot(*(states[:, :2] - poses[:, :2]).T).max() < 1e-3


def test_lateral_offset_is_removed():
    t = 0.1 * np.arange(151)
    trajectory = Trajectory.from_poses(t, np.column_stack((8.0 * t, np.zeros(151), np.zeros(151))))
    states = follow(trajectory, np.array([0.0, 1.0, 0.0, 8.0, 0.0, 0.0, 0.0]), 100)
    assert abs(states[-1, 1]) < 0.05
    assert np.abs(states[:, 1]).max() < 1.05


def test_commands_turn_with_the_scene():
    poses = winding()
    state = np.array([poses[0, 0] - 0.4, poses[0, 1] + 0.3, 3.1, 5.0, 0.3, 0.02, 0.0])
    base = LQRTracker().track(Trajectory.from_poses(0.1 * np.arange(81), poses), 0.0, state, VEHICLE)
    c, s = math.cos(1.9), math.sin(1.9)
    turn = np.array([[c, -s], [s, c]])
    moved, other = poses.copy(), state.copy()
    moved[:, :2], other[:2] = poses[:, :2] @ turn.T + [40.0, -9.0], turn @ state[:2] + [40.0, -9.0]
    moved[:, 2] += 1.9
    other[2] += 1.9 - 2 * math.pi
    turned = LQRTracker().track(Trajectory.from_poses(0.1 * np.arange(81), moved), 0.0, other, VEHICLE)
    np.testing.assert_allclose(base, turned, atol=1e-9)


def test_coarse_short_and_single_plans():
    state = np.array([0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0])
    coarse = Trajectory.from_poses([0.0, 4.0], [[0.0, 0.0, 0.0], [20.0, 0.0, 0.0]])
    np.testing.assert_allclose(LQRTracker().track(coarse, 0.0, state, VEHICLE), (0.0, 0.0), atol=1e-9)
    short = Trajectory.from_poses([0.0, 0.1], [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    np.testing.assert_allclose(LQRTracker().track(short, 0.0, state, VEHICLE), (0.0, 0.0), atol=1e-9)
    single = Trajectory(np.zeros(1), state[None])
    assert LQRTracker().track(single, 0.0, state, VEHICLE)[0] < 0.0


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="compat"):
        LQRTracker(compat="published")
    with pytest.raises(InputError, match="positive"):
        LQRTracker(dt=0.0)


def test_bicycle_step_by_hand():
    # a' = 0.4 + (0.1 / 0.3) (1.0 - 0.4) = 0.6; steering' = 0.1 + (0.1 / 0.15) 0.02 = 0.11333...
    state = np.array([1.0, 2.0, math.pi / 2.0, 5.0, 0.4, 0.1, 0.15])
    new, yaw_acceleration = bicycle_step(state, 1.0, 0.2, VEHICLE, 0.1)
    steering = 0.1 + 0.02 / 1.5
    yaw_rate = 5.06 * math.tan(steering) / 3.089
    want = [1.0, 2.5, math.pi / 2.0 + 0.5 * math.tan(0.1) / 3.089, 5.06, 0.6, steering, yaw_rate]
    np.testing.assert_allclose(new, want, rtol=1e-12, atol=1e-12)
    assert yaw_acceleration == pytest.approx((yaw_rate - 0.15) / 0.1)


def test_bicycle_equals_the_reference_and_wraps_its_heading():
    rng = np.random.default_rng(11)
    for _ in range(200):
        state = rng.normal(0.0, [50, 50, 3, 8, 2, 0.4, 0.3])
        command = rng.normal(0.0, [3.0, 3.0])
        new, _ = bicycle_step(state, *command, VEHICLE, 0.1)
        np.testing.assert_allclose(new, step(state, *command, VEHICLE, 0.1), rtol=1e-12, atol=1e-12)
        assert -math.pi < new[2] <= math.pi


def test_direct_control_reaches_its_angle_within_limits():
    state = np.array([0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0])
    control = Control(ControlKind.ACCELERATION_STEERING, np.array([[1.0, 0.1], [20.0, 2.0]]), 0.1)
    new, _ = apply_control(state, control, 0.0, VEHICLE, 0.1)
    assert new[5] == pytest.approx(0.1)
    later, _ = apply_control(new, control, 0.1, VEHICLE, 0.1)
    assert later[5] == pytest.approx(0.1 + VEHICLE.max_steering_rate * 0.1)
    assert control_commands(new, 20.0, 0.1, VEHICLE, 0.1)[0] == VEHICLE.max_acceleration
    assert control_commands(new, -20.0, 0.1, VEHICLE, 0.1)[0] == -VEHICLE.max_braking
    pedals = Control(ControlKind.PEDALS, np.zeros((1, 3)), 0.1)
    with pytest.raises(PlanError, match="pedals"):
        apply_control(state, pedals, 0.0, VEHICLE, 0.1)


@pytest.mark.parametrize("state", [[0, 0, 0, 1e308, 0, 1.0, 0], [0, 0, np.nan, 5, 0, 0.1, 0]])
def test_a_step_beyond_all_numbers_is_told_by_its_state_and_does_not_raise(state):
    new, _ = bicycle_step(np.array(state, dtype=float), 0.0, 0.0, VEHICLE, 10.0)
    assert not np.isfinite(new.sum())
