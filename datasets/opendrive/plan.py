"""A road's reference line: positions, headings and curvatures along its plan view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import rotate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.opendrive.model import Geometry

    Floats = NDArray[np.float64]

STRAIGHT = 1e-12
"""1/m (or 1/m^2) below which a curvature (or its change) is none."""
TABLE_STEP = 0.1
MAX_TABLE = 20_000


def reference_line(plan: Sequence[Geometry], s: Floats) -> tuple[Floats, Floats, Floats]:
    """Points `(N, 2)`, headings `(N,)` and curvatures `(N,)` of the reference line at stations `s (N,)`.

    Stations beyond the plan's ends prolong its first and last piece.
    """
    start = np.asarray([g.s for g in plan])
    owner = np.maximum(np.searchsorted(start, s, side="right") - 1, 0)
    points, heading, curvature = np.empty((len(s), 2)), np.empty(len(s)), np.empty(len(s))
    for k in np.unique(owner):
        g, mine = plan[k], owner == k
        local, turn, kappa = _LOCAL[g.kind](g, s[mine] - g.s)
        points[mine] = rotate(local, g.heading) + np.asarray((g.x, g.y))
        heading[mine], curvature[mine] = g.heading + turn, kappa
    return points, heading, curvature


def _line(g: Geometry, ds: Floats) -> tuple[Floats, Floats, Floats]:
    none = np.zeros(len(ds))
    return np.stack((ds, none), axis=-1), none, none


def _bow(k: float, ds: Floats) -> tuple[Floats, Floats, Floats]:
    if abs(k) < STRAIGHT:
        none = np.zeros(len(ds))
        return np.stack((ds, none), axis=-1), none, none
    turn = k * ds
    # 1 - cos by the half angle keeps its digits at large radii.
    xy = np.stack((np.sin(turn) / k, 2.0 * np.sin(0.5 * turn) ** 2 / k), axis=-1)
    return xy, turn, np.full(len(ds), k)


def _arc(g: Geometry, ds: Floats) -> tuple[Floats, Floats, Floats]:
    return _bow(g.values[0], ds)


def _spiral(g: Geometry, ds: Floats) -> tuple[Floats, Floats, Floats]:
    """Clothoid by the Fresnel integrals: curvature k0 + c s is that of a clothoid from its own origin."""
    k0, k1 = g.values
    c = (k1 - k0) / g.length
    if abs(c) < STRAIGHT:
        return _bow(k0, ds)
    from scipy.special import fresnel

    a = np.sqrt(abs(c) / np.pi)
    s0 = k0 / c
    sin0, cos0 = fresnel(a * s0)
    sin1, cos1 = fresnel(a * (s0 + ds))
    about = np.stack(((cos1 - cos0) / a, np.sign(c) * (sin1 - sin0) / a), axis=-1)
    return rotate(about, -0.5 * c * s0 * s0), ds * (k0 + 0.5 * c * ds), k0 + c * ds


def _poly3(g: Geometry, ds: Floats) -> tuple[Floats, Floats, Floats]:
    a, b, c, d = g.values
    # v(u) over the distance u along the piece's axis, which ends where the arc has the piece's length.
    return _parametric((0.0, 1.0, 0.0, 0.0), (a, b, c, d), g.length, None, ds)


def _param_poly3(g: Geometry, ds: Floats) -> tuple[Floats, Floats, Floats]:
    return _parametric(g.values[:4], g.values[4:8], g.length, g.values[8], ds)


def _parametric(
    u: tuple[float, ...], v: tuple[float, ...], length: float, whole: float | None, ds: Floats
) -> tuple[Floats, Floats, Floats]:
    """A curve (u(p), v(p)) by its arc length, which is what s means whatever the parameter is.

    `whole` is the parameter at the end; None lets the arc's own length say it. Where the arc's length and
    the `length` that the file gives differ a little, the stations are stretched to fit.
    """
    top = length if whole is None else whole
    n = int(np.clip(np.ceil(length / TABLE_STEP), 32, MAX_TABLE))
    p = np.linspace(0.0, top, n + 1)
    mid = 0.5 * (p[1:] + p[:-1])
    speed, between = _speed(u, v, p), _speed(u, v, mid)
    arc = np.concatenate(([0.0], np.cumsum((speed[1:] + 4.0 * between + speed[:-1]) * (top / n) / 6.0)))
    goal = ds if whole is None or arc[-1] <= 0.0 else ds * (arc[-1] / length)
    at = np.interp(goal, arc, p)
    # Beyond the ends the parameter goes on at its speed there.
    at = at + np.where(goal > arc[-1], (goal - arc[-1]) / max(speed[-1], 1e-9), 0.0)
    at = at + np.where(goal < 0.0, goal / max(speed[0], 1e-9), 0.0)
    du, dv, ddu, ddv = _slope(u, at), _slope(v, at), _second(u, at), _second(v, at)
    fast = np.maximum(np.hypot(du, dv), 1e-9)
    kappa = (du * ddv - dv * ddu) / fast**3
    return np.stack((_value(u, at), _value(v, at)), axis=-1), np.arctan2(dv, du), kappa


def _value(q: tuple[float, ...], p: Floats) -> Floats:
    return np.asarray(q[0] + p * (q[1] + p * (q[2] + p * q[3])))


def _slope(q: tuple[float, ...], p: Floats) -> Floats:
    return np.asarray(q[1] + p * (2.0 * q[2] + p * 3.0 * q[3]))


def _second(q: tuple[float, ...], p: Floats) -> Floats:
    return np.asarray(2.0 * q[2] + 6.0 * q[3] * p)


def _speed(u: tuple[float, ...], v: tuple[float, ...], p: Floats) -> Floats:
    return np.hypot(_slope(u, p), _slope(v, p))


_LOCAL = {"line": _line, "arc": _arc, "spiral": _spiral, "poly3": _poly3, "paramPoly3": _param_poly3}
