"""The last word on a motion: true boxes, the road's edge and the vehicle's limits, on a finer grid."""

from __future__ import annotations

import math

from drive.planners.cpto.kernels.make import kernel
from drive.sim.kernels.compile import routine
from drive.sim.kernels.line import EDGE_LEFT, EDGE_RIGHT, at, world_states
from drive.sim.kernels.scalar import boxes_apart

CONTACT, EDGE, LIMITS = 0, 1, 2
"""What a check finds; columns of its times."""


@kernel
def lay_motions(begin, free, w, start, station, steepest, out):
    """Frenet states `out (Z, T, 6)` of control points `w (2, Z, 10)` from `start (3, 3)` at a station.

    `begin (4, 3, T)` and `free (4, 10, T)` sample the basis. What is left of going backwards, or sideways at
    more than `steepest` of the speed, would turn the car about: it is cut off.
    """
    for z in range(out.shape[0]):
        for axis in range(2):
            a, b, c = start[axis, 0], start[axis, 1], start[axis, 2]
            for r in range(3):
                for k in range(out.shape[1]):
                    value = a * begin[r, 0, k] + b * begin[r, 1, k] + c * begin[r, 2, k]
                    for j in range(free.shape[1]):
                        value += w[axis, z, j] * free[r, j, k]
                    out[z, k, 3 * axis + r] = value
        for k in range(out.shape[1]):
            out[z, k, 0] += station
            out[z, k, 1] = max(out[z, k, 1], 0.0)
            most = steepest * out[z, k, 1]
            out[z, k, 4] = min(max(out[z, k, 4], -most), most)


@kernel
def judge(
    motions, dt, rows, step, origin, wheelbase, heading, own, poses, half, used, every, limits, states, out,
    who,
):  # fmt: skip
    """Rear-axle states `states (Z, T, 7)` in the world of `motions (Z, T, 6)`, and when each of them fails.

    `origin (2,)` is the table's; who stands from the start has `heading`. `used (Z, A)`, `out (Z, 3)` and
    `who (Z,)` as `_check` has them.
    """
    for z in range(motions.shape[0]):
        world_states(rows, step, motions[z], wheelbase, heading, origin[0], origin[1], states[z])
        who[z] = _check(
            states[z], motions[z], dt, rows, step, own, poses, half, used[z], every, limits, out[z]
        )


@routine
def _check(states, frenet, dt, rows, step, own, poses, half, used, every, limits, out):
    """First times `out (3,)` in s of contact, of leaving the road and of breaking a limit; infinite if never.

    `states (T, 7)` at the rear axle and `frenet (T, 6)`, `dt` s apart; `own`: rear axle to centre, half
    length, half width. `poses (A, K, 3)` have a sample every `every` of the states; between them they are
    interpolated. `used (A,)` who counts. `limits`: speeding up, braking, curvature (1/m). Returns the row
    of who is met, -1 none.
    """
    met = -1
    out[0] = out[1] = out[2] = math.inf
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
                met = i
                break
    return met
