"""What drivers decide, one at a time: whom they follow, how they accelerate, whether they change lanes.

The passes over a world (`passes`) and the threads of a GPU (`cuda_step`) are made of these.
"""

from __future__ import annotations

import math

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from drive.sim.kernels.compile import routine, scalar
from drive.sim.kernels.follow import (
    STOP_LINE_GAP,
    TIMES,
    follower_gap,
    gap_to,
    gap_to_let_in,
    later_on_path,
    project,
    red_light_gap,
    row_at,
    row_near,
    steer_back,
    worked_off,
)
from drive.sim.kernels.giveway import give_way_gap
from drive.sim.kernels.layout import ENDS, FREE_ROAD, GIVE_WAY, SIGNALS
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, idm_acceleration
from drive.sim.kernels.survey import (
    CORRIDOR_MARGIN,
    COS,
    HALF_LENGTH,
    HALF_WIDTH,
    LATER,
    LEADS,
    MEETS,
    REACH,
    SIN,
    SPEED,
    frame_of,
    matters,
    survey,
)

MAX_BRAKING = F(8.0)  # what tyres give; IDM may ask for more
CHANGE_THRESHOLD = F(0.2)  # m/s^2 of advantage that a lane change must bring (MOBIL)
MERGE_DISTANCE = F(200.0)  # m before the end of a lane from which on its drivers want to leave it
MERGE_GAIN = F(2.0)
YIELD_BRAKING = F(2.5)  # m/s^2 at most to let somebody go first
SAFE_BRAKING = F(3.0)  # m/s^2 that a lane change may force on the follower (MOBIL)
ALL_LEAD, ALL_MEET = (np.uint64(0x0101010101010101 * int(bit)) for bit in (LEADS, MEETS))
ONE_BIT, THREE = np.uint64(1), np.uint64(3)


@scalar
def as_a_car(a, strongest):
    """An acceleration cut to what a car can do."""
    return min(max(a, -MAX_BRAKING), strongest)


@scalar
def target_of(allowed, wanted):
    """Speed in m/s that a driver is after."""
    return max(min(allowed, wanted), F(0.1))


@scalar
def driver_acceleration(w, i, speed, lead_speed, gap, target, driver):
    """IDM with the agent's own parameters, cut to what a car can do."""
    a = idm_acceleration(
        speed, lead_speed, gap, target, driver[w, i, 1], driver[w, i, 2],
        driver[w, i, 3], driver[w, i, 4], driver[w, i, 5],
    )  # fmt: skip
    return as_a_car(a, driver[w, i, 3])


@scalar
def known_leader(w, i, path, station, m, g, p, crowd, count, anticipate):
    """Whom an agent followed before, if still (-1 nobody), its gap and speed."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    lead, gap, speed = -1, FREE_ROAD, ZERO
    before = m.leader[w, i]
    if 0 <= before < count:
        gap, speed = gap_to(
            i, before, station, g.rear_to_center[w, i], m.x[w, i], m.y[w, i], REACH, FREE_ROAD, first, last,
            step, p.rows, anticipate, crowd,
        )  # fmt: skip
        if gap < FREE_ROAD:
            lead = before
    return lead, gap, speed


@scalar
def ways_meet(i, j, ways, crowd, v):
    """Whether two agents come near each other on their `ways (4 * TIMES, P)`; see `gap_to_let_in`."""
    wide = crowd[HALF_WIDTH, i] + crowd[HALF_WIDTH, j] + CORRIDOR_MARGIN
    both = crowd[HALF_LENGTH, i] + crowd[HALF_LENGTH, j] + ONE
    meet = False
    for n in range(TIMES):
        c, s = ways[4 * n + 2, i], ways[4 * n + 3, i]
        dx, dy = ways[4 * n, j] - ways[4 * n, i], ways[4 * n + 1, j] - ways[4 * n + 1, i]
        meet = meet | ((abs(dy * c - dx * s) <= wide) & (dx * c + dy * s <= both + v))
    return meet


@scalar
def look_further(
    w, i, path, station, lead, gap, speed, frame, lx, ly, lc, ls, m, g, p, crowd, flags, ways, count,
    anticipate,
):  # fmt: skip
    """What `look_around` finds, once it knows the gap and speed of who led so far.

    `frame` is the path's at the station, (`lx`, `ly`, `lc`, `ls`) the agent's own pose there in `LATER` s.
    Who knows the `ways` of all on their own paths asks fewer whether they have to go first; else None.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    rear, xi, yi = g.rear_to_center[w, i], m.x[w, i], m.y[w, i]
    room, room_speed = FREE_ROAD, ZERO
    known = np.int32(lead)
    mind = anticipate and crowd[SPEED, i] >= HALF
    if flags is None:
        for j in range(count):
            flag = matters(i, j, known, frame, lx, ly, lc, ls, mind, crowd)
            if (flag & LEADS) != 0:
                near, v = gap_to(
                    i, j, station, rear, xi, yi, REACH, gap, first, last, step, p.rows, anticipate, crowd
                )
                if near < gap:
                    lead, gap, speed = j, near, v
            if (flag & MEETS) != 0:
                near = gap_to_let_in(w, i, j, path, station, m, g, p, crowd)
                if near < room:
                    room, room_speed = near, m.speed[w, j]
    else:
        survey(i, known, frame, lx, ly, lc, ls, mind, crowd, flags)
        words = flags.view(np.uint64)
        for word in range(words.shape[0]):
            leads, meets = words[word] & ALL_LEAD, words[word] & ALL_MEET
            while leads != 0:
                j = 8 * word + np.int64(trailing_zeros(leads) >> THREE)
                leads &= leads - ONE_BIT
                near, v = gap_to(
                    i, j, station, rear, xi, yi, REACH, gap, first, last, step, p.rows, anticipate, crowd
                )
                if near < gap:
                    lead, gap, speed = j, near, v
            while meets != 0:
                j = 8 * word + np.int64(trailing_zeros(meets) >> THREE)
                meets &= meets - ONE_BIT
                if ways is not None and not ways_meet(i, j, ways, crowd, m.speed[w, i]):
                    continue
                near = gap_to_let_in(w, i, j, path, station, m, g, p, crowd)
                if near < room:
                    room, room_speed = near, m.speed[w, j]
    return lead, gap, speed, room, room_speed


@scalar
def look_around(w, i, path, station, m, g, p, crowd, flags, count, anticipate):
    """Leader on a path (-1 none), its gap and speed, and the gap and speed of who has to go first.

    A thread of a GPU has no `flags` (None): it asks of one after the other what the survey asks of all at
    once.
    """
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    # Whom it followed before is likely to be the nearest still, and then few others are looked at.
    lead, gap, speed = known_leader(w, i, path, station, m, g, p, crowd, count, anticipate)
    row = row_at(station, first, last, step)
    lx, ly, lc, ls = later_on_path(
        station, m.speed[w, i], g.rear_to_center[w, i], LATER, first, last, step, p.rows
    )
    r = p.rows[row]
    frame = frame_of(
        r[0], r[1], r[2], r[3], r[4], r[6], r[7], m.x[w, i], m.y[w, i], g.rear_to_center[w, i],
        crowd[HALF_LENGTH, i], crowd[HALF_WIDTH, i], gap,
    )  # fmt: skip
    return look_further(
        w, i, path, station, lead, gap, speed, frame, lx, ly, lc, ls, m, g, p, crowd, flags, None, count,
        anticipate,
    )  # fmt: skip


@scalar
def hold_back(
    w, i, path, station, accel, lead, room, room_speed, target, m, g, p, crowd, dt, count, anticipate
):
    """Acceleration, and whom one follows, once it has minded who goes first and where it has to stop."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    speed = m.speed[w, i]
    if room < FREE_ROAD:
        held = driver_acceleration(w, i, speed, room_speed, room, target, g.driver)
        accel = min(accel, max(held, -YIELD_BRAKING))
    front = station + g.rear_to_center[w, i] + HALF * g.length[w, i]
    sample = m.sample[w]
    stop_gap, holds = FREE_ROAD, p.holds[path]
    if holds & SIGNALS:
        stop_gap = red_light_gap(
            w, sample, station, front, speed, first, last, step, p.stop, p.next_stop, g.signals, REACH
        )
    if anticipate and holds & GIVE_WAY:
        stop_gap = min(stop_gap, give_way_gap(w, i, path, station, m, g, p, crowd, count))
    meant = g.stop_station[w, i]
    if not math.isnan(meant) and F(sample) * dt < g.stop_until[w, i] and meant > station - ONE:
        # The driver means to stop with its rear axle there, its usual gap already deducted.
        stop_gap = min(stop_gap, meant - station + g.driver[w, i, 1] + STOP_LINE_GAP)
    if holds & ENDS:
        # A lane that ends beside another one: merge before its end, or wait there.
        stop_gap = min(stop_gap, F(last - first) * step - front)
    if stop_gap < FREE_ROAD:
        held = driver_acceleration(w, i, speed, ZERO, stop_gap - STOP_LINE_GAP, target, g.driver)
        if held < accel:
            accel, lead = held, -2
    return accel, lead


@scalar
def drive_on_path(w, i, path, station, m, g, p, crowd, flags, dt, count, anticipate):
    """Acceleration of a driver on a path, and whom it follows (-1 nobody, -2 a stop)."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    target = target_of(p.rows[row_at(station, first, last, step), 5], g.driver[w, i, 0])
    lead, gap, lead_speed, room, room_speed = look_around(
        w, i, path, station, m, g, p, crowd, flags, count, anticipate
    )
    accel = driver_acceleration(w, i, m.speed[w, i], lead_speed, gap, target, g.driver)
    return hold_back(
        w, i, path, station, accel, lead, room, room_speed, target, m, g, p, crowd, dt, count, anticipate
    )


@scalar
def consider_change(w, i, side, accel, m, g, p, crowd, flags, dt, count, anticipate):
    """MOBIL: the advantage in m/s^2 of changing to a neighbouring path and its (path, station).

    Advantage a' - a + politeness (a'_n - a_n); -inf where there is no lane or the change is not safe.
    """
    none = F(-1e9)
    path = m.path[w, i]
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    row = row_at(m.station[w, i], first, last, step)
    beside, sample = side[row, 0], side[row, 1]
    if beside < 0:
        return none, -1, ZERO
    f2, l2, st2 = p.start[beside], p.start[beside + 1] - 1, p.step[beside]
    station, _, _ = project(p.rows, f2, l2, st2, m.x[w, i], m.y[w, i], sample)
    own, _ = drive_on_path(w, i, beside, station, m, g, p, crowd, flags, dt, count, anticipate)
    back = station + g.rear_to_center[w, i] - crowd[HALF_LENGTH, i]
    wide = crowd[HALF_WIDTH, i] + CORRIDOR_MARGIN
    behind, gap, v = -1, FREE_ROAD, ZERO
    for j in range(count):
        if j != i:
            room = follower_gap(w, i, j, station, back, wide, f2, l2, st2, p.rows, REACH, m, crowd)
            if room < gap:
                behind, gap, v = j, room, m.speed[w, j]
    cost = ZERO
    if behind >= 0:
        if gap < g.driver[w, i, 1]:
            return none, -1, ZERO
        target = target_of(max(g.driver[w, behind, 0], v), FREE_ROAD)
        forced = driver_acceleration(w, behind, v, m.speed[w, i], gap, target, g.driver)
        if forced < -SAFE_BRAKING:
            return none, -1, ZERO
        cost = min(forced, ZERO)
    if own < -SAFE_BRAKING:
        return none, -1, ZERO
    gain = own - accel + g.driver[w, i, 6] * cost
    if p.holds[path] & ENDS and F(last - row) * step < MERGE_DISTANCE:
        gain += MERGE_GAIN
    return gain, beside, station


@routine
def choose_lane(w, i, accel, m, g, p, crowd, flags, dt, count, anticipate):
    """The neighbouring path that a MOBIL driver wants, if one is worth it, and its station; else -1."""
    gain, beside, station = CHANGE_THRESHOLD, -1, ZERO
    for side in (p.left, p.right):
        more, path, at = consider_change(
            w, i, side, accel, m, g, p, crowd, flags, dt, count, anticipate
        )  # fmt: skip
        if more > gain:
            gain, beside, station = more, path, at
    return beside, station


@routine
def place_on(w, i, path, station, m, p):
    """Station and lateral offset of an agent on a path, near a station there."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    s, d, _ = project(p.rows, first, last, step, m.x[w, i], m.y[w, i], row_at(station, first, last, step))
    return s, d


@scalar
def follow_path(w, i, path, station, offset, m, g, p, crowd, dt):
    """Steering rate along a path, the station there, and what remains of the lateral offset."""
    first, last, step = p.start[path], p.start[path + 1] - 1, p.step[path]
    guess = row_near(station, first, last, step)
    s, d, k = project(p.rows, first, last, step, m.x[w, i], m.y[w, i], guess)
    rest, slope = worked_off(offset, m.speed[w, i], dt)
    rate = steer_back(
        d, rest, slope, crowd[COS, i], crowd[SIN, i], p.rows[k, 2], p.rows[k, 3], p.rows[k, 4], m.speed[w, i],
        m.steering[w, i], g.wheelbase[w, i], dt,
    )  # fmt: skip
    return rate, s, rest
