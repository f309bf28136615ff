"""What README and docs show is what the examples hold, and all of it runs."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import drive
from drive import registry
from drive.cli.main import run
from drive.datasets import source
from drive.errors import DriveError, InputError
from drive.runlog import RunLog
from drive.sim.traffic import load_traffic

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PACKAGE = EXAMPLES / "02_my_planner"
PLANNER = PACKAGE / "my_planner.py"
DOCS = (ROOT / "docs" / "planners.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def test_readme_and_docs_show_the_example_as_it_is() -> None:
    shown = [block.strip() for block in blocks((ROOT / "README.md").read_text(), "python")]
    assert PLANNER.read_text().strip() in shown
    assert f"# my_planner.py\n{PLANNER.read_text()}" in blocks(DOCS, "python")


def test_the_planner_has_twenty_lines_of_its_own() -> None:
    code = PLANNER.read_text().partition('."""\n')[2]
    assert len([line for line in code.splitlines() if line]) <= 20


def test_examples_are_numbered_and_short() -> None:
    names = sorted(path.name for path in EXAMPLES.iterdir() if path.name not in ("__pycache__", "baselines"))
    assert [name[:3] for name in names] == [f"{k:02d}_" for k in range(1, len(names) + 1)]
    for script in EXAMPLES.glob("*.py"):
        lines = [line for line in script.read_text().splitlines() if line.strip()]
        assert len(lines) <= 62, script.name


def play(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Run a script as its reader would, in a folder of its own; what it prints."""
    monkeypatch.chdir(folder)
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capfd.readouterr().out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_first_benchmark(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = play("01_first_benchmark.py", monkeypatch, folder, capfd).splitlines()
    means = {line.split()[0]: float(line.split()[1]) for line in shown[:3]}
    assert means["constant"] < means["idm"] <= 1.0
    assert shown[3].startswith("pdm is worst in gen/")
    assert shown[-1] == "report: out/first/report.html"
    assert (folder / "out/first/report.html").is_file()


def test_my_metric(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    shown = play("03_my_metric.py", monkeypatch, folder, capfd)
    results = json.loads((folder / "out/metric/results.json").read_text())
    assert list(results["scores"]) == ["nuplan_cls", "gentle"]
    assert str(EXAMPLES) not in json.dumps(results["scores"])
    for planner in results["planners"]:
        assert f"'gentle': {round(planner['scores']['gentle']['mean'], 3)}" in shown
        for row in planner["scenarios"]:
            m = row["metrics"]
            assert m["gentle"] == pytest.approx(m["no_hard_braking"] * m["no_jerk"])


def test_my_scenes(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    play("04_my_scenes.py", monkeypatch, folder, capfd)
    results = json.loads((folder / "out/street/results.json").read_text())
    scenes = [row["id"] for row in results["planners"][0]["scenarios"]]
    assert scenes == ["street/6", "street/9", "street/12"]
    assert all(row["valid"] for planner in results["planners"] for row in planner["scenarios"])


def test_compare_two_planners(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = play("05_compare_two_planners.py", monkeypatch, folder, capfd).splitlines()
    assert [line.split(":")[0] for line in shown[:2]] == ["pdm - idm", "idm - idm-2"]
    assert "over 8 scenes" in shown[0]
    # The command that it prints makes the page that it promises.
    assert run(shlex.split(shown[-1])[1:]) == 0
    assert (folder / "out/compare/both.html").is_file()


def test_learn_to_drive(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = play("06_learn_to_drive.py", monkeypatch, folder, capfd).splitlines()
    means = [float(m.group(1)) for line in shown if (m := re.match(r"generation .*mean +(\S+),", line))]
    assert len(means) == 20
    assert means[-1] > means[0] + 10.0
    returns = [float(m.group(1)) for line in shown if (m := re.search(r"other scenes: (\S+),", line))]
    assert returns[1] > returns[0] + 5.0


def test_my_traffic(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    shown = play("07_my_traffic.py", monkeypatch, folder, capfd).splitlines()
    assert [line.split()[0] for line in shown] == ["idm", "hurried"]
    ours, theirs = (
        sorted((folder / "out/traffic" / name).rglob("*unprotected_left*.drive.npz"))
        for name in ("idm", "hurried")
    )
    assert len(ours) == len(theirs) == 6
    # The same scenes, driven otherwise by the others.
    one, other = RunLog.load(ours[0]), RunLog.load(theirs[0])
    assert one.header["scenario"]["id"] == other.header["scenario"]["id"]
    assert one.header["traffic"] == "idm"
    assert other.header["traffic"] == "hurried"
    assert not np.array_equal(one.agents, other.agents)


def test_own_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    name = f"exec:{shlex.join((sys.executable, str(EXAMPLES / '08_own_process.py')))}"
    log = drive.run(name, "gen/stop_for_lead/1")
    assert log.header["planner"]["name"] == "keep_lane"
    assert log.header["failure"] is None
    assert log.header["scores"]["nuplan_cls"]["score"] > 0.3


def test_traffic_of_a_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("LOUD = 3\n")
    with pytest.raises(InputError, match="is of type int, not a TrafficModel"):
        load_traffic(f"{file}:LOUD")
    with pytest.raises(DriveError, match="QUIET"):
        load_traffic(f"{file}:QUIET")


def test_the_docs_of_learning_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "learning.md").read_text()
    code = blocks(text, "python")
    assert len(code) == 5
    for extra, word in (("torch", "import torch"), ("gymnasium", "drive.sim.gym")):
        if importlib.util.find_spec(extra) is None:
            code = [block for block in code if word not in block]
    (tmp_path / "learning.py").write_text("\n".join(code))
    runpy.run_path(str(tmp_path / "learning.py"))


def test_a_data_source_becomes_known_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(EXAMPLES / "04_my_scenes.py", tmp_path / "my_scenes.py")
    about = tmp_path / "my_scenes-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-scenes\nVersion: 0.1\n")
    text = (tmp_path / "my_scenes.py").read_text()
    (line,) = re.findall(r'\[project\.entry-points\."drive\.datasets"\] (.*)', text)
    name, target = line.replace('"', "").split(" = ")
    (about / "entry_points.txt").write_text(f"[drive.datasets]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    for cache in (registry.entries, source._installed):
        cache.cache_clear()
    try:
        assert run(["run", "street/9", "--planner", "idm", "--out", str(tmp_path / "out"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["scenario"] == "street/9"
        assert source.expand(["street/*"]) == ["street/6", "street/9", "street/12"]
    finally:
        for cache in (registry.entries, source._installed):
            cache.cache_clear()
        sys.modules.pop("my_scenes", None)


def test_the_package_is_found_once_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    copy, place = tmp_path / "package", tmp_path / "site"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    offline = ["--no-index", "--no-build-isolation", "--root-user-action=ignore"]
    subprocess.run([*pip, *offline, "--target", str(place), str(copy)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{ROOT}"}

    def command(*arguments: str) -> str:
        line = [sys.executable, "-m", "drive", *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True, env=environment).stdout

    rows = {row["name"]: row for row in json.loads(command("list", "planners", "--json"))}
    assert rows["careful"] == {
        "name": "careful",
        "summary": "Keeps the lane at the speed limit and brakes for whatever stands ahead.",
        "target": "my_planner:careful",
        "distribution": "my-planner",
        "version": "0.1.0",
    }
    assert {"constant", "idm", "pdm", "log"} < set(rows)
    report = json.loads(command("check", "careful", "--json"))
    assert report["ok"]
    assert not [f for f in report["findings"] if f["status"] == "warn"]


def test_the_docs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(DOCS, "python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, "a block of the docs begins with the name of its file"
        Path(name.group(1)).write_text(block)
    commands = [line for block in blocks(DOCS, "sh") for line in block.splitlines()]
    assert len(commands) >= 7
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "drive"
        assert run(words[1:]) == 0, line
    shown = capfd.readouterr().out
    assert "careful passes 22 checks, " in shown
    assert "steady passes 22 checks, " in shown
    assert "the plan is the recorded one" in shown
    test = runpy.run_path("test_steady.py")
    test["test_it_keeps_the_contract"]()


@pytest.mark.parametrize(
    "line",
    sorted({m.group(1) for m in re.finditer(r"^ {4}drive (\w+)", (ROOT / "README.md").read_text(), re.M)}),
)
def test_the_commands_of_the_readme_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([line, "--help"]) == 0
    assert "Usage: drive" in capsys.readouterr().out
