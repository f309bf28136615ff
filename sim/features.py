"""What learners read of a batch of worlds: compact features of agents, and what happened to them.

Both are calls of their own beside `drive.sim.step`, and write into arrays of the caller. Their columns are
`drive.sim.kernels.features.EGO_COLUMNS` and its like, and `drive.sim.kernels.series.SERIES_COLUMNS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.sim._batch import checked, finite, share, whole
from drive.sim.kernels.features import (
    EGO,
    FIRST_NEIGHBOUR,
    FIRST_POINT,
    NEIGHBOURS,
    POINTS,
    ROW,
    ROW_BITS,
    SLICES,
    features_kernel,
)
from drive.sim.kernels.series import KEPT, WIDTH, series_kernel
from drive.sim.kernels.sort import LANES
from drive.sim.kernels.survey import CROWD_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.ground import Ground
    from drive.sim.world import World

    Array = NDArray[np.float32]

MAX_AGENTS = 1 << ROW_BITS
"""Agents of a world that can be told apart while they are sorted."""
FARTHEST = 1e6
"""m from a scenario's origin beyond which float32 says nothing of a car."""


class Features(NamedTuple):
    """Views of feature rows `(..., ROW)`; column k of the last axis is the k-th of the columns' names."""

    ego: Any  # (..., 8)
    route: Any  # (..., 8)
    neighbours: Any  # (..., 16, 7)
    points: Any  # (..., 8, 4, 4): slice of the road; the path, half a slice on, left, right; column


def split(rows: Any) -> Features:
    """Views of the parts of feature rows, of a NumPy array or a torch tensor alike."""
    lead = rows.shape[:-1]
    near = rows[..., FIRST_NEIGHBOUR:FIRST_POINT].reshape(*lead, -1, NEIGHBOURS)
    road = rows[..., FIRST_POINT:].reshape(*lead, -1, SLICES, POINTS // SLICES)
    return Features(
        rows[..., :EGO],
        rows[..., EGO:FIRST_NEIGHBOUR],
        near.swapaxes(-1, -2),
        road.swapaxes(-3, -2).swapaxes(-2, -1),
    )


def features(
    world: World,
    ground: Ground,
    rows: NDArray[np.int32] | None = None,
    out: Array | None = None,
    worlds: NDArray[np.int32] | None = None,
    threads: int = 1,
) -> Array:
    """Feature rows `(W, K, ROW)` of the agents `rows (W, K)` (-1 nobody; without it everybody).

    They are written into `out` where it is given, and only those of `worlds (n,)` where these are given.
    Whoever is absent gets zeros; road points need a path, which log replay has not.

    Raises InputError on arrays of the wrong shape, kind or memory order, and on states that are not finite.
    """
    _checked_motion(world)
    _checked_ground(world, ground)
    rows, chosen = _rows(world, rows), _chosen(world, worlds)
    count, k = world.num_agents, rows.shape[1]
    if count > MAX_AGENTS:
        raise InputError(f"features can be made of worlds with up to {MAX_AGENTS} agents, got {count}")
    out = _buffer(out, (world.num_worlds, k, ROW), "out")
    padded, lanes = _sixteens(count), min(_sixteens(k), LANES)

    def part(worker: int, n0: int, n1: int) -> None:
        features_kernel(
            world.motion, world.agents, world.paths, ground.table, rows, chosen,
            np.empty((CROWD_ROWS, padded), dtype=np.float32), np.empty((padded + 1, 8), dtype=np.float32),
            np.empty((2, LANES), dtype=np.float32), np.empty(padded * LANES, dtype=np.int32),
            np.empty(k, dtype=np.int32), out, padded, lanes, n0, n1,
        )  # fmt: skip

    share(len(chosen), whole(threads, "threads", 1), part)
    return out


def series(
    world: World,
    ground: Ground,
    memory: Array,
    rows: NDArray[np.int32] | None = None,
    out: Array | None = None,
    worlds: NDArray[np.int32] | None = None,
    threads: int = 1,
) -> Array:
    """What happened `(W, K, WIDTH)` to the agents `rows (W, K)` since the last call with this `memory`.

    `memory (W, K, KEPT)` begins as NaN (`new_memory`) and is written over; so a row's progress, jerk and yaw
    acceleration are those between two calls. See `features` for the rest.
    """
    _checked_motion(world)
    _checked_ground(world, ground)
    rows, chosen = _rows(world, rows), _chosen(world, worlds)
    k, padded = rows.shape[1], _sixteens(world.num_agents)
    out = _buffer(out, (world.num_worlds, k, WIDTH), "out")
    memory = _buffer(memory, (world.num_worlds, k, KEPT), "memory")

    def part(worker: int, n0: int, n1: int) -> None:
        times = np.empty(padded, dtype=np.float32)
        series_kernel(
            world.motion, world.agents, world.paths, ground.table, ground.areas, rows, chosen,
            np.empty((CROWD_ROWS, padded), dtype=np.float32), times, times.view(np.int32),
            memory, out, np.float32(world.dt), n0, n1,
        )  # fmt: skip

    share(len(chosen), whole(threads, "threads", 1), part)
    return out


def new_memory(worlds: int, agents: int) -> Array:
    """Memory for `series` of agents nothing is known of yet."""
    return np.full((worlds, agents, KEPT), np.nan, dtype=np.float32)


def _sixteens(n: int) -> int:
    return max((n + 15) // 16, 1) * 16


def _checked_motion(world: World) -> None:
    m = world.motion
    for name in ("x", "y", "heading", "speed", "vx", "vy"):
        finite(getattr(m, name), name, "world", FARTHEST)


def _checked_ground(world: World, ground: Ground) -> None:
    of, paths, areas = ground.areas.of, len(ground.table.start), len(ground.areas.of)
    if paths != len(world.paths.step) or areas != world.num_worlds:
        raise InputError(
            f"this ground is of {areas} worlds with {paths} paths, the world has {world.num_worlds} with"
            f" {len(world.paths.step)}: compile_ground wants the casts of compile_world"
        )
    if areas and not 0 <= of.min() <= of.max() < len(ground.areas.frame):
        raise InputError(
            f"areas of a ground are 0 to {len(ground.areas.frame) - 1}, got {of.min()} to {of.max()}"
        )


def _rows(world: World, rows: NDArray[np.int32] | None) -> NDArray[np.int32]:
    w, a = world.num_worlds, world.num_agents
    if rows is None:
        return np.ascontiguousarray(np.broadcast_to(np.arange(a, dtype=np.int32), (w, a)))
    checked(rows, "rows", np.int32, (w, None))
    if rows.size and not -1 <= rows.min() <= rows.max() < a:
        raise InputError(f"rows must lie in -1 .. {a - 1}, got {rows.min()} .. {rows.max()}")
    return rows


def _chosen(world: World, worlds: NDArray[np.int32] | None) -> NDArray[np.int32]:
    if worlds is None:
        return np.arange(world.num_worlds, dtype=np.int32)
    checked(worlds, "worlds", np.int32, (None,))
    if worlds.size and not 0 <= worlds.min() <= worlds.max() < world.num_worlds:
        raise InputError(f"worlds must be numbers from 0 to {world.num_worlds - 1}")
    return worlds


def _buffer(out: Array | None, shape: tuple[int, ...], name: str) -> Array:
    if out is None:
        return np.zeros(shape, dtype=np.float32)
    checked(out, name, np.float32, shape)
    return out
