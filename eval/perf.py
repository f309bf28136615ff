"""`drive perf`: how fast the toolkit is on this machine.

A `Row` is one thing that is timed; the tables of rows are in `perf_rows` (kernels) and `perf_drives`
(planners, the closed loop, start-up). Every figure is a median of repeated calls after a warm-up, in
process time beside wall time: on a machine that others use as well the wall clock tells about them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.eval.bench.assemble import machine, versions

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "drive-perf/2"
BUDGET, LEAST, MOST = 1.0, 5, 40
"""Seconds that the repeats of a row may take, and how many there are at least and at most."""


@dataclass(frozen=True, slots=True)
class Times:
    """Process time and wall time in s of one unit of work: a value for each repeat."""

    cpu: Sequence[float]
    wall: Sequence[float]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to time.

    `prepare` builds what it needs and returns the work; the work does `count` units and is called until
    the medians are steady, or measures by itself and returns the `Times` of a unit. `minus` names a row
    whose time is taken off: a part that cannot run without it.
    """

    name: str
    unit: str
    prepare: Callable[[], Callable[[], Any]]
    count: float = 1.0
    about: str = ""
    minus: str = ""
    threads: int = 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure(
    rows: Iterable[Row], only: Sequence[str] = (), note: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Time the rows, or those of them named in `only` with their parts; the figures as `--json` has them.

    Raises UnknownNameError for a name that no row has.
    """
    table = list(rows)
    names = {row.name for row in table}
    for name in only:
        if not any(_is_part(row, name) for row in names):
            raise UnknownNameError("row", name, names | {row.partition("/")[0] for row in names})
    wanted = [row for row in table if not only or any(_is_part(row.name, name) for name in only)]
    bases = {row.minus for row in wanted if row.minus}
    found: dict[str, dict[str, Any]] = {}
    shown = []
    for row in table:
        if row not in wanted and row.name not in bases:
            continue
        note(f"timing {row.name}")
        found[row.name] = figures(row, found.get(row.minus))
        if row in wanted:
            shown.append(found[row.name])
    rates = {row["name"]: row["per_cpu_s"] for row in shown if row["unit"].endswith("-step")}
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "versions": versions(),
        "rows": shown,
        "agent_steps_per_cpu_s": rates,
    }


def _is_part(name: str, of: str) -> bool:
    return name == of or name.startswith(f"{of}/")


def figures(row: Row, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """Time one row: seconds of a unit, their spread, and units a second."""
    work = row.prepare()
    first = work()
    if isinstance(first, Times):
        cpu, wall = np.asarray(first.cpu), np.asarray(first.wall)
    else:
        cpu, wall = np.array(_repeat(work)).T / row.count
    middle, low, high = (float(np.percentile(cpu, q)) for q in (50, 25, 75))
    seconds, wall_seconds = middle, float(np.median(wall))
    if base is not None:
        seconds, wall_seconds = seconds - base["cpu_s"], wall_seconds - base["wall_s"]
    return {
        "name": row.name,
        "unit": row.unit,
        "about": row.about,
        "threads": row.threads,
        "cpu_s": seconds,
        "wall_s": wall_seconds,
        # Of the whole where a base is taken off: half the distance between the quartiles.
        "spread": 0.5 * (high - low) / middle if middle > 0.0 else 0.0,
        "per_cpu_s": 1.0 / seconds if seconds > 0.0 else None,
        "per_wall_s": 1.0 / wall_seconds if wall_seconds > 0.0 else None,
        "units": row.count,
        "repeats": len(cpu),
        **({"p95_s": float(np.percentile(wall, 95))} if isinstance(first, Times) else {}),
    }


def _repeat(work: Callable[[], Any]) -> list[tuple[float, float]]:
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + BUDGET
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() < end):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return times


def reference(cpu: str) -> dict[str, Any] | None:
    """The figures that the project keeps for this model of processor, or None."""
    text = (resources.files("drive.eval") / "perf_reference.json").read_text()
    kept: dict[str, dict[str, Any]] = json.loads(text)
    return kept.get(cpu)


def read(path: Path) -> dict[str, Any]:
    """What `drive perf --json` printed into a file. Raises InputError for anything else."""
    try:
        found: Any = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON; write it with: drive perf --json > {path.name}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path} does not hold figures of {SCHEMA} (but {schema or 'something else'}); drive perf --json "
            "prints them"
        )
    rows = found.get("rows")
    if not isinstance(rows, list) or not all(map(_is_timed, rows)):
        raise InputError(f"the rows of {path} need a name and a cpu_s each; drive perf --json prints them")
    return found  # type: ignore[no-any-return]


def _is_timed(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and isinstance(row.get("cpu_s"), int | float)
    )


def ratios(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float | None]:
    """Process time of a unit after a change as a share of the one before, for the rows that both have."""
    old = {row["name"]: row["cpu_s"] for row in before["rows"]}
    return {
        row["name"]: row["cpu_s"] / old[row["name"]] if old[row["name"]] > 0.0 else None
        for row in after["rows"]
        if row["name"] in old
    }
