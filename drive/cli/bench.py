"""`drive bench`: planners through a suite, scored side by side."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from drive import registry
from drive.cli._load import load, print_results
from drive.errors import DriveError, InputError
from drive.progress import on_terminal


def command(
    scenario: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="More scenarios, as with --scenarios.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="A suite, or a TOML file of one; default mini.")
    ] = None,
    scenarios: Annotated[
        list[str] | None, typer.Option(metavar="PATH...", help="Files, folders or ids instead of a suite.")
    ] = None,
    expression: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="EXPR", help="Keep what fits: \"family == 'cut_in' and 'dense' in tags\"."
        ),
    ] = None,
    planner: Annotated[
        list[str] | None,
        typer.Option(metavar="P", help="A name or FILE.py:NAME; may be repeated. Default: all that can run."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as idm.headway=1.2.")
    ] = None,
    traffic: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Who drives the others, or FILE.py:NAME; default the suite's, or idm."
        ),
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
    executor: Annotated[
        str,
        typer.Option(metavar="E", help="process; ray on this machine; ray:auto or ray:ADDRESS on a cluster."),
    ] = "process",
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Processes; default one a core.")] = None,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", help="Scenarios at once, for planners that can; default what they like."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all randomness.")] = 0,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Late plans are late in the scene too.")
    ] = False,
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
        str, typer.Option(metavar="lqr|mpc", help="Who turns plans without controls into commands.")
    ] = "lqr",
    ego: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="planned, or recorded: each recorded vehicle is the ego once."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results go; default out/bench-DATE.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a benchmark that was stopped.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the benchmark in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json instead of a table.")] = False,
    watchdog: Annotated[float, typer.Option(hidden=True)] = 60.0,
) -> None:
    """Drive planners through a suite and score them side by side.

    \b
    Examples:
      drive bench --suite mini --planner idm --planner pdm --out out/bench
      drive bench --suite val --planner pdm --score epdms --traffic log
      drive bench --scenarios recorded/*.xml --planner idm --set idm.headway=1.2 --resume --out out/recorded
    """
    refs = [*(scenarios or []), *(scenario or [])]
    if suite is not None and refs:
        raise InputError("give --suite or --scenarios, not both")
    options = load("drive.eval.bench.harness:Options")(
        planners=planner or [],
        settings=registry.parse_set(settings or []),
        suite=suite,
        scenarios=refs,
        filter=expression,
        traffic=traffic,
        scores=list(dict.fromkeys(score)) if score else None,
        mode=mode,
        executor=executor,
        jobs=jobs,
        batch=batch,
        seed=seed,
        realtime=realtime,
        visibility=visibility,
        detection=detection,
        tracker=tracker,
        ego=ego,
        out=out or Path("out", time.strftime("bench-%Y%m%d-%H%M%S")),
        resume=resume,
        force=force,
        watchdog=watchdog,
        command=["drive", *sys.argv[1:]],
    )
    run_bench = load("drive.eval.bench.harness:run_bench")
    try:
        with on_terminal() as listener:
            results = run_bench(options, listener)
            page = load("drive.eval.report:write_report")(results.path, listener.progress)
    except KeyboardInterrupt:
        print(f"what is finished stays: go on with --resume --out {options.out}", file=sys.stderr)
        raise
    if as_json:
        print(json.dumps(results.data, indent=1, allow_nan=False))
    else:
        print_results(results)
        print(f"report: {page}")
    if (useless := load("drive.eval.bench.table:verdict")(results)) is not None:
        raise DriveError(useless)
