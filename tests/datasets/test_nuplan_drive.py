"""Scenarios that were written for nuPlan and read again drive as they did before."""

from __future__ import annotations

import shutil
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyogrio", reason="the extra nuplan is not installed")

from drive.api import run
from drive.datasets.nuplan import city, write_nuplan
from drive.datasets.nuplan.scenario import read_scenario
from drive.datasets.source import load
from drive.scenario import Scenario

FILES = SimpleNamespace(**run_path(str(Path(__file__).with_name("nuplan_files.py"))))


@pytest.fixture(scope="module")
def thrice(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One scene as generated, as written and restored, and as a foreign file has it."""
    patch = pytest.MonkeyPatch()
    cache = tmp_path_factory.mktemp("cache")
    patch.setattr(city, "cache_folder", lambda *parts: cache)
    patch.delenv("NUPLAN_MAPS_ROOT", raising=False)
    folder = tmp_path_factory.mktemp("nuplan")
    scenario = load("gen/signalised_intersection/1")
    one = write_nuplan([scenario], folder)[0]
    restored = read_scenario(one.log, one.token)
    shutil.copytree(folder, folder.with_name("foreign"))
    FILES.make_foreign(folder.with_name("foreign"))
    foreign = read_scenario(folder.with_name("foreign") / "logs" / one.log.name, one.token)
    yield scenario, restored, foreign
    patch.undo()


def drive(scenario: Scenario, planner: str) -> tuple[float, np.ndarray, dict[str, Any]]:
    # The seed of a run depends on the scenario's name.
    log = run(planner, scenario.with_(id="same"), traffic="idm")
    assert log.header.get("failure") is None
    score = log.header["scores"]["nuplan_cls"]
    return float(score["score"]), log.ego[-1, :2] + scenario.origin, score


@pytest.mark.parametrize("planner", ["pdm", "idm"])
def test_the_score_is_nearly_the_same(thrice: Any, planner: str) -> None:
    was, restored, foreign = thrice
    first, end, _ = drive(was.with_(origin=restored.origin), planner)
    again, there, _ = drive(restored, planner)
    assert again == pytest.approx(first, abs=1e-3)
    assert np.hypot(*(there - end)) < 0.05
    # Foreign files lack steering, and their lanes are cut where nuPlan cuts them.
    third, _, _ = drive(foreign, planner)
    assert third == pytest.approx(first, abs=0.02)
