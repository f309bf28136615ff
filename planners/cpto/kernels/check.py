"""The last word on a motion: true boxes, the road's edge and the vehicle's limits, on a finer grid."""

from __future__ import annotations

import math

from drive.planners.cpto.kernels.make import kernel
from drive.planners.road.kernels.line import EDGE_LEFT, EDGE_RIGHT, at
from drive.sim.kernels.scalar import boxes_apart

CONTACT, EDGE, LIMITS = 0, 1, 2
"""What a check finds; columns of its times."""


@kernel
def check(states, frenet, dt, rows, step, own, poses, half, used, every, limits, out, who):
    """First times `out (3,)` in s of contact, of leaving the road and of breaking a limit; infinite if never.

    `states (T, 7)` at the rear axle and `frenet (T, 6)`, `dt` s apart; `own`: rear axle to centre, half
    length, half width. `poses (A, K, 3)` have a sample every `every` of the states; between them they are
    interpolated. `used (A,)` who counts. `limits`: speeding up, braking, curvature (1/m). `who (1,)` is
    the row that is met, -1 none.
    """
    out[0] = out[1] = out[2] = math.inf
    who[0] = -1
    last = poses.shape[1] - 1
    s0, d0 = frenet[0, 0], frenet[0, 3]
    # Who begins off the road is not to leave it farther.
    slack_left = max(0.0, d0 + own[2] - at(rows, step, s0, EDGE_LEFT))
    slack_right = max(0.0, own[2] - d0 - at(rows, step, s0, EDGE_RIGHT))
    for k in range(len(states)):
        t = k * dt
        c, n = math.cos(states[k, 2]), math.sin(states[k, 2])
        x, y = states[k, 0] + own[0] * c, states[k, 1] + own[0] * n
        s, d = frenet[k, 0] + own[0], frenet[k, 3]
        left, right = at(rows, step, s, EDGE_LEFT) + slack_left, at(rows, step, s, EDGE_RIGHT) + slack_right
        if out[1] > t and (d + own[2] > left + 0.3 or own[2] - d > right + 0.3):
            out[1] = t
        v, a = states[k, 3], states[k, 4]
        if out[2] > t and k > 0:
            bend = abs(states[k, 6]) > limits[2] * max(v, 1.0) + 0.1
            if bend or a > limits[0] or a < -limits[1] or frenet[k, 1] < -0.2:
                out[2] = t
        if out[0] < t:
            continue
        j = min(k // every, last - 1)
        f = min((k - j * every) / every, 1.0)
        for i in range(len(used)):
            if not used[i]:
                continue
            dx = poses[i, j, 0] + f * (poses[i, j + 1, 0] - poses[i, j, 0]) - x
            dy = poses[i, j, 1] + f * (poses[i, j + 1, 1] - poses[i, j, 1]) - y
            reach = own[1] + own[2] + half[i, 0] + half[i, 1]
            if dx * dx + dy * dy > reach * reach:
                continue
            turn = poses[i, j + 1, 2] - poses[i, j, 2]
            turn = math.atan2(math.sin(turn), math.cos(turn))
            h = poses[i, j, 2] + f * turn
            if (
                boxes_apart(dx, dy, c, n, own[1], own[2], math.cos(h), math.sin(h), half[i, 0], half[i, 1])
                <= 0.0
            ):
                out[0] = min(out[0], t)
                who[0] = i
                break
