"""Runs whose ego is led for a while, and runs that stop at a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drive.eval.check.scenes import nobody, straight_map, straight_scene
from drive.planner import Plan, planner
from drive.registry import load_planner
from drive.sim import simulate
from drive.sim.driven import Lead


def steady(times: np.ndarray, speed: float = 10.0) -> np.ndarray:
    """States along y = 0 from x = 20 at a constant speed."""
    states = np.zeros((len(times), 7))
    states[:, 0], states[:, 3] = 20.0 + speed * times, speed
    return states


def recorder(seen: list[Any]) -> Any:
    @planner(horizon=4.0, history=1.0)
    def records(observation: Any, task: Any) -> Plan:
        seen.append(observation)
        t = 0.1 * np.arange(1, 41)
        poses = np.tile(observation.ego[:3], (40, 1))
        poses[:, 0] += 5.0 * t
        return Plan.from_poses(observation, poses)

    return records


def test_a_planner_that_is_not_asked_begins_where_the_lead_ends() -> None:
    seen: list[Any] = []
    lead = steady(0.1 * np.arange(31))
    lead[:, 4] = np.linspace(0.0, 0.3, 31)  # an acceleration, so that the commands can be told
    run = simulate(nobody(), recorder(seen), lead=Lead(lead, driver="me"))
    assert np.array_equal(run.ego[:31], lead)
    assert list(run.plan_step) == list(range(30, 150))
    assert seen[0].time == pytest.approx(3.0)
    # What it sees of the past is what it was led through.
    np.testing.assert_array_equal(seen[0].ego_history, lead[20:31])
    np.testing.assert_array_equal(run.ego_control[:30, 0], lead[1:, 4])
    assert run.ego[31, 0] > lead[30, 0]
    assert run.header["lead"] == {"driver": "me", "until": pytest.approx(3.0), "strayed": None}


def test_a_planner_that_is_asked_sees_the_lead_and_does_not_move_it() -> None:
    seen: list[Any] = []
    lead = steady(0.1 * np.arange(31))
    run = simulate(nobody(), recorder(seen), lead=Lead(lead, ask=True))
    assert np.array_equal(run.ego[:31], lead)
    assert np.array_equal([o.ego for o in seen[:31]], lead)
    assert list(run.plan_step) == list(range(150))
    # It wants 5 m/s: after one step it would have been elsewhere.
    assert run.header["lead"]["strayed"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["idm", "pdm"])
def test_led_along_its_own_motion_a_planner_repeats_it(name: str) -> None:
    scene = straight_scene(straight_map(), [(60.0, 0.0, 6.0), (45.0, 3.5, 12.0)])
    whole = simulate(scene, load_planner(name))
    again = simulate(scene, load_planner(name), lead=Lead(whole.ego[:61], ask=True))
    assert again.header["lead"]["strayed"] is None
    for part in ("ego", "ego_control", "ego_yaw_acceleration", "agents", "plan_states"):
        np.testing.assert_array_equal(getattr(again, part), getattr(whole, part))


def test_a_departure_from_the_lead_is_dated() -> None:
    scene = nobody()
    whole = simulate(scene, load_planner("idm"))
    lead = whole.ego[:61].copy()
    lead[25:, 1] += 1e-9
    again = simulate(scene, load_planner("idm"), lead=Lead(lead, ask=True))
    assert again.header["lead"]["strayed"] == pytest.approx(2.5)
    assert np.array_equal(again.ego[:61], lead)


def test_other_road_users_meet_the_led_ego() -> None:
    # Somebody behind brakes for an ego that is led to a halt, and drives on past where it would be otherwise.
    scene = straight_scene(straight_map(), [(0.0, 0.0, 10.0)])
    halt = steady(0.1 * np.arange(120))
    halt[:, 0], halt[:, 3] = 20.0, 0.0
    run = simulate(scene, load_planner("idm"), lead=Lead(halt))
    nose = run.agents[0, :120, 0] + 0.5 * run.agent_size[0, 0]
    assert nose.max() < 20.0
    assert simulate(scene, load_planner("idm")).agents[0, 119, 0] > 60.0


def test_a_run_stops_with_the_plan_of_its_last_sample() -> None:
    scene = straight_scene(straight_map(), [(60.0, 0.0, 6.0)])
    whole, part = (simulate(scene, load_planner("pdm"), stop=stop) for stop in (None, 40))
    assert len(part.times) == 41
    assert list(part.plan_step) == list(range(41))
    np.testing.assert_array_equal(part.ego, whole.ego[:41])
    np.testing.assert_array_equal(part.agents, whole.agents[:, :41])
    np.testing.assert_array_equal(part.plan_states_of(40), whole.plan_states_of(40))
    assert part.header["failure"] is None
    assert len(simulate(scene, load_planner("idm"), stop=10_000).times) == 151
