"""`drive.run`, `drive.bench` and the commands around them, on tiny scenes and a generated one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drive
from drive._imports import import_target
from drive.cli import main
from drive.errors import InputError, UnknownNameError
from drive.eval.replan import replan

FILE = Path(__file__).parents[1] / "eval" / "bench_scenes.py"
straight = import_target(f"{FILE}:straight", "the tests")
KEEP, CRUISE = f"{FILE}:keep", f"{FILE}:Cruise"
GENERATED = "gen/lane_follow_curved/0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the command over one generated scene."""
    out = tmp_path_factory.mktemp("cli") / "out"
    arguments = ["bench", "--scenarios", GENERATED, "--planner", "constant", "--planner", KEEP, "--jobs", "1"]
    assert main.run([*arguments, "--out", str(out)]) == 0
    return out


def test_run_gives_a_log_with_scores() -> None:
    log = drive.run(KEEP, straight("tiny/a"))
    assert log.header["planner"]["name"] == "keep"
    assert log.header["failure"] is None
    assert 0.9 < log.header["scores"]["nuplan_cls"]["score"] <= 1.0
    assert len(log.series["time_to_collision"]) == len(log.times) == 13


def test_run_repeats_what_the_benchmark_drove(tmp_path: Path) -> None:
    noisy, scene = f"{FILE}:noisy", straight("tiny/a")
    results = drive.bench([noisy], scenarios=[scene], seed=4, out=tmp_path, report=False, jobs=1)
    benched = results.run_log("noisy", "tiny/a")
    alone = drive.run(noisy, scene, seed=4)
    assert np.array_equal(alone.ego, benched.ego)
    assert alone.header["scores"] == benched.header["scores"]
    assert not np.array_equal(drive.run(noisy, scene, seed=5).ego, alone.ego)


def test_visibility_reaches_the_run_and_the_benchmark(tmp_path: Path) -> None:
    scene = "gen/stop_for_lead/1"
    near, everybody = (drive.run(KEEP, scene, visibility=v) for v in ("line_of_sight:40", "all"))
    assert near.header["visibility"] == "line_of_sight:40"
    assert (near.agent_seen <= near.agent_valid).all()
    assert near.agent_seen.sum() < near.agent_valid.sum()
    np.testing.assert_array_equal(everybody.agent_seen, everybody.agent_valid)
    options = {"scenarios": [scene], "out": tmp_path, "report": False, "jobs": 1}
    results = drive.bench([KEEP], visibility="line_of_sight:40", **options)
    assert results.data["visibility"] == "line_of_sight:40"
    benched = results.run_log("keep", scene)
    np.testing.assert_array_equal(benched.agent_seen, near.agent_seen)


def test_the_tracker_reaches_the_run_the_benchmark_and_a_moment(tmp_path: Path) -> None:
    scene = "gen/cut_in/1"
    log = drive.run("pdm", scene, tracker="mpc")
    results = drive.bench(
        ["pdm"], scenarios=[scene], tracker="mpc", out=tmp_path, report=False, jobs=1
    )  # fmt: skip
    assert results.data["tracker"] == log.header["tracker"] == "mpc"
    np.testing.assert_array_equal(results.run_log("pdm", scene).ego, log.ego)
    moment = replan(log, 3.0, drive.load_scenario(scene), drive.load_planner("pdm"))
    assert moment.difference == ""
    assert not moment.warnings


def test_detection_reaches_the_run_the_benchmark_and_a_moment(tmp_path: Path) -> None:
    scene, faults = "gen/stop_for_lead/1", "position=1/0.5,flicker=1"
    faulty, exact = (drive.run(KEEP, scene, detection=d) for d in (faults, "none"))
    assert faulty.header["detection"] == faults
    assert faulty.agent_seen.sum() < 0.8 * exact.agent_seen.sum()
    options = {"scenarios": [scene], "out": tmp_path, "report": False, "jobs": 1}
    results = drive.bench([KEEP], detection=faults, **options)
    assert results.data["detection"] == faults
    np.testing.assert_array_equal(results.run_log("keep", scene).agent_seen, faulty.agent_seen)
    log = drive.run("pdm", scene, detection=faults)
    moment = replan(log, 3.0, drive.load_scenario(scene), drive.load_planner("pdm"))
    assert moment.difference == ""  # the session has seen the same noise


def test_run_takes_settings_for_names_only() -> None:
    log = drive.run(CRUISE, straight("tiny/a"), settings={"speed": 3.0})
    assert log.header["planner"]["config"] == {"speed": 3.0}
    assert log.ego[-1, 3] < 8.0
    with pytest.raises(TypeError, match="by name"):
        drive.run(import_target(KEEP, ""), straight("tiny/a"), settings={"speed": 3.0})


def test_a_failing_planner_ends_the_run_early() -> None:
    log = drive.run(f"{FILE}:raises", straight("tiny/a"))
    assert log.header["failure"]["class"] == "planner_error"
    assert log.header["scores"]["nuplan_cls"]["score"] == 0.0
    assert len(log.times) == 6


def test_scenarios_load_by_reference() -> None:
    assert drive.load_scenario(GENERATED).id == GENERATED
    with pytest.raises(InputError):
        drive.load_scenario("nowhere.xml")
    with pytest.raises(UnknownNameError, match="did you mean 'cut_in'"):
        drive.load_scenario("gen/cutin/3")


def test_bench_command_leaves_results_and_a_report(finished: Path) -> None:
    data = json.loads((finished / "results.json").read_text())
    assert [planner["name"] for planner in data["planners"]] == ["constant", "keep"]
    assert data["planners"][0]["scenarios"][0]["id"] == GENERATED
    assert data["suite"]["id"] == "custom"
    assert (finished / "report.html").is_file()


def test_bench_command_prints_a_table_or_json(
    finished: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = [
        "bench",
        GENERATED,
        "--planner",
        "constant",
        "--planner",
        KEEP,
        "--out",
        str(finished),
        "--resume",
    ]
    assert main.run(common) == 0
    shown = capfd.readouterr().out
    assert "constant" in shown
    assert "nuplan_cls" in shown
    assert shown.splitlines()[-1] == f"report: {finished / 'report.html'}"
    assert main.run([*common, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["schema"] == "drive-bench/1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--planner", "constnat"], "did you mean 'constant'"),
        (["--suite", "minni"], "did you mean 'mini'"),
        (["--mode", "opn"], "did you mean 'open'"),
        (["--suite", "mini", "gen/cut_in/1"], "not both"),
        (["--set", "idm"], "not a setting"),
        (["--planner", "idm", "--set", "idm.headwy=1"], "did you mean 'headway'"),
        (["--planner", "idm", "--set", "pdm.horizon=1"], "planner in --set 'pdm'"),
        (["--filter", "id ="], "cannot be read"),
        (["--scenarios", "gen/cut_in/x"], "gen/cut_in/x"),
    ],
)
def test_bench_command_tells_mistakes_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["bench", *arguments, "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert message in shown.err


def test_compare_command(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["compare", str(finished), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["n"] == 1
    assert found["mean"] >= 0.0
    assert main.run(["compare", str(finished), str(finished)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("+0.000 [+0.000, +0.000]") == 2
    assert main.run(["compare", str(finished / "runs")]) == 1
    assert "holds no results.json" in capsys.readouterr().err


def test_run_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", GENERATED, "--planner", "constant", "--out", str(tmp_path)]
    assert main.run([*arguments, "--json", "--visibility", "line_of_sight:120"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["scenario"], found["visibility"]) == (GENERATED, "line_of_sight:120")
    assert Path(found["run"]).is_file()
    assert "<html" in Path(found["replay"]).read_text()
    assert main.run(["run", GENERATED, "--planner", f"{FILE}:raises", "--out", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "nuplan_cls" in shown.out
    assert shown.err == "drive: error: planner_error: ZeroDivisionError: in step 5\n"


def test_inspect_command(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = drive.load_scenario(GENERATED)

    def inspect(what: str) -> dict[str, Any]:
        assert main.run(["inspect", what, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        return dict(found)

    found = inspect(GENERATED)
    assert found["lanes"] == scene.roadmap.num_lanes
    assert sum(found["road_users"].values()) == scene.tracks.num_agents - 1
    assert found["steps"] == 150
    assert found["provenance"]["seed"] == 0
    found = inspect(str(finished / "runs" / "keep" / "gen_lane_follow_curved_0.drive.npz"))
    assert (found["what"], found["planner"]["name"], found["steps"]) == ("run log", "keep", 150)
    assert 0.0 <= found["scores"]["nuplan_cls"] <= 1.0
    assert set(inspect(str(finished))["planners"]) == {"constant", "keep"}
    assert main.run(["inspect", str(finished)]) == 0
    assert "results of a benchmark" in capsys.readouterr().out
    assert main.run(["inspect", str(finished / "nothing")]) == 1
