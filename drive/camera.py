"""What a camera on the ego is: its picture, its place, its rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drive._numbers import is_finite
from drive.errors import InputError

PROJECTIONS = ("pinhole", "cylinder")
MAX_SIDE, MAX_PICTURES = 4096, 64_000_000
"""Pixels of a camera's side, and of all its frames together, at most."""
FARTHEST_CAMERA, HIGHEST_CAMERA = 10.0, 500.0
"""m from the rear axle along x and y, and above the road."""


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera that a planner asks for.

    `width, height` in pixels, `intrinsics` (fx, fy, cx, cy) in pixels, `pose` (x, y, z, roll, pitch,
    yaw) of the camera in the rear-axle frame, z above the road, `rate` in Hz, `frames` of history.

    The camera's own axes are x forward, y left, z up, brought there by yaw about z, pitch about y and roll
    about x, in this order and right-handed: it looks left for a positive yaw and down for a positive pitch.
    A point (x, y, z) in them is at u = cx - fx y / x and v = cy - fy z / x, from the picture's upper left
    corner: pixel (row i, column j) spans v from i to i + 1 and u from j to j + 1, so that cx = width / 2 is
    the middle. With the `projection` "cylinder" u = cx - fx atan2(y, x), fx in pixels a radian, and
    v = cy - fy z / hypot(x, y): turning the camera then shifts the picture and changes nothing else.
    """

    name: str = "front"
    width: int = 384
    height: int = 96
    intrinsics: tuple[float, float, float, float] = (280.0, 280.0, 192.0, 48.0)
    pose: tuple[float, float, float, float, float, float] = (1.5, 0.0, 1.5, 0.0, 0.0, 0.0)
    rate: float = 10.0
    frames: int = 1
    projection: str = "pinhole"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"a camera needs a name, got {self.name!r}")
        if (fault := _camera_fault(self)) is not None:
            raise InputError(f"camera '{self.name}': {fault}")


def _camera_fault(camera: CameraSpec) -> str | None:
    """What no camera can be, in words."""
    for what in ("width", "height", "frames"):
        value = getattr(camera, what)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= MAX_SIDE:
            return f"its {what} must be a whole number from 1 to {MAX_SIDE}, got {value!r}"
    if camera.width * camera.height * camera.frames > MAX_PICTURES:
        size = f"{camera.width} x {camera.height}"
        return f"{camera.frames} frames of {size} are more than {MAX_PICTURES} pixels"
    for what, count in (("intrinsics", 4), ("pose", 6)):
        values = getattr(camera, what)
        if np.shape(values) != (count,) or not is_finite(np.asarray(values)):
            return f"its {what} must be {count} finite numbers, got {values!r}"
    if not (is_finite(np.asarray(camera.rate)) and 0.0 < camera.rate <= 1000.0):
        return f"its rate must be positive and at most 1000 Hz, got {camera.rate!r}"
    if camera.projection not in PROJECTIONS:
        return f"its projection is one of {', '.join(PROJECTIONS)}, got {camera.projection!r}"
    fx, fy, cx, cy = camera.intrinsics
    for focal, side in ((fx, camera.width), (fy, camera.height)):
        # From 0.3 to 175 degrees of view.
        if not 0.0225 * side <= focal <= 200.0 * side:
            low, high = 0.0225 * side, 200.0 * side
            return f"a focal length of {focal:g} pixels is out of reach: give {low:g} to {high:g}"
    for centre, side in ((cx, camera.width), (cy, camera.height)):
        if not -10.0 * side <= centre <= 11.0 * side:
            return f"its principal point ({cx:g}, {cy:g}) lies too far outside the picture"
    if camera.projection == "cylinder" and camera.width / fx > 2.0 * np.pi + 1e-6:
        return f"{camera.width} pixels at {fx:g} a radian go more than once around"
    x, y, z, *angles = camera.pose
    if max(abs(x), abs(y)) > FARTHEST_CAMERA or not 0.0 < z <= HIGHEST_CAMERA:
        return (
            f"it sits at ({x:g}, {y:g}, {z:g}) m: at most {FARTHEST_CAMERA:g} m from the rear axle, and "
            f"above the road by up to {HIGHEST_CAMERA:g} m"
        )
    if max(abs(angle) for angle in angles) > 2.0 * np.pi:
        return f"its angles are in radians, got {tuple(angles)}"
    return None
