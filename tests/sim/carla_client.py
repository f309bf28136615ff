"""What the real client does against our server, one case a process: a wrong record would end the process.

Run as `carla_client.py PORT CASE [ARGUMENT ...]`; prints what was found as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import struct
import sys
import time
from itertools import pairwise
from typing import Any

import carla

Found = dict[str, Any]


def join(port: int, synchronous: bool = True) -> tuple[Any, Any]:
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(60.0)
    world = client.get_world()
    if synchronous:
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
    return client, world


def leave(world: Any) -> None:
    for actor in world.get_actors():
        if actor.type_id.startswith(("vehicle.", "walker.", "sensor.", "static.", "controller.")):
            actor.destroy()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


def car(world: Any, at: int = 0, name: str = "vehicle.tesla.model3", role: str = "hero") -> Any:
    print_ = world.get_blueprint_library().find(name)
    print_.set_attribute("role_name", role)
    return world.spawn_actor(print_, world.get_map().get_spawn_points()[at])


def place(actor: Any) -> list[float]:
    where = actor.get_transform()
    return [where.location.x, where.location.y, where.location.z, where.rotation.yaw]


def connect(port: int) -> Found:
    client, world = join(port, synchronous=False)
    town = world.get_map()
    first = world.wait_for_tick(5.0).frame
    return {
        "versions": [client.get_server_version(), client.get_client_version()],
        "map": town.name,
        "available": client.get_available_maps(),
        "topology": len(town.get_topology()),
        "points": len(town.get_spawn_points()),
        "offsets": [
            (p.location - town.get_waypoint(p.location).transform.location).length()
            for p in town.get_spawn_points()
        ],
        "settings": [world.get_settings().synchronous_mode, world.get_settings().no_rendering_mode],
        "ticks_alone": world.wait_for_tick(5.0).frame > first,
        "spectator": world.get_spectator().type_id,
        "boxes": len(world.get_level_bbs()),
        "objects": len(world.get_environment_objects()),
        "lights": len(world.get_lightmanager().get_all_lights()),
    }


def blueprints(port: int) -> Found:
    _, world = join(port, synchronous=False)
    library = world.get_blueprint_library()
    model3 = library.find("vehicle.tesla.model3")
    color = model3.get_attribute("color")
    return {
        "counts": {
            kind: len(library.filter(f"{kind}.*")) for kind in ("vehicle", "walker", "static", "sensor")
        },
        "wheels": int(model3.get_attribute("number_of_wheels")),
        "colors": len(color.recommended_values),
        "red_green_blue": [color.as_color().r, color.as_color().g, color.as_color().b],
        "range": float(library.find("sensor.lidar.ray_cast").get_attribute("range")),
        "every_attribute": sum(len(list(entry)) for entry in library),
    }


def spawn(port: int) -> Found:
    _, world = join(port)
    out: Found = {}
    mine = car(world)
    out["before_tick"] = place(mine)
    point = world.get_map().get_spawn_points()[0]
    out["again"] = world.try_spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), point) is None
    try:
        car(world)
        out["raises"] = ""
    except RuntimeError as error:
        out["raises"] = str(error)
    for _ in range(20):
        world.tick()
    out["apart"] = mine.get_location().distance(point.location)
    out["yaw"] = abs((mine.get_transform().rotation.yaw - point.rotation.yaw + 180) % 360 - 180)
    out["alive"], out["type"], out["role"] = mine.is_alive, mine.type_id, mine.attributes["role_name"]
    box = mine.bounding_box
    out["box"] = [box.extent.x, box.extent.y, box.extent.z, box.location.z]
    out["tags"] = list(mine.semantic_tags)
    physics = mine.get_physics_control()
    out["physics"] = [physics.mass, len(physics.wheels), len(physics.steering_curve), physics.max_rpm]
    physics.mass = 2345.0
    mine.apply_physics_control(physics)
    out["new_mass"] = mine.get_physics_control().mass
    found = world.get_actors().filter("vehicle.*")
    out["found"] = [actor.id == mine.id for actor in found]
    out["destroyed"] = mine.destroy()
    world.tick()
    out["left"] = len(world.get_actors().filter("vehicle.*"))
    leave(world)
    return out


def control(port: int) -> Found:
    _, world = join(port)
    mine = car(world)
    world.tick()
    start = mine.get_transform()
    mine.apply_control(carla.VehicleControl(throttle=0.7))
    for _ in range(60):
        world.tick()
    velocity, forward = mine.get_velocity(), mine.get_transform().get_forward_vector()
    out: Found = {
        "moved": mine.get_location().distance(start.location),
        "along": velocity.dot(forward) / max(velocity.length(), 1e-9),
        "speed": velocity.length(),
        "throttle": mine.get_control().throttle,
        "speed_limit": mine.get_speed_limit(),
    }
    mine.apply_control(carla.VehicleControl(throttle=float("nan"), steer=float("nan")))
    world.tick()
    out["after_nan"] = [mine.get_control().throttle, mine.get_control().steer, *place(mine)]
    mine.apply_control(carla.VehicleControl(brake=1.0))
    for _ in range(100):
        world.tick()
    out["stopped"] = mine.get_velocity().length()
    start = mine.get_transform()
    mine.apply_control(carla.VehicleControl(throttle=0.5, reverse=True))
    for _ in range(40):
        world.tick()
    back = mine.get_location() - start.location
    out["backwards"] = back.dot(start.get_forward_vector())
    mine.apply_control(carla.VehicleControl(throttle=0.5, steer=0.5))
    for _ in range(60):
        world.tick()
    turned = (mine.get_transform().rotation.yaw - start.rotation.yaw + 180) % 360 - 180
    out["steer_right_turns"] = turned
    mine.set_transform(start)
    mine.set_target_velocity(carla.Vector3D(0, 0, 0))
    world.tick()
    out["put"] = mine.get_location().distance(start.location)
    mine.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0))
    for _ in range(100):
        world.tick()
    out["ackermann_speed"] = mine.get_velocity().length()
    mine.set_light_state(carla.VehicleLightState(carla.VehicleLightState.Brake))
    world.tick()
    out["lamps"] = int(mine.get_light_state())
    leave(world)
    return out


def ticks(port: int) -> Found:
    _, world = join(port)
    seen: list[int] = []
    number = world.on_tick(lambda snapshot: seen.append(snapshot.frame))
    frames = [world.tick() for _ in range(30)]
    # The client calls back from a thread of its own, which may come after the tick has returned.
    until = time.monotonic() + 5.0
    while frames[-1] not in seen and time.monotonic() < until:
        time.sleep(0.01)
    world.remove_on_tick(number)
    snapshot = world.get_snapshot()
    out = {
        "steps": {b - a for a, b in pairwise(frames)} == {1},
        "callbacks": len(set(seen) & set(frames)),
        "dt": snapshot.timestamp.delta_seconds,
        "frame": snapshot.frame == frames[-1],
        "still": world.get_snapshot().frame,
    }
    time.sleep(0.3)
    out["still"] = world.get_snapshot().frame == out["still"]
    leave(world)
    return out


def batch(port: int) -> Found:
    client, world = join(port)
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    spawns = [
        carla.command.SpawnActor(library.find("vehicle.audi.tt"), point).then(
            carla.command.ApplyVehicleControl(carla.command.FutureActor, carla.VehicleControl(throttle=1.0))
        )
        for point in (points[0], points[-1], points[0])
    ]
    answers = client.apply_batch_sync(spawns, True)
    ids = [a.actor_id for a in answers if not a.error]
    for _ in range(30):
        world.tick()
    speeds = [world.get_actor(i).get_velocity().length() for i in ids]
    controls = [
        carla.command.ApplyVehicleControl(i, carla.VehicleControl(brake=1.0)) for i in (*ids, 4_000_000)
    ]
    answered = client.apply_batch_sync(controls, False)
    nan = carla.command.ApplyVehicleControl(ids[0], carla.VehicleControl(throttle=float("nan")))
    refused = client.apply_batch_sync([nan], False)[0].error
    client.apply_batch([carla.command.DestroyActor(i) for i in ids])
    world.tick()
    out = {
        "spawned": len(ids),
        "error": [a.error for a in answers][2],
        "speeds": speeds,
        "unknown": [bool(a.error) for a in answered],
        "nan": refused,
        "left": len(world.get_actors().filter("vehicle.*")),
    }
    leave(world)
    return out


def walkers(port: int) -> Found:
    client, world = join(port)
    library, point = world.get_blueprint_library(), world.get_map().get_spawn_points()[0]
    walker = world.spawn_actor(library.find("walker.pedestrian.0001"), point)
    world.tick()
    start = walker.get_location()
    direction = carla.Vector3D(1.0, 0.0, 0.0)
    walker.apply_control(carla.WalkerControl(direction, 1.5, False))
    for _ in range(40):
        world.tick()
    moved = walker.get_location() - start
    told = walker.get_control()
    out = {
        "moved": [moved.x, moved.y],
        "told": [told.direction.x, told.speed],
        "tags": list(walker.semantic_tags),
    }
    client.apply_batch_sync([carla.command.ApplyWalkerState(walker.id, point, 1.0)], True)
    out["put"] = walker.get_location().distance(point.location)
    leave(world)
    return out


def lights(port: int) -> Found:
    _, world = join(port)
    found = list(world.get_actors().filter("traffic.traffic_light"))
    light = found[0]
    out: Found = {
        "count": len(found),
        "ids": [bool(x.get_opendrive_id()) for x in found],
        "group": light.id in [x.id for x in light.get_group_traffic_lights()],
        "stops": [len(x.get_stop_waypoints()) for x in found],
        "affected": [len(x.get_affected_lane_waypoints()) for x in found],
        "same": world.get_traffic_light_from_opendrive_id(light.get_opendrive_id()).id == light.id,
        "boxes": len(light.get_light_boxes()) >= 0,
        "extent": [light.trigger_volume.extent.x, light.trigger_volume.extent.y],
    }
    light.set_state(carla.TrafficLightState.Red)
    light.set_green_time(7.0)
    light.freeze(True)
    for _ in range(300):
        world.tick()
    out["frozen"] = [str(light.state), light.is_frozen(), light.get_green_time()]
    light.freeze(False)
    world.reset_all_traffic_lights()
    seen = set()
    for _ in range(1200):
        world.tick()
        seen.add(str(light.state))
    out["cycle"] = sorted(seen)
    leave(world)
    return out


def weather(port: int) -> Found:
    client, world = join(port)
    world.set_weather(carla.WeatherParameters.HardRainSunset)
    world.tick()
    out = {"same": world.get_weather() == carla.WeatherParameters.HardRainSunset}
    other = carla.Client("127.0.0.1", port).get_world()
    out["other"] = other.get_weather() == carla.WeatherParameters.HardRainSunset
    world.debug.draw_string(carla.Location(), "hello")
    world.debug.draw_line(carla.Location(), carla.Location(1, 1, 1))
    world.unload_map_layer(carla.MapLayer.Buildings)
    try:
        client.start_recorder("recording.log")
        out["recorder"] = ""
    except RuntimeError as error:
        out["recorder"] = str(error)
    leave(world)
    return out


def load(port: int, town: str, back: str) -> Found:
    client, world = join(port)
    car(world)
    world.tick()
    other = client.load_world(town)
    out: Found = {
        "map": other.get_map().name,
        "episodes": [world.id, other.id],
        "asynchronous": not other.get_settings().synchronous_mode,
        "vehicles": len(other.get_actors().filter("vehicle.*")),
    }
    try:
        client.load_world("Atlantis")
    except RuntimeError as error:
        out["unknown"] = str(error)
    out["kept"] = client.get_world().get_map().name
    again = client.reload_world()
    out["reload"] = [again.id, again.get_map().name]
    text = again.get_map().to_opendrive()
    generated = client.generate_opendrive_world(text)
    out["generated"] = [generated.get_map().name, len(generated.get_map().get_topology())]
    first = client.load_world(back)
    mine = car(first)
    first.wait_for_tick(5.0)
    out["again"] = [first.get_map().name, mine.is_alive]
    leave(first)
    return out


def two(port: int) -> Found:
    """Two clients in one process: one ticks, the other watches and spawns."""
    _, one = join(port)
    _, other = join(port, synchronous=False)
    mine = car(one)
    yours = car(other, at=-1, role="other")
    frame = one.tick()
    deadline = time.monotonic() + 5.0
    while other.get_snapshot().frame < frame and time.monotonic() < deadline:
        time.sleep(0.01)
    out = {
        "frames": [frame, other.get_snapshot().frame],
        "sees": [other.get_actor(mine.id) is not None, one.get_actor(yours.id) is not None],
        "synchronous": other.get_settings().synchronous_mode,
    }
    yours.apply_control(carla.VehicleControl(throttle=1.0))
    start = yours.get_location()
    for _ in range(40):
        one.tick()
    out["driven"] = one.get_actor(yours.id).get_location().distance(start)
    leave(one)
    return out


def die(port: int) -> Found:
    """Spawn in synchronous mode, then be killed."""
    _, world = join(port)
    car(world, role="drive_orphan")
    world.tick()
    print(json.dumps({"ready": True}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def recover(port: int) -> Found:
    """After a death: does the world run again, and can its actors be had?"""
    _, world = join(port, synchronous=False)
    deadline = time.monotonic() + 10.0
    while world.get_settings().synchronous_mode and time.monotonic() < deadline:
        time.sleep(0.1)
    first = world.wait_for_tick(5.0).frame
    orphans = [
        a for a in world.get_actors().filter("vehicle.*") if a.attributes["role_name"] == "drive_orphan"
    ]
    out = {
        "synchronous": world.get_settings().synchronous_mode,
        "runs": world.wait_for_tick(5.0).frame > first,
        "orphans": len(orphans),
        "destroyed": [a.destroy() for a in orphans],
    }
    world.wait_for_tick(5.0)
    out["left"] = len(world.get_actors().filter("vehicle.*"))
    return out


def episode(port: int, town: str, count: str) -> Found:
    """`count` ticks of random controls from one seed; the hash of every pose."""
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(60.0)
    client.load_world(town)
    _, world = join(port)
    rng = random.Random(7)
    points = world.get_map().get_spawn_points()
    models = ("vehicle.tesla.model3", "vehicle.audi.tt", "vehicle.mini.cooper_s")
    cars = [car(world, at, models[at % 3]) for at in range(min(len(points), 8))]
    digest = hashlib.sha256()
    moved = 0.0
    for tick in range(int(count)):
        if tick % 20 == 0:
            for actor in cars:
                actor.apply_control(
                    carla.VehicleControl(rng.random(), rng.uniform(-0.5, 0.5), float(rng.random() < 0.2))
                )
        world.tick()
        for actor in cars:
            t, v = actor.get_transform(), actor.get_velocity()
            digest.update(struct.pack("<9f", t.location.x, t.location.y, t.location.z, t.rotation.pitch,
                                      t.rotation.yaw, t.rotation.roll, v.x, v.y, v.z))  # fmt: skip
            moved += v.length() * 0.05
    leave(world)
    return {"hash": digest.hexdigest(), "cars": len(cars), "moved": moved}


def main(cases: dict[str, Any]) -> None:
    port, case, *rest = sys.argv[1:]
    print(json.dumps(cases[case](int(port), *rest)), flush=True)
    # The client's threads sometimes outlive it; what was found is out.
    os._exit(0)


if __name__ == "__main__":
    main(globals())
