"""Scores of one's own: found by FILE.py:NAME, called by their names, and told apart from faults of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import drive
from drive._imports import import_target
from drive.cli import main
from drive.errors import DriveError, InputError, SimulationError, UnknownNameError
from drive.eval.metrics.base import judge, load_score, load_scores

FILE = Path(__file__).with_name("bench_scenes.py")
straight = import_target(f"{FILE}:straight", "the tests")
KEEP = f"{FILE}:keep"

SCORES = '''
from drive.eval.metrics.base import Evaluation, MetricResult

class Speed:
    """A twentieth of the first speed."""
    name, version = "speed", "1"
    def evaluate(self, run):
        value = float(run.ego[0, 3]) / 20.0
        return Evaluation(value, {"mean_speed": MetricResult(value)})
    def explain(self):
        return {"mean_speed": "a twentieth of the first speed"}

class Same(Speed):
    pass

class Raises(Speed):
    name = "raises"
    def evaluate(self, run):
        return 1.0 / 0.0

class TooHigh(Speed):
    name = "too_high"
    def evaluate(self, run):
        return Evaluation(7.0, {})

class Bare(Speed):
    name = "bare"
    def evaluate(self, run):
        return 0.5

class Exits(Speed):
    name = "exits"
    def evaluate(self, run):
        raise SystemExit(4)

class Text(Speed):
    name = "text"
    def evaluate(self, run):
        return Evaluation("high", {})

class Figure(Speed):
    name = "figure"
    def evaluate(self, run):
        return Evaluation(1.0, {"part": 0.5})

class TextFigure(Speed):
    name = "text_figure"
    def evaluate(self, run):
        return Evaluation(1.0, {"part": MetricResult("high")})

class Scribbles(Speed):
    name = "scribbles"
    def evaluate(self, run):
        run.ego[:] = 0.0
        return Evaluation(1.0, {})

OBJECT = Speed()
ANYTHING = 3
class Half:
    name = "half"
    def evaluate(self, run):
        return None
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_scores.py"
    path.write_text(SCORES)
    return path


def test_a_score_is_loaded_by_file_as_class_or_object(file: Path) -> None:
    assert load_score("nuplan_cls")[0] == "nuplan_cls"
    for name in ("Speed", "OBJECT"):
        label, score = load_score(f"{file}:{name}")
        assert (label, score.version) == ("speed", "1")
    assert load_scores(["nuplan_cls", f"{file}:Speed", "nuplan_cls"]) == {
        "nuplan_cls": "nuplan_cls",
        "speed": f"{file}:Speed",
    }


def test_what_is_no_score_is_told(file: Path) -> None:
    with pytest.raises(InputError, match=r"a file: write which score in it is meant, .*my_scores.py:NAME"):
        load_score(str(file))
    with pytest.raises(DriveError, match="has no 'Nothing'"):
        load_score(f"{file}:Nothing")
    with pytest.raises(InputError, match="is no score: it lacks name, version, evaluate, explain;"):
        load_score(f"{file}:ANYTHING")
    with pytest.raises(InputError, match="is no score: it lacks version, explain;"):
        load_score(f"{file}:Half")
    with pytest.raises(InputError, match="two scores are called 'speed'"):
        load_scores([f"{file}:Speed", f"{file}:Same"])
    with pytest.raises(UnknownNameError, match="did you mean 'nuplan_cls'"):
        load_score("nuplan_clss")


def test_a_benchmark_has_it_beside_ours(file: Path, tmp_path: Path) -> None:
    scene = straight("tiny/a", speed=8.0)
    scores = ["nuplan_cls", f"{file}:Speed"]
    planners = [KEEP, f"{FILE}:raises"]
    results = drive.bench(planners, scenarios=[scene], scores=scores, jobs=1, out=tmp_path / "out")
    assert results.scores == ("nuplan_cls", "speed")
    assert results.values("keep", "speed") == {"tiny/a": pytest.approx(0.4)}
    assert results.values("raises", "speed") == {"tiny/a": 0.0}
    # Both have a metric of that name: the later one is told under its score's name.
    assert results.values("keep", "speed/mean_speed") == {"tiny/a": pytest.approx(0.4)}
    assert results.values("keep", "mean_speed")["tiny/a"] == pytest.approx(8.0, abs=0.2)
    assert set(results.run_log("keep", "tiny/a").header["scores"]) == {"nuplan_cls", "speed"}
    assert str(file.parent) not in json.dumps(results.data["scores"])
    assert "speed" in (tmp_path / "out" / "report.html").read_text()


def test_an_edited_score_is_noticed_on_resume(file: Path, tmp_path: Path) -> None:
    common = {"scenarios": [straight("tiny/a")], "jobs": 1, "out": tmp_path / "out", "report": False}
    drive.bench([KEEP], scores=[f"{file}:Speed"], **common)
    drive.bench([KEEP], scores=[f"{file}:Speed"], resume=True, **common)
    file.write_text(SCORES.replace("20.0", "30.0"))
    with pytest.raises(DriveError, match="scores"):
        drive.bench([KEEP], scores=[f"{file}:Speed"], resume=True, **common)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raises", "score 'raises' failed: ZeroDivisionError: float division by zero"),
        ("TooHigh", "score 'too_high' is 7.0, outside of [0, 1]"),
        ("Bare", "score 'bare' returned float instead of an Evaluation"),
        ("Exits", "score 'exits' failed: SystemExit: 4"),
        ("Text", "score 'text' is str, not a number"),
        ("Figure", "score 'figure': its metric 'part' is float, not a MetricResult"),
        ("TextFigure", "score 'text_figure': its metric 'part' is str, not a number"),
    ],
)
def test_a_broken_score_is_named(file: Path, tmp_path: Path, name: str, reason: str) -> None:
    run = drive.run(KEEP, straight("tiny/a"), scores=())
    with pytest.raises(SimulationError) as told:
        judge(f"{file}:{name}", run)
    assert str(told.value) == reason
    results = drive.bench(
        [KEEP], scenarios=[straight("tiny/a")], scores=[f"{file}:{name}"], jobs=1, out=tmp_path, report=False
    )
    (row,) = results.planner("keep")["scenarios"]
    assert (row["failure"], row["valid"], row["reason"]) == ("simulator_error", False, reason)


def test_a_score_cannot_change_the_run(file: Path) -> None:
    run = drive.run(KEEP, straight("tiny/a"), scores=())
    before = run.ego.copy()
    judge(f"{file}:Scribbles", run)
    assert (run.ego == before).all()


def test_the_command_prints_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["run", "gen/lane_follow_curved/0", "--planner", "constant", "--out", str(tmp_path / "out")]
    assert main.run([*common, "--score", f"{file}:Speed"]) == 0
    assert "speed" in capsys.readouterr().out
    assert main.run([*common, "--score", f"{file}:Speeds"]) == 1
    assert "has no 'Speeds'" in capsys.readouterr().err
