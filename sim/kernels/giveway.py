"""Give-way lines: who stands before one lets those go first whose way has none."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import routine, scalar
from drive.sim.kernels.follow import row_at
from drive.sim.kernels.layout import FREE_ROAD, PRESENT
from drive.sim.kernels.scalar import HALF, ONE, TWO, ZERO, F
from drive.sim.kernels.survey import CORRIDOR_MARGIN, CX, CY

LINE_REACH = F(30.0)  # m before its line from which on a driver minds who goes first
LOOK_ON = F(30.0)  # m beyond the line on which ways may meet
NEAR_LINE = F(80.0)  # m from the line within which others are minded
LOOK_AHEAD = 24  # quarters of a second for which others are expected on their paths
COMMITTED = F(4.0)  # m/s^2: who could stop only with more drives on
START = F(1.5)  # m/s^2 at which a driver expects to pick up speed
TURN_SPEED = F(6.0)  # m/s that it expects to reach in the turn
ROLLING = F(2.0)  # m/s that is expected of who stands: it may start
HEADROOM = F(1.0)  # s between its passing a place and another's


@scalar
def passing_time(distance, speed):
    """Seconds to a place `distance` m ahead for who picks up speed from `speed`, as a driver expects it."""
    if distance <= ZERO:
        return ZERO
    top = max(speed, TURN_SPEED)
    run = (top * top - speed * speed) / (TWO * START)
    if distance <= run:
        return (math.sqrt(speed * speed + TWO * START * distance) - speed) / START
    return (top - speed) / START + (distance - run) / top


@routine
def give_way_gap(w, i, path, station, m, g, p, crowd, count):
    """Distance from the front bumper of agent `i` to a give-way line at which it has to wait, or a free road.

    It waits for whoever is on a path without such a line ahead, and would be at a place of its way beyond the
    line less than `HEADROOM` before or after it. Others keep their speed, or roll on.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
    line = p.give_way[row_at(max(front - ONE, ZERO), first, last, step)]
    if line < 0:
        return FREE_ROAD
    gap, v = F(line - first) * step - front, m.speed[w, i]
    if gap > LINE_REACH or v * v > TWO * COMMITTED * max(gap, HALF):
        return FREE_ROAD
    end = min(line + int(LOOK_ON / step), last)
    for j in range(count):
        theirs = m.path[w, j]
        if j == i or m.presence[w, j] != PRESENT or theirs < 0:
            continue
        dx, dy = crowd[CX, j] - p.rows[line, 0], crowd[CY, j] - p.rows[line, 1]
        if dx * dx + dy * dy > NEAR_LINE * NEAR_LINE:
            continue
        f2, l2, st2 = p.start[theirs], p.start[theirs + 1] - 1, p.step[theirs]
        centre, u = m.station[w, j] + g.rear_to_center[w, j], max(m.speed[w, j], ROLLING)
        nose = centre + HALF * g.length[w, j]
        other = p.give_way[row_at(max(nose - ONE, ZERO), f2, l2, st2)]
        if other >= 0 and F(other - f2) * st2 - nose < LINE_REACH:
            continue
        wide = HALF * (g.width[w, i] + g.width[w, j]) + CORRIDOR_MARGIN
        spell = HALF * g.length[w, j] / u + HEADROOM
        for n in range(LOOK_AHEAD + 1):
            t = F(0.25) * F(n)
            q = row_at(centre + u * t, f2, l2, st2)
            if q == l2:
                break
            for k in range(line, end + 1, 2):
                dx, dy = p.rows[q, 0] - p.rows[k, 0], p.rows[q, 1] - p.rows[k, 1]
                if dx * dx + dy * dy > wide * wide:
                    continue
                way = F(k - first) * step - front
                if t + spell > passing_time(way, v) and t - spell < passing_time(way + g.length[w, i], v):
                    return max(gap, ZERO)
    return FREE_ROAD
