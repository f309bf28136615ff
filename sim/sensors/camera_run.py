"""What a camera would have seen of a run, from its log: no picture is stored with a run."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError, RunLogError
from drive.files import write_whole
from drive.sim.observe import Record
from drive.sim.sensors.camera import CameraRig, Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from drive.planner import CameraSpec
    from drive.runlog import RunLog

    Image = NDArray[np.uint8]


def render_run(log: RunLog, camera: CameraSpec, samples: Iterable[int] | None = None) -> Iterator[Image]:
    """Pictures `(height, width, 3)` of a camera on the ego, one for each of the log's `samples` (all of them).

    Bit for bit those that a planner with this camera was given in that run. Raises InputError for a run on
    terrain, and for samples that the log does not have.
    """
    if log.roadmap is None:
        raise InputError(f"{log!r} is on terrain: cameras see roads")
    states, lights = len(log.signals), len(log.roadmap.signal_ids)
    if states != lights:
        raise RunLogError(f"{log!r} has states of {states} signals, its map has {lights} of them")
    record = Record(log.agents.swapaxes(0, 1), log.agent_valid.T, log.signals)
    rig = CameraRig.of((camera,), log.roadmap, log.agent_size, log.agent_kind, own=-1)
    wanted = range(len(log.times)) if samples is None else samples
    return _rendered(rig, log, record, wanted)


def _rendered(rig: CameraRig, log: RunLog, record: Record, samples: Iterable[int]) -> Iterator[Image]:
    for sample in samples:
        if not 0 <= sample < len(log.times):
            raise InputError(f"{log!r} has no sample {sample}")
        yield rig.shoot(0, log.ego[sample], Moment.of(record, sample, log.dt))


def png(image: Image) -> bytes:
    """A picture `(height, width, 3)` as the bytes of a PNG file (RFC 2083, no filter)."""
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = np.ascontiguousarray(image, dtype=np.uint8).reshape(height, -1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def save_png(path: str | Path, image: Image) -> Path:
    """Write a picture `(height, width, 3)` as a PNG file; returns its path."""
    return write_whole(Path(path), png(image))
