"""The costs of SMARTS against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drive.errors import InputError
from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.smarts import (
    MAX_ACCELERATION,
    MAX_JERK,
    PARTS,
    SMARTS,
    SmartsScore,
    comfort_cost,
    jerk_cost,
    obstacle_cost,
    speed_limit_cost,
)
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.vehicle import AgentKind


def scene(hand, ego, agents=(), length: float = 100.0, limit: float = 20.0, **changes):
    run = hand.run(
        ego,
        agents,
        hand.road([(-2.0, 2.0)], limit=limit),
        goal={"position": [length, 0.0], "time": [0.0, 1e6]},
    )
    return replace(run, route_line=np.array([[0.0, 0.0], [400.0, 0.0]]), **changes)


def costs(run, score: SmartsScore = SMARTS) -> dict[str, float]:
    found = score.evaluate(run)
    values = {name: metric.score for name, metric in found.metrics.items()}
    assert score.recompute(values) == found.score
    assert set(values) | {"smarts"} == set(score.explain())
    assert all(0.0 <= value <= 1.0 for value in values.values())
    return {**values, "smarts": found.score}


def test_the_bounds_are_those_of_the_paper() -> None:
    assert pytest.approx(1.2728, abs=1e-4) == MAX_JERK
    assert pytest.approx(2.4821, abs=1e-4) == MAX_ACCELERATION


def test_speed_and_jerk_by_hand() -> None:
    limit = np.full(4, 10.0)
    found = speed_limit_cost(np.array([10.0, 12.5, 15.0, 30.0]), limit)
    assert found == pytest.approx([0.0, 0.25, 1.0, 1.0])
    assert speed_limit_cost(np.array([50.0]), np.array([np.nan])) == pytest.approx([0.0])
    assert jerk_cost(np.array([0.0, -0.6364, 1.2728, 9.0])) == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=1e-4)


def test_a_drive_to_the_goal(hand) -> None:
    # 100 m at 10 m/s of 12 s, in the middle of the lane, alone, below the limit.
    found = costs(scene(hand, hand.drive(0.0, 10.0, 121)))
    assert found["dist_to_destination"] == 0.0
    assert found["time_cost"] == pytest.approx(100 / 120, abs=0.01)
    assert found["humanness_error"] == found["rule_violation"] == 0.0
    assert found["smarts"] == pytest.approx((3.0 + 1.0 - 100 / 120) / 4.0, abs=0.005)


def test_half_the_way_too_fast_and_beside_the_middle(hand) -> None:
    # 50 m at 10 m/s where 8 is allowed, 1 m beside the middle of a lane of 2 m to each side.
    ego = hand.drive(0.0, 10.0, 51, y=1.0)
    found = costs(scene(hand, ego, limit=8.0))
    assert found["dist_to_destination"] == pytest.approx(0.51, abs=0.001)  # 50 m and 1 m aside
    assert found["time_cost"] == 1.0
    assert found["speed_limit"] == pytest.approx(0.25)
    assert found["lane_center_offset"] == pytest.approx(0.25)
    assert found["rule_violation"] == pytest.approx(0.125)
    assert found["humanness_error"] == pytest.approx(0.25 / 3.0)
    assert found["smarts"] == pytest.approx((0.49 + 0.0 + 1.0 - 0.25 / 3.0 + 0.875) / 4.0, abs=1e-3)


@pytest.mark.parametrize(
    ("pose", "kind", "cost"),
    [
        ((20.0, 0.0, 0.0), AgentKind.VEHICLE, np.exp(-1.0)),
        ((30.0, 0.0, 0.0), AgentKind.VEHICLE, np.exp(-1.5)),
        ((30.1, 0.0, 0.0), AgentKind.VEHICLE, None),  # 3 s at 10 m/s
        ((15.0, 12.5, 0.0), AgentKind.TRUCK, np.exp(-0.05 * np.hypot(15.0, 12.5))),  # 39.8 degrees
        ((15.0, 12.7, 0.0), AgentKind.TRUCK, None),  # 40.3 degrees
        ((-5.0, 0.0, 0.0), AgentKind.VEHICLE, None),
        ((20.0, 0.0, np.pi), AgentKind.VEHICLE, None),  # straight towards the ego
        ((20.0, 0.0, np.radians(178.9)), AgentKind.VEHICLE, np.exp(-1.0)),
        ((20.0, 0.0, 0.0), AgentKind.PEDESTRIAN, None),
    ],
)
def test_the_distance_to_obstacles(hand, pose, kind, cost) -> None:
    run = scene(hand, hand.states([[0.0, 0.0]], speed=10.0), [hand.agent(pose, kind=kind)])
    found = obstacle_cost(run, Ego.of(run))[0]
    assert np.isnan(found) if cost is None else found == pytest.approx(cost)


def test_the_nearest_obstacle_counts_and_a_standing_ego_has_none(hand) -> None:
    boxes = [hand.agent((20.0, 0.0, 0.0)), hand.agent((10.0, 4.0, 0.0))]
    for speed, cost in ((10.0, np.exp(-0.05 * np.hypot(10.0, 4.0))), (0.0, np.nan)):
        run = scene(hand, hand.states([[0.0, 0.0]], speed=speed), boxes)
        assert obstacle_cost(run, Ego.of(run))[0] == pytest.approx(cost, nan_ok=True)


def test_the_mean_over_obstacles_ends_as_published(hand) -> None:
    # A car 20 m ahead for the first half of the drive alone.
    x = np.arange(11.0)
    there = np.arange(11) <= 5
    pose = np.stack((x + 20.0, 0 * x, 0 * x), axis=1)
    ego = hand.drive(0.0, 10.0, 11)
    gone = scene(hand, ego, [hand.agent(pose, (10.0, 0.0), valid=there)])
    stays = scene(hand, ego, [hand.agent(pose, (10.0, 0.0), valid=~there)])
    assert costs(gone)["dist_to_obstacles"] == 0.0
    assert costs(stays)["dist_to_obstacles"] == pytest.approx(np.exp(-1.0))
    mean = SmartsScore(last_step=False)
    assert costs(gone, mean)["dist_to_obstacles"] == pytest.approx(0.5 * np.exp(-1.0))
    assert mean.version != SMARTS.version


def test_comfort_counts_three_seconds_after_a_jerk() -> None:
    # Along +x at 5 m/s; at step 20 the speed jumps to 5.5 m/s: 5 m/s^2.
    steps = np.where(np.arange(60) < 20, 0.5, 0.55)
    x = np.concatenate(([0.0], np.cumsum(steps)))
    line = np.stack((x, 0 * x), axis=1)
    # Bad at sample 21 alone (the jerk is negative after it): 30 steps of 61 + 30.
    assert comfort_cost(line) == pytest.approx(30 / 91)
    assert comfort_cost(np.stack((np.linspace(0, 30, 61), np.zeros(61)), axis=1)) == 0.0
    # Braking does not count, but the jerk of its end does: the acceleration goes back to 0.
    brake = np.concatenate(([0.0], np.cumsum(np.where(np.arange(60) < 20, 0.5, 0.45))))
    assert comfort_cost(np.stack((brake, 0 * brake), axis=1)) == pytest.approx(30 / 91)
    # Displacements of 0.1 m or less are standing.
    crawl = np.concatenate(([0.0], np.cumsum(np.where(np.arange(60) < 20, 0.05, 0.1))))
    assert comfort_cost(np.stack((crawl, 0 * crawl), axis=1)) == 0.0


def test_the_variant_of_the_2023_tracks(hand) -> None:
    ego = hand.drive(0.0, 10.0, 51, y=1.0)
    found = costs(scene(hand, ego), SmartsScore("drive_2023"))
    assert found["humanness_error"] == pytest.approx(0.5 * (0.0 + 0.25))


def test_a_contact_and_the_road_edge_end_the_run(hand) -> None:
    ego = hand.drive(0.0, 10.0, 121)
    # Contact at x = 47.5 or just after; the rest of the way does not count.
    box = hand.agent((50.0, 0.0, 0.0), size=(1.0, 2.0))
    found = costs(scene(hand, ego, [box]))
    assert found["time_cost"] == 1.0
    assert found["dist_to_destination"] == pytest.approx(0.52, abs=0.011)
    # Past 30 m the way leads off the road: at y = 2 the centre leaves it.
    x = np.arange(121.0)
    away = hand.states(np.stack((x, np.maximum(x - 30.0, 0.0)), axis=1), speed=10.0)
    off = costs(scene(hand, away))
    assert off["time_cost"] == 1.0
    assert off["dist_to_destination"] == pytest.approx(0.70, abs=0.03)


def test_the_way_driven_off_the_route_is_added(hand) -> None:
    # Within 7 m of the route up to x = 37; then 20 m more on a wide road, away from it.
    builder = RoadMapBuilder()
    x = np.linspace(-100.0, 400.0, 5)
    builder.add(LaneSpec("wide", np.stack((x, 0 * x + 90), axis=1), np.stack((x, 0 * x - 90), axis=1)))
    y = np.concatenate((np.zeros(31), np.arange(1.0, 28.0)))
    way = np.stack((np.concatenate((np.arange(31.0), np.full(27, 30.0))), y), axis=1)
    run = scene(hand, hand.states(way, speed=10.0), roadmap=builder.build())
    # 7 m aside at the last place on the route, 20 m since then, 70 m to go.
    assert costs(run)["dist_to_destination"] == pytest.approx(0.97, abs=0.001)


def test_driving_against_the_lane(hand) -> None:
    back = hand.states([[50.0 - 0.5 * k, 0.0] for k in range(41)], heading=np.pi, speed=5.0)
    found = costs(scene(hand, back))
    assert found["wrong_way"] == 1.0
    assert found["rule_violation"] == 0.5


def test_failed_runs_and_runs_without_a_way(hand) -> None:
    run = scene(hand, hand.drive(0.0, 10.0, 121))
    assert SMARTS.evaluate(run.with_header(failure={"class": "planner_error", "reason": "x"})).score == 0.0
    lost = SMARTS.evaluate(replace(run, route_line=np.zeros((0, 2))))
    assert lost.score == 0.0
    assert [lost.metrics[name].valid for name in PARTS] == [False] * 4
    with pytest.raises(InputError, match="runs on roads"):
        SMARTS.evaluate(replace(run, terrain=object()))
