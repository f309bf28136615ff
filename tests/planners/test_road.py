"""The base of planners on roads: frame, forecasts, where to halt, plans."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drive.geometry import box_corners
from drive.planner import Observation, PlanStatus, check_plan
from drive.planners.road.average import moving_average
from drive.planners.road.guide import Guide, GuideSettings
from drive.planners.road.kernels.others import on_lane
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.roadmap.drivable import DrivableArea
from drive.scenario import Route, SignalState, Task
from drive.sim.kernels import line as columns
from drive.sim.road.frame import RoadFrame
from drive.sim.road.way import find_way
from drive.vehicle import AgentKind, VehicleParams, rear_to_center

VEHICLE = VehicleParams()
FRONT = VEHICLE.rear_axle_to_center + 0.5 * VEHICLE.length
TIMES = 0.2 * np.arange(41)
CAR = (4.5, 1.9, 1.6)


def ribbon(line, half=1.75):
    step = np.gradient(line, axis=0)
    normal = np.stack((-step[:, 1], step[:, 0]), -1) / np.hypot(*step.T)[:, None]
    return line + half * normal, line - half * normal


def build(*lanes):
    """A map of `(id, centreline, LaneSpec keywords)`."""
    builder = RoadMapBuilder()
    for name, line, keywords in lanes:
        builder.add(
            LaneSpec(name, *ribbon(np.asarray(line, dtype=np.float64)), **{"speed_limit": 13.9, **keywords})
        )
    return builder.build()


def straight(x0, x1, y=0.0):
    x = np.arange(x0, x1 + 0.1, 2.0)
    return np.stack((x, np.full_like(x, y)), -1)


def clothoid(length=240.0, most=0.04, step=1.0):
    """A line whose curvature swings as a sine between +-most: (points, headings, curvatures)."""
    s = np.arange(0.0, length + 1e-9, 0.01)
    k = most * np.sin(2.0 * np.pi * s / length)
    h = np.concatenate(([0.0], np.cumsum(0.5 * 0.01 * (k[1:] + k[:-1]))))
    x = np.concatenate(([0.0], np.cumsum(0.01 * np.cos(0.5 * (h[1:] + h[:-1])))))
    y = np.concatenate(([0.0], np.cumsum(0.01 * np.sin(0.5 * (h[1:] + h[:-1])))))
    every = round(step / 0.01)
    return np.stack((x, y), -1)[::every], h[::every], k[::every]


def crossroads(signal=False):
    """A road eastward whose lane is cut at x = 100 by a junction, and a road northward across it."""
    stop = {"signal": "light", "stop_station": 100.0} if signal else {"stop_station": 100.0}
    return build(
        ("west", straight(0, 100), {"successors": ("mid",), **stop}),
        (
            "mid",
            straight(100, 120),
            {"successors": ("east",), "kind": LaneKind.CONNECTOR, "intersection": True},
        ),
        ("east", straight(120, 400), {}),
        ("cross", straight(-150, 150)[:, ::-1] + (110.0, 0.0), {}),
    )


def task(roadmap, *lanes):
    return Task(roadmap, Route(tuple(roadmap.lane_index(n) for n in lanes)), VEHICLE, 0.1, 20.0)


def see(time, ego, agents=(), signals=(), kinds=None, valid=None, ids=None):
    n = len(agents)
    rows = np.array([[x, y, h, v * math.cos(h), v * math.sin(h)] for x, y, h, v in agents]).reshape(n, 5)
    state = np.zeros(7)
    state[: len(ego)] = ego
    seen = np.ones(n, dtype=bool) if valid is None else np.array(valid)
    return Observation(
        time=time,
        step=round(time / 0.1),
        ego=state,
        ego_history=state[None],
        agents=np.where(seen[:, None], rows, 0.0),
        agent_history=rows[:, None],
        agent_history_valid=seen[:, None],
        agent_size=np.tile(CAR, (n, 1)).reshape(n, 3),
        agent_kind=np.array(kinds if kinds is not None else [AgentKind.VEHICLE] * n, dtype=np.uint8),
        agent_id=np.array(ids if ids is not None else range(n), dtype=np.int64),
        agent_valid=seen,
        existence=seen.astype(float),
        covariance=np.zeros((n, 3, 3)),
        occlusion_edges=np.zeros((0, 2, 2)),
        signals=np.array(signals, dtype=np.uint8),
        route_progress=np.zeros(2),
    )


@pytest.fixture(scope="module")
def winding():
    line, heading, curvature = clothoid()
    roadmap = build(("only", line, {}))
    ego = np.array([line[5, 0], line[5, 1], heading[5], 8.0, 0, 0, 0])
    way = find_way(roadmap, Route((0,)), ego, GuideSettings())
    return roadmap, RoadFrame.of(way, roadmap), curvature


def test_points_go_to_the_frame_and_back(winding):
    _, frame, _ = winding
    rng = np.random.default_rng(1)
    s, d = rng.uniform(5.0, frame.length - 5.0, 400), rng.uniform(-6.0, 6.0, 400)
    frenet = np.zeros((400, 6))
    frenet[:, 0], frenet[:, 3] = s, d
    points = frame.states(frenet, VEHICLE, 0.0)
    for k in range(400):
        back = frame.locate(points[k : k + 1], s[k] + rng.uniform(-3.0, 3.0))[0]
        assert back == pytest.approx((s[k], d[k]), abs=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.01, -0.199, 0.2, 0.21, -1.2, 3.0])
def test_directions_are_turned_to_rounding(angle):
    c, s = columns.turned(math.cos(0.7), math.sin(0.7), angle)
    assert c == pytest.approx(math.cos(0.7 + angle), abs=1e-15)
    assert s == pytest.approx(math.sin(0.7 + angle), abs=1e-15)


def test_the_foot_on_a_path_is_that_of_the_nearest_row():
    line, heading, _ = clothoid()
    rows = np.column_stack((line, heading, np.cos(heading), np.sin(heading)))
    rng = np.random.default_rng(0)
    for x, y in line[rng.integers(0, len(line), 200)] + rng.normal(0.0, 20.0, (200, 2)):
        k = int(np.argmin(np.hypot(line[:, 0] - x, line[:, 1] - y)))
        s, d, h = on_lane(rows, 0, len(rows) - 1, x, y)
        turn = complex(x - line[k, 0], y - line[k, 1]) * np.exp(-1j * heading[k])
        assert (s, d, h) == pytest.approx((k + turn.real, turn.imag, heading[k]), abs=1e-9)


def test_the_table_has_the_curvature_of_the_line(winding):
    _, frame, curvature = winding
    at = np.arange(20, 220)
    assert frame.at(at.astype(float), columns.CURVATURE) == pytest.approx(curvature[at], abs=1e-3)


def test_full_states_go_to_the_frame_and_back(winding):
    _, frame, _ = winding
    rng = np.random.default_rng(2)
    for _ in range(100):
        frenet = np.array(
            [[rng.uniform(10, 220), rng.uniform(1, 15), rng.uniform(-3, 2), *rng.uniform(-1.5, 1.5, 3)]]
        )
        state = frame.states(frenet, VEHICLE, 0.0)[0]
        assert frame.state(state, float(frenet[0, 0]) + 1.0) == pytest.approx(frenet[0], abs=1e-6)


def test_speeds_and_turning_are_the_derivatives_of_the_motion(winding):
    """Against finite differences of positions, for a motion that sways beside a bending line."""
    _, frame, _ = winding
    t = 0.01 * np.arange(1200)
    w = 0.8
    frenet = np.stack(
        (10.0 + 9.0 * t + 0.2 * t * t, 9.0 + 0.4 * t, np.full_like(t, 0.4),
         np.sin(w * t), w * np.cos(w * t), -w * w * np.sin(w * t)), -1,
    )  # fmt: skip
    states = frame.states(frenet, VEHICLE, 0.0)
    velocity = np.gradient(states[:, :2], 0.01, axis=0)
    speed = np.hypot(*velocity.T)
    inner = slice(20, -20)
    assert states[inner, 3] == pytest.approx(speed[inner], abs=0.02)
    turned = np.abs(np.angle(np.exp(1j * (np.arctan2(velocity[:, 1], velocity[:, 0]) - states[:, 2]))))
    assert turned[inner].max() < 0.01
    yaw = np.gradient(np.unwrap(states[:, 2]), 0.01)
    smooth = np.convolve(yaw, np.full(41, 1 / 41), "same")
    told = np.convolve(states[:, 6], np.full(41, 1 / 41), "same")
    assert told[40:-40] == pytest.approx(smooth[40:-40], abs=0.02)


def test_who_stands_keeps_its_heading(winding):
    _, frame, _ = winding
    frenet = np.tile([30.0, 0.0, 0.0, 0.3, 0.0, 0.0], (4, 1))
    assert frame.states(frenet, VEHICLE, 0.7)[:, 2] == pytest.approx(0.7)


def test_bends_are_slowed_down_for_in_time():
    line, _, _ = clothoid(240.0, 0.08)
    roadmap = build(("only", line, {}))
    way = find_way(roadmap, Route((0,)), np.array([*line[3], 0.0, 5.0, 0, 0, 0]), GuideSettings())
    frame = RoadFrame.of(way, roadmap, lateral_acceleration=2.0, braking=1.5)
    limit = frame.rows[:, columns.LIMIT]
    assert limit.min() == pytest.approx(math.sqrt(2.0 / 0.08), rel=0.05)
    drop = (limit[:-1] ** 2 - limit[1:] ** 2) / (2.0 * frame.step)
    assert drop.max() <= 1.5 + 1e-6
    assert limit.max() <= 13.9 + 1e-9


def test_room_reaches_to_the_lanes_of_ones_direction_and_the_edge():
    roadmap = build(
        ("a", straight(0, 300), {"left_lane": "b"}),
        ("b", straight(0, 300, 3.5), {"right_lane": "a"}),
    )
    way = find_way(roadmap, Route((0,)), np.array([20.0, 0, 0, 8, 0, 0, 0]), GuideSettings())
    row = RoadFrame.of(way, roadmap).rows[200]
    assert row[columns.LEFT] == pytest.approx(5.25, abs=0.01)
    assert row[columns.RIGHT] == pytest.approx(1.75, abs=0.01)
    assert row[columns.EDGE_LEFT] == pytest.approx(5.25, abs=0.3)
    assert row[columns.EDGE_RIGHT] == pytest.approx(1.75, abs=0.3)
    assert row[columns.LANE_LEFT] == pytest.approx(3.5, abs=0.01)
    assert math.isnan(row[columns.LANE_RIGHT])


def test_at_the_offset_bounds_the_box_is_still_on_the_road():
    line, heading, _ = clothoid(200.0, 0.07)
    roadmap = build(("only", line, {}))
    way = find_way(roadmap, Route((0,)), np.array([*line[3], heading[3], 5.0, 0, 0, 0]), GuideSettings())
    frame = RoadFrame.of(way, roadmap)
    s = np.arange(10.0, frame.length - 10.0, 1.0)
    low, high = frame.offset_bounds(s, VEHICLE, 0.05)
    both = low <= high
    assert both.mean() > 0.5
    area = DrivableArea.of(roadmap)
    for bound in (low, high):
        frenet = np.zeros((len(s), 6))
        frenet[:, 0], frenet[:, 1], frenet[:, 3] = s, 5.0, bound
        states = frame.states(frenet, VEHICLE, 0.0)
        corners = box_corners(
            rear_to_center(states, VEHICLE.rear_axle_to_center), states[:, 2], VEHICLE.length, VEHICLE.width
        )
        assert area.distance_outside(corners[both]).max() < 0.1


def test_others_are_expected_on_their_lane():
    line, heading, _ = clothoid()
    roadmap = build(("only", line, {}))
    guide = Guide(task(roadmap, "only"), TIMES)
    ego = (*line[5], heading[5], 8.0)
    scene = guide.look(see(0.0, ego, [(*line[40], heading[40], 10.0)]))
    others = scene.others
    # After 5 s at 10 m/s it is 50 m farther along, still in the middle.
    k = 25
    gap = np.hypot(*(line - others.poses[0, k, :2]).T)
    assert gap.min() < 0.1
    assert np.argmin(gap) == pytest.approx(90, abs=2)
    assert np.abs(others.frenet[0, :, 1]).max() < 0.1
    assert others.extent[0, 0] == pytest.approx((2.25, 0.95), abs=0.05)


def test_a_braking_car_comes_to_rest_and_does_not_turn_back():
    roadmap = build(("only", straight(0, 400), {}))
    guide = Guide(task(roadmap, "only"), TIMES)
    for n in range(15):
        v = 8.0 - 4.0 * 0.1 * n
        x = 60.0 + 8.0 * 0.1 * n - 2.0 * (0.1 * n) ** 2
        scene = guide.look(see(0.1 * n, (10.0, 0, 0, 8.0), [(x, 0, 0, v)]))
    s = scene.others.frenet[0, :, 0]
    assert (np.diff(s) >= -1e-9).all()
    assert s[-1] - s[0] < 0.75 * 2.4 * TIMES[-1]


def test_who_is_hidden_is_remembered_and_then_forgotten():
    roadmap = build(("only", straight(0, 400), {}))
    guide = Guide(task(roadmap, "only"), TIMES)
    guide.look(see(0.0, (10.0, 0, 0, 8.0), [(60.0, 0, 0, 5.0)]))
    hidden = see(1.0, (18.0, 0, 0, 8.0), [(60.0, 0, 0, 5.0)], valid=[False])
    others = guide.look(hidden).others
    assert len(others) == 1
    assert not others.seen[0]
    assert 0.05 < others.existence[0] < 1.0
    assert others.frenet[0, 0, 0] - guide.frame.locate(np.array([[65.0, 0.0]]))[0, 0] == pytest.approx(
        0.0, abs=0.1
    )
    assert len(guide.look(see(4.5, (46.0, 0, 0, 8.0), [(60.0, 0, 0, 5.0)], valid=[False])).others) == 0


def test_red_holds_and_green_does_not():
    roadmap = crossroads(signal=True)
    road = task(roadmap, "west", "mid", "east")
    for state, holds in ((SignalState.RED, True), (SignalState.GREEN, False)):
        scene = Guide(road, TIMES).look(see(0.0, (60.0, 0, 0, 8.0), signals=[state]))
        assert (scene.hold.reason == "red light") == holds
    line = scene.frame.stops[0]
    red = Guide(road, TIMES).look(see(0.0, (60.0, 0, 0, 8.0), signals=[SignalState.RED]))
    # The bumper halts a metre before the line.
    assert red.hold.station + FRONT == pytest.approx(line - 1.0, abs=1e-6)
    assert red.hold.reason == "red light"


def test_yellow_holds_who_can_stop():
    road = task(crossroads(signal=True), "west", "mid", "east")
    far = Guide(road, TIMES).look(see(0.0, (60.0, 0, 0, 8.0), signals=[SignalState.YELLOW]))
    near = Guide(road, TIMES).look(see(0.0, (90.0, 0, 0, 12.0), signals=[SignalState.YELLOW]))
    assert far.hold.reason == "yellow light"
    assert near.hold.reason == "end of the road"


@pytest.mark.parametrize(("distance", "holds"), [(25.0, True), (140.0, False)])
def test_a_give_way_line_holds_while_somebody_comes(distance, holds):
    road = task(crossroads(), "west", "mid", "east")
    coming = (110.0, -distance, math.pi / 2, 8.0)
    scene = Guide(road, TIMES).look(see(0.0, (88.0, 0, 0, 4.0), [coming]))
    assert (scene.hold.reason == "give-way line") == holds
    if holds:
        assert scene.hold.station + FRONT == pytest.approx(scene.frame.give_way[0] - 1.0, abs=1e-6)


def test_who_has_to_give_way_is_expected_to_stop():
    """The ego on the road without a line does not halt for a car that comes to one."""
    roadmap = crossroads()
    road = task(roadmap, "cross")
    ego = (110.0, -60.0, math.pi / 2, 9.0)
    scene = Guide(road, TIMES).look(see(0.0, ego, [(70.0, 0.0, 0.0, 8.0)]))
    assert scene.others.yields[0]
    assert scene.hold.reason == "end of the road"
    # Its bumper does not pass the line at x = 100.
    assert scene.others.poses[0, :, 0].max() + 0.5 * CAR[0] < 100.5


def test_people_who_cross_are_waited_for():
    roadmap = build(("only", straight(0, 400), {}))
    walker = (50.0, -6.0, math.pi / 2, 1.5)
    scene = Guide(task(roadmap, "only"), TIMES).look(
        see(0.0, (10.0, 0, 0, 8.0), [walker], kinds=[AgentKind.PEDESTRIAN])
    )
    assert scene.hold.reason == "person crossing"
    assert scene.hold.station + FRONT < 50.0 - 0.5 * CAR[1]


def test_who_stands_at_a_red_light_queues_and_who_stands_at_the_kerb_is_parked():
    roadmap = build(("only", np.stack((np.arange(0, 401.0, 2), np.zeros(201)), -1), {}))
    guide = Guide(task(roadmap, "only"), TIMES)
    for n in range(20):
        scene = guide.look(see(0.1 * n, (10.0, 0, 0, 0.0), [(60.0, 0.0, 0.0, 0.0), (90.0, 1.2, 0.0, 0.0)]))
    assert scene.others.parked.tolist() == [False, True]


def test_the_road_ends_where_the_map_does():
    roadmap = build(("only", straight(0, 80), {}))
    scene = Guide(task(roadmap, "only"), TIMES).look(see(0.0, (20.0, 0, 0, 8.0)))
    assert scene.hold.reason == "end of the road"
    assert scene.hold.station + FRONT == pytest.approx(79.0, abs=0.1)


def test_without_a_lane_there_is_no_scene():
    roadmap = build(("only", straight(0, 80), {"kind": LaneKind.SIDEWALK}))
    assert Guide(Task(roadmap, Route(), VEHICLE, 0.1, 20.0), TIMES).look(see(0.0, (20.0, 0, 0, 8.0))) is None


@pytest.mark.parametrize("steering", [0.0, 0.2, -0.4])
def test_the_braking_plan_stops_in_the_distance_that_physics_gives(steering):
    ego = (3.0, 4.0, 0.5, 10.0, 0.0, steering, 0.0)
    plan = check_plan(braking_plan(see(1.0, ego), VEHICLE, "why"), 1.0)
    assert plan.status is PlanStatus.FALLBACK
    way = np.hypot(*np.diff(plan.trajectory.states[:, :2], axis=0).T).sum()
    assert way == pytest.approx(10.0**2 / (2 * 5.0), rel=0.01)
    assert plan.trajectory.states[-1, 3] == 0.0
    # The path is the circle of the wheels.
    turned = float(np.unwrap(plan.trajectory.states[:, 2])[-1] - 0.5)
    assert turned == pytest.approx(math.tan(steering) / VEHICLE.wheelbase * 10.0, abs=0.01)


def test_controls_never_ask_to_roll_backwards(winding):
    _, frame, _ = winding
    t = 0.1 * np.arange(31)
    v = np.maximum(6.0 - 4.0 * t, 0.0)
    frenet = np.zeros((31, 6))
    frenet[:, 0] = 20.0 + np.concatenate(([0.0], np.cumsum(0.05 * (v[1:] + v[:-1]))))
    frenet[:, 1], frenet[:, 2] = v, np.where(v > 0, -4.0, 0.0)
    plan = plan_on_frame(frame, frenet, 0.1, see(0.0, (0, 0, 0, 6.0)), VEHICLE, controlled=True)
    slow = np.flatnonzero(v[:-1] < 0.05)
    assert (plan.control.values[slow, 0] >= -0.13).all()


def test_a_moving_average_holds_the_ends() -> None:
    assert moving_average(np.array([0.0, 0.0, 9.0, 0.0, 0.0]), 1).tolist() == pytest.approx([0, 3, 3, 3, 0])
    # (2 + 2 + 2 + 7 + 7) / 5 and (2 + 2 + 7 + 7 + 7) / 5: wider than the values themselves.
    assert moving_average(np.array([2.0, 7.0]), 2).tolist() == pytest.approx([4.0, 5.0])
