"""The front end: the quickest way that slopes and power allow, over a grid, from every place to the goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.rover.config import RoverConfig
    from drive.planners.rover.ground import Ground
    from drive.terrain import Terrain
    from drive.vehicle import RoverParams

    Floats = NDArray[np.float64]

_STEPS = tuple(
    (r, c)
    for r in range(-2, 3)
    for c in range(-2, 3)
    if (r, c) != (0, 0) and (abs(r) != abs(c) or abs(r) == 1) and not (r * c == 0 and abs(r + c) == 2)
)
"""The sixteen neighbours: rook's, bishop's and knight's moves."""
MAX_CELLS = 160
"""Cells along the longer side at most; a larger terrain gets larger cells."""
ROOM = 0.92
"""Share of the motion's steepest slope that the search may use: the smooth motion cuts its corners."""
NEARBY = 1.5
"""Metres within which a rover that stands on ground too steep to plan on finds ground to go on from."""
SLOWEST = 0.05
"""m/s below which a climb counts as impossible."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The times in s to the goal `(rows, columns)`, infinite where there is no way, and the next cell's
    flat index, -1 at the goal and where there is none; `why` names what closes the way."""

    cost: Floats
    following: NDArray[np.int64]
    cell: float
    why: str

    def reaches(self, point: Floats) -> bool:
        """Whether a way leads on from a place or from one close by."""
        return bool(np.isfinite(self.cost[self._cell(point)]))

    def way(self, point: Floats, goal: Floats) -> tuple[Floats, Floats]:
        """The way `(n, 2)` from a point to the goal, and the times to go `(n,)` on it."""
        columns = self.cost.shape[1]
        at = int(np.ravel_multi_index(self._cell(point), self.cost.shape))
        cells = [at]
        while self.following.flat[at] >= 0:
            at = int(self.following.flat[at])
            cells.append(at)
        index = np.asarray(cells)
        points = self.cell * np.stack((index % columns, index // columns), axis=1).astype(np.float64)
        togo = self.cost.ravel()[index]
        return np.concatenate((point[None], points[1:-1], goal[None])), np.concatenate(
            (togo[:1], togo[1:-1], [0.0])
        ) if len(index) > 1 else np.array([togo[0], 0.0])

    def _cell(self, point: Floats) -> tuple[int, int]:
        """The nearest cell from which a way leads, or the place's own where there is none near."""
        rows, columns = self.cost.shape
        c, r = (int(v) for v in np.rint(point[:2] / self.cell))
        c, r = min(max(c, 0), columns - 1), min(max(r, 0), rows - 1)
        reach = max(round(NEARBY / self.cell), 1)
        r0, c0 = max(r - reach, 0), max(c - reach, 0)
        around = self.cost[r0 : r + reach + 1, c0 : c + reach + 1]
        y, x = np.ogrid[: around.shape[0], : around.shape[1]]
        gap = np.where(np.isfinite(around), np.hypot(y + r0 - r, x + c0 - c), np.inf)
        best = np.unravel_index(int(np.argmin(gap)), gap.shape)
        if not np.isfinite(gap[best]):
            return r, c
        return int(best[0]) + r0, int(best[1]) + c0


def steady_speeds(rover: RoverParams, limit: float, gravity: float, sines: Floats) -> Floats:
    """The fastest speeds at which the load on slopes of these sines stays within `limit` in W."""
    speeds = np.linspace(0.0, rover.max_speed, 161)[1:]
    resist = (
        rover.resistance_constant + rover.resistance_linear * speeds + rover.resistance_quadratic * speeds**2
    ) * speeds
    climb = np.maximum(rover.mass * gravity * sines[:, None] * speeds, 0.0) / rover.drive_efficiency
    fits = rover.power_base + climb + resist <= limit
    return np.asarray(np.where(fits, speeds, 0.0).max(axis=1))


def search(
    terrain: Terrain,
    ground: Ground,
    rover: RoverParams,
    goal: Floats,
    config: RoverConfig,
    room: float = ROOM,
) -> Field:
    """The field of times to `goal (2,)` for a rover that heads for it from anywhere, on ground whose slope is
    at most the share `room` of the steepest that a motion may use.

    The light is the mean over time: when the rover will be where is not known yet.
    """
    width, depth = terrain.extent
    cell = max(config.search_cell, terrain.resolution, max(width, depth) / MAX_CELLS)
    columns, rows = int(width / cell) + 1, int(depth / cell) + 1
    y, x = np.meshgrid(cell * np.arange(rows), cell * np.arange(columns), indexing="ij")
    values = ground.surface.at(np.stack((x, y), axis=-1))
    height = values[:, 0].reshape(rows, columns)
    tilt = np.hypot(values[:, 1], values[:, 2]).reshape(rows, columns)
    free = config.power == "off" or config.slope_only
    limit = np.full((rows, columns), np.inf)
    if not free:
        mean = terrain.light.mean(axis=0)
        r = np.rint(y / terrain.resolution).astype(int).clip(0, terrain.height.shape[0] - 1)
        c = np.rint(x / terrain.resolution).astype(int).clip(0, terrain.height.shape[1] - 1)
        supply = rover.generator_power + rover.battery_power_max + rover.solar_power_max * mean[r, c]
        limit = np.minimum(rover.power_limit, supply) * (1.0 - config.margin)
    steepest = np.tan(config.slope_share * rover.max_slope) * room
    cost, following = _dijkstra(height, tilt, limit, cell, goal, rover, terrain.gravity, steepest)
    why = ""
    if not np.isfinite(cost).all():
        open_ground, _ = _dijkstra(height, tilt, limit, cell, goal, rover, terrain.gravity, np.inf)
        why = "slope limit" if np.isfinite(open_ground).sum() > np.isfinite(cost).sum() else "power limit"
    return Field(cost, following, cell, why)


def _dijkstra(
    height: Floats,
    tilt: Floats,
    limit: Floats,
    cell: float,
    goal: Floats,
    rover: RoverParams,
    gravity: float,
    steepest: float,
) -> tuple[Floats, NDArray[np.int64]]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    rows, columns = height.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    sines = np.linspace(-0.7, 0.7, 281)
    best = float(limit.max())
    levels = (
        np.unique(np.concatenate(([float(limit.min())], np.linspace(limit.min(), best, 9)[1:])))
        if np.isfinite(best)
        else np.array([np.inf])
    )
    table = np.stack([steady_speeds(rover, float(level), gravity, sines) for level in levels])
    begin: list[NDArray[np.int64]] = []
    end: list[NDArray[np.int64]] = []
    times: list[Floats] = []
    for dr, dc in _STEPS:
        r0, r1 = max(0, -dr), rows - max(0, dr)
        c0, c1 = max(0, -dc), columns - max(0, dc)
        here, there = np.s_[r0:r1, c0:c1], np.s_[r0 + dr : r1 + dr, c0 + dc : c1 + dc]
        way = cell * float(np.hypot(dr, dc))
        rise = (height[there] - height[here]) / way
        sine = rise / np.sqrt(1.0 + rise * rise)
        level = np.searchsorted(levels, limit[here], side="right") - 1
        at = np.clip(np.rint((sine + 0.7) / 0.005).astype(int), 0, len(sines) - 1)
        speed = table[level, at]
        steep = np.maximum(tilt[here], tilt[there])
        usable = (steep < steepest) & (speed > SLOWEST)
        share = steep / np.tan(rover.max_slope)
        # A detour of half the way is worth keeping off ground at the limit.
        times.append((way / np.maximum(speed, SLOWEST) * (1.0 + 0.5 * share * share))[usable])
        begin.append(index[here][usable])
        end.append(index[there][usable])
    # Edges are turned round: one search from the goal knows the way from everywhere.
    data, row, column = np.concatenate(times), np.concatenate(end), np.concatenate(begin)
    graph = csr_array((data, (row, column)), shape=(index.size, index.size))
    c, r = np.rint(goal[:2] / cell).astype(int)
    source = int(index[min(max(r, 0), rows - 1), min(max(c, 0), columns - 1)])
    cost, before = dijkstra(graph, indices=source, return_predecessors=True)
    following = np.where(before < 0, -1, before).astype(np.int64)
    return cost.reshape(rows, columns), following.reshape(rows, columns)


def guess(points: Floats, togo: Floats, pieces: int, round_off: float = 1.0) -> Floats:
    """Inner waypoints `(pieces - 1, 2)` at equal times along a way, its corners rounded off.

    `round_off` is about how many pieces a corner is spread over.
    """
    done = togo[0] - togo
    keep = np.concatenate(([True], np.diff(done) > 1e-9))
    points, done = points[keep], done[keep]
    at = np.linspace(0.0, done[-1], 8 * pieces + 1)
    fine = np.stack([np.interp(at, done, points[:, axis]) for axis in range(2)], axis=1)
    width = min(round(8 * round_off), 4 * pieces - 1)
    window = np.hanning(2 * width + 3)[1:-1]
    window /= window.sum()
    half = len(window) // 2
    # Mirrored about the ends, which must stay where they are.
    long = np.concatenate((2 * fine[0] - fine[half:0:-1], fine, 2 * fine[-1] - fine[-2 : -half - 2 : -1]))
    smooth = np.stack([np.convolve(long[:, axis], window, mode="valid") for axis in range(2)], axis=1)
    return np.ascontiguousarray(smooth[8:-1:8])
