"""What of planners, the closed loop and the start of the command is timed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from drive import registry
from drive.errors import SimulationError
from drive.eval.perf import Row, Times
from drive.eval.perf_scenes import AGENTS, DT, STEPS, Recorder, batch_world, busy_road
from drive.sim.kernels.layout import Controller
from drive.sim.loop import simulate
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import load_traffic
from drive.sim.world import step

REPEATS = 7


def planner_rows(name: str) -> list[Row]:
    """One call of a planner with its parts, and a whole scenario with and without metrics.

    Raises DriveError for a planner that does not exist.
    """
    about = f"{STEPS * DT:g} s, {AGENTS} agents"
    parts = tuple(getattr(type(_recorded(name).session), "parts", ()))
    return [
        Row(f"{name}/call", "call", lambda: lambda: call_times(name)[""], about=f"of {STEPS} in {about}"),
        *(
            Row(
                f"{name}/call/{part.lstrip('_')}", "call",
                lambda part=part: lambda: call_times(name)[part],  # type: ignore[misc]
                about=f"{part} in a call, wall clock",
            )
            for part in parts
        ),
        Row(
            f"{name}/loop_call", "call", lambda: lambda: _latencies(name),
            about="in the closed loop itself, wall clock",
        ),
        Row(f"{name}/drive", "scenario", lambda: lambda: simulate(busy_road(0), _planner(name)), about=about),
        Row(f"{name}/metrics", "scenario", lambda: _metrics(name), about=f"nuplan_cls of {about}"),
        Row(f"{name}/total", "scenario", lambda: _total(name), about=f"drive and metrics, {about}"),
    ]  # fmt: skip


def loop_rows() -> list[Row]:
    """What of a scenario is the traffic's: making its world, and stepping it alone."""
    idm = load_traffic("idm")
    road = busy_road(0)

    def steps() -> Callable[[], Any]:
        start = batch_world(1)

        def work() -> None:
            world = step(start)
            for _ in range(STEPS - 1):
                world = step(world, out=world)

        return work

    return [
        Row(
            "loop/cast", "scenario", lambda: lambda: cast(road, idm, {road.ego: Controller.IDM}),
            about=f"paths and drivers of {AGENTS} agents",
        ),
        Row("loop/steps", "scenario", steps, about=f"{STEPS} steps of one world, {AGENTS + 1} agents"),
    ]  # fmt: skip


def start_rows(cold: bool = False) -> list[Row]:
    """Fresh processes; with `cold` also the first calls with an empty cache of compiled kernels."""
    rows = [
        Row(
            "start/import", "start", lambda: lambda: start_times(["-c", "import drive"]),
            about="import drive",
        ),
        Row(
            "start/help", "start", lambda: lambda: start_times(["-m", "drive", "--help"]),
            about="drive --help",
        ),
        *(
            Row(
                f"start/{name}", "start", lambda code=code: lambda: start_times(["-c", code]),  # type: ignore[misc]
                about=f"{about}, kernels in the cache",
            )
            for name, about, code in _FIRST_CALLS
        ),
    ]  # fmt: skip
    if cold:
        rows += [
            Row(
                f"start/{name}_cold", "start",
                lambda code=code: lambda: start_times(["-c", code], 1, empty=True),  # type: ignore[misc]
                about=f"{about}, all compiled",
            )
            for name, about, code in _FIRST_CALLS
        ]  # fmt: skip
    return rows


_FIRST_CALLS = (
    (
        "candidates",
        "first scene, roll-out and score",
        "from drive.eval.perf_rows import judge, roll; roll(8)(); judge(8, 8)()",
    ),
    (
        "worlds",
        "first world of traffic and its step",
        "from drive.eval.perf_rows import advance; advance(1, 1, 'IDM', repeats=0)",
    ),
)


def start_times(arguments: Sequence[str], repeats: int = REPEATS, empty: bool = False) -> Times:
    """Times of a fresh Python that runs `arguments`, `empty` with a cache folder of its own."""
    cpu, wall = [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + (not empty)):
            cache = {"DRIVE_CACHE_DIR": str(Path(folder, str(repeat)))} if empty else {}
            before, begin = os.times(), time.perf_counter()
            subprocess.run(
                [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=os.environ | cache
            )
            clock, after = time.perf_counter() - begin, os.times()
            used = after.children_user + after.children_system
            used -= before.children_user + before.children_system
            if repeat or empty:  # the first one fills the file system's cache
                cpu.append(used)
                wall.append(clock)
    return Times(cpu, wall)


@lru_cache(maxsize=4)
def call_times(name: str) -> dict[str, Times]:
    """Times of a planner's calls: under "" whole ones, under the names of its session's `parts` those.

    The calls of one scenario are made again on the observations of its closed loop. A part is timed by
    the wall clock around its method; process time takes too long to read for that.
    """
    recorded = _recorded(name)
    assert recorded.task is not None
    calls = len(recorded.observations)
    whole = replayed(recorded, REPEATS * calls)
    times = {"": Times(np.reshape(whole.cpu, (REPEATS, calls)).mean(axis=1).tolist(), whole.wall)}
    held: dict[str, list[float]] = defaultdict(list)
    for _ in range(REPEATS):
        session = recorded.planner.start(recorded.task)
        spent: dict[str, float] = {}
        for part in getattr(session, "parts", ()):
            setattr(session, part, _timed(getattr(session, part), part, spent))
        for observation in recorded.observations:
            spent.clear()
            session.plan(observation)
            for part in getattr(session, "parts", ()):
                held[part].append(spent.get(part, 0.0))
    return times | {part: Times(values, values) for part, values in held.items()}


def replayed(recorded: Recorder, least: int, first: bool = False) -> Times:
    """Times of a recorded planner's calls in new sessions, whole passes until there are `least` of them.

    A first pass warms up. With `first`, only the first call of each session is made.
    """
    assert recorded.task is not None
    observations = recorded.observations[:1] if first else recorded.observations
    cpu: list[float] = []
    wall: list[float] = []
    for repeat in range(math.ceil(least / len(observations)) + 1):
        session = recorded.planner.start(recorded.task)
        for observation in observations:
            process, begin = time.process_time(), time.perf_counter()
            session.plan(observation)
            clock, used = time.perf_counter() - begin, time.process_time() - process
            if repeat:
                cpu.append(used)
                wall.append(clock)
    return Times(cpu, wall)


def _timed(method: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        begin = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin

    return call


@lru_cache(maxsize=32)
def _planner(name: str) -> Any:
    return registry.load_planner(name)


@lru_cache(maxsize=4)
def _recorded(name: str) -> Recorder:
    """The planner after it has driven the busy road, with what it was asked. Raises what it failed with."""
    recorder = Recorder(_planner(name))
    log = simulate(busy_road(0), recorder)
    if log.header["failure"] is not None:
        raise SimulationError(f"{name} cannot be timed: {log.header['failure']['reason']}")
    return recorder


def _latencies(name: str) -> Times:
    logs = [simulate(busy_road(0), _planner(name)) for _ in range(REPEATS)]
    spent = [float(value) for log in logs for value in log.plan_latency]
    return Times(spent, spent)


def _metrics(name: str) -> Callable[[], Any]:
    score = registry.load("drive.metrics", "nuplan_cls")
    log = simulate(busy_road(0), _planner(name))
    return lambda: score.evaluate(log)


def _total(name: str) -> Callable[[], Any]:
    score = registry.load("drive.metrics", "nuplan_cls")
    scenario, planner = busy_road(0), _planner(name)
    return lambda: score.evaluate(simulate(scenario, planner))
