"""Who may matter to a driver, found for all at once, so that few are looked at closely.

A pass over contiguous arrays asks of everybody, by bounds that err on the safe side, what the exact
rules of `follow` ask: may this one be in my way, or may our ways meet? Who is passed over here would
have been passed over there: results do not depend on it.
"""

from __future__ import annotations

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.layout import PRESENT, SURVEYED
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, sin_cos

CX, CY, COS, SIN, SPEED, HALF_LENGTH, HALF_WIDTH, LATER_X, LATER_Y = range(9)
CROWD_ROWS = 9
"""Rows of `crowd (CROWD_ROWS, P)`: box centre, heading, speed, half sizes, and the centre in `LATER` s."""
PAD = 16
"""P is the number of agents in whole vectors, a multiple of this; who is not there stands at `NOWHERE`."""
NOWHERE = F(1e9)
LATER = F(3.0)  # s after which two ways that do not meet are taken to stay apart
ANTICIPATION = F(1.0)  # s: who will be in my way so soon is already followed
CORRIDOR_MARGIN = F(0.15)  # m beside the car on either side
REACH = F(100.0)  # m within which leaders are looked for
YIELD_REACH = F(45.0)  # m within which others are let go first
YIELD_BEHIND = F(-20.0)
MEETING = F(50.0 * 50.0)
"""m^2 from the foot of the rear axle within which is whoever is that near the box's centre."""
LEADS, MEETS = 1, 2
"""Bits of a flag: may be in the way; may meet."""
BACK = F(-SURVEYED[0])
BEHIND = F(-12.0)  # nor farther back who is beside a bus
GENTLE = F(0.55)  # rad up to which the bounds hold
MEASURED = 1.2
"""How much farther along the path its parabola is compared, for feet lie beyond the square distance."""


@scalar
def growth(f):
    """How a parabola's errors are taken to grow with the distance: (of the place, of the heading)."""
    far = max(abs(f) * F(1.0 / 40.0), ONE)
    return far * far * far, far * far


@kernel
def measure_stray(rows, step, stray, twist):
    """How far a path leaves its parabola at each sample; see `layout.ROW_COLUMNS`.

    `rows (N, >= 7)` float64 in ROW_COLUMNS, column 6 the unwrapped heading. Beyond its ends a path is
    straight, as for projections on it.
    """
    n = rows.shape[0]
    back, ahead = int(SURVEYED[0] * MEASURED / step) + 2, int(SURVEYED[1] * MEASURED / step) + 4
    for i in range(n):
        x, y, c, s, k = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4]
        far, turned = 0.0, 0.0
        j = i - back
        while j <= i + ahead:
            at = min(max(j, 0), n - 1)
            over = (j - at) * step
            dx, dy = rows[at, 0] + over * rows[at, 2] - x, rows[at, 1] + over * rows[at, 3] - y
            f, side = dx * c + dy * s, dy * c - dx * s
            bow = k * f
            place, heading = growth(f)
            far = max(far, abs(side - 0.5 * bow * f) / place)
            turned = max(turned, abs(rows[at, 6] - rows[i, 6] - bow) / heading)
            j += 2 if j < i + 40 else 4
        stray[i], twist[i] = far, turned


@scalar
def place_crowd(w, m, g, crowd, count):
    """Fill the crowd of a world but for `LATER_X` and `LATER_Y`."""
    for j in range(count):
        s, c = sin_cos(m.heading[w, j])
        there = m.presence[w, j] == PRESENT
        crowd[COS, j], crowd[SIN, j] = c, s
        crowd[CX, j] = m.x[w, j] + g.rear_to_center[w, j] * c if there else NOWHERE
        crowd[CY, j] = m.y[w, j] + g.rear_to_center[w, j] * s if there else NOWHERE
        crowd[SPEED, j] = m.speed[w, j]
        crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j] = HALF * g.length[w, j], HALF * g.width[w, j]
    for j in range(count, crowd.shape[1]):
        crowd[CX, j], crowd[CY, j], crowd[COS, j], crowd[SIN, j] = NOWHERE, NOWHERE, ONE, ZERO
        crowd[SPEED, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j] = ZERO, ZERO, ZERO


@scalar
def survey(i, row, rows, reach, later_x, later_y, later_c, later_s, anticipate, crowd, flags):
    """Flag who may lead agent `i` or meet it on a path that it is at the sample `row` of.

    Leaders are those whose box reaches as near as `reach` m ahead of the sample; `later_*` are its box
    centre and heading in `LATER` s on that path. Overwrites `flags (P,)`; the agent's own means nothing.
    """
    cos_i, sin_i = crowd[COS, i], crowd[SIN, i]
    px, py, pc, ps = rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3]
    k, stray, twist = rows[row, 4], rows[row, 6], rows[row, 7]
    wide = crowd[HALF_WIDTH, i] + CORRIDOR_MARGIN
    mind = np.uint8(anticipate and crowd[SPEED, i] >= HALF)
    soon = ANTICIPATION if anticipate else ZERO
    for j in range(crowd.shape[1]):
        cj, sj = crowd[COS, j], crowd[SIN, j]
        v, hl, hw = crowd[SPEED, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j]
        # In the path's frame, as if it were its parabola.
        rx, ry = crowd[CX, j] - px, crowd[CY, j] - py
        f, side = rx * pc + ry * ps, ry * pc - rx * ps
        q = k * f
        square = HALF * q * q
        off = abs(side - HALF * q * f)
        st = (sj * pc - cj * ps) - (cj * pc + sj * ps) * q
        st = st if side >= HALF * q * f else -st
        far = max(abs(f) * F(1.0 / 40.0), ONE)
        error, turned = stray * far * far * far, twist * far * far
        turn = abs(q) + turned
        blur = turned + square + HALF * abs(q) * square
        known = (f > BACK) & (turn < GENTLE)
        # Who may be in the way, now or soon: nearest in the frame, and drifting as fast as may be.
        nearest = (off - error) * (ONE - HALF * turn * turn) + soon * min(v * st - abs(v) * blur, ZERO)
        clear = known & (nearest > wide + hw + hl * (abs(st) + blur))
        leads = (f > BEHIND) & (f < reach + hl) & (not clear)
        # Whose way may meet mine.
        both = wide + hw
        apart = abs((crowd[LATER_Y, j] - later_y) * later_c - (crowd[LATER_X, j] - later_x) * later_s)
        close = (rx * rx + ry * ry < MEETING) & (f > BACK)
        meets = close & (v >= HALF) & (cos_i * cj + sin_i * sj >= HALF) & (apart <= both + ONE)
        inside = known & (off + error < both)
        flags[j] = np.uint8(leads) | ((np.uint8(meets & (not inside)) & mind) << np.uint8(1))
