"""Time to collision: the bound, who counts, and a step-by-step projection as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.collisions import find_contacts
from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.nuplan.ttc import time_to_collision
from drive.geometry import box_corners
from drive.roadmap import AreaKind
from drive.vehicle import AgentKind


def evaluate(hand, agent, speed: float = 10.0, road=None):
    road = road or hand.road([(-20.0, 20.0)])
    return NUPLAN_CLS.evaluate(hand.run(hand.drive(0.0, speed, 1), [agent], road)).metrics[
        "time_to_collision_within_bound"
    ]


@pytest.mark.parametrize(
    ("gap", "time", "score"),
    [
        (9.0 - 1e-6, 0.9, 0.0),
        (9.0 + 1e-6, 1.0, 1.0),
        (9.5, 1.0, 1.0),
        (10.0 + 1e-6, 1.1, 1.0),
        (0.5, 0.1, 0.0),
        (29.0 - 1e-6, 2.9, 1.0),
        (29.0 + 1e-6, None, 1.0),
    ],
)
def test_a_standing_car_ahead(hand, gap: float, time: float | None, score: float) -> None:
    # Both cars are 4 m long; the ego does 1 m a step.
    result = evaluate(hand, hand.agent((4.0 + gap, 0.0, 0.0)))
    assert result.score == score
    smallest = result.statistics["min_time_to_collision"]
    assert smallest is None if time is None else smallest == pytest.approx(time)


def test_a_lead_that_drives_away_is_no_threat_and_an_oncoming_one_is(hand) -> None:
    assert (
        evaluate(hand, hand.agent((6.0, 0.0, 0.0), (10.0, 0.0))).statistics["min_time_to_collision"] is None
    )
    closing = evaluate(hand, hand.agent((24.0 + 1e-6, 0.0, np.pi), (-10.0, 0.0)))
    assert closing.statistics["min_time_to_collision"] == pytest.approx(1.1)
    # A static object has no speed; a reversing car is projected along its heading.
    static = hand.agent((24.0 - 1e-6, 0.0, np.pi), (-10.0, 0.0), kind=AgentKind.STATIC)
    assert evaluate(hand, static).statistics["min_time_to_collision"] == pytest.approx(2.0)
    assert evaluate(hand, hand.agent((9.0, 0.0, 0.0), (-10.0, 0.0))).score == 1.0


def test_a_stopped_ego_has_no_time_to_collision(hand) -> None:
    near = hand.agent((4.1, 0.0, np.pi), (-10.0, 0.0))
    assert evaluate(hand, near, speed=0.005).score == 1.0
    assert evaluate(hand, near, speed=0.0051).score == 0.0


@pytest.mark.parametrize(("degrees", "score"), [(29.0, 0.0), (31.0, 1.0)])
def test_ahead_means_within_30_degrees_of_the_rear_axle(hand, degrees: float, score: float) -> None:
    angle = np.radians(degrees)
    pose = (-1.0 + 8.0 * np.cos(angle), 8.0 * np.sin(angle), -np.pi / 2.0)
    assert evaluate(hand, hand.agent(pose, (0.0, -8.0))).score == score


def test_lateral_traffic_counts_between_lanes_and_in_intersections(hand) -> None:
    side = hand.agent((6.0, 8.0, -np.pi / 2.0), (0.0, -9.0))
    behind = hand.agent((-6.0, 0.5, 0.0), (20.0, 0.0))
    square = [((-50.0, -50.0), (50.0, -50.0), (50.0, 50.0), (-50.0, 50.0))]
    wide = [(-20.0, 20.0)]
    roads = {
        "lane": (hand.road(wide), 1.0),
        "between": (hand.road([(-20.0, 0.5), (0.5, 20.0)]), 0.0),
        "lane flag": (hand.road(wide, intersection=(0,)), 0.0),
        "polygon": (hand.road(wide, areas=[(square[0], AreaKind.INTERSECTION)]), 0.0),
        "road polygon": (hand.road(wide, areas=[(square[0], AreaKind.ROAD)]), 1.0),
    }
    for name, (road, score) in roads.items():
        assert evaluate(hand, side, road=road).score == score, name
        assert evaluate(hand, behind, road=road).score == 1.0, name


def test_an_at_fault_contact_counts_as_zero_and_others_drop_out(hand) -> None:
    road = hand.road([(-20.0, 20.0)])
    hit = hand.run(hand.drive(0.0, 5.0, 5), [hand.agent((3.9, 0.0, 0.0), (1.0, 0.0))], road)
    result = NUPLAN_CLS.evaluate(hit).metrics["time_to_collision_within_bound"]
    assert result.score == 0.0
    assert result.series["time_to_collision"].tolist() == [0.0, np.inf, np.inf, np.inf, np.inf]
    rammed = hand.run(hand.drive(0.0, 5.0, 5), [hand.agent((-3.5, 0.0, 0.0), (9.0, 0.0))], road)
    assert NUPLAN_CLS.evaluate(rammed).metrics["time_to_collision_within_bound"].score == 1.0


def stepwise(run, exposed: np.ndarray) -> np.ndarray:
    """The same quantity by moving the boxes step by step, with shapely's intersection."""
    ego = Ego.of(run)
    out = np.full(len(ego), np.inf)
    for n in range(len(ego)):
        e_dir = np.array([np.cos(ego.heading[n]), np.sin(ego.heading[n])])
        for a, state in enumerate(run.agents[:, n]):
            to = state[:2] - ego.rear[n]
            angle = np.degrees(np.arccos(np.clip(to @ e_dir / np.hypot(*to), -1, 1)))
            if not (angle < 30.0 or (exposed[n] and angle <= 150.0)):
                continue
            a_dir = np.array([np.cos(state[2]), np.sin(state[2])]) * np.hypot(*state[3:])
            for k in range(1, 30):
                mine = box_corners(ego.center[n] + 0.1 * k * ego.speed[n] * e_dir, ego.heading[n], 4.0, 2.0)
                other = box_corners(state[:2] + 0.1 * k * a_dir, state[2], *run.agent_size[a, :2])
                if shapely.Polygon(mine).intersects(shapely.Polygon(other)):
                    out[n] = min(out[n], 0.1 * k)
                    break
    return out


@pytest.mark.parametrize("seed", range(4))
def test_intervals_agree_with_stepwise_projection(hand, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    agents = []
    for _ in range(8):
        pose = np.stack((rng.uniform(-30, 30, n), rng.uniform(-15, 15, n), rng.uniform(-3, 3, n)), axis=1)
        agents.append(hand.agent(pose, rng.uniform(-9, 9, (n, 2)), size=tuple(rng.uniform(1.0, 6.0, 2))))
    ego = hand.states(rng.uniform(-2, 2, (n, 2)), heading=rng.uniform(-3, 3, n), speed=rng.uniform(1, 15, n))
    run = hand.run(ego, agents)
    exposed = rng.random(n) < 0.5
    found = find_contacts(run, Ego.of(run), np.ones(n, dtype=bool))
    for array in (found.sample, found.at_fault):
        array[:] = -1 if array is found.sample else 0  # Contacts are not what this compares.
    times = time_to_collision(run, Ego.of(run), found, exposed)
    np.testing.assert_allclose(times, stepwise(run, exposed), atol=1e-9)
    assert np.isfinite(times).sum() >= 4
