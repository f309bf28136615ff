"""`drive perf`: that it times what it says it times. No test here asserts a time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drive import registry
from drive.cli import main
from drive.eval import perf
from drive.geometry import box_corners, boxes_overlap


def test_the_busy_road_is_busy_and_fit_to_drive() -> None:
    tracks = perf.busy_road(0).tracks
    assert tracks.num_agents == perf.AGENTS + 1 == 33
    assert tracks.valid.all()
    corners = box_corners(
        tracks.states[:, 0, :2], tracks.states[:, 0, 2], tracks.size[:, 0], tracks.size[:, 1]
    )
    assert boxes_overlap(corners[:, None], corners[None]).sum() == 33  # each with itself alone
    roads = {perf.busy_road(seed).content_hash for seed in range(4)}
    assert len(roads) == 4


def test_figures_of_a_planner() -> None:
    found = perf.planner_figures(registry.load_planner("constant"), repeats=2)
    assert found["failure"] is None
    assert found["calls"] == 2 * perf.STEPS
    assert 0.0 < found["call_ms"]["p50"] <= found["call_ms"]["p95"]
    assert found["total_s"]["cpu"] == pytest.approx(found["drive_s"]["cpu"] + found["metrics_s"]["cpu"])


def test_the_command_prints_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(perf, "WORLDS", 16)
    monkeypatch.setattr(perf, "start_time", lambda arguments: {"cpu": 0.25, "wall": 0.5})
    monkeypatch.setattr(perf, "AGENTS", 8)
    monkeypatch.setattr("drive.cli.perf._usual", lambda: ["constant"])
    assert main.run(["perf", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "drive-perf/1"
    assert np.isfinite(found["agent_steps_per_cpu_s"]["step"])
    assert found["planners"]["constant"]["scenario"]["agents"] == 8
    assert main.run(["perf"]) == 0
    assert "drive --help" in capsys.readouterr().out
