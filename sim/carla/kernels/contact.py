"""Contacts of upright boxes: where they overlap, and impulses that part them without giving energy."""

from __future__ import annotations

import math

from drive.sim.carla.kernels.layout import (
    BOX_X,
    BOX_Y,
    BOX_Z,
    COLLIDES,
    HALF_X,
    HALF_Y,
    HALF_Z,
    INERTIA,
    KIND,
    MASS,
    PHYSICS,
    PROP,
    VEHICLE,
    VX,
    VY,
    WALKER,
    WZ,
    YAW,
    X,
    Y,
    Z,
)
from drive.sim.kernels.compile import scalar

FRICTION = 0.3
SLOP = 0.002
"""Metres of overlap that are left alone."""


@scalar
def solid(i, flag):
    """Whether an actor can be met at all."""
    kind = flag[i, KIND]
    return flag[i, COLLIDES] != 0 and kind in (VEHICLE, WALKER, PROP)


@scalar
def middle(i, body, param):
    """Centre of an actor's box, and cosine and sine of its yaw."""
    c, s = math.cos(body[i, YAW]), math.sin(body[i, YAW])
    x = body[i, X] + param[i, BOX_X] * c - param[i, BOX_Y] * s
    y = body[i, Y] + param[i, BOX_X] * s + param[i, BOX_Y] * c
    return x, y, body[i, Z] + param[i, BOX_Z], c, s


@scalar
def reach_of(i, param):
    """Radius about an actor's origin in which its box lies."""
    return math.hypot(param[i, HALF_X] + abs(param[i, BOX_X]), param[i, HALF_Y] + abs(param[i, BOX_Y]))


@scalar
def gather(body, param, flag, count, dt, pairs):
    """Pairs of actors that may meet within `dt`, into `pairs (M, 2)`; returns how many."""
    found = 0
    for i in range(count):
        if not solid(i, flag):
            continue
        xi, yi = body[i, X], body[i, Y]
        reach = reach_of(i, param) + 0.2 + (math.hypot(body[i, VX], body[i, VY]) + 2.0) * dt
        for j in range(i + 1, count):
            dx, dy = body[j, X] - xi, body[j, Y] - yi
            if abs(dx) > 40.0 or abs(dy) > 40.0 or not solid(j, flag):
                continue
            if flag[i, PHYSICS] == 0 and flag[j, PHYSICS] == 0:
                continue
            other = math.hypot(
                param[j, HALF_X] + abs(param[j, BOX_X]), param[j, HALF_Y] + abs(param[j, BOX_Y])
            )
            other += (math.hypot(body[j, VX], body[j, VY]) + 2.0) * dt
            if dx * dx + dy * dy < (reach + other) ** 2 and found < pairs.shape[0]:
                pairs[found, 0] = i
                pairs[found, 1] = j
                found += 1
    return found


@scalar
def overlap(i, j, body, param):
    """How deep two boxes overlap (<= 0: not at all) and along which direction (x, y), from i to j.

    Separating axes of two rectangles; boxes above one another do not meet.
    """
    xi, yi, zi, ci, si = middle(i, body, param)
    xj, yj, zj, cj, sj = middle(j, body, param)
    if abs(zi - zj) >= param[i, HALF_Z] + param[j, HALF_Z]:
        return -1.0, 1.0, 0.0
    dx, dy = xj - xi, yj - yi
    c, s = abs(ci * cj + si * sj), abs(ci * sj - si * cj)
    ai, bi, aj, bj = param[i, HALF_X], param[i, HALF_Y], param[j, HALF_X], param[j, HALF_Y]
    best, nx, ny = 1e18, 1.0, 0.0
    for axis in range(4):
        if axis == 0:
            ex, ey, reach = ci, si, ai + aj * c + bj * s
        elif axis == 1:
            ex, ey, reach = -si, ci, bi + aj * s + bj * c
        elif axis == 2:
            ex, ey, reach = cj, sj, aj + ai * c + bi * s
        else:
            ex, ey, reach = -sj, cj, bj + ai * s + bi * c
        gap = dx * ex + dy * ey
        deep = reach - abs(gap)
        if deep <= 0.0:
            return -1.0, 1.0, 0.0
        # Of axes that are as good, the first one: rounding must not choose.
        if deep < best - 1e-9:
            best = deep
            nx, ny = (ex, ey) if gap >= 0.0 else (-ex, -ey)
    return best, nx, ny


@scalar
def corners_inside(i, j, body, param):
    """Sum (x, y) and number of the corners of box i that lie in box j."""
    xi, yi, _, ci, si = middle(i, body, param)
    xj, yj, _, cj, sj = middle(j, body, param)
    sx, sy, n = 0.0, 0.0, 0
    for k in range(4):
        a = param[i, HALF_X] if k < 2 else -param[i, HALF_X]
        b = param[i, HALF_Y] if k % 2 == 0 else -param[i, HALF_Y]
        x, y = xi + a * ci - b * si, yi + a * si + b * ci
        u, v = (x - xj) * cj + (y - yj) * sj, (y - yj) * cj - (x - xj) * sj
        if abs(u) <= param[j, HALF_X] + 1e-6 and abs(v) <= param[j, HALF_Y] + 1e-6:
            sx, sy, n = sx + x, sy + y, n + 1
    return sx, sy, n


@scalar
def weight_of(i, param, flag):
    """1 / mass and 1 / moment of inertia; none for what does not give way. Walkers do not spin."""
    if flag[i, PHYSICS] == 0:
        return 0.0, 0.0
    turns = 0.0 if flag[i, KIND] == WALKER else 1.0 / param[i, INERTIA]
    return 1.0 / param[i, MASS], turns


@scalar
def part(i, j, body, param, flag):
    """Push two overlapping actors apart; returns whether they met and the impulse (x, y) on i, in N s.

    Places: along the shortest way out, shared by mass. Velocities: a plastic impact with Coulomb friction
    at the middle of the overlap; each impulse alone can only lower the kinetic energy.
    """
    deep, nx, ny = overlap(i, j, body, param)
    if deep <= 0.0:
        return False, 0.0, 0.0
    mi, ii = weight_of(i, param, flag)
    mj, ij = weight_of(j, param, flag)
    total = mi + mj
    if total <= 0.0:
        return False, 0.0, 0.0
    ax, ay, an = corners_inside(i, j, body, param)
    bx, by, bn = corners_inside(j, i, body, param)
    if an + bn > 0:
        px, py = (ax + bx) / (an + bn), (ay + by) / (an + bn)
    else:
        px, py = 0.5 * (body[i, X] + body[j, X]), 0.5 * (body[i, Y] + body[j, Y])
    rix, riy, rjx, rjy = px - body[i, X], py - body[i, Y], px - body[j, X], py - body[j, Y]
    vx = body[j, VX] - body[j, WZ] * rjy - body[i, VX] + body[i, WZ] * riy
    vy = body[j, VY] + body[j, WZ] * rjx - body[i, VY] - body[i, WZ] * rix
    closing = vx * nx + vy * ny
    jx, jy = 0.0, 0.0
    if closing < 0.0:
        li, lj = rix * ny - riy * nx, rjx * ny - rjy * nx
        size = -closing / (total + li * li * ii + lj * lj * ij)
        # The slip across the normal, stopped as far as friction can.
        tx, ty = -ny, nx
        slip = vx * tx + vy * ty
        ki, kj = rix * ty - riy * tx, rjx * ty - rjy * tx
        kick(i, body, -size * nx, -size * ny, rix, riy, mi, ii)
        kick(j, body, size * nx, size * ny, rjx, rjy, mj, ij)
        vx = body[j, VX] - body[j, WZ] * rjy - body[i, VX] + body[i, WZ] * riy
        vy = body[j, VY] + body[j, WZ] * rjx - body[i, VY] - body[i, WZ] * rix
        slip = vx * tx + vy * ty
        rub = -slip / (total + ki * ki * ii + kj * kj * ij)
        rub = min(max(rub, -FRICTION * size), FRICTION * size)
        kick(i, body, -rub * tx, -rub * ty, rix, riy, mi, ii)
        kick(j, body, rub * tx, rub * ty, rjx, rjy, mj, ij)
        jx, jy = -size * nx - rub * tx, -size * ny - rub * ty
    away = max(deep - SLOP, 0.0) / total
    body[i, X] -= away * mi * nx
    body[i, Y] -= away * mi * ny
    body[j, X] += away * mj * nx
    body[j, Y] += away * mj * ny
    return True, jx, jy


@scalar
def kick(i, body, jx, jy, rx, ry, light, turns):
    """Apply an impulse (N s) at an arm from the origin."""
    body[i, VX] += jx * light
    body[i, VY] += jy * light
    body[i, WZ] += (rx * jy - ry * jx) * turns


@scalar
def note(i, j, jx, jy, hits, what, count):
    """Add an impulse to the tick's list of who met whom; returns its length."""
    for k in range(count):
        if hits[k, 0] == i and hits[k, 1] == j:
            what[k, 0] += jx
            what[k, 1] += jy
            return count
    if count < hits.shape[0]:
        hits[count, 0] = i
        hits[count, 1] = j
        what[count, 0] = jx
        what[count, 1] = jy
        return count + 1
    return count
