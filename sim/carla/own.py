"""Our own server in a thread of this process, for who has no CARLA."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from drive.errors import SimulationError
from drive.sim.carla.server import Options, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from drive.sim.carla.maps import Maps
    from drive.sim.carla.world.world import CarlaWorld


@contextmanager
def own_server(
    maps: Maps, first: str, load: Callable[[Path, str], CarlaWorld], options: Options | None = None
) -> Iterator[Server]:
    """A server on free ports of this machine, as long as the block lasts."""
    said: list[str] = []
    server = Server(maps, first, load, options or Options(port=0, streaming_port=0, reclaim=True), said.append)
    thread = threading.Thread(target=server.run, daemon=True, name="carla server")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(20.0)
        if thread.is_alive():
            raise SimulationError("our own CARLA server does not end")
