"""Features and series of agents against their references, and what must not change them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drive.datasets.source import load
from drive.errors import InputError
from drive.eval.check.scenes import straight_scene
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.roadmap.drivable import DrivableArea
from drive.scenario import Scenario
from drive.sim import Controller, compile_world, step
from drive.sim.features import features, new_memory, series, split
from drive.sim.ground import compile_ground
from drive.sim.kernels import reference_features as reference
from drive.sim.kernels.compile import kernel
from drive.sim.kernels.features import (
    EGO_COLUMNS,
    NEIGHBOUR_COLUMNS,
    NEIGHBOURS,
    POINT_COLUMNS,
    ROUTE_COLUMNS,
    ROW,
)
from drive.sim.kernels.series import SERIES_COLUMNS
from drive.sim.kernels.sort import LANES, merge_sixteen, sort_sixteen
from drive.sim.traffic import IDM, cast

REFS = ("gen/cut_in/0", "gen/signalised_intersection/1", "gen/dense_merge/2")


def batch(scenarios: list[Scenario], who: Controller = Controller.IDM) -> tuple[Any, Any, list[Any]]:
    """Their world and ground, with the egos driven by `who`, and their drivable areas."""
    casts = [cast(s, IDM, {s.ego: who}) for s in scenarios]
    world = compile_world(casts, scenarios[0].dt)
    ground = compile_ground(casts, [s.roadmap for s in scenarios])
    return world, ground, [DrivableArea.of(s.roadmap) for s in scenarios]


@pytest.fixture(scope="module")
def driven() -> list[Any]:
    """Worlds at several moments with all agents somewhat off their ways."""
    world, ground, areas = batch([load(ref) for ref in REFS])
    rng = np.random.default_rng(3)
    out = []
    for _ in range(4):
        world = step(world, steps=30)
        m = world.motion
        moved = world.motion._replace(
            x=m.x + rng.uniform(-1, 1, m.x.shape).astype(np.float32),
            y=m.y + rng.uniform(-1, 1, m.x.shape).astype(np.float32),
            heading=m.heading + rng.uniform(-0.2, 0.2, m.x.shape).astype(np.float32),
        )
        out.append((replace(world, motion=moved), ground, areas))
    return out


def test_features_equal_their_reference(driven: list[Any]) -> None:
    stops = compared = 0
    for world, ground, areas in driven:
        seen = split(features(world, ground))
        assert seen.ego.base is not None
        for w, i in zip(*np.nonzero(world.present), strict=True):
            np.testing.assert_allclose(seen.neighbours[w, i], reference.neighbours(world, w, i), atol=2e-4)
            m, g = world.motion, world.agents
            own = [
                m.speed,
                m.acceleration,
                m.steering,
                m.yaw_rate,
                g.length,
                g.width,
                g.wheelbase,
                m.collided,
            ]
            np.testing.assert_allclose(seen.ego[w, i], [a[w, i] for a in own])
            if m.path[w, i] < 0:
                assert not seen.route[w, i].any()
                assert not seen.points[w, i].any()
                continue
            expected = reference.route(world, areas[w], w, i)
            got = seen.route[w, i]
            np.testing.assert_allclose(got[:3], expected[:3], atol=2e-3)
            assert got[4] == pytest.approx(expected[4], abs=2e-3)
            assert got[7] == pytest.approx(expected[7], abs=2e-3)
            stops += expected[7] < 100.0
            points = reference.own_points(world, ground.table, w, i)
            near = seen.points[w, i, :, :2].reshape(-1, 4)
            np.testing.assert_allclose(near[: len(points)], points, atol=2e-3)
            assert not near[len(points) :].any()
            compared += 1
    assert compared > 100
    assert stops > 5


def test_room_beside_the_path_is_the_distance_to_the_edge(driven: list[Any]) -> None:
    gaps = []
    for world, ground, areas in driven[:2]:
        got = split(features(world, ground)).route[..., 5:7]
        for w, i in zip(*np.nonzero(world.present & (world.motion.path >= 0)), strict=True):
            gaps.append(got[w, i] - reference.route(world, areas[w], w, i)[5:7])
    # It is measured every 0.25 m, at the begin of a slice up to 8 m back, where the road may be wider.
    assert np.median(np.abs(gaps)) < 0.25
    assert np.mean(np.abs(gaps) < 0.6) > 0.85


def test_lanes_beside_lie_beside(straight: Any, scenario: Any) -> None:
    world, ground, _ = batch([scenario(straight(), [(60.0, 3.5, 8.0)])])
    seen = split(features(world, ground))
    # The ego drives on the right one of two lanes of 3.5 m, the car on the left one.
    left, right = seen.points[0, 0, :, 2], seen.points[0, 0, :, 3]
    np.testing.assert_allclose(left[:, 1:], np.tile([3.5, 1.0, 0.0], (8, 1)), atol=1e-4)
    np.testing.assert_allclose(np.diff(left[:, 0]), 8.0, atol=0.01)
    assert not right.any()
    np.testing.assert_allclose(seen.points[0, 1, :, 3, 1:], np.tile([-3.5, 1.0, 0.0], (8, 1)), atol=1e-4)
    # Rooms: 1.75 m to the right edge, 5.25 m to the left one; the car the other way about.
    np.testing.assert_allclose(seen.route[0, :, 5:7], [[5.25, 1.75], [1.75, 5.25]], atol=0.26)
    np.testing.assert_allclose(seen.route[0, :, 3], 15.0)


def moved(s: Scenario, angle: float, by: tuple[float, float]) -> Any:
    """The world of a scene, turned and moved after it was compiled, and its features."""
    world, ground, _ = batch([s])
    c, sn = np.cos(angle), np.sin(angle)

    def turned(x: Any, y: Any) -> tuple[Any, Any]:
        return (c * x - sn * y + by[0]).astype(np.float32), (sn * x + c * y + by[1]).astype(np.float32)

    m = step(world, steps=40).motion
    x, y = turned(m.x.astype(float), m.y.astype(float))
    m = m._replace(x=x, y=y, heading=(m.heading + np.float32(angle)))
    shape = (-1, len(POINT_COLUMNS), 4)
    planes = ground.table.points.astype(float).reshape(shape).swapaxes(0, 1)
    known = (planes[2:] != 0.0).any(0)
    px, py = turned(planes[0], planes[1])
    pc, ps = (c * planes[2] - sn * planes[3]), (sn * planes[2] + c * planes[3])
    points = np.where(known, np.stack((px, py, pc, ps)), 0.0).astype(np.float32)
    points = np.ascontiguousarray(points.swapaxes(0, 1)).reshape(-1, 16)
    rows = world.paths.rows.copy()
    rows[:, 0], rows[:, 1] = turned(rows[:, 0].astype(float), rows[:, 1].astype(float))
    rows[:, 2], rows[:, 3] = c * rows[:, 2] - sn * rows[:, 3], sn * rows[:, 2] + c * rows[:, 3]
    there = replace(world, motion=m, paths=world.paths._replace(rows=rows))
    return features(there, replace(ground, table=ground.table._replace(points=points)))


def test_features_do_not_change_with_the_frame() -> None:
    s = load("gen/cut_in/1")
    here = moved(s, 0.0, (0.0, 0.0))
    for angle, by in ((0.0, (300.0, -200.0)), (1.2, (0.0, 0.0)), (-2.9, (50.0, 80.0))):
        np.testing.assert_allclose(moved(s, angle, by), here, atol=5e-3)


def curved(sign: float) -> Scenario:
    """Two lanes on a wave, the ego on the outer one, cars about it; with sign -1 all of it mirrored."""
    x = np.linspace(-20.0, 500.0, 521)
    builder = RoadMapBuilder()

    def line(side: float) -> Any:
        return np.column_stack((x, sign * (side + 6.0 * (1.0 - np.cos(x / 60.0)))))

    for name, low in (("a", -1.75), ("b", 1.75)):
        near, far = line(low), line(low + 3.5)
        left, right = (far, near) if sign > 0 else (near, far)
        beside = {"left_lane" if (name == "a") == (sign > 0) else "right_lane": "b" if name == "a" else "a"}
        builder.add(LaneSpec(name, left, right, speed_limit=14.0, **beside))  # type: ignore[arg-type]
    cars = [(45.0, 1.6, 7.0), (60.0, 6.0, 9.0), (22.0, 3.9, 8.0), (8.0, 0.3, 9.5), (140.0, 13.0, 5.0)]
    return straight_scene(builder.build(), [(x, sign * y, v) for x, y, v in cars])


def test_a_mirrored_world_gives_mirrored_features_and_series() -> None:
    told = []
    for sign in (1.0, -1.0):
        world, ground, _ = batch([curved(sign)])
        memory = new_memory(1, world.num_agents)
        for _ in range(3):
            world = step(world, steps=8)
            m, lean = world.motion, (sign * 0.03 * np.arange(world.num_agents)).astype(np.float32)
            world = replace(world, motion=m._replace(steering=m.steering + lean, heading=m.heading + lean))
            rows, happened = features(world, ground), series(world, ground, memory)
        told.append((split(rows), happened))
    (here, a), (there, b) = told
    flips = {"y", "sin", "offset", "steering", "yaw_rate", "lat_acceleration", "yaw_acceleration"}

    def flipped(values: Any, names: tuple[str, ...]) -> Any:
        return values * np.array([-1.0 if n in flips else 1.0 for n in names])

    np.testing.assert_allclose(flipped(there.ego, EGO_COLUMNS), here.ego, atol=5e-3)
    np.testing.assert_allclose(flipped(there.neighbours, NEIGHBOUR_COLUMNS), here.neighbours, atol=5e-3)
    order = [0, 1, 2, 3, 4, 6, 5, 7]  # the rooms left and right change places
    np.testing.assert_allclose(flipped(there.route, ROUTE_COLUMNS)[..., order], here.route, atol=5e-3)
    points = flipped(there.points, POINT_COLUMNS)[..., [0, 1, 3, 2], :]
    np.testing.assert_allclose(points, here.points, atol=5e-3)
    np.testing.assert_allclose(flipped(b, SERIES_COLUMNS), a, atol=2e-2)
    # It is no trifle that is compared: there are lanes beside, bends, and people who steer.
    assert (here.points[0, :, :, 2, 1] > 3.0).any()
    assert np.abs(here.ego[..., 2:4]).max(1).min() > 0.02
    assert np.abs(here.route[..., 2]).max() > 0.1


def test_permuting_the_agents_permutes_the_rows_alone() -> None:
    world, ground, _ = batch([load("gen/dense_merge/2")])
    world = step(world, steps=50)
    order = np.random.default_rng(1).permutation(world.num_agents)
    m = type(world.motion)(*(a[:, order] if a.ndim == 2 else a for a in world.motion))
    g = type(world.agents)(
        *(
            a[:, order] if n != "signals" else a
            for n, a in zip(world.agents._fields, world.agents, strict=True)
        )
    )
    other = replace(
        world,
        motion=type(m)(*map(np.ascontiguousarray, m)),
        agents=type(g)(*map(np.ascontiguousarray, g)),
    )
    np.testing.assert_array_equal(features(other, ground), features(world, ground)[:, order])
    a, b = (series(w, ground, new_memory(1, w.num_agents)) for w in (world, other))
    np.testing.assert_array_equal(b, a[:, order])


def test_equally_near_ones_come_in_the_order_of_their_rows(straight: Any, scenario: Any) -> None:
    world, ground, _ = batch([scenario(straight(), [(40.0, 3.5, 5.0), (40.0, 3.5, 6.0), (40.0, 3.5, 7.0)])])
    assert split(features(world, ground)).neighbours[0, 0, :4, 4].tolist() == [5.0, 6.0, 7.0, 0.0]


def test_absent_agents_and_other_worlds_change_nothing() -> None:
    many = [load(ref) for ref in REFS]
    world, ground, _ = batch(many)
    every = step(world, steps=20)
    rows, told = features(every, ground), series(every, ground, new_memory(3, every.num_agents))
    for w, s in enumerate(many):
        alone, own, _ = batch([s])
        alone = step(alone, steps=20)
        n = alone.num_agents
        np.testing.assert_array_equal(features(alone, own)[0], rows[w, :n])
        np.testing.assert_array_equal(series(alone, own, new_memory(1, n))[0], told[w, :n])
        assert not rows[w, n:].any()
        assert not told[w, n:].any()
    ego = np.array([[s.ego, -1] for s in many], dtype=np.int32)
    some = features(every, ground, ego, threads=2)
    for w, s in enumerate(many):
        np.testing.assert_array_equal(some[w, 0], rows[w, s.ego])
        assert not some[w, 1].any()
    kept = np.full((3, 2, ROW), 7.0, dtype=np.float32)
    features(every, ground, ego, kept, np.array([1], dtype=np.int32))
    assert (kept[[0, 2]] == 7.0).all()
    np.testing.assert_array_equal(kept[1], some[1])


def test_a_crowd_is_sorted_too(straight: Any, scenario: Any) -> None:
    rng = np.random.default_rng(0)
    cars = [
        (float(x), float(y), 3.0)
        for x, y in zip(rng.uniform(0, 300, 90), rng.uniform(-9, 9, 90), strict=True)
    ]
    world, ground, _ = batch([scenario(straight(), cars)])
    seen = split(features(world, ground)).neighbours[0]
    for i in range(world.num_agents):
        np.testing.assert_allclose(seen[i], reference.neighbours(world, 0, i), atol=2e-4)


def test_sixteen_smallest_of_all_zeros_and_ones() -> None:
    """A network that sorts all sequences of zeros and ones sorts everything (Knuth, 5.3.4)."""

    @kernel
    def sort(keys: Any, lanes: int) -> None:
        for block in range(keys.shape[0]):
            sort_sixteen(keys[block], lanes)

    @kernel
    def merge(keys: Any, lanes: int) -> None:
        for block in range(keys.shape[0]):
            merge_sixteen(keys[block], lanes)

    bits = ((np.arange(1 << 16)[:, None] >> np.arange(16)) & 1).astype(np.int32)
    keys = np.ascontiguousarray(bits.reshape(-1, LANES, 16).swapaxes(1, 2)).reshape(-1, 16 * LANES)
    sort(keys, LANES)
    assert (np.diff(keys.reshape(-1, 16, LANES), axis=1) >= 0).all()
    pairs = np.array(list(itertools.product(range(17), range(17))))
    both = [[0] * (16 - a) + [1] * a + [0] * (16 - b) + [1] * b for a, b in pairs] + [[0] * 32] * 31
    keys = np.ascontiguousarray(np.array(both, dtype=np.int32).reshape(-1, LANES, 32).swapaxes(1, 2)).reshape(
        -1, 32 * LANES
    )
    merge(keys, LANES)
    least = keys.reshape(-1, 32, LANES)[:, 16:].swapaxes(1, 2).reshape(-1, 16)[: len(pairs)]
    zeros = np.minimum(32 - pairs.sum(1), 16)
    np.testing.assert_array_equal(least, np.arange(16)[None] >= zeros[:, None])


def column(told: Any, name: str) -> Any:
    return told[..., SERIES_COLUMNS.index(name)]


def test_series_equal_their_reference(driven: list[Any]) -> None:
    meetings = outside = 0
    for world, ground, areas in driven:
        told = series(world, ground, new_memory(world.num_worlds, world.num_agents))
        for w, i in zip(*np.nonzero(world.present), strict=True):
            expected = reference.time_to_collision(world, w, i)
            got = float(column(told, "time_to_collision")[w, i])
            # Boxes that graze each other meet in one computation and not in the other.
            assert got == pytest.approx(expected, abs=0.02) or _grazes(world, w, i)
            meetings += expected < 5.0
            off = reference.off_road(world, areas[w], w, i)
            assert column(told, "off_road")[w, i] == off
            outside += off
    assert meetings > 20
    assert outside > 5


def _grazes(world: Any, w: int, agent: int) -> bool:
    g = world.agents
    times = []
    for by in (-0.02, 0.02):
        sized = world.agents._replace(width=g.width + np.float32(by), length=g.length + np.float32(by))
        times.append(reference.time_to_collision(replace(world, agents=sized), w, agent))
    return abs(times[0] - times[1]) > 0.02


def test_time_to_collision_by_hand(straight: Any, scenario: Any) -> None:
    # Ego at 10 m/s, centre at 20 + 1.461; a car 4.8 m long at 4 m/s with its centre at x = 50.
    world, ground, _ = batch([scenario(straight(), [(50.0, 0.0, 4.0), (10.0, 0.0, 30.0)])])
    told = series(world, ground, new_memory(1, 3))[0]
    gap = 50.0 - 21.461 - 0.5 * (4.8 + 5.176)
    assert column(told, "time_to_collision")[0] == pytest.approx(gap / 6.0, abs=1e-3)
    assert column(told, "time_to_collision")[1] == 5.0


def test_progress_jerk_and_red_lights_by_hand(straight: Any, scenario: Any) -> None:
    red = np.full((1, 151), 3, dtype=np.uint8)
    s = scenario(straight(stop_at=40.0), speed=10.0, start=20.0, signals=red)
    world, ground, _ = batch([s], Controller.CONTROL)
    memory = new_memory(1, 1)
    series(world, ground, memory)
    passed = []
    for k in range(30):
        world = step(world, control=np.array([[[1.0 if k >= 5 else 0.0, 0.0]]]))
        told = series(world, ground, memory)[0, 0]
        speed = 10.0 + 0.1 * max(k - 5, 0)
        assert column(told, "progress") == pytest.approx(0.1 * speed, abs=2e-3)
        assert column(told, "lon_jerk") == pytest.approx(10.0 if k == 5 else 0.0, abs=1e-3)
        assert column(told, "comfortable") == (k != 5)
        passed.append(bool(column(told, "red")))
    # The front, 1.461 + 2.588 m before the axle, passes 40 m after 15.95 m, at 1.6 s.
    assert np.flatnonzero(passed).tolist() == [15]


def test_bad_arrays_are_refused(straight: Any, scenario: Any) -> None:
    s = scenario(straight())
    world, ground, _ = batch([s])
    with pytest.raises(InputError, match="float32"):
        features(world, ground, out=np.zeros((1, 1, ROW)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rows must lie"):
        features(world, ground, np.array([[1]], dtype=np.int32))
    with pytest.raises(InputError, match="worlds must be"):
        features(world, ground, worlds=np.array([1], dtype=np.int32))
    with pytest.raises(InputError, match="rows must be int32"):
        features(world, ground, np.array([[0]]))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="out must be contiguous"):
        features(world, ground, out=np.zeros((1, 1, 2 * ROW), dtype=np.float32)[..., ::2])
    with pytest.raises(InputError, match=r"out must have the shape \(1, 1, 256\), got \(1, 2, 256\)"):
        features(world, ground, out=np.zeros((1, 2, ROW), dtype=np.float32))
    with pytest.raises(InputError, match="memory"):
        series(world, ground, new_memory(2, 1))
    with pytest.raises(InputError, match="threads must be a whole number, at least 1, got 0"):
        features(world, ground, threads=0)
    # The kernels index with these, and would read beyond their ends.
    two, both, _ = batch([s, s])
    for call in (features, lambda w, g: series(w, g, new_memory(2, 1))):
        with pytest.raises(InputError, match="this ground is of 1 worlds with 1 paths, the world has 2"):
            call(two, ground)
        with pytest.raises(InputError, match="areas of a ground are 0 to 0, got 0 to 7"):
            call(two, both.of_worlds(np.array([0, 7], dtype=np.int32)))
    for name in ("heading", "vx"):
        bad = world.motion._replace(**{name: np.full((1, 1), np.nan, dtype=np.float32)})
        with pytest.raises(InputError, match=f"{name} of world 0: column 0 is nan"):
            features(replace(world, motion=bad), ground)
        with pytest.raises(InputError, match=f"{name} of world 0: column 0 is nan"):
            series(replace(world, motion=bad), ground, new_memory(1, 1))
    with pytest.raises(InputError, match="at least 1, got 0"):
        compile_ground([cast(s, IDM)], [s.roadmap], 0)
    with pytest.raises(InputError, match="road maps"):
        compile_ground([cast(s, IDM)], [])
    assert NEIGHBOURS == 16
