"""The step of a batch of worlds on a GPU: one block a world, its threads share the agents.

The rules are those of `drivers` and `moves`, the same functions; here is only who computes what. The
crowd lies in shared memory. Everyone decides, then everyone moves, then who is awaited enters, with a
barrier between; so many steps need no word from the host.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from drive.sim.kernels.compile import device_kernel, scalar
from drive.sim.kernels.drivers import choose_lane, drive_on_path, follow_path, place_on
from drive.sim.kernels.follow import place_one_later
from drive.sim.kernels.layout import PRESENT
from drive.sim.kernels.moves import (
    CONTROL,
    COOLDOWN,
    IDM,
    LOG,
    MOBIL,
    TRAJECTORY,
    awaited,
    enter,
    move,
    obey,
    replay,
)
from drive.sim.kernels.scalar import ZERO, F, boxes_apart
from drive.sim.kernels.survey import (
    COS,
    CROWD_ROWS,
    CX,
    CY,
    HALF_LENGTH,
    HALF_WIDTH,
    LATER,
    SIN,
    place_one,
)


@scalar
def decide(w, i, m, g, p, wish, lane, crowd, flags, dt, count, anticipate):
    """What a driver on a path does next: `lane[i]` the path that it is on then (-1: no such driver), and
    `wish[:, i]` acceleration, steering rate, station and offset. Others see it as it is until all
    have decided.
    """
    who = g.controller[w, i]
    lane[i] = -1
    if m.presence[w, i] != PRESENT or (who != IDM and who != MOBIL) or m.path[w, i] < 0:
        return
    path, station, offset = m.path[w, i], m.station[w, i], m.offset[w, i]
    accel, lead = drive_on_path(w, i, path, station, m, g, p, crowd, flags, dt, count, anticipate)
    m.leader[w, i] = lead
    if who == MOBIL and m.cooldown[w, i] <= ZERO and m.speed[w, i] > F(2.0):
        beside, at = choose_lane(w, i, accel, m, g, p, crowd, flags, dt, count, anticipate)
        if beside >= 0:
            path = beside
            station, offset = place_on(w, i, path, at, m, p)
    rate, station, offset = follow_path(w, i, path, station, offset, m, g, p, crowd, dt)
    lane[i] = path
    wish[0, i], wish[1, i], wish[2, i], wish[3, i] = accel, rate, station, offset


@scalar
def act(w, i, sample, m, g, p, control, pose, wish, lane, crowd, dt):
    """Move an agent on to the `sample` of the clock."""
    who, samples = g.controller[w, i], g.log.shape[2]
    if who == LOG:
        row = min(sample, samples - 1)
        replay(w, i, sample < samples and g.log_valid[w, i, row] == 1, g.log[w, i, row], m, dt)
    elif m.presence[w, i] == PRESENT:
        if who == TRAJECTORY:
            obey(w, i, pose, m, p, dt)
            return
        accel, rate = ZERO, ZERO
        if who == CONTROL:
            accel, rate = control[w, i, 0], control[w, i, 1]
        elif lane[i] >= 0:
            accel, rate = wish[0, i], wish[1, i]
            if lane[i] != m.path[w, i]:
                m.path[w, i], m.cooldown[w, i] = lane[i], COOLDOWN
            m.station[w, i], m.offset[w, i] = wish[2, i], wish[3, i]
        move(w, i, accel, rate, who != CONTROL, m, g, p, crowd, dt)


@scalar
def hits(i, j, crowd):
    """Whether the boxes of two agents overlap; whichever asks computes the same."""
    a, b = min(i, j), max(i, j)
    dx, dy = crowd[CX, b] - crowd[CX, a], crowd[CY, b] - crowd[CY, a]
    hl, hw, far, wide = (
        crowd[HALF_LENGTH, a],
        crowd[HALF_WIDTH, a],
        crowd[HALF_LENGTH, b],
        crowd[HALF_WIDTH, b],
    )
    reach = hl + hw + far + wide
    if dx * dx + dy * dy > reach * reach:
        return False
    return (
        boxes_apart(dx, dy, crowd[COS, a], crowd[SIN, a], hl, hw, crowd[COS, b], crowd[SIN, b], far, wide)
        <= ZERO
    )


@cache
def step_kernel(size: int) -> Any:
    """The kernel for worlds of up to `size` agents."""
    rows = (CROWD_ROWS, size)
    wishes = (4, size)

    def step_worlds(m, g, p, control, pose, dt, steps, anticipate):
        crowd = cuda.shared.array(rows, np.float32)
        wish = cuda.shared.array(wishes, np.float32)
        lane = cuda.shared.array(size, np.int32)
        w, me, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
        count = m.x.shape[1]
        sample = m.sample[w]
        for _ in range(steps):
            for i in range(me, count, threads):
                place_one(w, i, m, g, crowd)
                place_one_later(w, i, LATER, m, g, p, crowd)
            cuda.syncthreads()
            for i in range(me, count, threads):
                decide(w, i, m, g, p, wish, lane, crowd, None, dt, count, anticipate)
            cuda.syncthreads()
            sample += 1
            late = 0
            for i in range(me, count, threads):
                act(w, i, sample, m, g, p, control, pose, wish, lane, crowd, dt)
                if awaited(w, i, sample, m, g):
                    late = 1
            # Entering is rare, and goes by row: who comes later sees who came before.
            late = cuda.syncthreads_or(late)
            if me == 0:
                m.sample[w] = sample
                if late != 0:
                    for i in range(count):
                        if awaited(w, i, sample, m, g):
                            enter(w, i, sample, m, g, p, count)
            cuda.syncthreads()
        for i in range(me, count, threads):
            place_one(w, i, m, g, crowd)
        cuda.syncthreads()
        for i in range(me, count, threads):
            hit = 0
            if m.presence[w, i] == PRESENT:
                for j in range(count):
                    if j != i and hits(i, j, crowd):
                        hit = 1
            m.collided[w, i] = hit

    return device_kernel(step_worlds)
