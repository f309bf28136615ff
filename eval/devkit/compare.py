"""Ours against the devkit's: our metrics on its states (A), and our loop against its loop (B)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.nuplan.scenario import read_scenario
from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.constants import MULTIPLIERS, WEIGHTS
from drive.runlog import RunLog
from drive.sim.loop import simulate
from drive.vehicle import STEERING, YAW_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.eval.devkit.export import Exported
    from drive.planner import Planner
    from drive.scenario import Scenario

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


def scenario_of(exported: Exported) -> Scenario:
    """The exported scenario as our reader has it, on the map as the devkit sees it, and begun as it begins:
    with straight wheels and no yaw rate."""
    scenario = read_scenario(exported.log, exported.token, restore=False, maps=exported.maps)
    initial = scenario.initial.copy()
    initial[[STEERING, YAW_RATE]] = 0.0
    return scenario.with_(initial=initial)


def own_drive(scenario: Scenario, planner: Planner, traffic: str) -> RunLog:
    """Our loop on the scenario, for as many samples as the devkit keeps; the expert's drive is whole."""
    stop = scenario.num_steps - 1
    run = simulate(scenario, planner, traffic=OWN_TRAFFIC[traffic], visibility="all", stop=stop)
    assert scenario.expert is not None
    return replace(run, expert=scenario.expert.states)


def divergence(theirs: RunLog, ours: RunLog) -> dict[str, Any]:
    """Comparison B, the states: how far ours are from theirs, step by step, in m.

    Of the ego and of the agents (the farthest of those present in both) the largest distance, the first step
    beyond each of `STEPS` (None: never), and the distances every second; `agents_missing` counts samples of
    agents that one of both has alone.
    """
    n = min(len(theirs.times), len(ours.times))
    shift = np.subtract(theirs.header["scenario"]["origin"], ours.header["scenario"]["origin"])
    gap = np.hypot(*(theirs.ego[:n, :2] + shift - ours.ego[:n, :2]).T)
    partner = _partners(theirs, ours, shift)
    alone = set(range(len(ours.agent_ids))) - set(partner.values())
    away, missing = np.zeros(n), 0
    for k in range(len(theirs.agent_ids)):
        j = partner.get(k)
        if j is None:
            missing += int(theirs.agent_valid[k, :n].sum())
            continue
        a, b = theirs.agent_valid[k, :n], ours.agent_valid[j, :n]
        missing += int((a != b).sum())
        far = np.hypot(*(theirs.agents[k, :n, :2] + shift - ours.agents[j, :n, :2]).T)
        away = np.maximum(away, np.where(a & b, far, 0.0))
    missing += sum(int(ours.agent_valid[j, :n].sum()) for j in alone)
    return {
        "ego_m": float(gap.max()),
        "ego_speed": float(np.abs(theirs.ego[:n, 3] - ours.ego[:n, 3]).max()),
        "ego_first": [_first(gap > step) for step in STEPS],
        "agents_m": float(away.max()),
        "agents_first": [_first(away > step) for step in STEPS],
        "agents_missing": missing,
        "ego_each_second": gap[:: max(round(1.0 / theirs.dt), 1)].tolist(),
        "agents_each_second": away[:: max(round(1.0 / theirs.dt), 1)].tolist(),
    }


def _partners(theirs: RunLog, ours: RunLog, shift: Floats) -> dict[int, int]:
    """Which of our agents each of theirs is: the one that is there at its first sample, within 3 m.

    Reactive agents of the devkit begin on their lane's middle, hence the distance.
    """
    out: dict[int, int] = {}
    for k in range(len(theirs.agent_ids)):
        first = int(np.argmax(theirs.agent_valid[k]))
        if first >= len(ours.times):
            continue
        place = theirs.agents[k, first, :2] + shift
        gap = np.hypot(*(ours.agents[:, first, :2] - place).T)
        gap[~ours.agent_valid[:, first]] = np.inf
        gap[list(out.values())] = np.inf
        if len(gap) and gap.min() < 3.0:
            out[k] = int(np.argmin(gap))
    return out


def _first(beyond: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(beyond)) if beyond.any() else None
