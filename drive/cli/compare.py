"""`drive compare`: paired differences between results."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from drive.cli._load import load


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders that drive bench wrote.")],
    score: Annotated[
        str | None, typer.Option(metavar="M", help="A score or metric; default all scores.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Paired differences between the results of benchmarks, over the scenarios that they share.

    One folder: between its planners. More folders: each planner of a later one against the first.

    \b
    Example:
      drive compare out/before out/after
    """
    differences = load("drive.eval.bench.results:compare_folders")(folders, score)
    if as_json:
        print(json.dumps([{**asdict(d), "clear": d.clear} for d in differences], indent=2))
        return
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(load("drive.eval.bench.table:differences_table")(differences), highlight=False)
    print("first minus second; 'clear' where the 95 % interval leaves out 0")
