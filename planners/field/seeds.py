"""First particles of a swarm: a small grid, so that no seed of the random numbers misses what is plain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.planners.field.kernels import layout as la

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.planners.field.problem import Problem

    Floats = NDArray[np.float64]


def seeds_of(
    problem: Problem, offsets: Sequence[float], warm: Floats | None = None, most: int = 13
) -> Floats:
    """Seeds `(Q, 6)`: the last plan's particle, and the best of a grid over offsets, speeds and times.

    The grid has for each offset four speeds, two times for the speed and two for the offset.
    """
    now, top = float(problem.start[1]), float(problem.high[la.V_END])
    speeds = sorted({min(max(v, 0.0), top) for v in (0.0, 0.5 * now, now, 0.5 * (now + top), top)})
    low, high = problem.low.tolist(), problem.high.tolist()
    early, late = (
        {k: low[k] + share * (high[k] - low[k]) for k in (la.T_LAT, la.T_LON)} for share in (0.15, 0.7)
    )
    across = (late[la.T_LAT],) if len(offsets) == 1 else (early[la.T_LAT], late[la.T_LAT])
    rows = [
        (d, t_lat, v, t_lon)
        for d in offsets
        for v in speeds
        for t_lat in across
        for t_lon in (early[la.T_LON], late[la.T_LON])
    ]
    grid = np.zeros((len(rows), la.PARTICLE))
    grid[:, :4] = rows
    grid[:, la.D_VIA], grid[:, la.T_VIA] = grid[:, la.D_END], grid[:, la.T_LAT]
    costs, _ = problem.cost(grid)
    share = len(rows) // len(offsets)
    # The best of each offset: the swarm must not begin on one side only.
    by_offset = np.argsort(costs.reshape(len(offsets), share), axis=1, kind="stable")
    kept = by_offset[:, : max(most // len(offsets), 1)] + share * np.arange(len(offsets))[:, None]
    best = grid[kept.reshape(-1)]
    return best if warm is None else np.concatenate((warm[None], best))
