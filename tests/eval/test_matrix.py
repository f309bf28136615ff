"""The table of everything: cells that are driven once, their figures, the order in two halves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drive.errors import InputError
from drive.eval import matrix
from drive.eval.bench.results import Results
from drive.eval.matrix import (
    FIRST,
    SECOND,
    Column,
    carla,
    cells_of,
    drive_cells,
    found_of,
    nuplan,
    order_of,
    page,
    table,
)


def results(scores: dict[str, list[float]], fault: int = 0, failed: int = 0) -> Results:
    """Results of planners in as many scenes as they have scores."""
    planners = [
        {
            "name": name,
            "scores": {"nuplan_cls": {"mean": sum(v) / len(v), "ci95": [min(v), max(v)], "n": len(v)}},
            "at_fault_collisions": fault,
            "failures": {"crash": failed, "timeout": 0},
            "scenarios": [
                {"id": f"s{k}", "hash": f"h{k}", "valid": True, "metrics": {"nuplan_cls": x}}
                for k, x in enumerate(v)
            ],
        }
        for name, v in scores.items()
    ]
    return Results({"suite": {"scenarios": 3}, "scores": ["nuplan_cls"], "planners": planners}, Path())


def found(first: dict[str, list[float]], second: dict[str, list[float]]) -> dict[tuple[str, str], Results]:
    one, two = results(first), results(second)
    return {(name, FIRST): one for name in first} | {(name, SECOND): two for name in second}


def test_an_order_that_holds_and_one_that_turns() -> None:
    good, fair, poor = [0.9, 0.95, 1.0, 0.92], [0.6, 0.62, 0.64, 0.63], [0.1, 0.12, 0.14, 0.13]
    names = ("a", "b", "c")
    alike = order_of(found(dict(a=good, b=fair, c=poor), dict(a=good, b=fair, c=poor)), FIRST, SECOND, names)
    assert (alike.tau, alike.clear, alike.turned, alike.swapped) == (1.0, 3, (), ())
    turned = order_of(found(dict(a=good, b=fair, c=poor), dict(a=fair, b=good, c=poor)), FIRST, SECOND, names)
    assert turned.tau == pytest.approx(1.0 / 3.0)
    assert len(turned.turned) == 1
    assert turned.turned[0].startswith("a - b: +0.32")
    # Clear in the one half alone: it lies the other way round, and nobody can say more.
    vague = [0.2, 1.0, 0.1, 0.95]
    half = order_of(found(dict(a=good, b=fair), dict(a=vague, b=fair)), FIRST, SECOND, names)
    assert (half.tau, half.turned, len(half.swapped)) == (-1.0, (), 1)
    with pytest.raises(InputError, match="order"):
        order_of(found(dict(a=good), dict(b=fair)), FIRST, SECOND, names)


def test_a_table_tells_faults_failures_and_what_was_not_driven() -> None:
    columns = (Column(FIRST, "", ()), Column("other", "", ()))
    one = results({"a": [0.5, 0.7], "b": [0.9, 0.9]}, fault=2, failed=3)
    found = {("a", FIRST): one, ("b", FIRST): one, ("c", "other"): results({"c": [0.25]})}
    lines = table(found, columns, ("a", "b", "c", "d")).splitlines()
    assert lines[0] == "| | first 64 | other |"
    assert lines[2] == "| `b` | 0.900 [0.900, 0.900] (2), 3 failed | – |"
    assert lines[3] == "| `a` | 0.600 [0.500, 0.700] (2), 3 failed | – |"
    assert lines[4] == "| `c` | – | 0.250 [0.250, 0.250] (0) |"
    assert len(lines) == 5


def test_settings_go_to_the_cells_that_they_name(tmp_path: Path) -> None:
    columns = (Column("x y", "", ("--suite", "mini")),)
    settings = ("gtrs.weights=w.safetensors", "idm.headway=1.2")
    core, learned = cells_of(columns, ("idm", "gtrs", "pdm"), settings, tmp_path)
    assert core.command == [
        "drive", "bench", "--suite", "mini", "--planner", "idm", "--planner", "pdm",
        "--set", "idm.headway=1.2",
    ]  # fmt: skip
    assert learned.command[-2:] == ["--set", "gtrs.weights=w.safetensors"]
    assert (core.folder.parent.name, core.folder.name, learned.folder.name) == ("x-y", "core", "gtrs")


def test_other_worlds_have_a_cell_a_planner_by_commands_of_their_own(tmp_path: Path) -> None:
    columns = (carla("routes.xml", "towns"), nuplan("../nuplan-devkit", "/venv/bin/python"))
    cells = cells_of(columns, ("idm", "log", "pdm", "gtrs"), (), tmp_path)
    assert [(cell.column.name, cell.planners) for cell in cells] == [
        (name, (planner,)) for name in ("CARLA", "nuPlan devkit") for planner in ("idm", "pdm", "gtrs")
    ]
    assert " ".join(cells[0].command) == (
        "drive carla run --route routes.xml --maps towns --traffic 30 --planner idm"
    )
    assert " ".join(cells[4].command) == (
        "drive nuplan bench --suite mini --devkit ../nuplan-devkit --planner pdm"
    )
    assert cells[4].folder == tmp_path / "nuPlan-devkit" / "pdm"
    # Who stands has a whole nuplan_cls along a route: this column shows another score.
    one = results({"idm": [0.5, 0.7]})
    planner = dict(one.planner("idm"))
    planner["scores"] = {"bench2drive": {"mean": 0.1, "ci95": [0.0, 0.2], "n": 2}, **planner["scores"]}
    both = Results({**one.data, "scores": ["bench2drive", "nuplan_cls"], "planners": [planner]}, Path())
    assert "0.100 [0.000, 0.200]" in table({("idm", "CARLA"): both}, columns[:1], ("idm",))
    assert "0.600 [0.500, 0.700]" in table({("idm", "nuPlan devkit"): both}, columns[1:], ("idm",))


def test_an_interpreter_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(words: list[str], **_: Any) -> Any:
        asked.append(words)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(matrix.subprocess, "run", run)
    cells = cells_of((carla("r", "t"), nuplan("d", "/venv/bin/python")), ("idm",), (), tmp_path)
    assert drive_cells(cells, 1) == []
    assert [words[0] for words in asked] == [sys.executable, "/venv/bin/python"]
    assert not any("--jobs" in words for words in asked)  # of drive bench alone


def test_cells_are_driven_once_and_told_by_their_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = (Column("one scene", "a single one", ("--scenarios", "gen/lane_follow_curved/0")),)
    wrong = Column("wrong", "", ("--suite", "no_such_suite"))
    cells = cells_of((*columns, wrong), ("constant", "idm"), (), tmp_path)
    failed = drive_cells(cells, 2)
    assert len(failed) == 1
    assert "no_such_suite" in failed[0]
    driven = found_of(cells)
    assert set(driven) == {("constant", "one scene"), ("idm", "one scene")}
    text = page(driven, cells, columns, ("constant", "idm"))
    assert "    drive bench --scenarios gen/lane_follow_curved/0 --planner constant --planner idm\n" in text
    assert "Kendall" not in text  # there are no halves
    told = json.loads((cells[0].folder / "results.json").read_text())
    mean = told["planners"][1]["scores"]["nuplan_cls"]["mean"]
    assert f"| `idm` | {mean:.3f} [" in text

    def never(*args: Any, **more: Any) -> Any:
        raise AssertionError("it was driven again")

    monkeypatch.setattr(matrix.subprocess, "run", never)
    assert drive_cells(cells[:1], 1) == []
