"""nuPlan's open-loop score: how far plans are from what the recorded driver did next.

Source: motional/nuplan-devkit at e924167, `planner_expert_average_l2_error_within_bound.py` and its
kin, `simulation_metric/**/planner_*.yaml`, `metric_aggregator/open_loop_boxes_weighted_average.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.geometry import wrap_angle
from drive.trajectory import Trajectory
from drive.vehicle import HEADING, SPEED, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

VERSION = "nuplan-devkit 1.2.2 (e924167)"
HORIZONS = (3, 5, 8)  # s, compared once a second
MISSES = (6.0, 8.0, 16.0)  # m, the largest error that is no miss, by horizon
MISS_RATE = 0.3
L2_BOUND, HEADING_BOUND = 8.0, 0.8  # m, rad: where nothing is left of a score

MULTIPLIER = "planner_miss_rate_within_bound"
WEIGHTS = {
    "planner_expert_average_l2_error_within_bound": 1.0,
    "planner_expert_final_l2_error_within_bound": 1.0,
    "planner_expert_average_heading_error_within_bound": 2.0,
    "planner_expert_final_heading_error_within_bound": 2.0,
}
_FIGURES = ("ade", "fde", "ahe", "fhe")
_BOUNDS = (L2_BOUND, L2_BOUND, HEADING_BOUND, HEADING_BOUND)
_SOURCE = f"Source: {VERSION}, planning/metrics/evaluation_metrics/common/"
_ABOUT = (
    "Centres and headings once a second, of every plan made at a whole second from which the recorded drive "
    "goes on for 8 s (the devkit reads on beyond the scenario's end). A shorter plan is carried on straight "
    "at its last speed, and counted in plans_extended. Mean over horizons of 3, 5 and 8 s and over plans"
)
TEXTS = {
    "nuplan_ols": (
        f"{MULTIPLIER} times the mean of the average (weight 1) and final (1) displacement and the average "
        "(2) and final (2) heading error. The ego follows the recorded driver; what is scored is likeness, "
        "not driving. Source: metric_aggregator/open_loop_boxes_weighted_average.yaml"
    ),
    MULTIPLIER: (
        "1 if at each horizon at most 30 % of the plans are ever more than 6, 8 and 16 m away, else 0. "
        f"{_SOURCE}planner_miss_rate_within_bound.py"
    ),
    "planner_expert_average_l2_error_within_bound": (
        f"1 - error / 8 m, at least 0. {_ABOUT}. {_SOURCE}planner_expert_average_l2_error_within_bound.py"
    ),
    "planner_expert_final_l2_error_within_bound": (
        "1 - error / 8 m of each horizon's last second. "
        f"{_SOURCE}planner_expert_final_l2_error_within_bound.py"
    ),
    "planner_expert_average_heading_error_within_bound": (
        f"1 - error / 0.8 rad, at least 0. {_SOURCE}planner_expert_average_heading_error_within_bound.py"
    ),
    "planner_expert_final_heading_error_within_bound": (
        "1 - error / 0.8 rad of each horizon's last second. "
        f"{_SOURCE}planner_expert_final_heading_error_within_bound.py"
    ),
    **{
        f"{name}_{horizon}s": f"Not scored. {what} up to {horizon} s, mean over plans."
        for name, what in (
            ("ade", "Average displacement in m"),
            ("fde", "Final displacement in m"),
            ("ahe", "Average heading error in rad"),
            ("fhe", "Final heading error in rad"),
            ("miss_rate", "Share of plans that miss"),
        )
        for horizon in HORIZONS
    },
    "plans_extended": "Not scored. Plans that were shorter than 8 s.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Displacements and heading errors `(F, 8)` of F plans, after 1 to 8 s; how many plans were short."""

    displacement: Floats
    heading: Floats
    extended: int


@dataclass(frozen=True, slots=True)
class OpenLoopScore:
    """nuPlan's open-loop score (OLS)."""

    name: str = "nuplan_ols"
    version: str = VERSION
    modes: tuple[str, ...] = ("open",)

    def evaluate(self, run: RunLog) -> Evaluation:
        """The score of a run in open loop; a failed one scores 0, and so does one shorter than 8 s."""
        if run.terrain is not None:
            raise InputError("the score 'nuplan_ols' is for runs on roads")
        errors = errors_of(run)
        metrics = metrics_of(errors)
        failed = run.header.get("failure") is not None or len(errors.displacement) == 0
        columns = {name: metric.score for name, metric in metrics.items()}
        return Evaluation(0.0 if failed else self.recompute(columns), metrics)

    def recompute(self, columns: Mapping[str, float | None]) -> float:
        """The score from the values of its metrics."""
        total = sum(weight * (columns[name] or 0.0) for name, weight in WEIGHTS.items())
        return (columns[MULTIPLIER] or 0.0) * total / sum(WEIGHTS.values())

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        return dict(TEXTS)


def errors_of(run: RunLog) -> Errors:
    """The errors of the plans that held at whole seconds."""
    span = HORIZONS[-1]
    per_second = 1.0 / run.dt
    count = int(np.floor((len(run.expert) - 1) * run.dt + 1e-6))
    distance = run.vehicle.rear_axle_to_center
    clock = np.asarray(run.dt * np.arange(len(run.expert)), dtype=np.float64)
    expert = Trajectory(clock, run.expert) if len(run.expert) else None
    displacement, heading, extended = [], [], 0
    for second in range(count - span + 1):
        calls = np.flatnonzero(run.plan_step <= round(second * per_second))
        if len(calls) == 0 or expert is None:
            continue
        call = int(calls[-1])
        rows = slice(run.plan_start[call], run.plan_start[call + 1])
        wanted = np.asarray(second + np.arange(1, span + 1), dtype=np.float64)
        plan, short = _states_at(run.plan_times[rows], run.plan_states[rows].astype(np.float64), wanted)
        extended += int(short)
        theirs = expert.at(wanted)
        gap = rear_to_center(plan, distance) - rear_to_center(theirs, distance)
        displacement.append(np.hypot(gap[:, 0], gap[:, 1]))
        heading.append(np.abs(wrap_angle(plan[:, HEADING] - theirs[:, HEADING])))
    empty = np.zeros((0, span))
    return Errors(
        np.asarray(displacement) if displacement else empty,
        np.asarray(heading) if heading else empty,
        extended,
    )


def _states_at(times: Floats, states: Floats, wanted: Floats) -> tuple[Floats, bool]:
    """A plan's states at the times wanted, carried on straight beyond its end, and whether it was short."""
    states[:, HEADING] = wrap_angle(states[:, HEADING])
    out = Trajectory(times, states).at(wanted)
    beyond = np.maximum(wanted - times[-1], 0.0)
    last = states[-1]
    way = beyond * last[SPEED]
    out[:, 0] += way * np.cos(last[HEADING])
    out[:, 1] += way * np.sin(last[HEADING])
    return out, bool(beyond[-1] > 0.05)


def metrics_of(errors: Errors) -> dict[str, MetricResult]:
    """All metrics of the errors; without a plan none has a value."""
    names = [MULTIPLIER, *WEIGHTS]
    figures = [f"{name}_{h}s" for h in HORIZONS for name in (*_FIGURES, "miss_rate")]
    if len(errors.displacement) == 0:
        return {
            **{name: MetricResult.missing() for name in names},
            **{name: MetricResult.missing(scored=False) for name in figures},
        }
    far, turned = errors.displacement, errors.heading
    means = np.array(
        [
            [far[:, :h].mean(), far[:, h - 1].mean(), turned[:, :h].mean(), turned[:, h - 1].mean()]
            for h in HORIZONS
        ]
    )
    rates = [float((far[:, :h].max(1) > limit).mean()) for h, limit in zip(HORIZONS, MISSES, strict=True)]
    found = {MULTIPLIER: MetricResult(float(all(rate <= MISS_RATE for rate in rates)))}
    for name, mean, bound in zip(WEIGHTS, means.mean(0), _BOUNDS, strict=True):
        found[name] = MetricResult(max(0.0, 1.0 - float(mean) / bound), statistics={"mean": float(mean)})
    for h, row, rate in zip(HORIZONS, means, rates, strict=True):
        for name, value in zip((*_FIGURES, "miss_rate"), (*row, rate), strict=True):
            found[f"{name}_{h}s"] = MetricResult(float(value), scored=False)
    found["plans_extended"] = MetricResult(float(errors.extended), scored=False)
    return found


NUPLAN_OLS = OpenLoopScore()
