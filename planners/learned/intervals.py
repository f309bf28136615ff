"""Means with bootstrap intervals, as evaluations of learned planners tell them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def bootstrap(
    values: Floats, groups: NDArray[Any] | None = None, draws: int = 2000, seed: int = 0
) -> Interval:
    """The mean of `values (N,)`; where `groups (N,)` name the scenes, whole scenes are drawn, for the moments
    of a scene resemble each other."""
    names, of = np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)
    total, count = np.bincount(of, values, len(names)), np.bincount(of, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    means = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


__all__ = ["Interval", "bootstrap"]
