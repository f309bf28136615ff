"""What a score says about one run, and the shape that every score has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Statistic = float | int | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class MetricResult:
    """One metric of one run.

    `score` lies in [0, 1] and is None where the metric cannot be computed (then `valid` is False and the
    aggregate leaves it out). Where `scored` is False the metric is a bare figure that no aggregate uses,
    and `score` holds that figure in its own unit, or None where it is infinite. `statistics` are finite or
    None; `series` are per sample `(N,)` and may hold NaN (no value) or inf.
    """

    score: float | None
    valid: bool = True
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    series: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    scored: bool = True

    @classmethod
    def missing(cls, scored: bool = True) -> MetricResult:
        """A metric that has no value for this run."""
        return cls(None, valid=False, scored=scored)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A score in [0, 1] and the metrics that it was made of."""

    score: float
    metrics: Mapping[str, MetricResult]

    @property
    def series(self) -> dict[str, NDArray[np.float64]]:
        """The series of all metrics, by name."""
        return {name: values for metric in self.metrics.values() for name, values in metric.series.items()}

    def to_header(self) -> dict[str, Any]:
        """What a run log's `header["scores"][name]` holds: plain numbers and None.

        `scored` names the metrics that make up the score, in their order; the others are bare figures.
        """
        return {
            "score": self.score,
            "metrics": {name: m.score for name, m in self.metrics.items()},
            "scored": [name for name, m in self.metrics.items() if m.scored],
        }


class Score(Protocol):
    """A benchmark's way to judge a run. Objects of this shape are registered under `drive.metrics`."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def evaluate(self, run: RunLog) -> Evaluation:
        """Judge a run; it need not be complete. Never raises for a short or failed run."""
        ...

    def explain(self) -> dict[str, str]:
        """For each metric: what it measures, where the rule comes from, and its quirks."""
        ...


def finite(value: float | np.floating[Any]) -> float | None:
    """The value as a float, or None where it is NaN or infinite (JSON has neither)."""
    return float(value) if np.isfinite(value) else None
