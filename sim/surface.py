"""The ground under a rover: the height field as its wheels feel it, and the light on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.kernels.surface import PAD, shade, surface_points

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
        """The ground as a body of `length` in m between its wheels feels it; 0 keeps the heights.

        The slope between two wheels is the mean slope from one to the other: a Gaussian of the same
        deviation, length / sqrt(12), takes the place of that mean, for all headings alike.
        """
        from scipy.ndimage import gaussian_filter

        heights = terrain.height
        if length > 0.0:
            sigma = length / np.sqrt(12.0) / terrain.resolution
            heights = gaussian_filter(heights, sigma, mode="nearest")
        return cls.through(heights, terrain.resolution)

    def at(self, points: ArrayLike) -> Floats:
        """Height, slopes along x and y, curvatures xx, xy and yy `(N, 6)` at `points (N, 2)`."""
        p = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 2)
        out = np.empty((len(p), 6))
        surface_points(self.coefficients, self.resolution, p, out)
        return out


def cast_shadow(height: Floats, resolution: float, azimuth: float, elevation: float) -> NDArray[np.float32]:
    """Shadow `(rows, columns)` that the heights throw on themselves: 1 where the sun is hidden, else 0.

    From each cell a ray is followed towards the sun, a cell at a time, as long as any height could still
    reach it; beyond the edge nothing stands. Below the horizon all is dark.
    """
    h = np.ascontiguousarray(height, dtype=np.float64)
    if elevation <= 0.0:
        return np.ones(h.shape, dtype=np.float32)
    rise = float(np.tan(elevation)) * resolution
    reach = min(int((h.max() - h.min()) / max(rise, 1e-9)) + 1, int(np.hypot(*h.shape)))
    out = np.empty(h.shape, dtype=np.float32)
    shade(h, float(np.cos(azimuth)), float(np.sin(azimuth)), rise, reach, out)
    return out
