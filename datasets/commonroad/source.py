"""CommonRoad files and folders as a source of scenarios.

References: `file.xml` (its first planning problem), `file.xml#problem`, `file.xml#scenario@track` (a
recorded vehicle as the ego; the part before @ may be empty), and folders, which hold any number of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.commonroad.reader import read_commonroad
from drive.datasets.commonroad.scenario import (
    World,
    make_world,
    planned_scenario,
    problem_lanes,
    recorded_scenario,
    valid_span,
)
from drive.datasets.commonroad.write import commonroad_xml
from drive.datasets.conventions import MIN_DISTANCE, SHORT, implausible, origin_near
from drive.datasets.matching import start_lanes
from drive.datasets.source import file_key, paths_of, split_ref
from drive.datasets.xml import root_tag
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.commonroad.model import CommonRoadFile, Obstacle
    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

ROOTS = ("commonRoad", "CommonRoadSolution")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a file or folder holds: refs that can be loaded, and (file, reason) for what cannot."""

    refs: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CommonRoadSource:
    """The source "commonroad"; `egos` is the number of recorded vehicles that a file offers as egos."""

    name: str = "commonroad"
    egos: int = 3
    written: str = ".xml"
    separate: bool = True

    def matches(self, ref: str) -> bool:
        """Whether a reference names a CommonRoad file, or a folder that holds one somewhere below."""
        path = Path(split_ref(ref)[0])
        if path.is_dir():
            return "#" not in ref and any(root_tag(p) == "commonRoad" for p in sorted(path.rglob("*.xml")))
        return path.suffix == ".xml" and path.is_file() and root_tag(path) in ROOTS

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """References to every scenario in a file or folder.

        `ego` "planned" gives the planning problems, "recorded" the motor vehicles that drive farthest
        among those recorded for 3 s or more. A reference that already names a scenario stays as it is.
        Raises InputError for a file that cannot be used, and for a folder in which none can.
        """
        if "#" in ref:
            return [ref]
        if not Path(ref).is_dir():
            _check_ego(ego)
            refs, faults = self._refs(Path(ref), ego)
            if not refs:
                raise ScenarioError(faults[0])
            return refs
        listing = self.listing(ref, ego)
        if listing.refs:
            return list(listing.refs)
        if not listing.skipped:
            raise InputError(f"no CommonRoad file in '{ref}'; name an .xml file or a folder of such")
        name, reason = listing.skipped[0]
        count = len(listing.skipped)
        raise InputError(f"none of the {count} files in '{ref}' can be used; the first, {name}: {reason}")

    def skipped(self, ref: str, ego: str = "planned") -> list[tuple[str, str]]:
        """(file, reason) of every file in a folder that `ids` leaves out."""
        return [] if "#" in ref else list(self.listing(ref, ego).skipped)

    def listing(self, ref: str, ego: str = "planned") -> Listing:
        """Look at every file of a folder, or at the one file."""
        _check_ego(ego)
        path = Path(ref)
        files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
        refs: list[str] = []
        skipped: list[tuple[str, str]] = []
        for file in files:
            name = str(file.relative_to(path)) if path.is_dir() else file.name
            try:
                inside, faults = self._refs(file, ego)
            except InputError as error:
                inside, faults = [], [str(error)]
            refs += inside
            skipped += [(name, fault) for fault in faults]
        return Listing(tuple(refs), tuple(skipped))

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """Load one scenario. Raises InputError, MapError or ScenarioError, each naming the file."""
        where, scenario, track = split_ref(ref)
        path = Path(where)
        file = _read(path)
        if track:
            obstacle = next((o for o in file.obstacles if o.id == track), None)
            if obstacle is None:
                reason = next((s for s in file.skipped if s.startswith(f"obstacle {track}:")), None)
                raise ScenarioError(f"{file.name}: no usable road user '{track}' ({reason or 'unknown id'})")
            if obstacle.static:
                raise ScenarioError(f"{file.name}: obstacle '{track}' is static and cannot be the ego")
            world = _world(path, file, obstacle=obstacle)
            return recorded_scenario(world, obstacle, f"{file.name}#{file.benchmark}@{track}")
        if not file.problems:
            raise ScenarioError(
                f"{file.name}: no planning problem in the file; name a vehicle as ego ({file.name}#@TRACK)"
            )
        problem = next((p for p in file.problems if scenario in ("", p.id)), None)
        if problem is None and scenario == file.benchmark:
            problem = file.problems[0]
        if problem is None:
            ids = [p.id for p in file.problems]
            raise UnknownNameError(f"planning problem of {file.name}", scenario, ids)
        world = _cached_world(*file_key(path), origin_near(problem.x, problem.y))
        return planned_scenario(world, problem, f"{file.name}#{problem.id}")

    def write(self, scenarios: Sequence[Scenario], out: Path) -> list[Path]:
        """One file a scenario in the folder `out`; one scenario also under the name `out` itself."""
        texts = [(path, commonroad_xml(scenario)) for scenario, path in paths_of(scenarios, out, ".xml")]
        return [write_whole(path, text) for path, text in texts]

    def _refs(self, path: Path, ego: str) -> tuple[list[str], list[str]]:
        """References to what can be loaded from one file, and a line about each of the rest."""
        file = _read(path)
        if ego == "recorded":
            found = recorded_egos(file, path, self.egos)
            if not found:
                raise ScenarioError(f"{file.name}: no recorded motor vehicle that moves on a lane")
            return [f"{path}#{file.benchmark}@{obstacle.id}" for obstacle in found], []
        if not file.problems:
            raise ScenarioError(f"{file.name}: no planning problem in it; try recorded vehicles as egos")
        refs: list[str] = []
        faults: list[str] = []
        for problem in file.problems:
            try:
                problem_lanes(_cached_world(*file_key(path), origin_near(problem.x, problem.y)), problem)
                refs.append(f"{path}#{problem.id}")
            except ScenarioError as error:
                faults.append(str(error))
        return refs, faults


def recorded_egos(file: CommonRoadFile, path: Path, count: int) -> list[Obstacle]:
    """The `count` motor vehicles that drive farthest, of those recorded for 3 s; else the longest one."""
    rows: list[tuple[float, float, Obstacle]] = []
    for obstacle in file.obstacles:
        if obstacle.static or not obstacle.kind.is_motor_vehicle:
            continue
        first, last = valid_span(obstacle)
        run = obstacle.states[(obstacle.steps >= first) & (obstacle.steps <= last)]
        distance = float(np.hypot(*np.diff(run[:, :2], axis=0).T).sum())
        if distance < MIN_DISTANCE or implausible(run, file.dt):
            continue
        world = _world(path, file, obstacle)
        if start_lanes(world.roadmap, run[0, :2] - world.origin, float(run[0, 2])):
            rows.append((distance, (last - first) * file.dt, obstacle))
    rows.sort(key=lambda row: -row[0])
    enough = [o for _, seconds, o in rows if seconds >= SHORT - 1e-9][:count]
    if enough or not rows:
        return enough
    return [max(rows, key=lambda row: (row[1], row[0]))[2]]


def _check_ego(ego: str) -> None:
    if ego not in ("planned", "recorded"):
        raise UnknownNameError("choice of ego", ego, ("planned", "recorded"))


def _read(path: Path) -> CommonRoadFile:
    return _cached_read(*file_key(path))


def _world(path: Path, file: CommonRoadFile, obstacle: Obstacle) -> World:
    first = obstacle.states[obstacle.valid][0]
    return _cached_world(*file_key(path), origin_near(float(first[0]), float(first[1])))


@lru_cache(maxsize=64)
def _cached_read(path: str, changed: int, size: int) -> CommonRoadFile:
    return read_commonroad(path)


@lru_cache(maxsize=16)
def _cached_world(path: str, changed: int, size: int, origin: tuple[float, float]) -> World:
    return make_world(_cached_read(path, changed, size), origin)


SOURCE = CommonRoadSource()
