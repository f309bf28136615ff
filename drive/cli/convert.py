"""`drive convert`: scenarios of one format written as files of another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drive.cli._load import load
from drive.errors import DriveError, InputError, UnknownNameError

if TYPE_CHECKING:
    from drive.scenario import Scenario

DEFAULT = "native"


def command(
    refs: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Scenario files, ids, folders or families.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder, or a file's name for one scenario.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="The format to write; default by OUT's ending, else native."),
    ] = None,
    ego: Annotated[
        str, typer.Option(metavar="WHO", help="planned or recorded: whose scenarios.")
    ] = "planned",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write scenarios in another format: what any reader can load, any writer can write.

    native (x.scene.npz) keeps everything, bit for bit, and loads fast. What other formats cannot hold is told
    in docs/formats.md. A scenario that cannot be read or written is named and left out; the exit status then
    is 1.

    \b
    Examples:
      drive convert scenario_0a1e.parquet scene.scene.npz
      drive convert gen/cut_in/0:20 out/cut_in
      drive convert gen/cut_in/17 cut_in.xml
    """
    writer = writer_for(out, to)
    expansion = load("drive.datasets.source:expand_all")(refs, ego)
    skipped = list(expansion.skipped)
    written: list[Path] = []
    with _bar(len(expansion.refs)) as advance:
        for group in _groups(expansion.refs, getattr(writer, "separate", False), out, writer, skipped):
            try:
                written += writer.write([scenario for _, scenario in group], out)
            except DriveError as error:
                skipped += [(ref, str(error)) for ref, _ in group]
            advance(len(group))
    for ref, reason in skipped:
        print(f"left out: {ref}: {reason}", file=sys.stderr)
    if as_json:
        told = [{"ref": ref, "reason": reason} for ref, reason in skipped]
        print(json.dumps({"format": writer.name, "written": [str(p) for p in written], "skipped": told}))
    else:
        for path in written:
            print(path)
    if not written:
        raise InputError(f"nothing was written: {skipped[0][1] if skipped else 'there is no scenario'}")
    if skipped:
        raise InputError(f"{len(skipped)} of what was to be converted could not be; it is named above")


def writer_for(out: Path, to: str | None) -> Any:
    """The source that writes the format `to`, or the one of `out`'s ending, or the native one for a folder.

    Raises UnknownNameError for a format that nobody writes, InputError for an ending that nobody writes.
    """
    writers = {s.name: s for s in load("drive.datasets.source:sources")() if hasattr(s, "write")}
    if to is not None:
        if to not in writers:
            raise UnknownNameError("format to write", to, writers)
        return writers[to]
    endings = {s.written: s for s in writers.values() if getattr(s, "written", "")}
    for ending, writer in endings.items():
        if out.name.endswith(ending):
            return writer
    if out.suffix and not out.is_dir():
        known = ", ".join(sorted(endings))
        raise InputError(f"no format is written to {out.name} (known endings: {known}); name one with --to")
    return writers[DEFAULT]


def _groups(
    refs: Sequence[str], separate: bool, out: Path, writer: Any, skipped: list[tuple[str, str]]
) -> Iterator[list[tuple[str, Scenario]]]:
    """Loaded scenarios as the writer wants them: one at a time, or all of them; what cannot be loaded, or
    has the id of one before, is added to `skipped`."""
    if separate and len(refs) > 1 and out.name.endswith(getattr(writer, "written", "") or "/"):
        raise InputError(f"'{out.name}' is one file for {len(refs)} scenarios; name a folder")
    ids: set[str] = set()
    group: list[tuple[str, Scenario]] = []
    for ref in refs:
        try:
            scenario = load("drive.datasets.source:load")(ref)
        except DriveError as error:
            skipped.append((ref, str(error)))
            continue
        if scenario.id in ids:
            skipped.append((ref, f"another scenario has its id, '{scenario.id}'"))
            continue
        ids.add(scenario.id)
        if scenario.live:
            print(f"{ref}: its recording is written, not its live traffic", file=sys.stderr)
        group.append((ref, scenario))
        if separate:
            yield group
            group = []
    if group:
        yield group


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    """A progress bar on the standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
