"""The vehicle of the single closed loop: nuPlan's kinematic bicycle behind first-order lags, in float64.

Source: nuPlan devkit, controller/motion_model/kinematic_bicycle.py. The rear axle is the reference
point; position and heading move with the speed and steering before the step (explicit Euler).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import PlanError
from drive.planner import ControlKind
from drive.sim.kernels.lqr import STEERING_LAG, lagged_step, lqr_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Control
    from drive.vehicle import VehicleParams


def bicycle_step(
    state: NDArray[np.float64],
    acceleration_command: float,
    steering_rate_command: float,
    vehicle: VehicleParams,
    dt: float,
) -> tuple[NDArray[np.float64], float]:
    """The state `(7,)` after `dt` seconds and the yaw acceleration in rad/s^2.

    `state` in the columns of `drive.vehicle`. Commands are not clipped (the devkit clips none), the
    steering angle is. The yaw acceleration is the change of the state's yaw rate over the step.
    """
    x, y, heading, speed, acceleration, steering, yaw_rate = state.tolist()[:7]
    settings = lqr_settings(vehicle, dt, np.float64).tolist()
    new = lagged_step(  # type: ignore[no-untyped-call]
        x, y, heading, speed, acceleration, steering, math.tan(steering),
        acceleration_command, steering_rate_command, settings,
    )[:7]  # fmt: skip
    return np.array(new), (new[6] - yaw_rate) / dt


def control_commands(
    state: NDArray[np.float64], acceleration: float, steering: float, vehicle: VehicleParams, dt: float
) -> tuple[float, float]:
    """Commands for `bicycle_step` that ask for an acceleration in m/s^2 and a steering angle in rad.

    The acceleration is clipped to the vehicle's limits, the angle and its rate too. The rate is such
    that the angle is reached within the step in spite of the lag, where the rate limit allows it.
    """
    wanted = min(max(steering, -vehicle.max_steering), vehicle.max_steering)
    limit = vehicle.max_steering_rate
    rate = min(max((wanted - float(state[5])) / dt, -limit), limit)
    command = min(max(acceleration, -vehicle.max_braking), vehicle.max_acceleration)
    return command, rate * (dt + STEERING_LAG) / dt


def apply_control(
    state: NDArray[np.float64], control: Control, elapsed: float, vehicle: VehicleParams, dt: float
) -> tuple[NDArray[np.float64], float]:
    """Drive one step with a plan's own control: the next state `(7,)` and the yaw acceleration.

    `elapsed` is the time in s since the plan's start; the last values hold past their end. Raises
    PlanError for a kind other than acceleration and steering.
    """
    if control.kind is not ControlKind.ACCELERATION_STEERING:
        raise PlanError(
            f"the loop drives controls of kind '{ControlKind.ACCELERATION_STEERING}', not '{control.kind}'"
        )
    row = min(max(int(elapsed / control.dt + 1e-6), 0), len(control.values) - 1)
    acceleration, steering = control.values[row]
    commands = control_commands(state, float(acceleration), float(steering), vehicle, dt)
    return bicycle_step(state, *commands, vehicle, dt)
