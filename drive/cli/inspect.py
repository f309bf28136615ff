"""`drive inspect`: what is in a file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drive.cli._load import is_run_log, load
from drive.errors import InputError
from drive.files import write_whole

if TYPE_CHECKING:
    from drive.roadmap import RoadMap
    from drive.scenario import Scenario
    from drive.terrain import Terrain


def command(
    ref: Annotated[
        str, typer.Argument(metavar="FILE", help="A scenario file or id, a folder, a run log, or results.")
    ],
    ego: Annotated[
        str, typer.Option(metavar="WHO", help="planned or recorded: whose scenarios.")
    ] = "planned",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the scenario: a picture's name, x.svg.")
    ] = None,
    at: Annotated[
        float | None, typer.Option(metavar="T", help="The picture's moment in s; default: the closest call.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="X.html", help="Write a page with facts and pictures.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a file: lanes, road users, duration, signals, where it comes from; or draw it.

    \b
    Examples:
      drive inspect gen/cut_in/17
      drive inspect gen/cut_in/17 -o cut_in.svg
      drive inspect FOLDER --html folder.html
      drive inspect out/bench/runs/pdm/gen_cut_in_1.drive.npz --json
    """
    if at is not None and output is None and page is None:
        raise InputError("--at is the moment of a picture: give it a name by -o x.svg or --html x.html")
    if output is not None:
        typer.echo(str(draw(ref, ego, at, output)))
        return
    found = describe(ref, ego)
    if page is not None:
        typer.echo(str(load("drive.eval.inspection:write_inspection")(found, page, at)), err=as_json)
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    elif page is None:
        for item in found:
            _print(item)
    if all(item["what"] in ("invalid scenario", "skipped file") for item in found):
        raise typer.Exit(1)


def draw(ref: str, ego: str, at: float | None, output: Path) -> Path:
    """Draw the one scenario that `ref` stands for, as SVG."""
    if output.suffix.lower() != ".svg":
        raise InputError(f"{output.name}: pictures are SVG; give a name that ends in .svg")
    if is_run_log(ref):
        raise InputError(f"{Path(ref).name} is a run log: drive replay shows it; scenarios are drawn")
    refs = load("drive.datasets.source:expand_all")([ref], ego).refs
    if len(refs) != 1:
        raise InputError(f"'{ref}' stands for {len(refs)} scenarios; name the one to draw")
    scenario = load("drive.datasets.source:load")(refs[0])
    return write_whole(output, load("drive.eval.picture:scene_picture")(scenario, at))


def describe(ref: str, ego: str = "planned") -> list[dict[str, Any]]:
    """One entry a scenario, run log or result in `ref`."""
    path = Path(ref)
    if path.name == "results.json" or (path / "results.json").is_file():
        return [_results(path)]
    if is_run_log(ref):
        return [_run_log(path)]
    expansion = load("drive.datasets.source:expand_all")([ref], ego)
    entries = [_scenario(name) for name in expansion.refs]
    return entries + [{"what": "skipped file", "ref": file, "reason": why} for file, why in expansion.skipped]


def _scenario(ref: str) -> dict[str, Any]:
    from drive.roadmap import RoadMap

    try:
        s = load("drive.datasets.source:load")(ref)
    except InputError as error:
        return {"what": "invalid scenario", "ref": ref, "reason": str(error)}
    others = [int(kind) for row, kind in enumerate(s.tracks.kind) if row != s.ego]
    goal = s.route.goal
    set_ = ("position", "polygon", "heading", "speed", "time")
    return {
        "what": "scenario",
        "ref": ref,
        "id": s.id,
        "family": s.family,
        "tags": list(s.tags),
        "duration_s": s.duration,
        "dt_s": s.dt,
        "steps": s.num_steps,
        **(_roads(s.environment) if isinstance(s.environment, RoadMap) else _ground(s.environment)),
        "road_users": _kinds(others),
        "signals": len(s.signals),
        "ego": s.tracks.ids[s.ego],
        "ego_speed_mps": round(float(s.initial[3]), 3),
        "route_lanes": len(s.route.lanes),
        "goal": [name for name in set_ if getattr(goal, name) is not None]
        + (["lanes"] if goal.lanes else []),
        "expert": s.expert.source if s.expert is not None else _no_expert(s),
        "origin": list(s.origin),
        "provenance": {
            "source": s.provenance.source,
            "format": s.provenance.format,
            "licence": s.provenance.licence,
            "generator": s.provenance.generator,
            "seed": s.provenance.seed,
            "notes": list(s.provenance.notes),
        },
        "hash": s.content_hash,
    }


def _run_log(path: Path) -> dict[str, Any]:
    from drive.runlog import RunLog

    log = RunLog.load(path)
    header = log.header
    return {
        "what": "run log",
        "ref": path.name,
        "schema": header["schema"],
        "scenario": header["scenario"]["id"],
        "planner": header["planner"],
        "traffic": header["traffic"],
        "seed": header["seed"],
        "steps": max(len(log.times) - 1, 0),
        "duration_s": float(log.times[-1]) if len(log.times) else 0.0,
        "dt_s": log.dt,
        **(_roads(log.roadmap) if log.roadmap is not None else {}),
        **(_ground(log.terrain) if log.terrain is not None else {}),
        "road_users": _kinds(log.agent_kind.tolist()),
        "planner_calls": len(log.plan_step),
        "candidates": len(log.cand_poses),
        "plan_status": dict(Counter(header.get("plan_status", []))),
        "events": len(header.get("events", [])),
        "failure": header.get("failure"),
        "expert": log.expert_source,
        "scores": {name: score["score"] for name, score in (header.get("scores") or {}).items()},
        "series": sorted(log.series),
        "versions": header.get("versions", {}),
    }


def _results(path: Path) -> dict[str, Any]:
    results = load("drive.eval.bench.results:Results").load(path)
    data = results.data
    return {
        "what": "results of a benchmark",
        "ref": path.name,
        "schema": data["schema"],
        "suite": data["suite"],
        "traffic": data.get("traffic"),
        "seed": data.get("seed"),
        "planners": {name: results.planner(name)["scores"] for name in results.planners},
        "dropped": len(data.get("dropped", [])),
        "versions": data.get("versions"),
    }


def _roads(roadmap: RoadMap) -> dict[str, Any]:
    from drive.roadmap import AreaKind, LaneKind

    lanes = Counter(LaneKind(int(kind)).name.lower() for kind in roadmap.kind)
    areas = Counter(AreaKind(int(kind)).name.lower() for kind in roadmap.areas.kind)
    return {
        "lanes": roadmap.num_lanes,
        "lane_km": round(float(roadmap.length.sum()) / 1e3, 3),
        "lane_kinds": dict(sorted(lanes.items())),
        "intersection_lanes": int(roadmap.intersection.sum()),
        "areas": dict(sorted(areas.items())),
    }


def _ground(terrain: Terrain) -> dict[str, Any]:
    width, depth = terrain.extent
    return {
        "terrain": f"{width:g} x {depth:g} m, cells of {terrain.resolution:g} m",
        "relief_m": round(float(terrain.height.max() - terrain.height.min()), 2),
        "gravity_mps2": terrain.gravity,
        "suns": len(terrain.sun_times),
    }


def _no_expert(scenario: Scenario) -> str:
    from drive.roadmap import RoadMap

    return "none (an IDM drive will stand in)" if isinstance(scenario.environment, RoadMap) else "none"


def _kinds(kinds: list[int]) -> dict[str, int]:
    from drive.vehicle import AgentKind

    return {kind.name.lower(): n for kind, n in sorted(Counter(AgentKind(k) for k in kinds).items())}


def _print(item: dict[str, Any]) -> None:
    print(f"{item['what']} {item['ref']}")
    for key, value in item.items():
        if key not in ("what", "ref"):
            print(f"  {key.replace('_', ' '):<14} {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(v)}" for key, v in value.items() if v not in ("", None, [])) or "none"
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
