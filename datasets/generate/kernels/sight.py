"""Who is where in whose frame: projections between curves, neighbours, and conflicts at junctions."""

from __future__ import annotations

import numpy as np

from drive.datasets.generate.kernels.base import (
    CRITICAL,
    FAR,
    G_FRAME,
    G_OCCUPIED,
    G_SIGNAL,
    G_STATION,
    G_ZONE0,
    G_ZONE1,
    HIDDEN,
    LENGTH,
    PARKED,
    REAR,
    WALKER,
    WIDTH,
    Z_CLEAR,
    Z_FRAME,
    Z_IN,
    Z_OUT,
    exact,
    part,
)

BLOCK = 16
"""Samples of a curve that one circle bounds."""
ABOVE = 1.0 + 1e-12
"""More than rounding can take away from a bound."""


@part
def bound_blocks(start, size, points, block_start, blocks):  # type: ignore[no-untyped-def]
    """Circles (x, y, radius) around every `BLOCK` samples of each frame."""
    for f in range(len(size)):
        for b in range(block_start[f + 1] - block_start[f]):
            first, last = start[f] + b * BLOCK, start[f] + min((b + 1) * BLOCK, size[f])
            middle, wide = (first + last) // 2, 0.0
            for m in range(first, last):
                dx, dy = points[m, 0] - points[middle, 0], points[m, 1] - points[middle, 1]
                wide = max(wide, dx * dx + dy * dy)
            row = block_start[f] + b
            blocks[row, 0], blocks[row, 1], blocks[row, 2] = (
                points[middle, 0],
                points[middle, 1],
                np.sqrt(wide),
            )


@part
def nearest(x, y, f, hint, start, size, points, block_start, blocks):  # type: ignore[no-untyped-def]
    """Sample of frame f nearest to a point, and its distance: `hint` or the first one that is nearer."""
    dx, dy = x - points[start[f] + hint, 0], y - points[start[f] + hint, 1]
    best, at = np.sqrt(dx * dx + dy * dy), hint
    for b in range(block_start[f + 1] - block_start[f]):
        row = block_start[f] + b
        dx, dy, far = x - blocks[row, 0], y - blocks[row, 1], (best + blocks[row, 2]) * ABOVE
        if dx * dx + dy * dy > far * far:
            continue
        for m in range(b * BLOCK, min((b + 1) * BLOCK, size[f])):
            dx, dy = x - points[start[f] + m, 0], y - points[start[f] + m, 1]
            d2 = dx * dx + dy * dy
            # Few are worth a root.
            if d2 < best * best * ABOVE:
                d = np.sqrt(d2)
                if d < best:
                    best, at = d, m
    return at, best


@exact
def project_frames(  # type: ignore[no-untyped-def]
    start, size, step, points, direction, block_start, blocks, pair_start, reach, table, near
):
    """Fill `table` with each frame's samples in every other frame: station, offset, cos and sin of the turn.

    An offset of NaN means farther than `reach` metres; `near (F, F, 2)` gets the first sample, and the one
    behind the last, that is not. Samples too far to be in reach are leapt over. `blocks (B, 3)` is scratch.
    """
    bound_blocks(start, size, points, block_start, blocks)
    frames = len(size)
    for f in range(frames):
        for g in range(frames):
            near[f, g, 0], near[f, g, 1] = size[g], 0
            if f == g:
                continue
            k, at = 0, 0
            while k < size[g]:
                x, y = points[start[g] + k, 0], points[start[g] + k, 1]
                at, best = nearest(x, y, f, at, start, size, points, block_start, blocks)
                if best > reach:
                    far = max(int((best - reach) / step[g]), 1)
                    for m in range(k, min(k + far, size[g])):
                        table[pair_start[f, g] + m, 1] = np.nan
                    k += far
                    continue
                row = pair_start[f, g] + k
                c, s = direction[start[f] + at, 0], direction[start[f] + at, 1]
                dx, dy = x - points[start[f] + at, 0], y - points[start[f] + at, 1]
                table[row, 0] = at * step[f] + c * dx + s * dy
                table[row, 1] = c * dy - s * dx
                cg, sg = direction[start[g] + k, 0], direction[start[g] + k, 1]
                table[row, 2] = c * cg + s * sg
                table[row, 3] = c * sg - s * cg
                near[f, g, 0], near[f, g, 1] = min(near[f, g, 0], k), k + 1
                k += 1


@exact
def meeting(f, g, begin, end, wide, step, pair_start, table, near):  # type: ignore[no-untyped-def]
    """First and last station on frame f, between two of its own, and on g where they are less than `wide`
    metres apart; a last one before the first where they never are."""
    s0, s1, q0, q1 = FAR, -FAR, FAR, -FAR
    for k in range(near[f, g, 0], near[f, g, 1]):
        row = pair_start[f, g] + k
        if abs(table[row, 1]) < wide and begin <= table[row, 0] <= end:
            q0, q1 = min(q0, k * step[g]), k * step[g]
    for k in range(near[g, f, 0], near[g, f, 1]):
        s = k * step[f]
        if abs(table[pair_start[g, f] + k, 1]) < wide and begin <= s <= end:
            s0, s1 = min(s0, s), s
    return s0, s1, q0, q1


@part
def relate(i, j, frame, pos, low, high, mid, par, pair_start, table, near, fstep, fsize):  # type: ignore[no-untyped-def]
    """Agent j in i's frame: (related, station of its centre, lowest and highest offset, half length, cosine).

    `pos` are rear-axle stations, `low`, `high`, `mid` the offsets that the agents occupy or move to.
    """
    f, g = frame[i], frame[j]
    hl, hw = 0.5 * par[j, LENGTH], 0.5 * par[j, WIDTH]
    centre = pos[j] + par[j, REAR]
    if f == g:
        return True, centre, low[j], high[j], hl, 1.0
    x = centre / fstep[g]
    sample = int(x + 0.5)
    # Most pairs of ways are far apart: the small table of where they are not spares the large one.
    if x < 0.0 or x > fsize[g] - 1 or sample < near[f, g, 0] or sample >= near[f, g, 1]:
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    row = pair_start[f, g] + sample
    if not abs(table[row, 1]) < 1e6:
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    c, s = table[row, 2], table[row, 3]
    rest = centre - sample * fstep[g]
    station = table[row, 0] + c * rest - s * mid[j]
    offset = table[row, 1] + s * rest + c * mid[j]
    reach = abs(c) * (0.5 * (high[j] - low[j])) + abs(s) * hl
    return True, station, offset - reach, offset + reach, abs(c) * hl + abs(s) * hw, c


@part
def neighbours(  # type: ignore[no-untyped-def]
    i, left, right, skip_parked, frame, mode, pos, low, high, mid, par, pair_start, table, near, fstep, fsize
):
    """Nearest agents ahead and behind whose offsets meet [right, left], -1 where there is none.

    Returns (ahead, its gap, behind, its gap, cosine of the heading of who is ahead).
    """
    ahead, behind, gap_a, gap_b, cos_a = -1, -1, FAR, FAR, 1.0
    own = pos[i] + par[i, REAR]
    half = 0.5 * par[i, LENGTH]
    for j in range(len(frame)):
        if j == i or mode[j] == HIDDEN or (mode[j] == WALKER and frame[j] == frame[i]):
            continue
        if mode[j] == PARKED and skip_parked:
            continue
        ok, s, lo, hi, hl, c = relate(
            i, j, frame, pos, low, high, mid, par, pair_start, table, near, fstep, fsize
        )
        if not ok or lo > left or hi < right or c < -0.4:
            continue
        if s >= own:
            gap = s - hl - own - half
            if gap < gap_a:
                ahead, gap_a, cos_a = j, gap, c
        elif c > 0.7:
            gap = own - half - s - hl
            if gap < gap_b:
                behind, gap_b = j, gap
    return ahead, gap_a, behind, gap_b, cos_a


@part
def zone_busy(  # type: ignore[no-untyped-def]
    gate, i, v, dist, now, gates, zones, signals, frame, mode, pos, speed, par
):
    """Whether somebody with priority will be in a conflict zone of the gate while i would pass it."""
    enter = dist / max(v, 1.5)
    for z in range(int(gates[gate, G_ZONE0]), int(gates[gate, G_ZONE1])):
        q, z0, z1 = int(zones[z, Z_FRAME]), zones[z, Z_IN], zones[z, Z_OUT]
        leave = (dist + zones[z, Z_CLEAR] + par[i, LENGTH]) / max(v, 4.5) + par[i, CRITICAL]
        if v < 3.0:
            leave += 1.0
        for j in range(len(frame)):
            if frame[j] != q or j == i or mode[j] == PARKED or mode[j] == HIDDEN:
                continue
            front = pos[j] + par[j, REAR] + 0.5 * par[j, LENGTH]
            if front - par[j, LENGTH] > z1:
                continue
            to_zone = z0 - front
            if gates[gate, G_OCCUPIED] > 0.5:
                # Only who is inside counts, and only if it will not be gone in time.
                if to_zone <= 0.0 and (z1 - front + par[j, LENGTH]) / max(speed[j], 1.0) > enter - 0.5:
                    return True
                continue
            if to_zone <= 0.0:
                if mode[j] == WALKER and speed[j] < 0.2:
                    continue
                return True
            if mode[j] == WALKER and speed[j] < 0.2:
                continue
            held = False
            for h in range(len(gates)):
                sig = int(gates[h, G_SIGNAL])
                if int(gates[h, G_FRAME]) == q and sig >= 0 and front <= gates[h, G_STATION] <= z0:
                    held = held or signals[sig, now] == 3
            if held:
                continue
            # Who stands may start, who rolls may speed up.
            quick = speed[j] if mode[j] == WALKER else max(min(speed[j] + 2.0, 4.0), 1.08 * speed[j])
            come = to_zone / quick
            gone = (z1 - front + par[j, LENGTH]) / max(speed[j], 0.5)
            if come < leave and gone + 0.5 > enter:
                return True
    return False
