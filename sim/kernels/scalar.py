"""Per-agent mathematics on scalars, written once and shared by the CPU and CUDA kernels.

The functions work in the precision of their arguments; batch kernels pass float32, so every constant
is spelt as one that does not promote. Sources: IDM after Treiber, Hennecke, Helbing (2000) with the
parameters of nuPlan; bicycle after the nuPlan devkit's kinematic model; MOBIL after Kesting, Treiber,
Helbing (2007).
"""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.compile import scalar

F = np.float32
ZERO, HALF, ONE, TWO = F(0.0), F(0.5), F(1.0), F(2.0)
PI, TWO_PI = F(math.pi), F(2.0 * math.pi)
QUARTER_PI, TWO_OVER_PI = F(0.25 * math.pi), F(2.0 / math.pi)
HALF_PI_HIGH = F(1.5703125)
HALF_PI_LOW = F(0.5 * math.pi - 1.5703125)
# Without it, rounding leaves cracks between triangles, through which a point in the area falls out of it.
EDGE_SLACK = F(1e-4)


@scalar
def wrap(angle):
    """Angle in float32 wrapped to (-pi, pi]; exact for inputs within a few turns."""
    a = angle
    if not abs(a) < F(100.0):
        a = a - TWO_PI * F(math.floor(a / TWO_PI))
        if not abs(a) < F(100.0):
            return a - a  # beyond any angle
    while a > PI:
        a = a - TWO_PI
    while a <= -PI:
        a = a + TWO_PI
    return a


@scalar
def wrap_once(angle):
    """`wrap` for angles within three half turns, without a loop."""
    a = angle - TWO_PI if angle > PI else angle
    return a + TWO_PI if a <= -PI else a


@scalar
def sin_cos(angle):
    """Sine and cosine in float32, to 1e-7 within some turns; unlike the library's they vectorise.

    Two-part reduction to an eighth of a turn (Cody and Waite), minimax polynomials there (Cephes sinf, cosf).
    """
    n = np.int32(angle * TWO_OVER_PI + (HALF if angle >= ZERO else -HALF))
    quarter = F(n)
    r = (angle - quarter * HALF_PI_HIGH) - quarter * HALF_PI_LOW
    z = r * r
    sine = r + r * z * (F(-1.6666654611e-1) + z * (F(8.3321608736e-3) - z * F(1.9515295891e-4)))
    cosine = (
        ONE
        - HALF * z
        + z * z * (F(4.166664568298827e-2) + z * (F(-1.388731625493765e-3) + z * F(2.443315711809948e-5)))
    )
    odd = n & np.int32(1)
    s = cosine if odd != 0 else sine
    c = sine if odd != 0 else cosine
    s = -s if (n & np.int32(2)) != 0 else s
    c = -c if ((n + np.int32(1)) & np.int32(2)) != 0 else c
    return s, c


@scalar
def small_arctan(x):
    """Arc tangent in float32 of values within (-0.7, 0.7), to 2e-7 (Cephes atanf, two ranges)."""
    far = abs(x) > F(0.4142135623730950)
    a = abs(x)
    t = (a - ONE) / (a + ONE) if far else a
    z = t * t
    p = t + t * z * (
        F(-3.33329491539e-1)
        + z * (F(1.99777106478e-1) + z * (F(-1.38776856032e-1) + z * F(8.05374449538e-2)))
    )
    p = p + QUARTER_PI if far else p
    return p if x >= ZERO else -p


@scalar
def fourth(x):
    """The fourth power."""
    square = x * x
    return square * square


@scalar
def idm_of(speed, lead_speed, gap, power, min_gap, headway, accel, decel):
    """`idm_acceleration` for who knows `power`, speed over target raised to the exponent."""
    s = max(gap, min_gap)
    desired = min_gap + speed * headway + speed * (speed - lead_speed) / (TWO * math.sqrt(accel * decel))
    interaction = desired / s
    return accel * (ONE - power - interaction * interaction)


@scalar
def idm_acceleration(speed, lead_speed, gap, target, min_gap, headway, accel, decel, exponent):
    """IDM acceleration in m/s^2, before clipping.

    a (1 - (v / v0)^e - (s* / s)^2), s* = s0 + v T + v (v - v_lead) / (2 sqrt(a b)); the gap is clamped
    below at s0 as nuPlan does. A free road is a very large gap.
    """
    ratio = speed / target
    power = fourth(ratio) if exponent == F(4.0) else ratio**exponent
    return idm_of(speed, lead_speed, gap, power, min_gap, headway, accel, decel)


@scalar
def bicycle_move(
    x, y, heading, speed, steering, cosine, sine, tangent, acceleration, steering_rate, wheelbase,
    max_steering, dt,
):  # fmt: skip
    """`bicycle_step` for who knows cosine and sine of the heading and the tangent of the steering angle.

    Returns (x, y, heading, speed, steering).
    """
    nx = x + speed * cosine * dt
    ny = y + speed * sine * dt
    nh = heading + speed * tangent / wheelbase * dt
    nv = speed + acceleration * dt
    ns = min(max(steering + steering_rate * dt, -max_steering), max_steering)
    return nx, ny, nh, nv, ns


@scalar
def bicycle_step(x, y, heading, speed, steering, acceleration, steering_rate, wheelbase, max_steering, dt):
    """One Euler step of the rear-axle kinematic bicycle: (x, y, heading, speed, steering, yaw rate).

    As in the nuPlan devkit: position and heading move with the speed and steering before the step,
    speed and steering are then advanced, the steering clipped.
    """
    nx, ny, nh, nv, ns = bicycle_move(
        x, y, heading, speed, steering, math.cos(heading), math.sin(heading), math.tan(steering),
        acceleration, steering_rate, wheelbase, max_steering, dt,
    )  # fmt: skip
    return nx, ny, nh, nv, ns, nv * math.tan(ns) / wheelbase


@scalar
def apart_along(dx, dy, cos, sin, hl, hw, c, s, hl_b, hw_b):
    """How far another box is from one along the better of this one's axes; c, s of the angle between them."""
    along = abs(dx * cos + dy * sin) - (hl + hl_b * c + hw_b * s)
    across = abs(dy * cos - dx * sin) - (hw + hl_b * s + hw_b * c)
    return max(along, across)


@scalar
def boxes_apart(dx, dy, cos_a, sin_a, hl_a, hw_a, cos_b, sin_b, hl_b, hw_b):
    """How far two oriented boxes are separated along the best of the four axes; <= 0: they overlap.

    (dx, dy) runs from centre a to centre b; hl, hw are half lengths and half widths.
    """
    c = abs(cos_a * cos_b + sin_a * sin_b)
    s = abs(cos_a * sin_b - sin_a * cos_b)
    return max(
        apart_along(dx, dy, cos_a, sin_a, hl_a, hw_a, c, s, hl_b, hw_b),
        apart_along(dx, dy, cos_b, sin_b, hl_b, hw_b, c, s, hl_a, hw_a),
    )


@scalar
def left_of(px, py, ax, ay, bx, by):
    """Whether a point lies left of the edge a -> b, or within about `EDGE_SLACK` metres right of it."""
    ex, ey = bx - ax, by - ay
    return ex * (py - ay) - ey * (px - ax) >= -EDGE_SLACK * (abs(ex) + abs(ey))


@scalar
def in_area(x, y, x0, y0, cell, state, start, triangles, corners):
    """Whether a point lies in the drivable area, by the compiled grid of `drive.roadmap.DrivableArea`.

    `state (rows, columns)` 0 outside, 1 inside, 2 cut; `corners (T, 6)` relative to (x0, y0).
    """
    rows, columns = state.shape
    px, py = x - x0, y - y0
    if not (px >= ZERO and py >= ZERO):
        return False
    c, r = int(px / cell), int(py / cell)
    if c >= columns or r >= rows:
        return False
    kind = state[r, c]
    if kind != 2:
        return kind == 1
    k = r * columns + c
    for t in range(start[k], start[k + 1]):
        i = triangles[t]
        ax, ay = corners[i, 0], corners[i, 1]
        bx, by = corners[i, 2], corners[i, 3]
        cx, cy = corners[i, 4], corners[i, 5]
        if (
            left_of(px, py, ax, ay, bx, by)
            and left_of(px, py, bx, by, cx, cy)
            and left_of(px, py, cx, cy, ax, ay)
        ):
            return True
    return False
