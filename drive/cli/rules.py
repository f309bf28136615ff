"""`drive rules`: which rules drives kept, of recorded drivers or of runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from drive.cli._load import is_run_log, load
from drive.cli._moment import save
from drive.errors import DriveError

RUN = ".drive.npz"


def command(
    drives: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENARIO|RUN|DIR...", help="Scenarios with a driver, run logs, folders of either."
        ),
    ] = None,
    book: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="A rule book; default the toolkit's own.")
    ] = None,
    ego: Annotated[
        str, typer.Option(metavar="planned|recorded", help="Of recorded scenes: whom to judge.")
    ] = "recorded",
    everybody: Annotated[
        bool, typer.Option("--everyone", help="Judge every motor vehicle that is recorded for 2 s.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write run logs and replays of the drives there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge drives by a rule book: which rules they broke, when, by how much, and by what.

    A scenario is judged by its recorded (or generated) driver, exactly as driven; a run log by whoever drove
    it. Without a drive the rules themselves are printed.

    \b
    Examples:
      drive rules
      drive rules recorded --everyone
      drive rules recorded/*.xml --out out/human
      drive rules out/bench/runs/pdm --book my_rules.toml
    """
    rules = load("drive.stl.book:load_book")(book)
    load("drive.eval.metrics.rules:RulesScore")(rules)  # a signal that does not exist is told at once
    if not drives:
        _print_book(rules, as_json)
        return
    wanted = list(_drives(drives, ego, everybody))
    keep = _writer(rules, out) if out is not None else lambda run: None
    with _bar() as progress:
        found = load("drive.eval.metrics.rules.listing:listed")(rules, wanted, keep, progress)
    for problem in found.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not found.verdicts:
        raise DriveError("no drive could be judged")
    if as_json:
        counted = {"book": rules.name, "drives": len(found.verdicts)}
        print(
            json.dumps(
                {**counted, "rules": found.table(), "broken": found.broken()}, indent=2, allow_nan=False
            )
        )
    else:
        _print(found)


def _drives(refs: list[str], ego: str, everybody: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    read = load("drive.runlog:RunLog").load
    scenarios: list[str] = []
    for ref in refs:
        path = Path(ref)
        logs = sorted(path.rglob(f"*{RUN}")) if path.is_dir() else [path] if is_run_log(ref) else []
        for log in logs:
            yield log.name.removesuffix(RUN), partial(read, log)
        if not logs:
            scenarios.append(ref)
    if scenarios:
        found = load("drive.datasets.source:expand_all")(scenarios, ego)
        for file, reason in found.skipped:
            print(f"left out: '{file}' cannot be used: {reason}", file=sys.stderr)
        one = load("drive.datasets.source:load")
        many = load("drive.eval.metrics.rules.listing:everyone")
        for ref in many(one, found.refs) if everybody else found.refs:
            yield Path(ref).name if "#" in ref else ref, partial(_recorded, one, ref)


def _recorded(one: Callable[[str], Any], ref: str) -> Any:
    return load("drive.eval.metrics.rules.listing:recorded_drive")(one(ref))


def _writer(rules: Any, out: Path) -> Callable[[Any], None]:
    score = load("drive.eval.metrics.rules:RulesScore")(rules)

    def write(run: Any) -> None:
        evaluation = score.evaluate(run)
        header = {**(run.header.get("scores") or {}), score.name: evaluation.to_header()}
        scored = run.with_header(scores=header).with_series(**evaluation.series)
        save(scored, out, str(run.header["scenario"]["id"]))

    return write


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=200)


def _table(*heads: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in heads:
        numbers = head in ("applies", "broken", "least", "median", "at", "by")
        table.add_column(head, justify="right" if numbers else "left", no_wrap=True)
    return table


def _number(value: float | None, unit: str = "") -> str:
    return "\u2013" if value is None else f"{value:.2f} {unit}".rstrip()


def _print_book(rules: Any, as_json: bool) -> None:
    if as_json:
        rows = [
            {"rule": r.name, "text": r.sentence, "formula": str(r.formula), "parameters": dict(r.parameters)}
            for r in rules.rules
        ]
        print(json.dumps({"book": rules.name, "rules": rows}, indent=2))
        return
    table = _table("rule", "formula", "parameters")
    for rule in rules.rules:
        told = ", ".join(f"{k} = {v:g}" for k, v in rule.parameters.items())
        table.add_row(rule.name, _escaped(str(rule.formula)), told)
    _console().print(table, highlight=False)


def _print(found: Any) -> None:
    print(f"{len(found.verdicts)} drives")
    table = _table("rule", "applies", "broken", "least", "median", "")
    for row in found.table():
        numbers = (_number(row[key], row["unit"]) for key in ("least", "median"))
        table.add_row(row["rule"], str(row["applies"]), str(row["broken"]), *numbers, _escaped(row["text"]))
    _console().print(table, highlight=False)
    if not (broken := found.broken()):
        print("no rule was broken")
        return
    table = _table("broken", "at", "by", "drive", "decided by")
    for row in broken:
        at, by = _number(row["broken_at"], "s"), _number(row["robustness"], row["unit"])
        table.add_row(row["rule"], at, by, _escaped(row["drive"]), _escaped(row["predicate"]))
    table.columns[0].justify = "left"
    _console().print(table, highlight=False)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)
