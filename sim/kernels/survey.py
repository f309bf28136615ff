"""Who may matter to a driver, found for all at once, so that few are looked at closely.

A pass over contiguous arrays asks of everybody, by bounds that err on the safe side, what the exact
rules of `follow` ask: may this one be in my way, or may our ways meet? Who is passed over here would
have been passed over there: results do not depend on it.
"""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.layout import PRESENT, SURVEYED
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, sin_cos

CX, CY, COS, SIN, SPEED, HALF_LENGTH, HALF_WIDTH, LATER_X, LATER_Y, NOSE = range(10)
CROWD_ROWS = 10
"""Rows of `crowd (CROWD_ROWS, P)`: box centre, heading, speed, half sizes, the centre in `LATER` s (x NaN for
who stands), and how far ahead of the centre the nose is in `ANTICIPATION` s."""
PAD = 16
"""P is the number of agents in whole vectors, a multiple of this; who is not there stands at `NOWHERE`."""
NOWHERE = F(1e9)
NOT_A_NUMBER = F(math.nan)
LATER = F(3.0)  # s after which two ways that do not meet are taken to stay apart
ANTICIPATION = F(1.0)  # s: who will be in my way so soon is already followed
CORRIDOR_MARGIN = F(0.15)  # m beside the car on either side
REACH = F(100.0)  # m within which leaders are looked for
YIELD_REACH = F(45.0)  # m within which others are let go first
YIELD_BEHIND = F(-20.0)
LEADS, MEETS = 1, 2
"""Bits of a flag: may be in the way; may meet."""
FRAME_COLUMNS = 12
"""x, y, cos, sin, curvature and stray of the sample; blur of sines; between where along the frame bounds
hold; lean of the path; how far along and how far beside somebody may be."""
WIDEST = F(2.0)  # m, half the width of any road user
BACK, AHEAD = F(-SURVEYED[0]), F(SURVEYED[1])
MEETING = F(48.0)  # m ahead of the foot of the rear axle within which is whoever is within YIELD_REACH
SAME_WAY, NEARLY = HALF, F(0.2)  # cosine between two who may meet, and between one and the other's path
BEHIND = F(-12.0)  # nor farther back who is beside a bus
FARTHEST = F(30.0)  # m beyond its reach to which a survey minds how the path leans
UPRIGHT = F(0.15)  # rad of lean up to which feet beyond that are out of reach, however long or fast one is
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
    crowd[NOSE, j] = HALF * g.length[w, j] + abs(m.speed[w, j]) * ANTICIPATION


@scalar
def place_nobody(crowd, count):
    """Fill the columns beyond the last agent's."""
    for j in range(count, crowd.shape[1]):
        crowd[CX, j], crowd[CY, j], crowd[COS, j], crowd[SIN, j] = NOWHERE, NOWHERE, ONE, ZERO
        crowd[SPEED, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j] = ZERO, ZERO, ZERO
        crowd[NOSE, j] = ZERO


@scalar
def place_crowd(w, m, g, crowd, count):
    """Fill the crowd of a world but for `LATER_X` and `LATER_Y`."""
    for j in range(count):
        place_one(w, j, m, g, crowd)
    place_nobody(crowd, count)


@scalar
def place_rows(w, m, g, crowd, count):
    """`place_crowd`, a row at a time.

    A loop that writes many rows would not vectorise: they might overlap.
    """
    for j in range(count):
        s, c = sin_cos(m.heading[w, j])
        crowd[COS, j], crowd[SIN, j] = c, s
    for j in range(count):
        there = m.presence[w, j] == PRESENT
        crowd[CX, j] = m.x[w, j] + g.rear_to_center[w, j] * crowd[COS, j] if there else NOWHERE
    for j in range(count):
        there = m.presence[w, j] == PRESENT
        crowd[CY, j] = m.y[w, j] + g.rear_to_center[w, j] * crowd[SIN, j] if there else NOWHERE
    for j in range(count):
        crowd[SPEED, j] = m.speed[w, j]
    for j in range(count):
        crowd[HALF_LENGTH, j] = HALF * g.length[w, j]
    for j in range(count):
        crowd[HALF_WIDTH, j] = HALF * g.width[w, j]
    for j in range(count):
        crowd[NOSE, j] = HALF * g.length[w, j] + abs(m.speed[w, j]) * ANTICIPATION
    place_nobody(crowd, count)


@scalar
def frame_of(px, py, pc, ps, curvature, stray, twist, x, y, rear, half_length, half_width, gap):
    """What a survey on a path has to know of its driver, see `FRAME_COLUMNS`.

    From the sample (in `ROW_COLUMNS`) at the rear axle (`x`, `y`), and the gap to whom it follows so far.
    """
    # The sample lies beside or before the rear axle, no farther than this.
    slack = abs(x - px) + abs(y - py)
    reach = min(REACH, gap + rear + half_length + WIDEST) + slack
    wide = half_width + CORRIDOR_MARGIN
    # Between these the heading turns by less than GENTLE, and the sine of a heading and its estimate are
    # no farther apart than the blur.
    turns = F(0.999) * (GENTLE - twist) / max(abs(curvature), F(1e-4))
    begins, ends = max(BACK, -turns), min(AHEAD, turns)
    # A foot lies farther along than its point where the path leans away from it.
    farthest = reach + FARTHEST
    lean = abs(curvature) * farthest + twist
    lean = lean if (farthest < ends) & (lean < UPRIGHT) else ONE
    return px, py, pc, ps, curvature, stray, F(1.6) * twist, begins, ends, lean, reach + lean * wide, wide


@scalar
def matters(i, j, known, frame, later_x, later_y, later_c, later_s, mind, crowd):
    """Flag of agent `j` as `survey` writes it."""
    px, py, pc, ps, k, stray, blurred, begins, ends, lean, limit, wide = frame
    # In the path's frame, as if it were its parabola.
    cj, sj, nose = crowd[COS, j], crowd[SIN, j], crowd[NOSE, j]
    hl, hw = crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j]
    rx, ry = crowd[CX, j] - px, crowd[CY, j] - py
    f, side = rx * pc + ry * ps, ry * pc - rx * ps
    q = k * f
    off = abs(side - HALF * q * f)
    along = cj * pc + sj * ps
    st = (sj * pc - cj * ps) - along * q
    turned = abs(st) + (blurred + F(0.6) * q * q)
    near = (f > begins) & (f < ends)
    # Who may be in the way, now or soon: its nose turned to the path, and drifting there as fast as may be.
    clear = near & (SHORTENED * (off - stray) > wide + hw + nose * turned)
    leads = (f > BEHIND) & (f < limit + hl + lean * (nose + hw)) & (not clear) & (np.int32(j) != known)
    # Whose way may meet mine.
    apart = abs((crowd[LATER_Y, j] - later_y) * later_c - (crowd[LATER_X, j] - later_x) * later_s)
    inside = near & (off + stray < wide + hw)
    meets = (f > BACK) & (f < MEETING) & (along >= NEARLY) & (apart <= wide + hw + ONE) & (not inside) & mind
    flag = np.uint8(leads) | (np.uint8(meets) << np.uint8(1))
    return flag if np.int32(j) != np.int32(i) else np.uint8(0)


@scalar
def survey(i, known, frame, later_x, later_y, later_c, later_s, mind, crowd, flags):
    """Flag who may lead agent `i` or meet it on a path that it has the `frame_of` on.

    Leaders are those but for `known`, who leads it already; `later_*` its box centre and heading there in
    `LATER` s; meeting others is asked where it does `mind`. Overwrites `flags (P,)`.
    """
    for j in range(crowd.shape[1]):
        flags[j] = matters(i, j, known, frame, later_x, later_y, later_c, later_s, mind, crowd)
