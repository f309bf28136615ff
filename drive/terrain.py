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
        if not np.isfinite(self.height).all():
            raise MapError("a terrain's heights must be finite")
        if not (self.resolution > 0.0 and self.gravity > 0.0):
            raise MapError("a terrain's resolution and gravity must be positive")
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
        p = np.asarray(points, dtype=np.float64) / self.resolution
        rows, columns = self.height.shape
        x, y = np.clip(p[..., 0], 0.0, columns - 1.0), np.clip(p[..., 1], 0.0, rows - 1.0)
        c, r = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
        u, v = x - c, y - r
        h = self.height
        low = (1 - u) * h[r, c] + u * h[r, c + 1]
        high = (1 - u) * h[r + 1, c] + u * h[r + 1, c + 1]
        return np.asarray((1 - v) * low + v * high)

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
