"""Fine-tuning by the policy's own answers: group-relative policy optimisation (Shao et al. 2024), as AutoVLA
uses it, and a form that keeps both ways of thinking alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.policy import Objective, divergence, group_advantage, policy_objective
from drive.planners.autovla.decode import FORCED, MODE, Grammar, Sampled, answer_logp, sample
from drive.planners.autovla.prompt import IGNORED, Prompt, group_arrays
from drive.planners.autovla.reward import Judged

if TYPE_CHECKING:
    from drive.planners.autovla.model import VLA

Judge = Callable[[int, Sequence[Sampled]], Judged]


@dataclass(frozen=True, slots=True)
class GRPOSettings:
    """`group` answers to each prompt, drawn at `temperature`, which their log-probabilities are told at too.
    `kl` weighs the divergence from the policy before.

    `modes` "policy": the answers think as the policy chooses, and are compared with all of their group (the
    published form). "each": half of them are told to think fast and half slowly, each is compared with those
    that thought alike, and the choice is moved by the difference of the two, weighed by the policy's own
    probability: neither way of thinking dies of being longer. `mean` "each" averages over each answer's
    tokens (published), which favours short ones; "all" over all tokens of a step. `worse` weighs what is
    worse than its group: 1 as published; with less, answers are learnt from rather than unlearnt. What a
    network of high entropy is driven away from goes to all that was not drawn, which is mostly worse still.
    """

    group: int = 8
    temperature: float = 1.0
    kl: float = 0.04
    modes: str = "policy"
    mean: str = "each"
    worse: float = 1.0

    def __post_init__(self) -> None:
        if self.modes not in ("policy", "each") or self.mean not in ("each", "all"):
            raise InputError("grpo.modes is policy or each, grpo.mean each or all")
        if not 0.0 <= self.worse <= 1.0:
            raise InputError("grpo.worse is between 0 and 1")
        if self.group < 2 or (self.modes == "each" and self.group % 2) or not 0.0 < self.temperature < np.inf:
            raise InputError("a group has two answers or more (an even number for modes=each), drawn above 0")


def drawn(
    vla: VLA, grammar: Grammar, prompts: Sequence[Prompt], settings: GRPOSettings, generator: Any
) -> list[list[Sampled]]:
    """The groups of answers to prompts; with the modes "each" the first half of a group is fast."""
    how: dict[str, Any] = {"temperature": settings.temperature, "generator": generator}
    if settings.modes == "policy":
        return sample(vla, grammar, prompts, count=settings.group, **how)
    halves = [
        sample(vla, grammar, prompts, count=settings.group // 2, mode=mode, **how)
        for mode in ("fast", "slow")
    ]
    return [fast + slow for fast, slow in zip(*halves, strict=True)]


def advantages(rewards: Tensor, modes: str, worse: float = 1.0) -> tuple[Tensor, Tensor]:
    """Advantages `(B, G)` of rewards `(B, G)` for what is said, and for how it was thought; of what is said
    those below the group's mean weigh `worse`."""
    if modes == "policy":
        found = group_advantage(rewards, kind="autovla")
        return torch.where(found < 0.0, worse * found, found), found
    half = rewards.reshape(len(rewards), 2, -1)
    within = group_advantage(half, kind="autovla").reshape(rewards.shape)
    within = torch.where(within < 0.0, worse * within, within)
    between = half.mean(-1, keepdim=True) - half.mean((1, 2), keepdim=True)
    scale = rewards.std(-1, correction=1)[:, None, None] + 1e-4
    return within, (between / scale).expand_as(half).reshape(rewards.shape)


def grpo_loss(
    grammar: Grammar,
    reference: VLA,
    prompts: Callable[[Sequence[int]], list[Prompt]],
    judge: Judge,
    settings: GRPOSettings,
) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """`loss(model, batch, generator)` for `drive.nn.fit`: draws answers to the prompts of the batch's rows
    `which (B,)` from the policy as it is, has them judged, and gives the objective and the figures."""
    objective = Objective(kl=settings.kl, mean=settings.mean)

    def loss(model: Any, batch: Mapping[str, Tensor], generator: Any) -> tuple[Tensor, dict[str, Tensor]]:
        which = batch["which"].tolist()
        asked = prompts(which)
        model.eval()  # adapters drop out while they learn: what is drawn must be what is scored
        groups = drawn(model, grammar, asked, settings, generator)
        judged = [judge(row, group) for row, group in zip(which, groups, strict=True)]
        reward = torch.tensor(np.stack([one.reward for one in judged]), dtype=torch.float32)
        flat = [one for group in groups for one in group]
        device = next(model.parameters()).device
        logp, ref, kinds = told(model, reference, grammar, asked, groups, settings.temperature, device)
        said, thought = (
            a.to(device).reshape(-1, 1) for a in advantages(reward, settings.modes, settings.worse)
        )
        mask = kinds != FORCED
        mode = kinds == MODE
        weight = torch.ones_like(logp)
        if settings.modes == "each":
            # The modes were not drawn but dealt, half and half.
            weight = torch.where(mode, 2.0 * logp.detach().exp(), weight)
        advantage = torch.where(mode, thought, said) * weight
        value = policy_objective(objective, logp, logp.detach(), advantage, mask, logp_ref=ref)
        model.train()
        count = mask.sum().clamp(min=1)
        kl = (divergence(logp.detach(), ref, objective) * mask).sum() / count
        slow = [one.ids[one.kinds.index(MODE)] == grammar.phrases.slow[0] for one in flat]
        figures = {
            "reward": reward.mean(),
            "score": torch.tensor(np.stack([one.score for one in judged])).float().mean(),
            "best": reward.max(1).values.mean(),
            "valid": torch.tensor(np.stack([one.sound for one in judged])).float().mean(),
            "slow": torch.tensor(slow).float().mean(),
            "kl": kl,
            "length": torch.tensor([float(len(one.ids)) for one in flat]).mean(),
            "flat_groups": (reward.std(1) < 1e-6).float().mean(),
        }
        return value, figures

    return loss


def told(
    model: VLA, reference: VLA, grammar: Grammar, prompts: Sequence[Prompt],
    groups: Sequence[Sequence[Sampled]], temperature: float, device: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Of all answers of all groups, log-probabilities under the policy and the reference, and the tokens'
    kinds, all `(N, L)`."""
    arrays = group_arrays(grammar.phrases, prompts, [[one.ids for one in group] for group in groups])
    flat = [one for group in groups for one in group]
    kind = np.array([k for one in flat for k in one.kinds])
    free = kind != FORCED
    # What was dictated has the probability 1: it needs no logits.
    labels = arrays["labels"]
    labels[labels >= 0] = np.where(free, labels[labels >= 0], IGNORED)
    batch = {name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in arrays.items()}
    masks = grammar.masks(len(grammar.phrases.words)).to(device)
    drawn_kind = torch.from_numpy(kind[free]).to(device)
    logits, ids, _ = model(batch)
    new = answer_logp(logits, ids, drawn_kind, masks, temperature)
    with torch.no_grad():
        old, _, _ = reference(batch)
        ref = answer_logp(old, ids, drawn_kind, masks, temperature)
    lengths = [len(one.ids) for one in flat]
    row = np.repeat(np.arange(len(flat)), lengths)[free]
    place = np.concatenate([np.arange(length) for length in lengths])[free]
    index = tuple(torch.from_numpy(a).to(device) for a in (row, place))
    shape = (len(flat), max(lengths))
    zeros = torch.zeros(shape, device=device)
    kinds = torch.full(shape, FORCED, device=device).index_put(index, drawn_kind)
    return zeros.index_put(index, new), zeros.index_put(index, ref), kinds


__all__ = ["GRPOSettings", "advantages", "drawn", "grpo_loss", "told"]
