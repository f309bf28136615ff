"""What a teacher asks beside the scores of candidates: red lights, keeping to the lane, metres above the
limit, and comfort with the past.

Rules after NAVSIM version 2, `planning/simulation/planner/pdm_planner/scoring/pdm_scorer.py`.
"""

from __future__ import annotations

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import HALF, ONE, PI, TWO_PI, ZERO, sin_cos
from drive.sim.kernels.score_area import INTERSECTION, lane_with, project
from drive.sim.kernels.score_comfort import comfort_of_rows

LANE_KEEPING, LIGHTS, EXCESS, HISTORY_COMFORT = range(4)
TAUGHT = 4
BEHIND, AHEAD = 4, 12
"""Vertices about the last foot among which the next one is searched: those of a course lie half a metre or
more apart."""


@scalar
def _apart(nx, ny, cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy):
    """Whether a direction parts a box from a triangle."""
    reach = abs(nx * ux + ny * uy) * half_length + abs(ny * ux - nx * uy) * half_width
    p, q, r = (
        nx * (ax - cx) + ny * (ay - cy),
        nx * (bx - cx) + ny * (by - cy),
        nx * (dx - cx) + ny * (dy - cy),
    )
    return min(min(p, q), r) > reach or max(max(p, q), r) < -reach


@scalar
def box_meets_triangle(cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy):
    """Whether a box at (cx, cy), headed along the unit vector (ux, uy), meets or touches a triangle."""
    if _apart(ux, uy, cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy):
        return False
    if _apart(-uy, ux, cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy):
        return False
    if _apart(ay - by, bx - ax, cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy):
        return False
    if _apart(by - dy, dx - bx, cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy):
        return False
    return not _apart(dy - ay, ax - dx, cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, dx, dy)


@scalar
def box_meets_rows(cx, cy, ux, uy, half_length, half_width, left, right, first, last):
    """Whether a box meets the strip between the rows `first` and `last` of two bounds."""
    for k in range(first, last):
        ax, ay, bx, by = left[k, 0], left[k, 1], right[k, 0], right[k, 1]
        ex, ey, dx, dy = right[k + 1, 0], right[k + 1, 1], left[k + 1, 0], left[k + 1, 1]
        if box_meets_triangle(cx, cy, ux, uy, half_length, half_width, ax, ay, bx, by, ex, ey):
            return True
        if box_meets_triangle(cx, cy, ux, uy, half_length, half_width, ax, ay, ex, ey, dx, dy):
            return True
    return False


@scalar
def keeps_lights(states, b, ego, lanes, gates, red, entering):
    """1 where the box meets no lane `gates[g] (first row, last row)` while `red[g] (T,)` closes it, else 0.

    With `entering` only a box counts that was not in the lane at the step before: who was already there
    when the light changed clears the junction.
    """
    for g in range(gates.shape[0]):
        first, last = gates[g, 0], gates[g, 1]
        was = False
        for t in range(states.shape[1]):
            if red[g, t] == 0 and not entering:
                continue
            sin, cos = sin_cos(states[b, t, 2])
            cx, cy = states[b, t, 0] + ego[2] * cos - lanes.x0, states[b, t, 1] + ego[2] * sin - lanes.y0
            met = box_meets_rows(cx, cy, cos, sin, ego[0], ego[1], lanes.left, lanes.right, first, last)
            if met and red[g, t] != 0 and not (entering and (was or t == 0)):
                return ZERO
            was = met
    return ONE


@kernel
def lights(states, ego, lanes, gates, red, entering, out):
    """Fill `out (B,)` by `keeps_lights`."""
    for b in range(states.shape[0]):
        out[b] = keeps_lights(states, b, ego, lanes, gates, red, entering)


@scalar
def exceeds_for(row, exceeds, samples):
    """The number of samples in a row beyond the limit, with one more; negative once there were enough."""
    if row < 0 or (exceeds and row + 1 >= samples):
        return -1
    return row + 1 if exceeds else 0


@kernel
def lane_keeping(off, inside, limit, samples, out):
    """Fill `out (B,)`: 0 where `off (B, T)` exceeds the limit for so many samples in a row, else 1.

    Samples `inside (B, T)` intersections are skipped, and the row goes on behind them.
    """
    for b in range(off.shape[0]):
        row = 0
        for t in range(off.shape[1]):
            if not inside[b, t]:
                row = exceeds_for(row, off[b, t] > limit, samples)
        out[b] = ZERO if row < 0 else ONE


@scalar
def on_the_way(states, b, ego, lanes, line, station, window, speeds, keep, samples, dt, out):
    """Lane keeping, and the metres that a candidate drives above the limit of the way."""
    low, high = window[0], window[1]
    row, excess, hint = 0, ZERO, -1
    for t in range(states.shape[1]):
        sin, cos = sin_cos(states[b, t, 2])
        x, y = states[b, t, 0] + ego[2] * cos, states[b, t, 1] + ego[2] * sin
        segment, _, offset = project(line, station, x, y, low, high)
        low, high = max(segment - BEHIND, window[0]), min(segment + AHEAD, window[1])
        hint = lane_with(x, y, lanes, INTERSECTION, hint)
        if hint < 0:
            row = exceeds_for(row, abs(offset) > keep, samples)
        if t > 0:
            excess = excess + max(states[b, t, 3] - speeds[segment], ZERO) * dt
    out[b, LANE_KEEPING] = ZERO if row < 0 else ONE
    out[b, EXCESS] = excess


@scalar
def with_the_past(past, states, b, ego, filters, dt, rows, comfort):
    """Comfort of `past (P, 7)` and a candidate together: 1 if all bounds hold.

    As in the devkit, the acceleration is that of the box's centre; its size is the rear axle's.
    """
    before, samples = past.shape[0], states.shape[1]
    turns, last, rate = ZERO, ZERO, ZERO
    for k in range(before + samples):
        if k < before:
            heading, acceleration, omega = past[k, 2], past[k, 4], past[k, 6]
        else:
            j = k - before
            heading, acceleration, omega = states[b, j, 2], states[b, j, 4], states[b, j, 6]
        alpha = ZERO
        if k > 0:
            step = heading - last
            if step > PI:
                turns = turns - TWO_PI
            elif step < -PI:
                turns = turns + TWO_PI
            alpha = (omega - rate) / dt
        rows[0, k] = acceleration + ego[2] * (omega * omega + alpha)
        rows[1, k] = ZERO
        rows[2, k] = abs(acceleration)
        rows[3, k] = heading + turns
        last, rate = heading, omega
    return ONE if comfort_of_rows(False, filters, rows, b, comfort) else ZERO


@kernel
def teach(
    states, past, ego, lanes, line, station, window, speeds, gates, red, entering, filters, keep, samples, dt,
    rows, comfort, out,
):  # fmt: skip
    """Fill `out (B, TAUGHT)` for candidates `states (B, T, 7)`, float32 in the frame of a `ScoreScene`.

    `past (P, 7)` the ego's states before the first, in that frame; `ego (4,)`, `lanes`, `line`, `station`,
    `window` as of the scene; `speeds (P,)` the limit at the line's vertices, m/s; `gates (G, 2)` rows of
    lanes that `red (G, T)` closes, see `keeps_lights`; `filters` ComfortFilters of P + T samples; `keep` m
    and `samples` of lane keeping; `dt` in s; `rows (4, P + T)` and `comfort (B, 6)` are scratch.
    """
    for b in range(states.shape[0]):
        on_the_way(states, b, ego, lanes, line, station, window, speeds, keep, samples, dt, out)
        out[b, LIGHTS] = keeps_lights(states, b, ego, lanes, gates, red, entering)
        out[b, HISTORY_COMFORT] = with_the_past(past, states, b, ego, filters, dt, rows, comfort)


@kernel
def place_candidates(candidates, cos, sin, heading, poses):
    """Fill `poses (K, T + 1, 3)`: candidates `(K, T, 3)` of the ego's frame turned by its heading, in
    float32 about its position, the ego's own pose first.
    """
    for b in range(candidates.shape[0]):
        poses[b, 0, 0], poses[b, 0, 1], poses[b, 0, 2] = ZERO, ZERO, heading
        for t in range(candidates.shape[1]):
            x, y = candidates[b, t, 0], candidates[b, t, 1]
            poses[b, t + 1, 0], poses[b, t + 1, 1] = cos * x - sin * y, sin * x + cos * y
            h = candidates[b, t, 2] + heading
            poses[b, t + 1, 2] = h - TWO_PI * np.floor(h / TWO_PI + HALF)
