"""The arguments of CARLA's own executable, and a script of its name.

Tools that start CARLA themselves (Bench2Drive's and other evaluators) run `$CARLA_ROOT/CarlaUE4.sh` with
options of the Unreal engine. The script hands them to this server, which takes the ports and the map and lets
be what is about pictures and sound.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drive.errors import InputError
from drive.files import write_whole

SCRIPT = "CarlaUE4.sh"


@dataclass(frozen=True, slots=True)
class Launch:
    """What an evaluator asked of CARLA's executable."""

    port: int = 2000
    streaming_port: int | None = None
    map: str | None = None
    ignored: tuple[str, ...] = ()


def parse(arguments: Sequence[str]) -> Launch:
    """`Town01 -RenderOffScreen -carla-rpc-port=2000 ...`, also with `-carla-rpc-port 2000`.

    Raises InputError for a port that is none. What is not known is kept in `ignored`.
    """
    port, streaming, town = 2000, None, None
    ignored = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = name.lower()
        if word.startswith("-") and name in ("carla-rpc-port", "carla-port", "carla-world-port"):
            port = _port(name, value if equals else rest.pop(0) if rest else "")
        elif word.startswith("-") and name == "carla-streaming-port":
            streaming = _port(name, value if equals else rest.pop(0) if rest else "")
        elif not word.startswith("-") and town is None and not word.isdigit():
            town = word.partition("?")[0]
        else:
            ignored.append(word)
    # Zero asks the game to choose, which is what None asks of us.
    return Launch(port or 2000, streaming or None, town, tuple(ignored))


def _port(name: str, value: str) -> int:
    if not value.isdigit() or int(value) > 65534:
        raise InputError(f"-{name}={value} is no port")
    return int(value)


def write_script(folder: Path, python: str, maps: Path | None, client: str) -> Path:
    """Write `CarlaUE4.sh` into `folder`, which then does for $CARLA_ROOT."""
    words = [python, "-m", "drive", "carla", "launch", "--client", client]
    if maps is not None:
        words += ["--maps", str(maps.resolve())]
    folder.mkdir(parents=True, exist_ok=True)
    what = "# Starts the light CARLA server of the drive toolkit in the place of CARLA."
    text = f'#!/bin/sh\n{what}\nexec {shlex.join(words)} -- "$@"\n'
    path = write_whole(folder / SCRIPT, text)
    path.chmod(0o755)
    return path
