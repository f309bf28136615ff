"""nuPlan's open-loop score: errors by hand, thresholds, the devkit's own scene, the driver's own plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import drive
from drive.eval.metrics.base import judge
from drive.eval.metrics.open_loop import HORIZONS, NUPLAN_OLS, errors_of, metrics_of

FIXTURE = (
    Path(__file__).parents[2].parent
    / "shared/data/nuplan_fixtures/common/planner_expert_average_heading_error_within_bound"
    / "low_average_heading_error.json"
)


def open_run(hand, expert, plans, dt=0.1, spans=None):
    """A run along an expert with a plan `(9, 7)` for each whole second, at 0 to 8 s after it."""
    rows = [np.asarray(p, dtype=np.float32) for p in plans]
    spans = [len(p) for p in plans] if spans is None else spans
    rows = [r[:n] for r, n in zip(rows, spans, strict=True)]
    start = np.concatenate(([0], np.cumsum([len(r) for r in rows]))).astype(np.int32)
    run = hand.run(expert, expert=expert, dt=dt)
    return replace(
        run,
        plan_step=np.array([round(k / dt) for k in range(len(plans))], dtype=np.int32),
        plan_latency=np.zeros(len(plans)),
        plan_start=start,
        plan_times=np.concatenate([k + np.arange(len(r), dtype=float) for k, r in enumerate(rows)]),
        plan_states=np.concatenate(rows),
    ).with_header(mode="open")


def straight(hand, side=0.0, turn=0.0, seconds=12, off=None):
    """An expert at 5 m/s along x, and plans `side` m to its left, turned by `turn`."""
    expert = hand.drive(0.0, 5.0, 10 * seconds + 1)
    count = seconds - 8 + 1
    plans = []
    for k in range(count):
        plan = expert[10 * k : 10 * k + 81 : 10].copy()
        plan[:, 1] += side if off is None else off[k]
        plan[:, 2] += turn
        plans.append(plan)
    return expert, plans


def test_a_constant_offset_by_hand(hand) -> None:
    run = open_run(hand, *straight(hand, side=2.0))
    errors = errors_of(run)
    assert errors.displacement.shape == (5, 8)
    np.testing.assert_allclose(errors.displacement, 2.0, atol=1e-5)
    found = judge("nuplan_ols", run)
    # 1 - 2 / 8 for both displacements, 1 for both headings of twice the weight.
    assert found.score == pytest.approx((0.75 + 0.75 + 2.0 + 2.0) / 6.0)
    assert found.metrics["ade_5s"].score == pytest.approx(2.0, abs=1e-5)
    assert found.metrics["plans_extended"].score == 0.0


def test_headings_are_compared_at_the_centre(hand) -> None:
    # The centre lies 1 m before the rear axle: turned by 0.2 rad it moves by 2 sin(0.1).
    found = NUPLAN_OLS.evaluate(open_run(hand, *straight(hand, turn=0.2))).metrics
    assert found["ahe_8s"].score == pytest.approx(0.2, abs=1e-5)
    assert found["fde_3s"].score == pytest.approx(2.0 * np.sin(0.1), abs=1e-5)
    assert found["planner_expert_final_heading_error_within_bound"].score == pytest.approx(0.75, abs=1e-5)


@pytest.mark.parametrize(("side", "miss"), [(5.99, 1.0), (6.01, 0.0)])
def test_more_than_six_metres_within_three_seconds_miss(hand, side, miss) -> None:
    found = NUPLAN_OLS.evaluate(open_run(hand, *straight(hand, side=side)))
    assert found.metrics["planner_miss_rate_within_bound"].score == miss
    assert (found.score > 0.0) is (miss == 1.0)
    assert found.metrics["miss_rate_8s"].score == 0.0


@pytest.mark.parametrize(("missing", "score"), [(3, 1.0), (4, 0.0)])
def test_three_of_ten_plans_may_miss(hand, missing, score) -> None:
    off = [7.0] * missing + [0.0] * (10 - missing)
    found = NUPLAN_OLS.evaluate(open_run(hand, *straight(hand, seconds=17, off=off)))
    assert found.metrics["miss_rate_3s"].score == pytest.approx(missing / 10)
    assert found.metrics["planner_miss_rate_within_bound"].score == score


def test_the_worst_second_misses_and_the_last_one_is_final(hand) -> None:
    expert, plans = straight(hand)
    for plan in plans:
        plan[2, 1] = 9.0  # after two seconds alone
    found = NUPLAN_OLS.evaluate(open_run(hand, expert, plans)).metrics
    assert [found[f"miss_rate_{h}s"].score for h in HORIZONS] == [1.0, 1.0, 0.0]
    assert [found[f"fde_{h}s"].score for h in HORIZONS] == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)
    assert found["ade_3s"].score == pytest.approx(3.0, abs=1e-5)


def test_a_short_plan_is_carried_on_and_told(hand) -> None:
    expert, plans = straight(hand)
    found = NUPLAN_OLS.evaluate(open_run(hand, expert, plans, spans=[5] * 5))
    assert found.score == pytest.approx(1.0, abs=1e-6)
    assert found.metrics["plans_extended"].score == 5.0


def test_the_devkits_own_scene(hand) -> None:
    if not FIXTURE.is_file():
        pytest.skip("the nuPlan fixtures are not on this machine")
    scene = json.loads(FIXTURE.read_text())
    frames = [scene["ego"], *scene["ego_future_states"]]
    expert = np.zeros((len(scene["expert_ego_states"]), 7))
    expert[:, :3] = [e["pose"] for e in scene["expert_ego_states"]]
    plans = []
    for frame in frames:
        # The devkit's test plans straight on.
        plan = np.tile(np.array([*frame["pose"], 0.0, 0.0, 0.0, 0.0]), (9, 1))
        plans.append(plan)
    for states in (expert, *plans):
        states[:, :2] -= frames[0]["pose"][:2]
    metrics = metrics_of(errors_of(open_run(hand, expert, plans, dt=1.0)))
    expected = [value for _, value in scene["expected"][0]["statistics"]]
    found = [metrics[f"ahe_{h}s"].score for h in HORIZONS]
    np.testing.assert_allclose(found, expected[:3], atol=1e-2)
    mean = metrics["planner_expert_average_heading_error_within_bound"].statistics["mean"]
    assert mean == pytest.approx(expected[4], abs=1e-2)


def test_the_drivers_own_plans_score_1_and_others_less() -> None:
    scores = {}
    for planner in ("log", "constant"):
        run = drive.run(planner, "gen/lane_follow_curved/0", scores=["nuplan_ols"])
        assert run.mode == "open"
        scores[planner] = run.header["scores"]["nuplan_ols"]["score"]
    assert scores["log"] == pytest.approx(1.0, abs=1e-4)
    assert scores["constant"] < 0.9


def test_every_metric_is_explained(hand) -> None:
    found = NUPLAN_OLS.evaluate(open_run(hand, *straight(hand)))
    assert set(found.metrics) | {"nuplan_ols"} == set(NUPLAN_OLS.explain())
    columns = {n: m.score for n, m in found.metrics.items() if m.scored}
    assert NUPLAN_OLS.recompute(columns) == found.score
