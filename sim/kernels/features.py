"""Compact features of agents for learning: itself, its route, the nearest others, the road ahead.

One row of `ROW` float32 a chosen agent, in the frame of its rear axle (x forward, y left): `EGO_COLUMNS`,
`ROUTE_COLUMNS`, then each of `NEIGHBOUR_COLUMNS` for the `NEIGHBOURS` nearest others, then each of
`POINT_COLUMNS` for `POINTS` points of the road. Whoever and whatever is not there is zero in all columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import inlined, kernel, scalar
from drive.sim.kernels.layout import PRESENT
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F
from drive.sim.kernels.sort import LANES, merge_sixteen, sort_sixteen

if TYPE_CHECKING:
    from numpy.typing import NDArray

EGO_COLUMNS = ("speed", "acceleration", "steering", "yaw_rate", "length", "width", "wheelbase", "collided")
ROUTE_COLUMNS = ("offset", "cos", "sin", "limit", "remaining", "left_room", "right_room", "stop_gap")
NEIGHBOUR_COLUMNS = ("x", "y", "cos", "sin", "speed", "length", "width")
POINT_COLUMNS = ("x", "y", "cos", "sin")
NEIGHBOURS, SLICES, POINTS = 16, 8, 32
EGO = len(EGO_COLUMNS)
FIRST_NEIGHBOUR = EGO + len(ROUTE_COLUMNS)
FIRST_POINT = FIRST_NEIGHBOUR + NEIGHBOURS * len(NEIGHBOUR_COLUMNS)
ROW = FIRST_POINT + POINTS * len(POINT_COLUMNS)

REACH = F(100.0)  # m within which others are told, and the most that a distance ahead is told as
REACH_KEY = np.int32((REACH * REACH).view(np.int32))
NOWHERE = F(1e9)
RED, YELLOW = 3, 2
TWO_OVER_PI = F(2.0 / math.pi)
# pi / 2 in two parts, so that the reduction does not cost digits (Cody and Waite).
HALF_PI_HIGH, HALF_PI_LOW = F(1.5707963705062866), F(-4.371139000186241e-08)
THIRD, TENTH = F(1.0 / 3.0), F(0.1)


class RoadTable(NamedTuple):
    """What lies along the paths of `drive.sim.kernels.layout.Paths`, in slices of `stride` path samples.

    Slice r of path p is row `start[p] + r`. Its four points `points (4, 4 R)`, planes of POINT_COLUMNS, are
    the path at its begin and half a slice on, and the middles of the lanes to the left and right of its
    begin. `about (R, 4)`: the distance in m from the path to the road's edge left and right, the speed limit
    in m/s, and the speed that it and the bends ahead allow. `stop (R,)` is the first sample of the path, counted from its begin, at or after it with a
    signal's stop line, -1 none.
    Every path ends with `SLICES` empty rows. Equal paths may share rows.
    """

    start: NDArray[np.int32]
    stride: np.int32
    points: NDArray[np.float32]
    about: NDArray[np.float32]
    stop: NDArray[np.int32]


@inlined
def cos_sin(angle):
    """Cosine and sine in float32 of an angle within a few turns; without a branch, so that loops vectorise.

    Polynomials of the Cephes library (sinf, cosf); error below 2e-7.
    """
    q = np.int32(angle * TWO_OVER_PI + math.copysign(HALF, angle))
    n = F(q)
    r = (angle - n * HALF_PI_HIGH) - n * HALF_PI_LOW
    z = r * r
    s = r + r * z * (F(-1.6666654611e-1) + z * (F(8.3321608736e-3) - z * F(1.9515295891e-4)))
    c = ONE - HALF * z + z * z * (
        F(4.166664568298827e-2) + z * (F(-1.388731625493765e-3) + z * F(2.443315711809948e-5))
    )  # fmt: skip
    odd = (q & np.int32(1)) != np.int32(0)
    cosine, sine = s if odd else c, c if odd else s
    cosine = -cosine if ((q + np.int32(1)) & np.int32(2)) != np.int32(0) else cosine
    sine = -sine if (q & np.int32(2)) != np.int32(0) else sine
    return cosine, sine


@inlined
def place_all(w, m, g, who, count):
    """`who (A, 8)`: centre x, y, cosine and sine of the heading, speed, length, width; the absent far off."""
    x, y, heading, speed, presence = m.x[w], m.y[w], m.heading[w], m.speed[w], m.presence[w]
    rear, length, width = g.rear_to_center[w], g.length[w], g.width[w]
    for j in range(count):
        c, s = cos_sin(heading[j])
        there = presence[j] == PRESENT
        who[j, 0] = x[j] + rear[j] * c if there else NOWHERE
        who[j, 1] = y[j] + rear[j] * s if there else NOWHERE
        who[j, 2], who[j, 3], who[j, 4], who[j, 5], who[j, 6] = c, s, speed[j], length[j], width[j]


@inlined
def sort_others(w, rows, col, m, who, square, keys, count, padded, lanes, low):
    """The sixteen nearest others of each agent `rows[w, col : col + LANES]`, in order, in the last 16 key rows.

    Key k of lane l is `keys[k * LANES + l]`: the square of the distance. `keys` is `square` seen as int32, in
    whose order positive floats stay; its bits `low` give way to the other's row, so that no two are equal.
    """
    chosen = min(rows.shape[1] - col, LANES)
    xs, ys = square[padded * LANES :], square[(padded + 1) * LANES :]
    for lane in range(lanes):
        i = max(rows[w, col + lane], np.int32(0)) if lane < chosen else np.int32(0)
        xs[lane], ys[lane] = m.x[w, i], m.y[w, i]
    for j in range(padded):
        x, y = (who[j, 0], who[j, 1]) if j < count else (NOWHERE, NOWHERE)
        line = square[j * LANES :]
        for lane in range(lanes):
            dx, dy = x - xs[lane], y - ys[lane]
            line[lane] = dx * dx + dy * dy
    for lane in range(chosen):
        if rows[w, col + lane] >= 0:
            square[rows[w, col + lane] * LANES + lane] = NOWHERE * NOWHERE
    for j in range(count):
        own = keys[j * LANES :]
        for lane in range(lanes):
            own[lane] = (own[lane] & ~low) | np.int32(j)
    for j in range(0, padded, 16):
        sort_sixteen(keys[j * LANES : (j + 16) * LANES], lanes)
    for j in range(16, padded, 16):
        merge_sixteen(keys[(j - 16) * LANES : (j + 16) * LANES], lanes)


@inlined
def write_neighbours(lane, x, y, c, s, who, keys, low, row):
    """The nearest others within `REACH`, in the frame at (x, y) with the axis (c, s), column by column."""
    told = 0
    while told < NEIGHBOURS and keys[told * LANES + lane] <= REACH_KEY:
        other = who[keys[told * LANES + lane] & low]
        for k in range(7):
            row[FIRST_NEIGHBOUR + k * NEIGHBOURS + told] = other[k]
        told += 1
    xs, ys = row[FIRST_NEIGHBOUR:], row[FIRST_NEIGHBOUR + NEIGHBOURS :]
    cs, ss = row[FIRST_NEIGHBOUR + 2 * NEIGHBOURS :], row[FIRST_NEIGHBOUR + 3 * NEIGHBOURS :]
    for n in range(told):
        dx, dy, cj, sj = xs[n] - x, ys[n] - y, cs[n], ss[n]
        xs[n], ys[n], cs[n], ss[n] = c * dx + s * dy, c * dy - s * dx, c * cj + s * sj, c * sj - s * cj
    if told < NEIGHBOURS:
        for k in range(7):
            for n in range(told, NEIGHBOURS):
                row[FIRST_NEIGHBOUR + k * NEIGHBOURS + n] = ZERO


@inlined
def write_points(points, first, x, y, c, s, row):
    """The `POINTS` road points from `first` on, in the frame at (x, y), column by column."""
    xs, ys = points[0, first : first + POINTS], points[1, first : first + POINTS]
    cs, ss = points[2, first : first + POINTS], points[3, first : first + POINTS]
    tx, ty = row[FIRST_POINT:], row[FIRST_POINT + POINTS :]
    tc, ts = row[FIRST_POINT + 2 * POINTS :], row[FIRST_POINT + 3 * POINTS :]
    for n in range(xs.shape[0]):
        px, py, pc, ps = xs[n] - x, ys[n] - y, cs[n], ss[n]
        there = ONE if pc * pc + ps * ps > HALF else ZERO
        tx[n], ty[n] = (c * px + s * py) * there, (c * py - s * px) * there
        tc[n], ts[n] = c * pc + s * ps, c * ps - s * pc


@inlined
def find_foot(points, base, guess, most, gap, x, y):
    """Station, offset, cosine and sine of a path's direction at the foot of a point, searched downhill.

    The path's own points lie `gap` m apart, `most` is the last one's number; between them the path bends
    evenly, which leaves millimetres. Also the number of the nearest one at or before the foot.
    """
    n = min(max(guess, np.int32(0)), most)
    k = base + 4 * (n >> 1) + (n & 1)
    along = (x - points[0, k]) * points[2, k] + (y - points[1, k]) * points[3, k]
    while along > HALF * gap and n < most:
        n += 1
        k = base + 4 * (n >> 1) + (n & 1)
        along = (x - points[0, k]) * points[2, k] + (y - points[1, k]) * points[3, k]
    while along < -HALF * gap and n > 0:
        n -= 1
        k = base + 4 * (n >> 1) + (n & 1)
        along = (x - points[0, k]) * points[2, k] + (y - points[1, k]) * points[3, k]
    px, py, pc, ps = points[0, k], points[1, k], points[2, k], points[3, k]
    other = n + 1 if (n < most and along >= ZERO) or n == 0 else n - 1
    q = base + 4 * (other >> 1) + (other & 1)
    bend = (pc * points[3, q] - ps * points[2, q]) / (F(other - n) * gap)
    side = (y - py) * pc - (x - px) * ps
    # Off the path's middle its stations lie closer or farther than on it.
    along = along / max(ONE - bend * side, TENTH)
    inside = min(max(along, -gap), gap)
    turn = bend * inside
    c, s = pc - turn * ps, ps + turn * pc
    norm = ONE / math.sqrt(c * c + s * s)
    offset = side * (ONE - HALF * turn * turn) - HALF * turn * inside if abs(along) <= gap else side
    return F(n) * gap + along, offset, c * norm, s * norm, n if along >= ZERO else max(n - 1, 0)


@scalar
def stop_gap(w, k, front, first, step, m, p, signals):
    """Distance in m from the front to the next stop line, from path sample `k` on, that shows red or yellow."""
    while k >= 0:
        gap = F(k - first) * step - front
        if gap > REACH:
            break
        if gap > -ONE:
            state = signals[w, p.stop[k], min(m.sample[w], np.int32(signals.shape[2] - 1))]
            if state == RED or state == YELLOW:
                return gap
        k = p.next_stop[k]
    return REACH


@inlined
def find_places(w, rows, m, p, table, spots, warm):
    """Where the chosen agents are along their paths, `spots (K, 3)`: first point, last own point, nearest.

    The tables of many worlds lie in no cache. Here nothing waits for what is read, so that the reads of
    all agents overlap; one by one they would cost more than all the arithmetic.
    """
    half = np.int32(table.stride >> 1)
    for col in range(rows.shape[1]):
        i = rows[w, col]
        path = m.path[w, i] if i >= 0 else np.int32(-1)
        at = max(path, np.int32(0))
        spots[col, 0] = 4 * table.start[at] if path >= 0 else np.int32(-1)
        spots[col, 1] = (p.start[at + 1] - p.start[at] - 1) // half
        warm[col] = p.step[at] * F(half)
    for col in range(rows.shape[1]):
        i = max(rows[w, col], np.int32(0))
        spots[col, 2] = min(max(np.int32(m.station[w, i] / warm[col]), np.int32(0)), spots[col, 1])
    for col in range(rows.shape[1]):
        k = max(spots[col, 0] + 4 * (spots[col, 2] >> 1), 0)
        t = table.about[k >> 2, 0] + F(table.stop[k >> 2])
        for c in range(4):
            t += table.points[c, k] + table.points[c, k + POINTS // 2]
        spots[col, 3] = np.int32(t > ZERO)


@kernel
def features_kernel(m, g, p, table, rows, chosen, who, square, keys, spots, warm, out, padded, lanes, n0, n1):
    """Write `out (W, K, ROW)` for the agents `rows (W, K)` of the worlds `chosen[n0:n1]`; row -1 is nobody.

    Scratch: `who (A, 8)`, `square ((A + 17) * LANES,)` and `keys`, the same memory as int32, `spots (K, 4)`
    int32, `warm (K,)`. `padded` is A made a multiple of 16, `lanes` the least of K and LANES likewise: known
    before, or the compiler takes the sorting apart by their cases.
    """
    count = m.x.shape[1]
    low = np.int32(1)
    while low < count:
        low = np.int32(low * 2)
    low = np.int32(low - 1)
    for n in range(n0, n1):
        w = chosen[n]
        place_all(w, m, g, who, count)
        find_places(w, rows, m, p, table, spots, warm)
        for col in range(rows.shape[1]):
            i = rows[w, col]
            row = out[w, col]
            if col % LANES == 0:
                sort_others(w, rows, col, m, who, square, keys, count, padded, lanes, low)
            if i < 0 or m.presence[w, i] != PRESENT:
                for k in range(ROW):
                    row[k] = ZERO
                continue
            x, y, c, s = m.x[w, i], m.y[w, i], who[i, 2], who[i, 3]
            row[0], row[1], row[2] = m.speed[w, i], m.acceleration[w, i], m.steering[w, i]
            row[3], row[4], row[5] = m.yaw_rate[w, i], g.length[w, i], g.width[w, i]
            row[6], row[7] = g.wheelbase[w, i], F(m.collided[w, i])
            write_neighbours(col % LANES, x, y, c, s, who, keys[(padded - 16) * LANES :], low, row)
            base = spots[col, 0]
            if base < 0:
                for k in range(EGO, FIRST_NEIGHBOUR):
                    row[k] = ZERO
                for k in range(FIRST_POINT, ROW):
                    row[k] = ZERO
                continue
            station, offset, pc, ps, own = find_foot(
                table.points, base, spots[col, 2], spots[col, 1], warm[col], x, y
            )
            path = m.path[w, i]
            first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
            here = (base >> 2) + (own >> 1)
            front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
            row[8], row[9], row[10] = offset, c * pc + s * ps, s * pc - c * ps
            row[11], row[12] = table.about[here, 2], min(F(last - first) * step - station, REACH)
            row[13], row[14] = table.about[here, 0] - offset, table.about[here, 1] + offset
            line = table.stop[here]
            row[15] = stop_gap(w, first + line if line >= 0 else -1, front, first, step, m, p, g.signals)
            write_points(table.points, 4 * here, x, y, c, s, row)
