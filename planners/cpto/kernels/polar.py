"""The polar obstacle step: radial scaling to a lower bound that a barrier carries along the horizon.

With dx = a d cos(alpha) and dy = b d sin(alpha), d is the gauge of (dx, dy), and the least-squares step in
(alpha, d) keeps the direction: it scales (dx, dy) by max(1, bound / d). No angle is needed. The barrier is
d[k + 1] - 1 >= (1 - gamma[k]) (d[k] - 1), the discrete-time inequality, carried forward over the samples
of one iterate ("time"), or over iterates at one sample ("iterate", as the released code has it).
"""

from __future__ import annotations

import math

from drive.planners.cpto.kernels.make import kernel
from drive.sim.kernels.compile import scalar


@scalar
def gauge(dx, dy, m0, m1, m2, m3, square):
    """How many times the shape (m: into its own axes, scaled) must grow to touch (dx, dy).

    An ellipse, or with `square` the rounder box of exponent 4.
    """
    u = m0 * dx + m1 * dy
    v = m2 * dx + m3 * dy
    uu, vv = u * u, v * v
    if square:
        return math.sqrt(math.sqrt(uu * uu + vv * vv))
    return math.sqrt(uu + vv)


@scalar
def barrier_bound(before, gamma):
    """The least d allowed after a sample with d `before`; never below 1."""
    return max(1.0, 1.0 + (1.0 - gamma) * (before - 1.0))


def project_row(dx, dy, shape, gamma, square, over_time, side, limit, d, press, away, aim):
    """Scale a row `(N,)` of relative positions out to the barrier.

    `d (N,)` holds the gauges afterwards; with `over_time` false it comes in as those of the iterate before.
    `press (N,)` are the duals, metres along the ray and never outwards: taking the ray from the position
    alone, they cannot carry it through the obstacle to the other side. `away (2, N)` is the slack, `aim (2,
    N)` where the duals want the position. At the shape's very middle there is no ray: `side` (+1 left, -1
    right) gives one.
    """
    before = 0.0
    for k in range(len(dx)):
        x, y = dx[k], dy[k]
        r = gauge(x, y, shape[0, k], shape[1, k], shape[2, k], shape[3, k], square)
        if r < 1e-6:
            x, y = 0.0, side
            r = gauge(x, y, shape[0, k], shape[1, k], shape[2, k], shape[3, k], square)
        bound = 1.0
        if over_time:
            if k > 0:
                bound = barrier_bound(before, gamma[k - 1])
        else:
            bound = barrier_bound(d[k], gamma[k])
        unit = r / math.sqrt(x * x + y * y)
        # In gauges: the slack, and the dual along the ray.
        wish = r + press[k] * unit
        grown = max(wish, bound)
        push = max(wish - grown, -limit * unit)
        press[k] = push / unit
        away[0, k], away[1, k] = grown / r * x, grown / r * y
        aim[0, k], aim[1, k] = (grown - push) / r * x, (grown - push) / r * y
        before = grown
        d[k] = grown


project = kernel(project_row)
"""`project_row`, compiled."""
