"""What a rover draws and what it is given, at one point of its motion."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import scalar
from drive.sim.kernels.surface import surface_point

(
    MASS, INERTIA, GRAVITY, BASE, EFFICIENCY, C0, C1, C2, SHARPNESS, LIMIT, SUPPLY, LIGHT_POWER, CAPACITY,
    CHARGE, CHARGE_MIN, BUDGET, MAX_SPEED, MAX_YAW_RATE, MAX_TILT, START, W_JERK, W_SLOPE, W_POWER, PENALTY,
) = range(24)  # fmt: skip
"""Columns of the parameter row that the kernels take.

SHARPNESS of the soft positive part in 1/W (0: the exact one); LIMIT of the load in W; SUPPLY what generator
and battery give together in W, LIGHT_POWER what the panels add in full light; CAPACITY, CHARGE and
CHARGE_MIN of the battery and BUDGET in J; MAX_TILT the tangent of the steepest ground; START the time in s
at which the motion begins; W_* weights of the cost; PENALTY the weight of the soft penalty on power (0:
augmented Lagrangian).
"""
PARAMS = 24
SPEED_FLOOR = 1e-6
"""m^2/s^2 added to the squared speed: a heading exists at rest."""
TURN_FLOOR = 1e-3
"""m^2/s^2 added once more where a rate of turn is divided by the squared speed."""


@scalar
def positive_part(value, sharpness):
    """The softplus of a power and its slope; the exact positive part where the sharpness is 0."""
    if sharpness <= 0.0:
        return (value, 1.0) if value > 0.0 else (0.0, 0.0)
    z = sharpness * value
    if z > 30.0:
        return value, 1.0
    if z < -30.0:
        return 0.0, 0.0
    e = math.exp(-abs(z))
    soft = math.log1p(e) / sharpness
    if z > 0.0:
        return value + soft, 1.0 / (1.0 + e)
    return soft, e / (1.0 + e)


@scalar
def light_point(frames, times, resolution, t, x, y):
    """The share of full light at a time and place, and its slopes along t, x and y.

    `frames (F, rows, columns)` are spline coefficients at `times (F,)`; linear between the times, held
    before the first and after the last.
    """
    count = len(times)
    k = 0
    while k < count - 2 and times[k + 1] <= t:
        k += 1
    span = times[k + 1] - times[k]
    u = (t - times[k]) / span
    held = u < 0.0 or u > 1.0
    u = min(max(u, 0.0), 1.0)
    a, ax, ay, _, _, _ = surface_point(frames[k], resolution, x, y)
    b, bx, by, _, _, _ = surface_point(frames[k + 1], resolution, x, y)
    rate = 0.0 if held else (b - a) / span
    return a + u * (b - a), rate, ax + u * (bx - ax), ay + u * (by - ay)
