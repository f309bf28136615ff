"""Scenes of a score in one set of arrays, for a launch over (scene, candidate)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.sim.cuda.device import gpu, upload_all
from drive.sim.kernels.scene_arrays import POOLED, SPANS, SceneArrays
from drive.sim.kernels.score import FAR
from drive.sim.score_scene import ScoreScene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class DeviceScenes:
    """S scenes on the device; their agents are known for `steps` steps and padded to `agents`."""

    count: int
    steps: int
    agents: int
    arrays: SceneArrays


def upload_scenes(scenes: ScoreScene | Sequence[ScoreScene]) -> DeviceScenes:
    """Copy what candidates are scored against to the GPU; arrays that scenes share are copied once.

    Raises MissingExtraError without the extra `cuda`, InputError without a GPU or on agents that do not fit.
    """
    gpu()
    several = (scenes,) if isinstance(scenes, ScoreScene) else tuple(scenes)
    if not several:
        raise InputError("candidates are scored against one scene or more, got none")
    most = max(one.padded(1, k) for k, one in enumerate(several))
    steps = min(one.agents.track.shape[1] for one in several)
    return DeviceScenes(len(several), steps, most, upload_all(pack_scenes(several, steps, most)))


class _Pool:
    """Arrays one after another; one that is equal to an earlier one is not put in again."""

    def __init__(self) -> None:
        self.parts: list[NDArray[Any]] = []
        self.spans: dict[bytes, tuple[int, int]] = {}
        self.length = 0

    def put(self, array: NDArray[Any]) -> tuple[int, int]:
        key = _digest(array)
        if key not in self.spans:
            self.spans[key] = (self.length, self.length + len(array))
            self.parts.append(array)
            self.length += len(array)
        return self.spans[key]

    def joined(self) -> NDArray[Any]:
        return np.concatenate(self.parts)


def _digest(array: NDArray[Any]) -> bytes:
    return blake2b(array.tobytes(), digest_size=16).digest() + bytes(str(array.shape), "ascii")


def pack_scenes(scenes: Sequence[ScoreScene], steps: int, agents: int) -> SceneArrays:
    """The scenes as the kernel reads them, their agents cut to `steps` steps and padded to `agents`."""
    count = len(scenes)
    span = np.zeros((count, SPANS), dtype=np.int64)
    track = np.zeros((count, 5, steps, agents), dtype=np.float32)
    track[:, :2], track[:, 2] = FAR, 1.0
    extent = np.zeros((count, 3, agents), dtype=np.float32)
    penalty = np.zeros((count, agents), dtype=np.float32)
    skip = np.zeros((count, agents), dtype=np.uint8)
    pools = {name: _Pool() for name in POOLED}
    grids: dict[bytes, int] = {}
    cells: list[NDArray[np.uint8]] = []
    for k, one in enumerate(scenes):
        a, g = one.area, one.lanes
        which = grids.setdefault(_digest(a.state), len(cells))
        if which == len(cells):
            cells.append(a.state)
        parts: tuple[NDArray[Any], ...] = (
            a.start, a.triangles, a.corners, g.start, g.segments, g.left, g.right, g.lane, g.flags, one.line,
            one.station,
        )  # fmt: skip
        spans = [pool.put(part) for pool, part in zip(pools.values(), parts, strict=True)]
        span[k] = (which, *a.state.shape, *(end for pair in spans for end in pair))
        n = one.agents.extent.shape[1]
        track[k, :, :, :n] = one.agents.track[:, :steps]
        extent[k, :, :n], penalty[k, :n], skip[k, :n] = one.agents.extent, one.agents.penalty, one.agents.skip
    state = np.zeros((len(cells), *(max(c.shape[i] for c in cells) for i in (0, 1))), dtype=np.uint8)
    for m, c in enumerate(cells):
        state[m, : c.shape[0], : c.shape[1]] = c
    joined = {name: pool.joined() for name, pool in pools.items()}
    frame = [(s.area.x0, s.area.y0, s.area.cell, s.lanes.x0, s.lanes.y0, s.lanes.cell) for s in scenes]
    return SceneArrays(
        span=span,
        frame=np.array(frame, dtype=np.float32),
        ego=np.stack([s.ego for s in scenes]),
        track=track,
        extent=extent,
        penalty=penalty,
        skip=skip,
        cells=state,
        lane_shape=np.stack([s.lanes.shape for s in scenes]),
        shift=np.stack([s.shift for s in scenes]),
        window=np.stack([s.window for s in scenes]),
        **joined,
    )
