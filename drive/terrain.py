"""A height field under a sun: the environment of the rover planners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MapError
from drive.roadmap.model import hash_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

HIGHEST = 1e5
"""Metres: no ground of a planet or moon lies as far from another point of it."""


@dataclass(frozen=True, eq=False)
class Terrain:
    """`height (rows, columns)` in m on a regular grid: row along y, column along x.

    `resolution` in m per cell, `gravity` in m/s^2; `sun_times (T,)` in s and `sun (T, 2)` azimuth
    (from x, counter-clockwise) and elevation in rad; `shadow (T, rows, columns)` is 1 in full shadow
    and may be empty where none is known. The point (0, 0) is the height of row 0, column 0.
    """

    height: NDArray[np.float64]
    resolution: float
    gravity: float
    sun_times: NDArray[np.float64]
    sun: NDArray[np.float64]
    shadow: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("height", "sun_times", "sun"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "shadow", np.asarray(self.shadow, dtype=np.float32))
        if self.height.ndim != 2 or min(self.height.shape) < 2:
            raise MapError(f"a terrain needs a grid of at least 2 x 2 heights, got {self.height.shape}")
        if not (np.abs(self.height) <= HIGHEST).all():
            raise MapError(f"a terrain's heights must be finite, and at most {HIGHEST:.0f} m")
        if not (0.0 < self.resolution < np.inf and 0.0 < self.gravity < np.inf):
            raise MapError("a terrain's resolution and gravity must be positive and finite")
        t = len(self.sun_times)
        if self.sun_times.ndim != 1 or self.sun.shape != (t, 2) or not (np.diff(self.sun_times) > 0).all():
            raise MapError(
                f"a terrain's sun needs times (T,) that increase and angles (T, 2), got {self.sun.shape}"
            )
        if not (np.isfinite(self.sun).all() and np.isfinite(self.sun_times).all()):
            raise MapError("a terrain's sun must be finite")
        if self.shadow.size and self.shadow.shape != (t, *self.height.shape):
            raise MapError(f"a terrain's shadow covers {self.shadow.shape}, not {(t, *self.height.shape)}")

    @property
    def extent(self) -> tuple[float, float]:
        """Size in m along x and y, between the outermost heights."""
        rows, columns = self.height.shape
        return (columns - 1) * self.resolution, (rows - 1) * self.resolution

    def height_at(self, points: ArrayLike) -> NDArray[np.float64]:
        """Bilinear heights `(...)` at `points (..., 2)`; held constant beyond the edge."""
        return bilinear(self.height, points, self.resolution)

    def sun_at(self, time: float) -> tuple[float, float]:
        """Azimuth and elevation of the sun in rad at a time in s; held beyond the first and last."""
        azimuth = np.interp(time, self.sun_times, np.unwrap(self.sun[:, 0]))
        return float(azimuth), float(np.interp(time, self.sun_times, self.sun[:, 1]))

    @cached_property
    def light(self) -> NDArray[np.float64]:
        """Light `(T, rows, columns)` that falls on the ground at `sun_times`, 1 for the sun straight above
        it.

        The cosine between the ground's normal and the sun, times what the shadow leaves.
        """
        gy, gx = np.gradient(self.height, self.resolution)
        across = 1.0 / np.sqrt(1.0 + gx * gx + gy * gy)
        out = np.empty((len(self.sun_times), *self.height.shape))
        for k, (azimuth, elevation) in enumerate(self.sun):
            flat = np.cos(elevation)
            facing = np.sin(elevation) - flat * (np.cos(azimuth) * gx + np.sin(azimuth) * gy)
            out[k] = np.maximum(facing * across, 0.0) if elevation > 0.0 else 0.0
        return out * (1.0 - self.shadow) if self.shadow.size else out

    def light_at(self, points: ArrayLike, time: float) -> NDArray[np.float64]:
        """Light `(...)` at `points (..., 2)` and a time in s: bilinear in space, linear between the times."""
        t = np.clip(time, self.sun_times[0], self.sun_times[-1])
        k = min(int(np.searchsorted(self.sun_times, t, side="right")) - 1, len(self.sun_times) - 2)
        if k < 0:  # one time alone
            return bilinear(self.light[0], points, self.resolution)
        u = (t - self.sun_times[k]) / (self.sun_times[k + 1] - self.sun_times[k])
        before, after = (bilinear(self.light[i], points, self.resolution) for i in (k, k + 1))
        return np.asarray((1.0 - u) * before + u * after)

    @cached_property
    def content_hash(self) -> str:
        return hash_arrays(self.to_arrays())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Flat arrays that hold all of the terrain, as the run log stores them."""
        return {
            "height": self.height,
            "scalars": np.array([self.resolution, self.gravity]),
            "sun": self.sun,
            "sun_times": self.sun_times,
            "shadow": self.shadow,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Terrain:
        """Inverse of `to_arrays`."""
        try:
            resolution, gravity = (float(v) for v in arrays["scalars"])
            names = ("sun_times", "sun", "shadow")
            return cls(arrays["height"], resolution, gravity, *(arrays[name] for name in names))
        except KeyError as error:
            raise MapError(f"the stored terrain lacks the array {error}") from None


def bilinear(values: NDArray[np.float64], points: ArrayLike, resolution: float) -> NDArray[np.float64]:
    """Values `(...)` of a grid `(rows, columns)` at `points (..., 2)` in m; held constant beyond the edge."""
    p = np.asarray(points, dtype=np.float64) / resolution
    rows, columns = values.shape
    x, y = np.clip(p[..., 0], 0.0, columns - 1.0), np.clip(p[..., 1], 0.0, rows - 1.0)
    c, r = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
    u, v = x - c, y - r
    low = (1 - u) * values[r, c] + u * values[r, c + 1]
    high = (1 - u) * values[r + 1, c] + u * values[r + 1, c + 1]
    return np.asarray((1 - v) * low + v * high)
