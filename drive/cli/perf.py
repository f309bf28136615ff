"""`drive perf`: the speed of kernels and planners on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import load


def command(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="This row and its parts alone; repeatable."),
    ] = None,
    planners: Annotated[
        bool, typer.Option("--planners", help="Instead, time the calls of planners, pinned to one core.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Compile the kernels in an empty cache, too (takes a minute).")
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="OLD.json", help="Ratios to figures that --json printed before."),
    ] = None,
    growth: Annotated[
        Path | None,
        typer.Option("--growth", metavar="OUT.svg", help="Instead, plot how the costs grow."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the kernels' and planners' speed on this machine; medians after a warm-up.

    \b
    Examples:
      drive perf --json > before.json
      drive perf --only score --compare before.json
      drive perf --planners --only pdm --json
    """

    def note(line: str) -> None:
        print(f"{line} ...", file=sys.stderr)

    old = load("drive.eval.perf:read")(compare) if compare is not None else None
    if growth is not None:
        if only or planners or cold or compare is not None:
            raise typer.BadParameter("--growth measures its own series; only --json goes with it")
        if growth.is_dir() or not growth.parent.is_dir():
            raise typer.BadParameter(f"cannot write {growth}; name a file in a folder that exists")
        found = load("drive.eval.perf_growth:measure")(note)
        growth.write_text(load("drive.eval.perf_growth:svg")(found))
        print(json.dumps(found, indent=2) if as_json else load("drive.eval.perf_growth:table")(found))
        return
    if planners:
        if cold or compare is not None:
            raise typer.BadParameter("--planners measures its own rows; only --only and --json go with it")
        table = load("drive.eval.perf_planners:planner_table")()
        found = load("drive.eval.perf_planners:measure")(table, only or (), note)
    else:
        names = [name for name in ("pdm",) if name in registry.names("drive.planners")]
        found = load("drive.eval.perf_table:everything")(names, cold, only or (), note)
    if old is not None:
        found["ratios"] = load("drive.eval.perf:ratios")(old, found)
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    elif planners:
        _print(load("drive.eval.perf_planners:lines")(found))
    else:
        before = None if compare is None else compare.name
        _print(load("drive.eval.perf_table:lines")(found, before))


def _print(lines: list[Any]) -> None:
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=load("drive.eval.perf_table:WIDE"))
    for line in lines:
        console.print(line, highlight=False)
