"""What the optimiser reads of a terrain: a smooth ground and the light on it, as spline coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.surface import Surface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.terrain import Terrain

    Floats = NDArray[np.float64]

LIGHT_CELL = 0.5
"""Metres of a cell of the light's grid at least: a shadow's edge is not sharper to a panel of that size."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """`surface` as the wheels feel it; `light (F, rows, columns)` as spline coefficients at `times (F,)`."""

    surface: Surface
    light: Floats
    times: Floats
    cell: float
    extent: tuple[float, float]
    gravity: float

    @classmethod
    def of(cls, terrain: Terrain, wheelbase: float) -> Ground:
        """The ground of a terrain under a rover of that wheelbase."""
        from scipy.ndimage import gaussian_filter

        stride = max(round(LIGHT_CELL / terrain.resolution), 1)
        stride = min(stride, (min(terrain.height.shape) - 1) // 2 or 1)
        frames = []
        for frame in terrain.light:
            soft = gaussian_filter(frame, 0.5 * stride, mode="nearest") if stride > 1 else frame
            frames.append(Surface.through(soft[::stride, ::stride], 1.0).coefficients)
        times = terrain.sun_times
        if len(times) == 1:
            times, frames = np.array([times[0], times[0] + 1.0]), [frames[0], frames[0]]
        return cls(
            Surface.under(terrain, wheelbase),
            np.ascontiguousarray(np.stack(frames)),
            np.ascontiguousarray(times),
            stride * terrain.resolution,
            terrain.extent,
            terrain.gravity,
        )
