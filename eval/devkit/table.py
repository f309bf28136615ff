"""The committed table of the golden comparison, and the drives of it that the tests keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.eval.devkit.compare import (
    SCORED,
    Drive,
    divergence,
    evaluate,
    metric_differences,
    own_drive,
    scenario_of,
)
from drive.eval.devkit.export import export
from drive.registry import load_planner
from drive.runlog import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FLIP = 1e-3
"""Difference of a metric or of the score from which it counts as flipped."""
PREFIX = "drive_"


def make_table(
    paths: Sequence[Path], work: Path, note: Callable[[str], None] = print
) -> tuple[dict[str, Any], list[tuple[dict[str, Any], RunLog]]]:
    """The table of all drives, and the drives themselves with what the devkit wrote of them."""
    rows, kept, versions = [], [], {}
    scenarios: dict[str, Any] = {}
    for path in sorted(paths):
        drive = Drive.load(path)
        about = drive.about
        versions = about["versions"]
        row: dict[str, Any] = {k: about[k] for k in ("scene", "traffic", "planner", "failure")}
        rows.append(row)
        if drive.run is None:
            continue
        log = RunLog.load(drive.run)
        kept.append((about, log))
        found = metric_differences(about, log)
        row |= {
            "official": _rounded({"score": about["score"], **_scored(about["metrics"])}),
            "statistics_compared": found["compared"],
            "largest_difference": float(f"{found['largest']:.1e}"),
            "plans_extended": about.get("plans_extended", 0),
        }
        gap = abs(found["score"] - about["score"])
        row["score_difference"] = float(f"{gap:.1e}")
        if found["metrics"] or found["statistics"]:
            row["different"] = {**found["metrics"], **found["statistics"]}
        name = about["planner"].removeprefix(PREFIX)
        if name in ("idm", "pdm"):
            scene = about["scene"]
            if scene not in scenarios:
                scenarios = {scene: scenario_of(export(scene, work))}
            row["own_loop"] = own_loop(scenarios[scene], name, about, log)
        note(f"{scene_of(row)}: {_told(row)}")
    return {"versions": versions, "drives": rows}, kept


def own_loop(scenario: Any, planner: str, about: dict[str, Any], theirs: RunLog) -> dict[str, Any]:
    """Comparison B of one drive: how far the states part, and which scores that flips, with the cause."""
    ours = own_drive(scenario, load_planner(planner), about["traffic"])
    score, metrics, _ = evaluate(ours)
    away = divergence(theirs, ours)
    flipped = {
        name: [about["metrics"][name], metrics.get(name)]
        for name in SCORED
        if abs(about["metrics"][name] - metrics.get(name, -1.0)) > FLIP
    }
    out: dict[str, Any] = {
        "score": round(score, 6),
        "ego_m": float(f"{away['ego_m']:.2e}"),
        "ego_first_step_beyond": away["ego_first"],
        "agents_m": float(f"{away['agents_m']:.2e}"),
        "agents_first_step_beyond": away["agents_first"],
        "agent_samples_in_one_alone": away["agents_missing"],
        "ego_m_each_second": [float(f"{v:.1e}") for v in away["ego_each_second"]],
    }
    if about["traffic"] == "idm":
        out["agents_m_each_second"] = [float(f"{v:.1e}") for v in away["agents_each_second"]]
    if flipped or abs(score - about["score"]) > FLIP:
        out["flipped"] = {
            k: [round(a, 6), None if b is None else round(b, 6)] for k, (a, b) in flipped.items()
        }
        out["cause"] = cause(about["traffic"], away)
    return out


def cause(traffic: str, away: dict[str, Any]) -> str:
    """What parted first, in words."""
    if traffic == "idm" and away["agents_first"][2] is not None:
        return (
            f"other agents: apart by 0.1 m from step {away['agents_first'][2]}, the ego from step "
            f"{away['ego_first'][2]}"
        )
    if away["ego_first"][2] is None:
        return f"states agree to {away['ego_m']:.1e} m: a threshold lies between"
    return f"the ego parts by 0.1 m at step {away['ego_first'][2]}, among agents that agree"


def pick(drives: Sequence[tuple[dict[str, Any], RunLog]]) -> list[tuple[dict[str, Any], RunLog]]:
    """Of each scene one drive, of planners and traffic in turn, and all that scripts drove."""
    out, turn, seen = [], 0, set[str]()
    order = [("idm", "log"), ("pdm", "idm"), ("idm", "idm"), ("pdm", "log")]
    by_scene: dict[str, list[tuple[dict[str, Any], RunLog]]] = {}
    for about, log in drives:
        name = about["planner"].removeprefix(PREFIX)
        if name not in ("idm", "pdm"):
            out.append((about, log))
        else:
            by_scene.setdefault(about["scene"], []).append((about, log))
    for scene, rows in by_scene.items():
        if scene.endswith("/903"):  # the table has them all; these would be half a megabyte
            continue
        wanted = order[turn % len(order)]
        turn += 1
        rows.sort(key=lambda r: (r[0]["planner"].removeprefix(PREFIX), r[0]["traffic"]) != wanted)
        if scene not in seen:
            out.append(rows[0])
            seen.add(scene)
    keys = ("scene", "traffic", "planner", "score", "metrics", "statistics")
    return [({k: _rounded(about[k]) for k in keys}, log) for about, log in out]


def scene_of(row: dict[str, Any]) -> str:
    return f"{row['scene']} {row['traffic']} {row['planner']}"


def _scored(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in SCORED}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 8) if isinstance(value, float) else value


def _told(row: dict[str, Any]) -> str:
    parts = [f"official {row['official']['score']:.4f}", f"A {row['score_difference']:.0e}"]
    if "different" in row:
        parts.append(f"DIFFERENT {row['different']}")
    if own := row.get("own_loop"):
        parts.append(f"B {own['score']:.4f}, ego {own['ego_m']:.1e} m, flipped {own.get('flipped', {})}")
    return ", ".join(parts)
