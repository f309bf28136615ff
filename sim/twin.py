"""The vehicle roll-out as a torch function that can be differentiated: the twin of the Numba kernel.

torch is the extra `learn`; this module alone imports it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, MissingExtraError

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtraError("torch", "learn") from None

from drive.sim.kernels import controls as kernels
from drive.vehicle import STATE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.vehicle import VehicleParams

    Tensor = Any


def roll_controls(
    start: Tensor,
    controls: Tensor,
    vehicle: VehicleParams,
    dt: float = 0.1,
    max_steering: float | None = None,
    stops: bool = True,
) -> Tensor:
    """States `(..., T + 1, 7)` from `start (..., 7)` under `controls (..., T, 2)`, in their precision.

    Columns as in `drive.vehicle`, at the rear axle; controls are acceleration in m/s^2 and steering rate in
    rad/s. The kinematic bicycle of `drive.sim.kernels.scalar.bicycle_step`: an Euler step, the steering cut at
    `max_steering` (the vehicle's). With `stops` braking ends at standstill. The states' acceleration is the
    one driven.

    Where something is cut the gradient is that of the cut function: none for what has no effect. At the very
    edge it is the free side's, so that a car that stands, or steers fully, can still learn to do less of it.
    """
    _check(start, controls)
    limit = vehicle.max_steering if max_steering is None else max_steering
    v, steering = start[..., 3], start[..., 5]
    speeds, angles, driven = [v], [steering], [start[..., 4]]
    # Only speed and steering have to be followed step by step; the rest are sums over time.
    for k in range(controls.shape[-2]):
        a = controls[..., k, 0]
        faster = v + a * dt
        if stops:
            # Exactly zero, or rounding would decide whether a standing car may be told to go.
            free = faster >= 0.0
            a, faster = torch.where(free, a, -v / dt), torch.where(free, faster, torch.zeros_like(v))
        v = faster
        s = steering + controls[..., k, 1] * dt
        steering = torch.where(s.abs() <= limit, s, limit * torch.sign(s.detach()))
        speeds.append(v)
        angles.append(steering)
        driven.append(a)
    speed, angle = torch.stack(speeds, -1), torch.stack(angles, -1)
    yaw = speed * torch.tan(angle) / vehicle.wheelbase
    heading = _summed(start[..., 2], yaw[..., :-1] * dt)
    x = _summed(start[..., 0], speed[..., :-1] * torch.cos(heading[..., :-1]) * dt)
    y = _summed(start[..., 1], speed[..., :-1] * torch.sin(heading[..., :-1]) * dt)
    turns = torch.ceil((heading.detach() - math.pi) / (2.0 * math.pi))
    yaw = torch.cat((start[..., 6:7], yaw[..., 1:]), -1)
    heading = heading - 2.0 * math.pi * turns
    return torch.stack((x, y, heading, speed, torch.stack(driven, -1), angle, yaw), -1)


def roll_controls_numpy(
    start: NDArray[Any],
    controls: NDArray[Any],
    vehicle: VehicleParams,
    dt: float = 0.1,
    max_steering: float | None = None,
    stops: bool = True,
) -> NDArray[Any]:
    """The same by the Numba kernel; see `roll_controls`."""
    _check(start, controls)
    kind = np.dtype(controls.dtype)
    lead = controls.shape[:-2]
    u = np.ascontiguousarray(controls).reshape(-1, *controls.shape[-2:])
    limit = vehicle.max_steering if max_steering is None else max_steering
    states = np.empty((len(u), u.shape[1] + 1, STATE_SIZE), dtype=kind)
    kernels.roll_controls(
        np.ascontiguousarray(start, dtype=kind).reshape(-1, STATE_SIZE),
        u,
        np.full(len(u), vehicle.wheelbase, dtype=kind),
        kind.type(limit),
        kind.type(dt),
        stops,
        states,
    )
    return states.reshape(*lead, *states.shape[1:])


def _summed(first: Tensor, change: Tensor) -> Tensor:
    return torch.cumsum(torch.cat((first[..., None], change), -1), -1)


def _check(start: Any, controls: Any) -> None:
    a, b = tuple(start.shape), tuple(controls.shape)
    if len(b) < 2 or b[-1] != 2 or b[-2] < 1 or a != (*b[:-2], STATE_SIZE):
        raise InputError(f"a roll-out needs start (..., 7) and controls (..., T, 2), got {a} and {b}")
    if start.dtype != controls.dtype:
        raise InputError(f"start and controls must be of one precision, got {start.dtype} and {controls.dtype}")
