"""What `drive perf --planners` times: the whole `plan()` of planners, with settings, on one core.

A planner first drives a scene, and the observations of that closed loop are then given to new sessions of
it again, in their order: so a warm start is as good as it is in a drive. A planner that is not installed, or
lacks a setting, or cannot drive the scene is told in a line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.errors import DriveError, UnknownNameError
from drive.eval import perf
from drive.eval.bench.assemble import machine, versions
from drive.eval.perf_drives import replayed
from drive.eval.perf_scenes import AGENTS, DT, STEPS, Recorder, busy_road
from drive.eval.perf_table import WIDE, seconds
from drive.sim.loop import simulate

if TYPE_CHECKING:
    from drive.scenario import Scenario

CYCLES = 300
"""Calls that a row has at least; those of the first pass warm up and do not count."""
QUANTILES = (50, 95, 99)
ROAD = f"{STEPS * DT:g} s on a busy road, {AGENTS} others"


@dataclass(frozen=True, slots=True)
class PlannerRow:
    """A planner with settings in a scene: the busy road, or the scenario that `ref` names.

    `first`: only the first call of a session counts, for planners that think once and then follow.
    """

    name: str
    planner: str
    settings: Mapping[str, object] = field(default_factory=dict)
    ref: str = ""
    about: str = ROAD
    first: bool = False


def _cpto(branches: int, obstacles: int, steps: int, iterations: int) -> dict[str, object]:
    return {"branches": branches, "obstacles": obstacles, "steps": steps, "iterations": iterations}


def _field(restart: bool) -> dict[str, object]:
    return {"particles": 20, "generations": 20, "restart": restart}


_LUNAR = "the first plan on gen/lunar_reference/0, start() of the session not counted"
ROWS = (
    PlannerRow("idm", "idm"),
    PlannerRow("pdm", "pdm"),
    PlannerRow("mpc", "mpc"),
    PlannerRow("cpto 5x6x50", "cpto", _cpto(5, 6, 50, 20), about=f"20 iterations; {ROAD}"),
    PlannerRow("cpto 2x4x40", "cpto", _cpto(2, 4, 40, 20), about=f"20 iterations; {ROAD}"),
    PlannerRow("cpto 2x4x40, 40", "cpto", _cpto(2, 4, 40, 40), about=f"40 iterations; {ROAD}"),
    PlannerRow("field 20x20", "field", _field(False), about=f"one swarm; {ROAD}"),
    PlannerRow("field 20x20, restart", "field", _field(True), about=f"a second swarm where asked; {ROAD}"),
    PlannerRow("rover 16 pieces", "rover", {"max_pieces": 16}, "gen/lunar_reference/0", _LUNAR, True),
)
"""What is asked of the toolkit's own planners; others that are installed follow with their usual settings."""


def planner_table(rows: Sequence[PlannerRow] = ROWS, others: bool = True) -> list[PlannerRow]:
    """The rows, and one for each other planner that is installed and not privileged."""
    known = {row.planner for row in rows}
    more = [name for name in registry.names("drive.planners") if name not in known] if others else []
    return [*rows, *(PlannerRow(name, name) for name in more if not _privileged(name))]


def measure(
    rows: Sequence[PlannerRow],
    only: Sequence[str] = (),
    note: Callable[[str], None] = lambda line: None,
    cycles: int = CYCLES,
) -> dict[str, Any]:
    """Time the rows, or those in `only` (their name, or their planner's), pinned to one core.

    The result is what `--json` has: beside the usual, percentiles of process and wall time in s, and under
    "absent" what could not be timed and why. Raises UnknownNameError for a name that no row has.
    """
    names = {row.name for row in rows} | {row.planner for row in rows}
    for name in only:
        if name not in names:
            raise UnknownNameError("row", name, names)
    shown, absent = [], []
    with pinned() as core:
        for row in rows:
            if only and row.name not in only and row.planner not in only:
                continue
            note(f"timing {row.name}")
            try:
                shown.append(_timed(row, cycles))
            except DriveError as error:
                absent.append({"name": row.name, "reason": str(error)})
    return {
        "schema": perf.SCHEMA,
        "machine": machine(),
        "versions": versions(),
        "core": core,
        "rows": shown,
        "absent": absent,
    }


@contextmanager
def pinned() -> Iterator[int | None]:
    """Keep this thread on one of its cores, where the system allows it; the core's number."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)


def lines(found: dict[str, Any]) -> list[Any]:
    """What is printed: the machine, the table, and what could not be timed."""
    from rich.markup import escape
    from rich.table import Table

    host = found["machine"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("planner", no_wrap=True)
    for head in ("process time", "95 %", "99 %", "wall time", "95 %", "99 %", "calls"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in found["rows"]:
        values = [seconds(row[clock][f"p{q}"]) for clock in ("cpu", "wall") for q in QUANTILES]
        table.add_row(escape(row["name"]), *values, str(row["repeats"]), escape(row["about"]))
    where = "one core" if found["core"] is None else "pinned to one core"
    told = [
        f"{host['cpu']}, {host['cores']} cores, {host['system']}; {where}, medians and percentiles",
        table,
    ]
    return [*told, *(escape(f"{item['name']}: {item['reason']}") for item in found["absent"])]


def printed(found: dict[str, Any]) -> str:
    """The table as text."""
    from rich.console import Console

    text = StringIO()
    console = Console(file=text, width=WIDE, color_system=None)
    for line in lines(found):
        console.print(line, highlight=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _timed(row: PlannerRow, cycles: int) -> dict[str, Any]:
    recorder = Recorder(registry.load_planner(row.planner, row.settings))
    log = simulate(_scene(row.ref), recorder)
    if log.header["failure"] is not None:
        raise DriveError(f"it fails in the scene: {log.header['failure']['reason']}")
    times = replayed(recorder, cycles, row.first)
    cpu, wall = np.asarray(times.cpu), np.asarray(times.wall)
    low, high = np.percentile(cpu, (25, 75))
    middle = float(np.median(cpu))
    return {
        "name": row.name,
        "planner": row.planner,
        "settings": dict(row.settings),
        "unit": "call",
        "about": row.about,
        "threads": 1,
        "cpu_s": middle,
        "wall_s": float(np.median(wall)),
        "spread": 0.5 * float(high - low) / middle if middle > 0.0 else 0.0,
        "repeats": len(cpu),
        "cpu": {f"p{q}": float(np.percentile(cpu, q)) for q in QUANTILES},
        "wall": {f"p{q}": float(np.percentile(wall, q)) for q in QUANTILES},
    }


def _scene(ref: str) -> Scenario:
    if not ref:
        return busy_road(0)
    from drive.datasets.source import load

    return load(ref)


def _privileged(name: str) -> bool:
    """Whether a planner sees the future; one that cannot be made is told about when it is timed."""
    try:
        return registry.load_planner(name).spec.privileged
    except DriveError:
        return False
