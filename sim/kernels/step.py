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
    project,
    red_light_gap,
    row_at,
    steer,
)
from drive.sim.kernels.layout import ABSENT, FREE_ROAD, GONE, PRESENT
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, bicycle_step, boxes_apart, idm_acceleration, wrap

LOG, IDM, MOBIL, CONTROL, TRAJECTORY = 0, 1, 2, 3, 4
MAX_BRAKING = F(8.0)  # what tyres give; IDM may ask for more
REACH = F(100.0)
COOLDOWN = F(4.0)  # s between two lane changes of one driver
CHANGE_THRESHOLD = F(0.2)  # m/s^2 of advantage that a lane change must bring (MOBIL)
MERGE_DISTANCE = F(200.0)  # m before the end of a lane from which on its drivers want to leave it
MERGE_GAIN = F(2.0)
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
def drive_on_path(w, i, path, station, m, g, p, dt, count, anticipate):
    """Acceleration of a driver on a path, and whom it follows (-1 nobody, -2 a stop)."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    speed = m.speed[w, i]
    row = row_at(station, first, last, step)
    target = min(bend_speed(p.points, row, last, step, speed), g.driver[w, i, 0])
    lead, gap, lead_speed = find_leader(
        w, i, station, first, last, step, p.points, REACH, anticipate, m.x, m.y, m.heading, m.speed,
        m.presence, g.length, g.width, g.rear_to_center, count,
    )  # fmt: skip
    accel = driver_acceleration(w, i, speed, lead_speed, gap, target, g.driver)
    front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
    sample = m.sample[w]
    stop_gap = red_light_gap(
        w, sample, station, front, speed, first, last, step, p.stop, p.next_stop, g.signals, REACH
    )
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
def consider_change(w, i, side, accel, m, g, p, dt, count, anticipate):
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
    own, _ = drive_on_path(w, i, beside, station, m, g, p, dt, count, anticipate)
    behind, gap, v = find_follower(
        w, i, station, f2, l2, st2, p.points, REACH, m.x, m.y, m.heading, m.speed, m.presence,
        g.length, g.width, g.rear_to_center, count,
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


@kernel
def step_kernel(m, g, p, control, pose, scratch, dt, steps, anticipate, w0, w1):
    """Advance the worlds `w0..w1` in place by `steps` steps of `dt` seconds.

    `control (W, A, 2)` acceleration and steering rate; `pose (W, A, 5)` rear-axle x, y, heading,
    speed, yaw rate after the step; `scratch (W, A, 4)`.
    """
    count = m.x.shape[1]
    samples = g.log.shape[2]
    for w in range(w0, w1):
        for _ in range(steps):
            nxt = m.sample[w] + 1
            # Decide on the state before the step, so that nobody sees another's future.
            for i in range(count):
                who = g.controller[w, i]
                scratch[w, i, 0] = ZERO
                scratch[w, i, 1] = ZERO
                if m.presence[w, i] != PRESENT:
                    continue
                if who == CONTROL:
                    scratch[w, i, 0] = control[w, i, 0]
                    scratch[w, i, 1] = control[w, i, 1]
                elif who in (IDM, MOBIL) and m.path[w, i] >= 0:
                    path = m.path[w, i]
                    accel, lead = drive_on_path(w, i, path, m.station[w, i], m, g, p, dt, count, anticipate)
                    m.leader[w, i] = lead
                    if who == MOBIL and m.cooldown[w, i] <= ZERO and m.speed[w, i] > F(2.0):
                        gl, pl, sl = consider_change(w, i, p.left, accel, m, g, p, dt, count, anticipate)
                        gr, pr, sr = consider_change(w, i, p.right, accel, m, g, p, dt, count, anticipate)
                        gain, beside, station = (gl, pl, sl) if gl >= gr else (gr, pr, sr)
                        if beside >= 0 and gain > CHANGE_THRESHOLD:
                            f2, l2 = p.start[beside], p.start[beside + 1] - 1
                            s2, d2, _ = project(
                                p.points, f2, l2, p.step[beside], m.x[w, i], m.y[w, i],
                                row_at(station, f2, l2, p.step[beside]),
                            )  # fmt: skip
                            m.path[w, i] = beside
                            m.station[w, i] = s2
                            m.offset[w, i] = d2
                            m.cooldown[w, i] = COOLDOWN
                            path = beside
                    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
                    k0 = row_at(m.station[w, i], first, last, step)
                    s, d, k = project(p.points, first, last, step, m.x[w, i], m.y[w, i], k0)
                    m.station[w, i] = s
                    v = m.speed[w, i]
                    # The lateral offset is worked off at a bounded rate: a smooth lane change.
                    slope = ZERO
                    rate = min(OFFSET_RATE, F(0.25) * abs(v))
                    if abs(m.offset[w, i]) > ZERO and v > F(0.1):
                        move = min(abs(m.offset[w, i]), rate * dt)
                        slope = -math.copysign(min(rate / v, F(0.3)), m.offset[w, i])
                        m.offset[w, i] -= math.copysign(move, m.offset[w, i])
                        if m.offset[w, i] == ZERO:
                            slope = ZERO
                    error = wrap(m.heading[w, i] - p.points[k, 2] - math.atan(slope))
                    scratch[w, i, 0] = accel
                    scratch[w, i, 1] = steer(
                        p.points[k, 3], d - m.offset[w, i], error, v, m.steering[w, i], g.wheelbase[w, i], dt
                    )
            for i in range(count):
                who = g.controller[w, i]
                if who == LOG:
                    here = nxt < samples and g.log_valid[w, i, min(nxt, samples - 1)] == 1
                    if here:
                        row = g.log[w, i, nxt]
                        if m.presence[w, i] == PRESENT:
                            m.acceleration[w, i] = (row[3] - m.speed[w, i]) / dt
                            m.yaw_rate[w, i] = wrap(row[2] - m.heading[w, i]) / dt
                        m.x[w, i], m.y[w, i], m.heading[w, i], m.speed[w, i] = row[0], row[1], row[2], row[3]
                        m.vx[w, i], m.vy[w, i] = row[4], row[5]
                        m.presence[w, i] = PRESENT
                    else:
                        m.presence[w, i] = ABSENT
                elif who == TRAJECTORY:
                    if m.presence[w, i] == PRESENT:
                        v = pose[w, i, 3]
                        m.acceleration[w, i] = (v - m.speed[w, i]) / dt
                        m.x[w, i], m.y[w, i], m.heading[w, i] = pose[w, i, 0], pose[w, i, 1], pose[w, i, 2]
                        m.speed[w, i], m.yaw_rate[w, i] = v, pose[w, i, 4]
                        m.vx[w, i], m.vy[w, i] = v * math.cos(pose[w, i, 2]), v * math.sin(pose[w, i, 2])
                elif m.presence[w, i] == PRESENT:
                    a, rate = scratch[w, i, 0], scratch[w, i, 1]
                    v = m.speed[w, i]
                    if who != CONTROL:
                        a = max(a, -v / dt)  # traffic never rolls backwards
                    nx, ny, nh, nv, ns, yr = bicycle_step(
                        m.x[w, i], m.y[w, i], m.heading[w, i], v, m.steering[w, i], a, rate,
                        g.wheelbase[w, i], MAX_STEERING, dt,
                    )  # fmt: skip
                    m.x[w, i], m.y[w, i], m.heading[w, i] = nx, ny, wrap(nh)
                    m.speed[w, i], m.steering[w, i], m.yaw_rate[w, i] = nv, ns, yr
                    m.acceleration[w, i] = a
                    m.vx[w, i], m.vy[w, i] = nv * math.cos(nh), nv * math.sin(nh)
                    m.cooldown[w, i] = max(m.cooldown[w, i] - dt, ZERO)
                    path = m.path[w, i]
                    if path >= 0 and who != CONTROL:
                        m.station[w, i] += v * dt
                        first, last = p.start[path], p.start[path + 1] - 1
                        if m.station[w, i] > F(last - first) * p.step[path]:
                            m.presence[w, i] = GONE
                elif m.presence[w, i] == ABSENT and nxt < samples and g.log_valid[w, i, nxt] == 1:
                    row = g.log[w, i, nxt]
                    if (who == CONTROL) or not overlaps_any(w, i, row[0], row[1], row[2], m, g, count):
                        m.x[w, i], m.y[w, i], m.heading[w, i], m.speed[w, i] = row[0], row[1], row[2], row[3]
                        m.vx[w, i], m.vy[w, i] = row[4], row[5]
                        m.presence[w, i] = PRESENT
                        path = m.path[w, i]
                        if path >= 0:
                            first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
                            near, best = first, FREE_ROAD * FREE_ROAD
                            for k in range(first, last + 1):
                                dx, dy = row[0] - p.points[k, 0], row[1] - p.points[k, 1]
                                if dx * dx + dy * dy < best:
                                    best, near = dx * dx + dy * dy, k
                            s, d, _ = project(p.points, first, last, step, row[0], row[1], near)
                            m.station[w, i], m.offset[w, i] = s, d
            m.sample[w] = nxt
        collide(w, m, g, count)


@scalar
def collide(w, m, g, count):
    """Mark everyone whose box overlaps another's."""
    for i in range(count):
        m.collided[w, i] = 0
    for i in range(count):
        if m.presence[w, i] != PRESENT:
            continue
        ci, si = math.cos(m.heading[w, i]), math.sin(m.heading[w, i])
        xi, yi = m.x[w, i] + g.rear_to_center[w, i] * ci, m.y[w, i] + g.rear_to_center[w, i] * si
        hl, hw = HALF * g.length[w, i], HALF * g.width[w, i]
        for j in range(i + 1, count):
            if m.presence[w, j] != PRESENT:
                continue
            reach = hl + hw + HALF * (g.length[w, j] + g.width[w, j])
            rx, ry = m.x[w, j] - xi, m.y[w, j] - yi
            if abs(rx) > reach + g.length[w, j] or abs(ry) > reach + g.length[w, j]:
                continue
            cj, sj = math.cos(m.heading[w, j]), math.sin(m.heading[w, j])
            dx, dy = rx + g.rear_to_center[w, j] * cj, ry + g.rear_to_center[w, j] * sj
            if (
                boxes_apart(dx, dy, ci, si, hl, hw, cj, sj, HALF * g.length[w, j], HALF * g.width[w, j])
                <= ZERO
            ):
                m.collided[w, i] = 1
                m.collided[w, j] = 1
