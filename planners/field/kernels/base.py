"""How the kernels of this folder are compiled."""

from __future__ import annotations

from pathlib import Path

from drive.sim.kernels.compile import kernels_of

_HERE = Path(__file__).parent

kernel = kernels_of(_HERE, _HERE.parents[1] / "road" / "kernels")
