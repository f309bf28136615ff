"""`drive carla`: a light server for CARLA's clients, and what else is done with CARLA."""

from __future__ import annotations

import gc
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from drive.cli import carla_run
from drive.cli._load import load
from drive.errors import InputError

app = typer.Typer(
    help="CARLA: a light server that its client connects to, maps out of a real one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("run")(carla_run.command)

Maps = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        envvar="DRIVE_CARLA_MAPS",
        help="Folder with .xodr files, the towns to load by name.",
    ),
]
Client = Annotated[str, typer.Option(metavar="VERSION", help="Release of the client: 0.9.15 or 0.9.16.")]
Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Address to listen on; by default this machine only.")
]
Unfreeze = Annotated[
    float,
    typer.Option(
        metavar="S",
        help="Seconds after which a synchronous world whose client has gone runs on by itself; 0: never.",
    ),
]
Reclaim = Annotated[bool, typer.Option("--reclaim", help="Destroy what a client spawned when it goes.")]


@app.command("serve")
def serve(
    port: Annotated[int, typer.Option(metavar="N", help="Calling port; streams use the next one.")] = 2000,
    town: Annotated[
        str | None, typer.Option("--map", metavar="MAP", help="town.xodr, or a name in --maps.")
    ] = None,
    maps: Maps = None,
    client: Client = "0.9.16",
    host: Host = "127.0.0.1",
    streaming_port: Annotated[int | None, typer.Option(metavar="N", help="Port of the streams.")] = None,
    unfreeze_after: Unfreeze = 5.0,
    reclaim: Reclaim = False,
    leash: Annotated[bool, typer.Option("--leash", hidden=True)] = False,
) -> None:
    """Serve a town to CARLA's own client, without CARLA and without a GPU, until Ctrl-C.

    It is not CARLA: simple vehicle physics, no photo-realistic pictures (docs/carla.md). There is no
    password: whoever reaches the port can drive.

    \b
    Example:
      drive carla serve --map Town01.xodr --port 2000
    """
    _serve(town, maps, client, host, port, streaming_port, unfreeze_after, reclaim, leash)


@app.command("launch")
def launch(
    words: Annotated[list[str] | None, typer.Argument(metavar="-- OPTIONS", help="Of CarlaUE4.sh.")] = None,
    maps: Maps = None,
    client: Client = "0.9.16",
    host: Host = "127.0.0.1",
    unfreeze_after: Unfreeze = 5.0,
    reclaim: Reclaim = False,
) -> None:
    """Serve as CARLA's executable would be asked to: the map and the ports count, the rest is let be.

    \b
    Example:
      drive carla launch --maps towns -- Town01 -RenderOffScreen -nosound -carla-rpc-port=2000
    """
    asked = load("drive.sim.carla.launcher:parse")(words or [])
    if asked.ignored:
        print(f"without effect here: {' '.join(asked.ignored)}", file=sys.stderr)
    _serve(asked.map, maps, client, host, asked.port, asked.streaming_port, unfreeze_after, reclaim)


@app.command("launcher")
def launcher(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where CarlaUE4.sh goes.")],
    maps: Maps = None,
    client: Client = "0.9.16",
) -> None:
    """Write a CarlaUE4.sh that starts this server, for tools that start CARLA themselves.

    \b
    Example:
      drive carla launcher out/carla --maps towns && export CARLA_ROOT=out/carla
    """
    load("drive.sim.carla.wire.versions:version")(client)
    if maps is not None and not maps.is_dir():
        raise InputError(f"--maps: there is no folder {maps}")
    script = load("drive.sim.carla.launcher:write_script")(folder, sys.executable, maps, client)
    print(f"{script}: export CARLA_ROOT={folder.resolve()}")


@app.command("extract-maps")
def extract_maps(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the .xodr files go.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where CARLA runs.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="CARLA's port.")] = 2000,
    only: Annotated[
        list[str] | None, typer.Option(metavar="TOWN", help="A town; may be given again.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds that a town may take to load.")
    ] = 120.0,
) -> None:
    """Save the road networks of a running CARLA as OpenDRIVE files.

    \b
    Example:
      drive carla extract-maps towns --only Town12 --only Town13
    """
    save = load("drive.sim.carla.extract:save_maps")
    for name, result in save(host, port, out, tuple(only or ()), timeout):
        print(f"{name}: {result}")


def _world_of(path: Path, name: str) -> Any:
    town = load("drive.datasets.opendrive.town:read_town")(path, name)
    return load("drive.sim.carla.world.world:CarlaWorld").load(town)


def _serve(
    town: str | None,
    maps: Path | None,
    client: str,
    host: str,
    port: int,
    streaming_port: int | None,
    unfreeze_after: float,
    reclaim: bool,
    leash: bool = False,
) -> None:
    module: Any = load("drive.sim.carla.server")
    if unfreeze_after < 0:
        raise InputError("--unfreeze-after is not a number of seconds")
    found, first = load("drive.sim.carla.maps:find_maps")(town, maps)
    options = module.check(
        module.Options(
            host=host,
            port=port,
            streaming_port=streaming_port,
            release=load("drive.sim.carla.wire.versions:version")(client),
            unfreeze_after=unfreeze_after or None,
            reclaim=reclaim,
        )
    )
    load("drive.sim.carla.warm:warm")(_world_of(found.find(first)[1], first))
    server = module.Server(found, first, _world_of, options)
    if leash:
        load("drive.sim.carla.own:end_with_stdin")(server)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    print(
        f"serving {server.map_name} to CARLA {client} clients on {host}:{server.port}, "
        f"streams on {server.streaming_port}; Ctrl-C ends it",
        flush=True,
    )
    # Thousands of small lists a second make the collector run often; it need not look at the code each time.
    gc.collect()
    gc.freeze()
    began = time.process_time()
    server.run()
    spent = (time.process_time() - began) * 1e3
    print(f"served {server.frame} ticks, {spent / max(server.frame, 1):.3f} ms of processor time each")
