"""A server of ours in a thread of the tests' process, and the real client in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from drive.datasets.opendrive.town import read_town
from drive.sim.carla.maps import Maps
from drive.sim.carla.server import Options, Server
from drive.sim.carla.world.world import CarlaWorld

HERE = Path(__file__).parent
SMALL = HERE.parent / "datasets" / "opendrive_small.xodr"
TOWNS = HERE.parents[1].parent / "shared" / "data" / "carla_opendrive"


def world_of(path: Path, name: str) -> CarlaWorld:
    return CarlaWorld.load(read_town(path, name))


def maps() -> dict[str, Path]:
    """The small network of the tests, and the towns where they are."""
    return {"small": SMALL, **{path.stem: path for path in sorted(TOWNS.glob("*.xodr"))}}


@contextmanager
def serving(town: str = "small", **options: Any) -> Iterator[tuple[Server, list[str]]]:
    """A server on a free port, and what it logs."""
    said: list[str] = []
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


def command(port: int, case: str, *rest: object) -> list[str]:
    return [sys.executable, str(HERE / "carla_client.py"), str(port), case, *map(str, rest)]


def client(port: int, case: str, *rest: object, timeout: float = 120.0) -> dict[str, Any]:
    """What a case of carla_client.py found; its process must have ended well."""
    done = subprocess.run(
        command(port, case, *rest), capture_output=True, text=True, timeout=timeout, env={**os.environ}
    )
    assert done.returncode == 0, f"{case}: status {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


__all__ = ["TOWNS", "client", "command", "maps", "serving"]
