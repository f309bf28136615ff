"""How the verdicts of a scorer's heads become one score: weight profiles as data, and the one formula that
reads them.

    sum_i w_i log p_i  +  c * log(sum_j v_j p_j)

over the heads i that may veto and the heads j that are traded against each other; `imi` enters by its
log-softmax over the candidates, the others by their sigmoid. GTRS (Li et al. 2025) has both parts, Hydra-MDP
and Hydra-NeXt the first alone. A planner names its own profiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drive.errors import InputError, UnknownNameError
from drive.nn._torch import Tensor, torch

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


CLOSED_LOOP = Profile(
    {"imi": 0.05, "tlc": 1.0, "nc": 4.5, "dac": 1.5, "ddc": 1.0},
    1.0,
    {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 8.0},
)
"""For closed loop in our simulator, found with `gtrs` on scenes of the suite `val`: with the published
weights picks are timid or rough and no safer, and where collisions weigh as little as the rest they happen.
"""


def find_profile(name: str, profiles: Mapping[str, Profile]) -> Profile:
    """A planner's profile by name. Raises UnknownNameError."""
    if name not in profiles:
        raise UnknownNameError("weight profile", name, profiles)
    return profiles[name]


def emphasised(profile: Profile, emphasis: str) -> Profile:
    """A profile with some heads' weights multiplied, as "ep=3,nc=0.5" says. Raises InputError."""
    vetoes, terms = dict(profile.vetoes), dict(profile.terms)
    for part in filter(None, (p.strip() for p in emphasis.split(","))):
        name, _, factor = part.partition("=")
        try:
            value = float(factor)
        except ValueError:
            value = -1.0
        if not 0.0 <= value < math.inf or (name not in vetoes and name not in terms):
            known = ", ".join(dict.fromkeys((*vetoes, *terms)))
            raise InputError(f"'{part}' must be HEAD=FACTOR with a head of the profile ({known})")
        for weights in (vetoes, terms):
            if name in weights:
                weights[name] *= value
    return replace(profile, vetoes=vetoes, terms=terms)


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
    "CLOSED_LOOP",
    "IMITATION",
    "Profile",
    "combine",
    "combine_log",
    "emphasised",
    "find_profile",
    "log_probabilities",
]
