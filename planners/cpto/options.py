"""Where a drive may go beside the reference line: keep it, pass what stands there, take a lane beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.cpto.kernels.propose import Road
from drive.planners.road.average import moving_average
from drive.sim.kernels import line as columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.road.frame import RoadFrame
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

BEHIND, AHEAD = 10.0, 200.0
PASSING_GAP = 0.5
"""m kept beside what is passed."""
EDGE_GAP = 0.15
LANE_COST, AROUND_COST, BEYOND_COST = 0.35, 0.05, 0.25
"""Of taking a lane beside, of passing, and of a metre beyond the lanes in the ego's direction."""
EVERY = 2
"""Rows of the frame to one of the table."""
LEAVING = 0.8
"""m/s^2 out of a bend: trackers steer for the speed of now."""
KEEP, AROUND, LEFT_OF, RIGHT_OF, LANE_LEFT, LANE_RIGHT = range(6)
"""Names of options: keep the line; pass on the nearer side, left or right; the lane beside."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """The road's window as a table, and what each of its lateral options is (`kind (J,)`).

    `extra (J,)` is what an option costs by itself; `pace` and `fastest` the mean and highest speed cap.
    """

    road: Road
    kind: tuple[int, ...]
    extra: Floats
    pace: float
    fastest: float


def make_options(
    frame: RoadFrame,
    station: float,
    speed: float,
    vehicle: VehicleParams,
    blocking: Floats,
    halt: float,
    lane_changes: bool,
) -> Options:
    """Options from a station on; `blocking (B, 4)`: station, offset, half extents of who may be passed."""
    first = max(int((station - BEHIND) / frame.step), 0)
    rows = frame.rows[first : int((station + AHEAD) / frame.step) + 2 : EVERY]
    step = EVERY * frame.step
    along = np.asarray(frame.step * first + step * np.arange(len(rows)), dtype=np.float64)
    half = 0.5 * vehicle.width
    high = np.maximum(rows[:, columns.EDGE_LEFT] - half - EDGE_GAP, 0.0)
    low = -np.maximum(rows[:, columns.EDGE_RIGHT] - half - EDGE_GAP, 0.0)
    kinds, lines = [KEEP], [np.zeros(len(rows))]
    ramp = min(max(2.0 * speed, 8.0), 30.0)
    ways = _ways_around(along, blocking, vehicle, ramp)
    for kind, way in ways.items():
        kinds.append(kind)
        lines.append(np.clip(way, low, high))
    if lane_changes:
        for kind, column in ((LANE_LEFT, columns.LANE_LEFT), (LANE_RIGHT, columns.LANE_RIGHT)):
            beside = rows[:, column]
            known = np.isfinite(beside)
            here = (along > station) & (along < station + max(40.0, 3.0 * speed))
            if known[here].all() and here.any():
                lines.append(moving_average(np.where(known, beside, 0.0), max(int(0.5 * ramp / step), 1)))
                kinds.append(kind)
    option = np.ascontiguousarray(lines)
    over = np.maximum(
        option + half - np.maximum(rows[:, columns.LEFT], half),
        -option + half - np.maximum(rows[:, columns.RIGHT], half),
    )
    numbers = np.array(kinds)
    beside_lane = numbers >= LANE_LEFT
    extra = BEYOND_COST * np.maximum(over.max(1), 0.0)
    extra += LANE_COST * beside_lane + AROUND_COST * ((numbers != KEEP) & ~beside_lane)
    stops = np.array([halt]) if np.isfinite(halt) else np.zeros(0)
    cap = _out_of_bends(rows[:, columns.LIMIT], step)
    road = Road(frame.step * first, step, cap, option, stops)
    return Options(road, tuple(kinds), extra, float(cap.mean()), float(cap.max()))


def _ways_around(along: Floats, blocking: Floats, vehicle: VehicleParams, ramp: float) -> dict[int, Floats]:
    half = 0.5 * vehicle.width
    front = vehicle.rear_axle_to_center + 0.5 * vehicle.length
    rear = 0.5 * vehicle.length - vehicle.rear_axle_to_center
    found: dict[int, Floats] = {}
    for s, d, reach, across in blocking.tolist():
        left, right = d + across + half + PASSING_GAP, d - across - half - PASSING_GAP
        if left <= 0.0 or right >= 0.0:
            continue
        before = (along - (s - reach - front - ramp)) / ramp
        after = ((s + reach + rear + 1.0 + ramp) - along) / ramp
        u = np.clip(np.minimum(before, after), 0.0, 1.0)
        shape = u * u * (3.0 - 2.0 * u)
        nearer = left if left < -right else right
        for kind, offset in ((AROUND, nearer), (LEFT_OF, left), (RIGHT_OF, right)):
            way = found.setdefault(kind, np.zeros(len(along)))
            new = offset * shape
            found[kind] = np.where(np.abs(new) > np.abs(way), new, way)
    if found:
        for kind in (LEFT_OF, RIGHT_OF):
            if np.array_equal(found[kind], found[AROUND]):
                del found[kind]
    return found


def _out_of_bends(limit: Floats, step: float) -> Floats:
    """Limits that rise no faster than with `LEAVING`, as braking ahead of bends is in them already."""
    rise = 2.0 * LEAVING * step * np.arange(len(limit))
    return np.asarray(np.sqrt(np.minimum.accumulate(limit**2 - rise) + rise))
