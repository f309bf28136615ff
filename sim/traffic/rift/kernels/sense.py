"""What the policy sees of each of its vehicles: the arrays of `drive.nn.scene`, and its reference lines."""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.compile import scalar
from drive.sim.traffic.rift.kernels.base import (
    CCOS,
    CHERE,
    CSIN,
    CSPEED,
    CVX,
    CVY,
    CX,
    CY,
    HARDEST,
    HISTORY,
    LINES,
    LOOK,
    SEEN,
    kernel,
)

F = np.float32
ZERO, HALF, ONE, TWO = F(0.0), F(0.5), F(1.0), F(2.0)
FAR2 = F(1e12)
LOOK_AHEAD = tuple(F(v) for v in LOOK)
COUNT = len(LOOK)
AT_MOST = F(SEEN)
BETWEEN, HARD = F(HISTORY), F(HARDEST)
REACH = F(80.0)  # m within which others are told
BESIDE = F(0.25)  # m of lateral clearance below which somebody drives on the line
PIECE = F(20.0)  # m of a piece of lane
BEHIND = F(8.0)  # m behind the foot at which pieces begin
CLOSED = 2  # signals from yellow on


@scalar
def nearest_row(x, y, hint, first, last, p_rows):
    """The row in `first .. last` nearest to a point, downhill from `hint`."""
    k = min(max(hint, first), last)
    dx, dy = x - p_rows[k, 0], y - p_rows[k, 1]
    best = dx * dx + dy * dy
    for way in range(2):
        sign = 1 if way == 0 else -1
        while first <= k + sign <= last:
            dx, dy = x - p_rows[k + sign, 0], y - p_rows[k + sign, 1]
            d = dx * dx + dy * dy
            if d >= best:
                break
            best = d
            k += sign
    return k


@scalar
def any_row(x, y, first, last, p_rows):
    """The nearest row of all in `first .. last`."""
    best, k = FAR2, first
    for j in range(first, last + 1):
        dx, dy = x - p_rows[j, 0], y - p_rows[j, 1]
        d = dx * dx + dy * dy
        if d < best:
            best, k = d, j
    return k


@scalar
def frenet(x, y, k, p_rows):
    """Metres beyond row `k` and to the left of it."""
    dx, dy = x - p_rows[k, 0], y - p_rows[k, 1]
    c, s = p_rows[k, 2], p_rows[k, 3]
    return dx * c + dy * s, dy * c - dx * s


@scalar
def shortest_turn(c, s, k, p_rows):
    """The angle of a direction against the line's at row `k`."""
    lc, ls = p_rows[k, 2], p_rows[k, 3]
    return F(math.atan2(s * lc - c * ls, c * lc + s * ls))


@scalar
def see_line(n, r, w, i, x, y, c, s, k, first, last, step, own, speed, crowd, body, signals, p_rows, p_points,
             p_stop, p_give, stride, out, braking):  # fmt: skip
    """Fill `out[n, r]` in LINE columns for the line with rows `first .. last` and the foot at row `k`, and
    `braking[n, r]` with the deceleration of who is ahead."""
    over, offset = frenet(x, y, k, p_rows)
    turn = shortest_turn(c, s, k, p_rows)
    for q in range(COUNT):
        at = min(k + np.int32(LOOK_AHEAD[q] / step + HALF), last)
        dx, dy = p_rows[at, 0] - x, p_rows[at, 1] - y
        o = q * 6
        out[n, r, o], out[n, r, o + 1] = dx * c + dy * s, dy * c - dx * s
        out[n, r, o + 2] = p_rows[at, 2] * c + p_rows[at, 3] * s
        out[n, r, o + 3] = p_rows[at, 3] * c - p_rows[at, 2] * s
        out[n, r, o + 4], out[n, r, o + 5] = p_rows[at, 4], p_rows[at, 5]
    front = own[n, 2] + HALF * own[n, 0]
    rear = own[n, 2] - HALF * own[n, 0]
    end = min(F(last - k) * step - over - front, AT_MOST)
    red = AT_MOST
    for at in range(max(k - 1, first), min(k + 100, last) + 1):
        g = p_stop[at]
        if g >= 0 and signals[w, g] >= CLOSED:
            gap = F(at - k) * step - over - front
            if gap > F(-1.0):
                red = min(gap, AT_MOST)
                break
    give = AT_MOST
    at = p_give[k]
    if at >= 0:
        gap = F(at - k) * step - over - front
        if gap > F(-1.0):
            give = min(gap, AT_MOST)
    gap, lead_speed, lead = AT_MOST, ZERO, ZERO
    rear_gap, rear_speed, behind = AT_MOST, ZERO, ZERO
    low, high = max(k - np.int32(60.0 / step), first), min(k + np.int32(110.0 / step), last)
    for j in range(crowd.shape[2]):
        if j == i or crowd[0, w, j, CHERE] == ZERO:
            continue
        jx, jy = crowd[0, w, j, CX], crowd[0, w, j, CY]
        dx, dy = jx - x, jy - y
        if dx * dx + dy * dy > F(12100.0):
            continue
        best, at = FAR2, low
        for m in range(low, high + 1, stride):
            ex, ey = jx - p_rows[m, 0], jy - p_rows[m, 1]
            d = ex * ex + ey * ey
            if d < best:
                best, at = d, m
        if best > F(100.0):
            continue
        at = nearest_row(jx, jy, at, low, high, p_rows)
        along, side = frenet(jx, jy, at, p_rows)
        cj = crowd[0, w, j, CCOS] * p_rows[at, 2] + crowd[0, w, j, CSIN] * p_rows[at, 3]
        sj = crowd[0, w, j, CSIN] * p_rows[at, 2] - crowd[0, w, j, CCOS] * p_rows[at, 3]
        wide = HALF * (body[w, j, 0] * abs(sj) + body[w, j, 1] * abs(cj))
        long = HALF * (body[w, j, 0] * abs(cj) + body[w, j, 1] * abs(sj))
        if abs(side) > wide + HALF * own[n, 1] + BESIDE:
            continue
        station = F(at - k) * step + along - over
        v = crowd[0, w, j, CVX] * p_rows[at, 2] + crowd[0, w, j, CVY] * p_rows[at, 3]
        if station > own[n, 2]:
            d = station - long - front
            if d < gap:
                gap, lead_speed, lead = max(d, F(-5.0)), v, ONE
                braking[n, r] = ZERO
                if crowd.shape[0] > 1 and crowd[1, w, j, CHERE] != ZERO:
                    slower = (crowd[1, w, j, CSPEED] - crowd[0, w, j, CSPEED]) / BETWEEN
                    braking[n, r] = min(max(slower, ZERO), HARD)
        else:
            d = rear - (station + long)
            if d < rear_gap:
                rear_gap, rear_speed, behind = max(d, F(-5.0)), v, ONE
    o = COUNT * 6
    out[n, r, o], out[n, r, o + 1], out[n, r, o + 2], out[n, r, o + 3] = offset, turn, end, red
    out[n, r, o + 4], out[n, r, o + 5], out[n, r, o + 6], out[n, r, o + 7] = give, gap, lead_speed, lead
    out[n, r, o + 8], out[n, r, o + 9], out[n, r, o + 10] = rear_gap, rear_speed, behind
    out[n, r, o + 11], out[n, r, o + 12], out[n, r, o + 13] = p_points[k, 4], p_rows[k, 5], speed
    out[n, r, o + 14], out[n, r, o + 15] = F(r == 1), F(r == 2)


@scalar
def see_pieces(n, r, x, y, c, s, k, first, last, step, red, give, p_rows, p_points, lanes, info, valid):
    """Fill the pieces of lane of one line."""
    count = lanes.shape[1] // LINES
    for piece in range(count):
        at = n, r * count + piece
        begin = F(piece) * PIECE - BEHIND
        if begin > F(last - k) * step:
            continue
        for q in range(lanes.shape[2]):
            far = begin + PIECE * F(q) / F(lanes.shape[2] - 1)
            row = min(max(k + np.int32(math.floor(far / step + HALF)), first), last)
            dx, dy = p_rows[row, 0] - x, p_rows[row, 1] - y
            lanes[at[0], at[1], q, 0], lanes[at[0], at[1], q, 1] = dx * c + dy * s, dy * c - dx * s
            lanes[at[0], at[1], q, 2] = p_rows[row, 2] * c + p_rows[row, 3] * s
            lanes[at[0], at[1], q, 3] = p_rows[row, 3] * c - p_rows[row, 2] * s
            lanes[at[0], at[1], q, 4] = F(1.75)
            info[at[0], at[1], 0] = p_points[row, 4]
        info[at[0], at[1], 1] = F(r == 0)
        info[at[0], at[1], 3] = F(begin <= give and give < begin + PIECE)
        info[at[0], at[1], 7] = F(begin <= red and red < begin + PIECE)
        valid[at[0], at[1]] = True


@scalar
def see_others(n, w, i, x, y, c, s, crowd, body, ids, agents, valid, bodies):
    """Fill the nearest others, oldest moment first, and their rows `ids (N, K)`, -1 none."""
    room, moments = agents.shape[1], crowd.shape[0]
    cx, cy = crowd[0, w, i, CX], crowd[0, w, i, CY]
    found = 0
    for j in range(crowd.shape[2]):
        if j == i or crowd[0, w, j, CHERE] == ZERO:
            continue
        dx, dy = crowd[0, w, j, CX] - cx, crowd[0, w, j, CY] - cy
        d = dx * dx + dy * dy
        if d > REACH * REACH:
            continue
        at = found if found < room else room - 1
        if found == room:
            m = ids[n, room - 1]
            ex, ey = crowd[0, w, m, CX] - cx, crowd[0, w, m, CY] - cy
            if ex * ex + ey * ey <= d:
                continue
        else:
            found += 1
        while at > 0:
            m = ids[n, at - 1]
            ex, ey = crowd[0, w, m, CX] - cx, crowd[0, w, m, CY] - cy
            if ex * ex + ey * ey <= d:
                break
            ids[n, at] = m
            at -= 1
        ids[n, at] = j
    for q in range(found):
        j = ids[n, q]
        for t in range(moments):
            m = moments - 1 - t
            if crowd[m, w, j, CHERE] == ZERO:
                continue
            dx, dy = crowd[m, w, j, CX] - x, crowd[m, w, j, CY] - y
            agents[n, q, t, 0], agents[n, q, t, 1] = dx * c + dy * s, dy * c - dx * s
            jc, js = crowd[m, w, j, CCOS], crowd[m, w, j, CSIN]
            agents[n, q, t, 2], agents[n, q, t, 3] = jc * c + js * s, js * c - jc * s
            vx, vy = crowd[m, w, j, CVX], crowd[m, w, j, CVY]
            agents[n, q, t, 4], agents[n, q, t, 5] = vx * c + vy * s, vy * c - vx * s
            valid[n, q, t] = True
        bodies[n, q, 0], bodies[n, q, 1], bodies[n, q, 2] = body[w, j, 0], body[w, j, 1], ONE
        bodies[n, q, 3 + np.int32(body[w, j, 2])] = ONE


@kernel
def sense(world, row, path, at, states, own, crowd, body, signals, p_rows, p_points, p_start, p_step, p_stop,
          p_give, p_left, p_right, stride, ids, ego, agents, agents_valid, bodies, lanes, lane_info,
          lanes_valid, route, route_valid, lines, lines_valid, line_path, line_row, braking):  # fmt: skip
    """What N vehicles see, `world (N,)`, `row (N,)` and on the line `path (N,)`.

    `at (N,)` the line's row that they were last at, -1 unknown, is brought up to date. `states (N, 7)` rear
    axles, `own (N, 4)` length, width, rear axle to centre, wheelbase; `crowd (H, W, A, 8)` now and before,
    `body (W, A, 3)` length, width and kind, `signals (W, S)` now. The outputs must hold zeros, `ids (N, K)`
    -1. `line_path (N, 3)`, `line_row (N, 3)` name the reference lines and the rows at their feet, `braking
    (N, 3)` is the deceleration in m/s^2 of who is ahead on each.
    """
    for n in range(world.shape[0]):
        w, i = world[n], row[n]
        x, y = states[n, 0], states[n, 1]
        c, s = F(math.cos(states[n, 2])), F(math.sin(states[n, 2]))
        for r in range(LINES):
            line_path[n, r] = -1
        p = path[n]
        first, last = p_start[p], p_start[p + 1] - 1
        k = any_row(x, y, first, last, p_rows) if at[n] < 0 else nearest_row(x, y, at[n], first, last, p_rows)
        at[n] = k
        for r in range(LINES):
            if r == 0:
                line, hint = p, k
            elif r == 1:
                line, hint = p_left[k, 0], p_left[k, 1]
            else:
                line, hint = p_right[k, 0], p_right[k, 1]
            if line < 0:
                continue
            a, b = p_start[line], p_start[line + 1] - 1
            foot = nearest_row(x, y, hint, a, b, p_rows)
            line_path[n, r], line_row[n, r] = line, foot
            lines_valid[n, r] = True
            see_line(n, r, w, i, x, y, c, s, foot, a, b, p_step[line], own, states[n, 3], crowd, body,
                     signals, p_rows, p_points, p_stop, p_give, stride, lines, braking)  # fmt: skip
            o = COUNT * 6
            see_pieces(n, r, x, y, c, s, foot, a, b, p_step[line], lines[n, r, o + 3], lines[n, r, o + 4],
                       p_rows, p_points, lanes, lane_info, lanes_valid)  # fmt: skip
        o = COUNT * 6
        ego[n, 0], ego[n, 1], ego[n, 2], ego[n, 3] = (
            states[n, 3], states[n, 4], states[n, 5], states[n, 6],
        )  # fmt: skip
        ego[n, 4], ego[n, 5], ego[n, 6] = p_points[k, 4], lines[n, 0, o], lines[n, 0, o + 1]
        ego[n, 7], ego[n, 8], ego[n, 9] = lines[n, 0, o + 4], lines[n, 0, o + 3], lines[n, 0, o + 2]
        for q in range(4):
            ego[n, 10 + q] = own[n, q]
        far = route.shape[1]
        for q in range(far):
            m = k + np.int32(math.floor((F(4.0) * F(q) - BEHIND) / p_step[p] + HALF))
            if m < first or m > last:
                continue
            dx, dy = p_rows[m, 0] - x, p_rows[m, 1] - y
            route[n, q, 0], route[n, q, 1] = dx * c + dy * s, dy * c - dx * s
            route[n, q, 2] = p_rows[m, 2] * c + p_rows[m, 3] * s
            route[n, q, 3] = p_rows[m, 3] * c - p_rows[m, 2] * s
            route[n, q, 4], route[n, q, 5] = p_rows[m, 4], p_points[m, 4]
            route[n, q, 8] = F(4.0) * F(q) - BEHIND
            route_valid[n, q] = True
        see_others(n, w, i, x, y, c, s, crowd, body, ids, agents, agents_valid, bodies)


@kernel
def project_future(future, line_path, line_row, lines_valid, p_rows, p_start, p_step, metres, offset):
    """Fill `metres (N, 3, K)` and `offset (N, 3, K)` of points `future (N, K + 1, 2)` along the lines; the
    first is where the vehicle is."""
    for n in range(future.shape[0]):
        for r in range(LINES):
            if not lines_valid[n, r]:
                continue
            p, k = line_path[n, r], line_row[n, r]
            first, last = p_start[p], p_start[p + 1] - 1
            begin = ZERO
            for t in range(future.shape[1]):
                x, y = future[n, t, 0], future[n, t, 1]
                k = nearest_row(x, y, k, first, last, p_rows)
                over, side = frenet(x, y, k, p_rows)
                s = F(k - first) * p_step[p] + over
                if t == 0:
                    begin = s
                else:
                    metres[n, r, t - 1], offset[n, r, t - 1] = s - begin, side
