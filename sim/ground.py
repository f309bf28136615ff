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
from drive.sim._batch import whole
from drive.sim.kernels.areas import Areas, join_areas, measure_room
from drive.sim.kernels.features import SLICES, RoadTable
from drive.sim.kernels.score_area import Area
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

    `spacing` in path samples (about 1 m) lies between two of the 16 points of the own path that are told.
    Casts and maps that come several times are compiled once.
    """
    spacing = whole(spacing, "the spacing of road points", 1)
    if not casts or len(casts) != len(roadmaps):
        raise InputError(f"a ground needs casts and as many road maps, got {len(casts)} and {len(roadmaps)}")
    different = list({id(m): m for m in roadmaps}.values())
    number = {id(m): n for n, m in enumerate(different)}
    drivable = [DrivableArea.of(m) for m in different]
    areas = join_areas(drivable, [number[id(m)] for m in roadmaps])
    stride = 2 * spacing
    # Sharing what is equal keeps the table small enough for the cache.
    parts: dict[int, tuple[Any, ...]] = {}
    rows = 0
    for c, roadmap in zip(casts, roadmaps, strict=True):
        if id(c.paths) not in parts:
            first, points, about = _along(c.paths, roadmap, stride)
            room = np.empty((len(points), 2), dtype=np.float32)
            measure_room(points[:, 0].copy(), Area.of(drivable[number[id(roadmap)]]), np.float32(ROOM), room)
            about[:, :2] = np.where((points[:, 0, 2:] != 0.0).any(-1, keepdims=True), room, 0.0)
            parts[id(c.paths)] = (first + rows, points, about)
            rows += len(points)
    start, points, about = (np.concatenate(a) for a in zip(*parts.values(), strict=True))
    columns = np.ascontiguousarray(points.swapaxes(1, 2)).reshape(len(points), -1)
    table = RoadTable(start.astype(np.int32), np.int32(stride), columns, about)
    return Ground(table, areas)


def _along(paths: Paths, roadmap: RoadMap, stride: int) -> tuple[Any, ...]:
    """Slices of all paths of one cast: (first of each path, points (R, 4, 4), about (R, 3))."""
    first: list[int] = []
    own: list[NDArray[np.int64]] = []
    count = 0
    half = stride // 2
    for k in range(len(paths.step)):
        samples = np.arange(int(paths.start[k]), int(paths.start[k + 1]), half)
        rows = np.full(((len(samples) + 1) // 2 + SLICES, 2), -1)
        rows.reshape(-1)[: len(samples)] = samples
        own.append(rows)
        first.append(count)
        count += len(rows)
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
    about = np.zeros((len(at), 3))
    about[begin, 2] = p[at[begin, 0], 4]
    return np.asarray(first), points.astype(np.float32), about.astype(np.float32)


def _beside(roadmap: RoadMap, poses: Floats, neighbours: int = 48) -> Floats:
    """Middles `(N, 2, 4)` (x, y, cos, sin) of the lanes left and right of poses `(N, 3)`; zeros for none.

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
