"""What the world's sensors measured, as the records of their streams.

The client casts a record to what its type index says without a look, and ends its process when msgpack finds
something else inside: each of these is tested against the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.actors import packed_actor
from drive.sim.carla.wire import records
from drive.sim.carla.wire.messages import pack

if TYPE_CHECKING:
    from drive.sim.carla.server import Server


def record_of(server: Server, sensor: int, kind: str, data: Any) -> bytes | None:
    """The payload behind the header of sensor `sensor`, None for one that the client makes itself.

    `data` by kind: gnss (latitude, longitude, altitude); imu (acceleration, angular velocity, compass);
    collision (the other actor, impulse); obstacle (the other actor, distance); radar (N, 4); lidar (points,
    points a channel, angle); cameras (picture, field of view).
    """
    if kind == "gnss":
        return pack([float(v) for v in data])
    if kind == "imu":
        acceleration, turn, compass = data
        return pack([[float(v) for v in acceleration], [float(v) for v in turn], float(compass)])
    if kind in ("collision", "obstacle"):
        other, how = data
        own = server.world.actor(sensor).parent or sensor
        pair = [packed_actor(server, number) for number in (own, int(other))]
        return pack([*pair, [float(v) for v in how] if kind == "collision" else float(how)])
    if kind == "radar":
        return records.radar(data)
    if kind.startswith("lidar."):
        return records.lidar(*data)
    if kind.startswith("camera."):
        return records.image(*data)
    return None
