"""How agents move, one at a time: replayed, posed, driven as bicycles; who enters a scene."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import routine, scalar
from drive.sim.kernels.follow import MAX_STEERING, project, row_at
from drive.sim.kernels.layout import ABSENT, FREE_ROAD, GONE, PRESENT
from drive.sim.kernels.scalar import HALF, ZERO, F, bicycle_move, boxes_apart, sin_cos, wrap
from drive.sim.kernels.survey import COS, SIN

LOG, IDM, MOBIL, CONTROL, TRAJECTORY = 0, 1, 2, 3, 4
COOLDOWN = F(4.0)  # s between two lane changes of one driver


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
def driven(x, y, heading, speed, steering, c, sn, acceleration, steering_rate, wheelbase, on_path, dt):
    """A bicycle after one step: x, y, heading (not wrapped), speed, steering, acceleration, yaw rate.

    `c`, `sn` of its heading before. Traffic never rolls backwards.
    """
    a = max(acceleration, -speed / dt) if on_path else acceleration
    sine, cosine = sin_cos(steering)
    x, y, h, v, angle = bicycle_move(
        x, y, heading, speed, steering, c, sn, sine / cosine, a, steering_rate, wheelbase, MAX_STEERING, dt
    )
    sine, cosine = sin_cos(angle)
    return x, y, h, v, angle, a, v * sine / (cosine * wheelbase)


@scalar
def move(w, i, acceleration, steering_rate, on_path, m, g, p, crowd, dt):
    """Drive a bicycle for one step; traffic is gone at its path's end."""
    v = m.speed[w, i]
    x, y, h, nv, steering, a, yaw_rate = driven(
        m.x[w, i], m.y[w, i], m.heading[w, i], v, m.steering[w, i], crowd[COS, i], crowd[SIN, i],
        acceleration, steering_rate, g.wheelbase[w, i], on_path, dt,
    )  # fmt: skip
    h = wrap(h)
    m.x[w, i], m.y[w, i], m.heading[w, i] = x, y, h
    m.speed[w, i], m.steering[w, i], m.acceleration[w, i], m.yaw_rate[w, i] = nv, steering, a, yaw_rate
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
