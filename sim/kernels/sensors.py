"""What a network is shown of one moment: the nearest agents, pieces of lanes and edges, points of the way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from drive.sim.kernels import line as columns
from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.line import at, tangent_at, wrapped
from drive.sim.kernels.scalar import F

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAIN = 1000.0
"""Distances are compared in whole millimetres, so that rounding does not order what is equally far."""
LARGEST = 1e9
"""m, rad or m/s: no track's state is larger."""
GREEN, YELLOW, RED = 1, 2, 3
LINE_SLACK = 1.0
"""m by which the bumper may be beyond a line that still counts as ahead."""


class Grid(NamedTuple):
    """Pieces by the cell of their centre: `order[start[c] : start[c + 1]]` are those in cell c, row by row.

    The first cell's corner is at (x0, y0), in m; no piece reaches farther than `widest` from its centre.
    """

    x0: float
    y0: float
    cell: float
    columns: int
    rows: int
    widest: float
    start: NDArray[np.int32]
    order: NDArray[np.int32]


@scalar
def segment_gap(px, py, ax, ay, bx, by):
    """Square of the distance from a point to a segment."""
    ex, ey = bx - ax, by - ay
    square = ex * ex + ey * ey
    u = ((px - ax) * ex + (py - ay) * ey) / square if square > 0.0 else 0.0
    u = min(max(u, 0.0), 1.0)
    dx, dy = ax + u * ex - px, ay + u * ey - py
    return dx * dx + dy * dy


@scalar
def insert(key, index, keys, found, count):
    """Take an index into those of the least keys, in their order, the smaller index first; their number."""
    most = keys.shape[0]
    if count == most:
        last = keys[most - 1]
        if key > last or (key == last and index > found[most - 1]):
            return count
        k = most - 1
    else:
        k = count
        count += 1
    while k > 0 and (keys[k - 1] > key or (keys[k - 1] == key and found[k - 1] > index)):
        keys[k], found[k] = keys[k - 1], found[k - 1]
        k -= 1
    keys[k], found[k] = key, index
    return count


@scalar
def nearest_pieces(x, y, reach, points, circle, grid, keys, found):
    """The pieces nearest to a point and within reach, into `found`, and how many they are."""
    count, most = 0, keys.shape[0]
    wide = reach + grid.widest
    c0 = max(math.floor((x - wide - grid.x0) / grid.cell), 0)
    c1 = min(math.floor((x + wide - grid.x0) / grid.cell), grid.columns - 1)
    r0 = max(math.floor((y - wide - grid.y0) / grid.cell), 0)
    r1 = min(math.floor((y + wide - grid.y0) / grid.cell), grid.rows - 1)
    limit = reach
    for r in range(r0, r1 + 1):
        if c0 > c1:
            break
        for k in range(grid.start[r * grid.columns + c0], grid.start[r * grid.columns + c1 + 1]):
            i = grid.order[k]
            away = limit + circle[i, 2] + 0.01
            dx, dy = circle[i, 0] - x, circle[i, 1] - y
            if dx * dx + dy * dy > away * away:
                continue
            gap = 1e300
            for q in range(points.shape[1] - 1):
                gap = min(
                    gap,
                    segment_gap(
                        x, y, points[i, q, 0], points[i, q, 1], points[i, q + 1, 0], points[i, q + 1, 1]
                    ),
                )
            gap = math.sqrt(gap)
            if gap <= reach:
                count = insert(int(gap * GRAIN + 0.5), i, keys, found, count)
                if count == most:
                    limit = min(reach, (keys[most - 1] + 1) / GRAIN)
    return count


@kernel
def sense_lanes(
    pose, reach, points, circle, grid, source, direction, half_width, info, signal, on_route, signals, keys,
    found, out, out_info, valid,
):  # fmt: skip
    """Fill `out (L, P, 5)`, `out_info (L, 8)` and `valid (L,)` with the pieces of lanes around a pose (x, y,
    heading); rows that are not valid are left alone."""
    x, y, c, s = pose[0], pose[1], math.cos(pose[2]), math.sin(pose[2])
    count = nearest_pieces(x, y, reach, points, circle, grid, keys, found)
    for n in range(count):
        i = found[n]
        valid[n] = True
        for q in range(points.shape[1]):
            dx, dy = points[i, q, 0] - x, points[i, q, 1] - y
            out[n, q, 0], out[n, q, 1] = F(c * dx + s * dy), F(c * dy - s * dx)
            u, v = direction[i, q, 0], direction[i, q, 1]
            out[n, q, 2], out[n, q, 3] = F(c * u + s * v), F(c * v - s * u)
            out[n, q, 4] = F(half_width[i, q])
        out_info[n, 0] = F(info[i, 0])
        out_info[n, 1] = F(1.0) if on_route[source[i]] else F(0.0)
        out_info[n, 2], out_info[n, 3] = F(info[i, 1]), F(info[i, 2])
        light = signal[i]
        if light < 0:
            out_info[n, 4] = F(1.0)
        elif light < signals.shape[0] and GREEN <= signals[light] <= RED:
            out_info[n, 4 + signals[light]] = F(1.0)


@kernel
def sense_edges(pose, reach, points, circle, grid, keys, found, out, valid):
    """Fill `out (E, Q, 2)` and `valid (E,)` with the pieces of edges around a pose."""
    x, y, c, s = pose[0], pose[1], math.cos(pose[2]), math.sin(pose[2])
    count = nearest_pieces(x, y, reach, points, circle, grid, keys, found)
    for n in range(count):
        valid[n] = True
        for q in range(points.shape[1]):
            dx, dy = points[found[n], q, 0] - x, points[found[n], q, 1] - y
            out[n, q, 0], out[n, q, 1] = F(c * dx + s * dy), F(c * dy - s * dx)


@scalar
def show(row, px, py, heading, vx, vy):
    """Fill `row (6,)` of an agent from its place, heading and velocity in the frame that it is shown in."""
    row[0], row[1] = F(px), F(py)
    row[2], row[3] = F(math.cos(heading)), F(math.sin(heading))
    row[4], row[5] = F(vx), F(vy)


@kernel
def sense_agents(
    pose, reach, back, now, now_valid, past, past_valid, existence, size, group, keys, found, out, valid,
    bodies,
):  # fmt: skip
    """Fill `out (A, H, 6)`, `valid (A, H)` and `bodies (A, 7)` with the agents nearest to a pose.

    `now (N, 5)` and `past (N, S, 5)` are tracks, of which the samples `back (H,)` before now are shown,
    oldest first; who is not seen now but may exist is shown where it was last. `group (N,)`: 0 vehicle to 3
    static.
    """
    x, y, c, s = pose[0], pose[1], math.cos(pose[2]), math.sin(pose[2])
    samples, moments, count = past.shape[1], out.shape[1], 0
    for i in range(now.shape[0]):
        if not existence[i] > 0.0:
            continue
        px, py = now[i, 0], now[i, 1]
        if not now_valid[i]:
            k = last_seen(past, past_valid, i)
            if k < 0:
                continue
            px, py = past[i, k, 0], past[i, k, 1]
        elif not are_numbers(px, py, now[i, 2], now[i, 3], now[i, 4]):
            continue
        gap = math.hypot(px - x, py - y)
        if gap <= reach:
            count = insert(int(gap * GRAIN + 0.5), i, keys, found, count)
    for n in range(count):
        i = found[n]
        for h in range(moments):
            k = samples - 1 - back[h]
            if h == moments - 1:
                k = samples if now_valid[i] else last_seen(past, past_valid, i)
            elif not was_seen(past, past_valid, i, k):
                continue
            if k == samples:
                dx, dy, turn, vx, vy = now[i, 0], now[i, 1], now[i, 2], now[i, 3], now[i, 4]
            else:
                dx, dy, turn = past[i, k, 0], past[i, k, 1], past[i, k, 2]
                vx, vy = past[i, k, 3], past[i, k, 4]
            dx, dy = dx - x, dy - y
            show(
                out[n, h], c * dx + s * dy, c * dy - s * dx, turn - pose[2], c * vx + s * vy, c * vy - s * vx
            )
            valid[n, h] = True
        bodies[n, 0], bodies[n, 1], bodies[n, 2] = F(size[i, 0]), F(size[i, 1]), F(existence[i])
        bodies[n, 3 + group[i]] = F(1.0)


@scalar
def are_numbers(x, y, heading, vx, vy):
    """Whether a track's state is one that there can be."""
    return abs(x) + abs(y) + abs(heading) + abs(vx) + abs(vy) < LARGEST


@scalar
def was_seen(past, valid, i, k):
    """Whether an agent was seen at a sample of the past."""
    return (
        k >= 0
        and valid[i, k]
        and are_numbers(past[i, k, 0], past[i, k, 1], past[i, k, 2], past[i, k, 3], past[i, k, 4])
    )


@scalar
def last_seen(past, valid, i):
    """The last sample at which an agent was seen, -1 none."""
    k = valid.shape[1] - 1
    while k >= 0 and not was_seen(past, valid, i, k):
        k -= 1
    return k


@scalar
def next_ahead(lines, front, far):
    """Distance from the bumper's station to the first of the lines that is not yet passed."""
    gap = far
    for k in range(lines.shape[0]):
        away = lines[k] - front
        if away >= -LINE_SLACK:
            gap = min(gap, away)
    return gap


@kernel
def sense_way(
    pose, rows, step, origin_x, origin_y, state, ahead, stops, stop_signals, signals, give_way, far,
    spacing, behind, ego, out, valid,
):  # fmt: skip
    """Fill `ego[4:9]`, `out (R, 9)` and `valid (R,)` from a way's table; `state (6,)` is the ego's on it.

    `ahead` in m is from the rear axle to the front bumper. See `drive.nn.scene` for the columns.
    """
    x, y, c, s = pose[0] - origin_x, pose[1] - origin_y, math.cos(pose[2]), math.sin(pose[2])
    here, length = state[0], step * (rows.shape[0] - 1)
    _, _, tc, ts, _ = tangent_at(rows, step, here)
    heading = math.atan2(s * tc - c * ts, c * tc + s * ts)
    ego[4], ego[5], ego[6] = F(at(rows, step, here, columns.LIMIT)), F(state[3]), F(wrapped(heading))
    ego[7] = F(next_ahead(give_way, here + ahead, far))
    red = far
    for k in range(stops.shape[0]):
        gap = stops[k] - here - ahead
        light = stop_signals[k]
        if gap >= -LINE_SLACK and light < signals.shape[0] and signals[light] == RED:
            red = min(red, gap)
    ego[8] = F(red)
    for n in range(out.shape[0]):
        relative = n * spacing - behind
        station = here + relative
        if station < 0.0 or station > length:
            continue
        valid[n] = True
        px, py, tc, ts, curvature = tangent_at(rows, step, station)
        dx, dy = px - x, py - y
        out[n, 0], out[n, 1] = F(c * dx + s * dy), F(c * dy - s * dx)
        out[n, 2], out[n, 3] = F(c * tc + s * ts), F(c * ts - s * tc)
        out[n, 4] = F(curvature)
        out[n, 5] = F(at(rows, step, station, columns.LIMIT))
        out[n, 6] = F(at(rows, step, station, columns.EDGE_LEFT))
        out[n, 7] = F(at(rows, step, station, columns.EDGE_RIGHT))
        out[n, 8] = F(relative)
