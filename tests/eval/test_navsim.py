"""NAVSIM's rules and scores against values worked out by hand, on both sides of every threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drive.errors import InputError, UnknownNameError
from drive.eval.metrics.base import judge
from drive.eval.metrics.navsim import EPDMS, EPDMS_PRE_2025_09, EPDMS_TWO_STAGE, PDMS, ExtendedPDMScore
from drive.eval.metrics.navsim.aggregate import (
    ego_progress,
    epdms,
    human_filter,
    pdms,
    stage_weights,
    two_stages,
)
from drive.eval.metrics.navsim.comfort import extended_comfort, extended_differences, history_comfort
from drive.eval.metrics.navsim.course import Course
from drive.eval.metrics.navsim.moments import Moment, windows
from drive.eval.metrics.navsim.rules import find, lane_keeping
from drive.frames import FrameKind, Frames
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.scenario import SignalState
from drive.vehicle import AgentKind

T, K = 41, 50
LINE = np.array([[-100.0, 0.0], [500.0, 0.0]])


def course(reference, on_route=(0,), line=LINE) -> Course:
    return Course(line, on_route, reference)


def judged(hand, ego, agents=(), road=None, on_route=(0,), signals=None, **how):
    """The findings of one drive on a straight road."""
    road = hand.road() if road is None else road
    run = hand.run(ego, agents, road)
    grown = np.concatenate((run.agents, np.repeat(run.agents[:, -1:], K - T, axis=1)), axis=1)
    valid = np.concatenate((run.agent_valid, np.repeat(run.agent_valid[:, -1:], K - T, axis=1)), axis=1)
    lights = np.zeros((0, T), dtype=np.uint8) if signals is None else signals
    moment = Moment(0.0, ego, ego[:0], grown, valid, lights)
    return find(run, moment, course(ego, on_route), [ego], **how)[0]


def moment_of(run, ego, agents, valid) -> Moment:
    return Moment(0.0, ego, ego[:0], agents, valid, np.zeros((0, T), dtype=np.uint8))


@pytest.mark.parametrize(
    ("kind", "expected"), [(None, 1.0), (AgentKind.STATIC, 0.5), (AgentKind.PEDESTRIAN, 0.0)]
)
def test_collisions_are_1_half_or_0(hand, kind, expected) -> None:
    others = [] if kind is None else [hand.agent((20.0, 0.0, 0.0), kind=kind)]
    assert judged(hand, hand.drive(0.0, 10.0, T), others).no_at_fault_collisions == expected


def test_no_collision_is_held_against_who_stands_or_is_hit_from_behind(hand) -> None:
    x = -30.0 + 10.0 * 0.1 * np.arange(T)
    comes = hand.agent(np.stack((x, 0 * x, 0 * x), 1), (10.0, 0.0))
    standing = hand.drive(0.0, 0.0, T)
    assert judged(hand, standing, [comes]).no_at_fault_collisions == 1.0
    assert judged(hand, hand.drive(0.0, 1.0, T), [comes]).no_at_fault_collisions == 1.0


def test_whether_the_other_stands_is_asked_of_its_first_speed_as_released(hand) -> None:
    # It slides into the ego's side at the end of its drive, where it stands; the ego is in one lane.
    t = np.arange(T)
    y = np.where(t < 20, 4.0 - 0.15 * t, 1.0) + 0.45
    pose = np.stack((0.5 * t - 1.0, y, 0 * t), 1)
    speed = np.where(t[:, None] < 12, [[5.0, -1.5]], [[0.0, 0.0]])
    other = hand.agent(pose, speed, size=(4.0, 1.0))
    ego = hand.drive(0.0, 5.0, T)
    road = hand.road([(-4.0, 6.0)])
    assert judged(hand, ego, [other], road).no_at_fault_collisions == 1.0
    assert judged(hand, ego, [other], road, track_speed="now").no_at_fault_collisions == 0.0


@pytest.mark.parametrize(("y", "expected"), [(-0.99, 1.0), (-1.01, 0.0)])
def test_a_corner_off_the_road_by_a_centimetre_counts(hand, y, expected) -> None:
    assert judged(hand, hand.drive(0.0, 5.0, T, y=y)).drivable_area_compliance == expected


@pytest.mark.parametrize(("metres", "expected"), [(1.99, 1.0), (2.01, 0.5), (5.99, 0.5), (6.01, 0.0)])
def test_metres_off_the_route_within_a_second(hand, metres, expected) -> None:
    road = hand.road([(-2.0, 2.0), (2.0, 6.0)])
    # A trailing second holds eleven movements.
    ego = hand.drive(0.0, metres / 1.1, T, y=4.0)
    assert judged(hand, ego, road=road).driving_direction_compliance == expected
    assert judged(hand, ego, road=road, on_route=(0, 1)).driving_direction_compliance == 1.0


def test_an_intersection_is_no_wrong_way_in_version_2_only(hand) -> None:
    road = hand.road([(-2.0, 2.0), (2.0, 6.0)], ends=(-100.0, 400.0), connectors=(0,), intersection=(0,))
    ego = hand.drive(0.0, 8.0, T, y=4.0)
    assert judged(hand, ego, road=road).driving_direction_compliance == 1.0
    assert judged(hand, ego, road=road, first=True).driving_direction_compliance == 0.0


def crossing():
    """A lane to x = 20, a connector with a light to x = 40, and a lane behind it; and one beside it."""
    builder = RoadMapBuilder()
    for name, low, high, y, kind, after in (
        ("in", -100.0, 20.0, 0.0, LaneKind.LANE, ("over",)),
        ("over", 20.0, 40.0, 0.0, LaneKind.CONNECTOR, ("out",)),
        ("out", 40.0, 400.0, 0.0, LaneKind.LANE, ()),
        ("beside", 10.0, 40.0, 4.0, LaneKind.CONNECTOR, ()),
    ):
        x = np.linspace(low, high, 6)
        light = kind is LaneKind.CONNECTOR
        builder.add(
            LaneSpec(
                name,
                np.stack((x, np.full(6, y + 2.0)), 1),
                np.stack((x, np.full(6, y - 2.0)), 1),
                kind=kind,
                intersection=light,
                signal="light" if light else None,
                successors=after,
            )
        )
    return builder.build()


@pytest.mark.parametrize(("front", "expected"), [(19.99, 1.0), (20.01, 0.0)])
def test_red_light(hand, front, expected) -> None:
    road = crossing()
    at = {name: road.lane_index(name) for name in road.lane_ids}
    signals = np.full((1, T), int(SignalState.RED), dtype=np.uint8)
    ego = hand.drive(front - 2.0, 0.0, T)
    way = (at["in"], at["over"], at["out"])
    assert judged(hand, ego, road=road, on_route=way, signals=signals).traffic_light_compliance == expected
    for state in (SignalState.YELLOW, SignalState.GREEN):
        other = np.full((1, T), int(state), dtype=np.uint8)
        assert judged(hand, ego, road=road, on_route=way, signals=other).traffic_light_compliance == 1.0
    # It is the ego's route that the light must close.
    assert judged(hand, ego, road=road, on_route=(at["in"],), signals=signals).traffic_light_compliance == 1.0


def test_a_red_light_counts_at_the_time_at_which_it_is_red(hand) -> None:
    road = crossing()
    way = (0, 1, 2)
    signals = np.full((1, T), int(SignalState.GREEN), dtype=np.uint8)
    signals[0, 30:] = SignalState.RED
    through = hand.drive(15.0, 12.0, T)  # its rear leaves the connector after 27 / 12 s
    inside = hand.drive(15.0, 5.0, T)
    assert judged(hand, through, road=road, on_route=way, signals=signals).traffic_light_compliance == 1.0
    assert judged(hand, inside, road=road, on_route=way, signals=signals).traffic_light_compliance == 0.0


def test_lane_keeping_counts_samples_in_a_row() -> None:
    off, inside = np.zeros(T), np.zeros(T, dtype=bool)
    off[5:24] = 0.6
    assert lane_keeping(off, inside) == 1.0
    off[24] = 0.6
    assert lane_keeping(off, inside) == 0.0
    # At half a metre it is kept.
    assert lane_keeping(np.full(T, 0.5), inside) == 1.0
    # Samples in an intersection neither count nor end the row.
    inside[10] = True
    assert lane_keeping(off, inside) == 1.0
    off[25] = 0.6
    assert lane_keeping(off, inside) == 0.0
    off[10] = 0.0
    assert lane_keeping(off, inside) == 0.0
    off[15] = 0.0
    assert lane_keeping(off, inside) == 1.0


@pytest.mark.parametrize(("y", "expected"), [(0.49, 1.0), (0.51, 0.0), (-0.51, 0.0)])
def test_lane_keeping_measures_from_the_centreline(hand, y, expected) -> None:
    assert judged(hand, hand.drive(0.0, 5.0, T, y=y)).lane_keeping == expected


def ghost(hand, ego, sample, center):
    """A run in which a car is there at one sample alone, and its moment."""
    run = hand.run(ego, [hand.agent((0.0, 0.0, 0.0), valid=False)], hand.road())
    agents, valid = np.zeros((1, K, 5)), np.zeros((1, K), dtype=bool)
    agents[0, sample], valid[0, sample] = (center, 0.0, 0.0, 3.0, 0.0), True
    return run, moment_of(run, ego, agents, valid)


@pytest.mark.parametrize(("gap", "expected"), [(8.99, 0.0), (9.01, 1.0)])
def test_time_to_collision_looks_nine_tenths_ahead(hand, gap, expected) -> None:
    # It drives at 10 m/s at the first sample alone, and stands from then on.
    ego = hand.drive(0.0, 0.0, T)
    ego[0, 3] = 10.0
    run, moment = ghost(hand, ego, 9, 2.0 + gap + 2.0)
    assert find(run, moment, course(ego), [ego])[0].time_to_collision_within_bound == expected
    # A tenth of a second later it is too late.
    run, moment = ghost(hand, ego, 10, 2.0 + gap + 2.0)
    assert find(run, moment, course(ego), [ego])[0].time_to_collision_within_bound == 1.0


@pytest.mark.parametrize(("sample", "second", "first"), [(31, 0.0, 0.0), (32, 1.0, 0.0), (40, 1.0, 0.0)])
def test_versions_look_for_the_time_to_collision_up_to_different_times(hand, sample, second, first) -> None:
    ego = hand.drive(0.0, 0.0, T)
    ego[sample, 3] = 10.0
    run, moment = ghost(hand, ego, sample + 9, 12.0)
    assert find(run, moment, course(ego), [ego])[0].time_to_collision_within_bound == second
    assert find(run, moment, course(ego), [ego], first=True)[0].time_to_collision_within_bound == first


def test_progress_modes_on_both_sides_of_five_metres() -> None:
    # metres, product of rules, PDM's metres and product
    assert ego_progress(2.45, 1.0, 4.9, 1.0, "v2") == 1.0
    assert ego_progress(2.55, 1.0, 5.1, 1.0, "v2") == pytest.approx(0.5)
    assert ego_progress(10.0, 0.0, 20.0, 1.0, "v2") == 0.5
    assert ego_progress(10.0, 1.0, 20.0, 0.0, "v2") == 1.0
    assert ego_progress(10.0, 0.5, 20.0, 0.0, "v2") == 1.0  # 10 / 5 is cut to 1
    assert ego_progress(4.9, 1.0, 4.9, 1.0, "v1") == 1.0
    assert ego_progress(4.9, 0.0, 4.9, 1.0, "v1") == 0.0
    assert ego_progress(10.0, 0.5, 20.0, 1.0, "v1") == 0.25
    assert ego_progress(10.0, 0.5, 20.0, 1.0, "gen_gt") == 0.25
    assert ego_progress(4.9, 0.0, 4.9, 1.0, "gen_gt") == 1.0
    with pytest.raises(UnknownNameError, match="progress mode"):
        ego_progress(1.0, 1.0, 1.0, 1.0, "v3")


def test_scores_of_columns_by_hand() -> None:
    first = {
        "no_at_fault_collisions": 0.5,
        "drivable_area_compliance": 1.0,
        "ego_progress": 0.6,
        "time_to_collision_within_bound": 1.0,
        "comfort": 0.0,
        "driving_direction_compliance": 0.0,  # weight 0
    }
    assert pdms(first) == pytest.approx(0.5 * (3.0 + 5.0) / 12.0)
    second = {
        **first,
        "driving_direction_compliance": 0.5,
        "traffic_light_compliance": 1.0,
        "lane_keeping": 1.0,
        "history_comfort": 0.0,
        "two_frame_extended_comfort": 1.0,
    }
    assert epdms(second) == pytest.approx(0.25 * (3.0 + 5.0 + 2.0 + 0.0 + 2.0) / 16.0)
    assert epdms({**second, "two_frame_extended_comfort": None}) == pytest.approx(0.25 * 10.0 / 14.0)
    assert epdms({**second, "traffic_light_compliance": 0.0}) == 0.0


def steady(acceleration=0.0, samples=T, heading=None) -> np.ndarray:
    out = np.zeros((samples, 7))
    out[:, 4] = acceleration
    out[:, 2] = 0.0 if heading is None else heading
    return out


@pytest.mark.parametrize(
    ("acceleration", "held"), [(2.39, True), (2.41, False), (-4.04, True), (-4.06, False)]
)
def test_history_comfort_bounds_acceleration(acceleration, held) -> None:
    found = history_comfort(steady(samples=0), steady(acceleration), 1.461)
    assert found["ego_lon_acceleration"] is held
    assert all(value for name, value in found.items() if name != "ego_lon_acceleration")


def test_history_comfort_feels_the_jerk_between_past_and_plan() -> None:
    past = steady(-3.1, samples=15)
    found = history_comfort(past, steady(1.5), 1.461)
    assert [name for name, held in found.items() if not held] == ["ego_lon_jerk"]


TIME = 0.1 * np.arange(T)


def pair(**signal):
    """Two drives half a second apart that differ by a signal over the time of the later one."""
    now, before = steady(2.0), steady(2.0)
    if "acceleration" in signal:
        now[:, 4] += signal["acceleration"](TIME)
    if "heading" in signal:
        now[:, 2] += signal["heading"](TIME)
    return now, before


def triangle(alpha):
    """Headings of a yaw acceleration of +alpha for 1.8 s and -alpha then, around a yaw rate of 0."""
    rate = np.where(TIME < 1.8, alpha * (TIME - 0.9), alpha * (2.7 - TIME))
    return np.concatenate(([0.0], np.cumsum(0.05 * (rate[1:] + rate[:-1]))))


@pytest.mark.parametrize(
    ("number", "limit", "make"),
    [
        (0, 0.7, lambda d: pair(acceleration=lambda t: d + 0 * t)),
        (1, 0.5, lambda d: pair(acceleration=lambda t: d * (t - 1.75))),
        (2, 0.1, lambda d: pair(heading=lambda t: d * t)),
        (3, 0.1, lambda d: pair(heading=lambda t: triangle(d))),
    ],
)
def test_extended_comfort_has_four_limits(number, limit, make) -> None:
    # The filter smooths the kink of the yaw rate a little: a wider margin there.
    low, high = (0.99, 1.01) if number < 3 else (0.95, 1.15)
    under, over = (extended_differences(*make(share * limit)) for share in (low, high))
    assert under[number] == pytest.approx(low * limit, rel=5e-3 if number < 3 else 0.06)
    assert under[number] < limit < over[number]
    others = [d for k, d in enumerate(over) if k != number]
    assert all(d <= m for d, m in zip(others, np.delete([0.7, 0.5, 0.1, 0.1], number), strict=True))
    assert (extended_comfort(under), extended_comfort(over)) == (1.0, 0.0)


def test_extended_comfort_compares_the_same_times() -> None:
    # One motion, once from 0.5 s on and once from 0 on: nothing differs where they overlap.
    t = 0.1 * np.arange(T + 5)
    whole = steady(2.0 + np.sin(t), T + 5, heading=np.sin(2.0 * t))
    assert extended_differences(whole[5:], whole[:T]) == (0.0, 0.0, 0.0, 0.0)


def test_weights_of_follow_up_starts() -> None:
    found = stage_weights((10.0, 5.0), [(10.1, 5.0), (10.0, 5.5)])
    np.testing.assert_allclose(found, [0.7685, 0.2315], atol=5e-5)
    np.testing.assert_array_equal(stage_weights((0.0, 0.0), [(3.0, 0.0), (0.0, 3.0)]), [0.5, 0.5])
    # At 1.9 m from both the kernel still holds.
    near = stage_weights((0.0, 0.0), [(1.85, 0.0), (1.9, 0.0)])
    assert near[0] > 0.7


def test_two_stages_are_multiplied_frame_by_frame() -> None:
    combined = two_stages([(0.5, 0.8), (1.0, 0.4)])
    assert combined == pytest.approx(0.4)
    printed = np.mean([0.5, 1.0]) * np.mean([0.8, 0.4])
    assert printed == pytest.approx(0.45)


def test_the_human_filter_forgives_what_the_driver_did_too() -> None:
    columns = {
        "no_at_fault_collisions": 0.0,
        "lane_keeping": 0.0,
        "ego_progress": 0.4,
        "history_comfort": None,
    }
    human = {"no_at_fault_collisions": 0.5, "lane_keeping": 0.0, "ego_progress": 1.0}
    assert human_filter(columns, human) == {**columns, "lane_keeping": 1.0}


def frames_of(*drives) -> Frames:
    """Frames of drives (kind, pair, human, ego, end); nobody else is there."""
    kinds, pairs, human, egos, ends = zip(*drives, strict=True)
    count = len(drives)
    return Frames(
        np.array([20 - 5 * (k == FrameKind.PREVIOUS) for k in kinds], dtype=np.int32),
        np.array(kinds, dtype=np.uint8),
        np.array(pairs, dtype=np.int32),
        np.array(human),
        np.stack(egos),
        np.full((count, 15, 7), np.nan),
        np.array(ends, dtype=float),
        np.zeros((count, 0, K, 5), dtype=np.float32),
        np.zeros((count, 0, K), dtype=bool),
        np.zeros((count, 0, T), dtype=np.uint8),
    )


def pseudo(hand, *drives, roadmap=None):
    road = hand.road(limit=10.0) if roadmap is None else roadmap
    run = hand.run(drives[0][3], roadmap=road, route_lanes=(0,))
    return replace(run, frames=frames_of(*drives)).with_header(mode="pseudo")


def scene(hand, y=0.0, human_y=0.0):
    """Two frames of a drive at 12 m/s, faster than PDM-Closed may be, and the human's."""
    made = []
    for kind, start in ((FrameKind.NOW, 0.0), (FrameKind.PREVIOUS, -6.0)):
        for human, side in ((False, y), (True, human_y)):
            ego = hand.drive(start, 12.0, T, y=side)
            made.append((kind, 0, human, ego, ego[-1, :2]))
    return made


def test_the_human_filter_and_its_eras_on_a_scene(hand) -> None:
    # 0.6 m off the centreline for four seconds, as the driver: (5 + 5 + 0 + 2 + 2) / 16 without the filter.
    run = pseudo(hand, *scene(hand, 0.6, 0.6))
    assert judge("epdms", run).score == 1.0
    assert ExtendedPDMScore(human_filter=False).evaluate(run).score == pytest.approx(0.875)
    before = EPDMS_PRE_2025_09.evaluate(run)
    assert before.score == pytest.approx(0.875)
    assert (before.metrics["lane_keeping"].score, before.metrics["filtered"].score) == (0.0, 1.0)
    # A driver who kept to the middle excuses nothing, and neither does a stand-in.
    kept = pseudo(hand, *scene(hand, 0.6, 0.0))
    assert EPDMS.evaluate(kept).score == pytest.approx(0.875)
    stand_in = {**run.header["scenario"], "expert_source": "idm"}
    assert EPDMS.evaluate(run.with_header(scenario=stand_in)).score == pytest.approx(0.875)
    # Version 1 knows no lane.
    assert PDMS.evaluate(run).score == 1.0


def test_two_stages_of_a_scene_by_hand(hand) -> None:
    drives = scene(hand)
    end = drives[0][4]
    for kind, start in ((FrameKind.NOW, end), (FrameKind.PREVIOUS, drives[2][4])):
        for number, ahead in ((1, 0.1), (2, 0.5)):
            ego = hand.drive(start[0] + 1.0 + ahead, 12.0, T)
            if number == 2 and kind == FrameKind.NOW:
                ego[20:, 1] = -30.0  # off the road
            drives.append((kind, number, False, ego, ego[-1, :2]))
    found = EPDMS_TWO_STAGE.evaluate(pseudo(hand, *drives))
    # One of the two starts of the present frame scores 0; the jump spoils the pair's extended comfort.
    first = 0.7685
    assert found.metrics["now.second_stage"].score == pytest.approx(first, abs=1e-4)
    second = 0.7685 + 0.2315 * 14.0 / 16.0
    assert found.metrics["previous.second_stage"].score in (
        pytest.approx(1.0),
        pytest.approx(second, abs=1e-4),
    )
    parts = [found.metrics[f"{kind}.second_stage"].score for kind in ("now", "previous")]
    assert found.score == pytest.approx(np.mean(parts))
    columns = {name: metric.score for name, metric in found.metrics.items() if metric.scored}
    assert EPDMS_TWO_STAGE.recompute(columns) == found.score


def test_a_closed_loop_is_cut_into_stretches(hand) -> None:
    road = hand.road(limit=10.0)
    run = hand.run(hand.drive(0.0, 10.0, 151), roadmap=road, route_lanes=(0,))
    assert [m.time for m in windows(run)] == pytest.approx([0.0, 4.0, 8.0, 11.0])
    assert [len(m.past) for m in windows(run)] == [0, 15, 15, 15]
    # A collision in one stretch is one of the drive; what it does to the mean is 1 of 4.
    hit = hand.agent((62.0, 0.0, 0.0), kind=AgentKind.STATIC)
    found = EPDMS.evaluate(hand.run(hand.drive(0.0, 10.0, 151), [hit], road, route_lanes=(0,)))
    assert found.metrics["no_at_fault_collisions"].score == 0.5
    assert found.metrics["time_to_collision_within_bound"].score == 0.75
    assert found.metrics["two_frame_extended_comfort"].score is None  # nothing was planned


def test_runs_of_another_step_are_judged_at_ten_samples_a_second(hand) -> None:
    road = hand.road(limit=10.0)
    fine = hand.run(hand.drive(0.0, 10.0, 201, dt=0.04), roadmap=road, dt=0.04)
    coarse = hand.run(hand.drive(0.0, 10.0, 81), roadmap=road)
    for one, other in zip(windows(fine), windows(coarse), strict=True):
        np.testing.assert_allclose(one.ego, other.ego, atol=1e-9)


def test_runs_that_cannot_be_judged(hand) -> None:
    road = hand.road()
    failed = hand.run(
        hand.drive(0.0, 5.0, T), roadmap=road, failure={"class": "planner_error", "reason": "x"}
    )
    for score in (PDMS, EPDMS):
        assert score.evaluate(failed).score == 0.0
        assert score.evaluate(hand.run(hand.drive(0.0, 5.0, 3), roadmap=road)).score == 0.0
        with pytest.raises(InputError, match="for runs on roads with a road map"):
            score.evaluate(hand.run(hand.drive(0.0, 5.0, T)))
    with pytest.raises(InputError, match="cannot judge in mode 'closed'"):
        judge("epdms_two_stage", hand.run(hand.drive(0.0, 5.0, T), roadmap=road))
    with pytest.raises(UnknownNameError, match="did you mean 'pre_2025_09'"):
        ExtendedPDMScore(compat="pre_2025_9")


@pytest.mark.parametrize("score", [PDMS, EPDMS, EPDMS_PRE_2025_09, EPDMS_TWO_STAGE])
def test_every_metric_is_explained(hand, score) -> None:
    drives = scene(hand)
    drives += [(k, 1, False, ego, end) for k, pair, human, ego, end in drives if not human]
    found = score.evaluate(pseudo(hand, *drives))
    assert set(found.metrics) | {score.name} <= set(score.explain())
    assert "Source: navsim" in score.explain()[score.name]


def test_a_drive_where_no_lane_can_be_followed_has_no_value(hand) -> None:
    run = hand.run(hand.drive(0.0, 5.0, T, y=3000.0), roadmap=hand.road())
    for score in (PDMS, EPDMS):
        found = judge(score.name, run.with_header(mode="closed"))
        assert found.score == 0.0
        assert not any(m.valid for m in found.metrics.values())
