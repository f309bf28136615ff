"""The consensus planner as a planner: scenes, hypotheses, phantoms, bad input, deadlines."""

import dataclasses
import math

import numpy as np
import pytest

import drive
from drive.errors import InputError
from drive.planner import PlanStatus
from drive.planners.cpto.config import CPTOConfig
from drive.planners.cpto.kernels.propose import Driver, Others, Road, brake_from, make_near, propose
from drive.planners.cpto.phantoms import Crossing, make_phantoms
from drive.planners.cpto.planner import CPTO
from drive.planners.cpto.view import COUNTED, View, hypotheses
from drive.sim.kernels import line as columns
from drive.sim.loop import simulate
from drive.sim.road.frame import RoadFrame

ROAD = "gen/parked_vehicle/300"


class Watched:
    """A planner that keeps what it was told and what it answered."""

    def __init__(self, planner):
        self.planner, self.spec, self.calls, self.task = planner, planner.spec, [], None

    def start(self, task):
        watched, session = self, self.planner.start(task)
        self.task = task

        class Session:
            def plan(self, observation):
                plan = session.plan(observation)
                watched.calls.append((observation, plan))
                return plan

        return Session()


@pytest.fixture(scope="module")
def watched():
    planner = Watched(CPTO())
    log = simulate(dataclasses.replace(drive.load_scenario(ROAD)), planner, watchdog=None)
    assert log.header.get("failure") is None
    return planner


def moments(watched, every=25):
    return watched.calls[::every]


def test_plans_begin_near_the_ego_and_move_on(watched):
    calm = (PlanStatus.OK, PlanStatus.DEGRADED)
    assert np.mean([plan.status in calm for _, plan in watched.calls]) > 0.95
    first, last = watched.calls[0][0].ego, watched.calls[-1][0].ego
    assert np.hypot(*(last[:2] - first[:2])) > 40.0
    for observation, plan in watched.calls:
        assert np.hypot(*(plan.trajectory.states[0, :2] - observation.ego[:2])) < 1.5


def test_branches_share_their_first_second_exactly(watched):
    for _, plan in moments(watched):
        branches = plan.candidates
        assert branches.shared_steps == 11
        assert np.ptp(branches.states[:, : branches.shared_steps], axis=0).max() == 0.0
        assert branches.probability.sum() == pytest.approx(1.0)
        assert plan.figures["consensus"] == 0.0


def test_the_last_branch_brakes(watched):
    for _, plan in moments(watched):
        speed = plan.candidates.states[:, :, 3]
        assert speed[-1, -1] < max(speed[0, 0] - 3.0, 1.0)


def one_view(existence, phantoms=0):
    count = len(existence)
    pose = np.zeros((count, 4, 51))
    pose[:, 0], pose[:, 2] = 20.0 + 10.0 * np.arange(count)[:, None], 1.0
    return View(
        pose, np.zeros((count, 51, 3)), np.ones((count, 3)), np.full(count, COUNTED, dtype=np.uint8),
        np.asarray(existence), np.arange(count), np.arange(count - phantoms), phantoms,
    )  # fmt: skip


def test_hypotheses_of_who_is_sure_are_one_and_braking():
    found = hypotheses(one_view([1.0, 0.99]), np.zeros(2), CPTOConfig())
    assert [z.key for z in found] == [("likely",), ("brake",)]
    assert found[-1].brakes


def test_the_doubtful_are_absent_one_at_a_time_in_the_order_of_their_conflicts():
    found = hypotheses(one_view([1.0, 0.6, 0.8]), np.array([3.0, 9.0, 1.0]), CPTOConfig())
    assert [z.key for z in found] == [("likely",), ("flip", 2), ("flip", 1), ("brake",)]
    assert found[0].used.tolist() == [1, 1, 1]
    assert found[1].used.tolist() == [1, 1, 0]
    assert sum(z.probability for z in found) == pytest.approx(1.0)
    # Less probable to be absent, less probable the hypothesis.
    assert found[1].probability < found[2].probability


def test_many_doubtful_are_grouped_and_phantoms_are_in_their_own_branch():
    existence = [0.5] * 8 + [0.0]
    found = hypotheses(one_view(existence, phantoms=1), np.arange(9.0), CPTOConfig())
    assert len(found) == 5
    assert [z.used[8] for z in found] == [0, 0, 0, 1, 0]
    flipped = [set(z.key[1:]) for z in found if z.key[0] == "flip"]
    assert set.union(*flipped) == set(range(8))


def test_with_one_branch_the_most_probable_is_taken_for_certain():
    found = hypotheses(one_view([1.0, 0.6, 0.4]), np.zeros(3), CPTOConfig(branches=1))
    assert len(found) == 1
    assert found[0].used.tolist() == [1, 1, 0]


def straight_frame():
    rows = np.zeros((401, columns.NUM_COLUMNS))
    rows[:, columns.X], rows[:, columns.COSINE] = 0.5 * np.arange(401), 1.0
    rows[:, columns.LIMIT], rows[:, columns.LEFT : columns.EDGE_RIGHT + 1] = 13.9, 5.0
    rows[:, [columns.LANE_LEFT, columns.LANE_RIGHT]] = np.nan
    none, nobody = np.zeros(0), np.zeros(0, dtype=np.int32)
    given = {
        "origin": np.zeros(2),
        "step": 0.5,
        "rows": rows,
        "stations": 0.5 * np.arange(401.0),
        "signals": nobody,
        "ends": True,
    }
    return RoadFrame(**{f.name: given.get(f.name, none) for f in dataclasses.fields(RoadFrame)})


def test_somebody_may_step_out_at_the_corner_that_hides_him(watched):
    ego = np.array([0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0])
    # A van on the right ends at (20, -2.5); its shadow lies to the right of the ray over that corner.
    shadow = np.array([[[60.0, -7.5], [20.0, -2.5]]])
    observation = dataclasses.replace(watched.calls[0][0], ego=ego, occlusion_edges=shadow)
    times = 0.1 * np.arange(51)
    poses, half = make_phantoms(observation, straight_frame(), 0.0, [], times, CPTOConfig())
    assert half.tolist() == [[0.4, 0.4]]
    assert poses[0, 0, :2] == pytest.approx([20.5, -2.5])
    assert poses[0, -1, :2] == pytest.approx([20.5, -2.5 + 1.6 * 5.0])
    assert poses[0, 0, 2] == pytest.approx(0.5 * np.pi)
    for nothing in (shadow[:, ::-1], np.full((1, 2, 2), np.nan), shadow + np.array([0.0, -10.0])):
        other = dataclasses.replace(observation, occlusion_edges=nothing)
        assert len(make_phantoms(other, straight_frame(), 0.0, [], times, CPTOConfig())[0]) == 0


def test_a_vehicle_may_come_where_an_edge_cuts_a_crossing_lane(watched):
    ego = np.array([0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0])
    edge = np.array([[[10.0, 6.0], [60.0, 24.0]]])
    observation = dataclasses.replace(watched.calls[0][0], ego=ego, occlusion_edges=edge)
    crossing = Crossing(30.0, np.stack((np.full(41, 30.0), np.arange(41.0)), axis=-1), -1)
    times = 0.1 * np.arange(51)
    poses, half = make_phantoms(observation, straight_frame(), 0.0, [crossing], times, CPTOConfig())
    # The edge meets the lane at y = 6 + 20 * 18 / 50; half a car farther up somebody is unseen.
    assert half.tolist() == [[2.4, 1.0]]
    assert poses[0, 0, :2] == pytest.approx([30.0, 13.2 + 2.4])
    assert poses[0, 10, :2] == pytest.approx([30.0, 15.6 - 10.0])
    assert poses[0, 20, :2] == pytest.approx([30.0, 15.6 - 20.0])
    assert poses[0, 5, 2] == pytest.approx(-0.5 * np.pi)


DRIVER = Driver(1.8, 1.1, 1.6, 2.0, 6.0, 3.0, 1.1, 4.1, 1.15, 0.25, 1.2, 1.3, 1.5, 0.2)


def drive_behind(lead_speed, gap, speed):
    """A drive of 8 s behind a car that keeps its speed; its judgement, and the gap at every sample."""
    pose = np.zeros((1, 4, 41))
    pose[0, 0] = 4.1 + gap + 2.4 + lead_speed * 0.2 * np.arange(41)
    pose[0, 2] = 1.0
    road = Road(-10.0, 1.0, np.full(400, 13.9), np.zeros((1, 400)), np.zeros(0))
    tracks, judged = np.empty((1, 6, 41)), np.empty((1, 4))
    others = Others(pose, np.array([[2.4, 1.0, 0.0]]), np.ones(1, dtype=np.uint8))
    start = np.array([0.0, speed, 0.0, 0.0, 0.0, 0.0])
    near = make_near(1, 41, 41)
    propose(road, others, DRIVER, np.array([[1.0, 1.0]]), np.array([0]), start, 0, near, tracks, judged)
    return judged[0], pose[0, 0] - 2.4 - tracks[0, 0] - 4.1, tracks[0]


@pytest.mark.parametrize(("lead", "gap", "speed"), [(0.0, 40.0, 12.0), (8.0, 15.0, 12.0), (5.0, 6.0, 5.0)])
def test_a_drive_keeps_its_distance(lead, gap, speed):
    judged, gaps, track = drive_behind(lead, gap, speed)
    assert gaps.min() > 0.5
    assert judged[0] == pytest.approx(8.0)
    assert track[2].min() > -6.0


def test_who_cuts_in_at_the_same_speed_is_no_reason_to_brake_hard():
    _, gaps, track = drive_behind(12.0, 6.0, 12.0)
    assert -3.0 < track[2].min() < 0.0
    assert gaps[-1] > gaps[0]


def test_a_slow_drive_to_the_side_stops_for_who_stands_there():
    road = Road(-10.0, 1.0, np.full(400, 5.0), np.full((1, 400), 3.0), np.zeros(0))
    pose = np.zeros((1, 4, 41))
    pose[0, 0], pose[0, 1], pose[0, 2] = 14.0, 3.0, 1.0
    others = Others(pose, np.array([[2.4, 1.0, 0.0]]), np.ones(1, dtype=np.uint8))
    tracks, judged = np.empty((1, 6, 41)), np.empty((1, 4))
    rule, near = np.array([[0.3, 0.0]]), make_near(1, 41, 41)
    propose(
        road, others, DRIVER, rule, np.array([0]), np.array([0.0, 1.0, 0, 0, 0, 0]), 0, near, tracks, judged
    )
    assert tracks[0, 3, -1] > 1.0
    assert tracks[0, 0].max() + 4.1 < 14.0 - 2.4
    assert judged[0, 0] == pytest.approx(8.0)


def test_braking_on_a_path_takes_the_way_that_it_must():
    t = 0.1 * np.arange(50)
    nominal = np.zeros((6, 50))
    nominal[0], nominal[1], nominal[3] = 10.0 * t, 10.0, 0.05 * 10.0 * t
    out = nominal.copy()
    brake_from(nominal, 10, 0.1, 5.0, 1e6, out)
    np.testing.assert_array_equal(out[:, :10], nominal[:, :10])
    # v^2 / 2b = 10 m from 10 m on, in 2 s, still on the line that climbs by 5 %.
    assert out[0, -1] == pytest.approx(20.0)
    assert out[1, 29] > 0.0
    assert out[1, 30] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(out[3], 0.05 * out[0], atol=1e-9)
    np.testing.assert_allclose(out[2, 12:29], -5.0, atol=1e-9)


def test_a_drive_into_somebody_is_judged_a_contact():
    judged, _, _ = drive_behind(0.0, 3.0, 12.0)
    assert judged[0] < 1.0


def answer(watched, **changes):
    observation = dataclasses.replace(watched.calls[10][0], **changes)
    return CPTO().start(watched.task).plan(observation)


def test_far_off_the_road_it_says_so_and_brakes(watched):
    ego = watched.calls[10][0].ego.copy()
    ego[:2] += 5000.0
    plan = answer(watched, ego=ego)
    assert plan.status is PlanStatus.INFEASIBLE
    assert plan.reason
    assert plan.trajectory.states[-1, 3] == 0.0


def test_beginning_in_contact_it_says_so(watched):
    observation = watched.calls[10][0]
    agents = observation.agents.copy()
    valid = observation.agent_valid.copy()
    h = observation.ego[2]
    agents[0, :3] = observation.ego[0] + 3.5 * math.cos(h), observation.ego[1] + 3.5 * math.sin(h), h
    agents[0, 3:] = 0.0
    valid[0] = True
    plan = answer(watched, agents=agents, agent_valid=valid, existence=valid.astype(float))
    assert plan.status is PlanStatus.FALLBACK
    assert plan.reason == f"it would meet road user {observation.agent_id[0]}: the braking plan"
    speed = plan.trajectory.states[:, 3]
    assert (np.diff(speed[1:]) <= 1e-9).all()
    assert plan.trajectory.states[-1, 3] < max(observation.ego[3], 0.1)


def test_where_the_plan_before_is_still_fit_it_is_driven_on(watched):
    """No new motion passes, but nothing is wrong with the old one."""
    session = CPTO().start(watched.task)
    before = session.plan(watched.calls[40][0])
    observation = watched.calls[41][0]
    solve = session.solver.solve
    session.solver.solve = lambda *a: dataclasses.replace(
        solve(*a), fails_at=1.0, braking=None, reason="it would meet road user 7"
    )
    plan = session.plan(observation)
    assert plan.status is PlanStatus.FALLBACK
    assert plan.reason == "it would meet road user 7: the plan before"
    late = observation.time - watched.calls[40][0].time
    t = before.trajectory.times[:30] - before.trajectory.times[0]
    old = np.interp(
        t[5:] + late, before.trajectory.times - before.trajectory.times[0], before.trajectory.states[:, 3]
    )
    np.testing.assert_allclose(np.interp(t[5:], t, plan.trajectory.states[:30, 3]), old, atol=0.05)


def test_without_time_it_still_answers(watched):
    plan = answer(watched, time_budget=1e-6)
    assert np.isfinite(plan.trajectory.states).all()


def test_the_same_observations_give_the_same_plans(watched):
    session, other = CPTO().start(watched.task), CPTO().start(watched.task)
    for observation, _ in watched.calls[:8]:
        np.testing.assert_array_equal(
            session.plan(observation).trajectory.states, other.plan(observation).trajectory.states
        )


@pytest.mark.parametrize("consensus", ["admm", "none"])
def test_other_ways_of_consensus_drive_too(watched, consensus):
    session = CPTO(CPTOConfig(consensus=consensus)).start(watched.task)
    for observation, _ in watched.calls[:5]:
        plan = session.plan(observation)
        assert plan.status in (PlanStatus.OK, PlanStatus.DEGRADED)
    assert (plan.figures["consensus"] > 0.0) == (consensus == "admm")


def test_a_polished_plan_is_no_worse(watched):
    gaps = []
    for observation, _ in moments(watched, 30):
        plain = CPTO().start(watched.task).plan(observation)
        polished = CPTO(CPTOConfig(polish="always")).start(watched.task).plan(observation)
        assert polished.figures["fails_at"] >= plain.figures["fails_at"]
        gap = polished.trajectory.states[:, :2] - plain.trajectory.states[:, :2]
        gaps.append(np.hypot(*gap.T).max())
    assert 0.0 < max(gaps) < 2.0


@pytest.mark.parametrize(
    "settings",
    [
        {"consensus": "most"},
        {"barrier": "none"},
        {"joint": 4.0},
        {"gamma": 0.0},
        {"bends": 0.0},
        {"discs": 4},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match="cpto"):
        CPTOConfig(**settings)
