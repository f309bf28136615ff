"""Roll-outs of the kinematic bicycle: under given controls, and along a route by simple laws."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.features import find_foot
from drive.sim.kernels.scalar import ONE, TWO, ZERO, F, bicycle_step, wrap

MAX_ERROR = F(1.5)  # m of lateral error that is steered against at once; more would throw the car across
COMFORT_BRAKING = F(3.5)  # m/s^2
COMFORT_ACCELERATION = F(2.0)
SPEED_TIME = F(0.8)  # s in which a difference of speed would be made up
MAX_RATE = F(0.8)  # rad/s of steering


@scalar
def forward_only(acceleration, speed, dt):
    """The acceleration, or what brings the car to a stop within the step: nobody rolls backwards."""
    return max(acceleration, -speed / dt)


@kernel
def roll_controls(start, controls, wheelbase, max_steering, dt, stops, states):
    """Fill `states (B, T + 1, 7)` from `start (B, 7)` under `controls (B, T, 2)`, all of one precision.

    Controls are acceleration and steering rate. With `stops` braking ends at standstill. The states'
    acceleration is the one driven, their heading wrapped.
    """
    for b in range(controls.shape[0]):
        x, y, h, v = start[b, 0], start[b, 1], start[b, 2], start[b, 3]
        steering = start[b, 5]
        for k in range(7):
            states[b, 0, k] = start[b, k]
        for t in range(controls.shape[1]):
            a = controls[b, t, 0]
            if stops:
                a = forward_only(a, v, dt)
            x, y, h, v, steering, yaw = bicycle_step(
                x, y, h, v, steering, a, controls[b, t, 1], wheelbase[b], max_steering, dt
            )
            h = wrap(h)
            row = states[b, t + 1]
            row[0], row[1], row[2], row[3], row[4], row[5], row[6] = x, y, h, v, a, steering, yaw


@scalar
def follow_route(x, y, h, v, steering, base, guess, most, gap, table, side, share, wheelbase, dt):
    """Acceleration and steering rate towards an offset of `side` m and a `share` of the allowed speed.

    Curvature is that of the path less e / l^2 + 2 sin(psi) / l, critically damped over the look-ahead l, the
    lateral error e cut at `MAX_ERROR`. Also the number of the nearest own point of the path.
    """
    station, offset, pc, ps, own = find_foot(table.points, base, guess, most, gap, x, y)
    n = min(own + 1, most)
    k, q = base + 4 * (own >> 1) + (own & 1), base + 4 * (n >> 1) + (n & 1)
    bend = (table.points[2, k] * table.points[3, q] - table.points[3, k] * table.points[2, q]) / gap
    error = min(max(offset - side, -MAX_ERROR), MAX_ERROR)
    ahead = max(F(5.0), F(0.9) * v)
    turn = math.sin(h) * pc - math.cos(h) * ps
    wanted = math.atan(wheelbase * (bend - error / (ahead * ahead) - TWO * turn / ahead))
    rate = min(max((wanted - steering) / dt, -MAX_RATE), MAX_RATE)
    allowed = table.about[(base >> 2) + (own >> 1), 3]
    a = min(max((share * allowed - v) / SPEED_TIME, -COMFORT_BRAKING), COMFORT_ACCELERATION)
    return forward_only(a, v, dt), rate, own


@scalar
def route_of(w, i, m, p, table):
    """Base, last own point, their distance in m, and the nearest one, of the path of agent `i` (base -1: none)."""
    path = m.path[w, i]
    if path < 0:
        return -1, 0, ONE, 0
    half = table.stride >> 1
    gap = p.step[path] * F(half)
    most = (p.start[path + 1] - p.start[path] - 1) // half
    return 4 * table.start[path], most, gap, min(max(int(m.station[w, i] / gap), 0), most)


@kernel
def choice_controls(m, g, p, table, rows, sides, shares, choice, control, dt):
    """Write `control (W, A, 2)` of the agents `rows (W,)` that drive the candidate `choice (W,)`.

    Candidate c is `sides[c]` m beside the route at `shares[c]` of the allowed speed.
    """
    for w in range(rows.shape[0]):
        i, c = rows[w], choice[w]
        base, most, gap, guess = route_of(w, i, m, p, table)
        if base < 0:
            control[w, i, 0], control[w, i, 1] = forward_only(-COMFORT_BRAKING, m.speed[w, i], dt), ZERO
            continue
        control[w, i, 0], control[w, i, 1], _ = follow_route(
            m.x[w, i], m.y[w, i], m.heading[w, i], m.speed[w, i], m.steering[w, i], base, guess, most, gap,
            table, sides[c], shares[c], g.wheelbase[w, i], dt,
        )  # fmt: skip


@kernel
def roll_choices(m, g, p, table, rows, sides, shares, max_steering, states, dt, w0, w1):
    """Roll all C candidates of the agents `rows (W,)` out into `states (W, C, T + 1, 7)`."""
    for w in range(w0, w1):
        i = rows[w]
        base, most, gap, first = route_of(w, i, m, p, table)
        for c in range(sides.shape[0]):
            x, y, h, v = m.x[w, i], m.y[w, i], m.heading[w, i], m.speed[w, i]
            a, steering, yaw, guess = m.acceleration[w, i], m.steering[w, i], m.yaw_rate[w, i], first
            for t in range(states.shape[2]):
                row = states[w, c, t]
                row[0], row[1], row[2], row[3], row[4], row[5], row[6] = x, y, h, v, a, steering, yaw
                if base >= 0:
                    a, rate, guess = follow_route(
                        x, y, h, v, steering, base, guess, most, gap, table, sides[c], shares[c],
                        g.wheelbase[w, i], dt,
                    )  # fmt: skip
                else:
                    a, rate = forward_only(-COMFORT_BRAKING, v, dt), ZERO
                x, y, h, v, steering, yaw = bicycle_step(
                    x, y, h, v, steering, a, rate, g.wheelbase[w, i], max_steering, dt
                )
                h = wrap(h)
