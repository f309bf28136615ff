"""What one run did to the CARLA criteria: how far it came, and every infraction with its sample."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla import constants as c
from drive.eval.metrics.carla.contacts import Event, collisions
from drive.eval.metrics.carla.course import Course, follow
from drive.eval.metrics.carla.outside import off_lanes, wrong_way
from drive.eval.metrics.carla.pace import (
    blocked,
    blocks_emergency,
    minimum_speed,
    route_timeout,
    traffic_speed,
)
from drive.eval.metrics.carla.signs import red_lights, stop_signs
from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.nuplan.lanes import LaneShapes
from drive.eval.metrics.nuplan.lanes import follow as drive_along
from drive.eval.metrics.nuplan.limits import speed_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.carla.constants import Rules
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

ONCOMING_ALLOWED = frozenset({"parked_vehicle_two_way", "construction_narrowing"})
"""Families whose way may lead over the oncoming lane: there the direction is not tested, as in CARLA's
scenario types AccidentTwoWays, ConstructionObstacleTwoWays, ParkedObstacleTwoWays and the like."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A run in the terms of the leaderboard's results.

    `completion` in per cent; `events` counted and ending infractions as (sample, name) in order;
    `outside` per cent of the metres passed; `min_speed` (sample, per cent of the traffic's speed) of
    each checkpoint; `end` the sample at which the route ended; `junction` the per cent of the route at
    its first intersection, None without one. Series `(N,)` of the whole run: `progress` in per cent,
    `outside_lanes` 0 or 1.
    """

    completion: float
    completed: bool
    events: tuple[Event, ...]
    outside: float
    outside_metres: float
    min_speed: tuple[tuple[int, float], ...]
    end: int
    length: float
    junction: float | None
    progress: Floats
    outside_lanes: Floats

    def counts(self) -> dict[str, int]:
        """Number of each counted and ending infraction."""
        found = Counter(name for _, name in self.events)
        return {name: found.get(name, 0) for name in (*c.COUNTED, *c.ENDING)}

    @property
    def clean(self) -> bool:
        """Whether nothing but a slow checkpoint was written down."""
        return not self.events and not self.outside

    @property
    def successful(self) -> bool:
        """Bench2Drive's success: the route completed, and nothing but slow checkpoints written down."""
        return self.completed and self.clean


def observe(run: RunLog, rules: Rules) -> Record | None:
    """Follow a run by one version's rules; None for a run without samples or without anything to follow.

    The run ends for the score at the scenario's own goal, where the route was left, and after standing
    too long. Where the route ends at the expert's last place it goes on to its last sample.
    """
    course = Course.of(run)
    if course is None:
        return None
    ego = Ego.of(run)
    outside, driven, limit = _lanes(run, ego, rules)
    way = follow(course, run.times, ego.center, outside)
    timeout = route_timeout(course, way, limit, rules.first_rules)
    stood = blocked(run.times, ego.speed, rules.blocked_time)
    stops = {
        "route_dev": int(way.sample[way.deviated]) if way.deviated >= 0 else -1,
        "vehicle_blocked": stood,
        "route_timeout": int(way.sample[timeout]) if timeout >= 0 else -1,
        "": int(way.sample[way.completed]) if course.goal and way.completed >= 0 else -1,
    }
    reached = {name: sample for name, sample in stops.items() if sample >= 0}
    end = min(reached.values(), default=len(ego) - 1)
    closing = [(end, name) for name, sample in reached.items() if name and sample == end]
    if (end, "") in [(sample, name) for name, sample in reached.items()]:
        closing = []  # The goal was reached in time.

    last = int(np.searchsorted(way.sample, end, side="right")) - 1
    done = 0 <= way.completed <= last
    events = collisions(run, ego, rules.first_rules) + red_lights(run, ego, driven) + stop_signs(run, ego)
    if "scenario_timeouts" in rules.table and not done and run.times[end] - run.times[0] > c.SCENARIO_TIMEOUT:
        events.append((end, "scenario_timeouts"))
    if "yield_emergency_vehicle_infractions" in rules.table and blocks_emergency(run, ego, end):
        events.append((end, "yield_emergency_vehicle_infractions"))
    events = sorted([event for event in events if event[0] <= end] + closing)

    paced = (way.completed if done else last) + 1
    spots = minimum_speed(
        course,
        way.index[:paced],
        ego.speed[way.sample],
        traffic_speed(run)[way.sample],
        rules.checkpoints,
    )
    share = (
        100.0 * course.station[way.index] / course.length if course.last else np.full(len(way.index), 100.0)
    )
    at_sample = np.searchsorted(way.sample, np.arange(len(ego)), side="right") - 1
    total = way.total[last]
    return Record(
        100.0 if done else round(float(share[last]), c.PERCENT_DIGITS),
        done,
        tuple(events),
        float(100.0 * way.outside[last] / total) if total else 0.0,
        float(way.outside[last]),
        tuple((int(way.sample[t]), p) for t, p in spots if rules.at_any_speed or p < 100.0),
        end,
        course.length,
        _first_junction(run, course),
        share[at_sample],
        outside.astype(np.float64),
    )


def _lanes(run: RunLog, ego: Ego, rules: Rules) -> tuple[NDArray[np.bool_], list[tuple[int, ...]], Floats]:
    """Whether the ego was outside of its lanes, the lanes that it drove in, and their limit, per sample."""
    if run.roadmap is None:
        return np.zeros(len(ego), dtype=np.bool_), [() for _ in range(len(ego))], np.full(len(ego), np.nan)
    shapes = LaneShapes.of(run.roadmap)
    driven = drive_along(shapes, ego.center, ego.heading, run.route_lanes.tolist())
    outside = off_lanes(shapes, ego, rules.allowed_outside)
    if run.header["scenario"].get("family") not in ONCOMING_ALLOWED:
        outside |= wrong_way(shapes, ego, driven)
    return outside, driven.route, speed_limits(shapes, driven.route)


def _first_junction(run: RunLog, course: Course) -> float | None:
    """Per cent of the route at its first point in an intersection."""
    if run.roadmap is None or course.last == 0:
        return None
    shapes = LaneShapes.of(run.roadmap)
    points = course.points[: course.last + 1]
    inside = np.flatnonzero(shapes.in_intersection(points, shapes.lanes_at(points)))
    return float(100.0 * course.station[inside[0]] / course.length) if len(inside) else None
