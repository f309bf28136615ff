"""Traffic lights: the groups' cycles, and which vehicle stands before which light."""

from __future__ import annotations

import math

from drive.sim.carla.kernels.layout import (
    AT_LIGHT,
    BOX_X,
    G_FROZEN,
    G_NOW,
    G_PHASES,
    G_SPAN,
    G_STAGE,
    GREEN,
    HALF_X,
    L_GROUP,
    L_PHASE,
    L_STATE,
    RED,
    YAW,
    YELLOW,
    X,
    Y,
    Z,
)
from drive.sim.kernels.compile import scalar

MOST_STAGES = 64
"""Changes of one group in one tick, however long: times may be set to nothing."""


@scalar
def show(group, lamp, cycle):
    """The lights of a group's present phase take its stage's colour; the others keep theirs."""
    stage = cycle[group, G_STAGE]
    state = GREEN if stage == 0 else (YELLOW if stage == 1 else RED)
    for k in range(lamp.shape[0]):
        if lamp[k, L_GROUP] == group and lamp[k, L_PHASE] == cycle[group, G_NOW]:
            lamp[k, L_STATE] = state


@scalar
def turn_lights(lamp, cycle, elapsed, span, dt):
    """Advance all groups: a phase is green, yellow, then red, and then the next one's turn comes."""
    for g in range(cycle.shape[0]):
        if cycle[g, G_FROZEN] != 0:
            continue
        elapsed[g] += dt
        for _ in range(MOST_STAGES):
            length = span[cycle[g, G_SPAN] + cycle[g, G_NOW], cycle[g, G_STAGE]]
            # Sums of steps may fall short of a length by rounding.
            if elapsed[g] < length - 1e-9:
                break
            elapsed[g] = max(elapsed[g] - length, 0.0)
            cycle[g, G_STAGE] += 1
            if cycle[g, G_STAGE] == 3:
                cycle[g, G_STAGE] = 0
                cycle[g, G_NOW] = (cycle[g, G_NOW] + 1) % cycle[g, G_PHASES]
            show(g, lamp, cycle)


@scalar
def light_before(i, body, param, flag, box):
    """Find the light in whose trigger box a vehicle's front or middle is, driving as its lanes do.

    `box (L, 7)`: x, y, z of the middle, cosine and sine of the lanes' direction, half extents along and
    across them.
    """
    c, s = math.cos(body[i, YAW]), math.sin(body[i, YAW])
    flag[i, AT_LIGHT] = -1
    ahead = param[i, HALF_X] + param[i, BOX_X]
    for k in range(box.shape[0]):
        dx, dy = body[i, X] - box[k, 0], body[i, Y] - box[k, 1]
        if dx * dx + dy * dy > 1600.0 or abs(body[i, Z] - box[k, 2]) > 4.0:
            continue
        if c * box[k, 3] + s * box[k, 4] < 0.5:
            continue
        for _ in range(2):
            along, across = dx * box[k, 3] + dy * box[k, 4], dy * box[k, 3] - dx * box[k, 4]
            if abs(along) <= box[k, 5] and abs(across) <= box[k, 6]:
                flag[i, AT_LIGHT] = k
                return
            dx, dy = dx + ahead * c, dy + ahead * s
