"""What a world's sensors measured in the last tick."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.sim.carla.frames import matrix
from drive.sim.carla.kernels.layout import AX, AZ, MASS, PARENT, PHYSICS, SENSOR, WX, WZ, YAW
from drive.sim.carla.world.geodesy import geolocation
from drive.sim.carla.world.scans import lidar, obstacle, radar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drive.sim.carla.world.actors import Actor
    from drive.sim.carla.world.world import CarlaWorld

    Floats = NDArray[np.float64]

GRAVITY = 9.81
BUMP = 0.05
"""m/s by which a contact must change the lighter one's velocity to count as a collision."""
EVENTS = ("sensor.other.collision", "sensor.other.lane_invasion")


def measure(world: CarlaWorld, sensors: Iterable[int]) -> list[tuple[int, str, Any]]:
    """(sensor, kind, data) of those sensors whose time has come, in the order asked for.

    Kinds are blueprint ids without "sensor." and "other.": gnss (latitude, longitude, altitude); imu
    (accelerometer m/s^2, gyroscope rad/s, compass rad); collision (other actor, impulse in N s); obstacle
    (other actor, distance); radar `(N, 4)`; lidar (points, points by channel, angle); cameras (picture,
    field of view). Lane invasions are found by clients, from their map. Raises ActorError for other actors.
    """
    out: list[tuple[int, str, Any]] = []
    for sensor in sensors:
        row = world.actors.row_as(sensor, SENSOR)
        fact = world.actors.facts[row]
        kind = fact.type_id.removeprefix("sensor.").removeprefix("other.")
        if kind == "collision":
            out += [(sensor, kind, hit) for hit in _collisions(world, fact)]
            continue
        since = _due(world, fact)
        if since <= 0.0:
            continue
        data = _data(world, fact, row, kind, since)
        if data is not None:
            out.append((sensor, kind, data))
    return out


def _due(world: CarlaWorld, fact: Actor) -> float:
    """Seconds since a sensor last measured if its time has come, else 0."""
    last = world.measured.get(fact.id)
    if last is not None and last >= world.time:
        return 0.0
    since = world.dt if last is None else world.time - last
    if last is not None and since < float(fact.value("sensor_tick", "0")) - 1e-6:
        return 0.0
    world.measured[fact.id] = world.time
    return since


def _collisions(world: CarlaWorld, fact: Actor) -> list[tuple[int, tuple[float, float, float]]]:
    a = world.actors
    out = []
    for one, other, push in world.contacts():
        if fact.parent not in (one, other):
            continue
        loose = [float(a.param[r, MASS]) for r in (a.row(one), a.row(other)) if a.flag[r, PHYSICS]]
        if math.hypot(push[0], push[1]) < BUMP * min(loose, default=math.inf):
            continue
        sign = 1.0 if one == fact.parent else -1.0
        out.append((other if one == fact.parent else one, (sign * push[0], sign * push[1], sign * push[2])))
    return out


def _data(world: CarlaWorld, fact: Actor, row: int, kind: str, since: float) -> Any:
    pose = world.transform(fact.id)
    parent = int(world.actors.flag[row, PARENT])
    if kind == "gnss":
        return _noisy_place(world, fact, pose)
    if kind == "imu":
        return _inertia(world, fact, row, pose)
    if kind == "obstacle":
        return obstacle(world, fact, pose, parent)
    if kind == "radar":
        return radar(world, fact, pose, parent, since)
    if kind.startswith("lidar."):
        scan = lidar(world, fact, pose, parent, since, world.turned.get(fact.id, 0.0))
        world.turned[fact.id] = scan.angle
        return scan.points, scan.counts, scan.angle
    if kind.startswith("camera."):
        # The drawing is loaded by who has a camera.
        from drive.sim.carla.world.pictures import picture

        return picture(world, fact, pose, parent)
    return None


def _random(world: CarlaWorld, fact: Actor) -> np.random.Generator:
    return np.random.default_rng((abs(int(float(fact.value("noise_seed", "0")))), fact.id, world.frame))


def _noisy_place(world: CarlaWorld, fact: Actor, pose: Floats) -> tuple[float, float, float]:
    lat, lon, alt = geolocation(
        float(pose[0]), float(pose[1]), float(pose[2]), world.town.geo, world.y_is_north
    )
    noise = _random(world, fact).normal(size=3)
    spread = [(float(fact.value(f"noise_{n}_bias")), float(fact.value(f"noise_{n}_stddev"))) for n in (
        "lat", "lon", "alt")]  # fmt: skip
    out = [v + b + s * z for v, (b, s), z in zip((lat, lon, alt), spread, noise.tolist(), strict=True)]
    return out[0], out[1], out[2]


def _inertia(
    world: CarlaWorld, fact: Actor, row: int, pose: Floats
) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Accelerometer (with gravity) and gyroscope in the sensor's axes, and the compass: right of north.

    CARLA's north is its -y.
    """
    body = world.actors.body[row]
    back = matrix(pose)[:3, :3].T
    noise = _random(world, fact).normal(size=6)
    felt = back @ (body[AX : AZ + 1] + np.array((0.0, 0.0, GRAVITY)))
    turn = back @ body[WX : WZ + 1]
    for k, axis in enumerate("xyz"):
        felt[k] += float(fact.value(f"noise_accel_stddev_{axis}")) * noise[k]
        turn[k] += float(fact.value(f"noise_gyro_bias_{axis}"))
        turn[k] += float(fact.value(f"noise_gyro_stddev_{axis}")) * noise[3 + k]
    compass = (float(body[YAW]) + 0.5 * math.pi) % (2.0 * math.pi)
    return tuple(float(v) for v in felt), tuple(float(v) for v in turn), compass
