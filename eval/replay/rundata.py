"""What the page holds of one run: motion, plans, candidates, signals, series, and the words about them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.replay.events import along_route, events_of, moments_of, reasons_of, statuses_of
from drive.eval.replay.pack import Packer, filled
from drive.eval.replay.thin import MAX_AGENTS, thinned
from drive.vehicle import ACCELERATION, HEADING, SPEED, STEERING, YAW_RATE, AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

MAX_PLAN_POINTS = 60_000
MAX_CANDIDATES = 16
CANDIDATE_POINTS = 24
CONTROLLERS = ("log", "IDM", "MOBIL", "control", "trajectory")
"""Names of `drive.sim.Controller`, in the order of its values."""


def seen_box(run: RunLog, margin: float) -> tuple[float, float, float, float]:
    """Bounds of where the ego, its expert and its logged self were, and `margin` metres around."""
    clouds = [run.ego[:, :2], run.logged_ego.reshape(-1, run.logged_ego.shape[-1] or 3)[:, :2]]
    if run.expert.ndim == 2 and run.expert.shape[-1] >= 2:
        clouds.append(run.expert[:, :2])
    points = np.concatenate(clouds)
    points = points[np.isfinite(points).all(-1)]
    low, high = (points.min(0), points.max(0)) if len(points) else (np.zeros(2), np.zeros(2))
    return (float(low[0] - margin), float(low[1] - margin), float(high[0] + margin), float(high[1] + margin))


def pack_run(packer: Packer, prefix: str, run: RunLog, offset: Floats) -> dict[str, Any]:
    """Pack one run; positions relative to `offset (2,)`. The entry tells in notes what is not shown."""
    notes: list[str] = []
    events, moments = events_of(run), _moments(run)
    run = thinned(run, notes)
    n = len(run.times)
    packer.steps(f"{prefix}.times", run.times, 1e-6)
    _pack_motion(packer, f"{prefix}.ego", run.ego, offset, fine=True)
    reference = run.expert if run.expert.ndim == 2 and run.expert.shape[-1] > SPEED else np.zeros((0, 7))
    _pack_motion(packer, f"{prefix}.expert", reference, offset)
    logged = (
        run.logged_ego if run.logged_ego.ndim == 2 and run.logged_ego.shape[-1] >= 3 else np.zeros((0, 3))
    )
    _pack_motion(packer, f"{prefix}.logged", logged, offset)
    agents = _pack_agents(packer, prefix, run, offset, notes)
    _pack_plans(packer, prefix, run, offset, notes)
    terms = _pack_candidates(packer, prefix, run, offset, notes)
    heat = _pack_heat(packer, prefix, run, offset)
    packer.bytes(f"{prefix}.signals", run.signals)
    line = run.route_line.reshape(-1, 2) if run.route_line.size else np.zeros((0, 2))
    packer.steps(f"{prefix}.route", (line - offset).T, 0.01)
    if run.roadmap is None and run.terrain is None:
        notes.append("This run log holds no road map: only the road users and the route are drawn.")
    if not agents and run.terrain is None:
        notes.append("No other road user takes part in this run.")
    if n < 2:
        notes.append("The run ended before its first step.")
    if not len(run.plan_step):
        notes.append("The planner was never called: there is no plan to show.")
    if len(gaps := np.flatnonzero(~np.isfinite(run.ego[:, :3]).all(-1))):
        notes.append(f"The ego's pose is not known at {len(gaps)} of {n} samples.")
    station, offset_of_route = along_route(run, run.ego)
    if len(station):
        packer.steps(f"{prefix}.lateral", filled(offset_of_route, True), 0.001)
    header = run.header
    scenario, planner = _table(header.get("scenario")), _table(header.get("planner"))
    return {
        "prefix": prefix,
        "agents": agents,
        "heat": heat,
        "terms": terms,
        "vehicle": clean(header.get("vehicle") or {}),
        "rover": clean(header.get("rover")),
        "series": _pack_series(packer, prefix, run, notes),
        "status": statuses_of(run),
        "reasons": reasons_of(run),
        "events": events,
        "moments": moments,
        "visibility": clean(header.get("visibility")),
        "detection": clean(header.get("detection")),
        "scenario": clean(scenario),
        "planner": clean(planner),
        "traffic": clean(header.get("traffic")),
        "seed": clean(header.get("seed")),
        "versions": clean(header.get("versions") or {}),
        "failure": clean(header.get("failure")),
        "scores": clean(header.get("scores") or {}),
        "notes": notes,
    }


def _moments(run: RunLog) -> dict[str, float]:
    """When each metric went wrong; an evaluation's own word (`scores[name]["moments"]`) comes first."""
    ego, expert = (
        along_route(run, run.ego)[0],
        along_route(run, run.expert)[0] if run.expert.ndim == 2 else None,
    )
    both = expert is not None and len(ego) and ego.shape == expert.shape
    out = moments_of(run, (ego, expert) if both and expert is not None else None)
    for score in _table(run.header.get("scores")).values():
        for metric, time in _table(_table(score).get("moments")).items():
            if isinstance(time, int | float) and math.isfinite(time):
                out[str(metric)] = float(time)
    return out


def _pack_motion(packer: Packer, name: str, states: Floats, offset: Floats, fine: bool = False) -> None:
    """Poses in steps of 1 cm and 1 mrad (`fine`: 1 mm, 0.1 mrad), whether each is known, and the rest."""
    ok = np.isfinite(states[:, :3]).all(-1)
    columns = np.array([filled(states[:, k], ok) for k in range(states.shape[1])]).reshape(
        states.shape[1], -1
    )
    packer.steps(
        f"{name}.xy", columns[:2] - np.where(ok.any(), offset, 0.0)[:, None], 0.001 if fine else 0.01
    )
    packer.steps(f"{name}.heading", np.unwrap(columns[HEADING]), 0.0001 if fine else 0.001)
    packer.bytes(f"{name}.known", ok)
    if states.shape[1] > SPEED:
        packer.steps(f"{name}.speed", columns[SPEED], 0.001, 1)
    if fine:
        for label, column in (("acceleration", ACCELERATION), ("steering", STEERING), ("yaw_rate", YAW_RATE)):
            packer.floats(f"{name}.{label}", states[:, column])


def _pack_agents(
    packer: Packer, prefix: str, run: RunLog, offset: Floats, notes: list[str]
) -> list[dict[str, Any]]:
    """Pack the agents that appear at all, the nearest `MAX_AGENTS` of them; returns their names and looks."""
    states, valid = run.agents, run.agent_valid & np.isfinite(run.agents).all(-1)
    chosen = np.flatnonzero(valid.any(1)) if valid.size else np.zeros(0, dtype=np.intp)
    if len(chosen) > MAX_AGENTS:
        away = np.hypot(*np.moveaxis(states[chosen, :, :2] - run.ego[None, :, :2], -1, 0))
        nearest = np.nanmin(np.where(valid[chosen] & np.isfinite(away), away, 1e9), axis=1)
        notes.append(
            f"{len(chosen)} road users take part; the {MAX_AGENTS} that come nearest to the ego are shown."
        )
        chosen = np.sort(chosen[np.argsort(nearest, kind="stable")[:MAX_AGENTS]])
    s, ok = states[chosen], valid[chosen]
    n = len(run.times)
    fill = [filled(s[..., k], ok).reshape(len(chosen), n) for k in range(5)]
    for k, axis in enumerate("xy"):
        packer.steps(f"{prefix}.agents.{axis}", fill[k] - offset[k], 0.01)
    packer.steps(f"{prefix}.agents.heading", np.unwrap(fill[2], axis=-1), 0.001)
    packer.steps(f"{prefix}.agents.speed", np.hypot(fill[3], fill[4]), 0.01)
    packer.bytes(f"{prefix}.agents.valid", ok)
    packer.floats(f"{prefix}.agents.size", run.agent_size[chosen, :2].reshape(-1, 2))
    packer.floats(f"{prefix}.agents.height", run.agent_size[chosen, 2].reshape(-1))
    if run.agent_seen.size:
        packer.bytes(f"{prefix}.agents.seen", run.agent_seen[chosen])
    return [
        {
            "id": str(run.agent_ids[i]) if i < len(run.agent_ids) else str(i),
            "kind": _name_of(AgentKind, int(run.agent_kind[i])),
            "controller": _driver(run, int(i)),
        }
        for i in chosen
    ]


def _driver(run: RunLog, agent: int) -> str:
    """Who drives an agent. Along trajectories that is live traffic, as `rift:safe`, and where the traffic's
    own rules leave them alone a storyboard."""
    name = _at(CONTROLLERS, int(run.agent_controller[agent]))
    if name != CONTROLLERS[-1]:
        return name
    traffic = str(clean(run.header.get("traffic")) or name)
    return "a storyboard" if traffic.startswith(("idm", "mobil", "log")) else traffic


def _pack_plans(packer: Packer, prefix: str, run: RunLog, offset: Floats, notes: list[str]) -> None:
    calls = len(run.plan_step)
    total = len(run.plan_times)
    every = max(1, math.ceil(total / MAX_PLAN_POINTS))
    if every > 1:
        notes.append(f"Plans are drawn through one in {every} of their points.")
    rows, start = [], [0]
    for call in range(calls):
        own = np.arange(int(run.plan_start[call]), int(run.plan_start[call + 1]))
        kept = (
            own[::every] if not len(own) or own[::every][-1] == own[-1] else np.append(own[::every], own[-1])
        )
        kept = kept[np.isfinite(run.plan_states[kept, : SPEED + 1]).all(-1)]
        rows.append(kept)
        start.append(start[-1] + len(kept))
    index = np.concatenate([*rows, np.zeros(0, dtype=np.intp)]).astype(np.intp)
    states = run.plan_states[index]
    packer.steps(f"{prefix}.plan.step", run.plan_step, 1.0)
    packer.floats(f"{prefix}.plan.latency", run.plan_latency)
    packer.steps(f"{prefix}.plan.start", start, 1.0)
    packer.steps(f"{prefix}.plan.times", run.plan_times[index], 0.001)
    packer.steps(f"{prefix}.plan.xy", (states[:, :2] - offset).T if len(index) else np.zeros((2, 0)), 0.01)
    packer.steps(
        f"{prefix}.plan.heading", np.unwrap(states[:, HEADING]) if len(index) else np.zeros(0), 0.002
    )
    packer.steps(f"{prefix}.plan.speed", states[:, SPEED] if len(index) else np.zeros(0), 0.01)


def _pack_candidates(packer: Packer, prefix: str, run: RunLog, offset: Floats, notes: list[str]) -> list[str]:
    """What a planner considered; returns the names of the scores that it gave them."""
    rows, start = [], [0]
    for call in range(len(run.cand_start) - 1):
        own = np.arange(int(run.cand_start[call]), int(run.cand_start[call + 1]))
        rows.append(own[:MAX_CANDIDATES])
        start.append(start[-1] + len(rows[-1]))
    index = np.concatenate([*rows, np.zeros(0, dtype=np.intp)]).astype(np.intp)
    if len(index) < len(run.cand_poses):
        notes.append(f"Of each call at most {MAX_CANDIDATES} candidates are shown.")
    points = run.cand_poses.shape[1] if run.cand_poses.ndim == 3 else 0
    at = np.unique(np.rint(np.linspace(0, max(points - 1, 0), min(points, CANDIDATE_POINTS))).astype(np.intp))
    xy = (
        np.moveaxis(run.cand_poses[index][:, at, :2].astype(np.float64), -1, 0)
        if points
        else np.zeros((2, 0, 0))
    )
    xy = filled(xy - offset[:, None, None], True)
    packer.steps(f"{prefix}.candidates.start", start, 1.0)
    packer.steps(f"{prefix}.candidates.xy", xy, 0.02)
    for name, values in (("score", run.cand_score), ("probability", run.cand_probability)):
        packer.floats(f"{prefix}.candidates.{name}", values[index] if len(values) else np.zeros(0))
    shared = run.cand_shared if len(run.cand_shared) == len(start) - 1 else np.zeros(len(start) - 1)
    packer.steps(f"{prefix}.candidates.shared", shared, 0.001)
    # The first candidate's times, of each call the same.
    packer.steps(f"{prefix}.candidates.ahead", at * float(run.header.get("cand_dt") or 0.5), 0.001)
    names = [clean(str(name)) for name in run.header.get("cand_names") or ()]
    if run.cand_terms.shape != (len(run.cand_poses), len(names)):
        names = []
    packer.floats(f"{prefix}.candidates.terms", run.cand_terms[index] if names else np.zeros((len(index), 0)))
    chosen = run.cand_chosen if len(run.cand_chosen) == len(start) - 1 else np.full(len(start) - 1, -1)
    packer.steps(f"{prefix}.candidates.chosen", np.where(chosen < np.diff(start), chosen, -1), 1.0)
    return names


def _pack_heat(packer: Packer, prefix: str, run: RunLog, offset: Floats) -> dict[str, Any] | None:
    """Rasters that the planner drew: the raw codes, their shape, and what they mean."""
    about, times = _table(run.header.get("heat")), run.heat_time
    known = np.isfinite(times) & np.isfinite(run.heat_pose).all(-1)
    cell, high = clean(about.get("cell")), clean(about.get("high"))
    numbers = isinstance(cell, int | float) and isinstance(high, int | float)
    if not known.any() or not run.heat_values.size or not numbers or not cell > 0.0:
        return None
    packer.floats(f"{prefix}.heat.times", times[known])
    packer.floats(f"{prefix}.heat.pose", (run.heat_pose[known] - [*offset, 0.0]).T)
    packer.bytes(f"{prefix}.heat.values", run.heat_values[known])
    rows, columns = run.heat_values.shape[1:]
    name = clean(about.get("name", "heat"))
    return {"name": name, "cell": cell, "high": high, "rows": rows, "columns": columns}


def _pack_series(packer: Packer, prefix: str, run: RunLog, notes: list[str]) -> list[dict[str, Any]]:
    """Named series on the clock of the samples, or of the planner's calls."""
    out = []
    for name in sorted(run.series):
        values = np.asarray(run.series[name])
        if values.shape == (len(run.times),):
            clock = "sample"
        elif values.shape == (len(run.plan_step),):
            clock = "call"
        else:
            notes.append(f"The series '{name}' fits neither the samples nor the calls and is not shown.")
            continue
        packer.floats(f"{prefix}.series.{name}", values)
        out.append({"name": name, "clock": clock})
    return out


def clean(value: Any, depth: int = 0) -> Any:
    """JSON of a header: numbers that are not finite become None, long texts are cut."""
    if isinstance(value, dict) and depth < 8:
        return {str(k): clean(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple) and depth < 8:
        return [clean(v, depth + 1) for v in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | np.number):
        number = value.item() if isinstance(value, np.number) else value
        return number if math.isfinite(number) else None
    text = str(value)
    return text if len(text) <= 2000 else text[:2000] + "…"


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _at(names: tuple[str, ...], code: int) -> str:
    return names[code] if 0 <= code < len(names) else f"code {code}"


def _name_of(kind: type[AgentKind], code: int) -> str:
    try:
        return kind(code).name.lower()
    except ValueError:
        return f"code {code}"
