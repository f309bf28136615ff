"""The risk field U = U_a + U_b + U_c in the frame of the road, and its change in time.

Its parts are told by third parties who read Li, Tian, Wang, Yang, Lin, "dynamic risk field" (arXiv
2504.14747); form and constants are reconstructed. U_a pulls to the lane and repels from the road's edges,
U_b repels from other road users, U_c says how much room a lane lacks for who would change to it.
"""

from __future__ import annotations

import math

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.base import kernel
from drive.planners.field.kernels.curves import between, place
from drive.sim.kernels.compile import scalar

FAR = 18.0
"""Where the quadratic form is larger, exp(-form / 2) is below 1.3e-4 and is not computed."""
ONE_DEGREE = math.pi / 180.0


@scalar
def attraction(d, aim, left, right, setting):
    """U_a: pull to the offset `aim`, and a soft edge; the room runs from `right` to `left`, m."""
    miss = (d - aim) / setting[la.LANE_WIDTH]
    middle, half = 0.5 * (left + right), 0.5 * (left - right)
    # Beyond the edge the exponential is held: there the hard bounds take over.
    over = min((abs(d - middle) - half + setting[la.EGO_HALF_WIDTH]) / setting[la.EDGE_LENGTH], 3.0)
    edge = math.exp(over) if over > -8.0 else 0.0
    return setting[la.K_LANE] * miss * miss + setting[la.K_EDGE] * edge


@scalar
def alignment(angle, setting):
    """A(theta) of U_b: 1 along the road, to and fro, falling for headings across; `LITERAL`: as published.

    The published dtheta / (theta_front - theta_ego) is singular where both drive along the road, and
    changes its sign with the side; its size is taken there, floored at one degree.
    """
    zero = setting[la.ANGLE_ZERO]
    if setting[la.LITERAL] != 0.0:
        return zero / max(abs(angle), ONE_DEGREE)
    # Who comes the other way is along the road as well.
    turn = min(abs(angle), math.pi - abs(angle))
    return zero / math.sqrt(turn * turn + zero * zero)


@scalar
def spread(ds, speed, closing, half_width, setting):
    """(sigma_s, sigma_d) of U_b: longer for who closes in, wider for who is fast or passes slower traffic."""
    nearing = max(closing if ds < 0.0 else -closing, 0.0)
    sigma_s = setting[la.SIGMA_ZERO] + setting[la.SIGMA_CLOSING] * nearing
    if ds < 0.0:
        sigma_s += setting[la.SIGMA_SPEED] * speed
    sigma_d = setting[la.SIGMA_SIDE] * (setting[la.EGO_HALF_WIDTH] + half_width)
    # Somebody with 1 m/s or more in the ego's direction may come over; who stands or comes towards it, not.
    if speed - closing > 1.0:
        sigma_d += setting[la.SIGMA_SIDE_CLOSING] * max(closing, 0.0)
    return sigma_s, sigma_d + setting[la.SIGMA_SIDE_SPEED] * abs(speed)


@scalar
def repulsion(ds, dd, speed, closing, angle, half_length, half_width, strength, setting):
    """U_b of one road user: (ds, dd) between centres, from it to the ego, m; `closing` the ego's speed minus
    its own, m/s. Along the road the gap between the boxes counts."""
    sigma_s, sigma_d = spread(ds, speed, closing, half_width, setting)
    gap = max(abs(ds) - half_length - setting[la.EGO_HALF_LENGTH], 0.0)
    if gap * gap > FAR * sigma_s * sigma_s or dd * dd > FAR * sigma_d * sigma_d:
        return 0.0
    a, b = gap / sigma_s, dd / sigma_d
    form = a * a + b * b
    if form > FAR:
        return 0.0
    return setting[la.K_FRONT] * strength * alignment(angle, setting) * math.exp(-0.5 * form)


@scalar
def repulsion_change(ds, dd, speed, closing, angle, half_length, half_width, strength, slip, setting):
    """dU_b/dt for steady speeds: (dU/dds) (s'_ego - s'_other) + (dU/ddd) `slip`, the same of the offsets."""
    sigma_s, sigma_d = spread(ds, speed, closing, half_width, setting)
    u = repulsion(ds, dd, speed, closing, angle, half_length, half_width, strength, setting)
    gap = max(abs(ds) - half_length - setting[la.EGO_HALF_LENGTH], 0.0)
    away = closing if ds > 0.0 else -closing
    return -u * (gap * away / (sigma_s * sigma_s) + dd * slip / (sigma_d * sigma_d))


@kernel
def deficit(speed, s, length, lane_d, width, who, body, out):
    """U_c of the lane about the offset `lane_d`: the gaps that leader and follower lack, squared, per gap^2.

    The gaps wanted are those of RSS, shortened: `who (M, OTHER)` now, `body (M, BODY)`; the ego at station
    s with a length. `out (4,)`: U_c, gap and speed of the leader, gap to the follower.
    """
    lead, lead_speed, back, back_speed = 1e9, 0.0, 1e9, 0.0
    for m in range(len(who)):
        if abs(who[m, la.OD] - lane_d) > 0.5 * width + 0.7 * body[m, la.HALF_WIDTH]:
            continue
        gap = abs(who[m, la.OS] - s) - body[m, la.HALF_LENGTH] - 0.5 * length
        if who[m, la.OS] >= s:
            if gap < lead:
                lead, lead_speed = gap, who[m, la.OVS]
        elif gap < back:
            back, back_speed = gap, who[m, la.OVS]
    total = 0.0
    if lead < 1e8:
        need = 2.0 + 0.6 * speed + max(speed * speed - lead_speed * lead_speed, 0.0) / 8.0
        lack = max(need - lead, 0.0) / max(lead, 0.5)
        total += lack * lack
    if back < 1e8:
        need = 2.0 + 0.5 * back_speed + max(back_speed * back_speed - speed * speed, 0.0) / 6.0
        lack = max(need - back, 0.0) / max(back, 0.5)
        total += lack * lack
    out[0], out[1], out[2], out[3] = total, lead, lead_speed, back


@kernel
def line_risk(speed, s, offset, road, others, body, setting):
    """Mean of U_b along the line at an offset, driven at a speed, over the samples of `others`.

    Who has met the field's ridge stays on it: the line is blocked there, and what lies behind does not count.
    """
    total, worst = 0.0, 0.0
    for k in range(len(others)):
        here = s + speed * setting[la.DT] * (k + 1)
        now = 0.0
        for m in range(len(body)):
            now += repulsion(
                here - others[k, m, la.OS], offset - others[k, m, la.OD], speed, speed - others[k, m, la.OVS],
                others[k, m, la.OANGLE], body[m, la.HALF_LENGTH], body[m, la.HALF_WIDTH],
                body[m, la.STRENGTH], setting,
            )  # fmt: skip
        worst = max(worst, min(now, 1.0))
        total += worst
    return total / max(len(others), 1)


@kernel
def raster(speed, nodes, road, who, body, setting, out):
    """U at `nodes (N, 2)` (station, offset) as an ego of that speed feels it now; `out (N,)`."""
    rows = len(road)
    for n in range(len(nodes)):
        s, d = nodes[n, 0], nodes[n, 1]
        i, part = place(s, setting[la.ROAD_STEP], rows)
        total = attraction(
            d, between(road, i, part, la.AIM), between(road, i, part, la.LEFT),
            between(road, i, part, la.RIGHT), setting,
        )  # fmt: skip
        for m in range(len(body)):
            total += repulsion(
                s - who[m, la.OS], d - who[m, la.OD], speed, speed - who[m, la.OVS], who[m, la.OANGLE],
                body[m, la.HALF_LENGTH], body[m, la.HALF_WIDTH], body[m, la.STRENGTH], setting,
            )  # fmt: skip
        out[n] = total
