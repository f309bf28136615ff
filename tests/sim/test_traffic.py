"""Traffic: the paths of others, whom they let go first, and that they drive as the log means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from drive.datasets import source
from drive.geometry import box_corners, boxes_overlap, project_to_polyline
from drive.planners import idm
from drive.roadmap import LaneSpec, RoadMap, RoadMapBuilder, route_line
from drive.scenario import Goal, Route, Scenario, SignalState
from drive.sim import Controller, compile_world, simulate, step
from drive.sim.traffic import IDM, IDM_COMPAT, MOBIL, cast
from drive.sim.traffic.paths import path_samples, recorded_line, stop_lines
from drive.vehicle import AgentKind

G, Y, R = (int(s) for s in (SignalState.GREEN, SignalState.YELLOW, SignalState.RED))
Line = np.ndarray
Move = Callable[[np.ndarray], np.ndarray]
WIDTH = 3.5


def same(points: np.ndarray) -> np.ndarray:
    return points


def mirrored(points: np.ndarray) -> np.ndarray:
    return points * (1.0, -1.0)


def turned(points: np.ndarray) -> np.ndarray:
    c, s = np.cos(0.7), np.sin(0.7)
    return points @ np.array([[c, s], [-s, c]]) + (200.0, -100.0)


def offset_line(line: Line, d: float) -> Line:
    """The line `d` metres left of another one."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.hypot(tangent[:, 0], tangent[:, 1])[:, None]
    return line + d * np.column_stack((-tangent[:, 1], tangent[:, 0]))


def bend(radius: float = 60.0, lead: float = 80.0, turn: float = np.pi / 2) -> Line:
    """Straight along x for `lead` metres, an arc to the left, straight again for as long."""
    x = np.arange(-lead, 0.0, 2.0)
    a = np.linspace(0.0, turn, int(radius * turn / 2.0))
    arc = radius * np.column_stack((np.sin(a), 1.0 - np.cos(a)))
    way = np.arange(2.0, lead, 2.0)[:, None] * (np.cos(turn), np.sin(turn))
    return np.concatenate((np.column_stack((x, 0.0 * x)), arc, arc[-1] + way))


def roads(lines: dict[str, Line], move: Move = same, **specs: dict[str, Any]) -> RoadMap:
    """Lanes of 3.5 m about lines, moved rigidly or mirrored."""
    builder = RoadMapBuilder()
    flip = move is mirrored
    for name, line in lines.items():
        sides = [move(offset_line(line, d)) for d in (0.5 * WIDTH, -0.5 * WIDTH)]
        left, right = sides[::-1] if flip else sides
        spec = {"speed_limit": 14.0, **specs.get(name, {})}
        if flip:
            both = spec.pop("left_lane", None), spec.pop("right_lane", None)
            spec |= {"right_lane": both[0], "left_lane": both[1]}
        builder.add(LaneSpec(name, left, right, move(line), **spec))
    return builder.build()


def drive(line: Line, speed: np.ndarray, start: float, side: float | np.ndarray = 0.0) -> np.ndarray:
    """States `(T, 5)` of a centre that drives along a line at the given speeds, 0.1 s a sample."""
    s = start + np.concatenate(([0.0], np.cumsum(0.1 * speed[:-1])))
    station = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    xy = np.column_stack([np.interp(s, station, line[:, k]) for k in range(2)])
    ahead = np.column_stack([np.interp(s + 0.5, station, line[:, k]) for k in range(2)])
    heading = np.arctan2(*(ahead - xy).T[::-1])
    xy += np.reshape(side, (-1, 1)) * np.column_stack((-np.sin(heading), np.cos(heading)))
    return np.column_stack((xy, heading, speed * np.cos(heading), speed * np.sin(heading)))


def put(
    base: Scenario, tracks: dict[int, np.ndarray], valid: dict[int, np.ndarray] | None = None
) -> Scenario:
    """The scenario with other logs of some of its cars."""
    states, there = base.tracks.states.copy(), base.tracks.valid.copy()
    for row, values in tracks.items():
        states[row] = values
    for row, mask in (valid or {}).items():
        there[row] = mask
    states = np.where(there[..., None], states, 0.0)
    return base.with_(tracks=dataclasses.replace(base.tracks, states=states, valid=there))


def run_traffic(scene: Scenario, traffic: Any = IDM, far: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Centres `(N, A, 5)` and presence `(N, A)` of a scene whose ego is kept out of the way."""
    world = compile_world([cast(scene, traffic)], scene.dt, traffic.anticipate)
    pose = np.zeros((1, world.num_agents, 5))
    pose[0, scene.ego] = [-5e3, -5e3, 0.0, 0.0, 0.0] if far else [*scene.initial[:4], 0.0]
    world = step(world, pose=pose, steps=0)
    centers, there = [world.centers()[0]], [world.present[0].copy()]
    for _ in range(scene.num_steps):
        world = step(world, pose=pose, out=world)
        centers.append(world.centers()[0])
        there.append(world.present[0].copy())
    return np.stack(centers), np.stack(there)


def overlapping(centers: np.ndarray, there: np.ndarray, size: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of agents whose boxes overlap at some time."""
    found = set()
    for i in range(centers.shape[1]):
        for j in range(i + 1, centers.shape[1]):
            gap = np.hypot(*(centers[:, i, :2] - centers[:, j, :2]).T)
            near = there[:, i] & there[:, j] & (gap < 0.5 * (size[i].sum() + size[j].sum()))
            if near.any():
                a, b = (
                    box_corners(centers[near, k, :2], centers[near, k, 2], size[k, 0], size[k, 1])
                    for k in (i, j)
                )
                if boxes_overlap(a, b).any():
                    found.add((i, j))
    return found


# --- Paths and casts.


@pytest.mark.parametrize("speed", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("wobble", [0.0, 0.4])
def test_a_recorded_path_follows_the_log_and_goes_on_along_the_lane(
    scenario: Any, speed: float, wobble: float
) -> None:
    """Also for a log so slow that its samples lie nearer together than the path's."""
    line = bend(radius=25.0, lead=60.0)
    roadmap = roads({"a": line})
    begin = 50.0 if speed < 5.0 else 20.0
    swing = wobble * np.sin(np.linspace(0.0, 2.0 * np.pi, 151))
    centers = drive(line, np.full(151, speed), begin, swing)
    poses = centers[:, :3]
    made = recorded_line(roadmap, poses, 0)
    points, gap, _ = path_samples(roadmap, made, 10.0)
    assert np.hypot(*np.diff(points[:, :2], axis=0).T) == pytest.approx(gap, abs=0.02)
    _, d, _ = project_to_polyline(poses[:, :2], points[:, :2])
    assert np.abs(d).max() < 0.15
    _, beside, _ = project_to_polyline(points[-5:, :2], line)
    assert np.abs(beside).max() < 0.05
    # The road ends 60 m behind the bend, so does the path; nowhere does it turn back.
    assert np.hypot(*(points[-1, :2] - line[-1])) < 1.0
    assert np.abs(np.diff(np.unwrap(points[:, 2].astype(float)))).max() < 0.12


def test_a_path_that_turns_back_keeps_all_of_its_lane() -> None:
    line = bend(radius=15.0, lead=60.0, turn=np.pi)
    roadmap = roads({"a": line})
    poses = drive(line, np.full(20, 5.0), 20.0)[:, :3]
    points, _, _ = path_samples(roadmap, recorded_line(roadmap, poses, 0), 10.0)
    _, d, _ = project_to_polyline(line[10:, :2], points[:, :2])
    assert np.abs(d).max() < 0.2
    assert np.hypot(*(points[-1, :2] - line[-1])) < 1.0


def test_a_standing_car_whose_position_trembles_gets_its_lane(scenario: Any) -> None:
    rng, line = np.random.default_rng(0), bend()
    poses = np.tile([5.0, 0.1, 0.0], (151, 1))
    poses[:, :2] += rng.normal(0.0, 0.05, (151, 2))
    points, _, _ = path_samples(roads({"a": line}), recorded_line(roads({"a": line}), poses, 0), 10.0)
    _, d, _ = project_to_polyline(points[:, :2], line)
    assert np.abs(d).max() < 0.4
    assert np.abs(points[:, 3]).max() < 0.1


def test_stop_lines_lie_on_the_lanes_that_are_driven() -> None:
    a = np.column_stack((np.linspace(0.0, 200.0, 41), np.zeros(41)))
    crossing = np.column_stack((np.full(41, 100.0), np.linspace(-100.0, 100.0, 41)))
    lines = {"a": a, "b": a + np.array([0.0, WIDTH]), "back": a[::-1] - (0.0, WIDTH), "across": crossing}
    lights = {
        name: {"signal": f"light of {name}", "stop_station": at}
        for name, at in (("a", 95.0), ("b", 90.0), ("back", 80.0), ("across", 92.0))
    }
    roadmap = roads(lines, same, **lights)
    found = {}
    for name, line in lines.items():
        points, _, _ = path_samples(roadmap, line, 10.0)
        stop = stop_lines(roadmap, points)
        found[name] = {roadmap.signal_ids[s]: int(k) for k, s in enumerate(stop) if s >= 0}
    assert found == {
        "a": {"light of a": 95},
        "b": {"light of b": 90},
        "back": {"light of back": 80},
        "across": {"light of across": 92},
    }


STOP_AND_GO = np.concatenate(
    (np.full(20, 8.0), np.linspace(8.0, 0.0, 40), np.zeros(40), np.linspace(0.0, 8.0, 40), np.full(11, 8.0))
)


def test_who_stops_for_nobody_stops_in_traffic_too_and_goes_on_when_the_log_does(
    straight: Any, scenario: Any
) -> None:
    line = np.array([[0.0, WIDTH], [800.0, WIDTH]])
    log = drive(line, STOP_AND_GO, 60.0)
    scene = put(scenario(straight(), [(60.0, WIDTH, 8.0)]), {1: log})
    people = cast(scene, IDM)
    assert people.controller[1] == Controller.IDM
    assert people.stop_until[1] == pytest.approx(10.0, abs=0.3)
    centers, _ = run_traffic(scene)
    x, v = centers[:, 1, 0], centers[:, 1, 3]
    assert x[98] == pytest.approx(log[98, 0], abs=1.5)
    assert v[98] < 0.2
    assert v[150] > 3.0
    # A standing car right in front is a reason to stop that traffic knows by itself.
    queue = put(scenario(straight(), [(60.0, WIDTH, 8.0), (log[80, 0] + 10.0, WIDTH, 0.0)]), {1: log})
    assert np.isnan(cast(queue, IDM).stop_station[1])


def test_who_never_moves_for_no_reason_stays(straight: Any, scenario: Any) -> None:
    cars = [(100.0, WIDTH, 0.0), (92.0, WIDTH, 0.0), (60.0, WIDTH, 10.0)]
    centers, _ = run_traffic(scenario(straight(), cars))
    assert np.abs(centers[:, 1, 0] - 100.0).max() < 0.1
    assert centers[-1, 2, 0] < 100.0 - 4.8
    assert 70.0 < centers[-1, 3, 0] < centers[-1, 2, 0] - 4.8


@pytest.mark.parametrize(("state", "meant"), [(R, False), (Y, False), (G, True)])
def test_only_the_own_red_light_explains_a_stop(
    straight: Any, scenario: Any, state: int, meant: bool
) -> None:
    line = np.array([[0.0, WIDTH], [800.0, WIDTH]])
    log = drive(line, STOP_AND_GO, 60.0)
    at = float(log[80, 0]) + 5.0
    signals = np.full((1, 151), state, dtype=np.uint8)
    scene = put(scenario(straight(stop_at=at), [(60.0, WIDTH, 8.0)], signals=signals), {1: log})
    assert np.isfinite(cast(scene, IDM).stop_station[1]) == meant
    # A red light far beyond the place is no reason either.
    far = put(scenario(straight(stop_at=600.0), [(60.0, WIDTH, 8.0)], signals=signals), {1: log})
    assert np.isfinite(cast(far, IDM).stop_station[1])


def test_parked_cars_stay_where_they_are(straight: Any, scenario: Any) -> None:
    cars = [(100.0, -1.2, 0.0), (60.0, 1.0, 0.0), (70.0, WIDTH, 8.0)]
    for traffic in (IDM, MOBIL):
        centers, there = run_traffic(scenario(straight(), cars), traffic)
        assert there.all()
        np.testing.assert_allclose(
            centers[:, 1:3, :2], np.tile([[100.0, -1.2], [60.0, 1.0]], (151, 1, 1)), atol=1e-4
        )


def test_late_cars_enter_where_the_log_says_once_there_is_room(straight: Any, scenario: Any) -> None:
    cars = [(100.0, WIDTH, 6.0), (60.0, 0.0, 0.0)]
    mask = np.arange(151) >= 50
    free = put(scenario(straight(), cars[:1]), {}, {1: mask})
    centers, there = run_traffic(free)
    assert there[:, 1].tolist() == mask.tolist()
    np.testing.assert_allclose(centers[50, 1, :2], [130.0, WIDTH], atol=1e-4)
    assert centers[-1, 1, 0] > 185.0
    # Somebody stands where it would appear: it comes when the log is clear of him.
    taken = put(scenario(straight(), [(40.0, 0.0, 6.0), (70.0, 0.6, 0.0)]), {}, {1: mask})
    centers, there = run_traffic(taken)
    came = int(np.argmax(there[:, 1]))
    assert 55 < came < 70
    assert not overlapping(centers, there, taken.tracks.size)


def test_compatible_traffic_drops_what_nuplan_drops(straight: Any, scenario: Any) -> None:
    kinds = [AgentKind.VEHICLE, AgentKind.VEHICLE, AgentKind.BICYCLE, AgentKind.PEDESTRIAN, AgentKind.STATIC]
    cars = [(60.0, 0.0, 5.0), (90.0, 0.0, 5.0), (70.0, WIDTH, 4.0), (80.0, -5.0, 1.0), (50.0, -2.4, 0.0)]
    late = np.arange(151) >= 20
    scene = put(
        scenario(straight(), [*cars, (120.0, -2.6, 0.0)], kinds=[*kinds, AgentKind.VEHICLE]), {}, {2: late}
    )
    people = cast(scene, IDM_COMPAT)
    seen = people.log_valid[1:].any(axis=1).tolist()
    # On a lane; late; cyclist; pedestrian; static; parked.
    assert seen == [True, False, False, True, True, False]
    assert people.controller[1] == Controller.IDM
    assert people.log_valid[0, 0] == 1
    assert cast(scene, IDM).log_valid[1:].any(axis=1).all()


def test_a_route_that_nobody_knows_is_the_lane_ahead(straight: Any, scenario: Any) -> None:
    scene = scenario(straight(), []).with_(route=Route())
    people = cast(scene, IDM)
    first, last = people.paths.start[people.path[0]], people.paths.start[people.path[0] + 1] - 1
    assert people.paths.points[last, 0] - people.paths.points[first, 0] > 200.0
    run = simulate(scene, idm.IDM(), traffic=IDM)
    # The reference motion does not end after 30 m either.
    assert run.expert[-1, 0] > 200.0
    assert np.diff(run.expert[:, 3]).min() > -0.2


# --- Whole scenes.


@pytest.mark.parametrize("seed", [0, 2])
def test_traffic_keeps_to_its_path_in_bends(seed: int) -> None:
    scene = source.load(f"gen/lane_follow_curved/{seed}")
    people = cast(scene, IDM)
    world = compile_world([people], scene.dt)
    pose = np.zeros((1, world.num_agents, 5))
    pose[0, scene.ego] = [-5e3, -5e3, 0.0, 0.0, 0.0]
    worst, bends = 0.0, 0
    drivers = np.flatnonzero(people.controller == Controller.IDM)
    for _ in range(scene.num_steps):
        world = step(world, pose=pose, out=world)
        for i in drivers[world.present[0, drivers]]:
            rows = slice(world.paths.start[people.path[i]], world.paths.start[people.path[i] + 1])
            xy = np.array([world.motion.x[0, i], world.motion.y[0, i]], dtype=np.float64)
            points = world.paths.points[rows].astype(np.float64)
            _, d, k = project_to_polyline(xy[None], points[:, :2])
            v = float(world.motion.speed[0, i])
            if abs(points[k[0], 3]) > 1e-3:
                bends += 1
                worst = max(worst, abs(float(d[0] - world.motion.offset[0, i])))
                assert v * v * abs(points[k[0], 3]) < 2.6
    assert bends > 100
    assert worst < 0.3


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_traffic_does_not_run_into_traffic_where_it_merges(seed: int) -> None:
    scene = source.load(f"gen/dense_merge/{seed}")
    run = simulate(scene, idm.IDM(), traffic=IDM)
    assert run.header["failure"] is None
    assert not overlapping(run.agents.swapaxes(0, 1), run.agent_valid.T, run.agent_size)
    assert (run.agent_controller == Controller.IDM).sum() > 8


@pytest.mark.parametrize("ahead", [-9.0, -5.0, -2.0, 0.5, 3.0, 6.0, 10.0])
def test_who_changes_lanes_lets_others_pass_or_goes_before_them(
    straight: Any, scenario: Any, ahead: float
) -> None:
    """A logged change from the left lane to the right one, where somebody now drives beside."""
    t = np.arange(151)
    side = WIDTH * np.clip((70.0 - t) / 40.0, 0.0, 1.0)
    line = np.array([[0.0, 0.0], [800.0, 0.0]])
    log = drive(line, np.full(151, 10.0), 60.0 + ahead, side)
    scene = put(scenario(straight(), [(60.0 + ahead, WIDTH, 10.0), (60.0, 0.0, 10.0)], start=400.0), {1: log})
    centers, there = run_traffic(scene)
    assert not overlapping(centers[:, 1:], there[:, 1:], scene.tracks.size[1:])
    assert abs(centers[-1, 1, 1]) < 0.3
    assert centers[-1, 1:, 3].min() > 5.0


def test_mobil_leaves_a_lane_that_ends(scenario: Any) -> None:
    a = np.column_stack((np.linspace(0.0, 600.0, 121), np.zeros(121)))
    b = np.column_stack((np.linspace(0.0, 200.0, 41), np.full(41, WIDTH)))
    roadmap = roads({"a": a, "b": b}, same, a={"left_lane": "b"}, b={"right_lane": "a"})
    cars = [(60.0, WIDTH, 11.0), (52.0, 0.0, 11.0), (40.0, 0.0, 11.0)]
    scene = scenario(roadmap, cars, start=500.0)
    centers, there = run_traffic(scene, MOBIL)
    assert abs(centers[-1, 1, 1]) < 0.3
    assert centers[-1, 1, 0] > 150.0
    assert there[-1].all()
    over = centers[:, 1, 1] < 0.5 * WIDTH
    assert centers[np.argmax(over), 1, 0] < 200.0
    assert not overlapping(centers[:, 1:], there[:, 1:], scene.tracks.size[1:])


def town(scenario: Any, move: Move) -> Scenario:
    """A bend of two lanes with cars on both, one of which changes lanes: moved as a whole."""
    line = bend()
    other = offset_line(line, WIDTH)
    roadmap = roads({"a": line, "b": other}, move, a={"left_lane": "b"}, b={"right_lane": "a"})
    base = scenario(roadmap, [(0.0, 0.0, 0.0)] * 4, speed=9.0)
    change = np.clip((np.arange(151) - 30.0) / 40.0, 0.0, 1.0) * WIDTH
    logs = {
        1: drive(line, np.full(151, 7.0), 45.0),
        2: drive(other, np.full(151, 9.0), 20.0),
        3: drive(line, np.full(151, 8.0), 65.0, change),
        4: drive(other, STOP_AND_GO, 70.0),
    }
    for log in logs.values():
        if move is mirrored:
            log[:, 1:] *= (-1.0, -1.0, 1.0, -1.0)
        elif move is turned:
            log[:, :2] = turned(log[:, :2])
            log[:, 2] += 0.7
            log[:, 3:] = turned(log[:, 3:]) - (200.0, -100.0)
    start = move(np.array([[-70.0, 0.0]]))[0]
    heading = 0.7 if move is turned else 0.0
    way = route_line(roadmap, (0,))
    moved = put(base, logs)
    return moved.with_(
        initial=np.array([*start, heading, 9.0, 0.0, 0.0, 0.0]),
        route=Route((0,), (0,), way, Goal(position=way[-1])),
    )


def test_a_mirrored_world_gives_the_mirrored_run(scenario: Any) -> None:
    for traffic in (IDM, MOBIL):
        a, b = (simulate(town(scenario, move), idm.IDM(), traffic=traffic) for move in (same, mirrored))
        assert a.header["failure"] is None
        flip = (1.0, -1.0, -1.0, 1.0, -1.0)
        np.testing.assert_allclose(b.agents, a.agents * flip, atol=1e-3)
        np.testing.assert_allclose(b.ego[:, :5], a.ego[:, :5] * (1.0, -1.0, -1.0, 1.0, 1.0), atol=1e-3)
        assert a.ego[-1, 1] > 5.0  # it has come through the bend


def test_a_world_elsewhere_gives_the_same_run(scenario: Any) -> None:
    a, b = (simulate(town(scenario, move), idm.IDM(), traffic=IDM) for move in (same, turned))
    np.testing.assert_allclose(b.agents[..., :2], turned(a.agents[..., :2]), atol=1e-3)
    np.testing.assert_allclose(b.ego[:, :2], turned(a.ego[:, :2]), atol=1e-3)
    np.testing.assert_allclose(b.ego[:, 3], a.ego[:, 3], atol=1e-3)


def test_the_line_of_a_short_turn_does_not_hold_who_goes_straight() -> None:
    def lane(name: str, center: list[tuple[float, float]], **more: Any) -> LaneSpec:
        line = np.array(center)
        left, right = offset(line, 1.0), offset(line, -1.0)
        return LaneSpec(name, left, right, center=line, **more)

    def offset(line: Any, distance: float) -> Any:
        along = np.gradient(line, axis=0)
        along /= np.hypot(*along.T)[:, None]
        return line + distance * np.stack((-along[:, 1], along[:, 0]), axis=-1)

    builder = RoadMapBuilder()
    builder.add(lane("straight", [(2.0 * k, 0.0) for k in range(51)], signal="ahead", stop_station=40.0))
    # From the side at x = 50 it joins the straight lane within 2 m.
    turn = [(50.0, 1.9), (50.3, 0.9), (51.2, 0.25), (53.0, 0.02), (57.0, 0.0)]
    builder.add(lane("turn", turn, signal="side", stop_station=0.0))
    roadmap = builder.build()
    points = np.zeros((201, 5))
    points[:, 0] = 0.5 * np.arange(201)
    lights = stop_lines(roadmap, points)
    at = np.flatnonzero(lights >= 0)
    assert [roadmap.signal_ids[k] for k in lights[at]] == ["ahead"]
    assert points[at, 0].tolist() == [40.0]
