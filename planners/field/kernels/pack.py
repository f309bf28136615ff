"""Others as the kernels of this folder read them, from the forecasts of `drive.planners.road`."""

from __future__ import annotations

import math

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.base import kernel
from drive.planners.field.kernels.curves import between, place
from drive.vehicle import AgentKind

DRIFTS = 0.3
"""m/s across the road from which somebody is taken to change over, not to waver."""
IN_LANE, NEXT_LANE = 0.5, 5.0
"""m from the ego's lane within which somebody is in it, and up to which one may come into it."""
ABREAST = 1.5
"""m before the ego's rear axle: who is farther back than that looks where it goes."""
BESIDE_CAR, BESIDE_PERSON, BESIDE_THING = 0.6, 1.0, 0.4
"""m that the swarm wants to keep beside boxes."""
PEDESTRIAN, BICYCLE, STATIC = int(AgentKind.PEDESTRIAN), int(AgentKind.BICYCLE), int(AgentKind.STATIC)
TWO_PI = 2.0 * math.pi


@kernel
def pack_others(chosen, poses, frenet, x0, y0, dt, every, road, step, station, others):
    """Fill `others (T, M, OTHER)`, samples dt apart, from those `chosen (M,)`.

    Of `poses (A, N, 3)` and `frenet (A, N, 2)` there is a sample each `every` dt; between them it is linear.

    Who drifts towards the ego's lane, and is not behind the ego's `station`, goes on until it is there: a
    forecast that keeps everybody in their lanes would see a cut-in only when it is over.
    """
    rows, count = len(road), others.shape[0]
    for m in range(len(chosen)):
        a = chosen[m]
        i, _ = place(frenet[a, 0, 0], step, rows)
        aim, d0 = road[i, la.AIM], frenet[a, 0, 1]
        drift = (frenet[a, 1, 1] - d0) / (dt * every)
        away = aim - d0
        along = (frenet[a, 1, 0] - frenet[a, 0, 0]) / (dt * every)
        enters = abs(drift) > DRIFTS and drift * away > 0.0 and IN_LANE < abs(away) < NEXT_LANE
        enters = enters and along > 2.0 and frenet[a, 0, 0] > station + ABREAST
        for k in range(count):
            j = min(k // every, frenet.shape[1] - 2)
            u = (k - j * every) / every
            s = frenet[a, j, 0] + u * (frenet[a, j + 1, 0] - frenet[a, j, 0])
            d = frenet[a, j, 1] + u * (frenet[a, j + 1, 1] - frenet[a, j, 1])
            shift = 0.0
            if enters:
                moved = d0 + math.copysign(min(abs(drift) * dt * k, abs(away)), away)
                if (moved - d) * away > 0.0:
                    shift = moved - d
            turn = poses[a, j + 1, 2] - poses[a, j, 2]
            h = poses[a, j, 2] + u * (turn - TWO_PI * math.floor(turn / TWO_PI + 0.5))
            cos, sin = math.cos(h), math.sin(h)
            i, part = place(s, step, rows)
            rc, rs = between(road, i, part, la.RCOS), between(road, i, part, la.RSIN)
            x = poses[a, j, 0] + u * (poses[a, j + 1, 0] - poses[a, j, 0])
            y = poses[a, j, 1] + u * (poses[a, j + 1, 1] - poses[a, j, 1])
            others[k, m, la.OX], others[k, m, la.OY] = x - x0 - shift * rs, y - y0 + shift * rc
            others[k, m, la.OCOS], others[k, m, la.OSIN] = cos, sin
            others[k, m, la.OS], others[k, m, la.OD] = s, d + shift
            others[k, m, la.OVS] = (frenet[a, j + 1, 0] - frenet[a, j, 0]) / (dt * every)
            others[k, m, la.OANGLE] = math.atan2(sin * rc - cos * rs, cos * rc + sin * rs)


@kernel
def pack_bodies(chosen, size, kind, existence, body):
    """Fill `body (M, BODY)` from `size (A, 2)`, `kind (A,)` and `existence (A,)` of those `chosen (M,)`."""
    for m in range(len(chosen)):
        a = chosen[m]
        half_length, half_width, thing = 0.5 * size[a, 0], 0.5 * size[a, 1], kind[a] == STATIC
        body[m, la.HALF_LENGTH], body[m, la.HALF_WIDTH] = half_length, half_width
        body[m, la.REACH] = math.hypot(half_length, half_width)
        body[m, la.STRENGTH] = (0.3 if thing else 1.0) * existence[a]
        body[m, la.SOFT] = BESIDE_THING if thing else BESIDE_CAR
        if kind[a] == PEDESTRIAN or kind[a] == BICYCLE:
            body[m, la.SOFT] = BESIDE_PERSON


@kernel
def come_near(others, station, low, high, behind, ahead, near):
    """Whether each of `others (K, M, OTHER)` is at some time between two offsets, and between `behind` and
    `ahead` m from a station, `near (M,)`."""
    for m in range(others.shape[1]):
        near[m] = False
        for k in range(others.shape[0]):
            s, d = others[k, m, la.OS] - station, others[k, m, la.OD]
            if low < d < high and behind < s < ahead:
                near[m] = True
                break
