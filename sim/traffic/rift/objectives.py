"""All objectives that tune the scoring head, behind one function on batches of one frozen cache.

Features are cached in evaluation mode, so that ratios begin at exactly 1. In each state all candidates'
returns are known; objectives that learn from what was done draw a candidate from the policy as it was when
the round began and see that one's return alone. The rows named "upstream" repeat faults of the released
baselines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from drive.errors import UnknownNameError
from drive.nn._torch import Tensor, functional, nn, torch
from drive.nn.blocks import mlp
from drive.nn.policy import (
    OBJECTIVES,
    Advantage,
    Objective,
    entropy,
    group_advantage,
    log_probabilities,
    policy_objective,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOOR = Advantage(floor=0.1)
"""Groups that hardly differ do not shout."""
TOP = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One objective of the table: its name there, and whether it learns from `acted` candidates, from the
    `teacher`, from `sparse` rewards; `objective` of `drive.nn.policy` where it has one."""

    title: str
    objective: Objective | None = None
    acted: bool = False
    teacher: float = 0.0
    sparse: bool = False
    wish: float = 0.0
    upstream: bool = False


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "sft": Row("SFT", teacher=1.0),
        "rs": Row("RS", OBJECTIVES["reinforce"], acted=True, sparse=True, wish=0.5),
        "rtr": Row("RTR", OBJECTIVES["ppo"], acted=True, sparse=True, teacher=0.2),
        "ppo": Row("PPO", OBJECTIVES["ppo"], acted=True),
        "reinforce": Row("REINFORCE", OBJECTIVES["reinforce"], acted=True),
        "grpo": Row("GRPO, KL 0.2", OBJECTIVES["grpo"]),
        "rift": Row("RIFT", OBJECTIVES["rift"]),
        "no_dual_clip": Row("RIFT without dual clip", replace(OBJECTIVES["rift"], dual_clip=0.0)),
        "unclipped": Row("unclipped", Objective()),
        "reinforce_upstream": Row(
            "REINFORCE as released", OBJECTIVES["reinforce"], acted=True, upstream=True
        ),
        "ppo_upstream": Row("PPO as released", OBJECTIVES["ppo"], acted=True, upstream=True),
    }
)


class Batch(NamedTuple):
    """B states of a cache as tensors; `old (B, C)` are log-probabilities when the round began, `reference`
    those of the base policy, `draw (B,)` candidates drawn from `old`."""

    features: Tensor
    valid: Tensor
    returns: Tensor
    sparse: Tensor
    wish: Tensor
    teacher: Tensor
    old: Tensor
    reference: Tensor
    draw: Tensor


class Baseline(nn.Module):
    """The value of a state, from the mean of its candidates' features: PPO's and RTR's critic."""

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.net = mlp((width, hidden, hidden, 1))

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        known = features.masked_fill(~valid[..., None], 0.0)
        out: Tensor = self.net(known.sum(1) / valid.sum(1, keepdim=True).clamp(min=1)).squeeze(-1)
        return out


def head_loss(
    kind: str, head: Any, batch: Batch, baseline: Baseline | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of an objective of ROWS on a batch, and figures: argmax flips, ratios, entropy.

    `head(features (B, C, F)) -> logits (B, C)`. Raises UnknownNameError on another objective.
    """
    if kind not in ROWS:
        raise UnknownNameError("objective", kind, ROWS)
    row = ROWS[kind]
    logits = head(batch.features)
    logp = log_probabilities(logits, batch.valid)
    bonus = entropy(logits, batch.valid)
    loss = logits.new_zeros(())
    if row.objective is not None:
        rewards = batch.sparse + row.wish * batch.wish if row.sparse else batch.returns
        if row.acted:
            loss = _acted(row, logits, logp, rewards, bonus, batch, baseline)
        else:
            advantage = group_advantage(rewards, batch.valid, FLOOR)
            loss = policy_objective(
                row.objective, logp, batch.old, advantage, batch.valid, logp_ref=batch.reference,
                entropies=bonus,
            )  # fmt: skip
    if row.teacher > 0.0:
        taught = -logp.gather(-1, batch.teacher[:, None]).squeeze(-1)
        loss = loss + row.teacher * taught.mean()
    with torch.no_grad():
        ratio = (logp - batch.old).exp()[batch.valid]
        figures = {
            "flips": (logp.argmax(-1) != batch.old.argmax(-1)).float().mean(),
            "entropy": bonus.mean(),
            "ratio_low": (ratio < 0.8).float().mean(),
            "ratio_high": (ratio > 1.2).float().mean(),
            "ratio_most": ratio.max(),
        }
    return loss, figures


def _acted(
    row: Row, logits: Tensor, logp: Tensor, rewards: Tensor, bonus: Tensor, batch: Batch,
    baseline: Baseline | None,
) -> Tensor:  # fmt: skip
    """Losses from one candidate a state."""
    assert row.objective is not None
    if row.upstream:
        # As released: nothing is drawn, the most probable candidate counts as what was done; REINFORCE has no
        # baseline and takes the present argmax, PPO's old probability is that among the ten best.
        if not row.objective.ratio:
            now = logp.argmax(-1, keepdim=True)
            return -(logp.gather(-1, now) * rewards.gather(-1, now)).mean()
        act = batch.old.argmax(-1, keepdim=True)
        best = batch.old.topk(min(TOP, batch.old.shape[-1]), -1).values
        old = (batch.old.gather(-1, act) - best.logsumexp(-1, keepdim=True)).squeeze(-1)
    else:
        act = batch.draw[:, None]
        old = batch.old.gather(-1, act).squeeze(-1)
    gained = rewards.gather(-1, act).squeeze(-1)
    new = logp.gather(-1, act).squeeze(-1)
    value_loss = logits.new_zeros(())
    if baseline is not None:
        value = baseline(batch.features, batch.valid)
        value_loss = functional.smooth_l1_loss(value, gained)
        advantage = gained - value.detach()
    else:
        advantage = gained - gained.mean()
    advantage = advantage / (advantage.std(correction=0).clamp(min=0.1))
    return policy_objective(row.objective, new, old, advantage, entropies=bonus) + value_loss


__all__ = ["ROWS", "Baseline", "Batch", "Row", "head_loss"]
