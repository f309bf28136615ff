"""The columns of a teacher's labels, and NAVSIM's first score of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NC, DAC, DDC, TLC, EP, TTC, LK, HC, SCORE = range(9)
"""The columns of the teacher's labels (`drive.sim.teacher.TEACHER_NAMES`)."""


def pdms(labels: NDArray[Any]) -> NDArray[np.float64]:
    """NAVSIM's first score (arXiv 2406.15349) `(...)` of labels: NC DAC (5 TTC + 5 EP + 2 C) / 12."""
    x = np.asarray(labels, dtype=np.float64)
    return np.asarray(
        x[..., NC] * x[..., DAC] * (5.0 * x[..., TTC] + 5.0 * x[..., EP] + 2.0 * x[..., HC]) / 12.0
    )


__all__ = ["DAC", "DDC", "EP", "HC", "LK", "NC", "SCORE", "TLC", "TTC", "pdms"]
