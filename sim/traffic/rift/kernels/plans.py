"""Candidates along reference lines, what becomes of them, and what they are worth.

A candidate is a row of accelerations, held for 0.5 s each, along a line, and a distance over which the offset
from the line is worked off. The offset answers to itself, its slope and its bend alone, as
(a + b x + c x^2) exp(-x) with x the way driven: who plans anew half-way goes on as planned. With a
polynomial that begins anew at each decision vehicles came back to their lines ever later, and drifted out
of long bends.
"""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.areas import area_at
from drive.sim.kernels.compile import scalar
from drive.sim.kernels.scalar import boxes_apart, in_area
from drive.sim.traffic.rift.kernels.base import (
    CCOS,
    CHERE,
    CSIN,
    CSPEED,
    CX,
    CY,
    HARDEST,
    HISTORY,
    HORIZON,
    KNOTS,
    MODES,
    kernel,
)
from drive.sim.traffic.rift.kernels.sense import frenet, shortest_turn

F = np.float32
ZERO, HALF, ONE, TWO = F(0.0), F(0.5), F(1.0), F(2.0)
DT = F(0.1)
PER_KNOT = HORIZON // KNOTS
BETWEEN, HARD_MOST = F(HISTORY), F(HARDEST)
QUICKER = F(3.0)  # m/s^2 with which somebody may go on to accelerate
BARELY, PASSING = F(0.1), F(0.02)
"""m of clearance below which two meet, and what it grows by each m/s that they differ by, as far as that is
the vehicle's own speed: who stands is passed as closely as others like."""
ROOM = F(2.0)  # m behind who is ahead at which hard braking is to end
STEEPEST = F(0.6)  # rad of turn on the line that a candidate begins with at most
ABOUT, LEAST, TURNED = F(5.0), F(1.6), F(2.0)
"""The offset falls to an eighth over the distance over which it is worked off, which is so many lengths of
the decay; a length is at least so many m, and at most so many over the slope: who heads away turns soon."""
SHARPEST = F(0.15)  # 1/m of bend against the line that a candidate begins with at most
PI, TWO_PI = F(math.pi), F(2.0 * math.pi)
NEVER = np.int32(HORIZON + 1)
NOWHERE = F(1e7)
REWARDS = (
    "collision", "collision_speed", "off_road", "acceleration", "yaw", "heading", "offset", "speed",
    "standing", "speeding", "red", "discount", "length", "width", "clearance", "reach",
    "band",
)  # fmt: skip
"""A style's weights in the order in which kernels read them; see `style`."""
(COLLISION, COLLISION_SPEED, OFF_ROAD, HARD, YAW, ALIGN, OFFSET, SPEED, STANDING, SPEEDING, RED, DISCOUNT,
 LONGER, WIDER, CLEARANCE, WITHIN, BAND) = range(len(REWARDS))  # fmt: skip
OUTCOMES = ("collision", "off_road", "distance", "pace")
"""Of a candidate's 4 s: whether it collides, share of samples off the road, metres, and what a reward of 1
a m/s above 3, up to the speed limit, would add to the return."""


@scalar
def wrapped(angle):
    return angle - TWO_PI * F(math.floor((angle + PI) / TWO_PI))


@scalar
def ahead_after(t, speed, braking):
    """Metres that who drives at `speed` and brakes has come after `t` s."""
    u = max(speed, ZERO)
    if braking * t > u:
        return HALF * u * u / braking
    return u * t - HALF * braking * t * t


@scalar
def demanded(n, r, facts, lines, braking):
    """Deceleration that takes a vehicle to the speed of who is ahead on a line `ROOM` m behind, or to rest
    where that one's braking ends; 0 where nobody is."""
    if lines[n, r, facts + 7] < HALF:
        return ZERO
    v, u = lines[n, r, facts + 13], max(lines[n, r, facts + 6], ZERO)
    room = lines[n, r, facts + 5] - ROOM
    closing = max(v - u, ZERO)
    need = HALF * closing * closing / max(room, HALF)
    d = braking[n, r]
    if d > ZERO:
        need = max(need, HALF * v * v / max(room + HALF * u * u / d, HALF))
    return min(need, HARD_MOST)


@kernel
def harden(lines, lines_valid, braking, accelerations):
    """Lower `accelerations (N, C, KNOTS)` of each line's first mode to what who is ahead on it demands, or on
    the line that the vehicle is still on; by at most `HARDEST`.

    Recordings, in which next to nobody has to brake hard, draw that mode to 3 m/s^2.
    """
    facts = lines.shape[2] - 16
    for n in range(lines.shape[0]):
        on = 0
        for r in range(1, lines.shape[1]):
            if lines_valid[n, r] and abs(lines[n, r, facts]) < abs(lines[n, on, facts]):
                on = r
        here = demanded(n, on, facts, lines, braking)
        for r in range(lines.shape[1]):
            if lines_valid[n, r]:
                least = -max(here, demanded(n, r, facts, lines, braking))
                for k in range(accelerations.shape[2]):
                    accelerations[n, r * MODES, k] = min(accelerations[n, r * MODES, k], least)


@kernel
def draw(
    states, lines_valid, line_path, line_row, accelerations, lengths, p_rows, p_start, p_step, poses, along
):
    """Fill `poses (N, C, T + 1, 4)` with x, y, heading, speed and `along (N, C, T + 1, 3)` with the offset
    from the line, the turn on it, and metres driven.

    C counts the lines' modes, mode by mode; `accelerations (N, C, KNOTS)`, `lengths (N, C)` in m. What
    belongs to no line stands still.
    """
    for n in range(states.shape[0]):
        x, y, h = states[n, 0], states[n, 1], states[n, 2]
        hc, hs = F(math.cos(h)), F(math.sin(h))
        for q in range(poses.shape[1]):
            r = q // MODES
            if not lines_valid[n, r]:
                for t in range(HORIZON + 1):
                    poses[n, q, t, 0], poses[n, q, t, 1], poses[n, q, t, 2], poses[n, q, t, 3] = x, y, h, ZERO
                    along[n, q, t, 0], along[n, q, t, 1], along[n, q, t, 2] = ZERO, ZERO, ZERO
                continue
            p, k = line_path[n, r], line_row[n, r]
            last, step = p_start[p + 1] - 1, p_step[p]
            over, offset = frenet(x, y, k, p_rows)
            turn = shortest_turn(hc, hs, k, p_rows)
            slope = F(math.tan(min(max(turn, -STEEPEST), STEEPEST)))
            decay = min(lengths[n, q] / ABOUT, TURNED / max(abs(slope), F(1e-3)))
            decay = max(decay, LEAST)
            bent = ZERO
            if states[n, 3] > ONE:
                bent = states[n, 6] / states[n, 3] - p_rows[k, 4]
                bent = min(max(bent, -SHARPEST), SHARPEST)
            first = slope * decay + offset
            second = HALF * (bent * decay * decay + TWO * first - offset)
            v, s = max(states[n, 3], ZERO), ZERO
            for t in range(HORIZON + 1):
                if t > 0:
                    a = accelerations[n, q, (t - 1) // PER_KNOT]
                    after = max(v + a * DT, ZERO)
                    s += HALF * (v + after) * DT
                    v = after
                u = s / decay
                fall = F(math.exp(-u))
                d = (offset + first * u + second * u * u) * fall
                bend = (first - offset + (TWO * second - first) * u - second * u * u) * fall / decay
                far = over + s
                m = k + np.int32(math.floor(far / step))
                m = min(max(m, p_start[p]), last - 1)
                share = (far - F(m - k) * step) / step
                inner = min(max(share, ZERO), ONE)
                c0, s0, c1, s1 = p_rows[m, 2], p_rows[m, 3], p_rows[m + 1, 2], p_rows[m + 1, 3]
                lc, ls = c0 + inner * (c1 - c0), s0 + inner * (s1 - s0)
                size = ONE / math.sqrt(lc * lc + ls * ls)
                lc, ls = lc * size, ls * size
                px = p_rows[m, 0] + share * (p_rows[m + 1, 0] - p_rows[m, 0])
                py = p_rows[m, 1] + share * (p_rows[m + 1, 1] - p_rows[m, 1])
                lean = F(math.atan(bend / max(ONE - p_rows[m, 4] * d, F(0.3))))
                poses[n, q, t, 0], poses[n, q, t, 1] = px - ls * d, py + lc * d
                poses[n, q, t, 2] = wrapped(F(math.atan2(ls, lc)) + lean)
                poses[n, q, t, 3] = v
                along[n, q, t, 0], along[n, q, t, 1], along[n, q, t, 2] = d, lean, s
            poses[n, q, 0, 0], poses[n, q, 0, 1], poses[n, q, 0, 2] = x, y, h


@scalar
def foresee(n, w, own, ids, crowd, body, x0, y0, h0, every, most, cast):
    """Fill `cast (K, T / every, 5)`: centres, cosine, sine, speed of the others, and return how many.

    They keep their yaw rate and an acceleration of -6 to `most` m/s^2. Who follows on the lane of the rear
    axle `x0`, `y0` that heads to `h0` keeps its distance, whatever happens: it is nowhere.
    """
    c0, s0 = F(math.cos(h0)), F(math.sin(h0))
    rear = own[n, 2] - HALF * own[n, 0]
    count = 0
    for q in range(ids.shape[1]):
        j = ids[n, q]
        if j < 0:
            break
        count += 1
        x, y, v = crowd[0, w, j, CX], crowd[0, w, j, CY], crowd[0, w, j, CSPEED]
        c, s = crowd[0, w, j, CCOS], crowd[0, w, j, CSIN]
        rate, a = ZERO, ZERO
        if crowd.shape[0] > 1 and crowd[1, w, j, CHERE] != ZERO:
            c1, s1 = crowd[1, w, j, CCOS], crowd[1, w, j, CSIN]
            rate = F(math.atan2(s * c1 - c * s1, c * c1 + s * s1)) / BETWEEN
            rate = min(max(rate, F(-0.6)), F(0.6))
            a = min(max((v - crowd[1, w, j, CSPEED]) / BETWEEN, F(-6.0)), most)
        back = (x - x0) * c0 + (y - y0) * s0 + HALF * body[w, j, 0]
        aside = abs((y - y0) * c0 - (x - x0) * s0)
        if back < rear and aside < HALF * (own[n, 1] + body[w, j, 1]) and c * c0 + s * s0 > F(0.7):
            x = NOWHERE
        rc, rs = F(math.cos(rate * DT)), F(math.sin(rate * DT))
        for t in range(HORIZON):
            x, y = x + v * c * DT, y + v * s * DT
            c, s = c * rc - s * rs, s * rc + c * rs
            v = max(v + a * DT, ZERO) if v > ZERO else v
            if (t + 1) % every == 0:
                m = (t + 1) // every - 1
                cast[q, m, 0], cast[q, m, 1], cast[q, m, 2], cast[q, m, 3], cast[q, m, 4] = x, y, c, s, v
    return count


@kernel
def probe(world, own, lines, lines_valid, ids, crowd, body, poses, along, accelerations, braking, cast, out):
    """Fill `out (N, C, P + 3)` with PROBES and FEARS of the candidates `poses`; scratch `cast
    (K, HORIZON // 5, 5)`."""
    facts = lines.shape[2] - 16
    steps = HORIZON // PER_KNOT
    for n in range(world.shape[0]):
        w = world[n]
        count = foresee(
            n, w, own, ids, crowd, body, poses[n, 0, 0, 0], poses[n, 0, 0, 1], poses[n, 0, 0, 2], PER_KNOT,
            ZERO, cast,
        )  # fmt: skip
        hl, hw, ahead = HALF * own[n, 0], HALF * own[n, 1], own[n, 2]
        for q in range(poses.shape[1]):
            r = q // MODES
            if not lines_valid[n, r]:
                continue
            first, bumped, struck, bump = steps, steps, ZERO, ZERO
            clearance, effort, lateral, speeding = F(5.0), ZERO, ZERO, ZERO
            for m in range(steps):
                t = (m + 1) * PER_KNOT
                h, v = poses[n, q, t, 2], poses[n, q, t, 3]
                c, s = F(math.cos(h)), F(math.sin(h))
                x, y = poses[n, q, t, 0] + ahead * c, poses[n, q, t, 1] + ahead * s
                turned = abs(wrapped(h - poses[n, q, t - 1, 2])) / DT * v
                lateral = max(lateral, turned)
                effort += abs(accelerations[n, q, m])
                speeding = max(speeding, v - lines[n, r, min(m, 5) * 6 + 5])
                for k in range(count):
                    dx, dy = cast[k, m, 0] - x, cast[k, m, 1] - y
                    j = ids[n, k]
                    far = HALF * (body[w, j, 0] + body[w, j, 1]) + hl + hw
                    if dx * dx + dy * dy > (far + F(5.0)) * (far + F(5.0)):
                        continue
                    gap = boxes_apart(
                        dx, dy, c, s, hl, hw, cast[k, m, 2], cast[k, m, 3], HALF * body[w, j, 0],
                        HALF * body[w, j, 1],
                    )  # fmt: skip
                    clearance = min(clearance, max(gap, F(-1.0)))
                    u = cast[k, m, 4]
                    dx, dy = v * c - u * cast[k, m, 2], v * s - u * cast[k, m, 3]
                    apart = min(F(math.sqrt(dx * dx + dy * dy)), v)
                    if m < first and gap <= BARELY + PASSING * apart:
                        first, struck = m, apart
                # Who is ahead on the line is taken to stay on it, whatever it turns to at the moment, and to
                # brake on.
                if lines[n, r, facts + 7] > HALF and abs(along[n, q, t, 0]) < hw + F(0.8):
                    until = ahead_after(F(m + 1) * F(0.5), lines[n, r, facts + 6], braking[n, r])
                    gap = lines[n, r, facts + 5] + until - along[n, q, t, 2]
                    clearance = min(clearance, max(gap, F(-1.0)))
                    if gap <= BARELY and m < bumped:
                        u = lines[n, r, facts + 6] - F(m + 1) * F(0.5) * braking[n, r]
                        bumped, bump = m, max(v - max(u, ZERO), ZERO)
            distance = along[n, q, HORIZON, 2]
            final = poses[n, q, HORIZON, 3]
            gap = lines[n, r, facts + 5] - distance
            gap += ahead_after(F(4.0), lines[n, r, facts + 6], braking[n, r])
            out[n, q, 0], out[n, q, 1] = F(min(first, bumped)) / F(steps), clearance / F(5.0)
            out[n, q, 2], out[n, q, 3] = final / F(15.0), distance / F(50.0)
            out[n, q, 4], out[n, q, 5] = min(lateral, F(10.0)) / F(5.0), max(speeding, ZERO) / F(5.0)
            out[n, q, 6] = (
                F(distance > max(lines[n, r, facts + 3], ZERO)) if lines[n, r, facts + 3] < F(99.0) else ZERO
            )
            out[n, q, 7] = F(distance > lines[n, r, facts + 2]) if lines[n, r, facts + 2] < F(99.0) else ZERO
            out[n, q, 8] = effort / F(steps) / F(3.0)
            out[n, q, 9] = min(max(gap / (final + F(2.0)), F(-1.0)), F(4.0)) / F(4.0)
            out[n, q, 10], out[n, q, 11] = F(first) / F(steps), F(bumped) / F(steps)
            if first > bumped:
                struck = ZERO
            elif first < bumped:
                bump = ZERO
            out[n, q, 12] = max(struck, bump) / F(15.0)


@scalar
def hits(n, w, x, y, c, s, hl, hw, t, count, ids, cast, body):
    """Least separation from the others at one step, at most 5 m."""
    best = F(5.0)
    for k in range(count):
        j = ids[n, k]
        dx, dy = cast[k, t, 0] - x, cast[k, t, 1] - y
        far = HALF * (body[w, j, 0] + body[w, j, 1]) + hl + hw + F(5.0)
        if dx * dx + dy * dy > far * far:
            continue
        gap = boxes_apart(
            dx, dy, c, s, hl, hw, cast[k, t, 2], cast[k, t, 3], HALF * body[w, j, 0], HALF * body[w, j, 1]
        )
        best = min(best, gap)
    return best


@kernel
def reward(
    world, own, lines, lines_valid, ids, crowd, body, states, along, areas, weights, cast, returns, outcome
):
    """Fill `returns (N, C)` of candidates that were driven, `states (N, C, T + 1, 7)`, and their `outcome`.

    The dense reward of RIFT's released code, step by step: discounted, ended by the first collision with the
    others, but for who follows, as they would go on under their present acceleration and yaw rate. `along`
    holds the plan's offset and turn; `weights (17,)` are a style's. Scratch `cast (K, HORIZON, 5)`.
    """
    facts = lines.shape[2] - 16
    for n in range(world.shape[0]):
        w = world[n]
        count = foresee(
            n, w, own, ids, crowd, body, states[n, 0, 0, 0], states[n, 0, 0, 1], states[n, 0, 0, 2], 1,
            QUICKER, cast,
        )  # fmt: skip
        area = area_at(areas.of[w], areas)
        ahead = own[n, 2]
        hl, hw = HALF * own[n, 0], HALF * own[n, 1]
        for q in range(states.shape[1]):
            r = q // MODES
            returns[n, q] = ZERO
            if not lines_valid[n, r]:
                continue
            total, factor, off, pace = ZERO, ONE, ZERO, ZERO
            hit = False
            red = lines[n, r, facts + 3]
            done = ZERO
            for t in range(1, HORIZON + 1):
                h, v = states[n, q, t, 2], states[n, q, t, 3]
                a = states[n, q, t, 4]
                c, s = F(math.cos(h)), F(math.sin(h))
                x, y = states[n, q, t, 0] + ahead * c, states[n, q, t, 1] + ahead * s
                before = done
                done += v * DT
                gap = hits(
                    n, w, x, y, c, s, hl + weights[LONGER], hw + weights[WIDER], t - 1, count, ids, cast, body
                )
                out = False
                for corner in range(4):
                    fl = hl if corner < 2 else -hl
                    fw = hw if corner % 2 == 0 else -hw
                    out |= not in_area(
                        x + fl * c - fw * s, y + fl * s + fw * c, area.x0, area.y0, area.cell, area.state,
                        area.start, area.triangles, area.corners,
                    )  # fmt: skip
                off += F(out)
                d, turn = abs(along[n, q, t, 0]), along[n, q, t, 1]
                straight = F(math.cos(turn))
                gain = -weights[OFF_ROAD] * F(out)
                rate = (states[n, q, t, 6] - states[n, q, t - 1, 6]) / DT
                gain -= weights[HARD] * F(abs(a) > F(4.0)) + weights[YAW] * F(abs(rate) > F(4.0))
                gain += weights[ALIGN] * (
                    min(straight, ZERO) + F(0.05) * min(v * straight, ZERO)
                    + F(0.25) * (ONE - abs(turn) / (HALF * PI))
                )  # fmt: skip
                if straight > HALF:
                    gain -= weights[OFFSET] * (d - F(0.05) / F(math.exp(d - HALF)))
                if F(3.0) < v:
                    allowed = max(straight, ZERO) * min(v, lines[n, r, facts + 11])
                    pace += factor * allowed
                    if weights[BAND] == ZERO:
                        gain += weights[SPEED] * allowed
                    elif v < weights[BAND]:
                        gain += weights[SPEED] * max(straight, ZERO) * v
                gain -= weights[STANDING] * F((v > ZERO) | (abs(a) > ZERO))
                gain -= weights[SPEEDING] * max(v - F(1.05) * lines[n, r, facts + 11], ZERO)
                if before <= red and red < done and red < F(99.0):
                    gain -= weights[RED]
                if weights[CLEARANCE] != ZERO and gap < weights[WITHIN]:
                    gain -= weights[CLEARANCE] * (weights[WITHIN] - max(gap, ZERO)) / weights[WITHIN]
                if gap <= ZERO:
                    gain -= weights[COLLISION] + weights[COLLISION_SPEED] * abs(v)
                    total += factor * gain
                    hit = True
                    break
                total += factor * gain
                factor *= weights[DISCOUNT]
            returns[n, q] = total
            outcome[n, q, 0], outcome[n, q, 1] = F(hit), off / F(HORIZON)
            outcome[n, q, 2], outcome[n, q, 3] = done, pace


@kernel
def outside(world, own, states, areas, out):
    """Fill `out (N,)` with 1 where a corner of the box of rear-axle `states (N, 7)` is off the road."""
    for n in range(world.shape[0]):
        area = area_at(areas.of[world[n]], areas)
        c, s = F(math.cos(states[n, 2])), F(math.sin(states[n, 2]))
        x, y = states[n, 0] + own[n, 2] * c, states[n, 1] + own[n, 2] * s
        off = False
        for corner in range(4):
            fl = HALF * own[n, 0] if corner < 2 else -HALF * own[n, 0]
            fw = HALF * own[n, 1] if corner % 2 == 0 else -HALF * own[n, 1]
            off |= not in_area(
                x + fl * c - fw * s, y + fl * s + fw * c, area.x0, area.y0, area.cell, area.state, area.start,
                area.triangles, area.corners,
            )  # fmt: skip
        out[n] = np.uint8(off)
