"""Drives in the devkit's closed loop, kept in a folder: the states as run logs, what it wrote as JSON."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.datasets.nuplan import write_nuplan
from drive.datasets.nuplan.scout import scout
from drive.datasets.source import load
from drive.runlog import RunLog
from drive.sim.nuplan.devkit import find_devkit, versions
from drive.sim.nuplan.planner import ToolkitPlanner, map_file
from drive.sim.nuplan.record import run_log
from drive.sim.nuplan.run import quiet_devkit, simulate_devkit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drive.planner import Planner


def slug(text: str) -> str:
    """A scene's name as that of a file."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_")


@dataclass(frozen=True, slots=True)
class Exported:
    """A scene in nuPlan's files: its log, the folder of its maps, its token, and what the files cannot hold."""

    log: Path
    maps: Path
    token: str
    notes: tuple[str, ...]


def export(scene: str, work: Path) -> Exported:
    """Write a scene below `work`, each into a folder of its own: the devkit keeps maps by their path for as
    long as the process lives. What is there already is taken as it is."""
    folder = work / "files" / slug(scene)
    listing = folder / "written.json"
    if not listing.exists():
        written = write_nuplan([load(scene)], folder)[0]
        about = {"log": written.log.name, "token": written.token, "notes": list(written.notes)}
        listing.write_text(json.dumps(about), encoding="utf-8")
    about = json.loads(listing.read_text(encoding="utf-8"))
    return Exported(folder / "logs" / about["log"], folder / "maps", about["token"], tuple(about["notes"]))


def drive_scene(
    scene: str,
    planners: Sequence[str | Planner],
    traffic: str,
    work: Path,
    own: Sequence[Any] = (),
    note: Callable[[str], None] = print,
) -> list[Path]:
    """Drive one scene in the devkit with our planners, and with `own` planners of the devkit.

    Writes `NAME.drive.npz` and `NAME.json` a drive into `work` and returns the latter's paths; what is there
    already is not driven again. A drive that the devkit reports as failed has its failure in the JSON file and
    no run log.
    """
    made = [ToolkitPlanner(planner, scout) for planner in planners]
    every = {p.name(): p for p in (*made, *own)}
    paths = {name: work / f"{slug(scene)}-{traffic}-{name}.json" for name in every}
    todo = [p for name, p in every.items() if not paths[name].exists()]
    if not todo:
        return list(paths.values())
    quiet_devkit()
    exported = export(scene, work)
    scratch = work / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)

    def keep(runner: Any, planner: Any) -> str:
        target = work / f"{slug(scene)}-{traffic}-{planner.name()}.drive.npz"
        record(runner, planner, scene, traffic).save(target)
        return target.name

    officials = simulate_devkit(
        [exported.log], exported.maps, todo, traffic, scratch, tokens=[exported.token], on_end=keep
    )
    for official in officials:
        about: dict[str, Any] = {
            **asdict(official),
            "scene": scene,
            "traffic": traffic,
            "versions": versions(),
            "notes": list(exported.notes),
            "token": exported.token,
        }
        about["run"] = about.pop("made_of")
        planner = every[official.planner]
        if isinstance(planner, ToolkitPlanner):
            about["plans_extended"] = planner.extended
        # A statistic may be infinite, which JSON cannot hold.
        text = json.dumps(_finite(about), indent=1, allow_nan=False)
        paths[official.planner].write_text(text + "\n", encoding="utf-8")
        told = official.failure or f"{official.score:.4f}"
        note(f"{scene} {traffic} {official.planner}: {told} ({official.seconds:.1f} s)")
    return list(paths.values())


def record(runner: Any, planner: Any, scene: str, traffic: str) -> RunLog:
    """The run log of a finished devkit runner."""
    scenario = runner.scenario
    start = scenario.initial_ego_state.rear_axle
    goal = scenario.get_mission_goal()
    roadmap, route, origin = scout(
        map_file(scenario.map_api),
        (start.x, start.y, start.heading),
        tuple(scenario.get_route_roadblock_ids()),
        None if goal is None else (goal.x, goal.y),
    )
    header = {
        "planner": {"name": planner.name(), "config": {}, "privileged": False},
        "traffic": traffic,
        "scenario": {"id": scene, "family": scene.split("/")[1] if "/" in scene else ""},
    }
    return run_log(runner.simulation.history, scenario, roadmap, route, origin, header)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value


__all__ = ["drive_scene", "find_devkit", "record", "slug"]
