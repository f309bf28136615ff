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


@exact
def project_frames(start, size, step, points, direction, pair_start, table, reach):  # type: ignore[no-untyped-def]
    """Fill `table` with each frame's samples in every other frame: station, offset, cos and sin of the turn.

    An offset of NaN means farther than `reach` metres. Samples too far to be nearest are leapt over.
    """
    frames = len(size)
    for f in range(frames):
        for g in range(frames):
            if f == g:
                continue
            k, hint = 0, 0
            while k < size[g]:
                x, y = points[start[g] + k, 0], points[start[g] + k, 1]
                dx, dy = x - points[start[f] + hint, 0], y - points[start[f] + hint, 1]
                best, at, m = np.sqrt(dx * dx + dy * dy), hint, 0
                while m < size[f]:
                    dx, dy = x - points[start[f] + m, 0], y - points[start[f] + m, 1]
                    d = np.sqrt(dx * dx + dy * dy)
                    if d < best:
                        best, at = d, m
                    m += max(int((d - best) / step[f]), 1)
                hint = at
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
                k += 1


@part
def relate(i, j, frame, pos, low, high, mid, par, pair_start, table, fstep, fsize):  # type: ignore[no-untyped-def]
    """Agent j in i's frame: (related, station of its centre, lowest and highest offset, half length, cosine).

    `pos` are rear-axle stations, `low`, `high`, `mid` the offsets that the agents occupy or move to.
    """
    f, g = frame[i], frame[j]
    hl, hw = 0.5 * par[j, LENGTH], 0.5 * par[j, WIDTH]
    centre = pos[j] + par[j, REAR]
    if f == g:
        return True, centre, low[j], high[j], hl, 1.0
    x = centre / fstep[g]
    if x < 0.0 or x > fsize[g] - 1:
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    row = pair_start[f, g] + int(x + 0.5)
    if not abs(table[row, 1]) < 1e6:
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    c, s = table[row, 2], table[row, 3]
    rest = centre - int(x + 0.5) * fstep[g]
    station = table[row, 0] + c * rest - s * mid[j]
    offset = table[row, 1] + s * rest + c * mid[j]
    reach = abs(c) * (0.5 * (high[j] - low[j])) + abs(s) * hl
    return True, station, offset - reach, offset + reach, abs(c) * hl + abs(s) * hw, c


@part
def neighbours(  # type: ignore[no-untyped-def]
    i, left, right, skip_parked, frame, mode, pos, low, high, mid, par, pair_start, table, fstep, fsize
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
        ok, s, lo, hi, hl, c = relate(i, j, frame, pos, low, high, mid, par, pair_start, table, fstep, fsize)
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
