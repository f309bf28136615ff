"""The moment as arrays beside the road: where others are, and what of it the loop has to keep clear of."""

from __future__ import annotations

import math

from drive.planners.cpto.kernels.make import kernel
from drive.planners.cpto.kernels.polar import gauge
from drive.planners.cpto.kernels.propose import HEADING, OFFSET, STATION
from drive.planners.road.kernels.line import point_at

CORNER = 1.08
"""How much larger the rounded box is than the sum of the two boxes: its corners are not cut too deep."""


@kernel
def turn_to_road(rows, step, poses, frenet, out):
    """`out (A, 4, T)`: stations, offsets, cosines and sines of the headings to the road.

    `poses (A, T, 3)` in the world, `frenet (A, T, 2)` on the table `rows` of `step` m.
    """
    for a in range(poses.shape[0]):
        for k in range(poses.shape[1]):
            out[a, 0, k], out[a, 1, k] = frenet[a, k, 0], frenet[a, k, 1]
            _, _, heading = point_at(rows, step, frenet[a, k, 0])
            turn = poses[a, k, 2] - heading
            out[a, 2, k], out[a, 3, k] = math.cos(turn), math.sin(turn)


@kernel
def nearness(pose, half, used, tracks, out):
    """`out (A,)`: the least distance of any of `tracks (R, 6, K)` to each other road user, m along the road.

    Beside the road distances count threefold: who is in another lane matters less.
    """
    for a in range(len(out)):
        best = 1e9
        if used[a]:
            for r in range(len(tracks)):
                for k in range(0, tracks.shape[2], 2):
                    dx = abs(pose[a, 0, k] - tracks[r, STATION, k]) - half[a, 0]
                    dy = abs(pose[a, 1, k] - tracks[r, OFFSET, k]) - half[a, 1]
                    best = min(best, max(dx, 0.0) + 3.0 * max(dy, 0.0))
        out[a] = best


@kernel
def lay_pairs(pose, half, chosen, tracks, active, own, discs, turned, square, place, shape, lead, owner):
    """Pairs of a point of the ego and a shape around another; returns how many.

    `chosen (M,)` rows of `pose (A, 4, K)` and `half (A, 2)`. Who goes along the road is one box around both,
    and the point is the own box's centre; who is turned more than `turned` rad meets `discs` discs along the
    own axis. `own`: rear axle to centre, half length, half width, gap along, gap across. Shapes shrink until
    no active drive of `tracks (Z, 6, N)` begins or comes within them, but not below the boxes themselves.
    `place (P, 2, N)`, `shape (P, 4, N)`, `lead (P,)`, `owner (P,)`; `active (Z, M)` by others.
    """
    steps, pairs = place.shape[2], 0
    to_center, half_length, half_width, gap_x, gap_y = own[0], own[1], own[2], own[3], own[4]
    for m in range(len(chosen)):
        a = chosen[m]
        most = 0.0
        for k in range(steps):
            most = max(most, min(abs(pose[a, 3, k]), 1.0))
        crossing = most > math.sin(turned) and discs > 1
        count = discs if crossing else 1
        for c in range(count):
            if pairs >= len(lead):
                return pairs
            if crossing:
                piece = half_length / count
                lead[pairs] = to_center - half_length + piece * (2 * c + 1)
                radius = math.sqrt(piece * piece + half_width * half_width)
                add_x, add_y = radius + gap_y, radius + gap_y
            else:
                lead[pairs] = to_center
                add_x, add_y = half_length + gap_x, half_width + gap_y
            owner[pairs] = m
            ax = CORNER * (half[a, 0] + add_x)
            by = CORNER * (half[a, 1] + add_y)
            shrink = 1.0
            for k in range(steps):
                place[pairs, 0, k], place[pairs, 1, k] = pose[a, 0, k], pose[a, 1, k]
                cos, sin = pose[a, 2, k], pose[a, 3, k]
                shape[pairs, 0, k], shape[pairs, 1, k] = cos / ax, sin / ax
                shape[pairs, 2, k], shape[pairs, 3, k] = -sin / by, cos / by
                for z in range(len(tracks)):
                    if not active[z, m]:
                        continue
                    heading = tracks[z, HEADING, k]
                    dx = tracks[z, STATION, k] + lead[pairs] * math.cos(heading) - pose[a, 0, k]
                    dy = tracks[z, OFFSET, k] + lead[pairs] * math.sin(heading) - pose[a, 1, k]
                    r = gauge(
                        dx, dy, shape[pairs, 0, k], shape[pairs, 1, k], shape[pairs, 2, k],
                        shape[pairs, 3, k], square,
                    )  # fmt: skip
                    floor = 0.05 if k == 0 else 0.82
                    shrink = min(shrink, max(r - 1e-3, floor))
            for k in range(steps):
                for j in range(4):
                    shape[pairs, j, k] /= shrink
            pairs += 1
    return pairs
