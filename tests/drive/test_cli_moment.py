"""`drive run --from`: taking over at a moment, and planning a moment of a recorded run again."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drive
from drive._imports import import_target
from drive.cli import main
from drive.errors import InputError
from drive.eval.replan import find_planner, find_scenario, replan
from drive.runlog import RunLog

SCENES = Path(__file__).parents[1] / "eval" / "bench_scenes.py"
TEXT = Path(__file__).parents[1] / "datasets" / "commonroad_text.py"
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
SCENE = "gen/lane_follow_curved/0"

LEARNS = """
from dataclasses import dataclass
import numpy as np
from drive.planner import Candidates, Plan, PlannerSpec

GAIN = {gain}

class Learns:
    # Slows down with every call: what it plans depends on all that it was asked before.
    def __init__(self):
        self.spec = PlannerSpec("learns", horizon=2.0, rate=5.0)
    def start(self, task):
        return Session()

class Session:
    calls = 0
    def plan(self, observation):
        self.calls += 1
        x, y, heading, speed = observation.ego[:4]
        way = speed * (1 - GAIN * self.calls) * 0.1 * np.arange(1, 21)
        poses = np.column_stack((x + way * np.cos(heading), y + way * np.sin(heading), 0 * way + heading))
        plan = Plan.from_poses(observation, poses)
        states = np.stack([plan.trajectory.states, plan.trajectory.states])
        both = Candidates(plan.trajectory.times, states, {{"cost": np.array([1.0, 2.0])}}, chosen=1)
        return Plan(plan.trajectory, candidates=both, figures={{"calls": float(self.calls)}})
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run log of pdm."""
    out = tmp_path_factory.mktemp("recorded")
    return drive.run("pdm", SCENE, scores=()).save(out / "pdm.drive.npz")


@pytest.fixture
def learns(tmp_path: Path) -> tuple[Path, Path]:
    """A planner with memory in a file, and a run log of it."""
    file = tmp_path / "learns.py"
    file.write_text(LEARNS.format(gain=0.001))
    log = drive.run(f"{file}:Learns", SCENE, scores=())
    return file, log.save(tmp_path / "run.drive.npz")


def run(*arguments: object) -> int:
    return main.run(["run", *(str(a) for a in arguments)])


def test_a_moment_is_the_recorded_one(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recorded, "--from", 3.0, "--out", tmp_path, "--json") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    found = json.loads(shown.out)
    assert (found["repeated"], found["warnings"], found["difference"]) == (True, [], "")
    assert found["time"] == 3.0
    assert found["plan"]["status"] == "ok"
    scores = found["plan"]["candidates"]["scores"]["score"]
    assert scores[found["plan"]["candidates"]["chosen"]] == max(scores)
    log, again = RunLog.load(recorded), RunLog.load(found["run"])
    assert np.array_equal(again.ego, log.ego[:31])
    assert np.array_equal(again.agents, log.agents[:, :31])
    assert np.array_equal(again.plan_states_of(30), log.plan_states_of(30))
    # All fifteen proposals, not the eight that a run log keeps.
    assert np.diff(again.cand_start)[-1] == len(scores) == 15
    assert "<html" in Path(found["replay"]).read_text()


def test_a_moment_is_told_in_words(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recorded, "--from", 2.95, "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"pdm at 3 s of {SCENE}\n")
    assert "30 steps driven again, equal to the recorded ones" in shown
    assert "the plan is the recorded one" in shown
    (chosen,) = [line for line in shown.splitlines() if line.startswith("->")]
    assert chosen.split()[2] == "1"  # its score, the best
    assert shown.splitlines()[-1].endswith("-at-3.html#t=3")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the page with")
def test_the_page_opens_at_the_moment_with_its_plan(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recorded, "--from", 3, "--out", tmp_path) == 0
    address = capsys.readouterr().out.splitlines()[-1].removeprefix("replay: ")
    quiet = ["background-networking", "component-update", "sync", "extensions", "gpu", "quic"]
    options = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    options += [f"--user-data-dir={tmp_path}/c", "--virtual-time-budget=4000", "--dump-dom"]
    page = [str(CHROMIUM), *options, f"file://{address}&selftest"]
    done = subprocess.run(page, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'<pre id="selftest">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stdout[-2000:]
    state = json.loads(html.unescape(found.group(1)))
    assert (state["t"], state["plan"]["call"], state["candidates"]) == (3.0, 30, 15)
    assert state["faults"] == []


def test_the_session_sees_all_that_it_saw(learns: tuple[Path, Path]) -> None:
    file, path = learns
    log = RunLog.load(path)
    planner, same = find_planner(log, f"{file}:Learns", {})
    assert same
    moment = replan(log, 4.05, drive.load_scenario(SCENE), planner)
    # At 5 Hz it is called at 0, 0.2, ... 4.2 s: the twenty-second call.
    assert moment.plan is not None
    assert moment.plan.figures == {"calls": 22.0}
    assert moment.log.times[-1] == pytest.approx(4.2)
    assert (moment.warnings, moment.difference) == ((), "")
    assert moment.observation is not None
    assert np.array_equal(moment.observation.ego, log.ego[42])


def test_a_changed_planner_meets_the_recorded_moment(
    learns: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, path = learns
    file.write_text(LEARNS.format(gain=0.01))
    assert run(path, "--from", 4, "--planner", f"{file}:Learns", "--out", tmp_path / "out") == 0
    shown = capsys.readouterr()
    assert "m from the recorded plan" in shown.out
    assert "equal to the recorded ones" not in shown.out
    # At 0.1 s the first plan has been followed for one step.
    assert "the planner leaves the recorded motion at 0.1 s (the ego is kept on it)" in shown.err
    assert "scenario, versions and settings are those of the run: the planner's code has changed" in shown.err
    again = RunLog.load(next((tmp_path / "out").glob("*.npz")))
    assert np.array_equal(again.ego, RunLog.load(path).ego[:41])


def test_other_settings_are_told(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ["--set", "pdm.speed_fractions=0.3,0.6"]
    assert run(recorded, "--from", 3, *changed, "--out", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert "the planner's settings are not those of the run" in found["warnings"]
    assert len(found["plan"]["candidates"]["scores"]["score"]) == 6
    assert "from the recorded plan" in found["difference"]


def test_another_scene_and_version_are_told(recorded: Path, tmp_path: Path) -> None:
    log = RunLog.load(recorded)
    versions = {**log.header["versions"], "drive": "0.0.1"}
    planner, _ = find_planner(log, None, {})
    scene = drive.load_scenario(SCENE)
    states = scene.tracks.states.copy()
    states[1:, :, 0] += 0.5
    moved = scene.with_(tracks=replace(scene.tracks, states=states))
    moment = replan(log.with_header(versions=versions), 1.0, moved, planner)
    text = "\n".join(moment.warnings)
    assert "the other road users leave the recorded motion at 0.0 s, by up to 0.5 m" in text
    assert f"the scenario has the hash {moved.content_hash[:12]}, then {scene.content_hash[:12]}" in text
    assert f"drive is {drive.__version__}, then 0.0.1" in text


def test_another_planner_begins_at_the_moment(
    recorded: Path, learns: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recorded, "--from", 3, "--planner", f"{learns[0]}:Learns", "--out", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["planner"]["name"] == "learns"
    assert found["recorded_by"] == "pdm"
    assert found["plan"]["figures"] == {"calls": 1.0}
    again = RunLog.load(found["run"])
    assert list(again.plan_step) == [30]
    assert np.array_equal(again.ego, RunLog.load(recorded).ego[:31])


def test_the_call_that_failed_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{SCENES}:raises"
    log = drive.run(name, SCENE, scores=())
    path = log.save(tmp_path / "failed.drive.npz")
    assert log.times[-1] == pytest.approx(0.5)
    assert run(path, "--from", 0.5, "--planner", name, "--out", tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(f"raises at 0.5 s of {SCENE}\n")
    assert shown.err == "drive: error: planner_error at 0.5 s: ZeroDivisionError: in step 5\n"
    assert run(path, "--from", 0.6, "--planner", name) == 1
    assert "--from must lie between 0 and 0.5 s, not at 0.6" in capsys.readouterr().err


def test_a_planner_takes_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SCENE, "--planner", "idm", "--from", 5, "--out", tmp_path) == 0
    assert "until 5 s the ego follows the expert (generated)" in capsys.readouterr().out
    log = RunLog.load(next(tmp_path.glob("*.npz")))
    scene = drive.load_scenario(SCENE)
    assert scene.expert is not None
    assert np.array_equal(log.ego[:51], scene.expert.states[:51])
    assert not np.array_equal(log.ego[60], scene.expert.states[60])
    assert list(log.plan_step) == list(range(50, 150))
    assert log.header["lead"] == {"driver": "generated", "until": 5.0, "strayed": None}
    assert len(log.times) == 151


def test_taking_over_at_the_start_is_a_whole_run() -> None:
    a, b = drive.run("idm", SCENE), drive.run("idm", SCENE, start=0.0)
    assert np.array_equal(a.ego, b.ego)
    assert np.array_equal(a.agents, b.agents)
    assert a.header["scores"] == b.header["scores"]


def test_a_scene_without_a_driver_is_led_by_the_stand_in() -> None:
    straight = import_target(f"{SCENES}:straight", "the tests")
    log = drive.run("constant", straight("tiny/a", expert=False), start=0.5)
    assert log.header["lead"]["driver"] == "idm"
    assert np.array_equal(log.ego[:6], log.expert[:6])


HOOK = """
import sys

def hook():
    here = sys._getframe(1).f_locals
    line = f"{{here['observation'].time:.1f}} {{type(here['session']).__name__}} {{here['task'].dt}}\\n"
    with open({file!r}, "a") as file:
        file.write(line)
"""


@pytest.mark.parametrize("of_log", [True, False])
def test_debug_stops_once_right_before_the_call(
    of_log: bool, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    name = f"scripted_hook_{of_log}"
    (tmp_path / f"{name}.py").write_text(HOOK.format(file=str(told)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONBREAKPOINT", f"{name}.hook")
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)  # pytest has one of its own
    what = [recorded] if of_log else [SCENE, "--planner", "pdm"]
    assert run(*what, "--from", 3, "--debug", "--out", tmp_path) == 0
    assert told.read_text() == "3.0 PDMSession 0.1\n"


def test_leaving_the_debugger_is_no_result(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leaving_hook.py").write_text("import bdb\ndef hook():\n    raise bdb.BdbQuit\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONBREAKPOINT", "leaving_hook.hook")
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    assert run(recorded, "--from", 3, "--debug", "--out", tmp_path / "out") == 1
    assert "the debugger was left before the planner answered" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def from_a_file(tmp_path: Path) -> tuple[Path, Path]:
    """A CommonRoad file in a folder, and a run of it in another."""
    text = import_target(str(TEXT) + ":document", "the tests")
    lane = import_target(str(TEXT) + ":lanelet", "the tests")
    problem = import_target(str(TEXT) + ":problem", "the tests")
    folder = tmp_path / "maps"
    folder.mkdir()
    file = folder / "scene.xml"
    file.write_text(text(lane("1", 0.0, 300.0, 0.0, 3.0) + problem()))
    log = drive.run("idm", f"{file}#9", scores=())
    (tmp_path / "runs").mkdir()
    return file, log.save(tmp_path / "runs" / "idm.drive.npz")


def test_the_scenario_is_found_or_asked_for(
    from_a_file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, path = from_a_file
    log = RunLog.load(path)
    assert str(tmp_path) not in json.dumps(log.header)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"'scene.xml#9' \(from scene.xml\) is not here.*--scenario FILE"):
        find_scenario(log, None, path.parent)
    hashes = {
        find_scenario(log, ref, path.parent).content_hash
        for ref in (str(file), f"{file}#9", str(file.parent), "maps")
    }
    assert hashes == {log.header["scenario"]["hash"]}
    shutil.copy(file, path.parent)
    assert find_scenario(log, None, path.parent).content_hash in hashes
    monkeypatch.chdir(file.parent)
    assert find_scenario(log, None, tmp_path).content_hash in hashes


def test_a_moment_of_a_file(
    from_a_file: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, path = from_a_file
    assert run(path, "--from", 1, "--scenario", file, "--out", tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["repeated"]


def mistakes() -> list[tuple[list[Any], str]]:
    return [
        (["RUN"], "say which by --from T"),
        (["RUN", "--from", 99], "--from must lie between 0 and 14.9 s, not at 99"),
        (["RUN", "--from", -1], "--from must lie between 0 and 14.9 s, not at -1"),
        (["RUN", "--from", "nan"], "--from must lie between"),
        (["RUN", "--from", 3, "--traffic", "log"], "no --traffic"),
        (["RUN", "--from", 3, "--scenario", "gen/cut_in/3"], "has other road users or another clock"),
        (["RUN", "--from", 3, "--scenario", "nowhere.xml"], "there is no scenario 'nowhere.xml'"),
        (["RUN", "--from", 3, "--planner", "pdn"], "did you mean 'pdm'"),
        (["RUN", "--from", 3, "--set", "idm.headway=1"], "unknown planner in --set 'idm'"),
        (["RUN", "--from", 3, "--set", "pdm.offset=1"], "did you mean 'offsets'"),
        (["nowhere.drive.npz", "--from", 3], "nowhere.drive.npz: no such file"),
        ([SCENE], "--planner P"),
        ([SCENE, "--planner", "idm", "--debug"], "give it by --from T"),
        ([SCENE, "--planner", "idm", "--scenario", "x"], "--scenario goes with a run log"),
        ([SCENE, "--planner", "idm", "--from", 15], "--from must lie between 0 and 14.9 s, not at 15"),
    ]


@pytest.mark.parametrize(("arguments", "message"), mistakes())
def test_mistakes_are_told_in_one_line(
    arguments: list[Any], message: str, recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(recorded if a == "RUN" else a for a in arguments)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert message in shown.err


def test_a_planner_of_a_file_is_asked_for(
    learns: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(learns[1], "--from", 3) == 1
    assert "'learns' is not installed: say where it is, --planner FILE.py:NAME" in capsys.readouterr().err
