"""`drive perf`: that it times what it says it times. No test here asserts a time."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from drive.cli import main
from drive.errors import InputError, UnknownNameError
from drive.eval import (
    perf,
    perf_docs,
    perf_drives,
    perf_growth,
    perf_planners,
    perf_rows,
    perf_scenes,
    perf_table,
)
from drive.geometry import box_corners, boxes_overlap
from drive.sim.candidates import score


def test_the_busy_road_is_busy_and_fit_to_drive() -> None:
    tracks = perf_scenes.busy_road(0).tracks
    assert tracks.num_agents == perf_scenes.AGENTS + 1 == 33
    assert tracks.valid.all()
    corners = box_corners(
        tracks.states[:, 0, :2], tracks.states[:, 0, 2], tracks.size[:, 0], tracks.size[:, 1]
    )
    assert boxes_overlap(corners[:, None], corners[None]).sum() == 33  # each with itself alone
    roads = {perf_scenes.busy_road(seed).content_hash for seed in range(4)}
    assert len(roads) == 4


def test_the_candidates_meet_every_outcome() -> None:
    """What is timed must not be a batch that leaves the scorer at the first look."""
    c = perf_scenes.candidate_batch(256)
    scores = score(c.states, c.scene)
    for name in (
        "no_at_fault_collision",
        "drivable_area",
        "driving_direction",
        "time_to_collision",
        "comfort",
    ):
        share = float((scores.column(name) == 1.0).mean())
        assert 0.1 < share < 0.95, name
    assert np.isfinite(c.states).all()
    assert c.scene.agents.skip.shape == (32,)


@pytest.mark.parametrize(("asked", "segments"), [(99, 99), (1000, 999), (5000, 3600)])
def test_a_map_has_as_many_segments_as_it_says(asked: int, segments: int) -> None:
    roadmap = perf_scenes.winding_roads(asked)
    assert len(roadmap.points) - roadmap.num_lanes == segments


def test_the_map_and_agents_far_away_change_no_score() -> None:
    near, far = perf_scenes.candidate_batch(64), perf_scenes.candidate_batch(64, 100, 5400)
    assert far.scene.agents.skip.shape == (128,)
    assert len(far.scene.lanes.flags) == 9
    one, other = score(near.states, near.scene), score(far.states, far.scene)
    np.testing.assert_array_equal(one.column("drivable_area"), other.column("drivable_area"))


def test_a_row_counts_its_units_and_takes_its_base_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "BUDGET", 0.0)
    calls = []
    row = perf.Row("spin", "turn", lambda: lambda: calls.append(time.sleep(0.001)), 4.0)
    found = perf.figures(row)
    assert len(calls) == 1 + perf.LEAST == 1 + found["repeats"]
    assert found["wall_s"] >= 0.00025
    assert found["per_wall_s"] == pytest.approx(1.0 / found["wall_s"])
    own = perf.Row("own", "turn", lambda: lambda: perf.Times([3.0, 5.0, 4.0], [6.0, 6.0, 9.0]), minus="spin")
    assert perf.figures(own)["cpu_s"] == 4.0
    part = perf.figures(own, {"cpu_s": 1.0, "wall_s": 2.0})
    assert (part["cpu_s"], part["wall_s"], part["per_cpu_s"]) == (3.0, 4.0, 1.0 / 3.0)
    assert part["spread"] == 0.125  # quartiles 3.5 and 4.5 around 4


def rows() -> list[perf.Row]:
    def fixed(name: str, seconds: float, minus: str = "") -> perf.Row:
        return perf.Row(name, "agent-step", lambda: lambda: perf.Times([seconds], [seconds]), minus=minus)

    return [fixed("a", 2.0), fixed("a/base", 0.5), fixed("a/part", 1.5, "a/base"), fixed("ab", 8.0)]


def test_only_the_named_rows_and_their_parts_are_shown() -> None:
    def names(*only: str) -> list[str]:
        return [row["name"] for row in perf.measure(rows(), only)["rows"]]

    assert names() == ["a", "a/base", "a/part", "ab"]
    assert names("a") == ["a", "a/base", "a/part"]
    part = perf.measure(rows(), ["a/part"])
    # Its base is timed, not shown.
    assert [(row["name"], row["cpu_s"]) for row in part["rows"]] == [("a/part", 1.0)]
    assert perf.measure(rows(), ["ab"])["agent_steps_per_cpu_s"] == {"ab": 0.125}
    with pytest.raises(UnknownNameError, match="did you mean 'ab'"):
        perf.measure(rows(), ["abc"])


def test_ratios_of_the_rows_that_both_have(tmp_path: Path) -> None:
    before, after = perf.measure(rows()), perf.measure(rows()[:3])
    after["rows"][0]["cpu_s"] = 1.0
    assert perf.ratios(before, after) == {"a": 0.5, "a/base": 1.0, "a/part": 1.0}
    for text, message in (
        ("{", "is not JSON"),
        ("[]", "but something else"),
        ('{"schema": "drive-perf/1"}', r"does not hold figures of drive-perf/2 \(but drive-perf/1\)"),
        ('{"schema": "drive-perf/2"}', "the rows of .*old.json need a name"),
        ('{"schema": "drive-perf/2", "rows": [{"name": "step", "cpu_s": null}]}', "the rows of"),
        (None, "cannot read"),
    ):
        path = tmp_path / "old.json"
        if text is None:
            path = tmp_path / "none.json"
        else:
            path.write_text(text)
        with pytest.raises(InputError, match=message):
            perf.read(path)


def test_the_kept_figures_name_rows_that_exist() -> None:
    kept = json.loads((Path(perf.__file__).parent / "perf_reference.json").read_text())
    names = {row.name for row in perf_rows.kernel_rows()}
    names |= {row.name for row in perf_drives.planner_rows("pdm")}
    names |= {row.name for row in [*perf_drives.loop_rows(), *perf_drives.start_rows(cold=True)]}
    assert kept
    assert set(perf_docs.SHORT) <= names
    for cpu, found in kept.items():
        assert {row["name"] for row in found["rows"]} <= names
        assert perf.reference(cpu) == found
        assert found["command"].startswith("drive perf")
    assert perf.reference("none of ours") is None


def test_figures_in_a_text_are_found_by_their_command() -> None:
    text = (
        "Before\n\n    kept\n\nFirst `a --b`, then:\n\n    old\n\n      too\n\nAfter `a --c`:\n\n    other\n"
    )
    first = perf_docs.refilled(text, "a --b", "new\n\nmore\n")
    assert first == (
        "Before\n\n    kept\n\nFirst `a --b`, then:\n\n    new\n\n    more\n\nAfter `a --c`:\n\n    other\n"
    )
    assert perf_docs.refilled(first, "a --c", "last").endswith("    more\n\nAfter `a --c`:\n\n    last\n")
    for command, where in (("a --d", text), ("a --c", "`a --c` at the end")):
        with pytest.raises(InputError, match="no indented block"):
            perf_docs.refilled(where, command, "new")


def test_the_documentation_has_the_blocks_that_are_refilled() -> None:
    root = Path(__file__).parents[2]
    rows = [
        {"name": name, "unit": "agent-step", "threads": 1, "about": "x", "spread": 0.0, "per_wall_s": 1e6}
        | {"cpu_s": 1.23456e-6, "wall_s": 2e-6, "per_cpu_s": 8.1e5}
        for name in perf_docs.SHORT
    ]
    found = {"machine": {"cpu": "none of ours", "cores": 2, "system": "s"}, "versions": {}, "rows": rows}
    readme = perf_docs.refilled((root / "README.md").read_text(), perf_docs.COMMAND, perf_docs.short(found))
    assert readme.count("810 k") == len(perf_docs.SHORT)
    guide = (root / "docs" / "performance.md").read_text()
    guide = perf_docs.refilled(guide, perf_docs.COMMAND, perf_table.printed(found))
    assert guide.count("1.23 us") == len(perf_docs.SHORT)
    assert "figures for this processor" not in guide
    for command in (perf_docs.GROWTH, perf_docs.PLANNERS):
        assert perf_docs.refilled(guide, command, "grown").count("    grown\n") == 1
    assert perf_docs.reference(found)["rows"][0]["cpu_s"] == 1.235e-6


def test_parts_of_a_call_are_those_the_session_names() -> None:
    names = [row.name for row in perf_drives.planner_rows("pdm")]
    assert names[0] == "pdm/call"
    assert {"pdm/call/rollout", "pdm/call/score", "pdm/drive", "pdm/metrics", "pdm/total"} <= set(names)
    assert [n for n in names if n.startswith("pdm/call/")] == [
        f"pdm/call/{part.strip('_')}" for part in perf_drives._recorded("pdm").session.parts
    ]
    assert len(perf_drives._recorded("pdm").observations) == perf_scenes.STEPS


def test_times_of_calls_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_drives, "REPEATS", 1)
    perf_drives.call_times.cache_clear()
    times = perf_drives.call_times("pdm")
    perf_drives.call_times.cache_clear()
    assert len(times[""].wall) == len(times["_score"].wall) == perf_scenes.STEPS
    assert all(np.median(times[name].wall) > 0.0 for name in times)


def test_the_command_prints_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(perf, "BUDGET", 0.0)
    few = perf_rows.kernel_rows
    monkeypatch.setattr(perf_table, "kernel_rows", lambda: few(worlds=4, candidates=40))
    arguments = ["perf", "--only", "rollout", "--only", "score", "--only", "step/control"]
    assert main.run([*arguments, "--json"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text)
    assert found["schema"] == "drive-perf/2"
    assert set(found["agent_steps_per_cpu_s"]) >= {"rollout", "score", "score/comfort", "step/control"}
    assert {row["threads"] for row in found["rows"]} == {1, perf.cores()}
    assert all(row["wall_s"] > 0.0 for row in found["rows"] if row["name"] in ("rollout", "score"))
    old = tmp_path / "before.json"
    old.write_text(text)
    monkeypatch.setattr(perf, "reference", lambda cpu: None)
    assert main.run(["perf", "--only", "rollout/controls"]) == 0
    assert "no reference figures for this processor" in capsys.readouterr().out
    assert main.run(["perf", "--only", "rollout/controls", "--compare", str(old)]) == 0
    printed = capsys.readouterr().out
    assert "ratio: process time now over that in before.json" in printed
    assert "score" not in printed
    assert main.run(["perf", "--only", "scores"]) == 1
    assert "did you mean 'score'" in capsys.readouterr().err
    assert main.run(["perf", "--compare", str(tmp_path / "none.json")]) == 1
    assert main.run(["perf", "--growth", str(tmp_path / "nowhere" / "x.svg")]) != 0
    assert "a folder that exists" in capsys.readouterr().err
    assert main.run(["perf", "--growth", "x.svg", "--only", "step"]) != 0
    assert "only --json goes with it" in capsys.readouterr().err


def test_planners_are_timed_on_their_own_drives_or_told_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        perf_planners.PlannerRow("plain", "idm"),
        perf_planners.PlannerRow("quick", "idm", {"headway": 0.5}),
        perf_planners.PlannerRow("unset", "idm", {"branches": 5}),
        perf_planners.PlannerRow("nobody", "cptoo"),
        perf_planners.PlannerRow("nowhere", "idm", ref="gen/mars/0"),
        perf_planners.PlannerRow("once", "idm", first=True),
    ]
    found = perf_planners.measure(rows, cycles=160)
    assert [row["name"] for row in found["rows"]] == ["plain", "quick", "once"]
    # Whole passes through the scene's 150 calls, or as many sessions as calls.
    assert [row["repeats"] for row in found["rows"]] == [300, 300, 160]
    for row in found["rows"]:
        assert 0.0 < row["cpu"]["p50"] <= row["cpu"]["p95"] <= row["cpu"]["p99"]
        assert 0.0 < row["wall"]["p50"] <= row["wall"]["p95"] <= row["wall"]["p99"]
    reasons = {item["name"]: item["reason"] for item in found["absent"]}
    assert set(reasons) == {"unset", "nobody", "nowhere"}
    assert "branches" in reasons["unset"]
    assert "unknown planner 'cptoo'" in reasons["nobody"]
    assert "unknown scenario family 'mars'" in reasons["nowhere"]
    text = perf_planners.printed(found)
    assert "nobody: unknown planner" in text
    assert text.count("busy road") == 3
    monkeypatch.setattr(perf_planners, "CYCLES", 1)
    assert main.run(["perf", "--planners", "--only", "constant", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["planner"] for row in told["rows"]] == ["constant"]
    assert told["schema"] == perf.SCHEMA
    assert main.run(["perf", "--planners", "--only", "constnat"]) == 1
    assert "did you mean 'constant'" in capsys.readouterr().err
    assert main.run(["perf", "--planners", "--cold"]) != 0


def test_one_core_is_kept_and_given_back() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system pins no process")
    before = os.sched_getaffinity(0)
    with perf_planners.pinned() as core:
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_the_planners_asked_for_are_not_privileged() -> None:
    names = [row.planner for row in perf_planners.planner_table()]
    assert {"idm", "pdm", "mpc", "cpto", "field", "rover", "constant"} <= set(names)
    assert "log" not in names
    assert len({row.name for row in perf_planners.ROWS}) == len(perf_planners.ROWS)


def test_start_times_are_of_a_fresh_process_and_a_fresh_cache(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = f"import os; open({str(seen)!r}, 'a').write(os.environ.get('DRIVE_CACHE_DIR', '') + chr(10))"
    times = perf_drives.start_times(["-c", code], repeats=2, empty=True)
    assert len(times.cpu) == len(times.wall) == 2
    caches = seen.read_text().split()
    assert len(set(caches)) == 2
    assert not any(Path(cache).exists() for cache in caches)


def test_growth_is_drawn_with_a_point_for_each_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(perf, "BUDGET", 0.0)
    found = perf_growth.measure(counts=(4, 40), crowds=(8, 40), maps=(99, 300), few=8, worlds=(1, 3), some=2)
    text = perf_growth.table(found)
    assert text.count(" ms") == 12
    assert "lane segments of the map" in text
    page = ElementTree.fromstring(perf_growth.svg(found))
    lines = [line.get("points", "") for line in page.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points.split()) for points in lines] == [2, 2, 2, 2, 2, 2]
    # On a logarithmic axis ten times the time is one decade up, wherever it begins.
    found["series"] = found["series"][2:3]
    found["series"][0]["ms"] = {"rollout": [0.2, 2.0], "score": [0.5, 50.0]}
    page = ElementTree.fromstring(perf_growth.svg(found))
    one, two = [
        np.ptp([float(point.split(",")[1]) for point in line.get("points", "").split()])
        for line in page.iter("{http://www.w3.org/2000/svg}polyline")
    ]
    assert two == pytest.approx(2.0 * one, abs=0.2)


def test_numbers_are_told_with_three_digits() -> None:
    assert [perf_table.seconds(v) for v in (2.0, 0.0123, 4.56e-7, 7.8e-5)] == [
        "2 s",
        "12.3 ms",
        "456 ns",
        "78 us",
    ]
    assert [perf_table.rate(v) for v in (3.2e7, 640.0, None)] == ["32 M", "640", ""]
