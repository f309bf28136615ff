"""Metrics: what a run is worth by the rules of published benchmarks."""

from drive.eval.metrics.base import Evaluation, MetricResult, Score

__all__ = ["Evaluation", "MetricResult", "Score"]
