"""A benchmark that is killed again and again: does it end with what an undisturbed one finds?"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drive.errors import DriveError
from drive.eval.bench.journal import NAME, RESULTS
from drive.eval.hardness.memory import children_of

VICTIMS = ("all", "command", "worker")
"""Who is killed: the command with its workers at once, the command alone, or one of the workers."""
TIMES = ("latency_ms", "latency_histogram_ms", "wall_s", "cpu_s", "command", "machine")
"""What of results differs from run to run of itself."""


@dataclass(frozen=True, slots=True)
class Killed:
    """How a benchmark fared: kills by victim, how many drives were done at each, and whether its results and
    run logs are those of an undisturbed one."""

    kills: Counter[str]
    done: tuple[int, ...]
    starts: int
    drives: int
    equal: bool
    logs_equal: bool
    seconds: float

    def row(self) -> str:
        """One line of a table."""
        told = ", ".join(f"{self.kills[victim]} of {victim}" for victim in VICTIMS)
        same = "equal" if self.equal else "DIFFERENT"
        logs = "equal" if self.logs_equal else "DIFFERENT"
        return (
            f"{sum(self.kills.values())} kills ({told}) in {self.starts} starts of {self.drives} drives, "
            f"{len(set(self.done))} different numbers of them done: results {same}, run logs {logs}; "
            f"{self.seconds:.0f} s"
        )


def kill_often(
    times: int,
    out: Path,
    scenes: list[str],
    seed: int = 0,
    planners: tuple[str, ...] = ("constant", "idm"),
    note: Callable[[str], None] = lambda line: None,
) -> Killed:
    """Kill a benchmark of two workers `times` times at random moments, resume it each time, and compare.

    Where it is done before all kills were made, it begins anew in another folder. Raises DriveError where the
    undisturbed benchmark fails, or one that was resumed ends with an error.
    """
    rng = random.Random(seed)
    began = time.monotonic()
    whole, log = out / "undisturbed", out / "said.log"
    out.mkdir(parents=True, exist_ok=True)
    if _start(scenes, whole, planners, log, "--force").wait():
        raise DriveError(f"the undisturbed benchmark failed: {log.read_text(encoding='utf-8')[-300:]}")
    kills: Counter[str] = Counter()
    done: list[int] = []
    starts, number, equal, logs = 0, 0, True, True
    while sum(kills.values()) < times:
        place, flag = out / f"killed-{number}", "--force"
        number += 1
        while True:
            process = _start(scenes, place, planners, log, flag)
            starts += 1
            flag = "--resume"
            if sum(kills.values()) < times:
                _await_moment(process, place, rng)
                drives, victim = _drives(place), rng.choices(VICTIMS, (6, 2, 2))[0]
                if process.poll() is None and _kill(process, victim, rng):
                    kills[victim] += 1
                    done.append(drives)
                    note(f"kill {len(done)} of {times}: {victim}, {drives} drives done")
            status = process.wait()
            _bury(process)
            if status == 0:
                break
            if status > 0:
                raise DriveError(f"a resumed benchmark failed: {log.read_text(encoding='utf-8')[-300:]}")
        equal &= without_times(_results(place)) == without_times(_results(whole))
        logs &= _logs(place) == _logs(whole)
    rows = sum(len(planner["scenarios"]) for planner in _results(whole)["planners"])
    return Killed(kills, tuple(done), starts, rows, equal, logs, time.monotonic() - began)


def without_times(data: Any) -> Any:
    """Results without what the clock says."""
    if isinstance(data, dict):
        return {key: without_times(value) for key, value in data.items() if key not in TIMES}
    return [without_times(item) for item in data] if isinstance(data, list) else data


def _start(
    scenes: list[str], out: Path, planners: tuple[str, ...], log: Path, flag: str
) -> subprocess.Popen[bytes]:
    chosen = [part for name in planners for part in ("--planner", name)]
    arguments = [
        sys.executable,
        "-m",
        "drive",
        "bench",
        *scenes,
        *chosen,
        "--jobs",
        "2",
        "--out",
        str(out),
        flag,
    ]
    with open(log, "ab") as file:
        return subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def _kill(process: subprocess.Popen[bytes], victim: str, rng: random.Random) -> bool:
    """Whether somebody was there to be killed."""
    try:
        if victim == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif victim == "command":
            os.kill(process.pid, signal.SIGKILL)
        else:
            workers = children_of(process.pid)
            if not workers:
                return False
            os.kill(rng.choice(workers), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _bury(process: subprocess.Popen[bytes]) -> None:
    """Wait until the workers of a killed command have left by themselves; who does not is a finding."""
    until = time.monotonic() + 60.0
    while time.monotonic() < until:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    raise DriveError("a worker outlived the command that was killed by more than a minute")


def _await_moment(process: subprocess.Popen[bytes], place: Path, rng: random.Random) -> None:
    """Until a random time after the start, or after some more drives: a third of the kills hit the start."""
    before, more = _drives(place), rng.randint(0, 4)
    until = time.monotonic() + (rng.uniform(0.1, 8.0) if rng.random() < 0.33 else 600.0)
    while process.poll() is None and time.monotonic() < until and _drives(place) < before + more + 1:
        time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.3))


def _drives(place: Path) -> int:
    try:
        return max((place / NAME).read_bytes().count(b"\n") - 1, 0)
    except OSError:
        return 0


def _results(place: Path) -> Any:
    return json.loads((place / RESULTS).read_text(encoding="utf-8"))


def _logs(place: Path) -> dict[str, dict[str, bytes]]:
    """All run logs but for what the clock says in them."""
    from drive.runlog import RunLog

    found = {}
    for path in sorted((place / "runs").rglob("*.drive.npz")):
        run = RunLog.load(path)
        found[str(path.relative_to(place))] = {
            "ego": run.ego.tobytes(),
            "agents": run.agents.tobytes(),
            "plans": run.plan_states.tobytes(),
            "header": json.dumps(without_times(run.header), sort_keys=True).encode(),
        }
    return found
