"""The compiled features equal those that torch computes, whatever the scene."""

from __future__ import annotations

import numpy as np
import pytest

from drive.nn.scene import SceneArrays, SceneSizes, empty_scene, stack_scenes

torch = pytest.importorskip("torch", reason="torch is not installed (extra learn)")
from drive.nn.augment import rotate_poses, rotate_scene  # noqa: E402
from drive.nn.geometry import GEOMETRY_COLUMNS, candidate_geometry, scaled  # noqa: E402
from drive.nn.geometry_kernel import BLOCK  # noqa: E402
from drive.nn.tokens import scene_tensors  # noqa: E402

COLUMN = {name: k for k, name in enumerate(GEOMETRY_COLUMNS)}
SIZES = SceneSizes()
WAY = [COLUMN[name] for name in GEOMETRY_COLUMNS if name.startswith(("way", "station", "offset", "heading"))]
WAY += [
    k for name, k in COLUMN.items() if name.startswith("room") or name in ("excess", "stop_past", "red_past")
]


def scenes(seed: int, agents: tuple[int, ...]) -> SceneArrays:
    """Moments with so many agents on bends; the rows behind them hold what must not matter."""
    rng = np.random.default_rng(seed)
    scene = stack_scenes([empty_scene(SIZES)] * len(agents))
    s = 2.0 * np.arange(SIZES.route) - 8.0
    for b, count in enumerate(agents):
        heading = rng.normal() * 0.2 + np.cumsum(0.05 * rng.normal() * np.sin(s / rng.uniform(9.0, 30.0)))
        points = np.cumsum(2.0 * np.stack((np.cos(heading), np.sin(heading)), -1), 0)
        scene.route[b, :, :2] = points - points[4] + rng.normal(size=2)
        scene.route[b, :, 2:4] = np.stack((np.cos(heading), np.sin(heading)), -1)
        scene.route[b, :, 5:8] = rng.uniform((8.0, 3.0, 2.0), (14.0, 6.0, 5.0), (SIZES.route, 3))
        scene.route[b, :, 8] = s
        scene.route_valid[b] = True
        angle, speed = (
            rng.uniform(-3.0, 3.0, count),
            rng.uniform(0.0, 10.0, count) * rng.integers(0, 2, count),
        )
        direction = np.stack((np.cos(angle), np.sin(angle)), -1)
        place = rng.uniform((-15.0, -20.0), (50.0, 20.0), (count, 2))
        scene.agents[b, :count, -1] = np.concatenate((place, direction, speed[:, None] * direction), -1)
        scene.bodies[b, :count, :2] = rng.uniform((0.5, 0.4), (12.0, 2.6), (count, 2))
        scene.agents_valid[b, :count, -1] = True
        scene.agents[b, count:], scene.bodies[b, count:] = np.nan, np.nan
        scene.ego[b] = (8.0, 0.5, 0.02, 0.05, 12.0, 0.3, -0.1, 30.0, 55.0, 90.0, 4.6, 1.9, 1.4, 2.8)
    return scene_tensors(scene)


def poses(seed: int, batch: int, count: int, length: int = 40):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(1, length + 1)
    speed = np.maximum(8.0 + rng.normal(size=(batch, count, 2)) @ np.stack((3.0 + 0.0 * t, t)), 0.0)
    heading = 0.15 * rng.normal(size=(batch, count, 1)) * t
    step = 0.1 * speed[..., None] * np.stack((np.cos(heading), np.sin(heading)), -1)
    return torch.tensor(np.concatenate((np.cumsum(step, 2), heading[..., None]), -1), dtype=torch.float32)


def compare(scene: SceneArrays, candidates, **more) -> None:
    """With slopes asked for torch computes; but for rounding nothing may differ."""
    found = candidate_geometry(scene, candidates, **more)
    expected = candidate_geometry(scene, candidates.clone().requires_grad_(), **more)
    assert expected.requires_grad
    assert not found.requires_grad
    expected = expected.detach()
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    away = (scaled(found) - scaled(expected)).abs()
    # Inside of a bend two pieces of the way are equally near far out; boxes that touch have no direction, and
    # where a corner faces both a corner and an edge it is known to the root of a rounding only.
    clear = torch.stack(
        [expected[..., COLUMN[n]] for n in ("clearance", "clearance_second", "clearance_still")]
    )
    clear, near = (clear.abs() > 0.2).all(0), expected[..., COLUMN["offset"]].abs() < 4.0
    assert clear.float().mean() > 0.7
    assert near.float().mean() > 0.3
    others = [COLUMN[n] for n in ("closing", "ahead", "aside", "closing_second", "closing_still")]
    plain = [k for k in COLUMN.values() if k not in WAY and k not in others]
    assert away[..., plain].max() < (1e-4 if more.get("every", 5) > 1 else 5e-4)  # jerk: two differences
    assert away[clear][:, others].max() < 5e-3
    assert (away[clear][:, others] < 1e-4).float().mean() > 0.999
    assert away[near][:, WAY].max() < 5e-3
    assert (away[near][:, WAY] < 1e-4).float().mean() > 0.999


@pytest.mark.parametrize("agents", [(24,), (24, 0), (1, 2, 3), (5, 24, 0, 1)])
def test_the_kernel_equals_torch(agents):
    for seed in range(6):
        compare(scenes(seed, agents), poses(seed + 100, len(agents), BLOCK + 37))


def test_it_equals_torch_where_the_frame_was_turned():
    scene, angle = scenes(20, (24, 9, 3)), torch.tensor((0.7, -2.5, 3.1))
    compare(rotate_scene(scene, angle), rotate_poses(poses(21, 3, 50), angle), heading=angle)
    compare(scene, poses(22, 3, 50), heading=0.4)


@pytest.mark.parametrize(
    ("length", "every", "dt"), [(40, 1, 0.1), (8, 1, 0.5), (41, 5, 0.1), (3, 2, 0.2), (3, 3, 0.2)]
)
def test_it_looks_at_the_same_poses(length, every, dt):
    compare(scenes(30, (24, 4)), poses(31, 2, 9, length), dt=dt, every=every)


def test_gaps_in_the_way_and_no_way_at_all():
    scene = scenes(40, (6, 6, 6, 6))
    scene.route_valid[0, 20:] = False
    scene.route_valid[1, :3], scene.route_valid[1, 9] = False, False
    scene.route_valid[2] = False
    scene.route[3, 12] = scene.route[3, 11]  # no direction
    scene.route[~scene.route_valid] = float("nan")
    candidates = poses(41, 4, 60)
    found = candidate_geometry(scene, candidates)
    expected = candidate_geometry(scene, candidates.clone().requires_grad_()).detach()
    assert torch.isfinite(found).all()
    assert (found[2][..., WAY] == 0.0).all()
    near = expected[..., COLUMN["offset"]].abs() < 4.0
    for b in (0, 1, 3):
        away = (scaled(found) - scaled(expected))[b][near[b]][:, WAY].abs()
        assert away.shape[0] > 50
        assert (away < 1e-4).float().mean() > 0.99  # a point beside a gap may go to either end


def test_any_strides_will_do_and_nothing_is_written():
    scene, candidates = scenes(50, (24, 7)), poses(51, 2, 40)
    wide = SceneArrays(*(torch.stack((field, field), -1)[..., 0] for field in scene))
    turned = candidates.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2)
    assert not turned.is_contiguous()
    before = [field.clone() for field in wide]
    found = candidate_geometry(scene, candidates)
    assert torch.equal(candidate_geometry(wide, turned), found)
    for field, old in zip(wide, before, strict=True):
        assert torch.equal(field.nan_to_num(7.0), old.nan_to_num(7.0))
    one = poses(52, 1, 40)
    assert torch.equal(
        candidate_geometry(scene, one.expand(2, -1, -1, -1)),
        candidate_geometry(scene, one.repeat(2, 1, 1, 1)),
    )


def test_equal_questions_have_equal_answers():
    scene, candidates = scenes(60, (24, 11)), poses(61, 2, 3 * BLOCK + 5)
    found = candidate_geometry(scene, candidates)
    assert torch.equal(candidate_geometry(scene, candidates), found)
    with torch.inference_mode():
        assert torch.equal(candidate_geometry(scene, candidates), found)
    # Neither who else is in the batch nor a candidate's place in it matters.
    for b in range(2):
        alone = SceneArrays(*(field[b : b + 1] for field in scene))
        assert torch.equal(candidate_geometry(alone, candidates[b : b + 1]), found[b : b + 1])
    assert torch.equal(candidate_geometry(scene, candidates.flip(1)), found.flip(1))
