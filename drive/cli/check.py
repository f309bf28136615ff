"""`drive check`: whether a planner keeps the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import load
from drive.errors import UnknownNameError

MARKS = {"pass": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red"), "skip": ("–", "dim")}


def command(
    planner: Annotated[str, typer.Argument(metavar="PLANNER", help="A planner's name, or FILE.py:NAME.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as idm.headway=1.2.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that a planner keeps the contract: it repeats itself, plans from where the ego is, leaves alone
    what it is given, survives odd scenes, keeps its time, and works in the processes of drive bench.

    Exit status 0 if nothing fails; warnings do not count.

    \b
    Examples:
      drive check pdm
      drive check my_planner.py:careful --json
    """
    changes = registry.parse_set(settings or [])
    for name in changes:
        if name != planner:
            raise UnknownNameError("planner in --set", name, [planner])
    check = load("drive.eval.check:check_planner")
    with _progress() as progress:
        report = check(planner, changes.get(planner), progress)
    if as_json:
        print(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _print(report: Any) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    # What is read by a program or a log must not be squeezed into 80 columns.
    console = console if console.is_terminal else Console(width=200)
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in report.findings:
        mark, colour = MARKS[finding.status]
        table.add_row(Text(mark, style=colour), Text(finding.check), Text(finding.sentence))
    console.print(table, highlight=False)
    failed, warned = report.count("fail"), report.count("warn")
    checked = len(report.findings) - report.count("skip")
    said = f"fails {failed} of" if failed else "passes"
    tail = f", {warned} with a warning" if warned else ""
    print(f"{report.planner} {said} {checked} checks{tail}, {report.seconds:.1f} s")
