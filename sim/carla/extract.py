"""Road networks out of a running CARLA, by its own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drive.errors import DriveError, InputError
from drive.files import file_stem, write_whole
from drive.sim.carla.client import client_module, line
from drive.sim.carla.maps import bare_name


def save_maps(
    host: str, port: int, folder: Path, only: tuple[str, ...], timeout: float
) -> Iterator[tuple[str, str]]:
    """Load each town and write its OpenDRIVE text; yields each town's name and what became of it.

    The town that was there is loaded again at the end. Raises InputError when nobody answers, when a town of
    `only` is not there, and at the end when a town could not be had.
    """
    client = client_module().Client(host, port)
    client.set_timeout(timeout)
    try:
        towns = {bare_name(name): name for name in sorted(client.get_available_maps())}
        before = client.get_world().get_map().name
    except RuntimeError as error:
        raise InputError(f"no CARLA answers on {host}:{port}: {line(error)}") from None
    missing = [name for name in only if name not in towns]
    if missing:
        raise InputError(f"CARLA has no map {', '.join(missing)} (it has: {', '.join(towns)})")
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in only or towns:
        try:
            text = client.load_world(towns[name]).get_map().to_opendrive()
            path = write_whole(folder / f"{file_stem(name)}.xodr", text)
            yield name, f"{path} ({len(text) / 1e6:.2f} MB)"
        except (RuntimeError, OSError, DriveError) as error:
            failed.append(name)
            yield name, f"failed: {line(error)}"
    try:
        client.load_world(before)
    except RuntimeError as error:
        yield bare_name(before), f"could not be loaded again: {line(error)}"
    if failed:
        raise InputError(f"{len(failed)} of {len(only or towns)} maps could not be had: {', '.join(failed)}")
