"""The measures of traffic, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from drive.errors import InputError  # noqa: E402
from drive.sim.traffic.rift.likelihood import EVENTS, FEATURES, likelihood, likelihoods, main  # noqa: E402
from drive.sim.traffic.rift.measure import Series, gaussian_distance, measure, shapiro, wilson  # noqa: E402
from drive.sim.traffic.rift.policy import load_policy  # noqa: E402


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


def test_likelihoods_by_hand():
    """Four vehicles, of which one drives twice as fast in one of two drives; 101 samples each."""
    fast = np.full((101, 4), 10.0)
    fast[:, 0] = 20.0
    people, drives = series(), [series(), series(speed=fast)]
    found = likelihood(drives, people)
    bins, own = FEATURES["speed"].bins, 202.0
    whole = own + 0.1 * bins
    # Three did in both drives what people did, one in one of two.
    assert found["speed"] == pytest.approx((3.0 * (own + 0.1) + 101.1) / 4.0 / whole, abs=1e-6)
    assert np.isnan(found["headway"])  # nobody is ahead of anybody
    assert found["collision"] == pytest.approx(2.001 / 2.002)
    assert 0.9 < found["realism"] < 1.0
    # Who drives as nobody did has next to no likelihood; who crashes in half of the drives has a half.
    away = likelihood(drives, series(speed=np.full((101, 4), 30.0)))
    assert away["speed"] == pytest.approx(0.1 / whole, abs=1e-6)
    crashed = likelihood([series(), series(crashed=np.ones(4, bool))], people)
    assert crashed["collision"] == pytest.approx(0.5)
    assert crashed["realism"] < found["realism"] - 0.1
    off = np.zeros((101, 4), bool)
    off[50, 2] = True
    assert likelihood([series(off=off)] * 2, people)["off_road"] == pytest.approx(
        (3.0 * 2.001 + 0.001) / 8.008
    )
    for wrong in ([series()], [series(), series(speed=np.ones((101, 3)))]):
        with pytest.raises(InputError):
            likelihood(wrong, people)


def test_the_command_s_likelihoods_and_what_it_refuses(monkeypatch, capsys):
    """Two drives of one scene by the shipped base: all that people show has a likelihood."""
    monkeypatch.setattr("drive.sim.traffic.rift.likelihood.FAMILIES", ("dense_highway",))
    found = likelihoods(load_policy("base")[0], 1, 2)
    assert set(found) == {*FEATURES, *EVENTS, "realism"}
    assert all(0.0 < value <= 1.0 for value in found.values())
    for wrong in (["--scenes", "0"], ["--draws", "1", "--scenes", "1"], ["--weights", "nobody"]):
        assert main(wrong) == 1
        assert capsys.readouterr().out.startswith("error: ")
