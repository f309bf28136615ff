"""The benchmark as a whole: failures by class, equal results however it is run, resuming, disks."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drive._imports import import_target
from drive.errors import DriveError, InputError, SimulationError, UnknownNameError
from drive.eval.bench import Listener, Options, Results, run_bench
from drive.eval.bench.journal import Journal, OutputError, read
from drive.eval.hardness.kills import without_times
from drive.planner import FunctionPlanner, PlannerSpec
from drive.runlog import RunLog
from drive.sim import simulate

FILE = Path(__file__).with_name("bench_scenes.py")
scenes = import_target(f"{FILE}:scenes", "the tests")
keep = import_target(f"{FILE}:_keep", "the tests")
noisy = import_target(f"{FILE}:_noisy", "the tests")
raises = import_target(f"{FILE}:_raises", "the tests")


def local(name: str, function: Any) -> Any:
    """A planner that cannot be pickled, so that it drives in this process."""
    return FunctionPlanner(
        PlannerSpec(name, horizon=4.0), lambda observation, task: function(observation, task)
    )


def bench(out: Path, **changes: Any) -> Results:
    options: dict[str, Any] = {
        "planners": [local("keep", keep), local("noisy", noisy)],
        "scenarios": scenes(2),
        "out": out,
    }
    return run_bench(Options(**(options | changes)))


def by_name(name: str) -> str:
    return f"{FILE}:{name}"


def numbers(data: Any) -> list[float]:
    if isinstance(data, dict):
        return [n for value in data.values() for n in numbers(value)]
    if isinstance(data, list):
        return [n for value in data for n in numbers(value)]
    return [data] if isinstance(data, float) else []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A benchmark of two planners in three scenes, by two processes."""
    return bench(
        tmp_path_factory.mktemp("finished"),
        planners=[by_name("keep"), by_name("noisy")],
        scenarios=scenes(3),
        jobs=2,
    )


def test_the_results_hold_together(finished: Results) -> None:
    data = json.loads((finished.path / "results.json").read_text())
    assert data == finished.data
    assert data["schema"] == "drive-bench/1"
    assert data["suite"]["scenarios"] == 3
    assert all(math.isfinite(number) for number in numbers(data))
    for planner in data["planners"]:
        score = planner["scores"]["nuplan_cls"]
        values = [row["metrics"]["nuplan_cls"] for row in planner["scenarios"]]
        assert all(0.0 <= value <= 1.0 for value in values)
        assert score["mean"] == pytest.approx(sum(values) / 3)
        assert score["ci95"][0] <= score["mean"] + 1e-12
        assert score["ci95"][1] >= score["mean"] - 1e-12
        assert score["n"] == 3
        assert planner["families"]["straight"]["nuplan_cls"] == score
        assert set(planner["failures"].values()) == {0}
        assert planner["goals"] == {"reached": 3, "of": 3}
        assert planner["latency_ms"]["p50"] <= planner["latency_ms"]["p95"] <= planner["latency_ms"]["p99"]
        # Every call of every drive has its place in the histogram.
        assert sum(planner["latency_histogram_ms"]["counts"]) == sum(planner["plan_status"].values())
        assert [row["id"] for row in planner["scenarios"]] == [f"tiny/straight/{k}" for k in range(3)]
        metrics = data["score_metrics"]["nuplan_cls"]
        assert len(metrics) == 8
        assert all(set(metrics) <= set(row["metrics"]) for row in planner["scenarios"])
    assert data["expert_sources"] == {"generated": 3}


def test_every_run_leaves_a_log_with_its_scores(finished: Results) -> None:
    for planner in finished.data["planners"]:
        for row in planner["scenarios"]:
            assert row["run"] == f"runs/{planner['name']}/{row['id'].replace('/', '_')}.drive.npz"
            log = RunLog.load(finished.path / row["run"])
            assert log.header["scores"]["nuplan_cls"]["score"] == row["metrics"]["nuplan_cls"]
            assert log.header["planner"]["name"] == planner["name"]
            assert log.header["seed"] == row["seed"]
            assert log.header["visibility"] == finished.data["visibility"] == "line_of_sight"
            assert len(log.series["time_to_collision"]) == len(log.times)
    assert len(finished.run_log("keep", "tiny/straight/1").times) == 13
    with pytest.raises(UnknownNameError, match="tiny/straight/1"):
        finished.run_log("keep", "tiny/straight/11")


def test_one_process_or_two_give_equal_results(finished: Results, tmp_path: Path) -> None:
    alone = bench(tmp_path, planners=[by_name("keep"), by_name("noisy")], scenarios=scenes(3), jobs=1)
    assert without_times(alone.data) == without_times(finished.data)
    for planner in ("keep", "noisy"):
        one, two = (r.run_log(planner, "tiny/straight/2").ego for r in (alone, finished))
        assert (one == two).all()


def test_the_seed_decides_and_the_planner_or_order_does_not(tmp_path: Path) -> None:
    def ego(results: Results) -> list[float]:
        found: list[float] = results.run_log("noisy", "tiny/straight/1").ego[:, 3].tolist()
        return found

    first = ego(bench(tmp_path / "a"))
    assert ego(bench(tmp_path / "b", planners=[local("noisy", noisy)], scenarios=scenes(2)[::-1])) == first
    assert ego(bench(tmp_path / "c", seed=1)) != first


def test_a_run_of_its_own_and_the_benchmarks_are_the_same_scenario(tmp_path: Path) -> None:
    [bare] = scenes(1, expert=False)
    benched = bench(tmp_path, scenarios=[bare]).run_log("keep", bare.id)
    direct = simulate(bare, local("keep", keep), traffic="log")
    assert benched.header["scenario"]["hash"] == direct.header["scenario"]["hash"] == bare.content_hash


def test_bad_planners_cost_only_their_own_scores(tmp_path: Path) -> None:
    errors = ["not_finite", "wrong_shape", "none", "raises", "exits", "interrupts", "dies"]
    timeouts = ["sleeps", "hangs_in_c"]
    notes: list[str] = []
    options = Options(
        planners=[by_name(name) for name in ["keep", *errors, *timeouts, "prints"]],
        scenarios=scenes(2)[:1],
        jobs=2,
        watchdog=1.0,
        out=tmp_path,
    )
    results = run_bench(options, Listener(notes.append))
    assert results.data["dropped"] == []
    for name in ("keep", "prints"):
        assert results.values(name)["tiny/straight/0"] > 0.9
    for names, kind in ((errors, "planner_error"), (timeouts, "planner_timeout")):
        for name in names:
            planner = results.planner(name)
            (row,) = planner["scenarios"]
            assert (row["failure"], row["valid"], row["metrics"]["nuplan_cls"]) == (kind, True, 0.0), name
            assert row["reason"]
            assert "\n" not in row["reason"]
            assert planner["failures"][kind] == 1
            assert planner["scores"]["nuplan_cls"] == {"mean": 0.0, "ci95": [0.0, 0.0], "n": 1}
            assert any(name in note and kind in note for note in notes)
    reasons = {name: results.planner(name)["scenarios"][0]["reason"] for name in errors + timeouts}
    assert "ZeroDivisionError" in reasons["raises"]
    assert "NoneType" in reasons["none"]
    assert "not finite" in reasons["not_finite"]
    assert "SIGKILL" in reasons["dies"]
    assert "exit(3)" in reasons["exits"]
    assert reasons["interrupts"] == "the planner raised KeyboardInterrupt"
    assert "1 s" in reasons["hangs_in_c"]
    # What was driven before the failure can be looked at.
    assert len(results.run_log("raises", "tiny/straight/0").plan_step) == 5
    assert results.data["expert_sources"] == {"generated": 1}


def test_a_process_that_dies_once_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_TEST_MARK", str(tmp_path / "mark"))
    results = bench(tmp_path / "out", planners=[by_name("dies_once")], jobs=1)
    assert (tmp_path / "mark").exists()
    assert results.planner("dies_once")["failures"]["planner_error"] == 0
    assert all(value > 0.9 for value in results.values("dies_once").values())


def test_a_simulator_error_drops_the_scenario_for_every_planner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drive.sim import loop

    driving = loop.driving

    def fails_once(scenario: Any, planner: Any, **options: Any) -> Any:
        if scenario.id.endswith("/1") and planner.spec.name == "noisy":
            raise SimulationError("the kernel stumbled")
        return driving(scenario, planner, **options)

    monkeypatch.setattr(loop, "driving", fails_once)
    results = bench(tmp_path, scenarios=scenes(3))
    assert results.data["dropped"] == [{"id": "tiny/straight/1", "failure": "simulator_error"}]
    assert results.data["suite"]["valid"] == 2
    for name in ("keep", "noisy"):
        assert results.planner(name)["scores"]["nuplan_cls"]["n"] == 2
        assert "tiny/straight/1" not in results.values(name)
    assert results.planner("keep")["failures"]["simulator_error"] == 0
    assert results.planner("noisy")["failures"]["simulator_error"] == 1
    assert "another planner" in results.planner("keep")["scenarios"][1]["reason"]


def test_invalid_scenarios_are_dropped_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from drive.datasets import source

    class Broken:
        name = "broken"

        def matches(self, ref: str) -> bool:
            return ref.startswith("broken/")

        def ids(self, ref: str, ego: str = "planned") -> list[str]:
            return [ref]

        def load(self, ref: str) -> object:
            if ref == "broken/reader":
                raise KeyError("lanes")
            raise InputError("it has no lanes")

    monkeypatch.setattr(source, "_installed", lambda: ((Broken(),), ()))
    results = bench(tmp_path, scenarios=[*scenes(1), "broken/0", "broken/reader"])
    assert [item["id"] for item in results.data["dropped"]] == ["broken/0", "broken/reader"]
    for name in ("keep", "noisy"):
        planner = results.planner(name)
        assert planner["failures"]["invalid_scenario"] == 2
        assert planner["scores"]["nuplan_cls"]["n"] == 1
        assert planner["scenarios"][1]["reason"] == "it has no lanes"
    with pytest.raises(InputError, match="no scenario can be used; broken/0: it has no lanes"):
        bench(tmp_path / "none", scenarios=["broken/0"])


def test_a_filter_chooses(tmp_path: Path) -> None:
    mixed = [*scenes(2), *scenes(1, gap=15.0)]
    results = bench(tmp_path, scenarios=mixed, filter="family == 'close' and 'dense' in tags")
    # The third scene has the id of the first, which the filter left out.
    assert [row["id"] for row in results.planner("keep")["scenarios"]] == ["tiny/straight/0"]
    with pytest.raises(InputError, match="no scenario passes"):
        bench(tmp_path / "none", filter="agents > 100")


def test_equal_ids_are_told_apart(tmp_path: Path) -> None:
    results = bench(tmp_path, scenarios=[*scenes(1), *scenes(1, gap=25.0)])
    rows = results.planner("keep")["scenarios"]
    assert [row["id"] for row in rows] == ["tiny/straight/0", "tiny/straight/0~2"]
    assert rows[0]["hash"] != rows[1]["hash"]
    assert rows[0]["run"] != rows[1]["run"]


def test_a_planner_may_come_twice_with_different_settings(tmp_path: Path) -> None:
    cruise, config = (import_target(f"{FILE}:{name}", "") for name in ("Cruise", "CruiseConfig"))
    planners = [cruise(config(speed)) for speed in (6.0, 3.0)]
    results = bench(tmp_path, planners=planners, scenarios=scenes(2), jobs=1)
    assert results.planners == ("cruise", "cruise-2")
    assert [results.planner(name)["config"] for name in results.planners] == [{"speed": 6.0}, {"speed": 3.0}]
    fast, slow = (results.values(name, "mean_speed")["tiny/straight/0"] for name in results.planners)
    assert fast > slow


def test_settings_reach_the_planner(tmp_path: Path) -> None:
    name = by_name("Cruise")
    results = bench(tmp_path, planners=[name], settings={name: {"speed": "2.5"}}, jobs=1)
    assert results.planner("cruise")["config"] == {"speed": 2.5}
    assert results.planner("cruise")["defaults"] == {"speed": 5.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planners": ["idmm"]}, "did you mean 'idm'"),
        ({"scenarios": (), "suite": "minii"}, "did you mean 'mini'"),
        ({"traffic": "imd"}, "did you mean 'idm'"),
        ({"scores": ["nuplan_csl"]}, "did you mean 'nuplan_cls'"),
        ({"settings": {"kep": {"speed": 1}}}, "planner in --set 'kep'"),
        ({"executor": "dask"}, "executor 'dask' is not available; process, ray"),
        ({"executor": "ray:"}, "executor 'ray:' is not available"),
        ({"mode": "opn"}, "did you mean 'open'"),
        (
            {"mode": "open", "scores": ["nuplan_cls"]},
            "'nuplan_cls' cannot judge in mode 'open', only in closed",
        ),
        ({"mode": "pseudo", "realtime": True}, "no --realtime in mode 'pseudo'"),
        ({"jobs": 0}, "at least 1"),
        ({"suite": "mini"}, "not both"),
        ({"ego": "recordd"}, "did you mean 'recorded'"),
        ({"visibility": "everybody"}, "visibility 'everybody': give"),
        ({"detection": "bad"}, "detection 'bad': give none"),
        ({"tracker": "pid"}, "pid"),
        ({"tracker": "mpc", "mode": "open"}, "closed loop"),
        ({"filter": "famly == 'x'"}, "did you mean 'family'"),
        ({"planners": [object()]}, "object is no planner"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DriveError, match=message) as error:
        bench(tmp_path / "out", **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_finished_folder_is_not_overwritten(tmp_path: Path) -> None:
    first = bench(tmp_path)
    with pytest.raises(InputError, match=r"finished benchmark.*--resume.*--force"):
        bench(tmp_path, planners=[local("noisy", noisy)])
    assert Results.load(tmp_path).data == first.data
    again = bench(tmp_path, planners=[local("noisy", noisy)], force=True)
    assert again.planners == ("noisy",)
    assert not list(tmp_path.glob("runs/keep/*"))
    (tmp_path / "results.json").unlink()
    with pytest.raises(InputError, match="unfinished benchmark"):
        bench(tmp_path)
    with pytest.raises(InputError, match="go on with --resume"):
        Results.load(tmp_path)


def test_resuming_does_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench(tmp_path)
    lines = (tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    # Two whole lines, one that was cut off in the middle, and a log that got lost.
    (tmp_path / "runs.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])
    (tmp_path / "results.json").unlink()
    lost = json.loads(lines[2])
    (tmp_path / lost["run"]).unlink()
    driven: list[tuple[str, str]] = []
    append = Journal.append

    def spy(self: Journal, record: dict[str, Any]) -> None:
        driven.append((record["scenario"], record["planner"]))
        append(self, record)

    monkeypatch.setattr(Journal, "append", spy)
    again = bench(tmp_path, resume=True)
    assert without_times(again.data) == without_times(first.data)
    kept = json.loads(lines[1])
    assert len(driven) == 3
    assert (kept["scenario"], kept["planner"]) not in driven
    assert (lost["scenario"], lost["planner"]) in driven
    driven.clear()
    assert without_times(bench(tmp_path, resume=True).data) == without_times(first.data)
    assert driven == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 1}, "seed: 0, now 1"),
        ({"traffic": "log"}, 'traffic: "idm", now "log"'),
        ({"scenarios": scenes(3)}, "suite hash"),
        ({"planners": [local("other", keep)]}, r"\(planners: .*keep.*, now .*other"),
        ({"realtime": True}, "realtime"),
        ({"visibility": "line_of_sight:90"}, 'visibility: "line_of_sight", now "line_of_sight:90"'),
        ({"detection": "flicker=1"}, 'detection: "none", now "flicker=1"'),
        ({"tracker": "mpc"}, 'tracker: "lqr", now "mpc"'),
    ],
)
def test_resuming_with_other_options_is_refused(
    changes: dict[str, Any], what: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.getbasetemp() / "refused"
    if not out.exists():
        bench(out)
    with pytest.raises(InputError, match=what):
        bench(out, resume=True, **changes)


def test_a_line_damaged_in_the_middle_is_told(tmp_path: Path) -> None:
    bench(tmp_path)
    path = tmp_path / "runs.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\x00\n" + b"".join(lines[2:]))
    with pytest.raises(InputError, match="damaged in line 2"):
        bench(tmp_path, resume=True)


def test_nothing_but_a_cut_first_line_is_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(b'{"schema": "drive-be')
    results = bench(tmp_path, resume=True)
    assert results.data["suite"]["valid"] == 2


SCRIPT = """
import sys
from drive._imports import import_target
from drive.eval.bench import Options, run_bench
file, out = sys.argv[1:]
if __name__ == "__main__":
    scenes = import_target(f"{file}:scenes", "")(3)
    planners = [f"{file}:slow", f"{file}:noisy"]
    run_bench(Options(planners=planners, scenarios=scenes, out=out, jobs=2))
"""


def test_a_killed_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script), str(FILE), str(out)])
    journal = out / "runs.jsonl"
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "results.json").exists()
    finished = journal.read_bytes().count(b"\n") - 1
    assert finished >= 2

    planners = [by_name("slow"), by_name("noisy")]
    resumed = bench(out, planners=planners, scenarios=scenes(3), jobs=1, resume=True)
    undisturbed = bench(tmp_path / "whole", planners=planners, scenarios=scenes(3), jobs=1)
    assert without_times(resumed.data) == without_times(undisturbed.data)


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from drive.planner import PlannerSpec\n"
        "from drive._imports import import_target\n"
        "import drive\n"
        f"keep = import_target({str(FILE)!r} + ':_keep', '')\n"
        f"scenes = import_target({str(FILE)!r} + ':scenes', '')\n"
        "class Mine:\n"
        "    spec = PlannerSpec('mine')\n"
        "    def start(self, task): return self\n"
        "    def plan(self, observation): return keep(observation, None)\n"
        f"drive.bench([Mine()], scenarios=scenes(1), out={str(tmp_path / 'out')!r}, report=False)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]


def test_a_full_disk_ends_it_in_one_line_and_keeps_what_is_there(tmp_path: Path) -> None:
    config = {"seed": 0}
    record = {"scenario": "a", "planner": "b", "run": None, "pad": "x" * 200}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(tmp_path, config)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OutputError, match=r"cannot write.*runs\.jsonl.*--resume") as error:
            list(map(journal.append, [{**record, "scenario": f"s{k}"} for k in range(10)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.close()
    assert "\n" not in str(error.value)
    kept = sorted(read(tmp_path, config))
    assert 2 <= len(kept) < 10
    assert kept == [(f"s{k}", "b") for k in range(len(kept))]


def test_a_log_that_cannot_be_written_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = RunLog.save, []

    def full(self: RunLog, path: Path) -> Path:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return save(self, path)

    monkeypatch.setattr(RunLog, "save", full)
    with pytest.raises(DriveError, match=r"No space left on device.*--resume"):
        bench(tmp_path)
    assert (tmp_path / "runs.jsonl").read_bytes().count(b"\n") == 3
    monkeypatch.undo()
    assert bench(tmp_path, resume=True).data["suite"]["valid"] == 2


def test_an_output_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to"):
        bench(tmp_path / "file" / "out")
