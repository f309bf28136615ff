"""Critical vehicles: those whose ways meet the ego's where both would be at about the same time.

The rule of RIFT's released code: in 10 to 60 m from the ego, a point of the ego's route in view whose
distance along either way is about the same; the nearest vehicles are taken, up to a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from drive.geometry import arc_length, resample_polyline, wrap_angle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Route
    from drive.sim.kernels.layout import Paths
    from drive.sim.traffic.rift.fleet import Fleet

    Floats = NDArray[np.float64]

NEAR, FAR = 10.0, 60.0
"""m from the ego within which a vehicle may become critical."""
SIGHT = 90.0
HALF_VIEW = np.radians(75.0)
MEETING = 2.5
"""m between two ways where they meet."""
SPREAD = 20.0
"""m by which the ways to the meeting point may differ."""
STRIDE = 4
"""m between two way-points that are looked at."""


class Routed(Protocol):
    """A scenario, or an errand in a CARLA world."""

    @property
    def route(self) -> Route: ...


@dataclass(slots=True, eq=False)
class Critical:
    """Who is critical in one run; `active (N,)`, at most `most`. Who is, stays so within `FAR` of the ego."""

    route: Floats
    station: Floats
    active: NDArray[np.bool_]
    most: int
    spread: float = SPREAD

    @classmethod
    def of(cls, scenario: Routed, count: int, most: int = 3, spread: float = SPREAD) -> Critical:
        """For the ego of a scenario; without a route nobody is critical."""
        line = scenario.route.line
        line = resample_polyline(line, float(STRIDE)) if len(line) > 1 else np.zeros((0, 2))
        station = arc_length(line) if len(line) > 1 else np.zeros(0)
        return cls(line, station, np.zeros(count, dtype=np.bool_), most, spread)

    def choose(self, ego: Floats, fleet: Fleet, paths: Paths) -> NDArray[np.bool_]:
        """Who is critical now, `(N,)`, for the ego's rear-axle state `ego (7,)`."""
        place = fleet.states[:, :2].astype(np.float64)
        gap = np.hypot(*(place - ego[:2]).T)
        self.active &= gap <= FAR
        if len(self.route) == 0 or self.active.sum() >= self.most:
            return self.active
        ahead = self._ahead(ego)
        if len(ahead[0]) == 0:
            return self.active
        could = np.flatnonzero((gap >= NEAR) & (gap <= FAR) & ~self.active)
        found = [n for n in could[np.argsort(gap[could])] if self._meets(int(n), ahead, fleet, paths)]
        self.active[found[: self.most - int(self.active.sum())]] = True
        return self.active

    def _ahead(self, ego: Floats) -> tuple[Floats, Floats]:
        """The ego's next way-points `(P, 2)` and how far they are along its route."""
        rel = self.route - ego[:2]
        k = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
        points = self.route[k : k + 50]
        return points, self.station[k : k + 50] - self.station[k]

    def _meets(self, n: int, ahead: tuple[Floats, Floats], fleet: Fleet, paths: Paths) -> bool:
        p, k = int(fleet.path[n]), int(fleet.at[n])
        first, end = int(paths.start[p]), int(paths.start[p + 1])
        own = paths.rows[first:end, :2].astype(np.float64)
        x, y, heading = (float(v) for v in fleet.states[n, :3])
        at = k - first if k >= 0 else int(np.argmin(np.hypot(*(own - (x, y)).T)))
        step = float(paths.step[p])
        mine = own[at : at + int(SIGHT / step)]
        points, far = ahead
        rel = points - (x, y)
        seen = (np.hypot(*rel.T) < SIGHT) & (
            np.abs(wrap_angle(np.arctan2(rel[:, 1], rel[:, 0]) - heading)) < HALF_VIEW
        )
        if not seen.any() or len(mine) == 0:
            return False
        points, far = points[seen], far[seen]
        square = ((points[:, None] - mine[None]) ** 2).sum(-1)
        near = square.argmin(1)
        meets = square[np.arange(len(points)), near] < MEETING**2
        return bool((np.abs(near * step - far)[meets] < self.spread).any())


__all__ = ["Critical"]
