"""What a town's ground is looked up in: a grid whose cells list the pieces of lanes that may lie best under a
place in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.roadmap.index import GridIndex
from drive.sim.carla.kernels.ground import BESIDE, FAR_COST, FOOT_COST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.carla.world.town import Town

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int32]

CELL, PARTS = 8.0, 4
"""Metres of the ground's grid, and into how many parts a side its cells are cut where the town is flat."""
ROUNDING = 1e-6
"""What of a cost is left to rounding when two are compared in advance."""


def ground_arrays(town: Town) -> tuple[Any, ...]:
    """What the kernels look up the ground in: grid, its cells' segments, points in CARLA's frame, lanes."""
    m, index = town.roadmap, GridIndex.build(town.roadmap, CELL, BESIDE)
    rows = np.zeros((len(m.points), 5))
    rows[:, 0], rows[:, 1] = m.points[:, 0], -m.points[:, 1]
    if len(m.elevation):
        rows[:, 2] = m.elevation
    rows[:, 3] = m.half_width.min(1)
    rows[:, 4] = np.where(m.kind[index.lane_of_row] <= 1, 0.0, FOOT_COST)
    grid = np.array([index.x0, index.y0, index.cell, index.columns, index.rows], dtype=np.float64)
    start, segments = index.start, index.segments
    # Elsewhere the best lane depends on the height from which one looks.
    if not np.ptp(rows[:, 2]) > 0.0:
        start, segments = cut(index, rows)
        grid[2:] = index.cell / PARTS, index.columns * PARTS, index.rows * PARTS
    limits = np.nan_to_num(m.speed_limit, nan=0.0)
    return grid, start, segments, rows, index.lane_of_row, limits


def cut(index: GridIndex, rows: Floats) -> tuple[Ints, Ints]:
    """Cut cells into `PARTS` x `PARTS`, each with those of its cell's segments that can be the best one
    somewhere in it (kernels.ground.nearest_piece), in the same order.

    A look-up of 50 cars took 40 us with whole cells, two thirds of a tick, and read a few hundred kilobytes.
    """
    starts: list[Ints] = [np.zeros(1, np.int32)]
    kept: list[Ints] = []
    parts = (np.arange(PARTS) + 0.5) * index.cell / PARTS
    radius = np.hypot(index.cell, index.cell) / (2 * PARTS)
    for row in range(index.rows):
        first, last = row * index.columns, (row + 1) * index.columns
        listed = index.segments[index.start[first] : index.start[last]]
        column = np.repeat(np.arange(index.columns), np.diff(index.start[first : last + 1]))
        # Middles of the parts (N, PARTS, PARTS), by row and column.
        x = index.x0 + column[:, None, None] * index.cell + parts[None, None, :]
        y = -(index.y0 + row * index.cell + parts[None, :, None])
        low, high = _bounds(x, y, radius, rows, listed)
        least = np.full((index.columns, PARTS, PARTS), np.inf)
        np.minimum.at(least, column, high)
        for part in range(PARTS):
            entry, within = np.nonzero(low[:, part] <= least[column, part] + ROUNDING)
            cell = column[entry] * PARTS + within
            kept.append(listed[entry[np.argsort(cell, kind="stable")]])
            counts = np.bincount(cell, minlength=index.columns * PARTS)
            starts.append((starts[-1][-1] + np.cumsum(counts)).astype(np.int32))
    return np.concatenate(starts), np.concatenate(kept)


def _bounds(x: Floats, y: Floats, radius: float, rows: Floats, p: Ints) -> tuple[Floats, Floats]:
    """What segments `p (N,)` cost at least and at most within `radius` of places `(N, ...)`, heights apart.

    A distance changes by no more than the place does. Where it may be out of reach, at most is infinite.
    """
    ax, ay, _, wide, foot = (v[:, None, None] for v in rows[p].T)
    bx, by, _, wide_b, _ = (v[:, None, None] for v in rows[p + 1].T)
    ex, ey = bx - ax, by - ay
    square = ex * ex + ey * ey
    # Where a piece has no length its first end counts.
    along = ((x - ax) * ex + (y - ay) * ey) / np.where(square > 0.0, square, np.inf)
    t = np.clip(along, 0.0, 1.0)
    far = np.hypot(x - ax - t * ex, y - ay - t * ey)
    near, far = np.maximum(far - radius, 0.0), far + radius
    out_low = np.maximum(near - np.maximum(wide, wide_b), 0.0)
    out_high = np.maximum(far - np.minimum(wide, wide_b), 0.0)
    low = out_low**2 + FAR_COST * near**2 + foot
    high = out_high**2 + FAR_COST * far**2 + foot
    return low, np.where(out_high < BESIDE - ROUNDING, high, np.inf)
