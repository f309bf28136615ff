"""Where the ego may be at each sample: behind whom it follows, beside whom it passes, where it halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.planners.mpc.problem import FREE, Corridor, Guess
from drive.planners.road.kernels import line as columns
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


def bound(scene: RoadScene, guess: Guess, vehicle: VehicleParams, config: MPCConfig) -> Corridor:
    """The corridor at the samples 1 to N of a guess."""
    n = len(guess.station) - 1
    frame, station, offset = scene.frame, guess.station[1:], guess.offset[1:]
    half = 0.5 * vehicle.width
    ahead, back = _ends(vehicle)
    low, high = _ordered(*frame.offset_bounds(station, vehicle, config.edge_gap))
    least, most = _ordered(*frame.offset_bounds(station, vehicle, config.edge_gap, LEAN))
    last = np.full(n, min(scene.hold.station, FREE))
    behind = np.full(n, FREE)
    others = scene.others
    for a in np.flatnonzero(others.existence >= BELIEVED).tolist():
        s, d = others.frenet[a, 1 : n + 1, 0], others.frenet[a, 1 : n + 1, 1]
        along, across = others.extent[a, 1 : n + 1, 0], others.extent[a, 1 : n + 1, 1]
        if s[0] + along[0] < scene.state[0] - back:
            continue  # who is behind keeps its own distance
        weak = others.kind[a] in (AgentKind.PEDESTRIAN, AgentKind.BICYCLE)
        clear = across + half + (config.person_gap if weak else config.side_gap)
        beside = (station + ahead + ABOUT > s - along) & (station - back - ABOUT < s + along)
        inside = np.abs(d - offset) < across + half + 0.1
        passed = station - back >= s + along
        if others.parked[a] and (np.abs(d) < clear).any():
            over, under = d + clear, d - clear
            room_left = bool((over <= most)[beside].all()) if beside.any() else True
            room_right = bool((under >= least)[beside].all()) if beside.any() else True
            if not beside.any():
                continue
            if room_left and (not room_right or over[beside].max() <= -under[beside].min()):
                low = np.where(beside, np.maximum(low, over), low)
                high = np.where(beside, np.maximum(high, np.minimum(over + 0.2, most)), high)
                continue
            if room_right:
                high = np.where(beside, np.minimum(high, under), high)
                low = np.where(beside, np.minimum(low, np.maximum(under - 0.2, least)), low)
                continue
        blocks = inside & ~passed
        if blocks.any():
            gap = s - along - ahead - config.min_gap
            # Who is in the way at some sample is behind which the ego stays from then on.
            last = np.where(blocks, np.minimum(last, gap), last)
            behind = np.where(blocks, np.minimum(behind, gap), behind)
        elif beside.any():
            mine = np.where(d > offset, d - clear, -FREE)
            other = np.where(d > offset, FREE, d + clear)
            high = np.where(beside & (d > offset), np.minimum(high, np.maximum(mine, 0.0)), high)
            low = np.where(beside & (d <= offset), np.maximum(low, np.minimum(other, 0.0)), low)
    low, high = _ordered(low, high)
    fast = frame.at(station, columns.LIMIT)
    return Corridor(last, behind, high, low, fast, config.pace * fast, np.clip(0.0, low, high))


def _ordered(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The bounds, where they cross both in their middle."""
    middle = 0.5 * (low + high)
    crossed = low > high
    return np.where(crossed, middle, low), np.where(crossed, middle, high)


def _ends(vehicle: VehicleParams) -> tuple[float, float]:
    """m from the rear axle forward to the front bumper, and back to the rear one."""
    half = 0.5 * vehicle.length
    return vehicle.rear_axle_to_center + half, half - vehicle.rear_axle_to_center
