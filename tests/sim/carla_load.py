"""The real client with many cars: CARLA's Traffic Manager, and ticks by themselves.

Run as `carla_load.py PORT traffic CARS TICKS TM_PORT [TICKS_BEFORE [PID]]` or
`carla_load.py PORT bare CARS TICKS`; prints what was found as JSON: with the server's process id (Linux) also
its own processor time a tick.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any

import carla
from carla_client import Found, join, leave, main, place


def _seen(found: Any, actor: Any) -> list[float]:
    """x, y, yaw, speed, and whether a light that is not green holds it."""
    where = found.get_transform()
    held = actor.is_at_traffic_light() and actor.get_traffic_light_state() != carla.TrafficLightState.Green
    speed = found.get_velocity().length()
    return [where.location.x, where.location.y, where.rotation.yaw, speed, float(held)]


def _spent(pid: str) -> float:
    """Milliseconds of processor time of a process's first thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6 if pid else 0.0


def traffic(port: int, count: str, length: str, tm_port: str, warm: str = "0", pid: str = "") -> Found:
    """CARLA's own Traffic Manager with `count` cars for `length` ticks."""
    client, world = join(port)
    manager = client.get_trafficmanager(int(tm_port))
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(1)
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    rng = random.Random(1)
    rng.shuffle(points)
    models = [b for b in library.filter("vehicle.*") if int(b.get_attribute("number_of_wheels")) == 4]
    models = [b for b in models if b.get_attribute("base_type") == "car"]
    spawns = [
        carla.command.SpawnActor(rng.choice(models), p).then(
            carla.command.SetAutopilot(carla.command.FutureActor, True, int(tm_port))
        )
        for p in points
    ]
    ids: list[int] = []
    for command in spawns:
        if len(ids) < int(count):
            ids += [a.actor_id for a in client.apply_batch_sync([command], False) if not a.error]
    world.tick()
    cars = [world.get_actor(i) for i in ids]
    start = [place(c) for c in cars]
    for _ in range(int(warm)):
        world.tick()
    server = _spent(pid)
    began, process = time.perf_counter(), time.process_time()
    track = []
    finite = True
    for tick in range(int(length)):
        world.tick()
        if tick % 20 == 0:
            snapshot = world.get_snapshot()
            track.append([_seen(snapshot.find(c.id), c) for c in cars])
            finite &= all(math.isfinite(v) for row in track[-1] for v in row)
    took = time.perf_counter() - began
    out = {
        "cars": len(ids),
        "server_cpu_ms": (_spent(pid) - server) / int(length) if pid else None,
        "ticks_per_second": int(length) / took,
        "client_cpu_ms": (time.process_time() - process) / int(length) * 1e3,
        "finite": finite,
        "moved": [math.dist(a[:2], b[:2]) for a, b in zip(start, track[-1], strict=True)],
        "track": track,
    }
    manager.set_synchronous_mode(False)
    leave(world)
    return out


def bare(port: int, count: str, length: str) -> Found:
    """`length` ticks with `count` cars that nobody drives."""
    _, world = join(port)
    print_ = world.get_blueprint_library().find("vehicle.tesla.model3")
    cars: list[Any] = []
    for point in world.get_map().get_spawn_points():
        made = world.try_spawn_actor(print_, point) if len(cars) < int(count) else None
        cars += [] if made is None else [made]
    world.tick()
    began = time.perf_counter()
    for _ in range(int(length)):
        world.tick()
    out = {"cars": len(cars), "ticks_per_second": int(length) / (time.perf_counter() - began)}
    leave(world)
    return out


if __name__ == "__main__":
    main(globals())
