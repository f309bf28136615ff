"""How the heads' verdicts become one score: weight profiles as data, and the one formula that reads them.

    sum_i w_i log p_i  +  c * log(sum_j v_j p_j)

over the heads i that may veto and the heads j that are traded against each other; `imi` enters by its
log-softmax over the candidates, the others by their sigmoid. The published weights are those of the
released GTRS configurations (NVlabs/GTRS, commit 5352e06); they are no benchmark's own weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from drive.errors import UnknownNameError
from drive.nn._torch import Tensor, torch

TEACHER_HEADS = ("nc", "dac", "ddc", "tlc", "ep", "ttc", "lk", "hc")
"""The teacher's sub-scores that heads learn: no at-fault collision, drivable area, driving direction, traffic
lights, progress, time to collision, lane keeping, comfort."""
IMITATION = "imi"


@dataclass(frozen=True, slots=True)
class Profile:
    """Weights of one combination: `vetoes` and `terms` by head, and the factor `c` before the terms' log."""

    vetoes: Mapping[str, float] = field(default_factory=dict)
    factor: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict)

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that must be there."""
        names = [name for name, weight in self.vetoes.items() if weight != 0.0]
        if self.factor != 0.0:
            names += [name for name, weight in self.terms.items() if weight != 0.0 and name not in names]
        return tuple(names)


PROFILES: Mapping[str, Profile] = {
    "dense": Profile(
        {"imi": 0.03, "tlc": 0.1, "nc": 0.1, "dac": 0.9, "ddc": 0.2}, 6.0, {"ttc": 7.0, "ep": 7.0, "lk": 3.0}
    ),
    "dense_proposals": Profile(
        {"imi": 0.01, "tlc": 0.1, "nc": 0.5, "dac": 0.5, "ddc": 0.5}, 3.0, {"ttc": 5.0, "ep": 5.0, "lk": 2.0}
    ),
    "aug": Profile(
        {"imi": 0.02, "tlc": 0.1, "nc": 0.5, "dac": 0.5, "ddc": 0.3},
        6.0,
        {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 1.0},
    ),
    "aug_refine": Profile(
        {"imi": 0.0, "tlc": 0.1, "nc": 0.5, "dac": 0.5, "ddc": 0.3},
        6.0,
        {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 1.0},
    ),
    # The log of the teacher's score, were its parts independent.
    "expected": Profile(
        {"tlc": 1.0, "nc": 1.0, "dac": 1.0, "ddc": 1.0}, 1.0, {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 2.0}
    ),
    # For closed loop in our simulator, found on scenes of the suite `val`: with the published weights picks
    # are timid or rough and no safer, and where collisions weigh as little as the rest they happen.
    "closed_loop": Profile(
        {"imi": 0.05, "tlc": 1.0, "nc": 4.5, "dac": 1.5, "ddc": 1.0},
        1.0,
        {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 8.0},
    ),
    "imitation": Profile({"imi": 1.0}),
}
"""The first four are published: vocabulary alone, vocabulary and proposals, Aug's two stages."""


def find_profile(name: str) -> Profile:
    """A profile by name. Raises UnknownNameError."""
    if name not in PROFILES:
        raise UnknownNameError("weight profile", name, PROFILES)
    return PROFILES[name]


def log_probabilities(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each head's log-probability `(..., K)`: log-softmax over the candidates for `imi`, else log-sigmoid.

    Doubling the candidates lowers every candidate's `imi` by log 2: sets of different size do not compare.
    """
    return {
        name: torch.log_softmax(values, dim=-1)
        if name == IMITATION
        else torch.nn.functional.logsigmoid(values)
        for name, values in logits.items()
    }


def combine(logits: Mapping[str, Tensor], profile: Profile) -> Tensor:
    """The combined score `(..., K)` of candidates whose heads say `logits`. Raises UnknownNameError."""
    return combine_log(log_probabilities(logits), profile)


def combine_log(logs: Mapping[str, Tensor], profile: Profile) -> Tensor:
    """The same from log-probabilities, as an ensemble has them."""
    for name in profile.heads:
        if name not in logs:
            raise UnknownNameError("head of this scorer", name, logs)
    total: Tensor = torch.zeros_like(next(iter(logs.values())))
    for name, weight in profile.vetoes.items():
        if weight != 0.0:
            total = total + weight * logs[name]
    parts = [(name, weight) for name, weight in profile.terms.items() if weight != 0.0]
    if profile.factor != 0.0 and parts:
        # A log of a sum of exponentials: the sum's log is finite where every probability rounds to zero.
        stacked = torch.stack([logs[name] + math.log(weight) for name, weight in parts], dim=-1)
        total = total + profile.factor * torch.logsumexp(stacked, dim=-1)
    return total


__all__ = [
    "IMITATION",
    "PROFILES",
    "TEACHER_HEADS",
    "Profile",
    "combine",
    "combine_log",
    "find_profile",
    "log_probabilities",
]
