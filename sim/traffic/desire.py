"""What recorded drivers want, as far as their recording shows it: how fast, and how hard they brake.

Reactive drivers aim at the limit; a tractor, a loaded truck or the first car of a jam does not.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLOW = 0.85
"""Who never drives above this share of what the road allows may want to be slow."""
STRIDE = 5
"""Samples from one look at the recording to the next."""
HEADWAY, NEAREST = 4.0, 30.0
"""A road is free if nobody is ahead on it within so many seconds, and so many metres."""
BESIDE = 1.8
"""m from a way at which somebody is still on it."""
STEADY = 0.3
LASTS = 2.0
"""Seconds of steady driving on a free road, at m/s^2 of at most `STEADY`, that a wish is read from."""
SAME = 0.93
"""Share of its fastest speed that such driving must reach: who drives faster elsewhere wants more."""
HARD = 4.0
"""m/s^2: what is harder in a recording is an emergency, or noise."""
LATERAL = 1.5
"""m/s^2 that slow drivers still accept in a bend; slower than that it is the bend that holds them."""


def desired_speeds(
    poses: Floats,
    speed: Floats,
    valid: NDArray[np.bool_],
    centers: Floats,
    limit: Floats,
    look: NDArray[np.bool_],
    dt: float,
) -> Floats:
    """Speeds in m/s `(A,)` that drivers want, infinite where the recording shows no wish below the limit.

    `poses (A, T, 3)` are the recorded ways, `centers (A, T, 2)` the boxes' centres, `limit (A,)` the
    limits of the roads in m/s; only who is marked in `look (A,)` is asked.
    """
    out = np.full(len(poses), np.inf)
    for i in np.flatnonzero(look & valid.any(1)):
        here = np.flatnonzero(valid[i])
        top = float(speed[i, here].max())
        if not 0.5 < top < SLOW * limit[i]:
            continue
        fast = (
            k
            for k in here[::STRIDE]
            if speed[i, k] > SAME * top
            and _unhurried(poses[i], speed[i], here, k, limit[i], dt)
            and _alone(int(i), int(k), poses[i, here[here >= k]], speed[i, k], valid, centers)
        )
        # The closest look is the dearest: no more of them are taken than it needs.
        enough = math.ceil(LASTS / (STRIDE * dt) - 1e-9)
        if len(list(islice(fast, enough))) == enough:
            out[i] = top
    return out


def hardest_braking(speed: Floats, valid: NDArray[np.bool_], dt: float) -> float:
    """Deceleration in m/s^2 that a recorded driver reaches over half a second, at most `HARD`."""
    v = speed[valid]
    span = max(round(0.5 / dt), 1)
    if len(v) <= span:
        return 0.0
    return float(np.clip((v[:-span] - v[span:]).max() / (span * dt), 0.0, HARD))


def _unhurried(pose: Floats, speed: Floats, here: NDArray[np.intp], k: int, limit: float, dt: float) -> bool:
    """Whether a driver keeps its speed at sample `k`, and no bend explains it."""
    a, b = max(k - STRIDE, here[0]), min(k + STRIDE, here[-1])
    if b - a < STRIDE or abs(speed[b] - speed[a]) > STEADY * (b - a) * dt:
        return False
    turn = abs(float(wrap_angle(pose[b, 2] - pose[a, 2]))) / ((b - a) * dt)
    return bool(speed[k] * turn < LATERAL and speed[k] < SLOW * limit)


def _alone(i: int, k: int, way: Floats, speed: float, valid: NDArray[np.bool_], centers: Floats) -> bool:
    """Whether nobody is ahead of agent `i` at sample `k` on its recorded `way (N, 3)`, prolonged straight."""
    reach = max(HEADWAY * speed, NEAREST)
    end = way[-1]
    beyond = np.arange(2.0, reach + 2.0, 2.0)[:, None] * np.array([np.cos(end[2]), np.sin(end[2])])
    line = np.concatenate((way[:, :2], end[:2] + beyond))
    line = line[np.hypot(*(line - way[0, :2]).T) < reach]
    there = valid[:, k].copy()
    there[i] = False
    other = centers[there, k]
    ahead = (other - way[0, :2]) @ np.array([np.cos(way[0, 2]), np.sin(way[0, 2])])
    other = other[(ahead > 0.0) & (ahead < reach)]
    gap = other[:, None] - line[None]
    return not bool((np.einsum("nmi,nmi->nm", gap, gap) < BESIDE**2).any())
