"""Plane geometry on NumPy arrays: angles, rigid motions, oriented boxes, polylines, polygons.

Conventions of the whole toolkit: SI units, right-handed frame with x forward, y left and z up,
angles in radians, counter-clockwise, wrapped to (-pi, pi].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


_PROJECTION_BLOCK = 250_000  # point-segment pairs at a time: the arrays stay in the cache


def wrap_angle(angle: ArrayLike) -> Floats:
    """Wrap angles to (-pi, pi]; any shape, radians. Angles in that range are kept to the last bit."""
    a = np.asarray(angle, dtype=np.float64)
    wrapped = -((-a + np.pi) % (2.0 * np.pi) - np.pi)
    # The remainder may round up to a whole turn, which would give -pi.
    wrapped = np.where(wrapped <= -np.pi, np.pi, wrapped)
    return np.where((a > -np.pi) & (a <= np.pi), a, wrapped)


def unwrap_angle(angle: ArrayLike) -> Floats:
    """Remove the jumps of 2 pi along the last axis."""
    return np.asarray(np.unwrap(np.asarray(angle, dtype=np.float64), axis=-1))


def rotate(points: ArrayLike, angle: ArrayLike) -> Floats:
    """Rotate `points (..., 2)` by `angle (...)` about the origin."""
    p = np.asarray(points, dtype=np.float64)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack((c * p[..., 0] - s * p[..., 1], s * p[..., 0] + c * p[..., 1]), axis=-1)


def to_frame(poses: ArrayLike, frame: ArrayLike) -> Floats:
    """Express `poses (..., 2 or 3)` of the world in the frame of the pose `frame (3,)`."""
    p, f = np.asarray(poses, dtype=np.float64), np.asarray(frame, dtype=np.float64)
    xy = rotate(p[..., :2] - f[:2], -f[2])
    if p.shape[-1] == 2:
        return xy
    return np.concatenate((xy, wrap_angle(p[..., 2:3] - f[2])), axis=-1)


def from_frame(poses: ArrayLike, frame: ArrayLike) -> Floats:
    """Inverse of `to_frame`: express `poses (..., 2 or 3)` of the frame `frame (3,)` in the world."""
    p, f = np.asarray(poses, dtype=np.float64), np.asarray(frame, dtype=np.float64)
    xy = rotate(p[..., :2], f[2]) + f[:2]
    if p.shape[-1] == 2:
        return xy
    return np.concatenate((xy, wrap_angle(p[..., 2:3] + f[2])), axis=-1)


def box_corners(center: ArrayLike, heading: ArrayLike, length: ArrayLike, width: ArrayLike) -> Floats:
    """Corners of oriented boxes, `(..., 4, 2)`: front left, rear left, rear right, front right.

    `center (..., 2)` is the geometric centre, the other arguments broadcast to `(...)`.
    """
    c = np.asarray(center, dtype=np.float64)
    sides = np.broadcast_arrays(np.asarray(length, dtype=np.float64), np.asarray(width, dtype=np.float64))
    half = 0.5 * np.stack(sides, axis=-1)
    signs = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    local = half[..., None, :] * signs
    return rotate(local, np.asarray(heading, dtype=np.float64)[..., None]) + c[..., None, :]


def boxes_overlap(corners_a: ArrayLike, corners_b: ArrayLike) -> Bools:
    """Whether oriented boxes, given by `(..., 4, 2)` corners, overlap (separating axes).

    Boxes that only touch overlap. Shapes broadcast against each other.
    """
    a, b = np.asarray(corners_a, dtype=np.float64), np.asarray(corners_b, dtype=np.float64)
    a, b = np.broadcast_arrays(a, b)
    overlap = np.ones(a.shape[:-2], dtype=np.bool_)
    for box in (a, b):
        for edge in (box[..., 0, :] - box[..., 1, :], box[..., 1, :] - box[..., 2, :]):
            pa = np.einsum("...ij,...j->...i", a, edge)
            pb = np.einsum("...ij,...j->...i", b, edge)
            overlap &= (pa.max(-1) >= pb.min(-1)) & (pb.max(-1) >= pa.min(-1))
    return overlap


def arc_length(points: ArrayLike) -> Floats:
    """Arc length `(P,)` along a polyline `(P, >=2)`, beginning at 0."""
    p = np.asarray(points, dtype=np.float64)[:, :2]
    return np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))))


def polyline_heading(points: ArrayLike) -> Floats:
    """Heading `(P,)` of a polyline `(P, 2)`: central differences inside, one-sided at the ends."""
    p = np.asarray(points, dtype=np.float64)[:, :2]
    unit = np.diff(p, axis=0)
    unit = unit / np.maximum(np.hypot(unit[:, 0], unit[:, 1]), 1e-12)[:, None]
    tangent = np.concatenate((unit[:1], unit[:-1] + unit[1:], unit[-1:]))
    return np.arctan2(tangent[:, 1], tangent[:, 0])


def polyline_curvature(points: ArrayLike) -> Floats:
    """Signed curvature `(P,)` in 1/m of a polyline `(P, 2)`, positive to the left."""
    p = np.asarray(points, dtype=np.float64)[:, :2]
    if len(p) < 3:
        return np.zeros(len(p))
    seg = np.diff(p, axis=0)
    ds = np.maximum(np.hypot(seg[:, 0], seg[:, 1]), 1e-9)
    turn = wrap_angle(np.diff(np.arctan2(seg[:, 1], seg[:, 0])))
    inner = turn / (0.5 * (ds[:-1] + ds[1:]))
    return np.concatenate((inner[:1], inner, inner[-1:]))


def remove_duplicates(points: ArrayLike, tolerance: float = 1e-6) -> Floats:
    """Drop vertices of a polyline `(P, D)` that lie within `tolerance` metres of their predecessor."""
    p = np.asarray(points, dtype=np.float64)
    if len(p) < 2:
        return p
    keep = np.concatenate(([True], np.hypot(*np.diff(p[:, :2], axis=0).T) > tolerance))
    return p[keep]


def resample_polyline(points: ArrayLike, step: float) -> Floats:
    """Resample a polyline `(P, D)` to equal arc-length steps of at most `step` metres, ends kept."""
    p = remove_duplicates(points)
    s = arc_length(p)
    n = max(int(np.ceil(s[-1] / step - 1e-9)), 1) + 1
    at = np.linspace(0.0, s[-1], n)
    return np.stack([np.interp(at, s, p[:, k]) for k in range(p.shape[1])], axis=-1)


def points_in_polygon(points: ArrayLike, polygon: ArrayLike) -> Bools:
    """Whether `points (..., 2)` lie inside the simple polygon `(N, 2)` (even-odd rule)."""
    p, ring = np.asarray(points, dtype=np.float64), np.asarray(polygon, dtype=np.float64)
    x, y = p[..., 0, None], p[..., 1, None]
    x0, y0 = ring[:, 0], ring[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    straddles = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray((straddles & (x < crossing)).sum(-1) % 2 == 1)


def polygon_area(polygon: ArrayLike) -> float:
    """Signed area in m^2 of a simple polygon `(N, 2)`; positive when counter-clockwise."""
    ring = np.asarray(polygon, dtype=np.float64)
    x, y = ring[:, 0], ring[:, 1]
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


class Projector:
    """A polyline `(P, 2)` made ready for many projections; raises InputError for a line without length.

    `vertices (M + 1, 2)` and `station (M + 1,)` are the line's without the segments that have no direction.
    """

    def __init__(self, line: ArrayLike) -> None:
        q = np.asarray(line, dtype=np.float64)[:, :2]
        seg = np.diff(q, axis=0)
        ds = np.hypot(seg[:, 0], seg[:, 1])
        real = np.flatnonzero(ds > 1e-12)  # a repeated vertex makes a segment without direction
        if len(real) == 0:
            raise InputError(f"a polyline of {len(q)} points has no length to project on")
        self._real, self._ds = real, ds[real]
        self._unit = seg[real] / self._ds[:, None]
        self.vertices = np.concatenate((q[real], q[real[-1:] + 1]))
        self.station = np.concatenate(([0.0], np.cumsum(self._ds)))
        # Each coordinate in one piece: the search below is bound by memory.
        self._x, self._y = (np.ascontiguousarray(self.vertices[:-1, i]) for i in range(2))
        self._ux, self._uy = (np.ascontiguousarray(self._unit[:, i]) for i in range(2))

    def __call__(self, points: ArrayLike) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """As `project_to_polyline`."""
        p = np.atleast_2d(np.asarray(points, dtype=np.float64))
        nearest = np.empty(len(p), dtype=np.intp)
        block = max(_PROJECTION_BLOCK // len(self._ds), 1)
        for i in range(0, len(p), block):
            rel_x = p[i : i + block, 0, None] - self._x
            rel_y = p[i : i + block, 1, None] - self._y
            foot = np.clip(rel_x * self._ux + rel_y * self._uy, 0.0, self._ds)
            gap = (rel_x - foot * self._ux) ** 2 + (rel_y - foot * self._uy) ** 2
            nearest[i : i + block] = np.argmin(gap, axis=1)
        return self.feet(p, nearest)

    def feet(self, points: Floats, nearest: NDArray[np.intp]) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """The same for `points (N, 2)` whose nearest segments `(N,)` between `vertices` are known."""
        p, q, unit, ds = points, self.vertices, self._unit, self._ds
        u, rel = unit[nearest], p - q[nearest]
        along = u[:, 0] * rel[:, 0] + u[:, 1] * rel[:, 1]
        d = u[:, 0] * rel[:, 1] - u[:, 1] * rel[:, 0]
        before = (along < 0.0) & (nearest > 0)
        after = (along > ds[nearest]) & (nearest < len(ds) - 1)
        if not (before | after).any():
            return self.station[nearest] + along, d, self._real[nearest]
        vertex = nearest + after
        gap_x, gap_y = p[:, 0] - q[vertex, 0], p[:, 1] - q[vertex, 1]
        # The side is told by the mean direction at the vertex: one segment alone errs at sharp corners.
        mean = unit[np.maximum(vertex - 1, 0)] + unit[np.minimum(vertex, len(ds) - 1)]
        side = mean[:, 0] * gap_y - mean[:, 1] * gap_x
        d = np.where(before | after, np.copysign(np.hypot(gap_x, gap_y), side), d)
        s = np.where(before, 0.0, np.where(after, ds[nearest], along))
        return self.station[nearest] + s, d, self._real[nearest]


def project_to_polyline(points: ArrayLike, line: ArrayLike) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Project `points (N, 2)` on a polyline `(P, 2)`.

    Returns the arc length `s (N,)`, the signed lateral offset `d (N,)` (left positive) and the index
    of the nearest segment `(N,)`, the first one of several. Points beyond an end project on the end's
    prolonged segment, so `s` may be negative or exceed the length. A point in the outer wedge of a
    vertex, where no segment has a foot, projects on the vertex, `d` being its distance.
    Raises InputError for a line without length.
    """
    return Projector(line)(points)
