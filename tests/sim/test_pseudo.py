"""The pseudo-closed loop and the open loop: who drives, from where, among whom."""

from __future__ import annotations

import numpy as np
import pytest

import drive
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.frames import FrameKind
from drive.planner import Plan, PlannerSpec
from drive.registry import load_planner
from drive.roadmap.drivable import DrivableArea
from drive.runlog import RunLog
from drive.sim.followups import follow_ups
from drive.sim.kernels.layout import Controller
from drive.sim.modes import simulate_mode
from drive.sim.pseudo import simulate_pseudo
from drive.vehicle import rear_to_center

SCENE = "gen/cut_in/0"


@pytest.fixture(scope="module")
def scenario():
    return drive.load_scenario(SCENE)


class Straight:
    """Plans a straight way at its speed, and remembers what it was told; fails on demand."""

    spec = PlannerSpec("straight", horizon=8.0, history=1.5)

    def __init__(self, fails_at: int = 10**9) -> None:
        self.told, self.sessions, self.fails_at = [], 0, fails_at

    def start(self, task):
        self.sessions += 1
        return self

    def plan(self, observation) -> Plan:
        self.told.append(observation)
        if len(self.told) > self.fails_at:
            raise ValueError("no plan")
        x, y, h, v = observation.ego[:4]
        way = 0.1 * v * np.arange(1, 81)
        poses = np.stack((x + way * np.cos(h), y + way * np.sin(h), np.full(80, h)), axis=1)
        return Plan.from_poses(observation, poses)


def test_each_frame_has_a_session_that_saw_the_log_before_it(scenario) -> None:
    planner = Straight()
    run = simulate_pseudo(scenario, planner, stages=2)
    planned = [k for k in range(len(run.frames)) if not run.frames.human[k]]
    assert planner.sessions == len(planner.told) == len(planned) > 6
    assert [o.step for o in planner.told[:4]] == [20, 15, 60, 55]
    expert = scenario.expert.states
    for told, step in zip(planner.told, (20, 15), strict=False):
        np.testing.assert_array_equal(told.ego, expert[step, :7])
        np.testing.assert_array_equal(told.ego_history, expert[step - 15 : step + 1, :7])
        # Whoever is seen is where the log has it.
        seen = told.agent_valid
        np.testing.assert_allclose(told.agents[seen], scenario.tracks.states[told.agent_id[seen], step])


def test_a_straight_plan_is_driven_straight(scenario) -> None:
    run = simulate_pseudo(scenario, Straight(), traffic="log")
    f = run.frames
    at = f.find(FrameKind.NOW)
    start = scenario.expert.states[20, :7]
    np.testing.assert_array_equal(f.ego[at, 0], start)
    along = (f.ego[at, :, :2] - start[:2]) @ [np.cos(start[2]), np.sin(start[2])]
    across = (f.ego[at, :, :2] - start[:2]) @ [-np.sin(start[2]), np.cos(start[2])]
    np.testing.assert_allclose(np.diff(along), 0.1 * start[3], atol=0.02)
    assert np.abs(across).max() < 0.2
    np.testing.assert_allclose(
        f.end[at], start[:2] + 4.0 * start[3] * np.array([np.cos(start[2]), np.sin(start[2])])
    )
    # Replayed traffic is the log.
    others = np.arange(scenario.tracks.num_agents) != scenario.ego
    valid = scenario.tracks.valid[others, 20:70]
    np.testing.assert_array_equal(f.agent_valid[at], valid)
    logged = np.where(valid[..., None], scenario.tracks.states[others, 20:70], 0.0)
    np.testing.assert_allclose(f.agents[at], logged, atol=1e-4)


def test_the_log_shows_the_recorded_drive_and_then_the_plans(scenario) -> None:
    run = simulate_pseudo(scenario, Straight())
    assert (len(run.times), run.mode) == (61, "pseudo")
    np.testing.assert_array_equal(run.ego[:21], scenario.expert.states[:21, :7])
    np.testing.assert_array_equal(run.ego[20:], run.frames.ego[run.frames.find(FrameKind.NOW)])
    assert run.plan_step.tolist() == [15, 20]
    again = simulate_pseudo(scenario, Straight())
    np.testing.assert_array_equal(run.frames.ego, again.frames.ego)
    np.testing.assert_array_equal(run.frames.agents, again.frames.agents)


def test_the_human_is_driven_by_the_same_tracker(scenario) -> None:
    run = simulate_pseudo(scenario, Straight(), traffic="log")
    human = run.frames.ego[run.frames.find(FrameKind.NOW, human=True)]
    gap = np.hypot(*(human[:, :2] - scenario.expert.states[20:61, :2]).T)
    assert 0.0 < gap.max() < 1.0


def test_traffic_answers_the_ego_of_its_frame() -> None:
    scenario = drive.load_scenario("gen/stop_for_lead/0")

    class Stops(Straight):
        def plan(self, observation) -> Plan:
            return Plan.from_poses(observation, np.repeat(observation.ego[None, :3], 80, axis=0))

    others = [simulate_pseudo(scenario, p(), traffic="idm").frames for p in (Straight, Stops)]
    at = others[0].find(FrameKind.NOW)
    np.testing.assert_array_equal(others[0].agents[at, :, 0], others[1].agents[at, :, 0])
    assert np.abs(others[0].agents[at] - others[1].agents[at]).max() > 1.0
    log = simulate_pseudo(scenario, Straight(), traffic="idm")
    drivers = {int(c) for c, there in zip(log.agent_controller, log.agent_valid[:, 20], strict=True) if there}
    assert int(Controller.IDM) in drivers
    # What answers the human does not depend on the plan.
    human = others[0].find(FrameKind.NOW, human=True)
    np.testing.assert_array_equal(others[0].agents[human], others[1].agents[human])


def test_follow_ups_are_on_the_road_apart_and_begin_with_the_drivers_place(scenario) -> None:
    found = follow_ups(scenario, 20, 60, 5)
    expert = scenario.expert.states[:, :7]
    late, early = found[0]
    np.testing.assert_allclose(late[-1, :4], expert[60, :4], atol=0.02)
    np.testing.assert_allclose(early[-1, :4], expert[55, :4], atol=0.02)
    np.testing.assert_allclose(late[:, :2], expert[45:61, :2], atol=0.02)
    assert 4 <= len(found) <= 12
    area, vehicle = DrivableArea.of(scenario.roadmap), scenario.vehicle
    for late, early in found:
        assert area.contains(rear_to_center(late[-1], vehicle.rear_axle_to_center))
        np.testing.assert_array_equal(late[:11], early[5:])
        # Speed and place belong together.
        np.testing.assert_allclose(np.hypot(*np.diff(late[:, :2], axis=0).T), 0.1 * late[:-1, 3], atol=0.05)
    starts = np.array([late[-1, :2] for late, _ in found])
    gaps = np.hypot(*(starts[:, None] - starts[None]).transpose(2, 0, 1)) + np.eye(len(starts))
    assert gaps.min() >= 0.1


def test_frames_are_kept_in_the_file(scenario, tmp_path) -> None:
    run = simulate_pseudo(scenario, Straight(), stages=2)
    again = RunLog.load(run.save(tmp_path / "a.drive.npz"))
    for name, values in run.frames.to_arrays().items():
        np.testing.assert_array_equal(values, again.frames.to_arrays()[name])
    assert again.mode == "pseudo"


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_planner_that_fails_in_any_frame_fails(scenario, calls) -> None:
    run = simulate_pseudo(scenario, Straight(fails_at=calls), stages=2)
    assert run.header["failure"] == {"class": "planner_error", "reason": "ValueError: no plan"}
    assert run.frames is None
    run.check()


def test_scenes_that_do_not_fit_are_told(scenario) -> None:
    from drive.eval.bench.worker import shortened

    with pytest.raises(ScenarioError, match="lasts 4 s: 1 stage"):
        simulate_pseudo(shortened(scenario, 40), Straight())
    short = simulate_pseudo(shortened(scenario, 50), Straight())
    assert short.plan_step.tolist() == [5, 10]
    with pytest.raises(ScenarioError, match="2 stage"):
        simulate_pseudo(shortened(scenario, 80), Straight(), stages=2)
    with pytest.raises(ScenarioError, match=r"lasts 5 s: in open loop"):
        simulate_mode("open", shortened(scenario, 50), Straight())
    with pytest.raises(InputError, match="no --realtime in mode 'pseudo'"):
        simulate_mode("pseudo", scenario, Straight(), realtime=True)
    with pytest.raises(UnknownNameError, match="did you mean 'pseudo'"):
        simulate_mode("pseud", scenario, Straight())


def test_in_open_loop_nobody_drives_but_the_log(scenario) -> None:
    planner = Straight()
    run = simulate_mode("open", scenario, planner, traffic="idm")
    np.testing.assert_array_equal(run.ego, scenario.expert.states[:, :7])
    assert (run.mode, run.header["traffic"], len(planner.told)) == ("open", "log", 150)
    others = np.arange(scenario.tracks.num_agents) != scenario.ego
    valid = scenario.tracks.valid[others]
    np.testing.assert_allclose(run.agents[valid], scenario.tracks.states[others][valid], atol=1e-4)


def test_a_pseudo_closed_loop_of_pdm_ends_near_its_plan(scenario) -> None:
    run = simulate_mode("pseudo", scenario, load_planner("pdm"), traffic="log")
    at = run.frames.find(FrameKind.NOW)
    assert np.hypot(*(run.frames.ego[at, -1, :2] - run.frames.end[at])) < 1.5


def test_a_single_plans_run_has_no_moment_to_plan_again(scenario) -> None:
    from drive.eval.replan import replan

    run = simulate_pseudo(scenario, Straight())
    with pytest.raises(InputError, match="only a closed loop has moments"):
        replan(run, 1.0, scenario, Straight())
