"""Scenarios to a folder that nuPlan's devkit opens: `maps/`, and one log a scenario in `logs/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive._imports import import_target
from drive.datasets.nuplan.mapping import SCENARIO_TYPES, window_of
from drive.datasets.nuplan.network import Ids
from drive.datasets.nuplan.schema import CITIES
from drive.datasets.nuplan.write_log import make_log, write_log
from drive.datasets.nuplan.write_map import Placed, place, write_maps
from drive.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drive.scenario import Scenario

DEFAULT_CITY = "us-nv-las-vegas-strip"
GAP = 500.0
"""Metres between two road maps that are put into one city."""


@dataclass(frozen=True, slots=True)
class Written:
    """One scenario as written: its log, the token and type by which the devkit finds it, its city, and what
    nuPlan's files could not hold."""

    scenario: str
    log: Path
    token: str
    type: str
    city: str
    notes: tuple[str, ...] = ()


def write_nuplan(
    scenarios: Sequence[Scenario],
    folder: Path,
    city: str = DEFAULT_CITY,
    scenario_type: str | None = None,
) -> list[Written]:
    """Write `folder/maps` and `folder/logs/*.db`.

    Different road maps lie side by side in `city`. The type of a scenario is `scenario_type`, or the first
    of its tags that is one of nuPlan's types (and then it must be 15 s long), or its family's name: types
    that the devkit does not know run from the first frame to the log's end, 20 s at most.

    Raises UnknownNameError for an unknown city, InputError or a kind of it for a scenario without roads, and
    for a folder that holds other logs already: the maps are written anew.
    """
    if city not in CITIES:
        raise UnknownNameError("city", city, CITIES)
    if not scenarios:
        raise InputError("there is no scenario to write")
    names = [_log_name(number, scenario) for number, scenario in enumerate(scenarios)]
    others = sorted({p.stem for p in (folder / "logs").glob("*.db")} - set(names))
    if others:
        raise InputError(
            f"'{folder}' holds logs already ({others[0]}.db), which would lose their map; name another folder"
        )
    import_target("pyogrio", "writing nuPlan's maps")  # before anything is written
    worlds: dict[tuple[str, tuple[float, float]], Placed] = {}
    keys = [(s.roadmap.content_hash, s.origin) for s in scenarios]
    ids = Ids(keep=len(set(keys)) == 1)
    corner = np.asarray(CITIES[city][2])
    shelf, reach = corner.copy(), 0.0
    for key, scenario in zip(keys, scenarios, strict=True):
        if key in worlds:
            continue
        if len(set(keys)) == 1 and _inside(scenario, city):
            offset = scenario.origin
        else:
            x0, y0, x1, y1 = scenario.roadmap.bounds
            if shelf[0] > corner[0] + 30_000.0:
                shelf = np.array([corner[0], shelf[1] + reach + GAP])
                reach = 0.0
            # Whole metres, so that the shift there and back costs no digits.
            offset = (float(np.ceil(shelf[0] - x0)), float(np.ceil(shelf[1] - y0)))
            shelf[0] += np.ceil(x1 - x0) + GAP
            reach = max(reach, float(np.ceil(y1 - y0)))
        worlds[key] = place(scenario.roadmap, offset, ids, len(worlds))
    out = []
    logs = []
    for name, key, scenario in zip(names, keys, scenarios, strict=True):
        kind = scenario_type or _type_of(scenario)
        log = make_log(scenario, worlds[key], city, name, kind, window_of(kind))
        logs.append((folder / "logs" / f"{name}.db", log, kind))
    write_maps(folder / "maps", city, list(worlds.values()), ids)
    for key, scenario, (path, log, kind) in zip(keys, scenarios, logs, strict=True):
        write_log(path, log)
        out.append(Written(scenario.id, path, log.token, kind, city, tuple(worlds[key].notes)))
    return out


def _log_name(number: int, scenario: Scenario) -> str:
    return f"{number:05d}_{re.sub(r'[^A-Za-z0-9.-]+', '_', scenario.id)[-80:].strip('_.')}"


def _type_of(scenario: Scenario) -> str:
    if scenario.duration >= 15.0 - 1e-6:
        for tag in (*scenario.tags, scenario.family.rpartition("/")[2]):
            if tag in SCENARIO_TYPES:
                return tag
    return re.sub(r"[^a-z0-9]+", "_", (scenario.family or "drive").lower()).strip("_") or "drive"


def _inside(scenario: Scenario, city: str) -> bool:
    """Whether a scenario's origin is a place in that city already."""
    return bool(np.hypot(*(np.asarray(scenario.origin) - CITIES[city][2])) < 50_000.0)
