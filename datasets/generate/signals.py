"""Traffic lights: fixed-time programmes of a junction's signal groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.scenario import SignalState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Programme:
    """Groups that are green one after another, `order` of (group, seconds); then yellow, then all red.

    The first group turns green at `start` s, and again every `cycle` s.
    """

    order: tuple[tuple[str, float], ...]
    yellow: float
    all_red: float
    start: float = 0.0

    @property
    def cycle(self) -> float:
        return sum(green for _, green in self.order) + len(self.order) * (self.yellow + self.all_red)

    def onset(self, group: str) -> tuple[float, float]:
        """Seconds into the cycle at which a group turns green and yellow."""
        at = 0.0
        for name, green in self.order:
            if name == group:
                return at, at + green
            at += green + self.yellow + self.all_red
        raise KeyError(group)

    def states(self, group: str, times: ArrayLike) -> NDArray[np.uint8]:
        """`SignalState` of a group at times `(N,)`."""
        green, yellow = self.onset(group)
        # A state changes at its instant in spite of the last digit of the division.
        t = (np.asarray(times, dtype=np.float64) - self.start + 1e-6) % self.cycle
        out = np.full(t.shape, SignalState.RED, dtype=np.uint8)
        out[(t >= green) & (t < yellow)] = SignalState.GREEN
        out[(t >= yellow) & (t < yellow + self.yellow)] = SignalState.YELLOW
        return out

    def greens(self, group: str, begin: float, end: float) -> list[tuple[float, float]]:
        """Intervals of green that meet [begin, end]."""
        green, yellow = self.onset(group)
        first = int(np.floor((begin - self.start - yellow) / self.cycle))
        found = []
        for n in range(first, first + int((end - begin) / self.cycle) + 3):
            a, b = self.start + n * self.cycle + green, self.start + n * self.cycle + yellow
            if b > begin and a < end:
                found.append((a, b))
        return found


def at_onset(
    order: Sequence[tuple[str, float]], yellow: float, all_red: float, group: str, time: float, which: str
) -> Programme:
    """The programme in which `group` turns `which` ("green" or "yellow") at `time`."""
    base = Programme(tuple(order), yellow, all_red)
    at = base.onset(group)[0 if which == "green" else 1]
    return Programme(tuple(order), yellow, all_red, time - at)
