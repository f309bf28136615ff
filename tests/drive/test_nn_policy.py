"""Objectives of policies against values worked out by hand from their definitions."""

from __future__ import annotations

import math

import pytest

from drive.errors import InputError, UnknownNameError

torch = pytest.importorskip("torch", reason="torch is not installed (extra learn)")
from drive.nn.policy import (  # noqa: E402
    Objective,
    entropy,
    group_advantage,
    kl_divergence,
    log_probabilities,
    log_probability,
    policy_objective,
)

NAN = float("nan")


def test_categorical_by_hand():
    even, odd = torch.tensor((0.0, 0.0)), torch.tensor((0.0, math.log(3.0)))
    assert entropy(even).item() == pytest.approx(math.log(2.0))
    assert log_probability(odd, torch.tensor(1)).item() == pytest.approx(math.log(0.75))
    # 1/2 log 2 + 1/2 log 2/3
    assert kl_divergence(even, odd).item() == pytest.approx(0.1438410)
    assert kl_divergence(odd, odd).item() == 0.0
    valid = torch.tensor((True, True, False))
    wide = torch.tensor((0.0, math.log(3.0), 50.0))
    assert log_probabilities(wide, valid)[:2].exp().numpy() == pytest.approx((0.25, 0.75))
    assert entropy(wide, valid).item() == pytest.approx(entropy(odd).item())
    assert kl_divergence(torch.zeros(3), wide, valid).item() == pytest.approx(0.1438410)
    assert entropy(wide, torch.tensor((False, True, False))).item() == 0.0


def test_advantages_by_hand():
    returns = torch.tensor((1.0, 2.0, 3.0, 6.0))  # mean 3, squares 14
    assert group_advantage(returns).numpy() == pytest.approx(
        [v / (math.sqrt(3.5) + 1e-5) for v in (-2, -1, 0, 3)]
    )
    sampled = [v / (math.sqrt(14.0 / 3.0) + 1e-4) for v in (-2, -1, 0, 3)]
    assert group_advantage(returns, kind="autovla").numpy() == pytest.approx(sampled)
    assert group_advantage(returns, kind="centred").numpy() == pytest.approx((-2.0, -1.0, 0.0, 3.0))
    others = (1.0 - 11.0 / 3.0, 2.0 - 10.0 / 3.0, 0.0, 6.0 - 2.0)
    assert group_advantage(returns, kind="leave_one_out").numpy() == pytest.approx(others)
    close = torch.tensor((0.00, 0.02))  # a deviation of 0.01, which the floor makes 0.1
    assert group_advantage(close, kind="rift_floor").numpy() == pytest.approx((-0.1, 0.1), rel=1e-3)
    with pytest.raises(UnknownNameError, match="did you mean 'rift'"):
        group_advantage(returns, kind="riff")


@pytest.mark.parametrize("kind", ["rift", "autovla", "centred", "leave_one_out"])
def test_advantages_sum_to_zero_and_ignore_what_is_masked(kind):
    returns = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = group_advantage(returns, kind=kind)
    assert found.sum(-1).abs().max() < 1e-12
    mask = torch.ones(5, 9, dtype=torch.bool)
    mask[:, 7:] = False
    padded = group_advantage(torch.cat((returns, torch.full((5, 2), NAN)), -1), mask, kind)
    torch.testing.assert_close(padded[:, :7], found)
    assert not padded[:, 7:].any()
    assert not group_advantage(torch.full((2, 4), 3.0), kind=kind).any()  # equals
    assert not group_advantage(torch.full((2, 1), 3.0), kind=kind).any()  # alone
    assert not group_advantage(returns, torch.zeros_like(returns, dtype=torch.bool), kind).any()


RATIOS = (0.5, 0.9, 1.1, 1.5, 2.9, 3.1, 10.0)
RIFT = {  # value and slope in the ratio, from min(rA, clip(r, 0.8, 1.2)A), not below 3A where A < 0
    1.0: ((0.5, 0.9, 1.1, 1.2, 1.2, 1.2, 1.2), (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)),
    -1.0: ((-0.8, -0.9, -1.1, -1.5, -2.9, -3.0, -3.0), (0.0, -1.0, -1.0, -1.0, -1.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_rift_s_table_of_values_and_slopes(advantage):
    for ratio, value, slope in zip(RATIOS, *RIFT[advantage], strict=True):
        logp = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
        loss = policy_objective("rift", logp, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage]))
        loss.backward()
        assert loss.item() == pytest.approx(-value)
        assert logp.grad.item() == pytest.approx(-slope * ratio)  # d ratio / d logp = ratio
        # GRPO and PPO clip alike, but nothing bounds a ratio that has grown where the advantage is negative.
        undoubled = policy_objective(
            Objective(clip=0.2), logp, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage])
        )
        assert undoubled.item() == pytest.approx(-value if ratio < 3.0 or advantage > 0.0 else ratio)


def test_grpo_s_divergence_over_all_candidates_is_the_divergence():
    generator = torch.Generator().manual_seed(1)
    logits, reference = (torch.randn(3, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    logp, logp_ref = log_probabilities(logits), log_probabilities(reference)
    loss = policy_objective("grpo", logp, logp, torch.zeros(3, 6), logp_ref=logp_ref)
    assert loss.item() == pytest.approx(0.2 * kl_divergence(reference, logits).mean().item() / 6.0)


def test_autovla_s_objective_by_hand():
    # Two samples of one and three tokens; everywhere log p_ref - log p = log 2, so that the divergence is
    # 2 - log 2 - 1. First over tokens, then over samples.
    logp = torch.full((2, 3), -1.0, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor(((True, False, False), (True, True, True)))
    advantage = torch.tensor(((2.0,), (-1.0,)), dtype=torch.float64)
    reference = logp.detach() + math.log(2.0)
    loss = policy_objective("grpo_token", logp, logp.detach(), advantage, mask, logp_ref=reference)
    assert loss.item() == pytest.approx(-0.5 * (2.0 - 1.0) + 0.04 * (1.0 - math.log(2.0)))
    loss.backward()
    # d/dlogp of ratio A is A, of exp(d) - d - 1 it is 1 - exp(d) = -1.
    first, second = -0.5 * (2.0 + 0.04), -0.5 * (-1.0 + 0.04) / 3.0
    assert logp.grad.flatten().numpy() == pytest.approx((first, 0.0, 0.0, second, second, second))
    same = policy_objective("grpo_token", logp, logp.detach(), 0.0 * advantage, mask, logp_ref=logp.detach())
    assert same.item() == 0.0


def test_ppo_and_reinforce_by_hand():
    logp = torch.tensor((math.log(0.5), math.log(0.2)), dtype=torch.float64, requires_grad=True)
    old = torch.tensor((math.log(0.25), math.log(0.2)), dtype=torch.float64)
    returns = torch.tensor((1.0, -2.0), dtype=torch.float64)
    loss = policy_objective("ppo", logp, old, returns, entropies=torch.tensor((0.6, 0.8)))
    assert loss.item() == pytest.approx(-0.5 * (1.2 - 2.0) - 0.01 * 0.7)
    loss = policy_objective("reinforce", logp, old, returns)
    assert loss.item() == pytest.approx(-0.5 * (math.log(0.5) - 2.0 * math.log(0.2)))
    with pytest.raises(InputError, match="entropies"):
        policy_objective("ppo", logp, old, returns)
    with pytest.raises(InputError, match="logp_ref"):
        policy_objective("grpo", logp, old, returns)
    with pytest.raises(InputError, match="dual_clip above 1"):
        Objective(clip=0.2, dual_clip=0.5)


@pytest.mark.parametrize("kind", ["rift", "grpo"])
def test_padding_changes_neither_loss_nor_slopes_and_order_is_nothing(kind):
    generator = torch.Generator().manual_seed(2)
    logits, old, reference, returns = (
        torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(4)
    )
    mask = torch.ones(4, 8, dtype=torch.bool)
    mask[:, 5:] = False
    order = torch.tensor((7, 3, 1, 6, 0, 2, 5, 4))

    def slopes(padded: bool):
        def wide(values, fill):
            return torch.cat((values, torch.full((4, 3), fill)), -1)[:, order] if padded else values

        there = mask[:, order] if padded else mask[:, :5]
        leaf = wide(logits, 9.0).clone().requires_grad_()
        ours, theirs, fixed = (
            log_probabilities(v, there) for v in (leaf, wide(old, 7.0), wide(reference, 5.0))
        )
        advantage = group_advantage(wide(returns, NAN), there)
        loss = policy_objective(kind, ours, theirs, advantage, there, logp_ref=fixed)
        loss.backward()
        return loss.item(), leaf.grad

    plain, grad = slopes(padded=False)
    value, wide_grad = slopes(padded=True)
    assert value == pytest.approx(plain, rel=1e-12)
    torch.testing.assert_close(wide_grad[:, order.argsort()][:, :5], grad)
    assert not wide_grad[~mask[:, order]].any()


def test_a_group_of_equals_teaches_nothing():
    logits = torch.randn(1, 6, generator=torch.Generator().manual_seed(3), requires_grad=True)
    logp = log_probabilities(logits)
    policy_objective("rift", logp, logp.detach(), group_advantage(torch.full((1, 6), 0.7))).backward()
    assert not logits.grad.any()


def test_a_bandit_learns_its_best_arm():
    """One state, eight samples a round, thirty rounds: the best arm's probability at least trebles."""
    generator = torch.Generator().manual_seed(4)
    rewards = torch.tensor((0.1, 0.2, 1.0, 0.3, 0.0))
    logits = torch.zeros(5, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.15)
    reference = log_probabilities(logits).detach()
    for _ in range(30):
        arms = torch.multinomial(logits.detach().softmax(-1), 8, replacement=True, generator=generator)
        logp = log_probabilities(logits)[arms][:, None]
        advantage = group_advantage(rewards[arms], kind="autovla")[:, None]
        loss = policy_objective(
            "grpo_token", logp, logp.detach(), advantage, logp_ref=reference[arms][:, None]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert logits.softmax(-1)[2].item() >= 3.0 / 5.0
