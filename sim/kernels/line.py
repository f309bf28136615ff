"""The reference line as an even table: positions and headings interpolated linearly, feet found by Newton.

Frenet states are (s, s', s'', d, d', d'') in time. With the frame's heading psi_r, curvature k and
q = 1 - k d: s' = v cos(th) / q, d' = v sin(th), th = psi - psi_r; the second derivatives follow by the
product rule (Werling, Ziegler, Kammel, Thrun 2010, written in time).
"""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import F, in_area

(
    X, Y, HEADING, CURVATURE, DCURVATURE, LIMIT, LEFT, RIGHT, EDGE_LEFT, EDGE_RIGHT, LANE_LEFT, LANE_RIGHT,
    COSINE, SINE, NUM_COLUMNS,
) = range(15)  # fmt: skip
"""Columns of a frame's table; see `drive.sim.road.frame.RoadFrame`."""
FEWEST_Q = 0.1
NEAR = 1e-6
"""m from a foot at which one more step of Newton's method, whose error is of second order, ends a search."""
SMALL_ANGLE = 0.2
"""rad up to which the series of sine and cosine, cut off after the tenth power, are exact to 1e-16."""
STANDING = 0.05
"""m/s under which a heading is not to be had from a motion."""
MARCH = 0.25
"""m between the points at which the edge of the drivable area is looked for."""
REFINED = 8
"""Halvings of that step, where the edge is wanted to a millimetre."""


@scalar
def place_on(rows, step, s):
    """The table's row before a station and the share of the way to the next, beyond [0, 1] off its ends."""
    n = rows.shape[0]
    k = min(max(math.floor(s / step), 0), n - 2)
    return k, s / step - k


@scalar
def wrapped(angle):
    """The angle in (-pi, pi]."""
    if -math.pi < angle <= math.pi:
        return angle
    angle = math.pi - (math.pi - angle) % (2.0 * math.pi)
    return angle if angle > -math.pi else math.pi


@scalar
def turned(c, s, angle):
    """The direction (c, s) turned by an angle; where it is small by sums that are exact to rounding."""
    if abs(angle) > SMALL_ANGLE:
        ca, sa = math.cos(angle), math.sin(angle)
    else:
        q = angle * angle
        sa = angle * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0))))
        ca = 1.0 - q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0 * (1.0 - q / 56.0 * (1.0 - q / 90.0))))
    return c * ca - s * sa, s * ca + c * sa


@scalar
def at(rows, step, s, column):
    """A column of the table at a station, held at its ends."""
    k, u = place_on(rows, step, s)
    u = min(max(u, 0.0), 1.0)
    return rows[k, column] + u * (rows[k + 1, column] - rows[k, column])


@scalar
def point_at(rows, step, s):
    """Position and heading (x, y, psi) of the line at a station; prolonged straight beyond its ends."""
    k, u = place_on(rows, step, s)
    inside = min(max(u, 0.0), 1.0)
    heading = rows[k, HEADING] + inside * (rows[k + 1, HEADING] - rows[k, HEADING])
    x = rows[k, X] + inside * (rows[k + 1, X] - rows[k, X])
    y = rows[k, Y] + inside * (rows[k + 1, Y] - rows[k, Y])
    over = (u - inside) * step
    return x + over * math.cos(heading), y + over * math.sin(heading), heading


@scalar
def tangent_at(rows, step, s):
    """Position and direction (x, y, cos psi, sin psi) of the line at a station, and its curvature.

    Beyond its ends the line is straight.
    """
    k, u = place_on(rows, step, s)
    inside = min(max(u, 0.0), 1.0)
    turn = inside * (rows[k + 1, HEADING] - rows[k, HEADING])
    c, sn = turned(rows[k, COSINE], rows[k, SINE], turn)
    x = rows[k, X] + inside * (rows[k + 1, X] - rows[k, X])
    y = rows[k, Y] + inside * (rows[k + 1, Y] - rows[k, Y])
    curvature = rows[k, CURVATURE] + inside * (rows[k + 1, CURVATURE] - rows[k, CURVATURE])
    over = (u - inside) * step
    return x + over * c, y + over * sn, c, sn, curvature if over == 0.0 else 0.0


@scalar
def locate(rows, step, x, y, guess):
    """Station and offset of a point, searched downhill from the station `guess`, then by Newton's method."""
    n = rows.shape[0]
    k = min(max(int(guess / step), 0), n - 1)
    best = (rows[k, X] - x) ** 2 + (rows[k, Y] - y) ** 2
    while k < n - 1:
        trial = (rows[k + 1, X] - x) ** 2 + (rows[k + 1, Y] - y) ** 2
        if trial >= best:
            break
        best, k = trial, k + 1
    while k > 0:
        trial = (rows[k - 1, X] - x) ** 2 + (rows[k - 1, Y] - y) ** 2
        if trial >= best:
            break
        best, k = trial, k - 1
    s = k * step
    px, py, c, sn, curvature = tangent_at(rows, step, s)
    for _ in range(8):
        along, d = (x - px) * c + (y - py) * sn, (y - py) * c - (x - px) * sn
        forward = along / max(1.0 - curvature * d, FEWEST_Q)
        s += min(max(forward, -4.0 * step), 4.0 * step)
        if abs(along) < NEAR:
            break
        px, py, c, sn, curvature = tangent_at(rows, step, s)
    return s, (y - py) * c - (x - px) * sn


@kernel
def locate_all(rows, step, points, guess, out):
    """Stations and offsets `out (N, 2)` of `points (N, >= 2)`, each search from where the last one ended."""
    s = guess
    for i in range(points.shape[0]):
        s, out[i, 1] = locate(rows, step, points[i, 0], points[i, 1], s)
        out[i, 0] = s


@kernel
def nearest_row(rows, x, y):
    """The row of the table nearest to a point, by looking at all."""
    best, found = 1e300, 0
    for k in range(rows.shape[0]):
        gap = (rows[k, X] - x) ** 2 + (rows[k, Y] - y) ** 2
        if gap < best:
            best, found = gap, k
    return found


@kernel
def frenet_state(rows, step, ego, guess, out):
    """The Frenet state `out (6,)` of a rear-axle state `(7,)`: s, s', s'', d, d', d''."""
    s, d = locate(rows, step, ego[0], ego[1], guess)
    _, _, heading = point_at(rows, step, s)
    k, dk = at(rows, step, s, CURVATURE), at(rows, step, s, DCURVATURE)
    q = max(1.0 - k * d, FEWEST_Q)
    th, v, a = ego[2] - heading, ego[3], ego[4]
    c, sn = math.cos(th), math.sin(th)
    s1, d1 = v * c / q, v * sn
    turn = ego[6] - k * s1
    dq = -(dk * s1 * d + k * d1)
    out[0], out[1], out[2] = s, s1, (a * c - v * sn * turn - s1 * dq) / q
    out[3], out[4], out[5] = d, d1, a * sn + v * c * turn


@kernel
def world_states(rows, step, frenet, wheelbase, heading, shift_x, shift_y, out):
    """Rear-axle states `out (N, 7)` of Frenet states `(N, 6)`; who stands keeps the heading it had.

    `heading` in rad is that of who stands from the start; headings are wrapped to (-pi, pi]. The table's
    origin is at `shift_*`.
    """
    psi = heading
    for i in range(frenet.shape[0]):
        s, s1, s2 = frenet[i, 0], frenet[i, 1], frenet[i, 2]
        d, d1, d2 = frenet[i, 3], frenet[i, 4], frenet[i, 5]
        x, y, h = point_at(rows, step, s)
        k, dk = at(rows, step, s, CURVATURE), at(rows, step, s, DCURVATURE)
        q = max(1.0 - k * d, FEWEST_Q)
        along = q * s1
        change = q * s2 - (dk * s1 * d + k * d1) * s1
        v = math.sqrt(along * along + d1 * d1)
        a, turn = change, 0.0
        if v > STANDING:
            psi = h + math.atan2(d1, along)
            a = (along * change + d1 * d2) / v
            turn = k * s1 + (along * d2 - d1 * change) / (v * v)
        out[i, 0], out[i, 1] = x - d * math.sin(h) + shift_x, y + d * math.cos(h) + shift_y
        out[i, 2], out[i, 3], out[i, 4] = wrapped(psi), v, a
        out[i, 5] = math.atan(wheelbase * turn / v) if v > STANDING else 0.0
        out[i, 6] = turn


@kernel
def march_to_edge(rows, every, far, shift_x, shift_y, cell, state, start, triangles, corners, out):
    """Room `out (N, 2)` in m to the left and to the right of every `every`th row before the area ends.

    The area is that of `drive.roadmap.drivable.DrivableArea`, its corner at `shift_*` in the frame's
    coordinates; nothing is looked for beyond `far` m.
    """
    for n in range(out.shape[0]):
        k = min(n * every, rows.shape[0] - 1)
        nx, ny = -math.sin(rows[k, HEADING]), math.cos(rows[k, HEADING])
        for side in range(2):
            sign, gap = 1.0 - 2.0 * side, 0.0
            while gap < far:
                x, y = F(rows[k, X] + sign * gap * nx), F(rows[k, Y] + sign * gap * ny)
                if not in_area(x, y, F(shift_x), F(shift_y), F(cell), state, start, triangles, corners):
                    break
                gap += MARCH
            out[n, side] = max(gap - MARCH, 0.0)


@kernel
def refine_to_edge(rows, every, far, shift_x, shift_y, cell, state, start, triangles, corners, out):
    """Replace the rooms `out (N, 2)` of `march_to_edge`, that lie up to a step short, by exact ones."""
    for n in range(out.shape[0]):
        k = min(n * every, rows.shape[0] - 1)
        nx, ny = -math.sin(rows[k, HEADING]), math.cos(rows[k, HEADING])
        for side in range(2):
            sign, low = 1.0 - 2.0 * side, out[n, side]
            high = min(low + MARCH, far)
            # The line itself may be off the area, and there may be no edge up to `far`.
            for trial in range(-2, REFINED):
                gap = 0.5 * (low + high)
                if trial < 0:
                    gap = low if trial == -2 else high
                x, y = F(rows[k, X] + sign * gap * nx), F(rows[k, Y] + sign * gap * ny)
                if in_area(x, y, F(shift_x), F(shift_y), F(cell), state, start, triangles, corners):
                    low = gap
                else:
                    high = gap
                if low >= high:
                    break
            out[n, side] = low
