"""Contacts of candidates with the other agents: collisions with fault, and the time to collision.

A broad phase marks, per step, the agents whose circles meet the candidate's now or where the time to
collision looks; only those are tested as boxes. Sources: tuplan_garage, scoring/pdm_scorer.py and
pdm_scorer_utils.py; nuPlan devkit, observation/idm/utils.py.
"""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.compile import scalar
from drive.sim.kernels.scalar import ONE, ZERO, F, apart_along
from drive.sim.kernels.score_area import INTERSECTION, box_in_area, in_multiple_lanes, lane_with

WORD = 32
"""Agents are padded to a multiple of this many."""
TTC_STEPS, TTC_STRIDE = 4, 3
"""A candidate's box is projected to 0, 3, 6 and 9 steps ahead."""
FORECAST_EXTRA = TTC_STRIDE * (TTC_STEPS - 1)
STOPPED_SPEED, TTC_STOPPED_SPEED = F(0.05), F(0.005)
COS_AHEAD, COS_BEHIND = F(math.cos(math.pi / 6.0)), F(math.cos(5.0 * math.pi / 6.0))
INFINITE = F(np.inf)

_POWERS = np.exp2(np.arange(16)).astype(np.float32)


@scalar
def _gap(track, k, j, x, y):
    dx, dy = track[0, k, j] - x, track[1, k, j] - y
    return dx * dx + dy * dy


# Sixteen powers of two add up exactly in float32, and such a sum, unlike shifted integers, is compiled to
# vector instructions; so are unsigned indices, which need no test for a negative one.


@scalar
def near_now(track, extent, k, word, x, y, radius):
    """Bits of the 32 agents of a word whose circles meet a circle at (x, y) at step k."""
    first, at = np.uintp(word) * np.uintp(WORD), np.uintp(k)
    low, high = ZERO, ZERO
    for i in range(16):
        bit = np.uintp(i)
        j = first + bit
        reach = extent[2, j] + radius
        low += _POWERS[bit] if _gap(track, at, j, x, y) <= reach * reach else ZERO
        j = j + np.uintp(16)
        reach = extent[2, j] + radius
        high += _POWERS[bit] if _gap(track, at, j, x, y) <= reach * reach else ZERO
    return np.uint32(np.uint32(low) | (np.uint32(high) << np.uint32(16)))


@scalar
def _least_gap(track, k, j, x, y, sx, sy):
    """Least squared distance over the steps that the time to collision looks at."""
    stride = np.uintp(TTC_STRIDE)
    a = _gap(track, k, j, x, y)
    b = _gap(track, k + stride, j, x + sx, y + sy)
    c = _gap(track, k + stride + stride, j, x + sx + sx, y + sy + sy)
    d = _gap(track, k + stride + stride + stride, j, x + sx + sx + sx, y + sy + sy + sy)
    return min(min(a, b), min(c, d))


@scalar
def near_ahead(track, extent, k, word, x, y, sx, sy, radius):
    """`near_now` for any of the steps looked at, while the circle moves on by (sx, sy) between them."""
    first, at = np.uintp(word) * np.uintp(WORD), np.uintp(k)
    low, high = ZERO, ZERO
    for i in range(16):
        bit = np.uintp(i)
        j = first + bit
        reach = extent[2, j] + radius
        low += _POWERS[bit] if _least_gap(track, at, j, x, y, sx, sy) <= reach * reach else ZERO
        j = j + np.uintp(16)
        reach = extent[2, j] + radius
        high += _POWERS[bit] if _least_gap(track, at, j, x, y, sx, sy) <= reach * reach else ZERO
    return np.uint32(np.uint32(low) | (np.uint32(high) << np.uint32(16)))


@scalar
def mark_near(states, b, ego, agents, rules, ahead, places, near):
    """Broad phase: fill `near (words, T)`; with `ahead` also with whom the time to collision needs."""
    track, extent = agents.track, agents.extent
    last = rules.ttc_last if ahead else np.int64(-1)
    # A little more, so that rounding loses nobody whose box is touched at a corner.
    radius = ego[3] + F(1e-3)
    for t in range(states.shape[1]):
        x, y = places[2, t], places[3, t]
        leap = abs(states[b, t, 3]) * rules.dt * F(TTC_STRIDE)
        for word in range(near.shape[0]):
            if t <= last:
                near[word, t] = near_ahead(
                    track, extent, t, word, x, y, leap * places[0, t], leap * places[1, t], radius
                )
            else:
                near[word, t] = near_now(track, extent, t, word, x, y, radius)


@scalar
def lowest_bit(bits):
    """Place of the lowest set bit of a word that is not 0, read from a float's exponent."""
    value = F(bits & (~bits + np.uint32(1)))
    return (value.view(np.int32) >> np.int32(23)) - np.int32(127)


@scalar
def bearing_cosine(dx, dy, cos, sin):
    """Cosine of the angle between the heading and a direction; straight ahead where there is none."""
    length = math.sqrt(dx * dx + dy * dy)
    if length == ZERO:
        return ONE
    return (dx * cos + dy * sin) / length


@scalar
def overlap(track, extent, k, j, x, y, cos, sin, half_length, half_width, radius):
    """Whether a box meets agent j at step k."""
    dx, dy = track[0, k, j] - x, track[1, k, j] - y
    reach = extent[2, j] + radius
    if dx * dx + dy * dy > reach * reach:
        return False
    cos_b, sin_b, length, width = track[2, k, j], track[3, k, j], extent[0, j], extent[1, j]
    c, s = abs(cos * cos_b + sin * sin_b), abs(cos * sin_b - sin * cos_b)
    # Who drives beside the ego is told apart along its own axes already.
    if apart_along(dx, dy, cos, sin, half_length, half_width, c, s, length, width) > ZERO:
        return False
    return apart_along(dx, dy, cos_b, sin_b, length, width, c, s, half_length, half_width) <= ZERO


@scalar
def at_fault(states, b, t, ego, track, extent, j, area, lanes, places):
    """Whether the ego is to blame for touching agent j at step t.

    It is when it moves and the other stands, or is not behind and is met by the front bumper, or is met
    anywhere while the ego stands in several lanes or off the road.
    """
    if not abs(states[b, t, 3]) > STOPPED_SPEED:
        return False
    if track[4, t, j] <= STOPPED_SPEED:
        return True
    cos, sin, x, y = places[0, t], places[1, t], places[2, t], places[3, t]
    gx, gy = track[0, t, j] - states[b, t, 0], track[1, t, j] - states[b, t, 1]
    if bearing_cosine(gx, gy, cos, sin) < COS_BEHIND:
        return False
    fx, fy = x + ego[0] * cos, y + ego[0] * sin
    if overlap(track, extent, t, j, fx, fy, cos, sin, ZERO, ego[1], ego[1]):
        return True
    return not box_in_area(x, y, cos, sin, ego[0], ego[1], area) or in_multiple_lanes(
        x, y, cos, sin, ego[0], ego[1], lanes
    )


@scalar
def collisions(states, b, ego, agents, area, lanes, rules, places, near, ignored):
    """Collisions at fault of one candidate: the score and the time of the first.

    An agent once met is left out: later contacts with it change neither.
    """
    track, extent = agents.track, agents.extent
    score, when = ONE, INFINITE
    radius = ego[3] + F(1e-3)
    for t in range(states.shape[1]):
        cos, sin, x, y = places[0, t], places[1, t], places[2, t], places[3, t]
        for word in range(near.shape[0]):
            bits = near[word, t] & ~ignored[word]
            while bits != 0:
                i = lowest_bit(bits)
                bits = bits & (bits - np.uint32(1))
                j = word * WORD + i
                if overlap(track, extent, t, j, x, y, cos, sin, ego[0], ego[1], radius):
                    ignored[word] = ignored[word] | (np.uint32(1) << np.uint32(i))
                    if at_fault(states, b, t, ego, track, extent, j, area, lanes, places):
                        score = min(score, agents.penalty[j])
                        when = min(when, F(t) * rules.dt)
        if score == ZERO:
            break
    return score, when


@scalar
def between_lanes(states, b, t, ego, area, lanes, places):
    """Whether what comes from the side counts: off the road, in an intersection or in several lanes."""
    cos, sin, x, y = places[0, t], places[1, t], places[2, t], places[3, t]
    return (
        not box_in_area(x, y, cos, sin, ego[0], ego[1], area)
        or lane_with(states[b, t, 0], states[b, t, 1], lanes, INTERSECTION, -1) >= 0
        or in_multiple_lanes(x, y, cos, sin, ego[0], ego[1], lanes)
    )


@scalar
def time_to_collision(states, b, ego, agents, area, lanes, rules, places, near, ignored):
    """Time to collision of one candidate: 1, or 0 with the time of the first infraction.

    An agent that is met without an infraction is left out from then on.
    """
    track, extent = agents.track, agents.extent
    radius = ego[3] + F(1e-3)
    for t in range(min(rules.ttc_last, states.shape[1] - 1) + 1):
        speed = abs(states[b, t, 3])
        if speed < TTC_STOPPED_SPEED:
            continue
        cos, sin, x, y = places[0, t], places[1, t], places[2, t], places[3, t]
        leap = speed * rules.dt * F(TTC_STRIDE)
        beside = -1
        for word in range(near.shape[0]):
            bits = near[word, t] & ~ignored[word]
            while bits != 0:
                i = lowest_bit(bits)
                bits = bits & (bits - np.uint32(1))
                j = word * WORD + i
                for n in range(TTC_STEPS):
                    k, ahead = t + n * TTC_STRIDE, F(n) * leap
                    px, py = x + ahead * cos, y + ahead * sin
                    if not overlap(track, extent, k, j, px, py, cos, sin, ego[0], ego[1], radius):
                        continue
                    gx, gy = track[0, k, j] - states[b, t, 0], track[1, k, j] - states[b, t, 1]
                    bearing = bearing_cosine(gx, gy, cos, sin)
                    if bearing > COS_AHEAD:
                        return ZERO, F(t) * rules.dt
                    if bearing >= COS_BEHIND:
                        if beside < 0:
                            beside = 1 if between_lanes(states, b, t, ego, area, lanes, places) else 0
                        if beside == 1:
                            return ZERO, F(t) * rules.dt
                    ignored[word] = ignored[word] | (np.uint32(1) << np.uint32(i))
                    break
    return ONE, INFINITE
