"""What the toolkit's speed is held to, and what this machine makes of it: `python -m drive.eval.perf_bars`.

Each bar is a row of `drive perf` or `drive perf --planners` with the most seconds that its work may take, or
the least that it must do in a second. All are of one quiet core; a figure is process time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.table import Table

from drive.eval import perf_planners
from drive.eval.perf_table import WIDE, everything, rate, seconds

BATCH = 8192 * 40
"""Steps of a scene's whole vocabulary."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`row` of `drive perf`, or `planner` of `drive perf --planners`.

    `most` seconds for `times` of its units, or `least` units a second. `needs` is a package without which
    there is nothing to time.
    """

    about: str
    row: str = ""
    planner: str = ""
    most: float = 0.0
    least: float = 0.0
    times: float = 1.0
    needs: str = ""

    def __post_init__(self) -> None:
        if bool(self.row) == bool(self.planner) or (self.most > 0.0) == (self.least > 0.0):
            raise ValueError(f"'{self.about}' is not the bar of one row, with one limit")


BARS = (
    Bar("1024 worlds x 32 agents, one step a visit", "step", least=22e6),
    Bar("the same, 20 steps a visit", "step/20", least=30e6),
    Bar("one step, then the observations of all", "step_observe", least=5e6),
    Bar("one step, then the series of all", "step_score", least=3e6),
    Bar("8192 candidates rolled out", "rollout", most=0.040, times=BATCH),
    Bar("8192 candidates scored among 30 agents", "score", most=0.060, times=BATCH),
    Bar("a call of pdm", "pdm/call", most=0.5e-3),
    Bar("15 s with pdm among 32, metrics included", "pdm/total", most=0.25),
    Bar("always over 4096 x 80", "stl/always", most=5e-3),
    Bar("eventually over 4096 x 80", "stl/eventually", most=5e-3),
    Bar("until over 4096 x 80", "stl/until", most=20e-3),
    Bar("a second of 64 worlds x 16 under rift", "rift", most=1.0, times=64, needs="torch"),
    Bar("a decision of 16 vehicles under rift", "rift/decision", most=0.010, needs="torch"),
    Bar("three pictures of 96 x 384", "camera/wide", most=5e-3),
    Bar("a call of mpc", planner="mpc", most=3e-3),
    Bar("cpto, 5 branches x 6 obstacles x 50 steps", planner="cpto 5x6x50", most=3e-3),
    Bar("cpto, 2 x 4 x 40", planner="cpto 2x4x40", most=1.5e-3),
    Bar("cpto, 2 x 4 x 40, 40 iterations", planner="cpto 2x4x40, 40", most=3e-3),
    Bar("field, one swarm", planner="field 20x20", most=1.5e-3),
    Bar("field, a second swarm where asked", planner="field 20x20, restart", most=3e-3),
    Bar("rover, 16 pieces", planner="rover 16 pieces", most=0.150),
    Bar("a call of gtrs", planner="gtrs", most=0.030, needs="torch"),
    Bar("a call of stl_diffusion", planner="stl_diffusion", most=0.050, needs="torch"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar with what was measured, in the bar's own unit; None where it was not."""

    bar: Bar
    found: float | None

    @property
    def holds(self) -> bool | None:
        if self.found is None:
            return None
        return self.found <= self.bar.most if self.bar.most else self.found >= self.bar.least


def verdicts(
    rows: Mapping[str, Any], planners: Mapping[str, Any], bars: Sequence[Bar] = BARS
) -> list[Verdict]:
    """The bars beside the figures of `drive perf --json` and `drive perf --planners --json`."""
    by_row = {row["name"]: row["cpu_s"] for row in rows["rows"]}
    by_planner = {row["name"]: row["cpu_s"] for row in planners["rows"]}
    out = []
    for bar in bars:
        unit = by_row.get(bar.row) if bar.row else by_planner.get(bar.planner)
        found = None if unit is None else unit * bar.times if bar.most else 1.0 / unit
        out.append(Verdict(bar, found))
    return out


def table(found: Sequence[Verdict]) -> Table:
    """What is printed."""
    out = Table(box=None, header_style="bold", pad_edge=False)
    for head, justify in (
        ("what", "left"),
        ("bar", "right"),
        ("here", "right"),
        ("", "left"),
        ("row", "left"),
    ):
        out.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for v in found:
        shown: Callable[[float], str] = seconds if v.bar.most else lambda value: f"{rate(value)}/s"
        limit = f"<= {seconds(v.bar.most)}" if v.bar.most else f">= {rate(v.bar.least)}/s"
        word = {True: "holds", False: "MISSED", None: "not measured"}[v.holds]
        out.add_row(
            v.bar.about, limit, "" if v.found is None else shown(v.found), word, v.bar.row or v.bar.planner
        )
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.perf_bars", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="these bars alone")
    only = parser.parse_args(arguments).only
    bars = [
        b for b in BARS if (not b.needs or find_spec(b.needs)) and (not only or (b.row or b.planner) in only)
    ]
    if not bars:
        parser.error(f"there is no such bar; there are {', '.join(b.row or b.planner for b in BARS)}")

    def note(line: str) -> None:
        print(f"{line} ...", file=sys.stderr)

    rows = [b.row for b in bars if b.row]
    wanted = {b.planner for b in bars if b.planner}
    asked = [row for row in perf_planners.planner_table() if row.name in wanted]
    found = verdicts(
        everything(("pdm",), False, rows, note) if rows else {"rows": []},
        perf_planners.measure(asked, note=note) if asked else {"rows": []},
        bars,
    )
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    console.print(table(found))
    missed = sum(v.holds is False for v in found)
    console.print(f"{sum(v.holds is True for v in found)} hold, {missed} missed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
