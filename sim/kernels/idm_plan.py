"""IDM along one path for one agent: the leader now, then the motion over the horizon."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel
from drive.sim.kernels.follow import (
    STOP_LINE_GAP,
    find_leader,
    project,
    red_light_gap,
    row_at,
)
from drive.sim.kernels.layout import FREE_ROAD
from drive.sim.kernels.scalar import HALF, ZERO, F, idm_acceleration
from drive.sim.kernels.survey import COS, HALF_LENGTH, SIN


@kernel
def idm_plan_kernel(
    rows, step, stop, next_stop, signals, driver, dt, reach, anticipate, ego, crowd, count, out, figures
):
    """Roll agent 0 out along a path whose leader keeps its speed.

    `rows (N, 8)`, `stop`, `next_stop (N,)` as in `layout.Paths`; `signals (1, S, 1)`; `driver (7,)`; `ego
    (5,)`: x, y, heading, speed and rear-to-centre of agent 0; `crowd` of `count` as in `survey`.
    Writes `out (T, 6)`: station, speed, acceleration, and the path's x, y, heading there; and
    `figures`: offset, gap, leader's speed, leader's row (-1 none), gap to a stop line.
    """
    last = rows.shape[0] - 1
    x, y, rear = ego[0], ego[1], ego[4]
    near, best = 0, FREE_ROAD * FREE_ROAD
    for k in range(last + 1):
        dx, dy = x - rows[k, 0], y - rows[k, 1]
        against = rows[k, 2] * crowd[COS, 0] + rows[k, 3] * crowd[SIN, 0] <= ZERO
        cost = dx * dx + dy * dy + (F(400.0) if against else ZERO)
        if cost < best:
            best, near = cost, k
    s, d, k = project(rows, 0, last, step, x, y, near)
    v = max(ego[3], ZERO)
    lead, gap, lead_speed = find_leader(
        0, s, rear, x, y, reach, 0, last, step, rows, anticipate, crowd, count
    )
    front = s + rear + crowd[HALF_LENGTH, 0]
    red = red_light_gap(0, 0, s, front, v, 0, last, step, stop, next_stop, signals, reach)
    road_end = F(last) * step - front
    figures[0], figures[1], figures[2], figures[3], figures[4] = d, gap, lead_speed, F(lead), red
    s0, t = s, ZERO
    for n in range(out.shape[0]):
        row = row_at(s, 0, last, step)
        along = s - F(row) * step
        out[n, 0], out[n, 1] = s, v
        out[n, 3] = rows[row, 0] + along * rows[row, 2]
        out[n, 4] = rows[row, 1] + along * rows[row, 3]
        out[n, 5] = math.atan2(rows[row, 3], rows[row, 2]) + along * rows[row, 4]
        target = max(min(rows[row, 5], driver[0]), F(0.1))
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
