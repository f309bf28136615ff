"""What readers of recordings share: a clock, an origin, and how a track becomes the drive of an expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import unwrap_angle, wrap_angle
from drive.vehicle import STATE_SIZE, center_to_rear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

DT = 0.1
MAX_DURATION = 20.0
SHORT = 3.0
"""Scenarios shorter than this carry the tag "short"."""
GRID = 1000.0
MIN_DISTANCE = 5.0
"""Metres that whoever is offered as an ego has to drive."""
MAX_LEAP = 8.0
"""m/s by which a step between samples may exceed the recorded speed; noisy real recordings reach 4."""
MAX_SPIN = 3.0
"""Largest believable yaw rate in rad/s between two samples."""


def origin_near(x: float, y: float) -> tuple[float, float]:
    """The multiple of 1000 m next to a position: near enough for float32, the same for all egos around."""
    return round(x / GRID) * GRID + 0.0, round(y / GRID) * GRID + 0.0


def expert_states(track: Floats, vehicle: VehicleParams) -> Floats:
    """Rear-axle states `(T, 7)` of a track `(T, 5)` of box centres, sampled every 0.1 s and valid throughout.

    Acceleration and yaw rate are central differences, smoothed over five samples; steering follows from
    the curvature by the kinematic single-track model.
    """
    heading = track[:, 2]
    out = np.zeros((len(track), STATE_SIZE))
    out[:, :2] = center_to_rear(track[:, :2], heading, vehicle.rear_axle_to_center)
    out[:, 2] = heading
    out[:, 3] = track[:, 3] * np.cos(heading) + track[:, 4] * np.sin(heading)
    if len(track) > 1:
        out[:, 4] = _smooth(np.gradient(out[:, 3], DT))
        out[:, 6] = _smooth(np.gradient(unwrap_angle(heading), DT))
    rolling = np.abs(out[:, 3]) > 0.5
    curvature = np.divide(out[:, 6], out[:, 3], out=np.zeros(len(out)), where=rolling)
    out[:, 5] = np.clip(np.arctan(vehicle.wheelbase * curvature), -vehicle.max_steering, vehicle.max_steering)
    return out


def implausible(run: Floats, dt: float) -> bool:
    """Whether a track `(N, 5)` leaps or spins: some simulators set vehicles over from lane to lane."""
    moved = np.hypot(*np.diff(run[:, :2], axis=0).T)
    turned = np.abs(wrap_angle(np.diff(run[:, 2])))
    leaps = moved > (np.hypot(run[:-1, 3], run[:-1, 4]) + MAX_LEAP) * dt
    return bool((leaps | (turned > MAX_SPIN * dt)).any())


def _smooth(values: Floats) -> Floats:
    if len(values) < 5:
        return values
    # Reflected about the end values, so that a straight line stays one.
    before, after = 2.0 * values[0] - values[2:0:-1], 2.0 * values[-1] - values[-2:-4:-1]
    return np.convolve(np.concatenate((before, values, after)), np.array([1, 2, 3, 2, 1]) / 9.0, mode="valid")
