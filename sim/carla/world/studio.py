"""What a world's cameras keep between pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.sim.sensors.camera import CameraRig, Lens


@dataclass(slots=True, eq=False)
class Studio:
    """Rasters of the ground with the bodies of the actors `crowd`, and lenses by size and field of view."""

    rig: CameraRig | None = None
    crowd: tuple[int, ...] = ()
    lenses: dict[tuple[int, int, float], Lens] = field(default_factory=dict)
