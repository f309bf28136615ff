"""Chains of denoising steps with probabilities, where the best denoiser is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from drive.errors import InputError

torch = pytest.importorskip("torch", reason="torch is not installed (extra learn)")
from drive.nn.chain import Chain, ChainSettings, log_probabilities_of, walk  # noqa: E402
from drive.nn.diffusion import DiffusionSettings, sample  # noqa: E402

SETTINGS = DiffusionSettings(steps=20, prediction="sample", zero_terminal_snr=True)
GOAL = torch.tensor([0.5, -0.3, 0.0])


def towards_goal(noisy, steps):
    return GOAL.expand_as(noisy)


def test_a_chain_with_the_least_floor_is_the_ancestral_sampler():
    start = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    bare = ChainSettings(count=6, floor=1e-9)
    model = lambda noisy, steps: torch.tanh(0.3 * noisy + steps[:, None] / 40.0)  # noqa: E731
    found = walk(SETTINGS, model, start, bare, torch.Generator().manual_seed(3))
    expected = sample(
        SETTINGS, model, (4, 3), torch.Generator().manual_seed(3), count=6, eta=1.0, start=start
    )  # fmt: skip
    assert torch.allclose(found.noisy[-1], expected, atol=1e-6)
    assert found.noisy.shape == (7, 4, 3)


def test_every_step_draws_with_at_least_the_floor_and_is_kept_in_bounds():
    start = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    how = ChainSettings(count=5, floor=0.2, reach=2.0)
    found = walk(SETTINGS, towards_goal, start, how, torch.Generator().manual_seed(1))
    last = found.noisy[-1] - GOAL  # the mean of the last step is the clean input itself
    # A normal distribution whose tails are moved to 2 deviations has the variance 0.9205.
    assert last.std().item() == pytest.approx(0.2 * 0.9594, rel=0.02)
    assert last.abs().max() <= 0.4 + 1e-6
    assert found.sample(SETTINGS).abs().max() <= 1.0
    assert not torch.equal(
        found.sample(replace(SETTINGS, clip=0.0)), found.sample(replace(SETTINGS, clip=0.4))
    )


def test_probabilities_are_those_of_the_normal_distribution_that_was_drawn_from():
    how = ChainSettings(count=1, floor=0.1, told=0.25, low=-99.0, high=99.0)
    drawn = Chain(
        (19,), torch.stack((torch.zeros(2, 3), torch.tensor([[0.5, -0.3, 0.0], [1.0, 0.2, -0.25]])))
    )
    found = log_probabilities_of(SETTINGS, towards_goal, drawn, how)
    miss = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, -0.25]])
    expected = torch.distributions.Normal(0.0, 0.25).log_prob(miss).mean(-1)
    assert torch.allclose(found[:, 0], expected)
    bounded = log_probabilities_of(SETTINGS, towards_goal, drawn, replace(how, low=-0.5, high=0.0))
    assert bounded.min() >= -0.5
    assert bounded.max() <= 0.0


def test_slopes_lead_the_mean_to_what_was_drawn():
    shift = torch.zeros(3, requires_grad=True)
    how = ChainSettings(count=4)
    start = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    drawn = walk(
        SETTINGS, lambda n, s: (GOAL + 0.1).expand_as(n), start, how, torch.Generator().manual_seed(2)
    )
    logp = log_probabilities_of(SETTINGS, lambda n, s: (GOAL + shift).expand_as(n), drawn, how)
    assert logp.shape == (8, 4)
    logp.mean().backward()
    assert (shift.grad > 0.0).all()


def test_bad_chains_are_told():
    for bad in ({"count": 0}, {"floor": 0.0}, {"told": -1.0}, {"low": 3.0}, {"reach": 0.0}):
        with pytest.raises(InputError):
            ChainSettings(**bad)
    assert math.isfinite(ChainSettings().floor)
