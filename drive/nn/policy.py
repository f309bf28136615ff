"""Objectives of policies over a finite set: pure functions of tensors, groups along the last axis.

GRPO: Shao et al. 2024; leave-one-out: Kool et al. 2019; without the deviation: Liu et al. 2025; PPO:
Schulman et al. 2017; dual clip: Ye et al. 2020, equation 5; RIFT: arXiv 2505.03344; AutoVLA: arXiv
2506.13757.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from drive.errors import InputError, UnknownNameError
from drive.nn._torch import Tensor, torch

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
_NEVER = -1e8  # the logit of a candidate that is not there, as RIFT has it


def log_probabilities(logits: Tensor, valid: Tensor | None = None) -> Tensor:
    """Logarithms of the softmax over the `valid (..., G)` ones; about -1e8 for the others."""
    if valid is not None:
        logits = logits.masked_fill(~valid, _NEVER)
    return torch.log_softmax(logits, -1)


def log_probability(logits: Tensor, index: Tensor, valid: Tensor | None = None) -> Tensor:
    """The logarithm (...) of the probability of the candidate `index (...)`."""
    return log_probabilities(logits, valid).gather(-1, index[..., None]).squeeze(-1)


def entropy(logits: Tensor, valid: Tensor | None = None) -> Tensor:
    """Entropy (...) in nats; 0 where at most one candidate is valid."""
    log = log_probabilities(logits, valid)
    terms = log.exp() * log
    return -(terms if valid is None else terms.masked_fill(~valid, 0.0)).sum(-1)


def kl_divergence(logits: Tensor, other: Tensor, valid: Tensor | None = None) -> Tensor:
    """KL(softmax(logits) || softmax(other)) (...) in nats, over the valid ones."""
    log = log_probabilities(logits, valid)
    terms = log.exp() * (log - log_probabilities(other, valid))
    return (terms if valid is None else terms.masked_fill(~valid, 0.0)).sum(-1)


@dataclass(frozen=True, slots=True)
class Advantage:
    """How returns become advantages within a group.

    The mean is taken off, over the others alone if `leave_one_out`; then divided by the deviation plus
    `epsilon` unless `scale` is off. `floor` bounds the deviation from below, so that groups that hardly
    differ do not shout. `correction` 1 divides the deviation's sum of squares by the number less one.
    """

    scale: bool = True
    epsilon: float = 1e-5
    floor: float = 0.0
    correction: int = 0
    leave_one_out: bool = False


ADVANTAGES: Mapping[str, Advantage] = MappingProxyType(
    {
        "rift": Advantage(),
        "autovla": Advantage(epsilon=1e-4, correction=1),
        "rift_floor": Advantage(floor=0.1),
        "centred": Advantage(scale=False),
        "leave_one_out": Advantage(scale=False, leave_one_out=True),
    }
)
"""Published forms: RIFT's and AutoVLA's, RIFT's with a floor, without the deviation, and leave-one-out."""


def group_advantage(returns: Tensor, mask: Tensor | None = None, kind: str | Advantage = "rift") -> Tensor:
    """Advantages (..., G) of `returns (..., G)` against their group; 0 where `mask (..., G)` is False.

    Groups of one, of none and of equals get zeros. Raises UnknownNameError on a kind that is not published.
    """
    how = _named(ADVANTAGES, kind, "advantage") if isinstance(kind, str) else kind
    mask = torch.ones_like(returns, dtype=torch.bool) if mask is None else mask
    returns = returns.masked_fill(~mask, 0.0)  # what is not there may be anything
    count = mask.sum(-1, keepdim=True).to(returns.dtype)
    centred = (returns - returns.sum(-1, keepdim=True) / count.clamp(min=1.0)).masked_fill(~mask, 0.0)
    if how.scale:
        variance = centred.square().sum(-1, keepdim=True) / (count - how.correction).clamp(min=1.0)
        deviation = variance.clamp(min=torch.finfo(returns.dtype).tiny).sqrt().clamp(min=how.floor)
        return centred / (deviation + how.epsilon)
    if how.leave_one_out:  # r - (sum - r) / (n - 1) = (r - mean) n / (n - 1)
        return centred * count / (count - 1.0).clamp(min=1.0)
    return centred


@dataclass(frozen=True, slots=True)
class Objective:
    """What a policy's step maximises, from each candidate's or token's ratio r to the old policy and
    advantage A.

    `clip` > 0: min(r A, clip(r, 1 - clip, 1 + clip) A); 0: r A. `dual_clip` > 0: where A < 0, not below
    `dual_clip` A. `ratio` False: log p times A instead (REINFORCE). `kl` weighs the divergence from a
    reference policy: `kl_form` "forward" p_ref (log p_ref - log p), summed over enumerated candidates their
    divergence, or "sampled" exp(d) - d - 1 with d = log p_ref - log p (Schulman's third estimator).
    `entropy` weighs a bonus. `mean`: "all" over everything valid, "each" over each sample's tokens (the last
    axis) and then over samples.
    """

    clip: float = 0.0
    dual_clip: float = 0.0
    ratio: bool = True
    kl: float = 0.0
    kl_form: str = "sampled"
    entropy: float = 0.0
    mean: str = "all"

    def __post_init__(self) -> None:
        if self.kl_form not in ("forward", "sampled") or self.mean not in ("all", "each"):
            raise InputError(f"an objective has no kl_form '{self.kl_form}' with mean '{self.mean}'")
        if not 0.0 <= self.clip < 1.0 or not (self.dual_clip == 0.0 or self.dual_clip > 1.0):
            raise InputError(
                f"an objective's clip lies in [0, 1), its dual_clip above 1: {self.clip}, {self.dual_clip}"
            )


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "rift": Objective(clip=0.2, dual_clip=3.0),
        "grpo": Objective(clip=0.2, kl=0.2, kl_form="forward"),
        "grpo_token": Objective(kl=0.04, mean="each"),
        "ppo": Objective(clip=0.2, entropy=0.01),
        "reinforce": Objective(ratio=False),
    }
)
"""RIFT's objective and its baselines over enumerated candidates, and AutoVLA's over sampled tokens."""


def surrogate(logp: Tensor, logp_old: Tensor, advantage: Tensor, how: Objective) -> Tensor:
    """What is maximised, element by element (...), without divergence and entropy."""
    if not how.ratio:
        return logp * advantage
    ratio = torch.exp(logp - logp_old)
    gain = ratio * advantage
    if how.clip > 0.0:
        gain = torch.minimum(gain, ratio.clamp(1.0 - how.clip, 1.0 + how.clip) * advantage)
    if how.dual_clip > 0.0:
        gain = torch.where(advantage < 0.0, torch.maximum(gain, how.dual_clip * advantage), gain)
    return gain


def divergence(logp: Tensor, logp_ref: Tensor, how: Objective) -> Tensor:
    """The divergence's share of each element (...)."""
    step = logp_ref - logp
    if how.kl_form == "forward":
        return torch.exp(logp_ref) * step
    return torch.exp(step) - step - 1.0


def policy_objective(
    kind: str | Objective,
    logp: Tensor,
    logp_old: Tensor,
    advantage: Tensor,
    mask: Tensor | None = None,
    *,
    logp_ref: Tensor | None = None,
    entropies: Tensor | None = None,
) -> Tensor:
    """The loss (a scalar to be minimised) of a published `kind` or of an `Objective`.

    `logp`, `logp_old`, `logp_ref` (..., G): logarithms of probabilities of all candidates of a group
    ("rift", "grpo"), of a sample's tokens ("grpo_token"; `logp_old` is then usually `logp.detach()`), or of
    what was done ("ppo", "reinforce"). `advantage` broadcasts against them. What `mask` leaves out gives
    neither loss nor gradient. `entropies`, of any shape, are averaged. Raises InputError where the kind
    needs what is not given.
    """
    how = _named(OBJECTIVES, kind, "objective") if isinstance(kind, str) else kind
    if how.kl > 0.0 and logp_ref is None:
        raise InputError("this objective measures the divergence from a reference policy: give its logp_ref")
    if how.entropy > 0.0 and entropies is None:
        raise InputError("this objective rewards entropy: give the policy's entropies")
    mask = torch.ones_like(logp, dtype=torch.bool) if mask is None else mask.expand_as(logp)
    # Zeros before exponents and products: what is left out may be infinite.
    advantage = advantage.expand_as(logp).masked_fill(~mask, 0.0)
    new, old = logp.masked_fill(~mask, 0.0), logp_old.detach().masked_fill(~mask, 0.0)
    gain = surrogate(new, old, advantage, how)
    if how.kl > 0.0 and logp_ref is not None:
        gain = gain - how.kl * divergence(new, logp_ref.detach().masked_fill(~mask, 0.0), how)
    gain = gain.masked_fill(~mask, 0.0)
    if how.mean == "each":
        count = mask.sum(-1)
        each = gain.sum(-1) / count.clamp(min=1)
        loss = -each.sum() / (count > 0).sum().clamp(min=1)
    else:
        loss = -gain.sum() / mask.sum().clamp(min=1)
    if how.entropy > 0.0 and entropies is not None:
        loss = loss - how.entropy * entropies.mean()
    return loss


def _named(known: Mapping[str, T], name: str, what: str) -> T:
    if name not in known:
        raise UnknownNameError(what, name, known)
    return known[name]


__all__ = [
    "ADVANTAGES",
    "OBJECTIVES",
    "Advantage",
    "Objective",
    "divergence",
    "entropy",
    "group_advantage",
    "kl_divergence",
    "log_probabilities",
    "log_probability",
    "policy_objective",
    "surrogate",
]
