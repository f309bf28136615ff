"""Which scenes get a replay, and the pages with all planners' runs of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drive.errors import DriveError
from drive.eval.replay.write import MAX_RUNS, write_replay
from drive.eval.report.read import PlannerEntry, Report, Row, run_below
from drive.runlog import RunLog

ALL_BELOW = 40
"""Up to this many runs, every scene gets a page."""
WORST = 5
FOLDER = "replays"


@dataclass(frozen=True, slots=True)
class Scenes:
    """`links`: (planner, scenario) -> address beside the report; `notes` on what could not be written."""

    links: Mapping[tuple[str, str], str]
    notes: tuple[str, ...]


def worst_rows(planner: PlannerEntry, score: str, count: int = WORST) -> list[Row]:
    """The scenarios in which a planner did worst, failures first."""
    known = [r for r in planner.rows if r.valid and r.values.get(score) is not None]
    return sorted(known, key=lambda r: (r.values[score] or 0.0, r.failure is None, r.scenario))[:count]


def wanted_scenes(report: Report) -> list[str]:
    """Ids of the scenes worth a page: all of a small benchmark, else each planner's worst."""
    if sum(len(p.rows) for p in report.planners) <= ALL_BELOW:
        return list(report.scenarios)
    worst = {r.scenario for p in report.planners for r in worst_rows(p, report.main)}
    return [s for s in report.scenarios if s in worst]


def write_scenes(report: Report, folder: Path) -> Scenes:
    """Write `replays/*.html` below the folder, one a scene, all planners in it."""
    links: dict[tuple[str, str], str] = {}
    notes: list[str] = []
    missing = 0
    for scene in wanted_scenes(report):
        logs: list[RunLog] = []
        planners: list[str] = []
        for planner in report.planners:
            row = next((r for r in planner.rows if r.scenario == scene), None)
            path = run_below(folder, row.run) if row else None
            if path is None:
                missing += 1
                continue
            try:
                logs.append(RunLog.load(path))
                planners.append(planner.name)
            except DriveError as error:
                notes.append(f"no replay of {planner.name} in {scene}: {error}")
        if not logs:
            continue
        name = page_name(scene)
        write_replay(logs[:MAX_RUNS], folder / FOLDER / name)
        for k, planner_name in enumerate(planners[:MAX_RUNS]):
            links[planner_name, scene] = f"{FOLDER}/{name}" + (f"#run={k}" if len(planners) > 1 else "")
    if missing:
        notes.append(f"{missing} runs left no log in this folder and have no replay.")
    return Scenes(links, tuple(notes))


def page_name(scene: str) -> str:
    """A file name for a scene's page: safe everywhere, and different for different ids."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", scene).strip("._")[:80]
    digest = hashlib.blake2b(scene.encode(), digest_size=4).hexdigest()
    return (
        f"{plain or 'scene'}.html"
        if plain == scene.replace("/", "_")
        else f"{plain or 'scene'}-{digest}.html"
    )
