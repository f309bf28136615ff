"""What a particle costs: comfort, offset, speed, the integral of the field, and graded violations.

Spec of the terms: J = w_j int(s'''^2 + d'''^2) + w_d int(d - d*)^2 + w_v int(s' - v*)^2 + w_U int U
+ w_c |p - p_prev|^2 + w_hard violation. A violation is graded by how far a limit is exceeded, so that the
swarm feels a slope; nothing that the field could outbid.
"""

from __future__ import annotations

import math

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.base import kernel
from drive.planners.field.kernels.curves import (
    MIN_Q,
    across,
    along,
    between,
    in_plane,
    place,
    quartic,
    quintic,
)
from drive.planners.field.kernels.field import attraction, repulsion
from drive.sim.kernels.compile import scalar
from drive.sim.kernels.scalar import boxes_apart

CONTACT = 0.1
"""m between two boxes that count as a contact: a tracker keeps to a plan no better."""
NEAR_D = 0.35
"""Of the time ahead, how much less a violation weighs at its end: forecasts are worth less by then."""


@scalar
def lateral_lengths(p, start, c3, c4, setting):
    """Way (to the end offset, to the offset in between) driven in a particle's lateral times, m."""
    end, _, _, _ = along(p[la.T_LAT], start[1], start[2], c3, c4, p[la.V_END], p[la.T_LON])
    via, _, _, _ = along(p[la.T_VIA], start[1], start[2], c3, c4, p[la.V_END], p[la.T_LON])
    return max(end, setting[la.MIN_LENGTH]), max(via, 0.5 * setting[la.MIN_LENGTH])


@scalar
def judge(p, start, road, others, body, stops, pace, last, setting, bound, stride, report):
    """The cost of a particle; gives up where it passes `bound`, for no later term is negative.

    `others (K, M, OTHER)` of which every `stride`th sample counts; `stops (Q,)` stations that the front
    bumper must not pass; `pace (K,)` the speeds of `paced`; `last (6,)` the particle of the last plan, NaN
    for none. `report (6,)`: worst violations by kind (contact in m, road's edge in m, acceleration,
    curvature, stop in m) and the time of the first contact in s.
    """
    rows, samples, count = len(road), len(others), len(body)
    step = setting[la.ROAD_STEP]
    h = setting[la.DT] * stride
    s0, v0, a0 = start[0], start[1], start[2]
    v_end, t_lon = p[la.V_END], p[la.T_LON]
    c3, c4 = quartic(v0, a0, v_end, t_lon)
    length, via = lateral_lengths(p, start, c3, c4, setting)
    has_via = setting[la.VIA] != 0.0
    first_end = p[la.D_VIA] if has_via else p[la.D_END]
    first_length = via if has_via else length
    l3, l4, l5 = quintic(start[3], start[4], start[5], first_end, first_length)
    b3, b4, b5 = quintic(first_end, 0.0, 0.0, p[la.D_END], length)
    half_l, half_w, centre = setting[la.EGO_HALF_LENGTH], setting[la.EGO_HALF_WIDTH], setting[la.EGO_CENTRE]
    nose, tail = centre + half_l, half_l - centre
    reach = math.sqrt(half_l * half_l + half_w * half_w)
    for i in range(6):
        report[i] = 0.0
    report[5] = 1e9

    total = 0.0
    if not math.isnan(last[0]):
        a = p[la.D_END] - last[la.D_END]
        b = (p[la.V_END] - last[la.V_END]) * 0.2
        c = (p[la.T_LAT] - last[la.T_LAT]) * 0.25
        e = (p[la.T_LON] - last[la.T_LON]) * 0.25
        total += setting[la.W_CHANGE] * (a * a + b * b + c * c + e * e)
    v, x, d, d1 = v0, 0.0, start[3], start[4]
    s = s0
    faded = 1.0
    k = stride - 1
    while k < samples:
        t = setting[la.DT] * (k + 1)
        faded = 1.0 - NEAR_D * t / (setting[la.DT] * samples)
        x, v, a, j = along(t, v0, a0, c3, c4, v_end, t_lon)
        hard = 0.0
        if v < 0.0:
            hard += -v
        s = s0 + x
        y = max(x, 0.0)
        if has_via and y > first_length:
            d, d1, d2, d3 = across(y - first_length, first_end, 0.0, 0.0, b3, b4, b5, p[la.D_END], length)
        else:
            d, d1, d2, d3 = across(y, start[3], start[4], start[5], l3, l4, l5, first_end, first_length)
        i, part = place(s, step, rows)
        kappa, dkappa = between(road, i, part, la.KAPPA), between(road, i, part, la.DKAPPA)
        wish, aim = between(road, i, part, la.WISH), between(road, i, part, la.AIM)
        if 1.0 - kappa * d < MIN_Q:
            hard += MIN_Q - (1.0 - kappa * d)
        q, norm, bend, speed, push = in_plane(kappa, dkappa, d, d1, d2, v, a)
        side = speed * speed * bend

        # Comfort, offset, speed.
        lateral_jerk = v * v * v * d3 + 3.0 * v * a * d2
        run = setting[la.W_JERK] * (j * j + lateral_jerk * lateral_jerk)
        # Trackers follow a steering angle late: the faster it has to turn, the farther they swing out.
        steer = v * (d3 + dkappa)
        run += setting[la.W_STEER] * steer * steer
        over = max(abs(side) - setting[la.LATERAL_SOFT], 0.0)
        soft = max(-push - setting[la.BRAKE_SOFT], 0.0)
        run += setting[la.W_COMFORT] * (over * over + soft * soft)
        miss = d - aim
        run += setting[la.W_OFFSET] * miss * miss
        slow = v - pace[k]
        run += setting[la.W_SPEED] * slow * slow
        over = v - wish - 0.2
        if over > 0.0:
            run += 20.0 * setting[la.W_SPEED] * over * over

        # Limits of the vehicle, each as a share of itself.
        worst = max(push / setting[la.ACCEL_MAX] - 1.0, -push / setting[la.BRAKE_MAX] - 1.0)
        worst = max(worst, abs(side) / setting[la.LATERAL_MAX] - 1.0)
        if worst > 0.0:
            hard += worst
            report[2] = max(report[2], worst)
        worst = abs(bend) / setting[la.CURVATURE_MAX] - 1.0
        if worst > 0.0:
            hard += worst
            report[3] = max(report[3], worst)

        # The whole vehicle between the edges, at nose and tail; a straight box leaves a bent road.
        sine, cosine = d1 / norm, q / norm
        width = half_w * cosine
        i2, part2 = place(s + nose, step, rows)
        # The road's bend between axle and nose weighs most near the axle: a third of the way ahead.
        i3, part3 = place(s + nose / 3.0, step, rows)
        front = d + nose * sine - 0.5 * between(road, i3, part3, la.KAPPA) * nose * nose
        rear = d - tail * sine - 0.5 * kappa * tail * tail
        left, right = between(road, i, part, la.LEFT), between(road, i, part, la.RIGHT)
        out = max(front + width - between(road, i2, part2, la.EDGE_LEFT), 0.0)
        out = max(out, between(road, i2, part2, la.EDGE_RIGHT) - front + width)
        out = max(out, rear + width - between(road, i, part, la.EDGE_LEFT))
        out = max(out, between(road, i, part, la.EDGE_RIGHT) - rear + width)
        if out > 0.0:
            hard += 0.5 * out
            report[1] = max(report[1], out)
        for n in range(len(stops)):
            past = s + nose - stops[n]
            if past > 0.0:
                hard += min(0.2 * past, 4.0)
                report[4] = max(report[4], past)

        # The field, and boxes.
        u = attraction(d, aim, left, right, setting)
        rc, rs = between(road, i, part, la.RCOS), between(road, i, part, la.RSIN)
        cos, sin = rc * cosine - rs * sine, rs * cosine + rc * sine
        px = between(road, i, part, la.RX) - d * rs + centre * cos
        py = between(road, i, part, la.RY) + d * rc + centre * sin
        for m in range(count):
            dx, dy = others[k, m, la.OX] - px, others[k, m, la.OY] - py
            gap2 = dx * dx + dy * dy
            u += repulsion(
                s + centre - others[k, m, la.OS], d + centre * sine - others[k, m, la.OD], v,
                v - others[k, m, la.OVS], others[k, m, la.OANGLE], body[m, la.HALF_LENGTH],
                body[m, la.HALF_WIDTH], body[m, la.STRENGTH], setting,
            )  # fmt: skip
            far = reach + body[m, la.REACH] + body[m, la.SOFT]
            if gap2 < far * far:
                apart = boxes_apart(
                    dx, dy, cos, sin, half_l, half_w, others[k, m, la.OCOS], others[k, m, la.OSIN],
                    body[m, la.HALF_LENGTH], body[m, la.HALF_WIDTH],
                )  # fmt: skip
                if apart < body[m, la.SOFT]:
                    lack = 1.0 - apart / body[m, la.SOFT]
                    run += 15.0 * lack * lack * (1.0 + 0.3 * v)
                    if apart <= CONTACT:
                        # Who stands still cannot help being met.
                        hard += (1.0 - apart) * min(0.2 + v, 1.0) * faded
                        report[0] = max(report[0], CONTACT - apart)
                        report[5] = min(report[5], t)
        total += h * (run + setting[la.W_FIELD] * u + setting[la.W_HARD] * hard)
        if total > bound:
            return total
        k += stride

    # What comes right after the horizon: the ego can still stop behind who is ahead, and before lines.
    room = 1e9
    for n in range(len(stops)):
        room = min(room, stops[n] - s - nose)
    for m in range(count):
        k = samples - 1
        beside = abs(d + nose * d1 - others[k, m, la.OD])
        if beside < half_w + body[m, la.HALF_WIDTH] + 0.2 and others[k, m, la.OS] > s + centre:
            back = max(others[k, m, la.OVS], 0.0)
            gap = others[k, m, la.OS] - body[m, la.HALF_LENGTH] - s - nose - setting[la.MIN_GAP]
            room = min(room, gap + 0.5 * back * back / setting[la.BRAKE_LEAD])
    lack = 0.5 * v * v / setting[la.BRAKE_SOFT] - room
    if lack > 0.0 and v > 0.1:
        total += setting[la.W_HARD] * h * faded * min(0.1 * lack, 3.0)
    return total


@kernel
def paced(start, road, setting, pace):
    """v* of each sample: speeds `pace (K,)` of who drives at the wished speeds and comfortably reaches them.

    It does not depend on where a particle is by then: else who crawls would fear the faster road ahead.
    """
    s, v = start[0], max(start[1], 1.0)
    for k in range(len(pace)):
        i, part = place(s, setting[la.ROAD_STEP], len(road))
        v = min(v + setting[la.ACCEL_WISH] * setting[la.DT], between(road, i, part, la.WISH))
        s += v * setting[la.DT]
        pace[k] = v


@kernel
def cost_of(particles, start, road, others, body, stops, pace, last, setting, stride, costs, reports):
    """Costs `(N,)` and reports `(N, 6)` of `particles (N, 6)`."""
    for n in range(len(particles)):
        costs[n] = judge(
            particles[n], start, road, others, body, stops, pace, last, setting, 1e300, stride, reports[n]
        )


@kernel
def follow(p, start, setting, dt, out):
    """The motion of a particle: `out (N, 6)` of s, s', s'', d, dd/ds, d2d/ds2 every `dt` s, beginning now."""
    c3, c4 = quartic(start[1], start[2], p[la.V_END], p[la.T_LON])
    length, via = lateral_lengths(p, start, c3, c4, setting)
    has_via = setting[la.VIA] != 0.0
    first_end = p[la.D_VIA] if has_via else p[la.D_END]
    first_length = via if has_via else length
    l3, l4, l5 = quintic(start[3], start[4], start[5], first_end, first_length)
    b3, b4, b5 = quintic(first_end, 0.0, 0.0, p[la.D_END], length)
    reached = 0.0
    for k in range(len(out)):
        x, v, a, _ = along(k * dt, start[1], start[2], c3, c4, p[la.V_END], p[la.T_LON])
        if x < reached or v < 0.0:
            # A speed profile that would turn back stands instead.
            x, v, a = max(x, reached), 0.0, 0.0
        reached = x
        if has_via and x > first_length:
            d, d1, d2, _ = across(x - first_length, first_end, 0.0, 0.0, b3, b4, b5, p[la.D_END], length)
        else:
            d, d1, d2, _ = across(x, start[3], start[4], start[5], l3, l4, l5, first_end, first_length)
        out[k, 0], out[k, 1], out[k, 2] = start[0] + x, v, a
        out[k, 3], out[k, 4], out[k, 5] = d, d1, d2
