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
LEADS, MEETS = 1, 2
"""Bits of a flag: may be in the way; may meet."""
BACK, AHEAD = F(-SURVEYED[0]), F(SURVEYED[1])
MEETING = F(48.0)  # m ahead of the foot of the rear axle within which is whoever is within YIELD_REACH
SAME_WAY, NEARLY = HALF, F(0.2)  # cosine between two who may meet, and between one and the other's path
BEHIND = F(-12.0)  # nor farther back who is beside a bus
GENTLE = F(0.5)  # rad up to which the bounds hold
SHORTENED = F(0.87)  # a distance across the frame is at most 1 / SHORTENED of the one to the path
MEASURED = 1.2
"""How much farther along the path its parabola is compared, for feet lie beyond the square distance."""


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
        for j in range(i - back, i + ahead + 1, 2):
            at = min(max(j, 0), n - 1)
            over = (j - at) * step
            dx, dy = rows[at, 0] + over * rows[at, 2] - x, rows[at, 1] + over * rows[at, 3] - y
            f, side = dx * c + dy * s, dy * c - dx * s
            bow = k * f
            far = max(far, abs(side - 0.5 * bow * f))
            turned = max(turned, abs(rows[at, 6] - rows[i, 6] - bow))
        stray[i], twist[i] = far, turned


@scalar
def place_one(w, j, m, g, crowd):
    """Fill an agent's column of the crowd but for `LATER_X` and `LATER_Y`."""
    s, c = sin_cos(m.heading[w, j])
    there = m.presence[w, j] == PRESENT
    crowd[COS, j], crowd[SIN, j] = c, s
    crowd[CX, j] = m.x[w, j] + g.rear_to_center[w, j] * c if there else NOWHERE
    crowd[CY, j] = m.y[w, j] + g.rear_to_center[w, j] * s if there else NOWHERE
    crowd[SPEED, j] = m.speed[w, j]
    crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j] = HALF * g.length[w, j], HALF * g.width[w, j]


@scalar
def place_crowd(w, m, g, crowd, count):
    """Fill the crowd of a world but for `LATER_X` and `LATER_Y`."""
    for j in range(count):
        place_one(w, j, m, g, crowd)
    for j in range(count, crowd.shape[1]):
        crowd[CX, j], crowd[CY, j], crowd[COS, j], crowd[SIN, j] = NOWHERE, NOWHERE, ONE, ZERO
        crowd[SPEED, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j] = ZERO, ZERO, ZERO


@scalar
def matters(i, j, known, row, rows, reach, later_x, later_y, later_c, later_s, anticipate, crowd):
    """Flag of agent `j` as `survey` writes it."""
    px, py, pc, ps = rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3]
    k, stray, twist = rows[row, 4], rows[row, 6], rows[row, 7]
    wide = crowd[HALF_WIDTH, i] + CORRIDOR_MARGIN
    # Bounds for |q| + twist below GENTLE: the sine of a heading and its estimate are no farther apart.
    gentle, blurred = GENTLE - twist, F(1.6) * twist
    mind = np.uint8(anticipate and crowd[SPEED, i] >= HALF)
    soon = ANTICIPATION if anticipate else ZERO
    cj, sj = crowd[COS, j], crowd[SIN, j]
    v, hl, hw = crowd[SPEED, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j]
    # In the path's frame, as if it were its parabola.
    rx, ry = crowd[CX, j] - px, crowd[CY, j] - py
    f, side = rx * pc + ry * ps, ry * pc - rx * ps
    q = k * f
    beside = side - HALF * q * f
    off = abs(beside)
    along = cj * pc + sj * ps
    st = (sj * pc - cj * ps) - along * q
    away = st if beside >= ZERO else -st
    blur = blurred + F(0.6) * q * q
    near = (f > BACK) & (f < AHEAD) & (abs(q) < gentle)
    # Who may be in the way, now or soon: nearest in the frame, and drifting as fast as may be.
    nearest = SHORTENED * (off - stray) + soon * min(v * away - abs(v) * blur, ZERO)
    clear = near & (nearest > wide + hw + hl * (abs(st) + blur))
    # A foot lies farther along than its point where the path leans away from it.
    lean = abs(q) + twist if near else ONE
    within = f < reach + hl + lean * (wide + hl + hw + soon * abs(v))
    leads = (f > BEHIND) & within & (not clear) & (np.int32(j) != known)
    # Whose way may meet mine.
    both = wide + hw
    apart = abs((crowd[LATER_Y, j] - later_y) * later_c - (crowd[LATER_X, j] - later_x) * later_s)
    meets = (f > BACK) & (f < MEETING) & (v >= HALF) & (along >= NEARLY) & (apart <= both + ONE)
    inside = near & (off + stray < both)
    flag = np.uint8(leads) | ((np.uint8(meets & (not inside)) & mind) << np.uint8(1))
    return flag if np.int32(j) != np.int32(i) else np.uint8(0)


@scalar
def survey(i, known, row, rows, reach, later_x, later_y, later_c, later_s, anticipate, crowd, flags):
    """Flag who may lead agent `i` or meet it on a path that it is at the sample `row` of.

    Leaders are those but for `known`, who leads it already, whose box reaches as near as `reach` m
    ahead of the sample; `later_*` its box centre and heading there in `LATER` s. Overwrites `flags (P,)`.
    """
    for j in range(crowd.shape[1]):
        flags[j] = matters(
            i, j, known, row, rows, reach, later_x, later_y, later_c, later_s, anticipate, crowd
        )
