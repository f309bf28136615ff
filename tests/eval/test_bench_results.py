"""What a benchmark hands back: results as text, table, pairs; damaged ones."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from drive._imports import import_target
from drive.errors import InputError, UnknownNameError
from drive.eval.bench import Options, Results, run_bench
from drive.eval.bench import journal as journal_module
from drive.eval.bench.table import results_table

FILE = Path(__file__).with_name("bench_scenes.py")
scenes = import_target(f"{FILE}:scenes", "the tests")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A benchmark of two planners in three scenes."""
    planners = [f"{FILE}:keep", f"{FILE}:noisy"]
    return run_bench(Options(planners=planners, scenarios=scenes(3), out=tmp_path_factory.mktemp("finished")))


def test_results_are_named_in_one_line(finished: Results) -> None:
    assert repr(finished) == f"Results(keep, noisy in 3 scenarios, '{finished.path}')"
    run = finished.run_log("keep", next(iter(finished.values("keep"))))
    assert repr(run).startswith("RunLog(keep in tiny/")


def test_where_settings_differ_is_told() -> None:
    was = [{"name": "a", "config": {"x": 1}}, {"name": "b", "config": {"x": 1, "y": 2}}]
    now = [was[0], {"name": "b", "config": {"x": 1, "y": 3}}]
    assert journal_module._parted("planners", was, now) == ("b.config.y", 2, 3)
    assert journal_module._parted("planners", was, now[:1]) == ("planners", "a, b", "a")


def test_results_become_a_table(finished: Results) -> None:
    frame = finished.to_pandas()
    assert list(frame["planner"]) == ["keep"] * 3 + ["noisy"] * 3
    assert frame.groupby("planner")["nuplan_cls"].mean()["noisy"] == pytest.approx(
        finished.planner("noisy")["scores"]["nuplan_cls"]["mean"]
    )


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_s_tables_fit_into_80_columns(finished: Results, width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(results_table(finished), highlight=False)
    lines = console.export_text().splitlines()
    assert max(len(line.rstrip()) for line in lines if not line.startswith("Traffic")) <= 80
    rows = {line.split()[0]: line.split() for line in reversed(lines) if line.strip()}
    score = finished.planner("keep")["scores"]["nuplan_cls"]["mean"]
    assert rows["keep"][1] == f"{score:.3f}"
    assert rows["keep"][5] == "3/3"
    for head in ("no fault", "comfort", "p95 ms", "difference [95 %]"):
        assert any(head in line for line in lines), head


def test_goals_that_say_nothing_are_a_dash(finished: Results) -> None:
    data = json.loads(json.dumps(finished.data))
    for planner in data["planners"]:
        planner["goals"] = {"reached": 0, "of": 0}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table(Results(data, finished.path)), highlight=False)
    assert next(line for line in console.export_text().splitlines() if "keep" in line).split()[5] == "\u2013"


def test_pairs_within_results(finished: Results) -> None:
    difference = finished.paired("keep", "noisy", "mean_speed")
    speeds = [finished.values(name, "mean_speed") for name in ("keep", "noisy")]
    assert difference.mean == pytest.approx(sum(speeds[0][k] - speeds[1][k] for k in speeds[0]) / 3)
    assert (difference.n, difference.unpaired) == (3, 0)
    with pytest.raises(UnknownNameError, match="did you mean 'keep'"):
        finished.paired("kep", "noisy")
    with pytest.raises(UnknownNameError, match="did you mean 'nuplan_cls'"):
        finished.paired("keep", "noisy", "nuplan_csl")


def test_damaged_results_are_told(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"schema": "drive-bench/9"}'):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(InputError, match=r"results\.json"):
            Results.load(tmp_path)
    (tmp_path / "results.json").write_text('{"schema": "drive-bench/1", "suite": {}}')
    with pytest.raises(InputError, match="is incomplete: it lacks scores, planners"):
        Results.load(tmp_path)
    (tmp_path / "a.npz").write_text("")
    with pytest.raises(InputError, match="is a file; give a folder"):
        Results.load(tmp_path / "a.npz")
    assert journal_module.RESULTS == "results.json"
