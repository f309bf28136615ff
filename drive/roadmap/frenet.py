"""The Frenet frame of a reference line: arc length s and signed lateral offset d, left positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.geometry import (
    arc_length,
    polyline_curvature,
    polyline_heading,
    project_to_polyline,
    remove_duplicates,
    unwrap_angle,
    wrap_angle,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FrenetFrame:
    """A reference line `points (P, 2)` with station, heading and curvature at its vertices.

    The round trip is exact wherever a point's foot lies inside a segment and |d| is below the radius of
    curvature. In the outer wedge of a vertex that turns by an angle, `to_frenet` gives the vertex, and the
    point comes back rotated about it by less than that angle: at most |d| times the angle away.
    """

    points: Floats
    station: Floats
    heading: Floats
    curvature: Floats

    @classmethod
    def from_line(cls, line: ArrayLike) -> FrenetFrame:
        points = remove_duplicates(np.asarray(line, dtype=np.float64)[:, :2], 1e-6)
        if len(points) < 2 or not np.isfinite(points).all():
            raise InputError("a reference line needs at least two different, finite points")
        return cls(
            points,
            arc_length(points),
            unwrap_angle(polyline_heading(points)),
            polyline_curvature(points),
        )

    @property
    def length(self) -> float:
        return float(self.station[-1])

    def to_frenet(self, points: ArrayLike) -> Floats:
        """`(s, d)` of `points (..., 2)`, m; s is negative before the line and exceeds its length after it."""
        p = np.asarray(points, dtype=np.float64)
        s, d, _ = project_to_polyline(p.reshape(-1, 2), self.points)
        return np.stack((s, d), axis=-1).reshape(*p.shape[:-1], 2)

    def to_cartesian(self, frenet: ArrayLike) -> Floats:
        """Positions `(..., 2)` of `frenet (..., 2)`; the ends are prolonged as straight lines."""
        f = np.asarray(frenet, dtype=np.float64)
        flat = f.reshape(-1, 2)
        k = np.clip(np.searchsorted(self.station, flat[:, 0], side="right") - 1, 0, len(self.points) - 2)
        seg = self.points[k + 1] - self.points[k]
        unit = seg / np.hypot(seg[:, 0], seg[:, 1])[:, None]
        along = flat[:, 0] - self.station[k]
        normal = np.stack((-unit[:, 1], unit[:, 0]), axis=-1)
        out = self.points[k] + along[:, None] * unit + flat[:, 1:2] * normal
        return np.asarray(out.reshape(*f.shape[:-1], 2))

    def pose_at(self, station: ArrayLike, offset: ArrayLike = 0.0) -> Floats:
        """Poses `(..., 3)` at stations, headings interpolated between vertices."""
        s = np.asarray(station, dtype=np.float64)
        d = np.broadcast_to(np.asarray(offset, dtype=np.float64), s.shape)
        xy = self.to_cartesian(np.stack((s, d), axis=-1))
        h = wrap_angle(np.interp(s, self.station, self.heading))
        return np.concatenate((xy, np.asarray(h)[..., None]), axis=-1)

    def curvature_at(self, station: ArrayLike) -> Floats:
        return np.asarray(np.interp(np.asarray(station, dtype=np.float64), self.station, self.curvature))
