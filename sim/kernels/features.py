"""Compact features of agents for learning: itself, its route, the nearest others, the road ahead.

One row of `ROW` float32 a chosen agent, in the frame of its rear axle (x forward, y left): `EGO_COLUMNS`,
`ROUTE_COLUMNS`, then each of `NEIGHBOUR_COLUMNS` for the `NEIGHBOURS` nearest others, then each of
`POINT_COLUMNS` for `POINTS` points of the road. Whoever and whatever is not there is zero in all columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.follow import RED, YELLOW, next_line, project, row_at
from drive.sim.kernels.layout import PRESENT, SIGNALS
from drive.sim.kernels.scalar import HALF, ONE, TWO, ZERO, F
from drive.sim.kernels.sort import LANES, merge_sixteen, sort_sixteen
from drive.sim.kernels.survey import COS, CX, CY, HALF_LENGTH, HALF_WIDTH, NOWHERE, SIN, SPEED, place_crowd

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


class RoadTable(NamedTuple):
    """What lies along the paths of `drive.sim.kernels.layout.Paths`, in slices of `stride` path samples.

    Slice r of path p is row `start[p] + r`. Its four points `points (4, 4 R)`, planes of POINT_COLUMNS, are
    the path at its begin and half a slice on, and the middles of the lanes to the left and right of its
    begin. `about (R, 3)`: the distance in m from the path to the road's edge left and right, and the speed
    limit in m/s. Every path ends with `SLICES` empty rows.
    """

    start: NDArray[np.int32]
    stride: np.int32
    points: NDArray[np.float32]
    about: NDArray[np.float32]


@scalar
def sort_others(w, rows, col, m, crowd, square, keys, count, padded, lanes, low):
    """The sixteen nearest of each agent `rows[w, col : col + LANES]`, in order, in the last 16 key rows.

    Key k of lane l is `keys[k * LANES + l]`: the square of the distance. `keys` is `square` seen as int32, in
    whose order positive floats stay; its bits `low` give way to the other's row, so that no two are equal.
    """
    chosen = min(rows.shape[1] - col, LANES)
    xs, ys = square[padded * LANES :], square[(padded + 1) * LANES :]
    for lane in range(lanes):
        i = max(rows[w, col + lane], np.int32(0)) if lane < chosen else np.int32(0)
        xs[lane], ys[lane] = m.x[w, i], m.y[w, i]
    for j in range(padded):
        x, y = crowd[CX, j], crowd[CY, j]
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


@scalar
def write_neighbours(lane, x, y, c, s, crowd, keys, low, row):
    """The nearest others within `REACH`, in the frame at (x, y) with the axis (c, s), column by column."""
    xs, ys = row[FIRST_NEIGHBOUR:], row[FIRST_NEIGHBOUR + NEIGHBOURS :]
    cs, ss = row[FIRST_NEIGHBOUR + 2 * NEIGHBOURS :], row[FIRST_NEIGHBOUR + 3 * NEIGHBOURS :]
    vs, ls = row[FIRST_NEIGHBOUR + 4 * NEIGHBOURS :], row[FIRST_NEIGHBOUR + 5 * NEIGHBOURS :]
    ws = row[FIRST_NEIGHBOUR + 6 * NEIGHBOURS :]
    for n in range(NEIGHBOURS):
        key = keys[n * LANES + lane]
        there = ONE if key <= REACH_KEY else ZERO
        j = key & low if key <= REACH_KEY else np.int32(0)
        dx, dy, cj, sj = crowd[CX, j] - x, crowd[CY, j] - y, crowd[COS, j], crowd[SIN, j]
        xs[n], ys[n] = (c * dx + s * dy) * there, (c * dy - s * dx) * there
        cs[n], ss[n] = (c * cj + s * sj) * there, (c * sj - s * cj) * there
        vs[n] = crowd[SPEED, j] * there
        ls[n], ws[n] = TWO * crowd[HALF_LENGTH, j] * there, TWO * crowd[HALF_WIDTH, j] * there


@scalar
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


@scalar
def place_on_path(w, i, path, x, y, m, p):
    """Station, offset, cosine and sine of a path's direction at a point's foot, and the row before it."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    guess = row_at(m.station[w, i], first, last, step)
    station, offset, _ = project(p.rows, first, last, step, x, y, guess)
    k = row_at(station, first, last, step)
    after, share = min(k + 1, last), min(max(station / step - F(k - first), ZERO), ONE)
    pc = p.rows[k, 2] + share * (p.rows[after, 2] - p.rows[k, 2])
    ps = p.rows[k, 3] + share * (p.rows[after, 3] - p.rows[k, 3])
    norm = ONE / math.sqrt(pc * pc + ps * ps)
    return station, offset, pc * norm, ps * norm, k


@scalar
def stop_gap(w, station, front, first, last, step, m, p, signals):
    """Distance in m from the front to the next stop line that shows red or yellow."""
    k = next_line(max(front - ONE, ZERO), first, last, step, p.stop, p.next_stop)
    while k >= 0:
        gap = F(k - first) * step - front
        if gap > REACH:
            break
        if gap > -ONE:
            state = signals[w, p.stop[k], min(m.sample[w], np.int32(signals.shape[2] - 1))]
            if state in (RED, YELLOW):
                return gap
        k = p.next_stop[k]
    return REACH


@scalar
def find_places(w, rows, m, p, table, spots):
    """Where the chosen agents are along their paths, `spots (K, 2)`: their row, their slice of the road.

    The tables of many worlds lie in no cache. Here nothing waits for what is read, so that the reads of
    all agents overlap; one by one they would cost more than all the arithmetic.
    """
    for col in range(rows.shape[1]):
        i = max(rows[w, col], np.int32(0))
        path = max(m.path[w, i], np.int32(0))
        first, last = p.start[path], p.start[path + 1] - 1
        row = row_at(m.station[w, i], first, last, p.step[path])
        spots[col, 0] = row
        spots[col, 1] = table.start[path] + (row - first) // table.stride
    for col in range(rows.shape[1]):
        k = 4 * spots[col, 1]
        t = table.about[spots[col, 1], 0] + p.rows[spots[col, 0], 0]
        for c in range(4):
            t += table.points[c, k] + table.points[c, k + POINTS // 2]
        spots[col, 0] = np.int32(t > ZERO)


@kernel
def features_kernel(m, g, p, table, rows, chosen, crowd, square, keys, spots, out, padded, lanes, n0, n1):
    """Write `out (W, K, ROW)` for the agents `rows (W, K)` of the worlds `chosen[n0:n1]`; row -1 is nobody.

    Scratch: `crowd (CROWD_ROWS, padded)`, `square ((padded + 2) * LANES,)` and `keys`, the same memory as
    int32, `spots (K, 2)` int32. `padded` is A made a multiple of 16, `lanes` the least of K and LANES
    likewise: known before, or the compiler takes the sorting apart by their cases.
    """
    count = m.x.shape[1]
    low = np.int32(1)
    while low < count:
        low = np.int32(low * 2)
    low = np.int32(low - 1)
    for n in range(n0, n1):
        w = chosen[n]
        place_crowd(w, m, g, crowd, count)
        find_places(w, rows, m, p, table, spots)
        for col in range(rows.shape[1]):
            i = rows[w, col]
            row = out[w, col]
            if col % LANES == 0:
                sort_others(w, rows, col, m, crowd, square, keys, count, padded, lanes, low)
            if i < 0 or m.presence[w, i] != PRESENT:
                for k in range(ROW):
                    row[k] = ZERO
                continue
            x, y, c, s = m.x[w, i], m.y[w, i], crowd[COS, i], crowd[SIN, i]
            row[0], row[1], row[2] = m.speed[w, i], m.acceleration[w, i], m.steering[w, i]
            row[3], row[4], row[5] = m.yaw_rate[w, i], g.length[w, i], g.width[w, i]
            row[6], row[7] = g.wheelbase[w, i], F(m.collided[w, i])
            write_neighbours(col % LANES, x, y, c, s, crowd, keys[(padded - 16) * LANES :], low, row)
            path = m.path[w, i]
            if path < 0:
                for k in range(EGO, FIRST_NEIGHBOUR):
                    row[k] = ZERO
                for k in range(FIRST_POINT, ROW):
                    row[k] = ZERO
                continue
            first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
            station, offset, pc, ps, at = place_on_path(w, i, path, x, y, m, p)
            here = table.start[path] + (at - first) // table.stride
            row[8], row[9], row[10] = offset, c * pc + s * ps, s * pc - c * ps
            row[11], row[12] = table.about[here, 2], min(F(last - first) * step - station, REACH)
            row[13], row[14] = table.about[here, 0] - offset, table.about[here, 1] + offset
            row[15] = REACH
            if p.holds[path] & SIGNALS:
                front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
                row[15] = stop_gap(w, station, front, first, last, step, m, p, g.signals)
            write_points(table.points, 4 * here, x, y, c, s, row)
