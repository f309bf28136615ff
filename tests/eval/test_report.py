"""The report of a benchmark: the results' figures, links that lead somewhere, text as text."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive.errors import InputError
from drive.eval.report import write_report
from drive.eval.report.read import number, read, run_below
from drive.eval.report.scenes import page_name, wanted_scenes, worst_rows
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.runlog import RunLog

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
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
    path = write_report(folder)
    text = path.read_text()
    assert path == folder / "report.html"
    assert text.index(">log <span") < text.index('row">idm</th>')  # ranked by the mean
    for shown in (
        "<b>0.625</b>", "[0.375, 0.875]", "<b>0.375</b>", "[0.000, 0.750]", "planner error 1", "1.25",
        "privileged", "an expert: idm (2 scenarios)",
        "Dropped for every planner: gen/dense_merge/2 (simulator error).", "&quot;gain&quot;: 2.5", "abacus",
        "drive bench --filter &#x27;family == &#x27;&quot;&#x27;&quot;&#x27;cut_in",
    ):  # fmt: skip
        assert shown in text, shown
    links = {html.unescape(link) for link in re.findall(r'href="([^"]+)"', text)} - {"data:,"}
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
    assert '<th scope="row">log</th><td>idm</td>' in section
    assert "<b>+0.250</b>" in section
    assert "[+0.125, +0.375]" in section
    assert "log is better" in section


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
    assert text.count("<script") == 1
    assert "http://" not in text
    assert "https://" not in text


def test_means_that_a_writer_left_out_are_worked_out() -> None:
    bare = {"name": "p", "scenarios": [row("a", "f", 0.5), row("b", "f", 1.0), row("c", "g", 0.0)]}
    report = read(
        results([bare], scores=None, score_metrics=None)
        | {"planners": [bare | {"scores": {"nuplan_cls": {}}}]}
    )
    assert report.main == "nuplan_cls"
    found = report.planners[0].families
    assert {f: found[f]["nuplan_cls"].value for f in report.families} == {"f": 0.75, "g": 0.0}
    assert report.planners[0].metrics == {"comfort": 1.0, "mean_speed": 8.5}
    assert [number(v) for v in ({"score": 0.5}, True, None, float("nan"), "x")] == [
        0.5,
        1.0,
        None,
        None,
        None,
    ]


def test_large_benchmarks_get_replays_of_each_planners_five_worst() -> None:
    up = [row(f"s{i:02}", "f", i / 30) for i in range(30)]
    down = [row(f"s{i:02}", "f", 1 - i / 30) for i in range(30)]
    down[10] = row("s10", "f", 0.0, failure="planner_error")
    down[11] = row("s11", "f", None, valid=False)
    report = read(results([planner("up", 0.5, None, up), planner("down", 0.4, None, down)]))
    by_name = {p.name: p for p in report.planners}
    assert [r.scenario for r in worst_rows(by_name["down"], "nuplan_cls")] == [
        "s10",
        "s29",
        "s28",
        "s27",
        "s26",
    ]
    assert sorted(wanted_scenes(report)) == [
        "s00",
        "s01",
        "s02",
        "s03",
        "s04",
        "s10",
        "s26",
        "s27",
        "s28",
        "s29",
    ]
    small = read(results([planner("up", 0.5, None, up)]))
    assert len(wanted_scenes(small)) == 30


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
        "gen/cut_in/17 ",
        "../../etc/passwd",
        "a.xml#b@c",
        "a.xml#b@d",
        "",
        "x" * 300,
        "x" * 301,
        "Å",
    ]
    names = [page_name(i) for i in ids]
    assert len(set(names)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}\.html", n) for n in names)
    assert names[0] == "gen_cut_in_17.html"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the page with")
def test_browser_opens_the_report_without_a_word(folder: Path) -> None:
    page = write_report(folder)
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-extensions", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=2000", "--dump-dom", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert '<output id="shown">3 of 3</output>' in done.stdout
    assert '<button type="button">scenario</button>' in done.stdout
    assert "<title>Benchmark val</title>" in done.stdout
