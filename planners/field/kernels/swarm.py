"""Improved particle swarm: falling inertia, time-varying pulls, stratified start, scouts, renewal on a stall.

The paper tells none of its constants; these came out of the comparison in `convergence.py`. Scouts are a
fifth of the swarm that steps from the best by the difference of two others (Storn, Price 1997), so that
steps are as long as the swarm is wide. Every random number is drawn by counting, see `draws`.
"""

from __future__ import annotations

import numpy as np

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.base import kernel
from drive.planners.field.kernels.cost import judge
from drive.planners.field.kernels.draws import mixed, normal, uniform

NONE = 1e300
LONGEST_STEP = 0.2
RENEW_AFTER, STOP_AFTER = 4, 8
STRIDE = 0.9
SMALL_GAIN = 1e-3
"""Share of the cost by which it has to fall for a generation to count as one that found something."""
DIMS = la.PARTICLE


@kernel
def swarm(
    start, road, others, body, stops, pace, last, setting, stride, low, high, seeds, generations, improved,
    seed, cycle, place, speed, best, cost, out, report,
):  # fmt: skip
    """Search the particle of the least cost; returns the evaluations made.

    Bounds `low, high (6,)`; `seeds (Q, 6)` are put in as the first particles. `improved` 0: constant
    coefficients (w = 0.7, c = 1.5), no seeds, no strata, no renewal: the baseline. `place, speed, best
    (N, 6)` and `cost (N,)` are the swarm's memory; `out (7,)` the best particle and its cost.
    """
    count = len(place)
    dims = DIMS if setting[la.VIA] != 0.0 else 4
    key = mixed(mixed(np.uint64(seed) + np.uint64(0x632BE59BD9B4E019)) ^ np.uint64(cycle + 1))
    given = min(len(seeds), count) if improved else 0
    champion, least = 0, NONE
    scouts = count // 5
    stall, made = 0, 0
    # Generation 0 is the start itself.
    for it in range(generations + 1):
        part = it / generations if generations > 0 else 0.0
        if improved:
            w, c1, c2 = 0.6 - 0.3 * part * part, 1.6 - 0.6 * part, 1.6 + 0.6 * part
        else:
            w, c1, c2 = 0.7, 1.5, 1.5
        for n in range(count):
            for d in range(DIMS):
                span = high[d] - low[d]
                at = ((it * count + n) * DIMS + d) * 2
                if it == 0:
                    speed[n, d] = 0.0
                    u = uniform(key, at)
                    if improved and d == 0:
                        u = (n + u) / count
                    x = low[d] + u * span
                    if n < given:
                        x = min(max(seeds[n, d], low[d]), high[d])
                    place[n, d] = x
                elif d < dims and improved and n >= count - scouts and n != champion:
                    one = int(uniform(key, (it * count + n) * 2 + 3_000_000) * count)
                    two = int(uniform(key, (it * count + n) * 2 + 3_000_001) * count)
                    x = (
                        out[d]
                        + STRIDE * (best[one, d] - best[two, d])
                        + 0.01 * span * normal(key, at + 2_000_000)
                    )
                    place[n, d] = min(max(x, low[d]), high[d])
                elif d < dims:
                    x = place[n, d]
                    move = w * speed[n, d]
                    move += c1 * uniform(key, at) * (best[n, d] - x)
                    move += c2 * uniform(key, at + 1) * (out[d] - x)
                    move = min(max(move, -LONGEST_STEP * span), LONGEST_STEP * span)
                    x += move
                    if x < low[d]:
                        x, move = min(2.0 * low[d] - x, high[d]), -0.5 * move
                    elif x > high[d]:
                        x, move = max(2.0 * high[d] - x, low[d]), -0.5 * move
                    place[n, d], speed[n, d] = x, move
            bound = cost[n] if it > 0 else NONE
            found = judge(
                place[n], start, road, others, body, stops, pace, last, setting, bound, stride, report
            )
            made += 1
            if found < bound:
                cost[n] = found
                for d in range(DIMS):
                    best[n, d] = place[n, d]
        # The swarm's best is renewed between generations: the order within one does not matter.
        before = least
        for n in range(count):
            if cost[n] < least:
                champion, least = n, cost[n]
        for d in range(DIMS):
            out[d] = best[champion, d]
        stall = stall + 1 if before - least <= SMALL_GAIN * abs(least) else 0
        if not improved:
            continue
        if stall >= STOP_AFTER:
            break
        if stall >= RENEW_AFTER and it < generations:
            for _ in range(max(count // 5, 1)):
                worst = 0 if champion != 0 else 1
                for n in range(count):
                    if n != champion and cost[n] > cost[worst] and cost[n] < NONE:
                        worst = n
                for d in range(dims):
                    at = ((it * count + worst) * DIMS + d) * 2 + 1_000_000
                    x = out[d] + 0.15 * (high[d] - low[d]) * normal(key, at)
                    place[worst, d] = min(max(x, low[d]), high[d])
                    best[worst, d], speed[worst, d] = place[worst, d], 0.0
                cost[worst] = NONE
    out[DIMS] = least
    return made
