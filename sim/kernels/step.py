"""The step of a batch of worlds: log, IDM and MOBIL drivers, controls, trajectories, collisions."""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.compile import kernel, routine, scalar
from drive.sim.kernels.follow import (
    MAX_STEERING,
    OFFSET_RATE,
    STOP_LINE_GAP,
    follower_gap,
    gap_to,
    gap_to_let_in,
    later_on_path,
    place_later,
    project,
    red_light_gap,
    row_at,
    steer,
)
from drive.sim.kernels.giveway import give_way_gap
from drive.sim.kernels.layout import ABSENT, ENDS, FREE_ROAD, GIVE_WAY, GONE, PRESENT, SIGNALS
from drive.sim.kernels.scalar import (
    HALF,
    ONE,
    ZERO,
    F,
    bicycle_move,
    boxes_apart,
    idm_acceleration,
    sin_cos,
    wrap,
)
from drive.sim.kernels.survey import (
    CORRIDOR_MARGIN,
    COS,
    CX,
    CY,
    HALF_LENGTH,
    HALF_WIDTH,
    LATER,
    LEADS,
    MEETS,
    REACH,
    SIN,
    matters,
    place_crowd,
    survey,
)

LOG, IDM, MOBIL, CONTROL, TRAJECTORY = 0, 1, 2, 3, 4
WIDEST = F(2.0)  # m, half the width of any road user
MAX_BRAKING = F(8.0)  # what tyres give; IDM may ask for more
COOLDOWN = F(4.0)  # s between two lane changes of one driver
CHANGE_THRESHOLD = F(0.2)  # m/s^2 of advantage that a lane change must bring (MOBIL)
MERGE_DISTANCE = F(200.0)  # m before the end of a lane from which on its drivers want to leave it
MERGE_GAIN = F(2.0)
YIELD_BRAKING = F(2.5)  # m/s^2 at most to let somebody go first
SAFE_BRAKING = F(3.0)  # m/s^2 that a lane change may force on the follower (MOBIL)


@scalar
def driver_acceleration(w, i, speed, lead_speed, gap, target, driver):
    """IDM with the agent's own parameters, cut to what a car can do."""
    a = idm_acceleration(
        speed, lead_speed, gap, max(target, F(0.1)), driver[w, i, 1], driver[w, i, 2],
        driver[w, i, 3], driver[w, i, 4], driver[w, i, 5],
    )  # fmt: skip
    return min(max(a, -MAX_BRAKING), driver[w, i, 3])


@scalar
def look_at(
    w, i, j, flag, path, station, rear, xi, yi, first, last, step, lead, gap, speed, room, room_speed,
    m, g, p, crowd, anticipate,
):  # fmt: skip
    """What `look_around` finds, once it has looked closely at `j` of whom the survey says `flag`."""
    if (flag & LEADS) != 0:
        near, v = gap_to(
            i, j, station, rear, xi, yi, REACH, gap, first, last, step, p.rows, anticipate, crowd
        )
        if near < gap:
            lead, gap, speed = j, near, v
    if (flag & MEETS) != 0:
        near = gap_to_let_in(w, i, j, path, station, m, g, p, crowd)
        if near < room:
            room, room_speed = near, m.speed[w, j]
    return lead, gap, speed, room, room_speed


@scalar
def look_around(w, i, path, station, m, g, p, crowd, flags, words, count, anticipate):
    """Leader on a path (-1 none), its gap and speed, and the gap and speed of who has to go first.

    A thread of a GPU has no `flags` and `words` (None): it asks of one after the other what the survey asks
    of all at once.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    rear, xi, yi = g.rear_to_center[w, i], m.x[w, i], m.y[w, i]
    lead, gap, speed = -1, FREE_ROAD, ZERO
    room, room_speed = FREE_ROAD, ZERO
    # Whom it followed before is likely to be the nearest still, and then few others are looked at.
    before = m.leader[w, i]
    if 0 <= before < count:
        gap, speed = gap_to(
            i, before, station, rear, xi, yi, REACH, gap, first, last, step, p.rows, anticipate, crowd
        )
        if gap < FREE_ROAD:
            lead = before
    row = row_at(station, first, last, step)
    # The sample lies beside or before the rear axle, no farther than this.
    slack = abs(xi - p.rows[row, 0]) + abs(yi - p.rows[row, 1])
    far = min(REACH, gap + rear + crowd[HALF_LENGTH, i] + WIDEST) + slack
    lx, ly, lc, ls = later_on_path(station, m.speed[w, i], rear, LATER, first, last, step, p.rows)
    known = np.int32(lead)
    if flags is None:
        for j in range(count):
            flag = matters(i, j, known, row, p.rows, far, lx, ly, lc, ls, anticipate, crowd)
            lead, gap, speed, room, room_speed = look_at(
                w, i, j, flag, path, station, rear, xi, yi, first, last, step, lead, gap, speed, room,
                room_speed, m, g, p, crowd, anticipate,
            )  # fmt: skip
    else:
        survey(i, known, row, p.rows, far, lx, ly, lc, ls, anticipate, crowd, flags)
        for word in range(words.shape[0]):
            if words[word] == 0:
                continue
            for j in range(8 * word, 8 * word + 8):
                lead, gap, speed, room, room_speed = look_at(
                    w, i, j, flags[j], path, station, rear, xi, yi, first, last, step, lead, gap, speed, room,
                    room_speed, m, g, p, crowd, anticipate,
                )  # fmt: skip
    return lead, gap, speed, room, room_speed


@scalar
def drive_on_path(w, i, path, station, m, g, p, crowd, flags, words, dt, count, anticipate):
    """Acceleration of a driver on a path, and whom it follows (-1 nobody, -2 a stop)."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    speed = m.speed[w, i]
    row = row_at(station, first, last, step)
    target = min(p.rows[row, 5], g.driver[w, i, 0])
    lead, gap, lead_speed, room, room_speed = look_around(
        w, i, path, station, m, g, p, crowd, flags, words, count, anticipate
    )
    accel = driver_acceleration(w, i, speed, lead_speed, gap, target, g.driver)
    if room < FREE_ROAD:
        held = driver_acceleration(w, i, speed, room_speed, room, target, g.driver)
        accel = min(accel, max(held, -YIELD_BRAKING))
    front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
    sample = m.sample[w]
    stop_gap, holds = FREE_ROAD, p.holds[path]
    if holds & SIGNALS:
        stop_gap = red_light_gap(
            w, sample, station, front, speed, first, last, step, p.stop, p.next_stop, g.signals, REACH
        )
    if anticipate and holds & GIVE_WAY:
        stop_gap = min(stop_gap, give_way_gap(w, i, path, station, m, g, p, crowd, count))
    meant = g.stop_station[w, i]
    if not math.isnan(meant) and F(sample) * dt < g.stop_until[w, i] and meant > station - ONE:
        # The driver means to stop with its rear axle there, its usual gap already deducted.
        stop_gap = min(stop_gap, meant - station + g.driver[w, i, 1] + STOP_LINE_GAP)
    if holds & ENDS:
        # A lane that ends beside another one: merge before its end, or wait there.
        stop_gap = min(stop_gap, F(last - first) * step - front)
    if stop_gap < FREE_ROAD:
        held = driver_acceleration(w, i, speed, ZERO, stop_gap - STOP_LINE_GAP, target, g.driver)
        if held < accel:
            accel, lead = held, -2
    return accel, lead


@scalar
def consider_change(w, i, side, accel, m, g, p, crowd, flags, words, dt, count, anticipate):
    """MOBIL: the advantage in m/s^2 of changing to a neighbouring path and its (path, station).

    Advantage a' - a + politeness (a'_n - a_n); -inf where there is no lane or the change is not safe.
    """
    none = F(-1e9)
    path = m.path[w, i]
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    row = row_at(m.station[w, i], first, last, step)
    beside, sample = side[row, 0], side[row, 1]
    if beside < 0:
        return none, -1, ZERO
    f2, l2, st2 = p.start[beside], p.start[beside + 1] - 1, p.step[beside]
    station, _, _ = project(p.rows, f2, l2, st2, m.x[w, i], m.y[w, i], sample)
    own, _ = drive_on_path(w, i, beside, station, m, g, p, crowd, flags, words, dt, count, anticipate)
    back = station + g.rear_to_center[w, i] - crowd[HALF_LENGTH, i]
    wide = crowd[HALF_WIDTH, i] + CORRIDOR_MARGIN
    behind, gap, v = -1, FREE_ROAD, ZERO
    for j in range(count):
        if j != i:
            room = follower_gap(w, i, j, station, back, wide, f2, l2, st2, p.rows, REACH, m, crowd)
            if room < gap:
                behind, gap, v = j, room, m.speed[w, j]
    cost = ZERO
    if behind >= 0:
        if gap < g.driver[w, i, 1]:
            return none, -1, ZERO
        target = max(g.driver[w, behind, 0], v)
        forced = driver_acceleration(w, behind, v, m.speed[w, i], gap, target, g.driver)
        if forced < -SAFE_BRAKING:
            return none, -1, ZERO
        cost = min(forced, ZERO)
    if own < -SAFE_BRAKING:
        return none, -1, ZERO
    gain = own - accel + g.driver[w, i, 6] * cost
    if p.holds[path] & ENDS and F(last - row) * step < MERGE_DISTANCE:
        gain += MERGE_GAIN
    return gain, beside, station


@routine
def overlaps_any(w, i, x, y, heading, m, g, count):
    """Whether a box of agent `i` at a rear-axle pose overlaps a road user who is there."""
    c, s = math.cos(heading), math.sin(heading)
    for j in range(count):
        if j == i or m.presence[w, j] != PRESENT:
            continue
        cj, sj = math.cos(m.heading[w, j]), math.sin(m.heading[w, j])
        dx = m.x[w, j] + g.rear_to_center[w, j] * cj - x - g.rear_to_center[w, i] * c
        dy = m.y[w, j] + g.rear_to_center[w, j] * sj - y - g.rear_to_center[w, i] * s
        if (
            boxes_apart(
                dx, dy, c, s, HALF * g.length[w, i], HALF * g.width[w, i], cj, sj,
                HALF * g.length[w, j], HALF * g.width[w, j],
            )
            <= ZERO
        ):  # fmt: skip
            return True
    return False


@routine
def choose_lane(w, i, accel, m, g, p, crowd, flags, words, dt, count, anticipate):
    """The neighbouring path that a MOBIL driver wants, if one is worth it, and its station; else -1."""
    gain, beside, station = consider_change(
        w, i, p.left, accel, m, g, p, crowd, flags, words, dt, count, anticipate
    )  # fmt: skip
    right, path, at = consider_change(
        w, i, p.right, accel, m, g, p, crowd, flags, words, dt, count, anticipate
    )  # fmt: skip
    if right > gain:
        gain, beside, station = right, path, at
    if gain <= CHANGE_THRESHOLD:
        return -1, ZERO
    return beside, station


@routine
def place_on(w, i, path, station, m, p):
    """Station and lateral offset of an agent on a path, near a station there."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    s, d, _ = project(p.rows, first, last, step, m.x[w, i], m.y[w, i], row_at(station, first, last, step))
    return s, d


@scalar
def follow_path(w, i, path, station, offset, m, g, p, crowd, dt):
    """Steering rate along a path, the station there, and what remains of the lateral offset.

    The offset is worked off at a bounded rate.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    guess = row_at(station, first, last, step)
    s, d, k = project(p.rows, first, last, step, m.x[w, i], m.y[w, i], guess)
    v, slope = m.speed[w, i], ZERO
    if offset != ZERO and v > F(0.1):
        rate = min(OFFSET_RATE, F(0.25) * v)
        left = abs(offset) - rate * dt
        if left > ZERO:
            slope = -math.copysign(min(rate / v, F(0.3)), offset)
            offset = math.copysign(left, offset)
        else:
            offset = ZERO
    c, sn = crowd[COS, i], crowd[SIN, i]
    error = sn * p.rows[k, 2] - c * p.rows[k, 3]
    if slope != ZERO:
        # The sine of the error less the angle of the slope.
        error = (error - (c * p.rows[k, 2] + sn * p.rows[k, 3]) * slope) / math.sqrt(ONE + slope * slope)
    rate = steer(p.rows[k, 4], d - offset, error, v, m.steering[w, i], g.wheelbase[w, i], dt)
    return rate, s, offset


@scalar
def place(w, i, row, m):
    """Put an agent where a row of the log says."""
    m.x[w, i], m.y[w, i], m.heading[w, i], m.speed[w, i] = row[0], row[1], row[2], row[3]
    m.vx[w, i], m.vy[w, i] = row[4], row[5]
    m.presence[w, i] = PRESENT


@scalar
def replay(w, i, here, row, m, dt):
    """A logged agent's next moment; it is absent where the log does not know it."""
    if not here:
        m.presence[w, i] = ABSENT
        return
    if m.presence[w, i] == PRESENT:
        m.acceleration[w, i] = (row[3] - m.speed[w, i]) / dt
        m.yaw_rate[w, i] = wrap(row[2] - m.heading[w, i]) / dt
    place(w, i, row, m)


@scalar
def obey(w, i, pose, m, p, dt):
    """Put an agent at the pose that its driver asks for, and say where on its route that is."""
    v, h = pose[w, i, 3], pose[w, i, 2]
    m.acceleration[w, i] = (v - m.speed[w, i]) / dt
    m.x[w, i], m.y[w, i], m.heading[w, i] = pose[w, i, 0], pose[w, i, 1], h
    m.speed[w, i], m.yaw_rate[w, i] = v, pose[w, i, 4]
    m.vx[w, i], m.vy[w, i] = v * math.cos(h), v * math.sin(h)
    path = m.path[w, i]
    if path >= 0:
        first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
        guess = row_at(m.station[w, i], first, last, step)
        m.station[w, i], _, _ = project(p.rows, first, last, step, m.x[w, i], m.y[w, i], guess)


@scalar
def move(w, i, acceleration, steering_rate, on_path, m, g, p, crowd, dt):
    """Drive a bicycle for one step; traffic never rolls backwards and is gone at its path's end."""
    v = m.speed[w, i]
    a = max(acceleration, -v / dt) if on_path else acceleration
    sine, cosine = sin_cos(m.steering[w, i])
    x, y, h, nv, steering = bicycle_move(
        m.x[w, i], m.y[w, i], m.heading[w, i], v, m.steering[w, i], crowd[COS, i], crowd[SIN, i],
        sine / cosine, a, steering_rate, g.wheelbase[w, i], MAX_STEERING, dt,
    )  # fmt: skip
    h = wrap(h)
    m.x[w, i], m.y[w, i], m.heading[w, i] = x, y, h
    sine, cosine = sin_cos(steering)
    m.yaw_rate[w, i] = nv * sine / (cosine * g.wheelbase[w, i])
    m.speed[w, i], m.steering[w, i], m.acceleration[w, i] = nv, steering, a
    sine, cosine = sin_cos(h)
    m.vx[w, i], m.vy[w, i] = nv * cosine, nv * sine
    m.cooldown[w, i] = max(m.cooldown[w, i] - dt, ZERO)
    path = m.path[w, i]
    if on_path and path >= 0:
        m.station[w, i] += v * dt
        if m.station[w, i] > F(p.start[path + 1] - 1 - p.start[path]) * p.step[path]:
            m.presence[w, i] = GONE


@routine
def appear(w, i, row, m, p):
    """Enter the scene where the log does, and find one's place on the path."""
    place(w, i, row, m)
    path = m.path[w, i]
    if path < 0:
        return
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    near, best = first, FREE_ROAD * FREE_ROAD
    for k in range(first, last + 1):
        dx, dy = row[0] - p.rows[k, 0], row[1] - p.rows[k, 1]
        if dx * dx + dy * dy < best:
            best, near = dx * dx + dy * dy, k
    s, d, _ = project(p.rows, first, last, step, row[0], row[1], near)
    m.station[w, i], m.offset[w, i] = s, d


@scalar
def decide(w, i, m, g, p, wish, lane, crowd, flags, words, dt, count, anticipate):
    """What a driver on a path does next: `lane[i]` the path that it is on then (-1: no such driver), and
    `wish[:, i]` acceleration, steering rate, station and offset. Others see it as it is until all
    have decided.
    """
    who = g.controller[w, i]
    lane[i] = -1
    if m.presence[w, i] != PRESENT or (who != IDM and who != MOBIL) or m.path[w, i] < 0:
        return
    path, station, offset = m.path[w, i], m.station[w, i], m.offset[w, i]
    accel, lead = drive_on_path(
        w, i, path, station, m, g, p, crowd, flags, words, dt, count, anticipate
    )  # fmt: skip
    m.leader[w, i] = lead
    if who == MOBIL and m.cooldown[w, i] <= ZERO and m.speed[w, i] > F(2.0):
        beside, at = choose_lane(w, i, accel, m, g, p, crowd, flags, words, dt, count, anticipate)
        if beside >= 0:
            path = beside
            station, offset = place_on(w, i, path, at, m, p)
    rate, station, offset = follow_path(w, i, path, station, offset, m, g, p, crowd, dt)
    lane[i] = path
    wish[0, i], wish[1, i], wish[2, i], wish[3, i] = accel, rate, station, offset


@scalar
def act(w, i, sample, m, g, p, control, pose, wish, lane, crowd, dt):
    """Move an agent on to the `sample` of the clock."""
    who, samples = g.controller[w, i], g.log.shape[2]
    if who == LOG:
        row = min(sample, samples - 1)
        replay(w, i, sample < samples and g.log_valid[w, i, row] == 1, g.log[w, i, row], m, dt)
    elif m.presence[w, i] == PRESENT:
        if who == TRAJECTORY:
            obey(w, i, pose, m, p, dt)
            return
        accel, rate = ZERO, ZERO
        if who == CONTROL:
            accel, rate = control[w, i, 0], control[w, i, 1]
        elif lane[i] >= 0:
            accel, rate = wish[0, i], wish[1, i]
            if lane[i] != m.path[w, i]:
                m.path[w, i], m.cooldown[w, i] = lane[i], COOLDOWN
            m.station[w, i], m.offset[w, i] = wish[2, i], wish[3, i]
        move(w, i, accel, rate, who != CONTROL, m, g, p, crowd, dt)


@scalar
def awaited(w, i, sample, m, g):
    """Whether the log has a driven agent enter at a sample, who is not there yet."""
    if m.presence[w, i] != ABSENT or sample >= g.log.shape[2]:
        return False
    who = g.controller[w, i]
    return who != LOG and who != TRAJECTORY and g.log_valid[w, i, sample] == 1


@scalar
def enter(w, i, sample, m, g, p, count):
    """Let an awaited agent in, unless somebody stands in its place."""
    spot = g.log[w, i, sample]
    if not overlaps_any(w, i, spot[0], spot[1], spot[2], m, g, count):
        appear(w, i, spot, m, p)


@kernel
def step_kernel(m, g, p, control, pose, wish, lane, crowd, flags, words, dt, steps, anticipate, w0, w1):
    """Advance the worlds `w0..w1` in place by `steps` steps of `dt` seconds.

    `control (W, A, 2)` acceleration and steering rate; `pose (W, A, 5)` rear-axle x, y, heading,
    speed, yaw rate after the step. Scratch: `wish (4, A)`, `lane (A,)`, `crowd (CROWD_ROWS, P)`, `flags
    (P,)` and the same bytes as `words (P / 8,)`.
    """
    count = m.x.shape[1]
    for w in range(w0, w1):
        for _ in range(steps):
            place_crowd(w, m, g, crowd, count)
            place_later(w, count, LATER, m, g, p, crowd)
            # Everyone decides before anyone moves, and moves before anyone enters.
            for i in range(count):
                decide(w, i, m, g, p, wish, lane, crowd, flags, words, dt, count, anticipate)
            sample = m.sample[w] + 1
            for i in range(count):
                act(w, i, sample, m, g, p, control, pose, wish, lane, crowd, dt)
            for i in range(count):
                if awaited(w, i, sample, m, g):
                    enter(w, i, sample, m, g, p, count)
            m.sample[w] = sample
        place_crowd(w, m, g, crowd, count)
        collide(w, m, crowd, flags, words, count)


@scalar
def collide(w, m, crowd, flags, words, count):
    """Mark everyone whose box overlaps another's."""
    for i in range(count):
        m.collided[w, i] = 0
    for i in range(count - 1):
        x, y = crowd[CX, i], crowd[CY, i]
        if m.presence[w, i] != PRESENT:
            continue
        hl, hw = crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i]
        for j in range(crowd.shape[1]):
            dx, dy = crowd[CX, j] - x, crowd[CY, j] - y
            reach = hl + hw + crowd[HALF_LENGTH, j] + crowd[HALF_WIDTH, j]
            flags[j] = np.uint8(dx * dx + dy * dy <= reach * reach)
        for word in range((i + 1) // 8, words.shape[0]):
            if words[word] == 0:
                continue
            for j in range(max(8 * word, i + 1), 8 * word + 8):
                if flags[j] != 0 and (
                    boxes_apart(
                        crowd[CX, j] - x, crowd[CY, j] - y, crowd[COS, i], crowd[SIN, i], hl, hw,
                        crowd[COS, j], crowd[SIN, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j],
                    )
                    <= ZERO
                ):  # fmt: skip
                    m.collided[w, i] = 1
                    m.collided[w, j] = 1
