"""Runs on terrain through the harness: their score, the benchmark, the check, the report and the command."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drive
from drive.cli import main
from drive.datasets.generate import generate
from drive.errors import InputError, SimulationError
from drive.eval.bench import Options, run_bench
from drive.eval.bench.planners import runnable_planners
from drive.eval.bench.suites import load_suite
from drive.eval.check import check_planner
from drive.eval.check.scenes import bend_scene
from drive.eval.check.terrain_scenes import flat, hills_scene
from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.rover import ROVER
from drive.eval.report import write_report
from drive.planners.constant import Constant
from drive.planners.rover.config import RoverConfig
from drive.planners.rover.planner import Rover
from drive.runlog import RunLog
from drive.scenario import Goal, Route, Scenario
from drive.sim.rover import simulate_rover


@pytest.fixture(scope="module")
def run() -> RunLog:
    return simulate_rover(generate("lunar_reference", 0), Rover())


def score(log: RunLog, **series: np.ndarray) -> dict[str, float]:
    found = ROVER.evaluate(log.with_series(**series))
    return {"score": found.score, **{name: m.score for name, m in found.metrics.items()}}


def test_a_good_drive_scores_by_its_time_and_energy(run: RunLog) -> None:
    found = score(run)
    assert found["load_within_limit"] == found["slope_within_limit"] == found["charge_kept"] == 1.0
    assert found["goal_reached"] == found["progress"] == 1.0
    gap = np.hypot(*(run.ego[:, :2] - np.array([50.0, 21.0])).T)
    arrived = int(np.flatnonzero(gap <= 2.0)[0])
    assert found["travel_time"] == pytest.approx(run.times[arrived])
    assert found["energy_used"] == pytest.approx(run.series["energy_used"][arrived])
    # 38.45 m at 0.8 m/s; a metre costs least at 0.715 m/s: 60 / v + 70 + 60 v + 40 v^2 = 217.3 J.
    straight = np.hypot(40.0, 6.0) - 2.0
    assert found["time"] == pytest.approx(straight / 0.8 / run.times[arrived])
    assert found["energy"] == pytest.approx(straight * 217.3 / found["energy_used"], rel=1e-3)
    assert found["score"] == pytest.approx((5.0 + 2.0 * found["time"] + 2.0 * found["energy"]) / 9.0)
    assert 0.85 < found["score"] < 1.0


def test_each_limit_takes_its_share(run: RunLog) -> None:
    n = len(run.times)
    whole = score(run)["score"]
    # 1.09 lies half way between 1.03 and 1.15; 1.3 of 25 degrees half way between 1.1 and 1.5.
    assert score(run, power_share=np.full(n, 1.09))["score"] == pytest.approx(0.5 * whole)
    assert score(run, power_share=np.full(n, 1.2))["score"] == 0.0
    tilted = {"pitch": np.full(n, np.radians(1.3 * 25.0)), "roll": np.zeros(n)}
    assert score(run, **tilted)["slope_within_limit"] == pytest.approx(0.5)
    assert score(run, battery=np.full(n, 1e4))["score"] == 0.0
    poor = run.with_header(rover={**run.header["rover"], "energy_budget": 9000.0})
    assert score(poor)["charge_kept"] == 0.0
    failed = run.with_header(failure={"class": "planner_error", "reason": "no idea"})
    assert score(failed)["score"] == 0.0


def test_who_stops_half_way_gets_half_of_the_progress_and_nothing_else(run: RunLog) -> None:
    half = run.ego.copy()
    half[:, 0] = np.minimum(half[:, 0], 30.0)
    half[:, 1] = np.minimum(half[:, 1], 18.0)
    found = score(replace(run, ego=half))
    assert found["progress"] == pytest.approx(0.5, abs=0.01)
    assert found["time"] == found["energy"] == found["goal_reached"] == 0.0
    assert found["travel_time"] is None
    assert found["score"] == pytest.approx(5.0 * found["progress"] / 9.0)


def test_a_standing_rover_scores_next_to_nothing() -> None:
    log = simulate_rover(hills_scene(), Constant())
    assert score(log)["score"] == pytest.approx(0.0, abs=1e-6)


def test_scores_are_for_their_own_environment(run: RunLog) -> None:
    with pytest.raises(InputError, match="for runs on terrain"):
        ROVER.evaluate(replace(run, terrain=None))
    with pytest.raises(InputError, match="for runs on roads"):
        NUPLAN_CLS.evaluate(run)
    with pytest.raises(SimulationError, match="for runs on roads"):
        drive.run(Constant(), flat(), scores=("nuplan_cls",))
    assert set(ROVER.explain()) >= set(ROVER.evaluate(run).metrics) | {"rover"}
    assert set(drive.run(Constant(), flat()).header["scores"]) == {"rover"}


def short_scenes() -> list[Scenario]:
    """Two drives of some twelve metres."""
    near = Route(goal=Goal(position=np.array([20.0, 21.0])))
    return [make().with_(id=name, route=near) for name, make in (("hills", hills_scene), ("flat", flat))]


def test_the_benchmark_takes_score_and_planners_of_its_environment(tmp_path: Path) -> None:
    class Here(Rover):
        """No other process finds this class, so that it drives in this one."""

    results = run_bench(
        Options(planners=[Here(), Constant()], scenarios=short_scenes(), out=tmp_path / "a", jobs=1)
    )
    assert list(results.scores) == ["rover"]
    assert results.data["traffic"] == "none"
    best, stands = results.planner("rover"), results.planner("constant")
    assert best["failures"] == stands["failures"] == dict.fromkeys(best["failures"], 0)
    assert best["goals"] == {"reached": 2, "of": 2}
    assert best["scores"]["rover"]["mean"] > 0.7 > 0.1 > stands["scores"]["rover"]["mean"]
    text = Path(write_report(results.path)).read_text(encoding="utf-8")
    assert "load_within_limit" in text or "load within limit" in text
    assert len(list((results.path / "runs" / "rover").iterdir())) == 2

    def refused(**options: Any) -> str:
        with pytest.raises(InputError) as told:
            run_bench(Options(out=tmp_path / "b", jobs=1, force=True, **options))
        return str(told.value)

    assert refused(planners=["idm"], scenarios=short_scenes()) == (
        "planner 'idm' drives on roads, and these scenarios are on terrain"
    )
    assert "'rover' drives on terrain" in refused(planners=[Rover()], scenarios=[bend_scene()])

    class Still(Constant):
        """As above."""

    mixed = [flat(), bend_scene()]
    assert "on roads or on terrain" in refused(planners=[Still()], scenarios=mixed)


def test_the_suite_and_the_planners_of_terrain_are_known() -> None:
    suite = load_suite("rover")
    assert {ref.split("/")[1] for ref in suite.refs} == {"lunar_reference", "lunar_hills", "lunar_shadow"}
    assert "idm" not in runnable_planners("terrain")[0]
    assert "constant" in runnable_planners("terrain")[0]


def test_the_check_takes_a_rover_over_hills() -> None:
    report = check_planner(Rover(RoverConfig(outer=6)), fresh_process=False)
    assert report.ok, report
    checks = [finding.check for finding in report.findings]
    assert "survives a wall with no way round" in checks
    assert not [check for check in checks if "road" in check]


def test_the_command_drives_a_rover_and_says_what_does_not_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        status = main._run(arguments)
        out, err = capsys.readouterr()
        return status, out + err

    there = ("gen/lunar_reference/0", "--out", str(tmp_path), "--planner")
    status, text = said("run", *there, "idm")
    assert status != 0
    assert "'idm' drives on roads" in text
    status, text = said("run", *there, "constant", "--from", "3")
    assert status != 0
    assert "no driver whom the ego could follow" in text
    status, text = said("inspect", "gen/lunar_reference/0")
    assert status == 0
    assert "60 x 36 m" in text


def test_a_recorded_call_can_be_made_again(tmp_path: Path, run: RunLog) -> None:
    from drive.eval.replan import replan

    again = replan(run, 20.0, generate("lunar_reference", 0), Rover())
    assert again.difference == ""
    assert again.plan is not None
    assert not again.warnings
