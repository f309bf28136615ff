"""Entities on the stage: where they are, and how they move on their own or as an action has it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import arc_length, polyline_heading, unwrap_angle, wrap_angle
from drive.sim.traffic.story.model import Beside, Fixed, Near
from drive.sim.traffic.story.shapes import Transition
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.traffic.story.lanes import Lanes, Way
    from drive.sim.traffic.story.model import Entity, FollowPoints, Place

    Floats = NDArray[np.float64]

Pose = tuple[float, float, float]
STANDS = 0.01
LEFT_LANE = 2.0
"""m from the middle of its lane at which who is driven from outside may be on another one."""


@dataclass(slots=True, eq=False)
class Person:
    """One entity at the present moment: its rear axle's pose and motion, and whether it is there.

    With a `way` it is at the station `s` and the offset `d` of it, left being positive; without one it goes
    straight on. `outside` says that a planner drives it: then the stage only looks.
    """

    entity: Entity
    outside: bool = False
    there: bool = False
    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0
    came_from: tuple[float, float] | None = None
    speed: float = 0.0
    acceleration: float = 0.0
    yaw_rate: float = 0.0
    way: Way | None = None
    s: float = 0.0
    d: float = 0.0
    aside: Transition | None = None
    travelled: float = 0.0
    stood: float = 0.0
    no_road: float = 0.0
    route: tuple[int, ...] = ()
    tracing: Tracing | None = None
    ended: bool = False

    def put(self, pose: Pose, lanes: Lanes) -> None:
        """Be at a pose from now on, and on the lane that is there."""
        self.there, self.ended, self.came_from = True, False, None
        self.x, self.y, self.heading = pose[0], pose[1], float(wrap_angle(pose[2]))
        self.aside = self.tracing = None
        self.take_lane(lanes)

    def see(self, row: Floats, dt: float, lanes: Lanes) -> None:
        """Take over the rear-axle state `(7,)` of who is driven from outside."""
        self.came_from = (self.x, self.y) if self.there and dt > 0.0 else None
        self.travelled += math.hypot(row[0] - self.x, row[1] - self.y) if self.there and dt > 0.0 else 0.0
        self.there = True
        self.x, self.y, self.heading, self.speed = (float(v) for v in row[:4])
        self.acceleration, self.yaw_rate = float(row[4]), float(row[6])
        if self.way is not None:
            self.s, self.d = self.way.foot(self.x, self.y)
        if self.way is None or abs(self.d) > LEFT_LANE or self.s >= self.way.length:
            self.take_lane(lanes)
        self._clock(dt)

    def take_lane(self, lanes: Lanes, lane: int | None = None) -> None:
        """Follow the lane that it is on, or another one from beside where it is now, its route where it has
        one; who walks goes straight on."""
        if lane is None:
            walks = self.entity.kind == AgentKind.PEDESTRIAN
            lane = -1 if walks else lanes.match_either(self.x, self.y, self.heading)
        if lane < 0:
            self.way = None
            return
        over = self.route[self.route.index(lane) :] if lane in self.route else ()
        self.way = lanes.way_of(lane, over, self.x, self.y, self.heading)
        self.s, self.d = self.way.foot(self.x, self.y)

    @property
    def lane(self) -> int:
        return -1 if self.way is None else self.way.lane_at(self.s)

    def advance(self, speed: float, dt: float) -> None:
        """Move on for a step, with a speed at its end that others have decided on."""
        self.came_from = self.x, self.y
        if self.tracing is not None:
            self._trace(speed, dt)
            return
        before, heading = self.speed, self.heading
        moved = 0.5 * (before + speed) * dt
        self.acceleration, self.speed = (speed - before) / dt, speed
        self.travelled += abs(moved)
        if self.way is None:
            self.x += moved * math.cos(self.heading)
            self.y += moved * math.sin(self.heading)
        else:
            d0 = self.d
            if self.aside is not None:
                self.d = self.aside.advance(dt, abs(moved))
                if self.aside.finished:
                    self.aside = None
            across = self.d - d0
            # Who moves aside drives a little less along the lane.
            along = math.copysign(math.sqrt(max(moved * moved - across * across, 0.0)), moved)
            self.s += along
            x, y, h = self.way.at(self.s)
            self.x, self.y = x - self.d * math.sin(h), y + self.d * math.cos(h)
            lean = math.atan2(across, along) if moved > STANDS * dt else 0.0
            self.heading = float(wrap_angle(h + lean))
            if self.s > self.way.length:
                self.ended = True
        self.yaw_rate = float(wrap_angle(self.heading - heading)) / dt
        self._clock(dt)

    def _trace(self, speed: float, dt: float) -> None:
        t = self.tracing
        assert t is not None
        before, heading, at = self.speed, self.heading, (self.x, self.y)
        x, y, self.heading = t.advance(0.5 * (before + speed) * dt, dt)
        moved = math.hypot(x - at[0], y - at[1])
        self.x, self.y = x, y
        self.travelled += moved
        self.speed = moved / dt if t.times is not None else speed
        self.acceleration = (self.speed - before) / dt
        self.yaw_rate = float(wrap_angle(self.heading - heading)) / dt
        self._clock(dt)

    def _clock(self, dt: float) -> None:
        self.stood = self.stood + dt if abs(self.speed) <= STANDS else 0.0
        lost = self.ended or (self.way is None and not self.outside)
        self.no_road = self.no_road + dt if lost else 0.0

    def passed(self, x: float, y: float) -> float:
        """How near a place it came in the last step, m: by the time of the next it may be far past it."""
        x0, y0 = self.came_from or (self.x, self.y)
        dx, dy = self.x - x0, self.y - y0
        square = dx * dx + dy * dy
        u = min(max(((x - x0) * dx + (y - y0) * dy) / square, 0.0), 1.0) if square > 0.0 else 1.0
        return math.hypot(x - x0 - u * dx, y - y0 - u * dy)

    def centre(self) -> tuple[float, float]:
        r = self.entity.rear_to_centre
        return self.x + r * math.cos(self.heading), self.y + r * math.sin(self.heading)


@dataclass(slots=True, eq=False)
class Tracing:
    """A trajectory under way: points with unwrapped headings, and how far along it one is, in s or m."""

    points: np.ndarray
    marks: np.ndarray
    times: np.ndarray | None
    done: float = 0.0

    @classmethod
    def of(cls, follow: FollowPoints, now: float) -> Tracing:
        points = np.array(follow.points, dtype=np.float64)
        marks = arc_length(points[:, :2])
        if not np.isfinite(points[:, 2]).all():
            points[:, 2] = polyline_heading(points[:, :2]) if marks[-1] > 0.0 else 0.0
        points[:, 2] = unwrap_angle(points[:, 2])
        if follow.times is None:
            return cls(points, marks, None)
        times = follow.times - (now if follow.of_scenario else 0.0)
        return cls(points, times, times, 0.0)

    def advance(self, moved: float, dt: float) -> Pose:
        self.done += dt if self.times is not None else moved
        x, y, h = (float(np.interp(self.done, self.marks, column)) for column in self.points.T)
        return x, y, float(wrap_angle(h))

    @property
    def finished(self) -> bool:
        return self.done >= float(self.marks[-1]) - 1e-9


@dataclass(slots=True, eq=False)
class Cast:
    """All entities by name, and the lanes that they are on."""

    lanes: Lanes
    people: dict[str, Person] = field(default_factory=dict)

    def pose_of(self, place: Place, who: Person | None = None) -> Pose | None:
        """The pose that a place means now; None where it names a lane that is not there."""
        if isinstance(place, Fixed):
            return place.x, place.y, place.heading
        ref = self.people[place.entity]
        if isinstance(place, Near):
            turn = ref.heading if place.own_axes else 0.0
            c, s = math.cos(turn), math.sin(turn)
            x, y = ref.x + c * place.x - s * place.y, ref.y + s * place.x + c * place.y
            return x, y, ref.heading + place.turn if place.own_axes else place.turn
        return self._beside(place, ref)

    def _beside(self, place: Beside, ref: Person) -> Pose | None:
        lanes, here = self.lanes, ref.lane
        if here < 0:
            here = lanes.near(ref.x, ref.y)
        if here < 0:
            # Beside no lane: straight on.
            c, s = math.cos(ref.heading), math.sin(ref.heading)
            left = place.left + (place.offset or 0.0)
            return ref.x + c * place.ahead - s * left, ref.y + s * place.ahead + c * left, ref.heading
        way = lanes.way(here) if ref.way is None or ref.way.against else ref.way
        s0, d0 = way.foot(ref.x, ref.y)
        sign = lanes.along_road(here)
        s = s0 + sign * place.ahead
        if place.lanes:
            x, y, h = way.at(s)
            target = lanes.beside(way.lane_at(s), place.lanes)
            if target < 0:
                return None
            sign = lanes.along_road(target)
            way = lanes.way(target)
            s, d0 = way.foot(x, y)[0], 0.0
        x, y, h = way.at(s)
        d = sign * (place.offset if place.offset is not None else sign * d0 + place.left)
        return x - d * math.sin(h), y + d * math.cos(h), h + place.turn
