"""What an AutoVLA is taught to see: columns as the cameras have them, and heads that learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import autovla_toy as toy
import torch

from drive.errors import InputError
from drive.nn.scene import SceneArrays, SceneSizes, empty_scene
from drive.planners.autovla.codebook import Codebook
from drive.planners.autovla.prompt import PAPER_CAMERAS, Phrases, answer_ids, batch_arrays
from drive.planners.autovla.scene_words import PromptSettings
from drive.planners.autovla.seen import (
    Clips,
    Eyes,
    SeenSettings,
    Taught,
    eye_batches,
    eye_loss,
    seen_loss,
    seen_of,
)
from drive.planners.autovla.sft import (
    CHANGES,
    Examples,
    LossSettings,
    batches_of,
    drawn_rows,
    nearby,
    sft_loss,
)
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.sim.sensors.camera import CameraRig, Moment
from drive.sim.sensors.camera_views import named
from drive.vehicle import AgentKind

CAMERAS = (*PAPER_CAMERAS, "front_far")
CLIPS = Clips.of(CAMERAS, 2, (168, 112))
COLUMNS = 48


def scene(
    x: float, y: float, heading: float = 0.0, velocity: tuple[float, float] = (0.0, 0.0), kind: int = 0
) -> SceneArrays:
    """Somebody of 4.6 m x 1.9 m at a place in the ego's frame, `kind` 0 a vehicle, 1 a pedestrian."""
    found = empty_scene(SceneSizes())
    found.agents[0, -1] = x, y, math.cos(heading), math.sin(heading), *velocity
    found.agents_valid[0, -1] = True
    found.bodies[0, :3] = 4.6, 1.9, 1.0
    found.bodies[0, 3 + kind] = 1.0
    return found


def columns(found: SceneArrays) -> Any:
    return seen_of(found, CLIPS)[:-4].reshape(COLUMNS, 3)


@pytest.mark.parametrize(
    ("x", "y", "heading"),
    [(15.0, 0.0, 0.0), (12.0, 5.0, 1.0), (9.0, -7.0, 2.0), (2.0, 12.0, 0.3), (4.0, -9.0, -1.2),
     (40.0, 3.0, 0.0), (70.0, -5.0, 0.0)],
)  # fmt: skip
def test_who_is_somewhere_covers_the_columns_in_which_the_cameras_see_them(
    x: float, y: float, heading: float
) -> None:
    specs = tuple(named(name, (168, 112)) for name in CAMERAS)
    edge = np.array([[500.0, 2.0], [600.0, 2.0]])
    builder = RoadMapBuilder()
    builder.add(LaneSpec("far", edge, edge - (0.0, 4.0)))
    rig = CameraRig.of(
        specs, builder.build(), np.array([[4.6, 1.9, 3.0]]),
        np.array([AgentKind.VEHICLE], dtype=np.uint8), -1,
    )  # fmt: skip

    def pictures(there: bool) -> Any:
        moment = Moment(
            np.array([[x, y, heading, 0.0, 0.0]]), np.array([there]), np.array([False]),
            np.array([], dtype=np.uint8),
        )  # fmt: skip
        images = [rig.shoot(k, np.zeros(3), moment) for k in range(len(CAMERAS))]
        return np.concatenate(images, axis=1)

    above = slice(0, 56)  # the horizon: below it there are shades
    changed = (pictures(True) != pictures(False))[above].any((0, 2))
    seen = changed.reshape(COLUMNS, 14).any(1)
    told = columns(scene(x, y, heading))[:, 0] > 0.0
    assert seen.any()
    np.testing.assert_array_equal(told, seen)


def test_what_is_there_by_hand() -> None:
    found = scene(20.0, 0.0, velocity=(-5.0, 0.0), kind=1)
    found.ego[8] = 10.0  # the red line
    ahead = columns(found)
    middle = ahead[17]
    near = math.exp(-20.0 / 30.0)
    np.testing.assert_allclose(middle, (near, -0.5, near), rtol=1e-6)
    assert not ahead[:16].any()
    assert not ahead[20:36].any()
    # The far camera has it too, twice as wide.
    assert np.flatnonzero(ahead[:36, 0]).tolist() == [17, 18]
    assert np.flatnonzero(ahead[36:, 0]).tolist() == [4, 5, 6, 7]
    np.testing.assert_allclose(seen_of(found, CLIPS)[-4:], (0.0, 0.0, 0.0, math.exp(-10.0 / 30.0)), rtol=1e-6)
    # On a straight way: ahead at 20 m, coming at 5 m/s, and after 3 s still 5 m off.
    found.route[:, 0] = found.route[:, 8] = np.arange(64) * 2.0
    found.route[:, 2] = 1.0
    found.route_valid[:] = True
    np.testing.assert_allclose(
        seen_of(found, CLIPS)[-4:], (near, -0.5, math.exp(-5.0 / 30.0), math.exp(-10.0 / 30.0)), atol=0.03
    )
    # The nearer one counts where two are in line.
    found.agents[1, -1] = 10.0, 0.0, 1.0, 0.0, 0.0, 0.0
    found.agents_valid[1, -1] = True
    found.bodies[1, :4] = 4.6, 1.9, 1.0, 1.0
    np.testing.assert_allclose(columns(found)[17], (math.exp(-10.0 / 30.0), 0.0, near), rtol=1e-6)


def test_who_is_behind_is_not_seen() -> None:
    assert not columns(scene(-10.0, 0.0)).any()
    assert not columns(scene(-6.0, 20.0)).any()


def test_clips_are_of_pinholes() -> None:
    with pytest.raises(InputError, match="pinhole"):
        Clips.of(("around",), 2, (168, 112))


def test_a_tower_learns_where_something_is() -> None:
    clips = Clips.of(PAPER_CAMERAS, 2, (56, 28))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (96, 3, 2, 28, 56, 3)).astype(np.uint8)
    seen = np.zeros((96, clips.columns * 3 + 4), dtype=np.float32)
    for k, column in enumerate(rng.integers(0, clips.columns, 96).tolist()):
        seen[k, column * 3] = 0.8
        images[k, column // 4, :, :, column % 4 * 14 : column % 4 * 14 + 14] += 150
    torch.manual_seed(0)
    eyes = Eyes(toy.network(), clips, 32)
    batches = eye_batches(lambda rows: images[rows], seen, 8, 0)
    optimizer = torch.optim.Adam(eyes.parameters(), 4e-3)
    near = []
    for step in range(30):
        batch = {name: torch.from_numpy(np.asarray(a)) for name, a in batches(step).items()}
        value, figures = eye_loss(eyes, batch, None)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        near.append(float(figures["near"]))
    assert np.mean(near[-5:]) < 0.3 * np.mean(near[:5])


def test_a_taught_network_drives_as_it_does_alone() -> None:
    clips = Clips.of(PAPER_CAMERAS, 2, (56, 28))
    prompts, p = toy.prompts(3), toy.phrases()
    arrays = batch_arrays(p, prompts, [answer_ids(p, np.arange(8) % 5, "" if k else "why") for k in range(3)])
    batch = {name: torch.from_numpy(a) for name, a in arrays.items()}
    vla = toy.network()
    taught = Taught(vla, clips, 16).eval()
    with torch.no_grad():
        alone, ids, row = vla(batch)
        logits, same, rows, seen = taught(batch)
    torch.testing.assert_close(logits, alone)
    assert torch.equal(ids, same)
    assert torch.equal(row, rows)
    assert seen.shape == (3, clips.columns * 3 + 4)
    # What stands in one prompt's pictures is told of that one alone, and the loss reaches the tower.
    batch["patches"][: len(batch["patches"]) // 3] += 1.0
    with torch.no_grad():
        after = taught(batch)[3]
    moved = (after - seen).abs().amax(1)
    assert moved[0] > 1e-4
    assert moved[1:].max() < 1e-5
    batch["seen"] = torch.rand(3, clips.columns * 3 + 4)
    loss = sft_loss(LossSettings(), toy.words().first_action, Codebook(toy.motions()), 1.0)
    value, figures = loss(taught.train(), batch, None)
    value.backward()
    assert next(vla.base.model.visual.parameters()).grad.abs().max() > 0.0
    assert {"near", "speed", "foot", "ahead", "soon", "red", "action"} <= set(figures)


def test_speeds_count_where_somebody_is_near() -> None:
    wanted = torch.zeros(1, 4 * 3 + 4)
    wanted[0, 0], wanted[0, 1] = 0.5, 1.0
    found = wanted.clone()
    found[0, 4] = 9.0  # the speed of nobody
    assert seen_loss(found, wanted)[0] == 0.0
    found[0, 1] = 0.0
    assert seen_loss(found, wanted)[1]["speed"] == 1.0


def test_actions_near_the_experts_are_right_too() -> None:
    codebook = Codebook(toy.motions())
    near = nearby(codebook, 0.4)
    np.testing.assert_allclose(near.sum(1), 1.0, rtol=1e-5)
    assert torch.equal(near.argmax(1), torch.arange(len(codebook)))
    # The box two speeds on lies 1.67 m farther, straight ahead: exp(-1/2 (1.67 / 0.4)^2) as right.
    speeds = toy.motions()[::4, 0]
    gap = speeds[3] - speeds[1]
    assert near[4, 12] / near[4, 4] == pytest.approx(math.exp(-0.5 * (gap / 0.4) ** 2), rel=1e-4)


@pytest.mark.parametrize("given", [{"weight": -1.0}, {"weight": math.inf}, {"steps": -1}, {"width": 0}])
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="seen"):
        SeenSettings(**given)
    with pytest.raises(InputError, match="spread"):
        LossSettings(spread=-0.1)


def test_moments_in_which_something_begins_weigh_more() -> None:
    class Held:
        """Two moments at 10 m/s: one goes on, one stops within 20 m."""

        def __len__(self) -> int:
            return 2

        def take(self, rows: Any, names: Any = None) -> dict[str, Any]:
            own = empty_scene(SceneSizes())
            own.ego[:9] = (10.0, 0.0, 0.0, 0.0, 13.9, 0.0, 0.0, 200.0, 200.0)
            future = np.zeros((2, 40, 3))
            future[0, :, 0] = np.arange(1, 41)
            future[1, :, 0] = np.minimum(np.arange(1, 41), 20)
            made = {f"scene.{name}": np.stack([array] * 2) for name, array in own._asdict().items()}
            made |= {
                "past": np.zeros((2, 3, 3)),
                "future": future,
                "future_valid": np.ones((2, 40), dtype=bool),
            }
            return {name: made[name][np.asarray(rows)] for name in names}

    held = Examples.of(Held(), PromptSettings(), 8, pictures=False)
    np.testing.assert_allclose(held.changes, (0.0, -20.0), atol=1e-4)
    tokens = Codebook(toy.motions()).encode(held.poses)
    blind = Phrases.of(toy.words(), ())
    batch = batches_of(held, blind, tokens, 2, 0, LossSettings(change=3.0))(0)
    plain = batches_of(held, blind, tokens, 2, 0, LossSettings())(0)
    assert sorted(batch["weight"].tolist()) == [1.0, 7.0]
    assert plain["weight"].tolist() == [1.0, 1.0]


def test_a_batch_holds_as_many_that_brake_as_that_speed_up() -> None:
    changes = np.zeros(1000)
    changes[:3], changes[3:23], changes[23:53] = -20.0, -6.0, 9.0
    steps = [drawn_rows(changes, 16, 0, step, 0.375) for step in range(200)]
    assert all(len(rows) == 16 for rows in steps)
    kinds = np.digitize(changes[np.stack(steps)[:, 10:]], CHANGES)
    np.testing.assert_array_equal(np.bincount(kinds.ravel()), (400, 400, 0, 400))
    # The rest goes through all moments in turn, and a step is the same again.
    np.testing.assert_array_equal(
        np.sort(np.concatenate([rows[:10] for rows in steps[:100]])), np.arange(1000)
    )
    np.testing.assert_array_equal(drawn_rows(changes, 16, 0, 7, 0.375), steps[7])
    assert len(drawn_rows(np.zeros(20), 16, 0, 0, 0.5)) == 16
    assert (np.digitize(changes[drawn_rows(changes, 16, 0, 0, 1.0)], CHANGES) != 2).all()
