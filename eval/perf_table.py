"""The figures of `drive perf` as a table to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drive.eval import perf
from drive.eval.perf_drives import loop_rows, planner_rows, start_rows
from drive.eval.perf_rows import kernel_rows

WIDE = 200
"""Columns of a table that is not read in a terminal."""


def everything(
    planners: Sequence[str], cold: bool, only: Sequence[str], note: Callable[[str], None]
) -> dict[str, Any]:
    """All rows, or those in `only`, timed; those of a GPU only where they are asked for."""
    rows = [*kernel_rows()]
    for name in planners:
        rows += planner_rows(name)
    rows += [*loop_rows(), *start_rows(cold)]
    if any(name.partition("/")[0] == "cuda" for name in only):
        from drive.eval.perf_cuda import cuda_rows

        rows += cuda_rows()
    return perf.measure(rows, only, note)


def printed(found: dict[str, Any]) -> str:
    """The table as text, compared with nothing."""
    text = StringIO()
    console = Console(file=text, width=WIDE, color_system=None)
    for line in lines(found, compared=False):
        console.print(line, highlight=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def lines(found: dict[str, Any], before: str | None = None, compared: bool = True) -> list[Any]:
    """What is printed: the machine, the table, and what it is compared with.

    The last column is the process time as a share of the figures in the file `before`, or else of those
    that the project keeps for this processor; below 1 is faster.
    """
    host = found["machine"]
    kept = None if before is not None or not compared else perf.reference(host["cpu"])
    ratios = found["ratios"] if before is not None else perf.ratios(kept, found) if kept else {}
    table = Table(box=None, header_style="bold", pad_edge=False)
    heads = ["what", "process time", "wall time", "of a", "a second", "+-"]
    if ratios:
        heads.append("ratio")
    for head in (*heads, ""):
        table.add_column(head, justify="left" if head in ("what", "of a", "") else "right", no_wrap=True)
    for row in found["rows"]:
        cells = [
            escape(row["name"]),
            seconds(row["cpu_s"]),
            seconds(row["wall_s"]),
            row["unit"],
            "" if row["unit"] in ("start", "scenario") else rate(row["per_wall_s"]),
            f"{100.0 * row['spread']:.0f} %",
        ]
        if ratios:
            ratio = ratios.get(row["name"])
            cells.append("" if ratio is None else f"{ratio:.2f}")
        tail = f", 95 % below {seconds(row['p95_s'])}" if row["unit"] == "call" and "p95_s" in row else ""
        table.add_row(*cells, escape(row["about"] + tail))
    out: list[Any] = [f"{host['cpu']}, {host['cores']} cores, {host['system']}", table]
    if before is not None:
        out.append(f"ratio: process time now over that in {escape(before)}; below 1 is faster")
    elif kept:
        out.append("ratio: process time here over the project's own on this processor; below 1 is faster")
    elif compared:
        out.append(f"no reference figures for this processor ({escape(str(host['cpu']))})")
    return out


def seconds(value: float) -> str:
    """A time with three digits and the unit that fits it."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def rate(value: float | None) -> str:
    """Units a second of wall time."""
    if value is None:
        return ""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g}"
