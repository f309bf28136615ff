"""The vehicle roll-out as a torch function: the differentiable twin of `drive.sim.rollout(controls=...)`.

torch is the extra `learn`; this module alone of the simulator imports it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from drive.errors import InputError, MissingExtraError

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtraError("torch", "learn") from None

from drive.vehicle import STATE_SIZE

if TYPE_CHECKING:
    from drive.vehicle import VehicleParams

    Tensor = Any


def roll_controls(vehicle: VehicleParams, start: Tensor, controls: Tensor, dt: float = 0.1) -> Tensor:
    """Rear-axle states `(..., T, 7)` from `start (..., 7)` under `controls (..., T - 1, 2)`.

    Columns as in `drive.vehicle`; controls are acceleration in m/s^2 and steering rate in rad/s. The bicycle
    is that of `drive.sim.kernels.scalar.bicycle_step`; only the steering angle is clipped, and where it is,
    nothing flows back to the steering rates before. Speeds may become negative: who must not roll backwards
    says so in the loss or bounds the controls. Differentiable twice; works on any device.

    Raises InputError on tensors of the wrong shape or kind; what is not finite passes through. Whether any
    angle is clipped is asked once, which waits for the device and keeps `torch.vmap` out.
    """
    _check(start, controls)
    if not (math.isfinite(dt) and dt > 0.0):
        raise InputError(f"a roll-out's dt must be positive, got {dt}")
    limit = vehicle.max_steering
    speed = _summed(start[..., 3], controls[..., 0] * dt)
    # Where nothing is clipped, all the rest are sums over time too.
    angle = _summed(start[..., 5], controls[..., 1] * dt)
    if bool((angle[..., 1:].detach().abs() > limit).any()):
        angles = [start[..., 5]]
        for k in range(controls.shape[-2]):
            angles.append(torch.clamp(angles[-1] + controls[..., k, 1] * dt, -limit, limit))
        angle = torch.stack(angles, -1)
    yaw = speed * torch.tan(angle) / vehicle.wheelbase
    heading = _summed(start[..., 2], yaw[..., :-1] * dt)
    x = _summed(start[..., 0], speed[..., :-1] * torch.cos(heading[..., :-1]) * dt)
    y = _summed(start[..., 1], speed[..., :-1] * torch.sin(heading[..., :-1]) * dt)
    turns = torch.ceil((heading[..., 1:].detach() - math.pi) / (2.0 * math.pi))
    heading = torch.cat((heading[..., :1], heading[..., 1:] - 2.0 * math.pi * turns), -1)
    driven = torch.cat((start[..., 4:5], controls[..., 0]), -1)
    yaw = torch.cat((start[..., 6:7], yaw[..., 1:]), -1)
    return torch.stack((x, y, heading, speed, driven, angle, yaw), -1)


def _summed(first: Tensor, change: Tensor) -> Tensor:
    return torch.cumsum(torch.cat((first[..., None], change), -1), -1)


def _check(start: Any, controls: Any) -> None:
    for name, tensor in (("start", start), ("controls", controls)):
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"{name} must be a torch tensor, got {type(tensor).__name__}")
        if not tensor.dtype.is_floating_point:
            raise InputError(f"{name} must be of a floating kind, got {tensor.dtype}")
    a, b = tuple(start.shape), tuple(controls.shape)
    if len(b) < 2 or b[-1] != 2 or b[-2] < 1 or a != (*b[:-2], STATE_SIZE):
        raise InputError(f"a roll-out needs start (..., 7) and controls (..., T - 1, 2), got {a} and {b}")
    if start.dtype != controls.dtype:
        raise InputError(f"start and controls must be of one kind, got {start.dtype} and {controls.dtype}")


__all__ = ["roll_controls"]
