"""Compile what a world runs before the first client waits for it.

Numba compiles a kernel at its first call (half a minute for all of them on a cold cache, then a second), and
clients give up after ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.sim.carla.world.blueprints import BLUEPRINTS

if TYPE_CHECKING:
    from drive.sim.carla.world.world import CarlaWorld

CAR, WALKER = "vehicle.tesla.model3", "walker.pedestrian.0001"


def warm(world: CarlaWorld) -> None:
    """Drive and sense a little in a world that is thrown away afterwards."""
    place = world.spawn_points[0] if len(world.spawn_points) else (0.0,) * 6
    car = world.spawn(CAR, place)
    world.spawn(WALKER, (place[0] + 30.0, place[1] + 30.0, *place[2:]))
    small = {"image_size_x": "32", "image_size_y": "24"}
    sensors = []
    for blueprint in BLUEPRINTS:
        if blueprint.id.startswith("sensor."):
            known = {a.id for a in blueprint.attributes}
            chosen = {name: value for name, value in small.items() if name in known}
            sensors.append(world.spawn(blueprint, (0.0, 0.0, 2.0, 0.0, 0.0, 0.0), chosen, parent=car))
    world.apply_control(car, throttle=1.0)
    for _ in range(2):
        world.tick(0.05)
        world.measure(sensors)
    world.project_point((*place[:2], place[2] + 1.0), (0.0, 0.0, -1.0), 10.0)
    world.snapshot()
    world.destroy([*sensors, car])
