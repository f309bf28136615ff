"""The ground under a rover: the height field as its wheels feel it, and the light on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.kernels.surface import PAD, surface_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.terrain import Terrain

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A twice differentiable surface through a grid of heights: a cubic B-spline's `coefficients`."""

    coefficients: Floats
    resolution: float

    @classmethod
    def through(cls, heights: Floats, resolution: float) -> Surface:
        """The surface that goes through `heights (rows, columns)`; its slope is 0 at the edges."""
        from scipy.ndimage import spline_filter

        found = spline_filter(heights, order=3, mode="mirror")
        return cls(np.ascontiguousarray(np.pad(found, PAD, mode="reflect")), float(resolution))

    @classmethod
    def under(cls, terrain: Terrain, length: float = 0.0) -> Surface:
        """The ground as a body of `length` in m feels it: heights averaged over half of that about each.

        Four wheels average the heights under them; half the wheelbase as the deviation of a Gaussian
        weakens a wave as long as the wheelbase about as much as they do. 0 keeps the heights.
        """
        from scipy.ndimage import gaussian_filter

        heights = terrain.height
        if length > 0.0:
            heights = gaussian_filter(heights, 0.25 * length / terrain.resolution, mode="nearest")
        return cls.through(heights, terrain.resolution)

    def at(self, points: ArrayLike) -> Floats:
        """Height, slopes along x and y, curvatures xx, xy and yy `(N, 6)` at `points (N, 2)`."""
        p = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 2)
        out = np.empty((len(p), 6))
        surface_points(self.coefficients, self.resolution, p, out)
        return out
