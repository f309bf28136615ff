"""A vehicle's physics as CARLA's structs have it (the UE4 line's VehiclePhysicsControl, to 0.9.16)."""

from __future__ import annotations

from typing import Any

from drive.sim.carla.wire import values
from drive.sim.carla.world.physics import VehiclePhysics, WheelPhysics


def packed(control: VehiclePhysics) -> list[Any]:
    wheels = [
        [
            w.tire_friction,
            w.damping_rate,
            w.max_steer_angle,
            w.radius,
            w.max_brake_torque,
            w.max_handbrake_torque,
            w.lat_stiff_max_load,
            w.lat_stiff_value,
            w.long_stiff_value,
            list(w.position),
        ]
        for w in control.wheels
    ]
    return [
        [list(point) for point in control.torque_curve],
        control.max_rpm,
        control.moi,
        control.damping_rate_full_throttle,
        control.damping_rate_zero_throttle_clutch_engaged,
        control.damping_rate_zero_throttle_clutch_disengaged,
        control.use_gear_autobox,
        control.gear_switch_time,
        control.clutch_strength,
        control.final_ratio,
        [list(gear) for gear in control.forward_gears],
        control.mass,
        control.drag_coefficient,
        list(control.center_of_mass),
        [list(point) for point in control.steering_curve],
        wheels,
        control.use_sweep_wheel_collision,
    ]


def unpacked(value: Any) -> VehiclePhysics:
    """Raises WireError."""
    p = values.array(value, "the physics control", 17)
    wheels = []
    for wheel in values.array(p[15], "the wheels", 0, 32):
        parts = values.array(wheel, "a wheel", 10)
        friction, damping, angle, radius, brake, hand, load, lateral, along = values.numbers(
            parts, "a wheel", 9
        )
        place = values.vector(parts[9], "a wheel's position")
        wheels.append(
            WheelPhysics(friction, damping, angle, radius, brake, hand, load, lateral, along, place)
        )
    gears = values.array(p[10], "the gears", 0, 32)
    return VehiclePhysics(
        torque_curve=_curve(p[0], "the torque curve"),
        max_rpm=values.number(p[1], "max_rpm"),
        moi=values.number(p[2], "moi"),
        damping_rate_full_throttle=values.number(p[3], "damping_rate_full_throttle"),
        damping_rate_zero_throttle_clutch_engaged=values.number(p[4], "damping_rate_zero_throttle"),
        damping_rate_zero_throttle_clutch_disengaged=values.number(p[5], "damping_rate_zero_throttle"),
        use_gear_autobox=values.flag(p[6], "use_gear_autobox"),
        gear_switch_time=values.number(p[7], "gear_switch_time"),
        clutch_strength=values.number(p[8], "clutch_strength"),
        final_ratio=values.number(p[9], "final_ratio"),
        forward_gears=tuple(values.vector(gear, "a gear") for gear in gears),
        mass=values.number(p[11], "mass"),
        drag_coefficient=values.number(p[12], "drag_coefficient"),
        center_of_mass=values.vector(p[13], "center_of_mass"),
        steering_curve=_curve(p[14], "the steering curve"),
        wheels=tuple(wheels),
        use_sweep_wheel_collision=values.flag(p[16], "use_sweep_wheel_collision"),
    )


def _curve(value: Any, what: str) -> tuple[tuple[float, float], ...]:
    points = [values.numbers(point, what, 2) for point in values.array(value, what, 0, 256)]
    return tuple((x, y) for x, y in points)
