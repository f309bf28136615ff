"""`drive run`: one scenario with one planner, or one moment of a recorded run again."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import is_run_log, load
from drive.cli._moment import check_left, save, show_moment
from drive.errors import DriveError, InputError, UnknownNameError


def command(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO|RUN", help="gen/cut_in/17, a file, file#id@track, or with --from a run log."
        ),
    ],
    planner: Annotated[
        str | None,
        typer.Option(metavar="P", help="A name, FILE.py:NAME or exec:COMMAND; a run log has its own."),
    ] = None,
    traffic: Annotated[
        str | None,
        typer.Option(metavar="T", help="Who drives the others, or FILE.py:NAME; default idm."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed, as of drive bench; default 0.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as idm.headway=1.2.")
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M",
            help="A score, or FILE.py:NAME; may be repeated. Default nuplan_cls, rover on terrain.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="closed|pseudo|open",
            help="Drive on with new plans, drive one for 4 s, or only compare plans; default the scores'.",
        ),
    ] = None,
    visibility: Annotated[
        str | None,
        typer.Option(metavar="V", help="Whom planners see: line_of_sight, line_of_sight:METRES or all."),
    ] = None,
    detection: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="How well they see: none, or as position=1.0/0.5,speed=0.5,flicker=0.5."
        ),
    ] = None,
    tracker: Annotated[
        str | None, typer.Option(metavar="lqr|mpc", help="Who turns plans without controls into commands.")
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            "--from", metavar="T", help="Scenario: the planner takes over at T s. Run log: plan T s again."
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Stop in the debugger right before the planner's call at T.")
    ] = False,
    where: Annotated[
        str | None,
        typer.Option("--scenario", metavar="REF", help="Where the scenario of a run log is, if not here."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run log and the replay go.")] = Path(
        "out/run"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Drive one scenario with one planner, print its scores and write its replay.

    With --from T the ego follows the scenario's own driver until T s, and there the planner takes over; it
    is not asked before. With a run log instead of a scenario, --from T makes the planner's call at T again:
    the recorded drive is repeated up to it (the session sees all it saw), compared with the log, and the
    plan, its candidates and a replay of the moment are shown. --debug stops right before the call, in pdb or
    what PYTHONBREAKPOINT names; observation, task and session are in scope.

    \b
    Examples:
      drive run gen/cut_in/17 --planner pdm
      drive run gen/cut_in/17 --planner pdm --from 6
      drive run out/run/pdm-gen_cut_in_17.drive.npz --from 6.2 --debug
    """
    changes = registry.parse_set(settings or [])
    of_log = is_run_log(scenario)
    if debug and start is None:
        raise InputError("--debug stops at a moment: give it by --from T (0 is the first call)")
    if of_log:
        if start is None:
            raise InputError("of a run log one moment is planned again: say which by --from T")
        asked = {"--traffic": traffic, "--seed": seed, "--visibility": visibility, "--score": score}
        asked |= {"--mode": mode, "--detection": detection, "--tracker": tracker}
        for name, value in asked.items():
            if value is not None:
                raise InputError(f"a moment has its run's traffic, seed and perception, no score: no {name}")
        show_moment(Path(scenario), start, planner, changes, where, debug, out, as_json)
        return
    if planner is None:
        raise InputError("say which planner drives: --planner P (drive list planners)")
    if where is not None:
        raise InputError("--scenario goes with a run log")
    for name in changes:
        if name != planner:
            raise UnknownNameError("planner in --set", name, [planner])
    # From one folder of results to the next the same names lead to the same files.
    # What a planner prints must not stand between the lines of JSON.
    with redirect_stdout(sys.stderr) if as_json and not debug else nullcontext():
        log = load("drive.api:run")(
            planner,
            scenario,
            traffic=traffic or "idm",
            seed=seed or 0,
            settings=changes.get(planner),
            scores=score or None,
            visibility=visibility or "line_of_sight",
            detection=detection or "none",
            tracker=tracker or "lqr",
            start=start,
            debug=debug,
            mode=mode,
        )
    check_left(log)
    name = f"{log.header['planner']['name']}-{log.header['scenario']['id']}"
    name += "" if start is None else f"-from-{start:g}"
    saved, page = save(log, out, name)
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
        "mode": log.mode,
        "traffic": header["traffic"],
        "seed": header["seed"],
        "visibility": header["visibility"],
        "detection": header["detection"],
        "tracker": header.get("tracker"),
        "expert_source": log.expert_source,
        "failure": header["failure"],
        "events": header["events"],
        "lead": header.get("lead"),
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
    if lead := header.get("lead"):
        who = f"the expert ({lead['driver']})"
        told = {
            "closed": f"until {lead['until']:g} s the ego follows {who}, and the scores count that too",
            "pseudo": f"the ego follows {who} until {lead['until']:g} s, then one plan, which is scored",
            "open": f"the ego follows {who}; the plans, which nobody drives, are scored",
        }
        print(told[log.mode])
    if log.terrain is None:
        print(f"progress is measured against: {log.expert_source or 'nobody'}")
    print(f"run: {saved}")
    print(f"replay: {page}")
