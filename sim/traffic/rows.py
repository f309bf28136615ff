"""What the step reads of a path at each sample: its frame, the speed it allows, how far it is a parabola."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.sim.kernels.survey import measure_stray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LATERAL_ACCELERATION = 2.0
"""m/s^2 that a driver accepts in a bend."""
BEND_BRAKING = 1.5
"""m/s^2 with which speed is shed before one."""


def path_rows(points: Floats, step: float) -> NDArray[np.float32]:
    """`(N, 8)` in ROW_COLUMNS from samples `(N, 5)` in PATH_COLUMNS that lie `step` m apart."""
    h, curvature = points[:, 2], points[:, 3]
    rows = np.column_stack(
        (points[:, :2], np.cos(h), np.sin(h), curvature, allowed_speed(points, step), h, h)
    )
    # The last two columns are filled by the kernel, from the unwrapped headings that they hold until then.
    rows[:, 6] = np.unwrap(h)
    stray, twist = np.empty(len(points)), np.empty(len(points))
    measure_stray(rows, step, stray, twist)
    rows[:, 6], rows[:, 7] = stray, twist
    return rows.astype(np.float32)


def allowed_speed(points: Floats, step: float) -> Floats:
    """Speed `(N,)` in m/s that the limit at a sample and the bends from there on allow.

    A bend of curvature k allows sqrt(2 / |k|), and before it what can be shed on the way with 1.5 m/s^2.
    """
    bend = LATERAL_ACCELERATION / np.maximum(np.abs(points[:, 3]), 1e-4)
    shed = 2.0 * BEND_BRAKING * step * np.arange(len(points))
    ahead = np.minimum.accumulate((bend + shed)[::-1])[::-1] - shed
    return np.asarray(np.minimum(points[:, 4], np.sqrt(ahead)))
