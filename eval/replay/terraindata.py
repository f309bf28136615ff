"""What the page draws of a terrain: heights shaded from the north-west, and the shadow over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.replay.pack import Packer
    from drive.terrain import Terrain

    Floats = NDArray[np.float64]

MAX_CELLS, MAX_SHADOW = 420, 160
"""Cells along the longer side of the relief and of the shadow that a page holds at most."""
LIGHT = (0.75 * np.pi, np.pi / 4.0)
"""Azimuth and elevation of the light that shades the relief: that of maps, whatever the sun does."""
STEEP, MOST = 0.7, 6.0
"""The relief is shaded as if all but its steepest twentieth were at most so steep, smooth ones up to so many
times steeper than they are."""


def pack_terrain(packer: Packer, prefix: str, terrain: Terrain, offset: Floats) -> dict[str, Any]:
    """Pack a terrain; positions relative to `offset`. Returns the page's entry among its maps."""
    stride = max(-(-max(terrain.height.shape) // MAX_CELLS), 1)
    height = terrain.height[::stride, ::stride]
    low, high = float(height.min()), float(height.max())
    packer.bytes(f"{prefix}.shade", np.rint(255.0 * hillshade(height, stride * terrain.resolution)))
    packer.bytes(f"{prefix}.height", np.rint(255.0 * (height - low) / max(high - low, 1e-9)))
    dark = terrain.shadow
    coarse = max(-(-max(terrain.height.shape) // MAX_SHADOW), 1)
    if dark.size:
        packer.bytes(f"{prefix}.dark", np.rint(255.0 * np.clip(dark[:, ::coarse, ::coarse], 0.0, 1.0)))
    return {
        "prefix": prefix,
        "terrain": True,
        "corner": [float(-offset[0]), float(-offset[1])],
        "cell": stride * terrain.resolution,
        "dark_cell": coarse * terrain.resolution,
        "dark_times": terrain.sun_times.tolist() if dark.size else [],
        "low": low,
        "high": high,
        "signals": [],
    }


def hillshade(height: Floats, cell: float) -> Floats:
    """Brightness `(rows, columns)` in [0, 1] of heights under `LIGHT`, flat ground at its sine."""
    gy, gx = np.gradient(height, cell)
    times = min(STEEP / max(float(np.percentile(np.hypot(gx, gy), 95.0)), STEEP / MOST), MOST)
    gx, gy = times * gx, times * gy
    azimuth, elevation = LIGHT
    facing = np.sin(elevation) - np.cos(elevation) * (np.cos(azimuth) * gx + np.sin(azimuth) * gy)
    return np.asarray(np.clip(facing / np.sqrt(1.0 + gx * gx + gy * gy), 0.0, 1.0))
