"""OpenSCENARIO files and folders as a source of scenarios.

References: `file.xosc`, `file.xosc#NAME=VALUE,NAME=VALUE` with parameters put in place of the file's, and
folders. A file that distributes parameters over a scenario gives `file.xosc#NUMBER`, a combination each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.openscenario.expressions import parse_assignments
from drive.datasets.openscenario.reader import read_openscenario
from drive.datasets.openscenario.scenario import make_scenario
from drive.datasets.openscenario.text import open_text
from drive.datasets.openscenario.variation import read_variation
from drive.datasets.xml import root_tag
from drive.errors import DriveError, InputError

if TYPE_CHECKING:
    from drive.scenario import Scenario

SHOWN = 20
"""Combinations that a file with a distribution offers, evenly spread over all."""


@dataclass(frozen=True, slots=True)
class OpenScenarioSource:
    """The source "openscenario"."""

    name: str = "openscenario"

    def matches(self, ref: str) -> bool:
        path = Path(ref.partition("#")[0])
        if path.is_dir():
            return "#" not in ref and next(path.rglob("*.xosc"), None) is not None
        return path.suffix == ".xosc" and path.is_file() and root_tag(path) == "OpenSCENARIO"

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """The references in a file or folder; raises InputError where none can be used."""
        found, skipped = self._look(ref)
        if found:
            return found
        if len(skipped) == 1:
            raise InputError(skipped[0][1])
        raise InputError(
            f"none of the {len(skipped)} files in '{ref}' can be used; the first: {skipped[0][1]}"
        )

    def skipped(self, ref: str, ego: str = "planned") -> list[tuple[str, str]]:
        """(file, reason) of every file that `ids` leaves out."""
        return self._look(ref)[1]

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """Load one scenario. Raises InputError, MapError or ScenarioError, each naming the file."""
        where, _, rest = ref.partition("#")
        path = Path(where)
        if rest.isdigit():
            variation = read_variation(path)
            given = variation.values(int(rest))
            return make_scenario(read_openscenario(variation.file, given), f"{path.name}#{rest}")
        name = f"{path.name}#{rest}" if rest else path.name
        return make_scenario(read_openscenario(path, parse_assignments(rest)), name)

    def _look(self, ref: str) -> tuple[list[str], list[tuple[str, str]]]:
        if "#" in ref:
            return [ref], []
        path = Path(ref)
        files = sorted(path.rglob("*.xosc")) if path.is_dir() else [path]
        found: list[str] = []
        skipped: list[tuple[str, str]] = []
        for file in files:
            name = str(file.relative_to(path)) if path.is_dir() else file.name
            try:
                found += _refs(str(file), file.stat().st_mtime_ns)
            except (DriveError, OSError) as error:
                skipped.append((name, str(error)))
        return found, skipped


@lru_cache(maxsize=512)
def _refs(file: str, changed: int) -> list[str]:
    """What a file offers, each of which can be loaded."""
    path = Path(file)
    if open_text(path).child("ParameterValueDistribution") is None:
        make_scenario(read_openscenario(path), path.name, 1.0)
        return [file]
    variation = read_variation(path)
    total = len(variation)
    count = min(SHOWN, total)
    numbers = [round(k * (total - 1) / max(count - 1, 1)) for k in range(count)]
    good, fault = [], None
    for number in numbers:
        try:
            make_scenario(read_openscenario(variation.file, variation.values(number)), path.name, 1.0)
            good.append(f"{file}#{number}")
        except DriveError as error:
            fault = error
    if not good and fault is not None:
        raise fault
    return good


SOURCE = OpenScenarioSource()
