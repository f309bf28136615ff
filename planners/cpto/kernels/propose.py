"""Drives: what the loop's branches start from. Each is a path beside the reference line driven by a rule.

A drive follows a lateral option and keeps its distance by IDM, also to whoever will be
in its way within the rule's foresight. Drives are judged by boxes: contact, near contact, progress, comfort.
All in the road's frame.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from drive.planners.cpto.kernels.make import kernel
from drive.sim.kernels.compile import routine, scalar
from drive.sim.kernels.scalar import boxes_apart

FRACTION, FORESIGHT = 0, 1
"""Columns of a rule: share of the speed cap, seconds of foresight."""
STATION, SPEED, ACCEL, OFFSET, SLOPE, HEADING = 0, 1, 2, 3, 4, 5
NUM_ROWS = 6
"""Rows of a drive; the slope is the offset's rate in m/s, the heading is to the road's."""
SLOW = 0.5
CONTACT, NEAR, PROGRESS, EFFORT = 0, 1, 2, 3
"""Columns of a judgement: times of contact and of near contact (s), metres, mean squared m/s^2."""
BESIDE = 0.12
"""m between boxes that count as contact."""
LOW_X, HIGH_X, LOW_Y, HIGH_Y, APART = range(5)
NUM_BOUNDS = 5
"""Columns of the others' bounds in m: of stations and offsets, and how near their boxes come to an option."""
ASIDE, REACH, WIDE = 0, 1, 2
ALONG = 0.8
"""Cosine of the heading to the road above which somebody drives along it."""


class Road(NamedTuple):
    """The table of the reference line at stations `first + step * i`; `cap` in m/s, `option (J, S)` in m."""

    first: float
    step: float
    cap: Any
    option: Any
    stops: Any  # (Q,) stations before which the front has to halt


class Others(NamedTuple):
    """`pose (A, 4, K)`: station, offset, cosine and sine of the heading to the road; `half (A, 3)`:
    half length, half width, and metres to keep more when stopping behind it.

    `used (A,)` whether it counts.
    """

    pose: Any
    half: Any
    used: Any


class Near(NamedTuple):
    """What of the others is the same for all drives (scratch of A others and K samples).

    `bounds (A, 5)`; `pose (A, 3, K)`: the offset from the option, the half length along it, and the distance
    from it at which the boxes are clear; `turn (2, K)`: cosine and sine of a drive's heading; `who (A,)`.
    """

    bounds: Any
    pose: Any
    turn: Any
    who: Any


class Driver(NamedTuple):
    """IDM and box figures: m, s, m/s^2. `rear, front` of the own box from the reference point."""

    min_gap: float
    headway: float
    speed_up: float
    comfort: float
    brake: float
    jerk: float
    rear: float
    front: float
    half_width: float
    side_gap: float
    settle: float
    drift: float
    sideways: float
    dt: float


def make_near(others: int, samples: int, steps: int) -> Near:
    """Scratch for so many others, samples of their forecasts and steps of a drive."""
    return Near(
        np.empty((others, NUM_BOUNDS)),
        np.empty((others, 3, samples)),
        np.empty((2, steps)),
        np.empty(others, dtype=np.int64),
    )


@scalar
def table_at(values, road, s):
    """A table's value at a station, ends held."""
    x = (s - road.first) / road.step
    last = len(values) - 1
    i = min(max(int(x), 0), last - 1)
    f = min(max(x - i, 0.0), 1.0)
    return values[i] + f * (values[i + 1] - values[i])


@scalar
def extent(c, s, half):
    """Half sizes along and across the road of a box that is turned to it."""
    return abs(c) * half[0] + abs(s) * half[1], abs(s) * half[0] + abs(c) * half[1]


@scalar
def _follow(v, gap, lead_speed, d):
    """IDM's interaction term of one leader, but no more than what comfort or safety ask for.

    IDM brakes as hard as it can when somebody cuts in at its own speed. What is needed is the braking that
    keeps the boxes apart; a short headway alone is mended with comfort.
    """
    wish = d.min_gap + max(
        0.0, v * d.headway + v * (v - lead_speed) / (2.0 * math.sqrt(d.speed_up * d.comfort))
    )
    push = (wish / max(gap, 0.1)) ** 2
    closing = max(v - lead_speed, 0.0)
    needed = 0.5 * closing * closing / max(gap - 0.5 * d.min_gap, 0.1)
    calm = d.comfort if gap > 0.4 * v else 1.6 * d.comfort
    return min(push, 1.0 + max(calm, 1.5 * needed) / d.speed_up)


@routine
def _bound(others, near):
    for i in range(len(others.used)):
        low_x = low_y = 1e300
        high_x = high_y = -1e300
        for j in range(others.pose.shape[2]):
            x, y = others.pose[i, 0, j], others.pose[i, 1, j]
            low_x, high_x = min(low_x, x), max(high_x, x)
            low_y, high_y = min(low_y, y), max(high_y, y)
        near.bounds[i, LOW_X], near.bounds[i, HIGH_X] = low_x, high_x
        near.bounds[i, LOW_Y], near.bounds[i, HIGH_Y] = low_y, high_y


@routine
def _lay_beside(road, others, near, d, option, s):
    """Where the others are beside an option; those who count and are ever ahead of station `s` go into
    `near.who`. Returns how many."""
    count = 0
    for i in range(len(others.used)):
        if not others.used[i] or near.bounds[i, HIGH_X] < s:
            continue
        apart = 1e300
        for j in range(others.pose.shape[2]):
            half_x, half_y = extent(others.pose[i, 2, j], others.pose[i, 3, j], others.half[i])
            aside = others.pose[i, 1, j] - table_at(option, road, others.pose[i, 0, j])
            wide = half_y + d.half_width + d.side_gap
            near.pose[i, ASIDE, j], near.pose[i, REACH, j], near.pose[i, WIDE, j] = aside, half_x, wide
            apart = min(apart, abs(aside) - wide)
        near.bounds[i, APART] = apart
        near.who[count] = i
        count += 1
    return count


@routine
def _strongest(others, near, count, d, foresight, k, s, v, off):
    """IDM's strongest interaction at sample k of the forecasts, of a drive that is `off` m from its option.

    That fades ahead, so that who keeps farther from the option than `off` cannot be in the way.
    """
    strongest, last = 0.0, others.pose.shape[2] - 1
    looks = 1 + int(foresight / 0.5)
    for n in range(count):
        i = near.who[n]
        if near.bounds[i, APART] > abs(off):
            continue
        for look in range(looks):
            j = min(k + int(look * 0.5 / d.dt + 0.5), last)
            x, aside, wide = others.pose[i, 0, j], near.pose[i, ASIDE, j], near.pose[i, WIDE, j]
            if x < s or x - s > 120.0 or abs(aside) > wide + abs(off):
                continue
            half_x = near.pose[i, REACH, j]
            fade = math.exp(-max(x - half_x - s - d.front, 0.0) / max(2.0 * v, 6.0))
            if abs(aside - off * fade) > wide:
                continue
            before = max(j - 1, 0)
            speed = max((others.pose[i, 0, before + 1] - others.pose[i, 0, before]) / d.dt, 0.0)
            if look > 0 and others.pose[i, 2, j] > ALONG:
                # Who comes in along the road is followed from where it is now, gently.
                x = others.pose[i, 0, min(k, last)]
            gap = x - half_x - s - d.front - others.half[i, 2]
            push = _follow(v, gap, speed, d)
            if look > 0:
                push = min(push, 1.0 + (d.comfort if look > 1 else 1.5 * d.comfort) / d.speed_up)
            strongest = max(strongest, push)
            break
    return strongest


@routine
def _drive(road, others, near, count, d, option, rule, start, begin, out):
    """One drive `(6, K)` of K samples of `d.dt` seconds, from the forecasts' sample `begin` on."""
    s, v, a, y, slope, heading = start[0], start[1], start[2], start[3], start[4], start[5]
    for k in range(out.shape[1]):
        out[STATION, k], out[SPEED, k], out[ACCEL, k] = s, v, a
        out[OFFSET, k], out[SLOPE, k] = y, slope
        heading = math.atan2(slope, max(v, SLOW)) if v > 0.1 else heading
        out[HEADING, k] = heading
        here = table_at(option, road, s)
        cap = max(rule[FRACTION] * table_at(road.cap, road, s + 0.5 * v), 0.05)
        push = _strongest(others, near, count, d, rule[FORESIGHT], begin + k, s, v, y - here)
        for q in range(len(road.stops)):
            gap = road.stops[q] - s - d.front
            if gap > -2.0:
                push = max(push, _follow(v, gap + d.min_gap - 0.5, 0.0, d))
        ratio = v / cap
        free = 1.0 - ratio**4 if ratio < 1.0 else -min((v - cap) / (0.7 * d.speed_up), d.comfort / d.speed_up)
        wish = d.speed_up * (free - push)
        wish = min(max(wish, -d.brake), d.speed_up)
        # Hard braking may come as fast as it must.
        fall = d.jerk + 2.0 * max(-wish - d.comfort, 0.0)
        a = min(max(wish, a - fall * d.dt), a + d.jerk * d.dt)
        if v + a * d.dt < 0.0:
            a = -v / d.dt
        ahead = max(v, 0.0) * d.dt + 0.5 * a * d.dt * d.dt
        s += max(ahead, 0.0)
        v = max(v + a * d.dt, 0.0)
        # Towards the option at a bounded rate, its own slope fed forward; a slow car cannot move sideways.
        target = table_at(option, road, s + 0.3 * v)
        feed = (table_at(option, road, s + 0.3 * v + 1.0) - target) * v
        rate = min(max((target - y) / d.settle, -d.drift), d.drift) + feed
        steepest = 0.4 * v
        rate = min(max(rate, -steepest), steepest)
        swing = min(d.sideways, 0.1 + 0.12 * v * v)
        slope += min(max((rate - slope) * 3.0 / d.settle, -swing), swing) * d.dt
        y += slope * d.dt


@routine
def _judge(others, near, d, track, begin, judgement):
    """Contact with anybody's box, near contact, progress and effort of a drive."""
    count, last = track.shape[1], others.pose.shape[2] - 1
    span = (count - 1) * d.dt
    contact, close, effort, fastest = span, span, 0.0, 0.0
    half, middle = 0.5 * (d.front + d.rear), 0.5 * (d.front - d.rear)
    low_y, high_y = track[OFFSET, 0], track[OFFSET, 0]
    for k in range(count):
        effort += track[ACCEL, k] * track[ACCEL, k]
        fastest = max(fastest, track[SPEED, k])
        near.turn[0, k], near.turn[1, k] = math.cos(track[HEADING, k]), math.sin(track[HEADING, k])
        low_y, high_y = min(low_y, track[OFFSET, k]), max(high_y, track[OFFSET, k])
    for i in range(len(others.used)):
        if not others.used[i]:
            continue
        p, q, beside = others.half[i, 0], others.half[i, 1], BESIDE
        reach = half + d.half_width + p + q + 0.5 * fastest + 3.0
        bounds = near.bounds[i]
        along = max(bounds[LOW_X] - track[STATION, count - 1], track[STATION, 0] - bounds[HIGH_X])
        if max(along, bounds[LOW_Y] - high_y, low_y - bounds[HIGH_Y]) > reach:
            continue
        for k in range(count):
            t = k * d.dt
            if t >= close:
                break
            j, v = min(begin + k, last), track[SPEED, k]
            dx, dy = others.pose[i, 0, j] - track[STATION, k], others.pose[i, 1, j] - track[OFFSET, k]
            reach = half + d.half_width + p + q + 0.5 * v + 3.0
            if dx * dx + dy * dy > reach * reach:
                continue
            cos, sin = near.turn[0, k], near.turn[1, k]
            dx, dy = dx - middle * cos, dy - middle * sin
            c, n = others.pose[i, 2, j], others.pose[i, 3, j]
            apart = boxes_apart(dx, dy, cos, sin, half + 0.05 * t, d.half_width, c, n, p, q)
            if k == 0:
                # Who begins close by is only not to be come closer to.
                beside = min(beside, apart - 0.02)
            if apart <= beside:
                contact, close = min(contact, t), t
            elif v > 0.5:
                ahead = 0.25 * v
                apart = boxes_apart(
                    dx - ahead * cos, dy - ahead * sin, cos, sin, half + ahead, d.half_width, c, n, p, q
                )
                if apart <= beside:
                    close = t
                    # Contact may still come before what others do.
                    contact = min(
                        contact, _contact_after(others, near, d, track, begin, i, k, half, middle, beside)
                    )
    judgement[CONTACT], judgement[NEAR] = contact, close
    judgement[PROGRESS] = track[STATION, count - 1] - track[STATION, 0]
    judgement[EFFORT] = effort / count


@routine
def _contact_after(others, near, d, track, begin, i, first, half, middle, beside):
    """When a drive meets one of the others from a sample on; the span if never."""
    count, last = track.shape[1], others.pose.shape[2] - 1
    for k in range(first + 1, count):
        j = min(begin + k, last)
        cos, sin = near.turn[0, k], near.turn[1, k]
        dx = others.pose[i, 0, j] - track[STATION, k] - middle * cos
        dy = others.pose[i, 1, j] - track[OFFSET, k] - middle * sin
        c, n = others.pose[i, 2, j], others.pose[i, 3, j]
        grown = half + 0.05 * k * d.dt
        if (
            boxes_apart(dx, dy, cos, sin, grown, d.half_width, c, n, others.half[i, 0], others.half[i, 1])
            <= beside
        ):
            return k * d.dt
    return (count - 1) * d.dt


def _propose(road, others, driver, rules, option, start, begin, near, tracks, judgements):
    """Drive every `rules (V, 2)` along `road.option[option (V,)]`: `tracks (V, 6, K)`, `judgements (V, 4)`.

    `start (6,)` is the state at the forecasts' sample `begin`. Drives along one option should be together.
    """
    _bound(others, near)
    count = 0
    for r in range(len(rules)):
        line = road.option[option[r]]
        if r == 0 or option[r] != option[r - 1]:
            count = _lay_beside(road, others, near, driver, line, start[STATION])
        _drive(road, others, near, count, driver, line, rules[r], start, begin, tracks[r])
        _judge(others, near, driver, tracks[r], begin, judgements[r])


propose = kernel(_propose)


@kernel
def brake_from(nominal, joint, dt, braking, jerk, out):
    """A drive `out (6, N)` along the path of `nominal (6, N)` that brakes from its sample `joint` on."""
    count = nominal.shape[1]
    v, s, here = nominal[SPEED, joint], nominal[STATION, joint], joint
    hardest = min(nominal[ACCEL, joint], 0.0)
    for k in range(joint, count):
        if k > joint:
            before = v
            v = max(v + dt * max(hardest - jerk * dt * (k - joint), -braking), 0.0)
            s += 0.5 * dt * (before + v)
        while here < count - 2 and nominal[STATION, here + 1] < s:
            here += 1
        span = nominal[STATION, here + 1] - nominal[STATION, here]
        f = min(max((s - nominal[STATION, here]) / span, 0.0), 1.0) if span > 1e-9 else 0.0
        out[STATION, k], out[SPEED, k] = s, v
        for row in (OFFSET, HEADING):
            out[row, k] = nominal[row, here] + f * (nominal[row, here + 1] - nominal[row, here])
    for k in range(joint, count):
        low, high = max(k - 1, joint), min(k + 1, count - 1)
        span = dt * (high - low)
        out[ACCEL, k] = (out[SPEED, high] - out[SPEED, low]) / span
        out[SLOPE, k] = (out[OFFSET, high] - out[OFFSET, low]) / span
