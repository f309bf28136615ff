"""Whether the conditions of a storyboard hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import box_corners, boxes_overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drive.sim.traffic.story.model import Test
    from drive.sim.traffic.story.people import Cast, Person

TOUCH = 1e-6
RULES: Mapping[str, Callable[[float, float], bool]] = {
    "lessThan": lambda a, b: a < b - TOUCH,
    "lessOrEqual": lambda a, b: a <= b + TOUCH,
    "greaterThan": lambda a, b: a > b + TOUCH,
    "greaterOrEqual": lambda a, b: a >= b - TOUCH,
    "equalTo": lambda a, b: abs(a - b) <= TOUCH,
    "notEqualTo": lambda a, b: abs(a - b) > TOUCH,
}


def entity_test(test: Test, cast: Cast) -> bool:
    """Whether a test of entities holds now, for any or for every one of its triggering entities."""
    found = [_holds(test, cast.people[name], cast) for name in test.who if cast.people[name].there]
    if not found:
        return False
    return all(found) if test.every else any(found)


def _holds(test: Test, p: Person, cast: Cast) -> bool:
    other = cast.people[test.entity] if test.entity else None
    if other is not None and not other.there:
        return False
    value: float | None
    if test.kind == "Collision":
        return other is not None and _touch(p, other)
    if test.kind == "ReachPosition":
        pose = None if test.place is None else cast.pose_of(test.place)
        return pose is not None and p.passed(pose[0], pose[1]) <= test.value
    value = _quantity(test, p, other, cast)
    return value is not None and RULES[test.rule](value, test.value)


def _quantity(test: Test, p: Person, other: Person | None, cast: Cast) -> float | None:
    """What a test compares; None where it has no value, as a time headway without speed."""
    kind = test.kind
    if kind in ("Speed", "Acceleration", "TraveledDistance", "StandStill", "EndOfRoad", "Offroad"):
        return {
            "Speed": p.speed, "Acceleration": p.acceleration, "TraveledDistance": p.travelled,
            "StandStill": p.stood, "EndOfRoad": p.no_road if p.ended else 0.0, "Offroad": p.no_road,
        }[kind]  # fmt: skip
    if kind == "RelativeSpeed":
        return None if other is None else p.speed - other.speed
    pose = None if test.place is None else cast.pose_of(test.place)
    if other is None and pose is None:
        return None
    gap = _distance(test, p, other, pose, cast)
    if kind in ("RelativeDistance", "Distance"):
        return abs(gap)
    if kind == "TimeHeadway":
        return abs(gap) / abs(p.speed) if abs(p.speed) > 1e-3 else None
    if kind == "TimeToCollision":
        closing = _closing(p, other, pose)
        return abs(gap) / closing if closing > 1e-3 else None
    return None


def _distance(
    test: Test, p: Person, other: Person | None, pose: tuple[float, float, float] | None, cast: Cast
) -> float:
    x, y = (other.x, other.y) if other is not None else pose[:2] if pose is not None else (p.x, p.y)
    if test.freespace:
        (px, py), (x, y) = p.centre(), other.centre() if other is not None else (x, y)
    else:
        px, py = p.x, p.y
    if test.along == "euclidean":
        if test.freespace and other is not None:
            return _box_gap(p, other)
        return math.hypot(x - px, y - py)
    # Along the lane where both are on a way, else in the entity's own axes.
    if test.in_lane and p.way is not None:
        (s0, d0), (s1, d1) = p.way.foot(px, py), p.way.foot(x, y)
        along, across, heading = s1 - s0, d1 - d0, p.way.at(s0)[2]
    else:
        heading = p.heading
        c, s = math.cos(heading), math.sin(heading)
        along, across = (x - px) * c + (y - py) * s, (y - py) * c - (x - px) * s
    gap = along if test.along == "longitudinal" else across
    if test.freespace:
        boxes = [p] if other is None else [p, other]
        half = sum(_half_extent(q, heading, test.along == "longitudinal") for q in boxes)
        gap = max(abs(gap) - half, 0.0)
    return gap


def _half_extent(p: Person, heading: float, along: bool) -> float:
    turn = p.heading - heading
    c, s = abs(math.cos(turn)), abs(math.sin(turn))
    length, width = p.entity.size[:2]
    return 0.5 * (length * c + width * s) if along else 0.5 * (length * s + width * c)


def _closing(p: Person, other: Person | None, pose: tuple[float, float, float] | None) -> float:
    """m/s at which the distance shrinks."""
    vx, vy = p.speed * math.cos(p.heading), p.speed * math.sin(p.heading)
    x, y = (0.0, 0.0) if pose is None else pose[:2]
    if other is not None:
        x, y = other.x, other.y
        vx -= other.speed * math.cos(other.heading)
        vy -= other.speed * math.sin(other.heading)
    dx, dy = x - p.x, y - p.y
    far = math.hypot(dx, dy)
    return (vx * dx + vy * dy) / far if far > 1e-6 else 0.0


def _corners(p: Person) -> np.ndarray:
    return np.asarray(box_corners(np.array(p.centre()), p.heading, *p.entity.size[:2]))


def _touch(p: Person, q: Person) -> bool:
    return bool(boxes_overlap(_corners(p)[None], _corners(q)[None])[0])


def _box_gap(p: Person, q: Person) -> float:
    """Least distance of two boxes."""
    from shapely import Polygon

    return float(Polygon(_corners(p)).distance(Polygon(_corners(q))))
