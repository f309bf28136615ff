"""The planners that `field` is compared with, and the comparison itself on a bend or two."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

import drive
from drive.errors import MissingExtraError
from drive.planners.field.planner import Field
from drive.registry import load_planner
from drive.sim.loop import simulate
from drive.vehicle import VehicleParams

FOLDER = Path(__file__).parents[2] / "examples" / "baselines"
HAS_FISS = importlib.util.find_spec("fiss_planner") is not None
PLANNERS = [
    "apf.py:APF",
    "frenet.py:Sampler",
    "control_tree.py:ControlTree",
    pytest.param("fiss.py:FISS", marks=pytest.mark.skipif(not HAS_FISS, reason="fiss-planner is missing")),
]
STEADINESS = SimpleNamespace(**run_path(str(FOLDER / "steadiness.py")))
TREE = SimpleNamespace(**run_path(str(FOLDER / "control_tree.py")))
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


class Others(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.existence)


def tree_speed(existence: float, aside: float) -> tuple[int, float]:
    """How many branches a tree has, and its speed after its shared second, with a car 30 m ahead at 2 m/s."""
    t = np.arange(TREE.STEPS + 3) * TREE.DT
    frenet = np.stack([35.0 + 2.0 * t, np.full(len(t), aside)], axis=-1)[None]
    others = Others(frenet=frenet, extent=np.full((1, len(t), 2), 1.0), existence=np.array([existence]))
    state, frame = (
        np.array([0.0, 10.0, 0.0, 0.0, 0.0, 0.0]),
        SimpleNamespace(at=lambda s, column: 12.0 + 0.0 * s),
    )
    scene = SimpleNamespace(state=state, hold=SimpleNamespace(station=np.inf), others=others, frame=frame)
    session = TREE.ControlTreeSession(
        TREE.ControlTreeConfig(), SimpleNamespace(vehicle=VehicleParams()), None
    )
    limits, weights = session._beliefs(scene)
    jerk = session._solve(scene, limits, weights)
    assert weights.sum() == pytest.approx(1.0)
    return len(weights), float(10.0 + (session.to_v @ jerk)[TREE.SHARED - 1])


def test_a_control_tree_hedges_between_its_beliefs() -> None:
    there, doubtful, absent = tree_speed(1.0, 0.0), tree_speed(0.5, 0.0), tree_speed(0.5, 9.0)
    assert (there[0], doubtful[0], absent[0]) == (1, 2, 1)
    assert there[1] < doubtful[1] - 0.05 < absent[1] - 0.1
    # Who is known to half a metre, and half a metre beside the lane that the ego needs, is one to doubt.
    assert tree_speed(1.0, 1.0 + 0.5 * VehicleParams().width + 0.5)[0] == 2


def test_change_is_how_far_a_plan_lies_from_the_one_before() -> None:
    t = 0.1 * np.arange(31)
    first = np.stack([10.0 * t, 0.0 * t], axis=-1)
    second = np.stack([10.0 * (t + 0.1), 0.0 * t + 0.3], axis=-1)
    run = SimpleNamespace(
        plan_step=[0, 1],
        plan_start=[0, 31, 62],
        plan_times=np.concatenate((t, t + 0.1)),
        plan_states=np.concatenate((first, second)),
    )
    assert STEADINESS.change(run) == pytest.approx(0.3)
