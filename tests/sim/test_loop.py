"""The closed loop: what it records, what it does with planners that fail, and that it repeats itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from drive.errors import ScenarioError
from drive.planner import Control, ControlKind, Plan, PlannerSpec, planner
from drive.planners import idm
from drive.planners.constant import Constant
from drive.planners.log_replay import LogReplay
from drive.runlog import RunLog
from drive.scenario import Expert
from drive.sim import Controller, simulate
from drive.sim.traffic import IDM, IDM_COMPAT, LOG, MOBIL
from drive.trajectory import Trajectory

CARS = [(60.0, 0.0, 8.0), (45.0, 3.5, 12.0), (90.0, 3.5, 6.0)]


def test_a_constant_plan_is_driven_as_planned(straight: Any, scenario: Any) -> None:
    run = simulate(scenario(straight(), []), Constant(), traffic=LOG)
    assert run.header["failure"] is None
    assert len(run.times) == 151
    np.testing.assert_allclose(run.ego[:, 0], 20.0 + 10.0 * run.times, atol=1e-6)
    np.testing.assert_allclose(run.ego[:, 1], 0.0, atol=1e-9)
    assert len(run.plan_step) == 150
    np.testing.assert_allclose(run.plan_states_of(7)[0, 0], run.ego[7, 0])


def test_the_log_planner_follows_the_log(straight: Any, scenario: Any) -> None:
    s = scenario(straight(), CARS)
    t = s.times
    states = np.zeros((len(t), 7))
    states[:, 0], states[:, 3], states[:, 4] = 20.0 + 10.0 * t - 0.2 * t**2, 10.0 - 0.4 * t, -0.4
    run = simulate(s.with_(expert=Expert(states, "generated")), LogReplay(), traffic=LOG)
    # The devkit's tracker follows speeds, not positions, so a small lag adds up while braking.
    assert np.abs(run.ego[:, 0] - states[:, 0]).max() < 1.0
    assert np.abs(run.ego[20:-10, 3] - states[20:-10, 3]).max() < 0.1
    assert run.header["planner"]["privileged"]
    assert run.expert_source == "generated"


def test_a_missing_expert_is_an_idm_drive_that_says_so(straight: Any, scenario: Any) -> None:
    run = simulate(scenario(straight(), CARS), Constant(), traffic=LOG)
    assert run.expert_source == "idm"
    assert run.expert.shape == (151, 7)
    # It keeps behind the car at 8 m/s that starts 38.5 m ahead of its rear axle.
    assert run.expert[-1, 0] < 60.0 + 8.0 * 15.0 - 5.0
    assert run.expert[-1, 0] > 130.0


@pytest.mark.parametrize("traffic", [LOG, IDM, MOBIL, IDM_COMPAT])
def test_equal_inputs_give_bit_equal_runs(straight: Any, scenario: Any, traffic: Any) -> None:
    s = scenario(straight(), CARS)
    a, b = (simulate(s, idm.IDM(), traffic=traffic) for _ in range(2))
    for name in ("ego", "agents", "agent_valid", "plan_states", "ego_control"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_idm_planner_stops_behind_a_standing_car_and_at_red(straight: Any, scenario: Any) -> None:
    run = simulate(scenario(straight(), [(140.0, 0.0, 0.0)]), idm.IDM(), traffic=LOG)
    front = run.ego[-1, 0] + 1.461 + 0.5 * 5.176
    assert 130.0 < front < 137.6
    assert not [e for e in run.header["events"] if e["kind"] == "collision"]
    red = np.full((1, 151), 3, dtype=np.uint8)
    run = simulate(scenario(straight(stop_at=120.0), [], signals=red), idm.IDM(), traffic=LOG)
    front = run.ego[-1, 0] + 1.461 + 0.5 * 5.176
    assert 115.0 < front <= 120.0


def test_a_collision_is_an_event_at_its_first_contact(straight: Any, scenario: Any) -> None:
    # Bumper to bumper: 21.461 + 2.588 + 10 t = 100 - 2.4, t = 7.36 s.
    run = simulate(scenario(straight(), [(100.0, 0.0, 0.0)]), Constant(), traffic=LOG)
    hits = [e for e in run.header["events"] if e["kind"] == "collision"]
    assert [h["agent"] for h in hits] == ["car1"]
    assert hits[0]["time"] == pytest.approx(7.4, abs=1e-9)


def _poses(observation: Any, value: float = 1.0) -> np.ndarray:
    return np.tile(observation.ego[:3], (40, 1)) * value


@planner()
def returns_nothing(observation: Any, task: Any) -> Any:
    return None


@planner()
def returns_nan(observation: Any, task: Any) -> Any:
    return Plan.from_poses(observation, _poses(observation, float("nan")))


@planner()
def raises(observation: Any, task: Any) -> Any:
    raise ZeroDivisionError("by design\nsecond line")


@planner()
def fails_later(observation: Any, task: Any) -> Any:
    if observation.step >= 30:
        raise ValueError("tired")
    return Plan.from_poses(observation, _poses(observation))


@planner()
def sleeps(observation: Any, task: Any) -> Any:
    time.sleep(30.0)


@planner()
def wrong_time(observation: Any, task: Any) -> Any:
    return Plan(Trajectory(np.array([99.0, 99.1]), np.zeros((2, 7))))


@planner()
def wrong_control(observation: Any, task: Any) -> Any:
    plan = Plan.from_poses(observation, _poses(observation))
    return Plan(plan.trajectory, control=Control(ControlKind.ACCELERATION_STEERING, np.zeros((3, 5)), 0.1))


@pytest.mark.parametrize(
    ("bad", "kind", "says", "samples"),
    [
        (returns_nothing, "planner_error", "NoneType", 1),
        (returns_nan, "planner_error", "not finite", 1),
        (raises, "planner_error", "ZeroDivisionError: by design", 1),
        (fails_later, "planner_error", "tired", 31),
        (wrong_time, "planner_error", "99.000 s", 1),
        (wrong_control, "planner_error", "control", 1),
        (sleeps, "planner_timeout", "did not answer", 1),
    ],
)
def test_planners_that_fail_end_the_run_and_are_named(
    straight: Any, scenario: Any, tmp_path: Any, bad: Any, kind: str, says: str, samples: int
) -> None:
    run = simulate(scenario(straight(), CARS), bad, traffic=LOG, watchdog=0.2)
    assert run.header["failure"]["class"] == kind
    assert says in run.header["failure"]["reason"]
    assert "\n" not in run.header["failure"]["reason"]
    assert len(run.times) == len(run.ego) == samples
    # The log of a failed run is as good a file as any other.
    again = RunLog.load(run.save(tmp_path / "x.drive.npz"))
    assert again.header["failure"] == run.header["failure"]


def test_a_plan_with_its_own_control_is_driven_by_it(straight: Any, scenario: Any) -> None:
    @planner()
    def brakes(observation: Any, task: Any) -> Plan:
        plan = Plan.from_poses(observation, _poses(observation))
        return Plan(plan.trajectory, Control(ControlKind.ACCELERATION_STEERING, np.array([[-2.0, 0.0]]), 0.1))

    run = simulate(scenario(straight(), []), brakes, traffic=LOG)
    # After the lag of 0.2 s the deceleration is the one asked for: v(3 s) is near 10 - 2 (3 - 0.2).
    assert run.ego[30, 3] == pytest.approx(10.0 - 2.0 * 2.8, abs=0.1)
    np.testing.assert_array_equal(run.ego_control[:, 0], -2.0)


def test_any_agent_may_be_driven_by_a_planner(straight: Any, scenario: Any) -> None:
    s = scenario(straight(), [(60.0, 0.0, 8.0), (140.0, 3.5, 0.0), (60.0, 3.5, 10.0)])
    run = simulate(s, Constant(), traffic=LOG, drivers={"car3": idm.IDM()})
    assert run.agent_controller.tolist() == [Controller.LOG, Controller.LOG, Controller.TRAJECTORY]
    x = run.agents[2, :, 0]
    assert x[-1] + 2.4 < 140.0 - 2.4  # stopped behind the standing car, which its log drove through
    assert x[-1] > 120.0
    with pytest.raises(ScenarioError, match="no track"):
        simulate(s, Constant(), drivers={"nobody": idm.IDM()})


def test_a_failure_of_another_tracks_driver_says_whose_it_is(straight: Any, scenario: Any) -> None:
    @planner()
    def falls(observation: Any, task: Any) -> Plan:
        raise ValueError("lost")

    s = scenario(straight(), [(60.0, 0.0, 8.0)])
    run = simulate(s, Constant(), traffic=LOG, drivers={"car1": falls})
    assert run.header["failure"]["class"] == "planner_error"
    assert "driver of track 'car1'" in run.header["failure"]["reason"]


def test_observations_hold_the_past_and_nothing_of_the_future(straight: Any, scenario: Any) -> None:
    seen = []

    @planner(history=1.0)
    def watch(observation: Any, task: Any) -> Plan:
        seen.append(observation)
        assert task.log is None
        return Plan.from_poses(observation, _poses(observation))

    s = scenario(straight(), CARS)
    run = simulate(s, watch, traffic=LOG)
    o = seen[25]
    assert o.time == pytest.approx(2.5)
    assert o.agents.shape == (3, 5)
    assert o.agent_history.shape == (3, 11, 5)
    assert o.ego_history.shape == (11, 7)
    np.testing.assert_allclose(o.agent_history[:, -1], o.agents)
    np.testing.assert_allclose(o.agent_history[0, :, 0], 60.0 + 8.0 * np.arange(1.5, 2.55, 0.1), atol=1e-4)
    np.testing.assert_array_equal(o.ego_history, run.ego[15:26])
    assert o.agent_history_valid.all()
    assert not seen[0].agent_history_valid[:, :-1].any()
    assert o.time_budget is None


def test_realtime_drives_the_old_plan_until_the_late_one_is_there(straight: Any, scenario: Any) -> None:
    @planner(rate=1.0)
    def slow(observation: Any, task: Any) -> Plan:
        if observation.step:
            time.sleep(0.25)
        assert observation.time_budget == pytest.approx(1.0)
        stop = np.tile(observation.ego[:3], (40, 1))
        ahead = stop + np.outer(0.1 * 10.0 * np.arange(1, 41), [1.0, 0.0, 0.0])
        return Plan.from_poses(observation, stop if observation.step else ahead)

    s = scenario(straight(), [])
    s = s.with_(duration=3.0, tracks=_cut(s.tracks, 31), signals=s.signals[:, :31], expert=None)
    live = simulate(s, slow, traffic=LOG, realtime=True)
    assert live.ego[11, 4] > -0.5  # 0.1 s after the second call the first plan is still driven
    assert live.ego[15, 4] < -1.0


def test_realtime_adopts_a_plan_that_is_late_at_every_call(straight: Any, scenario: Any) -> None:
    calls: list[int] = []

    @planner(rate=10.0)
    def slow(observation: Any, task: Any) -> Plan:
        calls.append(observation.step)
        if observation.step:
            time.sleep(0.15)
        stop = np.tile(observation.ego[:3], (40, 1))
        ahead = stop + np.outer(0.1 * 10.0 * np.arange(1, 41), [1.0, 0.0, 0.0])
        return Plan.from_poses(observation, stop if observation.step else ahead)

    s = scenario(straight(), [])
    s = s.with_(duration=3.0, tracks=_cut(s.tracks, 31), signals=s.signals[:, :31], expert=None)
    live = simulate(s, slow, traffic=LOG, realtime=True)
    assert calls[:2] == [0, 1]
    assert min(np.diff(calls[1:])) >= 2  # not asked again while it thinks
    assert live.ego[-1, 3] < 1.0  # and its late plans are driven


def _cut(tracks: Any, n: int) -> Any:
    from dataclasses import replace

    return replace(tracks, states=tracks.states[:, :n], valid=tracks.valid[:, :n])


def test_a_planner_is_called_at_its_own_rate(straight: Any, scenario: Any) -> None:
    class Slow:
        spec = PlannerSpec("slow", rate=2.0)

        def start(self, task: Any) -> Any:
            return Constant().start(task)

    run = simulate(scenario(straight(), []), Slow(), traffic=LOG)
    assert run.plan_step.tolist() == list(range(0, 150, 5))
