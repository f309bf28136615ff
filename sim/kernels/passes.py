"""The step of one world in passes over its agents, each a plain loop over columns that vectorises.

The rules are those of `drivers` and `follow`, the same functions; here is only in what order they are
asked. What one pass finds for the next lies in `own (OWN_ROWS, P)` and `ids (ID_ROWS, P)`, a column an agent.
"""

from __future__ import annotations

import math

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from drive.sim.kernels.compile import scalar
from drive.sim.kernels.drivers import (
    ONE_BIT,
    THREE,
    as_a_car,
    choose_lane,
    driver_acceleration,
    follow_path,
    hold_back,
    known_leader,
    look_further,
    place_on,
    target_of,
)
from drive.sim.kernels.follow import (
    BETWEEN,
    TIMES,
    foot_at,
    gap_in_corridor,
    is_far,
    later_on_path,
    row_at,
    row_near,
    steer_back,
    worked_off,
)
from drive.sim.kernels.layout import FREE_ROAD, GONE, PRESENT
from drive.sim.kernels.moves import CONTROL, COOLDOWN, IDM, LOG, MOBIL, TRAJECTORY, driven, obey, replay
from drive.sim.kernels.scalar import HALF, PI, ZERO, F, boxes_apart, fourth, idm_of, sin_cos, wrap, wrap_once
from drive.sim.kernels.survey import (
    CORRIDOR_MARGIN,
    COS,
    CX,
    CY,
    HALF_LENGTH,
    HALF_WIDTH,
    LATER_X,
    LATER_Y,
    NOT_A_NUMBER,
    REACH,
    SIN,
    SPEED,
    frame_of,
)

SPACING, END, DRIVER = 0, 1, 2
GAP, LEAD_SPEED, ROOM, ROOM_SPEED, TARGET, FRAME, WAYS = 8, 9, 10, 11, 12, 13, 25
LAST_WAY = WAYS + 4 * (TIMES - 1)
OWN_ROWS = WAYS + 4 * TIMES
"""Metres between the samples of the agent's path and its length; the first six `DRIVER_COLUMNS`; gap and
speed of the leader, and of who has to go first; the speed that it is after; its `frame_of`; and box centre
and heading (x, y, cos, sin) on its way at each of the next TIMES, the last of them `LATER` s from now."""
FIRST, LAST, MINDS, DRIVES, ROW, LEADER, AGAIN = range(7)
ID_ROWS = 7
"""First and last row of the agent's path; whether it minds more than its leader; whether it decides
now; its row at its station; whom it follows; whether it has to be asked again, one by one."""
STOPS, UNUSUAL = 8, 16
"""Beside `Paths.holds` in MINDS: the driver means to stop somewhere; its exponent is not 4."""


@scalar
def know_path(w, i, m, g, p, own, ids):
    """Fill what the passes know of an agent's path; without one, the first path stands for it."""
    path = max(m.path[w, i], 0)
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    ids[FIRST, i], ids[LAST, i] = first, last
    own[SPACING, i], own[END, i] = step, F(last - first) * step if m.path[w, i] >= 0 else FREE_ROAD
    minds = np.int32(p.holds[path])
    if not math.isnan(g.stop_station[w, i]):
        minds |= STOPS
    if own[DRIVER + 5, i] != F(4.0):
        minds |= UNUSUAL
    ids[MINDS, i] = minds


@scalar
def begin(w, count, m, g, p, own, ids):
    """Fill what the passes know of a world's agents for a whole visit."""
    for i in range(count):
        for c in range(6):
            own[DRIVER + c, i] = g.driver[w, i, c]
        know_path(w, i, m, g, p, own, ids)


@scalar
def foresee(w, count, m, g, p, crowd, own, ids, anticipate):
    """Where everybody is on its path, and where it will be in `LATER` s; who decides now.

    Returns how many do.
    """
    drivers = 0
    for i in range(count):
        who = g.controller[w, i]
        drives = (m.presence[w, i] == PRESENT) & ((who == IDM) | (who == MOBIL)) & (m.path[w, i] >= 0)
        ids[DRIVES, i] = drives
        drivers += int(drives)
    if drivers == 0:
        return 0
    for i in range(count):
        row = row_at(m.station[w, i], ids[FIRST, i], ids[LAST, i], own[SPACING, i])
        ids[ROW, i] = row
        own[TARGET, i] = target_of(p.rows[row, 5], own[DRIVER, i])
    if anticipate:
        for n in range(TIMES):
            t, r = BETWEEN * F(n + 1), WAYS + 4 * n
            for i in range(count):
                x, y, c, s = later_on_path(
                    m.station[w, i], m.speed[w, i], g.rear_to_center[w, i], t, ids[FIRST, i], ids[LAST, i],
                    own[SPACING, i], p.rows,
                )  # fmt: skip
                on = m.path[w, i] >= 0
                own[r, i] = x if on else crowd[CX, i] + m.vx[w, i] * t
                own[r + 1, i] = y if on else crowd[CY, i] + m.vy[w, i] * t
                own[r + 2, i], own[r + 3, i] = c, s
        for i in range(count):
            crowd[LATER_X, i] = own[LAST_WAY, i] if m.speed[w, i] >= HALF else NOT_A_NUMBER
            crowd[LATER_Y, i] = own[LAST_WAY + 1, i]
    for i in range(count if anticipate else 0, crowd.shape[1]):
        crowd[LATER_X, i], crowd[LATER_Y, i] = NOT_A_NUMBER, ZERO
    return drivers


@scalar
def look_at_leaders(w, count, m, g, p, crowd, own, ids, anticipate):
    """Gap and speed of whom everybody followed before."""
    for i in range(count):
        before, station, rear = m.leader[w, i], m.station[w, i], g.rear_to_center[w, i]
        first, last, step = ids[FIRST, i], ids[LAST, i], own[SPACING, i]
        knows = (ids[DRIVES, i] != 0) & (before >= 0) & (before < count)
        j = before if knows else np.int32(0)
        cx, cy, cj, sj = crowd[CX, j], crowd[CY, j], crowd[COS, j], crowd[SIN, j]
        v, hl, hw = crowd[SPEED, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j]
        dx, dy = cx - m.x[w, i], cy - m.y[w, i]
        half_length, half_width = crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i]
        far = is_far(
            dx, dy, crowd[COS, i], crowd[SIN, i], rear, half_length, half_width, v, hl, hw, REACH, FREE_ROAD
        )
        k = row_near(station + math.sqrt(dx * dx + dy * dy), first, last, step)
        s, d, nearest = foot_at(p.rows, first, last, step, cx, cy, k)
        gap, speed = gap_in_corridor(
            s, d, p.rows[k, 2], p.rows[k, 3], cj, sj, v, hl, hw, half_width + CORRIDOR_MARGIN, station + rear,
            station + rear + half_length, anticipate,
        )  # fmt: skip
        led = knows & (not far) & (gap < FREE_ROAD)
        own[GAP, i] = gap if led else FREE_ROAD
        own[LEAD_SPEED, i] = speed if led else ZERO
        ids[LEADER, i] = before if led else np.int32(-1)
        ids[AGAIN, i] = knows & (not far) & (not nearest)
    for i in range(count):
        if ids[AGAIN, i] != 0:
            ids[LEADER, i], own[GAP, i], own[LEAD_SPEED, i] = known_leader(
                w, i, m.path[w, i], m.station[w, i], m, g, p, crowd, count, anticipate
            )


@scalar
def look_at_others(w, count, m, g, p, crowd, flags, own, ids, anticipate):
    """Who is nearer than the leader of before, and who has to go first."""
    for i in range(count):
        r = ids[ROW, i]
        (
            own[FRAME, i], own[FRAME + 1, i], own[FRAME + 2, i], own[FRAME + 3, i], own[FRAME + 4, i],
            own[FRAME + 5, i], own[FRAME + 6, i], own[FRAME + 7, i], own[FRAME + 8, i], own[FRAME + 9, i],
            own[FRAME + 10, i], own[FRAME + 11, i],
        ) = frame_of(
            p.rows[r, 0], p.rows[r, 1], p.rows[r, 2], p.rows[r, 3], p.rows[r, 4], p.rows[r, 6], p.rows[r, 7],
            m.x[w, i], m.y[w, i], g.rear_to_center[w, i], crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i],
            own[GAP, i],
        )  # fmt: skip
    for i in range(count):
        if ids[DRIVES, i] != 0:
            frame = (
                own[FRAME, i], own[FRAME + 1, i], own[FRAME + 2, i], own[FRAME + 3, i], own[FRAME + 4, i],
                own[FRAME + 5, i], own[FRAME + 6, i], own[FRAME + 7, i], own[FRAME + 8, i], own[FRAME + 9, i],
                own[FRAME + 10, i], own[FRAME + 11, i],
            )  # fmt: skip
            (
                ids[LEADER, i], own[GAP, i], own[LEAD_SPEED, i], own[ROOM, i], own[ROOM_SPEED, i]
            ) = look_further(
                w, i, m.path[w, i], m.station[w, i], ids[LEADER, i], own[GAP, i], own[LEAD_SPEED, i],
                frame, own[LAST_WAY, i], own[LAST_WAY + 1, i], own[LAST_WAY + 2, i], own[LAST_WAY + 3, i], m,
                g, p, crowd, flags, own[WAYS:], count, anticipate,
            )  # fmt: skip


@scalar
def accelerate(w, count, m, g, p, crowd, own, ids, wish, dt, anticipate):
    """Everybody's acceleration and whom it follows."""
    for i in range(count):
        v = m.speed[w, i]
        a = idm_of(
            v, own[LEAD_SPEED, i], own[GAP, i], fourth(v / own[TARGET, i]), own[DRIVER + 1, i],
            own[DRIVER + 2, i], own[DRIVER + 3, i], own[DRIVER + 4, i],
        )  # fmt: skip
        wish[0, i] = as_a_car(a, own[DRIVER + 3, i]) if ids[DRIVES, i] != 0 else ZERO
    for i in range(count):
        if ids[DRIVES, i] == 0:
            continue
        accel, lead = wish[0, i], ids[LEADER, i]
        if ids[MINDS, i] != 0 or own[ROOM, i] < FREE_ROAD:
            target = own[TARGET, i]
            if ids[MINDS, i] & UNUSUAL:
                accel = driver_acceleration(
                    w, i, m.speed[w, i], own[LEAD_SPEED, i], own[GAP, i], target, g.driver
                )
            wish[0, i], lead = hold_back(
                w, i, m.path[w, i], m.station[w, i], accel, lead, own[ROOM, i], own[ROOM_SPEED, i], target, m,
                g, p, crowd, dt, count, anticipate,
            )  # fmt: skip
        m.leader[w, i] = lead


@scalar
def steer_all(w, count, m, g, p, crowd, own, ids, wish, lane, dt):
    """Everybody's place on its path, and how it steers along it."""
    for i in range(count):
        first, last, step, station = ids[FIRST, i], ids[LAST, i], own[SPACING, i], m.station[w, i]
        v, offset = m.speed[w, i], m.offset[w, i]
        k = row_near(station, first, last, step)
        s, d, nearest = foot_at(p.rows, first, last, step, m.x[w, i], m.y[w, i], k)
        rest, slope = worked_off(offset, v, dt)
        rate = steer_back(
            d, rest, slope, crowd[COS, i], crowd[SIN, i], p.rows[k, 2], p.rows[k, 3], p.rows[k, 4], v,
            m.steering[w, i], g.wheelbase[w, i], dt,
        )  # fmt: skip
        drives = ids[DRIVES, i] != 0
        wish[1, i] = rate if drives else ZERO
        wish[2, i], wish[3, i] = s if drives else station, rest if drives else offset
        lane[i] = m.path[w, i] if drives else np.int32(-1)
        ids[AGAIN, i] = drives & (not nearest)
    for i in range(count):
        if ids[AGAIN, i] != 0:
            wish[1, i], wish[2, i], wish[3, i] = follow_path(
                w, i, m.path[w, i], m.station[w, i], m.offset[w, i], m, g, p, crowd, dt
            )


@scalar
def change_lanes(w, count, m, g, p, crowd, flags, ids, wish, lane, dt, anticipate):
    """Who drives by MOBIL may want another path from now on."""
    for i in range(count):
        if (
            g.controller[w, i] == MOBIL
            and ids[DRIVES, i] != 0
            and m.cooldown[w, i] <= ZERO
            and m.speed[w, i] > F(2.0)
        ):
            beside, at = choose_lane(w, i, wish[0, i], m, g, p, crowd, flags, dt, count, anticipate)
            if beside >= 0:
                lane[i] = beside
                station, offset = place_on(w, i, beside, at, m, p)
                wish[1, i], wish[2, i], wish[3, i] = follow_path(
                    w, i, beside, station, offset, m, g, p, crowd, dt
                )


@scalar
def decide_all(w, count, m, g, p, crowd, flags, own, ids, wish, lane, dt, anticipate):
    """What all drivers of a world want next, as `step.decide` has it for one of them."""
    if foresee(w, count, m, g, p, crowd, own, ids, anticipate) == 0:
        for i in range(count):
            lane[i] = -1
            wish[0, i], wish[1, i], wish[2, i], wish[3, i] = ZERO, ZERO, m.station[w, i], m.offset[w, i]
        return
    look_at_leaders(w, count, m, g, p, crowd, own, ids, anticipate)
    look_at_others(w, count, m, g, p, crowd, flags, own, ids, anticipate)
    accelerate(w, count, m, g, p, crowd, own, ids, wish, dt, anticipate)
    steer_all(w, count, m, g, p, crowd, own, ids, wish, lane, dt)
    change_lanes(w, count, m, g, p, crowd, flags, ids, wish, lane, dt, anticipate)


@scalar
def drive_bicycles(w, count, m, g, crowd, own, ids, wish, dt):
    """Move those who drive bicycles as `moves.move` does, but for headings beyond half a turn."""
    for i in range(count):
        along = (ids[DRIVES, i] != 0) & (g.controller[w, i] != CONTROL) & (m.path[w, i] >= 0)
        station = wish[2, i] + m.speed[w, i] * dt if along else wish[2, i]
        m.station[w, i], m.offset[w, i] = station, wish[3, i]
        m.presence[w, i] = np.uint8(GONE) if along & (station > own[END, i]) else m.presence[w, i]
    for i in range(count):
        v, on_path = m.speed[w, i], g.controller[w, i] != CONTROL
        moves = ids[DRIVES, i] != 0
        x, y, h, nv, steering, a, yaw_rate = driven(
            m.x[w, i], m.y[w, i], m.heading[w, i], v, m.steering[w, i], crowd[COS, i], crowd[SIN, i],
            wish[0, i], wish[1, i], g.wheelbase[w, i], on_path, dt,
        )  # fmt: skip
        h = wrap_once(h)
        sine, cosine = sin_cos(h)
        m.x[w, i], m.y[w, i] = x if moves else m.x[w, i], y if moves else m.y[w, i]
        m.heading[w, i] = h if moves else m.heading[w, i]
        m.speed[w, i] = nv if moves else v
        m.steering[w, i] = steering if moves else m.steering[w, i]
        m.acceleration[w, i] = a if moves else m.acceleration[w, i]
        m.yaw_rate[w, i] = yaw_rate if moves else m.yaw_rate[w, i]
        m.vx[w, i] = nv * cosine if moves else m.vx[w, i]
        m.vy[w, i] = nv * sine if moves else m.vy[w, i]
        m.cooldown[w, i] = max(m.cooldown[w, i] - dt, ZERO) if moves else m.cooldown[w, i]


@scalar
def act_all(w, count, sample, m, g, p, control, pose, crowd, own, ids, wish, lane, dt):
    """Move everybody on to the `sample` of the clock, as `cuda_step.act` does for one of them."""
    samples = g.log.shape[2]
    for i in range(count):
        who = g.controller[w, i]
        ids[DRIVES, i] = (m.presence[w, i] == PRESENT) & (who != LOG) & (who != TRAJECTORY)
        if who == LOG:
            row = min(sample, samples - 1)
            replay(w, i, sample < samples and g.log_valid[w, i, row] == 1, g.log[w, i, row], m, dt)
        elif who == TRAJECTORY:
            if m.presence[w, i] == PRESENT:
                obey(w, i, pose, m, p, dt)
                wish[2, i] = m.station[w, i]
        elif who == CONTROL:
            wish[0, i], wish[1, i] = control[w, i, 0], control[w, i, 1]
        elif lane[i] >= 0 and lane[i] != m.path[w, i]:
            m.path[w, i], m.cooldown[w, i] = lane[i], COOLDOWN
            know_path(w, i, m, g, p, own, ids)
    drive_bicycles(w, count, m, g, crowd, own, ids, wish, dt)
    for i in range(count):
        if ids[DRIVES, i] != 0 and not abs(m.heading[w, i]) <= PI:
            m.heading[w, i] = wrap(m.heading[w, i])
            sine, cosine = sin_cos(m.heading[w, i])
            m.vx[w, i], m.vy[w, i] = m.speed[w, i] * cosine, m.speed[w, i] * sine


@scalar
def collide(w, m, crowd, flags, count):
    """Mark everyone whose box overlaps another's."""
    words = flags.view(np.uint64)
    for i in range(count):
        m.collided[w, i] = 0
    for i in range(count - 1):
        if m.presence[w, i] != PRESENT:
            continue
        x, y, hl, hw = crowd[CX, i], crowd[CY, i], crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i]
        own = hl + hw
        for j in range(crowd.shape[1]):
            dx, dy = crowd[CX, j] - x, crowd[CY, j] - y
            reach = own + (crowd[HALF_LENGTH, j] + crowd[HALF_WIDTH, j])
            flags[j] = np.uint8((dx * dx + dy * dy <= reach * reach) & (np.int32(j) > np.int32(i)))
        for word in range((i + 1) // 8, words.shape[0]):
            near = words[word]
            while near != 0:
                j = 8 * word + np.int64(trailing_zeros(near) >> THREE)
                near &= near - ONE_BIT
                if (
                    boxes_apart(
                        crowd[CX, j] - x, crowd[CY, j] - y, crowd[COS, i], crowd[SIN, i], hl, hw,
                        crowd[COS, j], crowd[SIN, j], crowd[HALF_LENGTH, j], crowd[HALF_WIDTH, j],
                    )
                    <= ZERO
                ):  # fmt: skip
                    m.collided[w, i] = 1
                    m.collided[w, j] = 1
