"""What happens to agents from step to step: contact, the road's edge, progress, time to collision, comfort.

One row of `SERIES_COLUMNS` an agent. Comfort goes by the bounds of nuPlan's metrics, on raw differences
instead of filtered ones.
"""

from __future__ import annotations

import numpy as np

from drive.sim.kernels.areas import in_areas
from drive.sim.kernels.compile import inlined, kernel, scalar
from drive.sim.kernels.features import NOWHERE, RED, cos_sin, find_foot, find_places
from drive.sim.kernels.layout import PRESENT
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F
from drive.sim.kernels.score_comfort import (
    MAX_LAT_ACCELERATION,
    MAX_LON_ACCELERATION,
    MAX_LON_JERK,
    MAX_YAW_ACCELERATION,
    MAX_YAW_RATE,
    MIN_LON_ACCELERATION,
)

SERIES_COLUMNS = (
    "present", "collided", "off_road", "red", "progress", "offset", "remaining", "time_to_collision",
    "lon_acceleration", "lat_acceleration", "lon_jerk", "yaw_rate", "yaw_acceleration", "comfortable",
    "over_limit", "direction",
)  # fmt: skip
MEMORY_COLUMNS = ("station", "acceleration", "yaw_rate", "sample")
WIDTH, KEPT = len(SERIES_COLUMNS), len(MEMORY_COLUMNS)
HORIZON = F(5.0)  # s, the time to collision of those who meet nobody
TINY = F(1e-6)


@inlined
def place_moving(w, m, g, who, count, padded):
    """`who (8, padded)`: centres, cosine, sine, velocity, half length and half width; the absent far off."""
    xs, ys, cs, ss, us, vs, ls, ws = who[0], who[1], who[2], who[3], who[4], who[5], who[6], who[7]
    x, y, heading, presence = m.x[w], m.y[w], m.heading[w], m.presence[w]
    u, v, rear, length, width = m.vx[w], m.vy[w], g.rear_to_center[w], g.length[w], g.width[w]
    for j in range(count):
        c, s = cos_sin(heading[j])
        there = presence[j] == PRESENT
        xs[j] = x[j] + rear[j] * c if there else NOWHERE
        ys[j] = y[j] + rear[j] * s if there else NOWHERE
        cs[j], ss[j] = c, s
        us[j], vs[j] = u[j] if there else ZERO, v[j] if there else ZERO
        ls[j], ws[j] = HALF * length[j], HALF * width[j]
    for j in range(count, padded):
        xs[j], ys[j] = NOWHERE, NOWHERE
        for k in range(2, 8):
            who[k, j] = ZERO


@inlined
def meet(i, who, times, bits):
    """Time in s until the box of `i` meets one ahead of it, if all keep velocity and heading; <= HORIZON.

    Boxes overlap while their shadows do on all four axes of the separating-axis test, and each axis has one
    span of time: the last of the four beginnings counts if it comes before the first of the ends. Ahead is
    who has its centre before mine. `bits` is `times (padded,)` seen as int32, whose minimum vectorises.
    """
    xs, ys, cs, ss, us, vs, ls, ws = who[0], who[1], who[2], who[3], who[4], who[5], who[6], who[7]
    x, y, c, s, u, v, hl, hw = xs[i], ys[i], cs[i], ss[i], us[i], vs[i], ls[i], ws[i]
    for j in range(xs.shape[0]):
        dx, dy, du, dv = xs[j] - x, ys[j] - y, us[j] - u, vs[j] - v
        co, si = abs(c * cs[j] + s * ss[j]), abs(c * ss[j] - s * cs[j])
        forward = dx * c + dy * s
        begin, end = ZERO, HORIZON
        rate = du * c + dv * s
        rate = ONE / (rate + (TINY if rate >= ZERO else -TINY))
        middle, half = -forward * rate, (hl + ls[j] * co + ws[j] * si) * abs(rate)
        begin, end = max(begin, middle - half), min(end, middle + half)
        rate = dv * c - du * s
        rate = ONE / (rate + (TINY if rate >= ZERO else -TINY))
        middle, half = (dx * s - dy * c) * rate, (hw + ls[j] * si + ws[j] * co) * abs(rate)
        begin, end = max(begin, middle - half), min(end, middle + half)
        rate = du * cs[j] + dv * ss[j]
        rate = ONE / (rate + (TINY if rate >= ZERO else -TINY))
        middle, half = -(dx * cs[j] + dy * ss[j]) * rate, (ls[j] + hl * co + hw * si) * abs(rate)
        begin, end = max(begin, middle - half), min(end, middle + half)
        rate = dv * cs[j] - du * ss[j]
        rate = ONE / (rate + (TINY if rate >= ZERO else -TINY))
        middle, half = (dx * ss[j] - dy * cs[j]) * rate, (ws[j] + hl * si + hw * co) * abs(rate)
        begin, end = max(begin, middle - half), min(end, middle + half)
        times[j] = begin if (begin <= end) & (forward > ZERO) else HORIZON
    times[i] = HORIZON
    least = bits[i]
    for j in range(bits.shape[0]):
        least = min(least, bits[j])
    bits[i] = least
    return times[i]


@scalar
def leaves_area(x, y, c, s, hl, hw, n, areas):
    """Whether a corner of a box lies outside the drivable area `n`."""
    for corner in range(4):
        a = hl if corner < 2 else -hl
        b = hw if (corner & 1) == 0 else -hw
        if not in_areas(x + a * c - b * s, y + a * s + b * c, n, areas):
            return True
    return False


@scalar
def passed_red(w, before, now, first, line, step, m, p, signals):
    """Whether the front passed a stop line that shows red, on its way between two stations in m.

    `line` is the path's first sample with a stop line that it can have passed, -1 none.
    """
    k = line
    while k >= 0:
        at = F(k - first) * step
        if at > now:
            return False
        if at > before:
            state = signals[w, p.stop[k], min(m.sample[w], signals.shape[2] - 1)]
            if state == RED:
                return True
        k = p.next_stop[k]
    return False


@kernel
def series_kernel(m, g, p, table, areas, rows, chosen, who, times, bits, spots, warm, memory, out, dt, n0, n1):
    """Write `out (W, K, WIDTH)` for the agents `rows (W, K)` of the worlds `chosen[n0:n1]`; row -1 is nobody.

    `memory (W, K, KEPT)` is read and written: what progress, jerk and yaw acceleration are measured from, NaN
    for nothing yet. Scratch: `who (8, A padded)`, `times (A padded,)` and `bits`, the same memory as int32,
    `spots (K, 4)` int32, `warm (K,)`.
    """
    count, padded = m.x.shape[1], times.shape[0]
    for n in range(n0, n1):
        w = chosen[n]
        place_moving(w, m, g, who, count, padded)
        find_places(w, rows, m, p, table, spots, warm)
        area = areas.of[w]
        for col in range(rows.shape[1]):
            i = rows[w, col]
            row, kept = out[w, col], memory[w, col]
            if i < 0 or m.presence[w, i] != PRESENT:
                for k in range(WIDTH):
                    row[k] = ZERO
                for k in range(KEPT):
                    kept[k] = F(np.nan)
                continue
            cx, cy, c, s, hl, hw = who[0, i], who[1, i], who[2, i], who[3, i], who[6, i], who[7, i]
            v, a, yaw = m.speed[w, i], m.acceleration[w, i], m.yaw_rate[w, i]
            now = F(m.sample[w])
            gap = (now - kept[3]) * dt
            known = gap > ZERO
            row[0], row[1] = ONE, F(m.collided[w, i])
            row[2] = ONE if leaves_area(cx, cy, c, s, hl, hw, area, areas) else ZERO
            row[3], row[4], row[5], row[6] = ZERO, ZERO, ZERO, ZERO
            row[14], row[15] = ZERO, ONE
            row[7] = meet(i, who, times, bits)
            row[8], row[9], row[11] = a, v * yaw, yaw
            row[10] = (a - kept[1]) / gap if known else ZERO
            row[12] = (yaw - kept[2]) / gap if known else ZERO
            fits = a >= MIN_LON_ACCELERATION and a <= MAX_LON_ACCELERATION and abs(row[9]) <= MAX_LAT_ACCELERATION
            fits = fits and abs(row[10]) <= MAX_LON_JERK
            fits = fits and abs(yaw) <= MAX_YAW_RATE and abs(row[12]) <= MAX_YAW_ACCELERATION
            row[13] = ONE if fits else ZERO
            base, station = spots[col, 0], F(np.nan)
            if base >= 0:
                station, offset, pc, ps, own = find_foot(
                    table.points, base, spots[col, 2], spots[col, 1], warm[col], m.x[w, i], m.y[w, i]
                )
                path = m.path[w, i]
                first, step = p.start[path], p.step[path]
                here = (base >> 2) + (own >> 1)
                row[5], row[6] = offset, F(p.start[path + 1] - 1 - first) * step - station
                row[14] = max(v - table.about[here, 2], ZERO) if table.about[here, 2] > ZERO else ZERO
                row[15] = c * pc + s * ps
                if known and kept[0] == kept[0]:
                    row[4] = station - kept[0]
                    reach = g.rear_to_center[w, i] + hl
                    # The slice that held the front before: the first line that it can have passed since.
                    ahead = max(min(int((kept[0] + reach) / (F(2.0) * warm[col])), spots[col, 1] >> 1), 0)
                    line = table.stop[(base >> 2) + ahead]
                    if line >= 0 and passed_red(
                        w, kept[0] + reach, station + reach, first, first + line, step, m, p, g.signals
                    ):
                        row[3] = ONE
            kept[0], kept[1], kept[2], kept[3] = station, a, yaw, now
