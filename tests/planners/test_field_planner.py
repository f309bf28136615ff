"""The field planner on built roads, in a closed loop of tracker and bicycle, and with bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

import drive
from drive.errors import InputError
from drive.planner import Plan, PlanStatus, check_plan
from drive.planners.field.config import FieldConfig
from drive.planners.field.planner import Field
from drive.scenario import Route, Task
from drive.sim.loop import simulate
from drive.sim.trackers import LQRTracker
from drive.sim.vehicles import bicycle_step
from drive.validate import validate
from drive.vehicle import AgentKind

ROADS = SimpleNamespace(**run_path(str(Path(__file__).with_name("test_pdm.py"))))
VEHICLE, straight, see = ROADS.VEHICLE, ROADS.straight, ROADS.see


def task_on(roadmap, lanes=(0,), **changes) -> Task:
    groups = tuple(dict.fromkeys(int(roadmap.group[lane]) for lane in lanes))
    line = np.concatenate([roadmap.centerline(lane) for lane in lanes])
    return Task(roadmap, Route(lanes, groups, line), VEHICLE, 0.1, 15.0, **changes)


def ego_at(x, y=0.0, v=10.0, heading=0.0):
    return np.array([x, y, heading, v, 0.0, 0.0, 0.0])


def drive_on(session, ego, seconds, others=lambda t: (), kind=AgentKind.VEHICLE):
    """States and plans of a drive; `others` gives rows (x, y, heading, speed) at a time."""
    tracker, states, plans = LQRTracker(0.1), [ego], []
    for k in range(round(seconds * 10)):
        observation = see(0.1 * k, states[-1], others(0.1 * k), kind=kind)
        plan = check_plan(session.plan(observation), 0.1 * k)
        command = tracker.track(plan.trajectory, 0.1 * k, states[-1], VEHICLE)
        states.append(bicycle_step(states[-1], *command, VEHICLE, 0.1)[0])
        plans.append(plan)
    return np.array(states), plans


def test_alone_it_drives_at_the_limit_in_the_middle_of_its_lane() -> None:
    roadmap = straight(500.0, 2)
    states, plans = drive_on(Field().start(task_on(roadmap)), ego_at(20.0, 0.8), 10.0)
    assert {p.status for p in plans} == {PlanStatus.OK}
    assert states[-1, 3] == pytest.approx(ROADS.LIMIT, abs=0.5)
    assert abs(states[-1, 1]) < 0.15
    assert np.abs(np.diff(states[5:, 4])).max() / 0.1 < 4.0


def test_it_stops_behind_who_stands_in_the_only_lane() -> None:
    roadmap = straight(500.0, 1)
    states, _ = drive_on(
        Field().start(task_on(roadmap)), ego_at(20.0, v=12.0), 20.0, lambda t: [(120.0, 0.0, 0.0, 0.0)]
    )
    assert states[-1, 3] < 0.4
    gap = 120.0 - 2.4 - (states[-1, 0] + ROADS.BUMPER)
    assert 0.5 < gap < 10.0
    assert states[:, 4].min() > -4.5


def slow_leader(t):
    return [(70.0 + 3.0 * t, 0.0, 0.0, 3.0)]


def test_it_overtakes_a_slow_leader_where_the_lane_beside_is_free() -> None:
    roadmap = straight(600.0, 2, left_change=True, right_change=True)
    states, plans = drive_on(Field().start(task_on(roadmap)), ego_at(20.0), 14.0, slow_leader)
    assert states[:, 1].max() > 2.8
    assert states[-1, 0] > 70.0 + 3.0 * 14.0 + 10.0
    assert {p.figures["aim"] for p in plans} >= {0.0, 1.0}


def test_f5_with_the_target_lane_blocked_it_stays_and_does_not_weave() -> None:
    roadmap = straight(600.0, 2, left_change=True, right_change=True)

    def others(t):
        # A slow leader, and a column beside that leaves no gap.
        column = [(x + 6.0 * t, 3.5, 0.0, 6.0) for x in range(0, 130, 9)]
        return [(60.0 + 5.0 * t, 0.0, 0.0, 5.0), *column]

    states, plans = drive_on(Field().start(task_on(roadmap)), ego_at(20.0, v=8.0), 12.0, others)
    aims = np.array([p.figures["aim"] for p in plans])
    assert np.abs(states[:, 1]).max() < 1.2
    begun = np.flatnonzero(np.diff(aims) != 0)
    assert (np.diff(begun) >= 30).all()
    assert states[-1, 0] + ROADS.BUMPER < 60.0 + 5.0 * 12.0 - 2.4


def drives_equal(config, seed):
    roadmap = straight(500.0, 2, left_change=True, right_change=True)
    session = Field(config).start(task_on(roadmap, seed=seed))
    return drive_on(session, ego_at(20.0), 3.0, slow_leader)[0].tobytes()


def test_f6_equal_seeds_drive_equally_and_others_differently() -> None:
    first = drives_equal(FieldConfig(), 3)
    assert first == drives_equal(FieldConfig(), 3)
    assert first != drives_equal(FieldConfig(), 4)
    assert first != drives_equal(FieldConfig(seed=1), 3)


def is_braking(plan: Plan) -> bool:
    speed = plan.trajectory.states[:, 3]
    return plan.status is PlanStatus.FALLBACK and speed[-1] <= 0.01 and bool((np.diff(speed) <= 1e-9).all())


def test_without_a_route_it_follows_its_lane_and_without_a_lane_it_brakes() -> None:
    roadmap = straight(500.0, 2)
    bare = Task(roadmap, Route(), VEHICLE, 0.1, 15.0)
    plan = check_plan(Field().start(bare).plan(see(0.0, ego_at(20.0))), 0.0)
    assert plan.status is PlanStatus.OK
    assert plan.trajectory.states[-1, 0] > 70.0
    lost = check_plan(Field().start(bare).plan(see(0.0, ego_at(20.0, y=900.0))), 0.0)
    assert is_braking(lost)
    assert "no lane" in lost.reason


@pytest.mark.parametrize("y", [-9.0, 14.0])
def test_a_start_off_the_road_comes_back_or_says_so(y: float) -> None:
    roadmap = straight(500.0, 2)
    session = Field().start(task_on(roadmap))
    plan = check_plan(session.plan(see(0.0, ego_at(40.0, y))), 0.0)
    assert plan.status is not PlanStatus.OK
    assert plan.reason
    states, _ = drive_on(session, ego_at(40.0, y), 8.0)
    assert np.isfinite(states).all()
    assert abs(states[-1, 1]) < abs(y)


def test_a_start_in_a_collision_brakes_and_says_so() -> None:
    roadmap = straight(500.0, 2)
    session = Field().start(task_on(roadmap))
    plan = check_plan(session.plan(see(0.0, ego_at(40.0), [(42.5, 0.3, 0.0, 0.0)])), 0.0)
    assert plan.status is not PlanStatus.OK
    assert "box" in plan.reason
    assert plan.trajectory.states[-1, 3] < 1.0


def test_a_wall_of_cars_is_braked_for_as_hard_as_it_takes_and_said() -> None:
    roadmap = straight(500.0, 2)
    wall = [(49.0, y, 0.0, 0.0) for y in (-1.0, 1.5, 4.0)]
    near = see(0.0, ego_at(30.0, v=13.0), wall)
    task = task_on(roadmap)
    plan = check_plan(Field().start(task).plan(near), 0.0)
    # 12.5 m to the wall ask for 6.8 m/s^2, more than the planner's own limit.
    assert plan.status in (PlanStatus.DEGRADED, PlanStatus.FALLBACK)
    assert plan.trajectory.states[:, 4].min() < -6.0
    assert np.isinf(validate(plan, near, task).collision_time)
    # Nothing helps at 25 m/s; the plan is the one that brakes.
    assert is_braking(check_plan(Field().start(task).plan(see(0.0, ego_at(30.0, v=25.0), wall)), 0.0))


def test_a_budget_is_kept_and_too_little_of_it_still_gives_a_plan() -> None:
    roadmap = straight(500.0, 2)
    session = Field(FieldConfig(particles=200, generations=200)).start(task_on(roadmap))
    first = session.plan(see(0.0, ego_at(20.0), slow_leader(0.0)))
    hurried = replace(see(0.1, ego_at(21.0), slow_leader(0.1)), time_budget=1e-4)
    second = check_plan(session.plan(hurried), 0.1)
    assert second.figures["evaluations"] <= 400 < first.figures["evaluations"]
    assert validate(second, hurried, session.task).ok


def test_plans_are_what_they_say_on_a_finer_grid() -> None:
    roadmap = straight(500.0, 2, left_change=True, right_change=True)
    session = Field().start(task_on(roadmap))
    for k in range(30):
        observation = see(0.1 * k, ego_at(20.0 + k, 0.02 * k), slow_leader(0.1 * k))
        plan = session.plan(observation)
        if plan.status is PlanStatus.OK:
            assert validate(plan, observation, session.task).collision_time > 2.5


def test_settings_that_cannot_be_are_refused() -> None:
    for bad in (
        {"particles": 2}, {"dt": 0.0}, {"weight_field": -1.0}, {"steps": 61}, {"min_time": 7.0},
        {"max_lateral": float("nan")},
    ):  # fmt: skip
        with pytest.raises(InputError, match="field"):
            FieldConfig(**bad)


def test_the_drawn_field_lies_where_the_others_are() -> None:
    scenario = drive.load_scenario("gen/stop_for_lead/3")
    plain = simulate(scenario, Field(), stop=5)
    assert len(plain.heat_time) == 0
    log = simulate(scenario, Field(FieldConfig(draw=True)), stop=5)
    assert log.heat_values.shape == (6, 28, 90)
    assert (plain.ego == log.ego).all()
    about = log.header["heat"]
    x, y, heading = log.heat_pose[3]
    rows, columns = np.indices(log.heat_values.shape[1:])
    along, across = (columns + 0.5) * about["cell"], (rows + 0.5) * about["cell"]
    at = np.stack(
        (
            x + along * np.cos(heading) - across * np.sin(heading),
            y + along * np.sin(heading) + across * np.cos(heading),
        ),
        axis=-1,
    )
    values = log.heat_values[3] / 255.0 * about["high"]
    ahead = log.agents[:, 3, :2]
    seen = log.agent_valid[:, 3] & (np.hypot(*(ahead - log.ego[3, :2]).T) < 40.0)
    near = [np.hypot(at[..., 0] - x, at[..., 1] - y) < 1.5 for x, y in ahead[seen]]
    found = [values[cells].max() for cells in near if cells.any()]
    assert found
    assert min(found) > 0.5
