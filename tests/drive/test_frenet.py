"""The Frenet frame: round trips within the stated domain, ends, poses on an arc."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.errors import InputError
from drive.geometry import from_frame, project_to_polyline
from drive.roadmap import FrenetFrame

seeds = st.integers(0, 2**32 - 1)


def random_line(rng, kink=0.02):
    heading = rng.uniform(-3, 3) + np.cumsum(
        np.convolve(rng.uniform(-kink, kink, 84), np.ones(5) / 5, "valid")
    )
    return np.cumsum(np.stack((np.cos(heading), np.sin(heading)), -1), axis=0)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_round_trip_from_positions(seed):
    rng = np.random.default_rng(seed)
    line = random_line(rng)
    frame = FrenetFrame.from_line(line)
    points = line[rng.integers(0, 80, 50)] + rng.uniform(-5, 5, (50, 2))
    frenet = frame.to_frenet(points)
    back = frame.to_cartesian(frenet)
    gap = np.hypot(*(back - points).T)
    on_vertex = np.abs(frenet[:, :1] - frame.station).min(1) < 1e-9
    assert gap[~on_vertex].max(initial=0.0) < 1e-9
    # In a vertex' outer wedge the point turns about the vertex by less than the kink there.
    assert (gap[on_vertex] <= 0.02 * np.abs(frenet[on_vertex, 1])).all()


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_round_trip_from_stations_below_the_radius_of_curvature(seed):
    rng = np.random.default_rng(seed)
    frame = FrenetFrame.from_line(random_line(rng))
    radius = 1.0 / 0.02
    # Away from the line's own far parts: half the radius, and inside, where no kink hides a segment's end.
    d = rng.uniform(-0.5 * radius, 0.5 * radius, 50) * 0.2
    k = rng.integers(0, len(frame.points) - 1, 50)
    s = frame.station[k] + rng.uniform(0.3, 0.7, 50)
    assert frame.to_frenet(frame.to_cartesian(np.stack((s, d), -1))) == pytest.approx(
        np.stack((s, d), -1), abs=1e-9
    )


@settings(max_examples=30, deadline=None)
@given(seeds, st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-4, 4)))
def test_frenet_coordinates_do_not_depend_on_the_pose_of_the_scene(seed, motion):
    rng = np.random.default_rng(seed)
    line = random_line(rng)
    frenet = np.stack((rng.uniform(-5, 85, 40), rng.uniform(-4, 4, 40)), -1)
    here = FrenetFrame.from_line(line).to_cartesian(frenet)
    there = FrenetFrame.from_line(from_frame(line, motion)).to_cartesian(frenet)
    assert there == pytest.approx(from_frame(here, motion), abs=1e-8)


def test_ends_are_prolonged_straight():
    frame = FrenetFrame.from_line([[0, 0], [10, 0], [10, 10]])
    assert frame.length == 20.0
    assert frame.to_cartesian([[-4.0, 1.0], [25.0, 2.0]]) == pytest.approx(
        np.array([[-4.0, 1.0], [8.0, 15.0]])
    )
    assert frame.to_frenet([[-4.0, 1.0], [8.0, 15.0]]) == pytest.approx(np.array([[-4.0, 1.0], [25.0, 2.0]]))


def test_poses_on_an_arc_have_its_heading_and_curvature():
    phi = np.linspace(0, 1.5, 600)
    frame = FrenetFrame.from_line(np.stack((40 * np.sin(phi), 40 * (1 - np.cos(phi))), -1))
    pose = frame.pose_at(40 * 0.7, 3.0)  # 3 m to the left: towards the centre of the circle at (0, 40)
    assert np.hypot(pose[0], pose[1] - 40) == pytest.approx(37.0, abs=1e-3)
    assert pose[2] == pytest.approx(0.7, abs=2e-3)
    assert frame.curvature_at([5.0, 20.0]) == pytest.approx([1 / 40, 1 / 40], rel=1e-3)
    assert frame.pose_at(np.zeros((2, 3))).shape == (2, 3, 3)


def test_heading_does_not_jump_where_the_line_crosses_pi():
    phi = np.linspace(2.5, 3.8, 50)
    line = np.stack((30 * np.sin(phi), -30 * np.cos(phi)), -1)
    h = FrenetFrame.from_line(line).pose_at(np.linspace(0, 38, 200))[:, 2]
    assert (np.abs(np.angle(np.exp(1j * np.diff(h)))) < 0.03).all()
    assert (-np.pi < h).all()
    assert (h <= np.pi).all()


@pytest.mark.parametrize("line", [[[0, 0]], [[1, 1], [1, 1]], [[0, 0], [np.nan, 1], [2, 2]]])
def test_lines_without_length_are_refused(line):
    with pytest.raises(InputError, match="reference line"):
        FrenetFrame.from_line(np.asarray(line, dtype=float))


def test_shapes_are_kept():
    frame = FrenetFrame.from_line([[0, 0], [5, 0]])
    points = np.random.default_rng(0).normal(size=(3, 4, 2))
    assert frame.to_frenet(points).shape == (3, 4, 2)
    assert frame.to_cartesian(frame.to_frenet(points)) == pytest.approx(points)
    assert project_to_polyline(points.reshape(-1, 2), frame.points)[0].shape == (12,)
