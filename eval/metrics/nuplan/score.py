"""The nuPlan closed-loop score (CLS) of a run log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.eval.metrics.base import Evaluation, MetricResult, finite
from drive.eval.metrics.goal import goal_reached
from drive.eval.metrics.nuplan import constants as c
from drive.eval.metrics.nuplan.collisions import find_contacts, no_ego_at_fault_collisions
from drive.eval.metrics.nuplan.comfort import ego_is_comfortable
from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.nuplan.explain import TEXTS
from drive.eval.metrics.nuplan.lanes import Driven, LaneShapes, Places, follow, places
from drive.eval.metrics.nuplan.limits import drivable_area_compliance, speed_limit_compliance
from drive.eval.metrics.nuplan.route import (
    driving_direction_compliance,
    ego_is_making_progress,
    ego_progress_along_expert_route,
)
from drive.eval.metrics.nuplan.ttc import time_to_collision, time_to_collision_within_bound
from drive.vehicle import HEADING, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.runlog import RunLog


@dataclass(frozen=True, slots=True)
class NuPlanScore:
    """The nuPlan closed-loop score; the same metrics and weights for replayed and reactive traffic."""

    name: str = "nuplan_cls"
    version: str = c.VERSION

    def evaluate(self, run: RunLog) -> Evaluation:
        """All metrics of a run and their aggregate. A failed run keeps its metrics and scores 0.

        Without a road map the metrics that need one have no value, and lateral contacts are the ego's
        fault, as they are in no lane. Raises InputError for a run on terrain.
        """
        if run.terrain is not None:
            raise InputError("the score 'nuplan_cls' is for runs on roads")
        metrics = _metrics(run) if len(run.ego) else {name: MetricResult.missing() for name in _SCORED}
        failed = run.header.get("failure") is not None or len(run.ego) == 0
        return Evaluation(0.0 if failed else aggregate({k: m.score for k, m in metrics.items()}), metrics)

    def recompute(self, columns: Mapping[str, float | None]) -> float:
        """The score from the values of its metrics."""
        return aggregate(columns)

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        return dict(TEXTS)


_SCORED = (*c.MULTIPLIERS, *c.WEIGHTS)


def aggregate(scores: Mapping[str, float | None]) -> float:
    """Product of the multipliers times the weighted mean of the rest; None leaves both, other names too.

    Source: nuplan-devkit `weighted_average_metric_aggregator.py`. Without any weighted metric it is 0.
    """
    product, total, weights = 1.0, 0.0, 0.0
    for name in c.MULTIPLIERS:
        value = scores.get(name)
        product *= 1.0 if value is None else value
    for name, weight in c.WEIGHTS.items():
        value = scores.get(name)
        if value is not None:
            total, weights = total + weight * value, weights + weight
    return product * total / weights if weights else 0.0


def _metrics(run: RunLog) -> dict[str, MetricResult]:
    ego = Ego.of(run)
    shapes = LaneShapes.of(run.roadmap) if run.roadmap is not None else None
    where: Places | None = None
    together, exposed = np.zeros(len(ego), dtype=np.bool_), np.ones(len(ego), dtype=np.bool_)
    if shapes is not None:
        where = places(shapes, ego, run.route_lanes.tolist())
        together, exposed = where.together, ~where.together | where.intersection
    contacts = find_contacts(run, ego, together)
    ttc = time_to_collision(run, ego, contacts, exposed)
    progress = direction = speed = area = MetricResult.missing()
    if shapes is not None and where is not None and run.roadmap is not None:
        progress = _progress(run, shapes, where.driven)
        direction = driving_direction_compliance(shapes, where.driven, ego.dt)
        speed = speed_limit_compliance(shapes, where.driven.route, ego)
        area = drivable_area_compliance(run.roadmap, ego)
    reached = goal_reached(run)
    return {
        "no_ego_at_fault_collisions": no_ego_at_fault_collisions(run, contacts),
        "drivable_area_compliance": area,
        "ego_is_making_progress": ego_is_making_progress(progress),
        "driving_direction_compliance": direction,
        "ego_progress_along_expert_route": progress,
        "time_to_collision_within_bound": time_to_collision_within_bound(ttc),
        "speed_limit_compliance": speed,
        "ego_is_comfortable": ego_is_comfortable(run, ego.dt),
        "goal_reached": MetricResult(
            None if reached is None else float(reached),
            reached is not None,
            {"goal_reached": reached},
            scored=False,
        ),
        "collisions": MetricResult(float((contacts.sample >= 0).sum()), scored=False),
        "min_time_to_collision": MetricResult(finite(ttc.min()), scored=False),
        "mean_speed": MetricResult(float(ego.speed.mean()), series={"speed": ego.speed}, scored=False),
    }


def _progress(run: RunLog, shapes: LaneShapes, driven: Driven) -> MetricResult:
    if len(run.expert) == 0:
        return MetricResult.missing()
    center = rear_to_center(run.expert, run.vehicle.rear_axle_to_center)
    expert = follow(shapes, center, run.expert[:, HEADING], run.route_lanes.tolist())
    return ego_progress_along_expert_route(shapes, driven, expert)


NUPLAN_CLS = NuPlanScore()
