"""Plane curves of real roads: chains of lines, clothoids and arcs, turns at corners, gentle connections.

All curves have a continuous curvature, as roads are built: a driver turns the wheel, never jerks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.generate.kernels.curves import hermite
from drive.geometry import rotate, wrap_angle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NODES = np.array([-0.906179845938664, -0.5384693101056831, 0.0, 0.5384693101056831, 0.906179845938664])
WEIGHTS = (0.23692688505618908, 0.47862867049936647, 128 / 225, 0.47862867049936647, 0.23692688505618908)
"""Gauss and Legendre's rule of five nodes."""
CLOTHOID_SHARE = 0.3
"""Share of a turn's length that each of its two clothoids takes."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve at equal steps: `points (N, 2)`, `heading (N,)` without jumps, `curvature (N,)` in 1/m."""

    step: float
    points: Floats
    heading: Floats
    curvature: Floats

    @property
    def length(self) -> float:
        return self.step * (len(self.points) - 1)

    @property
    def station(self) -> Floats:
        return np.asarray(self.step * np.arange(len(self.points)))

    def pose(self, station: ArrayLike) -> Floats:
        """Poses `(..., 3)` at stations (cubic Hermite between samples); the ends are prolonged straight."""
        s = np.asarray(station, dtype=np.float64)
        out, beyond = np.empty((s.size, 3)), np.empty(s.size)
        if hermite(s.ravel(), self.step, *self._nodes, out, beyond):
            out[:, 0] += beyond * np.cos(out[:, 2])
            out[:, 1] += beyond * np.sin(out[:, 2])
        return out.reshape(*s.shape, 3)

    @cached_property
    def _nodes(self) -> tuple[Floats, Floats]:
        """Poses `(N, 3)` and their derivatives, times the step."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        return (
            np.column_stack((self.points, self.heading)),
            self.step * np.column_stack((c, s, self.curvature)),
        )

    def curvature_at(self, station: ArrayLike) -> Floats:
        return np.asarray(np.interp(np.asarray(station, dtype=np.float64), self.station, self.curvature))

    def reversed(self) -> Curve:
        """The same curve, driven the other way."""
        return Curve(self.step, self.points[::-1], self.heading[::-1] + np.pi, -self.curvature[::-1])

    def moved(self, pose: ArrayLike) -> Curve:
        """The curve, given in the frame of `pose (3,)`, in the frame that the pose is given in."""
        p = np.asarray(pose, dtype=np.float64)
        return Curve(self.step, rotate(self.points, p[2]) + p[:2], self.heading + p[2], self.curvature)


def chain(segments: Sequence[tuple[float, float, float]], step: float = 1.0) -> Curve:
    """Curve from the origin along x through segments of (length, curvature at start, curvature at end).

    Equal curvatures give a line or an arc, different ones a clothoid. Positions are the integrals of
    cos and sin of the heading by Gauss-Legendre with 5 nodes a step.
    """
    rows = np.asarray([s for s in segments if s[0] > 1e-9], dtype=np.float64)
    length, k0, k1 = rows.T
    start = np.concatenate(([0.0], np.cumsum(length)))
    turned = np.concatenate(([0.0], np.cumsum(0.5 * (k0 + k1) * length)))
    n = max(int(np.ceil(start[-1] / step - 1e-9)), 1)
    h = float(start[-1] / n)

    def at(s: NDArray[Any]) -> tuple[Floats, Floats]:
        i = np.clip(np.searchsorted(start, s, side="right") - 1, 0, len(length) - 1)
        x = s - start[i]
        rate = (k1[i] - k0[i]) / length[i]
        return turned[i] + k0[i] * x + 0.5 * rate * x * x, k0[i] + rate * x

    grid = h * np.arange(n + 1)
    heading, curvature = at(grid)
    inside, _ = at((grid[:-1, None] + 0.5 * h * (NODES + 1.0)).ravel())
    steps = np.zeros((n, 2))
    # A matrix product adds in another order on another processor.
    for k, weight in enumerate(WEIGHTS):
        steps += weight * np.stack((np.cos(inside[k::5]), np.sin(inside[k::5])), axis=-1)
    points = np.zeros((n + 1, 2))
    np.cumsum(0.5 * h * steps, axis=0, out=points[1:])
    return Curve(h, points, heading, curvature)


def bend(length: float, curvature: float, share: float = CLOTHOID_SHARE) -> list[tuple[float, float, float]]:
    """Segments of a bend of `length` metres: clothoid in, arc of `curvature`, clothoid out."""
    ramp = share * length
    return [(ramp, 0.0, curvature), (length - 2.0 * ramp, curvature, curvature), (ramp, curvature, 0.0)]


def connect(start: ArrayLike, end: ArrayLike, step: float = 0.5) -> Curve:
    """Curve from pose `start (3,)` to pose `end (3,)` with curvature 0 at both: a corner turn where the
    poses' lines meet at an angle, else a quintic."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    turn = float(wrap_angle(b[2] - a[2]))
    if 0.35 < abs(turn) < 2.8:
        gap = b[:2] - a[:2]
        ua, ub = np.array([np.cos(a[2]), np.sin(a[2])]), np.array([np.cos(b[2]), np.sin(b[2])])
        cross = ua[0] * ub[1] - ua[1] * ub[0]
        ta = float((gap[0] * ub[1] - gap[1] * ub[0]) / cross)
        tb = float((ua[0] * gap[1] - ua[1] * gap[0]) / cross)
        if ta > 1.0 and tb > 1.0:
            return _corner(a, turn, ta, tb, step)
    return quintic(a, b, step=step)


def _corner(a: Floats, turn: float, before: float, after: float, step: float) -> Curve:
    unit = chain(bend(1.0, turn / (1.0 - CLOTHOID_SHARE)), 0.02)
    tangent = unit.points[-1, 1] / np.sin(turn)
    size = min(before, after) / tangent
    parts = bend(size, turn / (1.0 - CLOTHOID_SHARE) / size)
    t = min(before, after)
    return chain([(before - t, 0.0, 0.0), *parts, (after - t, 0.0, 0.0)], step).moved(a)


def quintic(
    start: ArrayLike, end: ArrayLike, curvature: tuple[float, float] = (0.0, 0.0), step: float = 0.5
) -> Curve:
    """Hermite curve from pose `start (3,)` to pose `end (3,)` with the given curvatures at its ends.

    The first derivatives are as long as the ends are apart, the second ones lie across.
    """
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    reach = float(np.hypot(*(b[:2] - a[:2])))
    u = np.linspace(0.0, 1.0, max(int(4 * reach / step), 8) + 1)[:, None]
    va = reach * np.array([np.cos(a[2]), np.sin(a[2])])
    vb = reach * np.array([np.cos(b[2]), np.sin(b[2])])
    wa = curvature[0] * reach * np.array([-va[1], va[0]])
    wb = curvature[1] * reach * np.array([-vb[1], vb[0]])
    d, e, f = b[:2] - a[:2] - va - 0.5 * wa, vb - va - wa, wb - wa
    c3, c4, c5 = 10 * d - 4 * e + 0.5 * f, -15 * d + 7 * e - f, 6 * d - 3 * e + 0.5 * f
    p = a[:2] + va * u + 0.5 * wa * u**2 + c3 * u**3 + c4 * u**4 + c5 * u**5
    d1 = va + wa * u + 3 * c3 * u**2 + 4 * c4 * u**3 + 5 * c5 * u**4
    d2 = wa + 6 * c3 * u + 12 * c4 * u**2 + 20 * c5 * u**3
    speed = np.hypot(d1[:, 0], d1[:, 1])
    heading = np.unwrap(np.arctan2(d1[:, 1], d1[:, 0]))
    heading += a[2] - heading[0]
    kappa = (d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]) / speed**3
    h = np.diff(u[:, 0])
    s = np.concatenate(([0.0], np.cumsum(0.5 * h * (speed[1:] + speed[:-1]))))
    n = max(int(np.ceil(s[-1] / step)), 2)
    grid = np.linspace(0.0, s[-1], n + 1)
    columns: list[Any] = [p[:, 0], p[:, 1], heading, kappa]
    x, y, hd, k = (np.interp(grid, s, c) for c in columns)
    return Curve(float(s[-1] / n), np.stack((x, y), axis=-1), hd, k)


def join(curves: Sequence[Curve], step: float = 1.0) -> Curve:
    """One curve along several that continue each other, sampled anew at about `step` metres."""
    ends = np.concatenate(([0.0], np.cumsum([c.length for c in curves])))
    n = max(round(ends[-1] / step), 2)
    s = np.linspace(0.0, ends[-1], n + 1)
    owner = np.clip(np.searchsorted(ends, s, side="right") - 1, 0, len(curves) - 1)
    pose, curvature = np.empty((n + 1, 3)), np.empty(n + 1)
    for i, c in enumerate(curves):
        mine = owner == i
        pose[mine] = c.pose(s[mine] - ends[i])
        curvature[mine] = c.curvature_at(s[mine] - ends[i])
    return Curve(float(ends[-1] / n), pose[:, :2], np.unwrap(pose[:, 2]), curvature)


def blend(u: ArrayLike) -> Floats:
    """Quintic step from 0 to 1 with two vanishing derivatives at both ends; constant outside [0, 1]."""
    v = np.clip(np.asarray(u, dtype=np.float64), 0.0, 1.0)
    return np.asarray(v * v * v * (10.0 + v * (6.0 * v - 15.0)))


def parallel(curve: Curve, offset: float, step: float = 1.0) -> Curve:
    """The curve at a constant offset (left positive), sampled at equal steps of its own length."""
    fine = np.linspace(0.0, curve.length, max(int(4.0 * curve.length), 8) + 1)
    base, k = curve.pose(fine), curve.curvature_at(fine)
    stretch = 1.0 - k * offset
    x = base[:, 0] - offset * np.sin(base[:, 2])
    y = base[:, 1] + offset * np.cos(base[:, 2])
    s = np.concatenate(([0.0], np.cumsum(0.5 * (stretch[1:] + stretch[:-1]) * np.diff(fine))))
    n = max(int(np.ceil(s[-1] / step - 1e-9)), 1)
    grid = np.linspace(0.0, s[-1], n + 1)
    x, y, heading, kappa = (np.interp(grid, s, c) for c in (x, y, base[:, 2], k / stretch))
    return Curve(float(s[-1] / n), np.stack((x, y), axis=-1), heading, kappa)
