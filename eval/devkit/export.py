"""Scenes as nuPlan's files, each in a folder of its own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from drive.datasets.nuplan import write_nuplan
from drive.datasets.nuplan.maps import maps_root
from drive.datasets.nuplan.rows import read_rows
from drive.datasets.nuplan.write import DEFAULT_CITY
from drive.datasets.source import load, source_of
from drive.errors import InputError
from drive.vehicle import VehicleParams


def slug(text: str) -> str:
    """A scene's name as that of a file."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_")


@dataclass(frozen=True, slots=True)
class Exported:
    """A scene in nuPlan's files: its log, the folder of its maps, its token and city, and what the files
    cannot hold."""

    log: Path
    maps: Path
    token: str
    city: str
    notes: tuple[str, ...] = ()


def export(scene: str, work: Path) -> Exported:
    """The scene as nuPlan's files: its own if it is one of a log (`file.db#token`), else below `work`.

    Each goes into a folder of its own: the devkit keeps maps by their path as long as the process lives.
    What is there already is taken as it is. Raises InputError or a kind of it for what is no scene with
    roads.
    """
    path, _, token = scene.partition("#")
    if Path(path).suffix == ".db":
        log = Path(path)
        token = token or source_of(scene).ids(scene)[0].partition("#")[2]
        root, city = maps_root(log), read_rows(log, token).city
        if root is None:
            raise InputError(f"{log.name}: no maps: set NUPLAN_MAPS_ROOT to where they are")
        return Exported(log, root, token, city.removesuffix(".gpkg"))
    folder = work / "files" / slug(scene)
    listing = folder / "written.json"
    if not listing.exists():
        scenario = load(scene)
        written = write_nuplan([scenario], folder)[0]
        notes = list(written.notes)
        if scenario.vehicle != VehicleParams():
            notes.append("the devkit drives its own car, a Pacifica, whatever the scenario's ego is")
        made = {"log": written.log.name, "token": written.token, "city": written.city}
        listing.write_text(json.dumps({**made, "notes": notes}), encoding="utf-8")
    about = json.loads(listing.read_text(encoding="utf-8"))
    return Exported(
        folder / "logs" / about["log"],
        folder / "maps",
        about["token"],
        about.get("city", DEFAULT_CITY),
        tuple(about["notes"]),
    )
