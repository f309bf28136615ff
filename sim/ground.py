"""What lies along the paths of a batch of worlds, compiled once: road points, lanes beside, edges, areas.

Learning reads it at every step (`drive.sim.features`); the simulator itself does not need it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.sim.kernels.areas import Areas, measure_room
from drive.sim.kernels.features import SLICES, RoadTable
from drive.sim.traffic.paths import map_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap
    from drive.sim.kernels.layout import Paths
    from drive.sim.traffic.compile import Cast

    Floats = NDArray[np.float64]

ROOM = 15.0
"""m, the most that the room beside a path is told as."""
BESIDE = (1.8, 6.0)
"""m beside a path within which a lane's middle counts as that of the lane beside."""

LATERAL, SHEDDING = 2.0, 1.5
"""m/s^2 that the allowed speed asks for across in a bend, and along before it."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Road points along all paths of a world, and the drivable area of each of its scenarios."""

    table: RoadTable
    areas: Areas

    def of_worlds(self, area: NDArray[np.int32]) -> Ground:
        """The same ground for worlds whose areas are `area (W,)`, an array that is kept and may change."""
        return replace(self, areas=self.areas._replace(of=area))


def compile_ground(casts: Sequence[Cast], roadmaps: Sequence[RoadMap], spacing: int = 4) -> Ground:
    """The ground of `compile_world(casts, ...)`; `roadmaps` are those of the casts' scenarios.

    `spacing` in m (a power of two) lies between two points of the own path, of which a learner is told 16.
    Casts and maps that come several times are compiled once.
    """
    if spacing < 1 or spacing & (spacing - 1):
        raise InputError(f"the spacing of road points must be a power of two, in m, got {spacing}")
    if len(casts) != len(roadmaps):
        raise InputError(f"{len(casts)} casts need as many road maps, got {len(roadmaps)}")
    different = list({id(m): m for m in roadmaps}.values())
    number = {id(m): n for n, m in enumerate(different)}
    areas = _areas([DrivableArea.of(m) for m in different], [number[id(m)] for m in roadmaps])
    stride = 2 * spacing
    # Sharing what is equal keeps the table small enough for the cache.
    parts: dict[int, tuple[Any, ...]] = {}
    rows = 0
    for c, roadmap in zip(casts, roadmaps, strict=True):
        if id(c.paths) not in parts:
            first, points, about, stop = _along(c.paths, roadmap, stride)
            room = np.empty((len(points), 2), dtype=np.float32)
            measure_room(points[:, 0].copy(), areas, number[id(roadmap)], np.float32(ROOM), room)
            about[:, :2] = np.where((points[:, 0, 2:] != 0.0).any(-1, keepdims=True), room, 0.0)
            parts[id(c.paths)] = (first + rows, points, about, stop)
            rows += len(points)
    start, points, about, stop = (np.concatenate(a) for a in zip(*parts.values(), strict=True))
    planes = np.ascontiguousarray(points.reshape(-1, 4).T)
    table = RoadTable(start.astype(np.int32), np.int32(stride), planes, about, stop)
    return Ground(table, areas)


def _along(paths: Paths, roadmap: RoadMap, stride: int) -> tuple[Any, ...]:
    """Slices of all paths of one cast: (first of each path, points (R, 4, 4), about (R, 4), stop (R,))."""
    first: list[int] = []
    own: list[NDArray[np.int64]] = []
    stop: list[NDArray[np.int64]] = []
    count = 0
    half = stride // 2
    for k in range(len(paths.step)):
        begin, end = int(paths.start[k]), int(paths.start[k + 1])
        samples = np.arange(begin, end, half)
        slices = (len(samples) + 1) // 2
        rows = np.full((slices + SLICES, 2), -1)
        rows.reshape(-1)[: len(samples)] = samples
        own.append(rows)
        first.append(count)
        count += len(rows)
        # Lines count from the path's own begin, so that equal paths can share their slices.
        lines = np.append(np.flatnonzero(paths.stop[begin:end] >= 0), -1)
        nearest = np.full(len(rows), -1)
        nearest[:slices] = lines[np.searchsorted(lines[:-1], np.arange(slices) * stride)]
        stop.append(nearest)
    at = np.concatenate(own)
    p = paths.points.astype(np.float64)
    there = at >= 0
    points = np.zeros((len(at), 4, 4))
    rows = np.maximum(at, 0)
    points[:, :2, :2] = p[rows, :2]
    points[:, :2, 2], points[:, :2, 3] = np.cos(p[rows, 2]), np.sin(p[rows, 2])
    points[:, :2][~there] = 0.0
    begin = there[:, 0]
    points[begin, 2:] = _beside(roadmap, p[at[begin, 0], :3])
    about = np.zeros((len(at), 4))
    about[begin, 2] = p[at[begin, 0], 4]
    for index, (k, n) in enumerate(zip(first, np.diff([*first, len(at)]) - SLICES, strict=True)):
        allowed = allowed_speeds(p[at[k : k + n, 0], 4], points[k : k + n, :2], stride * float(paths.step[index]))
        about[k : k + n, 3] = allowed
    return (
        np.asarray(first),
        points.astype(np.float32),
        about.astype(np.float32),
        np.concatenate(stop).astype(np.int32),
    )


def allowed_speeds(limit: Floats, own: Floats, length: float) -> Floats:
    """Speeds `(R,)` in m/s that limits and bends allow at slices of `length` m, whatever lies ahead.

    A bend of curvature k allows sqrt(LATERAL / k); what it asks for is shed before it with `SHEDDING`.
    `own (R, 2, 4)` are the slices' points on the path itself.
    """
    line = own.reshape(-1, 4)
    turn = line[:-1, 2] * line[1:, 3] - line[:-1, 3] * line[1:, 2]
    bend = np.append(np.abs(turn), 0.0) / (0.5 * length)
    best = np.minimum(limit, np.sqrt(LATERAL / np.maximum(bend.reshape(-1, 2).max(1), 1e-6)))
    for k in range(len(best) - 2, -1, -1):
        best[k] = min(best[k], np.sqrt(best[k + 1] ** 2 + 2.0 * SHEDDING * length))
    return best


def _beside(roadmap: RoadMap, poses: Floats, neighbours: int = 48) -> Floats:
    """Middles `(N, 2, 4)` (x, y, cos, sin) of the lanes left and right of poses `(N, 3)`; zeros where none is.

    Lanes of the other direction count; those that cross do not.
    """
    tree, rows = map_tree(roadmap)
    k = min(neighbours, len(rows))
    gap, at = tree.query(poses[:, :2], k=k, distance_upper_bound=BESIDE[1] + 1.0)
    gap, at = gap.reshape(len(poses), -1), at.reshape(len(poses), -1)
    near = np.isfinite(gap)
    at = np.minimum(at, len(rows) - 1)
    heading = roadmap.heading[rows[at]]
    turn = wrap_angle(heading - poses[:, 2:3])
    rel = tree.data[at] - poses[:, None, :2]
    c, s = np.cos(poses[:, 2:3]), np.sin(poses[:, 2:3])
    along, across = c * rel[..., 0] + s * rel[..., 1], c * rel[..., 1] - s * rel[..., 0]
    # Along its lane to where it is abreast.
    slope = np.tan(turn)
    straight = np.abs(np.cos(turn)) > 0.8
    abreast = across - along * np.where(straight, slope, 0.0)
    out = np.zeros((len(poses), 2, 4))
    for side, sign in enumerate((1.0, -1.0)):
        lateral = sign * abreast
        fits = near & straight & (np.abs(along) < 1.5) & (lateral > BESIDE[0]) & (lateral < BESIDE[1])
        lateral = np.where(fits, lateral, np.inf)
        best = np.argmin(lateral, axis=1)[:, None]
        found = fits.any(1)
        y = np.take_along_axis(abreast, best, 1)
        h = np.take_along_axis(heading, best, 1)
        lane = np.concatenate((poses[:, :1] - s * y, poses[:, 1:2] + c * y, np.cos(h), np.sin(h)), axis=1)
        out[found, side] = lane[found]
    return out


def _areas(areas: Sequence[DrivableArea], of: Sequence[int]) -> Areas:
    def counts(name: str) -> NDArray[np.int64]:
        return np.cumsum([0] + [np.asarray(getattr(a, name)).size for a in areas])[:-1]

    corners = counts("corners") // 6
    return Areas(
        np.asarray(of, dtype=np.int32),
        np.array([(a.x0, a.y0, a.cell) for a in areas], dtype=np.float32),
        np.array([a.state.shape for a in areas], dtype=np.int32),
        np.stack((counts("state"), counts("start"), corners), axis=1).astype(np.int64),
        np.concatenate([a.state.reshape(-1) for a in areas]),
        np.concatenate([a.start for a in areas]),
        counts("triangles").astype(np.int64),
        np.concatenate([a.triangles for a in areas]),
        np.ascontiguousarray(np.concatenate([a.corners for a in areas])),
    )
