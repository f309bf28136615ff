"""Following a path: projection in a window, search for the leader, stop lines, steering."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import scalar
from drive.sim.kernels.layout import FREE_ROAD
from drive.sim.kernels.scalar import HALF, ONE, TWO, ZERO, F, small_arctan
from drive.sim.kernels.survey import (
    ANTICIPATION,
    CORRIDOR_MARGIN,
    COS,
    CX,
    CY,
    HALF_LENGTH,
    HALF_WIDTH,
    LATER_X,
    LATER_Y,
    NOT_A_NUMBER,
    SAME_WAY,
    SIN,
    SPEED,
    YIELD_BEHIND,
    YIELD_REACH,
)

RED, YELLOW = 3, 2
MAX_SIDE = F(40.0)  # m beside the path from which on nobody can reach into it within the anticipation
LET_BY = F(1.5)  # m/s^2 that changing lanes may ask of who comes up from behind
OFFSET_RATE = F(0.9)  # m/s at which a lateral offset is worked off
MAX_STEERING = F(0.6)
TAN_MAX_STEERING = F(math.tan(0.6))
MAX_STEERING_RATE = F(0.8)
YELLOW_BRAKING = F(3.0)  # a driver who could stop with less stops at yellow
TIMES, BETWEEN = 4, F(0.75)  # how often, and s between, ways are looked at up to `LATER`
STOP_LINE_GAP = F(1.0)  # m kept before a stop line


@scalar
def foot_at(points, first, last, step, x, y, k):
    """Station and offset of a point whose nearest sample is `k`, and whether it is, of the three there.

    Exact on the two segments at the sample; beyond an end the end's segment is prolonged. Without a branch:
    half of all points lie before their nearest sample.
    """
    a, b = max(k - 1, first), min(k + 1, last)
    ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
    kx, ky = points[k, 0], points[k, 1]
    dx, dy = x - kx, y - ky
    own = dx * dx + dy * dy
    nearest = (own <= (x - ax) * (x - ax) + (y - ay) * (y - ay)) & (
        own <= (x - bx) * (x - bx) + (y - by) * (y - by)
    )
    back = (k > first) & (dx * (bx - kx) + dy * (by - ky) < ZERO)
    back = back | (k == last)
    sx, sy = ax if back else kx, ay if back else ky
    ux, uy = ((kx if back else bx) - sx) / step, ((ky if back else by) - sy) / step
    along = (x - sx) * ux + (y - sy) * uy
    offset = (y - sy) * ux - (x - sx) * uy
    along = min(along, step) if back and k < last else along
    return F((a if back else k) - first) * step + along, offset, nearest


@scalar
def project(points, first, last, step, x, y, guess):
    """Station, offset and nearest sample of a point on a path, searched downhill from `guess`.

    `first`, `last` are the path's first and last row. Exact on the two segments at the sample; beyond
    an end the end's segment is prolonged.
    """
    k = min(max(guess, first), last)
    dx, dy = x - points[k, 0], y - points[k, 1]
    best = dx * dx + dy * dy
    while k < last:
        dx, dy = x - points[k + 1, 0], y - points[k + 1, 1]
        trial = dx * dx + dy * dy
        if trial >= best:
            break
        best = trial
        k += 1
    while k > first:
        dx, dy = x - points[k - 1, 0], y - points[k - 1, 1]
        trial = dx * dx + dy * dy
        if trial >= best:
            break
        best = trial
        k -= 1
    s, d, _ = foot_at(points, first, last, step, x, y, k)
    return s, d, k


@scalar
def row_at(station, first, last, step):
    """The path's row at or just before a station."""
    return min(max(first + int(station / step), first), last)


@scalar
def row_near(station, first, last, step):
    """The path's row nearest to a station."""
    return row_at(station + HALF * step, first, last, step)


@scalar
def later_on_path(station, speed, rear, t, first, last, step, rows):
    """Box centre and heading (x, y, cos, sin) in `t` s of who keeps its speed on a path."""
    k = row_at(station + speed * t, first, last, step)
    c, s = rows[k, 2], rows[k, 3]
    return rows[k, 0] + rear * c, rows[k, 1] + rear * s, c, s


@scalar
def gap_in_corridor(s, d, pc, ps, cj, sj, v, hl, hw, wide, centre, front, anticipate):
    """`gap_to` for a box at the station `s` and offset `d` of a path that runs along (`pc`, `ps`) there.

    The corridor is `wide` to either side; the driver's box has its centre and front at these stations.
    """
    ct, st = cj * pc + sj * ps, sj * pc - cj * ps
    c, n = abs(ct), abs(st)
    half = wide + hl * n + hw * c
    soon = (abs(v) > HALF) & (abs(d + v * st * ANTICIPATION) < half) & (s > front - ONE)
    near = (abs(d) < half) | (soon if anticipate else False)
    # Who is beside or behind me is not my leader, even if our corridors touch.
    there = near & (s > centre) & (abs(d) <= MAX_SIDE)
    gap = s - (hl * c + hw * n) - front
    return gap if there else FREE_ROAD, v * ct if there else ZERO


@scalar
def is_far(dx, dy, c, sn, rear, half_length, half_width, v, hl, hw, reach, best):
    """Whether a box at (`dx`, `dy`) from a rear axle that heads for (`c`, `sn`) is behind, or too far."""
    # The straight way to it is at most the way along the path, and the one beside: no more than brings
    # it into the corridor in time.
    beside = half_width + CORRIDOR_MARGIN + hl + hw + abs(v) * ANTICIPATION
    limit = min(reach + hl, best + rear + half_length + hw + hl + beside)
    return (dx * dx + dy * dy > limit * limit) | (dx * c + dy * sn < -TWO * half_length)


@scalar
def gap_to(i, j, station, rear, xi, yi, reach, best, first, last, step, rows, anticipate, crowd):
    """Gap in m to the box of `j` in the corridor that agent `i` sweeps along a path, and its speed along it.

    A free road where `j` is not in it: it counts if its box reaches into the corridor, or will by
    `ANTICIPATION` s from now where `anticipate` says so. Boxes are projected on the path at their
    centres. (`xi`, `yi`) is the rear axle of `i`; who is farther than `reach` m or than the gap `best`
    is not looked at.
    """
    cx, cy = crowd[CX, j], crowd[CY, j]
    dx, dy = cx - xi, cy - yi
    hl, hw, v = crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j], crowd[SPEED, j]
    square = dx * dx + dy * dy
    if is_far(
        dx, dy, crowd[COS, i], crowd[SIN, i], rear, crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i], v, hl, hw,
        reach, best,
    ):  # fmt: skip
        return FREE_ROAD, ZERO
    s, d, k = project(
        rows, first, last, step, cx, cy, row_near(station + math.sqrt(square), first, last, step)
    )
    wide, centre = crowd[HALF_WIDTH, i] + CORRIDOR_MARGIN, station + rear
    return gap_in_corridor(
        s, d, rows[k, 2], rows[k, 3], crowd[COS, j], crowd[SIN, j], v, hl, hw, wide, centre,
        centre + crowd[HALF_LENGTH, i], anticipate,
    )  # fmt: skip


@scalar
def find_leader(i, station, rear, xi, yi, reach, first, last, step, rows, anticipate, crowd, count):
    """Nearest road user ahead in the corridor of agent `i`: (agent or -1, gap in m, speed along the path)."""
    best, best_gap, best_speed = -1, FREE_ROAD, ZERO
    for j in range(count):
        if j != i:
            gap, v = gap_to(
                i, j, station, rear, xi, yi, reach, best_gap, first, last, step, rows, anticipate, crowd
            )
            if gap < best_gap:
                best, best_gap, best_speed = j, gap, v
    return best, best_gap, best_speed


@scalar
def follower_gap(w, i, j, station, back, wide, first, last, step, rows, reach, m, crowd):
    """Gap in m between the rear of agent `i` and the front of `j` behind it on a path, or a free road."""
    cx, cy = crowd[CX, j], crowd[CY, j]
    dx, dy = cx - m.x[w, i], cy - m.y[w, i]
    if dx * dx + dy * dy > reach * reach:
        return FREE_ROAD
    s, d, k = project(rows, first, last, step, cx, cy, row_at(station, first, last, step))
    if s > back + crowd[HALF_LENGTH, i] or abs(d) > wide + crowd[HALF_WIDTH, j]:
        return FREE_ROAD
    if crowd[COS, j] * rows[k, 2] + crowd[SIN, j] * rows[k, 3] < ZERO:
        return FREE_ROAD
    return back - (s + crowd[HALF_LENGTH, j])


@scalar
def way_of_both(w, i, j, t, station, first, last, step, m, g, p, crowd):
    """Where `j` will be in `t` s as agent `i` on its path will see it, along and across; and the rows of both
    on their paths then, -1 for who has none and goes straight on."""
    k = row_at(station + m.speed[w, i] * t, first, last, step)
    c, sn, mine = p.rows[k, 2], p.rows[k, 3], g.rear_to_center[w, i]
    x, y = p.rows[k, 0] + mine * c, p.rows[k, 1] + mine * sn
    theirs, q = m.path[w, j], -1
    if theirs >= 0:
        there = m.station[w, j] + m.speed[w, j] * t
        q = row_at(there, p.start[theirs], p.start[theirs + 1] - 1, p.step[theirs])
        r = g.rear_to_center[w, j]
        ox, oy = p.rows[q, 0] + r * p.rows[q, 2], p.rows[q, 1] + r * p.rows[q, 3]
    else:
        ox, oy = crowd[CX, j] + m.vx[w, j] * t, crowd[CY, j] + m.vy[w, j] * t
    return (ox - x) * c + (oy - y) * sn, (oy - y) * c - (ox - x) * sn, k, q


@scalar
def gap_to_let_in(w, i, j, path, station, m, g, p, crowd):
    """Gap in m to `j` if agent `i` has to let it go first, or a free road.

    It has to where its path meets theirs within the next 3 s. It goes by where the two are now, so that
    slowing down changes nobody's turn: who changes lanes (`Paths.merging`) waits for whoever is beside or
    ahead, and for who comes up so fast from behind that it would have to brake by more than `LET_BY` at
    once, until half over; who keeps the lane lets in whoever is ahead by half a car; otherwise who is
    behind waits. Others are expected on their paths, or straight on. Asked only of whom `survey` flags.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    v, mine = m.speed[w, i], g.rear_to_center[w, i]
    cos_i, sin_i = crowd[COS, i], crowd[SIN, i]
    dx, dy = crowd[CX, j] - crowd[CX, i], crowd[CY, j] - crowd[CY, i]
    forward = dx * cos_i + dy * sin_i
    if dx * dx + dy * dy > YIELD_REACH * YIELD_REACH or forward < YIELD_BEHIND:
        return FREE_ROAD
    if cos_i * crowd[COS, j] + sin_i * crowd[SIN, j] < SAME_WAY:
        return FREE_ROAD
    wide = crowd[HALF_WIDTH, i] + crowd[HALF_WIDTH, j] + CORRIDOR_MARGIN
    both = crowd[HALF_LENGTH, i] + crowd[HALF_LENGTH, j] + ONE
    guess = row_at(station + mine + forward, first, last, step)
    s, d, _ = project(p.rows, first, last, step, crowd[CX, j], crowd[CY, j], guess)
    # Who is in my way already is followed; who is right behind me follows.
    if abs(d) < wide:
        return FREE_ROAD
    # Braking in the middle of a lane change is worse than finishing it.
    committed = abs(dy * crowd[COS, j] - dx * crowd[SIN, j]) < wide + HALF
    for n in range(TIMES, 0, -1):
        along, across, k, q = way_of_both(w, i, j, BETWEEN * F(n), station, first, last, step, m, g, p, crowd)
        if abs(across) > wide or along > both + v:
            continue
        changing, other = p.merging[k] == 1, q >= 0 and p.merging[q] == 1
        if changing and not other:
            closing, room = max(m.speed[w, j] - v, ZERO), max(-forward - both + ONE, ZERO)
            fast = closing * closing > TWO * LET_BY * room
            waits = not committed and (forward > HALF - both or fast)
        elif other and not changing:
            waits = forward > HALF * both
        else:
            waits = forward > ZERO
        if waits:
            return max(s - crowd[HALF_LENGTH, j] - (station + mine + crowd[HALF_LENGTH, i]), ZERO)
    return FREE_ROAD


@scalar
def place_one_later(w, j, t, m, g, p, crowd):
    """Fill an agent's `LATER_X` and `LATER_Y`: its box centre in `t` s, on its path or straight on."""
    path = m.path[w, j]
    if path >= 0:
        x, y, _, _ = later_on_path(
            m.station[w, j], m.speed[w, j], g.rear_to_center[w, j], t,
            p.start[path], p.start[path + 1] - 1, p.step[path], p.rows,
        )  # fmt: skip
    else:
        x, y = crowd[CX, j] + m.vx[w, j] * t, crowd[CY, j] + m.vy[w, j] * t
    crowd[LATER_X, j], crowd[LATER_Y, j] = x if m.speed[w, j] >= HALF else NOT_A_NUMBER, y


@scalar
def next_line(station, first, last, step, stop, next_stop):
    """The path's first row with a stop line at a station, to the metre below, or after it; -1 none."""
    row = row_at(station, first, last, step)
    return row if stop[row] >= 0 else next_stop[row]


@scalar
def red_light_gap(w, sample, station, front, speed, first, last, step, stop, next_stop, signals, reach):
    """Distance from the front bumper to the next stop line that must not be passed, or a free road.

    Yellow holds those who can stop before the line at `YELLOW_BRAKING`; a line already passed by more
    than a metre no longer holds.
    """
    k = next_line(max(front - ONE, ZERO), first, last, step, stop, next_stop)
    while k >= 0:
        gap = F(k - first) * step - front
        if gap > reach:
            break
        state = signals[w, stop[k], min(sample, signals.shape[2] - 1)]
        if gap > -ONE and (
            state == RED or (state == YELLOW and speed * speed < TWO * YELLOW_BRAKING * max(gap, ZERO))
        ):
            return gap
        k = next_stop[k]
    return FREE_ROAD


@scalar
def worked_off(offset, speed, dt):
    """What remains of a lateral offset after a step, and the slope at which it is worked off.

    The rate is bounded; who stands keeps it.
    """
    v = max(speed, F(0.1))
    rate = min(OFFSET_RATE, F(0.25) * v)
    left = abs(offset) - rate * dt
    works = (offset != ZERO) & (speed > F(0.1))
    lasts = works & (left > ZERO)
    slope = -math.copysign(min(rate / v, F(0.3)), offset) if lasts else ZERO
    rest = math.copysign(left, offset) if lasts else ZERO
    return rest if works else offset, slope


@scalar
def steer_back(d, offset, slope, c, sn, pc, ps, curvature, speed, steering, wheelbase, dt):
    """`steer` for who is `d` beside a path that runs along (`pc`, `ps`), heads for (`c`, `sn`) and means to
    be `offset` beside it, working that off at `slope`."""
    # The sine of the error less the angle of the slope.
    error = sn * pc - c * ps - (c * pc + sn * ps) * slope
    error = error / math.sqrt(ONE + slope * slope)
    return steer(curvature, d - offset, error, speed, steering, wheelbase, dt)


@scalar
def steer(curvature, offset_error, sine_of_error, speed, steering, wheelbase, dt):
    """Steering rate in rad/s that brings a bicycle to a path of the given curvature.

    The commanded curvature is that of the path less k1 e + k2 sin(psi), k1 = 1 / l^2, k2 = 2 / l: a
    critically damped lateral error over the look-ahead distance l.
    """
    ahead = max(F(5.0), F(0.9) * abs(speed))
    command = curvature - offset_error / (ahead * ahead) - TWO * sine_of_error / ahead
    tangent = min(max(wheelbase * command, -TAN_MAX_STEERING), TAN_MAX_STEERING)
    return min(max((small_arctan(tangent) - steering) / dt, -MAX_STEERING_RATE), MAX_STEERING_RATE)
