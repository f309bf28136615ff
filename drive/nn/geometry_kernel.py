"""`candidate_geometry` on a processor where no slope is asked for: one loop over candidates, in float32.

The formulas are those of `drive.nn.geometry`, `way` and `boxes`. Loops go over a block of candidates, pose by
pose, with every intermediate value in an array of its own, so that they compile to vectors.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.core.compiler import Compiler
from numba.extending import register_jitable

from drive._kernel import kernels_at
from drive.nn.scene import BODY_COLUMNS, EGO_COLUMNS, ROUTE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drive.nn.scene import SceneArrays

BLOCK = 128
_SPEED, _ACCELERATION = EGO_COLUMNS.index("speed"), EGO_COLUMNS.index("acceleration")
_STOP, _RED = EGO_COLUMNS.index("stop_distance"), EGO_COLUMNS.index("red_distance")
_LONG, _WIDE, _REACH = (EGO_COLUMNS.index(name) for name in ("length", "width", "rear_to_centre"))
_BODY_LONG, _BODY_WIDE = BODY_COLUMNS.index("length"), BODY_COLUMNS.index("width")
_STATION, _COSINE, _SINE, _LIMIT, _LEFT, _RIGHT = (
    ROUTE_COLUMNS.index(name) for name in ("station", "cosine", "sine", "limit", "room_left", "room_right")
)
# A plain number would make all it meets float64.
_0, _1, _2, _3, _HALF = (np.float32(number) for number in (0.0, 1.0, 2.0, 3.0, 0.5))
_TURN, _INF = np.float32(2.0 * math.pi), np.float32(np.inf)
_SHORT2, _SMALL, _TOUCH, _PAST, _CLEARANCE = (np.float32(n) for n in (1e-6, 1e-12, 1e-10, 100.0, 40.0))
_MISSING = np.float32(1e9)


class _Apart(Compiler):
    """Numba's compiler, told that no two arrays share memory: loops with look-ups vectorise then."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


_kernel = kernels_at("nn", Path(__file__), pipeline_class=_Apart)
"""Helpers live in this file, whose change the cache sees."""


_inline: Callable[[Any], Any] = register_jitable(forceinline=True)


@_inline
def _least(a, b):
    return a if a < b else b


@_inline
def _most(a, b):
    return a if a > b else b


@_inline
def _sign(value):
    return _1 if value >= _0 else -_1


@_inline
def _short_way(angle):
    """The same angle within half a turn."""
    turns = np.ceil(abs(angle) / _TURN - _HALF)
    return angle - _TURN * (turns if angle >= _0 else -turns)


@_inline
def _make_way(route, valid, ways):
    """Fill `ways` with the segments; (whether there is any, the first, the last)."""
    ax, ay, dx, dy, length, low, high, begin, side, missing = (
        ways[0], ways[1], ways[2], ways[3], ways[4], ways[5], ways[6], ways[7], ways[8], ways[9],
    )  # fmt: skip
    first, last = -1, -1
    for k in range(route.shape[0] - 1):
        usable = valid[k] and valid[k + 1]
        x, y = route[k + 1, 0] - route[k, 0], route[k + 1, 1] - route[k, 1]
        square = x * x + y * y
        usable = usable and square > _SHORT2
        ax[k] = route[k, 0] if valid[k] else _0
        ay[k] = route[k, 1] if valid[k] else _0
        length[k] = math.sqrt(square) if usable else _1
        dx[k], dy[k] = (x / length[k], y / length[k]) if usable else (_0, _0)
        begin[k] = dx[k] * ax[k] + dy[k] * ay[k]
        side[k] = dx[k] * ay[k] - dy[k] * ax[k]
        missing[k] = _0 if usable else _MISSING
        low[k], high[k] = _0, _1
        for n, column in enumerate((_STATION, _COSINE, _SINE, _LIMIT, _LEFT, _RIGHT)):
            ways[10 + n, k] = route[k, column] if usable else _0
            ways[16 + n, k] = route[k + 1, column] - route[k, column] if usable else _0
        if usable:
            last = k
            first = k if first < 0 else first
    if first >= 0:
        low[first], high[last] = -_INF, _INF
    return first, last


@_inline
def _foot(ways, k, x, y):
    """(station, offset, cosine, sine, limit, room_left, room_right) under a point: `way.foot`."""
    ax, ay, dx, dy, length, low, high = ways[0], ways[1], ways[2], ways[3], ways[4], ways[5], ways[6]
    rx, ry = x - ax[k], y - ay[k]
    raw = (dx[k] * rx + dy[k] * ry) / length[k]
    share = _least(_most(raw, low[k]), high[k])
    side = dx[k] * ry - dy[k] * rx
    beyond = (raw - share) * length[k]
    corner = math.sqrt(side * side + beyond * beyond)
    offset = side if beyond == _0 else (corner if side >= _0 else -corner)
    inner = _least(_most(share, _0), _1)
    cosine, sine = ways[11, k] + inner * ways[17, k], ways[12, k] + inner * ways[18, k]
    scale = _1 / math.sqrt(_most(cosine * cosine + sine * sine, _SMALL))
    return (
        ways[10, k] + share * ways[16, k], offset, cosine * scale, sine * scale,
        ways[13, k] + inner * ways[19, k], ways[14, k] + inner * ways[20, k],
        ways[15, k] + inner * ways[21, k],
    )  # fmt: skip


@_inline
def _square(ways, k, x, y):
    """A point's squared distance to segment k: `way.nearest_segment`."""
    along = ways[2, k] * x + ways[3, k] * y - ways[7, k]
    aside = ways[2, k] * y - ways[3, k] * x - ways[8, k]
    excess = _least(_most(along, _0), ways[4, k]) - along
    return excess * excess + aside * aside + ways[9, k]


@_inline
def _walk(ways, k, x, y, first, last):
    """The segment under a point a few metres from segment k: `way.walk`."""
    k = _step(ways, k, x, y, first, last, _3)
    k = _step(ways, k, x, y, first, last, _3)
    return _step(ways, k, x, y, first, last, _1)


@_inline
def _step(ways, k, x, y, first, last, most):
    ax, ay, dx, dy, length = ways[0], ways[1], ways[2], ways[3], ways[4]
    share = np.floor((dx[k] * (x - ax[k]) + dy[k] * (y - ay[k])) / length[k])
    return _most(_least(k + np.int64(_least(_most(share, -most), most)), last), first)


@_inline
def gap_between(x, y, cosine, sine, length, width, far, wide):
    """(distance, ahead, aside): `boxes.box_gap`."""
    sc, ss = _sign(cosine), _sign(sine)
    bx, by = cosine * x + sine * y, cosine * y - sine * x
    sx, sy, sbx, sby = _sign(x), _sign(y), _sign(bx), _sign(by)
    cf, sf, cw, sw = cosine * far, sine * far, cosine * wide, sine * wide
    cl, sl, ch, sh = cosine * length, sine * length, cosine * width, sine * width
    x_near, x_side = x - sx * (sc * cf + ss * sw), y + sx * (ss * cw - sc * sf)
    y_near, y_side = y - sy * (ss * sf + sc * cw), x + sy * (sc * sw - ss * cf)
    bx_near, bx_side = bx - sbx * (sc * cl + ss * sh), by + sbx * (sc * sl - ss * ch)
    by_near, by_side = by - sby * (ss * sl + sc * ch), bx + sby * (ss * cl - sc * sh)
    vx, vy = _beyond(x_near, length), _beyond(x_side, width)
    best = vx * vx + vy * vy
    ux, uy = _beyond(y_side, length), _beyond(y_near, width)
    square = ux * ux + uy * uy
    less = square < best
    best, vx, vy = (square if less else best), (ux if less else vx), (uy if less else vy)
    ux, uy = _beyond(bx_near, far), _beyond(bx_side, wide)
    square = ux * ux + uy * uy
    less = square < best
    best = square if less else best
    vx, vy = (cosine * ux - sine * uy if less else vx), (sine * ux + cosine * uy if less else vy)
    ux, uy = _beyond(by_side, far), _beyond(by_near, wide)
    square = ux * ux + uy * uy
    less = square < best
    best = square if less else best
    vx, vy = (cosine * ux - sine * uy if less else vx), (sine * ux + cosine * uy if less else vy)
    depth, nx, ny = sx * x_near - length, sx, _0
    value = sy * y_near - width
    more = value > depth
    depth, nx, ny = (value if more else depth), (_0 if more else nx), (sy if more else ny)
    value = sbx * bx_near - far
    more = value > depth
    depth, nx, ny = (value if more else depth), (sbx * cosine if more else nx), (sbx * sine if more else ny)
    value = sby * by_near - wide
    more = value > depth
    depth = value if more else depth
    nx, ny = (-sby * sine if more else nx), (sby * cosine if more else ny)
    apart = (depth > _0) & (best > _TOUCH)
    distance = math.sqrt(_most(best, _TOUCH))
    return (
        distance if apart else depth, vx / distance if apart else nx, vy / distance if apart else ny
    )  # fmt: skip


@_inline
def _beyond(value, half):
    return value - _least(_most(value, -half), half)


@_inline
def _speed_between(poses, j, start, dt):
    """The speed from pose j - 1 to pose j, along the heading half way."""
    x, y, heading = poses[j - 1, 0], poses[j - 1, 1], poses[j - 1, 2]
    px, py, before = (poses[j - 2, 0], poses[j - 2, 1], poses[j - 2, 2]) if j > 1 else (_0, _0, start)
    middle = before + _HALF * _short_way(heading - before)
    return ((x - px) * math.cos(middle) + (y - py) * math.sin(middle)) / dt


@_inline
def _bound(dx, dy, u, v, long, wide):
    """A bound below of the gap to a box boxed along the ego's axes, squared with its sign."""
    ahead, aside = abs(dx * u + dy * v) - long, abs(dy * u - dx * v) - wide
    deep = _most(ahead, aside)
    ahead, aside = _most(ahead, _0), _most(aside, _0)
    return ahead * ahead + aside * aside if deep > _0 else -deep * deep


@_inline
def _present(agents, valid, bodies, others):
    """Fill `others` with who is there now, and say how many."""
    ox, oy, oc, os, ovx, ovy, ol, ow = (
        others[0], others[1], others[2], others[3], others[4], others[5], others[6], others[7],
    )  # fmt: skip
    count = 0
    for a in range(agents.shape[0]):
        if valid[a, -1]:
            now = agents[a, -1]
            ox[count], oy[count], oc[count], os[count] = now[0], now[1], now[2], now[3]
            ovx[count], ovy[count] = now[4], now[5]
            ol[count], ow[count] = bodies[a, _BODY_LONG] * _HALF, bodies[a, _BODY_WIDE] * _HALF
            count += 1
    return count


@_inline
def _move(candidates, j, dt, every, start, n, rows, out):
    """Look at pose j (counted from now, of which the first is not stored) of n candidates: how they move."""
    x, y, c, s, speed, _, _, pace, gain, bend = rows[:10]
    length, window = candidates.shape[1], dt * np.float32(every)
    span = _least(every, length - 1)
    for i in range(n):
        poses, row = candidates[i], out[i]
        x[i], y[i], heading = poses[j - 1, 0], poses[j - 1, 1], poses[j - 1, 2]
        c[i], s[i] = math.cos(heading), math.sin(heading)
        if j < length:
            bx, by = (poses[j - 2, 0], poses[j - 2, 1]) if j > 1 else (_0, _0)
            speed[i] = ((poses[j, 0] - bx) * c[i] + (poses[j, 1] - by) * s[i]) / (_2 * dt)
        else:
            here = _speed_between(poses, length, start, dt)
            earlier = _speed_between(poses, length - span, start, dt)
            speed[i] = here + (here - earlier) / (_2 * np.float32(span))
        growth, turned = (speed[i] - pace[i]) / window, _short_way(heading - bend[i]) / window
        row[8], row[9], row[10], row[11] = speed[i], growth, speed[i] * turned, turned
        row[12] = (growth - gain[i]) / window
        pace[i], gain[i], bend[i] = speed[i], growth, heading


@_inline
def _lie(ways, first, last, ego, start, n, rows, segment, out):
    """Where n poses lie on the way, whose segments are `first` to `last`."""
    x, y, c, s, speed = rows[:5]
    best, cosines, sines, offset, station, limit, front, rf, rr, lf, lr = rows[10:21]
    reach, half, side = ego[_REACH], ego[_LONG] * _HALF, ego[_WIDE] * _HALF
    bumper, tail = reach + half, reach - half
    for i in range(n):
        best[i], segment[i] = _INF, first
    for k in range(first, last + 1):
        for i in range(n):
            square = _square(ways, k, x[i], y[i])
            segment[i] = k if square < best[i] else segment[i]
            best[i] = _least(square, best[i])
    for i in range(n):
        k = np.int64(segment[i])
        fx, fy = x[i] + bumper * c[i], y[i] + bumper * s[i]
        rx, ry = x[i] + tail * c[i], y[i] + tail * s[i]
        station[i], offset[i], fc, fs, limit[i], left, right = _foot(ways, k, x[i], y[i])
        cosines[i], sines[i] = fc * c[i] + fs * s[i], fc * s[i] - fs * c[i]
        front[i], away, fc, fs, _, left, right = _foot(ways, _walk(ways, k, fx, fy, first, last), fx, fy)
        across = side * (fc * c[i] + fs * s[i])
        lf[i] = _least(left - away - across, right + away + across)
        rf[i] = _least(left - away + across, right + away - across)
        _, away, fc, fs, _, left, right = _foot(ways, _walk(ways, k, rx, ry, first, last), rx, ry)
        across = side * (fc * c[i] + fs * s[i])
        lr[i] = _least(left - away - across, right + away + across)
        rr[i] = _least(left - away + across, right + away - across)
    for i in range(n):
        row, driven = out[i], front[i] - start
        row[0], row[1], row[2], row[3] = _1, station[i], offset[i], math.atan2(sines[i], cosines[i])
        row[4], row[5], row[6], row[7] = lf[i], rf[i], lr[i], rr[i]
        row[13] = speed[i] - limit[i]
        row[14] = _least(_most(driven - ego[_STOP], -_PAST), _PAST)
        row[15] = _least(_most(driven - ego[_RED], -_PAST), _PAST)


@_inline
def _rank(others, count, seconds, ego, n, rows, numbers, bounds, picked):
    """A bound below every gap, the two agents of the least ones and the third's size: of the agents as they
    will be, and as they are."""
    x, y, c, s, _, px, py = rows[:7]
    b1, b2, b3, s1, s2, s3 = rows[21:27]
    _, m1, m2, i1, i2 = numbers
    moved, still = bounds
    ox, oy, oc, os, ovx, ovy, ol, ow = (
        others[0], others[1], others[2], others[3], others[4], others[5], others[6], others[7],
    )  # fmt: skip
    reach, half, side = ego[_REACH], ego[_LONG] * _HALF, ego[_WIDE] * _HALF
    for i in range(n):
        px[i], py[i] = x[i] + reach * c[i], y[i] + reach * s[i]
        b1[i], b2[i], b3[i], s1[i], s2[i], s3[i] = _INF, _INF, _INF, _INF, _INF, _INF
        m1[i], m2[i], i1[i], i2[i] = 0, 0, 0, 0
    for a in range(count):
        mx, my = ox[a] + ovx[a] * seconds, oy[a] + ovy[a] * seconds
        for i in range(n):
            even, odd = abs(oc[a] * c[i] + os[a] * s[i]), abs(os[a] * c[i] - oc[a] * s[i])
            long, wide = half + even * ol[a] + odd * ow[a], side + odd * ol[a] + even * ow[a]
            bound = _bound(mx - px[i], my - py[i], c[i], s[i], long, wide)
            moved[a, i] = bound
            m2[i] = m1[i] if bound < b1[i] else (a if bound < b2[i] else m2[i])
            m1[i] = a if bound < b1[i] else m1[i]
            b3[i] = _least(b3[i], _most(bound, b2[i]))
            b2[i] = _least(b2[i], _most(bound, b1[i]))
            b1[i] = _least(b1[i], bound)
            bound = _bound(ox[a] - px[i], oy[a] - py[i], c[i], s[i], long, wide)
            still[a, i] = bound
            i2[i] = i1[i] if bound < s1[i] else (a if bound < s2[i] else i2[i])
            i1[i] = a if bound < s1[i] else i1[i]
            s3[i] = _least(s3[i], _most(bound, s2[i]))
            s2[i] = _least(s2[i], _most(bound, s1[i]))
            s1[i] = _least(s1[i], bound)
    for i in range(n):
        picked[0, i], picked[1, i], picked[2, i], picked[3, i] = m1[i], m2[i], i1[i], i2[i]


@_inline
def _pair(others, a, moving, seconds, ego, i, rows):
    """(distance, closing, ahead, aside) of agent a from pose i; it stays where it is if `moving` is 0."""
    _, _, c, s, speed, px, py = rows[:7]
    ox, oy, oc, os, ovx, ovy, ol, ow = (
        others[0], others[1], others[2], others[3], others[4], others[5], others[6], others[7],
    )  # fmt: skip
    u, v, vx, vy = c[i], s[i], moving * ovx[a], moving * ovy[a]
    dx, dy = ox[a] + vx * seconds - px[i], oy[a] + vy * seconds - py[i]
    distance, ahead, aside = gap_between(
        dx * u + dy * v, dy * u - dx * v, oc[a] * u + os[a] * v, os[a] * u - oc[a] * v,
        ego[_LONG] * _HALF, ego[_WIDE] * _HALF, ol[a], ow[a],
    )  # fmt: skip
    return distance, ahead * (speed[i] - (vx * u + vy * v)) + aside * (vx * v - vy * u), ahead, aside


@_inline
def _meet(others, count, seconds, ego, n, rows, bounds, picked, found, out):
    """The gaps to the nearest two of the agents as they will be, and to the nearest as they are."""
    distance, closing, ahead, aside = found
    moved, still = bounds
    moved_third, still_third = rows[23], rows[26]
    for p in range(4):
        moving = _1 if p < 2 else _0
        for i in range(n):
            distance[p, i], closing[p, i], ahead[p, i], aside[p, i] = _pair(
                others, np.int64(picked[p, i]), moving, seconds, ego, i, rows
            )
    for i in range(n):
        row = out[i]
        for kind in range(2):
            p, q = 2 * kind, 2 * kind + 1
            if count < 2:
                distance[q, i], closing[q, i] = _INF, _0
            if distance[q, i] < distance[p, i]:
                p, q = q, p
            need = distance[q, i] if kind == 0 else distance[p, i]
            if (moved_third[i] if kind == 0 else still_third[i]) < need * abs(need):
                # Whoever's bound is below what was found might be nearer.
                one, two = picked[p, i], picked[q, i]
                for a in range(count):
                    bound = moved[a, i] if kind == 0 else still[a, i]
                    if a in (one, two) or bound >= need * abs(need):
                        continue
                    d, rate, u, v = _pair(others, a, _1 if kind == 0 else _0, seconds, ego, i, rows)
                    if d < distance[q, i]:
                        distance[q, i], closing[q, i], ahead[q, i], aside[q, i] = d, rate, u, v
                        if d < distance[p, i]:
                            p, q = q, p
                        need = distance[q, i] if kind == 0 else distance[p, i]
            if kind == 0:
                row[16], row[17] = _least(distance[p, i], _CLEARANCE), closing[p, i]
                row[18], row[19] = ahead[p, i], aside[p, i]
                row[20], row[21] = _least(distance[q, i], _CLEARANCE), closing[q, i]
            else:
                row[22], row[23] = _least(distance[p, i], _CLEARANCE), closing[p, i]


@_kernel
def _features(
    candidates, ego, agents, bodies, agents_valid, route, route_valid, now, dt, every,
    ways, others, rows, bounds, numbers, picked, found, out,
):  # fmt: skip
    """Fill `out (B, K, T', 24)`; `ways`, `others` and what follows are scratch, as `features` makes it."""
    pace, gain, bend = rows[7:10]
    for b in range(candidates.shape[0]):
        count = _present(agents[b], agents_valid[b], bodies[b], others)
        first, last = _make_way(route[b], route_valid[b], ways)
        start = _0
        if first >= 0:
            bumper = ego[b, _REACH] + ego[b, _LONG] * _HALF
            x, y = bumper * math.cos(now[b]), bumper * math.sin(now[b])
            least, at = _INF, 0
            for k in range(first, last + 1):
                square = _square(ways, k, x, y)
                least, at = (square, k) if square < least else (least, at)
            start = _foot(ways, np.int64(at), x, y)[0]
        for begin in range(0, candidates.shape[1], BLOCK):
            n = _least(BLOCK, candidates.shape[1] - begin)
            for i in range(n):
                pace[i], gain[i], bend[i] = ego[b, _SPEED], ego[b, _ACCELERATION], now[b]
            for t in range(out.shape[2]):
                into, seconds = out[b, begin : begin + n, t], dt * np.float32(every) * np.float32(t + 1)
                _move(candidates[b, begin : begin + n], every * (t + 1), dt, every, now[b], n, rows, into)
                if first >= 0:
                    _lie(ways, first, last, ego[b], start, n, rows, numbers[0], into)
                else:
                    into[:, :8], into[:, 13:16] = _0, _0
                if count > 0:
                    _rank(others, count, seconds, ego[b], n, rows, numbers, bounds, picked)
                    _meet(others, count, seconds, ego[b], n, rows, bounds, picked, found, into)
                else:
                    into[:, 16:] = _0
                    into[:, 16], into[:, 20], into[:, 22] = _CLEARANCE, _CLEARANCE, _CLEARANCE


def features(
    scene: SceneArrays, candidates: NDArray[np.float32], now: NDArray[np.float32], dt: float, every: int
) -> NDArray[np.float32]:
    """(B, K, T', 24) of float32 arrays `candidates (B, K, T, 3)`, `now (B,)` and a scene of arrays."""
    b, k, length, _ = candidates.shape
    segments, agents = max(scene.route.shape[1] - 1, 1), max(scene.agents.shape[1], 1)
    out = np.empty((b, k, length // every, 24), np.float32)
    _features(
        *(np.ascontiguousarray(array) for array in (
            candidates, scene.ego, scene.agents, scene.bodies, scene.agents_valid, scene.route,
            scene.route_valid, now,
        )),
        np.float32(dt), every,
        np.empty((22, segments), np.float32), np.empty((8, agents), np.float32),
        tuple(np.empty((27, BLOCK), np.float32)), tuple(np.empty((2, agents, BLOCK), np.float32)),
        tuple(np.empty((5, BLOCK), np.int32)), np.empty((4, BLOCK), np.int32),
        tuple(np.empty((4, 4, BLOCK), np.float32)), out,
    )  # fmt: skip
    return out


__all__ = ["features", "gap_between"]
