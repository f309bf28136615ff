"""The planners that `field` is compared with, and the comparison itself on a bend or two."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

import drive
from drive.errors import MissingExtraError
from drive.planners.field.planner import Field
from drive.registry import load_planner
from drive.sim.loop import simulate

FOLDER = Path(__file__).parents[2] / "examples" / "baselines"
HAS_FISS = importlib.util.find_spec("fiss_planner") is not None
PLANNERS = [
    "apf.py:APF",
    "frenet.py:Sampler",
    pytest.param("fiss.py:FISS", marks=pytest.mark.skipif(not HAS_FISS, reason="fiss-planner is missing")),
]
OVERTAKES = SimpleNamespace(**run_path(str(FOLDER / "overtakes.py")))


def driven(planner, seed, stop=None):
    scenario = drive.load_scenario(f"gen/curved_overtake/{seed}")
    return simulate(scenario, planner, traffic="idm_brisk", stop=stop)


@pytest.mark.parametrize("name", PLANNERS)
def test_a_baseline_drives_behind_a_slow_leader_without_a_collision(name: str) -> None:
    log = driven(load_planner(f"{FOLDER}/{name}"), 2101, stop=80)
    assert log.header["failure"] is None
    assert not [event for event in log.header["events"] if event["kind"] == "collision"]
    assert log.ego[:, 3].mean() > 6.0


def test_fiss_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiss_planner", None)
    with pytest.raises(MissingExtraError, match="drive-toolkit"):
        load_planner(f"{FOLDER}/fiss.py:FISS")


def test_f4_field_passes_the_leader_in_bends_without_a_collision() -> None:
    for seed in (2103, 2107):
        hits, speed, aside, past = OVERTAKES.figures(driven(Field(), seed))
        assert hits == 0
        assert past
        assert speed > 10.0
        assert aside < 1.6


def test_f5_with_the_lane_beside_blocked_it_stays_behind() -> None:
    scenario = drive.load_scenario("gen/curved_overtake_blocked/2103")
    log = simulate(scenario, Field(), traffic="idm_brisk")
    hits, _, _, past = OVERTAKES.figures(log)
    assert hits == 0
    assert not past
    aims = log.series["plan.aim"]
    changes = [k for k in range(1, len(aims)) if aims[k] != aims[k - 1]]
    assert all(b - a >= 30 for a, b in pairwise(changes))
