"""Vehicle and rover parameters, and the one place where the columns of a state are named."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

X, Y, HEADING, SPEED, ACCELERATION, STEERING, YAW_RATE = range(7)
STATE_COLUMNS = ("x", "y", "heading", "speed", "acceleration", "steering", "yaw_rate")
STATE_SIZE = len(STATE_COLUMNS)
"""Columns of a vehicle's state at its rear axle: m, m, rad, m/s, m/s^2, rad, rad/s.

Speed and acceleration are longitudinal and signed. `Z, PITCH, ROLL` follow where the world is not flat.
"""
Z, PITCH, ROLL = range(STATE_SIZE, STATE_SIZE + 3)


class AgentKind(IntEnum):
    """What a road user is; the values are stored in files and read by kernels."""

    VEHICLE = 0
    BICYCLE = 1
    PEDESTRIAN = 2
    STATIC = 3
    MOTORCYCLE = 4
    TRUCK = 5
    BUS = 6
    UNKNOWN = 7

    @property
    def is_vulnerable(self) -> bool:
        """Vulnerable road users: pedestrians and bicycles, as the nuPlan metrics class them."""
        return self in (AgentKind.BICYCLE, AgentKind.PEDESTRIAN)

    @property
    def is_motor_vehicle(self) -> bool:
        return self in (AgentKind.VEHICLE, AgentKind.MOTORCYCLE, AgentKind.TRUCK, AgentKind.BUS)


@dataclass(frozen=True, slots=True)
class VehicleParams:
    """Size and limits of a road vehicle; lengths in metres. The defaults are nuPlan's Pacifica.

    `rear_axle_to_center` is the distance from the rear axle (the ego's reference point) forward to
    the geometric centre of the box.
    """

    length: float = 5.176
    width: float = 2.297
    height: float = 1.777
    wheelbase: float = 3.089
    rear_axle_to_center: float = 1.461
    max_acceleration: float = 3.0
    max_braking: float = 8.0
    max_steering: float = np.pi / 3.0
    max_steering_rate: float = 1.5
    max_speed: float = 50.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = float(getattr(self, f.name))
            object.__setattr__(self, f.name, value)  # an int would give another digest than its float
            # The rear axle of a box that turns about its centre lies at the centre.
            positive = value > 0.0 or f.name == "rear_axle_to_center"
            if not (np.isfinite(value) and positive):
                raise InputError(f"vehicle {f.name} must be positive and finite, got {value}")
        if self.max_steering >= np.pi / 2.0:
            raise InputError(f"vehicle max_steering must be below pi / 2, got {self.max_steering}")

    @classmethod
    def from_box(cls, length: float, width: float, height: float = 1.6, **limits: Any) -> VehicleParams:
        """Guess axle positions from a box: wheelbase 0.6 of the length, rear axle 0.28 behind the centre."""
        return cls(length, width, height, 0.6 * length, 0.28 * length, **limits)


@dataclass(frozen=True, slots=True)
class RoverParams:
    """A planetary rover: a body on driven wheels, what it draws and what feeds it.

    Mass in kg, inertia about the vertical axis in kg m^2, lengths in metres, power in W, energy in J.
    Resistance in N is `resistance_constant + resistance_linear v + resistance_quadratic v^2`. The load may
    never exceed `power_limit`, nor what generator, panels (`solar_power_max` in full light from straight
    above) and battery (`battery_power_max`) give. The battery starts at `battery_start` and is to stay
    above `battery_min`; `energy_budget` is what a drive may take in all, None for as much as there is.
    """

    length: float = 1.6
    width: float = 1.4
    height: float = 1.1
    mass: float = 225.0
    inertia: float = 60.0
    wheelbase: float = 1.2
    track_width: float = 1.2
    power_base: float = 60.0
    power_limit: float = 200.0
    drive_efficiency: float = 1.0
    resistance_constant: float = 70.0
    resistance_linear: float = 60.0
    resistance_quadratic: float = 40.0
    generator_power: float = 110.0
    solar_power_max: float = 120.0
    battery_capacity: float = 3.6e5
    battery_start: float = 2.7e5
    battery_min: float = 0.7e5
    battery_power_max: float = 300.0
    energy_budget: float | None = None
    max_speed: float = 0.8
    max_yaw_rate: float = 0.5
    max_acceleration: float = 0.3
    max_yaw_acceleration: float = 0.5
    max_slope: float = np.pi / 9.0

    def __post_init__(self) -> None:
        for f in fields(self):
            given = getattr(self, f.name)
            if given is None and f.name == "energy_budget":
                continue
            value = float(given)
            object.__setattr__(self, f.name, value)
            if not (np.isfinite(value) and value >= 0.0):
                raise InputError(f"rover {f.name} must be finite and not negative, got {value}")
            if f.name in _DIVISORS and value <= 0.0:
                raise InputError(f"rover {f.name} must be positive, got {value}")
        if self.max_slope >= np.pi / 2.0:
            raise InputError(f"rover max_slope must be below pi / 2, got {self.max_slope}")
        if not self.battery_min <= self.battery_start <= self.battery_capacity:
            raise InputError("rover battery_start must lie between battery_min and battery_capacity")


_DIVISORS = (
    *("length", "width", "height", "mass", "inertia", "wheelbase", "track_width"),
    *("power_limit", "drive_efficiency", "battery_capacity", "max_speed", "max_yaw_rate"),
    *("max_acceleration", "max_yaw_acceleration", "max_slope"),
)


def rear_to_center(states: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
    """Centre positions `(..., 2)` of vehicles whose rear-axle states are `(..., >=3)`."""
    s = np.asarray(states, dtype=np.float64)
    h, d = s[..., HEADING], np.asarray(distance, dtype=np.float64)
    return np.stack((s[..., X] + d * np.cos(h), s[..., Y] + d * np.sin(h)), axis=-1)


def center_to_rear(centers: ArrayLike, heading: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
    """Rear-axle positions `(..., 2)` of boxes with `centers (..., 2)` and `heading (...)`."""
    c, h = np.asarray(centers, dtype=np.float64), np.asarray(heading, dtype=np.float64)
    d = np.asarray(distance, dtype=np.float64)
    return np.stack((c[..., 0] - d * np.cos(h), c[..., 1] - d * np.sin(h)), axis=-1)
