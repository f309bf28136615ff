"""What scorers learn from (GTRS 3.3): the teacher's verdicts by cross-entropy, the expert by imitation.

Every loss is reduced sample by sample first, so that a mask takes samples out and not only their share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import UnknownNameError
from drive.nn._torch import Tensor, torch
from drive.planners.learned.profiles import IMITATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS: Mapping[str, float] = {
    "imi": 1.0, "nc": 3.0, "dac": 3.0, "ttc": 4.0, "ep": 2.0, "ddc": 1.0, "lk": 2.0, "tlc": 3.0, "hc": 1.0,
    "score": 3.0,
}  # fmt: skip
"""The published weights; `hc` and `score` are ours."""
TEMPERATURE = 0.5
"""m^2 (and rad^2): the width of the imitation target."""
THREE_TO_TWO = ("nc", "ddc")


def targets(labels: Tensor, names: tuple[str, ...], three_to_two: bool = True) -> dict[str, Tensor]:
    """Labels `(B, K, M)` with columns `names` as one target `(B, K)` a head, in [0, 1].

    With `three_to_two`, half marks for collisions and driving direction count as none.
    """
    out = {name: labels[..., i].float().clamp(0.0, 1.0) for i, name in enumerate(names)}
    if three_to_two:
        for name in THREE_TO_TWO:
            if name in out:
                out[name] = (out[name] > 0.75).to(out[name].dtype)
    return out


def soften(target: Tensor, teacher_logits: Tensor, limit: float = 0.15) -> Tensor:
    """A target moved towards what an averaged teacher network says, by at most `limit` (GTRS 3.5)."""
    return target + (torch.sigmoid(teacher_logits) - target).clamp(-limit, limit)


def soften_plan(expert: Tensor, teacher_plan: Tensor, limit: float = 1.0) -> Tensor:
    """The expert's poses `(B, T, 3)` moved towards the averaged teacher's pick by at most `limit` m, rad."""
    return expert + difference(teacher_plan, expert).clamp(-limit, limit)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """`a - b` of poses, the headings' wrapped to (-pi, pi]."""
    d = a - b
    turn = torch.atan2(d[..., 2:].sin(), d[..., 2:].cos())
    return torch.cat((d[..., :2], turn), dim=-1)


def imitation_target(candidates: Tensor, expert: Tensor, valid: Tensor, every: int = 5) -> Tensor:
    """Softmax over K of minus the squared distance to the expert over the poses seen, `(B, K)`.

    `candidates (B, K, T, 3)`, `expert (B, T, 3)`, `valid (B, T)` bool; the distance includes the heading.
    """
    seen = slice(every - 1, None, every)
    d = difference(candidates[:, :, seen], expert[:, None, seen])
    squared = d.square().sum(-1) * valid[:, None, seen]
    return torch.softmax(-squared.sum(-1) / TEMPERATURE, dim=1)


def scorer_loss(
    logits: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    imitation: Tensor | None,
    known: Tensor | None = None,
    weights: Mapping[str, float] = WEIGHTS,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum over heads, and each head's mean (detached, on the device).

    `target` by teacher's head `(B, K)`, `imitation (B, K)` the imitation target, `known (B,)` bool where the
    expert is known. Raises UnknownNameError for a head without a target.
    """
    total = next(iter(logits.values())).new_zeros(())
    parts: dict[str, Tensor] = {}
    for name, values in logits.items():
        if name == IMITATION:
            if imitation is None:
                continue
            each = -(imitation * torch.log_softmax(values.float(), dim=1)).sum(1)
            if known is None:
                part = each.mean()
            else:
                part = (each * known).sum() / known.sum().clamp(min=1)
        else:
            if name not in target:
                raise UnknownNameError("teacher's label", name, target)
            entropy = torch.nn.functional.binary_cross_entropy_with_logits
            part = entropy(values.float(), target[name], reduction="none").mean(1).mean()
        total = total + weights.get(name, 1.0) * part
        parts[name] = part.detach()
    return total, parts


def dropout_rows(count: int, keep: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Vocabulary dropout: which of `count` labelled candidates a whole batch keeps, `(min(keep, count),)`.

    One draw a batch, shared by all its samples; all of them, in order, where no more are there.
    """
    if keep >= count:
        return np.arange(count)
    return rng.permutation(count)[:keep]


__all__ = [
    "WEIGHTS",
    "difference",
    "dropout_rows",
    "imitation_target",
    "scorer_loss",
    "soften",
    "soften_plan",
    "targets",
]
