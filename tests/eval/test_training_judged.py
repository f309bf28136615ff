"""Plans judged at single moments, and the tables of trained planners."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError, UnknownNameError
from drive.eval.training.judged import judged, planner_of
from drive.eval.training.oracle import Asked, moments_of
from drive.eval.training.scenes import VALIDATION
from drive.eval.training.trained import collected, drive_all, pairs_table, scores_table
from drive.nn.store import DataRequest

FEW = DataRequest(first_seed=VALIDATION, scenes=1, families=("stop_for_lead", "lane_follow_curved", "cut_in"))
SUITE = """
description = "two scenes"
families = ["stop_for_lead", "cut_in"]
seeds = "9001:9002"
"""


@pytest.fixture(scope="module")
def asked() -> Asked:
    return moments_of(FEW, 9)


def test_who_plans_is_better_than_who_goes_straight_on(asked: Asked) -> None:
    _, pdm = planner_of("pdm")
    _, constant = planner_of("constant")
    good, bad = judged(pdm, asked), judged(constant, asked)
    assert good.labels.shape == (len(asked), 9)
    assert good.score.mean() > bad.score.mean() + 0.1
    assert not bad.breaks.any()  # It only goes on as it does.
    assert np.isnan(bad.best).all()
    shown = np.isfinite(good.best)
    assert shown.any()
    assert (good.best[shown] >= good.mean[shown]).all()


def test_settings_stand_behind_a_planners_name(asked: Asked) -> None:
    label, slow = planner_of("idm acceleration=0.2")
    assert label == "idm acceleration=0.2"
    few = replace(
        asked,
        shown=asked.shown[:2], observations=asked.observations[:2], tasks=asked.tasks[:2],
        kind=asked.kind[:2], family=asked.family[:2],
    )  # fmt: skip
    assert (judged(slow, few).labels[:, 4] <= judged(planner_of("idm")[1], few).labels[:, 4] + 1e-6).all()
    with pytest.raises(InputError, match="K=V behind its name, not 'headway'"):
        planner_of("idm headway")
    with pytest.raises(UnknownNameError):
        planner_of("nobody")


def test_what_is_trained_is_driven_once_and_paired(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    shipped = Path(__file__).parents[2] / "planners" / "regression" / "weights"
    shutil.copytree(shipped, tmp_path / "regression-1")
    suite = tmp_path / "few.toml"
    suite.write_text(SUITE)
    found = drive_all(tmp_path, str(suite), (0, 1), jobs=1)
    assert [(f.name, f.seed) for f in found] == [("pdm", None), ("idm", None), ("regression", 1)]
    before = (tmp_path / "bench" / "idm" / "results.json").stat().st_mtime_ns
    again = drive_all(tmp_path, str(suite), (0, 1), jobs=1)
    assert sorted(f.name for f in again) == ["idm", "pdm", "regression"]
    assert (tmp_path / "bench" / "idm" / "results.json").stat().st_mtime_ns == before
    rows = scores_table(list(collected(tmp_path, (0, 1))))
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["`pdm`", "`idm`", "`regression`"]
    assert all(row.split("|")[4].strip() == "2" for row in rows[2:])
    assert len(pairs_table(again)) == 2  # None of these is to be compared.
