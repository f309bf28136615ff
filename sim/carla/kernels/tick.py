"""One tick of the world: everything that moves, in one compiled call."""

from __future__ import annotations

from drive.sim.carla.kernels.base import kernel
from drive.sim.carla.kernels.contact import gather, note, overlap, part
from drive.sim.carla.kernels.ground import nearest_piece, stand_on
from drive.sim.carla.kernels.layout import (
    AX,
    AY,
    AZ,
    FORCE_X,
    KIND,
    LANE,
    LIMIT,
    PARENT,
    PHYSICS,
    PROP,
    TORQUE,
    VEHICLE,
    VX,
    VY,
    VZ,
    WALKER,
    WZ,
)
from drive.sim.carla.kernels.lights import light_before, turn_lights
from drive.sim.carla.kernels.move import move_actor
from drive.sim.carla.kernels.state import carry, tell
from drive.sim.kernels.compile import routine

ROUNDS = 4
"""Passes over all contacts in a step: chains of vehicles need some."""
FASTEST, FASTEST_TURN = 150.0, 50.0
"""m/s and rad/s beyond which nothing goes, whatever is asked for."""


@routine
def calm(i, body):
    """Keep an actor's velocities within what a step can follow."""
    fast = (body[i, VX] ** 2 + body[i, VY] ** 2 + body[i, VZ] ** 2) ** 0.5
    if fast > FASTEST:
        for k in range(VX, VZ + 1):
            body[i, k] *= FASTEST / fast
    body[i, WZ] = min(max(body[i, WZ], -FASTEST_TURN), FASTEST_TURN)


@routine
def step_all(count, body, param, control, flag, table, pairs, near, hits, what, dt, met):
    """Move all actors with physics by `dt` and part those that meet; returns the length of `hits`."""
    for i in range(count):
        kind = flag[i, KIND]
        if flag[i, PHYSICS] != 0 and flag[i, PARENT] < 0 and kind in (VEHICLE, WALKER, PROP):
            calm(i, body)
            move_actor(i, body, param, control, flag, table, dt)
    for _ in range(ROUNDS):
        any_met = False
        for k in range(near):
            i, j = pairs[k, 0], pairs[k, 1]
            touching, jx, jy = part(i, j, body, param, flag)
            if touching:
                any_met = True
                met = note(i, j, jx, jy, hits, what, met)
        if not any_met:
            break
    return met


@kernel
def advance(
    count, body, param, control, flag, relative, table, pairs, hits, what, grid, start, segments, rows,
    lane_of_row, limits, lamp, cycle, elapsed, span, box, out, dt, steps,
):  # fmt: skip
    """Advance everybody by `dt` in `steps` steps and fill the records `out`; returns how many pairs met.

    `hits (H, 2)` rows of who met whom and `what (H, 2)` the impulse (x, y) in N s on the first of each.
    """
    for i in range(count):
        # The columns of the acceleration hold the velocity before, until the end of the tick.
        body[i, AX], body[i, AY], body[i, AZ] = body[i, VX], body[i, VY], body[i, VZ]
        kind = flag[i, KIND]
        if kind in (VEHICLE, WALKER, PROP):
            stand_on(i, body, flag, grid, start, segments, rows, lane_of_row)
    turn_lights(lamp, cycle, elapsed, span, dt)
    near = gather(body, param, flag, count, dt, pairs)
    met = 0
    for _ in range(steps):
        met = step_all(count, body, param, control, flag, table, pairs, near, hits, what, dt / steps, met)
    for i in range(count):
        for k in range(FORCE_X, TORQUE + 1):
            body[i, k] = 0.0
        body[i, AX] = (body[i, VX] - body[i, AX]) / dt
        body[i, AY] = (body[i, VY] - body[i, AY]) / dt
        body[i, AZ] = (body[i, VZ] - body[i, AZ]) / dt
        if flag[i, KIND] == VEHICLE:
            light_before(i, body, param, flag, box)
            lane = flag[i, LANE]
            if lane >= 0 and limits[lane] > 0.0:
                body[i, LIMIT] = limits[lane]
        # Parents come before what is attached to them.
        if flag[i, PARENT] >= 0:
            carry(i, body, flag, relative)
    for i in range(count):
        tell(i, body, control, flag, lamp, cycle, elapsed, span, out)
    return met


@kernel
def refresh(count, body, control, flag, relative, lamp, cycle, elapsed, span, out):
    """Fill the records `out` without a tick: after actors came, went or were put elsewhere."""
    for i in range(count):
        if flag[i, PARENT] >= 0:
            carry(i, body, flag, relative)
        tell(i, body, control, flag, lamp, cycle, elapsed, span, out)


@kernel
def boxes_meet(i, j, body, param):
    """Whether the boxes of two actors overlap."""
    return overlap(i, j, body, param)[0] > 0.0


@kernel
def height_at(x, y, z, otherwise, grid, start, segments, rows, lane_of_row):
    """Height of the lane best under a place, or `otherwise`."""
    p, _, _ = nearest_piece(x, y, z, grid, start, segments, rows, lane_of_row)
    if p < 0:
        return otherwise
    ex, ey = rows[p + 1, 0] - rows[p, 0], rows[p + 1, 1] - rows[p, 1]
    square = ex * ex + ey * ey
    t = ((x - rows[p, 0]) * ex + (y - rows[p, 1]) * ey) / square if square > 0.0 else 0.0
    return rows[p, 2] + min(max(t, 0.0), 1.0) * (rows[p + 1, 2] - rows[p, 2])
