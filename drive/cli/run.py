"""`drive run`: one scenario with one planner."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import load
from drive.errors import DriveError, UnknownNameError


def command(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="gen/cut_in/17, a file, or file#id@track.")
    ],
    planner: Annotated[str, typer.Option(metavar="P", help="A planner's name, or FILE.py:NAME.")],
    traffic: Annotated[str, typer.Option(metavar="T", help="Who drives the others.")] = "idm",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed, as of drive bench.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as idm.headway=1.2.")
    ] = None,
    score: Annotated[list[str] | None, typer.Option(metavar="M", help="A score; may be repeated.")] = None,
    visibility: Annotated[
        str,
        typer.Option(metavar="V", help="Whom planners see: line_of_sight, line_of_sight:METRES or all."),
    ] = "line_of_sight",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run log and the replay go.")] = Path(
        "out/run"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Drive one scenario with one planner, print its scores and write its replay.

    \b
    Example:
      drive run gen/cut_in/17 --planner pdm
    """
    changes = registry.parse_set(settings or [])
    for name in changes:
        if name != planner:
            raise UnknownNameError("planner in --set", name, [planner])
    scores = score or ["nuplan_cls"]
    # From one folder of results to the next the same names lead to the same files.
    log = load("drive.api:run")(
        planner,
        scenario,
        traffic=traffic,
        seed=seed,
        settings=changes.get(planner),
        scores=scores,
        visibility=visibility,
    )
    name = f"{log.header['planner']['name']}-{log.header['scenario']['id']}"
    saved = log.save(out / f"{re.sub(r'[^A-Za-z0-9_.@-]', '_', name)}.drive.npz")
    page = load("drive.eval.replay:write_replay")(
        log, saved.with_name(saved.name.removesuffix(".drive.npz") + ".html")
    )
    if as_json:
        print(json.dumps(_summary(log, saved, page), indent=2, allow_nan=False))
    else:
        _print(log, saved, page)
    failure = log.header["failure"]
    if failure is not None:
        raise DriveError(f"{failure['class']}: {failure['reason']}")


def _summary(log: Any, saved: Path, page: Path) -> dict[str, Any]:
    header = log.header
    return {
        "scenario": header["scenario"]["id"],
        "planner": header["planner"],
        "traffic": header["traffic"],
        "seed": header["seed"],
        "visibility": header["visibility"],
        "expert_source": log.expert_source,
        "failure": header["failure"],
        "events": header["events"],
        "scores": header["scores"],
        "run": str(saved),
        "replay": str(page),
    }


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"


def _print(log: Any, saved: Path, page: Path) -> None:
    import numpy as np
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    header = log.header
    table = Table(
        title=escape(f"{header['planner']['name']} in {header['scenario']['id']}"),
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
    )
    for name, score in header["scores"].items():
        table.add_row(escape(name), f"{score['score']:.3f}", style="bold")
        scored = score.get("scored", list(score["metrics"]))
        for metric in scored:
            table.add_row(f"  {escape(metric)}", _number(score["metrics"][metric]))
        figures = [metric for metric in score["metrics"] if metric not in scored]
        if figures:
            table.add_row("figures, not scored", "", style="bold")
        for metric in figures:
            table.add_row(f"  {escape(metric)}", _number(score["metrics"][metric]))
    if len(log.plan_latency):
        p50, p95 = np.percentile(1e3 * log.plan_latency, [50, 95])
        table.add_row("latency p50, p95", f"{p50:.2f}, {p95:.2f} ms")
    Console().print(table, highlight=False)
    for event in header["events"]:
        what = event.get("detail") or event.get("agent") or ""
        print(f"{event['time']:6.1f} s  {event['kind']} {what}".rstrip())
    print(f"progress is measured against: {log.expert_source or 'nobody'}")
    print(f"run: {saved}")
    print(f"replay: {page}")
