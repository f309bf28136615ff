"""The binary records of the streaming port, packed and little-endian.

Layouts as CARLA's client reads them (LibCarla/source/carla/sensor/s11n and streaming/detail, MIT, read for
facts): a header of 48 bytes heads every record; the world observer's goes on with 36 bytes of the episode and
119 bytes an actor, which the world's own snapshot has (drive.sim.carla.kernels.layout.ACTOR_STATE).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER = struct.Struct("<QQd6f")
_OBSERVED = struct.Struct("<IQQd24xQdf12xI")
_LENGTH = struct.Struct("<I")
_TOKEN = struct.Struct("<IHBB16s")
_IMAGE = struct.Struct("<IIf")

MAP_CHANGED = 1
"""A flag of an episode: the first snapshot after a change of map; the client asks for the map again."""


def header(sensor_type: int, frame: int, seconds: float, transform: Any) -> bytes:
    """What heads each record. `transform` (6,): where the sensor is."""
    return _HEADER.pack(sensor_type, frame, seconds, *transform)


def framed(record: bytes) -> bytes:
    """A record as the streaming port sends it, behind its length."""
    return _LENGTH.pack(len(record)) + record


def observed(
    message: memoryview,
    kind: int,
    frame: int,
    seconds: float,
    episode: int,
    now: float,
    dt: float,
    flags: int,
) -> None:
    """Fill in what leads in the world observer's `message`: its length, the header, and the `episode`.

    The actors' records follow, and are there already (drive.sim.carla.kernels.layout.LEAD). The map's origin
    is that of the map's own frame; so is the place of the observer.
    """
    _OBSERVED.pack_into(
        message, 0, len(message) - _LENGTH.size, kind, frame, seconds, episode, now, dt, flags
    )


def token(stream: int, port: int, address: tuple[int, int, int, int]) -> bytes:
    """Where a stream is had: 24 bytes that the client keeps and hands to its socket."""
    return _TOKEN.pack(stream, port, 1, 1, bytes(address) + bytes(12))


def stream_of(token: bytes) -> int:
    """The stream's number in a token."""
    return int(_TOKEN.unpack(token)[0])


def image(picture: NDArray[np.uint8], field_of_view: float) -> bytes:
    """A camera's record: `picture` (H, W, 4) in the order blue, green, red, alpha."""
    height, width = picture.shape[:2]
    return _IMAGE.pack(width, height, field_of_view) + np.ascontiguousarray(picture).tobytes()


def lidar(points: NDArray[Any], per_channel: NDArray[Any], angle: float) -> bytes:
    """A lidar's record, plain `(P, 4)` x, y, z, intensity, or of `SEMANTIC_POINT`; channel by channel."""
    head = struct.pack("<fI", angle, len(per_channel)) + np.asarray(per_channel, "<u4").tobytes()
    return head + (points if points.dtype.names else np.asarray(points, "<f4")).tobytes()


def radar(detections: NDArray[Any]) -> bytes:
    """A radar's record: `(N, 4)` velocity (m/s, away is positive), azimuth, altitude (rad), depth (m)."""
    return np.asarray(detections, "<f4").tobytes()
