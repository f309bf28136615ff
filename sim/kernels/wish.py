"""Whether a recording shows what a driver wants: how often it keeps its speed on a road that is free."""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.lqr import wrap_to

STRIDE = 5
"""Samples from one look at the recording to the next."""
HEADWAY, NEAREST = 4.0, 30.0
"""A road is free if nobody is ahead on it within so many seconds, and so many metres."""
BESIDE = 1.8
"""m from a way at which somebody is still on it."""
STEADY = 0.3
"""m/s^2 up to which a speed is kept."""
LATERAL = 1.5
"""m/s^2 that slow drivers still accept in a bend; slower than that it is the bend that holds them."""
ONWARD = 2.0
"""m between the points of a way that is prolonged straight."""


@kernel
def steady_alone(i, here, poses, speed, valid, centers, fast, slow, dt, enough):
    """Whether agent `i` drives between the speeds `fast` and `slow`, steadily and alone, at `enough` samples.

    `here (K,)` its samples, of which every `STRIDE`th is looked at; `poses (A, T, 3)`, `speed (A, T)`,
    `valid (A, T)`, `centers (A, T, 2)`.
    """
    found = 0
    for n in range(0, here.shape[0], STRIDE):
        v = speed[i, here[n]]
        if v > fast and v < slow and unhurried(i, n, here, poses, speed, dt):
            found += alone(i, n, here, poses, max(HEADWAY * v, NEAREST), valid, centers)
            if found >= enough:
                return True
    return found >= enough


@scalar
def unhurried(i, n, here, poses, speed, dt):
    """Whether a driver keeps its speed at its sample `here[n]`, and no bend explains it."""
    k = here[n]
    a, b = max(k - STRIDE, here[0]), min(k + STRIDE, here[here.shape[0] - 1])
    if b - a < STRIDE or abs(speed[i, b] - speed[i, a]) > STEADY * (b - a) * dt:
        return False
    turn = abs(wrap_to(poses[i, b, 2] - poses[i, a, 2], math.pi, 2.0 * math.pi)) / ((b - a) * dt)
    return speed[i, k] * turn < LATERAL


@scalar
def alone(i, n, here, poses, reach, valid, centers):
    """Whether nobody is ahead of agent `i` at its sample `here[n]`, on the way it goes from there."""
    k = here[n]
    x, y = poses[i, k, 0], poses[i, k, 1]
    cos, sin = math.cos(poses[i, k, 2]), math.sin(poses[i, k, 2])
    for j in range(valid.shape[0]):
        if j == i or not valid[j, k]:
            continue
        dx, dy = centers[j, k, 0] - x, centers[j, k, 1] - y
        ahead = dx * cos + dy * sin
        if (
            ahead > 0.0
            and ahead < reach
            and on_way(i, n, here, poses, reach, centers[j, k, 0], centers[j, k, 1])
        ):
            return False
    return True


@scalar
def on_way(i, n, here, poses, reach, x, y):
    """Whether a point is on the way of agent `i` from `here[n]` on, prolonged straight, up to `reach`."""
    x0, y0 = poses[i, here[n], 0], poses[i, here[n], 1]
    far, near = reach * reach, BESIDE * BESIDE
    for m in range(n, here.shape[0]):
        px, py = poses[i, here[m], 0], poses[i, here[m], 1]
        if (px - x0) ** 2 + (py - y0) ** 2 < far and (px - x) ** 2 + (py - y) ** 2 < near:
            return True
    last = here[here.shape[0] - 1]
    cos, sin = math.cos(poses[i, last, 2]), math.sin(poses[i, last, 2])
    for m in range(1, math.ceil(reach / ONWARD) + 1):
        px, py = poses[i, last, 0] + m * ONWARD * cos, poses[i, last, 1] + m * ONWARD * sin
        if (px - x0) ** 2 + (py - y0) ** 2 < far and (px - x) ** 2 + (py - y) ** 2 < near:
            return True
    return False
