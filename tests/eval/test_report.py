"""The report of a benchmark: the results' figures, links that lead somewhere, text as text."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive.errors import InputError
from drive.eval.report import write_report
from drive.eval.report.charts import latency_axis
from drive.eval.report.origin import changes, command_of, quoted
from drive.eval.report.read import number, read, run_below
from drive.eval.report.scenes import Scenes, different_scenes, page_names, wanted_scenes, worst_rows
from drive.eval.report.write import body_of
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.runlog import RunLog

MARKUP = "<img src=x onerror=\"document.title='owned'\">&</script>"


def drive_straight(scenario: str, planner: str, speed: float) -> RunLog:
    """Two seconds straight on, alone on one lane."""
    n = 21
    x = np.linspace(-20.0, 120.0, 8)
    builder = RoadMapBuilder()
    builder.add(LaneSpec("a", np.stack((x, 0 * x + 1.75), -1), np.stack((x, 0 * x - 1.75), -1)))
    ego = np.zeros((n, 7))
    ego[:, 0], ego[:, 3] = speed * 0.1 * np.arange(n), speed
    return RunLog(
        header={
            "scenario": {"id": scenario, "dt": 0.1}, "planner": {"name": planner}, "vehicle": {},
            "failure": None,
        },
        times=0.1 * np.arange(n),
        ego=ego,
        ego_control=np.zeros((n - 1, 2)),
        ego_yaw_acceleration=np.zeros(n),
        agents=np.zeros((0, n, 5)),
        agent_valid=np.zeros((0, n), dtype=bool),
        agent_size=np.zeros((0, 3)),
        agent_kind=np.zeros(0, dtype=np.uint8),
        agent_controller=np.zeros(0, dtype=np.uint8),
        agent_ids=(),
        signals=np.zeros((0, n), dtype=np.uint8),
        plan_step=np.zeros(0, dtype=np.int32),
        plan_latency=np.zeros(0),
        plan_start=np.zeros(1, dtype=np.int32),
        plan_times=np.zeros(0),
        plan_states=np.zeros((0, 7)),
        expert=np.zeros((0, 7)),
        route_line=np.zeros((0, 2)),
        route_lanes=np.zeros(0, dtype=np.int32),
        logged_ego=np.zeros((0, 3)),
        roadmap=builder.build(),
    )  # fmt: skip


def row(scenario: str, family: str, score: float | None, **more: Any) -> dict[str, Any]:
    metrics = {} if score is None else {"nuplan_cls": score, "comfort": 1.0, "mean_speed": 8.5}
    return {
        "id": scenario,
        "family": family,
        "valid": True,
        "failure": None,
        "metrics": metrics,
        "run": None,
    } | more


def results(planners: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "schema": "drive-bench/1",
        "suite": {"id": "val", "hash": "abc", "scenarios": 3},
        "traffic": "idm",
        "seed": 4,
        "scores": {"nuplan_cls": "1"},
        "score_metrics": {"nuplan_cls": ["comfort"]},
        "planners": planners,
        "versions": {"drive": "0.1.0"},
        "machine": {"cpu": "abacus"},
    } | more


def planner(name: str, mean: float, ci: list[float] | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "config": {"gain": 2.5},
        "privileged": name == "log",
        "scores": {"nuplan_cls": {"mean": mean, "ci95": ci, "n": len(rows)}},
        "latency_ms": {"p50": 1.25, "p95": 2.5, "p99": None},
        "failures": {
            "planner_error": sum(r["failure"] == "planner_error" for r in rows),
            "planner_timeout": 0,
        },
        "scenarios": rows,
    }


def data_of(page: Path) -> dict[str, Any]:
    """What the page's script lists."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two planners on three scenarios: one failure, one scenario whose name is markup, one dropped."""
    ids = ("gen/cut_in/1", MARKUP, "gen/dense_merge/2")
    rows: dict[str, list[dict[str, Any]]] = {"idm": [], "log": []}
    for k, name in enumerate(rows):
        for i, scenario in enumerate(ids[:2]):
            log = drive_straight(scenario, name, 5.0 + k).save(tmp_path / "runs" / name / f"{i}.drive.npz")
            rows[name].append(
                row(
                    scenario,
                    "cut_in",
                    (0.25, 0.75)[i] + 0.125 * k,
                    run=log.relative_to(tmp_path).as_posix(),
                    expert_source="idm",
                )
            )
        rows[name].append(row(ids[2], "dense_merge", None, valid=False, failure="simulator_error"))
    rows["idm"][0] |= {
        "failure": "planner_error",
        "reason": "ValueError: <b>no</b>",
        "metrics": {"nuplan_cls": 0.0},
    }
    data = results(
        [planner("idm", 0.375, [0.0, 0.75], rows["idm"]), planner("log", 0.625, [0.375, 0.875], rows["log"])],
        dropped=[{"id": ids[2], "failure": "simulator_error"}],
        command=["drive", "bench", "--filter", "family == 'cut_in'"],
    )
    (tmp_path / "results.json").write_text(json.dumps(data))
    return tmp_path


def test_report_shows_the_results_figures_and_links_to_replays(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = write_report(folder, lambda *step: told.append(step))
    text = path.read_text()
    assert path == folder / "report.html"
    assert told == [("replays", k, 3) for k in (1, 2, 3)]
    assert text.index('row">log <span') < text.index('row">idm</th>')  # ranked by the mean
    for shown in (
        "<b>0.625</b>", "[0.375, 0.875]", "<b>0.375</b>", "[0.000, 0.750]", "planner error 1", "1.25",
        "privileged", "an expert: idm (2 scenarios)",
        "Dropped for every planner: gen/dense_merge/2 (simulator error).", "&quot;gain&quot;: 2.5", "abacus",
        "drive bench --filter &quot;family == &#x27;cut_in&#x27;&quot;",
        # The only one that does not see the log.
        '<p class="headline"><b>idm</b> scores <b>0.375</b> <span class="ci">[0.000, 0.750]</span> over 3',
    ):  # fmt: skip
        assert shown in text, shown
    links = {html.unescape(link) for link in re.findall(r'href="(replays/[^"]+)"', text)}
    data = data_of(path)
    assert {link.partition("#")[0] for link in links} == {s[3] for s in data["scenes"] if s[3]}
    assert len(links) == 4
    for link in links:
        page = folder / link.partition("#")[0]
        assert page.parent == folder / "replays"
        both = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S).group(1))
        assert [r["planner"]["name"] for r in both["runs"]] == ["log", "idm"]
    before = text, sorted((p.name, p.read_bytes()) for p in (folder / "replays").iterdir())
    write_report(folder)
    assert before == (
        path.read_text(),
        sorted((p.name, p.read_bytes()) for p in (folder / "replays").iterdir()),
    )


def test_report_compares_planners_scenario_by_scenario(folder: Path) -> None:
    path = write_report(folder)
    assert "Paired differences" not in path.read_text()  # without hashes nothing says what pairs
    data = json.loads((folder / "results.json").read_text())
    for entry in data["planners"]:
        for k, one in enumerate(entry["scenarios"]):
            one["hash"] = f"h{k}"
    (folder / "results.json").write_text(json.dumps(data))
    text = write_report(folder).read_text()
    section = text[text.index("<h2>Paired differences") :].partition("</section>")[0]
    # The log has 0.375 and 0.875, idm failed in the first scene and has 0.75 in the second.
    assert ">log \u2212 idm</button>" in section
    assert "<b>+0.250</b>" in section
    assert "[+0.125, +0.375]" in section
    assert "<b>log</b> is better" in section


def test_report_runs_nothing_but_its_own_script_and_asks_for_nothing(folder: Path) -> None:
    text = write_report(folder).read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S).group(1)
        assert (
            f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"
            in policy
        )
    assert "<img" not in text
    assert "<b>no" not in text
    assert " style=" not in text
    assert text.count("<script") == 2  # the data, which browsers do not run, and the page's own
    assert "http://" not in text
    assert "https://" not in text


def test_means_that_a_writer_left_out_are_worked_out() -> None:
    bare = {"name": "p", "scenarios": [row("a", "f", 0.5), row("b", "f", 1.0), row("c", "g", 0.0)]}
    report = read(
        results([bare], scores=None, score_metrics=None)
        | {"planners": [bare | {"scores": {"nuplan_cls": {}}}]}
    )
    assert report.main == "nuplan_cls"
    means = {group.key: group.means[0]["nuplan_cls"].value for group in report.families}
    assert means == {"f": 0.75, "g": 0.0}
    assert report.planners[0].metrics == {"comfort": 1.0, "mean_speed": 8.5}
    assert [number(v) for v in ({"score": 0.5}, True, None, float("nan"), "x")] == [
        0.5,
        1.0,
        None,
        None,
        None,
    ]


def test_large_benchmarks_get_replays_of_what_the_page_points_at() -> None:
    n = 600
    up = [row(f"s{i:03}", "f", i / n, run="x") for i in range(n)]
    down = [row(f"s{i:03}", "f", 1 - i / n, run="x") for i in range(n)]
    for i in (300, 310, 320, 330):
        down[i] = row(f"s{i}", "f", 0.0, failure="planner_error", reason="ValueError: x", run="x")
    down[340] = row("s340", "f", None, valid=False, run="x")
    report = read(results([planner("up", 0.5, None, up), planner("down", 0.4, None, down)]))
    by_name = {p.name: p for p in report.planners}
    worst = ["s300", "s310", "s320", "s330", "s599"]
    assert [r.scenario for r in worst_rows(by_name["down"], "nuplan_cls")] == worst
    # The first lies 1 apart, the next two 598/600, those that failed at most 330/600.
    assert set(different_scenes(report, 0, 1)) == {"s000", "s001", "s599"}
    assert different_scenes(report, 0, 1)[0] == "s000"
    wanted = wanted_scenes(report, limit=24)
    assert set(worst) | {"s000", "s001", "s002", "s003", "s004"} <= set(wanted)
    # Two planners: room for twelve, the last two those that went worst of what is left.
    assert set(wanted) - set(worst) - {f"s00{k}" for k in range(5)} == {"s598", "s597"}
    assert wanted_scenes(report, limit=1200) == [f"s{i:03}" for i in range(n)]


def test_groups_are_told_apart_by_what_divides_the_scenes() -> None:
    tags = {"a": ["easy", "town"], "b": ["hard", "town", "wet"], "c": ["hard", "wet"], "d": ["easy", "once"]}
    family = {"a": "f", "b": "f", "c": "g", "d": "g"}
    rows = [row(k, family[k], v, tags=tags[k]) for k, v in zip("abcd", (1.0, 0.5, 0.0, 0.25), strict=True)]
    report = read(results([planner("p", 0.5, None, rows)]))
    # "town" is family f again, "once" a single scene.
    assert [(g.key, g.count) for g in report.tags] == [("easy", 2), ("hard", 2), ("wet", 2)]
    assert [g.means[0]["nuplan_cls"].value for g in report.tags] == [0.625, 0.25, 0.25]
    assert [(g.key, g.count) for g in report.families] == [("f", 2), ("g", 2)]


def test_settings_are_told_as_what_differs_from_the_defaults() -> None:
    entry = planner("p", 0.5, None, [row("a", "f", 0.5)]) | {
        "config": {"gain": 2.5, "cost": {"jerk": 1.0, "speed": 3.0}, "name": "x y"},
        "defaults": {"gain": 2.0, "cost": {"jerk": 1.0, "speed": 2.0}, "name": "z"},
    }
    report = read(results([entry]))
    assert changes(report.planners[0]) == {
        "gain": (2.0, 2.5), "cost.speed": (2.0, 3.0), "name": ("z", "x y"),
    }  # fmt: skip
    assert command_of(report) == [
        "drive", "bench", "--suite", "val", "--planner", "p", "--set", "p.gain=2.5", "--set",
        "p.cost.speed=3.0", "--set", "p.name=x y", "--traffic", "idm", "--seed", "4",
    ]  # fmt: skip
    told = command_of(read(results([entry], visibility="all", ego="recorded", realtime=True)))
    assert told[-7:] == ["--visibility", "all", "--ego", "recorded", "--realtime", "--seed", "4"]
    report = read(results([entry | {"defaults": None}]))
    assert changes(report.planners[0]) is None
    told = ["drive", "bench", "--suite", "val", "--out", "/home/me/x", "--jobs=4", "--resume", "--seed", "4"]
    report = read(results([entry], command=told))
    assert command_of(report) == ["drive", "bench", "--suite", "val", "--seed", "4"]


@pytest.mark.parametrize(
    "word", ["a", "x y", "family == 'cut_in'", "it's $HOME", "a \"b\" 'c'", "a!'", "\\'"]
)
def test_the_command_is_one_that_a_shell_takes_back(word: str) -> None:
    assert shlex.split(quoted(word)) == [word]
    assert quoted("family == 'cut_in'") == "\"family == 'cut_in'\""


def test_latency_axis_holds_every_call() -> None:
    timed = [
        planner(f"p{k}", 0.5, None, []) | {"latency_ms": {"p50": p50}, "latency_histogram_ms": histogram}
        for k, (p50, histogram) in enumerate(
            [(2.0, {"edges": [1.0, 10.0], "counts": [5]}), (30.0, {"edges": [10.0, 1e3], "counts": [1]})]
        )
    ]
    axis = latency_axis(read(results(timed)).planners)
    assert axis is not None
    assert (axis.first, axis.last) == (0, 3)
    assert axis.x(10.0) - axis.x(1.0) == pytest.approx(axis.x(1e3) - axis.x(100.0))
    assert latency_axis(read(results([planner("p", 0.5, None, []) | {"latency_ms": {}}])).planners) is None
    bad = planner("p", 0.5, None, []) | {"latency_histogram_ms": {"edges": [1.0, 0.5], "counts": [1]}}
    assert read(results([bad])).planners[0].histogram == ((), ())


@pytest.mark.parametrize(
    ("planners", "more", "shown"),
    [
        ([], {}, "hold no planner"),
        ([("p", [row("a", "f", None)])], {"scores": {}}, "hold no score"),
        ([("p", [row("a", "f", None, valid=False)])], {}, "No planner has a nuplan cls"),
        ([("log", [row("a", "f", 0.5)])], {}, "Every planner here is privileged"),
        ([("p", [row("a", "f", 0.5)])], {}, "With one planner there is nothing to compare."),
        ([("p", [row("a", "f", 0.5)]), ("q", [row("a", "f", float("nan"))])], {}, "q: no nuplan cls."),
        ([("p", [row("a", "f", 0.5)]), ("q", [row("a", "f", 0.5)])], {}, "</b> are level at <b>0.500"),
    ],
)  # fmt: skip
def test_results_that_lack_something_say_what(
    planners: list[tuple[str, list[dict[str, Any]]]], more: dict[str, Any], shown: str
) -> None:
    entries = [
        planner(name, 0.5, None, rows) | {"scores": {}, "config": {}, "latency_ms": None}
        for name, rows in planners
    ]
    body = body_of(read(results(entries, **more)), Scenes({}, ()))
    assert shown in body
    assert "nan" not in body
    assert "None" not in body


def test_logs_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    inside = tmp_path / "out"
    (inside / "runs").mkdir(parents=True)
    for place in (inside / "runs" / "a.drive.npz", tmp_path / "b.drive.npz"):
        place.write_bytes(b"x")
    assert run_below(inside, "runs/a.drive.npz") == inside / "runs" / "a.drive.npz"
    for bad in (
        "../b.drive.npz",
        str(tmp_path / "b.drive.npz"),
        "runs/../../b.drive.npz",
        "..\\b.drive.npz",
        "",
        None,
    ):
        assert run_below(inside, bad) is None


def test_broken_and_missing_logs_are_told(folder: Path) -> None:
    (folder / "runs" / "idm" / "0.drive.npz").write_bytes(b"no zip")
    (folder / "runs" / "log" / "0.drive.npz").unlink()
    text = write_report(folder).read_text()
    assert "no replay of idm in gen/cut_in/1: 0.drive.npz is truncated" in text
    assert "3 runs left no log" in text
    with pytest.raises(InputError, match=r"results\.json"):
        write_report(folder / "runs")


def test_page_names_are_safe_and_differ() -> None:
    ids = [
        "gen/cut_in/17",
        "gen_cut_in/17",
        "gen/CUT_in/17",
        "gen/cut_in/17 ",
        "../../etc/passwd",
        "a.xml#b@c",
        "a.xml#b@d",
        "",
        "x" * 300,
        "x" * 301,
        "Å",
    ]
    names = list(page_names(ids).values())
    assert len({n.casefold() for n in names}) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}\.html", n) for n in names)
    assert names[0] == "gen_cut_in_17.html"
