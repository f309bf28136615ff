"""The rover score of a run log: limits kept, goal reached, time and energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.eval.metrics.goal import RADIUS
from drive.vehicle import RoverParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

MULTIPLIERS = ("load_within_limit", "slope_within_limit", "charge_kept")
WEIGHTS = {"progress": 5.0, "time": 2.0, "energy": 2.0}
LOAD_FREE, LOAD_WORST = 1.03, 1.15
"""Shares of the allowed load up to which nothing is taken off, and from which on nothing is left."""
SLOPE_FREE, SLOPE_WORST = 1.1, 1.5
"""The same of the steepest slope: a stone under one wheel tilts a body beyond what the ground is."""
TEXTS = {
    "rover": "the three limits multiplied, times the mean of progress (5), time (2) and energy (2)",
    "load_within_limit": "1 while the load stays within 1.03 of what limit, sun, generator and battery "
    "allow; falls linearly to 0 at 1.15",
    "slope_within_limit": "1 while the body's tilt stays within 1.1 of the rover's steepest slope; falls "
    "linearly to 0 at 1.5",
    "charge_kept": "1 if the battery never falls below its reserve and the energy budget, if any, is kept",
    "progress": "the share of the distance to the goal that was gone, 1 within 2 m of it",
    "time": "the time of a straight drive at full speed over the time taken; 0 without reaching the goal",
    "energy": "the energy of a straight drive on flat ground at the cheapest speed over the energy taken; "
    "0 without reaching the goal",
    "goal_reached": "whether it came within 2 m of the goal",
    "power_peak": "largest load in W",
    "power_mean": "mean load in W until the goal",
    "power_share": "largest load over what was allowed then",
    "energy_used": "J until the goal",
    "travel_time": "s until the goal",
    "max_tilt": "largest tilt of the body in degrees",
    "distance": "metres driven until the goal",
    "battery_left": "smallest charge in J",
}


@dataclass(frozen=True, slots=True)
class RoverScore:
    """The toolkit's own score of drives on terrain; no paper's."""

    name: str = "rover"
    version: str = "1"

    def evaluate(self, run: RunLog) -> Evaluation:
        """All metrics of a run; a failed one scores 0. Raises InputError for a run on roads."""
        if run.terrain is None or "rover" not in run.header:
            raise InputError("the score 'rover' is for runs on terrain")
        metrics = _metrics(run)
        score = self.recompute({name: metric.score for name, metric in metrics.items()})
        return Evaluation(0.0 if run.header.get("failure") is not None else score, metrics)

    def recompute(self, columns: Mapping[str, float | None]) -> float:
        """The score from the values of its metrics."""
        score = 1.0
        for name in MULTIPLIERS:
            score *= columns[name] or 0.0
        return score * sum(w * (columns[name] or 0.0) for name, w in WEIGHTS.items()) / sum(WEIGHTS.values())

    def explain(self) -> dict[str, str]:
        """What each metric measures, and the score under its own name."""
        return dict(TEXTS)


def _metrics(run: RunLog) -> Mapping[str, MetricResult]:
    rover = RoverParams(**run.header["rover"])
    series = run.series
    goal = (run.header["scenario"].get("goal") or {}).get("position")
    last, reached, progress = len(run.times) - 1, False, 0.0
    straight = 0.0
    if goal is not None:
        gap = np.hypot(*(run.ego[:, :2] - np.asarray(goal, dtype=np.float64)).T)
        straight = float(gap[0])
        near = np.flatnonzero(gap <= RADIUS)
        reached = len(near) > 0
        last = int(near[0]) if reached else last
        progress = 1.0 if reached else float(np.clip(1.0 - gap.min() / max(straight, 1e-9), 0.0, 1.0))
    tilt = np.arctan(np.hypot(np.tan(series["pitch"]), np.tan(series["roll"])))
    share = float(series["power_share"].max())
    used, taken = float(series["energy_used"][last]), float(run.times[last])
    kept = float(series["battery"].min()) >= rover.battery_min - 1.0
    if rover.energy_budget is not None:
        kept = kept and used <= 1.01 * rover.energy_budget
    steps = np.hypot(*np.diff(run.ego[: last + 1, :2], axis=0).T)
    quickest = max(straight - RADIUS, 0.0) / rover.max_speed
    cheapest = max(straight - RADIUS, 0.0) * _cost_of_a_metre(rover)
    figures = {
        "power_peak": float(series["power_peak"].max()),
        "power_mean": float(series["power"][: last + 1].mean()),
        "power_share": share,
        "energy_used": used,
        "travel_time": taken if reached else None,
        "max_tilt": float(np.degrees(tilt.max())),
        "distance": float(steps.sum()),
        "battery_left": float(series["battery"].min()),
    }
    slope = float(tilt.max()) / rover.max_slope
    return {
        "load_within_limit": MetricResult(_falling(share, LOAD_FREE, LOAD_WORST)),
        "slope_within_limit": MetricResult(_falling(slope, SLOPE_FREE, SLOPE_WORST), series={"tilt": tilt}),
        "charge_kept": MetricResult(float(kept)),
        "progress": MetricResult(progress),
        "time": MetricResult(_ratio(quickest, taken) if reached else 0.0),
        "energy": MetricResult(_ratio(cheapest, used) if reached else 0.0),
        "goal_reached": MetricResult(float(reached), scored=False),
        **{name: MetricResult(value, value is not None, scored=False) for name, value in figures.items()},
    }


def _falling(value: float, free: float, worst: float) -> float:
    return float(np.clip((worst - value) / (worst - free), 0.0, 1.0))


def _ratio(least: float, taken: float) -> float:
    return float(np.clip(least / taken, 0.0, 1.0)) if taken > 0.0 else 1.0


def _cost_of_a_metre(rover: RoverParams) -> float:
    """J for a metre of flat ground at the speed at which it is cheapest."""
    v = np.linspace(0.02, 1.0, 400) * rover.max_speed
    resist = rover.resistance_constant + rover.resistance_linear * v + rover.resistance_quadratic * v * v
    return float((rover.power_base / v + resist).min())


ROVER = RoverScore()
