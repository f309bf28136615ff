"""The model predictive planner: its programme against cvxpy, and what it does on the road."""

from __future__ import annotations

from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest

import drive
from drive.errors import InputError
from drive.planner import PlanStatus, check_plan
from drive.planners.mpc import MPC, MPCConfig
from drive.planners.mpc.problem import FREE, Bounds, Corridor, Guess, Problem, Weights
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.scenario import Route, Task
from drive.validate import validate
from drive.vehicle import VehicleParams

N, DT, HEADWAY = 12, 0.2, 1.0
BOUNDS = Bounds(-6.0, 2.0, 15.0, 0.3, 0.4)


def oracle(begin, guess, corridor, w=None):
    """The same programme, written as a person would, solved by Clarabel: the optimum and the states."""
    w = w or Weights()
    x, u = cp.Variable((N + 1, 6)), cp.Variable((N, 2))
    slack = cp.Variable((N, 4), nonneg=True)
    g = 1.0 / (1.0 - guess.curvature * guess.offset)
    rules = [x[0] == begin]
    mean = lambda a, k: 0.5 * (a[k] + a[k + 1])  # noqa: E731
    for k in range(N):
        V, bend = guess.speed, guess.curvature * g * guess.speed
        rules += [
            x[k + 1, 0] == x[k, 0] + DT * 0.5 * (g[k] * x[k, 1] + g[k + 1] * x[k + 1, 1]),
            x[k + 1, 1] == x[k, 1] + DT * mean(x[:, 2], k),
            x[k + 1, 2] == x[k, 2] + DT * u[k, 0],
            x[k + 1, 3] == x[k, 3] + DT * 0.5 * (V[k] * x[k, 4] + V[k + 1] * x[k + 1, 4]),
            x[k + 1, 4] == x[k, 4] + DT * (0.5 * (V[k] * x[k, 5] + V[k + 1] * x[k + 1, 5]) - mean(bend, k)),
            x[k + 1, 5] == x[k, 5] + DT * u[k, 1],
        ]
    s, v, a, d, th, c = (x[1:, i] for i in range(6))
    rules += [
        s - slack[:, 0] <= corridor.last,
        s + HEADWAY * v - slack[:, 1] <= corridor.behind,
        d - slack[:, 2] <= corridor.left,
        d + slack[:, 2] >= corridor.right,
        v - slack[:, 3] <= corridor.fast,
        v >= 0, a >= BOUNDS.least, a <= BOUNDS.most, cp.abs(c) <= BOUNDS.curvature,
        cp.abs(u[:, 0]) <= BOUNDS.jerk, cp.abs(u[:, 1]) <= BOUNDS.turn,
    ]  # fmt: skip
    own = (guess.curvature * g)[1:]
    cost = (
        w.speed * cp.sum_squares(v - corridor.target)
        + w.acceleration * cp.sum_squares(a)
        + w.jerk * cp.sum_squares(u[:, 0])
        + w.offset * cp.sum_squares(d - corridor.centre)
        + w.heading * cp.sum_squares(th)
        + w.curvature * cp.sum_squares(c - own)
        + w.turn * cp.sum_squares(u[:, 1])
        + w.near_slack * cp.sum_squares(slack[:, 0]) + 0.5 * w.near_slack * cp.sum(slack[:, 0])
        + w.headway_slack * cp.sum_squares(slack[:, 1])
        + w.beside_slack * cp.sum_squares(slack[:, 2]) + 0.5 * w.beside_slack * cp.sum(slack[:, 2])
        + w.fast_slack * cp.sum_squares(slack[:, 3])
    )  # fmt: skip
    problem = cp.Problem(cp.Minimize(cost), rules)
    problem.solve(solver=cp.CLARABEL)
    return x.value


@pytest.mark.parametrize("seed", range(4))
def test_the_programme_is_solved_to_its_optimum(seed):
    """With a leader, somebody beside and a bend, against cvxpy and an interior point, to its tolerance."""
    rng = np.random.default_rng(seed)
    t = DT * np.arange(N + 1)
    v0 = rng.uniform(3.0, 10.0)
    guess = Guess(v0 * t, np.full(N + 1, v0), np.linspace(0.3, 0.0, N + 1), 0.03 * np.sin(t + seed))
    corridor = Corridor(
        np.full(N, FREE if seed == 0 else 8.0 + 3.0 * seed),
        12.0 + 4.0 * t[1:],
        np.where(t[1:] > 1.0, -0.2, 1.0),
        np.full(N, -1.0),
        np.full(N, 9.0),
        np.full(N, 8.5),
        np.where(t[1:] > 1.0, -0.2, 0.0),
    )
    begin = np.array([0.0, v0, 0.2, 0.3, 0.01, guess.curvature[0]])
    problem = Problem(N, DT, HEADWAY, Weights(), BOUNDS, 4000)
    states, _, good = problem.solve(begin, guess, corridor)
    assert good
    best = oracle(begin, guess, corridor)
    assert states[:, :3] == pytest.approx(best[:, :3], abs=0.1)
    assert states[:, 3:] == pytest.approx(best[:, 3:], abs=0.05)


def test_the_programme_warm_from_another_one_finds_the_same():
    t = DT * np.arange(N + 1)
    guess = Guess(5.0 * t, np.full(N + 1, 5.0), np.zeros(N + 1), np.zeros(N + 1))
    free = np.full(N, FREE)
    side = np.full(N, 1.0)
    open_road = Corridor(free, free, side, -side, np.full(N, 9.0), np.full(N, 9.0), np.zeros(N))
    blocked = Corridor(np.full(N, 5.0), free, side, -side, np.full(N, 9.0), np.full(N, 9.0), np.zeros(N))
    begin = np.array([0.0, 5.0, 0.0, 0.2, 0.0, 0.0])
    warm = Problem(N, DT, HEADWAY, Weights(), BOUNDS, 4000)
    warm.solve(begin, guess, open_road)
    states, _, good = warm.solve(begin, guess, blocked)
    assert good
    assert states == pytest.approx(oracle(begin, guess, blocked), abs=0.1)


@pytest.mark.parametrize(
    "scene", ["gen/stop_for_lead/301", "gen/parked_vehicle/301", "gen/t_junction_yield/301"]
)
def test_it_drives_without_fault(scene):
    log = drive.run(MPC(), scene)
    assert log.header["failure"] is None
    assert log.header["scores"]["nuplan_cls"]["metrics"]["no_ego_at_fault_collisions"] == 1.0
    assert log.header["scores"]["nuplan_cls"]["metrics"]["drivable_area_compliance"] == 1.0


def test_the_planner_of_the_docs_drives(tmp_path):
    """The block of docs/road.md."""
    text = (Path(__file__).parents[2] / "docs" / "road.md").read_text(encoding="utf-8")
    (tmp_path / "follow.py").write_text(text.split("```python\n")[1].split("```")[0], encoding="utf-8")
    log = drive.run(f"{tmp_path / 'follow.py'}:Follow", "gen/lane_follow_curved/301")
    assert log.header["failure"] is None
    assert log.header["scores"]["nuplan_cls"]["metrics"]["drivable_area_compliance"] == 1.0


def test_a_tracker_can_drive_its_plans():
    log = drive.run(MPC(MPCConfig(control=False)), "gen/lane_follow_curved/301")
    assert log.header["failure"] is None
    assert log.header["scores"]["nuplan_cls"]["metrics"]["drivable_area_compliance"] == 1.0


def test_two_runs_are_equal_to_the_last_bit():
    first, second = (drive.run(MPC(), "gen/cut_in/301") for _ in range(2))
    assert (first.ego == second.ego).all()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="steps must lie between"):
        MPCConfig(steps=3)
    with pytest.raises(InputError, match="braking must be positive"):
        MPCConfig(braking=0.0)


def field(x0, x1, **more):
    x = np.arange(x0, x1 + 0.1, 5.0)
    left, right = (np.stack((x, np.full_like(x, y)), -1) for y in (1.75, -1.75))
    builder = RoadMapBuilder()
    builder.add(LaneSpec("only", left, right, speed_limit=10.0, **more))
    return builder.build()


def test_without_a_lane_it_brakes_and_says_why(observed):
    roadmap = field(0, 100, kind=LaneKind.SIDEWALK)
    plan = MPC().start(Task(roadmap, Route(), VehicleParams(), 0.1, 10.0)).plan(observed(20.0, 0.0, 8.0))
    check_plan(plan, 0.0)
    assert plan.status is PlanStatus.INFEASIBLE
    assert "no lane" in plan.reason
    assert plan.trajectory.states[-1, 3] == 0.0


@pytest.mark.parametrize(("y", "v"), [(0.0, 8.0), (1.2, 0.0), (6.0, 5.0)])
def test_its_plan_is_drivable_from_anywhere_near_the_road(observed, y, v):
    roadmap = field(0, 300)
    task = Task(roadmap, Route((0,)), VehicleParams(), 0.1, 10.0)
    observation = observed(20.0, y, v)
    plan = check_plan(MPC().start(task).plan(observation), 0.0)
    assert plan.status is PlanStatus.OK
    assert abs(plan.trajectory.states[-1, 1]) < max(0.5, 0.5 * y)
    if y < 2.0:
        assert validate(plan, observation, task).kinematic_time == np.inf


def test_inside_somebody_it_brakes(observed):
    task = Task(field(0, 300), Route((0,)), VehicleParams(), 0.1, 10.0)
    plan = check_plan(MPC().start(task).plan(observed(20.0, 0.0, 5.0, [(25.5, 0.0, 0.0, 0.0)])), 0.0)
    assert plan.trajectory.states[-1, 3] < 0.1
