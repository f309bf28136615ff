"""What happens to agents from step to step: contact, the road's edge, progress, time to collision, comfort.

One row of `SERIES_COLUMNS` an agent. Comfort goes by the bounds of nuPlan's metrics, on raw differences
instead of filtered ones.
"""

from __future__ import annotations

import numpy as np

from drive.sim.kernels.areas import area_at
from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.features import place_on_path, slice_at
from drive.sim.kernels.follow import RED, next_line
from drive.sim.kernels.layout import PRESENT, SIGNALS
from drive.sim.kernels.scalar import ONE, ZERO, F
from drive.sim.kernels.score_area import box_in_area
from drive.sim.kernels.score_comfort import (
    MAX_LAT_ACCELERATION,
    MAX_LON_ACCELERATION,
    MAX_LON_JERK,
    MAX_YAW_ACCELERATION,
    MAX_YAW_RATE,
    MIN_LON_ACCELERATION,
)
from drive.sim.kernels.survey import COS, CX, CY, HALF_LENGTH, HALF_WIDTH, SIN, place_crowd

SERIES_COLUMNS = (
    "present", "collided", "off_road", "red", "progress", "offset", "remaining", "time_to_collision",
    "lon_acceleration", "lat_acceleration", "lon_jerk", "yaw_rate", "yaw_acceleration", "comfortable",
    "over_limit", "direction",
)  # fmt: skip
MEMORY_COLUMNS = ("station", "acceleration", "yaw_rate", "sample")
WIDTH, KEPT = len(SERIES_COLUMNS), len(MEMORY_COLUMNS)
HORIZON = F(5.0)  # s, the time to collision of those who meet nobody
TINY = F(1e-6)


@scalar
def meet(i, crowd, us, vs, times, bits):
    """Time in s until the box of `i` meets one ahead of it, if all keep velocity and heading; <= HORIZON.

    Boxes overlap while their shadows do on all four axes of the separating-axis test, and each axis has one
    span of time: the last of the four beginnings counts if it comes before the first of the ends. Ahead is
    who has its centre before mine. `us`, `vs (A,)` are velocities; `bits` is `times (padded,)` seen as int32,
    whose minimum vectorises.
    """
    xs, ys, cs, ss, ls, ws = (
        crowd[CX],
        crowd[CY],
        crowd[COS],
        crowd[SIN],
        crowd[HALF_LENGTH],
        crowd[HALF_WIDTH],
    )
    x, y, c, s, u, v, hl, hw = xs[i], ys[i], cs[i], ss[i], us[i], vs[i], ls[i], ws[i]
    for j in range(us.shape[0]):
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
    for j in range(us.shape[0]):
        least = min(least, bits[j])
    bits[i] = least
    return times[i]


@scalar
def passed_red(w, before, now, first, last, step, m, p, signals):
    """Whether the front passed a stop line that shows red, on its way between two stations in m."""
    k = next_line(max(before, ZERO), first, last, step, p.stop, p.next_stop)
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
def series_kernel(m, g, p, table, areas, rows, chosen, crowd, times, bits, memory, out, dt, n0, n1):
    """Write `out (W, K, WIDTH)` for the agents `rows (W, K)` of the worlds `chosen[n0:n1]`; row -1 is nobody.

    `memory (W, K, KEPT)` is read and written: what progress, jerk and yaw acceleration are measured from, NaN
    for nothing yet. Scratch: `crowd (CROWD_ROWS, padded)`, `times (padded,)` and `bits`, the same memory as
    int32.
    """
    count = m.x.shape[1]
    for n in range(n0, n1):
        w = chosen[n]
        place_crowd(w, m, g, crowd, count)
        area = area_at(areas.of[w], areas)
        for col in range(rows.shape[1]):
            i = rows[w, col]
            row, kept = out[w, col], memory[w, col]
            if i < 0 or m.presence[w, i] != PRESENT:
                for k in range(WIDTH):
                    row[k] = ZERO
                for k in range(KEPT):
                    kept[k] = F(np.nan)
                continue
            c, s, hl, hw = crowd[COS, i], crowd[SIN, i], crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i]
            v, a, yaw = m.speed[w, i], m.acceleration[w, i], m.yaw_rate[w, i]
            now = F(m.sample[w])
            gap = (now - kept[3]) * dt
            known = gap > ZERO
            row[0], row[1] = ONE, F(m.collided[w, i])
            row[2] = ZERO if box_in_area(crowd[CX, i], crowd[CY, i], c, s, hl, hw, area) else ONE
            row[3], row[4], row[5], row[6] = ZERO, ZERO, ZERO, ZERO
            row[14], row[15] = ZERO, ONE
            row[7] = meet(i, crowd, m.vx[w], m.vy[w], times, bits)
            row[8], row[9], row[11] = a, v * yaw, yaw
            row[10] = (a - kept[1]) / gap if known else ZERO
            row[12] = (yaw - kept[2]) / gap if known else ZERO
            fits = (
                a >= MIN_LON_ACCELERATION
                and a <= MAX_LON_ACCELERATION
                and abs(row[9]) <= MAX_LAT_ACCELERATION
            )
            fits = fits and abs(row[10]) <= MAX_LON_JERK
            fits = fits and abs(yaw) <= MAX_YAW_RATE and abs(row[12]) <= MAX_YAW_ACCELERATION
            row[13] = ONE if fits else ZERO
            path, station = m.path[w, i], F(np.nan)
            if path >= 0:
                first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
                station, offset, pc, ps, at = place_on_path(
                    m.station[w, i], m.x[w, i], m.y[w, i], first, last, step, p
                )
                limit = table.about[table.start[path] + slice_at(at - first, table.stride), 2]
                row[5], row[6] = offset, F(last - first) * step - station
                row[14] = max(v - limit, ZERO) if limit > ZERO else ZERO
                row[15] = c * pc + s * ps
                if known and kept[0] == kept[0]:
                    row[4] = station - kept[0]
                    if p.holds[path] & SIGNALS:
                        reach = g.rear_to_center[w, i] + hl
                        if passed_red(
                            w, kept[0] + reach, station + reach, first, last, step, m, p, g.signals
                        ):
                            row[3] = ONE
            kept[0], kept[1], kept[2], kept[3] = station, a, yaw, now
