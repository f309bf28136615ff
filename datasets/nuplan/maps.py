"""Where the maps of a log are."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from drive.datasets.nuplan.schema import MAP_VERSION
from drive.errors import InputError, UnknownNameError

LEVELS = 5
"""Folders above a log in which `maps` is looked for: the data set keeps logs in `nuplan-v1.1/splits/mini`."""


def map_file(log: Path, city: str, root: Path | None = None) -> Path:
    """The `map.gpkg` of a city, for a log.

    Maps are in the folder `root`, else in the one that `NUPLAN_MAPS_ROOT` names, else in a folder `maps`
    beside the log or above it.
    Raises InputError saying what is missing.
    """
    city = city.removesuffix(".gpkg")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", city):
        raise InputError(f"{log.name}: its map is called '{city[:80]}', which is no name of a city")
    root = root or maps_root(log)
    if root is None:
        raise InputError(
            f"{log.name}: no maps: there is no folder 'maps' beside the log; set NUPLAN_MAPS_ROOT to where "
            f"{MAP_VERSION}.json lies"
        )
    index = root / f"{MAP_VERSION}.json"
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        version = str(known[city]["version"])
    except KeyError:
        raise UnknownNameError(f"city in {index}", city, known) from None
    except OSError:
        others = sorted(p.name for p in root.glob("nuplan-maps-*.json"))
        told = f"it has {others[0]}, of another version" if others else "it holds no index of nuPlan maps"
        raise InputError(f"{root}: {MAP_VERSION}.json is missing; {told}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{index}: it is no index of nuPlan maps ({error})") from None
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", version) or version.startswith("."):
        raise InputError(f"{index}: '{version[:40]}' is no version of a map")
    path = root / city / version / "map.gpkg"
    if not path.is_file():
        raise InputError(f"{path}: the map that {index.name} names is missing")
    return path


def maps_root(log: Path) -> Path | None:
    given = os.environ.get("NUPLAN_MAPS_ROOT")
    if given:
        return Path(given)
    for folder in list(log.absolute().parents)[:LEVELS]:
        if (folder / "maps").is_dir() and any((folder / "maps").glob("nuplan-maps-*.json")):
            return folder / "maps"
    return None
