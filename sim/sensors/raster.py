"""One moment as a picture from above: what the vector sensor tells in rows, drawn into channels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.roadmap.drivable import DrivableArea
from drive.roadmap.index import GridIndex
from drive.sim.kernels import raster as kernels
from drive.sim.kernels.raster import Roads, Window, draw_agents, draw_area, draw_roads, draw_way
from drive.sim.kernels.score_area import Area
from drive.sim.road.follow import Follower
from drive.sim.road.way import stop_on_lane
from drive.sim.sensors.vector import on_route
from drive.vehicle import STATE_SIZE, AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.roadmap.model import RoadMap
    from drive.scenario import Task
    from drive.sim.road.way import Way

    Floats = NDArray[np.float64]
    Raster = NDArray[np.uint8]

RASTER_CHANNELS = (
    "drivable", "lane", "route", "vehicles", "vulnerable", "static", "red_light", "past",
)  # fmt: skip
"""`drivable` 255 on the drivable area; `lane` 255 on centrelines, 128 on the bounds of lanes; `route` 255 on
the way's line, 128 on the lanes of the route; `vehicles`, `vulnerable` (pedestrians and bicycles) and
`static`: 255 times the existence on boxes; `red_light` 255 on a stop line and 128 on the lane of a red light,
128 and 64 of a yellow one; `past`: boxes of the agents and the ego at the moments of the settings, the older
the darker."""
SHADES = (192, 64)
"""Values of the latest and of the oldest moment of the past."""
_CHANNEL = np.full(256, kernels.VEHICLES, dtype=np.uint8)
_CHANNEL[[AgentKind.PEDESTRIAN, AgentKind.BICYCLE]] = kernels.VULNERABLE
_CHANNEL[AgentKind.STATIC] = kernels.STATIC


@dataclass(frozen=True, slots=True)
class RasterSettings:
    """`cells` x `cells` of `cell` m, the rear axle `behind` m from the back edge and in the middle between
    left and right; the past at `past` s before now."""

    cells: int = 128
    cell: float = 0.5
    behind: float = 16.0
    past: tuple[float, ...] = (0.5, 1.0, 1.5)

    def __post_init__(self) -> None:
        if not (isinstance(self.cells, int) and 1 <= self.cells <= 4096):
            raise InputError(f"a raster's cells must be a whole number from 1 to 4096, got {self.cells}")
        if not (0.0 < self.cell < math.inf and 0.0 <= self.behind < math.inf):
            raise InputError(
                f"a raster's cell must be positive and behind not negative, got {self.cell} and {self.behind}"
            )
        if not all(0.0 < t < math.inf for t in self.past):
            raise InputError(f"a raster's past must be positive times in s, got {self.past}")

    def centres(self) -> Floats:
        """Middles `(cells, cells, 2)` of the cells in the ego's frame, m: rows to the left, columns ahead."""
        at = (np.arange(self.cells) + 0.5) * self.cell
        y, x = np.meshgrid(at - 0.5 * self.cells * self.cell, at - self.behind, indexing="ij")
        return np.stack((x, y), axis=-1)


@dataclass(slots=True, eq=False)
class RasterSensor:
    """Draws the moments of one session; it keeps the session's way, and nothing else, from call to call."""

    task: Task
    settings: RasterSettings
    follower: Follower
    _roads: Roads
    _area: Area
    _corner: tuple[float, float]
    _back: NDArray[np.int64]
    _shade: Raster
    _box: Floats
    _on_route: NDArray[np.bool_]
    _way: Way | None = field(default=None)

    @classmethod
    def start(cls, task: Task, settings: RasterSettings | None = None) -> RasterSensor:
        """The sensor of one session; raises ScenarioError where the task has no road map."""
        how, roadmap, v = settings or RasterSettings(), task.roadmap, task.vehicle
        past = sorted(how.past)
        area = DrivableArea.of(roadmap)
        return cls(
            task,
            how,
            Follower(roadmap, task.route),
            roads_of(roadmap),
            Area.of(area, (area.x0, area.y0)),
            (area.x0, area.y0),
            np.rint(np.array(past) / task.dt).astype(np.int64),
            np.rint(np.linspace(*SHADES, len(past))).astype(np.uint8),
            np.array([0.5 * v.length, 0.5 * v.width, v.rear_axle_to_center]),
            np.zeros(roadmap.num_lanes, dtype=np.bool_),
        )

    def sense(self, observation: Observation) -> Raster:
        """The picture `(8, cells, cells)` of what is observed, by `RASTER_CHANNELS`.

        Rows run to the left and columns forward, as `RasterSettings.centres` says. Calls come in the order of
        time.
        """
        o, how, ego = observation, self.settings, observation.ego
        out = np.zeros((len(RASTER_CHANNELS), how.cells, how.cells), dtype=np.uint8)
        if not np.isfinite(ego[:STATE_SIZE]).all():
            return out
        x, y, heading = ego[:3].tolist()
        side = how.cells * how.cell
        window = Window(
            x, y, math.cos(heading), math.sin(heading), float(how.behind), 0.5 * side, float(how.cell)
        )
        followed = self.follower.follow(ego, o.time)
        if self.follower.way is not self._way:
            self._way = self.follower.way
            self._on_route = on_route(self.task.roadmap, self._way)
        # In float32, so from the area's own corner.
        by_corner = window._replace(x=x - self._corner[0], y=y - self._corner[1])
        draw_area(by_corner, self._area, out[kernels.DRIVABLE])
        draw_roads(window, self._roads, self._on_route, o.signals, out)
        if followed is not None:
            frame, state = followed
            draw_way(
                window, frame.rows, frame.step, *frame.origin.tolist(), float(state[0]), side, 2.0 * side,
                out[kernels.ROUTE],
            )  # fmt: skip
        draw_agents(
            window, o.agents, o.agent_valid, o.agent_history, o.agent_history_valid, o.existence,
            o.agent_size, _CHANNEL[o.agent_kind], o.ego_history, self._box, self._back, self._shade, out,
        )  # fmt: skip
        return out


def roads_of(roadmap: RoadMap) -> Roads:
    """A map's lanes as the kernels draw them, compiled once and kept with the map."""
    cached: Roads | None = roadmap.__dict__.get("_raster_roads")
    if cached is None:
        g = GridIndex.of(roadmap)
        stops, signals = [], []
        for lane in np.flatnonzero(roadmap.signal >= 0).tolist():
            stop = stop_on_lane(roadmap, lane)
            if stop is not None:
                stops.append(_line_across(roadmap, lane, stop))
                signals.append(int(roadmap.signal[lane]))
        cached = Roads(
            roadmap.points, roadmap.left, roadmap.right, g.lane_of_row, roadmap.kind, roadmap.signal,
            float(g.x0), float(g.y0), float(g.cell), g.columns, g.rows, g.start, g.segments,
            np.array(stops, dtype=np.float64).reshape(-1, 4), np.array(signals, dtype=np.int32),
        )  # fmt: skip
        roadmap.__dict__["_raster_roads"] = cached
    return cached


def _line_across(roadmap: RoadMap, lane: int, station: float) -> Floats:
    """Ends `(4,)` of a line across a lane, left and right; one before its start lies there straight on."""
    rows = roadmap.rows(lane)
    at, first = roadmap.station[rows], roadmap.lane_start[lane]
    ends = [np.interp(station, at, side[rows, k]) for side in (roadmap.left, roadmap.right) for k in (0, 1)]
    heading, before = roadmap.heading[first], min(station, 0.0)
    return np.asarray(ends) + before * np.tile((np.cos(heading), np.sin(heading)), 2)


__all__ = ["RASTER_CHANNELS", "RasterSensor", "RasterSettings", "roads_of"]
