"""What the run log keeps of a plan's candidates."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from drive.planner import Candidates, Plan
from drive.sim.driven import Driven, own_copy
from drive.trajectory import Trajectory

TIMES = 2.0 + 0.1 * np.arange(41)


def plan(candidates: Candidates | None) -> Plan:
    return Plan(Trajectory(TIMES.copy(), np.zeros((41, 7))), candidates=candidates)


def fan(count: int) -> np.ndarray:
    """Candidates along x at 1, 2, 3 ... m/s."""
    states = np.zeros((count, 41, 3))
    states[..., 0] = np.arange(1, count + 1)[:, None] * (TIMES - TIMES[0])
    return states


def test_branches_keep_their_probability_and_what_they_share() -> None:
    branches = Candidates(TIMES, fan(3), probability=np.array([0.2, 0.5, 0.3]), shared_steps=11)
    scored = Candidates(
        TIMES, fan(2), scores={"comfort": np.array([9.0, 1.0]), "score": np.array([0.1, np.nan])}
    )
    rows, names = Driven.candidate_rows(SimpleNamespace(plans=[plan(branches), plan(None), plan(scored)]), 8)
    assert rows["cand_start"].tolist() == [0, 3, 3, 5]
    # Without scores the likeliest comes first; at 1 s it has gone 2 m.
    assert rows["cand_probability"][:3].tolist() == [0.5, 0.3, 0.2]
    assert rows["cand_poses"][0, 2, 0] == 2.0
    # Eleven steps from the plan's first time on end one second later.
    assert np.allclose(rows["cand_shared"], [1.0, 0.0, 0.0])
    assert rows["cand_score"][3:].tolist() == [0.1, 0.0]
    # Every score under its name; what a plan did not say stays open.
    assert names == ["comfort", "score"]
    assert np.isnan(rows["cand_terms"][:3]).all()
    assert np.allclose(rows["cand_terms"][3:], [[9.0, 0.1], [1.0, np.nan]], equal_nan=True)
    assert np.isnan(rows["cand_probability"][3:]).all()


def test_the_chosen_candidate_is_kept_whatever_its_score() -> None:
    score = np.array([0.5, 0.9, 0.1, 0.7])
    rows, _ = Driven.candidate_rows(
        SimpleNamespace(
            plans=[
                plan(Candidates(TIMES, fan(4), {"score": score}, chosen=2)),
                plan(Candidates(TIMES, fan(4), {"score": score}, chosen=1)),
                plan(Candidates(TIMES, fan(4), {"score": score})),
                plan(None),
            ]
        ),
        2,
    )
    assert rows["cand_start"].tolist() == [0, 2, 4, 6, 6]
    assert rows["cand_chosen"].tolist() == [1, 0, -1, -1]
    assert np.allclose(rows["cand_score"], [0.9, 0.1, 0.9, 0.7, 0.9, 0.7])
    # The third of the fan goes at 3 m/s.
    assert rows["cand_poses"][1, 2, 0] == 3.0


def test_a_planner_that_reuses_its_buffers_changes_no_kept_plan() -> None:
    probability = np.array([0.4, 0.6])
    kept = own_copy(plan(Candidates(TIMES, fan(2), probability=probability)))
    probability[:] = 0.0
    assert kept.candidates.probability.tolist() == [0.4, 0.6]
