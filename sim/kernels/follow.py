"""Following a path: projection in a window, search for the leader, stop lines, steering."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import scalar
from drive.sim.kernels.layout import FREE_ROAD, PRESENT
from drive.sim.kernels.scalar import HALF, ONE, TWO, ZERO, F, wrap

RED, YELLOW = 3, 2
ANTICIPATION = F(1.0)  # s: who will be in my way so soon is already followed
MAX_SIDE = F(40.0)  # m beside the path from which on nobody can reach into it within the anticipation
YIELD_REACH = F(45.0)  # m within which others are let go first
LET_BY = F(1.5)  # m/s^2 that changing lanes may ask of who comes up from behind
CORRIDOR_MARGIN = F(0.15)  # m beside the car on either side
MAX_LATERAL_ACCELERATION = F(2.0)  # m/s^2 that a driver accepts in a bend
OFFSET_RATE = F(0.9)  # m/s at which a lateral offset is worked off
MAX_STEERING = F(0.6)
MAX_STEERING_RATE = F(0.8)
YELLOW_BRAKING = F(3.0)  # a driver who could stop with less stops at yellow
STOP_LINE_GAP = F(1.0)  # m kept before a stop line


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
    seg = min(k, last - 1)
    ux, uy = (points[seg + 1, 0] - points[seg, 0]) / step, (points[seg + 1, 1] - points[seg, 1]) / step
    along = (x - points[seg, 0]) * ux + (y - points[seg, 1]) * uy
    if along < ZERO and seg > first:
        seg -= 1
        ux, uy = (points[seg + 1, 0] - points[seg, 0]) / step, (points[seg + 1, 1] - points[seg, 1]) / step
        along = (x - points[seg, 0]) * ux + (y - points[seg, 1]) * uy
        along = min(along, step) if k < last else along
    offset = (y - points[seg, 1]) * ux - (x - points[seg, 0]) * uy
    return F(seg - first) * step + along, offset, k


@scalar
def row_at(station, first, last, step):
    """The path's row at or just before a station."""
    return min(max(first + int(station / step), first), last)


@scalar
def place_boxes(w, x, y, heading, rear, presence, boxes, count):
    """Write `boxes (W, A, 4)`: cosine and sine of the heading, and the box centre, of who is present."""
    for j in range(count):
        if presence[w, j] == PRESENT:
            c, s = math.cos(heading[w, j]), math.sin(heading[w, j])
            boxes[w, j, 0], boxes[w, j, 1] = c, s
            boxes[w, j, 2], boxes[w, j, 3] = x[w, j] + rear[w, j] * c, y[w, j] + rear[w, j] * s


@scalar
def find_leader(
    w, i, station, first, last, step, points, reach, anticipate,
    x, y, heading, speed, presence, length, width, rear, boxes, count,
):  # fmt: skip
    """Nearest road user ahead in the corridor that agent `i` would sweep along a path.

    Returns (agent or -1, bumper-to-bumper gap in m, its speed along the path). Everyone whose box
    reaches into the corridor counts, also one who will by `ANTICIPATION` s from now where `anticipate`
    says so. Boxes are projected on the path at their centres, from `boxes` of `place_boxes`.
    """
    ahead_of_axle = rear[w, i] + HALF * length[w, i]
    front = station + ahead_of_axle
    half = HALF * width[w, i] + CORRIDOR_MARGIN
    cos_i, sin_i = boxes[w, i, 0], boxes[w, i, 1]
    xi, yi, behind = x[w, i], y[w, i], -length[w, i]
    best, best_gap, best_speed = -1, FREE_ROAD, ZERO
    for j in range(count):
        if j == i or presence[w, j] != PRESENT:
            continue
        cx, cy = boxes[w, j, 2], boxes[w, j, 3]
        dx, dy = cx - xi, cy - yi
        # No way along a path is shorter than the straight one: who is farther than the best is not asked.
        far = min(reach, best_gap + ahead_of_axle + HALF * width[w, j]) + HALF * length[w, j]
        square = dx * dx + dy * dy
        if square > far * far or dx * cos_i + dy * sin_i < behind:
            continue
        guess = row_at(station + math.sqrt(square), first, last, step)
        s, d, k = project(points, first, last, step, cx, cy, guess)
        # Who is beside or behind me is not my leader, even if our corridors touch.
        if s <= station + rear[w, i] or abs(d) > MAX_SIDE:
            continue
        turn = wrap(heading[w, j] - points[k, 2])
        ct, st = math.cos(turn), math.sin(turn)
        c, n = abs(ct), abs(st)
        along = HALF * (length[w, j] * c + width[w, j] * n)
        across = HALF * (length[w, j] * n + width[w, j] * c)
        near = abs(d) < half + across
        if not near and anticipate and abs(speed[w, j]) > HALF:
            later = d + speed[w, j] * st * ANTICIPATION
            near = abs(later) < half + across and s > front - ONE
        if not near:
            continue
        gap = s - along - front
        if gap < best_gap:
            best, best_gap, best_speed = j, gap, speed[w, j] * ct
    return best, best_gap, best_speed


@scalar
def find_follower(
    w, i, station, first, last, step, points, reach,
    x, y, heading, speed, presence, length, width, rear, boxes, count,
):  # fmt: skip
    """Nearest road user behind agent `i` on a path that it does not drive on yet.

    Returns (agent or -1, gap in m between its front and the rear of `i`, its speed).
    """
    back = station + rear[w, i] - HALF * length[w, i]
    half = HALF * width[w, i] + CORRIDOR_MARGIN
    best, best_gap, best_speed = -1, FREE_ROAD, ZERO
    for j in range(count):
        if j == i or presence[w, j] != PRESENT:
            continue
        cx, cy = boxes[w, j, 2], boxes[w, j, 3]
        dx, dy = cx - x[w, i], cy - y[w, i]
        if dx * dx + dy * dy > reach * reach:
            continue
        s, d, k = project(points, first, last, step, cx, cy, row_at(station, first, last, step))
        if s > station + rear[w, i] or abs(d) > half + HALF * width[w, j]:
            continue
        if math.cos(heading[w, j] - points[k, 2]) < ZERO:
            continue
        gap = back - (s + HALF * length[w, j])
        if gap < best_gap:
            best, best_gap, best_speed = j, gap, speed[w, j]
    return best, best_gap, best_speed


@scalar
def yield_gap(w, i, path, station, m, g, p, boxes, count):
    """Whom agent `i` has to let go first where its path meets theirs within the next 3 s.

    Returns (gap, speed) of the road user to fall in behind, or a free road. It goes by where the two
    are now, so that slowing down changes nobody's turn: who changes lanes (`Paths.merging`) waits for
    whoever is beside or ahead, and for who comes up so fast from behind that it would have to brake by
    more than `LET_BY` at once, until half over; who keeps the lane lets in whoever is ahead by half a
    car; otherwise who is behind waits. Others are expected on their paths, or straight on.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    v, mine = m.speed[w, i], g.rear_to_center[w, i]
    hw, hl = HALF * g.width[w, i], HALF * g.length[w, i]
    best_gap, best_speed = FREE_ROAD, ZERO
    if v < HALF:
        return best_gap, best_speed
    cos_i, sin_i = boxes[w, i, 0], boxes[w, i, 1]
    for j in range(count):
        if j == i or m.presence[w, j] != PRESENT or m.speed[w, j] < HALF:
            continue
        dx, dy = boxes[w, j, 2] - boxes[w, i, 2], boxes[w, j, 3] - boxes[w, i, 3]
        forward = dx * cos_i + dy * sin_i
        if dx * dx + dy * dy > YIELD_REACH * YIELD_REACH or forward < -F(20.0):
            continue
        if cos_i * boxes[w, j, 0] + sin_i * boxes[w, j, 1] < HALF:
            continue
        guess = row_at(station + mine + forward, first, last, step)
        s, d, _ = project(p.points, first, last, step, boxes[w, j, 2], boxes[w, j, 3], guess)
        wide = hw + HALF * g.width[w, j] + CORRIDOR_MARGIN
        # Who is in my way already is followed; who is right behind me follows.
        if abs(d) < wide:
            continue
        both = hl + HALF * g.length[w, j] + ONE
        # Braking in the middle of a lane change is worse than finishing it.
        committed = abs(dy * boxes[w, j, 0] - dx * boxes[w, j, 1]) < wide + HALF
        theirs = m.path[w, j]
        for n in range(4, 0, -1):
            t = F(0.75) * F(n)
            k = row_at(station + v * t, first, last, step)
            c, sn = math.cos(p.points[k, 2]), math.sin(p.points[k, 2])
            x, y = p.points[k, 0] + mine * c, p.points[k, 1] + mine * sn
            other = False
            if theirs >= 0:
                there = m.station[w, j] + m.speed[w, j] * t
                q = row_at(there, p.start[theirs], p.start[theirs + 1] - 1, p.step[theirs])
                r = g.rear_to_center[w, j]
                ox = p.points[q, 0] + r * math.cos(p.points[q, 2])
                oy = p.points[q, 1] + r * math.sin(p.points[q, 2])
                other = p.merging[q] == 1
            else:
                ox, oy = boxes[w, j, 2] + m.vx[w, j] * t, boxes[w, j, 3] + m.vy[w, j] * t
            along = (ox - x) * c + (oy - y) * sn
            across = (oy - y) * c - (ox - x) * sn
            if n == 4 and abs(across) > wide + ONE:
                break  # ways that are apart in 3 s are taken not to meet before
            if abs(across) > wide or along > both + v:
                continue
            changing = p.merging[k] == 1
            if changing and not other:
                closing, room = max(m.speed[w, j] - v, ZERO), max(-forward - both + ONE, ZERO)
                fast = closing * closing > TWO * LET_BY * room
                waits = not committed and (forward > HALF - both or fast)
            elif other and not changing:
                waits = forward > HALF * both
            else:
                waits = forward > ZERO
            if waits:
                gap = max(s - HALF * g.length[w, j] - (station + mine + hl), ZERO)
                if gap < best_gap:
                    best_gap, best_speed = gap, m.speed[w, j]
                break
    return best_gap, best_speed


@scalar
def red_light_gap(w, sample, station, front, speed, first, last, step, stop, next_stop, signals, reach):
    """Distance from the front bumper to the next stop line that must not be passed, or a free road.

    Yellow holds those who can stop before the line at `YELLOW_BRAKING`; a line already passed by more
    than a metre no longer holds.
    """
    row = row_at(max(front - ONE, ZERO), first, last, step)
    k = row if stop[row] >= 0 else next_stop[row]
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
def steer(curvature, offset_error, heading_error, speed, steering, wheelbase, dt):
    """Steering rate in rad/s that brings a bicycle to a path of the given curvature.

    The commanded curvature is that of the path less k1 e + k2 sin(psi), k1 = 1 / l^2, k2 = 2 / l: a
    critically damped lateral error over the look-ahead distance l.
    """
    ahead = max(F(5.0), F(0.9) * abs(speed))
    command = curvature - offset_error / (ahead * ahead) - TWO * math.sin(heading_error) / ahead
    wanted = min(max(math.atan(wheelbase * command), -MAX_STEERING), MAX_STEERING)
    return min(max((wanted - steering) / dt, -MAX_STEERING_RATE), MAX_STEERING_RATE)


@scalar
def bend_speed(points, row, last, step, speed):
    """Speed in m/s that the limit and the bends within the next 3 s of driving allow now.

    A bend ahead allows what can be shed before it with 1.5 m/s^2.
    """
    best = points[row, 4]
    ahead = min(int(F(3.0) * max(speed, F(3.0)) / step) + 1, last - row)
    for n in range(0, ahead + 1, 2):
        kappa = max(abs(points[row + n, 3]), F(1e-4))
        bend = MAX_LATERAL_ACCELERATION / kappa
        best = min(best, math.sqrt(bend + F(3.0) * F(n) * step))
    return best
