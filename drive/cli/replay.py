"""`drive replay`: run logs become a page, or a film."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from drive.cli._load import load
from drive.errors import InputError, RunLogError

SUFFIX = ".drive.npz"
PAGES, FILMS = (".html", ".htm"), (".mp4", ".gif")


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN|DIR...", help="Run logs, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="x.html, x.mp4 or x.gif; default: a page beside the run."),
    ] = None,
    containing: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Of a folder only runs with TEXT in their path.")
    ] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not compress; for browsers older than 2023.")
    ] = False,
    split: Annotated[bool, typer.Option("--split", help="A film shows the runs side by side.")] = False,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of a film.")] = "1280x720",
    fps: Annotated[float, typer.Option(metavar="N", help="Frames a second of a film.")] = 20.0,
    speed: Annotated[float, typer.Option(metavar="X", help="Times real time of a film.")] = 1.0,
    camera: Annotated[
        str,
        typer.Option(metavar="NAME", help="A film of what this camera of the ego would have seen: front ..."),
    ] = "",
) -> None:
    """Turn runs into one page that replays them, or into a film.

    Runs of one scenario are shown over each other or side by side. A file that cannot be read is named and
    left out; the exit status then is 1. Where none can be read the page says so.

    \b
    Examples:
      drive replay out/bench/runs/pdm/gen_cut_in_1.drive.npz
      drive replay out/bench --filter cut_in/1 -o cut_in.html
      drive replay out/run/pdm-gen_cut_in_17.drive.npz -o cut_in.mp4
      drive replay out/run/pdm-gen_cut_in_17.drive.npz -o seen.mp4 --camera front --size 960x400
    """
    target = output or page_beside(runs[0])
    ending = target.suffix.lower()
    if ending not in PAGES + FILMS:
        raise InputError(f"{target.name}: give a name that ends in .html (a page), .mp4 or .gif (a film)")
    if camera and ending not in FILMS:
        raise InputError(f"{target.name}: what a camera saw is a film: give -o x.mp4 or x.gif")
    pixels = re.fullmatch(r"(\d{2,5})x(\d{2,5})", size)
    if pixels is None:
        raise InputError(f"--size {size}: give width and height in pixels, as 1280x720")
    found = [path for place in runs for path in load("drive.eval.replay:find_runs")(place, containing)]
    logs, problems = load("drive.eval.replay:load_runs")(list(dict.fromkeys(found)))
    if not logs:
        _refuse(problems, target, output is not None)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    width, height = int(pixels[1]), int(pixels[2])
    if camera:
        if len(logs) > 1:
            raise InputError(f"--camera shows one run, and {len(logs)} are given: name its file")
        # Encoders of mp4 want even sides.
        size_even = (width - width % 2, height - height % 2)
        spec = load("drive.sim.sensors.camera_views:named")(camera, size_even)
        with _bar() as progress:
            made = load("drive.eval.replay:write_camera_film")(
                logs[0], target, spec, rate=fps, speed=speed, progress=progress
            )
    elif ending in FILMS:
        with _bar() as progress:
            made = load("drive.eval.replay:write_film")(
                logs,
                target,
                size=(width, height),
                rate=fps,
                speed=speed,
                split=split,
                progress=progress,
            )
    else:
        notes = [f"Left out: {problem}" for problem in problems]
        made = load("drive.eval.replay:write_replay")(logs, target, compress=not plain, notes=notes)
    typer.echo(str(made))
    if problems:
        raise RunLogError(f"{len(problems)} of {len(problems) + len(logs)} runs could not be read")


def _refuse(problems: list[str], target: Path, asked: bool) -> None:
    """Tell why no run can be shown, on a page as well; an old page is replaced only if it was asked for."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if target.suffix.lower() in PAGES and (asked or not target.exists()):
        typer.echo(str(load("drive.eval.replay:write_problems")(problems, target)))
    raise RunLogError(problems[0] + more)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield progress


def page_beside(run: Path) -> Path:
    """`x.html` beside the run `x.drive.npz`; `replay.html` in a folder of runs."""
    if run.is_dir():
        return run / "replay.html"
    return run.with_name(run.name.removesuffix(SUFFIX).removesuffix(".npz") + ".html")
