"""The vector sensor: where things are in the ego's frame, what never depends on the frame, and bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

import drive
from drive.geometry import rotate
from drive.nn.scene import FAR, SceneArrays, SceneSizes, is_mask, scene_shapes
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.roadmap.drivable import DrivableArea
from drive.roadmap.model import LaneKind
from drive.scenario import SignalState
from drive.sim.kernels import line as columns
from drive.sim.road.follow import Follower
from drive.sim.road.frame import exact_edges
from drive.sim.sensors.pieces import Pictured
from drive.sim.sensors.vector import VectorSensor
from drive.vehicle import AgentKind

MOMENTS = SimpleNamespace(**run_path(str(Path(__file__).with_name("sensor_moments.py"))))
seen = MOMENTS.seen
task_on = MOMENTS.task_on
straight_task = MOMENTS.straight_task
sense_all = MOMENTS.sense_all
FRONT = MOMENTS.FRONT
VEHICLE = MOMENTS.VEHICLE
SCENES = MOMENTS.SCENES
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "commonroad" / "recorded"
RECORDED = "USA_Peach-3_1_T-1.xml"


@pytest.fixture(scope="module")
def drives(watched):
    return MOMENTS.drives_of(watched)


# What stands where.


def test_the_shapes_and_types_are_those_of_the_contract():
    sizes = SceneSizes(agents=3, lanes=7, edges=5, route=9, history=2, lane_points=3, edge_points=6)
    scene = VectorSensor.start(straight_task(), sizes).sense(seen((100, 0, 0, 10)))
    assert tuple(x.shape for x in scene) == tuple(scene_shapes(sizes))
    for name, x in zip(SceneArrays._fields, scene, strict=True):
        assert x.dtype == (np.bool_ if is_mask(name) else np.float32)
        if not is_mask(name):
            assert np.isfinite(x).all()


def test_the_ego_on_a_straight_road_with_a_red_light():
    """By hand: the rear axle at x = 100, 0.4 m left of the line, turned by 0.1 rad; the line at 160."""
    task = straight_task(stop_at=160.0)
    o = seen((100.0, 0.4, 0.1, 9.0), signals=[SignalState.RED], progress=(100.0, 0.4))
    ego = (
        VectorSensor.start(task).sense(replace(o, ego=np.array([100.0, 0.4, 0.1, 9.0, -0.5, 0.02, 0.03]))).ego
    )
    expected = [9.0, -0.5, 0.02, 0.03, 15.0, 0.4, 0.1, FAR, 60.0 - FRONT, FAR]
    np.testing.assert_allclose(ego[:10], expected, atol=1e-3)
    np.testing.assert_allclose(
        ego[10:], [VEHICLE.length, VEHICLE.width, VEHICLE.rear_axle_to_center, VEHICLE.wheelbase], atol=1e-6
    )


@pytest.mark.parametrize("state", [SignalState.GREEN, SignalState.YELLOW, SignalState.UNKNOWN])
def test_only_red_holds_and_lanes_tell_the_colour(state):
    scene = VectorSensor.start(straight_task(stop_at=160.0)).sense(seen((100, 0, 0, 9), signals=[state]))
    assert scene.ego[8] == FAR
    shown = {SignalState.GREEN: [0, 1, 0, 0], SignalState.YELLOW: [0, 0, 1, 0], SignalState.UNKNOWN: [0] * 4}
    np.testing.assert_array_equal(
        scene.lane_info[scene.lanes_valid, 4:], [shown[state]] * scene.lanes_valid.sum()
    )


def test_a_line_counts_until_the_bumper_has_passed_it_by_a_metre():
    task = straight_task(stop_at=160.0)
    for x, gap in ((160.0 - FRONT - 0.5, 0.5), (160.0 - FRONT + 0.9, -0.9), (160.0 - FRONT + 1.1, FAR)):
        scene = VectorSensor.start(task).sense(seen((x, 0, 0, 1), signals=[SignalState.RED]))
        assert scene.ego[8] == pytest.approx(gap, abs=2e-3)


def test_a_give_way_line_and_the_end_of_the_route():
    builder = RoadMapBuilder()
    x = np.arange(0.0, 200.1, 5.0)
    builder.add(
        LaneSpec(
            "a", np.stack((x, np.full_like(x, 1.75)), -1), np.stack((x, np.full_like(x, -1.75)), -1),
            speed_limit=10.0, stop_station=150.0,
        )
    )  # fmt: skip
    task = task_on(builder.build(), 0, line=np.array([[0.0, 0.0], [180.0, 0.0]]))
    scene = VectorSensor.start(task).sense(seen((60, 0, 0, 9), progress=(60.0, 0.0)))
    np.testing.assert_allclose(scene.ego[7:10], [90.0 - FRONT, FAR, 120.0 - FRONT], atol=1e-3)
    assert (scene.lane_info[scene.lanes_valid, 3] == 1.0).all()
    # No number says nothing of the end.
    assert VectorSensor.start(task).sense(seen((60, 0, 0, 9))).ego[9] == FAR


def test_agents_come_nearest_first_in_the_egos_frame():
    """The ego at (100, 0) looks along y: what is ahead on the map lies to its right."""
    agents = [(130, 2, 0, 3, 0), (100, 5, math.pi / 2, 0, 4), (400, 0, 0, 1, 0), (95, 0, 0, -2, 1)]
    kinds = [AgentKind.TRUCK, AgentKind.BICYCLE, AgentKind.VEHICLE, AgentKind.PEDESTRIAN]
    scene = VectorSensor.start(straight_task()).sense(seen((100, 0, math.pi / 2, 5), agents, kinds=kinds))
    now = scene.agents[:, -1]
    expected = [[5, 0, 1, 0, 4, 0], [0, 5, 0, -1, 1, 2], [2, -30, 0, -1, 0, -3]]
    np.testing.assert_allclose(now[:3], expected, atol=1e-5)
    np.testing.assert_array_equal(scene.agents_valid[:, -1], [True] * 3 + [False] * 21)  # one is out of reach
    np.testing.assert_array_equal(scene.bodies[:3, 3:], [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    assert not scene.bodies[3:].any()
    assert not scene.agents[3:].any()


def test_history_is_of_the_right_moments_and_has_gaps():
    o = seen((100, 0, 0, 0), [(120, 0, 0, 5, 0)], past=16)
    past = o.agent_history.copy()
    past[0, :, 0] = 120.0 - 0.5 * np.arange(15, -1, -1)
    valid = o.agent_history_valid.copy()
    valid[0, 5] = False
    scene = VectorSensor.start(straight_task()).sense(
        replace(o, agent_history=past, agent_history_valid=valid)
    )
    np.testing.assert_array_equal(scene.agents_valid[0], [True, False, True, True])
    np.testing.assert_allclose(scene.agents[0, :, 0], [12.5, 0.0, 17.5, 20.0], atol=1e-5)
    short = replace(o, agent_history=past[:, -8:], agent_history_valid=valid[:, -8:])
    np.testing.assert_array_equal(
        VectorSensor.start(straight_task()).sense(short).agents_valid[0], [False, False, True, True]
    )


def test_who_is_missed_now_is_shown_where_it_was_last():
    o = seen(
        (100, 0, 0, 0), [(120, 0, 0, 5, 0), (110, 0, 0, 5, 0), (130, 0, 0, 0, 0)], existence=[0.4, 0.0, 0.3]
    )
    valid = o.agent_history_valid.copy()
    valid[0, -3:] = valid[1, -1] = False
    valid[2] = False
    past = np.where(valid[..., None], o.agent_history, 0.0)
    hidden = replace(
        o, agents=np.zeros((3, 5)), agent_valid=np.zeros(3, dtype=np.bool_), agent_history=past,
        agent_history_valid=valid,
    )  # fmt: skip
    scene = VectorSensor.start(straight_task()).sense(hidden)
    np.testing.assert_array_equal(scene.agents_valid[:, -1], [True] + [False] * 23)
    np.testing.assert_allclose(scene.agents[0, -1], [20, 0, 1, 0, 5, 0], atol=1e-5)
    assert scene.bodies[0, 2] == np.float32(0.4)


def test_lanes_and_route_of_a_straight_road():
    scene = VectorSensor.start(straight_task()).sense(seen((103.0, 0.5, 0.0, 10.0)))
    lanes = scene.lanes[scene.lanes_valid]
    assert set(np.round(lanes[..., 1].ravel(), 3).tolist()) == {-0.5, 3.0}
    np.testing.assert_allclose(lanes[..., 2:4], np.broadcast_to([1.0, 0.0], (*lanes.shape[:2], 2)), atol=1e-6)
    np.testing.assert_allclose(lanes[..., 4], 1.75, atol=1e-6)
    # Pieces of 20 m with a point every 5 m, the one that holds the ego first.
    np.testing.assert_allclose(lanes[0, :, 0], [-3.0, 2.0, 7.0, 12.0, 17.0], atol=1e-5)
    info = scene.lane_info[scene.lanes_valid]
    assert (info[:, 1] == 1.0).all()  # side by side in one direction: both are on the route
    assert (info[:, 0] == 15.0).all()
    assert (info[:, 4] == 1.0).all()
    # Nothing farther than the reach, nothing nearer left out: pieces from 23 - 80 to 183 m on both lanes.
    assert len(lanes) == 2 * 9
    route = scene.route[scene.route_valid]
    station = np.arange(-8.0, 118.1, 2.0)
    np.testing.assert_allclose(route[:, [0, 8]], np.stack((station, station), -1), atol=1e-4)
    np.testing.assert_allclose(route[:, 1], -0.5, atol=1e-4)
    np.testing.assert_allclose(route[:, 2:6], np.tile([1.0, 0.0, 0.0, 15.0], (64, 1)), atol=1e-3)
    np.testing.assert_allclose(route[:, 6:8], np.tile([5.25, 1.75], (64, 1)), atol=2e-3)


def test_the_road_lies_on_the_left_of_every_edge():
    """Straight road: the right edge runs forward at y = -1.75, the left one backward at 5.25."""
    scene = VectorSensor.start(straight_task()).sense(seen((100.0, 0.0, 0.0, 10.0)))
    edges = scene.edges[scene.edges_valid]
    right, left = edges[edges[:, 0, 1] < 0.0], edges[edges[:, 0, 1] > 0.0]
    np.testing.assert_allclose(right[..., 1], -1.75, atol=1e-3)
    np.testing.assert_allclose(left[..., 1], 5.25, atol=1e-3)
    assert (np.diff(right[..., 0], axis=1) > 0.0).all()
    assert (np.diff(left[..., 0], axis=1) < 0.0).all()
    gaps = np.abs(edges[..., 0]).min(1)
    assert len(right) >= 10
    assert len(left) >= 10
    assert gaps.max() < 80.0


@pytest.mark.parametrize("ref", SCENES)
def test_every_edge_has_road_on_its_left_and_none_on_its_right(drives, ref):
    """By shapely: 5 cm beside the middle of each side of a piece. Sides that cut corners are left out."""
    task, observations = drives[ref]
    area = DrivableArea.of(task.roadmap)
    o = observations[-1]
    scene = sense_all(task, observations)[-1]
    edges = rotate(scene.edges[scene.edges_valid].astype(np.float64), o.ego[2]) + o.ego[:2]
    middle = 0.5 * (edges[:, 1:] + edges[:, :-1]).reshape(-1, 2)
    along = (edges[:, 1:] - edges[:, :-1]).reshape(-1, 2)
    normal = np.stack((-along[:, 1], along[:, 0]), -1) / np.hypot(*along.T)[:, None]
    exact = np.abs(area.signed_distance(middle)) < 0.02
    assert exact.sum() >= 40
    assert area.contains(middle + 0.05 * normal)[exact].mean() > 0.99
    assert not area.contains(middle - 0.05 * normal)[exact].any()


@pytest.mark.parametrize("ref", SCENES)
def test_the_nearest_pieces_are_the_nearest(drives, ref):
    """Against all pieces of the map, measured by shapely."""
    import shapely

    task, observations = drives[ref]
    pictured = Pictured.of(task.roadmap, SceneSizes())
    for o in observations[::20]:
        scene = VectorSensor.start(task).sense(o)
        for pieces, found, valid in (
            (pictured.lanes, scene.lanes, scene.lanes_valid),
            (pictured.edges, scene.edges, scene.edges_valid),
        ):
            gaps = shapely.distance(shapely.linestrings(pieces.points), shapely.Point(*o.ego[:2]))
            expected = np.sort(gaps[gaps <= 80.0])[: len(valid)]
            ours = shapely.distance(shapely.linestrings(found[valid][..., :2]), shapely.Point(0.0, 0.0))
            np.testing.assert_allclose(ours, expected, atol=2e-3)


# What it must survive.


def test_observations_are_not_changed_and_calls_repeat(drives):
    task, observations = drives[SCENES[0]]
    for o in observations:
        for x in vars_of(o):
            x.flags.writeable = True
    before = [[x.copy() for x in vars_of(o)] for o in observations]
    first, second = sense_all(task, observations), sense_all(task, observations)
    for o, kept in zip(observations, before, strict=True):
        for x, y in zip(vars_of(o), kept, strict=True):
            np.testing.assert_array_equal(x, y)
    for a, b in zip(first, second, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def vars_of(o):
    return [x for x in (getattr(o, name) for name in o.__slots__) if isinstance(x, np.ndarray)]


def test_a_moment_in_the_middle_is_nearly_that_of_a_sensor_that_starts_there(drives):
    """Nothing but the way is remembered."""
    task, observations = drives[SCENES[1]]
    last = sense_all(task, observations)[-1]
    fresh = VectorSensor.start(task).sense(observations[-1])
    for name in ("agents", "agents_valid", "bodies", "edges", "lanes"):
        np.testing.assert_array_equal(getattr(last, name), getattr(fresh, name))


def test_nowhere_near_a_road():
    scene = VectorSensor.start(straight_task()).sense(seen((1e4, -3e4, 1.0, 5.0), [(1e4, -3e4 + 9, 0, 0, 0)]))
    assert not scene.route_valid.any()
    assert not scene.lanes_valid.any()
    assert not scene.edges_valid.any()
    assert scene.agents_valid[0, -1]
    np.testing.assert_array_equal(scene.ego[4:10], [0.0, 0.0, 0.0, FAR, FAR, FAR])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_states_that_are_no_numbers(bad):
    sensor = VectorSensor.start(straight_task())
    if not np.isfinite(bad):
        for x in sensor.sense(seen((bad, 0.0, 0.0, 5.0))):
            assert not x.any()
    scene = sensor.sense(seen((100, 0, 0, 5), [(bad, bad, 0, 0, 0), (110, 0, 0, 1, 0)], time=1.0))
    np.testing.assert_array_equal(scene.agents_valid[:2, -1], [True, False])
    assert all(np.isfinite(x).all() for x in scene)
    # Neither a heading or velocity that is none, nor one in the past.
    o = seen((100, 0, 0, 5), [(105, 0, bad, 0, 0), (110, 0, 0, 0, bad), (115, 0, 0, 1, 0)], time=2.0)
    o.agent_history[2, -6, 3] = bad
    scene = sensor.sense(o)
    np.testing.assert_array_equal(scene.agents_valid[0], [True, True, False, True])
    assert not scene.agents_valid[1:].any()
    assert all(np.isfinite(x).all() for x in scene)


def test_a_map_without_lanes_for_cars():
    builder = RoadMapBuilder()
    x = np.arange(0.0, 50.1, 5.0)
    sides = (np.stack((x, np.full_like(x, y)), -1) for y in (1.0, -1.0))
    builder.add(LaneSpec("path", *sides, kind=LaneKind.SIDEWALK))
    scene = VectorSensor.start(task_on(builder.build())).sense(seen((20, 0, 0, 1)))
    assert not scene.lanes_valid.any()
    assert not scene.edges_valid.any()
    assert not scene.route_valid.any()


def test_with_a_detector_that_errs(watched):
    task, observations = watched(drive.load_scenario(SCENES[1]), 31, "position=1.0/0.5,flicker=0.9")
    moments = sense_all(task, observations)
    listed = np.array([a.agents_valid[:, -1].sum() for a in moments])
    missed = [(~o.agent_valid & (o.existence > 0.0)).sum() for o in observations]
    assert max(missed) > 0
    assert listed.max() > 3
    for a in moments:
        assert all(np.isfinite(x).all() for x in a)
        p = a.bodies[a.agents_valid[:, -1], 2]
        assert ((p > 0.0) & (p <= 1.0)).all()


def test_only_near_pieces_of_a_huge_map_are_looked_at():
    """A street grid far away does not change what is near, and pieces lie in more cells than one."""
    builder = RoadMapBuilder()
    x = np.array([0.0, 60.0])
    for k in range(2000):
        at = np.array([(k % 50) * 100.0, (k // 50) * 100.0])
        sides = (np.stack((x, np.full_like(x, y)), -1) + at for y in (1.75, -1.75))
        builder.add(LaneSpec(str(k), *sides, speed_limit=10.0))
    roadmap = builder.build()
    pictured = Pictured.build(roadmap, SceneSizes())
    assert len(pictured.lanes.points) == 3 * 2000
    assert np.diff(pictured.lanes.grid.start).max() < 20
    scene = VectorSensor.start(task_on(roadmap)).sense(seen((2530.0, 2000.0, 0.0, 5.0)))
    # Its own 60 m, and what is within 80 m ahead and behind; the next streets are 100 m beside it.
    np.testing.assert_allclose(np.unique(np.round(scene.lanes[scene.lanes_valid][..., 1], 3)), [0.0])
    assert scene.lanes_valid.sum() == 5


@pytest.mark.skipif(not (DATA / RECORDED).exists(), reason="the CommonRoad files are not in ../shared/data")
def test_a_recorded_scene(watched):
    scene = drive.load_scenario(str(DATA / RECORDED))
    task, observations = watched(scene, 1)
    a, o = sense_all(task, observations)[-1], observations[-1]
    # The agents' places by plain NumPy.
    here = rotate(o.agents[o.agent_valid, :2] - o.ego[:2], -o.ego[2])
    here = here[np.argsort(np.hypot(*here.T))]
    here = here[np.hypot(*here.T) <= 80.0][:24]
    np.testing.assert_allclose(a.agents[a.agents_valid[:, -1], -1, :2], here, atol=1e-4)
    assert a.lanes_valid.all()
    assert a.edges_valid.sum() > 20
    assert a.route_valid.sum() > 30
    assert abs(a.ego[5]) < 1.0


# The room beside the way.


@pytest.mark.parametrize("ref", SCENES)
def test_the_room_beside_the_way_is_shapelys(drives, ref):
    """Rays from every fourth row of the frame's table to the first edge of the area, at most 12 m."""
    import shapely

    task, observations = drives[ref]
    frame, _ = Follower(task.roadmap, task.route).follow(observations[0].ego, 0.0)
    room, area = exact_edges(frame, task.roadmap), DrivableArea.of(task.roadmap)
    boundary = shapely.boundary(area.polygon)
    differ = []
    for k in range(0, len(frame.rows), 4):
        foot = frame.rows[k, :2] + frame.origin
        normal = np.array([-math.sin(frame.rows[k, 2]), math.cos(frame.rows[k, 2])])
        for side, sign in enumerate((1.0, -1.0)):
            hits = shapely.intersection(boundary, shapely.LineString((foot, foot + sign * 12.0 * normal)))
            gap = 12.0 if hits.is_empty else shapely.distance(shapely.Point(foot), hits)
            differ.append(room[k, side] - gap if area.contains(foot) else room[k, side])
    # A gap or a spur that is thinner than a step of 0.25 m may be missed.
    assert np.quantile(np.abs(differ), 0.98) < 2e-3
    coarse = frame.rows[:, [columns.EDGE_LEFT, columns.EDGE_RIGHT]]
    assert ((room - coarse > -1e-9) & (room - coarse < 0.2501)).all()
