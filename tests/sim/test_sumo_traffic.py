"""Traffic `sumo`: SUMO drives the others beside our loop, minds the ego, and repeats itself under a seed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drive.datasets import source
from drive.errors import MissingExtraError, ScenarioError
from drive.eval.replan import replan
from drive.planner import Plan, PlannerSpec, planner
from drive.planners import idm
from drive.planners.constant import Constant
from drive.registry import load
from drive.runlog import RunLog
from drive.scenario import Scenario
from drive.sim import Controller, simulate
from drive.sim.driven import Lead
from drive.trajectory import Trajectory

TEXT = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "datasets" / "sumo_text.py")))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:libsumo.*")


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A car on its way to a signal, with others behind it."""
    TEXT.libsumo()
    config = TEXT.write_demand(tmp_path_factory.mktemp("sumo") / "here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIVE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return source.load(f"{config}#v12@45")


@planner(PlannerSpec("stands", horizon=4.0, rate=10.0))
def stands(observation: Any, task: Any) -> Plan:
    """Brake to a stop, and stay."""
    times = observation.time + 0.1 * np.arange(41)
    speed = np.maximum(observation.ego[3] - 4.0 * (times - observation.time), 0.0)
    way = np.concatenate(([0.0], np.cumsum(0.1 * 0.5 * (speed[1:] + speed[:-1]))))
    states = np.tile(observation.ego, (41, 1))
    states[:, 0] += way * np.cos(observation.ego[2])
    states[:, 1] += way * np.sin(observation.ego[2])
    states[:, 3] = speed
    states[:, 4] = np.where(speed > 0.0, -4.0, 0.0)
    return Plan(Trajectory(times, states))


def row(run: RunLog, name: str) -> int:
    return run.agent_ids.index(name)


def test_an_ego_on_its_recorded_way_finds_the_recorded_traffic(queue: Scenario) -> None:
    assert queue.expert is not None
    lead = Lead(queue.expert.states)
    sumo = load("drive.traffic", "sumo")
    # SUMO's own default seed, with which the recording was made.
    run = simulate(queue, Constant(), traffic=sumo, seed=23423, lead=lead)
    log = simulate(queue, Constant(), traffic="log", lead=lead)
    n = len(log.agent_ids)
    assert run.agent_ids[:n] == log.agent_ids
    assert set(run.agent_controller.tolist()) == {Controller.TRAJECTORY}
    assert log.agent_valid.any(1).sum() >= 8
    apart = np.hypot(*(run.agents[:n, :, :2] - log.agents[..., :2]).transpose(2, 0, 1))
    both = log.agent_valid & run.agent_valid[:n]
    # Whoever is there at one time more or less has just come or gone.
    assert (log.agent_valid != run.agent_valid[:n]).sum() <= 2
    assert apart[both].max() < 0.3
    assert np.median(apart[both]) < 1e-3
    np.testing.assert_array_equal(run.signals, log.signals)
    assert run.header["scenario"]["hash"] == queue.content_hash


def test_sumos_drivers_get_round_an_ego_that_stands(queue: Scenario) -> None:
    log = simulate(queue, stands, traffic="log")
    assert log.header["events"][0]["kind"] == "collision"
    assert log.header["events"][0]["agent"] == "v14"
    run = simulate(queue, stands, traffic="sumo")
    assert run.ego[-1, 3] == pytest.approx(0.0, abs=0.05)
    assert not [e for e in run.header["events"] if e["kind"] == "collision"]
    follower = run.agents[row(run, "v14")]
    beside = int(np.argmax(follower[:, 0] > run.ego[:, 0]))
    # It slows down, is on the other lane when it is beside the ego, and changes there without a leap.
    assert beside > 0
    assert follower[0, 1] + queue.origin[1] == pytest.approx(-4.8, abs=0.05)
    assert follower[beside, 1] + queue.origin[1] == pytest.approx(-1.6, abs=0.1)
    assert np.hypot(*follower[:beside, 3:].T).min() < 8.0
    assert np.abs(np.diff(follower[:, 1])).max() < 0.3


def test_sumos_drivers_stand_behind_a_track_that_a_planner_stops(queue: Scenario) -> None:
    """v11 stands on the left lane; whoever comes behind it slows down or changes, and nobody hits it."""
    run = simulate(queue, stands, traffic="sumo", drivers={"v11": stands})
    blocked = run.agents[row(run, "v11")]
    assert np.hypot(*blocked[-1, 3:]) < 0.05
    free = simulate(queue, stands, traffic="sumo")
    follower = row(run, "v13")
    assert run.agents[follower, 100, 0] < free.agents[follower, 100, 0] - 20.0
    assert run.agents[follower, 100, 0] < blocked[100, 0] - 5.0
    assert not [e for e in run.header["events"] if e["kind"] == "collision"]


def test_equal_seeds_give_equal_runs_and_others_do_not(queue: Scenario) -> None:
    again = pickle.loads(pickle.dumps(queue))
    one, two = (simulate(s, idm.IDM(), traffic="sumo", seed=5) for s in (queue, again))
    for name in ("ego", "agents", "agent_valid", "signals"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    other = simulate(queue, idm.IDM(), traffic="sumo", seed=6)
    assert (other.agents != one.agents).any()


def test_vehicles_come_and_go_and_move_without_leaps(queue: Scenario) -> None:
    run = simulate(queue, idm.IDM(), traffic="sumo", seed=1)
    # Whoever departs while the clock runs has a row from the start, and is there from then on.
    late = ~run.agent_valid[:, 0] & run.agent_valid.any(1)
    assert late.sum() >= 4
    step = np.hypot(*np.diff(run.agents[..., :2], axis=1).transpose(2, 0, 1))
    stays = run.agent_valid[:, 1:] & run.agent_valid[:, :-1]
    speed = np.hypot(*run.agents[..., 3:].transpose(2, 0, 1))
    faster = np.maximum(speed[:, 1:], speed[:, :-1])
    assert (step <= 0.1 * faster + 0.15)[stays].all()
    assert (step > 0.5)[stays].any()


def test_a_run_can_be_repeated_up_to_a_moment(queue: Scenario) -> None:
    run = simulate(queue, idm.IDM(), traffic="sumo", seed=3)
    moment = replan(run, 5.0, queue, idm.IDM())
    assert moment.warnings == ()
    assert moment.difference == ""


def test_it_is_only_for_scenarios_with_a_demand(queue: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ScenarioError, match="has no SUMO demand; traffic 'sumo' is for"):
        simulate(queue.with_(live={}), Constant(), traffic="sumo")
    monkeypatch.setitem(sys.modules, "libsumo", None)
    with pytest.raises(MissingExtraError, match="libsumo is not installed; pip install"):
        simulate(queue, Constant(), traffic="sumo")


def test_other_libraries_keep_their_own_geodesy(tmp_path: Path) -> None:
    TEXT.libsumo()
    code = (
        "import os; os.environ.pop('PROJ_DATA', None); os.environ.pop('PROJ_LIB', None)\n"
        "from drive.sim.sumo.engine import libsumo; libsumo()\n"
        "assert 'PROJ_DATA' not in os.environ and 'PROJ_LIB' not in os.environ"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_cache_that_was_emptied_is_told(queue: Scenario) -> None:
    state = queue.live["sumo"].state
    kept = state.read_bytes()
    state.unlink()
    try:
        with pytest.raises(ScenarioError, match="saved state has gone from the cache; load it anew"):
            simulate(queue, Constant(), traffic="sumo")
    finally:
        state.write_bytes(kept)
