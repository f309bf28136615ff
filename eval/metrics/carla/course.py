"""The route as the CARLA criteria follow it: points a metre apart, passed one after the other.

Source: scenario_runner `RouteCompletionTest`, `InRouteTest`, `OutsideRouteLanesTest`. A point counts as
passed once the vehicle lies beyond it along the route's direction there; each criterion looks a few points
ahead at most, so that a short cut earns nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla import constants as c
from drive.eval.metrics.goal import goal_reached
from drive.geometry import arc_length, polyline_heading, project_to_polyline, remove_duplicates
from drive.vehicle import rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Points `(R, 2)` about 1 m apart from the ego's start, their headings and stations `(R,)`.

    The route to be completed ends at the point `last`; what follows is the way on. `goal`: that end is the
    scenario's own, where the run ends too; otherwise it is where the expert came to. A course without
    length (`last` 0) asks for nothing: the expert stood.
    """

    points: Floats
    heading: Floats
    station: Floats
    last: int
    goal: bool

    @property
    def length(self) -> float:
        """Metres to be completed."""
        return float(self.station[self.last])

    @classmethod
    def of(cls, run: RunLog) -> Course | None:
        """The course of a run along its route line, else along the expert's way; None without either."""
        if len(run.ego) == 0:
            return None
        forward = run.vehicle.rear_axle_to_center
        expert = rear_to_center(run.expert, forward) if len(run.expert) else np.zeros((0, 2))
        line = next((q for q in (_line(run.route_line), _line(expert)) if q is not None), None)
        if line is None:
            return None
        total = float(arc_length(line)[-1])

        def station(point: Floats) -> float:
            s, _, _ = project_to_polyline(point[None, :2], line)
            return float(np.clip(s[0], 0.0, total))

        start = station(rear_to_center(run.ego[:1], forward)[0])
        place = _goal_point(run)
        goal = -1.0 if place is None else station(place)
        if goal > start:
            return cls._spaced(line, start, goal, total, True)
        if len(expert):
            return cls._spaced(line, start, station(expert[-1]) - c.EXPERT_MARGIN, total, False)
        return cls._spaced(line, start, total, total, True)

    @classmethod
    def _spaced(cls, line: Floats, start: float, stop: float, total: float, goal: bool) -> Course:
        count = max(0, math.ceil((stop - start) / c.POINT_SPACING - 1e-9))
        stop = stop if count else start
        own = np.linspace(start, stop, count + 1)
        beyond = np.arange(stop + c.POINT_SPACING, total, c.POINT_SPACING)
        s = np.concatenate((own, beyond)) if len(own) + len(beyond) > 1 else np.array([start, total])
        along = arc_length(line)
        points = np.stack([np.interp(s, along, line[:, i]) for i in range(2)], axis=1)
        heading = polyline_heading(points) if s[-1] > s[0] else np.zeros(len(s))
        return cls(points, heading, s - start, count, goal)


def _line(points: Floats) -> Floats | None:
    """Points `(P, 2)` without repeats; None where they have no length."""
    q = np.asarray(points, dtype=np.float64)[:, :2]
    if len(q) < 2 or not np.isfinite(q).all():
        return None
    q = remove_duplicates(q, 1e-3)
    return q if len(q) > 1 and arc_length(q)[-1] > 0.1 else None


def _goal_point(run: RunLog) -> Floats | None:
    """The middle of a goal that lies within the scenario, or None (see `goal_reached`)."""
    goal = run.header["scenario"].get("goal") or {}
    if goal_reached(run) is None:
        return None
    for key in ("position", "polygon"):
        if goal.get(key) is not None and len(goal[key]):
            place = np.atleast_2d(np.asarray(goal[key], dtype=np.float64))[:, :2]
            return np.asarray(place.mean(axis=0))
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """How a drive went along a course, per tick of 0.05 s.

    `times (T,)`, `sample (T,)` of the log; `index (T,)` of the last point passed; `completed` and
    `deviated` the ticks at which the route was done and left, -1 for never; `total`, `outside` the metres
    passed, and those passed while the vehicle was outside of its lanes, per tick `(T,)`.
    """

    times: Floats
    sample: Ints
    index: Ints
    completed: int
    deviated: int
    total: Floats
    outside: Floats


def ticks(times: Floats, step: float = c.TICK) -> tuple[Floats, Ints]:
    """Ticks of a simulator from the first to the last of `times (N,)`, and each one's sample.

    The leaderboard's step is 0.05 s: its windows of a few points, and its tests for a line that is crossed,
    are made for that.
    """
    count = round((times[-1] - times[0]) / step)
    fine = np.linspace(times[0], times[-1], count + 1) if count else times[:1]
    sample = np.searchsorted(times, fine + 1e-6, side="right") - 1
    return fine, np.clip(sample, 0, len(times) - 1)


def follow(course: Course, times: Floats, centers: Floats, outside: NDArray[np.bool_]) -> Passage:
    """Follow a course with box centres `(N, 2)` at `times (N,)`; `outside (N,)`: not in the route's lanes.

    Between two samples the centre moves on a straight line.
    """
    fine, sample = ticks(times)
    x, y = (np.interp(fine, times, centers[:, i]) for i in range(2))
    px, py = course.points[:, 0].tolist(), course.points[:, 1].tolist()
    ux, uy = np.cos(course.heading).tolist(), np.sin(course.heading).tolist()
    station, last, count = course.station.tolist(), course.last, len(px)
    length = course.length

    index, total, wrong = (np.zeros(len(fine)) for _ in range(3))
    at = near = lane = 0
    driven = bad = unsafe = 0.0
    safe, completed, deviated = True, 0 if last == 0 else -1, -1

    def passed(vx: float, vy: float, k: int) -> bool:
        return bool((vx - px[k]) * ux[k] + (vy - py[k]) * uy[k] > 0.0)

    for t, (vx, vy) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        for k in range(at, min(at + c.COMPLETION_WINDOW + 1, last + 1)):
            if passed(vx, vy, k):
                at = k
        share = round(100.0 * station[at] / length, c.PERCENT_DIGITS) if last else 100.0
        close = math.hypot(vx - px[last], vy - py[last]) < c.TARGET_RADIUS
        if completed < 0 and share > c.COMPLETED_SHARE and close:
            completed = t
        # Beyond the route's end as well: where that is not the run's end, driving on has its rules still.
        for k in range(lane + 1, min(lane + c.OUTSIDE_WINDOW + 1, count)):
            if passed(vx, vy, k):
                step = station[k] - station[lane]
                driven, bad, lane = driven + step, bad + step * bool(outside[sample[t]]), k
        gap = [
            math.hypot(vx - px[k], vy - py[k]) for k in range(near, min(near + c.DEVIATION_WINDOW + 1, count))
        ]
        nearest = min(gap)
        ahead = max(i for i, g in enumerate(gap) if g == nearest)
        off = nearest >= c.MAX_DEVIATION
        safe = safe if off else nearest < c.SAFE_DEVIATION
        if ahead:
            if not safe:
                unsafe += station[near + ahead] - station[near]
                off = off or 100.0 * unsafe > c.MAX_UNSAFE_SHARE * max(length, c.POINT_SPACING)
            near += ahead
        if off and deviated < 0:
            deviated = t
        index[t], total[t], wrong[t] = at, driven, bad
    return Passage(fine, sample, index.astype(np.intp), completed, deviated, total, wrong)
