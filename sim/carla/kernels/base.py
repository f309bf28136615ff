"""How the kernels of this folder are compiled."""

from __future__ import annotations

from pathlib import Path

from drive.sim.kernels.compile import kernels_of

kernel = kernels_of(Path(__file__).parent)
