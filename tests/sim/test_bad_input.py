"""Scenes at the edge of sense: no planner stumbles, every run is finite and can be scored and saved."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive.eval.check.scenes import (
    TRIALS,
    at,
    blocked,
    crowd,
    nobody,
    seen,
    straight_map,
    straight_scene,
    ten_metres_of_road,
    vanishing,
)
from drive.planner import Candidates, Plan, planner
from drive.registry import load, load_planner
from drive.runlog import RunLog
from drive.scenario import Route, Scenario
from drive.sim import simulate
from drive.trajectory import Trajectory

PLANNERS = ("constant", "idm", "pdm", "log")


def jam() -> Scenario:
    return straight_scene(straight_map(), [(40.0 + 8.0 * (k // 2), 3.5 * (k % 2), 5.0) for k in range(60)])


def one_step() -> Scenario:
    scene = straight_scene(straight_map(), [(45.0, 0.0, 8.0)])
    t = scene.tracks
    short = dataclasses.replace(t, states=t.states[:, :2], valid=t.valid[:, :2])
    return scene.with_(duration=0.1, tracks=short, signals=scene.signals[:, :2])


SCENES: dict[str, Callable[[], Scenario]] = {
    **{trial.name: trial.make for trial in TRIALS},
    "jam": jam,
    "one step": one_step,
    "no route": lambda: nobody().with_(route=Route()),
    "lanes without a line": lambda: nobody().with_(route=Route((0,), (0,))),
    "a line without length": lambda: nobody().with_(route=Route(line=np.full((2, 2), 20.0))),
    "a route behind": lambda: at(nobody(), 300.0, 0.0, 0.0, 10.0).with_(
        route=Route(line=np.array([[0.0, 0.0], [50.0, 0.0]]))
    ),
    "off the road": lambda: at(nobody(), 300.0, 60.0, 1.0, 10.0),
    "no lane near": lambda: at(nobody(), 300.0, 300.0, 1.0, 10.0).with_(route=Route()),
    "against the traffic": lambda: at(nobody(), 300.0, 0.0, np.pi, 10.0),
    "past the road's end": lambda: at(nobody(), 850.0, 0.0, 0.0, 10.0),
    "60 m/s": lambda: at(nobody(), 20.0, 0.0, 0.0, 60.0),
    "reversing": lambda: at(nobody(), 120.0, 0.0, 0.0, -5.0),
    "spinning": lambda: at(nobody(), 120.0, 0.0, 0.0, 15.0, 0.0, 0.6, 4.0),
}


@pytest.mark.parametrize("name", SCENES)
def test_no_planner_stumbles(name: str) -> None:
    scene = SCENES[name]()
    score = load("drive.metrics", "nuplan_cls")
    for planner_name in PLANNERS:
        run = simulate(scene, load_planner(planner_name, {}), traffic="idm")
        assert run.header["failure"] is None, planner_name
        assert len(run.times) == scene.num_steps + 1
        for array in (run.ego, run.agents, run.ego_control, run.expert, run.plan_states):
            assert np.isfinite(array).all(), planner_name
        assert 0.0 <= score.evaluate(run).score <= 1.0


@pytest.mark.parametrize("traffic", ["log", "mobil", "idm_compat"])
def test_no_traffic_stumbles(traffic: str) -> None:
    for scene in (blocked(), jam(), vanishing(), ten_metres_of_road()):
        run = simulate(scene, load_planner("idm", {}), traffic=traffic)
        assert run.header["failure"] is None
        assert np.isfinite(run.agents).all()


def test_what_pdm_says_of_its_plans() -> None:
    def said(scene: Scenario) -> tuple[Counter[str], set[str]]:
        header = simulate(scene, load_planner("pdm", {}), traffic="idm").header
        return Counter(header["plan_status"]), set(header["plan_reason"]) - {""}

    assert said(nobody())[0] == {"ok": 150}
    assert said(nobody().with_(route=Route()))[0] == {"ok": 150}
    # With room to stop a blocked road is no emergency; 2 m before the bumper it is.
    assert said(blocked())[0] == {"ok": 150}
    near = straight_scene(straight_map(), [(29.0, 0.0, 0.0), (29.0, 3.5, 0.0)])
    assert "degraded" in said(near)[0]
    assert said(SCENES["no lane near"]()) == ({"fallback": 150}, {"no lane to follow"})
    status, reasons = said(SCENES["past the road's end"]())
    assert status["ok"] == 0
    assert reasons == {"every proposal breaks a rule"}


def test_idm_and_pdm_stop_before_a_blocked_road_and_a_crowd() -> None:
    for name in ("idm", "pdm"):
        for scene in (blocked(), crowd()):
            run = simulate(scene, load_planner(name, {}), traffic="idm")
            assert not [e for e in run.header["events"] if e["kind"] == "collision"], name
            assert run.ego[-1, 3] < 0.1
            assert run.ego[-1, 0] > 25.0


def test_a_plan_to_beyond_all_numbers_leaves_a_log_that_can_be_read(tmp_path: Path) -> None:
    @planner()
    def absurd(observation: Any, task: Any) -> Plan:
        poses = np.tile(observation.ego[:3], (40, 1))
        poses[:, 0] += 1e200 * np.arange(1, 41)
        return Plan.from_poses(observation, poses)

    run = simulate(nobody(), absurd, traffic="log")
    assert run.header["failure"]["class"] == "planner_error"
    assert "beyond 1e+07" in run.header["failure"]["reason"]
    again = RunLog.load(run.save(tmp_path / "x.drive.npz"))
    assert np.isfinite(again.plan_states).all()


def test_a_planner_that_scribbles_on_its_observation_changes_nobody_else() -> None:
    @planner()
    def scribbles(observation: Any, task: Any) -> Plan:
        plan = Plan.from_poses(observation, np.tile(observation.ego[:3], (40, 1)))
        for name in ("ego", "ego_history", "agents", "agent_history"):
            getattr(observation, name)[:] = np.nan
        for name in ("agent_valid", "agent_history_valid"):
            getattr(observation, name)[:] = False
        return plan

    @planner()
    def stays(observation: Any, task: Any) -> Plan:
        return Plan.from_poses(observation, np.tile(observation.ego[:3], (40, 1)))

    a, b = (simulate(jam(), p, traffic="idm") for p in (scribbles, stays))
    assert a.header["failure"] is None
    np.testing.assert_array_equal(a.ego, b.ego)
    np.testing.assert_array_equal(a.agents, b.agents)


def driven(plan_of: Callable[[Any], Plan]) -> RunLog:
    return simulate(nobody(), planner()(lambda observation, task: plan_of(observation)), traffic="log")


def ahead(observation: Any) -> Plan:
    steps = 0.1 * 10.0 * np.arange(1, 41)
    return Plan.from_poses(observation, observation.ego[:3] + np.outer(steps, [1.0, 0.0, 0.0]))


def candidates(**changed: Any) -> Candidates:
    good: dict[str, Any] = {
        "times": np.arange(5.0),
        "states": np.zeros((2, 5, 3)),
        "scores": {"cost": np.zeros(2)},
        "chosen": 0,
    }
    return Candidates(**(good | changed))


RUBBISH: dict[str, Callable[[Plan], Plan]] = {
    "status": lambda p: dataclasses.replace(p, status="great"),  # type: ignore[arg-type]
    "figure": lambda p: dataclasses.replace(p, figures={"cost": "cheap"}),  # type: ignore[dict-item]
    "need times": lambda p: dataclasses.replace(
        p, candidates=candidates(times=np.zeros(0), states=np.zeros((2, 0, 3)))
    ),
    "not finite": lambda p: dataclasses.replace(p, candidates=candidates(states=np.full((2, 5, 3), np.nan))),
    "must hold arrays": lambda p: dataclasses.replace(p, candidates=candidates(states=[[[0.0] * 3] * 5] * 2)),
    "not numbers": lambda p: dataclasses.replace(
        p, candidates=candidates(scores={"cost": np.array(["a", "b"])})
    ),
    "600 s": lambda p: dataclasses.replace(
        p, trajectory=Trajectory(p.trajectory.times * np.linspace(1.0, 1e10, 41), p.trajectory.states)
    ),
    "1e+07": lambda p: dataclasses.replace(
        p, trajectory=Trajectory(p.trajectory.times, p.trajectory.states + 1e17)
    ),
}


@pytest.mark.parametrize("word", RUBBISH)
def test_a_plan_of_rubbish_is_the_planners_error(word: str) -> None:
    run = driven(lambda observation: RUBBISH[word](ahead(observation)))
    assert run.header["failure"]["class"] == "planner_error"
    assert word in run.header["failure"]["reason"]


def test_a_planner_that_fills_the_same_buffers_again_changes_no_plan_of_before() -> None:
    times, states = np.zeros(41), np.zeros((41, 7))

    def reused(observation: Any) -> Plan:
        plan = ahead(observation)
        times[:], states[:] = plan.trajectory.times, plan.trajectory.states
        return dataclasses.replace(plan, trajectory=Trajectory(times, states))

    fresh, again = driven(ahead), driven(reused)
    np.testing.assert_array_equal(fresh.plan_states, again.plan_states)
    np.testing.assert_array_equal(fresh.ego, again.ego)


def test_a_planner_that_leaves_the_programme_is_a_failure_of_its_own() -> None:
    def leaves(observation: Any) -> Plan:
        raise SystemExit(3)

    run = driven(leaves)
    assert run.header["failure"]["class"] == "planner_error"
    assert "exit(3)" in run.header["failure"]["reason"]


def test_a_planner_cannot_change_the_map() -> None:
    @planner()
    def moves_the_road(observation: Any, task: Any) -> Plan:
        task.roadmap.points[:, 1] += 1.0
        return ahead(observation)

    run = simulate(nobody(), moves_the_road, traffic="log")
    assert run.header["failure"]["class"] == "planner_error"
    assert "read-only" in run.header["failure"]["reason"]


def test_agents_not_met_yet_have_no_row() -> None:
    scene = straight_scene(straight_map(), [(45.0, 0.0, 8.0), (60.0, 3.5, 5.0)])
    valid = scene.tracks.valid.copy()
    valid[2, :30] = False
    seen_rows: list[list[Any]] = []

    @planner()
    def counts(observation: Any, task: Any) -> Plan:
        seen_rows.append(list(observation.agent_id))
        return ahead(observation)

    simulate(seen(scene, valid), counts, traffic="log")
    assert [len(row) for row in seen_rows[:29]] == [1] * 29
    assert len(seen_rows[31]) == 2
    assert seen_rows[31][:1] == seen_rows[0]
