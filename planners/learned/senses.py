"""What a network is shown of an observation, by the kind of its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.nn.scene import stack_scenes
from drive.sim.sensors.vector import VectorSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.nn.encoders import EncoderSettings
    from drive.nn.scene import SceneArrays
    from drive.nn.tokens import SceneBatch
    from drive.planner import CameraSpec, Observation
    from drive.scenario import Task


class Moment(NamedTuple):
    """One observation as arrays; `lack` says why it cannot be decided upon, "" where it can."""

    scene: SceneArrays
    raster: NDArray[np.uint8] | None = None
    images: NDArray[np.uint8] | None = None
    lack: str = ""


@dataclass(slots=True, eq=False)
class Senses:
    """The sensors of one session: the scene's arrays always, a raster or pictures where the encoder reads
    those."""

    vector: VectorSensor
    raster: Any = None
    cameras: tuple[CameraSpec, ...] = ()

    @classmethod
    def start(cls, task: Task, encoder: EncoderSettings, cameras: Sequence[CameraSpec] = ()) -> Senses:
        raster = None
        if encoder.kind == "raster":
            from drive.sim.sensors.raster import RasterSensor, RasterSettings

            raster = RasterSensor.start(task, RasterSettings())
        return cls(
            VectorSensor.start(task, encoder.sizes),
            raster,
            tuple(cameras) if encoder.kind == "image" else (),
        )

    def sense(self, observation: Observation) -> Moment:
        scene = self.vector.sense(observation)
        lack = ""
        if not (scene.route_valid.any() or scene.lanes_valid.any()):
            lack = "no road in sight"
        elif not all(np.isfinite(array).all() for array in scene):
            lack = "what is sensed is not finite"
        raster = None if self.raster is None else self.raster.sense(observation)
        images = None
        missing = [c.name for c in self.cameras if c.name not in observation.images]
        if missing:
            lack = lack or f"no picture of camera '{missing[0]}'"
        elif self.cameras:
            images = np.stack([observation.images[c.name][-1] for c in self.cameras])
        return Moment(scene, raster, images, lack)


def without_tail(scene: SceneArrays) -> SceneArrays:
    """Moments without the agents, lanes and edges behind the last valid one of all: each is a token less."""
    agents, lanes, edges = (
        int(np.flatnonzero(valid.any(0))[-1]) + 1 if valid.any() else 1
        for valid in (scene.agents_valid[..., -1], scene.lanes_valid, scene.edges_valid)
    )
    return scene._replace(
        agents=scene.agents[:, :agents],
        agents_valid=scene.agents_valid[:, :agents],
        bodies=scene.bodies[:, :agents],
        lanes=scene.lanes[:, :lanes],
        lane_info=scene.lane_info[:, :lanes],
        lanes_valid=scene.lanes_valid[:, :lanes],
        edges=scene.edges[:, :edges],
        edges_valid=scene.edges_valid[:, :edges],
    )


def batch_of(moments: Sequence[Moment], device: str) -> SceneBatch:
    """Moments of one kind as a batch of tensors on a device."""
    from drive.nn._torch import torch
    from drive.nn.tokens import SceneBatch, scene_tensors

    stacked = stack_scenes([m.scene for m in moments])
    # Elsewhere, shapes that change cost more than tokens that nobody looks at.
    scene = scene_tensors(without_tail(stacked) if device == "cpu" else stacked, device)
    rasters = [m.raster for m in moments if m.raster is not None]
    images = [m.images for m in moments if m.images is not None]
    return SceneBatch(
        scene=scene,
        raster=torch.from_numpy(np.stack(rasters)).to(device) if rasters else None,
        images=torch.from_numpy(np.stack(images)).to(device) if images else None,
        ego=scene.ego,
    )
