"""What the families on an open road share: frames of both directions, spawning, the map around the ego."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.generate.drivers import draw_body, draw_driver, draw_wander
from drive.datasets.generate.roads import Atlas, Road, add_road, section_id
from drive.datasets.generate.scene import HORIZON, REST, reach
from drive.datasets.generate.traffic import Actor, Traffic, TrafficLane
from drive.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drive.datasets.generate.traffic import Drive
    from drive.roadmap import RoadMap

KMH = 1.0 / 3.6
WARM_UP = 6.0
"""Seconds that the traffic drives before time 0."""
START = 260.0
"""Station of the ego when the simulation begins."""
BEHIND = 130.0
"""Metres of map behind the ego at time 0."""


def road_length(limit: float) -> float:
    """Length of reference curve that an ego with this limit needs."""
    return START + WARM_UP * limit + reach(limit) + 80.0


def pick(rng: np.random.Generator, *options: float) -> float:
    return float(options[int(rng.integers(len(options)))])


def between(
    rng: np.random.Generator, difficulty: float, easy: tuple[float, float], hard: tuple[float, float]
) -> float:
    """A number drawn from a range that lies between the one of an easy and the one of a hard scene."""
    low, high = (a + difficulty * (b - a) for a, b in zip(easy, hard, strict=True))
    return float(rng.uniform(low, high))


def regular_cuts(
    rng: np.random.Generator, length: float, low: float = 110.0, high: float = 240.0
) -> list[float]:
    """Stations at which a long road is divided, as maps do."""
    cuts, at = [], 0.0
    while at < length:
        at += float(np.round(rng.uniform(low, high), 1))
        cuts.append(at)
    return cuts


def beside(
    rng: np.random.Generator,
    traffic: Traffic,
    lane: int,
    station: float,
    speed: float,
    ahead: tuple[float, float],
    name: str,
    **given: Any,
) -> tuple[float, float]:
    """Add a car so many metres ahead of a rear-axle station (its middle to it), on another lane.

    Returns the stretch of that lane which others should leave to it.
    """
    body, driver = draw_body(rng), draw_driver(rng, **given)
    middle = station + float(rng.uniform(*ahead))
    traffic.add(Actor(name, body, lane, middle - body.rear, speed, driver, wander=draw_wander(rng)))
    half = 0.5 * body.length
    return middle - half - 3.0 - 0.7 * speed, middle + half + 3.0 + 0.7 * speed


@dataclass(frozen=True)
class Stage:
    """A road with its traffic. `lanes` maps names of road lanes to rows of the traffic's lanes."""

    road: Road
    traffic: Traffic
    forward: int
    backward: int
    lanes: dict[str, int]

    @classmethod
    def of(cls, road: Road) -> Stage:
        """Frames for both directions and all drivable lanes, with their neighbours for lane changes."""
        traffic = Traffic()
        forward = traffic.add_frame(road.curve)
        oncoming = [x for x in road.lanes if not x.forward and x.kind.drivable]
        backward = traffic.add_frame(road.curve.reversed()) if oncoming else -1
        length = road.curve.length
        drivable = [x for x in road.lanes if x.kind.drivable]
        numbers = {x.name: i for i, x in enumerate(drivable)}
        for lane in drivable:
            head, count = lane.name[0], int(lane.name[1:]) if lane.name[1:].isdigit() else 0
            near = (numbers.get(f"{head}{count + 1}", -1), numbers.get(f"{head}{count - 1}", -1))
            offset = lane.offset if lane.forward else lane.offset.mirrored(length)
            span = (lane.begin, lane.end) if lane.forward else (length - lane.end, length - lane.begin)
            frame = forward if lane.forward else backward
            traffic.add_lane(TrafficLane(frame, offset, lane.limit, near if count else (-1, -1), span))
        return cls(road, traffic, forward, backward, numbers)

    def window(self, drive: Drive, ego: int, limit: float) -> tuple[float, float]:
        """Stations of the map: from behind the ego to beyond its horizon, in whole metres."""
        s = drive.log[ego, :, 0]
        s0 = float(np.floor(s[0] - BEHIND))
        s1 = float(np.ceil(max(s[0] + reach(limit), s[-1] + HORIZON * limit + REST)))
        if s0 < 0.0 or s1 > self.road.curve.length:
            raise ScenarioError("the drawn road is too short for its ego")
        return s0, s1

    def build_map(self, window: tuple[float, float], extra: Callable[[Atlas], None] | None = None) -> RoadMap:
        atlas = Atlas()
        add_road(atlas, self.road, *window)
        if extra is not None:
            extra(atlas)
        return atlas.build()

    def visible(self, window: tuple[float, float]) -> dict[int, tuple[float, float]]:
        length = self.road.curve.length
        seen = {self.forward: window}
        if self.backward >= 0:
            seen[self.backward] = (length - window[1], length - window[0])
        return seen

    def lane_id(self, name: str, window: tuple[float, float], station: float) -> str:
        """Id of the map's lane `name` at a station of the reference curve."""
        sections = self.road.sections(*window)
        index = next(i for i, (_, b) in enumerate(sections) if station <= b or i == len(sections) - 1)
        return section_id(self.road, self.road.lane(name), index)

    def lane_name(self, number: int) -> str:
        return next(name for name, i in self.lanes.items() if i == number)


def oncoming_stations(stage: Stage, ego_speed: float, speed: float) -> tuple[float, float]:
    """Stretch of the backward frame at the simulation's start whose vehicles meet the ego's view in time."""
    length = stage.road.curve.length
    near = START + WARM_UP * (ego_speed + speed) - 0.5 * BEHIND
    far = min(START + (WARM_UP + 15.0) * (ego_speed + speed) + 100.0, length - 5.0)
    return length - far, length - near
