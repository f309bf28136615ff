"""Smoothing, statistics and the comfort metric."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from drive.eval.metrics.nuplan.comfort import ego_is_comfortable, within_bounds
from drive.eval.metrics.nuplan.signals import (
    dynamics,
    percentile_90,
    series_statistics,
    smooth,
    unwrap,
)

DT = 0.1
EIGHT = np.arange(8) * DT  # As long as the acceleration filter: its fit is then exact for order 2 everywhere.


def test_unwrap_removes_whole_turns() -> None:
    true = np.linspace(0.0, 15.0, 60)
    wrapped = (true + np.pi) % (2.0 * np.pi) - np.pi
    np.testing.assert_allclose(unwrap(wrapped), true, atol=1e-12)


def test_statistics_of_a_series() -> None:
    found = series_statistics("x", np.arange(1.0, 11.0))
    assert found == {"max_x": 10.0, "min_x": 1.0, "avg_x": 5.5, "p90_x": 9.0}


def test_the_percentile_breaks_ties_as_numpy_before_2_did() -> None:
    # Ranks 12 and 13 of 15 are equally close to 90 per cent, and 21 and 22 of 25: the even one is taken.
    assert percentile_90(np.arange(15.0)[::-1]) == 12.0
    assert percentile_90(np.arange(25.0)) == 22.0
    assert percentile_90(np.arange(5.0)) == 4.0
    assert percentile_90(np.array([3.0])) == 3.0
    assert percentile_90(np.arange(150.0)) == 134.0


def comfort(hand, **series) -> float:
    yaw_acceleration = series.pop("yaw_acceleration", 0.0)
    ego = hand.states(np.zeros((8, 2)), **series)
    score = ego_is_comfortable(hand.run(ego, yaw_acceleration=yaw_acceleration), DT).score
    assert score is not None
    return score


@pytest.mark.parametrize(("bound", "inside"), [(2.40, -1e-3), (-4.05, 1e-3)])
def test_longitudinal_acceleration(hand, bound: float, inside: float) -> None:
    assert comfort(hand, acceleration=bound + inside) == 1.0
    assert comfort(hand, acceleration=bound) == 0.0
    assert comfort(hand, acceleration=bound - inside) == 0.0


def test_longitudinal_jerk(hand) -> None:
    assert comfort(hand, acceleration=-4.129 * EIGHT) == 1.0
    assert comfort(hand, acceleration=-4.130 * EIGHT) == 0.0


def test_jerk_is_of_the_rear_axle_and_acceleration_of_the_centre(hand) -> None:
    # The centre lies 1 m ahead of the rear axle: this yaw acceleration takes the centre's jerk away.
    for jerk, score in ((8.369, 1.0), (8.370, 0.0)):
        assert comfort(hand, acceleration=jerk * EIGHT, yaw_acceleration=-jerk * EIGHT) == score


def test_yaw_rate_adds_its_square_to_the_longitudinal_acceleration(hand) -> None:
    run = hand.run(hand.states(np.zeros((8, 2)), acceleration=0.5, yaw_rate=0.6), yaw_acceleration=0.2)
    np.testing.assert_allclose(dynamics(run, DT).longitudinal_acceleration, 0.5 + 0.36 + 0.2, atol=1e-8)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_yaw_rate(hand, sign: float) -> None:
    assert comfort(hand, heading=sign * 0.949 * EIGHT) == 1.0
    assert comfort(hand, heading=sign * 0.950 * EIGHT) == 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_yaw_acceleration(hand, sign: float) -> None:
    t = EIGHT - EIGHT.mean()
    assert comfort(hand, heading=sign * 0.5 * 1.929 * t**2) == 1.0
    assert comfort(hand, heading=sign * 0.5 * 1.930 * t**2) == 0.0


def test_lateral_acceleration() -> None:
    zero = np.zeros(20)
    for value, held in ((4.889, True), (4.890, False), (-4.889, True), (-4.890, False)):
        found = within_bounds(smooth(zero, zero + value, zero, zero, DT))
        assert found["ego_lat_acceleration"] is held
        assert all(v for k, v in found.items() if k != "ego_lat_acceleration")


def test_a_simulated_car_has_no_scored_lateral_acceleration(hand) -> None:
    # 20 m/s at 0.4 rad/s are 8 m/s^2, which nobody would call comfortable; the devkit does not see them.
    ego = hand.states(np.zeros((30, 2)), speed=20.0, yaw_rate=0.4, heading=0.4 * DT * np.arange(30))
    result = ego_is_comfortable(hand.run(ego), DT)
    assert result.score == 1.0
    assert result.statistics["max_ego_lat_acceleration"] == 0.0
    np.testing.assert_allclose(result.series["lateral_acceleration"], 8.0)


def test_every_signal_has_a_series_and_statistics(hand) -> None:
    result = ego_is_comfortable(hand.run(hand.drive(0.0, 5.0, 20)), DT)
    assert set(result.series) == {
        f.name for f in dataclasses.fields(dynamics(hand.run(hand.drive(0, 5, 20)), DT))
    }
    assert all(v.shape == (20,) for v in result.series.values())
    assert sum(k.startswith("p90_") for k in result.statistics) == 6
