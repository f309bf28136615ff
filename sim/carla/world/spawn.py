"""Where vehicles may be put on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import polyline_heading
from drive.roadmap import LaneKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

ABOVE = 0.5
"""Metres above the road, as CARLA's points are, so that wheels do not start inside it."""
EVERY, FROM_END, NARROW = 20.0, 5.0, 2.2
ROOM_ALONG, ROOM_ACROSS = 8.0, 2.4
"""Metres along and across its lane that a point has to itself."""


def spawn_points(roadmap: RoadMap) -> Floats:
    """Points `(N, 6)` x, y, z, pitch, yaw, roll in CARLA's frame on the middles of lanes outside junctions.

    The real towns hold points that somebody placed by hand; these are spread evenly, about as many.
    """
    out: list[tuple[float, ...]] = []
    for i in np.flatnonzero((roadmap.kind == LaneKind.LANE) & ~roadmap.intersection):
        rows = roadmap.rows(int(i))
        length = float(roadmap.length[i])
        if length < 2.0 * FROM_END or float(roadmap.half_width[rows].sum(1).mean()) < NARROW:
            continue
        count = int((length - 2.0 * FROM_END) / EVERY) + 1
        s = 0.5 * (length - (count - 1) * EVERY) + EVERY * np.arange(count)
        at = roadmap.station[rows]
        x, y = (np.interp(s, at, roadmap.points[rows, k]) for k in (0, 1))
        z = np.interp(s, at, roadmap.elevation[rows]) if len(roadmap.elevation) else np.zeros(count)
        heading = np.interp(s, at, np.unwrap(polyline_heading(roadmap.points[rows])))
        yaw = -np.degrees(heading)
        out += [(x[k], -y[k], z[k] + ABOVE, 0.0, (yaw[k] + 180.0) % 360.0 - 180.0, 0.0) for k in range(count)]
    return _apart(np.asarray(out, dtype=np.float64).reshape(-1, 6))


def _apart(points: Floats) -> Floats:
    """Those points of a list that leave room to the ones before them."""
    kept: list[int] = []
    for i, p in enumerate(points):
        if kept:
            near = points[kept]
            near = near[(np.abs(near[:, :2] - p[:2]) < ROOM_ALONG).all(1) & (np.abs(near[:, 2] - p[2]) < 3.0)]
            h = np.radians(near[:, 4])
            d = p[:2] - near[:, :2]
            along = d[:, 0] * np.cos(h) + d[:, 1] * np.sin(h)
            across = d[:, 1] * np.cos(h) - d[:, 0] * np.sin(h)
            if ((np.abs(along) < ROOM_ALONG) & (np.abs(across) < ROOM_ACROSS)).any():
                continue
        kept.append(i)
    return points[kept]
