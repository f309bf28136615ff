"""What of planners on terrain is timed: the first call, which finds the way, and those that follow."""

from __future__ import annotations

import time
from collections import defaultdict
from functools import lru_cache
from typing import Any

from drive import registry
from drive.datasets.generate import generate
from drive.errors import SimulationError
from drive.eval.bench.environment import ROAD, fits
from drive.eval.perf import Row, Times
from drive.eval.perf_scenes import Recorder
from drive.scenario import Scenario, Task
from drive.sim.loop import simulate

SCENE = ("lunar_reference", 0)
FINE = 0.86
"""Length in m of the pieces that makes the scene's way one of 48."""
CYCLES = 300
"""First calls that are timed, each of a fresh session."""


def drives_on_terrain(name: str) -> bool:
    """Whether a planner drives on terrain alone. Raises DriveError for one that does not exist."""
    return not fits(registry.load_planner(name).spec, ROAD)


def terrain_rows(name: str) -> list[Row]:
    """The first call of a planner with its parts, the calls after it, and a whole drive."""
    parts = tuple(getattr(type(_recorded(name).session), "parts", ()))
    about = f"gen/{SCENE[0]}/{SCENE[1]}"
    return [
        Row(
            f"{name}/first_call", "call", lambda: lambda: first_calls(name)[""],
            about=f"{CYCLES} times, {about}",
        ),
        *(
            Row(
                f"{name}/first_call/{part.lstrip('_')}", "call",
                lambda part=part: lambda: first_calls(name)[part],  # type: ignore[misc]
                about=f"{part} in it, wall clock",
            )
            for part in parts
        ),
        *(
            [
                Row(
                    f"{name}/fine/optimise", "call", lambda: lambda: first_calls(name, FINE)["_optimise"],
                    about="the same with three times as many pieces, wall clock",
                )
            ]
            if hasattr(getattr(_planner(name), "config", None), "piece_length")
            else []
        ),
        Row(f"{name}/call", "call", lambda: lambda: _later_calls(name), about="the calls after it"),
        Row(f"{name}/drive", "scenario", lambda: lambda: simulate(_scene(), _planner(name)), about=about),
    ]  # fmt: skip


@lru_cache(maxsize=4)
def first_calls(name: str, piece_length: float | None = None) -> dict[str, Times]:
    """Times of the first call of fresh sessions: whole ones under "", those of its parts by name."""
    observation = _recorded(name).observations[0]
    settings = {} if piece_length is None else {"piece_length": piece_length}
    planner = registry.load_planner(name, settings)
    cpu, held = [], defaultdict(list)
    for cycle in range(CYCLES + 3):
        session: Any = planner.start(Task.of(_scene()))
        spent: dict[str, float] = {}
        for part in getattr(session, "parts", ()):
            _time_part(session, part, spent)
        process, begin = time.process_time(), time.perf_counter()
        session.plan(observation)
        spent[""], used = time.perf_counter() - begin, time.process_time() - process
        if cycle >= 3:
            cpu.append(used)
            for part, seconds in spent.items():
                held[part].append(seconds)
    return {part: Times(values if part else cpu, values) for part, values in held.items()}


def _time_part(session: Any, part: str, spent: dict[str, float]) -> None:
    method = getattr(session, part)

    def timed(*arguments: Any) -> Any:
        begin = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - begin

    setattr(session, part, timed)


def _later_calls(name: str) -> Times:
    recorded = _recorded(name)
    session = recorded.planner.start(Task.of(_scene()))
    cpu, wall = [], []
    for number, observation in enumerate(recorded.observations):
        process, begin = time.process_time(), time.perf_counter()
        session.plan(observation)
        if number:
            wall.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - process)
    return Times(cpu, wall)


@lru_cache(maxsize=1)
def _scene() -> Scenario:
    return generate(*SCENE)


@lru_cache(maxsize=8)
def _planner(name: str) -> Any:
    return registry.load_planner(name)


@lru_cache(maxsize=4)
def _recorded(name: str) -> Recorder:
    recorder = Recorder(_planner(name))
    log = simulate(_scene(), recorder)
    if log.header["failure"] is not None:
        raise SimulationError(f"{name} cannot be timed: {log.header['failure']['reason']}")
    return recorder
