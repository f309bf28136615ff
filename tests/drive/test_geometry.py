"""Plane geometry: conventions, and agreement with shapely and with hand-computed cases."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.errors import InputError
from drive.geometry import (
    arc_length,
    box_corners,
    boxes_overlap,
    from_frame,
    points_in_polygon,
    polygon_area,
    polyline_curvature,
    polyline_heading,
    project_to_polyline,
    remove_duplicates,
    resample_polyline,
    rotate,
    to_frame,
    wrap_angle,
)

seeds = st.integers(0, 2**32 - 1)
coordinate = st.floats(-500.0, 500.0)
angle = st.floats(-20.0, 20.0)
pose = st.tuples(coordinate, coordinate, angle)


def smooth_line(rng: np.random.Generator, points: int = 60, step: float = 1.0) -> np.ndarray:
    """A line of bounded curvature: kinks of at most 0.05 rad between steps of one metre."""
    kinks = np.convolve(rng.uniform(-0.05, 0.05, points + 4), np.ones(5) / 5, "valid")
    heading = rng.uniform(-np.pi, np.pi) + np.cumsum(kinks)
    return np.cumsum(step * np.stack((np.cos(heading), np.sin(heading)), -1), axis=0) + rng.uniform(
        -99, 99, 2
    )


def test_angles_wrap_to_the_half_open_turn_that_keeps_plus_pi():
    assert wrap_angle(np.pi) == np.pi
    assert wrap_angle(-np.pi) == np.pi
    assert wrap_angle(3 * np.pi) == pytest.approx(np.pi)
    assert wrap_angle(-0.25) == -0.25
    assert wrap_angle([[4.0], [-4.0]]) == pytest.approx(np.array([[-2.2831853], [2.2831853]]))
    inside = np.random.default_rng(1).uniform(-3.14, 3.14, 1000)
    assert np.array_equal(wrap_angle(inside), inside)


@given(st.floats(-1e4, 1e4))
def test_wrapped_angles_are_in_range_and_point_the_same_way(a):
    w = float(wrap_angle(a))
    assert -np.pi < w <= np.pi
    assert np.exp(1j * w) == pytest.approx(np.exp(1j * a), abs=1e-8)


@pytest.mark.parametrize("turns", range(-3, 4))
@pytest.mark.parametrize("nudge", [-np.inf, np.inf])
def test_wrapping_next_to_odd_multiples_of_pi_never_gives_minus_pi(turns, nudge):
    for base in (np.pi, -np.pi):
        w = float(wrap_angle(np.nextafter(base + turns * 2 * np.pi, nudge)))
        assert -np.pi < w <= np.pi


def test_axes_are_x_forward_y_left_and_angles_counter_clockwise():
    assert rotate([1.0, 0.0], np.pi / 2) == pytest.approx([0.0, 1.0])
    # Someone at (10, 0) facing north sees a point further east on the right: y negative.
    assert to_frame([12.0, 0.0], [10.0, 0.0, np.pi / 2]) == pytest.approx([0.0, -2.0])
    assert from_frame([1.0, 2.0, 0.5], [10.0, 0.0, np.pi / 2]) == pytest.approx([8.0, 1.0, np.pi / 2 + 0.5])


@given(pose, pose)
def test_frames_invert_each_other(p, frame):
    there = to_frame(from_frame(p, frame), frame)
    assert there[:2] == pytest.approx(p[:2], abs=1e-9)
    assert wrap_angle(there[2] - p[2]) == pytest.approx(0.0, abs=1e-9)


def test_box_corners_run_counter_clockwise_from_the_front_left():
    corners = box_corners([10.0, 5.0], 0.0, 4.0, 2.0)
    assert corners.tolist() == [[12, 6], [8, 6], [8, 4], [12, 4]]
    assert polygon_area(corners) == 8.0
    turned = box_corners([0.0, 0.0], np.pi / 2, 4.0, 2.0)
    assert turned == pytest.approx(np.array([[-1, 2], [-1, -2], [1, -2], [1, 2]]))
    assert box_corners(np.zeros((3, 5, 2)), np.zeros((3, 5)), np.ones((3, 1)), 1.0).shape == (3, 5, 4, 2)


def test_overlap_of_boxes_is_that_of_shapely():
    rng = np.random.default_rng(5)
    n = 20_000
    boxes = [
        box_corners(
            rng.uniform(-4, 4, (n, 2)), rng.uniform(-4, 4, n), rng.uniform(0.3, 9, n), rng.uniform(0.2, 3, n)
        )
        for _ in range(2)
    ]
    a, b = (shapely.polygons(box) for box in boxes)
    overlap = boxes_overlap(*boxes)
    assert 0.2 < overlap.mean() < 0.8
    touching = np.abs(shapely.distance(shapely.boundary(a), shapely.boundary(b))) < 1e-9
    assert np.array_equal(overlap[~touching], shapely.intersects(a, b)[~touching])


def test_touching_boxes_overlap_and_boxes_broadcast():
    box = box_corners([0.0, 0.0], 0.0, 2.0, 2.0)
    others = box_corners([[2.0, 0.0], [2.0001, 0.0], [0.0, 0.0], [2.0, 2.0]], 0.0, 2.0, 2.0)
    assert boxes_overlap(box, others).tolist() == [True, False, True, True]
    assert boxes_overlap(box, box)
    assert boxes_overlap(others[:, None], others[None]).shape == (4, 4)


def test_points_in_polygon_is_that_of_shapely():
    rng = np.random.default_rng(6)
    t = np.sort(rng.uniform(0, 2 * np.pi, 40))
    ring = np.stack((np.cos(t), np.sin(t)), -1) * rng.uniform(2, 10, 40)[:, None]
    points = rng.uniform(-10, 10, (20_000, 2))
    assert np.array_equal(points_in_polygon(points, ring), shapely.contains_xy(shapely.Polygon(ring), points))
    assert points_in_polygon(points.reshape(100, 200, 2), ring).shape == (100, 200)


@pytest.mark.parametrize("radius", [5.0, -5.0, 80.0])
def test_curvature_heading_and_length_of_an_arc(radius):
    phi = np.linspace(0.0, 1.2, 400)
    arc = np.stack((abs(radius) * np.sin(phi), radius * (1 - np.cos(phi))), -1)
    assert polyline_curvature(arc) == pytest.approx(np.full(400, 1 / radius), rel=1e-4)
    assert polyline_heading(arc) == pytest.approx(np.sign(radius) * phi, abs=2e-3)
    assert arc_length(arc)[-1] == pytest.approx(1.2 * abs(radius), rel=1e-5)
    assert polyline_curvature(arc[:2]).tolist() == [0.0, 0.0]


def test_resampling_keeps_ends_length_and_other_columns():
    line = np.array([[0.0, 0.0, 1.0], [3.0, 0.0, 4.0], [3.0, 0.0, 4.0], [3.0, 4.0, 8.0]])
    out = resample_polyline(line, 0.5)
    assert len(out) == 15
    assert out[0].tolist() == line[0].tolist()
    assert out[-1].tolist() == line[-1].tolist()
    assert np.diff(arc_length(out)) == pytest.approx(np.full(14, 0.5))
    assert out[3] == pytest.approx([1.5, 0.0, 2.5])
    assert len(remove_duplicates(line)) == 3


BEND = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]  # a left turn by 90 degrees at (10, 0)


@pytest.mark.parametrize(
    ("point", "s", "d", "segment"),
    [
        ((4.0, 1.0), 4.0, 1.0, 0),  # left is positive
        ((4.0, -2.0), 4.0, -2.0, 0),
        ((-3.0, 1.0), -3.0, 1.0, 0),  # before the start: the first segment prolonged
        ((9.0, 14.0), 24.0, 1.0, 1),  # beyond the end: the last segment prolonged
        ((13.0, -4.0), 10.0, -5.0, 0),  # the outer wedge of the corner: 5 m from the vertex
        ((8.0, 9.0), 19.0, 2.0, 1),
        ((10.0, 0.0), 10.0, 0.0, 0),  # on the vertex
    ],
)
def test_projection_on_a_bend_by_hand(point, s, d, segment):
    got_s, got_d, got = project_to_polyline([point], BEND)
    assert (got_s[0], got_d[0], got[0]) == (pytest.approx(s), pytest.approx(d), segment)


def test_projection_beyond_a_sharp_corner_keeps_the_side():
    # A turn by 150 degrees to the left; straight on from the first segment lies right of the line.
    line = [[0.0, 0.0], [10.0, 0.0], [10.0 - 10 * np.cos(np.pi / 6), 5.0]]
    for bearing in np.radians([-85, -60, -15, 0, 30, 55]):
        point = np.array([10.0, 0.0]) + 2 * np.array([np.cos(bearing), np.sin(bearing)])
        s, d, _ = project_to_polyline([point], line)
        assert (s[0], d[0]) == (pytest.approx(10.0), pytest.approx(-2.0)), bearing


def test_projection_on_one_segment_and_with_repeated_vertices():
    for line in ([[0, 0], [2, 0]], [[0, 0], [0, 0], [2, 0], [2, 0]]):
        s, d, _ = project_to_polyline([[-5.0, 1.0], [1.0, -1.0], [9.0, 3.0]], line)
        assert s.tolist() == [-5.0, 1.0, 9.0]
        assert d.tolist() == [1.0, -1.0, 3.0]
    assert project_to_polyline([[1.0, 0.0]], [[0, 0], [0, 0], [2, 0]])[2].tolist() == [1]
    for line in ([[1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]):
        with pytest.raises(InputError, match="no length"):
            project_to_polyline([[0.0, 0.0]], line)


@settings(max_examples=40, deadline=None)
@given(seeds, pose)
def test_projection_is_shapelys_and_follows_rigid_motions_and_mirrors(seed, frame):
    rng = np.random.default_rng(seed)
    line = smooth_line(rng)
    points = line[rng.integers(0, len(line), 30)] + rng.normal(0, 6, (30, 2))
    s, d, k = project_to_polyline(points, line)
    between = (s >= 0) & (s <= arc_length(line)[-1])
    string = shapely.LineString(line)
    assert np.abs(d[between]) == pytest.approx(
        shapely.distance(string, shapely.points(points))[between], abs=1e-9
    )

    s2, d2, k2 = project_to_polyline(from_frame(points, frame), from_frame(line, frame))
    same = k == k2  # where two segments are equally near, rounding may choose the other
    assert same.mean() > 0.9
    assert s2[same] == pytest.approx(s[same], abs=1e-8)
    assert d2[same] == pytest.approx(d[same], abs=1e-8)

    mirror = np.array([1.0, -1.0])
    s3, d3, _ = project_to_polyline(points * mirror, line * mirror)
    assert s3 == pytest.approx(s, abs=1e-9)
    assert d3 == pytest.approx(-d, abs=1e-9)


def test_projection_in_blocks_is_that_of_single_points():
    rng = np.random.default_rng(9)
    line = smooth_line(rng, 2000)
    points = line[rng.integers(0, 2000, 700)] + rng.normal(0, 3, (700, 2))
    whole = project_to_polyline(points, line)
    for i in (0, 124, 125, 126, 699):
        for a, b in zip(project_to_polyline(points[i], line), whole, strict=True):
            assert a[0] == b[i]
