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
from drive.sim.kernels.survey import COS, CX, CY, HALF_LENGTH, HALF_WIDTH, SIN, SPEED, place_crowd
from drive.sim.kernels.vectors import prefetch_slices, write_records, write_slices

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
NO_PATH, NO_AGENT = np.int32(-1), np.int32(-2)
ROW_BITS = 12
ROWS, NOBODY = np.int32((1 << ROW_BITS) - 1), np.int32(2**31 - 1)
AHEAD = 1  # agents whose road points are asked for before they are needed
MOST = F(16000.0)  # m^2, beyond `REACH`: all who are farther are equally far
ONE_BITS = np.int32(ONE.view(np.int32))
REACH_KEY = np.int32(((int((REACH * REACH + ONE).view(np.int32)) - int(ONE_BITS)) << 4) | int(ROWS))


class RoadTable(NamedTuple):
    """What lies along the paths of `drive.sim.kernels.layout.Paths`, in slices of `stride` path samples.

    Slice r of path p is row `start[p] + r`. Its four points `points (R, 16)`, column by column of
    POINT_COLUMNS, are the path at its begin and half a slice on, and the middles of the lanes to the left and
    right of its begin. `about (R, 3)`: the distance in m from the path to the road's edge left and right, and
    the speed limit in m/s. Every path ends with `SLICES` empty rows.
    """

    start: NDArray[np.int32]
    stride: np.int32
    points: NDArray[np.float32]
    about: NDArray[np.float32]


@scalar
def slice_at(row, stride):
    """Slice of the road that a path's row (0 the first) lies in."""
    return np.int32((F(row) + HALF) / F(stride))


@scalar
def key_of(square, j):
    """Whole number in the order of squares of distances in m^2, and of the rows `j` of who is equally far.

    The bits of a positive float are in its order. Counted from those of 1 the range of 14 powers of two needs
    so few that `ROW_BITS` are left for the row, whatever the batch: 1 mm is told apart at 50 m.
    """
    near = F(min(square, MOST) + ONE)
    return ((near.view(np.int32) - ONE_BITS) << np.int32(4)) & ~ROWS | j


@scalar
def sort_others(w, rows, col, m, crowd, places, keys, padded, lanes):
    """The sixteen nearest of each agent `rows[w, col : col + LANES]`, in order, in the last 16 key rows.

    Key k of lane l is `keys[k * LANES + l]`; in the end it is the other's row, or `padded` for nobody. In
    `places (2, LANES)` are the positions that distances are measured from.
    """
    chosen = min(rows.shape[1] - col, LANES)
    for lane in range(lanes):
        i = max(rows[w, col + lane], np.int32(0)) if lane < chosen else np.int32(0)
        places[0, lane], places[1, lane] = m.x[w, i], m.y[w, i]
    for j in range(padded):
        x, y = crowd[CX, j], crowd[CY, j]
        own = keys[j * LANES :]
        for lane in range(lanes):
            dx, dy = x - places[0, lane], y - places[1, lane]
            own[lane] = key_of(dx * dx + dy * dy, np.int32(j))
    for lane in range(chosen):
        if rows[w, col + lane] >= 0:
            keys[rows[w, col + lane] * LANES + lane] = NOBODY
    for j in range(0, padded, 16):
        sort_sixteen(keys[j * LANES : (j + 16) * LANES], lanes)
    for j in range(16, padded, 16):
        merge_sixteen(keys[(j - 16) * LANES : (j + 16) * LANES], lanes)
    for j in range(padded - 16, padded):
        own = keys[j * LANES :]
        for lane in range(lanes):
            own[lane] = own[lane] & ROWS if own[lane] <= REACH_KEY else np.int32(padded)


@scalar
def record_crowd(crowd, records):
    """What is told of everybody, `records (padded + 1, 8)`: NEIGHBOUR_COLUMNS and 1; the last is nobody."""
    count = crowd.shape[1]
    for j in range(count):
        records[j, 0], records[j, 1], records[j, 2], records[j, 3] = (
            crowd[CX, j],
            crowd[CY, j],
            crowd[COS, j],
            crowd[SIN, j],
        )
        records[j, 4], records[j, 5], records[j, 6], records[j, 7] = (
            crowd[SPEED, j],
            TWO * crowd[HALF_LENGTH, j],
            TWO * crowd[HALF_WIDTH, j],
            ONE,
        )
    for k in range(8):
        records[count, k] = ZERO


@scalar
def place_on_path(station, x, y, first, last, step, p):
    """Station, offset, cosine and sine of a path's direction at a point's foot, and the row before it.

    `project` in fewer branches for who is where `station` says, as most are.
    """
    rows = p.rows
    k = min(row_at(station, first, last, step), last - 1)
    over = ONE / step
    dx, dy = x - rows[k, 0], y - rows[k, 1]
    ex, ey = x - rows[k + 1, 0], y - rows[k + 1, 1]
    ux, uy = (rows[k + 1, 0] - rows[k, 0]) * over, (rows[k + 1, 1] - rows[k, 1]) * over
    along, offset = dx * ux + dy * uy, dy * ux - dx * uy
    here, there = dx * dx + dy * dy, ex * ex + ey * ey
    # The sample beyond the nearer one: if it is not nearer still, the search would have ended here.
    ahead = there < here
    beyond = min(k + 2, last) if ahead else max(k - 1, first)
    bx, by = x - rows[beyond, 0], y - rows[beyond, 1]
    past = -((rows[beyond, 0] - rows[k + 1, 0]) * ex + (rows[beyond, 1] - rows[k + 1, 1]) * ey)
    fits = (past > ZERO or k + 1 == last) if ahead else (along >= ZERO or k == first)
    if fits and bx * bx + by * by >= min(here, there):
        along = min(along, step) if ahead and k + 1 < last else along
        station = F(k - first) * step + along
    else:
        station, offset, _ = project(rows, first, last, step, x, y, k)
        k = min(row_at(station, first, last, step), last - 1)
        along = station - F(k - first) * step
    share = along * over
    k += np.int32(share >= ONE)
    after, share = min(k + 1, last), min(max(station * over - F(k - first), ZERO), ONE)
    pc = rows[k, 2] + share * (rows[after, 2] - rows[k, 2])
    ps = rows[k, 3] + share * (rows[after, 3] - rows[k, 3])
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
def write_self(w, i, x, y, c, s, m, g, p, table, row):
    """What an agent knows of itself and its route; gives the slice of the road where it is, or NO_PATH."""
    row[0], row[1], row[2] = m.speed[w, i], m.acceleration[w, i], m.steering[w, i]
    row[3], row[4], row[5] = m.yaw_rate[w, i], g.length[w, i], g.width[w, i]
    row[6], row[7] = g.wheelbase[w, i], F(m.collided[w, i])
    path = m.path[w, i]
    if path < 0:
        for k in range(EGO, FIRST_NEIGHBOUR):
            row[k] = ZERO
        return NO_PATH
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    station, offset, pc, ps, k = place_on_path(m.station[w, i], x, y, first, last, step, p)
    here = table.start[path] + slice_at(k - first, table.stride)
    row[8], row[9], row[10] = offset, c * pc + s * ps, s * pc - c * ps
    row[11], row[12] = table.about[here, 2], min(F(last - first) * step - station, REACH)
    row[13], row[14] = table.about[here, 0] - offset, table.about[here, 1] + offset
    row[15] = REACH
    if p.holds[path] & SIGNALS:
        front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
        row[15] = stop_gap(w, station, front, first, last, step, m, p, g.signals)
    return np.int32(here)


@kernel
def features_kernel(
    m, g, p, table, rows, chosen, crowd, records, places, keys, spots, out, padded, lanes, n0, n1
):
    """Write `out (W, K, ROW)` for the agents `rows (W, K)` of the worlds `chosen[n0:n1]`; row -1 is nobody.

    Scratch: `crowd (CROWD_ROWS, padded)`, `records (padded + 1, 8)`, `places (2, LANES)`, `keys (padded *
    LANES,)` int32 and `spots (K,)` int32. `padded` is A made a multiple of 16, `lanes` the least of K and
    LANES likewise: known before, or the compiler takes the sorting apart by their cases.
    """
    count = m.x.shape[1]
    for n in range(n0, n1):
        w = chosen[n]
        place_crowd(w, m, g, crowd, count)
        record_crowd(crowd, records)
        for col in range(rows.shape[1]):
            i = rows[w, col]
            row = out[w, col]
            if i < 0 or m.presence[w, i] != PRESENT:
                spots[col] = NO_AGENT
                for k in range(ROW):
                    row[k] = ZERO
            else:
                spots[col] = write_self(
                    w, i, m.x[w, i], m.y[w, i], crowd[COS, i], crowd[SIN, i], m, g, p, table, row
                )
        for col in range(rows.shape[1]):
            if col % LANES == 0:
                sort_others(w, rows, col, m, crowd, places, keys, padded, lanes)
            here = spots[col]
            soon = max(spots[min(col + AHEAD, rows.shape[1] - 1)], np.int32(0))
            prefetch_slices(table.points, soon)
            if here == NO_AGENT:
                continue
            i = rows[w, col]
            row = out[w, col]
            x, y, c, s = m.x[w, i], m.y[w, i], crowd[COS, i], crowd[SIN, i]
            at = (padded - NEIGHBOURS) * LANES + col % LANES
            write_records(records, keys, at, LANES, x, y, c, s, row, FIRST_NEIGHBOUR)
            if here < 0:
                for k in range(FIRST_POINT, ROW):
                    row[k] = ZERO
                continue
            write_slices(table.points, here, x, y, c, s, row, FIRST_POINT)
