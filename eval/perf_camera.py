"""What of the cameras is timed: a frame of three views while the ego drives on, small and wide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.perf import Row
from drive.eval.perf_scenes import AGENTS, busy_road
from drive.sim.observe import Record
from drive.sim.sensors.camera import CameraRig, Moment
from drive.sim.sensors.camera_views import HEIGHT, VIEWS, WIDTH, named

if TYPE_CHECKING:
    from drive.planner import CameraSpec
    from drive.scenario import Scenario

FRAMES = 20


def camera_rows() -> list[Row]:
    """Rows of `drive perf`."""
    about = f"front left, front, front right, {AGENTS} agents; ego at 10 m/s"
    wide = tuple(
        replace(
            named(view.name, (3 * WIDTH, HEIGHT)), intrinsics=(*2 * (view.intrinsics[0],), 1.5 * WIDTH, 48.0)
        )
        for view in VIEWS
    )
    return [
        Row(name, "frame", _drive(views), float(FRAMES), f"{size}: {about}")
        for name, views, size in (
            ("camera", VIEWS, f"3 views of {HEIGHT} x {WIDTH}"),
            ("camera/wide", wide, f"3 views of {HEIGHT} x {3 * WIDTH}"),
        )
    ]


def _drive(views: tuple[CameraSpec, ...]) -> Callable[[], Callable[[], Any]]:
    return lambda: lambda: frames(views)


@lru_cache(maxsize=1)
def _scene() -> tuple[Scenario, Record]:
    scene = busy_road(0)
    t = scene.tracks
    return scene, Record(t.states.swapaxes(0, 1).copy(), t.valid.T.copy(), scene.signals)


@lru_cache(maxsize=2)
def _rig(views: tuple[CameraSpec, ...]) -> CameraRig:
    scene, _ = _scene()
    return CameraRig.of(views, scene.roadmap, scene.tracks.size, scene.tracks.kind, scene.ego)


def frames(views: tuple[CameraSpec, ...]) -> int:
    """Take `FRAMES` frames of all views, one a step; the number of bright pixels in them."""
    (scene, record), rig = _scene(), _rig(views)
    poses = scene.tracks.rear_axle_poses(scene.ego)
    bright = 0
    for k in range(FRAMES):
        now = Moment.of(record, k, scene.dt)
        for which in range(len(views)):
            bright += int(np.count_nonzero(rig.shoot(which, poses[k], now) > 250))
    return bright
