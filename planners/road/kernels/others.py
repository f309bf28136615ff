"""Where others will be: along their lanes or straight on, in the world and beside the reference line.

Others keep their speed, but for an acceleration that fades within `FADE` s; they keep their place in the
lane, but for a drift that fades likewise; who has to wait at a line stops there if it still can.
"""

from __future__ import annotations

import math

from drive.planners.road.kernels.base import kernel
from drive.planners.road.kernels.memory import (
    ACCELERATION,
    HEADING,
    KIND,
    LENGTH,
    MOVED,
    PATH,
    SPEED,
    TIME,
    VX,
    VY,
    WIDTH,
    X,
    Y,
)
from drive.scenario import SignalState
from drive.sim.kernels.compile import scalar
from drive.sim.kernels.line import HEADING as ROW_HEADING
from drive.sim.kernels.line import X as ROW_X
from drive.sim.kernels.line import Y as ROW_Y
from drive.sim.kernels.line import locate, place_on, turned
from drive.vehicle import AgentKind

LANE_STEP = 1.0
"""m between the rows (x, y, unwrapped heading, its cosine and sine) of the lanes that others follow."""
FADE = 1.0
COARSE = 16
STANDING = 0.3
"""m/s up to which somebody is taken to stand."""
CALM = 0.6
"""rad between the heading of somebody and a lane up to which it is taken to follow it."""
ASTRAY, ASKEW = 0.8, 0.25
"""m and rad from a lane at which it is asked again which one somebody follows."""
MOST_BRAKING = 4.0
"""m/s^2: who could stop at a line only with more drives on."""
PULLED_OVER, AT_ONCE, BROKEN_DOWN = 0.8, 0.5, 8.0
"""Who has stood for so many s is parked, beside the middle of its lane by so many m, or in the middle."""
SMALL_SLOPE = 0.1
QUEUE = 12.0
"""m ahead of somebody within which another one makes a queue of them."""
RED, YELLOW = int(SignalState.RED), int(SignalState.YELLOW)
PEDESTRIAN, STATIC = int(AgentKind.PEDESTRIAN), int(AgentKind.STATIC)


@scalar
def lane_row(lanes, first, last, s):
    """Row before a station of a lane, and the share of the way to the next, beyond 1 after the last."""
    k = min(max(first + int(s / LANE_STEP), first), last - 1)
    return k, s / LANE_STEP - (k - first)


@scalar
def on_lane(lanes, first, last, x, y):
    """Station, offset and heading of a lane's line at the foot of a point."""
    best, nearest, k, i = 1e300, 1e150, first, first
    while i <= last:
        gap = (lanes[i, 0] - x) ** 2 + (lanes[i, 1] - y) ** 2
        away = math.sqrt(gap)
        if gap < best:
            best, nearest, k = gap, away, i
        # Rows lie no more than LANE_STEP apart: those in between are no nearer.
        i += max(int((away - nearest) / LANE_STEP), 1)
    h, c, sn = lanes[k, 2], lanes[k, 3], lanes[k, 4]
    dx, dy = x - lanes[k, 0], y - lanes[k, 1]
    return (k - first) * LANE_STEP + dx * c + dy * sn, dy * c - dx * sn, h


@scalar
def small_atan(x):
    """The arc tangent; where it is small by its series, which is exact to rounding there."""
    if abs(x) > SMALL_SLOPE:
        return math.atan(x)
    q = x * x
    return x * (
        1.0 - q * (1.0 / 3.0 - q * (0.2 - q * (1.0 / 7.0 - q * (1.0 / 9.0 - q * (1.0 / 11.0 - q / 13.0)))))
    )


@scalar
def lane_foot(table, k, lines, spans):
    """Station, offset and relative heading of a road user on its path; and whether it follows it.

    Who has strayed is asked for its path at the next call; for this one the path has to do.
    """
    path = int(table[k, PATH])
    if path < 0:
        return (0.0, 0.0, 0.0), False
    first, last = spans[path, 0], spans[path, 1]
    s, d, h = on_lane(lines, first, last, table[k, X], table[k, Y])
    turn = table[k, HEADING] - h
    turn = math.atan2(math.sin(turn), math.cos(turn))
    if abs(d) > ASTRAY or abs(turn) > ASKEW:
        table[k, PATH] = -1.0
    return (s, d, turn), abs(turn) <= CALM


@scalar
def wait_of(table, k, foot, start, holds, signals):
    """m after which somebody stops at a line, infinite where none holds it.

    `holds (N, 2)` station and signal, -1 none, of the lines on path p are those from `start[p]` to
    `start[p + 1]`, in their order. A line holds who can stop at it with `MOST_BRAKING`.
    """
    path = int(table[k, PATH])
    if path < 0:
        return math.inf
    front, speed = foot[0] + 0.5 * table[k, LENGTH], table[k, SPEED]
    for i in range(start[path], start[path + 1]):
        gap, signal = holds[i, 0] - front, int(holds[i, 1])
        if gap < -1.0 or speed * speed > 2.0 * MOST_BRAKING * max(gap, 0.5):
            continue
        if 0 <= signal < signals.shape[0] and signals[signal] != RED and signals[signal] != YELLOW:
            continue
        return max(gap, 0.0)
    return math.inf


@scalar
def is_parked(table, who, a, foot, wait, now):
    """Whether the road user `who[a]` has stood for so long, or in such a place, that it stays there.

    Who stands in its lane is parked after `BROKEN_DOWN` s, unless it waits at a line or for who is ahead.
    """
    k = who[a]
    still, kind = now - table[k, MOVED], int(table[k, KIND])
    if kind == PEDESTRIAN or still < AT_ONCE:
        return False
    if kind == STATIC or table[k, PATH] < 0.0 or abs(foot[1]) > PULLED_OVER:
        return True
    if still < BROKEN_DOWN or wait < math.inf:
        return False
    c, n = math.cos(table[k, HEADING]), math.sin(table[k, HEADING])
    for b in range(who.shape[0]):
        x, y = table[who[b], X] - table[k, X], table[who[b], Y] - table[k, Y]
        ahead, left = x * c + y * n, y * c - x * n
        reach = 0.5 * (table[who[b], LENGTH] + table[k, LENGTH]) + QUEUE
        if 0.5 < ahead < reach and abs(left) < 2.0:
            return False
    return True


@scalar
def travelled(speed, acceleration, wait, t, left):
    """Metres in `t` s, never backwards and no farther than `wait` m; and the speed then.

    `left` is the share of the acceleration that is left by then, exp(-t / FADE).
    """
    fade = FADE * (1.0 - left)
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


@scalar
def forecast(table, k, foot, guided, first, last, wait, lines, late, times, fades, poses, speeds):
    """Poses `(T, 3)` of a box centre and speeds `(T,)` at `times (T,)` from now; `late` s ago it was seen."""
    v0, acc = table[k, SPEED], table[k, ACCELERATION]
    guided = guided and v0 > STANDING
    drift = v0 * math.sin(foot[2])
    bias = drift / v0 if guided else 0.0
    vx, vy, faded = table[k, VX], table[k, VY], math.exp(-late / FADE)
    pace = math.sqrt(vx * vx + vy * vy)
    for n in range(times.shape[0]):
        t = times[n] + late
        left = faded * fades[n]
        way, speeds[n] = travelled(v0, acc, wait, t, left)
        if guided:
            d = foot[1] + drift * FADE * (1.0 - left)
            slope = small_atan(bias * left)
            s = foot[0] + way
            i, u = lane_row(lines, first, last, s)
            inside = min(u, 1.0)
            turn = inside * (lines[i + 1, 2] - lines[i, 2])
            c, sn = turned(lines[i, 3], lines[i, 4], turn)
            over = (u - inside) * LANE_STEP
            x = lines[i, 0] + inside * (lines[i + 1, 0] - lines[i, 0]) + over * c
            y = lines[i, 1] + inside * (lines[i + 1, 1] - lines[i, 1]) + over * sn
            poses[n, 0], poses[n, 1], poses[n, 2] = x - d * sn, y + d * c, lines[i, 2] + turn + slope
        else:
            share = way / pace if pace > 1e-6 else 0.0
            poses[n, 0], poses[n, 1] = table[k, X] + vx * share, table[k, Y] + vy * share
            poses[n, 2] = table[k, HEADING]


@scalar
def beside_line(rows, step, shift_x, shift_y, poses, half_length, half_width, out, extent):
    """Stations and offsets `out (T, 2)` of box centres, and their half extents along and across the line.

    `poses (T, 3)` in scenario coordinates, the table's origin at `shift_*`. The first foot is looked for
    along the whole line.
    """
    x, y = poses[0, 0] - shift_x, poses[0, 1] - shift_y
    best, guess = 1e300, 0.0
    for k in range(0, rows.shape[0], COARSE):
        gap = (rows[k, ROW_X] - x) ** 2 + (rows[k, ROW_Y] - y) ** 2
        if gap < best:
            best, guess = gap, k * step
    for n in range(poses.shape[0]):
        x, y = poses[n, 0] - shift_x, poses[n, 1] - shift_y
        if n > 0 and poses[n, 0] == poses[n - 1, 0] and poses[n, 1] == poses[n - 1, 1]:
            out[n, 0], out[n, 1] = out[n - 1, 0], out[n - 1, 1]
            extent[n, 0], extent[n, 1] = extent[n - 1, 0], extent[n - 1, 1]
            continue
        guess, out[n, 1] = locate(rows, step, x, y, guess)
        out[n, 0] = guess
        i, u = place_on(rows, step, guess)
        h = rows[i, ROW_HEADING] + min(max(u, 0.0), 1.0) * (rows[i + 1, ROW_HEADING] - rows[i, ROW_HEADING])
        c, sn = turned(1.0, 0.0, poses[n, 2] - h)
        c, sn = abs(c), abs(sn)
        extent[n, 0] = half_length * c + half_width * sn
        extent[n, 1] = half_length * sn + half_width * c


@kernel
def foresee(
    table, who, now, lines, spans, start, holds, signals, rows, step, shift_x, shift_y, times, fades,
    poses, speeds, frenet, extent, yields, parked,
):  # fmt: skip
    """Where the road users `who (A,)` of a `table` will be at `times (T,)` s from now.

    `lines (R, 5)` x, y, unwrapped heading, its cosine and sine of the paths, whose first and last rows are
    in `spans (P, 2)`; `start`, `holds` and `signals` as `wait_of` has them; `rows`, `step`, `shift_*` the
    reference line; `fades (T,)` exp(-times / FADE).
    Fills `poses (A, T, 3)`, `speeds (A, T)`, `frenet` and `extent (A, T, 2)`, `yields` and `parked (A,)`.
    """
    for a in range(who.shape[0]):
        k = who[a]
        path = int(table[k, PATH])
        first = spans[path, 0] if path >= 0 else 0
        last = spans[path, 1] if path >= 0 else 1
        foot, guided = lane_foot(table, k, lines, spans)
        wait = wait_of(table, k, foot, start, holds, signals)
        yields[a] = wait < math.inf
        parked[a] = is_parked(table, who, a, foot, wait, now)
        late = now - table[k, TIME]
        forecast(table, k, foot, guided, first, last, wait, lines, late, times, fades, poses[a], speeds[a])
        half_length, half_width = 0.5 * table[k, LENGTH], 0.5 * table[k, WIDTH]
        beside_line(
            rows, step, shift_x, shift_y, poses[a], half_length, half_width, frenet[a], extent[a]
        )  # fmt: skip
