"""What `drive run RUN --from T` does: one call of a planner again, in words and as a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.cli._load import load
from drive.errors import DriveError, UnknownNameError
from drive.files import file_stem

if TYPE_CHECKING:
    from drive.planner import Candidates
    from drive.runlog import RunLog

SHOWN = 20
"""Candidates that are printed; JSON has all."""


def show_moment(
    path: Path,
    start: float,
    planner: str | None,
    changes: Mapping[str, Mapping[str, object]],
    where: str | None,
    debug: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Plan a moment of the run log at `path` again; print what came of it and write its replay."""
    from drive.runlog import RunLog

    recorded = RunLog.load(path)
    name = planner or recorded.header["planner"]["name"]
    for given in changes:
        if given != name:
            raise UnknownNameError("planner in --set", given, [name])
    scenario = load("drive.eval.replan:find_scenario")(recorded, where, path.parent)
    made, same = load("drive.eval.replan:find_planner")(recorded, planner, changes.get(name, {}))
    moment = load("drive.eval.replan:replan")(recorded, start, scenario, made, same=same, debug=debug)
    log = moment.log
    check_left(log)
    time = float(log.times[-1])
    about = log.header["planner"]["name"]
    saved, page = save(log, out, f"{about}-{log.header['scenario']['id']}-at-{time:g}")
    found = _facts(moment, same, recorded.header["planner"]["name"])
    if as_json:
        files = {"run": str(saved), "replay": str(page)}
        print(json.dumps({**found, **files}, indent=2, allow_nan=False))
    else:
        _print(moment, found)
        print(f"run: {saved}")
        print(f"replay: {page}#t={time:g}")
    for line in moment.warnings:
        print(f"drive: warning: {line}", file=sys.stderr)
    failure = log.header["failure"]
    if failure is not None:
        raise DriveError(f"{failure['class']} at {time:g} s: {failure['reason']}")


def save(log: RunLog, out: Path, name: str) -> tuple[Path, Path]:
    """Write the run log and its replay; the same names lead to the same files."""
    stem = file_stem(name)
    saved = log.save(out / f"{stem}.drive.npz")
    return saved, load("drive.eval.replay:write_replay")(log, out / f"{stem}.html")


def check_left(log: RunLog) -> None:
    """Raise where the run ended because its user left the debugger."""
    failure = log.header["failure"]
    if failure is not None and failure["reason"] == load("drive.eval.replan:LEFT"):
        raise DriveError("the debugger was left before the planner answered (`c` goes on)")


def _facts(moment: Any, same: bool, recorded_by: str) -> dict[str, Any]:
    """What is told of a moment, as plain data."""
    log, plan = moment.log, moment.plan
    plain = load("drive.eval.bench.planners:plain")
    found: dict[str, Any] = {
        "scenario": log.header["scenario"]["id"],
        "time": float(log.times[-1]),
        "planner": log.header["planner"],
        "recorded_by": recorded_by,
        "repeated": same and not moment.warnings,
        "warnings": list(moment.warnings),
        "difference": moment.difference,
        "failure": log.header["failure"],
        "plan": None,
    }
    if plan is not None:
        t = plan.trajectory
        found["plan"] = {
            "status": str(plan.status),
            "reason": plan.reason,
            "seconds": moment.seconds,
            "horizon": t.duration,
            "first": t.states[0, :4].tolist(),
            "last": t.states[-1, :4].tolist(),
            "figures": plain(dict(plan.figures)),
            "candidates": None if plan.candidates is None else plain(_candidates(plan.candidates)),
        }
    return found


def _candidates(c: Candidates) -> dict[str, Any]:
    return {"chosen": c.chosen, "scores": dict(c.scores), "probability": c.probability}


def _print(moment: Any, found: Mapping[str, Any]) -> None:
    print(f"{found['planner']['name']} at {found['time']:g} s of {found['scenario']}")
    if found["recorded_by"] != found["planner"]["name"]:
        print(f"  the drive before is that of {found['recorded_by']}")
    elif found["repeated"]:
        print(f"  {len(moment.log.times) - 1} steps driven again, equal to the recorded ones")
    plan = found["plan"]
    if plan is None:
        return
    print(f"  status {plan['status']}{': ' + plan['reason'] if plan['reason'] else ''}")
    if found["difference"] is not None:
        print(f"  {found['difference'] or 'the plan is the recorded one'}")
    x, y, heading, speed = plan["last"]
    print(f"  {plan['horizon']:g} s ahead at x {x:.2f}, y {y:.2f} m, heading {heading:.3f}, {speed:.2f} m/s")
    print(f"  {1e3 * plan['seconds']:.2f} ms")
    for name, value in plan["figures"].items():
        print(f"  {name} {value:.4g}" if isinstance(value, float) else f"  {name} {value}")
    if moment.plan.candidates is not None:
        _print_candidates(moment.plan.candidates)


def _print_candidates(c: Candidates) -> None:
    """The candidates, best first by their total score, the chosen one marked."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    scores: dict[str, Any] = dict(c.scores)
    if c.probability is not None:
        scores["probability"] = c.probability
    total = next((k for k in ("total", "score") if k in scores), next(iter(scores), None))
    names = ([total] if total else []) + [name for name in scores if name != total]
    order = np.argsort(-np.asarray(scores[total]), kind="stable") if total else np.arange(len(c.states))
    shown = [k for i, k in enumerate(order.tolist()) if i < SHOWN or k == c.chosen]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "candidate", *names):
        table.add_column(Text(title.replace("_", " ")), justify="right", vertical="bottom")
    for k in shown:
        row = [f"{float(np.asarray(scores[name])[k]):.3g}" for name in names]
        table.add_row("->" if k == c.chosen else "", str(k), *row)
    console = Console()
    # A table that is read by a program or a log must not be squeezed into 80 columns.
    (console if console.is_terminal else Console(width=200)).print(table, highlight=False)
    if len(order) > len(shown):
        print(f"  and {len(order) - len(shown)} more")
