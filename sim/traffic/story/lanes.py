"""Lanes as storyboards count them, and the ways that entities take along them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import arc_length, polyline_heading, project_to_polyline, resample_polyline, unwrap_angle
from drive.roadmap import find_route
from drive.sim.traffic.paths import match_lanes, onward, onward_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.sim.traffic.story.model import Storyboard

    Floats = NDArray[np.float64]

BACKWARD = 500.0
"""m that a way against the traffic has."""
ON_LANE = 3.0
"""m from a lane's middle up to which an entity is on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A line `(N, 2)` with stations and unwrapped headings `(N,)`, and the lanes that it follows, by the
    stations at which they end."""

    line: Floats
    station: Floats
    heading: Floats
    lanes: tuple[int, ...]
    ends: Floats
    against: bool = False
    """Whether it runs against the traffic of its lanes."""

    @property
    def length(self) -> float:
        return float(self.station[-1])

    def at(self, s: float) -> tuple[float, float, float]:
        """x, y and heading at a station, prolonged straight beyond the ends."""
        inside = min(max(s, 0.0), self.length)
        x = float(np.interp(inside, self.station, self.line[:, 0]))
        y = float(np.interp(inside, self.station, self.line[:, 1]))
        h = float(np.interp(inside, self.station, self.heading))
        return x + (s - inside) * math.cos(h), y + (s - inside) * math.sin(h), h

    def foot(self, x: float, y: float) -> tuple[float, float]:
        """Station and offset of a point."""
        s, d, _ = project_to_polyline(np.array([[x, y]]), self.line)
        return float(s[0]), float(d[0])

    def lane_at(self, s: float) -> int:
        if not self.lanes:
            return -1
        return self.lanes[min(int(np.searchsorted(self.ends, s, side="right")), len(self.lanes) - 1)]


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """A map's lanes, with the numbers that a storyboard counts them by."""

    roadmap: RoadMap
    numbers: NDArray[np.int32]
    leftward: NDArray[np.bool_]

    @classmethod
    def of(cls, roadmap: RoadMap, board: Storyboard) -> Lanes:
        return cls(roadmap, board.numbers, board.leftward)

    def match(self, x: float, y: float, heading: float) -> int:
        """The lane that somebody is on, -1 none."""
        lane, gap = match_lanes(self.roadmap, np.array([[x, y, heading]]))
        return int(lane[0]) if gap[0] <= ON_LANE else -1

    def way(self, lane: int, over: Sequence[int] = ()) -> Way:
        """The way along a lane, then straight on; or along the lanes `over`, straight on after the last."""
        if not over:
            line, station, heading = onward(self.roadmap, lane)
            lanes = onward_lanes(self.roadmap, lane)
        else:
            lanes = [*over[:-1], *onward_lanes(self.roadmap, over[-1])]
            line = resample_polyline(np.concatenate([self.roadmap.centerline(k) for k in lanes]), 1.0)
            station, heading = arc_length(line), polyline_heading(line)
        ends = np.cumsum(self.roadmap.length[lanes])
        return Way(line, station, unwrap_angle(heading), tuple(lanes), ends)

    def match_either(self, x: float, y: float, heading: float) -> int:
        """The lane that somebody is on, be it against the traffic there; -1 none."""
        lane = self.match(x, y, heading)
        return lane if lane >= 0 else self.match(x, y, heading + math.pi)

    def near(self, x: float, y: float) -> int:
        """The lane that a place is on, whichever way it runs; -1 none."""
        turns = np.arange(4) * 0.5 * math.pi
        lane, gap = match_lanes(self.roadmap, np.array([[x, y, turn] for turn in turns]))
        best = int(np.argmin(gap))
        return int(lane[best]) if gap[best] <= ON_LANE else -1

    def way_of(self, lane: int, over: Sequence[int], x: float, y: float, heading: float) -> Way:
        """`way` for somebody at a pose: who looks the other way drives against the traffic."""
        way = self.way(lane, over)
        along = way.at(way.foot(x, y)[0])[2]
        return way if math.cos(heading - along) >= 0.0 else self._back(lane)

    def _back(self, lane: int) -> Way:
        m, lanes = self.roadmap, [lane]
        while sum(float(m.length[k]) for k in lanes) < BACKWARD:
            before = [int(k) for k in m.predecessors(lanes[-1]) if int(k) not in lanes]
            if not before:
                break
            lanes.append(before[0])
        line = resample_polyline(np.concatenate([m.centerline(k)[::-1] for k in lanes]), 1.0)
        station, heading = arc_length(line), unwrap_angle(polyline_heading(line))
        return Way(line, station, heading, tuple(lanes), np.cumsum(m.length[lanes]), True)

    def beside(self, lane: int, count: int) -> int:
        """The lane whose number is greater by `count`, 0 not counted; -1 where there is none."""
        if lane < 0:
            return -1
        here, goal = int(self.numbers[lane]), int(self.numbers[lane]) + count
        if here * goal <= 0:
            goal += 1 if count > 0 else -1 if count < 0 else 0
        return self.numbered(lane, goal)

    def numbered(self, lane: int, number: int) -> int:
        """The lane of a number beside a lane, on its road; -1 where there is none."""
        m, now = self.roadmap, lane
        for _ in range(64):
            if now < 0:
                return -1
            here = int(self.numbers[now])
            if here == number:
                return now
            left = bool(self.leftward[now]) == (number > here)
            near = int((m.left_lane if left else m.right_lane)[now])
            if near < 0:
                opposite = m.left_opposite if left else m.right_opposite
                near = int(opposite[now]) if len(opposite) else -1
            now = near
        return -1

    def one_way(self, lane: int) -> list[int]:
        """The lane and all beside it in its direction."""
        m, found = self.roadmap, [lane]
        for near in (m.left_lane, m.right_lane):
            now = int(near[lane])
            while now >= 0 and now not in found:
                found.append(now)
                now = int(near[now])
        return found

    def chain(self, poses: Sequence[tuple[float, float, float]]) -> list[int]:
        """The lanes by way of places, of which only the first tells the direction; those that cannot be
        reached are passed over."""
        found: list[int] = []
        for x, y, heading in poses:
            lane = self.match(x, y, heading)
            if lane < 0:
                continue
            if not found:
                found = [lane]
                continue
            # A place names a road; on which side of it traffic gets there is for the way to find.
            found += (find_route(self.roadmap, found[-1], self.abreast(lane)) or (found[-1],))[1:]
        return found

    def abreast(self, lane: int) -> list[int]:
        """The lane and all beside it, of either direction."""
        m, found, queue = self.roadmap, [lane], [lane]
        while queue:
            now = queue.pop()
            for near in (m.left_lane, m.right_lane, m.left_opposite, m.right_opposite):
                other = int(near[now]) if len(near) else -1
                if other >= 0 and other not in found:
                    found.append(other)
                    queue.append(other)
        return found

    def along_road(self, lane: int) -> float:
        """1 where a lane runs as its road does, so that numbers grow to its left, else -1."""
        return 1.0 if lane < 0 or bool(self.leftward[lane]) else -1.0
