"""The moment as arrays beside the road: where others are, and what of it the loop has to keep clear of."""

from __future__ import annotations

import math

from drive.planners.cpto.kernels.make import kernel
from drive.planners.cpto.kernels.polar import gauge
from drive.planners.cpto.kernels.propose import HEADING, OFFSET, SPEED, STATION
from drive.sim.kernels.line import EDGE_LEFT, EDGE_RIGHT, LIMIT, point_at

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
def nearness(pose, half, used, tracks, every, out):
    """`out (A,)`: the least distance of any of `tracks (R, 6, N)` to each other road user, m along the road.

    `pose (A, 4, K)` has a sample every `every` of the tracks. Beside the road distances count threefold: who
    is in another lane matters less.
    """
    for a in range(len(out)):
        best = 1e9
        if used[a]:
            for r in range(len(tracks)):
                for k in range(0, tracks.shape[2], every):
                    j = k // every
                    dx = abs(pose[a, 0, j] - tracks[r, STATION, k]) - half[a, 0]
                    dy = abs(pose[a, 1, j] - tracks[r, OFFSET, k]) - half[a, 1]
                    best = min(best, max(dx, 0.0) + 3.0 * max(dy, 0.0))
        out[a] = best


@kernel
def lay_pairs(
    pose, half, chosen, every, tracks, active, station, own, discs, turned, square, place, shape, lead, owner,
    disc,
):  # fmt: skip
    """Pairs of a point of the ego and a shape around another; returns how many.

    `chosen (M,)` rows of `pose (A, 4, K)`, with a sample every `every` of the tracks, and of `half (A, 2)`.
    Who goes along the road is one box around both, and the point is the own box's centre; who is turned more
    than `turned` rad meets `discs` discs along the own axis. `own`: rear axle to centre, half length, half
    width, gap along, gap across. Shapes shrink until no active drive of `tracks (Z, 6, N)` begins or comes
    within them, but not below the boxes themselves.
    `place (P, 2, N)` from `station` on, `shape (P, 4, N)`, `lead (P,)`, `owner (P,)`, `disc (P,)`; `active
    (Z, M)` by others.
    """
    steps, pairs = place.shape[2], 0
    to_center, half_length, half_width, gap_x, gap_y = own[0], own[1], own[2], own[3], own[4]
    for m in range(len(chosen)):
        a = chosen[m]
        most = 0.0
        for k in range((steps - 1) // every + 1):
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
            owner[pairs], disc[pairs] = m, c
            ax = CORNER * (half[a, 0] + add_x)
            by = CORNER * (half[a, 1] + add_y)
            shrink = 1.0
            for k in range(steps):
                j = min(k // every, pose.shape[2] - 2)
                f = k / every - j
                x = pose[a, 0, j] + f * (pose[a, 0, j + 1] - pose[a, 0, j])
                y = pose[a, 1, j] + f * (pose[a, 1, j + 1] - pose[a, 1, j])
                cos = pose[a, 2, j] + f * (pose[a, 2, j + 1] - pose[a, 2, j])
                sin = pose[a, 3, j] + f * (pose[a, 3, j + 1] - pose[a, 3, j])
                place[pairs, 0, k], place[pairs, 1, k] = x - station, y
                shape[pairs, 0, k], shape[pairs, 1, k] = cos / ax, sin / ax
                shape[pairs, 2, k], shape[pairs, 3, k] = -sin / by, cos / by
                for z in range(len(tracks)):
                    if not active[z, m]:
                        continue
                    heading = tracks[z, HEADING, k]
                    dx = tracks[z, STATION, k] + lead[pairs] * math.cos(heading) - x
                    dy = tracks[z, OFFSET, k] + lead[pairs] * math.sin(heading) - y
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


@kernel
def lay_references(rows, step, tracks, station, half, last, out):
    """The loop's references and bounds of `tracks (Z, 6, N)`: `out (8, Z, N)`.

    They are v, x, y, heading, most v, most x, least y, most y; x begins at `station` and is to end at `last`,
    and `half` is the room that y needs to either side.
    No bound is tighter than the track itself.
    """
    for z in range(tracks.shape[0]):
        for k in range(tracks.shape[2]):
            s, y, v = tracks[z, STATION, k], tracks[z, OFFSET, k], tracks[z, SPEED, k]
            row = rows[min(max(int(s / step), 0), len(rows) - 1)]
            out[0, z, k], out[1, z, k], out[2, z, k] = v, s - station, y
            out[3, z, k] = tracks[z, HEADING, k]
            out[4, z, k], out[5, z, k] = max(row[LIMIT], v), max(s - station, last)
            out[6, z, k] = min(half - row[EDGE_RIGHT], y - 0.02)
            out[7, z, k] = max(row[EDGE_LEFT] - half, y + 0.02)
