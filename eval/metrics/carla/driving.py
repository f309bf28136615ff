"""The driving score of the CARLA leaderboard, versions 1.0, 2.0 and 2.1, applied to a run of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from drive.errors import InputError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.eval.metrics.carla import constants as c
from drive.eval.metrics.carla.constants import RULES_1_0, RULES_2_0, RULES_2_1, Rules
from drive.eval.metrics.carla.explain import texts
from drive.eval.metrics.carla.record import Record, observe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drive.runlog import RunLog

Above = Literal["clamp", "mirror"]


def infraction_penalty(
    rules: Rules,
    counts: Mapping[str, float],
    outside: float = 0.0,
    min_speed: Sequence[float] = (),
    above: Above = "clamp",
) -> float:
    """What the infractions leave of a route's score.

    `counts` by the names of `COUNTED`, others are passed over; `outside` per cent of the route outside of
    its lanes; `min_speed` per cent of the traffic's speed at the checkpoints. 1.0 and 2.0 multiply a factor
    for each, 2.1 divides by 1 plus the sum of coefficients. A checkpoint above 100 % costs nothing, or with
    `above="mirror"` raises the score, as the bare formula would (a released evaluator that scores the
    minimum speed never writes such a checkpoint down). Source: the `statistics_manager.py` of each branch.
    """
    speeds = [min(p, 100.0) if above == "clamp" else p for p in min_speed] if rules.min_speed_scored else []
    lanes = 1.0 - outside / 100.0
    if rules.additive:
        total = sum(rules.table.get(name, 0.0) * number for name, number in counts.items())
        total += sum(c.MIN_SPEED_COEFFICIENT * (1.0 - p / 100.0) for p in speeds)
        return lanes / (1.0 + total)
    product = lanes
    for name, number in counts.items():
        product *= rules.table.get(name, 1.0) ** number
    return product * math.prod(1.0 - (1.0 - c.MIN_SPEED_FACTOR) * (1.0 - p / 100.0) for p in speeds)


def driving_score(rules: Rules, completion: float, penalty: float) -> float:
    """Route completion in per cent times the penalty, in [0, 1]; since 2.0 both are rounded to six digits."""
    if not rules.first_rules:
        completion, penalty = round(completion, c.SCORE_DIGITS), round(penalty, c.SCORE_DIGITS)
        return round(max(completion * penalty, 0.0), c.SCORE_DIGITS) / 100.0
    return max(completion * penalty, 0.0) / 100.0


@dataclass(frozen=True, slots=True)
class CarlaScore:
    """The driving score of one version; see `infraction_penalty` for `above`."""

    rules: Rules
    above: Above = "clamp"
    name: str = field(init=False)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"carla_{self.rules.version}")
        mirrored = " min-speed-above-100=mirror" if self.above == "mirror" else ""
        object.__setattr__(self, "version", f"{self.rules.source}{mirrored}")

    def evaluate(self, run: RunLog) -> Evaluation:
        """Completion, penalty and every infraction of a run. A failed run keeps them and scores 0.

        Raises InputError for a run on terrain.
        """
        if run.terrain is not None:
            raise InputError(f"the score '{self.name}' is for runs on roads")
        record = observe(run, self.rules)
        if record is None:
            missing = ("route_completion", "infraction_penalty")
            return Evaluation(0.0, {name: MetricResult.missing() for name in missing})
        metrics = metrics_of(record, self.rules, self.above)
        score = (
            0.0
            if run.header.get("failure") is not None
            else self.recompute({name: metric.score for name, metric in metrics.items()})
        )
        return Evaluation(score, metrics)

    def recompute(self, metrics: Mapping[str, float | None]) -> float:
        """The score from the metrics' values, as a table of results holds them; 0 without a route."""
        completion, penalty = metrics.get("route_completion"), metrics.get("infraction_penalty")
        if completion is None or penalty is None:
            return 0.0
        score = driving_score(self.rules, 100.0 * completion, penalty)
        return min(score, 1.0)

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        return texts(self.name, self.rules)


def metrics_of(record: Record, rules: Rules, above: Above = "clamp") -> dict[str, MetricResult]:
    """The metrics of a record: the two that make up the score, then bare figures."""
    counts = record.counts()
    speeds = [p for _, p in record.min_speed]
    penalty = infraction_penalty(rules, counts, record.outside, speeds, above)
    figures: dict[str, float] = {
        **counts,
        "outside_route_lanes": record.outside / 100.0,
        "min_speed_infractions": len(speeds),
        "min_speed": sum(speeds) / len(speeds) / 100.0 if speeds else 1.0,
    }
    found = {
        "route_completion": MetricResult(
            record.completion / 100.0,
            statistics={
                "completed": record.completed,
                "route_length": record.length,
                "end_sample": record.end,
                "first_junction": None if record.junction is None else record.junction / 100.0,
            },
            series={"route_completion": record.progress / 100.0},
        ),
        "infraction_penalty": MetricResult(
            float(penalty),
            statistics={
                "outside_metres": record.outside_metres,
                **{f"{name}_{k}_at": n for k, (n, name) in enumerate(record.events)},
            },
            series={"outside_lanes": record.outside_lanes, "infractions": _per_sample(record)},
        ),
    }
    if rules.checkpoints == 0:
        for name in ("min_speed_infractions", "min_speed"):
            del figures[name]
    return found | {k: MetricResult(float(v), scored=False) for k, v in figures.items()}


def _per_sample(record: Record) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    out = np.zeros(len(record.progress))
    for sample, _ in record.events:
        out[sample] += 1.0
    return out


CARLA_1_0 = CarlaScore(RULES_1_0)
CARLA_2_0 = CarlaScore(RULES_2_0)
CARLA_2_1 = CarlaScore(RULES_2_1)
