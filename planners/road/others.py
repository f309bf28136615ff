"""The others around a planner, remembered for a while where hidden, and where they will be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.road.kernels.others import CALM, LANE_STEP, beside_line, forecast, lane_feet
from drive.planners.road.way import stop_on_lane
from drive.scenario import SignalState
from drive.sim.traffic.paths import match_lanes, onward, onward_lanes
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.road.frame import RoadFrame
    from drive.roadmap.model import RoadMap

    Floats = NDArray[np.float64]

ON_LANE = 2.0
"""m from a lane's centre up to which somebody is taken to drive on it."""
MEMORY = 3.0
"""s for which somebody who is hidden is still expected."""
FORGET = 1.5
"""s in which the belief in somebody hidden falls to 1 / e, where the observation tells none."""
REMATCH = 0.5
ASTRAY, ASKEW = 0.8, 0.25
"""m and rad from a lane at which it is asked again which one somebody follows."""
MOST_BRAKING = 4.0
"""m/s^2: who could stop at a line only with more drives on."""
SMOOTHING = 0.3
"""Share of a new difference of speeds in what is taken for an acceleration."""
LEAST_EXISTENCE = 0.05
STANDS = 0.3
"""m/s up to which somebody stands."""
PULLED_OVER, AT_ONCE, BROKEN_DOWN = 0.8, 0.5, 8.0
"""Who has stood for so many s is parked, beside the middle of its lane by so many m, or in the middle."""
QUEUE = 12.0
"""m ahead of somebody within which another one makes a queue of them."""
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
class _Seen:
    """What is remembered of one road user."""

    row: Floats
    size: Floats
    kind: int
    time: float
    speed: float
    acceleration: float = 0.0
    moved: float = -math.inf
    lane: int = -1
    matched: float = -math.inf


@dataclass(slots=True, eq=False)
class Forecaster:
    """Remembers whom one planner saw in one run, and says where they will be.

    `reach` in m: who is farther from the ego is left out.
    """

    roadmap: RoadMap
    reach: float = 120.0
    known: dict[int, _Seen] = field(default_factory=dict)
    _lanes: dict[int, tuple[int, int]] = field(default_factory=dict)
    _lines: Floats = field(default_factory=lambda: np.zeros((2, 3)))
    _holds: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def look(self, observation: Observation, frame: RoadFrame, times: Floats) -> Others:
        """The others as they are believed to be now, at `times (T,)` s from now; times begin at 0."""
        self._remember(observation)
        told = dict(zip(observation.agent_id.tolist(), observation.existence.tolist(), strict=True))
        x, y, now = float(observation.ego[0]), float(observation.ego[1]), observation.time
        chosen: list[tuple[int, _Seen, float]] = []
        for key, seen in list(self.known.items()):
            age = now - seen.time
            belief = told.get(key, 0.0)
            if age > 0.0 and belief == 0.0:
                belief = math.exp(-age / FORGET) if age <= MEMORY else 0.0
            if belief < LEAST_EXISTENCE:
                del self.known[key]
            elif math.hypot(seen.row[0] - x, seen.row[1] - y) <= self.reach:
                chosen.append((key, seen, belief))
        return self._forecast(chosen, observation, frame, times)

    def _remember(self, observation: Observation) -> None:
        now = observation.time
        rows, sizes, kinds = observation.agents, observation.agent_size, observation.agent_kind
        speeds = rows[:, 3] * np.cos(rows[:, 2]) + rows[:, 4] * np.sin(rows[:, 2])
        for i in np.flatnonzero(observation.agent_valid).tolist():
            key, speed = int(observation.agent_id[i]), float(speeds[i])
            before = self.known.get(key)
            if before is None:
                before = _Seen(rows[i], sizes[i, :2], int(kinds[i]), now, speed, moved=now)
                self.known[key] = before
                continue
            if abs(speed) > STANDS:
                before.moved = now
            if now > before.time:
                rate = (speed - before.speed) / (now - before.time)
                before.acceleration += SMOOTHING * (min(max(rate, -8.0), 3.0) - before.acceleration)
            before.row, before.time, before.speed = rows[i], now, speed

    def _forecast(
        self,
        chosen: list[tuple[int, _Seen, float]],
        observation: Observation,
        frame: RoadFrame,
        times: Floats,
    ) -> Others:
        a, t = len(chosen), len(times)
        all_seen = [seen for _, seen, _ in chosen]
        rows = np.array([s.row for s in all_seen]).reshape(a, 5)
        now = observation.time
        self._match(all_seen, rows, now)
        span = np.array([self._span(s.lane) for s in all_seen], dtype=np.int64).reshape(a, 2)
        first, last = np.ascontiguousarray(span[:, 0]), np.ascontiguousarray(span[:, 1])
        feet = np.zeros((a, 3))
        lane_feet(self._lines, first, last, rows, feet)
        self._stray(all_seen, feet)
        first[np.abs(feet[:, 2]) > CALM] = -1
        wait = np.array(
            [self._wait(s, foot, observation.signals) for s, foot in zip(all_seen, feet, strict=True)]
        ).reshape(a)
        motion = np.array([(s.speed, s.acceleration) for s in all_seen]).reshape(a, 2)
        elapsed = np.array([now - s.time for s in all_seen]).reshape(a)
        size = np.array([s.size for s in all_seen]).reshape(a, 2)
        poses, speeds = np.empty((a, t, 3)), np.empty((a, t))
        forecast(rows, motion, feet, first, last, wait, self._lines, elapsed, times, poses, speeds)
        frenet, extent = np.empty((a, t, 2)), np.empty((a, t, 2))
        beside_line(frame.rows, frame.step, *frame.origin.tolist(), poses, 0.5 * size, frenet, extent)
        return Others(
            times,
            np.array([key for key, _, _ in chosen], dtype=np.int64),
            np.array([s.kind for s in all_seen], dtype=np.uint8),
            np.array([belief for _, _, belief in chosen]),
            elapsed == 0.0,
            size,
            poses,
            speeds,
            frenet,
            extent,
            np.isfinite(wait),
            self._parked(all_seen, feet, wait, rows, size, now),
        )

    def _parked(
        self, seen: list[_Seen], feet: Floats, wait: Floats, rows: Floats, size: Floats, now: float
    ) -> NDArray[np.bool_]:
        out = np.zeros(len(seen), dtype=np.bool_)
        for i, s in enumerate(seen):
            still = now - s.moved
            if s.kind == AgentKind.PEDESTRIAN or still < AT_ONCE:
                continue
            if s.kind == AgentKind.STATIC or s.lane < 0 or abs(feet[i, 1]) > PULLED_OVER:
                out[i] = True
            elif still >= BROKEN_DOWN and math.isinf(wait[i]):
                rel = rows[:, :2] - rows[i, :2]
                c, n = math.cos(rows[i, 2]), math.sin(rows[i, 2])
                ahead, left = rel[:, 0] * c + rel[:, 1] * n, rel[:, 1] * c - rel[:, 0] * n
                reach = 0.5 * (size[:, 0] + size[i, 0]) + QUEUE
                out[i] = not ((ahead > 0.5) & (ahead < reach) & (np.abs(left) < 2.0)).any()
        return out

    def _match(self, seen: list[_Seen], rows: Floats, now: float) -> None:
        """Ask the map which lanes those follow who are new, or off theirs."""
        ask = [i for i, s in enumerate(seen) if s.lane < 0 and now - s.matched >= REMATCH and _DRIVES[s.kind]]
        if not ask:
            return
        lanes, gaps = match_lanes(self.roadmap, rows[ask, :3])
        for i, lane, gap in zip(ask, lanes.tolist(), gaps.tolist(), strict=True):
            seen[i].lane = lane if gap <= ON_LANE else -1
            seen[i].matched = now
            if seen[i].lane >= 0 and lane not in self._lanes:
                self._add(lane)

    def _stray(self, seen: list[_Seen], feet: Floats) -> None:
        for s, (_, d, turn) in zip(seen, feet.tolist(), strict=True):
            if s.lane >= 0 and (abs(d) > ASTRAY or abs(turn) > ASKEW):
                # Asked at the next call; for this one the lane has to do.
                s.lane = -1

    def _add(self, lane: int) -> None:
        line, station, heading = onward(self.roadmap, lane)
        at = LANE_STEP * np.arange(max(int(station[-1] / LANE_STEP), 1) + 1)
        unwrapped = np.unwrap(heading)
        table = np.stack([np.interp(at, station, v) for v in (*line.T, unwrapped)], axis=-1)
        begin = len(self._lines)
        self._lines = np.concatenate((self._lines, table))
        self._lanes[lane] = (begin, begin + len(table) - 1)
        self._holds[lane] = _lines_ahead(self.roadmap, lane)

    def _span(self, lane: int) -> tuple[int, int]:
        return self._lanes.get(lane, (-1, -1))

    def _wait(self, seen: _Seen, foot: Floats, signals: NDArray[np.uint8]) -> float:
        """Metres after which somebody stops at a line, infinite where none holds it."""
        front = float(foot[0]) + 0.5 * float(seen.size[0])
        for station, signal in self._holds.get(seen.lane, ()):
            gap = station - front
            if gap < -1.0 or (signal >= 0 and signals[signal] not in (SignalState.RED, SignalState.YELLOW)):
                continue
            if seen.speed * seen.speed > 2.0 * MOST_BRAKING * max(gap, 0.5):
                continue
            return max(gap, 0.0)
        return math.inf


def _lines_ahead(roadmap: RoadMap, lane: int) -> list[tuple[float, int]]:
    """Stations on the line onward from a lane of its stop lines, and their signals, -1 none."""
    found, begin = [], 0.0
    for now in onward_lanes(roadmap, lane):
        stop = stop_on_lane(roadmap, now)
        if stop is not None:
            found.append((begin + stop, int(roadmap.signal[now])))
        begin += float(roadmap.length[now])
    return sorted(found)
