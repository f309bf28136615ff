"""The nuPlan closed-loop score."""

from drive.eval.metrics.nuplan.score import NUPLAN_CLS, NuPlanScore, aggregate

__all__ = ["NUPLAN_CLS", "NuPlanScore", "aggregate"]
