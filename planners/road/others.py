"""The others around a planner, remembered for a while where hidden, and where they will be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.road.kernels import memory as columns
from drive.planners.road.kernels.others import FADE, LANE_STEP, foresee
from drive.planners.road.memory import Memory
from drive.sim.road.way import stop_on_lane
from drive.sim.traffic.paths import match_lanes, onward, onward_lanes
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.roadmap.model import RoadMap
    from drive.sim.road.frame import RoadFrame

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ON_LANE = 2.0
"""m from a lane's centre up to which somebody is taken to drive on it."""
REMATCH = 0.5
"""s between two questions which lane somebody follows."""
_DRIVES = np.zeros(256, dtype=np.bool_)
_DRIVES[[AgentKind.VEHICLE, AgentKind.MOTORCYCLE, AgentKind.TRUCK, AgentKind.BUS, AgentKind.BICYCLE]] = True


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """A road users and where they will be at `times (T,)`, s from now.

    `id (A,)`, `kind (A,)`, `existence (A,)`, `seen (A,)` whether it is seen now, `size (A, 2)` length and
    width, `poses (A, T, 3)` of box centres in scenario coordinates, `speeds (A, T)`; `frenet (A, T, 2)`
    station and offset of the centres on the frame, `extent (A, T, 2)` half extents along and across it;
    `yields (A,)`: has a line ahead at which it has to wait; `parked (A,)`: stands, and not in a queue.
    """

    times: Floats
    id: NDArray[np.int64]
    kind: NDArray[np.uint8]
    existence: Floats
    seen: NDArray[np.bool_]
    size: Floats
    poses: Floats
    speeds: Floats
    frenet: Floats
    extent: Floats
    yields: NDArray[np.bool_]
    parked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.id)


@dataclass(slots=True, eq=False)
class Forecaster:
    """Remembers whom one planner saw in one run, and says where they will be.

    `reach` in m: who is farther from the ego is left out.
    """

    roadmap: RoadMap
    reach: float = 120.0
    memory: Memory = field(default_factory=Memory)
    _paths: dict[int, int] = field(default_factory=dict)
    _lines: Floats = field(default_factory=lambda: np.zeros((2, 5)))
    # Of each path: the rows of its line, and the stop lines on it.
    _spans: Ints = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    _hold_start: Ints = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    _holds: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    def look(self, observation: Observation, frame: RoadFrame, times: Floats) -> Others:
        """The others as they are believed to be now, at `times (T,)` s from now; times begin at 0."""
        self.memory.note(observation)
        table, now = self.memory.table, observation.time
        x, y = observation.ego[:2].tolist()
        away = np.hypot(table[:, columns.X] - x, table[:, columns.Y] - y)
        who = np.flatnonzero(away <= self.reach)
        self._match(who, now)
        a, t = len(who), len(times)
        poses, speeds = np.empty((a, t, 3)), np.empty((a, t))
        frenet, extent = np.empty((a, t, 2)), np.empty((a, t, 2))
        yields, parked = np.empty(a, dtype=np.bool_), np.empty(a, dtype=np.bool_)
        foresee(
            table, who, now, self._lines, self._spans, self._hold_start, self._holds, observation.signals,
            frame.rows, frame.step, *frame.origin.tolist(), times, np.exp(-times / FADE),
            poses, speeds, frenet, extent, yields, parked,
        )  # fmt: skip
        rows = table[who]
        return Others(
            times,
            self.memory.id[who],
            rows[:, columns.KIND].astype(np.uint8),
            rows[:, columns.BELIEF],
            rows[:, columns.TIME] == now,
            rows[:, columns.LENGTH : columns.WIDTH + 1],
            poses,
            speeds,
            frenet,
            extent,
            yields,
            parked,
        )

    def _match(self, who: NDArray[np.intp], now: float) -> None:
        """Ask the map which lanes those follow who are new, or off theirs."""
        table = self.memory.table
        ask = who[table[who, columns.PATH] < 0.0]
        if not len(ask):
            return
        due = (now - table[ask, columns.ASKED] >= REMATCH) & _DRIVES[table[ask, columns.KIND].astype(np.intp)]
        ask = ask[due]
        if not len(ask):
            return
        lanes, gaps = match_lanes(self.roadmap, table[ask, :3])
        table[ask, columns.ASKED] = now
        for i, lane, gap in zip(ask.tolist(), lanes.tolist(), gaps.tolist(), strict=True):
            if gap <= ON_LANE and lane >= 0:
                table[i, columns.PATH] = self._paths[lane] if lane in self._paths else self._add(lane)

    def _add(self, lane: int) -> int:
        """The number of the path that begins with a lane."""
        line, station, heading = onward(self.roadmap, lane)
        at = LANE_STEP * np.arange(max(int(station[-1] / LANE_STEP), 1) + 1)
        unwrapped = np.unwrap(heading)
        x, y, turned = (np.interp(at, station, v) for v in (*line.T, unwrapped))
        table = np.stack((x, y, turned, np.cos(turned), np.sin(turned)), axis=-1)
        begin = len(self._lines)
        self._lines = np.concatenate((self._lines, table))
        self._spans = np.concatenate((self._spans, [[begin, begin + len(table) - 1]]))
        lines = np.array(_lines_ahead(self.roadmap, lane), dtype=np.float64).reshape(-1, 2)
        self._holds = np.concatenate((self._holds, lines))
        self._hold_start = np.append(self._hold_start, len(self._holds))
        self._paths[lane] = len(self._paths)
        return self._paths[lane]


def _lines_ahead(roadmap: RoadMap, lane: int) -> list[tuple[float, int]]:
    """Stations on the line onward from a lane of its stop lines, and their signals, -1 none."""
    found, begin = [], 0.0
    for now in onward_lanes(roadmap, lane):
        stop = stop_on_lane(roadmap, now)
        if stop is not None:
            found.append((begin + stop, int(roadmap.signal[now])))
        begin += float(roadmap.length[now])
    return sorted(found)
