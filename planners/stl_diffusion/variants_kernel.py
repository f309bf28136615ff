"""Paths at other speeds, see `variants`: the compiled loop over paths and paces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.extending import register_jitable

from drive._kernel import kernels_at

if TYPE_CHECKING:
    from collections.abc import Callable

SLOWING = 2.0
"""m/s^2; how a speed above the bound is given up."""
SIDEWAYS, YAWING = 2.5, 0.9
"""m/s^2, and a share of the greatest yaw rate: how bends are driven by who does not brake anyway."""
RETURN = 0.7
"""Which share of a missed heading is made good from one knot to the next."""
GRID = 0.5
"""m; how finely paths are looked at."""
_kernel = kernels_at("stl_diffusion_variants", Path(__file__))
_inline: Callable[[Any], Any] = register_jitable(forceinline=True)


@_inline
def _taken(values, place):
    """`values (G,)` every GRID m as they are at a place, linear in between."""
    at = min(max(place / GRID, 0.0), values.shape[0] - 1.001)
    index = int(at)
    share = at - index
    return (1.0 - share) * values[index] + share * values[index + 1]


@_inline
def _follow(states, onward, bends, dt, begun, beside, wheelbase, points):
    """Fill `points (2, steps + 1 + D)`: how far along a path of `states (steps + 1, 7)` and its continuation,
    and the curvature there. Who has only `begun` has no path but that. A way `beside` the lane begins with
    a bend, which counts from its first stretch on: each has its curvature in the middle. The others go on as
    the wheels stand, and have it where the stretch begins."""
    count = states.shape[0]
    place = 0.0
    for k in range(count):
        if k > 0 and not begun:
            place += states[k - 1, 3] * dt
        points[0, k], points[1, k] = place, math.tan(states[k, 5]) / wheelbase
    half = 0.5 * (onward[1] - onward[0]) if beside else 0.0
    for k in range(onward.shape[0]):
        held = k == 0 and not beside
        points[0, count + k] = place + onward[k] + half
        points[1, count + k] = points[1, count - 1] if held else bends[k]


@_inline
def _spread(points, yaw_rate, bent, swift, course):
    """Fill what is so every GRID m along a path `(G,)`: its curvature; how fast it may be driven with
    `yaw_rate` and SIDEWAYS at most, slowed down for by SLOWING; its change of heading since the start."""
    last, k = bent.shape[0] - 1, 0
    for g in range(last + 1):
        # Of several points in one place the last one counts.
        while k + 1 < points.shape[1] and points[0, k + 1] <= g * GRID:
            k += 1
        bent[g] = points[1, k]
        if k + 1 < points.shape[1]:
            share = (g * GRID - points[0, k]) / (points[0, k + 1] - points[0, k])
            bent[g] += share * (points[1, k + 1] - points[1, k])
    for g in range(last, -1, -1):
        bend = max(abs(bent[g]), 1e-3)
        swift[g] = min(yaw_rate / bend, math.sqrt(SIDEWAYS / bend))
        if g < last:
            swift[g] = min(swift[g], math.sqrt(swift[g + 1] * swift[g + 1] + 2.0 * SLOWING * GRID))
    course[0] = 0.0
    for g in range(1, last + 1):
        course[g] = course[g - 1] + 0.5 * GRID * (bent[g] + bent[g - 1])


@_inline
def _drive(begin, pace, cap, window, scales, bent, swift, course, out):
    """Fill `out (knots, 2)` with what is drawn to go along a path at a pace."""
    centre, half, yaw_rate, slowest, curvature = scales[0], scales[1], scales[2], scales[3], scales[4]
    speed, place, missed, held = begin, 0.0, 0.0, bent[0]
    for k in range(out.shape[0]):
        least = speed - window * SLOWING
        after = max(speed + min(window * pace, max(cap - speed, -window * SLOWING)), 0.0)
        if pace >= 0.0:
            limit = _taken(swift, place + 0.5 * window * (speed + after))
            after = max(min(after, max(limit, least)), 0.0)
        way_on = 0.5 * window * (speed + after)
        before, place = place, place + way_on
        near = 0.5 * max(way_on, 2.0 * GRID)
        mean = (_taken(course, place + near) - _taken(course, place - near)) / (2.0 * near)
        turn = min(max(mean + RETURN * missed / (2.0 * near), -curvature), curvature)
        # The wheels turn evenly from one knot to the next: what that misses of the heading is made good.
        missed += _taken(course, place) - _taken(course, before) - 0.5 * way_on * (held + turn)
        held = turn
        # Who stands goes on braking: a speed of 0 is held so.
        asked = pace if after <= 0.0 and pace < 0.0 else (after - speed) / window
        out[k, 0] = (asked - centre) / half
        out[k, 1] = turn * max(after, slowest) / yaw_rate
        speed = after


@_kernel
def paced(
    states: Any, drawn: int, aside: Any, onward: Any, bends: Any, paces: Any, caps: Any, every: int,
    dt: float, scales: Any, wheelbase: float, along: Any, points: Any, out: Any,
) -> None:  # fmt: skip
    """Fill `out (L, K, paces, knots, 2)`: paths `states (L, K, steps + 1, 7)`, those after the first `drawn`
    only begun, `aside (L, K)` m of the lane, that go on for `onward (D,)` m, curvatures `bends (L, K, D)`."""
    window = every * dt
    for row in range(out.shape[0]):
        for k in range(out.shape[1]):
            path, begun = states[row, k], k >= drawn
            _follow(path, onward, bends[row, k], dt, begun, aside[row, k] != 0.0, wheelbase, points)
            _spread(points, YAWING * scales[2], along[0], along[1], along[2])
            for p in range(out.shape[2]):
                _drive(
                    path[0, 3], paces[p], caps[row], window, scales, along[0], along[1], along[2],
                    out[row, k, p],
                )  # fmt: skip


__all__ = ["GRID", "RETURN", "SIDEWAYS", "SLOWING", "YAWING", "paced"]
