"""Curves in the frame of the road: the speed's quartic, the lateral quintic, and what they are in the plane.

Werling, Ziegler, Kammel, Thrun, "Optimal trajectory generation for dynamic street scenarios in a Frenet
frame" (2010). The lateral quintic runs over the way and not over time (their mode for low speeds): it stays
one that can be driven when the ego stops half-way. At a constant speed the two are the same curve.
"""

from __future__ import annotations

import math

from drive.sim.kernels.compile import scalar

MIN_Q = 0.2


@scalar
def quartic(speed, acceleration, end_speed, duration):
    """(c3, c4) of s = v t + a/2 t^2 + c3 t^3 + c4 t^4 that ends at a speed without acceleration."""
    c3 = (end_speed - speed - 2.0 / 3.0 * acceleration * duration) / (duration * duration)
    c4 = -(acceleration + 6.0 * c3 * duration) / (12.0 * duration * duration)
    return c3, c4


@scalar
def quintic(d, slope, bend, end, length):
    """Coefficients (c3, c4, c5) of d = d0 + d' x + d''/2 x^2 + c3 x^3 + ..: ends at `end`, straight along."""
    rest = (end - d) / length - slope - 0.5 * bend * length
    turn = -slope - bend * length
    fade = -bend * length
    c3 = (10.0 * rest - 4.0 * turn + 0.5 * fade) / (length * length)
    c4 = (-15.0 * rest + 7.0 * turn - fade) / (length * length * length)
    c5 = (6.0 * rest - 3.0 * turn + 0.5 * fade) / (length * length * length * length)
    return c3, c4, c5


@scalar
def along(t, speed, acceleration, c3, c4, end_speed, duration):
    """(s, s', s'', s''') at the time t; beyond the duration the end speed is kept."""
    u = min(t, duration)
    s = u * (speed + u * (0.5 * acceleration + u * (c3 + u * c4)))
    v = speed + u * (acceleration + u * (3.0 * c3 + u * 4.0 * c4))
    a = acceleration + u * (6.0 * c3 + u * 12.0 * c4)
    j = 6.0 * c3 + 24.0 * c4 * u
    if t > duration:
        return s + end_speed * (t - duration), end_speed, 0.0, 0.0
    return s, v, a, j


@scalar
def across(x, d, slope, bend, c3, c4, c5, end, length):
    """(d, d', d'', d''') after the way x; beyond the length the end's offset is kept."""
    if x >= length:
        return end, 0.0, 0.0, 0.0
    o = d + x * (slope + x * (0.5 * bend + x * (c3 + x * (c4 + x * c5))))
    d1 = slope + x * (bend + x * (3.0 * c3 + x * (4.0 * c4 + x * 5.0 * c5)))
    d2 = bend + x * (6.0 * c3 + x * (12.0 * c4 + x * 20.0 * c5))
    d3 = 6.0 * c3 + x * (24.0 * c4 + x * 60.0 * c5)
    return o, d1, d2, d3


@scalar
def place(s, step, rows):
    """Row of the road's table before a station, and the share of the way to the next one; its ends hold."""
    at = s / step
    i = math.floor(at)
    i = min(max(i, 0), rows - 2)
    return i, min(max(at - i, 0.0), 1.0)


@scalar
def between(road, i, part, column):
    """A column of the road's table between two rows."""
    a = road[i, column]
    return a + part * (road[i + 1, column] - a)


@scalar
def in_plane(kappa, dkappa, d, d1, d2, v, a):
    """The motion in the plane: (q, h, kappa, speed, acceleration).

    q = 1 - kappa_r d, held at 0.2; h the way in the plane for a metre along the road, so that d1 / h and
    q / h are sine and cosine of the heading against the road's.
    """
    q = max(1.0 - kappa * d, MIN_Q)
    h = math.sqrt(q * q + d1 * d1)
    bend = dkappa * d + kappa * d1
    curvature = (kappa + (q * d2 + bend * d1) / (h * h)) / h
    return q, h, curvature, v * h, a * h + v * v * (d1 * d2 - q * bend) / h
