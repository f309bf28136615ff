"""The golden comparison with the nuPlan devkit: what it wrote of drives in its own closed loop.

`nuplan_golden.json` is the table of all drives, `nuplan_golden.npz` the states of some of them and what
the devkit wrote of those; both are made by `python -m drive.eval.devkit` where the devkit is at hand.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive.errors import RunLogError
from drive.eval.devkit.compare import SCORED, difference, divergence, evaluate, metric_differences
from drive.eval.devkit.store import load, pack, save, unpack
from drive.eval.metrics.nuplan import NUPLAN_CLS

HERE = Path(__file__).parent
TABLE = json.loads((HERE / "nuplan_golden.json").read_text())
DRIVES = {
    f"{a['scene']} {a['traffic']} {a['planner']}": (a, run) for a, run in load(HERE / "nuplan_golden.npz")
}


@pytest.mark.parametrize("name", sorted(DRIVES))
def test_ours_equals_the_official_score(name: str) -> None:
    about, run = DRIVES[name]
    score, metrics, statistics = evaluate(run)
    assert score == pytest.approx(about["score"], abs=1e-6)
    assert set(metrics) == set(SCORED)
    for metric in SCORED:
        assert metrics[metric] == pytest.approx(about["metrics"][metric], abs=1e-6), metric
    compared = [key for key in about["statistics"] if key in statistics]
    assert len(compared) >= 40
    for key in compared:
        assert difference(about["statistics"][key], statistics[key]) <= 1e-3, key


def test_the_table_covers_both_challenges_and_tells_its_versions() -> None:
    assert {"nuplan-devkit", "numpy", "shapely", "python"} <= set(TABLE["versions"])
    drives = [r for r in TABLE["drives"] if r["planner"] in ("drive_idm", "drive_pdm")]
    for traffic in ("log", "idm"):
        assert len({r["scene"] for r in drives if r["traffic"] == traffic}) >= 50
    for planner in ("drive_idm", "drive_pdm"):
        assert len({r["scene"] for r in drives if r["planner"] == planner and r["traffic"] == "log"}) >= 50
    assert len({r["scene"].split("/")[1] for r in TABLE["drives"]}) >= 20


def test_the_table_says_that_all_scores_are_equal() -> None:
    for row in TABLE["drives"]:
        assert row["failure"] is None, row
        assert "different" not in row, row
        assert row["score_difference"] <= 1e-6, row
        assert row["largest_difference"] <= 1e-3, row


def test_the_drives_take_every_branch_of_the_metrics() -> None:
    seen = {name: {row["official"][name] for row in TABLE["drives"]} for name in SCORED}
    for name in ("drivable_area_compliance", "ego_is_making_progress", "ego_is_comfortable"):
        assert seen[name] == {0.0, 1.0}, name
    assert seen["time_to_collision_within_bound"] == {0.0, 1.0}
    assert seen["no_ego_at_fault_collisions"] >= {0.0, 1.0}
    assert seen["driving_direction_compliance"] == {0.0, 0.5, 1.0}
    assert len(seen["speed_limit_compliance"]) > 3
    assert len(seen["ego_progress_along_expert_route"]) > 20


def test_our_own_loop_follows_the_devkits_where_the_log_is_replayed() -> None:
    rows = [r for r in TABLE["drives"] if r["traffic"] == "log" and "own_loop" in r]
    assert len(rows) >= 100
    away = np.array([r["own_loop"]["ego_m"] for r in rows])
    assert np.median(away) < 1e-3
    for row in rows:
        assert ("flipped" in row["own_loop"]) == ("cause" in row["own_loop"]), row


def test_flipped_scores_have_a_cause() -> None:
    for row in TABLE["drives"]:
        own = row.get("own_loop")
        if own and abs(own["score"] - row["official"]["score"]) > 1e-3:
            assert own["cause"], row


def test_a_store_gives_back_what_it_was_given(tmp_path: Path) -> None:
    about, run = next(iter(DRIVES.values()))
    save(tmp_path / "again.npz", [(about, run)])
    (again, same), *rest = load(tmp_path / "again.npz")
    assert not rest
    assert again["metrics"] == about["metrics"]
    np.testing.assert_allclose(same.ego, run.ego, atol=1e-9)
    assert divergence(run, same)["ego_m"] < 1e-9
    assert NUPLAN_CLS.evaluate(same).score == pytest.approx(about["score"], abs=1e-6)
    walk = np.cumsum(np.random.default_rng(1).normal(size=(50, 3)), axis=0)
    np.testing.assert_allclose(unpack(pack(walk, 1e-6), 1e-6), walk, atol=5.1e-7)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RunLogError, match=r"broken\.npz"):
        load(tmp_path / "broken.npz")


def test_a_difference_is_found() -> None:
    about, run = next((a, r) for a, r in DRIVES.values() if a["score"] > 0.5)
    assert metric_differences(about, run)["metrics"] == {}
    worse = {**about, "metrics": {**about["metrics"], "speed_limit_compliance": 0.25}}
    worse["statistics"] = {**about["statistics"], "max_ego_jerk": 99.0}
    found = metric_differences(worse, run)
    assert list(found["metrics"]) == ["speed_limit_compliance"]
    assert list(found["statistics"]) == ["max_ego_jerk"]


def test_runs_apart_are_told_from_runs_that_agree() -> None:
    _, run = next(iter(DRIVES.values()))
    moved = run.ego.copy()
    moved[40:, 0] += 0.5
    away = divergence(run, replace(run, ego=moved))
    assert away["ego_m"] == pytest.approx(0.5)
    assert away["ego_first"] == [40, 40, 40]
    assert away["agents_missing"] == 0
