"""Bootstrap intervals against SciPy's and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from drive.eval.bench import statistics
from drive.eval.bench.statistics import estimate, log_histogram, paired_difference, percentiles


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).beta(4.0, 1.0, size=60)
    found = estimate(values)
    oracle = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.ci95 is not None
    spread = oracle.high - oracle.low
    assert found.ci95 == pytest.approx((oracle.low, oracle.high), abs=0.06 * spread)
    assert found.mean == pytest.approx(values.mean())


def test_two_values_by_hand() -> None:
    # Of 0 and 1 the resampled mean is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4.
    found = estimate([0.0, 1.0])
    assert (found.mean, found.ci95, found.n) == (0.5, (0.0, 1.0), 2)
    means = statistics.bootstrap_means([0.0, 1.0], resamples=20_000)
    assert set(np.unique(means)) == {0.0, 0.5, 1.0}
    assert (means == 0.5).mean() == pytest.approx(0.5, abs=0.02)


def test_equal_values_leave_no_doubt() -> None:
    assert estimate([0.25] * 9).ci95 == (0.25, 0.25)


def test_no_values_give_no_estimate() -> None:
    assert estimate([]).to_json() == {"mean": None, "ci95": None, "n": 0}


def test_the_same_values_give_the_same_interval_in_any_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).uniform(size=11)
    whole = estimate(values)
    monkeypatch.setattr(statistics, "_BLOCK", 50)
    assert estimate(values) == whole


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        interval = estimate(generator.normal(1.0, 1.0, size=40), resamples=400).ci95
        assert interval is not None
        inside += interval[0] <= 1.0 <= interval[1]
    # 95 % of 200 is 190, three standard deviations of the count are 9; the method is a bit too sure.
    assert 176 <= inside <= 199


def test_pairs_by_hand() -> None:
    first = {"a": 1.0, "b": 0.5, "c": 0.75, "only": 1.0}
    second = {"a": 0.5, "b": 0.25, "c": 0.0}
    found = paired_difference(first, second)
    assert (found.mean, found.n) == (0.5, 3)
    assert found.ci95 is not None
    assert found.ci95[0] >= 0.25
    assert found.ci95[1] <= 0.75


def test_pairing_takes_out_what_both_share() -> None:
    hard = np.random.default_rng(0).uniform(size=50)
    first = {str(k): value + 0.01 for k, value in enumerate(hard)}
    second = {str(k): value for k, value in enumerate(hard)}
    paired = paired_difference(first, second).ci95
    assert paired == pytest.approx((0.01, 0.01))
    alone = estimate(hard).ci95
    assert alone is not None
    assert alone[1] - alone[0] > 0.1


def test_percentiles() -> None:
    assert percentiles([4.0, 1.0, 3.0, 2.0, 5.0], (50, 75)) == {"p50": 3.0, "p75": 4.0}
    assert percentiles([], (50, 99)) == {"p50": None, "p99": None}


def test_a_histogram_of_times_on_a_logarithmic_axis() -> None:
    # Ten bins a decade: 1, 1.2589, 1.5849, 1.9953, …; zero and what is not a number have no place on it.
    found = log_histogram([1.0, 1.1, 1.25, 1.6, 0.0, float("nan"), float("inf")])
    assert found == {"edges": [1.0, 1.25893, 1.58489, 1.99526], "counts": [3, 0, 1]}
    assert log_histogram([0.05, 200.0], per_decade=1) == {
        "edges": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
        "counts": [1, 0, 0, 0, 1],
    }
    assert log_histogram([]) == {"edges": [], "counts": []}
