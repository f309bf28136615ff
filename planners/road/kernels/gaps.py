"""Whether somebody will be where the ego wants to pass, about when it would."""

from __future__ import annotations

import math

from drive.planners.road.kernels.base import kernel
from drive.sim.kernels.giveway import passing_time
from drive.sim.kernels.line import point_at

BESIDE = 0.3
"""m that others are to stay beside the ego's box."""


@kernel
def first_conflict(
    rows, step, front, speed, length, half_width, begin, end, headroom, most_cosine, skip, times, poses,
    frenet, extent,
):  # fmt: skip
    """Of the others whose ways meet the ego's between stations, the first: its index, or -1, and the station
    where its box begins.

    The ego, its front bumper at the station `front`, is taken to pick up speed as one does who leaves a
    line (`drive.sim.kernels.giveway.passing_time`). Somebody conflicts who would be in its corridor less
    than `headroom` s before its front arrives there or after its rear has left, and heads another way: the
    cosine between the two is at most `most_cosine`. `skip (A,)` are those who give way themselves.
    """
    found, nearest = -1, 1e9
    for a in range(frenet.shape[0]):
        if skip[a]:
            continue
        entry, meets = 1e9, False
        for n in range(times.shape[0]):
            s, d = frenet[a, n, 0], frenet[a, n, 1]
            along, across = extent[a, n, 0], extent[a, n, 1]
            if s + along < begin or s - along > end or abs(d) > across + half_width + BESIDE:
                continue
            _, _, h = point_at(rows, step, s)
            if math.cos(poses[a, n, 2] - h) > most_cosine:
                continue
            entry = min(entry, s - along)
            t = times[n]
            reach = passing_time(s - along - front, speed)
            leave = passing_time(s + along + length - front, speed)
            if t > reach - headroom and t < leave + headroom:
                meets = True
        if meets and entry < nearest:
            found, nearest = a, entry
    return found, nearest
