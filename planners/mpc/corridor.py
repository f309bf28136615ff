"""Where the ego may be at each sample: behind whom it follows, beside whom it passes, where it halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.planners.mpc.problem import FREE, Corridor, Guess
from drive.planners.road.average import moving_average
from drive.sim.kernels import line as columns
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.mpc.planner import MPCConfig
    from drive.planners.road.guide import RoadScene
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

BELIEVED = 0.3
"""Existence from which on somebody bounds the corridor."""
ABOUT = 3.0
"""m before and after somebody within which the ego stays clear beside it."""
LEAN = 1.2
"""m that the ego's box may reach beyond the lanes in its direction, where the road goes on, to pass."""
ROW = 12.0
"""m between parked ones within which they are passed on one side."""
ELSEWHERE = 2.0
"""m beside the ego now from which on somebody is in another lane."""
CREEP = 0.2
EASE = 4
"""Samples before and after, over which the offset that is aimed for is averaged."""


class _Bounds:
    """The corridor while it is made: arrays `(N,)` as in `Corridor`, and bounds for passing parked ones."""

    def __init__(self, scene: RoadScene, guess: Guess, vehicle: VehicleParams, config: MPCConfig) -> None:
        n = len(guess.station) - 1
        self.scene, self.config = scene, config
        self.station, self.offset = guess.station[1:], guess.offset[1:]
        self.half = 0.5 * vehicle.width
        self.ahead = vehicle.rear_axle_to_center + 0.5 * vehicle.length
        self.back = vehicle.length - self.ahead
        frame, gap = scene.frame, config.edge_gap
        self.low, self.high = _ordered(*frame.offset_bounds(self.station, vehicle, gap))
        self.least, self.most = _ordered(*frame.offset_bounds(self.station, vehicle, gap, LEAN))
        self.last = np.full(n, min(scene.hold.station, FREE))
        self.behind = np.full(n, FREE)

    def beside(self, begin: Floats | float, end: Floats | float) -> NDArray[np.bool_]:
        """At which samples the ego is, by the guess, next to what lies between two stations."""
        return np.asarray(
            (self.station + self.ahead + ABOUT > begin) & (self.station - self.back - ABOUT < end)
        )

    def stay_behind(self, where: NDArray[np.bool_], rear: Floats | float) -> None:
        gap = rear - self.ahead - self.config.min_gap
        self.last = np.where(where, np.minimum(self.last, gap), self.last)
        self.behind = np.where(where, np.minimum(self.behind, gap), self.behind)

    def stay_left(self, where: NDArray[np.bool_], over: float) -> None:
        self.low = np.where(where, np.maximum(self.low, over), self.low)
        self.high = np.where(where, np.maximum(self.high, np.minimum(over + CREEP, self.most)), self.high)

    def stay_right(self, where: NDArray[np.bool_], under: float) -> None:
        self.high = np.where(where, np.minimum(self.high, under), self.high)
        self.low = np.where(where, np.minimum(self.low, np.maximum(under - CREEP, self.least)), self.low)


def bound(scene: RoadScene, guess: Guess, vehicle: VehicleParams, config: MPCConfig) -> Corridor:
    """The corridor at the samples 1 to N of a guess."""
    n = len(guess.station) - 1
    b, others = _Bounds(scene, guess, vehicle, config), scene.others
    parked: list[tuple[float, float, float, float]] = []
    level: list[tuple[Floats, Floats, NDArray[np.bool_], bool]] = []
    for a in np.flatnonzero(others.existence >= BELIEVED).tolist():
        s, d = others.frenet[a, 1 : n + 1, 0], others.frenet[a, 1 : n + 1, 1]
        along, across = others.extent[a, 1 : n + 1, 0], others.extent[a, 1 : n + 1, 1]
        now_s, now_d = others.frenet[a, 0]
        weak = others.kind[a] in (AgentKind.PEDESTRIAN, AgentKind.BICYCLE)
        clear = across + b.half + (config.person_gap if weak else config.side_gap)
        elsewhere = abs(now_d - scene.state[3]) > ELSEWHERE
        if now_s + along[0] < scene.state[0] - b.back and not elsewhere:
            continue  # who is behind keeps its own distance
        if others.parked[a]:
            if abs(d[0]) < clear[0] + 0.5:
                parked.append((s[0] - along[0], s[0] + along[0], d[0] - clear[0], d[0] + clear[0]))
            continue
        beside = b.beside(s - along, s + along)
        if elsewhere and not weak and now_s - along[0] < scene.state[0] + b.ahead:
            level.append((d - clear, d + clear, beside, bool(now_d > scene.state[3])))
            continue
        inside = np.abs(d - b.offset) < across + b.half + 0.1
        blocks = inside & (b.station - b.back < s + along)
        if blocks.any():
            b.stay_behind(blocks, s - along)
        elif beside.any():
            left = beside & (d > b.offset)
            b.high = np.where(left, np.minimum(b.high, np.maximum(d - clear, 0.0)), b.high)
            right = beside & (d <= b.offset)
            b.low = np.where(right, np.maximum(b.low, np.minimum(d + clear, 0.0)), b.low)
    for row in _rows(parked):
        _pass(b, row, level)
    for under, over, beside, on_left in level:
        # Next to the ego or behind it, in another lane: the ego does not move over before it has passed.
        if on_left:
            b.high = np.where(beside, np.minimum(b.high, under), b.high)
            b.low = np.minimum(b.low, b.high)
        else:
            b.low = np.where(beside, np.maximum(b.low, over), b.low)
            b.high = np.maximum(b.high, b.low)
    low, high = _ordered(b.low, b.high)
    fast = scene.frame.at(b.station, columns.LIMIT)
    # A way around somebody begins early and ends late.
    aim = moving_average(np.clip(0.0, low, high), EASE)
    return Corridor(b.last, b.behind, high, low, fast, config.pace * fast, aim)


def _rows(parked: list[tuple[float, float, float, float]]) -> list[Floats]:
    """Parked ones `(begin, end, under, over)` in rows `(R, 4)` that are passed on one side."""
    rows: list[list[tuple[float, float, float, float]]] = []
    for one in sorted(parked):
        if rows and one[0] - max(end for _, end, _, _ in rows[-1]) < ROW:
            rows[-1].append(one)
        else:
            rows.append([one])
    return [np.array(row) for row in rows]


def _pass(b: _Bounds, row: Floats, level: list[tuple[Floats, Floats, NDArray[np.bool_], bool]]) -> None:
    """Pass a row of parked ones on the side that has room and asks for less, or halt before it."""
    begin, end, under, over = row.T
    near = b.beside(float(begin.min()), float(end.max()))
    most_left, most_right = float(over.max()), float(under.min())
    if not near.any():
        return
    left = bool((b.most[near] >= most_left - 0.05).all())
    right = bool((b.least[near] <= most_right + 0.05).all())
    go_left = left and (not right or most_left <= -most_right)
    taken = any(
        bool((near & beside & ((lowest < most_left) if go_left else (highest > most_right))).any())
        for lowest, highest, beside, on_left in level
        if on_left == go_left
    )
    if not (left or right) or taken:
        b.stay_behind(np.ones(len(b.station), dtype=np.bool_), float(begin.min()))
        return
    for first, last, to_right, to_left in row.tolist():
        where = b.beside(first, last)
        if go_left:
            b.stay_left(where, to_left)
        else:
            b.stay_right(where, to_right)


def _ordered(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The bounds, where they cross both in their middle."""
    middle = 0.5 * (low + high)
    crossed = low > high
    return np.where(crossed, middle, low), np.where(crossed, middle, high)
