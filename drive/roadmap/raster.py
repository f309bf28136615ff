"""Sorts shapes into the cells of a uniform grid whose corner lies at the origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]


def expand(count: Indices) -> tuple[Indices, Indices]:
    """For rows that stand for `count (N,)` items each: the row of every item and its number in the row."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


def spans(shapes: Floats, cell: float, margin: float) -> tuple[Indices, Indices, Indices, Indices]:
    """Cells within `margin` of convex shapes `(N, V, 2)` (V = 2: segments, 3: triangles), row by row.

    Returns, for each shape and each grid row that it touches, the shape, the row, and the first and the
    last column. Conservative: no touched cell is missing.
    """
    y = shapes[..., 1]
    first = np.floor((y.min(1) - margin) / cell).astype(np.intp)
    last = np.floor((y.max(1) + margin) / cell).astype(np.intp)
    owner, row = expand(last - first + 1)
    row = row + first[owner]
    low, high = row * cell - margin, (row + 1) * cell + margin
    x_min, x_max = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    corners = shapes.shape[1]
    for i in range(corners if corners > 2 else 1):
        a, b = shapes[owner, i], shapes[owner, (i + 1) % corners]
        upward = (a[:, 1] <= b[:, 1])[:, None]
        a, b = np.where(upward, a, b), np.where(upward, b, a)
        rise = np.maximum(b[:, 1] - a[:, 1], 1e-300)
        enter, leave = (np.clip((v - a[:, 1]) / rise, 0.0, 1.0) for v in (low, high))
        # A level edge has no single x at a height: all of it counts.
        level = b[:, 1] - a[:, 1] < 1e-9
        enter, leave = np.where(level, 0.0, enter), np.where(level, 1.0, leave)
        x0, x1 = (a[:, 0] + t * (b[:, 0] - a[:, 0]) for t in (enter, leave))
        meets = (a[:, 1] <= high) & (b[:, 1] >= low)
        x_min = np.where(meets, np.minimum(x_min, np.minimum(x0, x1)), x_min)
        x_max = np.where(meets, np.maximum(x_max, np.maximum(x0, x1)), x_max)
    column = [np.floor(v / cell).astype(np.intp) for v in (x_min - margin, x_max + margin)]
    return owner, row, column[0], column[1]


def fill(segments: Floats, cell: float, rows: int, columns: int) -> NDArray[np.bool_]:
    """Cells `(rows, columns)` whose centre lies inside the rings made of `segments (N, 2, 2)` (even-odd)."""
    y = segments[..., 1] / cell - 0.5
    low, high = np.ceil(y.min(1)).astype(np.intp), np.ceil(y.max(1)).astype(np.intp)
    owner, row = expand(high - low)
    row = row + low[owner]
    a, b = segments[owner, 0], segments[owner, 1]
    t = ((row + 0.5) * cell - a[:, 1]) / (b[:, 1] - a[:, 1])
    column = np.ceil((a[:, 0] + t * (b[:, 0] - a[:, 0])) / cell - 0.5).astype(np.intp)
    toggles = np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
    return np.asarray(np.cumsum(toggles, axis=1) % 2 == 1)
