"""Planners that harm their process, two benchmarks in a folder, disks that take no more, other locales."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drive._imports import import_target
from drive.errors import InputError
from drive.eval.bench import Options, Results, run_bench
from drive.eval.bench.journal import alone
from drive.eval.hardness.kills import without_times
from drive.sim.kernels.compile import cache_folder

FILE = Path(__file__).with_name("hard_planners.py")
scenes = import_target(f"{FILE}:scenes", "the tests")
HARMFUL = (
    "forks",
    "leaves_a_child",
    "eats_memory",
    "closes_its_output",
    "closes_everything",
    "recurses",
    "wanders",
)
ENDS = {
    "eats_memory": ("planner_error", "MemoryError"),
    "closes_everything": ("planner_error", ""),
    "deaf": ("planner_timeout", "no answer within 1 s"),
    "recurses": ("planner_error", "RecursionError"),
}


# Who answers, or ends, has time for it on a busy machine; who never does is not waited for.
@pytest.mark.parametrize(("harmful", "watchdog"), [(HARMFUL, 30.0), (("deaf",), 1.0)])
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits memory")
def test_what_a_planner_does_to_its_process_is_its_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harmful: tuple[str, ...], watchdog: float
) -> None:
    """Each ends alone, the good one is not touched, and no answer of a forked copy is taken for another's.

    That a process has ended is seen although a program that it started lives on.
    """
    monkeypatch.chdir(tmp_path)
    names = ("good", *harmful)
    options = Options(
        planners=[f"{FILE}:{name}" for name in names],
        scenarios=scenes(2),
        jobs=1,
        watchdog=watchdog,
        out="here",
        traffic="log",
    )
    results = run_bench(options)
    assert results.data["dropped"] == []
    good = results.values("good")
    for name in harmful:
        kind, reason = ENDS.get(name, (None, None))
        for row in results.planner(name)["scenarios"]:
            assert row["failure"] == kind, (name, row["reason"])
            if kind is None:
                assert row["metrics"]["nuplan_cls"] == good[row["id"]]
                assert results.run_log(name, row["id"]).header["scenario"]["id"] == row["id"]
            else:
                assert reason in row["reason"]


def test_a_second_benchmark_in_a_folder_is_told(tmp_path: Path) -> None:
    options = Options(planners=[f"{FILE}:good"], scenarios=scenes(1), jobs=1, out=tmp_path, traffic="log")
    with alone(tmp_path), pytest.raises(InputError, match="another benchmark is at work in"):
        run_bench(options)
    assert list(tmp_path.iterdir()) == []
    assert run_bench(options).data["suite"]["valid"] == 1


def benched(out: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    arguments = [
        sys.executable, "-m", "drive", "bench", "gen/stop_for_lead/3", "--planner", "constant", "--jobs", "1",
        "--out", str(out), *more,
    ]  # fmt: skip
    return subprocess.run(arguments, env={**os.environ, **environment}, capture_output=True, timeout=300)


@pytest.fixture
def mounted(tmp_path: Path):
    """Mounts a small file system; skips where that is not allowed."""
    places = []

    def mount(*options: str) -> Path:
        place = tmp_path / f"mount{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()[:80]}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root of Linux can mount")
def test_a_disk_that_is_full_and_then_is_not(tmp_path: Path, mounted) -> None:
    place = mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs")
    full = benched(place / "out")
    assert full.returncode == 1
    assert b"No space left on device" in full.stderr.splitlines()[-1]
    assert b"Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=16m", str(place)], check=True)
    assert benched(place / "out", "--resume").returncode == 0
    whole = tmp_path / "whole"
    assert benched(whole).returncode == 0
    assert without_times(Results.load(place / "out").data) == without_times(Results.load(whole).data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root of Linux can mount")
def test_folders_that_cannot_be_written(tmp_path: Path, mounted) -> None:
    """The output is refused in one line; instead of a cache and a home there is a temporary folder."""
    place = mounted("-t", "tmpfs", "-o", "ro,size=64k", "tmpfs")
    refused = benched(place / "out")
    assert refused.returncode == 1
    assert b"Read-only file system" in refused.stderr.splitlines()[-1]
    assert b"Traceback" not in refused.stderr
    # With the kernels of others in it: to compile all again takes a minute.
    assert benched(tmp_path / "others").returncode == 0
    own = tmp_path / f"drive-toolkit-{os.getuid()}"
    own.mkdir(mode=0o700)
    (own / "kernels").symlink_to(cache_folder().parent)
    world = {"HOME": str(place), "XDG_CACHE_HOME": str(place), "TMPDIR": str(tmp_path)}
    poor = benched(tmp_path / "out", DRIVE_CACHE_DIR=str(place / "cache"), **world)
    assert poor.returncode == 0, poor.stderr
    assert b"compiling kernels" not in poor.stderr


@pytest.mark.slow
def test_locale_and_time_zone_change_nothing(tmp_path: Path) -> None:
    """Nor do they end a command whose words the terminal cannot show."""
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    worlds = (
        {},
        {**plain, "TZ": "Pacific/Chatham"},
        {"PYTHONIOENCODING": "cp1252", "TZ": "America/St_Johns"},
    )
    found = []
    for number, world in enumerate(worlds):
        done = benched(tmp_path / str(number), **world)
        assert done.returncode == 0, done.stderr
        report = (tmp_path / str(number) / "report.html").read_bytes().decode("utf-8")
        assert "constant" in report
        found.append(json.dumps(without_times(Results.load(tmp_path / str(number)).data), sort_keys=True))
    assert found[0] == found[1] == found[2]
