"""How a value goes over from one to another: the transition dynamics of OpenSCENARIO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.sim.traffic.story.model import Profile

STEEPEST = {"linear": 1.0, "cubic": 1.5, "sinusoidal": 0.5 * math.pi}
"""Of a transition over a time of 1 from 0 to 1: its greatest rate."""
TINY = 1e-9


def share(shape: str, p: float) -> float:
    """The share of the way that is done after a share `p` of the time; both in [0, 1]."""
    p = min(max(p, 0.0), 1.0)
    if shape == "cubic":
        return p * p * (3.0 - 2.0 * p)
    if shape == "sinusoidal":
        return 0.5 * (1.0 - math.cos(math.pi * p))
    return p


@dataclass(slots=True)
class Transition:
    """A value under way from `start` to `end`; `length` in s, or in m driven where it goes `by_distance`."""

    start: float
    end: float
    shape: str
    length: float
    by_distance: bool = False
    done: float = 0.0

    @classmethod
    def of(cls, start: float, end: float, profile: Profile) -> Transition:
        way = abs(end - start)
        if profile.shape == "step" or way < TINY:
            return cls(start, end, "step", 0.0)
        if profile.dimension == "rate":
            steepest = STEEPEST[profile.shape]
            length = steepest * way / profile.value if profile.value > TINY else math.inf
            return cls(start, end, profile.shape, length)
        return cls(start, end, profile.shape, max(profile.value, 0.0), profile.dimension == "distance")

    def advance(self, dt: float, distance: float) -> float:
        """The value after another step."""
        self.done += distance if self.by_distance else dt
        return self.value

    @property
    def value(self) -> float:
        if self.finished:
            return self.end
        return self.start + (self.end - self.start) * share(self.shape, self.done / self.length)

    @property
    def finished(self) -> bool:
        return self.done >= self.length - TINY
