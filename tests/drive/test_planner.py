"""The planner contract: the twenty-line planner, rows of a batch, and what is no plan."""

import subprocess
import sys
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from drive.errors import InputError, PlanError
from drive.planner import (
    Candidates,
    Control,
    ControlKind,
    Forecasts,
    FunctionPlanner,
    Observation,
    ObservationBatch,
    Plan,
    Planner,
    PlannerSpec,
    PlanStatus,
    Session,
    check_plan,
    planner,
)
from drive.trajectory import Trajectory

TASK = SimpleNamespace(dt=0.1)


def batch(worlds=3, agents=4, history=5):
    rng = np.random.default_rng(0)
    w, a, h = worlds, agents, history
    forecast = Forecasts(np.arange(2.0), np.zeros((a, 1, 2, 3)), np.zeros((a, 1, 2, 2, 2)), np.ones((a, 1)))
    return ObservationBatch(
        time=np.arange(w) * 0.1,
        step=np.arange(w),
        ego=rng.normal(size=(w, 7)),
        ego_history=rng.normal(size=(w, h, 7)),
        agents=rng.normal(size=(w, a, 5)),
        agent_history=rng.normal(size=(w, a, h, 5)),
        agent_history_valid=np.ones((w, a, h), dtype=bool),
        agent_size=np.ones((w, a, 3)),
        agent_kind=np.zeros((w, a), dtype=np.uint8),
        agent_id=np.arange(w * a).reshape(w, a),
        agent_valid=np.ones((w, a), dtype=bool),
        existence=np.ones((w, a)),
        covariance=np.zeros((w, a, 3, 3)),
        occlusion_edges=np.zeros((w, 2, 2, 2)),
        signals=np.ones((w, 6), dtype=np.uint8),
        route_progress=np.zeros((w, 2)),
        forecasts=[forecast] * w,
        images={"front": np.zeros((w, 1, 8, 16, 3), dtype=np.uint8)},
        extras={"battery": np.array([0.5, 0.6, 0.7])[:w]},
        time_budget=0.1,
    )


def test_rows_of_a_batch_are_views_of_every_array():
    b = batch()
    row = b[1]
    assert isinstance(row, Observation)
    for f in fields(Observation):
        mine, whole = getattr(row, f.name), getattr(b, f.name)
        if isinstance(mine, np.ndarray):
            assert np.shares_memory(mine, whole), f.name
            assert mine.shape == whole.shape[1:], f.name
    assert np.shares_memory(row.images["front"], b.images["front"])
    assert (row.time, row.step, row.extras, row.time_budget) == (0.1, 1, {"battery": 0.6}, 0.1)
    assert row.forecasts is b.forecasts[1]
    assert row.agent_id.tolist() == [4, 5, 6, 7]
    assert row.signals.shape == (6,)
    assert len(list(b)) == len(b) == 3


def test_a_batch_has_the_fields_of_an_observation():
    assert [f.name for f in fields(Observation)] == [f.name for f in fields(ObservationBatch)]


@planner("straight", horizon=2.0, needs=())
def straight(observation, task):
    """Keep speed and heading: the whole planner."""
    x, y, heading, speed = observation.ego[:4]
    ahead = speed * task.dt * np.arange(1, 21)
    poses = np.stack((x + ahead * np.cos(heading), y + ahead * np.sin(heading), np.full(20, heading)), -1)
    return Plan.from_poses(observation, poses, task.dt)


def test_a_function_is_a_planner():
    assert isinstance(straight, FunctionPlanner)
    assert isinstance(straight, Planner)
    assert (straight.spec.name, straight.spec.horizon, straight.spec.needs) == ("straight", 2.0, ())
    session = straight.start(TASK)
    assert isinstance(session, Session)
    observation = batch()[2]
    plan = check_plan(session.plan(observation), observation.time)
    assert len(plan.trajectory) == 21
    assert np.array_equal(plan.trajectory.states[0], observation.ego)
    assert plan.trajectory.times[[0, -1]] == pytest.approx([0.2, 2.2])
    assert straight(observation, TASK).status is PlanStatus.OK


def test_the_decorator_works_bare_and_called():
    def mine(observation, task):
        return None

    assert planner(mine).spec == planner()(mine).spec == PlannerSpec("mine")
    assert planner(name="other", rate=5.0)(mine).spec == PlannerSpec("other", rate=5.0)
    assert planner("other")(mine).start(TASK).plan(None) is None
    with pytest.raises(InputError, match="rate must be positive"):
        planner("x", rate=0.0)(mine)


def test_a_plan_from_poses_takes_speeds_and_refuses_wrong_shapes():
    observation = batch()[0]
    plan = Plan.from_poses(observation, np.zeros((4, 3)), 0.5, speed=[1, 2, 3, 4])
    assert plan.trajectory.states[1:, 3].tolist() == [1, 2, 3, 4]
    assert plan.trajectory.states[0, 3] == observation.ego[3]
    with pytest.raises(PlanError, match="poses must be"):
        Plan.from_poses(observation, np.zeros((4, 2)))
    with pytest.raises(PlanError, match=r"speeds must be \(4,\)"):
        Plan.from_poses(observation, np.zeros((4, 3)), speed=[1.0])


def good(**changes):
    times = 1.0 + 0.1 * np.arange(5)
    return replace(Plan(Trajectory.from_poses(times, np.zeros((5, 3)))), **changes)


def with_nan(column):
    t = good().trajectory
    t.states[3, column] = np.nan
    return Plan(t)


def candidates(**changes):
    return good(candidates=replace(Candidates(np.arange(3.0), np.zeros((2, 3, 7))), **changes))


def test_a_good_plan_passes_as_itself():
    plan = good(
        control=Control(ControlKind.PEDALS, np.zeros((4, 3)), 0.1),
        candidates=Candidates(
            np.arange(3.0),
            np.zeros((2, 3, 7)),
            {"progress": np.ones(2)},
            np.array([0.4, 0.6]),
            1,
            shared_steps=2,
        ),
    )
    assert check_plan(plan, 1.0) is plan
    assert check_plan(plan, 1.0005) is plan
    assert check_plan(good(control=Control("pedals", np.zeros((4, 3)), 0.1)), 1.0)
    assert check_plan(candidates(states=np.zeros((0, 3, 7))), 1.0)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, "NoneType instead of a Plan"),
        (np.zeros((5, 3)), "ndarray instead of a Plan"),
        (Plan(None), "NoneType instead of a Trajectory"),
        (Plan(np.zeros((5, 7))), "ndarray instead of a Trajectory"),
        (Plan(Trajectory.from_poses([1.0], np.zeros((1, 3)))), "fewer than two"),
        (with_nan(0), "not finite"),
        (with_nan(6), "not finite"),
        (
            Plan(Trajectory.from_poses(0.1 * np.arange(5), np.zeros((5, 3)))),
            "starts at 0.000 s instead of 1.000 s",
        ),
        (good(control=Control(ControlKind.PEDALS, np.zeros((4, 2)), 0.1)), r"finite values \(N, 3\)"),
        (good(control=Control(ControlKind.SPEED_YAW_RATE, np.zeros((0, 2)), 0.1)), r"finite values \(N, 2\)"),
        (
            good(control=Control(ControlKind.ACCELERATION_STEERING, np.full((4, 2), np.nan), 0.1)),
            "finite values",
        ),
        (good(control=Control(ControlKind.ACCELERATION_STEERING, [["a", "b"]], 0.1)), "finite values"),
        (good(control=Control("thrust", np.zeros((4, 2)), 0.1)), "unknown kind 'thrust'"),
        (good(control=Control(ControlKind.PEDALS, np.zeros((4, 3)), 0.0)), "not a positive time"),
        (candidates(states=np.zeros((2, 4, 7))), "candidates need"),
        (candidates(states=np.zeros((2, 3))), "candidates need"),
        (candidates(scores={"progress": np.ones(3)}), r"progress must be \(2,\)"),
        (candidates(probability=np.ones((2, 1))), r"probability must be \(2,\)"),
        (candidates(chosen=2), "none of 2"),
    ],
)
def test_what_cannot_be_driven_is_no_plan(plan, message):
    with pytest.raises(PlanError, match=message):
        check_plan(plan, 1.0)


def test_the_vocabulary_is_light_to_import():
    code = "import sys, drive.planner, drive.scenario, drive.runlog, drive.validate; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"numba", "scipy", "shapely", "torch", "pandas"} & set(done.stdout.split())


def test_statuses_run_from_best_to_worst_and_kinds_are_words():
    assert [s.value for s in PlanStatus] == ["ok", "degraded", "fallback", "infeasible", "timeout", "invalid"]
    assert {k.value for k in ControlKind} == {"acceleration_steering", "pedals", "speed_yaw_rate"}
