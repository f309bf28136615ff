"""Cameras by name, views stitched and cut, and cameras that cannot be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from drive.errors import InputError
from drive.planner import CameraSpec, PlannerSpec
from drive.sim.sensors.camera_views import (
    BACK,
    FRONT,
    FRONT_LEFT,
    FRONT_RIGHT,
    ahead,
    named,
    panorama,
    turned,
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": " "}, "needs a name"),
        ({"width": 0}, "width must be a whole number"),
        ({"height": 96.0}, "height must be a whole number"),
        ({"width": 10**6}, "width must be a whole number from 1 to 4096"),
        ({"frames": True}, "frames must be a whole number"),
        ({"width": 4096, "height": 4096, "frames": 9}, "more than 64000000 pixels"),
        ({"intrinsics": (100.0, 100.0, 64.0)}, "intrinsics must be 4 finite numbers"),
        ({"intrinsics": (math.nan, 100.0, 64.0, 48.0)}, "intrinsics must be 4 finite numbers"),
        ({"intrinsics": (-100.0, 100.0, 64.0, 48.0)}, "focal length of -100 pixels is out of reach"),
        ({"intrinsics": (100.0, 1e9, 64.0, 48.0)}, "focal length of 1e.09 pixels is out of reach"),
        ({"intrinsics": (100.0, 100.0, 1e9, 48.0)}, "principal point"),
        ({"pose": (0.0, 0.0, 1.5, 0.0, 0.0, math.inf)}, "pose must be 6 finite numbers"),
        ({"pose": (0.0, 0.0, 1.5, 0.0, 0.0, 180.0)}, "angles are in radians"),
        ({"pose": (0.0, 0.0, -0.5, 0.0, 0.0, 0.0)}, "above the road"),
        ({"pose": (99.0, 0.0, 1.5, 0.0, 0.0, 0.0)}, "at most 10 m from the rear axle"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"rate": "fast"}, "rate must be positive"),
        ({"projection": "fisheye"}, "projection is one of pinhole, cylinder"),
        ({"projection": "cylinder", "width": 768}, "more than once around"),
    ],
)
def test_cameras_that_cannot_be_are_refused_in_one_line(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        CameraSpec(**{"name": "c", "width": 128, "intrinsics": (100.0, 100.0, 64.0, 48.0), **changes})  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_two_cameras_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two of its cameras are called 'front'"):
        PlannerSpec("p", cameras=(FRONT, replace(BACK, name="front")))


def test_views_are_stitched_cut_and_named() -> None:
    images = {
        name: np.full((2, 4, 6, 3), k, dtype=np.uint8)
        for k, name in enumerate(("front_left", "front", "front_right"))
    }
    wide = panorama(images)
    assert wide.shape == (2, 4, 18, 3)
    assert wide[1, 2, :, 0].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert panorama(images, (FRONT_RIGHT, FRONT_LEFT))[0, 0, :, 0].tolist() == [2] * 6 + [0] * 6
    with pytest.raises(InputError, match="lacks the view back"):
        panorama(images, (BACK,))
    with pytest.raises(InputError, match="differ in height"):
        panorama({**images, "front": images["front"][:, :2]})
    whole = np.arange(768, dtype=np.uint16)[None, :, None] * np.ones((2, 1, 3), dtype=np.uint16)
    assert ahead(whole)[0, [0, -1], 0].tolist() == [192, 575]
    # A turn to the left brings what was left of the middle into it.
    left, angle = turned(whole, math.pi / 2.0)
    assert angle == pytest.approx(math.pi / 2.0)
    assert left[0, 384, 0] == 192
    spec = named("front", (640, 480))
    assert math.degrees(2.0 * math.atan(0.5 * spec.width / spec.intrinsics[0])) == pytest.approx(60.0)
    with pytest.raises(InputError, match="did you mean 'back'"):
        named("bakc")
