"""Curves seen from each other: where each runs beside every other one, and where two ways conflict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.kernels.sight import BLOCK, meeting, project_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.curves import Curve

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

REACH = 16.0
"""Metres farther than which a curve does not see another's samples."""


@dataclass(frozen=True, eq=False)
class Projections:
    """Each frame's samples in each other's: `table (N, 4)` of station, offset (NaN: far away), cos and sin.

    Frame g's rows as seen from f begin at `start[f, g]`; only those from `near[f, g, 0]` up to
    but without `near[f, g, 1]` can be near. Frame f has `size[f]` samples every `step[f]` metres.
    """

    size: Indices
    step: Floats
    start: Indices
    table: Floats
    near: Indices

    def conflict(
        self, frame: int, other: int, span: tuple[float, float], wide: float, longest: float
    ) -> tuple[float, float, float, float] | None:
        """Where another frame comes within `wide` metres of `frame` between its stations `span`.

        Returns the first and last station on `frame`, then on `other` (each stretch at most `longest`), or
        None.
        """
        a, b, c, d = meeting(frame, other, *span, wide, self.step, self.start, self.table, self.near)
        return (a, min(b, a + longest), c, min(d, c + longest)) if a <= b and c <= d else None


def project(curves: Sequence[Curve]) -> Projections:
    size = np.asarray([len(c.points) for c in curves])
    step = np.asarray([c.step for c in curves])
    start = np.concatenate(([0], np.cumsum(size)))
    pairs = np.tile(start[:-1], (len(size), 1)) + start[-1] * np.arange(len(size))[:, None]
    table = np.zeros((start[-1] * len(size), 4))
    near = np.zeros((len(size), len(size), 2), dtype=np.int64)
    if len(size) > 1:
        points = np.round(np.concatenate([c.points for c in curves]), 6)
        heading = np.concatenate([c.heading for c in curves])
        direction = np.round(np.stack((np.cos(heading), np.sin(heading)), axis=-1), 9)
        first = np.concatenate(([0], np.cumsum(-(-size // BLOCK))))
        blocks = np.empty((first[-1], 3))
        project_frames(start, size, step, points, direction, first, blocks, pairs, REACH, table, near)
    return Projections(size, step, pairs, table, near)
