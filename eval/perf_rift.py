"""What of the learned traffic is timed: decisions of one scene's vehicles, and many worlds driven by them."""

from __future__ import annotations

import time
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.perf import Row, Times
from drive.eval.perf_scenes import busy_roads

if TYPE_CHECKING:
    from drive.sim.traffic.rift.worlds import Worlds

WORLDS, DRIVEN, STYLE = 64, 16, "interactive"
DECISIONS, REPEATS, CALLS = 10, 5, 25


def rift_rows() -> list[Row]:
    """Decisions and whole seconds under the traffic policy; nothing without torch."""
    if find_spec("torch") is None:
        return []
    about = f"x {DRIVEN} vehicles under rift:{STYLE}, the ego by IDM"
    return [
        Row(
            "rift", "world second", lambda: lambda: drive_batch(WORLDS), 1.0,
            f"{WORLDS} worlds {about}: a decision each 0.5 s, steps of 0.1 s",
        ),
        Row(
            "rift/decision", "decision", lambda: lambda: decide_once(), 1.0,
            f"one world {about}: a decision of all and the motion that follows",
        ),
    ]  # fmt: skip


@lru_cache(maxsize=2)
def _batch(worlds: int) -> tuple[Worlds, Any]:
    from drive.sim.traffic.rift.policy import Driver, load_policy
    from drive.sim.traffic.rift.worlds import Worlds

    roads = busy_roads(worlds, DRIVEN + 1)
    made = Worlds.of([roads[k % len(roads)] for k in range(worlds)])
    return made, Driver(load_policy(STYLE)[0])


def _threads(count: int) -> int:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    return before


def drive_batch(worlds: int) -> Times:
    """Times of a second of a world among `worlds` that are driven at once."""
    from drive.sim.traffic.rift.policy import drive_on

    start, driver = _batch(worlds)
    cpu, wall = [], []
    before = _threads(1)
    for repeat in range(REPEATS + 1):
        batch = start.fresh()
        process, clock = time.process_time(), time.perf_counter()
        batch.run(lambda f, crowd, paths, n: drive_on(f, driver.decide(f, crowd, paths)), decisions=DECISIONS)
        used = time.process_time() - process, time.perf_counter() - clock
        if repeat:  # the first one warms up
            cpu.append(used[0] / (0.5 * DECISIONS * worlds))
            wall.append(used[1] / (0.5 * DECISIONS * worlds))
    _threads(before)
    return Times(cpu, wall)


def decide_once() -> Times:
    """Times of a decision of one world's vehicles."""
    from drive.sim.traffic.rift.policy import drive_on

    start, driver = _batch(1)
    batch = start.fresh()
    crowd, cpu, wall = batch.crowd(), [], []
    before = _threads(1)
    for repeat in range(CALLS + 3):
        fleet = batch.fleet.take(np.arange(len(batch.fleet)))
        process, clock = time.process_time(), time.perf_counter()
        drive_on(fleet, driver.decide(fleet, crowd, batch.paths))
        used = time.process_time() - process, time.perf_counter() - clock
        if repeat >= 3:
            cpu.append(used[0])
            wall.append(used[1])
    _threads(before)
    return Times(cpu, wall)


__all__ = ["rift_rows"]
