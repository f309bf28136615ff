"""What samples are worth, in one compiled loop over them: see `choice`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.extending import register_jitable

from drive._kernel import kernels_at
from drive.nn import geometry_kernel
from drive.nn.geometry_kernel import gap_between
from drive.nn.scene import EGO_COLUMNS
from drive.planners.stl_diffusion.bounds import NO_LIMIT
from drive.planners.stl_diffusion.template import BOUNDS, TERMS

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 0.95
"""s; how far ahead nuPlan's time to collision looks."""
REACTION, BRAKES, HARD, MARGIN = 1.0, 4.0, 5.0, 0.5
"""s, m/s^2, m/s^2, m: when and how the ego brakes, how others do now, and what is to be left between them."""
BEYOND = 1.0
"""m; what is left to somebody ahead beyond that."""
ROOMS = (1.0, 2.0, 3.0, 4.0)
"""m; how much of this there is to be ahead of where a sample ends: to come around whoever stands there."""
BRAKED = tuple(REACTION + 0.8 * k for k in range(6))
"""s; when it is looked whether somebody who brakes is met."""
VERGE = 0.4
"""m; what is to be left to the road's edge: nobody follows a path to the decimetre."""
CALM, FIRM = 3.0, 2.0
"""m/s^2; a change of acceleration from one knot to the next that counts 1; what is not harsh yet."""
UNKNOWN = -1e3
_LIMIT, _NOW = EGO_COLUMNS.index("limit"), EGO_COLUMNS.index("acceleration")
_SAFE, _EDGE = TERMS.index("safe"), TERMS.index("edge")
_FIRST_BOUND, _SOFT = TERMS.index(BOUNDS[0]), tuple(TERMS.index(n) for n in ("speed", "offset", "heading"))
_ALSO = (Path(__file__).with_name(f"{name}.py") for name in ("bounds", "template"))
_kernel = kernels_at("stl_diffusion_choice", Path(__file__), Path(geometry_kernel.__file__), *_ALSO)
_inline: Callable[[Any], Any] = register_jitable(forceinline=True)


@_inline
def _touches(x, y, heading, body, places, half, valid, margin):
    """Whether the ego's box, its rear axle there, comes nearer than `margin` to one of `places (A, >= 4)`."""
    u, v = math.cos(heading), math.sin(heading)
    px, py = x + body[2] * u, y + body[2] * v
    around = math.sqrt(body[0] * body[0] + body[1] * body[1]) + margin
    for a in range(places.shape[0]):
        if not valid[a]:
            continue
        dx, dy = places[a, 0] - px, places[a, 1] - py
        hl, hw = half[a, 0], half[a, 1]
        reach = around + math.sqrt(hl * hl + hw * hw)
        if dx * dx + dy * dy > reach * reach:
            continue
        c, s = places[a, 2], places[a, 3]
        gap = gap_between(
            dx * u + dy * v, dy * u - dx * v, c * u + s * v, s * u - c * v, body[0], body[1], hl, hw
        )[0]
        if gap < margin:
            return True
    return False


@_inline
def _closing(states, look, body, places, half, valid):
    """The share of judged states from which, or before which, driving straight on meets somebody."""
    steps = states.shape[0] // look
    for t in range(steps):
        row = states[(t + 1) * look]
        way = np.float32(BEYOND) + np.float32(SECONDS) * row[3]
        x, y = row[0] + way * math.cos(row[2]), row[1] + way * math.sin(row[2])
        if _touches(x, y, row[2], body, places[:, t], half, valid, np.float32(0.0)):
            return (steps - t) / steps
    return 0.0


@_inline
def _narrow(states, body, places, half, valid):
    """The share of ROOMS that there is not straight ahead of the end."""
    row, count = states[states.shape[0] - 1], len(ROOMS)
    for k in range(count):
        way = np.float32(ROOMS[k])
        x, y = row[0] + way * math.cos(row[2]), row[1] + way * math.sin(row[2])
        if _touches(x, y, row[2], body, places[:, places.shape[1] - 1], half, valid, np.float32(0.0)):
            return (count - k) / count
    return 0.0


@_inline
def _stopping(states, dt, body, braked, half, valid):
    """Whether somebody who brakes hard from now on is met by who drives on for a second, then brakes along
    its own path; `braked (times, A, 4)`."""
    last = states.shape[0] - 1
    begin = min(round(REACTION / dt), last)
    gone = 0.0
    for k in range(begin):
        gone += states[k, 3] * dt
    speed = states[begin, 3]
    k, before, after = 1, 0.0, states[0, 3] * dt
    for j in range(len(BRAKED)):
        until = min(BRAKED[j] - REACTION, speed / BRAKES)
        goal = gone + (speed - 0.5 * BRAKES * until) * until
        while k < last and after <= goal:
            before, after = after, after + states[k, 3] * dt
            k += 1
        share = min(max((goal - before) / max(after - before, 1e-9), 0.0), 1.0)
        low, high = states[k - 1], states[k]
        x = np.float32((1.0 - share) * low[0] + share * high[0])
        y = np.float32((1.0 - share) * low[1] + share * high[1])
        heading = np.float32((1.0 - share) * low[2] + share * high[2])
        if _touches(x, y, heading, body, braked[j], half, valid, np.float32(MARGIN)):
            return 1.0
    return 0.0


@_inline
def _brake(places, dt, out):
    """Fill `out (times, A, 4)` with where others of `places (A, T, 4)` are that brake hard from now on."""
    for a in range(places.shape[0]):
        mx, my = (places[a, 1, 0] - places[a, 0, 0]) / dt, (places[a, 1, 1] - places[a, 0, 1]) / dt
        pace = math.sqrt(mx * mx + my * my)
        for j in range(len(BRAKED)):
            stood = min(BRAKED[j], pace / HARD)
            driven = (pace - 0.5 * HARD * stood) * stood / max(pace, 1e-3) - dt
            out[j, a, 0], out[j, a, 1] = places[a, 0, 0] + driven * mx, places[a, 0, 1] + driven * my
            out[j, a, 2], out[j, a, 3] = places[a, 0, 2], places[a, 0, 3]


@_inline
def _harm(terms, gap, states, look, mean):
    """How bad it is to break the formula: contact the more the sooner and the faster, then the road's edge
    and red lights, and by far the least speed, place and heading."""
    first = -1
    for t in range(gap.shape[0]):
        if gap[t] < 0.0:
            first = t
            break
    if first >= 0:
        soon = 1.0 - first / gap.shape[0]
        # Who stops and then drives on into somebody is worse than who stands.
        bad = 2.0 + 2.0 * soon + 0.1 * (states[(first + 1) * look, 3] + mean)
    else:
        bad = 0.5 * min(max(-terms[_SAFE], 0.0), 2.0)
    for k in range(_FIRST_BOUND, terms.shape[0]):
        if terms[k] < 0.0:
            bad += 0.5 + min(-terms[k], 2.0)
    for k in range(len(_SOFT)):
        bad += 0.05 * min(max(-terms[_SOFT[k]], 0.0), 5.0)
    return bad


@_kernel
def weigh(
    states, drawn, terms, offset, gap, ego, known, stay, held, body, half, valid, places, later, scales,
    weights, braked, out,
) -> None:  # fmt: skip
    """Fill `out (P, N)` for samples of P = B * M lanes: `states (P, N, S + 1, 7)`, `drawn (P, N, K, 2)`,
    `terms (P, N, 6)`, `offset` and `gap (P, N, T)`; `known (P,)`; what a lane costs, `stay (P,)`;
    the number of the last plan's sample among those of its moment, `held (B,)`, -1 for none.

    `ego (B, 14)`, `body (B, 4)`; others' `half (B, A, 2)`, `valid (B, A)`, `places (B, A, T, 4)` and, SECONDS
    later, `later`. `scales` are dt, look, and what 0 and 1 mean in m/s^2; `weights` in the order of
    `choice.WEIGHTS`; `braked (times, A, 4)` is scratch.
    """
    modes = states.shape[0] // ego.shape[0]
    dt, look, centre, scale = scales[0], int(scales[1]), scales[2], scales[3]
    steps, knots = states.shape[2] - 1, drawn.shape[2]
    for p in range(states.shape[0]):
        b = p // modes
        if p % modes == 0:
            _brake(places[b], dt * look, braked)
        limit = ego[b, _LIMIT]
        limit = max(limit, np.float32(3.0)) if limit > 0.5 else np.float32(NO_LIMIT)
        now = ego[b, _NOW]
        for n in range(states.shape[1]):
            if not known[p]:
                out[p, n] = UNKNOWN
                continue
            row = states[p, n]
            total = 0.0
            for k in range(1, steps + 1):
                total += row[k, 3]
            mean = total / steps
            rho = terms[p, n, 0]
            for k in range(1, terms.shape[2]):
                rho = min(rho, terms[p, n, k])
            if not rho > 0.0:
                out[p, n] = -_harm(terms[p, n], gap[p, n], row, look, mean) - 0.01
                continue
            before = centre + scale * drawn[p, n, 0, 0]
            rough = 0.5 * (before - now) * (before - now)
            hard = max(abs(before) - CALM, abs(before - now) - FIRM)
            for k in range(1, knots):
                asked = centre + scale * drawn[p, n, k, 0]
                rough += (asked - before) * (asked - before)
                hard = max(hard, abs(asked) - CALM)
                before = asked
            good = 2.0 + weights[0] * mean / limit - weights[1] * rough / (CALM * CALM * knots)
            good -= weights[2] * (0.5 - min(rho, 0.5))
            if hard > 0.0:
                good -= weights[3] * hard * hard
            if weights[4] > 0.0:
                aside = 0.0
                for t in range(offset.shape[2]):
                    aside += abs(offset[p, n, t])
                good -= weights[4] * aside / offset.shape[2]
            if weights[5] > 0.0:
                good -= weights[5] * max(VERGE - terms[p, n, _EDGE], 0.0) / VERGE
            if weights[6] > 0.0:
                good -= weights[6] * _closing(row, look, body[b], later[b], half[b], valid[b])
            if weights[7] > 0.0:
                good -= weights[7] * _narrow(row, body[b], places[b], half[b], valid[b])
            if weights[8] > 0.0:
                good -= weights[8] * _stopping(row, dt, body[b], braked, half[b], valid[b])
            if held[b] == (p % modes) * states.shape[1] + n:
                good += weights[9]
            out[p, n] = good - stay[p]


__all__ = ["SECONDS", "weigh"]
