"""Lines of sight: scenes worked out by hand, random ones judged by shapely, and what planners are told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from shapely import LineString, MultiLineString, Point, Polygon, prepare, union_all

from drive.errors import InputError
from drive.geometry import box_corners, rotate
from drive.planner import Plan, planner
from drive.registry import load_planner
from drive.roadmap import LaneSpec, RoadMapBuilder, route_line
from drive.roadmap.model import AreaKind
from drive.scenario import Expert, Goal, Route, Scenario, tracks_from_rows
from drive.sim.loop import simulate
from drive.sim.observe import batch_observations
from drive.sim.sight import Sight
from drive.sim.visibility import Visibility
from drive.vehicle import AgentKind, VehicleParams

CAR, VAN, TRUCK, WALKER = (4.8, 1.9, 1.5), (5.0, 2.0, 2.2), (9.0, 2.5, 3.5), (0.5, 0.5, 1.75)
EGO = VehicleParams()


def scene(agents: list[tuple[Any, ...]], walls: Any = (), samples: int = 2, speed: float = 0.0) -> Scenario:
    """The ego's box about (0, 0), and standing agents (x, y, heading, size) among walls.

    The ego drives along x at `speed`.
    """
    builder = RoadMapBuilder()
    x = np.linspace(-20.0, 200.0, 23)
    lane = LaneSpec("a", np.stack((x, 0 * x + 2), 1), np.stack((x, 0 * x - 2), 1), speed_limit=15.0)
    builder.add(lane)
    for wall in walls:
        builder.add_area(np.asarray(wall, dtype=float), AreaKind.OCCLUDER)
    roadmap = builder.build()
    t = 0.1 * np.arange(samples)
    own = np.zeros((samples, 5))
    own[:, 0], own[:, 3] = speed * t, speed
    there = np.ones(samples, dtype=bool)
    rows = [("ego", AgentKind.VEHICLE, (EGO.length, EGO.width, EGO.height), own, there)]
    for k, (ax, ay, heading, size) in enumerate(agents):
        states = np.tile([ax, ay, heading, 0.0, 0.0], (samples, 1))
        kind = AgentKind.PEDESTRIAN if size == WALKER else AgentKind.STATIC
        rows.append((f"agent{k}", kind, size, states, there))
    expert = np.zeros((samples, 7))
    expert[:, 0], expert[:, 3] = own[:, 0] - EGO.rear_axle_to_center, speed
    return Scenario(
        id="test/sight/0",
        dt=0.1,
        duration=0.1 * (samples - 1),
        environment=roadmap,
        tracks=tracks_from_rows(rows),
        ego=0,
        initial=expert[0],
        vehicle=EGO,
        route=Route((0,), (0,), route_line(roadmap, (0,)), Goal(position=np.array([190.0, 0.0]))),
        expert=Expert(expert, "human"),
        signals=np.zeros((0, samples), dtype=np.uint8),
        family="sight",
    )


def sight_of(s: Scenario, visibility: str = "line_of_sight", row: int = 0) -> Sight:
    length, width, height = s.tracks.size[row]
    vehicle = EGO if row == 0 else VehicleParams.from_box(length, width, height)
    return Sight.of(s, row, vehicle, Visibility.parse(visibility))


def seen(agents: list[tuple[Any, ...]], walls: Any = (), visibility: str = "line_of_sight") -> list[bool]:
    """Whom the ego at (0, 0) sees."""
    s = scene(agents, walls)
    found = sight_of(s, visibility).look(s.tracks.states[:, 0], s.tracks.valid[:, 0])
    assert not found[0]
    return [bool(v) for v in found[1:]]


def rectangle(x0: float, x1: float, y0: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def test_a_building_hides_and_a_gap_shows() -> None:
    wall = rectangle(40.0, 42.0, -3.0, 3.0)
    # The wall's shadow is 3 / 40 wide for each metre: 4.3 m to each side at the car's rear bumper.
    assert seen([(60.0, 0.0, 0.0, CAR)], [wall]) == [False]
    assert seen([(60.0, 3.3, 0.0, CAR)], [wall]) == [False]
    assert seen([(60.0, 3.8, 0.0, CAR)], [wall]) == [True]
    assert seen([(30.0, 0.0, 0.0, CAR), (-60.0, 0.0, 0.0, CAR)], [wall]) == [True, True]
    gap = [rectangle(40.0, 42.0, -9.0, -0.1), rectangle(40.0, 42.0, 0.1, 9.0)]
    assert seen([(60.0, 0.0, 0.0, CAR)], gap) == [True]
    assert seen([(60.0, 0.0, 0.0, TRUCK)], [wall]) == [False]


def test_vans_and_trucks_hide_cars_do_not() -> None:
    behind = (60.0, 0.0, 0.0, CAR)
    assert seen([(30.0, 0.0, 0.0, VAN), behind]) == [True, False]
    assert seen([(30.0, 0.0, 0.0, TRUCK), behind]) == [True, False]
    for low in (CAR, (4.8, 1.9, 1.75), WALKER):
        assert seen([(30.0, 0.0, 0.0, low), behind]) == [True, True]


def test_who_is_taller_than_the_box_before_it_is_seen_over_it() -> None:
    assert seen([(30.0, 0.0, 0.0, VAN), (60.0, 0.0, 0.0, TRUCK)]) == [True, True]
    assert seen([(30.0, 0.0, 0.0, VAN), (60.0, 0.0, 0.0, VAN)]) == [True, False]
    assert seen([(30.0, 0.0, 0.0, TRUCK), (60.0, 0.0, 0.0, VAN)]) == [True, False]


def test_a_truck_driver_looks_over_vans() -> None:
    s = scene([(0.0, 20.0, 0.0, TRUCK), (30.0, 20.0, 0.0, VAN), (60.0, 20.0, 0.0, CAR)])
    states, there = s.tracks.states[:, 0], s.tracks.valid[:, 0]
    assert sight_of(s, row=1).look(states, there).tolist() == [True, False, True, True]
    assert sight_of(s, row=2).look(states, there).tolist()[3]


def test_the_absent_neither_hide_nor_are_seen() -> None:
    s = scene([(30.0, 0.0, 0.0, VAN), (60.0, 0.0, 0.0, CAR)])
    states = s.tracks.states[:, 0]
    assert sight_of(s).look(states, np.array([True, False, True])).tolist() == [False, False, True]
    assert sight_of(s).look(states, np.array([True, True, False])).tolist() == [False, True, False]


def test_an_oblique_box_hides_by_its_corners() -> None:
    # Turned by 45 degrees, a van's corners stand (5 + 2) / 2 / sqrt(2) = 2.475 m to each side of its centre
    # at their widest: (28.94, 2.475) and (31.06, -2.475).
    turned = (30.0, 0.0, 0.25 * math.pi, VAN)
    slope = 2.475 / 31.06  # of the lower one: it shades y > -4.78 at x = 60
    assert seen([turned, (60.0, -60.0 * slope + 0.3, 0.0, WALKER)])[1] is False
    assert seen([turned, (60.0, -60.0 * slope - 0.3, 0.0, WALKER)])[1] is True


def test_who_touches_is_seen_and_what_the_sensor_stands_in_hides_nothing() -> None:
    hall = rectangle(-30.0, 30.0, -5.0, 5.0)
    assert seen([(0.0, 20.0, 0.0, CAR), (20.0, 0.0, 0.0, CAR)], [hall]) == [True, True]
    # The van stands over the sensor; the car behind it is seen through it.
    assert seen([(1.0, 0.0, 0.0, VAN), (20.0, 0.0, 0.0, CAR)]) == [True, True]
    # A van across the bonnet, the sensor free; the walker behind it touches the ego or does not.
    across = (1.5, 0.0, 0.5 * math.pi, VAN)
    assert seen([across, (2.7, 0.0, 0.0, WALKER)]) == [True, True]
    assert seen([across, (2.9, 0.0, 0.0, WALKER)]) == [True, False]


def test_seams_are_closed_and_grazing_lines_are_free() -> None:
    # Straight ahead runs the seam of two trucks, of two buildings, and of a building and a truck.
    trucks = [(30.0, 1.25, 0.0, TRUCK), (30.0, -1.25, 0.0, TRUCK)]
    assert seen([*trucks, (60.0, 0.0, 0.0, WALKER)])[2] is False
    walls = [rectangle(40, 50, -3, 0), rectangle(40, 50, 0, 3)]
    assert seen([(60.0, 0.0, 0.0, WALKER)], walls) == [False]
    assert seen([trucks[0], (60.0, 0.0, 0.0, WALKER)], [rectangle(30, 40, -3, 0)])[1] is False
    # A diamond's two corners lie on the line.
    diamond = [[40, 0], [45, -3], [50, 0], [45, 3]]
    assert seen([(60.0, 0.0, 0.0, WALKER)], [diamond]) == [False]
    # One wall along the line, and one that touches it with a corner: half of the walker is free.
    for wall in (rectangle(40, 50, 0, 9), [[40, 9], [45, 0], [50, 9]]):
        for mirror in (1.0, -1.0):
            free = np.asarray(wall, dtype=float) * (1.0, mirror)
            assert seen([(60.0, 0.0, 0.0, (1e-9, 1e-9, 1.75))], [free]) == [True]
    # Flush with a wall: in front of it, and behind it.
    assert seen([(37.6, 0.0, 0.0, CAR), (54.4, 0.0, 0.0, CAR)], [rectangle(40, 52, -6, 6)]) == [True, False]


def test_the_range_ends_sight() -> None:
    cars = [(50.0, 0.0, 0.0, CAR), (104.0, 0.0, 0.0, CAR), (0.0, 200.0, 0.0, CAR)]
    assert seen(cars) == [True, True, True]
    assert seen(cars, visibility="line_of_sight:102") == [True, True, False]  # its bumper is at 101.6 m
    assert seen(cars, visibility="line_of_sight:101") == [True, False, False]
    assert seen([(30.0, 0.0, 0.0, VAN), (60.0, 0.0, 0.0, CAR)], visibility="all") == [True, True]


@pytest.mark.parametrize("text", ["", "everything", "line_of_sight:", "line_of_sight:-3", "all:50", "x:50"])
def test_unknown_visibilities_are_refused(text: str) -> None:
    with pytest.raises(
        InputError, match=rf"visibility '{text}': give line_of_sight, line_of_sight:METRES or"
    ):
        Visibility.parse(text)
    with pytest.raises(InputError, match="visibility"):
        simulate(scene([]), watcher([]), visibility=text)


@pytest.mark.parametrize("text", ["line_of_sight", "line_of_sight:80", "line_of_sight:80.123456789", "all"])
def test_visibilities_keep_their_name(text: str) -> None:
    assert str(Visibility.parse(text)) == text


# --- random scenes -----------------------------------------------------------------------------------------


def random_scene(rng: np.random.Generator) -> tuple[list[tuple[Any, ...]], list[np.ndarray]]:
    """Agents of all sizes within 70 m, some tall, and buildings of odd shapes; the ego's place stays free."""
    agents = []
    for _ in range(14):
        x, y = rng.uniform(-70, 70, 2)
        size = (CAR, VAN, TRUCK, WALKER)[int(rng.integers(4))]
        agents.append((float(x), float(y), float(rng.uniform(-math.pi, math.pi)), size))
    walls = []
    for _ in range(4):
        corners = int(rng.integers(3, 9))
        angle = np.sort(rng.uniform(0, 2 * math.pi, corners))
        radius = rng.uniform(2.0, 12.0, corners)  # a star, seldom convex
        middle = rng.uniform(15, 60) * np.array([math.cos(a := rng.uniform(-4, 4)), math.sin(a)])
        ring = middle + radius[:, None] * np.stack((np.cos(angle), np.sin(angle)), 1)
        if Polygon(ring).is_valid:
            walls.append(ring)
    return agents, walls


class Oracle:
    """The same question to shapely."""

    def __init__(self, agents: list[tuple[Any, ...]], walls: list[np.ndarray], sensor: float = 1.8) -> None:
        self.boxes = [Polygon(box_corners((x, y), h, size[0], size[1])) for x, y, h, size in agents]
        self.heights = [size[2] for *_, size in agents]
        self.walls = [Polygon(w) for w in walls]
        eye = Point(0, 0)
        self.hides = [
            h >= sensor and not b.contains(eye) for h, b in zip(self.heights, self.boxes, strict=True)
        ]
        self.walls = [w for w in self.walls if not w.contains(eye)]

    def clear(self, x: float, y: float, least: float = 0.0, skip: int = -1) -> bool:
        ray = LineString([(0, 0), (x, y)])
        tall = [
            b for k, b in enumerate(self.boxes) if k != skip and self.hides[k] and self.heights[k] >= least
        ]
        return not any(ray.intersection(o).length > 1e-6 for o in [*self.walls, *tall])

    def seen(self, k: int) -> bool:
        box = self.boxes[k]
        if box.intersects(Polygon(box_corners((0, 0), 0.0, EGO.length, EGO.width))):
            return True
        c = np.asarray(box.exterior.coords)[:4]
        points = [c.mean(0), *c, *(0.5 * (c + np.roll(c, 1, axis=0)))]
        return any(self.clear(x, y, self.heights[k], k) for x, y in points)


def test_shapely_agrees_on_random_scenes() -> None:
    rng = np.random.default_rng(11)
    hidden = total = 0
    for _ in range(40):
        agents, walls = random_scene(rng)
        oracle = Oracle(agents, walls)
        mine = seen(agents, walls)
        assert mine == [oracle.seen(k) for k in range(len(agents))]
        hidden, total = hidden + mine.count(False), total + len(mine)
    assert 0.15 < hidden / total < 0.85


def test_mirrored_and_moved_scenes_are_seen_alike() -> None:
    rng = np.random.default_rng(12)
    for _ in range(25):
        agents, walls = random_scene(rng)
        first = seen(agents, walls)
        mirrored = [(x, -y, -h, size) for x, y, h, size in agents]
        assert seen(mirrored, [w * (1.0, -1.0) for w in walls]) == first
        assert seen(agents, [np.roll(w[::-1], 1, axis=0) for w in walls]) == first
        turn, shift = rng.uniform(-3, 3), rng.uniform(-500, 500, 2)
        placed = [(*(rotate((x, y), turn) + shift), h + turn, size) for x, y, h, size in agents]
        s = scene(placed, [rotate(w, turn) + shift for w in walls])
        states = s.tracks.states[:, 0].copy()
        states[0, :3] = *shift, turn
        assert sight_of(s).look(states, s.tracks.valid[:, 0])[1:].tolist() == first


# --- occlusion edges ---------------------------------------------------------------------------------------


def edges_of(agents: list[tuple[Any, ...]], walls: Any = (), visibility: str = "line_of_sight") -> np.ndarray:
    s = scene(agents, walls)
    return sight_of(s, visibility).edges(s.tracks.states[:, 0], s.tracks.valid[:, 0])


def test_edges_of_one_building_by_hand() -> None:
    wall = rectangle(40.0, 50.0, -5.0, 5.0)
    # Both near corners are 40.3113 m away; the edges go on to 200 m, what is hidden lies on their left.
    end = np.array([198.4556, 24.8069])
    low = [[40.0, -5.0], end * (1, -1)]
    high = [end, [40.0, 5.0]]
    np.testing.assert_allclose(edges_of([], [wall]), [low, high], atol=1e-3)
    short = 100.0 * np.array([40.0, 5.0]) / math.hypot(40.0, 5.0)
    found = edges_of([], [wall], "line_of_sight:100")
    np.testing.assert_allclose(found, [[[40, -5], short * (1, -1)], [short, [40, 5]]], atol=1e-9)
    assert len(edges_of([], [wall], "line_of_sight:40")) == 0
    assert len(edges_of([], [wall], "all")) == 0
    assert len(edges_of([(30.0, 0.0, 0.0, CAR)])) == 0


def test_an_edge_ends_at_the_next_occluder_and_hidden_corners_have_none() -> None:
    # A van at 20 m, 2 m wide; a wall across at 60 m. The rays by the van's corners (17.5, +-1) meet the
    # wall at y = +-60 / 17.5; the wall's own near corners (60, +-30) are seen.
    found = edges_of([(20.0, 0.0, 0.0, VAN)], [rectangle(60.0, 62.0, -30.0, 30.0)])
    hit = 60.0 / 17.5
    np.testing.assert_allclose(found[0], [[60.0, hit], [17.5, 1.0]], atol=1e-4)
    np.testing.assert_allclose(found[1], [[17.5, -1.0], [60.0, -hit]], atol=1e-4)
    np.testing.assert_allclose(found[2, 0], [60.0, -30.0])
    np.testing.assert_allclose(found[3, 1], [60.0, 30.0])
    assert len(found) == 4
    behind = edges_of([], [rectangle(40, 50, -5, 5), rectangle(60, 62, -2, 2)])
    assert len(behind) == 2


def test_edges_part_the_seen_from_the_hidden_on_random_scenes() -> None:
    rng = np.random.default_rng(13)
    sides = crossings = 0
    for _ in range(12):
        agents, walls = random_scene(rng)
        oracle = Oracle(agents, walls)
        edges = edges_of(agents, walls)
        occluders = [
            *oracle.walls, *(b for b, h in zip(oracle.boxes, oracle.hides, strict=True) if h)
        ]  # fmt: skip
        solid = union_all(occluders)
        for a, b in edges:
            along = b - a
            left = np.array([-along[1], along[0]]) / np.hypot(*along)
            for share in (0.3, 0.7):
                hidden, free = a + share * along + 1e-3 * left, a + share * along - 1e-3 * left
                assert not oracle.clear(*hidden)
                # Right of an edge may lie another edge, or another occluder, within a millimetre: not here.
                assert oracle.clear(*free)
                sides += 1
        border = union_all([solid.boundary, MultiLineString([e.tolist() for e in edges])])
        prepare(border)
        points = rng.uniform(-80, 80, (60, 2))
        clear = [oracle.clear(*p) for p in points]
        for p, q, cp, cq in zip(points, points[1:], clear, clear[1:], strict=False):
            if cp != cq:
                assert border.intersects(LineString([p, q]))
                crossings += 1
    assert sides > 100
    assert crossings > 100


# --- what planners are told --------------------------------------------------------------------------------


def watcher(into: list[Any], **spec: Any) -> Any:
    @planner("watcher", **spec)
    def watch(observation: Any, task: Any) -> Plan:
        into.append(observation)
        x, y, heading, speed = observation.ego[:4]
        way = speed * 0.1 * np.arange(1, 21)
        poses = (x + way * np.cos(heading), y + way * np.sin(heading), np.full(20, heading))
        return Plan.from_poses(observation, np.stack(poses, axis=1))

    return watch


def walker_behind_a_van() -> Scenario:
    """The ego passes at 10 m/s; the van's box is [50.5, 55.5] x [-4, -2], the walker is right before it.

    The walker's box is [57.25, 57.75] x [-3.25, -2.75]. Its corner (57.75, -2.75) is the first to be seen
    past the van's corner (55.5, -2), once 2.75 (55.5 - s) < 2 (57.75 - s): from s = 49.5 m on.
    """
    agents = [(53.0, -3.0, 0.0, VAN), (57.5, -3.0, 0.0, WALKER), (20.0, 8.0, 0.0, CAR)]
    return scene(agents, samples=61, speed=10.0)


def test_a_walker_behind_a_van_is_seen_when_the_line_opens() -> None:
    observations: list[Any] = []
    run = simulate(walker_behind_a_van(), watcher(observations, history=1.0), traffic="log")
    s = run.ego[:, 0] + EGO.rear_axle_to_center
    np.testing.assert_allclose(s[[49, 50]], [49.0, 50.0], atol=1e-6)
    assert run.agent_seen[1].tolist() == [False] * 50 + [True] * 11
    assert run.agent_seen[[0, 2]].all()
    assert run.agent_valid.all()
    first = 50
    for k, o in enumerate(observations):
        if k < first:
            # Not even the number of rows tells of it.
            assert o.agent_id.tolist() == [1, 3]
            continue
        assert o.agent_id.tolist() == [1, 2, 3]
        assert o.agent_valid.all()
        now = np.arange(k - 10, k + 1)
        np.testing.assert_array_equal(o.agent_history_valid[1], now >= first)
        assert not o.agent_history[1, now < first].any()
        np.testing.assert_array_equal(o.agent_history[1, now >= first, 0], 57.5)


def test_who_is_hidden_again_keeps_a_row_that_says_nothing() -> None:
    # A building between x = 30 and 60: seen across it at first, hidden later, seen again past it.
    agents = [(20.0, 40.0, 0.0, CAR), (62.0, 8.0, 0.0, CAR)]
    s = scene(agents, [rectangle(14.0, 30.0, 10.0, 12.0)], samples=61, speed=10.0)
    observations: list[Any] = []
    run = simulate(s, watcher(observations, history=0.3), traffic="log")
    changes = np.flatnonzero(np.diff(run.agent_seen[0].astype(int)))
    assert run.agent_seen[0, 0]
    assert len(changes) == 2
    for k, o in enumerate(observations):
        assert o.agent_id.tolist() == [1, 2]
        now = run.agent_seen[0, k]
        assert o.agent_valid.tolist() == [now, True]
        assert o.existence.tolist() == [float(now), 1.0]
        assert bool(o.agents[0].any()) == now
        past = run.agent_seen[0, max(k - 3, 0) : k + 1]
        np.testing.assert_array_equal(o.agent_history_valid[0, -len(past) :], past)
        np.testing.assert_array_equal(o.agent_history[0].any(1)[-len(past) :], past)
    everybody = simulate(s, watcher([]), traffic="log", visibility="all")
    assert everybody.agent_seen.all()
    assert [r.header["visibility"] for r in (run, everybody)] == ["line_of_sight", "all"]
    for name in ("agents", "agent_valid", "ego"):  # the world itself is the same
        np.testing.assert_array_equal(getattr(run, name), getattr(everybody, name))


def test_pdm_brakes_for_a_walker_only_when_it_sees_her() -> None:
    # She steps out from behind the van at 2 s with 1.4 m/s; half a second later the line to her opens.
    s = walker_behind_a_van()
    states = s.tracks.states.copy()
    walk = np.clip(0.1 * np.arange(61) - 2.0, 0.0, 2.0)
    states[2, :, 1], states[2, :, 4] = -3.0 + 1.4 * walk, np.where((walk > 0.0) & (walk < 2.0), 1.4, 0.0)
    s = s.with_(tracks=replace(s.tracks, states=states))
    run, everybody = (
        simulate(s, load_planner("pdm", {}), traffic="log", visibility=v) for v in ("line_of_sight", "all")
    )
    opens = int(run.agent_seen[1].argmax())
    sees, knows = (int((r.ego_control[:, 0] < -1.0).argmax()) for r in (run, everybody))
    assert 20 < knows < opens <= sees
    np.testing.assert_array_equal(run.agents, everybody.agents)


def test_equal_runs_are_equal_and_open_worlds_are_as_with_all(tmp_path: Any) -> None:
    def saved(s: Scenario, name: str, **options: Any) -> bytes:
        run = simulate(s, load_planner("pdm", {}), traffic="idm", **options)
        run = replace(run.with_header(visibility=""), plan_latency=0.0 * run.plan_latency)
        return bytes(run.save(tmp_path / f"{name}.drive.npz").read_bytes())

    closed = walker_behind_a_van()
    assert saved(closed, "a") == saved(closed, "b")
    free = scene(
        [(30.0, 0.0, 0.0, CAR), (60.0, 0.0, 0.0, CAR), (40.0, 4.0, 0.0, WALKER)], samples=31, speed=8.0
    )
    assert (
        saved(free, "d")
        == saved(free, "e", visibility="all")
        == saved(free, "f", visibility="line_of_sight:900")
    )


def test_each_driven_agent_has_its_own_view() -> None:
    # The van stands between the ego and the second car; the car beyond is driven by a planner too.
    s = scene([(30.0, 0.0, 0.0, VAN), (60.0, 0.0, math.pi, CAR), (90.0, 0.0, 0.0, CAR)], samples=6)
    own: list[Any] = []
    other: list[Any] = []
    run = simulate(s, watcher(own), traffic="log", drivers={"agent1": watcher(other)})
    assert run.agent_seen[:, 0].tolist() == [True, False, False]
    assert [o.agent_id.tolist() for o in own] == [[1]] * 5
    assert [o.agent_id.tolist() for o in other] == [[1, 3]] * 5


def test_edges_are_for_planners_that_ask() -> None:
    plain: list[Any] = []
    asks: list[Any] = []
    s = walker_behind_a_van()
    simulate(s, watcher(plain), traffic="log")
    simulate(s, watcher(asks, needs=("road", "occlusion")), traffic="log")
    assert all(o.occlusion_edges.shape == (0, 2, 2) for o in plain)
    # From (0, 0) the van's outermost corners are (55.5, -2), far and left, and (50.5, -4), near and right.
    np.testing.assert_allclose(asks[0].occlusion_edges[0, 1], [55.5, -2.0])
    np.testing.assert_allclose(asks[0].occlusion_edges[1, 0], [50.5, -4.0])
    assert len(asks[0].occlusion_edges) == 2
    batch = batch_observations([plain[0], asks[0]])
    assert np.isnan(batch.occlusion_edges[0]).all()
    np.testing.assert_array_equal(batch[1].occlusion_edges, asks[0].occlusion_edges)
