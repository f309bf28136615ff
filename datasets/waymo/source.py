"""Waymo Open Motion files (TFRecords of scenarios) as a source.

References: `file.tfrecord-00000-of-01000` (its first scenario), `FILE#SCENARIO`, `FILE#SCENARIO@TRACK` for
another recorded vehicle as the ego, and folders of such files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.recording import Recording, ego_scenario, egos
from drive.datasets.source import file_key, split_ref
from drive.datasets.waymo.records import read_record, read_records, starts_as_record
from drive.datasets.waymo.scene import read_scene, scene_id
from drive.errors import InputError, ScenarioError, UnknownNameError

if TYPE_CHECKING:
    from drive.scenario import Scenario

MAX_FILE = 1 << 36


@dataclass(frozen=True, slots=True)
class WaymoSource:
    """The source "waymo"; `egos` is the number of recorded vehicles that a scenario offers as egos."""

    name: str = "waymo"
    egos: int = 3

    def matches(self, ref: str) -> bool:
        """Whether a reference names a file with "tfrecord" in its name, or one that begins as a record."""
        path = Path(split_ref(ref)[0])
        if not path.is_file():
            return False
        return "tfrecord" in path.name or (path.suffix in ("", ".bin") and starts_as_record(path))

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """References to every scenario of a file: with its recording car as the ego for "planned", with the
        motor vehicles that drive farthest for "recorded". Raises InputError for a file that is damaged."""
        if "#" in ref:
            return [ref]
        path = Path(ref)
        refs: list[str] = []
        for scene in _index(path):
            if ego == "planned":
                refs.append(f"{ref}#{scene}")
                continue
            try:
                refs += [f"{ref}#{scene}@{track}" for track in egos(_recording(path, scene), ego, self.egos)]
            except InputError:
                continue  # told by `skipped`
        return refs

    def skipped(self, ref: str, ego: str = "planned") -> list[tuple[str, str]]:
        """(file, reason) of every scenario of a file that `ids` leaves out."""
        path = Path(ref)
        if "#" in ref or ego == "planned":
            return []
        out = []
        for scene in _index(path):
            try:
                egos(_recording(path, scene), ego, self.egos)
            except InputError as error:
                out.append((path.name, f"scenario '{scene}': {error}"))
        return out

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """Load one scenario. Raises InputError, MapError or ScenarioError, each naming the file."""
        where, scene, track = split_ref(ref)
        path = Path(where)
        scene = scene or next(iter(_index(path)))
        recording = _recording(path, scene)
        track = track or egos(recording, "planned", 1)[0]
        return ego_scenario(recording, track, f"{path.name}#{scene}@{track}")


def _index(path: Path) -> dict[str, int]:
    """Where each scenario of a file begins, by its id."""
    return _cached_index(*file_key(path, MAX_FILE))


def _recording(path: Path, scene: str) -> Recording:
    index = _index(path)
    if scene not in index:
        raise UnknownNameError(f"scenario of {path.name}", scene, index)
    return _cached(*file_key(path, MAX_FILE), index[scene])


@lru_cache(maxsize=64)
def _cached_index(path: str, changed: int, size: int) -> dict[str, int]:
    place = Path(path)
    index: dict[str, int] = {}
    for number, (at, data) in enumerate(read_records(place)):
        try:
            scene = scene_id(np.frombuffer(data, dtype=np.uint8))
        except InputError as error:
            raise InputError(f"{place.name}: record {number}: {error}") from None
        if not scene:
            raise InputError(f"{place.name}: record {number} holds no motion scenario with an id")
        if scene in index:
            raise ScenarioError(f"{place.name}: two scenarios have the id '{scene}'")
        index[scene] = at
    if not index:
        raise InputError(f"{place.name}: the file is empty")
    return index


@lru_cache(maxsize=8)
def _cached(path: str, changed: int, size: int, at: int) -> Recording:
    place = Path(path)
    return read_scene(read_record(place, at), place.name)


SOURCE = WaymoSource()
