"""Trajectories: interpolation across the wrap, ends, rigid motions, curvature, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.trajectory import Trajectory
from drive.vehicle import ACCELERATION, HEADING, SPEED, YAW_RATE


def circle(speed=8.0, radius=20.0, dt=0.1, n=41, start=0.0):
    """Driving counter-clockwise at constant speed."""
    t = dt * np.arange(n)
    phi = start + speed * t / radius
    poses = np.stack((radius * np.sin(phi), -radius * np.cos(phi), wrap_angle(phi)), -1)
    return Trajectory.from_poses(t, poses)


def test_speed_acceleration_and_yaw_rate_follow_from_poses():
    c = circle(start=2.0)  # the heading passes pi on the way
    assert c.states[1:-1, SPEED] == pytest.approx(np.full(39, 8.0), rel=1e-3)
    assert c.states[2:-2, ACCELERATION] == pytest.approx(np.zeros(37), abs=1e-3)
    assert c.states[:, YAW_RATE] == pytest.approx(np.full(41, 0.4), rel=1e-6)
    assert c.curvature == pytest.approx(np.full(41, 1 / 20), rel=1e-3)
    assert c.duration == pytest.approx(4.0)


def test_reverse_driving_has_negative_speed():
    back = Trajectory.from_poses([0, 1, 2], [[0, 0, 0], [-2, 0, 0], [-4, 0, 0]])
    assert back.states[:, SPEED].tolist() == [-2, -2, -2]


def test_headings_turn_the_short_way_across_pi():
    t = Trajectory.from_poses([0.0, 1.0], [[0, 0, 3.0], [1, 0, -3.0]])
    half = t.at(0.5)
    assert abs(half[HEADING]) == pytest.approx(np.pi)
    assert t.at([0.25, 0.75])[:, HEADING] == pytest.approx(
        [3.0 + (2 * np.pi - 6) / 4, -3.0 - (2 * np.pi - 6) / 4]
    )


def test_states_are_held_outside_and_exact_at_samples():
    c = circle()
    assert np.array_equal(c.at(-5.0), c.states[0])
    assert np.array_equal(c.at(99.0), c.states[-1])
    assert c.at(c.times) == pytest.approx(c.states)
    assert c.at(np.zeros((2, 3))).shape == (2, 3, 7)


def test_one_state_is_held_for_ever():
    one = Trajectory.from_poses([2.0], [[1.0, 2.0, 3.0]], 4.0)
    assert one.at([0.0, 2.0, 9.0])[:, :4].tolist() == [[1, 2, 3, 4]] * 3
    assert one.curvature.tolist() == [0.0]
    assert len(one.resample(0.1)) == 1
    assert len(one.resample(0.1, 1.0)) == 11


@settings(max_examples=50)
@given(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-7, 7)), st.floats(0, 4))
def test_interpolation_commutes_with_rigid_motion(frame, time):
    c = circle()
    moved = c.transform_to(frame)
    a, b = moved.at(time), c.transform_from(frame).transform_to(frame).at(time)
    assert b[:2] == pytest.approx(c.at(time)[:2], abs=1e-9)
    assert np.hypot(*(moved.at(time)[:2] - moved.states[0, :2])) == pytest.approx(
        np.hypot(*(c.at(time)[:2] - c.states[0, :2])), abs=1e-9
    )
    assert a[3:] == pytest.approx(b[3:])
    assert moved.curvature == pytest.approx(c.curvature, abs=1e-9)


def test_resampling_meets_the_given_clock():
    c = circle().resample(0.05)
    assert c.times[:3] == pytest.approx([0.0, 0.05, 0.1])
    assert len(c) == 81
    assert circle().resample(0.5, 1.2).times == pytest.approx([0.0, 0.5, 1.0])
    for bad in (0.0, -0.1, np.nan):
        with pytest.raises(InputError, match="resample"):
            circle().resample(bad)


def test_standing_has_no_curvature():
    poses = np.concatenate((np.zeros((5, 3)), circle().states[:20, :3] + [0, 20, 0]))
    kappa = Trajectory.from_poses(0.1 * np.arange(25), poses).curvature
    assert kappa[1:6].tolist() == [0.0] * 5
    assert kappa[8:] == pytest.approx(np.full(17, 0.05), rel=1e-3)


@pytest.mark.parametrize(
    ("times", "states", "message"),
    [
        ([0, 1], np.zeros((3, 7)), "times"),
        ([], np.zeros((0, 7)), "times"),
        ([0, 1], np.zeros((2, 5)), "state columns"),
        ([0, 0], np.zeros((2, 7)), "increase"),
        ([0, np.nan], np.zeros((2, 7)), "increase"),
        ([0, np.inf], np.zeros((2, 7)), "finite"),
        ([np.nan], np.zeros((1, 7)), "finite"),
    ],
)
def test_impossible_trajectories_are_refused(times, states, message):
    with pytest.raises(InputError, match=message):
        Trajectory(np.asarray(times, dtype=float), states)
