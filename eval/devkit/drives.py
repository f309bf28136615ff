"""Drives in the devkit's closed loop, kept in a folder: the states as run logs, what it wrote as JSON."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.datasets.nuplan import write_nuplan
from drive.datasets.nuplan.maps import maps_root
from drive.datasets.nuplan.rows import read_rows
from drive.datasets.nuplan.scout import scout
from drive.datasets.nuplan.write import DEFAULT_CITY
from drive.datasets.source import load, source_of
from drive.errors import InputError
from drive.runlog import RunLog
from drive.sim.nuplan.devkit import versions
from drive.sim.nuplan.planner import ToolkitPlanner, map_file
from drive.sim.nuplan.record import run_log
from drive.sim.nuplan.run import quiet_devkit, simulate_devkit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drive.planner import Planner
    from drive.sim.nuplan.run import Official


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
    """The scene as nuPlan's files: its own if it is one of a log (`file.db#token`), else written below `work`.

    Each goes into a folder of its own: the devkit keeps maps by their path for as long as the process lives.
    What is there already is taken as it is. Raises InputError or a kind of it for what is no scene with roads.
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
        written = write_nuplan([load(scene)], folder)[0]
        made = {"log": written.log.name, "token": written.token, "city": written.city}
        listing.write_text(json.dumps({**made, "notes": list(written.notes)}), encoding="utf-8")
    about = json.loads(listing.read_text(encoding="utf-8"))
    return Exported(
        folder / "logs" / about["log"],
        folder / "maps",
        about["token"],
        about.get("city", DEFAULT_CITY),
        tuple(about["notes"]),
    )


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


def drive_once(scene: str, planner: Planner, traffic: str, work: Path) -> Official:
    """Drive one scene in the devkit with one of our planners; `made_of` is the run log, None if it failed.

    The devkit's own files go to `work/devkit/...` into a folder that is made anew.
    """
    quiet_devkit()
    exported = export(scene, work)
    folder = work / "devkit" / f"{slug(scene)}-{traffic}-{slug(planner.spec.name)}"
    shutil.rmtree(folder, ignore_errors=True)
    made = ToolkitPlanner(planner, scout)
    return simulate_devkit(
        [exported.log],
        exported.maps,
        [made],
        traffic,
        folder,
        tokens=[exported.token],
        on_end=lambda runner, planner: record(runner, planner, scene, traffic),
        keep_logs=True,
    )[0]


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
