"""The measures of traffic, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from drive.errors import InputError  # noqa: E402
from drive.sim.traffic.rift.measure import Series, gaussian_distance, measure, shapiro, wilson  # noqa: E402


def series(**given):
    t, n = 101, 4
    full = np.ones((t, n))
    values = {
        "speed": 10.0 * full, "acceleration": 0.0 * full, "lateral": 0.0 * full,
        "off": np.zeros((t, n), bool), "alive": np.ones((t, n), bool), "limit": 12.0 * np.ones((20, n)),
        "gap": np.full((20, n), np.nan), "closing": np.full((20, n), np.nan),
        "world": np.array([0, 0, 1, 1], np.int32), "crashed": np.zeros(n, bool),
    }  # fmt: skip
    return Series(**(values | given))


def test_measures_by_hand():
    crashed = np.array([True, False, False, False])
    found = measure(series(crashed=crashed))
    assert found["rp"] == pytest.approx(100.0)
    assert found["cpk"] == pytest.approx(1.0 / 0.4)  # one in 400 m
    assert (found["orr"], found["uc"]) == (0.0, 0.0)
    assert found["wd"] == pytest.approx(2.0)
    off = np.zeros((101, 4), bool)
    off[:, 0] = True
    hard = np.zeros((101, 4))
    hard[1:, 1] = 3.0
    found = measure(series(off=off, acceleration=hard))
    assert found["orr"] == pytest.approx(25.0)
    assert found["uc"] == pytest.approx(25.0)
    with pytest.raises(InputError, match="nobody"):
        measure(series(alive=np.zeros((101, 4), bool)))


def test_distances_by_hand():
    assert gaussian_distance(np.array([1.0, 3.0]), np.array([4.0, 8.0])) == pytest.approx(np.hypot(4.0, 1.0))
    rng = np.random.default_rng(0)
    assert shapiro(rng.normal(10.0, 2.0, 20_000)) > 0.99
    assert shapiro(rng.exponential(1.0, 20_000)) < 0.95
    assert shapiro(np.ones(10)) != shapiro(np.ones(10))  # not a number
    low, high = wilson(10, 100)
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-3)
