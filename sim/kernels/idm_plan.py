"""IDM along one path for one agent: the leader now, then the motion over the horizon."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel
from drive.sim.kernels.follow import (
    STOP_LINE_GAP,
    bend_speed,
    find_leader,
    place_boxes,
    project,
    red_light_gap,
    row_at,
)
from drive.sim.kernels.layout import FREE_ROAD
from drive.sim.kernels.scalar import HALF, ZERO, F, idm_acceleration


@kernel
def idm_plan_kernel(
    points, step, stop, next_stop, signals, driver, dt, reach, anticipate,
    x, y, heading, speed, presence, length, width, rear, boxes, out, figures,
):  # fmt: skip
    """Roll agent 0 out along a path whose leader keeps its speed.

    `points (N, 5)`, `stop`, `next_stop (N,)` as in `layout.Paths`; `signals (1, S, 1)`; `driver (7,)`;
    agents as arrays `(1, A)`: rear-axle positions of agent 0, and of all others with `rear (1, A)`.
    Writes `out (T, 6)`: station, speed, acceleration, and the path's x, y, heading there; and
    `figures`: offset, gap, leader's speed, leader's row (-1 none), gap to a stop line.
    """
    last = points.shape[0] - 1
    near, best = 0, FREE_ROAD * FREE_ROAD
    for k in range(last + 1):
        dx, dy = x[0, 0] - points[k, 0], y[0, 0] - points[k, 1]
        turn = math.cos(points[k, 2] - heading[0, 0])
        cost = dx * dx + dy * dy + (ZERO if turn > ZERO else F(400.0))
        if cost < best:
            best, near = cost, k
    s, d, k = project(points, 0, last, step, x[0, 0], y[0, 0], near)
    v = max(speed[0, 0], ZERO)
    count = x.shape[1]
    place_boxes(0, x, y, heading, rear, presence, boxes, count)
    lead, gap, lead_speed = find_leader(
        0, 0, s, 0, last, step, points, reach, anticipate,
        x, y, heading, speed, presence, length, width, rear, boxes, count,
    )  # fmt: skip
    front = s + rear[0, 0] + HALF * length[0, 0]
    red = red_light_gap(0, 0, s, front, v, 0, last, step, stop, next_stop, signals, reach)
    road_end = F(last) * step - front
    figures[0], figures[1], figures[2], figures[3], figures[4] = d, gap, lead_speed, F(lead), red
    s0, t = s, ZERO
    for n in range(out.shape[0]):
        row = row_at(s, 0, last, step)
        along = s - F(row) * step
        out[n, 0], out[n, 1] = s, v
        out[n, 3] = points[row, 0] + along * math.cos(points[row, 2])
        out[n, 4] = points[row, 1] + along * math.sin(points[row, 2])
        out[n, 5] = points[row, 2] + along * points[row, 3]
        target = max(min(bend_speed(points, row, last, step, v), driver[0]), F(0.1))
        moved = s - s0
        a = idm_acceleration(
            v,
            lead_speed,
            gap + lead_speed * t - moved,
            target,
            driver[1],
            driver[2],
            driver[3],
            driver[4],
            driver[5],
        )
        held = min(red, road_end) - moved - STOP_LINE_GAP
        if held < reach:
            a = min(
                a,
                idm_acceleration(
                    v, ZERO, held, target, driver[1], driver[2], driver[3], driver[4], driver[5]
                ),
            )
        a = min(max(a, -F(6.0)), driver[3])
        a = max(a, -v / dt)
        out[n, 2] = a
        s += max(v + HALF * a * dt, ZERO) * dt
        v = max(v + a * dt, ZERO)
        t += dt
