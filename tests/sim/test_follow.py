"""The kernels of following a path by themselves: projection, leaders, lights, bends, steering."""

from __future__ import annotations

import math
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from drive.geometry import box_corners, project_to_polyline
from drive.scenario import SignalState
from drive.sim.kernels.follow import find_leader, project, red_light_gap, steer
from drive.sim.kernels.layout import FREE_ROAD
from drive.sim.kernels.scalar import bicycle_step, sin_cos, small_arctan
from drive.sim.traffic.rows import allowed_speed, path_rows

CROWDS = run_path(str(Path(__file__).with_name("crowds.py")))
crowd_of = CROWDS["crowd_of"]

F = np.float32


def smooth_line(seed: int) -> np.ndarray:
    """Samples `(N, 5)` a metre apart of a random road with radii above 20 m."""
    rng = np.random.default_rng(seed)
    bends = np.repeat(rng.uniform(-0.05, 0.05, 8), 25)
    heading = np.cumsum(np.convolve(bends, np.ones(9) / 9.0, "same")) + rng.uniform(-3.0, 3.0)
    xy = np.cumsum(np.column_stack((np.cos(heading), np.sin(heading))), axis=0)
    return np.column_stack((xy, heading, bends, np.full(len(xy), 14.0))).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_projection_finds_what_an_exhaustive_search_finds(seed: int) -> None:
    rng, points = np.random.default_rng(100 + seed), smooth_line(seed)
    last = len(points) - 1
    for row in rng.integers(20, last - 20, 40):
        x, y, h = points[row, :3] + rng.uniform(-1.0, 1.0, 3) * (0.5, 0.5, 0.0)
        side = rng.uniform(-8.0, 8.0)
        p = np.array([x - side * np.sin(h), y + side * np.cos(h)])
        s, d, k = project(points, 0, last, F(1.0), F(p[0]), F(p[1]), int(row + rng.integers(-12, 13)))
        near = points[max(row - 30, 0) : row + 30, :2].astype(np.float64)
        want_s, want_d, _ = project_to_polyline(p[None], near)
        # In the wedges at vertices the two differ by up to |d| times the turn of 0.05 there.
        assert s == pytest.approx(max(row - 30, 0) + want_s[0], abs=0.06 * abs(want_d[0]) + 0.01)
        assert d == pytest.approx(want_d[0], abs=0.02)
        assert abs(points[k, :2] - p).max() < 8.8


def test_projection_beyond_both_ends_prolongs_the_path() -> None:
    points = np.zeros((11, 5), dtype=np.float32)
    points[:, 0] = np.arange(11.0)
    for x, guess in ((-4.0, 9), (14.5, 2)):
        s, d, _ = project(points, 0, 10, F(1.0), F(x), F(-2.0), guess)
        assert (s, d) == pytest.approx((x, -2.0))


@pytest.mark.parametrize("seed", range(6))
def test_the_leader_is_the_nearest_box_that_reaches_into_the_corridor(seed: int) -> None:
    """On a straight path the corridor is a strip, so corners alone say who is in it and how far away."""
    rng = np.random.default_rng(seed)
    points = np.zeros((151, 5), dtype=np.float32)
    points[:, 0], points[:, 4] = np.arange(151.0), 14.0
    n = 25
    x, y = rng.uniform(0.0, 110.0, n), rng.uniform(-7.0, 7.0, n)
    heading, speed = rng.uniform(-np.pi, np.pi, n), rng.uniform(0.0, 10.0, n)
    length, width = rng.uniform(1.0, 9.0, n), rng.uniform(0.5, 2.6, n)
    rear = 0.3 * length
    x[0], y[0], heading[0], length[0], width[0], rear[0] = 20.0, 0.0, 0.0, 4.8, 1.9, 1.4
    batch = [v[None].astype(np.float32) for v in (x, y, heading, speed, length, width, rear)]
    presence = (rng.random((1, n)) > 0.2).astype(np.uint8)
    presence[0, 0] = 1
    got, gap, along = find_leader(
        0, F(20.0), F(1.4), F(20.0), F(0.0), F(100.0), 0, 150, F(1.0), path_rows(points, 1.0), False,
        crowd_of(*batch[:4], presence, *batch[4:]), n,
    )  # fmt: skip
    front, half = 20.0 + 1.4 + 2.4, 0.95 + 0.15
    best, want = -1, math.inf
    for j in range(1, n):
        center = np.array([x[j] + rear[j] * np.cos(heading[j]), y[j] + rear[j] * np.sin(heading[j])])
        corners = box_corners(center, heading[j], length[j], width[j])
        inside = corners[:, 1].min() < half and corners[:, 1].max() > -half
        if presence[0, j] and inside and center[0] > 20.0 + 1.4 and corners[:, 0].min() - front < want:
            best, want = j, corners[:, 0].min() - front
    assert got == best
    if best >= 0:
        assert gap == pytest.approx(want, abs=1e-3)
        assert along == pytest.approx(speed[best] * np.cos(heading[best]), abs=1e-4)


def test_who_crosses_within_a_second_is_followed_only_by_those_who_anticipate() -> None:
    points = np.zeros((101, 5), dtype=np.float32)
    points[:, 0] = np.arange(101.0)
    # A pedestrian 25 m ahead and 3 m beside at 2 m/s towards the path: in the corridor within a second.
    values = [(0.0, 25.0), (0.0, -3.0), (0.0, np.pi / 2), (8.0, 2.0), (4.8, 0.6), (1.9, 0.6), (0.0, 0.0)]
    batch = [np.array([v], dtype=np.float32) for v in values]
    crowd = crowd_of(*batch[:4], np.ones((1, 2), dtype=np.uint8), *batch[4:])
    for anticipate, who in ((True, 1), (False, -1)):
        found = find_leader(
            0, F(0.0), F(0.0), F(0.0), F(0.0), F(100.0), 0, 100, F(1.0), path_rows(points, 1.0), anticipate,
            crowd, 2,
        )  # fmt: skip
        assert found[0] == who


G, Y, R = (int(s) for s in (SignalState.GREEN, SignalState.YELLOW, SignalState.RED))


@pytest.mark.parametrize(
    ("first", "second", "front", "speed", "gap"),
    [
        (R, G, 10.0, 10.0, 20.0),  # the line at 30 m
        (G, R, 10.0, 10.0, 50.0),  # the first is green, the second at 60 m is not
        (G, G, 10.0, 10.0, None),
        (0, 0, 10.0, 10.0, None),  # unknown lights hold nobody
        (Y, G, 10.0, 10.0, 20.0),  # 100 / (2 * 20) = 2.5 m/s^2 stops it in time
        (Y, G, 15.0, 10.0, None),  # 100 / (2 * 15) = 3.3 m/s^2 would be needed
        (R, G, 30.9, 3.0, -0.9),  # just over the line
        (R, G, 31.2, 3.0, None),  # past it
        (R, R, 31.2, 3.0, 28.8),  # past it, but the next one is red too
    ],
)
def test_which_light_holds(first: int, second: int, front: float, speed: float, gap: float | None) -> None:
    stop, following = np.full(101, -1, dtype=np.int32), np.full(101, -1, dtype=np.int32)
    stop[30], stop[60] = 0, 1
    following[:30], following[30:60] = 30, 60
    signals = np.array([[[first], [second]]], dtype=np.uint8)
    got = red_light_gap(
        0, 0, F(0.0), F(front), F(speed), 0, 100, F(1.0), stop, following, signals, F(80.0)
    )  # fmt: skip
    assert float(got) == (float(FREE_ROAD) if gap is None else pytest.approx(gap, abs=1e-4))


def test_allowed_speed_by_hand() -> None:
    points = np.zeros((101, 5))
    points[:, 4] = 14.0
    assert (allowed_speed(points, 1.0) == 14.0).all()
    points[20:, 3] = -0.02
    # In the bend sqrt(2 / 0.02) = 10; twenty metres before it sqrt(100 + 2 * 1.5 * 20) = 12.649.
    allowed = allowed_speed(points, 1.0)
    assert allowed[20] == pytest.approx(10.0)
    assert allowed[0] == pytest.approx(12.6491, abs=1e-4)


def test_sines_and_small_arc_tangents_are_those_of_the_library() -> None:
    angles, ratios = np.linspace(-12.0, 12.0, 2001), np.linspace(-0.69, 0.69, 501)
    got = np.array([[float(v) for v in sin_cos(F(a))] for a in angles])
    np.testing.assert_allclose(got, np.column_stack((np.sin(F(angles)), np.cos(F(angles)))), atol=1e-6)
    arcs = [float(small_arctan(F(r))) for r in ratios]
    np.testing.assert_allclose(arcs, np.arctan(F(ratios)), atol=2e-7)


@pytest.mark.parametrize("speed", [2.0, 8.0, 25.0])
@pytest.mark.parametrize("start", [1.0, -1.0])
def test_steering_brings_a_car_back_without_swinging(speed: float, start: float) -> None:
    x, y, h, v, steering = 0.0, start, 0.0, speed, 0.0
    offsets = []
    for _ in range(400):
        rate = steer(0.0, F(y), F(h), F(v), F(steering), F(2.9), F(0.1))
        x, y, h, v, steering, _ = bicycle_step(x, y, h, v, steering, 0.0, float(rate), 2.9, 0.6, 0.1)
        offsets.append(y * start)
    assert abs(offsets[-1]) < 0.01
    assert min(offsets) > -0.08
