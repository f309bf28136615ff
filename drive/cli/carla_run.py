"""`drive carla run`: planners along leaderboard routes in a CARLA world."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import load, print_results
from drive.errors import InputError


def command(
    route: Annotated[
        Path, typer.Option(metavar="FILE", help="Routes of the CARLA leaderboard or of Bench2Drive, XML.")
    ],
    route_id: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A route of the file; may be repeated.")
    ] = None,
    planner: Annotated[
        list[str] | None, typer.Option(metavar="P", help="A planner; may be repeated. Default pdm.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as pdm.horizon_steps=40.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where CARLA runs.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(metavar="N", help="CARLA's port; without it a server of our own is started.")
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            envvar="DRIVE_CARLA_MAPS",
            help="Folder with .xodr files, for the server of our own.",
        ),
    ] = None,
    traffic: Annotated[int, typer.Option(metavar="N", help="Cars around the route.")] = 30,
    drivers: Annotated[
        str,
        typer.Option(
            metavar="M", help="Who drives them: CARLA's Traffic Manager (carla_tm), or rift:STYLE, a policy."
        ),
    ] = "carla_tm",
    scenarios: Annotated[
        bool, typer.Option("--scenarios/--no-scenarios", help="Stage what the routes' scenarios ask for.")
    ] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the traffic.")] = 0,
    score: Annotated[
        list[str] | None,
        typer.Option(metavar="M", help="A score; default carla_2.1, bench2drive and nuplan_cls."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default out/carla-DATE.")] = None,
    replays: Annotated[bool, typer.Option("--replays/--no-replays", help="A page for each drive.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json instead of a table.")] = False,
) -> None:
    """Drive planners along routes in CARLA, or in our own light server, and score them by the rules of the
    CARLA leaderboard and of Bench2Drive.

    The scores are those formulas applied to these drives, never results of a benchmark (docs/carla.md).

    \b
    Examples:
      drive carla run --route routes.xml --maps towns --planner pdm --planner idm
      drive carla run --route routes.xml --route-id 24211 --port 2000 --traffic 50
      drive carla run --route routes.xml --maps towns --traffic 30 --drivers rift:interactive
    """
    load("drive.sim.carla.client:client_module")()
    if traffic < 0:
        raise InputError("--traffic is no number of cars")
    if not route.is_file():
        raise InputError(f"--route: there is no file {route}")
    if port is None and maps is None:
        raise InputError(
            "name CARLA's port with --port, or a folder with .xodr files for a server of our own with --maps"
        )
    server: Any = nullcontext(port)
    towns = None
    if port is None:
        found, _ = load("drive.sim.carla.maps:find_maps")(None, maps)
        towns = frozenset(found.files)
        server = load("drive.sim.carla.own:own_server")(maps)
    else:
        # A wrong port, release or a world that others tick is told before anything is driven.
        load("drive.sim.carla.client:thaw")(load("drive.sim.carla.client:connect")(host, port))
    module = load("drive.eval.bench.carla")
    with server as number:
        results = module.run_carla(
            module.CarlaOptions(
                routes=route,
                planners=planner or ["pdm"],
                host=host,
                port=number,
                out=out or Path("out", time.strftime("carla-%Y%m%d-%H%M%S")),
                ids=route_id or (),
                settings=registry.parse_set(settings or []),
                traffic=traffic,
                drivers=drivers,
                scenarios=scenarios,
                seed=seed,
                scores=score or module.SCORES,
                towns=towns,
                replays=replays,
                resume=resume,
                force=force,
                command=("drive", *sys.argv[1:]),
            ),
            lambda line: print(line, file=sys.stderr, flush=True),
        )
    if as_json:
        print(json.dumps(results.data, indent=1, allow_nan=False))
        return
    print_results(results)
    print(f"results: {results.path}")


__all__ = ["command"]
