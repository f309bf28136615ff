"""Which sample is driven: of those that obey one that gets far, calmly, in its lane, closing in on nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.planners.stl_diffusion.choice_kernel import BRAKED, SECONDS, weigh
from drive.planners.stl_diffusion.signals import Others, among

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.stl_diffusion.scorer import Looked, Scorer

WEIGHTS = (
    "progress", "comfort", "margin", "harsh", "centre", "verge", "ahead", "room", "stopping", "change",
)  # fmt: skip
"""Settings in the order in which the compiled loop takes them."""


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """What samples that obey are weighed by.

    `progress` counts what a sample drives, as a share of what the limit allows; `comfort` takes off the mean
    square of its changes of acceleration, `centre` its mean distance in m from the lane's centre, `stay` for
    another lane, `change` for another sample than the last plan's. `ahead` takes off where within a second of
    driving on straight it would touch somebody who does so too: the share of its states of which this is so.
    `stopping` takes off where it could not stop any more behind who brakes hard from now on, were it to
    brake after a second. `margin` takes off what robustness lacks of half a unit, `harsh` the square of what
    the greatest acceleration has above 3 m/s^2, or its first change above 2. `room` takes off what of 4 m
    straight ahead is not free where a sample ends, `verge` what of 0.4 m to the road's edge is not kept.
    """

    progress: float = 1.0
    comfort: float = 0.3
    centre: float = 0.1
    stay: float = 0.1
    change: float = 0.02
    ahead: float = 1.0
    stopping: float = 0.5
    margin: float = 0.2
    harsh: float = 0.15
    room: float = 1.0
    verge: float = 0.6

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InputError(f"a choice's {name} is 0 or more, not {getattr(self, name)}")


def utility(
    scorer: Scorer, found: Looked, drawn: Tensor, settings: ChoiceSettings, later: Others | None = None,
    held: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What samples `drawn (B, M, N, knots, 2)` are worth, `(B, M, N)`: about 2 for those that obey, at most 0
    for others. `later` is where others are SECONDS after they were looked at; `held (B,)` numbers the last
    plan's sample. On whatever device they lie, this is done on the processor."""
    s, motion, place = settings, scorer.motion, scorer.place
    b, m, n = drawn.shape[:3]
    after = place if later is None else among(place, later)
    weights = np.array([getattr(s, name) for name in WEIGHTS])
    if later is None:
        weights[WEIGHTS.index("ahead")] = 0.0
    stay = np.array([s.stay if mode != "keep" and m > 1 else 0.0 for mode in scorer.modes] * b)
    last = np.full(b, -1) if held is None else held.cpu().numpy()
    out = np.empty((b * m, n), np.float32)
    weigh(
        _rows(found.states), _rows(drawn), _rows(found.terms.movedim(0, -1)), _rows(found.offset),
        _rows(found.clearance), scorer.ground.ego.cpu().numpy(), scorer.ground.known.flatten().cpu().numpy(),
        stay, last, place.body, place.half, place.valid, place.places, after.places,
        np.array((motion.dt, motion.look, motion.centre, motion.half)), weights,
        np.empty((len(BRAKED), place.places.shape[1], 4), np.float32), out,
    )  # fmt: skip
    return torch.from_numpy(out).view(b, m, n).to(drawn)


def _rows(values: Tensor) -> NDArray[np.float32]:
    """Values of samples `(B, M, ...)` as an array `(B * M, ...)`."""
    found: NDArray[np.float32] = values.detach().float().cpu().flatten(0, 1).contiguous().numpy()
    return found


__all__ = ["SECONDS", "WEIGHTS", "ChoiceSettings", "utility"]
