"""What candidate motions are scored against: the other agents, the road and the route of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.geometry import arc_length
from drive.roadmap.drivable import DrivableArea
from drive.sim._batch import checked, finite
from drive.sim.kernels.score import Agents, ego_box, pack_agents
from drive.sim.kernels.score_area import Area, LaneGrid, frame_area, lane_grid
from drive.sim.kernels.score_contacts import FORECAST_EXTRA, WORD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from drive.roadmap.model import RoadMap
    from drive.vehicle import VehicleParams


@dataclass(frozen=True, slots=True, eq=False)
class ScoreScene:
    """What candidates of one scene are scored against, in the frame of their states.

    `ego (4,)` of `ego_box`; `line (P, 2)` and `station (P,)`, float64, of the centreline along which the
    progress is measured, in a frame that lies `shift (2,)` away, searched between the vertices `window
    (2,)` int32. `agents`, `area` and `lanes` are as the kernels read them.
    """

    ego: NDArray[np.float32]
    agents: Agents
    area: Area
    lanes: LaneGrid
    line: NDArray[np.float64]
    station: NDArray[np.float64]
    shift: NDArray[np.float64]
    window: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        roadmap: RoadMap,
        on_route: Iterable[int],
        line: ArrayLike,
        vehicle: VehicleParams,
        agents: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike],
        origin: ArrayLike = (0.0, 0.0),
    ) -> ScoreScene:
        """A scene from what is given in map coordinates; states are then relative to `origin (2,)`.

        `on_route` are the lanes in whose direction one may drive, `line (P, 2)` the route's centreline;
        `agents` are (states (A, K, 5) in TRACK_COLUMNS every dt, valid (A, K), size (A, 3), kind (A,)),
        recorded or forecast; K must exceed the candidates' samples by FORECAST_EXTRA.
        """
        at = np.asarray(origin, dtype=np.float64)
        route = np.asarray(line, dtype=np.float64)
        if route.ndim != 2 or len(route) < 2 or route.shape[1] < 2 or not np.isfinite(route).all():
            raise InputError(f"a route's line must be finite (P >= 2, 2) points, got {route.shape}")
        if at.shape != (2,) or not np.isfinite(at).all():
            raise InputError(f"an origin must be two finite numbers, got {at.tolist()}")
        given = np.asarray(list(on_route))
        if given.size and (
            given.dtype.kind not in "iu" or not 0 <= given.min() <= given.max() < roadmap.num_lanes
        ):
            raise InputError(
                f"on_route must be indices of lanes in 0 .. {roadmap.num_lanes - 1} (see "
                f"RoadMap.lane_index), got {given.tolist()}"
            )
        states, valid, size, kind = agents
        s, v = np.asarray(states, dtype=np.float64), np.asarray(valid, dtype=np.bool_)
        extent = np.asarray(size, dtype=np.float64)
        n = len(s)
        shapes = (v.shape, extent.shape, np.shape(kind))
        if s.ndim != 3 or s.shape[2] != 5 or shapes != (s.shape[:2], (n, 3), (n,)):
            raise InputError(
                f"agents must be states (A, K, 5), valid (A, K), size (A, 3), kind (A,), got {s.shape}, "
                f"{', '.join(map(str, shapes))}"
            )
        bad = np.flatnonzero((~np.isfinite(s).all(-1) & v).any(-1) | ~np.isfinite(extent).all(-1))
        if len(bad):
            raise InputError(f"agent {bad[0]} has states or a size that are not finite; mark them not valid")
        small = np.flatnonzero((extent[:, :2] < 0.0).any(-1))
        if len(small):
            raise InputError(f"agent {small[0]} has a negative size, {extent[small[0]].tolist()}")
        grid, corner = lane_grid(roadmap, given.tolist())
        area, lanes = frame_area(DrivableArea.of(roadmap), grid, corner, at)
        points = np.ascontiguousarray(route[:, :2] - at)
        return cls(
            ego_box(vehicle),
            pack_agents(np.where(v[..., None], s, 0.0), v, extent, kind, at),
            area,
            lanes,
            points,
            arc_length(points),
            np.zeros(2),
            np.array([0, len(points) - 1], dtype=np.int32),
        )

    def padded(self, samples: int, number: int = 0) -> int:
        """How many agents it is padded to, once they are found fit for candidates of so many samples."""
        track, extent, penalty, skip = self.agents
        count = extent.shape[-1]
        if count % WORD or count == 0:
            raise InputError(f"agents of scene {number} must be padded to a multiple of {WORD}, got {count}")
        needed, known = samples + FORECAST_EXTRA, track.shape[1] if track.ndim == 3 else 0
        if known < needed:
            raise InputError(
                f"agents of scene {number} must be known for {needed} steps, {FORECAST_EXTRA} more than the "
                f"candidates, got {known}"
            )
        checked(track, f"agents.track of scene {number}", np.float32, (5, None, count))
        checked(extent, f"agents.extent of scene {number}", np.float32, (3, count))
        checked(penalty, f"agents.penalty of scene {number}", np.float32, (count,))
        checked(skip, f"agents.skip of scene {number}", np.uint8, (count,))
        finite(track, "agents.track", f"scene {number}, row", np.inf)
        checked(self.ego, f"ego of scene {number}", np.float32, (4,))
        checked(self.line, f"line of scene {number}", np.float64, (None, 2))
        checked(self.station, f"station of scene {number}", np.float64, (len(self.line),))
        checked(self.shift, f"shift of scene {number}", np.float64, (2,))
        checked(self.window, f"window of scene {number}", np.int32, (2,))
        first, last = self.window.tolist()
        if not 0 <= first < last < len(self.line):
            raise InputError(f"window of scene {number} must lie within its {len(self.line)} vertices")
        return int(count)
