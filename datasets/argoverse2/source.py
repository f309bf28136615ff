"""Argoverse 2 files and folders as a source of scenarios.

References: a motion forecasting table `scenario_X.parquet`, a sensor log's folder (or its table of boxes),
`REF#SCENE@TRACK` for another recorded vehicle as the ego (SCENE may be empty), and folders of such.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.argoverse2.motion import read_motion
from drive.datasets.argoverse2.sensor import POSES, boxes_of, read_log
from drive.datasets.argoverse2.tables import MAX_FILE
from drive.datasets.recording import Recording, check_scene, ego_scenario, egos
from drive.datasets.source import file_key, split_ref
from drive.errors import InputError

if TYPE_CHECKING:
    from drive.scenario import Scenario

PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class ArgoverseSource:
    """The source "argoverse2"; `egos` is the number of recorded vehicles that a scene offers as egos."""

    name: str = "argoverse2"
    egos: int = 3

    def matches(self, ref: str) -> bool:
        """Whether a reference names a Parquet table, a sensor log's folder, or the boxes in one."""
        path = Path(split_ref(ref)[0])
        if path.is_dir():
            return (path / POSES).is_file() or any(path.glob("annotations*.feather"))
        if path.suffix == ".feather":
            if path.name == POSES:  # the log is found by its boxes, and by its poses where it lacks these
                return path.is_file() and not any(path.parent.glob("annotations*.feather"))
            return path.name.startswith("annotations") and path.is_file()
        return path.suffix == ".parquet" and path.is_file() and _begins(path, PARQUET)

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """One reference for "planned": the focal track's or the recording car's; up to `egos` for "recorded",
        the motor vehicles that drive farthest. Raises InputError for what cannot be used."""
        if "#" in ref:
            return [ref]
        path = _place(ref)
        recording = _recording(path)
        return [f"{path}#@{track}" for track in egos(recording, ego, self.egos)]

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """Load one scenario. Raises InputError, MapError or ScenarioError, each naming the file."""
        _, scene, track = split_ref(ref)
        recording = _recording(_place(ref))
        check_scene(recording, scene)
        if not track:
            track = egos(recording, "planned", 1)[0]
        return ego_scenario(recording, track, f"{recording.file}#@{track}")


def _place(ref: str) -> Path:
    """The table of a motion forecasting scene, or the folder of a sensor log."""
    path = Path(split_ref(ref)[0])
    return path.parent if path.suffix == ".feather" else path


def _begins(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _recording(path: Path) -> Recording:
    """The recording in a table or a log's folder, read anew where a file of it changed."""
    if path.is_dir():
        files = [boxes_of(path), path / POSES, *sorted((path / "map").glob("*.json"))]
        if not files[1].is_file():
            raise InputError(f"{path.name}: the log lacks {POSES}")
    else:
        files = [path, *sorted(path.parent.glob("log_map_archive_*.json"))]
    return _cached(str(path), tuple(file_key(file, MAX_FILE) for file in files))


@lru_cache(maxsize=16)
def _cached(path: str, files: tuple[tuple[str, int, int], ...]) -> Recording:
    place = Path(path)
    return read_log(place) if place.is_dir() else read_motion(place)


SOURCE = ArgoverseSource()
