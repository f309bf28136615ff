"""Ours against the devkit's: our metrics on its states (A), and our loop against its loop (B)."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.constants import MULTIPLIERS, WEIGHTS
from drive.runlog import RunLog
from drive.scenario import Expert, Goal, Route, Scenario, Tracks
from drive.sim.loop import simulate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.planner import Planner

    Floats = NDArray[np.float64]
    Statistics = Mapping[str, float | int | bool | None]

SCORED = (*MULTIPLIERS, *WEIGHTS)
SCORE_TOLERANCE, STATISTIC_TOLERANCE = 1e-6, 1e-3
OWN_TRAFFIC = {"log": "log", "idm": "idm_compat"}
"""Our traffic for each of the devkit's."""
STEPS = (1e-6, 1e-3, 0.1)
"""m of divergence whose first step is told."""


@dataclass(frozen=True, slots=True)
class Drive:
    """One drive in the devkit: what it wrote, and its run log's file (None where it failed)."""

    about: dict[str, Any]
    run: Path | None

    @classmethod
    def load(cls, path: Path) -> Drive:
        about = json.loads(path.read_text(encoding="utf-8"))
        return cls(about, path.parent / about["run"] if about.get("run") else None)


def evaluate(run: RunLog) -> tuple[float, dict[str, float], dict[str, float | int | bool | None]]:
    """Our score, the metrics that make it up, and all their statistics."""
    made = NUPLAN_CLS.evaluate(run)
    metrics = {name: s for name in SCORED if (s := made.metrics[name].score) is not None}
    statistics = {k: v for m in made.metrics.values() for k, v in m.statistics.items()}
    return made.score, metrics, statistics


def metric_differences(about: Mapping[str, Any], run: RunLog) -> dict[str, Any]:
    """Comparison A: score, metrics and statistics of ours that differ from the devkit's on the same states.

    `largest` is the largest difference of any statistic within the tolerance.
    """
    score, metrics, statistics = evaluate(run)
    out: dict[str, Any] = {"score": score, "metrics": {}, "statistics": {}, "largest": 0.0}
    for name, theirs in about["metrics"].items():
        if name in SCORED and abs(metrics.get(name, math.nan) - theirs) <= SCORE_TOLERANCE:
            continue
        if name in SCORED:
            out["metrics"][name] = [theirs, metrics.get(name)]
    compared = 0
    for name, theirs in about["statistics"].items():
        if name not in statistics:
            continue
        ours, compared = statistics[name], compared + 1
        gap = difference(theirs, ours)
        if gap > STATISTIC_TOLERANCE:
            out["statistics"][name] = [theirs, ours]
        else:
            out["largest"] = max(out["largest"], gap)
    out["compared"] = compared
    return out


def difference(theirs: float | bool | None, ours: float | bool | None) -> float:
    """How far two statistics are apart; none and infinite are one (JSON knows neither)."""
    if theirs is None or ours is None:
        return 0.0 if theirs is ours else math.inf
    return abs(float(theirs) - float(ours))


def scenario_of(log: RunLog) -> Scenario:
    """The devkit's scenario, from a drive of it in replayed traffic; it ends where the devkit's record does."""
    n, a = len(log.times), len(log.agents)
    vehicle, roadmap = log.vehicle, log.roadmap
    assert roadmap is not None
    expert = log.expert[:n]
    c, s = np.cos(expert[:, 2]), np.sin(expert[:, 2])
    reach = vehicle.rear_axle_to_center
    own = np.stack((expert[:, 0] + reach * c, expert[:, 1] + reach * s, expert[:, 2], expert[:, 3] * c, expert[:, 3] * s), 1)
    motor = np.isin(log.agent_kind, (0, 4, 5, 6))
    tracks = Tracks(
        np.concatenate((own[None], log.agents)),
        np.concatenate((np.ones((1, n), dtype=np.bool_), log.agent_valid)),
        np.concatenate(([[vehicle.length, vehicle.width, vehicle.height]], log.agent_size)),
        np.concatenate((np.zeros(1, dtype=np.uint8), log.agent_kind)),
        np.concatenate(([reach], np.where(motor, 0.28 * log.agent_size[:, 0], 0.0))),
        ("ego", *log.agent_ids),
    )
    assert tracks.num_agents == a + 1
    lanes = tuple(int(k) for k in log.route_lanes)
    groups = tuple(dict.fromkeys(int(roadmap.group[k]) for k in lanes))
    return Scenario(
        id=str(log.header["scenario"]["id"]),
        dt=log.dt,
        duration=log.dt * (n - 1),
        environment=roadmap,
        tracks=tracks,
        ego=0,
        initial=log.ego[0],
        vehicle=vehicle,
        route=Route(lanes, groups, log.route_line, Goal()),
        expert=Expert(expert, "human"),
        signals=log.signals,
        origin=tuple(log.header["scenario"]["origin"]),
    )


def own_drive(scenario: Scenario, planner: Planner, traffic: str, reference: RunLog) -> tuple[RunLog, float]:
    """Our loop on the devkit's scenario, scored against the expert of `reference`; and its processor seconds,
    the metrics' among them."""
    begin = time.process_time()
    run = simulate(scenario, planner, traffic=OWN_TRAFFIC[traffic], visibility="all")
    run = replace(run, expert=reference.expert, series={**run.series, **reference.series})
    NUPLAN_CLS.evaluate(run)
    return run, time.process_time() - begin


def divergence(theirs: RunLog, ours: RunLog) -> dict[str, Any]:
    """Comparison B, the states: how far ours are from theirs, step by step, in m.

    `ego` and `agents` (the farthest of those present in both): the largest distance, and the first step beyond
    each of `STEPS` (None: never); `missing` counts samples of agents that one of both has alone.
    """
    n = min(len(theirs.times), len(ours.times))
    gap = np.hypot(*(theirs.ego[:n, :2] - ours.ego[:n, :2]).T)
    at = {name: k for k, name in enumerate(ours.agent_ids)}
    away, missing = np.zeros(n), 0
    for k, name in enumerate(theirs.agent_ids):
        j = at.pop(name, None)
        if j is None:
            missing += int(theirs.agent_valid[k, :n].sum())
            continue
        a, b = theirs.agent_valid[k, :n], ours.agent_valid[j, :n]
        missing += int((a != b).sum())
        far = np.hypot(*(theirs.agents[k, :n, :2] - ours.agents[j, :n, :2]).T)
        away = np.maximum(away, np.where(a & b, far, 0.0))
    missing += sum(int(ours.agent_valid[j, :n].sum()) for j in at.values())
    return {
        "ego_m": float(gap.max()),
        "ego_speed": float(np.abs(theirs.ego[:n, 3] - ours.ego[:n, 3]).max()),
        "ego_first": [_first(gap > step) for step in STEPS],
        "agents_m": float(away.max()),
        "agents_first": [_first(away > step) for step in STEPS],
        "agents_missing": missing,
    }


def _first(beyond: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(beyond)) if beyond.any() else None
