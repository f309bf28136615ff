"""Random numbers that are the same to the last bit on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np


class Draws(np.random.Generator):
    """NumPy's generator, but for `uniform`.

    Where a processor multiplies and adds in one step, as on ARM, NumPy's own rounds once less, and a
    last bit is enough for another number of points on a road, and so for another hash.
    """

    @classmethod
    def of(cls, number: int) -> Draws:
        return cls(np.random.PCG64(number))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return low + (high - low) * self.random(size)
