"""The connection to a CARLA server, a real one or ours: version, town, a world that a dead client left."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Any

from drive.errors import InputError, MissingExtraError, SimulationError
from drive.sim.carla.maps import bare_name

ROLE = "drive_"
"""How the role names of what we spawn begin: by it the actors that a dead client of ours left are known."""
STILL = 1.5
"""Seconds without a new frame after which a synchronous world counts as frozen."""
LOADING = 120.0
CALLING = 60.0


def client_module() -> Any:
    """The module `carla`. Raises MissingExtraError."""
    try:
        import carla
    except ModuleNotFoundError:
        raise MissingExtraError("carla", "carla") from None
    return carla


def connect(host: str = "127.0.0.1", port: int = 2000, timeout: float = CALLING) -> Any:
    """A `carla.Client` whose server answers and is of the same release.

    Raises InputError where nobody answers or the releases differ.
    """
    carla = client_module()
    try:
        # Without this, a wrong port costs the whole timeout.
        with closing(socket.create_connection((host, port), timeout=5.0)):
            pass
    except OSError as error:
        raise InputError(
            f"no CARLA answers on {host}:{port} ({error.strerror or error}); start one, or drive carla serve"
        ) from None
    client = carla.Client(host, port)
    client.set_timeout(timeout)
    try:
        server, own = client.get_server_version(), client.get_client_version()
    except RuntimeError as error:
        raise InputError(f"no CARLA answers on {host}:{port}: {line(error)}") from None
    if release(server) != release(own):
        raise InputError(
            f"the CARLA on {host}:{port} is {server} and the installed client {own}: "
            f"install carla=={release(server)}"
        )
    return client


def release(version: str) -> str:
    """`0.9.16` of `0.9.16-dirty` and the like."""
    return version.split("-")[0].strip()


def thaw(client: Any) -> tuple[bool, int]:
    """Wake a world that a client left in synchronous mode; destroy what one of ours left in it.

    Returns whether it was frozen, and how many actors were destroyed. Raises InputError where another client
    ticks the world: two that tick one world both get rubbish.
    """
    world = client.get_world()
    settings = world.get_settings()
    frozen = False
    if settings.synchronous_mode:
        before, end = world.get_snapshot().frame, time.monotonic() + STILL
        while time.monotonic() < end:
            time.sleep(0.05)
            if world.get_snapshot().frame != before:
                raise InputError("another client ticks this CARLA world; stop it, or use another port")
        frozen = True
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        world.apply_settings(settings)
    return frozen, len(reclaim(client, world))


def reclaim(client: Any, world: Any) -> list[int]:
    """Destroy the actors whose role name is ours, sensors and controllers first; returns their ids."""
    carla = client_module()
    found = [a for a in world.get_actors() if a.attributes.get("role_name", "").startswith(ROLE)]
    order = ("sensor.", "controller.", "walker.", "vehicle.", "static.")
    rank = {k: n for n, k in enumerate(order)}
    found.sort(key=lambda a: rank.get(a.type_id.partition(".")[0] + ".", len(order)))
    ids = [a.id for a in found]
    if ids:
        client.apply_batch_sync([carla.command.DestroyActor(i) for i in ids], False)
    return ids


def enter_town(client: Any, town: str) -> Any:
    """The world of a town, which is loaded where another one is there. Raises InputError, SimulationError."""
    world = client.get_world()
    if bare_name(world.get_map().name) == bare_name(town):
        return world
    known = {bare_name(name): name for name in client.get_available_maps()}
    if bare_name(town) not in known:
        raise InputError(f"this CARLA has no map {town} (it has: {', '.join(sorted(known))})")
    client.set_timeout(LOADING)
    try:
        return client.load_world(known[bare_name(town)])
    except RuntimeError as error:
        raise SimulationError(f"CARLA could not load {town}: {line(error)}") from None
    finally:
        client.set_timeout(CALLING)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def line(error: BaseException) -> str:
    """An error's text in one line."""
    return " ".join(str(error).split()) or type(error).__name__
