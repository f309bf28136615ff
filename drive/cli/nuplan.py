"""`drive nuplan`: the bridge to the nuPlan devkit."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import load, print_results
from drive.cli._moment import save
from drive.errors import DriveError, UnknownNameError

app = typer.Typer(
    help="The nuPlan devkit: our planners in its simulation, its planners in ours.\n\n"
    "The devkit is a checkout of github.com/motional/nuplan-devkit, named by --devkit or installed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Scenario = Annotated[
    str,
    typer.Argument(metavar="SCENARIO", help="gen/cut_in/17, a file of any known format, or file.db#TOKEN."),
]
Devkit = Annotated[Path | None, typer.Option(metavar="DIR", help="The devkit's checkout, if not installed.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as pdm.horizon_steps=40.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where files, run logs and replays go.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("run")
def run(
    scenario: Scenario,
    planner: Annotated[str, typer.Option(metavar="P", help="One of ours: a name, or FILE.py:NAME.")] = "pdm",
    traffic: Annotated[
        str, typer.Option(metavar="T", help="log (replayed) or idm (the devkit's reactive agents).")
    ] = "log",
    settings: Settings = None,
    devkit: Devkit = None,
    out: Out = Path("out/nuplan"),
    as_json: Json = False,
) -> None:
    """Drive a scenario in the devkit's own closed loop with one of our planners.

    The scenario is written as nuPlan's files first, unless it is one of a log. Printed are the official score
    that the devkit writes, and ours for the same states.

    \b
    Example:
      drive nuplan run gen/cut_in/17 --planner pdm --traffic idm --devkit ../nuplan-devkit
    """
    load("drive.sim.nuplan.devkit:find_devkit")(devkit)
    made = registry.load_planner(planner, _of(planner, settings))
    quiet = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with quiet:
        for note in load("drive.eval.devkit.export:export")(scenario, out).notes:
            print(f"drive: note: {note}", file=sys.stderr)
        official = load("drive.eval.devkit.drives:drive_once")(scenario, made, traffic, out)
    log = official.made_of
    if log is None:
        raise DriveError(f"the devkit's simulation failed: {official.failure}")
    log = load("drive.api:evaluated")(log, ["nuplan_cls"])
    saved, page = save(log, out, f"devkit-{log.header['planner']['name']}-{scenario}-{traffic}")
    ours = log.header["scores"]["nuplan_cls"]
    found = {
        "scenario": scenario,
        "planner": made.spec.name,
        "traffic": traffic,
        "official": {"score": official.score, "metrics": official.metrics},
        "ours": {"score": ours["score"], "metrics": {k: ours["metrics"][k] for k in ours["scored"]}},
        "run": str(saved),
        "replay": str(page),
    }
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    _print(found)


@app.command("bench")
def bench(
    scenario: Annotated[list[str] | None, typer.Argument(metavar="SCENARIO...", help="As of run.")] = None,
    suite: Annotated[str | None, typer.Option(metavar="S", help="A suite instead, as mini.")] = None,
    planner: Annotated[
        list[str] | None, typer.Option(metavar="P", help="One of ours; may be repeated. Default pdm.")
    ] = None,
    traffic: Annotated[
        str, typer.Option(metavar="T", help="log (replayed) or idm (the devkit's reactive agents).")
    ] = "log",
    settings: Settings = None,
    devkit: Devkit = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default out/nuplan-DATE.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Drive planners through scenes in the devkit's own closed loop: results, report and replays as of
    drive bench.

    \b
    Example:
      drive nuplan bench --suite mini --planner pdm --planner cpto --devkit ../nuplan-devkit
    """
    load("drive.sim.nuplan.devkit:find_devkit")(devkit)
    module = load("drive.eval.bench.nuplan")
    with redirect_stdout(sys.stderr):
        results = module.run_nuplan(
            module.NuplanOptions(
                planners=planner or ["pdm"],
                out=out or Path("out", time.strftime("nuplan-%Y%m%d-%H%M%S")),
                scenarios=scenario or (),
                suite=suite,
                settings=registry.parse_set(settings or []),
                traffic=traffic,
                resume=resume,
                force=force,
                command=("drive", *sys.argv[1:]),
            ),
            lambda line: print(line, file=sys.stderr, flush=True),
        )
        own = module.official_scores(results)
        page = load("drive.eval.report:write_report")(results.path)
    if as_json:
        print(json.dumps(results.data, indent=1, allow_nan=False))
        return
    print_results(results)
    apart = max((abs(theirs - ours) for theirs, ours in own.values()), default=0.0)
    print(f"the devkit's own scores of {len(own)} drives: ours to {apart:.1e}")
    print(f"report: {page}")


@app.command("host")
def host(
    scenario: Scenario,
    planner: Annotated[
        str,
        typer.Option(metavar="P", help="One of the devkit's: idm_planner, MODULE:CLASS or FILE.py:CLASS."),
    ] = "idm_planner",
    traffic: Annotated[
        str, typer.Option(metavar="T", help="Who drives the others; drive list traffic.")
    ] = "idm",
    settings: Settings = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed.")] = 0,
    devkit: Devkit = None,
    out: Out = Path("out/nuplan"),
    as_json: Json = False,
) -> None:
    """Drive a scenario in our closed loop with a planner of the devkit.

    \b
    Example:
      drive nuplan host gen/cut_in/17 --planner idm_planner --devkit ../nuplan-devkit
    """
    load("drive.sim.nuplan.devkit:find_devkit")(devkit)
    values = {name: _value(text) for name, text in _of(planner, settings).items()}
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        load("drive.sim.nuplan.run:quiet_devkit")()
        exported = load("drive.eval.devkit.export:export")(scenario, out)
        log = load("drive.eval.devkit.host:drive_hosted")(exported, planner, values, traffic, seed)
        log = load("drive.api:evaluated")(log, ["nuplan_cls"])
    saved, page = save(log, out, f"{log.header['planner']['name']}-{scenario}-{traffic}")
    ours = log.header["scores"]["nuplan_cls"]
    found = {
        "scenario": scenario,
        "planner": log.header["planner"]["name"],
        "traffic": traffic,
        "ours": {"score": ours["score"], "metrics": {k: ours["metrics"][k] for k in ours["scored"]}},
        "failure": log.header["failure"],
        "run": str(saved),
        "replay": str(page),
    }
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print(found)
    if (failure := log.header["failure"]) is not None:
        raise DriveError(f"{failure['class']}: {failure['reason']}")


@app.command("config")
def config(
    planner: Annotated[str, typer.Option(metavar="P", help="One of ours.")] = "pdm",
    settings: Settings = None,
) -> None:
    """Print what to add to the devkit's own command line so that it simulates one of our planners.

    \b
    Example:
      python nuplan/planning/script/run_simulation.py +simulation=closed_loop_reactive_agents \\
        scenario_builder=nuplan_mini $(drive nuplan config --planner pdm)
    """
    changes = _of(planner, settings)
    registry.load_planner(planner, changes)
    lines = [
        "planner=drive",
        f"planner.drive.planner={planner}",
        *(f"+planner.drive.settings.{name}={value}" for name, value in changes.items()),
        "hydra.searchpath=[pkg://nuplan.planning.script.config.common,pkg://nuplan.planning.script.experiments,"
        "pkg://drive.sim.nuplan.conf]",
    ]
    print(" ".join(lines))


def _of(planner: str, settings: list[str] | None) -> dict[str, object]:
    """The settings of this planner. Raises UnknownNameError for those of another."""
    changes = registry.parse_set(settings or [])
    for name in changes:
        if name != planner:
            raise UnknownNameError("planner in --set", name, [planner])
    return changes.get(planner, {})


def _value(text: object) -> Any:
    """A setting of somebody else's planner: JSON where it is any, else the text itself."""
    try:
        return json.loads(str(text))
    except ValueError:
        return text


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title = escape(f"{found['planner']} in {found['scenario']}, traffic {found['traffic']}")
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    columns = [name for name in ("official", "ours") if name in found]
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for row in ("score", *found["ours"]["metrics"]):
        values = [found[c]["score"] if row == "score" else found[c]["metrics"].get(row) for c in columns]
        table.add_row(row, *("–" if v is None else f"{v:.6f}" for v in values))
    Console().print(table, highlight=False)
    print(f"run: {found['run']}")
    print(f"replay: {found['replay']}")


__all__ = ["app"]
