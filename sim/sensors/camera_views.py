"""Named cameras, panoramas of them, and what turning the ego does to a panorama.

All sit over the rear axle, so that turning the ego about it turns the cameras in place.

The pinhole views of 60 degrees meet at their edges: a ray at the edge of one is at the same height in the
next, hence `panorama` is continuous there. Within a view columns are even in the tangent of the angle and
not in the angle: a shifted panorama is that of a turned ego only for whole views (multiples of 60 degrees);
in between it is off by up to 0.039 rad. `AROUND` is a cylinder: its columns are even in the angle, and
`turned` is exact for whole columns, of 0.47 degrees each.
"""

from __future__ import annotations

from dataclasses import replace
from math import pi, tan
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.planner import CameraSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

HEIGHT, WIDTH = 96, 128
ROOF = 1.6
"""m above the road."""


def _view(name: str, yaw: float, angle: float = pi / 3.0) -> CameraSpec:
    focal = 0.5 * WIDTH / tan(0.5 * angle)
    numbers = (focal, focal, 0.5 * WIDTH, 0.5 * HEIGHT)
    return CameraSpec(name, WIDTH, HEIGHT, numbers, (0.0, 0.0, ROOF, 0.0, 0.0, yaw))


FRONT_LEFT = _view("front_left", pi / 3.0)
FRONT = _view("front", 0.0)
FRONT_RIGHT = _view("front_right", -pi / 3.0)
BACK = _view("back", pi)
FRONT_FAR = _view("front_far", 0.0, pi / 6.0)
"""The middle 30 degrees of what lies ahead, twice as large."""
VIEWS = (FRONT_LEFT, FRONT, FRONT_RIGHT)
"""From left to right; stitched they are 96 x 384."""
AROUND = CameraSpec(
    "around",
    6 * WIDTH,
    HEIGHT,
    (6 * WIDTH / (2.0 * pi), 6 * WIDTH / (2.0 * pi), 3.0 * WIDTH, 0.5 * HEIGHT),
    (0.0, 0.0, ROOF, 0.0, 0.0, 0.0),
    projection="cylinder",
)
"""All around, ahead in the middle: 96 x 768."""
BY_NAME = {spec.name: spec for spec in (*VIEWS, BACK, FRONT_FAR, AROUND)}


def named(name: str, size: tuple[int, int] | None = None) -> CameraSpec:
    """A camera of `BY_NAME`, of another `size` (width, height) where one is given: its columns then span the
    same angle, and pixels stay square. Raises InputError for other names and sizes.
    """
    if name not in BY_NAME:
        raise UnknownNameError("camera", name, BY_NAME)
    spec = BY_NAME[name]
    if size is None:
        return spec
    width, height = size
    focal = spec.intrinsics[0] * width / spec.width
    return replace(spec, width=width, height=height, intrinsics=(focal, focal, 0.5 * width, 0.5 * height))


def panorama(images: Mapping[str, Image], views: Sequence[CameraSpec] = VIEWS) -> Image:
    """Pictures `(..., height, width, 3)` by name, side by side in the order of `views`, from left to right.

    Raises InputError for a view that is not among them, or of another height.
    """
    missing = [view.name for view in views if view.name not in images]
    if missing or not views:
        raise InputError(f"a panorama lacks the view {', '.join(missing) or 'of any camera'}")
    found = [images[view.name] for view in views]
    if len({(image.shape[:-2], image.shape[-1]) for image in found}) > 1:
        raise InputError(f"the views of a panorama differ in height: {[image.shape for image in found]}")
    return np.concatenate(found, axis=-2)


def turned(image: Image, angle: float) -> tuple[Image, float]:
    """A picture `(..., height, width, 3)` all around, after the camera has turned left by about `angle` rad.

    Returns it and the angle by which it is turned exactly: that of the nearest whole number of columns. Of a
    ring of pinhole views this holds for whole views.
    """
    width = image.shape[-2]
    columns = round(angle * width / (2.0 * pi))
    return np.roll(image, columns, axis=-2), columns * 2.0 * pi / width


def ahead(image: Image, share: float = 0.5) -> Image:
    """The middle of a picture all around `(..., height, width, 3)`: half of it is what lies ahead."""
    width = image.shape[-2]
    if not 0.0 < share <= 1.0:
        raise InputError(f"a picture's middle is a share of it from 0 to 1, got {share}")
    cut = (width - max(round(share * width), 1)) // 2
    return image[..., cut : width - cut, :]
