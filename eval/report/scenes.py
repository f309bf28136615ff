"""Which scenes get a replay, and the pages with all planners' runs of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from drive.errors import DriveError
from drive.eval.replay.write import MAX_RUNS, write_replay
from drive.eval.report.read import PlannerEntry, Report, Row, run_below
from drive.runlog import RunLog

ALL_BELOW = 1000
"""Up to so many runs every scene gets a page; a benchmark with more gets as many pages as hold so many."""
WORST = 5
DIFFERENT = 3
FAILED = 3
FOLDER = "replays"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Page:
    """The replay of a scene: its address beside the report, and which of its runs is whose."""

    address: str
    runs: Mapping[str, int]

    def link(self, planner: str) -> str | None:
        """The page, opened at a planner's run."""
        if planner not in self.runs:
            return None
        return self.address + (f"#run={self.runs[planner]}" if len(self.runs) > 1 else "")


@dataclass(frozen=True, slots=True)
class Scenes:
    """`pages` by scenario; `notes` on what could not be written."""

    pages: Mapping[str, Page]
    notes: tuple[str, ...]

    def link(self, planner: str, scenario: str) -> str | None:
        page = self.pages.get(scenario)
        return page.link(planner) if page else None


def worst_rows(planner: PlannerEntry, score: str, count: int = WORST) -> list[Row]:
    """The scenarios in which a planner did worst, failures first."""
    known = [r for r in planner.rows if r.valid and r.values.get(score) is not None]
    return sorted(known, key=lambda r: (r.values[score] or 0.0, r.failure is None, r.scenario))[:count]


def different_scenes(report: Report, first: int, second: int, count: int = DIFFERENT) -> list[str]:
    """The scenarios in which the scores of two planners lie farthest apart."""
    a, b = (
        {r.scenario: r.values[report.main] for r in report.planners[k].rows if r.valid and _has(r, report)}
        for k in (first, second)
    )
    apart = {scene: abs((a[scene] or 0.0) - (b[scene] or 0.0)) for scene in a if scene in b}
    ranked = sorted(apart, key=lambda scene: (-apart[scene], scene))
    return [scene for scene in ranked if apart[scene] > 0.0][:count]


def wanted_scenes(report: Report, limit: int = ALL_BELOW) -> list[str]:
    """Ids of the scenes worth a page: all, or what the page points at and then those that went worst."""
    runs = sum(1 for p in report.planners for r in p.rows if r.run)
    if runs <= limit:
        return list(report.scenarios)
    wanted = dict.fromkeys(r.scenario for p in report.planners for r in worst_rows(p, report.main))
    for p in report.planners:
        seen: dict[tuple[str, str], int] = {}
        for row in p.rows:
            if row.failure:
                key = (row.failure, row.reason)
                seen[key] = seen.get(key, 0) + 1
                if seen[key] <= FAILED:
                    wanted[row.scenario] = None
    for a, b in combinations(range(len(report.planners)), 2):
        wanted |= dict.fromkeys(different_scenes(report, a, b))
    lowest: dict[str, float] = {}
    for p in report.planners:
        for row in p.rows:
            value = row.values.get(report.main)
            if row.valid and value is not None:
                lowest[row.scenario] = min(value, lowest.get(row.scenario, value))
    room = limit // max(len(report.planners), 1)
    for scene in sorted(lowest, key=lambda s: (lowest[s], s)):
        if len(wanted) >= room:
            break
        wanted[scene] = None
    return [scene for scene in report.scenarios if scene in wanted]


def write_scenes(report: Report, folder: Path, progress: Progress | None = None) -> Scenes:
    """Write `replays/*.html` below the folder, one a scene, all planners in it.

    `progress(what, done, total)` is called after each page.
    """
    by_planner = [(p.name, {r.scenario: r for r in p.rows}) for p in report.planners]
    wanted = wanted_scenes(report)
    pages: dict[str, Page] = {}
    notes: list[str] = []
    missing = 0

    names = page_names(wanted)
    for done, scene in enumerate(wanted, 1):
        found = [(planner, rows.get(scene)) for planner, rows in by_planner]
        page, told, without = _write_one(scene, names[scene], found, folder)
        if page is not None:
            pages[scene] = page
        notes += told
        missing += without
        if progress is not None:
            progress("replays", done, len(wanted))
    if missing:
        notes.append(f"{missing} runs left no log in this folder and have no replay.")
    if len(wanted) < len(report.scenarios):
        notes.append(
            f"{len(pages)} of {len(report.scenarios)} scenarios have a replay here: the worst of each "
            "planner, failures, those in which planners differ most, then those that went worst. "
            "The details of any other tell the command that writes its replay."
        )
    return Scenes(pages, tuple(notes))


def page_names(scenes: Sequence[str]) -> dict[str, str]:
    """A file name for each scene's page: safe on every system, and different for different ids."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for scene in scenes:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", scene).strip("._")[:80] or "scene"
        if plain != scene.replace("/", "_") or plain.casefold() in taken:
            plain += "-" + hashlib.blake2b(scene.encode(), digest_size=4).hexdigest()
        taken.add(plain.casefold())
        names[scene] = f"{plain}.html"
    return names


def _write_one(
    scene: str, page: str, found: Sequence[tuple[str, Row | None]], folder: Path
) -> tuple[Page | None, list[str], int]:
    """The page of a scene, if any log of it is there; what to tell; how many logs are missing."""
    logs: list[RunLog] = []
    planners: list[str] = []
    notes: list[str] = []
    missing = 0
    for planner, row in found:
        path = run_below(folder, row.run) if row else None
        if path is None:
            missing += 1
            continue
        if len(logs) == MAX_RUNS:
            continue
        try:
            logs.append(RunLog.load(path))
            planners.append(planner)
        except DriveError as error:
            notes.append(f"no replay of {planner} in {scene}: {error}")
    if not logs:
        return None, notes, missing
    try:
        write_replay(logs, folder / FOLDER / page)
    except DriveError as error:
        return None, [*notes, f"no replay of {scene}: {error}"], missing
    return Page(f"{FOLDER}/{page}", {name: k for k, name in enumerate(planners)}), notes, missing


def _has(row: Row, report: Report) -> bool:
    return row.values.get(report.main) is not None
