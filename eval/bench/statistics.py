"""Means with percentile-bootstrap intervals (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13).

The scenario is what is resampled: the samples of one drive are not independent, scenarios are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
BINS_PER_DECADE = 10
_Key = TypeVar("_Key", str, tuple[str, str])
_BLOCK = 4_000_000  # drawn indices at a time, so that a suite of any size fits into memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, its 95 % interval, and how many scenarios it is the mean of; None where there are none."""

    mean: float | None
    ci95: tuple[float, float] | None
    n: int

    def to_json(self) -> dict[str, object]:
        return {"mean": self.mean, "ci95": None if self.ci95 is None else list(self.ci95), "n": self.n}


def bootstrap_means(values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """Means `(resamples,)` of samples drawn with replacement from `values (n,)`, n at least 1."""
    data = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, _BLOCK // len(data))
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        drawn = generator.integers(0, len(data), size=(stop - start, len(data)))
        means[start:stop] = data[drawn].mean(axis=1)
    return means


def estimate(values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The mean of `values (n,)` with its percentile-bootstrap interval; equal inputs give equal intervals."""
    data = np.asarray(values, dtype=np.float64)
    if len(data) == 0:
        return Estimate(None, None, 0)
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(bootstrap_means(data, resamples, seed), [tail, 100.0 - tail])
    return Estimate(float(data.mean()), (float(low), float(high)), len(data))


def paired_difference(first: Mapping[_Key, float], second: Mapping[_Key, float]) -> Estimate:
    """Mean of `first - second` over the keys that both have; pairs are resampled together."""
    shared = sorted(first.keys() & second.keys())
    return estimate([first[key] - second[key] for key in shared])


def percentiles(values: Sequence[float], wanted: Sequence[float]) -> dict[str, float | None]:
    """Percentiles by name (`p50`); None where there are no values."""
    if not len(values):
        return {f"p{q:g}": None for q in wanted}
    found = np.percentile(np.asarray(values, dtype=np.float64), list(wanted))
    return {f"p{q:g}": float(value) for q, value in zip(wanted, found, strict=True)}


def log_histogram(values: ArrayLike, per_decade: int = BINS_PER_DECADE) -> dict[str, list[float] | list[int]]:
    """Counts of positive values in bins of equal width on a logarithmic axis; both lists empty without any.

    Bin k reaches from `edges[k]` to `edges[k + 1]`; edges are whole powers of 10 ** (1 / per_decade).
    """
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data) & (data > 0.0)]
    if not len(data):
        return {"edges": [], "counts": []}
    places = np.floor(np.log10(data) * per_decade).astype(np.int64)
    first = int(places.min())
    counts = np.bincount(places - first)
    edges = [float(f"{10.0 ** (k / per_decade):.6g}") for k in range(first, first + len(counts) + 1)]
    return {"edges": edges, "counts": counts.tolist()}
