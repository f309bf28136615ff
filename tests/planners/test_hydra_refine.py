"""Signals, matching, fusion and PID of Hydra-NeXt, against tables made by hand and plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive.errors import InputError
from drive.planner import Control, ControlKind
from drive.planners.hydra_next.kinematics import EgoKinematics, PedalModel
from drive.planners.hydra_next.pid import EGO, RELEASED, Errors, PIDSettings, aim_of, drive, wanted_speed
from drive.planners.hydra_next.refine import densify, fuse, joined, match
from drive.planners.hydra_next.signals import (
    RELEASED_CODING,
    RELEASED_STEER,
    Bins,
    Coding,
    expert_pedals,
    nearest_bin,
)
from drive.sim.vehicles import apply_control
from drive.vehicle import VehicleParams

MODEL = PedalModel()


@pytest.mark.parametrize("brakes", list(itertools.product((0.0, 1.0), repeat=4)))
def test_four_candidates_brake_if_two_do(brakes: tuple[float, ...]) -> None:
    candidates = np.column_stack((np.array([0.2, 0.4, 0.6, 0.0]), np.array([0.05, 0.01, -0.02, 0.0]), brakes))
    throttle, steer, brake = fuse(candidates, 5.0)
    assert brake == (1.0 if sum(brakes) >= 2 else 0.0)
    assert throttle == (0.0 if sum(brakes) >= 2 else pytest.approx(0.3))
    assert steer == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("throttle", "steer", "speed", "expected"),
    [
        (1.0, 0.0, 8.0, (0.75, 0.0)),
        (1.0, 0.3, 8.0, (0.5, 0.3)),
        (1.0, -0.3, 8.0, (0.5, -0.3)),
        (1.0, 0.3, 0.9, (0.75, 0.3)),  # slow: it may start in a bend
        (1.0, 0.1, 8.0, (0.75, 0.1)),  # not above 0.1
        (0.4, 0.3, 8.0, (0.4, 0.3)),
        (0.0, 1.7, 8.0, (0.0, 1.0)),
        (0.0, -1.7, 8.0, (0.0, -1.0)),
    ],
)
def test_the_fused_control_is_clipped(
    throttle: float, steer: float, speed: float, expected: tuple[float, float]
) -> None:
    fused = fuse(np.tile([throttle, steer, 0.0], (4, 1)), speed)
    assert fused.tolist() == [expected[0], expected[1], 0.0]


def test_those_that_brake_say_how_hard() -> None:
    candidates = np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 0.2], [0.5, 0.0, 0.0], [0.0, 0.0, 0.6]])
    assert fuse(candidates, 5.0).tolist() == [0.0, 0.0, pytest.approx(0.4)]
    assert fuse(candidates[:1], 5.0)[2] == 0.0
    assert fuse(candidates[1:2], 5.0)[2] == pytest.approx(0.2)
    assert fuse(candidates[:3], 5.0)[2] == 0.0  # one of three


def test_the_fusion_does_not_care_for_order() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.uniform(0.0, 1.0, (7, 4, 3)) * [1.0, 1.0, 0.0]
    candidates[..., 2] = np.where(rng.random((7, 4)) < 0.5, 0.3, 0.0)
    order = rng.permutation(4)
    np.testing.assert_allclose(fuse(candidates, 3.0), fuse(candidates[:, order], 3.0), atol=1e-15)


def test_matching_is_the_nearest_at_half_and_whole_second() -> None:
    rng = np.random.default_rng(1)
    rolled, target = rng.normal(size=(6, 10, 10, 4)), rng.normal(size=(6, 2, 2))
    found = match(rolled, target)
    for b in range(6):
        best, least = -1, math.inf
        for i in range(10):
            total = 0.0
            for row, point in ((4, 0), (9, 1)):
                total += (rolled[b, i, row, 0] - target[b, point, 0]) ** 2
                total += (rolled[b, i, row, 1] - target[b, point, 1]) ** 2
            if total < least:
                best, least = i, total
        assert found[b] == best
    assert match(np.zeros((3, 10, 2)), np.zeros((2, 2))) == 0
    with pytest.raises(InputError, match="1 s, 10 steps"):
        match(np.zeros((3, 9, 2)), np.zeros((2, 2)))


def test_four_controls_become_fifteen() -> None:
    controls = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, 0.0], [0.5, -0.1, 0.0], [0.0, 0.0, 1.0]])
    dense = densify(controls)
    assert dense.shape == (15, 3)
    np.testing.assert_allclose(dense[[0, 5, 10]], controls[:3])
    np.testing.assert_allclose(dense[2], [0.2, 0.04, 0.0])
    np.testing.assert_allclose(dense[7], [0.5, 0.02, 0.0], atol=1e-15)
    np.testing.assert_allclose(dense[14], [0.1, -0.02, 0.8])


def test_what_is_joined_has_no_jump_and_comes_back() -> None:
    """0.24 m to the left, turned by 0.05 rad, half a metre behind and slower than what is driven on."""
    t = 0.1 * np.arange(1, 41)
    rest = np.column_stack((10.0 * t, np.zeros(40), np.zeros(40)))
    first = np.column_stack((9.5 * t, 0.2375 * t**2, 0.05 * t))[:10]
    out = joined(first, rest)
    assert out.shape == (40, 3)
    np.testing.assert_array_equal(out[:10], first)
    steps = np.diff(out[:, :2], axis=0)
    # No jump: 0.1 s at 9 to 11 m/s; no kink: it heads where it goes; nothing harder than 3 m/s^2.
    assert (np.abs(np.hypot(*steps.T) - 1.0) < 0.1).all()
    apart = np.arctan2(*steps[9:].T[::-1]) - 0.5 * (out[9:-1, 2] + out[10:, 2])
    assert np.abs(apart).max() < 0.01
    assert np.abs(np.diff(np.hypot(*steps[10:].T)) / 0.01).max() < 3.0
    np.testing.assert_allclose(out[30:], rest[30:], atol=1e-9)


def test_what_is_joined_follows_a_bend_and_stops_with_it() -> None:
    """On a circle of 20 m, from which it is 0.2 m off, and to a halt."""
    t = 0.1 * np.arange(1, 41)
    s = np.where(t < 3.0, 6.0 * t - t**2, 9.0)
    rest = np.column_stack((20.0 * np.sin(s / 20.0), 20.0 * (1.0 - np.cos(s / 20.0)), s / 20.0))
    first = rest[:10] + np.outer(np.linspace(0.0, 1.0, 10), (0.0, 0.2, 0.0))
    out = joined(first, rest)
    away = np.abs(np.hypot(out[10:, 0], out[10:, 1] - 20.0) - 20.0)
    assert away.max() < 0.25
    assert away[20:].max() < 0.01
    np.testing.assert_allclose(out[-1], rest[-1], atol=1e-6)
    still = joined(np.tile((0.0, 0.1, 0.2), (10, 1)), np.zeros((40, 3)))
    np.testing.assert_allclose(still[10:], np.tile((0.0, 0.1, 0.2), (30, 1)))


rows = st.tuples(st.floats(0.0, 1.0), st.floats(-1.0, 1.0), st.floats(0.1, 1.0), st.booleans())


@given(row=rows)
def test_a_signal_gives_its_pedals_back(row: tuple[float, float, float, bool]) -> None:
    throttle, steer, brake, braked = row
    pedals = np.array([0.0 if braked else throttle, steer, brake if braked else 0.0])
    signal = Coding().encode(pedals)
    assert np.abs(signal).max() <= 1.0
    np.testing.assert_allclose(Coding().decode(signal), pedals, atol=1e-5)


def test_the_released_signal_is_minus_one_where_it_brakes() -> None:
    pedals = np.array([[0.4, 0.3, 0.0], [0.0, -0.2, 0.3]])
    np.testing.assert_allclose(RELEASED_CODING.encode(pedals), [[0.4, 0.3], [-1.0, -0.2]], atol=1e-7)
    decoded = RELEASED_CODING.decode([[-0.49, 2.0], [-0.51, -2.0], [1.4, 0.0]])
    np.testing.assert_allclose(decoded, [[0.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, 0.0, 0.0]])


def test_the_bins_of_an_expert_are_the_same_on_both_sides() -> None:
    rng = np.random.default_rng(2)
    pedals = np.column_stack(
        (rng.uniform(0.0, 0.6, 4000), rng.normal(0.1, 0.1, 4000), np.where(rng.random(4000) < 0.3, 0.4, 0.0))
    )
    bins = Bins.of(pedals, (5, 15, 4))
    assert len(bins.throttle) == 5
    assert bins.throttle[0] == 0.0
    assert 0.5 < bins.throttle[-1] <= 0.6
    assert len(bins.steer) == 15
    np.testing.assert_allclose(bins.steer, [-s for s in reversed(bins.steer)])
    assert 0.25 < bins.steer[-1] < 0.5
    assert bins.brake == (0.4,)
    assert Bins.of(np.zeros((5, 3))).steer == (0.0,)
    with pytest.raises(InputError, match="finite"):
        Bins.of(np.array([[np.nan, 0.0, 0.0]]))
    with pytest.raises(InputError, match="rise"):
        Bins(throttle=(0.3, 0.0))


def test_the_nearest_bin_is_the_nearest() -> None:
    values = np.linspace(-1.2, 1.2, 97)
    found = nearest_bin(values, RELEASED_STEER)
    bins = np.array(RELEASED_STEER)
    np.testing.assert_allclose(
        np.abs(bins[found] - values), np.abs(bins - values[:, None]).min(1), atol=1e-12
    )


def test_the_pedals_of_an_expert_make_its_motion_again() -> None:
    """What is asked of the simulator's ego gives the accelerations that the pedals were taken of."""
    rng = np.random.default_rng(3)
    had = np.clip(np.cumsum(rng.normal(0.0, 0.15, 30)), -2.0, 0.9)
    angle = np.clip(np.cumsum(rng.normal(0.0, 0.01, 30)), -0.3, 0.3)
    vehicle = VehicleParams()
    pedals = expert_pedals(np.column_stack((had, angle)), 9.0, 0.2, MODEL)
    state = np.array([0.0, 0.0, 0.0, 9.0, 0.2, 0.0, 0.0])
    for row in range(30):
        asked, wheel = MODEL.motion(pedals[row])
        control = Control(ControlKind.ACCELERATION_STEERING, np.array([[asked, wheel]]), 0.1)
        state, _ = apply_control(state, control, 0.0, vehicle, 0.1)
        # What falls between drag and brake is left to the drag; it is a third of that for a step.
        assert state[4] == pytest.approx(had[row], abs=0.5 * MODEL.dead)
        assert state[5] == pytest.approx(angle[row], abs=1e-9)


def test_an_expert_that_stops_holds_the_brake() -> None:
    controls = np.column_stack((np.r_[np.full(10, -2.0), np.zeros(5)], np.full(15, 0.1)))
    pedals = expert_pedals(controls, 2.0, -2.0, MODEL)
    np.testing.assert_allclose(pedals[:10, 2], (2.0 - 0.3) / 8.0)
    np.testing.assert_allclose(pedals[11:, 2], MODEL.hold)
    np.testing.assert_allclose(pedals[:, 1], 0.1 / (math.pi / 3.0))
    assert (pedals[:10, 0] == 0.0).all()


def waypoints(speed: float, bend: float = 0.0, count: int = 6) -> np.ndarray:
    s = speed * 0.5 * np.arange(1, count + 1)
    if bend == 0.0:
        return np.column_stack((s, np.zeros(count)))
    return np.column_stack((np.sin(bend * s) / bend, (1.0 - np.cos(bend * s)) / bend))


def test_the_aim_is_where_the_middle_of_a_pair_is_about_so_far() -> None:
    w = waypoints(4.0)  # at 2, 4, 6, ... m; middles at 3, 5, 7, ... m
    assert aim_of(w, 4.0) == 0  # 3 and 5 are as near: the first
    assert aim_of(w, 4.5) == 1
    assert aim_of(w, 100.0) == 4  # never the last one
    assert wanted_speed(w) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("wanted", "speed", "throttle", "brake"),
    [
        (5.0, 5.0, 0.0, 0.0),
        (5.0, 4.95, 0.05 * 5.0, 0.0),
        (5.0, 2.0, 0.75, 0.0),  # 5 x 0.25 is clipped
        (5.0, 5.51, 0.0, 1.0),
        (0.3, 0.0, 0.0, 1.0),
    ],
)
def test_the_released_speed_control(wanted: float, speed: float, throttle: float, brake: float) -> None:
    pedals = drive(waypoints(wanted), speed, 3.0, RELEASED, MODEL, Errors())
    assert pedals == pytest.approx([throttle, 0.0, brake])


def test_the_released_steering_sums_and_differentiates() -> None:
    memory = Errors()
    w = np.array([[4.0, 4.0], [4.0, 4.0], [5.0, 4.0]])  # 45 degrees to the left: an error of 0.5
    first = drive(w, 1.0, 3.0, RELEASED, MODEL, memory)
    second = drive(w * [1.0, -1.0], 1.0, 3.0, RELEASED, MODEL, memory)
    assert first[1] == pytest.approx(0.75 * 0.5)
    assert second[1] == pytest.approx(-0.75 * 0.5 + 0.75 * 0.0 + 0.3 * -1.0)


def test_the_released_agent_may_steer_for_the_route() -> None:
    w = np.array([[4.0, 2.0], [4.0, 2.0], [5.0, 3.0]])
    straight = drive(w, 1.0, 3.0, RELEASED, MODEL, Errors(), target=[20.0, 0.0])
    assert straight[1] == 0.0
    wide = drive(w, 1.0, 3.0, RELEASED, MODEL, Errors(), target=[10.0, 15.0])
    near = drive(w, 1.0, 3.0, RELEASED, MODEL, Errors(), target=[1.0, 5.0])
    assert wide[1] == pytest.approx(0.75 * math.atan2(2.0, 4.0) / (math.pi / 2))
    assert near[1] == pytest.approx(0.75 * math.atan2(5.0, 1.0) / (math.pi / 2))


@pytest.mark.parametrize("bend", [-0.08, -0.01, 0.0, 0.02, 0.1])
def test_the_egos_steering_drives_the_circle_that_it_is_shown(bend: float) -> None:
    pedals = drive(waypoints(6.0, bend), 6.0, 2.9, EGO, MODEL, Errors())
    _, angle = MODEL.motion(pedals)
    assert math.tan(float(angle)) / 2.9 == pytest.approx(bend, abs=1e-9)


def test_the_egos_speed_control_asks_for_an_acceleration() -> None:
    faster = drive(waypoints(7.5), 6.0, 2.9, EGO, MODEL, Errors())
    slower = drive(waypoints(3.0), 6.0, 2.9, EGO, MODEL, Errors())
    assert float(MODEL.motion(faster)[0]) == pytest.approx(0.67 * 1.5)
    assert float(MODEL.motion(slower)[0]) == pytest.approx(0.67 * -3.0)
    held = drive(np.zeros((6, 2)), 0.0, 2.9, EGO, MODEL, Errors())
    assert held.tolist() == [0.0, 0.0, MODEL.hold]
    starts = drive(waypoints(1.0), 0.0, 2.9, EGO, MODEL, Errors())
    assert float(MODEL.motion(starts)[0]) == pytest.approx(0.67)


def test_the_memory_of_a_pid_is_bounded() -> None:
    memory, settings = Errors(), PIDSettings(window=3)
    for _ in range(9):
        drive(waypoints(4.0), 5.0, 3.0, settings, MODEL, memory)
    assert len(memory.turn) == len(memory.speed) == 3


def test_refinement_makes_plans_feasible_and_costs_no_accuracy() -> None:
    """Noisy plans of an expert that keeps its limits, snapped to the nearest of ten learnt-like proposals.

    Feasibility alone would be worthless: among proposals that know nothing the nearest is far off.
    """
    rng = np.random.default_rng(4)
    scenes, proposals = 200, 10
    speed = rng.uniform(4.0, 15.0, scenes)
    start = np.column_stack((np.zeros((scenes, 3)), speed))
    own = np.zeros((scenes, 10, 3))
    own[..., 0] = rng.uniform(0.0, 0.6, (scenes, 1)) * np.linspace(1.0, 0.5, 10)
    own[..., 1] = rng.uniform(-0.05, 0.05, (scenes, 1))
    vehicle = EgoKinematics(3.0)
    true = vehicle.roll(start, own)
    raw = true[..., [4, 9], :2] + rng.normal(0.0, 0.25, (scenes, 2, 2))
    known = own[:, None] + rng.normal(0.0, 1.0, (scenes, proposals, 1, 3)) * [0.15, 0.02, 0.0]
    blind = rng.uniform([0.0, -0.2, 0.0], [1.0, 0.2, 0.0], (scenes, proposals, 10, 3))
    where = np.arange(scenes)
    errors = {}
    for name, drawn in (("known", known), ("blind", blind)):
        rolled = vehicle.roll(start[:, None], np.clip(drawn, [0.0, -1.0, 0.0], 1.0))
        refined = rolled[where, match(rolled, raw)]
        errors[name] = np.hypot(*(refined[:, [4, 9], :2] - true[:, [4, 9], :2]).T).mean()
        demanded = violations(speed, refined[:, [4, 9], :2])
        assert demanded.mean() == 0.0
    assert violations(speed, raw).mean() > 0.05
    raw_error = np.hypot(*(raw - true[:, [4, 9], :2]).T).mean()
    assert errors["known"] < raw_error
    assert errors["blind"] > 1.5 * errors["known"]


def violations(speed: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether reaching the points at 0.5 and 1.0 s takes more than 4 m/s^2 along the way."""
    first = np.hypot(points[:, 0, 0], points[:, 0, 1]) / 0.5
    step = points[:, 1] - points[:, 0]
    second = np.hypot(step[:, 0], step[:, 1]) / 0.5
    return (np.abs(first - speed) / 0.25 > 4.0) | (np.abs(second - first) / 0.5 > 4.0)
