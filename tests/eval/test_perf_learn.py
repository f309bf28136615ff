"""The rows of `drive perf` about learning: that they read what they say. No test here asserts a time."""

from __future__ import annotations

import numpy as np
import pytest

from drive.eval import perf, perf_learn
from drive.eval.perf_learn import batch_ground, learn_rows
from drive.sim.features import features, new_memory, series, split


def test_there_is_much_to_read() -> None:
    world, ground = batch_ground(3)
    seen = split(features(world, ground))
    # In dense traffic on three lanes nearly everybody has sixteen neighbours, and lanes beside.
    assert (seen.neighbours[..., 5] > 0.0).mean() > 0.95
    assert (seen.points[..., 2:, 2] > 0.0).any((2, 3)).mean() > 0.95
    assert series(world, ground, new_memory(3, world.num_agents))[..., 0].all(), "somebody is not there"


def test_rows_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_learn, "REPEATS", 1)
    monkeypatch.setattr(perf_learn, "VISITS", 2)
    monkeypatch.setattr(perf_learn, "SENSED", 3)
    found = perf.measure(learn_rows(2))
    names = [row["name"] for row in found["rows"]]
    batch = ["step_observe", "step_observe/features", "step_score", "step_score/series"]
    assert names == [*batch, "vector", "sense/vector", "sense/raster"]
    assert all(np.isfinite(row["cpu_s"]) and row["wall_s"] > 0.0 for row in found["rows"])
    assert set(found["agent_steps_per_cpu_s"]) == set(batch)
