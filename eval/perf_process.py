"""What a planner's own process costs: calls that are answered at once, timed on the toolkit's side."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive import registry
from drive.eval.perf import Row, Times
from drive.eval.perf_learn import watched
from drive.eval.perf_scenes import AGENTS
from drive.planner import Plan, planner

if TYPE_CHECKING:
    from drive.planner import Observation, Planner
    from drive.scenario import Task

REPEATS = 5
PROGRAM = """
import drive_client
import numpy as np
POSES = np.zeros((40, 3))
drive_client.serve(lambda observation, task: POSES, name="at once", horizon=4.0)
"""
POSES = np.zeros((40, 3))


@planner(name="at once", horizon=4.0)
def at_once(observation: Observation, task: Task) -> Plan:
    """A planner that answers at once."""
    return Plan.from_poses(observation, POSES)


def process_rows() -> list[Row]:
    """A call into another process, less the same call inside."""
    what = f"{AGENTS} agents, a planner that answers at once"
    return [
        Row("process/inside", "call", lambda: lambda: ask_all(False), 1.0, f"{what}, in this process"),
        Row(
            "process", "call", lambda: lambda: ask_all(True), 1.0,
            f"{what}, in a process of its own: what that adds; wall: both processes", minus="process/inside",
        ),
    ]  # fmt: skip


def ask_all(outside: bool) -> Times:
    """Times of calls over some seconds of a drive; the first pass warms up."""
    task, observations = watched()
    cpu, wall = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "at_once.py"
        path.write_text(PROGRAM)
        name = f"exec:{shlex.join((sys.executable, str(path)))}"
        asked: Planner = registry.load_planner(name) if outside else at_once
        for repeat in range(REPEATS + 1):
            session = asked.start(task)
            for observation in observations:
                process, clock = time.process_time(), time.perf_counter()
                session.plan(observation)
                if repeat:
                    cpu.append(time.process_time() - process)
                    wall.append(time.perf_counter() - clock)
    return Times(cpu, wall)
