"""The arrays of a batch of worlds, as the kernels take them. W worlds, A agents, T samples, S signals.

Everything is contiguous and world-major. Positions are those of the rear axle (the centre for road
users that turn about it), float32, in each scenario's own coordinates.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

LOG_COLUMNS = ("x", "y", "heading", "speed", "vx", "vy")
PATH_COLUMNS = ("x", "y", "heading", "curvature", "limit")
ROW_COLUMNS = ("x", "y", "cos", "sin", "curvature", "allowed", "stray", "twist")
"""`allowed`: m/s that the limit here and all bends ahead permit. `stray` and `twist`: metres and radians by
which the path leaves its parabola here, y = curvature x^2 / 2, between `SURVEYED` metres behind and ahead."""
SURVEYED = (24.0, 60.0)
DRIVER_COLUMNS = ("target", "min_gap", "headway", "acceleration", "deceleration", "exponent", "politeness")

ABSENT, PRESENT, GONE = 0, 1, 2
SIGNALS, GIVE_WAY, ENDS = 1, 2, 4
FREE_ROAD = np.float32(1e6)


class Controller(IntEnum):
    """Who drives an agent."""

    LOG = 0
    IDM = 1
    MOBIL = 2
    CONTROL = 3
    TRAJECTORY = 4


class Motion(NamedTuple):
    """What changes from step to step; all `(W, A)` but for `sample (W,)`."""

    sample: Array  # int32, index of the scenario's clock
    x: Array
    y: Array
    heading: Array
    speed: Array
    acceleration: Array
    steering: Array
    yaw_rate: Array
    vx: Array
    vy: Array
    presence: Array  # uint8: ABSENT (not yet), PRESENT, GONE for good
    path: Array  # int32, path that the agent follows, -1 none
    station: Array  # position along it, m
    offset: Array  # lateral offset from the path that is still to be worked off, m
    cooldown: Array  # s until the next lane change may be thought of
    collided: Array  # uint8, its box overlaps another one's
    leader: Array  # int32, agent that it follows, -1 none, -2 a stop line


class Agents(NamedTuple):
    """What stays; `(W, A)` but for `log (W, A, T, 6)`, `log_valid (W, A, T)` and `driver (W, A, 7)`."""

    controller: Array  # uint8
    length: Array
    width: Array
    rear_to_center: Array
    wheelbase: Array
    log: Array
    log_valid: Array  # uint8
    driver: Array
    stop_station: Array  # a stop that the driver means to make, m on its first path, NaN none
    stop_until: Array  # s
    signals: Array  # (W, S, T) uint8


class Paths(NamedTuple):
    """Paths of all worlds in compressed rows: path p is `points[start[p]:start[p + 1]]`.

    Samples of a path lie `step[p]` metres apart. `stop (N,)` is the signal whose stop line lies at
    the sample, -1 none, and `next_stop (N,)` the next sample of the path with a stop line, -1 none.
    `give_way (N,)` is the path's row of the next give-way line at or after the sample, -1 none.
    `merging (N,)` is 1 where a path runs between lanes: who drives there has to let others go first.
    `left` and `right (N, 2)`: path and sample beside this one where a lane change is permitted, -1 none.
    `holds (P,)` says in bits what may hold its drivers: SIGNALS, GIVE_WAY lines, an end beside others (ENDS).
    `rows (N, 8)` is what every step reads, in `ROW_COLUMNS`, one sample in half a cache line.
    """

    points: Array  # (N, 5) float32
    rows: Array  # (N, 8) float32
    start: Array  # (P + 1,) int32
    step: Array  # (P,) float32
    stop: Array  # (N,) int32
    next_stop: Array  # (N,) int32
    give_way: Array  # (N,) int32
    merging: Array  # (N,) uint8
    left: Array  # (N, 2) int32
    right: Array  # (N, 2) int32
    holds: Array  # (P,) uint8


def empty_motion(worlds: int, agents: int) -> Motion:
    """Motion arrays of the right shapes, all zero (paths and leaders -1)."""
    shape = (worlds, agents)
    out: dict[str, Array] = {name: np.zeros(shape, dtype=np.float32) for name in Motion._fields}
    out["sample"] = np.zeros(worlds, dtype=np.int32)
    for name in ("presence", "collided"):
        out[name] = np.zeros(shape, dtype=np.uint8)
    for name in ("path", "leader"):
        out[name] = np.full(shape, -1, dtype=np.int32)
    return Motion(**out)


def copy_motion(motion: Motion, out: Motion | None = None) -> Motion:
    """A copy of the motion, into `out` where one is given."""
    if out is None:
        return Motion(*(a.copy() for a in motion))
    for target, source in zip(out, motion, strict=True):
        target[...] = source
    return out
