"""Curves, the risk field and costs of the field planner, against finite differences and by hand."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.planners.field.config import FieldConfig
from drive.planners.field.convergence import random_scene
from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.cost import follow
from drive.planners.field.kernels.curves import across, along, in_plane, quartic, quintic
from drive.planners.field.kernels.field import (
    alignment,
    attraction,
    deficit,
    line_risk,
    repulsion,
    repulsion_change,
)
from drive.planners.field.problem import settings as settings_of
from drive.planners.field.scene import start_of
from drive.sim.kernels import line as columns
from drive.sim.road.frame import RoadFrame
from drive.vehicle import VehicleParams

VEHICLE = VehicleParams()
SETTING = settings_of(FieldConfig(), VEHICLE, 0.5)


def clothoid(step: float = 0.001, length: float = 60.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 2), headings and curvatures of a line that bends from -0.05 to 0.05 1/m."""
    s = step * np.arange(round(length / step) + 1)
    kappa = -0.05 + 0.1 * s / length
    heading = -0.05 * s + 0.05 * s * s / length
    middle = heading[:-1] + 0.5 * step * (kappa[:-1] + 0.25 * step * 0.1 / length)
    step_x = step / 6.0 * (np.cos(heading[:-1]) + 4.0 * np.cos(middle) + np.cos(heading[1:]))
    step_y = step / 6.0 * (np.sin(heading[:-1]) + 4.0 * np.sin(middle) + np.sin(heading[1:]))
    x, y = (np.concatenate(([0.0], np.cumsum(v))) for v in (step_x, step_y))
    return np.stack((x, y), -1), heading, kappa


@pytest.mark.parametrize("end", [-3.0, 0.5, 4.0])
def test_f1_curvature_speed_and_acceleration_are_those_of_the_curve_in_the_plane(end: float) -> None:
    points, _, _ = clothoid()
    v0, a0 = 9.0, 0.7
    c3, c4 = quartic(v0, a0, 13.0, 4.0)
    l3, l4, l5 = quintic(1.0, 0.05, -0.004, end, 38.0)
    dt = 4e-3
    times = 0.4 + dt * np.arange(800)
    motion, place = [], []
    for t in times:
        x, v, a, _ = along(t, v0, a0, c3, c4, 13.0, 4.0)
        d, d1, d2, _ = across(x, 1.0, 0.05, -0.004, l3, l4, l5, end, 38.0)
        motion.append(in_plane(-0.05 + 0.1 * x / 60.0, 0.1 / 60.0, d, d1, d2, v, a)[2:])
        h = -0.05 * x + 0.05 * x * x / 60.0
        k, part = int(x / 0.001), x / 0.001 - int(x / 0.001)
        foot = (1.0 - part) * points[k] + part * points[k + 1]
        place.append((foot[0] - d * math.sin(h), foot[1] + d * math.cos(h)))
    first = np.gradient(np.array(place), dt, axis=0)
    speed = np.hypot(*first.T)
    turn = np.gradient(np.unwrap(np.arctan2(first[:, 1], first[:, 0])), dt)
    inner = slice(5, -5)
    curvature, driven, push = np.array(motion).T
    assert np.abs(curvature - turn / speed)[inner].max() < 1e-4
    assert np.abs(driven - speed)[inner].max() < 1e-4
    assert np.abs(push - np.gradient(speed, dt))[inner].max() < 1e-2


@cache
def frame_of_clothoid() -> RoadFrame:
    points, heading, kappa = clothoid()
    rows = np.zeros((121, columns.NUM_COLUMNS))
    rows[:, columns.X], rows[:, columns.Y] = points[::500].T
    rows[:, columns.HEADING], rows[:, columns.CURVATURE] = heading[::500], kappa[::500]
    rows[:, columns.COSINE], rows[:, columns.SINE] = np.cos(heading[::500]), np.sin(heading[::500])
    rows[:, columns.DCURVATURE] = 0.1 / 60.0
    none = np.zeros(0)
    signals = np.zeros(0, dtype=np.int32)
    return RoadFrame(np.array([700.0, -40.0]), 0.5, rows, 0.5 * np.arange(121), none, signals, none, True)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(2.0, 55.0), st.floats(1.0, 25.0), st.floats(-3.0, 2.0), st.floats(-4.0, 4.0),
    st.floats(-0.3, 0.3), st.floats(-0.05, 0.05),
)  # fmt: skip
def test_f1_there_and_back(s: float, v: float, a: float, d: float, slope: float, bend: float) -> None:
    frame = frame_of_clothoid()
    in_time = np.array([[s, v, a, d, slope * v, bend * v * v + slope * a]])
    state = frame.states(in_time, VEHICLE, 0.0)[0]
    back = frame.state(state, s)
    start = start_of(state, back, frame, VEHICLE)
    assert abs(start[0] - s) < 1e-6
    assert abs(start[3] - d) < 1e-6
    assert start[1] == pytest.approx(v, rel=1e-6)
    assert start[4] == pytest.approx(slope, abs=1e-6)
    assert start[5] == pytest.approx(bend, abs=1e-4)


@settings(max_examples=80, deadline=None)
@given(st.floats(0.0, 30.0), st.floats(-6.0, 3.0), st.floats(0.0, 30.0), st.floats(1.0, 8.0))
def test_the_quartic_ends_at_its_speed_without_acceleration(v: float, a: float, end: float, t: float) -> None:
    c3, c4 = quartic(v, a, end, t)
    assert along(0.0, v, a, c3, c4, end, t)[:3] == pytest.approx((0.0, v, a))
    s, speed, push, _ = along(t, v, a, c3, c4, end, t)
    assert (speed, push) == pytest.approx((end, 0.0), abs=1e-9)
    assert along(t + 2.0, v, a, c3, c4, end, t)[0] == pytest.approx(s + 2.0 * end)


@settings(max_examples=80, deadline=None)
@given(
    st.floats(-4.0, 4.0),
    st.floats(-0.3, 0.3),
    st.floats(-0.1, 0.1),
    st.floats(-4.0, 4.0),
    st.floats(8.0, 90.0),
)
def test_the_quintic_meets_all_six_ends(
    d: float, slope: float, bend: float, end: float, length: float
) -> None:
    c = quintic(d, slope, bend, end, length)
    assert across(0.0, d, slope, bend, *c, end, length)[:3] == (d, slope, bend)
    just = length * (1.0 - 1e-12)
    assert across(just, d, slope, bend, *c, end, length)[:3] == pytest.approx((end, 0.0, 0.0), abs=1e-8)
    assert across(length + 5.0, d, slope, bend, *c, end, length) == (end, 0.0, 0.0, 0.0)


def test_the_swerve_of_two_segments_joins_without_a_step() -> None:
    setting = SETTING.copy()
    setting[la.VIA] = 1.0
    out = np.empty((400, 6))
    follow(
        np.array([0.0, 3.0, 10.0, 3.0, 2.5, 2.0]),
        np.array([5.0, 10.0, 0.0, 0.2, 0.0, 0.0]),
        setting,
        0.02,
        out,
    )
    assert np.interp(25.0, out[:, 0], out[:, 3]) == pytest.approx(2.5, abs=1e-3)
    assert out[-1, 3] == 0.0
    for column, most in ((3, 0.05), (4, 0.02), (5, 0.02)):
        assert np.abs(np.diff(out[:, column])).max() < most


def test_a_profile_that_would_turn_back_stands() -> None:
    out = np.empty((80, 6))
    follow(
        np.array([0.0, 4.0, 0.0, 1.0, 0.0, 1.0]),
        np.array([0.0, 0.5, -4.0, 0.0, 0.0, 0.0]),
        SETTING,
        0.05,
        out,
    )
    assert (np.diff(out[:, 0]) >= 0.0).all()
    assert (out[:, 1] >= 0.0).all()


def u_b(
    ds: float, dd: float, angle: float = 0.0, closing: float = 2.0, setting: np.ndarray = SETTING
) -> float:
    return float(repulsion(ds, dd, 10.0, closing, angle, 2.4, 0.95, 1.0, setting))


def test_f2_the_regular_field_is_finite_continuous_and_not_negative_in_all_quadrants() -> None:
    for ds, dd in itertools.product((-30.0, -8.0, -0.1, 0.1, 8.0, 30.0), (-3.0, -0.2, 0.0, 0.2, 3.0)):
        for angle in np.linspace(-math.pi, math.pi, 41):
            here = u_b(ds, dd, float(angle))
            assert 0.0 <= here <= 1.0
            near = np.array([u_b(ds + e, dd + e, float(angle) + e) for e in (-1e-6, 1e-6)])
            assert np.abs(near - here).max() < 1e-4
    # Across the gap's sign, where the spread changes, boxes overlap and the field is level.
    assert u_b(-1e-9, 0.3) == pytest.approx(u_b(1e-9, 0.3))
    assert u_b(-12.0, 0.0) > u_b(-15.0, 0.0) > u_b(-20.0, 0.0)
    assert u_b(-12.0, 0.0, closing=8.0) > u_b(-12.0, 0.0, closing=0.0)


def test_f2_the_literal_angle_is_singular_but_for_its_floor() -> None:
    literal = SETTING.copy()
    literal[la.LITERAL] = 1.0
    assert alignment(0.0, SETTING) == 1.0
    # 20 degrees over the floor of one: the published quotient has no bound there at all.
    assert alignment(0.0, literal) == pytest.approx(20.0)
    assert alignment(math.radians(40.0), literal) == pytest.approx(0.5)
    assert alignment(math.radians(40.0), SETTING) == pytest.approx(1.0 / math.sqrt(5.0))
    assert alignment(-0.3, SETTING) == alignment(0.3, SETTING)
    assert alignment(math.pi, SETTING) == pytest.approx(1.0)


@pytest.mark.parametrize(("ds", "dd"), [(-20.0, 0.4), (-9.0, -1.0), (9.0, 1.5)])
def test_the_field_changes_in_time_as_its_parts_move(ds: float, dd: float) -> None:
    closing, slip, h = 3.0, -0.4, 1e-5
    change = repulsion_change(ds, dd, 10.0, closing, 0.1, 2.4, 0.95, 1.0, slip, SETTING)
    before, after = (u_b(ds + k * h * closing, dd + k * h * slip, 0.1, closing) for k in (-1.0, 1.0))
    assert change == pytest.approx((after - before) / (2.0 * h), rel=1e-5)


def test_the_lane_pulls_and_edges_push() -> None:
    values = [attraction(d, 0.0, 5.25, -1.75, SETTING) for d in (0.0, -0.4, -0.62, -0.9)]
    assert values == sorted(values)
    # The published pull: a lane's width aside it is the whole constant.
    far = attraction(3.5, 0.0, 50.0, -50.0, SETTING)
    assert far == pytest.approx(FieldConfig().lane_pull)


def who(*rows: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    now, body = np.zeros((len(rows), la.OTHER)), np.zeros((len(rows), la.BODY))
    for k, (s, d, v) in enumerate(rows):
        now[k, [la.OS, la.OD, la.OVS]] = s, d, v
        body[k] = 2.4, 0.95, 2.6, 1.0, 0.4
    return now, body


def test_a_lane_lacks_room_by_its_leader_and_by_its_follower() -> None:
    out = np.empty(4)
    deficit(10.0, 100.0, 5.0, 3.5, 3.5, *who((160.0, 3.5, 10.0), (30.0, 3.5, 10.0), (104.0, 0.0, 1.0)), out)
    assert out[0] == 0.0
    assert out[1:] == pytest.approx([60.0 - 4.9, 10.0, 70.0 - 4.9])
    deficit(10.0, 100.0, 5.0, 3.5, 3.5, *who((30.0, 3.5, 25.0)), out)
    slow_follower = out[0]
    deficit(10.0, 100.0, 5.0, 3.5, 3.5, *who((85.0, 3.5, 25.0)), out)
    assert out[0] > slow_follower > 0.0
    # By hand: 2 + 0.6 * 10 m wanted behind a leader as fast, 10 - 4.9 m there.
    deficit(10.0, 100.0, 5.0, 3.5, 3.5, *who((110.0, 3.5, 10.0)), out)
    assert out[0] == pytest.approx(((8.0 - 5.1) / 5.1) ** 2)


def test_a_slow_leader_makes_its_lane_worse_than_the_free_one() -> None:
    problem = random_scene(3)
    now, body = who((100.0, 0.0, 4.0))
    others = np.repeat(now[None], 60, axis=0)
    others[:, 0, la.OS] += 4.0 * 0.1 * np.arange(1, 61)
    # As the planner asks it: those beside are no reason against a lane.
    plain = SETTING.copy()
    plain[la.SIGMA_SIDE_CLOSING] = 0.0
    risk = [line_risk(14.0, 70.0, d, problem.road, others, body, plain) for d in (0.0, 3.5)]
    assert risk[0] > 0.4
    assert risk[1] < 0.05


def cost(problem, **changes):
    p = np.array([[changes.pop("d", 0.0), 4.0, changes.pop("v", 10.0), 4.0, 0.0, 1.0]])
    costs, reports = problem.with_(**changes).cost(p, 1)
    return float(costs[0]), reports[0]


def straight_problem():
    problem = random_scene(0)
    road = problem.road.copy()
    s = 0.5 * np.arange(len(road))
    road[:, la.RX], road[:, la.RY], road[:, la.RCOS], road[:, la.RSIN] = s, 0.0, 1.0, 0.0
    road[:, la.KAPPA] = road[:, la.DKAPPA] = 0.0
    road[:, la.WISH] = 10.0
    road[:, la.LEFT] = road[:, la.EDGE_LEFT] = 5.25
    start = np.array([60.0, 10.0, 0.0, 0.0, 0.0, 0.0])
    empty = np.zeros((60, 0, la.OTHER)), np.zeros((0, la.BODY))
    return problem.with_(
        road=road, start=start, others=empty[0], body=empty[1], pace=np.full(60, 10.0), seeds=np.zeros((0, 6))
    )


def standing(x: float, y: float, heading: float = 0.0) -> dict[str, np.ndarray]:
    others, body = np.zeros((60, 1, la.OTHER)), np.array([[2.0, 0.9, math.hypot(2.0, 0.9), 1.0, 0.4]])
    others[:, 0] = x, y, math.cos(heading), math.sin(heading), x, y, 0.0, heading
    return {"others": others, "body": body}


def test_a_free_road_at_the_wished_speed_costs_next_to_nothing_and_boxes_cost_by_how_much_they_are_met() -> (
    None
):
    problem = straight_problem()
    free, report = cost(problem)
    assert free < 1.0
    assert report[:5].max() == 0.0
    beside, report = cost(problem, **standing(85.0, 2.6))
    assert report[5] > 1e8
    grazing, report = cost(problem, **standing(85.0, 1.9))
    # The front bumper, 4.05 m ahead of the axle at 60, is at the box's rear at 83 after 1.9 s.
    assert report[5] == pytest.approx(1.9, abs=0.11)
    through, _ = cost(problem, **standing(85.0, 0.0))
    assert free < beside < grazing < through
    # A box turned by a quarter is longer across: its corner reaches where its side did not.
    assert cost(problem, **standing(85.0, 2.6, math.pi / 2.0))[1][5] < 3.0


def test_the_whole_vehicle_stays_on_the_road_and_behind_lines() -> None:
    problem = straight_problem()
    half = 0.5 * VEHICLE.width
    # While it swings over, the nose reaches farther out than the box at its end.
    assert cost(problem, d=5.25 - half - 0.15)[1][1] == 0.0
    out, report = cost(problem, d=5.25 - half + 0.2)
    assert report[1] > 0.19
    assert out > 100.0
    nose = VEHICLE.rear_axle_to_center + 0.5 * VEHICLE.length
    stops = np.array([60.0 + nose + 22.0])
    assert cost(problem, v=0.0, stops=stops)[1][4] == 0.0  # 10 m/s and 4 s: 20 m
    assert cost(problem, v=2.0, stops=stops)[1][4] > 1.0


def test_costs_are_graded_so_that_less_of_a_fault_is_better() -> None:
    problem = straight_problem()
    aside = [cost(problem, d=d, **standing(85.0, 0.0))[0] for d in (0.0, 0.5, 1.0, 1.5)]
    assert aside == sorted(aside, reverse=True)
    past = [cost(problem, v=v, stops=np.array([80.0]))[0] for v in (10.0, 7.0, 4.0, 1.0)]
    assert past == sorted(past, reverse=True)


def test_a_bound_only_ends_what_costs_more() -> None:
    from drive.planners.field.kernels.cost import judge

    problem = random_scene(11)
    rng, report = np.random.default_rng(0), np.zeros(6)
    for _ in range(40):
        p = rng.uniform(problem.low, problem.high)
        p_ = problem
        args = (p_.start, p_.road, p_.others, p_.body, p_.stops, p_.pace, p_.last)
        whole = _judged(judge, p, args, problem, 1e300, report)
        assert _judged(judge, p, args, problem, whole + 1e-9, report) == whole
        assert _judged(judge, p, args, problem, 0.5 * whole, report) > 0.5 * whole


def _judged(judge, p, args, problem, bound, report):
    return judge(p, *args, problem.setting, bound, 2, report)
