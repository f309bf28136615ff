"""Drivable area and speed limit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.lanes import LaneShapes
from drive.eval.metrics.nuplan.limits import edge_distance, speed_limits
from drive.roadmap import AreaKind, DrivableArea


def metric(hand, name: str, ego, road):
    return NUPLAN_CLS.evaluate(hand.run(ego, roadmap=road)).metrics[name]


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("outside", "score"), [(-0.5, 1.0), (0.29, 1.0), (0.31, 0.0)])
def test_a_corner_outside_by_0_3_m(hand, side: float, outside: float, score: float) -> None:
    # The lane ends at y = 2 on both sides, the car is 2 m wide.
    ego = hand.drive(0.0, 5.0, 10, y=side * (1.0 + outside))
    result = metric(hand, "drivable_area_compliance", ego, hand.road())
    assert result.score == score
    assert result.statistics["corners_in_drivable_area"] is (outside < 0.0)
    np.testing.assert_allclose(result.series["road_edge_distance"], -outside, atol=1e-6)


def test_one_sample_off_the_road_is_enough(hand) -> None:
    ego = hand.drive(0.0, 5.0, 10)
    ego[4, 1] = 3.0
    result = metric(hand, "drivable_area_compliance", ego, hand.road())
    assert result.score == 0.0
    assert result.series["road_edge_distance"].argmin() == 4


def test_polygons_beside_the_lane_are_drivable(hand) -> None:
    lot = [(-50.0, 1.0), (300.0, 1.0), (300.0, 9.0), (-50.0, 9.0)]
    ego = hand.drive(0.0, 5.0, 10, y=6.0)
    for kind, score in ((AreaKind.PARKING, 1.0), (AreaKind.GENERIC, 1.0), (AreaKind.CROSSWALK, 0.0)):
        assert metric(hand, "drivable_area_compliance", ego, hand.road(areas=[(lot, kind)])).score == score


def test_edge_distance_agrees_with_the_maps_own(hand) -> None:
    hole = [(-40.0, -9.0), (60.0, -12.0), (90.0, 14.0), (-20.0, 8.0)]
    area = DrivableArea.of(hand.road([(-2.0, 2.0), (2.0, 6.0)], areas=[(hole, AreaKind.GENERIC)]))
    points = np.random.default_rng(1).uniform((-120.0, -30.0), (420.0, 30.0), (400, 2)).reshape(100, 4, 2)
    np.testing.assert_allclose(edge_distance(area, points), area.signed_distance(points), atol=1e-9)


@pytest.mark.parametrize(
    ("fast", "over", "score"),
    [
        (150, 2.23, 0.0),
        (75, 2.23, 0.5),
        (75, 1.115, 0.75),
        (150, 9.0, 0.0),
        (150, -0.01, 1.0),
        (1, 2.23, 149.0 / 150.0),
    ],
)
def test_overspeed_of_2_23_for_all_the_time_costs_everything(
    hand, fast: int, over: float, score: float
) -> None:
    ego = hand.drive(0.0, 10.0, 151)
    ego[151 - fast :, 3] = 10.0 + over
    result = metric(hand, "speed_limit_compliance", ego, hand.road(limit=10.0))
    assert result.score == pytest.approx(score)
    np.testing.assert_allclose(result.series["speed_limit"], 10.0)
    assert result.series["overspeed"].max() == pytest.approx(max(over, 0.0))


def test_statistics_of_two_violations(hand) -> None:
    ego = hand.drive(0.0, 10.0, 11)
    ego[1:3, 3], ego[6:7, 3] = (11.0, 13.0), 12.0
    found = metric(hand, "speed_limit_compliance", ego, hand.road(limit=10.0)).statistics
    assert found["number_of_violations_of_speed_limit_compliance"] == 2
    assert found["max_violation_of_speed_limit_compliance"] == pytest.approx(3.0)
    assert found["min_violation_of_speed_limit_compliance"] == pytest.approx(2.0)
    assert found["mean_violation_of_speed_limit_compliance"] == pytest.approx(2.0)  # (2 * 2 + 2 * 1) / 3
    assert found["speed_limit_compliance"] is False


def test_no_limit_no_violation(hand) -> None:
    ego = hand.drive(0.0, 60.0, 31)
    for road in (hand.road(limit=None), hand.road(((50.0, 54.0),))):
        result = metric(hand, "speed_limit_compliance", ego, road)
        assert result.score == 1.0
        assert np.isnan(result.series["speed_limit"]).all()


def test_a_connector_takes_the_largest_limit_around_it(hand) -> None:
    road = hand.road(ends=(0.0, 50.0, 100.0, 150.0), connectors=(1,))
    route = [(0,), (1,), (2,), ()]
    for limits, expected in (
        ((8.0, 5.0, 12.0), (8.0, 12.0, 12.0)),
        ((8.0, 5.0, np.nan), (8.0, np.nan, np.nan)),
    ):
        road = dataclasses.replace(road, speed_limit=np.array(limits))
        np.testing.assert_equal(speed_limits(LaneShapes.of(road), route), [*expected, np.nan])
