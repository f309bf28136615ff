"""Progress along the expert's route, driving direction, and which lanes the ego is in."""

from __future__ import annotations

import numpy as np
import pytest

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.lanes import LaneShapes, follow
from drive.eval.metrics.nuplan.route import route_lanes
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder

ENDS = (0.0, 100.0, 103.0, 200.0, 400.0)


def metrics(hand, ego, expert=None, road=None, **more):
    road = road or hand.road(ends=ENDS)
    return NUPLAN_CLS.evaluate(hand.run(ego, roadmap=road, expert=expert, **more)).metrics


@pytest.mark.parametrize(
    ("metres", "ratio", "making"),
    [
        (21.0, 0.21, 1.0),
        (19.0, 0.19, 0.0),
        (100.0, 1.0, 1.0),
        (150.0, 1.0, 1.0),
        (1.0, 0.02, 0.0),
        (0.0, 0.02, 0.0),
    ],
)
def test_ratio_to_an_expert_of_100_metres(hand, metres: float, ratio: float, making: float) -> None:
    # Begun so that no sample falls on a seam, which is in no lane.
    expert = hand.drive(20.3, 10.0, 101)
    found = metrics(hand, hand.drive(20.3, metres / 10.0, 101), expert)
    progress = found["ego_progress_along_expert_route"]
    assert progress.score == pytest.approx(ratio, abs=1e-9)
    assert progress.statistics["expert_total_progress_along_route"] == pytest.approx(100.0)
    assert progress.statistics["ego_total_progress_along_route"] == pytest.approx(metres, abs=1e-9)
    np.testing.assert_allclose(progress.series["progress"], np.linspace(0.0, metres, 101), atol=1e-6)
    assert found["ego_is_making_progress"].score == making


@pytest.mark.parametrize(("metres", "score"), [(-1.99, 0.1), (-2.01, 0.0)])
def test_driving_back_more_than_two_metres_scores_nothing(hand, metres: float, score: float) -> None:
    found = metrics(hand, hand.drive(50.0, metres / 2.0, 21), hand.drive(50.0, 10.0, 21))
    assert found["ego_progress_along_expert_route"].score == pytest.approx(score)


def test_a_standing_expert_asks_for_nothing(hand) -> None:
    found = metrics(hand, hand.drive(20.0, 0.0, 21), hand.drive(20.0, 0.0, 21))
    assert found["ego_progress_along_expert_route"].score == 1.0
    assert found["ego_is_making_progress"].score == 1.0


def test_an_expert_off_the_lanes_is_no_route(hand) -> None:
    found = metrics(hand, hand.drive(20.0, 0.0, 21), hand.drive(20.0, 5.0, 21, y=50.0))
    assert found["ego_progress_along_expert_route"].score == 1.0
    assert found["ego_progress_along_expert_route"].statistics["expert_total_progress_along_route"] == 0.0


def test_without_an_expert_progress_has_no_value(hand) -> None:
    found = metrics(hand, hand.drive(20.0, 5.0, 21))
    for name in ("ego_progress_along_expert_route", "ego_is_making_progress"):
        assert found[name].score is None
        assert not found[name].valid


def test_groups_that_the_ego_jumps_over_count(hand) -> None:
    # The expert is seen in the 3 m group from 100 to 103 m; at 50 m/s the ego is not (95, 100 - , 105).
    expert = hand.drive(52.5, 10.0, 101)
    found = metrics(hand, hand.drive(59.5, 50.0, 21), expert)
    statistics = found["ego_progress_along_expert_route"].statistics
    assert statistics["ego_total_progress_along_route"] == pytest.approx(100.0)
    assert statistics["expert_total_progress_along_route"] == pytest.approx(100.0)


def test_an_excursion_earns_nothing_until_the_return(hand) -> None:
    ego = hand.drive(20.0, 10.0, 51)
    ego[11:31, 1] = 30.0
    found = metrics(hand, ego, hand.drive(20.0, 10.0, 51))["ego_progress_along_expert_route"]
    steps = np.diff(found.series["progress"])
    np.testing.assert_allclose(steps[10:30], 0.0, atol=1e-9)
    assert steps[30] == pytest.approx(21.0)
    assert steps.sum() == pytest.approx(50.0)


def test_another_lane_of_the_same_group_is_on_the_route(hand) -> None:
    road = hand.road([(-2.0, 2.0), (2.0, 6.0)], ENDS)
    found = metrics(hand, hand.drive(20.0, 10.0, 51, y=4.0), hand.drive(20.0, 10.0, 51), road)
    assert found["ego_progress_along_expert_route"].score == pytest.approx(1.0)
    # Exactly on the line between two lanes the centre is in neither, yet in their group.
    found = metrics(hand, hand.drive(20.0, 10.0, 51, y=2.0), hand.drive(20.0, 10.0, 51), road)
    assert found["ego_progress_along_expert_route"].score == pytest.approx(1.0)


@pytest.mark.parametrize(("speed", "score"), [(1.80, 1.0), (1.83, 0.5), (5.44, 0.5), (5.46, 0.0)])
def test_wrong_way_in_one_second_is_eleven_steps(hand, speed: float, score: float) -> None:
    # 11 steps of 0.1 s: 1.98 m, 2.013 m, 5.984 m, 6.006 m.
    found = metrics(hand, hand.drive(90.0, -speed, 40))["driving_direction_compliance"]
    assert found.score == score
    worst = found.statistics["min_progress_along_driving_direction_in_1_second_interval"]
    assert worst == pytest.approx(-1.1 * speed)


def test_a_wrong_way_burst_shorter_than_a_second_counts_its_length(hand) -> None:
    x = np.concatenate((np.full(20, 50.0), 50.0 - 0.65 * np.arange(1, 4), np.full(20, 48.05)))
    ego = hand.states(np.stack((x, np.zeros_like(x)), axis=1), speed=1.0)
    assert metrics(hand, ego)["driving_direction_compliance"].score == 1.0
    ego[20:23, 0] = 49.0 - 0.67 * np.arange(1, 4)
    ego[23:, 0] = 49.0 - 2.01
    assert metrics(hand, ego)["driving_direction_compliance"].score == 0.5


def test_no_direction_off_the_lanes(hand) -> None:
    assert metrics(hand, hand.drive(90.0, -15.0, 40, y=50.0))["driving_direction_compliance"].score == 1.0


def crossing():
    """Overlapping lanes over the origin: 0 along +x, 1 at 60 degrees to it, and connector 2 at 30 degrees."""
    builder = RoadMapBuilder()
    t = np.linspace(-30.0, 30.0, 13)
    for name, angle, kind in (("x", 0.0, 0), ("y", np.pi / 3.0, 0), ("d", np.pi / 6.0, 1)):
        c, s = np.cos(angle), np.sin(angle)
        sides = [np.stack((c * t - s * w, s * t + c * w), axis=1) for w in (3.0, -3.0)]
        builder.add(LaneSpec(name, *sides, kind=LaneKind(kind)))
    return builder.build()


@pytest.mark.parametrize(
    ("heading", "preferred", "lane"),
    [
        (0.1, (), 0),
        (1.0, (), 1),
        (0.6, (), 1),
        (0.6, (0,), 0),
        (0.4, (1,), 1),
        (0.1, (1,), 0),
        (-3.1, (), 1),
        (-3.1, (0,), 0),
    ],
)
def test_overlapping_lanes_are_told_apart_by_heading_and_route(heading, preferred, lane) -> None:
    shapes = LaneShapes.of(crossing())
    driven = follow(shapes, np.zeros((1, 2)), np.array([heading]), preferred)
    assert driven.lanes == [(0, 1, 2)]
    assert driven.route == [(lane,)]


def test_the_route_follows_successors_and_merges_groups(hand) -> None:
    shapes = LaneShapes.of(hand.road(ends=ENDS, connectors=(1,)))
    x = np.linspace(95.5, 205.5, 111)  # Never on a seam, which is in no lane.
    driven = follow(shapes, np.stack((x, np.zeros(111)), axis=1), np.zeros(111), ())
    changes = [lanes for i, lanes in enumerate(driven.route) if i == 0 or lanes != driven.route[i - 1]]
    assert changes == [(0,), (1,), (2,), (3,)]
    assert route_lanes(shapes, driven.route) == (0, 1, 2, 3)


def test_several_connectors_are_thinned_out_to_the_one_that_was_driven(hand) -> None:
    roadmap, arc, out = hand.fork()
    shapes = LaneShapes.of(roadmap)
    path = np.concatenate(([[-5.0, 0.0]], arc[1:-1], out[1:-1]))
    driven = follow(shapes, path, np.linspace(0.0, 1.0, len(path)), ())
    assert (1, 2) in driven.lanes
    assert set(driven.route) == {(0,), (2,), (4,)}
    straight = np.stack((np.linspace(-5.1, 50.0, 30), np.full(30, 0.01)), axis=1)
    assert set(follow(shapes, straight, np.zeros(30), ()).route) == {(0,), (1,), (3,)}


def test_a_drive_does_not_jump_between_connectors_that_are_close(hand) -> None:
    roadmap, _, _ = hand.fork()
    shapes = LaneShapes.of(roadmap)
    # Along the straight connector, then out of its polygon by half a metre, into the left one alone.
    path = np.array(
        [[-2.0, 0.0], [1.0, -1.5], [16.0, -1.5], [17.0, 2.5], [18.0, 2.5], [19.0, 0.0], [32.0, 0.0]]
    )
    driven = follow(shapes, path, np.zeros(len(path)), ())
    assert driven.lanes[3] == (2,)
    assert driven.route == [(0,), (1,), (1,), (1,), (1,), (1,), (3,)]
