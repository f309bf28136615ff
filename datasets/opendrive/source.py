"""OpenDRIVE files as a source of scenarios.

References: `town.xodr#3` (the drive of seed 3), `town.xodr#0:20` (seeds 0 to 19), `town.xodr#A>B` (from the
start of lane A to the end of lane B, ids ROAD.SECTION.LANE), `town.xodr` (seeds 0 to 4), and folders.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.opendrive.reader import read_opendrive
from drive.datasets.opendrive.roadmap import BuiltMap, build_roadmap
from drive.datasets.xml import root_tag
from drive.errors import InputError

if TYPE_CHECKING:
    from drive.scenario import Scenario

DEFAULT_SEEDS = 5
MAX_RANGE = 100_000


@dataclass(frozen=True, slots=True)
class OpenDriveSource:
    """The source "opendrive"."""

    name: str = "opendrive"

    def matches(self, ref: str) -> bool:
        path = Path(ref.partition("#")[0])
        return path.suffix.lower() == ".xodr" and path.is_file() and root_tag(path) == "OpenDRIVE"

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """One reference a drive. Raises InputError for a file that cannot be used."""
        where, _, what = ref.partition("#")
        if ego == "recorded":
            raise InputError(f"{Path(where).name}: a road network holds no recorded drive")
        if ">" in what:
            return [ref]
        match = re.fullmatch(r"(?:(\d+)(?::(\d+))?)?", what)
        if match is None:
            raise InputError(f"'{ref}' names no drive; write FILE#SEED, FILE#FROM:TO or FILE#LANE>LANE")
        first, stop = match.groups()
        low = int(first) if first is not None else 0
        high = int(stop) if stop is not None else low + (1 if first is not None else DEFAULT_SEEDS)
        if not low < high <= low + MAX_RANGE:
            raise InputError(
                f"'{ref}' names no seeds: FROM:TO counts from FROM up to but without TO, at most {MAX_RANGE}"
            )
        load_map(where)
        return [f"{where}#{seed}" for seed in range(low, high)]

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """One scenario. Raises InputError, MapError or ScenarioError, each naming the file."""
        # The simulation that makes the traffic is loaded only by who drives.
        from drive.datasets.opendrive.scenario import named_scenario, seeded_scenario

        where, _, what = ref.partition("#")
        built = load_map(where)
        if ">" in what:
            start, _, goal = what.partition(">")
            return named_scenario(built, start.strip(), goal.strip(), f"{built.name}#{what}")
        refs = self.ids(ref) if what else [f"{where}#0"]
        if len(refs) != 1:
            raise InputError(f"'{ref}' stands for {len(refs)} drives; name one, such as {refs[0]}")
        seed = int(refs[0].rpartition("#")[2])
        return seeded_scenario(built, seed, f"{built.name}#{seed}")


def load_map(where: str | Path) -> BuiltMap:
    """The road map of a file, built once as long as the file stays as it is."""
    path = Path(where)
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    return _cached_map(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _cached_map(path: str, changed: int, size: int) -> BuiltMap:
    return build_roadmap(read_opendrive(path))


SOURCE = OpenDriveSource()
