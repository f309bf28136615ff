"""The signals and their slopes on a processor: one compiled loop over samples.

The formulas are those of `signals.measured`, `drive.nn.way` and `drive.nn.boxes`; the tests hold both equal.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from drive._kernel import kernels_at
from drive.nn import geometry_kernel
from drive.nn.geometry_kernel import gap_between

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float32]

COUNT = 6
"""Signals, in the order of `signals.SIGNALS`."""
SLOPES = 13
"""Slopes of a state: offset in x, y; heading_error, clearance and edge in x, y, heading; line in x, y."""
_0, _1, _INF = np.float32(0.0), np.float32(1.0), np.float32(np.inf)
_STEP = np.float32(2e-3)  # rad
_kernel = kernels_at("stl_diffusion", Path(__file__), Path(geometry_kernel.__file__))
_inline: Callable[[Any], Any] = register_jitable(forceinline=True)


@_inline
def _nearest(table, missing, x, y):
    """The segment nearest to a point: `way.nearest_segment`."""
    best, found = _INF, 0
    for k in range(table.shape[1]):
        rx, ry = x - table[0, k], y - table[1, k]
        along = table[2, k] * rx + table[3, k] * ry
        aside = table[2, k] * ry - table[3, k] * rx
        excess = min(max(along, _0), table[4, k]) - along
        square = excess * excess + aside * aside + missing[k]
        if square < best:
            best, found = square, k
    return found


@_inline
def _foot(table, k, x, y):
    """(share's slope, station, offset, its slopes, segment's inner share): `way.foot`."""
    dx, dy, length = table[2, k], table[3, k], table[4, k]
    rx, ry = x - table[0, k], y - table[1, k]
    raw = (dx * rx + dy * ry) / length
    share = min(max(raw, table[5, k]), table[6, k])
    side = dx * ry - dy * rx
    beyond = (raw - share) * length
    ox, oy, offset = -dy, dx, side
    if beyond != _0:
        corner = math.sqrt(side * side + beyond * beyond)
        sign = _1 if side >= _0 else -_1
        offset = sign * corner
        ox, oy = sign * (beyond * dx - side * dy) / corner, sign * (beyond * dy + side * dx) / corner
    free = _1 / length if table[5, k] < raw < table[6, k] else _0
    inner = min(max(share, _0), _1)
    bends = free if _0 < share < _1 else _0
    return table[7, k] + share * table[13, k], free * table[13, k], offset, ox, oy, inner, bends


@_inline
def _room(table, k, offset, ox, oy, inner, bends):
    """The room to the nearer edge, and its slopes in x and y."""
    left = table[11, k] + inner * table[17, k] - offset
    right = table[12, k] + inner * table[18, k] + offset
    dx, dy = bends * table[2, k], bends * table[3, k]
    if left <= right:
        return left, table[17, k] * dx - ox, table[17, k] * dy - oy
    return right, table[18, k] * dx + ox, table[18, k] * dy + oy


@_kernel
def _measure(states, table, missing, known, ego, places, half, valid, near, far, slopes, out, jac, contact):
    """Fill `out (6, P, N, T)`, and with `slopes` `jac (P, N, T, 13)`; `contact (P, N)` is the first step at
    which the box touches another, T where it never does.

    `states (P, N, T, >= 4)` on the ways `table (P, 19, S)`, rows of M modes of each of B moments: `ego
    (B, 4)` holds half length and width, rear axle to centre and the held line's distance (NaN: none), `places
    (B, A, T, 4)`, `half (B, A, 2)`, `valid (B, A)` the others.
    """
    modes = states.shape[0] // ego.shape[0]
    count, steps = states.shape[1], states.shape[2]
    for p in range(states.shape[0]):
        b, way, gone = p // modes, table[p], missing[p]
        length, width, reach, red = ego[b, 0], ego[b, 1], ego[b, 2], ego[b, 3]
        bumper = reach + length
        begin = _0
        if known[p]:
            begin = _foot(way, _nearest(way, gone, _0, _0), _0, _0)[0]
        for n in range(count):
            contact[p, n] = steps
            for t in range(steps):
                x, y, heading = states[p, n, t, 0], states[p, n, t, 1], states[p, n, t, 2]
                u, v = math.cos(heading), math.sin(heading)
                out[0, p, n, t] = states[p, n, t, 3]
                k = _nearest(way, gone, x, y)
                station, gain, offset, ox, oy, inner, bends = _foot(way, k, x, y)
                c, s = way[8, k] + inner * way[14, k], way[9, k] + inner * way[15, k]
                root = math.sqrt(max(c * c + s * s, np.float32(1e-12)))
                c, s = c / root, s / root
                if not known[p]:
                    c, s = _1, _0
                out[1, p, n, t], out[2, p, n, t] = offset, _1 - (c * u + s * v)
                room, rx, ry = _room(way, k, offset, ox, oy, inner, bends)
                fx, fy = x + bumper * u, y + bumper * v
                kf = _nearest(way, gone, fx, fy)
                _, _, away, ax, ay, inside, turns = _foot(way, kf, fx, fy)
                front, gx, gy = _room(way, kf, away, ax, ay, inside, turns)
                rt = _0
                if front < room:
                    room, rx, ry = front, gx, gy
                    rt = bumper * (gy * u - gx * v)
                out[4, p, n, t] = room - width
                line = far
                inline = _0
                if red == red:
                    line = red - (station - begin)
                    inline = _1 if near < line < far else _0
                    line = min(max(line, near), far)
                out[5, p, n, t] = line
                # Who is nearest; whoever is farther than the nearest so far, by circles, is not looked at.
                px, py = x + reach * u, y + reach * v
                best, which = far, -1
                around = math.sqrt(length * length + width * width)
                for a in range(places.shape[1]):
                    if not valid[b, a]:
                        continue
                    dx, dy = places[b, a, t, 0] - px, places[b, a, t, 1] - py
                    hl, hw = half[b, a, 0], half[b, a, 1]
                    bound = math.sqrt(dx * dx + dy * dy) - around - math.sqrt(hl * hl + hw * hw)
                    if bound >= best:
                        continue
                    oc, os = places[b, a, t, 2], places[b, a, t, 3]
                    gap = gap_between(
                        dx * u + dy * v, dy * u - dx * v, oc * u + os * v, os * u - oc * v,
                        length, width, hl, hw,
                    )[0]  # fmt: skip
                    if gap < best:
                        best, which = gap, a
                out[3, p, n, t] = max(best, near)
                if best < _0 and contact[p, n] == steps:
                    contact[p, n] = t
                if slopes:
                    row = jac[p, n, t]
                    row[0], row[1] = ox, oy
                    # The way's direction turns along a segment; it is made a unit vector again.
                    swing = c * way[14, k] + s * way[15, k]
                    tx, ty = (way[14, k] - c * swing) / root, (way[15, k] - s * swing) / root
                    bend = -(tx * u + ty * v) * bends
                    row[2], row[3], row[4] = bend * way[2, k], bend * way[3, k], c * v - s * u
                    row[5], row[6], row[7] = _0, _0, _0
                    if which >= 0 and best > near:
                        dx, dy = places[b, which, t, 0] - px, places[b, which, t, 1] - py
                        oc, os = places[b, which, t, 2], places[b, which, t, 3]
                        hl, hw = half[b, which, 0], half[b, which, 1]
                        _, ahead, aside = gap_between(
                            dx * u + dy * v, dy * u - dx * v, oc * u + os * v, os * u - oc * v,
                            length, width, hl, hw,
                        )  # fmt: skip
                        row[5], row[6] = -(ahead * u - aside * v), -(ahead * v + aside * u)
                        turned = _0
                        for sign in range(2):
                            angle = _STEP if sign == 0 else -_STEP
                            cu, cv = math.cos(heading + angle), math.sin(heading + angle)
                            gap = gap_between(
                                dx * cu + dy * cv, dy * cu - dx * cv, oc * cu + os * cv, os * cu - oc * cv,
                                length, width, hl, hw,
                            )[0]  # fmt: skip
                            turned += gap if sign == 0 else -gap
                        row[7] = turned / (_STEP + _STEP) + reach * (row[6] * u - row[5] * v)
                    row[8], row[9], row[10] = rx, ry, rt
                    row[11], row[12] = -gain * inline * way[2, k], -gain * inline * way[3, k]
            f = contact[p, n]
            for t in range(f + 1, steps):
                out[3, p, n, t] = out[3, p, n, f]


@_kernel
def _pull(jac, contact, given, back):
    """Fill `back (P, N, T, 4)` with the slopes of `given (6, P, N, T)` times the signals."""
    steps = jac.shape[2]
    for p in range(jac.shape[0]):
        for n in range(jac.shape[1]):
            f = contact[p, n]
            rest = _0
            for t in range(f + 1, steps):
                rest += given[3, p, n, t]
            for t in range(steps):
                row, to = jac[p, n, t], back[p, n, t]
                offset, turn, gap = given[1, p, n, t], given[2, p, n, t], given[3, p, n, t]
                room, line = given[4, p, n, t], given[5, p, n, t]
                gap = gap if t < f else (gap + rest if t == f else _0)
                to[0] = offset * row[0] + turn * row[2] + gap * row[5] + room * row[8] + line * row[11]
                to[1] = offset * row[1] + turn * row[3] + gap * row[6] + room * row[9] + line * row[12]
                to[2] = turn * row[4] + gap * row[7] + room * row[10]
                to[3] = given[0, p, n, t]


class Place(NamedTuple):
    """What samples of P lanes, M of each of B moments, are measured by, in float32."""

    table: Floats  # (P, 19, S), see `way.Way`
    missing: Floats  # (P, S)
    known: NDArray[np.bool_]  # (P,)
    body: Floats  # (B, 4) half length and width, rear axle to centre, the held line's distance or NaN
    places: Floats  # (B, A, T, 4)
    half: Floats  # (B, A, 2)
    valid: NDArray[np.bool_]  # (B, A)


class Measured(NamedTuple):
    """Signals `(6, P, N, T)`, slopes `(P, N, T, 13)` (empty where not asked for), first contacts `(P, N)`."""

    signals: Floats
    slopes: Floats
    contact: NDArray[np.int64]


def measure(place: Place, states: Floats, near: float, far: float, slopes: bool) -> Measured:
    """The signals of `states (P, N, T, >= 4)`; clearance and line are cut to `near` ... `far`."""
    lanes, count, steps = states.shape[:3]
    out = np.empty((COUNT, lanes, count, steps), np.float32)
    jac = np.empty((lanes, count, steps, SLOPES) if slopes else (1, 1, 1, SLOPES), np.float32)
    contact = np.empty((lanes, count), np.int64)
    _measure(
        states, place.table, place.missing, place.known, place.body, place.places, place.half, place.valid,
        np.float32(near), np.float32(far), slopes, out, jac, contact,
    )  # fmt: skip
    return Measured(out, jac, contact)


def pull(found: Measured, given: Floats) -> Floats:
    """The slopes `(P, N, T, 4)` in x, y, heading, speed of the sum of `given (6, P, N, T)` times signals."""
    back = np.empty((*given.shape[1:], 4), np.float32)
    _pull(found.slopes, found.contact, given, back)
    return back


__all__ = ["COUNT", "SLOPES", "Measured", "Place", "measure", "pull"]
