"""Where others will be: along their lanes or straight on, in the world and beside the reference line.

Others keep their speed, but for an acceleration that fades within `FADE` s; they keep their place in the
lane, but for a drift that fades likewise; who has to wait at a line stops there if it still can.
"""

from __future__ import annotations

import math

from drive.planners.road.kernels.base import kernel
from drive.planners.road.kernels.line import X, Y, locate, point_at
from drive.sim.kernels.compile import scalar

LANE_STEP = 1.0
"""m between the rows (x, y, unwrapped heading) of the lanes that others follow."""
FADE = 1.0
COARSE = 16
STANDING = 0.3
"""m/s up to which somebody is taken to stand."""
CALM = 0.6
"""rad between the heading of somebody and a lane up to which it is taken to follow it."""
WAITING_GAP = 0.5


@scalar
def lane_row(lanes, first, last, s):
    """Row before a station of a lane, and the share of the way to the next, beyond 1 after the last."""
    k = min(max(first + int(s / LANE_STEP), first), last - 1)
    return k, s / LANE_STEP - (k - first)


@scalar
def on_lane(lanes, first, last, x, y):
    """Station, offset and heading of a lane's line at the foot of a point."""
    best, k = 1e300, first
    for i in range(first, last + 1):
        gap = (lanes[i, 0] - x) ** 2 + (lanes[i, 1] - y) ** 2
        if gap < best:
            best, k = gap, i
    h = lanes[k, 2]
    c, sn = math.cos(h), math.sin(h)
    dx, dy = x - lanes[k, 0], y - lanes[k, 1]
    return (k - first) * LANE_STEP + dx * c + dy * sn, dy * c - dx * sn, h


@kernel
def lane_feet(lanes, first, last, agents, out):
    """Station, offset and relative heading `out (A, 3)` of `agents (A, >= 3)` on lanes `first..last (A,)`.

    Those without a lane (`first` -1) get zeros.
    """
    for a in range(agents.shape[0]):
        out[a, 0] = out[a, 1] = out[a, 2] = 0.0
        if first[a] >= 0:
            s, d, h = on_lane(lanes, first[a], last[a], agents[a, 0], agents[a, 1])
            out[a, 0], out[a, 1] = s, d
            turn = agents[a, 2] - h
            out[a, 2] = math.atan2(math.sin(turn), math.cos(turn))


@scalar
def travelled(speed, acceleration, wait, t):
    """Metres in `t` s, never backwards and no farther than `wait` m; and the speed then."""
    fade = FADE * (1.0 - math.exp(-t / FADE))
    gain = acceleration * fade
    way = speed * t + acceleration * FADE * (t - fade)
    v = speed + gain
    if acceleration < 0.0 and speed + acceleration * FADE < 0.0:
        # It comes to rest where the fading deceleration has used up its speed.
        rest = -FADE * math.log(1.0 + speed / (acceleration * FADE))
        if t >= rest:
            fade = FADE * (1.0 - math.exp(-rest / FADE))
            way, v = speed * rest + acceleration * FADE * (rest - fade), 0.0
    if way >= wait:
        return wait, 0.0
    return way, v


@kernel
def forecast(agents, motion, feet, first, last, wait, lanes, elapsed, times, poses, speeds):
    """Poses `(A, T, 3)` of box centres and speeds `(A, T)` of `agents (A, 5)` at `times (T,)` from now.

    `motion (A, 2)` speed and acceleration along the heading; `feet` from `lane_feet`; `wait (A,)` m after
    which somebody stops; `elapsed (A,)` s since it was seen.
    """
    for a in range(agents.shape[0]):
        v0, acc = motion[a, 0], motion[a, 1]
        guided = first[a] >= 0 and v0 > STANDING
        drift = v0 * math.sin(feet[a, 2])
        for n in range(times.shape[0]):
            t = times[n] + elapsed[a]
            way, speeds[a, n] = travelled(v0, acc, wait[a], t)
            if guided:
                d = feet[a, 1] + drift * FADE * (1.0 - math.exp(-t / FADE))
                slope = math.atan2(drift * math.exp(-t / FADE), v0)
                s = feet[a, 0] + way
                k, u = lane_row(lanes, first[a], last[a], s)
                inside = min(u, 1.0)
                h = lanes[k, 2] + inside * (lanes[k + 1, 2] - lanes[k, 2])
                c, sn = math.cos(h), math.sin(h)
                over = (u - inside) * LANE_STEP
                x = lanes[k, 0] + inside * (lanes[k + 1, 0] - lanes[k, 0]) + over * c
                y = lanes[k, 1] + inside * (lanes[k + 1, 1] - lanes[k, 1]) + over * sn
                poses[a, n, 0], poses[a, n, 1], poses[a, n, 2] = x - d * sn, y + d * c, h + slope
            else:
                vx, vy = agents[a, 3], agents[a, 4]
                pace = math.sqrt(vx * vx + vy * vy)
                share = way / pace if pace > 1e-6 else 0.0
                poses[a, n, 0] = agents[a, 0] + vx * share
                poses[a, n, 1] = agents[a, 1] + vy * share
                poses[a, n, 2] = agents[a, 2]


@kernel
def beside_line(rows, step, shift_x, shift_y, poses, half, out, extent):
    """Stations and offsets `out (A, T, 2)` of box centres, and their half extents along and across the line.

    `poses (A, T, 3)` in scenario coordinates, the table's origin at `shift_*`; `half (A, 2)` half lengths
    and widths. The first foot of each is looked for along the whole line.
    """
    for a in range(poses.shape[0]):
        x, y = poses[a, 0, 0] - shift_x, poses[a, 0, 1] - shift_y
        best, guess = 1e300, 0.0
        for k in range(0, rows.shape[0], COARSE):
            gap = (rows[k, X] - x) ** 2 + (rows[k, Y] - y) ** 2
            if gap < best:
                best, guess = gap, k * step
        for n in range(poses.shape[1]):
            x, y = poses[a, n, 0] - shift_x, poses[a, n, 1] - shift_y
            if n > 0 and poses[a, n, 0] == poses[a, n - 1, 0] and poses[a, n, 1] == poses[a, n - 1, 1]:
                out[a, n, 0], out[a, n, 1] = out[a, n - 1, 0], out[a, n - 1, 1]
                extent[a, n, 0], extent[a, n, 1] = extent[a, n - 1, 0], extent[a, n - 1, 1]
                continue
            guess, out[a, n, 1] = locate(rows, step, x, y, guess)
            out[a, n, 0] = guess
            _, _, h = point_at(rows, step, guess)
            c, sn = abs(math.cos(poses[a, n, 2] - h)), abs(math.sin(poses[a, n, 2] - h))
            extent[a, n, 0] = half[a, 0] * c + half[a, 1] * sn
            extent[a, n, 1] = half[a, 0] * sn + half[a, 1] * c
