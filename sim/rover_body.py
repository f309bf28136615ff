"""The rover of the closed loop: wheels that slip on a height field, what they draw, and the battery.

The plant is not the planner's model: it stands on four wheels on the field itself, its wheels slip, it
slides sideways on a cross slope, and its load wanders about the model's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.terrain import Terrain
    from drive.vehicle import RoverParams

    Floats = NDArray[np.float64]

SUBSTEPS = 10
LIGHT_EVERY = 5
"""Substeps between two looks at the light."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What the rover's model does not know. Shares, but for `memory` in s.

    `slip` of the wheels in the mean, `slip_noise` and `power_noise` the deviations of what wanders with
    `memory`, `side_slip` the sideways speed on a cross slope of 45 degrees as a share of the speed.
    """

    slip: float = 0.05
    slip_noise: float = 0.01
    power_noise: float = 0.02
    side_slip: float = 0.1
    memory: float = 5.0

    def __post_init__(self) -> None:
        for name in ("slip", "slip_noise", "power_noise", "side_slip"):
            if not 0.0 <= getattr(self, name) < 0.5:
                raise InputError(f"a rover's {name} must lie in [0, 0.5), got {getattr(self, name)}")
        if not self.memory > 0.0:
            raise InputError(f"a rover's memory must be positive, got {self.memory}")


def load(
    rover: RoverParams, gravity: float, speed: float, acceleration: float, sine: float, spin: float
) -> float:
    """The load in W: base, drive along a slope of that sine, turning (`spin` in W), resistance.

    After Hu et al. 2025 (arXiv 2509.15062): resistance (C0 + C1 |v| + C2 v^2) v, nothing is won back
    downhill.
    """
    v = abs(speed)
    drive = (
        rover.mass
        * (acceleration * math.copysign(1.0, speed) + gravity * sine * math.copysign(1.0, speed))
        * v
    )
    resist = (rover.resistance_constant + (rover.resistance_linear + rover.resistance_quadratic * v) * v) * v
    return rover.power_base + (max(drive, 0.0) + max(spin, 0.0)) / rover.drive_efficiency + resist


def stance(
    terrain: Terrain, rover: RoverParams, x: float, y: float, heading: float
) -> tuple[float, float, float]:
    """Height of the body's middle, pitch and roll of a rover on its four wheels.

    Right-handed about y and x: the pitch is negative uphill, the roll positive where the left side is high.
    """
    c, s = math.cos(heading), math.sin(heading)
    ahead, aside = 0.5 * rover.wheelbase, 0.5 * rover.track_width
    wheels = np.array(
        [
            [x + i * ahead * c - j * aside * s, y + i * ahead * s + j * aside * c]
            for i in (1, -1)
            for j in (1, -1)
        ]
    )
    fl, fr, rl, rr = terrain.height_at(wheels)
    pitch = -math.atan2(0.5 * (fl + fr - rl - rr), rover.wheelbase)
    roll = math.atan2(0.5 * (fl + rl - fr - rr), rover.track_width)
    return float(0.25 * (fl + fr + rl + rr)), pitch, roll


@dataclass(slots=True)
class Body:
    """The rover's state: pose, wheel speed and commanded turn rate, charge in J, and what wanders."""

    x: float
    y: float
    heading: float
    wheel_speed: float
    turn_rate: float
    charge: float
    slip: float = 0.0
    excess: float = 0.0
    used: float = 0.0


@dataclass(frozen=True, slots=True)
class StepTold:
    """What a step told: loads in W (mean, peak), the largest share of what was allowed, supply in W, the
    ground speed in m/s, the turn rate in rad/s and the wheels' speed in m/s, each in the mean."""

    mean: float
    peak: float
    share: float
    supply: float
    speed: float
    turn_rate: float
    wheel_speed: float


def advance(
    body: Body,
    terrain: Terrain,
    rover: RoverParams,
    disturbance: Disturbance,
    command: tuple[float, float],
    time: float,
    dt: float,
    rng: np.random.Generator,
) -> StepTold:
    """Move the body by `dt` s under an acceleration of the wheels and of the turn; it is changed in place."""
    h = dt / SUBSTEPS
    d = disturbance
    fade = math.exp(-dt / d.memory)
    fresh = math.sqrt(1.0 - fade * fade)
    draws = rng.standard_normal(2)
    body.slip = fade * body.slip + fresh * d.slip_noise * float(draws[0])
    body.excess = fade * body.excess + fresh * d.power_noise * float(draws[1])
    slip = min(max(d.slip + body.slip, 0.0), 0.9)
    total = peak = share = supply = spun = 0.0
    start = body.x, body.y
    heading = body.heading
    for k in range(SUBSTEPS):
        _, pitch, roll = stance(terrain, rover, body.x, body.y, body.heading)
        sine = -math.sin(pitch)
        dead = body.charge <= 0.0
        a, alpha = (0.0, 0.0) if dead else command
        if dead:
            body.wheel_speed = body.turn_rate = 0.0
        limit = rover.max_speed / (1.0 - min(d.slip, 0.5))
        before = body.wheel_speed
        body.wheel_speed = min(max(before + a * h, -limit), limit)
        a = (body.wheel_speed - before) / h
        turn = body.turn_rate
        body.turn_rate = min(max(turn + alpha * h, -rover.max_yaw_rate), rover.max_yaw_rate)
        alpha = (body.turn_rate - turn) / h
        u = 0.5 * (before + body.wheel_speed)
        spin = rover.inertia * alpha * body.turn_rate
        drawn = load(rover, terrain.gravity, u, a, sine, spin) * (1.0 + body.excess)
        if k % LIGHT_EVERY == 0:
            at = np.array([body.x, body.y])
            light = float(terrain.light_at(at, time + k * h))
            supply = rover.generator_power + rover.solar_power_max * light
        allowed = min(rover.power_limit, supply + rover.battery_power_max)
        total, spun = total + drawn, spun + u
        peak, share = max(peak, drawn), max(share, drawn / max(allowed, 1e-9))
        body.charge = min(max(body.charge + (supply - drawn) * h, 0.0), rover.battery_capacity)
        v, aside = u * (1.0 - slip), -d.side_slip * math.tan(roll) * u
        c, s = math.cos(body.heading), math.sin(body.heading)
        body.x += h * (v * c - aside * s)
        body.y += h * (v * s + aside * c)
        body.heading = float(wrap_angle(body.heading + h * 0.5 * (turn + body.turn_rate) * (1.0 - slip)))
    body.used += total * h
    moved = (body.x - start[0]) * math.cos(heading) + (body.y - start[1]) * math.sin(heading)
    turned = float(wrap_angle(body.heading - heading)) / dt
    return StepTold(total / SUBSTEPS, peak, share, supply, moved / dt, turned, spun / SUBSTEPS)
