"""The step of a batch of worlds: log, IDM and MOBIL drivers, controls, trajectories, collisions."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.follow import (
    MAX_STEERING,
    OFFSET_RATE,
    STOP_LINE_GAP,
    bend_speed,
    find_follower,
    find_leader,
    place_boxes,
    project,
    red_light_gap,
    row_at,
    steer,
    yield_gap,
)
from drive.sim.kernels.giveway import give_way_gap
from drive.sim.kernels.layout import ABSENT, FREE_ROAD, GONE, PRESENT
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, bicycle_step, boxes_apart, idm_acceleration, wrap

LOG, IDM, MOBIL, CONTROL, TRAJECTORY = 0, 1, 2, 3, 4
MAX_BRAKING = F(8.0)  # what tyres give; IDM may ask for more
REACH = F(100.0)
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
def drive_on_path(w, i, path, station, m, g, p, boxes, dt, count, anticipate):
    """Acceleration of a driver on a path, and whom it follows (-1 nobody, -2 a stop)."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    speed = m.speed[w, i]
    row = row_at(station, first, last, step)
    target = min(bend_speed(p.points, row, last, step, speed), g.driver[w, i, 0])
    lead, gap, lead_speed = find_leader(
        w, i, station, first, last, step, p.points, REACH, anticipate, m.x, m.y, m.heading, m.speed,
        m.presence, g.length, g.width, g.rear_to_center, boxes, count,
    )  # fmt: skip
    accel = driver_acceleration(w, i, speed, lead_speed, gap, target, g.driver)
    if anticipate:
        room, v = yield_gap(w, i, path, station, m, g, p, boxes, count)
        if room < FREE_ROAD:
            held = driver_acceleration(w, i, speed, v, room, target, g.driver)
            accel = min(accel, max(held, -YIELD_BRAKING))
    front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
    sample = m.sample[w]
    stop_gap = red_light_gap(
        w, sample, station, front, speed, first, last, step, p.stop, p.next_stop, g.signals, REACH
    )
    if anticipate:
        stop_gap = min(stop_gap, give_way_gap(w, i, path, station, m, g, p, boxes, count))
    meant = g.stop_station[w, i]
    if not math.isnan(meant) and F(sample) * dt < g.stop_until[w, i] and meant > station - ONE:
        # The driver means to stop with its rear axle there, its usual gap already deducted.
        stop_gap = min(stop_gap, meant - station + g.driver[w, i, 1] + STOP_LINE_GAP)
    if p.left[last, 0] >= 0 or p.right[last, 0] >= 0:
        # A lane that ends beside another one: merge before its end, or wait there.
        stop_gap = min(stop_gap, F(last - first) * step - front)
    if stop_gap < FREE_ROAD:
        held = driver_acceleration(w, i, speed, ZERO, stop_gap - STOP_LINE_GAP, target, g.driver)
        if held < accel:
            accel, lead = held, -2
    return accel, lead


@scalar
def consider_change(w, i, side, accel, m, g, p, boxes, dt, count, anticipate):
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
    station, _, _ = project(p.points, f2, l2, st2, m.x[w, i], m.y[w, i], sample)
    own, _ = drive_on_path(w, i, beside, station, m, g, p, boxes, dt, count, anticipate)
    behind, gap, v = find_follower(
        w, i, station, f2, l2, st2, p.points, REACH, m.x, m.y, m.heading, m.speed, m.presence,
        g.length, g.width, g.rear_to_center, boxes, count,
    )  # fmt: skip
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
    if (p.left[last, 0] >= 0 or p.right[last, 0] >= 0) and F(last - row) * step < MERGE_DISTANCE:
        gain += MERGE_GAIN
    return gain, beside, station


@scalar
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


@scalar
def change_lane(w, i, accel, m, g, p, boxes, dt, count, anticipate):
    """Let a MOBIL driver take the better neighbouring path, if one is worth it."""
    gain, beside, station = consider_change(
        w, i, p.left, accel, m, g, p, boxes, dt, count, anticipate
    )  # fmt: skip
    right, path, at = consider_change(
        w, i, p.right, accel, m, g, p, boxes, dt, count, anticipate
    )  # fmt: skip
    if right > gain:
        gain, beside, station = right, path, at
    if beside < 0 or gain <= CHANGE_THRESHOLD:
        return
    first, last, step = p.start[beside], p.start[beside + 1] - 1, p.step[beside]
    s, d, _ = project(p.points, first, last, step, m.x[w, i], m.y[w, i], row_at(station, first, last, step))
    m.path[w, i], m.station[w, i], m.offset[w, i] = beside, s, d
    m.cooldown[w, i] = COOLDOWN


@scalar
def follow_path(w, i, m, g, p, dt):
    """Steering rate along the agent's path; its lateral offset is worked off at a bounded rate."""
    path = m.path[w, i]
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    guess = row_at(m.station[w, i], first, last, step)
    s, d, k = project(p.points, first, last, step, m.x[w, i], m.y[w, i], guess)
    m.station[w, i] = s
    v, offset, slope = m.speed[w, i], m.offset[w, i], ZERO
    if offset != ZERO and v > F(0.1):
        rate = min(OFFSET_RATE, F(0.25) * v)
        left = abs(offset) - rate * dt
        if left > ZERO:
            slope = -math.copysign(min(rate / v, F(0.3)), offset)
            offset = math.copysign(left, offset)
        else:
            offset = ZERO
        m.offset[w, i] = offset
    error = wrap(m.heading[w, i] - p.points[k, 2] - math.atan(slope))
    return steer(p.points[k, 3], d - offset, error, v, m.steering[w, i], g.wheelbase[w, i], dt)


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
        m.station[w, i], _, _ = project(p.points, first, last, step, m.x[w, i], m.y[w, i], guess)


@scalar
def move(w, i, acceleration, steering_rate, on_path, m, g, p, dt):
    """Drive a bicycle for one step; traffic never rolls backwards and is gone at its path's end."""
    v = m.speed[w, i]
    a = max(acceleration, -v / dt) if on_path else acceleration
    x, y, h, nv, steering, yaw_rate = bicycle_step(
        m.x[w, i], m.y[w, i], m.heading[w, i], v, m.steering[w, i], a, steering_rate,
        g.wheelbase[w, i], MAX_STEERING, dt,
    )  # fmt: skip
    m.x[w, i], m.y[w, i], m.heading[w, i] = x, y, wrap(h)
    m.speed[w, i], m.steering[w, i], m.yaw_rate[w, i], m.acceleration[w, i] = nv, steering, yaw_rate, a
    m.vx[w, i], m.vy[w, i] = nv * math.cos(h), nv * math.sin(h)
    m.cooldown[w, i] = max(m.cooldown[w, i] - dt, ZERO)
    path = m.path[w, i]
    if on_path and path >= 0:
        m.station[w, i] += v * dt
        if m.station[w, i] > F(p.start[path + 1] - 1 - p.start[path]) * p.step[path]:
            m.presence[w, i] = GONE


@scalar
def appear(w, i, row, m, p):
    """Enter the scene where the log does, and find one's place on the path."""
    place(w, i, row, m)
    path = m.path[w, i]
    if path < 0:
        return
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    near, best = first, FREE_ROAD * FREE_ROAD
    for k in range(first, last + 1):
        dx, dy = row[0] - p.points[k, 0], row[1] - p.points[k, 1]
        if dx * dx + dy * dy < best:
            best, near = dx * dx + dy * dy, k
    s, d, _ = project(p.points, first, last, step, row[0], row[1], near)
    m.station[w, i], m.offset[w, i] = s, d


@kernel
def step_kernel(m, g, p, control, pose, scratch, boxes, dt, steps, anticipate, w0, w1):
    """Advance the worlds `w0..w1` in place by `steps` steps of `dt` seconds.

    `control (W, A, 2)` acceleration and steering rate; `pose (W, A, 5)` rear-axle x, y, heading,
    speed, yaw rate after the step; `scratch (W, A, 2)` and `boxes (W, A, 4)` are overwritten.
    """
    count, samples = m.x.shape[1], g.log.shape[2]
    for w in range(w0, w1):
        for _ in range(steps):
            place_boxes(w, m.x, m.y, m.heading, g.rear_to_center, m.presence, boxes, count)
            # Everyone decides before anyone moves: positions and speeds are those before the step (of
            # lane changes decided in this step those of lower rows are known already).
            for i in range(count):
                who = g.controller[w, i]
                scratch[w, i, 0], scratch[w, i, 1] = ZERO, ZERO
                if m.presence[w, i] != PRESENT:
                    continue
                if who == CONTROL:
                    scratch[w, i, 0], scratch[w, i, 1] = control[w, i, 0], control[w, i, 1]
                elif who in (IDM, MOBIL) and m.path[w, i] >= 0:
                    accel, lead = drive_on_path(
                        w, i, m.path[w, i], m.station[w, i], m, g, p, boxes, dt, count, anticipate
                    )  # fmt: skip
                    m.leader[w, i] = lead
                    if who == MOBIL and m.cooldown[w, i] <= ZERO and m.speed[w, i] > F(2.0):
                        change_lane(w, i, accel, m, g, p, boxes, dt, count, anticipate)
                    scratch[w, i, 0] = accel
                    scratch[w, i, 1] = follow_path(w, i, m, g, p, dt)
            sample = m.sample[w] + 1
            row = min(sample, samples - 1)
            for i in range(count):
                who = g.controller[w, i]
                here = sample < samples and g.log_valid[w, i, row] == 1
                if who == LOG:
                    replay(w, i, here, g.log[w, i, row], m, dt)
                elif m.presence[w, i] == PRESENT:
                    if who == TRAJECTORY:
                        obey(w, i, pose, m, p, dt)
                    else:
                        move(w, i, scratch[w, i, 0], scratch[w, i, 1], who != CONTROL, m, g, p, dt)
                elif m.presence[w, i] == ABSENT and who != TRAJECTORY and here:
                    spot = g.log[w, i, row]
                    if not overlaps_any(w, i, spot[0], spot[1], spot[2], m, g, count):
                        appear(w, i, spot, m, p)
            m.sample[w] = sample
        place_boxes(w, m.x, m.y, m.heading, g.rear_to_center, m.presence, boxes, count)
        collide(w, m, g, boxes, count)


@scalar
def collide(w, m, g, boxes, count):
    """Mark everyone whose box overlaps another's."""
    for i in range(count):
        m.collided[w, i] = 0
    for i in range(count):
        if m.presence[w, i] != PRESENT:
            continue
        hl, hw = HALF * g.length[w, i], HALF * g.width[w, i]
        for j in range(i + 1, count):
            dx, dy = boxes[w, j, 2] - boxes[w, i, 2], boxes[w, j, 3] - boxes[w, i, 3]
            reach = hl + hw + HALF * (g.length[w, j] + g.width[w, j])
            if m.presence[w, j] != PRESENT or dx * dx + dy * dy > reach * reach:
                continue
            apart = boxes_apart(
                dx, dy, boxes[w, i, 0], boxes[w, i, 1], hl, hw,
                boxes[w, j, 0], boxes[w, j, 1], HALF * g.length[w, j], HALF * g.width[w, j],
            )  # fmt: skip
            if apart <= ZERO:
                m.collided[w, i] = 1
                m.collided[w, j] = 1
