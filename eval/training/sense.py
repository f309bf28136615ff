"""The sensors of a training set: what each field of a moment is made by, and its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.nn.store import Field
from drive.sim.forecast.movers import SHAPES, sensed
from drive.sim.observe import Record
from drive.sim.sensors.camera import CameraRig
from drive.sim.sensors.camera import Moment as Lit
from drive.sim.sensors.camera_views import named
from drive.sim.sensors.past import past_poses, past_rows
from drive.sim.sensors.raster import RASTER_CHANNELS, RasterSensor, RasterSettings
from drive.sim.sensors.vector import VectorSensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drive.nn.store import DataRequest
    from drive.planner import Observation
    from drive.runlog import RunLog
    from drive.scenario import Task

    Rows = dict[str, NDArray[Any]]
    Sense = Callable[[Observation], Rows]


def sensor_fields(request: DataRequest) -> dict[str, Field]:
    """The fields of the sensors whose shapes are theirs to know."""
    out: dict[str, Field] = {}
    if "raster" in request.sensors:
        cells = RasterSettings().cells
        out["raster"] = Field("|u1", (len(RASTER_CHANNELS), cells, cells))
    if "image" in request.sensors:
        width, height = request.picture
        frames = () if request.frames == 1 else (request.frames,)
        out["images"] = Field("|u1", (len(request.cameras), *frames, height, width, 3))
    if "past" in request.sensors:
        out["past"] = Field("<f4", (request.sizes.history - 1, 3))
    if "movers" in request.sensors:
        for name, (shape, kind) in SHAPES.items():
            out[f"movers.{name}"] = Field(np.dtype(kind).str, shape)
    return out


def sensing(request: DataRequest, task: Task, run: RunLog) -> list[Sense]:
    """Functions of an observation of the run, or of one beside it, that give the sensors' fields.

    Calls come in the order of time.
    """
    found: list[Sense] = []
    if "vector" in request.sensors:
        vector = VectorSensor.start(task, request.sizes)
        found.append(lambda o: {f"scene.{name}": a for name, a in vector.sense(o)._asdict().items()})
    if "raster" in request.sensors:
        raster = RasterSensor.start(task)
        found.append(lambda o: {"raster": raster.sense(o)})
    if "image" in request.sensors:
        found.append(_pictures(request, run))
    if "past" in request.sensors:
        found.append(lambda o: {"past": past_poses(o.ego_history, request.sizes, run.dt)})
    if "movers" in request.sensors:
        found.append(lambda o: dict(sensed(o, run)))
    return found


def _pictures(request: DataRequest, run: RunLog) -> Sense:
    assert run.roadmap is not None
    views = tuple(named(name, request.picture) for name in request.cameras)
    rig = CameraRig.of(views, run.roadmap, run.agent_size, run.agent_kind, own=-1)
    record = Record(run.agents.swapaxes(0, 1), run.agent_valid.T, run.signals)

    def sense(o: Observation) -> Rows:
        known = len(o.ego_history)
        rows = past_rows(known, request.sizes, run.dt)[-request.frames :]
        taken = []
        for row in rows.tolist():
            lit = Lit.of(record, max(o.step - (known - 1 - row), 0), run.dt)
            taken.append([rig.shoot(k, o.ego_history[row], lit) for k in range(len(views))])
        images = np.stack([np.stack(frame) for frame in taken], axis=1)
        return {"images": images[:, 0] if request.frames == 1 else images}

    return sense
