"""How a robustness is made of robustnesses: by least and largest values, or by smooth stand-ins of these.

Train and guide on a soft one, report the hard one. Of n values the log-sum-exp of temperature tau lies up to
log(n) / tau above the largest (and below the least), so that a soft robustness above 0 does not prove that an
`eventually` holds. tau multiplies values: large ones are nearly hard, and parts in metres, metres a second
and radians are no more alike under it than their numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drive.errors import InputError

LIMIT = 1e6
"""What a soft robustness without end is written as: slopes of infinite numbers do not exist."""

End = Literal["clip", "pessimistic", "optimistic", "hold_last"]
ENDS: tuple[End, ...] = ("clip", "pessimistic", "optimistic", "hold_last")
"""What lies beyond the steps that are given: nothing, the worst or the best for the whole formula, or each
part's last (before the start its first) value. An operator without end reaches to the last step, never on."""

Form = Literal["logsumexp", "mellowmax", "average"]
FORMS: tuple[Form, ...] = ("logsumexp", "mellowmax", "average")


@dataclass(frozen=True, slots=True)
class Hard:
    """Least and largest values: the sign tells whether the formula holds."""


@dataclass(frozen=True, slots=True)
class Soft:
    """Smooth stand-ins of the largest of n values x (of the least: those of -x, negated).

    "logsumexp": log(sum exp(tau x)) / tau, at least the largest. "mellowmax": the same less log(n) / tau,
    at most the largest (Asadi and Littman 2017). "average": sum x exp(tau x) / sum exp(tau x), at most the
    largest, not monotone. `temperature` tau may be given anew, also per sample, at each evaluation.
    """

    form: Form = "logsumexp"
    temperature: float = 100.0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"unknown soft form '{self.form}': {', '.join(FORMS)}")
        if not 0.0 < self.temperature < float("inf"):
            raise InputError(f"a temperature is positive and finite, not {self.temperature}")


Semantics = Hard | Soft
