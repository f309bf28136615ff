"""Roundabouts: arms around a ring of one or two lanes, driven counter-clockwise, that has priority."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.curves import Curve, chain, join, quintic
from drive.datasets.generate.roads import Atlas, LaneEnd, Road, add_road, lane_pose, rounded, section_id
from drive.roadmap import AreaKind, LaneKind, LaneSpec, Marking

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drive.datasets.generate.junctions import Arm
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

LINE = 1.0
"""Metres from the ring's outer edge to a give-way line."""
FLARE = 1.1
"""Metres by which an entry or exit is wider on each side, half way, for who cuts its bend."""


@dataclass(frozen=True)
class Passage:
    """From an inbound lane (1: to the ring's outer lane, 2: to the inner one) to a lane of the exit's arm."""

    arm: int
    lane: int
    exit: int
    exit_lane: int


@dataclass(frozen=True)
class Roundabout:
    """A ring around the origin: its outer radius, its number of lanes and their width in m, its limit.

    Arm k lies at `angles[k]` rad (counter-clockwise); its exit leaves the ring, and its entry joins it,
    `spread` rad before and after that angle.
    """

    arms: tuple[Arm, ...]
    angles: tuple[float, ...]
    radius: float
    lanes: int
    width: float
    spread: float
    ring_limit: float
    made: dict[tuple[str, int, int], Curve] = field(default_factory=dict, repr=False, compare=False)
    parts: dict[Passage, list[Curve]] = field(default_factory=dict, repr=False, compare=False)

    def middle(self, ring: int) -> float:
        """Radius of a ring lane's centreline; lane 1 is the outer one."""
        return self.radius - (ring - 0.5) * self.width

    def pose(self, ring: int, angle: float) -> Floats:
        r = self.middle(ring)
        return np.array([r * np.cos(angle), r * np.sin(angle), angle + 0.5 * np.pi])

    def arc(self, ring: int, begin: float, end: float, step: float = 0.5) -> Curve:
        r = self.middle(ring)
        return chain([(r * (end - begin), 1.0 / r, 1.0 / r)], step).moved(self.pose(ring, begin))

    def _once(self, name: str, arm: int, lane: int, make: Callable[[], Curve]) -> Curve:
        key = (name, arm, lane)
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def entry(self, arm: int, lane: int) -> Curve:
        def make() -> Curve:
            a, angle = self.arms[arm], self.angles[arm] + self.spread
            ends = a.inward(a.place(f"b{lane}")), self.pose(lane, angle)
            return quintic(*ends, (0.0, 1.0 / self.middle(lane)))

        return self._once("in", arm, lane, make)

    def way_out(self, arm: int, lane: int) -> Curve:
        def make() -> Curve:
            a, angle = self.arms[arm], self.angles[arm] - self.spread
            ends = self.pose(lane, angle), a.mouth(a.place(f"f{lane}"))
            return quintic(*ends, (1.0 / self.middle(lane), 0.0))

        return self._once("out", arm, lane, make)

    def _lane(self, arm: int, lane: int, side: str) -> Curve:
        """An arm's lane, inbound ("b") or outbound ("f")."""
        return self._once(side, arm, lane, lambda: _lane_curve(self.arms[arm].road, f"{side}{lane}"))

    def line(self, entry: Curve) -> float:
        """Station of the give-way line on an entry."""
        away = np.hypot(*entry.points.T)
        return float(entry.step * np.argmax(away < self.radius + LINE))

    def limit(self, m: Passage) -> float:
        return self.arms[m.arm].road.lane(f"b{m.lane}").limit

    def turned(self, m: Passage) -> float:
        """Angle in rad that a passage drives on the ring."""
        between = (self.angles[m.exit] - self.angles[m.arm]) % (2.0 * np.pi)
        return float(between - 2.0 * self.spread)

    def path(self, m: Passage) -> tuple[Curve, float, float]:
        """Curve along a whole passage, and the stations of its give-way line and of its exit."""
        parts = self._parts(m)
        length = [c.length for c in parts]
        return join(parts), length[0] + self.line(parts[1]), sum(length[:4])

    def ring_span(self, m: Passage) -> tuple[float, float]:
        """Stations at which a passage joins the ring and leaves it."""
        length = [c.length for c in self._parts(m)]
        return length[0] + length[1], length[0] + length[1] + length[2]

    def _parts(self, m: Passage) -> list[Curve]:
        if m not in self.parts:
            begin = self.angles[m.arm] + self.spread
            self.parts[m] = [
                self._lane(m.arm, m.lane, "b"),
                self.entry(m.arm, m.lane),
                self.arc(m.lane, begin, begin + self.turned(m)),
                self.way_out(m.exit, m.exit_lane),
                self._lane(m.exit, m.exit_lane, "f"),
            ]
        return self.parts[m]

    def build_map(self) -> RoadMap:
        """Arms, entries with their give-way lines, exits, the ring's sections and its area."""
        atlas = Atlas()
        for k, arm in enumerate(self.arms):
            ends = {f"b{i}": LaneEnd((f"in{k}.{i}",)) for i in range(1, arm.lanes_in + 1)}
            add_road(atlas, arm.road, 0.0, arm.road.curve.length, ends)
            for i in range(1, arm.lanes_in + 1):
                curve = self.entry(k, i)
                self._add_ramp(
                    atlas, f"in{k}.{i}", curve, (arm.breadth(f"b{i}"), self.width), f"ring{k}.{i}", True
                )
            for i in range(1, arm.lanes_out + 1):
                onto = section_id(arm.road, arm.road.lane(f"f{i}"), 0)
                curve = self.way_out(k, i)
                self._add_ramp(atlas, f"out{k}.{i}", curve, (self.width, arm.breadth(f"f{i}")), onto, False)
        for k in range(len(self.arms)):
            after = (k + 1) % len(self.arms)
            own, then = self.angles[k], self.angles[after] + (0.0 if after else 2.0 * np.pi)
            self._add_sector(atlas, "by", k, own - self.spread, own + self.spread, k)
            self._add_sector(atlas, "ring", k, own + self.spread, then - self.spread, after)
        return atlas.build()

    def _add_sector(self, atlas: Atlas, name: str, number: int, begin: float, end: float, after: int) -> None:
        """The ring's lanes beside an arm ("by") or between two arms ("ring"), and their ground."""
        for ring in range(1, self.lanes + 1):
            if name == "by":
                follows: tuple[str, ...] = (f"ring{after}.{ring}",)
            else:
                leaves = ring <= self.arms[after].lanes_out
                follows = (*((f"out{after}.{ring}",) if leaves else ()), f"by{after}.{ring}")
            spec = LaneSpec(
                id=f"{name}{number}.{ring}",
                left=self._edge(ring, begin, end),
                right=self._edge(ring - 1.0, begin, end),
                center=self._edge(ring - 0.5, begin, end),
                speed_limit=self.ring_limit,
                intersection=True,
                successors=follows,
                left_lane=f"{name}{number}.{ring + 1}" if ring < self.lanes else None,
                right_lane=f"{name}{number}.{ring - 1}" if ring > 1 else None,
                left_marking=Marking.DASHED if ring < self.lanes else Marking.CURB,
                right_marking=Marking.DASHED if ring > 1 or name == "by" else Marking.CURB,
            )
            angle = self._angles(begin, end)
            kappa = np.full(len(angle), 1.0 / self.middle(ring))
            atlas.add(spec, angle + 0.5 * np.pi, kappa)
        ground = np.concatenate((self._edge(0.0, begin, end), self._edge(self.lanes, begin, end)[::-1]))
        atlas.builder.add_area(ground, AreaKind.INTERSECTION)

    def _angles(self, begin: float, end: float) -> Floats:
        return np.linspace(begin, end, max(int(np.ceil(self.radius * (end - begin) / 0.9)), 3) + 1)

    def _edge(self, lanes: float, begin: float, end: float) -> Floats:
        """The arc that lies so many lanes inside the outer edge."""
        angle, r = self._angles(begin, end), self.radius - lanes * self.width
        return rounded(np.stack((r * np.cos(angle), r * np.sin(angle)), axis=-1), 4)

    def _add_ramp(
        self, atlas: Atlas, name: str, curve: Curve, widths: tuple[float, float], after: str, line: bool
    ) -> None:
        u = np.linspace(0.0, 1.0, len(curve.points))
        half = (0.5 * (widths[0] + (widths[1] - widths[0]) * u) + 4.0 * FLARE * u * (1.0 - u))[:, None]
        normal = np.stack((-np.sin(curve.heading), np.cos(curve.heading)), axis=-1)
        spec = LaneSpec(
            id=name,
            left=rounded(curve.points + half * normal, 4),
            right=rounded(curve.points - half * normal, 4),
            center=rounded(curve.points, 4),
            kind=LaneKind.CONNECTOR,
            speed_limit=self.ring_limit,
            intersection=True,
            successors=(after,),
            left_marking=Marking.NONE,
            right_marking=Marking.NONE,
            stop_station=round(self.line(curve), 2) if line else None,
        )
        atlas.add(spec, curve.heading, curve.curvature)


def _lane_curve(road: Road, name: str, step: float = 1.0) -> Curve:
    """The centreline of a road's lane as a curve in driving direction, at equal steps of its length."""
    lane = road.lane(name)
    fine = np.linspace(0.0, road.curve.length, max(int(2.0 * road.curve.length), 8) + 1)
    pose, kappa = lane_pose(road.curve, lane.offset, fine)
    s = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(pose[:, :2], axis=0).T))))
    grid = np.linspace(0.0, s[-1], max(int(np.ceil(s[-1] / step)), 1) + 1)
    x, y, heading, k = (np.interp(grid, s, c) for c in (*pose.T, kappa))
    curve = Curve(float(grid[1]), np.stack((x, y), axis=-1), heading, k)
    return curve if lane.forward else curve.reversed()
