"""Our own server beside this process, for who has no CARLA.

It is a process of its own: CARLA's client holds the interpreter while it waits for some answers.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from drive.errors import SimulationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from drive.sim.carla.server import Server


@contextmanager
def own_server(maps: Path, town: str | None = None) -> Iterator[int]:
    """The port of a server of the towns in a folder, as long as the block lasts, or this process lives."""
    command = [sys.executable, "-m", "drive", "carla", "serve", "--port", "0", "--streaming-port", "0"]
    command += ["--maps", str(maps), "--reclaim", "--unfreeze-after", "1", "--leash"]
    command += ["--map", town] if town else []
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        found = re.search(r" on \S+:(\d+),", said)
        if found is None:
            raise SimulationError(f"our own CARLA server did not start (see above) {said.strip()}")
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield int(found.group(1))
    finally:
        server.terminate()
        try:
            server.wait(10.0)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def end_with_stdin(server: Server) -> None:
    """Stop a server when its standard input ends: with the process that started it, however that ended."""

    def wait() -> None:
        sys.stdin.read()
        server.stop()

    threading.Thread(target=wait, daemon=True, name="leash").start()
