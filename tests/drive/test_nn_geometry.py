"""Features of candidates against closed forms, shapely and the rules of rigid motion."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely

from drive.errors import InputError
from drive.nn.scene import SceneArrays, SceneSizes, empty_scene, stack_scenes

torch = pytest.importorskip("torch", reason="torch is not installed (extra learn)")
from drive.nn.augment import (  # noqa: E402
    measure_again,
    mirror_poses,
    mirror_scene,
    rotate_poses,
    rotate_scene,
    turn_ego,
)
from drive.nn.boxes import box_gap  # noqa: E402
from drive.nn.geometry import CLEARANCE, GEOMETRY_COLUMNS, candidate_geometry, scaled  # noqa: E402
from drive.nn.tokens import scene_tensors  # noqa: E402

COLUMN = {name: k for k, name in enumerate(GEOMETRY_COLUMNS)}
SIZES = SceneSizes()
REACH = 1.4 + 2.3  # from the rear axle to the front bumper


def scenes(seed: int, count: int, agents: int = 24) -> SceneArrays:
    """Winding ways, and boxes of all sizes anywhere about."""
    rng = np.random.default_rng(seed)
    scene = stack_scenes([empty_scene(SIZES)] * count)
    s = 2.0 * np.arange(SIZES.route) - 8.0
    bend = 0.04 * rng.normal(size=(count, 1)) * np.sin(s / rng.uniform(15.0, 40.0, (count, 1)) + 1.0)
    heading = np.cumsum(bend * 2.0, 1)
    heading += rng.normal(size=(count, 1)) * 0.1 - heading[:, 4:5]
    points = np.cumsum(2.0 * np.stack((np.cos(heading), np.sin(heading)), -1), 1)
    scene.route[..., :2] = points - points[:, 4:5] + rng.normal(size=(count, 1, 2)) * 0.3
    scene.route[..., 2], scene.route[..., 3] = np.cos(heading), np.sin(heading)
    scene.route[..., 4], scene.route[..., 5] = bend, 10.0 + np.sin(s / 9.0)
    scene.route[..., 6], scene.route[..., 7] = 5.0 + np.sin(s / 20.0), 3.0 + np.cos(s / 25.0)
    scene.route[..., 8] = s
    scene.route_valid[:] = True
    angle = rng.uniform(-3.0, 3.0, (count, agents))
    speed = rng.uniform(0.0, 12.0, (count, agents)) * (rng.random((count, agents)) < 0.7)
    now = scene.agents[:, :agents, -1]
    now[..., :2] = rng.uniform((-15.0, -25.0), (60.0, 25.0), (count, agents, 2))
    now[..., 2], now[..., 3] = np.cos(angle), np.sin(angle)
    now[..., 4:] = speed[..., None] * now[..., 2:4]
    scene.agents_valid[:, :agents, -1] = True
    scene.bodies[:, :agents, :2] = rng.uniform((0.5, 0.4), (12.0, 2.6), (count, agents, 2))
    scene.lanes[:], scene.edges[:] = rng.normal(size=scene.lanes.shape), rng.normal(size=scene.edges.shape)
    scene.lanes_valid[:, :9], scene.edges_valid[:, :7] = True, True
    scene.lanes[:, 9:], scene.edges[:, 7:] = 0.0, 0.0
    scene.ego[:] = (8.0, 0.5, 0.02, 0.05, 12.0, 0.3, -0.1, 30.0, 200.0, 90.0, 4.6, 1.9, 1.4, 2.8)
    return scene_tensors(scene)


def arcs(seed: int, batch: int, count: int, length: int = 40):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(1, length + 1)
    speed = np.maximum(
        8.0 + rng.normal(size=(batch, count, 1)) * 3.0 + rng.normal(size=(batch, count, 1)) * t, 0.0
    )
    heading = rng.normal(size=(batch, count, 1)) * 0.15 * t
    step = 0.1 * speed[..., None] * np.stack((np.cos(heading), np.sin(heading)), -1)
    return torch.tensor(np.concatenate((np.cumsum(step, 2), heading[..., None]), -1), dtype=torch.float32)


def box(x: float, y: float, c: float, s: float, length: float, width: float) -> shapely.Polygon:
    corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * (length / 2.0, width / 2.0)
    return shapely.Polygon(corners @ np.array([(c, s), (-s, c)]) + (x, y))


def test_gap_of_boxes_equals_shapelys():
    rng = np.random.default_rng(3)
    n = 1500
    half = rng.uniform(0.2, 6.0, (4, n))
    x, y = rng.uniform(-12.0, 12.0, (2, n))
    angle = rng.uniform(-4.0, 4.0, n)
    angle[::3] = rng.integers(0, 5, len(angle[::3])) * np.pi / 2.0  # parallel boxes have no foremost corner
    c, s = np.cos(angle), np.sin(angle)
    c[np.abs(c) < 1e-9], s[np.abs(s) < 1e-9] = 0.0, 0.0
    x[::6], y[1::6] = 0.0, 0.0
    a, b, far, wide = (torch.tensor(extent) for extent in half)
    gap = box_gap(*(torch.tensor(v) for v in (x, y, c, s)), (a, b), (far, wide))
    found, ahead, aside = gap.distance.numpy(), gap.ahead.numpy(), gap.aside.numpy()
    apart = 0
    for k in range(n):
        own = box(0.0, 0.0, 1.0, 0.0, 2.0 * half[0, k], 2.0 * half[1, k])
        other = box(x[k], y[k], c[k], s[k], 2.0 * half[2, k], 2.0 * half[3, k])
        distance = shapely.distance(own, other)
        apart += distance > 0.0
        if distance > 0.0:
            assert found[k] == pytest.approx(distance, abs=1e-9)
        else:
            assert found[k] <= 1e-9
        # Moved along the direction by the gap, they touch.
        moved = shapely.transform(other, lambda p, k=k: p - found[k] * np.array((ahead[k], aside[k])))
        assert shapely.distance(own, moved) < 1e-9
        assert shapely.area(shapely.intersection(own, moved)) < 1e-7
    assert 0.4 * n < apart < 0.9 * n
    assert np.hypot(ahead, aside) == pytest.approx(1.0, abs=1e-9)


def test_way_and_rooms_equal_shapelys():
    scene, candidates = scenes(0, 6), arcs(1, 6, 12)
    found = candidate_geometry(scene, candidates).numpy()
    compared = 0
    for b in range(6):
        route = scene.route[b].double().numpy()
        line = shapely.LineString(route[:, :2])
        lengths = np.concatenate(((0.0,), np.cumsum(np.hypot(*np.diff(route[:, :2], axis=0).T))))

        def feet(points: np.ndarray, line=line, lengths=lengths, route=route) -> tuple[np.ndarray, ...]:
            along = shapely.line_locate_point(line, shapely.points(points))
            foot = shapely.get_coordinates(shapely.line_interpolate_point(line, along))
            k = np.clip(np.searchsorted(lengths, along, "right") - 1, 0, len(lengths) - 2)
            ahead = np.diff(route[:, :2], axis=0)[k]
            rest = points - foot
            side = np.sign(ahead[:, 0] * rest[:, 1] - ahead[:, 1] * rest[:, 0])
            values = [np.interp(along, lengths, route[:, n]) for n in (8, 5, 6, 7)]
            return side * np.hypot(*rest.T), *values

        poses = candidates[b, :, 4::5].double().numpy().reshape(-1, 3)
        rows = found[b].reshape(-1, found.shape[-1])
        offset, station, limit, _, _ = feet(poses[:, :2])
        near = (np.abs(offset) < 8.0) & (station < route[-1, 8] - 8.0)  # both projections are plain there
        compared += near.sum()
        assert rows[near, COLUMN["offset"]] == pytest.approx(offset[near], abs=2e-4)
        assert rows[near, COLUMN["station"]] == pytest.approx(station[near], abs=1e-3)
        speed = rows[near, COLUMN["speed"]]
        assert rows[near, COLUMN["excess"]] == pytest.approx(speed - limit[near], abs=1e-3)
        c, s = np.cos(poses[:, 2]), np.sin(poses[:, 2])
        for name, ahead, aside in (
            ("room_front_left", 3.7, 0.95), ("room_front_right", 3.7, -0.95),
            ("room_rear_left", -0.9, 0.95), ("room_rear_right", -0.9, -0.95),
        ):  # fmt: skip
            corner = poses[:, :2] + np.stack((ahead * c - aside * s, ahead * s + aside * c), -1)
            lateral, _, _, left, right = feet(corner)
            room = np.minimum(left - lateral, right + lateral)
            assert rows[near, COLUMN[name]] == pytest.approx(room[near], abs=0.08)
            assert np.abs(rows[near, COLUMN[name]] - room[near]).mean() < 0.02
    assert compared > 300


def test_clearance_equals_shapelys_nearest():
    scene, candidates = scenes(5, 4), arcs(6, 4, 12)
    found = candidate_geometry(scene, candidates).double().numpy()
    for b in range(4):
        agents, bodies = scene.agents[b, :, -1].double().numpy(), scene.bodies[b].double().numpy()
        for k in range(12):
            for t in range(8):
                x, y, h = candidates[b, k, 5 * t + 4].double().numpy()
                c, s = math.cos(h), math.sin(h)
                ego = box(x + 1.4 * c, y + 1.4 * s, c, s, 4.6, 1.9)
                for name, seconds in (("clearance", 0.5 * (t + 1)), ("clearance_still", 0.0)):
                    others = [
                        box(a[0] + a[4] * seconds, a[1] + a[5] * seconds, a[2], a[3], *body[:2])
                        for a, body in zip(agents, bodies, strict=True)
                    ]
                    distance = shapely.distance(ego, np.array(others)).min()
                    gap = found[b, k, t, COLUMN[name]]
                    if distance > 0.0:
                        assert gap == pytest.approx(min(distance, CLEARANCE), abs=1e-4)
                    else:
                        assert gap < 1e-4


def test_dynamics_of_an_arc_are_known():
    scene = scenes(0, 1)
    t, radius, growth = 0.1 * torch.arange(1, 41), 40.0, 1.2
    s = 8.0 * t + 0.5 * growth * t * t
    arc = torch.stack(
        (radius * torch.sin(s / radius), radius * (1.0 - torch.cos(s / radius)), s / radius), -1
    )
    found = candidate_geometry(scene, arc[None, None])[0, 0]
    times = 0.5 * torch.arange(1, 9)
    speed = 8.0 + growth * times
    torch.testing.assert_close(found[:, COLUMN["speed"]], speed, atol=5e-3, rtol=0.0)
    torch.testing.assert_close(
        found[:, COLUMN["acceleration"]], torch.full((8,), growth), atol=1e-2, rtol=0.0
    )
    yaw_rate = (speed - 0.25 * growth) / radius  # the mean of each half second
    torch.testing.assert_close(found[:, COLUMN["yaw_rate"]], yaw_rate, atol=1e-4, rtol=0.0)
    torch.testing.assert_close(
        found[:, COLUMN["lateral_acceleration"]], speed * yaw_rate, atol=0.02, rtol=0.0
    )
    # The ego's present acceleration is 0.5 m/s^2.
    assert found[0, COLUMN["jerk"]].item() == pytest.approx((1.2 - 0.5) / 0.5, abs=0.03)
    assert found[1:, COLUMN["jerk"]].abs().max() < 0.05
    backwards = torch.stack((-t, torch.zeros_like(t), torch.zeros_like(t)), -1)
    found = candidate_geometry(scene, backwards[None, None])[0, 0]
    torch.testing.assert_close(found[:, COLUMN["speed"]], torch.full((8,), -1.0), atol=1e-4, rtol=0.0)


def test_lines_are_passed_by_the_bumper_and_boxes_met_in_time():
    scene = scenes(0, 1, agents=2)
    scene.route[0, :, 0], scene.route[0, :, 1] = 2.0 * torch.arange(64) - 8.0, 0.0
    scene.route[0, :, 2], scene.route[0, :, 3] = 1.0, 0.0
    scene.agents[0, :2, -1] = torch.tensor(((40.0, 0.0, 1.0, 0.0, 2.0, 0.0), (0.0, 60.0, 1.0, 0.0, 0.0, 0.0)))
    scene.bodies[0, :2, :2] = 4.0
    straight = torch.zeros(1, 1, 40, 3)
    straight[..., 0] = 0.8 * torch.arange(1, 41)
    found = candidate_geometry(scene, straight)[0, 0]
    times = 0.5 * torch.arange(1, 9)
    torch.testing.assert_close(found[:, COLUMN["stop_past"]], 8.0 * times - 30.0, atol=1e-3, rtol=0.0)
    assert (found[:, COLUMN["red_past"]] == -100.0).all()  # 200 m: there is none
    gap = 40.0 + 2.0 * times - 2.0 - (8.0 * times + REACH)
    torch.testing.assert_close(found[:, COLUMN["clearance"]], gap, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(found[:, COLUMN["closing"]], torch.full((8,), 6.0), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(found[:, COLUMN["ahead"]], torch.ones(8), atol=1e-5, rtol=0.0)
    still = 38.0 - (8.0 * times + REACH)
    torch.testing.assert_close(found[:, COLUMN["clearance_still"]], still, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(found[:, COLUMN["closing_still"]], torch.full((8,), 8.0), atol=1e-3, rtol=0.0)
    assert (found[:, COLUMN["clearance_second"]] == CLEARANCE).all()


@pytest.mark.parametrize("angle", [0.7, -2.5, math.pi])
def test_turning_everything_changes_no_feature(angle):
    scene, candidates = scenes(7, 3), arcs(8, 3, 20)
    turned = candidate_geometry(rotate_scene(scene, angle), rotate_poses(candidates, angle), heading=angle)
    torch.testing.assert_close(turned, candidate_geometry(scene, candidates), atol=3e-3, rtol=1e-4)


def test_a_mirrored_scene_has_mirrored_features():
    scene, candidates = scenes(9, 3), arcs(10, 3, 20)
    found = candidate_geometry(scene, candidates)
    mirrored = candidate_geometry(mirror_scene(scene), mirror_poses(candidates))
    expected = found.clone()
    for name in ("offset", "heading", "lateral_acceleration", "yaw_rate", "aside"):
        expected[..., COLUMN[name]] *= -1.0
    for end in ("front", "rear"):
        left, right = COLUMN[f"room_{end}_left"], COLUMN[f"room_{end}_right"]
        expected[..., [left, right]] = found[..., [right, left]]
    torch.testing.assert_close(mirrored, expected, atol=3e-3, rtol=1e-4)


def test_candidates_and_moments_do_not_see_each_other():
    scene, candidates = scenes(11, 5), arcs(12, 5, 30)
    found = candidate_geometry(scene, candidates)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        candidate_geometry(scene, candidates[:, order]), found[:, order], atol=1e-6, rtol=1e-6
    )
    for b in range(5):
        alone = SceneArrays(*(field[b : b + 1] for field in scene))
        one = candidate_geometry(alone, candidates[b : b + 1])
        torch.testing.assert_close(one, found[b : b + 1], atol=1e-6, rtol=1e-6)
    agents = torch.randperm(SIZES.agents, generator=torch.Generator().manual_seed(1))
    shuffled = scene._replace(
        agents=scene.agents[:, agents],
        agents_valid=scene.agents_valid[:, agents],
        bodies=scene.bodies[:, agents],
    )
    torch.testing.assert_close(candidate_geometry(shuffled, candidates), found, atol=1e-5, rtol=1e-5)


def test_slopes_equal_differences():
    scene = scenes(13, 1, agents=6)
    scene = SceneArrays(*(field if field.dtype == torch.bool else field.double() for field in scene))
    candidates = arcs(14, 1, 2, 6).double().requires_grad_()

    def features(poses):
        return candidate_geometry(scene, poses, every=3)

    assert torch.autograd.gradcheck(features, (candidates,), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("missing", ["agents", "route", "both"])
def test_nothing_known_is_finite_with_finite_slopes(missing):
    scene = scenes(15, 2)
    if missing != "route":
        scene.agents_valid[:] = False
        scene.agents[:], scene.bodies[:] = float("nan"), float("nan")
    if missing != "agents":
        scene.route_valid[:] = False
        scene.route[:] = float("nan")
    for candidates in (arcs(16, 2, 8), torch.zeros(2, 8, 40, 3)):
        candidates.requires_grad_()
        found = candidate_geometry(scene, candidates)
        scaled(found).sum().backward()
        assert torch.isfinite(found).all()
        assert torch.isfinite(candidates.grad).all()
        if missing != "route":
            assert (found[..., COLUMN["clearance"]] == CLEARANCE).all()
            assert (found[..., COLUMN["closing"]] == 0.0).all()
        if missing != "agents":
            assert (found[..., : COLUMN["speed"]] == 0.0).all()
            assert (found[..., COLUMN["stop_past"]] == 0.0).all()


def test_half_precision_around_it_does_not_blur_it():
    scene, candidates = scenes(24, 2), arcs(25, 2, 8)
    found = candidate_geometry(scene, candidates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(candidate_geometry(scene, candidates), found)


def test_rows_that_are_not_valid_never_matter():
    scene, candidates = scenes(17, 2, agents=5), arcs(18, 2, 8)
    scene.route_valid[:, 50:] = False
    found = candidate_geometry(scene, candidates)
    scene.route[:, 50:] = float("nan")
    scene.agents[:, 5:], scene.bodies[:, 5:] = float("nan"), float("nan")
    assert torch.equal(candidate_geometry(scene, candidates), found)


def test_shapes_that_do_not_fit_are_refused():
    scene = scenes(0, 2)
    with pytest.raises(InputError, match="candidates must be"):
        candidate_geometry(scene, arcs(0, 3, 4))
    with pytest.raises(InputError, match="cannot be looked at"):
        candidate_geometry(scene, arcs(0, 2, 4, 4))
    assert candidate_geometry(scene, arcs(0, 2, 4, 8), 0.5, every=1).shape == (2, 4, 8, len(GEOMETRY_COLUMNS))


def test_turns_and_mirrors_undo_themselves():
    scene = scenes(19, 3)
    angle = torch.tensor((0.3, -1.0, 2.0))
    for a, b in zip(rotate_scene(rotate_scene(scene, angle), -angle), scene, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-6)
    for a, b in zip(mirror_scene(mirror_scene(scene)), scene, strict=True):
        assert torch.equal(a, b)
    poses = arcs(20, 3, 4)
    torch.testing.assert_close(rotate_poses(rotate_poses(poses, angle), -angle), poses, atol=1e-5, rtol=1e-6)
    assert torch.equal(mirror_poses(mirror_poses(poses)), poses)
    # A quarter turn brings what is ahead to the left.
    quarter = rotate_poses(torch.tensor(((2.0, 0.0, 0.1),)), math.pi / 2.0)[0]
    assert quarter.numpy() == pytest.approx((0.0, 2.0, 0.1 + math.pi / 2.0), abs=1e-6)
    assert not rotate_scene(scene, 0.5).agents[:, :, :-1].any()  # padding stays zero


def test_an_ego_that_turns_sees_the_way_turned():
    scene, candidates = scenes(21, 2), arcs(22, 2, 6)
    seen = turn_ego(scene, 0.4)
    assert (seen.ego[:, 6] - scene.ego[:, 6]).numpy() == pytest.approx(0.4, abs=1e-6)
    # The same motion over ground, told in either frame, lies equally on the way.
    there = candidate_geometry(seen, rotate_poses(candidates, -0.4))
    here = candidate_geometry(scene, candidates)
    for name in ("station", "offset", "heading", "clearance"):
        torch.testing.assert_close(there[..., COLUMN[name]], here[..., COLUMN[name]], atol=1e-3, rtol=1e-4)


def test_a_second_measurement_is_noisy_repeatable_and_keeps_padding():
    scene = scenes(23, 40, agents=10)
    again = [measure_again(scene, torch.Generator().manual_seed(4), missed=0.2) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*again, strict=True))
    seen, error = again[0].agents_valid, again[0].agents - scene.agents
    assert not again[0].agents[~seen].any()
    assert not again[0].bodies[~seen.any(-1)].any()
    assert (scene.agents_valid & ~seen).sum().item() == pytest.approx(0.2 * 400, abs=30)
    assert error[seen][:, :2].std().item() == pytest.approx(0.1, rel=0.1)
    assert error[seen][:, 4:].std().item() == pytest.approx(0.2, rel=0.1)
    norms = again[0].agents[seen][:, 2:4].norm(dim=-1)
    assert norms.numpy() == pytest.approx(1.0, abs=1e-5)
