"""What a world's cameras keep between pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drive.errors import InputError

if TYPE_CHECKING:
    from drive.sim.carla.world.actors import Actor
    from drive.sim.sensors.camera import CameraRig, Lens

MOST_ALONG, MOST_PIXELS = 8192, 4096 * 2160
WIDEST = 170.0


@dataclass(slots=True, eq=False)
class Studio:
    """Rasters of the ground with the bodies of the actors `crowd`, and lenses by size and field of view."""

    rig: CameraRig | None = None
    crowd: tuple[int, ...] = ()
    lenses: dict[tuple[int, int, float], Lens] = field(default_factory=dict)


def frame_of(fact: Actor) -> tuple[int, int, float]:
    """Width and height in pixels and field of view in degrees of a camera. Raises InputError."""
    width, height = (int(float(fact.value(f"image_size_{axis}", "600"))) for axis in "xy")
    fov = float(fact.value("fov", "90"))
    if not (0 < width <= MOST_ALONG and 0 < height <= MOST_ALONG and width * height <= MOST_PIXELS):
        raise InputError(f"a camera has at most {MOST_PIXELS} pixels, not {width} x {height}")
    if not 1.0 <= fov <= WIDEST:
        raise InputError(f"a camera's field of view is 1 to {WIDEST:g} degrees, not {fov:g}")
    return width, height, fov
