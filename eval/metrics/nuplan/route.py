"""Progress along the expert's route, and movement against the driving direction.

Source: nuplan-devkit `ego_progress_along_expert_route.py`, `ego_is_making_progress.py`,
`driving_direction_compliance.py`, `route_extractor.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.base import MetricResult
from drive.eval.metrics.nuplan import constants as c

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.lanes import Driven, LaneShapes, Route

    Floats = NDArray[np.float64]


def route_lanes(shapes: LaneShapes, route: Route) -> tuple[int, ...]:
    """One baseline lane per lane group of a driven route, in order; consecutive repeats of a group merged."""
    simple: list[tuple[int, ...]] = []
    for lanes in route:
        if lanes and not (simple and set(simple[-1]) & set(lanes)):
            simple.append(lanes)
    out: list[int] = []
    for lanes in simple:
        if not out or shapes.roadmap.group[lanes[0]] != shapes.roadmap.group[out[-1]]:
            out.append(lanes[0])
    return tuple(out)


@dataclass(frozen=True, slots=True, eq=False)
class Baselines:
    """The baselines `lanes` of a route and, for given points, `inside (K, N)` their group and `s (K, N)`."""

    shapes: LaneShapes
    lanes: tuple[int, ...]
    inside: NDArray[np.bool_]
    s: Floats

    @classmethod
    def of(cls, shapes: LaneShapes, lanes: tuple[int, ...], driven: Driven) -> Baselines:
        group = shapes.roadmap.group
        return cls(
            shapes,
            lanes,
            np.stack([shapes.in_group(int(group[lane]), driven.center, driven.lanes) for lane in lanes]),
            np.stack([shapes.locate(lane, driven.center) for lane in lanes]),
        )

    def _project(self, lane: int, of: int, last: bool) -> float:
        """Station on the k-th baseline `lane` of the last or first point of the k-th baseline `of`."""
        line = self.shapes.roadmap.centerline(self.lanes[of])
        return float(self.shapes.locate(self.lanes[lane], line[-1:] if last else line[:1])[0])

    def progress(self) -> Floats:
        """Progress in m of each sample since the one before `(N,)`, the first being 0.

        Inside the current group it is the growth of the station. Outside, the route's next groups are tried
        in order; a group that the car jumped over adds its own stretch. Off the route it is 0, and what was
        covered meanwhile is made good on return.
        """
        count, samples = self.inside.shape
        out = np.zeros(samples)
        at, station = 0, float(self.s[0, 0])
        for n in range(1, samples):
            if self.inside[at, n]:
                out[n], station = self.s[at, n] - station, float(self.s[at, n])
                continue
            nxt, skipped, previous = at + 1, 0.0, at
            while nxt < count:
                if self.inside[nxt, n]:
                    rest = float(self.shapes.roadmap.length[self.lanes[at]]) - station
                    station = float(self.s[nxt, n])
                    out[n] = rest + station - self._project(nxt, at, last=True) + skipped
                    at = nxt
                    break
                if nxt + 1 < count:
                    skipped += self._project(nxt, nxt + 1, last=False) - self._project(
                        nxt, previous, last=True
                    )
                previous, nxt = nxt, nxt + 1
        return out


def ego_progress_along_expert_route(shapes: LaneShapes, ego: Driven, expert: Driven) -> MetricResult:
    """min(1, max(ego, 2 m) / max(expert, 2 m)); 0 if the ego went back over 2 m, 1 without a route."""
    lanes = route_lanes(shapes, expert.route)
    if not lanes:
        return MetricResult(
            1.0,
            statistics={
                "expert_total_progress_along_route": 0.0,
                "ego_expert_progress_along_route_ratio": 1.0,
            },
            series={"progress": np.zeros(len(ego.center))},
        )
    steps = Baselines.of(shapes, lanes, ego).progress()
    reference = Baselines.of(shapes, lanes, expert).progress()
    mine, theirs = float(steps.sum()), float(reference.sum())
    ratio = progress_ratio(mine, theirs)
    return MetricResult(
        ratio,
        statistics={
            "expert_total_progress_along_route": theirs,
            "ego_total_progress_along_route": mine,
            "ego_expert_progress_along_route_ratio": ratio,
        },
        series={"progress": np.cumsum(steps)},
    )


def progress_ratio(ego: float, expert: float) -> float:
    """The score of the ego's metres against the expert's."""
    if ego < -c.PROGRESS_FLOOR:
        return 0.0
    return min(1.0, max(ego, c.PROGRESS_FLOOR) / max(expert, c.PROGRESS_FLOOR))


def ego_is_making_progress(progress: MetricResult) -> MetricResult:
    """1 where the progress ratio is at least 0.2, else 0."""
    if progress.score is None:
        return MetricResult.missing()
    made = progress.score >= c.MIN_PROGRESS_RATIO
    return MetricResult(float(made), statistics={"ego_is_making_progress": made})


def driving_direction_compliance(shapes: LaneShapes, ego: Driven, dt: float) -> MetricResult:
    """1, 0.5 or 0 by the worst movement against the lane's direction within one second (2 m, 6 m).

    The sum runs over the last int(1 s / dt) + 1 movements. The first two samples in another lane count no
    movement, nor does a foot on the lane's very start: both as in the devkit.
    """
    station = _stations(shapes, ego)
    moved = np.zeros(len(ego.center))
    lane = ego.route[0][0] if ego.route and ego.route[0] else None
    before: float | None = None
    for n, lanes in enumerate(ego.route):
        if not lanes:
            continue
        if lane is not None and lanes[0] == lane:
            here = float(station[n])
            if before is not None and here != 0.0:
                moved[n] = here - before
            before = here
        else:
            lane, before = lanes[0], None
    window = int(c.WRONG_WAY_HORIZON / dt + 1e-9)
    total = np.concatenate(([0.0], np.cumsum(moved)))
    at = np.arange(len(moved))
    over = total[at + 1] - total[np.maximum(at - window, 0)]
    worst = abs(float(over.min())) if len(over) else 0.0
    return MetricResult(
        direction_score(worst),
        statistics={
            "driving_direction_compliance_score": direction_score(worst),
            "min_progress_along_driving_direction_in_1_second_interval": -worst,
        },
        series={"progress_along_driving_direction": over},
    )


def direction_score(worst: float) -> float:
    """The score of `worst` metres driven against the direction within a second."""
    if worst < c.WRONG_WAY_TOLERATED:
        return 1.0
    return 0.5 if worst < c.WRONG_WAY_FORBIDDEN else 0.0


def _stations(shapes: LaneShapes, driven: Driven) -> Floats:
    """Station of each sample on its first lane `(N,)`, NaN in none."""
    first = np.asarray([lanes[0] if lanes else -1 for lanes in driven.route], dtype=np.intp)
    out = np.full(len(first), np.nan)
    for lane in np.unique(first[first >= 0]):
        mine = first == lane
        out[mine] = shapes.locate(int(lane), driven.center[mine])
    return out
