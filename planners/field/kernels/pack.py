"""Others as the kernels of this folder read them, from the forecasts of `drive.planners.road`."""

from __future__ import annotations

import math

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.base import kernel
from drive.planners.field.kernels.curves import between, place

DRIFTS = 0.3
"""m/s across the road from which somebody is taken to change over, not to waver."""
IN_LANE, NEXT_LANE = 0.5, 5.0
"""m from the ego's lane within which somebody is in it, and up to which one may come into it."""
LOOKS_BACK = 8.0


@kernel
def pack_others(chosen, poses, frenet, x0, y0, dt, road, step, station, others):
    """Fill `others (T, M, OTHER)` from `poses (A, T, 3)` and `frenet (A, T, 2)` of those `chosen (M,)`.

    Who drifts towards the ego's lane, and is not behind the ego's `station`, goes on until it is there: a
    forecast that keeps everybody in their lanes would see a cut-in only when it is over.
    """
    rows, count = len(road), others.shape[0]
    for m in range(len(chosen)):
        a = chosen[m]
        i, _ = place(frenet[a, 0, 0], step, rows)
        aim, d0 = road[i, la.AIM], frenet[a, 0, 1]
        drift = (frenet[a, 1, 1] - d0) / dt
        away = aim - d0
        along = (frenet[a, 1, 0] - frenet[a, 0, 0]) / dt
        enters = abs(drift) > DRIFTS and drift * away > 0.0 and IN_LANE < abs(away) < NEXT_LANE
        enters = enters and along > 2.0 and frenet[a, 0, 0] > station - LOOKS_BACK
        for k in range(count):
            s, d = frenet[a, k, 0], frenet[a, k, 1]
            shift = 0.0
            if enters:
                moved = d0 + math.copysign(min(abs(drift) * dt * k, abs(away)), away)
                if (moved - d) * away > 0.0:
                    shift = moved - d
            h = poses[a, k, 2]
            cos, sin = math.cos(h), math.sin(h)
            i, part = place(s, step, rows)
            rc, rs = between(road, i, part, la.RCOS), between(road, i, part, la.RSIN)
            first, after = max(k - 1, 0), min(k + 1, count - 1)
            others[k, m, la.OX] = poses[a, k, 0] - x0 - shift * rs
            others[k, m, la.OY] = poses[a, k, 1] - y0 + shift * rc
            others[k, m, la.OCOS], others[k, m, la.OSIN] = cos, sin
            others[k, m, la.OS], others[k, m, la.OD] = s, d + shift
            others[k, m, la.OVS] = (frenet[a, after, 0] - frenet[a, first, 0]) / ((after - first) * dt)
            others[k, m, la.OANGLE] = math.atan2(sin * rc - cos * rs, cos * rc + sin * rs)
