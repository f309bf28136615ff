"""What the real client's sensors say against our server. Run as `carla_senses.py PORT CASE`."""

from __future__ import annotations

import math
import queue
import time
from typing import Any

import carla
from carla_client import Found, car, join, leave, main

SENSORS = {
    "gnss": "sensor.other.gnss",
    "imu": "sensor.other.imu",
    "lidar": "sensor.lidar.ray_cast",
    "semantic": "sensor.lidar.ray_cast_semantic",
    "radar": "sensor.other.radar",
    "rgb": "sensor.camera.rgb",
    "depth": "sensor.camera.depth",
    "classes": "sensor.camera.semantic_segmentation",
    "instances": "sensor.camera.instance_segmentation",
}


def _told(name: str, data: Any) -> Any:
    if name == "gnss":
        return [data.latitude, data.longitude, data.altitude]
    if name == "imu":
        return [data.accelerometer.x, data.accelerometer.z, data.gyroscope.z, data.compass]
    if name == "lidar":
        counts = [data.get_point_count(c) for c in range(data.channels)]
        return [data.channels, len(data), sum(counts), all(math.isfinite(d.point.x) for d in data)]
    if name == "semantic":
        return [data.channels, len(data), sorted({d.object_tag for d in data})]
    if name == "radar":
        return [len(list(data)), all(math.isfinite(d.depth) for d in data)]
    return [data.width, data.height, data.fov, len(data.raw_data)]


def sensors(port: int) -> Found:
    _, world = join(port)
    library = world.get_blueprint_library()
    mine = car(world)
    ahead = mine.get_transform()
    world.tick()
    ahead = carla.Transform(
        mine.get_location() + mine.get_transform().get_forward_vector() * 12.0, mine.get_transform().rotation
    )
    ahead.location.z += 0.5
    other = world.try_spawn_actor(library.find("vehicle.audi.tt"), ahead)
    queues: dict[str, queue.Queue[Any]] = {}
    started = []
    for name, blueprint in SENSORS.items():
        print_ = library.find(blueprint)
        if "camera" in blueprint:
            print_.set_attribute("image_size_x", "64")
            print_.set_attribute("image_size_y", "48")
        sensor = world.spawn_actor(print_, carla.Transform(carla.Location(x=0.5, z=2.0)), attach_to=mine)
        queues[name] = queue.Queue()
        sensor.listen(queues[name].put)
        started.append(sensor)
    out: Found = {"parent": started[0].parent.id == mine.id, "other": other is not None}
    got: Found = {}
    while any(q.empty() for q in queues.values()):  # on a busy machine a stream takes its time to be there
        world.tick()
        time.sleep(0.05)
    for _ in range(5):
        frame = world.tick()
        got = {name: q.get(timeout=300.0) for name, q in queues.items()}
        while got["gnss"].frame < frame:  # records of the ticks while the sensors were made
            got["gnss"] = queues["gnss"].get(timeout=60.0)
    out["frames"] = {name: data.frame <= frame for name, data in got.items()}
    out["apart"] = got["lidar"].transform.location.distance(mine.get_location())
    out["told"] = {name: _told(name, data) for name, data in got.items()}
    town = world.get_map()
    here = town.transform_to_geolocation(started[0].get_location())
    out["geo"] = [here.latitude, here.longitude, here.altitude]
    for sensor in started:
        sensor.stop()
        sensor.destroy()
    world.tick()
    out["left"] = len(world.get_actors().filter("sensor.*"))
    leave(world)
    return out


def crash(port: int) -> Found:
    """Collision, obstacle and lane invasion: full throttle into a parked car, then across the lines."""
    _, world = join(port)
    library = world.get_blueprint_library()
    mine = car(world)
    world.tick()
    here = mine.get_transform()
    wall = world.spawn_actor(
        library.find("vehicle.audi.tt"),
        carla.Transform(
            here.location + here.get_forward_vector() * 20.0 + carla.Location(z=0.3), here.rotation
        ),
    )
    wall.apply_control(carla.VehicleControl(hand_brake=True))
    hits: list[Any] = []
    obstacles: list[Any] = []
    lines: list[Any] = []
    kept: list[Any] = []  # a sensor that nobody holds ends
    for blueprint, into in (
        ("sensor.other.collision", hits),
        ("sensor.other.obstacle", obstacles),
        ("sensor.other.lane_invasion", lines),
    ):
        print_ = library.find(blueprint)
        if print_.has_attribute("only_dynamics"):
            print_.set_attribute("only_dynamics", "true")
            print_.set_attribute("distance", "10")
        kept.append(world.spawn_actor(print_, carla.Transform(carla.Location(x=2.0, z=0.7)), attach_to=mine))
        kept[-1].listen(into.append)
    mine.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(120):
        world.tick()
    gap = mine.get_location().distance(wall.get_location())
    wall.destroy()
    mine.apply_control(carla.VehicleControl(throttle=0.8, steer=-0.6))
    for _ in range(80):
        world.tick()
    time.sleep(0.2)
    for sensor in kept:
        sensor.stop()
    out = {
        "hits": len(hits),
        "who": [hits[0].actor.id == mine.id, hits[0].other_actor.id == wall.id] if hits else [],
        "impulse": hits[0].normal_impulse.length() if hits else 0.0,
        "gap": gap,
        "obstacles": len(obstacles),
        "distance": obstacles[0].distance if obstacles else -1.0,
        "lines": len(lines),
        "marks": [str(m.type) for m in lines[0].crossed_lane_markings] if lines else [],
    }
    leave(world)
    return out


if __name__ == "__main__":
    main(globals())
