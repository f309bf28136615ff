"""`drive replay`: run logs become a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drive.cli._load import load
from drive.errors import InputError

SUFFIX = ".drive.npz"


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN|DIR...", help="Run logs, or folders of them.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The page; default: beside the run.")
    ] = None,
    containing: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Of a folder only runs with TEXT in their path.")
    ] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not compress; for browsers older than 2023.")
    ] = False,
) -> None:
    """Turn runs into one page that replays them; runs of one scenario are shown side by side.

    \b
    Examples:
      drive replay out/bench/runs/pdm/17.drive.npz
      drive replay out/bench --filter cut_in/17 -o cut_in.html
    """
    target = output or page_beside(runs[0])
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{target.name}: a replay is a page; give a name that ends in .html")
    found = [path for place in runs for path in load("drive.eval.replay:find_runs")(place, containing)]
    page = load("drive.eval.replay:write_replay")(list(dict.fromkeys(found)), target, compress=not plain)
    typer.echo(str(page))


def page_beside(run: Path) -> Path:
    """`x.html` beside the run `x.drive.npz`; `replay.html` in a folder of runs."""
    if run.is_dir():
        return run / "replay.html"
    return run.with_name(run.name.removesuffix(SUFFIX).removesuffix(".npz") + ".html")
