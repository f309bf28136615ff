"""The command line's shell: its list of commands, its errors and its exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from drive import __version__
from drive.cli import list as listing
from drive.cli import main

FAKE = '''
from drive.errors import InputError

def fine(count: int = 1):
    """Say fine."""
    print("fine " * count)

def refuse():
    raise InputError("the file is empty;\\n  give another")

def lost():
    open("/nowhere/at/all")

def interrupted():
    raise KeyboardInterrupt

def bug():
    raise ZeroDivisionError
'''


@pytest.fixture(autouse=True)
def fake_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "fake.py"
    file.write_text(FAKE)
    for name in ("fine", "refuse", "lost", "interrupted", "bug"):
        monkeypatch.setitem(main.COMMANDS, name, (f"{file}:{name}", "For the tests."))
    monkeypatch.setitem(main.COMMANDS, "unwritten", ("drive.cli.unwritten:command", "Not there."))
    monkeypatch.delenv("DRIVE_TRACEBACK", raising=False)
    return file


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, line) in main.COMMANDS.items():
        assert name in shown
        assert line in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"drive {__version__}\n"


def test_a_command_runs_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fine", "--count", "2"]) == 0
    assert capsys.readouterr().out.split() == ["fine", "fine"]


def test_a_command_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fine", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "drive fine" in shown
    assert "Say fine." in shown


@pytest.mark.parametrize(
    ("arguments", "status", "parts"),
    [
        (["benhc"], 2, ["unknown command 'benhc'", "did you mean 'bench'?"]),
        (["refuse"], 1, ["error: the file is empty; give another"]),
        (["lost"], 1, ["/nowhere/at/all"]),
        (["interrupted"], 130, ["interrupted"]),
        (["unwritten"], 1, ["'unwritten'", "drive.cli.unwritten"]),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], status: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("drive: ")
    for part in parts:
        assert part in shown.err


@pytest.mark.parametrize("arguments", [["--nope"], ["fine", "--nope"], ["fine", "--count", "x"]])
def test_misuse_has_status_two(arguments: list[str]) -> None:
    assert main.run(arguments) == 2


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        main.run(["bug"])


def test_a_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_TRACEBACK", "1")
    with pytest.raises(main.DriveError):
        main.run(["refuse"])


def test_a_reader_that_goes_away_is_no_crash(fake_commands: Path) -> None:
    code = (
        "import sys; from drive.cli import main\n"
        f"main.COMMANDS['fine'] = ({f'{fake_commands}:fine'!r}, '')\n"
        "sys.exit(main.run(['fine', '--count', '100000']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() != 0
    assert errors == ""


@pytest.mark.parametrize("kind", sorted(listing.KINDS))
def test_list_as_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    for row in rows:
        assert set(row) == {"name", "summary", "target", "distribution", "version"}


def test_list_as_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    row = listing.Row("mine", "A [bold] planner.", "pack:Mine", "pack", "1.0")
    monkeypatch.setattr(listing, "rows_of", lambda kind: [row])
    assert main.run(["list", "planners"]) == 0
    assert "A [bold] planner." in capsys.readouterr().out


def test_list_suggests_the_nearest_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["list", "planer"]) == 2
    assert "planners" in capsys.readouterr().err


def test_a_summary_is_read_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = '"""Of the module."""\nraise ImportError\nclass Mine:\n    """Of the class.\n\n    More."""\n'
    (tmp_path / "not_to_be_imported.py").write_text(text)
    assert listing.summary_of("not_to_be_imported:Mine") == "Of the class."
    assert listing.summary_of("not_to_be_imported:OTHER") == "Of the module."
    assert "missing" in listing.summary_of("there_is_no_such_package.inside:Mine")
    assert "not_to_be_imported" not in sys.modules


def test_what_a_planner_prints_is_not_among_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = tmp_path / "loud.py"
    loud.write_text(
        "import numpy as np\n"
        "from drive.planner import Plan, planner\n"
        "@planner(horizon=1.0)\n"
        "def loud(observation, task):\n"
        "    print('thinking')\n"
        "    return Plan.from_poses(observation, np.tile(observation.ego[:3], (10, 1)))\n"
    )
    command = ["run", "gen/stop_for_lead/3", "--planner", f"{loud}:loud", "--out", str(tmp_path), "--json"]
    assert main.run(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["planner"]["name"] == "loud"
    assert "thinking" in said.err
