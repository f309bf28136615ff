"""Several scores side by side, the mode that they ask for, and the check of what is exported."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import drive
from drive._imports import import_target
from drive.errors import DriveError, InputError
from drive.eval.bench import Listener, Options, Results, run_bench
from drive.eval.bench.results import compare_folders
from drive.eval.bench.table import results_table
from drive.eval.metrics.base import check_columns, choose_mode, load_score
from drive.planner import FunctionPlanner, PlannerSpec

FILE = Path(__file__).with_name("bench_scenes.py")
straight = import_target(f"{FILE}:straight", "the tests")
_keep = import_target(f"{FILE}:_keep", "the tests")
# It cannot be pickled, so that it drives in this process.
KEEP = FunctionPlanner(PlannerSpec("keep", horizon=4.0), lambda observation, task: _keep(observation, task))
SHORT = {"planners": [KEEP], "jobs": 1}

WRONG = """
from drive.eval.metrics.base import Evaluation, MetricResult

class Wrong:
    name, version = "wrong", "1"
    def evaluate(self, run):
        return Evaluation(0.5, {"part": MetricResult(0.75), "figure": MetricResult(9.0, scored=False)})
    def recompute(self, columns):
        assert set(columns) == {"part"}
        return columns["part"]
    def explain(self):
        return {}
"""


def bench(out: Path, **changes) -> Results:
    return run_bench(Options(**{**SHORT, "scenarios": [straight("tiny/a")], "out": out, **changes}))


def printed(results: Results) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(results_table(results))
    return console.file.getvalue()


def test_each_score_shows_its_own_columns(tmp_path: Path) -> None:
    results = bench(tmp_path, scores=["nuplan_cls", "epdms", "pdms"])
    assert (results.data["mode"], results.scores) == ("closed", ("nuplan_cls", "epdms", "pdms"))
    (row,) = results.planner("keep")["scenarios"]
    for name in results.scores:
        parts = results.data["score_metrics"][name]
        assert set(parts) <= set(row["metrics"])
        columns = {part.removeprefix(f"{name}/"): row["metrics"][part] for part in parts}
        check_columns(name, load_score(name)[1], row["metrics"][name], columns)
    # Both judge by a name of nuPlan's; each has the figure for itself.
    shared = "time_to_collision_within_bound"
    assert f"epdms/{shared}" in results.data["score_metrics"]["epdms"]
    assert f"pdms/{shared}" in results.data["score_metrics"]["pdms"]
    text = printed(results)
    assert all(f"what {name} is made of, means" in text for name in results.scores)
    assert "/" not in "".join(line for line in text.splitlines() if "no fault" in line)
    frame = drive.bench([KEEP], scenarios=[straight("tiny/a")], scores=["epdms", "nuplan_cls"], jobs=1)
    for name in ("epdms", "nuplan_cls"):
        assert frame.values("keep", name) == results.values("keep", name)


def test_differences_are_told_for_each_score(tmp_path: Path) -> None:
    for name in ("a", "b"):
        bench(tmp_path / name, scores=["nuplan_cls", "pdms"])
    told = compare_folders([tmp_path / "a", tmp_path / "b"])
    assert [d.score for d in told] == ["nuplan_cls", "pdms"]
    assert [d.score for d in compare_folders([tmp_path / "a", tmp_path / "b"], "pdms")] == ["pdms"]
    bench(tmp_path / "c", scores=["epdms"], mode="closed")
    with pytest.raises(InputError, match=r"no score in common \(nuplan_cls, pdms; epdms\)"):
        compare_folders([tmp_path / "a", tmp_path / "c"])


def test_a_score_that_its_columns_do_not_make_is_told(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    results = bench(tmp_path / "out", scores=[f"{file}:Wrong"])
    (row,) = results.planner("keep")["scenarios"]
    told = "score 'wrong' is 0.500000, but its metrics make 0.750000"
    assert (row["failure"], row["reason"]) == ("simulator_error", told)


@pytest.mark.parametrize("column", ["nuplan_cls", "ego_is_comfortable", "pdms/ego_progress"])
def test_what_is_written_is_checked_again(tmp_path: Path, column: str) -> None:
    bench(tmp_path, scores=["nuplan_cls", "pdms"])
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    if column == "pdms/ego_progress":
        column = next(n for n in lines[1]["metrics"] if n.endswith("ego_progress"))
    lines[1]["metrics"][column] = 0.125
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DriveError, match=r"keep in tiny/a: score '\w+' is .* but its metrics make"):
        bench(tmp_path, scores=["nuplan_cls", "pdms"], resume=True)


def test_the_scores_choose_the_mode() -> None:
    assert choose_mode(["nuplan_cls"]) == "closed"
    assert choose_mode(["epdms"]) == "pseudo"
    assert choose_mode(["epdms", "nuplan_cls"]) == "closed"
    assert choose_mode(["pdms", "epdms_two_stage"]) == "pseudo"
    assert choose_mode(["nuplan_ols"]) == "open"
    assert choose_mode(["epdms"], "closed") == "closed"
    with pytest.raises(InputError, match="no mode in common"):
        choose_mode(["nuplan_ols", "nuplan_cls"])
    with pytest.raises(InputError, match="'epdms_two_stage' cannot judge in mode 'closed', only in pseudo"):
        choose_mode(["epdms", "epdms_two_stage"], "closed")


def test_a_pseudo_closed_loop_is_benched(tmp_path: Path) -> None:
    scene = straight("tiny/long", speed=9.0, gap=60.0, steps=120)
    notes: list[str] = []
    options = Options(
        **SHORT,
        scenarios=[scene, straight("tiny/short")],
        scores=["epdms", "epdms_two_stage"],
        traffic="log",
        out=tmp_path,
    )
    results = run_bench(options, Listener(note=notes.append))
    assert results.data["mode"] == "pseudo"
    assert any("mode pseudo, for which epdms is made" in note for note in notes)
    # One of twelve steps is too short, and says so.
    (dropped,) = results.data["dropped"]
    assert dropped == {"id": "tiny/short", "failure": "invalid_scenario"}
    assert set(results.values("keep", "epdms_two_stage")) == {"tiny/long"}
    log = results.run_log("keep", "tiny/long")
    assert log.mode == "pseudo"
    assert log.frames is not None
    text = printed(results)
    assert "in pseudo-closed loop" in text
    assert "what epdms_two_stage is made of, previous, means" in text
    with pytest.raises(InputError, match=r"different .* and mode"):
        bench(tmp_path, scenarios=[scene], scores=["epdms"], mode="closed", traffic="log", resume=True)


def test_from_python_a_run_takes_its_scores_mode() -> None:
    scene = straight("tiny/long", speed=9.0, gap=60.0, steps=120)
    assert drive.run(KEEP, scene, scores=["pdms"], traffic="log").mode == "pseudo"
    assert drive.run(KEEP, scene, scores=["pdms"], mode="closed").mode == "closed"
    assert drive.run(KEEP, scene, scores=["pdms"], start=1.0).mode == "closed"
    with pytest.raises(InputError, match="cannot judge in mode 'open'"):
        drive.run(KEEP, scene, scores=["pdms"], mode="open")
