"""GTRS: the generator's signal, its sampling, and that it can learn."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from drive.errors import InputError
from drive.nn.diffusion import DiffusionSettings
from drive.nn.tokens import SceneTokens
from drive.planners.gtrs.actions import Actions, difference_range
from drive.planners.gtrs.generator import Generator, GeneratorSettings
from drive.planners.gtrs.verdict import spread


def motions(count: int, seed: int = 0) -> np.ndarray:
    """Smooth turns with changing speed, `(N, 40, 3)`, integrated in small steps."""
    rng = np.random.default_rng(seed)
    v0, a, c, d = rng.uniform(2, 15, count), rng.uniform(-1, 1, count), *rng.uniform(-0.02, 0.02, (2, count))
    t = np.arange(400) * 0.01
    v = np.maximum(v0[:, None] + a[:, None] * t, 0.0)
    heading = np.cumsum(v * (c[:, None] + d[:, None] * t / 4.0), 1) * 0.01
    x, y = np.cumsum(v * np.cos(heading), 1) * 0.01, np.cumsum(v * np.sin(heading), 1) * 0.01
    return np.stack((x, y, heading), -1)[:, 9::10]


def fitted_actions(poses: np.ndarray) -> Actions:
    actions = Actions()
    actions.set_range(*difference_range(poses))
    return actions


def test_signal_there_and_back() -> None:
    poses = motions(64)
    actions = fitted_actions(poses)
    given = torch.tensor(poses, dtype=torch.float32)
    signal = actions.encode(given)
    assert signal.shape == (64, 32)
    assert signal.abs().max() <= 1.0 + 1e-6
    back = actions.coarse(signal)
    torch.testing.assert_close(back, given[:, 4::5], atol=2e-5, rtol=0.0)
    # The largest one-sided difference from the mean is what 1 stands for.
    steps = signal.unflatten(1, (8, 4))[..., :2]
    assert steps.abs().amax((0, 1)).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert steps.mean((0, 1)).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_fine_poses_pass_through_the_coarse_ones() -> None:
    poses = motions(64)
    actions = fitted_actions(poses)
    given = torch.tensor(poses, dtype=torch.float32)
    first = torch.tensor(poses[:, 0, 0] / 0.1, dtype=torch.float32)
    fine = actions.decode(actions.encode(given), first)
    assert fine.shape == (64, 40, 3)
    torch.testing.assert_close(fine[:, 4::5], given[:, 4::5], atol=1e-4, rtol=0.0)
    assert (fine - given).norm(dim=-1).max() < 0.1
    # One way round: from 3.0 rad to -3.0 rad are 0.28 rad and not 6.
    turn = torch.zeros(1, 8, 3)
    turn[0, :, 2] = torch.tensor([1.0, 2.0, 3.0, -3.0, -3.0, -3.0, -3.0, -3.0])
    between = actions.interpolate(turn, torch.zeros(1))[0, 15:20, 2]
    assert (between.abs() >= 3.0 - 1e-5).all()


def test_range_needs_complete_experts() -> None:
    poses = motions(4)
    poses[0] = np.nan
    shift, _ = difference_range(poses)
    assert np.allclose(shift, difference_range(poses[1:])[0])
    with pytest.raises(InputError, match="no expert"):
        difference_range(np.full((2, 40, 3), np.nan))
    # Who never moves gives no range to divide by, and a floor instead.
    assert (difference_range(np.zeros((3, 40, 3)))[1] > 0.0).all()


def scene(batch: int = 1, seed: int = 0) -> SceneTokens:
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, 6, 32, generator=g)
    return SceneTokens(tokens, torch.ones(batch, 6, dtype=torch.bool), torch.randn(batch, 32, generator=g))


DIFFUSION = DiffusionSettings(steps=50, prediction="sample", zero_terminal_snr=True)


def small(**changes: object) -> Generator:
    torch.manual_seed(0)
    settings = GeneratorSettings(
        width=32, heads=2, layers=2, ffn=64, draws=32, sample_steps=10, diffusion=DIFFUSION, **changes
    )
    return Generator(settings)


def test_overfits_one_scene() -> None:
    poses = motions(40)
    generator, tokens = small(), scene()
    generator.actions.set_range(*difference_range(poses))
    expert = torch.tensor(poses[:1], dtype=torch.float32)
    known = torch.ones(1, dtype=torch.bool)
    draw = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(generator.parameters(), lr=2e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 400)
    for _ in range(400):
        adam.zero_grad()
        generator.loss(tokens, expert, known, draw).backward()
        adam.step()
        slower.step()
    noise = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        drawn = generator.propose(tokens, expert[:, 0, 0] / 0.1, noise)
    away = (drawn[..., :2] - expert[:, None, :, :2]).norm(dim=-1)
    assert away.mean() < 0.1


def test_seeds_and_diversity() -> None:
    generator, tokens = small(), scene(2)
    generator.actions.set_range(*difference_range(motions(40)))
    speed = torch.tensor([5.0, 8.0])
    noise = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, again = (generator.propose(tokens, speed, noise) for _ in range(2))
        alone = generator.propose(SceneTokens(*(f[1:] for f in tokens)), speed[1:], noise[1:])
        other = generator.propose(tokens, speed, -noise)
    assert torch.equal(one, again)
    torch.testing.assert_close(alone, one[1:], atol=1e-4, rtol=1e-5)
    assert not torch.allclose(one, other)
    # Untrained, it spreads over what the range allows; a generator that has collapsed would not.
    assert (spread(one) > 1.0).all()
    assert spread(one[:, :1].expand(-1, 5, -1, -1)).tolist() == [0.0, 0.0]


def test_fresh_noise_comes_from_the_generator() -> None:
    generator, tokens = small(eta=1.0), scene()
    noise = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        a, b, c = (
            generator.propose(tokens, torch.ones(1), noise, torch.Generator().manual_seed(seed))
            for seed in (0, 0, 1)
        )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_unknown_experts_teach_nothing() -> None:
    generator, tokens = small(), scene(2)
    expert = torch.zeros(2, 40, 3)
    expert[1] = float("nan")
    loss = generator.loss(tokens, expert, torch.tensor([False, False]), torch.Generator().manual_seed(0))
    assert loss.item() == 0.0
