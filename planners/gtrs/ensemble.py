"""Several scorers as one: their heads' log-probabilities are averaged, then combined.

The averaging rule of the published ensembles is not in their release; this one is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.planners.gtrs.scorer import ScoreOutput, best
from drive.planners.learned.profiles import IMITATION, Profile, combine_log, log_probabilities


def average(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Each head's mean log-probability `(B, K)` over the members' logits. Raises InputError.

    All must have judged the same candidates; a head counts if every member has it.
    """
    if not members:
        raise InputError("an ensemble needs at least one member")
    logs = [log_probabilities(logits) for logits in members]
    shapes = {tuple(values.shape) for member in logs for values in member.values()}
    if len(shapes) > 1:
        raise InputError(f"the members of an ensemble judged different candidates: shapes {sorted(shapes)}")
    common = [name for name in logs[0] if all(name in member for member in logs)]
    if not common:
        raise InputError("the members of the ensemble have no head in common")
    return {name: torch.stack([member[name] for member in logs]).mean(0) for name in common}


def ensemble(
    members: Sequence[Mapping[str, Tensor]], profile: Profile, k: int = 16, offset: Tensor | None = None
) -> ScoreOutput:
    """The ensemble's verdict; the logits of its `logits` are those of the averaged log-probabilities."""
    logs = average(members)
    combined = combine_log(logs, profile)
    combined = combined if offset is None else combined + offset
    logits = {name: v if name == IMITATION else v - _log_rest(v) for name, v in logs.items()}
    return ScoreOutput(logits, combined, *best(combined, k))


def _log_rest(logs: Tensor) -> Tensor:
    """log(1 - exp(logs)), finite for certainties."""
    return torch.log(-torch.expm1(logs.clamp(max=-1e-6)))


__all__ = ["average", "ensemble"]
