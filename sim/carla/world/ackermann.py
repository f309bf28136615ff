"""CARLA's Ackermann control: a wheel angle and a speed to reach, turned into pedals each tick."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.sim.carla.kernels import move
from drive.sim.carla.kernels.layout import PULL, STOP, TURN, VX, VY, YAW
from drive.sim.carla.kernels.move import BRAKES, GAIN, SPEED_STEP, THROTTLE_STEP
from drive.sim.carla.world.pedals import coasting, throttle_table

if TYPE_CHECKING:
    from drive.sim.carla.world.world import CarlaWorld

_share: Any = move.steering_share
SETTLE = 0.4
"""Seconds in which a difference of speed is to vanish."""
STRONGEST = 8.0
STANDING = 0.1


def follow(world: CarlaWorld, actor: int, row: int, wish: tuple[float, ...]) -> None:
    """Set a vehicle's control for `wish`: wheel angle (rad, positive right), its rate, speed (m/s, negative
    backwards), acceleration (m/s^2, 0: as it comes), jerk. Rates are those of the vehicle itself."""
    angle, _, speed, acceleration, _ = wish
    body, param = world.actors.body[row], world.actors.param[row]
    now = float(body[VX] * math.cos(body[YAW]) + body[VY] * math.sin(body[YAW]))
    wheelbase = world.blueprint(actor).wheelbase
    turn = math.tan(min(max(angle, -1.3), 1.3)) / wheelbase / (float(param[TURN]) * _share(abs(now)))
    steer = math.atan(turn) / GAIN
    back = speed < -1e-3 or (abs(speed) <= 1e-3 and now < -STANDING)
    way = -1.0 if back else 1.0
    most = min(abs(acceleration), STRONGEST) if abs(acceleration) > 1e-3 else STRONGEST
    need = min(
        max((speed - now) * way / SETTLE, -STRONGEST if way * speed < way * now - 2.0 else -most), most
    )
    if abs(speed) <= 1e-3 and abs(now) < STANDING:
        throttle, brake = 0.0, 1.0
    else:
        throttle, brake = pedals_for(need, abs(now), float(param[PULL]), float(param[STOP]))
    world.set_pedals(row, throttle, steer, brake, back)


def pedals_for(acceleration: float, speed: float, pull: float, stop: float) -> tuple[float, float]:
    """Throttle and brake that give an acceleration (m/s^2) at a speed: the inverse of the world's tables."""
    rolling = float(coasting(speed))
    if acceleration < rolling:
        return 0.0, min((rolling - acceleration) / max(BRAKES * stop + rolling, 0.1), 1.0)
    table = throttle_table()
    column = table[:, min(round(speed / SPEED_STEP), table.shape[1] - 1)]
    column = np.where(column > 0.0, column * pull, column)
    return float(np.interp(acceleration, column, np.arange(len(column)) * THROTTLE_STEP)), 0.0
