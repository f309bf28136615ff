"""The CARLA formulas against values worked out by hand, at each threshold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.eval.metrics.base import Summary, judge, load_score
from drive.eval.metrics.carla import CARLA_1_0, CARLA_2_0, CARLA_2_1
from drive.eval.metrics.carla.constants import RULES_1_0, RULES_2_0, RULES_BENCH2DRIVE
from drive.eval.metrics.carla.course import Course, follow
from drive.eval.metrics.carla.record import Record, observe
from drive.roadmap import AreaKind, LaneSpec, RoadMapBuilder
from drive.vehicle import AgentKind

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
# The hand-made car is 4 m by 2 m; its front is 2 m before its centre.
PEDESTRIAN, VEHICLE, LAYOUT = "collisions_pedestrian", "collisions_vehicle", "collisions_layout"


def scene(hand, ego, agents=(), length: float = 100.0, goal: bool = True, **changes):
    """A run along +x whose route starts at x = 0 and ends at a goal at x = `length`."""
    kinds = {"dt": changes.pop("dt", 0.1), "roadmap": changes.pop("roadmap", None)}
    place = {"position": [length, 0.0], "time": [0.0, 1e6]} if goal else None
    run = hand.run(ego, agents, goal=place, expert=changes.pop("expert", None), **kinds)
    header = {**run.header, "scenario": {**run.header["scenario"], **changes.pop("scenario", {})}}
    line = np.array([[0.0, 0.0], [max(length, 400.0), 0.0]])
    return replace(run, header=header, route_line=line, **changes)


def record(run, rules=RULES_2_0) -> Record:
    found = observe(run, rules)
    assert found is not None
    return found


# --- Route completion ---


def test_completion_needs_the_last_points_and_the_nearness_of_the_end(hand) -> None:
    for end, share, done in (
        (50.5, 50.0, False),
        (98.5, 98.0, False),
        (99.5, 99.0, False),
        (100.5, 100.0, True),
    ):
        found = record(scene(hand, hand.states([[x, 0.0] for x in np.linspace(0.0, end, 101)], speed=5.0)))
        assert (found.completion, found.completed) == (share, done)
    # All points passed, 10 m beside the end or a little less; 15 m is where the way is no longer safe.
    for aside, done in ((10.0, False), (9.9, True)):
        way = np.stack((np.linspace(0.0, 100.2, 101), np.linspace(0.0, aside, 101)), axis=1)
        found = record(scene(hand, hand.states(way, speed=5.0)))
        assert (found.completion, found.completed) == (100.0, done)


CRITERIA = SHARED / "carla_scenario_runner" / "metrics" / "data" / "CriteriaFilter_criteria.json"


@pytest.mark.skipif(not CRITERIA.is_file(), reason="the ScenarioRunner records are not on this machine")
def test_a_recorded_route_ends_where_carla_ended_it() -> None:
    criteria = json.loads(CRITERIA.read_text())
    station = np.asarray(criteria["RouteCompletionTest"]["_accum_meters"])
    station = station + 1e-9 * np.arange(len(station))  # two of its points lie in one place
    points = np.stack((station, 0.0 * station), axis=1)
    course = Course(points, np.zeros(len(station)), station, len(station) - 1, True)
    times = np.arange(0.0, 80.0, 0.1)
    centers = np.stack((10.0 * times, 0.0 * times), axis=1)
    way = follow(course, times, centers, np.zeros(len(times), dtype=bool))
    # The first of its 762 points beyond 99 %: CARLA stopped all its criteria there.
    assert way.index[way.completed] == criteria["RouteCompletionTest"]["_current_index"] == 754
    assert way.total[way.completed] == pytest.approx(criteria["OutsideRouteLanesTest"]["_total_distance"])
    assert criteria["InRouteTest"]["actual_value"] == 0
    assert way.deviated > way.completed  # only the way on, far beyond the last point


def test_a_short_cut_and_driving_back_earn_nothing(hand) -> None:
    out = np.concatenate((np.linspace(0.0, 40.5, 41), np.linspace(40.5, 10.0, 31)))
    found = record(scene(hand, hand.states(np.stack((out, 0 * out), axis=1), speed=5.0)))
    assert found.completion == 40.0
    # A jump of 50 m in a step lets two points a tick be passed, two ticks a step.
    jump = np.stack((np.array([0.5, 0.6, 50.0, 50.1, 50.2]), np.zeros(5)), axis=1)
    assert record(scene(hand, hand.states(jump, speed=5.0))).completion < 20.0


def test_nothing_counts_after_the_goal_but_does_after_the_experts_end(hand) -> None:
    # The wall stands at 110 m, the route ends at 100 m.
    wall = hand.agent((114.0, 0.0, 0.0), kind=AgentKind.STATIC)
    ego = hand.drive(0.0, 10.0, 131)
    with_goal = record(scene(hand, ego, [wall]))
    assert (with_goal.completed, with_goal.events) == (True, ())
    assert with_goal.end in (100, 101)
    expert = hand.drive(0.0, 10.2, 101)
    without = record(scene(hand, ego, [wall], goal=False, expert=expert))
    assert without.length == pytest.approx(100.0)  # 2 m before the expert's 102 m
    assert without.completed
    assert [name for _, name in without.events] == [LAYOUT]


def test_an_expert_that_stands_asks_for_nothing(hand) -> None:
    still = hand.drive(0.0, 0.0, 31)
    found = record(scene(hand, still, goal=False, expert=still))
    assert (found.completion, found.completed, found.events) == (100.0, True, ())
    assert CARLA_2_1.evaluate(scene(hand, still, goal=False, expert=still)).score == 1.0


def test_thirty_metres_off_the_route_end_it(hand) -> None:
    for aside, ended in ((29.9, False), (30.1, True)):
        way = np.stack((np.linspace(0.0, 30.0, 61), np.linspace(0.0, aside, 61)), axis=1)
        found = record(scene(hand, hand.states(way, speed=5.0)))
        assert (found.counts()["route_dev"] == 1) is ended
    # 15 m off is too far for more than 30 % of the route.
    for y, ended in ((14.9, False), (15.1, True)):
        x = np.linspace(0.0, 60.0, 121)
        way = np.stack((x, np.minimum(x, y)), axis=1)
        found = record(scene(hand, hand.states(way, speed=5.0)))
        assert (found.counts()["route_dev"] == 1) is ended
        assert (found.end < 120) is ended


def test_standing_too_long_ends_the_route(hand) -> None:
    # Blocked after more than 60 s below 0.1 m/s by Bench2Drive, 180 s by the leaderboard.
    for seconds, speed, of_bench, of_leaderboard in (
        (60, 0.0, 0, 0),
        (61, 0.0, 1, 0),
        (61, 0.1, 0, 0),
        (180, 0.0, 1, 0),
        (181, 0.0, 1, 1),
    ):
        run = scene(hand, hand.states(np.zeros((seconds + 1, 2)), speed=speed), dt=1.0)
        assert record(run, RULES_BENCH2DRIVE).counts()["vehicle_blocked"] == of_bench
        assert record(run, RULES_2_0).counts()["vehicle_blocked"] == of_leaderboard


def test_timeouts(hand) -> None:
    # 100 m: 85 s in 1.0. Since 2.0 it is 300 s and what a tenth of the limit takes, here unknown.
    for seconds, late in ((85, 0), (86, 1)):
        run = scene(hand, hand.states(np.zeros((seconds + 1, 2)), speed=0.2), dt=1.0)
        assert record(run, RULES_1_0).counts()["route_timeout"] == late
        assert record(run, RULES_2_0).counts()["route_timeout"] == 0
    for seconds, late in ((240, 0), (241, 1)):
        run = scene(hand, hand.states(np.zeros((seconds + 1, 2)), speed=0.2), dt=1.0)
        assert record(run, RULES_2_0).counts()["scenario_timeouts"] == late
        assert record(run, RULES_1_0).counts()["scenario_timeouts"] == 0
    for seconds, late in ((300, 0), (301, 1)):
        run = scene(hand, hand.states(np.zeros((seconds + 1, 2)), speed=0.2), dt=1.0)
        assert record(run, RULES_2_0).counts()["route_timeout"] == late


# --- Collisions ---


def hits(hand, ego, *agents, rules=RULES_2_0, **changes) -> list[str]:
    return [name for _, name in record(scene(hand, ego, agents, **changes), rules).events]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (AgentKind.PEDESTRIAN, PEDESTRIAN),
        (AgentKind.VEHICLE, VEHICLE),
        (AgentKind.TRUCK, VEHICLE),
        (AgentKind.BICYCLE, VEHICLE),  # CARLA's bicycles are vehicles
        (AgentKind.STATIC, LAYOUT),
        (AgentKind.UNKNOWN, LAYOUT),
    ],
)
def test_the_kind_of_a_collision(hand, kind, name) -> None:
    box = hand.agent((10.0, 0.0, 0.0), size=(1.0, 1.0), kind=kind)
    assert hits(hand, hand.drive(0.0, 5.0, 31), box) == [name]
    assert hits(hand, hand.drive(0.0, 5.0, 10), box) == []


def test_a_building_is_layout(hand) -> None:
    ring = [(20.0, -0.5), (30.0, -0.5), (30.0, 5.0), (20.0, 5.0)]
    road = hand.road(areas=[(ring, AreaKind.OCCLUDER)])
    assert hits(hand, hand.drive(0.0, 5.0, 41), roadmap=road) == [LAYOUT]


def test_a_standing_ego_is_hit_for_free_since_2_0(hand) -> None:
    box = hand.agent((3.0, 0.0, 0.0), (-5.0, 0.0))
    for speed, since, first in ((0.0, [], [VEHICLE]), (0.09, [], [VEHICLE]), (0.1, [VEHICLE], [VEHICLE])):
        ego = hand.states(np.zeros((5, 2)), speed=speed)
        assert hits(hand, ego, box) == since
        assert hits(hand, ego, box, rules=RULES_1_0) == first


def test_who_runs_into_the_ego_costs_the_ego_as_well(hand) -> None:
    x = np.linspace(-20.0, 5.0, 26)
    behind = hand.agent(np.stack((x, 0 * x, 0 * x), axis=1), (10.0, 0.0))
    assert hits(hand, hand.drive(0.0, 0.5, 26), behind) == [VEHICLE]


def test_two_cars_within_five_metres_are_one_collision(hand) -> None:
    # Two cars beside the way that are there, touching, for one sample each.
    ego = hand.drive(0.0, 1.0, 151)
    for first_rules, gap, count in ((False, 49, 1), (False, 51, 2), (True, 29, 1), (True, 31, 2)):
        boxes = []
        for sample in (40, 40 + gap):
            there = np.arange(151) == sample
            boxes.append(hand.agent((0.1 * sample, 1.9, 0.0), size=(1.0, 2.0), valid=there))
        assert len(hits(hand, ego, *boxes, rules=RULES_1_0 if first_rules else RULES_2_0)) == count


def test_the_same_car_counts_again_after_five_seconds_and_five_metres(hand) -> None:
    # A long lorry that one drives along: 1 m/s, so that 5 m and 5 s come together; 2 m/s: the time decides.
    for speed, length, seconds, count in ((1.0, 100.0, 4.9, 1), (1.0, 100.0, 5.3, 2), (2.0, 100.0, 4.9, 1)):
        lorry = hand.agent((50.0, 1.9, 0.0), size=(length, 2.0), kind=AgentKind.TRUCK)
        ego = hand.drive(2.1, speed, int(10 * seconds) + 1)
        assert len(hits(hand, ego, lorry)) == count


# --- Lights and signs ---


def crossing(signal: str | None = "light"):
    """A lane to x = 50, a connector with a light at its start, a lane beyond 70 m; 4 m wide."""
    builder = RoadMapBuilder()
    for name, a, b, after in (("in", -50, 50, "mid"), ("mid", 50, 70, "out"), ("out", 70, 400, None)):
        x = np.linspace(a, b, 5)
        left, right = (np.stack((x, np.full(5, y)), axis=1) for y in (2.0, -2.0))
        light = {"signal": signal, "stop_station": 0.0} if name == "mid" else {}
        builder.add(LaneSpec(name, left, right, successors=(after,) if after else (), **light))
    return builder.build()


def through(hand, end: float, red_from: int, red_to: int, aside: float = 0.0, route=(0, 1, 2), start=30.0):
    """Drive at 10 m/s from x = `start` to `end`; the light is red during some samples, else green."""
    ego = hand.drive(start, 10.0, round(end - start) + 1, y=aside)
    signals = np.full((1, len(ego)), 1, dtype=np.uint8)
    signals[0, red_from:red_to] = 3
    road = crossing()
    return scene(hand, ego, roadmap=road, signals=signals, route_lanes=np.array(route, dtype=np.int32))


def test_a_light_is_run_when_the_tail_crosses_the_line_on_red(hand) -> None:
    # The tail lies between 1.6 m and 3 m behind the centre: over x = 50 while the centre is at 51.6 to 53.
    for end, count in ((51.0, 0), (52.0, 1), (60.0, 1)):
        assert record(through(hand, end, 0, 99)).counts()["red_light"] == count
    # Red only before the tail comes there, or only after it, does not count.
    assert record(through(hand, 60.0, 0, 21)).counts()["red_light"] == 0
    assert record(through(hand, 60.0, 24, 99)).counts()["red_light"] == 0
    assert record(through(hand, 60.0, 22, 23)).counts()["red_light"] == 1


def test_who_stands_on_the_line_has_not_run_it(hand) -> None:
    assert record(through(hand, 51.0, 0, 99)).clean


def test_a_light_beside_the_lane_and_one_against_the_ego_do_not_count(hand) -> None:
    assert record(through(hand, 60.0, 0, 99, aside=1.9)).counts()["red_light"] == 1
    assert record(through(hand, 60.0, 0, 99, aside=2.3)).counts()["red_light"] == 0
    back = hand.states([[x, 0.0] for x in np.linspace(70.0, 30.0, 41)], heading=np.pi, speed=10.0)
    run = through(hand, 70.0, 0, 99)
    assert record(replace(run, ego=back)).counts()["red_light"] == 0


def test_one_light_counts_once(hand) -> None:
    # Four lanes of one light, crossed at once, and the samples of the crossing: still one.
    run = through(hand, 80.0, 0, 99)
    slow = hand.drive(45.0, 2.0, 101)
    signals = np.full((1, 101), 3, dtype=np.uint8)
    assert (
        record(
            replace(
                run,
                ego=slow,
                times=0.1 * np.arange(101),
                signals=signals,
                ego_yaw_acceleration=np.zeros(101),
                agents=np.zeros((0, 101, 5)),
                agent_valid=np.zeros((0, 101), dtype=bool),
            )
        ).counts()["red_light"]
        == 1
    )


def test_a_stop_sign_wants_a_stop(hand) -> None:
    builder = RoadMapBuilder()
    x = np.linspace(-50.0, 400.0, 10)
    builder.add(LaneSpec("a", np.stack((x, 0 * x + 2), axis=1), np.stack((x, 0 * x - 2), axis=1)))
    builder.add_area([(40.0, -2.0), (44.0, -2.0), (44.0, 2.0), (40.0, 2.0)], AreaKind.STOP, "stop_sign 7")
    builder.add_area([(80.0, -2.0), (84.0, -2.0), (84.0, 2.0), (80.0, 2.0)], AreaKind.STOP, "turn stop 8")
    road = builder.build()
    rolls = hand.drive(30.0, 5.0, 121)
    assert record(scene(hand, rolls, roadmap=road)).counts()["stop_infraction"] == 1
    for slow, count in ((0.09, 0), (0.1, 1)):
        stops = rolls.copy()
        stops[20:25, 3] = slow  # from 40 m on, the sign's area begins 4 m ahead at 36 m
        assert record(scene(hand, stops, roadmap=road)).counts()["stop_infraction"] == count
    early = rolls.copy()
    early[5:10, 3] = 0.0  # at 33 m it is no stop at the sign
    assert record(scene(hand, early, roadmap=road)).counts()["stop_infraction"] == 1


# --- Outside of the lanes ---


def test_how_far_outside_is_outside(hand) -> None:
    road = hand.road([(-2.0, 2.0)])
    for aside, by_1_0, by_2_0 in ((2.4, 0.0, 0.0), (2.6, 0.0, 100.0), (3.2, 0.0, 100.0), (3.4, 100.0, 100.0)):
        run = scene(hand, hand.drive(0.5, 10.0, 61, y=aside), roadmap=road)
        assert record(run, RULES_1_0).outside == by_1_0
        assert record(run, RULES_2_0).outside == by_2_0


def test_the_share_outside_is_of_the_way_passed(hand) -> None:
    road = hand.road([(-2.0, 2.0)])
    x = np.arange(0.5, 60.6, 1.0)
    y = np.where((x > 10.0) & (x < 26.0), 3.0, 0.0)
    found = record(scene(hand, hand.states(np.stack((x, y), axis=1), speed=10.0), roadmap=road))
    assert found.outside == pytest.approx(100.0 * 16.0 / 60.0, abs=2.0)
    assert found.outside_metres == pytest.approx(16.0, abs=1.0)
    score = CARLA_1_0.evaluate(
        scene(hand, hand.states(np.stack((x, 0 * x + 3.4), axis=1), speed=10.0), roadmap=road)
    )
    assert score.score == 0.0


def test_the_oncoming_lane_is_outside_but_where_the_way_leads_over_it(hand) -> None:
    builder = RoadMapBuilder()
    x = np.linspace(-50.0, 400.0, 10)
    line = [np.stack((x, 0 * x + y), axis=1) for y in (-2.0, 2.0, 6.0)]
    builder.add(LaneSpec("own", line[1], line[0]))
    builder.add(LaneSpec("oncoming", line[1][::-1], line[2][::-1]))
    road = builder.build()
    ego = hand.drive(0.5, 10.0, 61, y=4.0)
    assert record(scene(hand, ego, roadmap=road)).outside == 100.0
    assert record(scene(hand, hand.drive(0.5, 10.0, 61), roadmap=road)).outside == 0.0
    run = scene(hand, ego, roadmap=road, scenario={"family": "parked_vehicle_two_way"})
    assert record(run).outside == 0.0


# --- Pace ---


def test_minimum_speed_at_four_checkpoints(hand) -> None:
    # The traffic goes at 10 m/s; the ego at 8 for the first half, at 12 for the second.
    x = np.concatenate(([0.0], np.cumsum(np.where(np.arange(120) < 63, 0.8, 1.2))))
    ego = hand.states(np.stack((x, 0 * x), axis=1))
    ego[:, 3] = np.where(np.arange(121) < 63, 8.0, 12.0)
    far = np.stack((x * 0 + 900.0, x * 0, x * 0), axis=1)
    other = hand.agent(far, (10.0, 0.0))
    walker = hand.agent(far, (1.0, 0.0), kind=AgentKind.PEDESTRIAN)
    parked = hand.agent(far)
    run = scene(hand, ego, [other, walker, parked])
    speeds = [p for _, p in record(run).min_speed]
    assert len(speeds) == 2
    assert speeds == pytest.approx([80.0, 80.0], abs=3.0)
    # A stretch of 100 m / 20 ends at the first point beyond 5 m: 16 of 6 m, and the rest closes the route.
    assert len(record(run, RULES_BENCH2DRIVE).min_speed) == 17
    assert len(record(run, RULES_1_0).min_speed) == 0
    found = CARLA_2_0.evaluate(run)
    assert found.score == pytest.approx(
        (1 - 0.3 * (1 - speeds[0] / 100)) * (1 - 0.3 * (1 - speeds[1] / 100)), abs=1e-6
    )
    # Without traffic every checkpoint counts 100.
    alone = scene(hand, ego, [parked])
    assert record(alone).min_speed == ()
    assert {p for _, p in record(alone, RULES_BENCH2DRIVE).min_speed} == {100.0}


def test_who_does_not_get_to_a_checkpoint_is_not_slow(hand) -> None:
    other = hand.agent((900.0, 0.0, 0.0), (10.0, 0.0))
    for way, count in ((24.0, 0), (27.0, 1)):
        ego = hand.states([[x, 0.0] for x in np.linspace(0.0, way, 121)], speed=2.0)
        assert len(record(scene(hand, ego, [other])).min_speed) == count


def test_an_emergency_vehicle_left_behind(hand) -> None:
    ego = hand.drive(0.0, 5.0, 31)
    for start, count in ((-20.0, 1), (8.0, 0)):
        x = start + 0.5 * np.arange(31)
        van = hand.agent(np.stack((x, 0 * x + 8.0, 0 * x), axis=1), (5.0, 0.0))
        run = scene(hand, ego, [van], scenario={"tags": ["emergency:0"]})
        assert record(run).counts()["yield_emergency_vehicle_infractions"] == count
        assert record(run, RULES_1_0).clean
        assert record(scene(hand, ego, [van])).clean


# --- The score ---


def test_the_score_is_completion_times_penalty_and_comes_back_from_its_columns(hand) -> None:
    box = hand.agent((20.0, 1.5, 0.0), size=(1.0, 2.0))
    ego = hand.drive(0.0, 8.0, 101)
    run = scene(hand, ego, [box])
    for score, factor in ((CARLA_1_0, 0.6), (CARLA_2_0, 0.6), (CARLA_2_1, 1 / 1.7)):
        found = judge(score.name, run)
        values = {name: metric.score for name, metric in found.metrics.items()}
        assert values["route_completion"] == pytest.approx(0.79)
        assert values["infraction_penalty"] == pytest.approx(factor)
        assert found.score == pytest.approx(0.79 * factor, abs=1e-6)
        assert score.recompute(values) == found.score
        assert set(found.metrics) | {score.name} == set(score.explain())
        assert [n for n, m in found.metrics.items() if m.scored] == ["route_completion", "infraction_penalty"]


def test_a_failed_run_a_run_on_terrain_and_one_without_a_way(hand) -> None:
    run = scene(hand, hand.drive(0.0, 10.0, 121))
    assert CARLA_2_0.evaluate(run).score == 1.0
    broken = run.with_header(failure={"class": "planner_error", "reason": "x"})
    assert CARLA_2_0.evaluate(broken).score == 0.0
    lost = replace(run, route_line=np.zeros((0, 2)))
    assert CARLA_2_0.evaluate(lost).score == 0.0
    assert not CARLA_2_0.evaluate(lost).metrics["route_completion"].valid
    empty = replace(run, ego=run.ego[:0], times=run.times[:0])
    assert CARLA_2_0.evaluate(empty).score == 0.0
    with pytest.raises(InputError, match="runs on roads"):
        CARLA_2_0.evaluate(replace(run, terrain=object()))


def test_the_scores_are_registered() -> None:
    for name in ("carla_1.0", "carla_2.0", "carla_2.1", "bench2drive", "smarts"):
        label, score = load_score(name)
        assert (label, score.name) == (name, name)
        assert isinstance(score, Summary) is (name == "bench2drive")


def test_moving_the_whole_scene_changes_nothing(hand) -> None:
    motion = hand.motion(0.7, (310.0, -40.0))
    box = hand.agent((40.0, 1.5, 0.0), size=(1.0, 2.0))
    road, moved = (hand.road([(-2.0, 2.0)], motion=m) for m in (None, motion))
    x = np.arange(0.5, 90.6, 1.0)
    y = np.where(x > 60.0, 3.0, 0.0)
    here = scene(
        hand,
        hand.states(np.stack((x, y), axis=1), speed=10.0),
        [box],
        goal=False,
        expert=hand.drive(0.0, 9.0, 91),
        roadmap=road,
    )
    there = replace(motion.run(here, moved), route_line=motion.points(here.route_line))
    for score in (CARLA_1_0, CARLA_2_0, CARLA_2_1):
        a, b = score.evaluate(here), score.evaluate(there)
        assert a.score == pytest.approx(b.score, abs=1e-6)
        assert 0.1 < a.score < 0.61
