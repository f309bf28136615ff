"""Roll-outs where no slope is asked for: `motion.roll`, compiled; and how a tracker follows them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drive._kernel import kernels_at
from drive.nn.scene import EGO_COLUMNS
from drive.planners.stl_diffusion.motion import VEHICLE
from drive.sim.kernels.lqr import ACCELERATION_LAG, Q_LONGITUDINAL, R_LONGITUDINAL

if TYPE_CHECKING:
    from drive.planners.stl_diffusion.motion import MotionSettings

Floats = NDArray[np.float32]
_SPEED, _STEERING, _WHEELBASE, _ACCELERATION, _YAW = (
    EGO_COLUMNS.index(name) for name in ("speed", "steering", "wheelbase", "acceleration", "yaw_rate")
)
_kernel = kernels_at("stl_diffusion", Path(__file__))


@_kernel
def _roll(ego, drawn, every, dt, scales, base, limit, out):
    """Fill `out (B, R, steps + 1, 7)` with the roll-outs of `drawn (B, R, knots, 2)` from `ego (B, 14)`."""
    centre, half, yaw_rate, slowest, curvature = scales[0], scales[1], scales[2], scales[3], scales[4]
    knots, zero = drawn.shape[2], np.float32(0.0)
    turn = np.float32(2.0 * math.pi)
    for b in range(drawn.shape[0]):
        first = max(ego[b, _SPEED], zero)
        bent = math.tan(ego[b, _STEERING]) / max(ego[b, _WHEELBASE], np.float32(0.5))
        held = math.atan(base * bent)
        for r in range(drawn.shape[1]):
            row = out[b, r]
            x, y, heading, speed, angle, goal = zero, zero, zero, first, held, held
            row[0, 0], row[0, 1], row[0, 2], row[0, 3] = x, y, heading, speed
            row[0, 4], row[0, 5], row[0, 6] = ego[b, _ACCELERATION], angle, ego[b, _YAW]
            free, low = first, zero
            for k in range(knots):
                a = dt * (centre + half * drawn[b, r, k, 0])
                # The speed at the knot's end bounds how tightly it may turn.
                ahead, least = free, low
                for _ in range(every):
                    ahead += a
                    least = min(least, ahead)
                bend = yaw_rate * drawn[b, r, k, 1] / max(ahead - least, slowest)
                before = goal
                goal = math.atan(base * min(max(bend, -curvature), curvature))
                rate = (goal - before) / np.float32(every)
                for j in range(every):
                    now = k * every + j + 1
                    yaw = speed * math.tan(angle) / base
                    x += speed * math.cos(heading) * dt
                    y += speed * math.sin(heading) * dt
                    heading += yaw * dt
                    free += a
                    low = min(low, free)
                    was, speed = speed, free - low
                    angle = min(max(angle + rate, -limit), limit)
                    row[now, 0], row[now, 1] = x, y
                    row[now, 2] = heading - turn * math.ceil((heading - np.float32(math.pi)) / turn)
                    row[now, 3], row[now, 4] = speed, (speed - was) / dt
                    row[now, 5], row[now, 6] = angle, speed * math.tan(angle) / base


def rolled(settings: MotionSettings, ego: Floats, drawn: Floats) -> Floats:
    """States `(B, R, steps + 1, 7)` of `drawn (B, R, knots, 2)` from moments `ego (B, 14)`."""
    s = settings
    out = np.empty((*drawn.shape[:2], s.steps + 1, 7), np.float32)
    scales = np.array((s.centre, s.half, s.yaw_rate, s.slowest, s.curvature), np.float32)
    base, limit = np.float32(VEHICLE.wheelbase), np.float32(VEHICLE.max_steering)
    _roll(ego, drawn, s.every, np.float32(s.dt), scales, base, limit, out)
    return out


@_kernel
def _follow(states, ahead, dt, out):
    """Fill `out (R, S + 1, 4)`, x, y, heading and speed, with how `states (R, S + 1, 7)` are followed."""
    last, turn = states.shape[1] - 1, np.float32(2.0 * math.pi)
    reach = dt * ahead
    gain = (
        reach
        * np.float32(Q_LONGITUDINAL)
        / (reach * reach * np.float32(Q_LONGITUDINAL) + np.float32(R_LONGITUDINAL))
    )
    share = dt / (dt + np.float32(ACCELERATION_LAG))
    for r in range(states.shape[0]):
        row, to = states[r], out[r]
        speed, given = row[0, 3], row[0, 4]
        for j in range(3):
            to[0, j] = row[0, j]
        to[0, 3] = speed
        # The path's piece that is driven on, and how far its beginning and the vehicle have come.
        k, begun, gone = 0, np.float32(0.0), np.float32(0.0)
        for now in range(1, last + 1):
            gone += speed * dt
            given += share * (gain * (row[min(now - 1 + ahead, last), 3] - speed) - given)
            speed = max(speed + given * dt, np.float32(0.0))
            while k < last and begun + row[k, 3] * dt <= gone:
                begun += row[k, 3] * dt
                k += 1
            over = gone - begun
            if k < last:
                part = over / (row[k, 3] * dt)
                change = row[k + 1, 2] - row[k, 2]
                change -= turn * np.float32(round(change / turn))
                to[now, 0] = row[k, 0] + part * (row[k + 1, 0] - row[k, 0])
                to[now, 1] = row[k, 1] + part * (row[k + 1, 1] - row[k, 1])
                to[now, 2] = row[k, 2] + part * change
            else:  # who overruns its path goes straight on
                to[now, 0] = row[k, 0] + over * math.cos(row[k, 2])
                to[now, 1] = row[k, 1] + over * math.sin(row[k, 2])
                to[now, 2] = row[k, 2]
            to[now, 3] = speed


def followed(settings: MotionSettings, states: Floats, lag: float) -> Floats:
    """How plans `states (..., S + 1, 7)` are followed along their paths by a tracker that goes for their
    speed `lag` s ahead, as nuPlan's does (`drive.sim.kernels.lqr`): `(..., S + 1, 4)`.

    Near standstill it brakes no harder than its speed in that time, so that stops are overrun.
    """
    flat = np.ascontiguousarray(states.reshape(-1, *states.shape[-2:]))
    out = np.empty((*flat.shape[:2], 4), np.float32)
    _follow(flat, max(round(lag / settings.dt), 1), np.float32(settings.dt), out)
    return out.reshape(*states.shape[:-1], 4)


__all__ = ["followed", "rolled"]
