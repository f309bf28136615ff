"""The decoders of Hydra-NeXt: losses by hand, one scene learnt by heart, batches that do not mix."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drive.errors import InputError, UnknownNameError  # noqa: E402
from drive.nn.encoders import EncoderSettings  # noqa: E402
from drive.nn.scene import SceneArrays, SceneSizes, scene_shapes  # noqa: E402
from drive.nn.tokens import SceneBatch, scene_batch  # noqa: E402
from drive.nn.vocabulary import Vocabulary  # noqa: E402
from drive.nn.weights import Card, save_weights  # noqa: E402
from drive.planner import Control, ControlKind  # noqa: E402
from drive.planners.hydra_next.config import HydraNextConfig  # noqa: E402
from drive.planners.hydra_next.decoder import ALL_HEADS, ARCHITECTURE, HydraNext, ModelSettings  # noqa: E402
from drive.planners.hydra_next.losses import (  # noqa: E402
    control_losses,
    focal,
    imitation_target,
    policy_loss,
    trajectory_losses,
)
from drive.planners.hydra_next.planner import HydraNextPlanner  # noqa: E402
from drive.planners.hydra_next.policy import HydraNextPolicy  # noqa: E402
from drive.planners.hydra_next.signals import Bins  # noqa: E402
from drive.planners.hydra_next.targets import HydraLoss, targets_of  # noqa: E402
from drive.planners.learned.decision import Memory  # noqa: E402
from drive.planners.learned.profiles import Profile, combine  # noqa: E402
from drive.sim.vehicles import apply_control  # noqa: E402
from drive.vehicle import VehicleParams  # noqa: E402

SIZES = SceneSizes(agents=4, lanes=4, edges=4, route=16)


def test_the_focal_loss_by_hand() -> None:
    """p = 0.9 and it is there: 0.728 x 0.1^2 x -log 0.9; p = 0.9 and it is not: 0.272 x 0.9^2 x -log 0.1."""
    logit = math.log(9.0)
    found = focal(torch.tensor([logit, logit, -logit]), torch.tensor([1.0, 0.0, 0.0]))
    expected = [0.728 * 0.01 * 0.1053605, 0.272 * 0.81 * 2.3025851, 0.272 * 0.01 * 0.1053605]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_the_imitation_target_by_hand() -> None:
    """Squared distances 0, 0.5 and 1 over a temperature of 0.5: shares of 1, e^-1 and e^-2."""
    candidates = torch.zeros(1, 3, 2, 2)
    candidates[0, 1, 0, 0], candidates[0, 2, :, 1] = math.sqrt(0.5), math.sqrt(0.5)
    shares = np.array([1.0, math.exp(-1.0), math.exp(-2.0)])
    everything = torch.ones(1, 2, dtype=torch.bool)
    found = imitation_target(candidates, torch.zeros(1, 2, 2), everything)
    np.testing.assert_allclose(found[0].numpy(), shares / shares.sum(), rtol=1e-5)
    first = imitation_target(candidates, torch.zeros(1, 2, 2), torch.tensor([[True, False]]))
    np.testing.assert_allclose(first[0, 1].item(), first[0, 2].item(), rtol=1e-6)


def test_losses_are_told_for_each_sample() -> None:
    """A masked sample takes nothing with it, and changes nothing of the others."""
    logits = {"imi": torch.tensor([[0.0, 0.0], [5.0, 0.0]]), "nc": torch.tensor([[0.0, 0.0], [3.0, 3.0]])}
    labels = {"nc": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}
    imitation = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    parts = trajectory_losses(logits, labels, imitation, torch.tensor([1.0, 0.0]))
    np.testing.assert_allclose(parts["imi"].numpy(), [math.log(2.0), 0.0], rtol=1e-5)
    np.testing.assert_allclose(parts["nc"].numpy(), [math.log(2.0), math.log1p(math.exp(-3.0))], rtol=1e-5)


def test_control_losses_leave_out_what_is_not_known() -> None:
    zeros = SimpleNamespace(
        brake=torch.zeros(2, 4), strength=torch.zeros(2, 4, 2), throttle=torch.zeros(2, 4, 4),
        steer=torch.zeros(2, 4, 8),
    )  # fmt: skip
    bins = {name: torch.zeros(2, 4, dtype=torch.int64) for name in ("strength", "throttle", "steer")}
    brakes = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    valid = torch.tensor([[True, True, True, True], [True, False, False, False]])
    parts = control_losses(zeros, brakes, bins, valid)
    np.testing.assert_allclose(parts["steer"].numpy(), [4 * math.log(8), math.log(8)], rtol=1e-5)
    np.testing.assert_allclose(parts["throttle"].numpy(), [3 * math.log(4), 0.0], rtol=1e-5)
    np.testing.assert_allclose(parts["strength"].numpy(), [math.log(2), math.log(2)], rtol=1e-5)
    one, none = 0.728 * 0.25 * math.log(2), 0.272 * 0.25 * math.log(2)
    np.testing.assert_allclose(parts["brake"].numpy(), [one + 3 * none, one], rtol=1e-5)


def test_the_policys_loss_counts_valid_steps() -> None:
    valid = torch.ones(2, 10)
    valid[1, 5:] = 0.0
    loss = policy_loss(torch.zeros(2, 3, 20), 2.0 * torch.ones(2, 3, 20), valid)
    assert loss.tolist() == [80.0, 40.0]


def test_the_score_weighs_logarithms() -> None:
    logits = {"imi": torch.tensor([[0.0, math.log(3.0)]]), "nc": torch.tensor([[0.0, math.log(4.0)]])}
    found = combine(logits, Profile({"imi": 0.5, "nc": 0.1}))[0]
    expected = [0.5 * math.log(0.25) + 0.1 * math.log(0.5), 0.5 * math.log(0.75) + 0.1 * math.log(0.8)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def scenes(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random but sound fields of a training set: an expert that drives off straight ahead."""
    rng = np.random.default_rng(seed)
    shapes = scene_shapes(SIZES)
    out: dict[str, np.ndarray] = {}
    for name, shape in zip(SceneArrays._fields, shapes, strict=True):
        if name.endswith("_valid"):
            out[f"scene.{name}"] = np.ones((count, *shape), dtype=np.bool_)
        else:
            out[f"scene.{name}"] = rng.normal(size=(count, *shape)).astype(np.float32)
    speed = rng.uniform(3.0, 12.0, count)
    ego = out["scene.ego"]
    ego[:, 0], ego[:, 10:14] = speed, (5.2, 2.3, 1.4, 3.0)
    route = out["scene.route"]
    route[..., 0], route[..., 1] = 2.0 * np.arange(SIZES.route) - 8.0, 0.0
    route[..., 2], route[..., 3] = 1.0, 0.0
    gain = rng.uniform(-2.0, 1.0, count)
    t = 0.1 * np.arange(1, 41)
    way = speed[:, None] * t + 0.5 * gain[:, None] * t * t
    start = np.zeros((count, 7), dtype=np.float32)
    start[:, 3], start[:, 4] = speed, gain
    out["start"] = start
    out["future"] = np.stack((way, np.zeros_like(way), np.zeros_like(way)), -1).astype(np.float32)
    out["future_valid"] = np.ones((count, 40), dtype=np.bool_)
    out["controls"] = np.stack((np.repeat(gain[:, None], 40, 1), np.full((count, 40), 0.05)), -1).astype(
        np.float32
    )
    out["label_rows"] = np.tile(np.arange(len(VOCABULARY), dtype=np.int32), (count, 1))
    out["labels"] = rng.uniform(0.0, 1.0, (count, len(VOCABULARY), 9)).astype(np.float16)
    return out


def vocabulary(count: int = 48) -> np.ndarray:
    t = 0.1 * np.arange(1, 41)
    speed = np.linspace(0.0, 14.0, count // 3)
    poses = np.zeros((count, 40, 3), dtype=np.float32)
    for k in range(count):
        poses[k, :, 0] = speed[k // 3] * t
        poses[k, :, 1] = (k % 3 - 1) * 0.02 * t**2
    return poses


VOCABULARY = vocabulary()


def settings() -> ModelSettings:
    return ModelSettings(
        encoder=EncoderSettings(width=32, layers=1, sizes=SIZES), ffn=64, hidden=64, trajectory_layers=1,
        control_layers=1, policy_layers=1, dropout=0.0, vocabulary=len(VOCABULARY),
        bins=Bins((0.0, 0.2, 0.4), (-0.1, 0.0, 0.05, 0.1), (0.1, 0.3)),
    )  # fmt: skip


def network(seed: int = 0) -> HydraNext:
    torch.manual_seed(seed)
    model = HydraNext(settings())
    model.vocabulary.copy_(torch.from_numpy(VOCABULARY))
    return model.eval()


def asked(fields: dict[str, np.ndarray], rows: slice) -> tuple[SceneBatch, list[SimpleNamespace]]:
    batch = scene_batch({name: values[rows] for name, values in fields.items()})
    egos = fields["start"][rows].astype(np.float64)
    return batch, [SimpleNamespace(ego=ego) for ego in egos]


@pytest.fixture(scope="module")
def learnt() -> tuple[HydraNext, dict[str, np.ndarray]]:
    """A network that knows four scenes by heart."""
    fields, model = scenes(4, seed=3), network(1).train()
    optimiser, loss = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True), HydraLoss(draws=16)
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    for step in range(200):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1.0 - step / 220)
        made = targets_of(fields, VOCABULARY, model.settings, 32, 8, rng)
        batch = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in made.items()}
        total, _ = loss(model, batch, generator)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    return model.eval(), fields


def test_four_scenes_are_learnt_by_heart(learnt: tuple[HydraNext, dict[str, np.ndarray]]) -> None:
    model, fields = learnt
    policy = HydraNextPolicy.of(model, HydraNextConfig(candidates=48, profile="imitation"))
    batch, observations = asked(fields, slice(0, 4))
    with torch.inference_mode():
        poses = torch.from_numpy(VOCABULARY).expand(4, -1, -1, -1)
        verdicts = model.trajectory(model(batch), batch.scene, poses)
        seen = model.advised(model(batch), verdicts, verdicts.logits["imi"], poses)
        pedals = policy._pedals(policy.propose(seen))
        decisions = policy.decide(batch, observations, [Memory() for _ in range(4)])
    acceleration, angle = model.settings.pedals.motion(pedals)
    gain = fields["controls"][:, 0, 0]
    assert np.abs(acceleration - gain[:, None, None]).mean() < 0.25
    assert np.abs(angle - 0.05).mean() < 0.02
    for row, decision in enumerate(decisions):
        assert decision.control is not None
        asked_for, wheel = decision.control.values[0]
        assert abs(asked_for - gain[row]) < 0.6
        assert abs(wheel - 0.05) < 0.03
        best = decision.candidates.states[decision.candidates.chosen]
        apart = np.abs(VOCABULARY[:, :30, :2] - fields["future"][row, :30, :2]).max((1, 2))
        chosen = np.abs(best[:30, :2] - fields["future"][row, :30, :2]).max()
        assert chosen < 2.0 * apart.min() + 0.5


def test_a_batch_changes_nothing_and_neither_does_a_second_time() -> None:
    model, fields = network(), scenes(5)
    policy = HydraNextPolicy.of(model, HydraNextConfig(candidates=20, proposals=4, denoising=5))
    with torch.inference_mode():
        batch, observations = asked(fields, slice(0, 5))
        whole = policy.decide(batch, observations, [Memory() for _ in range(5)])
        again = policy.decide(batch, observations, [Memory() for _ in range(5)])
        for row in range(5):
            batch, observations = asked(fields, slice(row, row + 1))
            (alone,) = policy.decide(batch, observations, [Memory()])
            np.testing.assert_array_equal(whole[row].control.values, again[row].control.values)
            np.testing.assert_allclose(whole[row].control.values, alone.control.values, atol=1e-4)
            np.testing.assert_allclose(whole[row].poses, alone.poses, atol=1e-3)
    other = HydraNextPolicy.of(model, HydraNextConfig(candidates=20, proposals=4, denoising=5, seed=1))
    assert not torch.equal(other.noise, policy.noise)


def test_shuffled_candidates_get_their_own_verdicts() -> None:
    model, fields = network(), scenes(2)
    batch, _ = asked(fields, slice(0, 2))
    poses = torch.from_numpy(VOCABULARY).expand(2, -1, -1, -1)
    order = torch.randperm(len(VOCABULARY), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tokens = model(batch)
        plain = model.trajectory(tokens, batch.scene, poses).logits
        shuffled = model.trajectory(tokens, batch.scene, poses[:, order]).logits
    assert set(plain) == {"imi", *ALL_HEADS}
    for name in plain:
        torch.testing.assert_close(plain[name][:, order], shuffled[name], atol=1e-5, rtol=1e-5)


def test_controls_see_the_best_candidates_and_no_others() -> None:
    """What lies behind the best changes no control, the best one does; nor does the order of all."""
    model, fields = network(), scenes(2)
    batch, _ = asked(fields, slice(0, 2))
    poses = torch.from_numpy(VOCABULARY).expand(2, -1, -1, -1)
    total = -torch.arange(float(len(VOCABULARY))).expand(2, -1)
    order = torch.randperm(len(VOCABULARY), generator=torch.Generator().manual_seed(0))

    def steer(poses: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        tokens = model(batch)
        seen = model.advised(tokens, model.trajectory(tokens, batch.scene, poses), total, poses)
        assert seen.tokens.shape[1] == tokens.tokens.shape[1] + model.settings.advice
        return model.control(seen).steer

    with torch.inference_mode():
        plain = steer(poses, total)
        torch.testing.assert_close(steer(poses[:, order], total[:, order]), plain, atol=1e-5, rtol=1e-5)
        other = poses.clone()
        other[:, model.settings.advice :] += 3.0
        torch.testing.assert_close(steer(other, total), plain, atol=1e-5, rtol=1e-5)
        other = poses.clone()
        other[:, 0] += 3.0
        assert (steer(other, total) - plain).abs().max() > 1e-3
    blind = HydraNext(replace(settings(), advice=0))
    tokens = blind(batch)
    assert blind.advised(tokens, blind.trajectory(tokens, batch.scene, poses), total, poses) is tokens


def test_targets_keep_the_candidates_next_to_the_expert() -> None:
    fields = scenes(6)
    made = targets_of(fields, VOCABULARY, settings(), 12, 4, np.random.default_rng(0))
    assert made["candidates"].shape == (6, 12, 40, 3)
    assert made["labels"].shape == (6, 12, len(ALL_HEADS))
    assert made["signal"].shape == (6, 20)
    for row in range(6):
        apart = np.square(VOCABULARY[:, 4::5, :2] - fields["future"][row, 4::5, :2]).sum((1, 2))
        kept = {tuple(c[39]) for c in made["candidates"][row].tolist()}
        for near in np.argsort(apart)[:4]:
            assert tuple(VOCABULARY[near, 39].tolist()) in kept
        assert len(kept) == 12
    assert set(np.unique(made["labels"][..., 0])) <= {0.0, 1.0}


@pytest.mark.parametrize("brake", [0.1, 0.4, 1.0])
def test_braking_stops_and_does_not_roll_back(brake: float) -> None:
    """The simulator's own vehicle under the policy's commands."""
    policy, vehicle = HydraNextPolicy.of(network(), HydraNextConfig()), VehicleParams()
    state = np.array([0.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0])
    lowest = state[3]
    for _ in range(150):
        command = policy.command(np.array([0.0, 0.0, brake]), SimpleNamespace(ego=state))
        control = Control(ControlKind.ACCELERATION_STEERING, command[None], 0.1)
        state, _ = apply_control(state, control, 0.0, vehicle, 0.1)
        lowest = min(lowest, state[3])
    assert state[3] == pytest.approx(0.0, abs=1e-3)
    assert lowest > -1e-6


@pytest.mark.parametrize(
    "branches", [("trajectory",), ("trajectory", "control", "average"), ("match_control",)]
)
def test_every_choice_of_branches_drives(branches: tuple[str, ...]) -> None:
    fields = scenes(2)
    batch, observations = asked(fields, slice(0, 2))
    for compat in ("consistent", "hydra_next_release"):
        config = HydraNextConfig(candidates=20, proposals=3, denoising=4, branches=branches, compat=compat)
        policy = HydraNextPolicy.of(network(), config)
        with torch.inference_mode():
            decisions = policy.decide(batch, observations, [Memory(), Memory()])
        for decision in decisions:
            assert decision.poses.shape == (40, 3)
            assert np.isfinite(decision.poses).all()
            # No step is longer than the ego or any candidate could go.
            assert np.hypot(*np.diff(decision.poses[:, :2], axis=0).T).max() < 2.5
            assert decision.candidates.chosen == 0
            assert {"total", "col", "slk", "ep", "imi", "refined"} <= set(decision.candidates.scores)


def test_without_a_control_the_plan_is_the_vocabularys() -> None:
    fields = scenes(1)
    batch, observations = asked(fields, slice(0, 1))
    policy = HydraNextPolicy.of(
        network(), HydraNextConfig(candidates=20, branches=("trajectory",), drive="trajectory")
    )
    with torch.inference_mode():
        (decision,) = policy.decide(batch, observations, [Memory()])
    assert decision.control is None
    assert np.abs(policy.vocabulary.poses - decision.poses).max((1, 2)).min() < 1e-6


def test_bad_settings_are_named() -> None:
    with pytest.raises(UnknownNameError, match="branch of hydra_next 'controls'"):
        HydraNextConfig(branches=("controls",))
    with pytest.raises(InputError, match="at least one branch"):
        HydraNextConfig(branches=())
    with pytest.raises(InputError, match="compat"):
        HydraNextConfig(compat="released")
    with pytest.raises(UnknownNameError, match="weight profile 'bold'"):
        HydraNextConfig(profile="bold")
    with pytest.raises(InputError, match="HEAD=FACTOR"):
        HydraNextConfig(emphasis="lights=2")
    few = replace(settings(), teacher=("nc", "lk", "ep"))
    with pytest.raises(InputError, match="'tlc', for which these weights have no head"):
        HydraNextPolicy.of(HydraNext(few), HydraNextConfig())
    with pytest.raises(UnknownNameError, match="teacher's label 'col'"):
        ModelSettings(teacher=("col",))
    model = network()
    batch, _ = asked(scenes(1), slice(0, 1))
    with pytest.raises(InputError, match=r"candidates must be \(B, K, >= 40, 3\)"):
        model.trajectory(model(batch), batch.scene, torch.zeros(1, 4, 20, 3))
    with pytest.raises(InputError, match="geometry=False"):
        model.trajectory(model(batch), None, torch.zeros(1, 4, 40, 3))


def test_weights_come_back_with_their_vocabulary(tmp_path: Path) -> None:
    model = network(5)
    held = Vocabulary(VOCABULARY)
    model.vocabulary.copy_(torch.tensor(held.poses))
    path = tmp_path / "mine.safetensors"
    card = Card("hydra_next", ARCHITECTURE, config={"model": asdict(settings())}, vocabulary=held.hash)
    save_weights(path, model, card)
    planner = HydraNextPlanner(HydraNextConfig(weights=str(path), candidates=20))
    assert planner.policy.vocabulary.hash == held.hash
    assert planner.policy.model.settings == settings()
    save_weights(path, model, replace(card, vocabulary="0" * 32))
    with pytest.raises(InputError, match="not the one that its card names"):
        HydraNextPlanner(HydraNextConfig(weights=str(path)))
    save_weights(path, model, replace(card, architecture="gtrs-1"))
    with pytest.raises(InputError, match="architecture"):
        HydraNextPlanner(HydraNextConfig(weights=str(path)))
