"""Drives in the devkit's closed loop, kept in a folder: the states as run logs, what it wrote as JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from drive.datasets.nuplan.scout import scout
from drive.eval.devkit.export import export, slug
from drive.runlog import RunLog
from drive.sim.nuplan.devkit import versions
from drive.sim.nuplan.planner import ToolkitPlanner, map_file
from drive.sim.nuplan.record import run_log
from drive.sim.nuplan.run import quiet_devkit, simulate_devkit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from drive.planner import Planner
    from drive.sim.nuplan.run import Official


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
    already is not driven again. A drive that the devkit reports as failed has its failure in the JSON file
    and no run log.
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

    def keep(runner: Any, report: Any) -> tuple[str, int]:
        target = work / f"{slug(scene)}-{traffic}-{runner.planner.name()}.drive.npz"
        record(runner, report, scene, traffic).save(target)
        return target.name, getattr(runner.planner, "extended", 0)

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
        about["run"], about["plans_extended"] = about.pop("made_of") or (None, 0)
        # A statistic may be infinite, which JSON cannot hold.
        text = json.dumps(_finite(about), indent=1, allow_nan=False)
        paths[official.planner].write_text(text + "\n", encoding="utf-8")
        told = official.failure or f"{official.score:.4f}"
        note(f"{scene} {traffic} {official.planner}: {told} ({official.seconds:.1f} s)")
    return list(paths.values())


def drive_once(scene: str, planner: Planner, traffic: str, work: Path, keep_logs: bool = True) -> Official:
    """Drive one scene in the devkit with one of our planners; `made_of` is the run log, None if it failed.

    The devkit's own files go to `work/devkit/...` into a folder that is made anew, with `keep_logs` also its
    simulation logs, which its viewer reads.
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
        on_end=lambda runner, report: record(runner, report, scene, traffic),
        keep_logs=keep_logs,
    )[0]


def record(runner: Any, report: Any, scene: str, traffic: str) -> RunLog:
    """The run log of a finished devkit runner with its report."""
    scenario, planner = runner.scenario, runner.planner
    start = scenario.initial_ego_state.rear_axle
    goal = scenario.get_mission_goal()
    roadmap, route, origin = scout(
        map_file(scenario.map_api),
        (start.x, start.y, start.heading),
        tuple(scenario.get_route_roadblock_ids()),
        None if goal is None else (goal.x, goal.y),
    )
    header: dict[str, Any] = {
        "planner": {"name": planner.name(), "config": {}, "privileged": False},
        "traffic": traffic,
        "scenario": {"id": scene, "family": scene.split("/")[1] if "/" in scene else ""},
    }
    if isinstance(planner, ToolkitPlanner):
        header["nuplan"] = {"plans_extended": planner.extended}
        if len(planner.statuses) == len(runner.simulation.history):
            header["plan_status"], header["plan_reason"] = map(list, zip(*planner.statuses, strict=True))
    latency = report.planner_report.compute_trajectory_runtimes
    return run_log(runner.simulation.history, scenario, roadmap, route, origin, header, latency)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value
