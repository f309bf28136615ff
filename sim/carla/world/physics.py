"""A vehicle's physics by the names and in the units of CARLA's `VehiclePhysicsControl` (its UE4 line).

Of it the world uses mass, the front wheels' largest angle and the brakes' torque; the rest is told and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.carla.frames import matrix
from drive.sim.carla.kernels.layout import ARM, HALF_Y, INERTIA, MASS, STOP, TURN, VEHICLE
from drive.sim.carla.world.handles import numbers

if TYPE_CHECKING:
    from drive.sim.carla.world.world import CarlaWorld

Three = tuple[float, float, float]
MAX_STEER, BRAKE_TORQUE = 70.0, 1500.0
STEERING_CURVE = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))
"""(km/h, share): the one that the world drives by."""


@dataclass(frozen=True, slots=True)
class WheelPhysics:
    """One wheel: angles in degrees, radius in cm, torques in N m, position in cm in the world."""

    tire_friction: float = 3.5
    damping_rate: float = 0.25
    max_steer_angle: float = MAX_STEER
    radius: float = 35.0
    max_brake_torque: float = BRAKE_TORQUE
    max_handbrake_torque: float = 3000.0
    lat_stiff_max_load: float = 3.0
    lat_stiff_value: float = 20.0
    long_stiff_value: float = 1000.0
    position: Three = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class VehiclePhysics:
    """Curves are rows of pairs; gears are ratio, down ratio, up ratio."""

    torque_curve: tuple[tuple[float, float], ...] = ((0.0, 400.0), (1890.0, 500.0), (5730.0, 400.0))
    max_rpm: float = 5800.0
    moi: float = 1.0
    damping_rate_full_throttle: float = 0.15
    damping_rate_zero_throttle_clutch_engaged: float = 2.0
    damping_rate_zero_throttle_clutch_disengaged: float = 0.35
    use_gear_autobox: bool = True
    gear_switch_time: float = 0.5
    clutch_strength: float = 10.0
    final_ratio: float = 4.0
    forward_gears: tuple[Three, ...] = (
        (4.25, 0.5, 0.65), (2.52, 0.5, 0.65), (1.66, 0.5, 0.65), (1.22, 0.5, 0.65), (1.0, 0.5, 0.65),
    )  # fmt: skip
    mass: float = 1000.0
    drag_coefficient: float = 0.3
    center_of_mass: Three = (0.0, 0.0, 0.0)
    steering_curve: tuple[tuple[float, float], ...] = STEERING_CURVE
    wheels: tuple[WheelPhysics, ...] = ()
    use_sweep_wheel_collision: bool = False


def physics_of(world: CarlaWorld, actor: int) -> VehiclePhysics:
    """The physics of a vehicle: what was set, or its blueprint's, with the wheels where they are now."""
    row = world.actors.row_as(actor, VEHICLE)
    kept = world.physics_set.get(actor)
    param, blueprint = world.actors.param[row], world.blueprint(actor)
    if kept is None:
        bike = blueprint.wheels == 2
        front = WheelPhysics(radius=35.0 if not bike else 33.0)
        rear = replace(front, max_steer_angle=0.0)
        kept = VehiclePhysics(
            mass=float(param[MASS]), wheels=(front, rear) if bike else (front, front, rear, rear)
        )
    back = -float(param[ARM])
    ahead = back + blueprint.wheelbase
    side = 0.0 if len(kept.wheels) == 2 else 0.8 * float(param[HALF_Y])
    spots = (
        ((ahead, -side), (ahead, side), (back, -side), (back, side)) if side else ((ahead, 0.0), (back, 0.0))
    )
    m = matrix(world.transform(actor))
    wheels = []
    for wheel, (x, y) in zip(kept.wheels, spots, strict=False):
        at = m @ np.array((x, y, wheel.radius / 100.0, 1.0))
        wheels.append(replace(wheel, position=(float(at[0]) * 100, float(at[1]) * 100, float(at[2]) * 100)))
    return replace(kept, wheels=tuple(wheels))


def set_physics(world: CarlaWorld, actor: int, given: VehiclePhysics) -> None:
    """Keep a vehicle's physics, and drive by its mass, steering angle and brakes. Raises InputError."""
    row = world.actors.row_as(actor, VEHICLE)
    (mass,) = numbers((given.mass,), 1, "a vehicle's mass")
    wheels = [(w.max_steer_angle, w.max_brake_torque) for w in given.wheels]
    if wheels:
        numbers(np.asarray(wheels).reshape(-1), 2 * len(wheels), "a wheel's angle and torque")
    before = physics_of(world, actor)
    param = world.actors.param[row]
    mass = min(max(mass, 1.0), 1e6)
    param[INERTIA] *= mass / param[MASS]
    param[MASS] = mass

    def most(of: VehiclePhysics, name: str) -> float:
        return max((float(getattr(w, name)) for w in of.wheels), default=0.0)

    angle, old_angle = (
        np.tan(np.radians(np.clip(most(p, "max_steer_angle"), 0.0, 85.0))) for p in (given, before)
    )
    if wheels and old_angle > 0.0:
        param[TURN] *= angle / old_angle
    torque, old_torque = most(given, "max_brake_torque"), most(before, "max_brake_torque")
    if wheels and old_torque > 0.0:
        # Beyond the tyres' grip stronger brakes do no more.
        param[STOP] = min(param[STOP] * max(torque, 0.0) / old_torque, 1.3)
    world.physics_set[actor] = replace(given, mass=mass)
