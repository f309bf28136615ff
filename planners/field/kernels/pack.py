"""Others and road as the kernels of this folder read them, from those of `drive.planners.road`."""

from __future__ import annotations

import math

from drive.planners.field.kernels import layout as L
from drive.planners.field.kernels.base import kernel
from drive.planners.field.kernels.curves import between, place


@kernel
def pack_others(chosen, poses, frenet, x0, y0, dt, road, step, others):
    """Fill `others (T, M, OTHER)` from `poses (A, T, 3)` and `frenet (A, T, 2)` of those `chosen (M,)`."""
    rows, count = len(road), others.shape[0]
    for m in range(len(chosen)):
        a = chosen[m]
        for k in range(count):
            h = poses[a, k, 2]
            cos, sin = math.cos(h), math.sin(h)
            s = frenet[a, k, 0]
            i, part = place(s, step, rows)
            rc, rs = between(road, i, part, L.RCOS), between(road, i, part, L.RSIN)
            first, after = max(k - 1, 0), min(k + 1, count - 1)
            others[k, m, L.OX], others[k, m, L.OY] = poses[a, k, 0] - x0, poses[a, k, 1] - y0
            others[k, m, L.OCOS], others[k, m, L.OSIN] = cos, sin
            others[k, m, L.OS], others[k, m, L.OD] = s, frenet[a, k, 1]
            others[k, m, L.OVS] = (frenet[a, after, 0] - frenet[a, first, 0]) / ((after - first) * dt)
            others[k, m, L.OANGLE] = math.atan2(sin * rc - cos * rs, cos * rc + sin * rs)
