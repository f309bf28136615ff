"""The drivers' simulation: everybody sees, decides and moves, step by step.

The human driver model's reaction delay with anticipation (Treiber, Kesting, Helbing 2006), MOBIL (Kesting,
Treiber, Helbing 2007), lane changes that are due, stop lines, courtesy to who merges.
"""

from __future__ import annotations

import numpy as np

from drive.datasets.generate.kernels.base import (
    ACCEL,
    BRAKE,
    CHANGE_TIME,
    COOPERATE,
    DELAY,
    FACTOR,
    FAR,
    G_FRAME,
    G_SIGNAL,
    G_STATION,
    GAP,
    HIDDEN,
    JERK,
    LATERAL,
    LENGTH,
    MAX_MOVES,
    MOBIL,
    O_BEGIN,
    O_BRAKE,
    O_END,
    O_SPEED,
    PARKED,
    POLITE,
    REAR,
    SIDE,
    T_BEHIND,
    T_BIAS,
    T_BY,
    T_FROM,
    T_GAP,
    T_LANE,
    T_LENGTH,
    T_TIME,
    VEHICLE,
    WALKER,
    WIDTH,
    car_following,
    exact,
    lookup,
    offset_at,
    part,
    speed_caps,
    target_offset,
)
from drive.datasets.generate.kernels.sight import neighbours, zone_busy

WALKERS_END = 0.3
"""Metres before the end of its way at which a walker stops."""


@part
def at_light(sig, n, back, signals, decided, v, dist, dt):  # type: ignore[no-untyped-def]
    """What a driver decides at a light: 1 go on, 0 stop, -1 not decided (it is green).

    The dilemma of a yellow light: go on where stopping is uncomfortable and the yellow still lasts.
    """
    if signals[sig, back] == 1:
        return -1
    if signals[sig, back] == 2 and decided < 0:
        left = 0
        while n + left < signals.shape[1] and signals[sig, n + left] == 2:
            left += 1
        need, comes = v * v / (2.0 * max(dist, 0.1)), dist / max(v, 0.1)
        return 1 if need > 2.2 and comes < left * dt - 0.3 else 0
    return decided


@part
def brake_for_gates(  # type: ignore[no-untyped-def]
    i, n, back, v, v0, front, dt, decided, gates, zones, signals, frame, mode, pos, speed, par
):
    """Largest acceleration that the stop lines ahead allow; `decided (G,)` keeps who has made up its mind."""
    a, p = FAR, par[i]
    for g in range(len(gates)):
        if int(gates[g, G_FRAME]) != frame[i]:
            continue
        dist = gates[g, G_STATION] - front
        if dist < -0.3 or dist > 120.0:
            continue
        sig = int(gates[g, G_SIGNAL])
        closed = False
        if sig >= 0:
            decided[g] = at_light(sig, n, back, signals, decided[g], v, dist, dt)
            closed = signals[sig, back] != 1 and decided[g] != 1
        elif decided[g] != 1:
            if dist < 0.3:
                decided[g] = 1
            elif v * v / (2.0 * max(dist, 0.1)) < 4.0 and dist < 40.0:
                closed = zone_busy(g, i, v, dist, n, gates, zones, signals, frame, mode, pos, speed, par)
        if closed:
            a = min(a, car_following(v, v0, 0.0, 0.0, dist + p[GAP] - 0.8, p))
    return a


@part
def gap_suits(i, row, lead, lead_gap, rear, rear_gap, v, v0, s, pos, speed, accel, par):  # type: ignore[no-untyped-def]
    """Whether the gap beside is fit for a task: (fit, acceleration behind the new leader, urgency 0 to 1)."""
    p = par[i]
    urgency = min(max(1.0 - (row[T_BY] - s) / 200.0, 0.0), 1.0)
    safe, room = 1.5 + 1.5 * urgency, 0.7 - 0.35 * urgency
    fit, a = True, FAR
    if row[T_BEHIND] >= 0:
        j = int(row[T_BEHIND])
        free = s + p[REAR] - 0.5 * p[LENGTH] - (pos[j] + par[j, REAR] + 0.5 * par[j, LENGTH])
        fit, room = free >= row[T_GAP], 0.35
    if lead >= 0:
        a = car_following(v, v0, speed[lead], accel[lead], lead_gap, p)
        need = 2.0 + room * 0.6 * v + max(v - speed[lead], 0.0) * 1.5
        fit = fit and a > -safe and lead_gap > need
    if rear >= 0:
        b = car_following(speed[rear], FAR, v, 0.0, rear_gap, par[rear])
        need = 2.0 + room * speed[rear] + max(speed[rear] - v, 0.0) * 1.5
        fit = fit and b > -safe and rear_gap > need
    return fit, a, urgency


@part
def wait_for_gap(v, v0, to_stop, p):  # type: ignore[no-untyped-def]
    """Largest acceleration of who still waits for a gap, `to_stop` metres before it is too late."""
    if to_stop < 0.5:
        return -3.0
    need = v * v / (2.0 * to_stop)
    if need > 1.1 or to_stop < 6.0:
        return max(-1.25 * need, car_following(v, v0, 0.0, 0.0, to_stop + p[GAP], p))
    return FAR


@part
def advantage(i, a, lead, lead_gap, rear, rear_gap, v, v0, speed, accel, par):  # type: ignore[no-untyped-def]
    """MOBIL's incentive for a lane change, -inf where it is not safe."""
    p = par[i]
    if lead_gap < 3.0 + 0.6 * v or (rear >= 0 and rear_gap < 3.0 + 0.8 * speed[rear]):
        return -FAR
    after = car_following(v, v0, 0.0, 0.0, FAR, p)
    if lead >= 0:
        after = car_following(v, v0, speed[lead], accel[lead], lead_gap, p)
    loss = 0.0
    if rear >= 0:
        b = car_following(speed[rear], FAR, v, 0.0, rear_gap, par[rear])
        if b < -1.5:
            return -FAR
        loss = max(-b, 0.0)
    return after - a - p[POLITE] * loss


@part
def courtesy(  # type: ignore[no-untyped-def]
    i, lane, gap, v, v0, tasks, task_count, done, frame, mode, pos, low, high, speed, accel, par
):
    """Largest acceleration of who lets in the nearest neighbour ahead that has to come over, gently."""
    a, p = FAR, par[i]
    for j in range(len(frame)):
        if j == i or frame[j] != frame[i] or mode[j] != VEHICLE or done[j] >= task_count[j]:
            continue
        if int(tasks[j, done[j], T_LANE]) != lane or pos[j] < tasks[j, done[j], T_FROM] - 20.0:
            continue
        if tasks[j, done[j], T_BEHIND] >= 0 or (high[j] > low[i] and low[j] < high[i]):
            continue
        between = pos[j] + par[j, REAR] - 0.5 * par[j, LENGTH] - pos[i] - p[REAR] - 0.5 * p[LENGTH]
        if between < -0.5 * p[LENGTH] or between > min(gap, 40.0):
            continue
        soft = car_following(v, v0, speed[j], accel[j], max(between, 1.0), p)
        a = min(a, max(soft, -1.8 * p[COOPERATE]))
    return a


@exact
def drive_all(  # type: ignore[no-untyped-def]
    fsize, fstep, pair_start, table,
    lane_frame, lane_start, lane_offset, lane_kappa, lane_near, lane_span, lane_limit,
    frame, mode, par, tasks, task_count, orders, order_count, slows, slow_count, aware,
    moves, move_begin, move_length, move_lane, move_bias, move_time,
    gates, zones, signals, t_start, dt, out,
):  # fmt: skip
    """Drive all agents; `out (N, A, 3)` gets station, speed and acceleration, its row 0 is given.

    The moves, of which each agent's first lane is given, are filled in as they are made. `aware (A, A)`
    is the time from which an agent takes notice of another, or `(0, 0)` where all see all.
    """
    steps, agents, _ = out.shape
    cap = np.empty((agents, fsize.max()))
    for i in range(agents):
        f, lane = frame[i], move_lane[i, 0]
        bend, brake, leave = par[i, LATERAL], 0.7 * par[i, BRAKE], 0.6 * par[i, ACCEL]
        own = (slows[i], slow_count[i], cap[i])
        speed_caps(lane_kappa, lane_start[lane], fsize[f], fstep[f], bend, brake, leave, *own)
    low_log, high_log = np.empty((steps, agents)), np.empty((steps, agents))
    low, high, mid = np.empty(agents), np.empty(agents), np.empty(agents)
    seen_low, seen_high = np.empty(agents), np.empty(agents)
    pos, speed, accel = np.empty(agents), np.empty(agents), np.empty(agents)
    seen_pos, seen_speed, seen_accel = np.empty(agents), np.empty(agents), np.empty(agents)
    done = np.zeros(agents, dtype=np.int64)
    last_change = np.full(agents, -1e3)
    decided = np.full((agents, max(len(gates), 1)), -1, dtype=np.int64)
    look = mode.copy()
    view = (frame, look, seen_pos, seen_low, seen_high, mid, par, pair_start, table, fstep, fsize)
    for n in range(steps - 1):
        t = t_start + n * dt
        for i in range(agents):
            pos[i], speed[i], accel[i] = out[n, i, 0], out[n, i, 1], out[n, i, 2]
            f, m = frame[i], moves[i]
            args = (move_lane[i], move_bias[i], lane_start, lane_offset, fstep[f], fsize[f])
            d = offset_at(pos[i], m, move_begin[i], move_length[i], *args)
            to = target_offset(m, pos[i], *args)
            mid[i] = d
            low[i], high[i] = min(d, to) - 0.5 * par[i, WIDTH], max(d, to) + 0.5 * par[i, WIDTH]
            low_log[n, i], high_log[n, i] = low[i], high[i]
        for i in range(agents):
            f = frame[i]
            v, s, p = speed[i], pos[i], par[i]
            front = s + p[REAR] + 0.5 * p[LENGTH]
            lane = move_lane[i, moves[i]]
            if mode[i] == PARKED:
                out[n + 1, i, 0], out[n + 1, i, 1], out[n + 1, i, 2] = s, 0.0, 0.0
                continue
            v0 = p[FACTOR] * lane_limit[lane]
            command = FAR
            for k in range(order_count[i]):
                if orders[i, k, O_BEGIN] <= t < orders[i, k, O_END]:
                    command = min(command, max(orders[i, k, O_SPEED] - v, -orders[i, k, O_BRAKE]))
            if mode[i] == WALKER:
                a = min(min(command, 2.0 * (v0 - v)), p[ACCEL])
                # It stands where its way ends: nobody vanishes before the eyes of the others.
                left = max((fsize[f] - 1) * fstep[f] - front - WALKERS_END, 0.0)
                a = max(min(a, 4.0 * (np.sqrt(p[BRAKE] * left) - v)), -p[BRAKE])
                new = max(v + a * dt, 0.0)
                # Stations of the reference curve pass faster on the inside of a bend.
                one = (
                    1.0 - lookup(lane_kappa, lane_start[len(lane_frame) + f], fsize[f], s / fstep[f]) * mid[i]
                )
                out[n + 1, i, 0], out[n + 1, i, 1], out[n + 1, i, 2] = s + 0.5 * (v + new) * dt / one, new, a
                continue

            # What the driver sees is as old as the reaction, moved on at the speed seen.
            back = max(n - int(p[DELAY]), 0)
            for j in range(agents):
                seen_speed[j], seen_accel[j] = out[back, j, 1], out[back, j, 2]
                seen_pos[j] = out[back, j, 0] + (n - back) * dt * seen_speed[j]
                seen_low[j], seen_high[j] = low_log[back, j], high_log[back, j]
                if len(aware) > 0:
                    look[j] = HIDDEN if aware[i, j] > t else mode[j]
            seen_pos[i] = s
            moving = moves[i] > 0 and s < move_begin[i, moves[i] - 1] + move_length[i, moves[i] - 1]
            pending = done[i] < task_count[i]
            if pending:
                pending = s >= tasks[i, done[i], T_FROM] and t >= tasks[i, done[i], T_TIME]
            ahead, gap, _, _, c = neighbours(i, high[i] + SIDE, low[i] - SIDE, pending or moving, *view)
            if ahead < 0:
                a = car_following(v, v0, 0.0, 0.0, FAR, p)
            else:
                a = car_following(v, v0, seen_speed[ahead] * c, seen_accel[ahead] * c, gap, p)
            # One second ahead the speed must suit the bend, and also before, where it is left again.
            soon = lookup(cap[i], 0, fsize[f], (s + 0.4 * v) / fstep[f])
            then = lookup(cap[i], 0, fsize[f], (s + v) / fstep[f])
            a = min(min(a, command), min((soon - v) / 0.4, then - v))
            a = min(a, brake_for_gates(
                i, n, back, v, v0, front, dt, decided[i], gates, zones, signals, frame, look, pos, speed, par
            ))  # fmt: skip

            choice, bias, length = -1, 0.0, max(v * p[CHANGE_TIME], 18.0)
            reach = 0.5 * p[WIDTH] + SIDE
            if pending:
                row = tasks[i, done[i]]
                to_lane = int(row[T_LANE])
                d_to = lookup(lane_offset, lane_start[to_lane], fsize[f], s / fstep[f]) + row[T_BIAS]
                la, ga, fo, gb, _ = neighbours(i, d_to + reach, d_to - reach, True, *view)
                fit, a_new, urgency = gap_suits(
                    i, row, la, ga, fo, gb, v, v0, s, pos, seen_speed, seen_accel, par
                )
                if fit and moves[i] < MAX_MOVES:
                    choice, bias = to_lane, row[T_BIAS]
                    length = row[T_LENGTH] if row[T_LENGTH] > 0 else length
                    done[i] += 1
                else:
                    if la >= 0 and ga > -4.0:
                        a = min(a, max(a_new, -0.8 - urgency))
                    a = min(a, wait_for_gap(v, v0, row[T_BY] - front, p))
            elif p[MOBIL] > 0.5 and not moving and n % 10 == i % 10 and t - last_change[i] > 6.0 and v > 5.0:
                best = 0.25
                for side in range(2):
                    m = lane_near[lane, side]
                    if m < 0 or s < lane_span[m, 0] or s + 5.0 * v > lane_span[m, 1]:
                        continue
                    d_to = lookup(lane_offset, lane_start[m], fsize[f], s / fstep[f])
                    la, ga, fo, gb, _ = neighbours(i, d_to + reach, d_to - reach, False, *view)
                    gain = advantage(i, a, la, ga, fo, gb, v, v0, seen_speed, seen_accel, par)
                    # Keep to the right where nothing else speaks.
                    gain += 0.1 if side == 1 else -0.1
                    if gain > best and moves[i] < MAX_MOVES:
                        best, choice, bias = gain, m, move_bias[i, 0]
            if choice >= 0:
                k = moves[i]
                move_begin[i, k], move_length[i, k], move_time[i, k] = s, length, t
                move_lane[i, k + 1], move_bias[i, k + 1] = choice, bias
                moves[i], last_change[i] = k + 1, t

            if p[COOPERATE] > 0.0:
                a = min(a, courtesy(
                    i, lane, gap, v, v0, tasks, task_count, done, frame, mode, pos, low, high, speed, accel,
                    par,
                ))  # fmt: skip
            a = max(min(a, p[ACCEL]), -8.0)
            rate = p[JERK] if a > -2.8 else 2.0 * p[JERK]
            a = max(min(a, accel[i] + p[JERK] * dt), accel[i] - rate * dt)
            if v <= 0.0 and a < 0.0:
                a = 0.0
            new = max(v + a * dt, 0.0)
            # Stations of the reference curve pass faster on the inside of a bend.
            args = (move_lane[i], move_bias[i], lane_start, lane_offset, fstep[f], fsize[f])
            here = offset_at(s, moves[i], move_begin[i], move_length[i], *args)
            d1 = 2.0 * (offset_at(s + 0.5, moves[i], move_begin[i], move_length[i], *args) - here)
            one = 1.0 - lookup(lane_kappa, lane_start[len(lane_frame) + f], fsize[f], s / fstep[f]) * mid[i]
            out[n + 1, i, 0] = s + 0.5 * (v + new) * dt / np.sqrt(one * one + d1 * d1)
            out[n + 1, i, 1], out[n + 1, i, 2] = new, a
