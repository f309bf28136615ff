"""What is remembered of the road users seen in a run: a row each, by the columns below."""

from __future__ import annotations

import math

from drive.planners.road.kernels.base import kernel

(
    X, Y, HEADING, VX, VY, LENGTH, WIDTH, KIND, TIME, SPEED, ACCELERATION, MOVED, PATH, ASKED, BELIEF,
    NUM_COLUMNS,
) = range(16)  # fmt: skip
"""The box centre as last seen, at TIME; SPEED along the heading; MOVED, when it last moved; PATH, the number
of the lane that it follows, -1 none, and ASKED, when that was last looked up; BELIEF that it is there."""
MEMORY = 3.0
"""s for which somebody who is hidden is still expected."""
FORGET = 1.5
"""s in which the belief in somebody hidden falls to 1 / e, where the observation tells none."""
LEAST_EXISTENCE = 0.05
SMOOTHING = 0.3
"""Share of a new difference of speeds in what is taken for an acceleration."""
MOST_BRAKED, MOST_GAINED = 8.0, 3.0
"""m/s^2 beyond which a difference of speeds is noise."""
STANDS = 0.3
"""m/s up to which somebody stands."""


@kernel
def remember(table, place, agents, valid, existence, now):
    """Take up `agents (N, 5)` at the rows `place (N,)`, -1 none; how many nobody believes in any more."""
    for k in range(table.shape[0]):
        table[k, BELIEF] = 0.0
    for i in range(place.shape[0]):
        k = place[i]
        if k < 0:
            continue
        table[k, BELIEF] = existence[i]
        if not valid[i]:
            continue
        h = agents[i, 2]
        speed = agents[i, 3] * math.cos(h) + agents[i, 4] * math.sin(h)
        if abs(speed) > STANDS:
            table[k, MOVED] = now
        passed = now - table[k, TIME]
        if passed > 0.0:
            rate = min(max((speed - table[k, SPEED]) / passed, -MOST_BRAKED), MOST_GAINED)
            table[k, ACCELERATION] += SMOOTHING * (rate - table[k, ACCELERATION])
        for column in range(5):
            table[k, column] = agents[i, column]
        table[k, TIME], table[k, SPEED] = now, speed
    lost = 0
    for k in range(table.shape[0]):
        age = now - table[k, TIME]
        if age > 0.0 and table[k, BELIEF] == 0.0 and age <= MEMORY:
            table[k, BELIEF] = math.exp(-age / FORGET)
        if table[k, BELIEF] < LEAST_EXISTENCE:
            lost += 1
    return lost
