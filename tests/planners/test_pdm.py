"""PDM-Closed on small built maps, in a closed loop of tracker and bicycle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drive.errors import InputError
from drive.geometry import rotate, wrap_angle
from drive.planner import Observation, PlanStatus, check_plan
from drive.planners.pdm import PDM, PDMConfig
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.scenario import Route, SignalState, Task
from drive.sim.road.way import find_lanes, find_way
from drive.sim.trackers import LQRTracker
from drive.sim.vehicles import bicycle_step
from drive.vehicle import AgentKind, VehicleParams

VEHICLE = VehicleParams()
BUMPER = VEHICLE.rear_axle_to_center + 0.5 * VEHICLE.length
LIMIT = 13.9


def ribbon(line, half=1.75):
    """Bounds of a lane around a centreline `(N, 2)`."""
    step = np.gradient(line, axis=0)
    normal = np.stack((-step[:, 1], step[:, 0]), -1) / np.hypot(*step.T)[:, None]
    return line + half * normal, line - half * normal


def build(lanes, turn=0.0, move=(0.0, 0.0)):
    """A map of `(id, centreline, LaneSpec keywords)`, turned and moved as a whole."""
    builder = RoadMapBuilder()
    for name, line, keywords in lanes:
        left, right = ribbon(np.asarray(line, dtype=np.float64))
        place = [rotate(side, turn) + move for side in (left, right)]
        builder.add(LaneSpec(name, *place, **{"speed_limit": LIMIT, **keywords}))
    return builder.build()


def row(x0, x1, y=0.0):
    x = np.arange(x0, x1 + 0.1, 2.0)
    return np.stack((x, np.full_like(x, y)), -1)


def straight(length=400.0, lanes=2, turn=0.0, move=(0.0, 0.0), **keywords):
    specs = [
        (
            f"l{i}",
            row(0.0, length, 3.5 * i),
            {"left_lane": f"l{i + 1}", "right_lane": f"l{i - 1}", **keywords},
        )
        for i in range(lanes)
    ]
    return build(specs, turn, move)


def see(time, ego, agents=(), signals=(), kind=AgentKind.VEHICLE):
    """An observation of agents given as rows (x, y, heading, speed)."""
    rows = np.asarray(agents, dtype=np.float64).reshape(-1, 4)
    n = len(rows)
    states = np.column_stack((rows[:, :3], rows[:, 3] * np.cos(rows[:, 2]), rows[:, 3] * np.sin(rows[:, 2])))
    return Observation(
        time, round(time * 10), ego, ego[None], states, states[:, None], np.ones((n, 1), bool),
        np.tile([4.5, 1.9, 1.6], (n, 1)), np.full(n, kind, np.uint8), np.arange(n), np.ones(n, bool),
        np.ones(n), np.zeros((n, 3, 3)), np.zeros((0, 2, 2)), np.asarray(signals, np.uint8),
        np.full(2, np.nan),
    )  # fmt: skip


def start(roadmap, route=None, config=None):
    route = Route(lanes=(0,), groups=(int(roadmap.group[0]),)) if route is None else route
    return PDM(config).start(Task(roadmap, route, VEHICLE, 0.1, 15.0))


def loop(session, ego, seconds, agents=lambda t: (), signals=lambda t: ()):
    """States `(N, 7)` and plans of a closed loop."""
    tracker, states, plans = LQRTracker(), [ego], []
    for k in range(round(seconds * 10)):
        plan = session.plan(see(0.1 * k, ego, agents(0.1 * k), signals(0.1 * k)))
        check_plan(plan, 0.1 * k)
        ego, _ = bicycle_step(ego, *tracker.track(plan.trajectory, 0.1 * k, ego, VEHICLE), VEHICLE, 0.1)
        states.append(ego)
        plans.append(plan)
    return np.array(states), plans


def at(x, y=0.0, speed=5.0, heading=0.0):
    return np.array([x, y, heading, speed, 0.0, 0.0, 0.0])


def test_reaches_the_speed_limit_on_an_empty_road():
    states, plans = loop(start(straight(600.0)), at(20.0, 0.3), 20.0)
    assert states[-60:, 3].min() > 0.98 * LIMIT
    assert states[:, 3].max() < 1.01 * LIMIT
    assert np.abs(states[50:, 1]).max() < 0.1
    assert all(p.status is PlanStatus.OK for p in plans)


def test_released_first_step_keeps_below_the_limit():
    # The released proposals brake for a step before they look for a leader.
    plain, _ = loop(start(straight(600.0), config=PDMConfig(leader_at_start=False)), at(20.0), 15.0)
    better, _ = loop(start(straight(600.0)), at(20.0), 15.0)
    assert plain[-1, 3] < better[-1, 3] - 0.2


def test_stops_behind_a_standing_vehicle():
    states, _ = loop(start(straight()), at(20.0), 18.0, lambda t: [(100.0, 0.0, 0.0, 0.0)])
    gap = 100.0 - 2.25 - (states[:, 0] + BUMPER)
    assert 0.3 < gap[-1] < 2.5
    assert gap.min() > 0.3
    assert abs(states[-1, 3]) < 0.1


def test_stops_at_a_red_light_and_goes_on_green():
    roadmap = straight(signal="s", stop_station=120.0)
    red, green = [SignalState.RED], [SignalState.GREEN]
    states, _ = loop(start(roadmap), at(20.0), 26.0, signals=lambda t: red if t < 18.0 else green)
    front = states[:, 0] + BUMPER
    assert 117.0 < front[180] < 120.0
    assert front[:181].max() < 120.0
    assert states[180, 3] < 0.2
    assert front[-1] > 130.0


def test_a_line_already_passed_does_not_hold():
    roadmap = straight(signal="s", stop_station=60.0)
    states, _ = loop(start(roadmap), at(60.0, speed=8.0), 5.0, signals=lambda t: [SignalState.RED])
    assert states[-1, 3] > 8.0


def test_stops_before_the_road_ends():
    states, _ = loop(start(straight(160.0)), at(20.0), 25.0)
    assert states[:, 0].max() + BUMPER < 160.0
    assert states[-1, 0] + BUMPER > 150.0
    assert abs(states[-1, 3]) < 0.2


def test_goes_on_beyond_the_route_along_the_straightest_lane():
    x = np.arange(0.0, 41.0, 2.0)
    bend = np.stack((100.0 + 20.0 * np.sin(x / 40 * 1.5), 20.0 * (1 - np.cos(x / 40 * 1.5))), -1)
    roadmap = build([
        ("a", row(0, 100), {"successors": ("bend", "b")}), ("bend", bend, {}), ("b", row(100, 320), {}),
    ])  # fmt: skip
    route = Route(lanes=(0,), groups=(int(roadmap.group[0]),))
    way = find_way(roadmap, route, at(10.0), PDMConfig())
    assert way.lanes == (0, 2)
    assert way.line_station[-1] == pytest.approx(320.0)


def test_fifteen_proposals_with_named_scores():
    plan = start(straight()).plan(see(2.0, at(20.0, 0.2), [(60.0, 3.5, 0.0, 3.0)]))
    c = plan.candidates
    assert c.states.shape == (15, 41, 7)
    assert c.times[0] == 2.0
    assert {"score", "no_at_fault_collision", "time_to_collision", "comfort", "progress"} <= set(c.scores)
    assert all(v.shape == (15,) for v in c.scores.values())
    assert c.chosen == int(np.argmax(c.scores["score"]))
    np.testing.assert_allclose(c.states[:, 0, :4], np.tile([20.0, 0.2, 0.0, 5.0], (15, 1)), atol=1e-5)
    # Three offsets times five speeds, the slowest first: where they get to after 4 s.
    end = c.states[:, -1, :2].reshape(3, 5, 2)
    np.testing.assert_allclose(end[:, 4, 1], [0.0, -1.0, 1.0], atol=0.3)
    assert (np.diff(end[..., 0], axis=1) > 0.0).all()
    assert plan.trajectory.duration == pytest.approx(8.0)
    assert plan.figures["speed_fraction"] == 1.0
    assert plan.figures["target_speed"] == pytest.approx(LIMIT)


def test_proposals_are_idm_behind_a_moving_leader():
    # Published: gap 1 m, headway 1.5 s, 1.5 and 3 m/s^2, exponent 10, leader seen every second step.
    session = start(straight())
    session.plan(see(0.0, at(20.0, speed=9.0), [(60.0, 0.0, 0.0, 4.0)]))
    for i, fraction in enumerate((0.2, 0.4, 0.6, 0.8, 1.0)):
        s, v, lead = 20.0, 9.0, 0.0
        for t in range(1, 41):
            if t == 1 or t % 2 == 0:
                # At t = 1 the forecast of now, afterwards that of the step itself.
                lead = 60.0 + 4.0 * 0.1 * (t if t > 1 else 0) - 2.25 - BUMPER
            wanted = 1.0 + 1.5 * v + v * (v - 4.0) / (2.0 * math.sqrt(1.5 * 3.0))
            a = 1.5 * (1.0 - (v / (fraction * LIMIT)) ** 10 - (wanted / max(lead - s, 1.0)) ** 2)
            s, v = s + 0.1 * v, v + 0.1 * min(max(a, -3.0), 1.5)
            assert session.station[i, t] == pytest.approx(s, abs=1e-3)
            assert session.speed[i, t] == pytest.approx(v, abs=1e-3)


def test_offset_proposals_leave_the_road_on_a_single_narrow_lane():
    # 3.5 m of road, 2.3 m of vehicle: 1 m aside puts a corner outside.
    plan = start(straight(lanes=1)).plan(see(0.0, at(20.0)))
    drivable = plan.candidates.scores["drivable_area"].reshape(3, 5)
    assert drivable[0].all()
    assert not drivable[1:].any()


def test_the_released_rule_stays_beside_the_centre_and_a_preference_returns():
    # 0.9 m aside the path 1 m aside is nearer: the way back costs millimetres of progress.
    aside, back = at(20.0, 0.9, 10.0), PDMConfig(prefer_centre=0.02)
    states, _ = loop(start(straight(600.0)), aside, 8.0)
    assert states[-1, 1] == pytest.approx(1.0, abs=0.1)
    states, plans = loop(start(straight(600.0), config=back), aside, 8.0)
    assert abs(states[-1, 1]) < 0.1
    # The scores of the candidates stay the published ones.
    best = plans[0].candidates.scores["score"].reshape(3, 5).max(1)
    assert plans[0].figures["offset"] == 0.0
    assert best[2] > best[0]


def test_the_centre_is_not_preferred_where_its_proposals_break_a_rule():
    # 12 m ahead a car stands in the corridors of the centre and of the right.
    session = start(straight(600.0), config=PDMConfig(prefer_centre=1.0))
    plan = session.plan(see(0.0, at(21.0, 0.9, 10.0), [(40.0, -2.0, 0.0, 0.0)]))
    assert plan.candidates.scores["score"].reshape(3, 5)[:2].max() == 0.0
    assert plan.figures["offset"] == 1.0


def brake_case(distance, speed):
    ego = at(20.0, speed=speed)
    return start(straight()).plan(see(0.0, ego, [(20.0 + BUMPER + 2.25 + distance, 0.0, 0.0, 0.0)]))


def test_emergency_brake_needs_both_conditions():
    # A gap of 0.3 m at 4 m/s cannot be kept by 3 m/s^2; a collision within 2 s is certain.
    near = brake_case(0.3, 4.0)
    assert near.status is PlanStatus.FALLBACK
    assert near.reason == "emergency brake"
    # 1.1 (4 - 4.05): what the released formula makes of 4 m/s.
    assert near.figures["reference_speed"] == pytest.approx(1.1 * (4.0 - 4.05))
    np.testing.assert_allclose(near.trajectory.states[0, :3], [20.0, 0.0, 0.0])
    fast = brake_case(0.3, 8.0)
    assert fast.status is not PlanStatus.FALLBACK
    assert fast.candidates.scores["collision_time"].min() <= 2.0
    far = brake_case(30.0, 4.0)
    assert far.status is PlanStatus.OK


def test_no_route_follows_the_nearest_lane():
    states, plans = loop(start(straight(), Route()), at(20.0, 3.3), 6.0)
    assert np.abs(states[30:, 1] - 3.5).max() < 0.2
    assert states[-1, 3] > 10.0
    assert all(p.status is PlanStatus.OK for p in plans)


def test_no_lane_at_all_brakes_to_a_stop():
    states, plans = loop(start(straight(), Route()), at(5000.0, 5000.0), 5.0)
    assert all(p.status is PlanStatus.FALLBACK for p in plans)
    assert abs(states[-1, 3]) < 0.05
    assert states[:, 0].max() - 5000.0 < 6.0


def test_an_agent_that_vanishes_is_forgotten():
    session = start(straight())
    states, _ = loop(session, at(20.0), 12.0, lambda t: [(60.0, 0.0, 0.0, 0.0)] if t < 6.0 else ())
    assert states[60, 3] < 5.0
    assert states[-1, 3] > 8.0


def test_crowd_is_capped_to_the_nearest_and_finite():
    rng = np.random.default_rng(4)
    agents = np.column_stack((rng.uniform(-40, 90, 300), rng.uniform(-8, 12, 300), rng.uniform(-3, 3, 300),
                              rng.uniform(0, 5, 300)))  # fmt: skip
    session = start(straight())
    plan = session.plan(see(0.0, at(20.0), agents))
    assert np.isfinite(plan.trajectory.states).all()
    assert np.isfinite(plan.candidates.states).all()
    assert int((session.agents.extent[0] > 0.0).sum()) == session.count == 50
    few = session.plan(see(0.1, at(20.5), agents[:1], kind=AgentKind.PEDESTRIAN))
    assert np.isfinite(few.trajectory.states).all()


def test_changes_lanes_where_its_own_lane_ends():
    roadmap = build([
        ("ramp", row(0, 120), {"left_lane": "main", "right_change": False}),
        ("main", row(0, 120, 3.5), {"right_lane": "ramp", "successors": ("on",)}),
        ("on", row(120, 400, 3.5), {}),
    ])  # fmt: skip
    groups = tuple(dict.fromkeys(int(g) for g in roadmap.group))
    lanes, allowed = find_lanes(roadmap, Route(lanes=(0, 1, 2), groups=groups), at(20.0), PDMConfig())
    assert lanes[:3] == (0, 1, 2)
    assert allowed == {0, 1, 2}
    states, _ = loop(start(roadmap, Route(lanes=(0, 1, 2), groups=groups)), at(20.0, speed=8.0), 14.0)
    assert abs(states[-1, 1] - 3.5) < 0.2
    assert states[-1, 0] > 130.0


def test_it_changes_lanes_for_its_route_where_another_way_is_shorter():
    roadmap = build([
        ("right", row(0, 120), {"left_lane": "left", "successors": ("near",)}),
        ("left", row(0, 120, 3.5), {"right_lane": "right", "successors": ("far",)}),
        ("near", row(120, 200), {"successors": ("end",)}),
        ("far", row(120, 200, 3.5), {"successors": ("end",)}),
        ("end", row(200, 400), {}),
    ])  # fmt: skip
    lanes = tuple(roadmap.lane_index(name) for name in ("right", "left", "far", "end"))
    groups = tuple(dict.fromkeys(int(roadmap.group[k]) for k in lanes))
    found, _ = find_lanes(roadmap, Route(lanes=lanes, groups=groups), at(20.0), PDMConfig())
    assert found == lanes


def test_off_the_route_it_drives_back_to_it():
    roadmap = build([
        ("side", row(0, 60), {"successors": ("r1",), "kind": LaneKind.LANE}),
        ("r0", row(0, 60, 30.0), {"successors": ("r1",)}),
        ("r1", row(60, 300), {}),
    ])  # fmt: skip
    groups = (int(roadmap.group[1]), int(roadmap.group[2]))
    lanes, allowed = find_lanes(roadmap, Route(lanes=(1, 2), groups=groups), at(10.0), PDMConfig())
    assert lanes == (0, 2)
    assert 0 in allowed


def test_searches_a_new_way_when_it_left_the_old_one():
    session = start(straight(lanes=3), Route())
    session.plan(see(0.0, at(20.0, 0.0)))
    assert session.way.lanes == (0,)
    session.plan(see(1.0, at(30.0, 7.0)))
    assert session.way.lanes == (2,)


def curve_scene(turn, move):
    """A bend of 40 m radius with traffic, turned and moved."""
    u = np.arange(0.0, 1.21, 0.03)
    lead = row(0.0, 60.0)
    bend = np.stack((60.0 + 40.0 * np.sin(u[1:]), 40.0 * (1.0 - np.cos(u[1:]))), -1)
    end = bend[-1] + np.arange(2.0, 80.0, 2.0)[:, None] * [math.cos(1.2), math.sin(1.2)]
    line = np.concatenate((lead, bend, end))
    roadmap = build([("c", line, {})], turn, move)
    ego = at(35.0, 0.4, 9.0, 0.02)
    agents = np.array(
        [[88.0, 9.5, 0.7, 4.0], [60.0, 6.0, 3.1, 2.0], [75.0, -6.0, 1.5, 3.0], [20.0, 0.0, 0.0, 9.0]]
    )
    ego[:2], ego[2] = rotate(ego[:2], turn) + move, float(wrap_angle(ego[2] + turn))
    agents[:, :2], agents[:, 2] = rotate(agents[:, :2], turn) + move, agents[:, 2] + turn
    return roadmap, ego, agents


@pytest.mark.parametrize(
    ("turn", "move"), [(0.0, (200.0, -300.0)), (2.1, (-70.0, 30.0)), (math.pi, (0.0, 0.0))]
)
def test_turning_and_moving_the_scene_turns_and_moves_the_plan(turn, move):
    base_map, base_ego, base_agents = curve_scene(0.0, (0.0, 0.0))
    base = start(base_map).plan(see(0.0, base_ego, base_agents))
    other_map, ego, agents = curve_scene(turn, move)
    other = start(other_map).plan(see(0.0, ego, agents))
    assert other.candidates.chosen == base.candidates.chosen
    np.testing.assert_allclose(
        other.trajectory.states[:, :2], rotate(base.trajectory.states[:, :2], turn) + move, atol=1e-3
    )
    np.testing.assert_allclose(
        other.candidates.states[..., :2], rotate(base.candidates.states[..., :2], turn) + move, atol=1e-3
    )
    gap = wrap_angle(other.trajectory.states[:, 2] - base.trajectory.states[:, 2] - turn)
    np.testing.assert_allclose(gap, 0.0, atol=1e-4)


def test_follows_a_bend():
    roadmap, _, _ = curve_scene(0.0, (0.0, 0.0))
    session = start(roadmap)
    states, _ = loop(session, at(20.0, speed=8.0), 9.0)
    gap = np.hypot(*(states[:, None, :2] - session.way.line - session.way.origin).transpose(2, 0, 1)).min(1)
    assert gap.max() < 0.8
    assert states[-1, 2] == pytest.approx(1.2, abs=0.05)


def test_plans_are_deterministic_and_leave_the_observation_alone():
    roadmap, ego, agents = curve_scene(0.3, (5.0, 5.0))
    observation = see(0.0, ego, agents)
    before = observation.agents.copy(), observation.ego.copy()
    first, second = (start(roadmap).plan(observation) for _ in range(2))
    again = start(roadmap)
    again.plan(observation)
    third = again.plan(observation)
    for other in (second, third):
        assert first.trajectory.states.tobytes() == other.trajectory.states.tobytes()
        assert first.candidates.states.tobytes() == other.candidates.states.tobytes()
    assert (observation.agents == before[0]).all()
    assert (observation.ego == before[1]).all()


def test_bad_configuration_is_refused():
    with pytest.raises(InputError, match="offset"):
        PDMConfig(offsets=())
    with pytest.raises(InputError, match="prefer_centre"):
        PDMConfig(prefer_centre=-0.1)
    with pytest.raises(InputError, match="lqr_compat"):
        PDMConfig(lqr_compat="old")
    with pytest.raises(InputError, match="proposal_steps"):
        PDMConfig(proposal_steps=90)
