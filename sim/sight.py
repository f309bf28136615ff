"""What a driven agent can see: who stands behind a building, a truck or a van is hidden from it.

The sensor stands on the roof at the middle of the agent's box, `LOWEST_SENSOR` m high or higher. An agent
is seen if the straight line to one of nine points of its box (centre, corners, middles of the sides)
crosses no occluder. Occluders are the map's areas of the kind OCCLUDER, of unlimited height, and the boxes
of present agents that are at least as tall as the sensor; over such a box whoever is taller than it is
still seen. An agent's own box and whatever the sensor itself stands in hide nothing, and whoever touches
the driven agent is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from drive.roadmap.model import AreaKind, RoadMap
from drive.sim.kernels.sight import BOX, edges_of_sight, place_occluders, whom_it_sees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.visibility import Visibility
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

LOWEST_SENSOR = 1.8
"""m; so that no car hides another one: cars are up to 1.75 m high, vans 1.9 m and more."""
EDGE_REACH = 200.0
"""Occlusion edges end this far (m) from a sensor whose range is not limited."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """The view of one driven agent over the A tracks of a scenario. Its buffers make it single-threaded.

    `size (A, 3)`; rings of buildings as in `drive.sim.kernels.sight`.
    """

    row: int
    sensor: float
    reach: float
    size: Floats
    everybody: bool
    boxes: Floats
    ring: Floats
    start: NDArray[np.int32]
    circle: Floats
    closed: NDArray[np.uint8]

    @classmethod
    def of(cls, scenario: Scenario, row: int, vehicle: VehicleParams, visibility: Visibility) -> Sight:
        """The view of the track `row`, which drives `vehicle`."""
        size = scenario.tracks.size.copy()
        size[row] = vehicle.length, vehicle.width, vehicle.height
        sensor = max(vehicle.height, LOWEST_SENSOR)
        ring, start = np.zeros((0, 2)), np.zeros(1, dtype=np.int32)
        if isinstance(scenario.environment, RoadMap):
            walls = scenario.environment.areas.of_kind(AreaKind.OCCLUDER)
            ring = np.concatenate([ring, *walls])
            start = np.concatenate(([0], np.cumsum([len(w) for w in walls]))).astype(np.int32)
        circle = np.array([_circle(ring[a:b]) for a, b in pairwise(start)]).reshape(-1, 3)
        towers = np.delete(size[:, 2], row) >= sensor
        # Where nothing can ever hide anybody there is nothing to look for.
        free = not (len(circle) or towers.any())
        return cls(
            row,
            sensor,
            visibility.reach,
            size,
            visibility.everybody or (free and math.isinf(visibility.reach)),
            np.zeros((len(size), len(BOX))),
            ring,
            start,
            circle,
            np.zeros(len(circle), dtype=np.uint8),
        )

    def look(self, centers: Floats, presence: Bools) -> Bools:
        """Whom it sees `(A,)`, itself aside, where agents are at `centers (A, 5)` if `presence (A,)`."""
        if self.everybody:
            seen = presence.copy()
            seen[self.row] = False
            return seen
        self._place(centers, presence)
        seen = np.empty(len(presence), dtype=np.bool_)
        whom_it_sees(presence, self.size, self.row, self.reach, *self._occluders, seen)
        return seen

    def edges(self, centers: Floats, presence: Bools) -> Floats:
        """Occlusion edges `(E, 2, 2)`, as `drive.planner.Observation` defines them."""
        if self.everybody:
            return np.zeros((0, 2, 2))
        self._place(centers, presence)
        out = np.empty((4 * len(presence) + len(self.ring), 2, 2))
        count = edges_of_sight(self.row, min(self.reach, EDGE_REACH), *self._occluders, out)
        return out[:count].copy()

    @property
    def _occluders(self) -> tuple[NDArray[np.generic], ...]:
        return self.boxes, self.ring, self.start, self.circle, self.closed

    def _place(self, centers: Floats, presence: Bools) -> None:
        place_occluders(centers, presence, self.size, self.row, self.sensor, *self._occluders)


def _circle(ring: Floats) -> tuple[float, float, float]:
    """Centre and radius of a circle around a polygon `(N, 2)`."""
    middle = 0.5 * (ring.min(0) + ring.max(0))
    return float(middle[0]), float(middle[1]), float(np.hypot(*(ring - middle).T).max())
