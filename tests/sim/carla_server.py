"""A server of ours in a thread of the tests' process, and the real client in processes of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack

from drive.datasets.opendrive.town import read_town
from drive.sim.carla.maps import Maps
from drive.sim.carla.server import Options, Server
from drive.sim.carla.warm import warm
from drive.sim.carla.wire.versions import VERSIONS
from drive.sim.carla.world.world import CarlaWorld

HERE = Path(__file__).parent
PYTHON = os.environ.get("CARLA_CLIENT_PYTHON", sys.executable)
"""The interpreter that has the client: one of another release may live in an environment of its own."""
SMALL = HERE.parent / "datasets" / "opendrive_small.xodr"
TOWNS = HERE.parents[1].parent / "shared" / "data" / "carla_opendrive"


SCRIPTS = {
    "traffic": "carla_load.py",
    "bare": "carla_load.py",
    "sensors": "carla_senses.py",
    "crash": "carla_senses.py",
}
"""Where the cases are that carla_client.py has not."""


def client_version() -> str | None:
    """The release of the client that the tests run, None where there is none or it is not known to us."""
    ask = "import importlib.metadata as m; print(m.version('carla'))"
    # Without our own path: the other interpreter must not find our packages.
    told = subprocess.run(
        [PYTHON, "-I", "-c", ask], capture_output=True, text=True, timeout=60
    ).stdout.strip()
    return told if told in VERSIONS else None


def world_of(path: Path, name: str) -> CarlaWorld:
    return CarlaWorld.load(read_town(path, name))


def maps() -> dict[str, Path]:
    """The small network of the tests, and the towns where they are."""
    return {"small": SMALL, **{path.stem: path for path in sorted(TOWNS.glob("*.xodr"))}}


@contextmanager
def serving(town: str = "small", **options: Any) -> Iterator[tuple[Server, list[str]]]:
    """A server on a free port, and what it logs."""
    said: list[str] = []
    warm(world_of(SMALL, "small"))
    asked = replace(Options(port=0, unfreeze_after=0.5), **options)
    server = Server(Maps(maps()), town, world_of, asked, said.append)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server, said
    finally:
        server.stop()
        thread.join(20.0)
        assert not thread.is_alive(), "the server does not end"


def tell(port: int, name: str, *parameters: Any) -> Any:
    """One call by a plain socket."""
    with socket.create_connection(("127.0.0.1", port), timeout=20.0) as sock:
        sock.sendall(msgpack.packb([0, 1, name, [[False], *parameters]]))
        return msgpack.unpackb(sock.recv(1 << 16))


def command(port: int, case: str, *rest: object) -> list[str]:
    return [PYTHON, str(HERE / SCRIPTS.get(case, "carla_client.py")), str(port), case, *map(str, rest)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def client(port: int, case: str, *rest: object, timeout: float = 360.0) -> dict[str, Any]:
    """What a case found; its process must have ended well."""
    done = subprocess.run(
        command(port, case, *rest), capture_output=True, text=True, timeout=timeout, env=environment()
    )
    assert done.returncode == 0, f"{case}: status {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


__all__ = ["TOWNS", "client", "command", "maps", "serving"]
