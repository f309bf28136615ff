"""Whether a planned box meets the boxes of others where they are expected."""

from __future__ import annotations

import math

from drive.planners.road.kernels.base import kernel
from drive.sim.kernels.scalar import boxes_apart


@kernel
def first_overlap(states, rear, half_length, half_width, poses, size, margin, skip, out):
    """The first sample at which the ego's box comes within `margin` m of another's, or -1; `out (1,)` whose.

    `states (T, >= 3)` of the rear axle, `rear` m behind the box's centre; `poses (A, T, 3)` of the others'
    centres at the same times, `size (A, 2)`, `skip (A,)`.
    """
    for n in range(min(states.shape[0], poses.shape[1])):
        c, s = math.cos(states[n, 2]), math.sin(states[n, 2])
        x, y = states[n, 0] + rear * c, states[n, 1] + rear * s
        for a in range(poses.shape[0]):
            if skip[a]:
                continue
            hl, hw = 0.5 * size[a, 0], 0.5 * size[a, 1]
            dx, dy = poses[a, n, 0] - x, poses[a, n, 1] - y
            reach = half_length + half_width + hl + hw + margin
            if dx * dx + dy * dy > reach * reach:
                continue
            cj, sj = math.cos(poses[a, n, 2]), math.sin(poses[a, n, 2])
            if boxes_apart(dx, dy, c, s, half_length, half_width, cj, sj, hl, hw) <= margin:
                out[0] = a
                return n
    out[0] = -1
    return -1
