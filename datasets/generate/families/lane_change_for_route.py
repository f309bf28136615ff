"""The ego's route leaves by another lane: an exit, a fork, or since its own lane ends ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.drivers import EGO_BODY, draw_ego_driver, draw_wander
from drive.datasets.generate.families.stage import (
    KMH,
    START,
    WARM_UP,
    Stage,
    beside,
    between,
    pick,
    regular_cuts,
    road_length,
)
from drive.datasets.generate.roads import (
    Atlas,
    Profile,
    Road,
    RoadLane,
    carriageway,
    lane_pose,
    strip,
    winding,
)
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.traffic import Actor, Task, fill_lane
from drive.errors import ScenarioError
from drive.roadmap import AreaKind, LaneKind, Marking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.generate.curves import Curve

EXIT, FORK, LANE_ENDS = "exit", "fork", "lane_ends"
WEDGE = 50.0
"""Metres of asphalt over which an exit lane opens, or a lane that has ended is closed."""
SHORTEST = 36.0
"""Metres of a lane change at the least, lest a slow car turns steeply across the road."""
LATERAL = 1.4
"""m/s^2 in the bend of a lane that leaves, at the speed it is built for."""


@dataclass(frozen=True)
class Way:
    """A road and what it asks: to come from lane `start` to lane `goal` by `changes`, in order.

    A change is a lane, the station from which on it can be made and the one by which it must be.
    Behind station `gore` the goal is out of reach. `wedge` is a ring `(N, 2)` of asphalt without a lane.
    """

    kind: str
    road: Road
    start: str
    changes: tuple[tuple[str, float, float], ...]
    gore: float
    wedge: NDArray[np.float64] | None = None

    @property
    def goal(self) -> str:
        return self.changes[-1][0]


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 50, 60, 70, 80, 100, 100, 120), 3)
    driver = draw_ego_driver(rng)
    slower = 0.6 if limit > 22.0 else 0.75
    flow = driver.factor * limit * between(rng, difficulty, (0.9, 1.0), (slower, slower + 0.15))
    way = draw_way(rng, difficulty, limit, flow)
    stage = Stage.of(way.road)
    hurry = float(rng.uniform(0.3, 1.5))
    length = max(4.2 * flow, SHORTEST)
    tasks = tuple(
        Task(stage.lanes[name], begin=a, by=b, after=hurry, length=length) for name, a, b in way.changes
    )
    ego = stage.traffic.add(
        Actor(
            "ego", EGO_BODY, stage.lanes[way.start], START, flow, driver, tasks=tasks,
            wander=draw_wander(rng, 0.05),
        )
    )  # fmt: skip
    _add_others(rng, difficulty, stage, way, flow, limit)
    drive = stage.traffic.run(-WARM_UP, DURATION)
    count = len(way.changes)
    if drive.moves[ego] < count or drive.move_time[ego, 0] < 0.2:
        raise ScenarioError("the ego does not change lanes for its route within the scene")
    if drive.log[ego, -1, 0] < way.gore + 25.0:
        raise ScenarioError("the ego does not come to where its route leaves")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])

    def asphalt(atlas: Atlas) -> None:
        if way.wedge is not None:
            atlas.builder.add_area(way.wedge, AreaKind.ROAD)

    before = np.array([0.5 * (s0 + way.gore)])
    place = way.road.curve.pose(before)[0]
    left = way.road.lane(way.goal).offset(before)[0] > way.road.lane(way.start).offset(before)[0]
    return Draw(
        partial(stage.build_map, window, asphalt),
        drive,
        ego,
        stage.lane_id(way.start, window, s0),
        stage.lane_id(way.goal, window, window[1]),
        stage.visible(window),
        (way.kind, "two_changes" if count == 2 else "one_change"),
        commands=(((float(place[0]), float(place[1])), "lane_left" if left else "lane_right"),),
    )


def draw_way(rng: np.random.Generator, difficulty: float, limit: float, flow: float) -> Way:
    kind = (EXIT, EXIT, FORK, FORK, LANE_ENDS, LANE_ENDS)[int(rng.integers(6))]
    count = 2 if kind != EXIT or rng.random() < 0.6 else 3
    twice = kind != LANE_ENDS and rng.random() < 0.15 + 0.5 * difficulty
    easy, hard = ((8.5, 9.5), (7.0, 8.0)) if twice else ((7.0, 8.5), (4.8, 6.0))
    if kind == LANE_ENDS:
        # Nothing is missed where the lane ends, and to brake for it at once would be rash.
        easy, hard = (9.0, 10.5), (7.0, 8.5)
    gore = float(np.round(START + flow * (WARM_UP + between(rng, difficulty, easy, hard))))
    on_left = kind != EXIT and rng.random() < 0.5

    width = round(float(rng.uniform(3.0, 3.3) if limit < 20.0 else rng.uniform(3.4, 3.75)), 2)
    length = road_length(limit) + 150.0
    curve = winding(rng, length, (max(300.0, limit**2 / 1.2), 3000.0), (100.0, 400.0), (50.0, 300.0), 0.5)
    lanes = carriageway(count, width, limit)
    outer = len(lanes) - 1 if on_left else 0
    beside = lanes[outer].offset.values[0] + (width if on_left else -width)
    begin, end = -np.inf, np.inf
    offset = Profile.of(beside)
    cuts = [gore]
    wedge = None
    if kind == LANE_ENDS:
        end = gore
        wedge = _wedge(curve, beside, width, gore, gore + WEDGE)
    else:
        apart = float(rng.uniform(14.0, 22.0))
        built_for = float(rng.uniform(0.75, 0.9)) * limit
        # The sharpest curvature of a quintic step of `apart` over x metres is 5.77 apart / x^2.
        turn = built_for * np.sqrt(5.77 * apart / LATERAL)
        offset = Profile((gore, gore + turn), (beside, beside + (apart if on_left else -apart)))
    if kind == EXIT:
        begin = gore - float(np.round(between(rng, difficulty, (5.5, 6.5), (4.0, 4.8)) * flow))
        wedge = _wedge(curve, beside, width, begin, begin - WEDGE)
        cuts.append(begin)
    dashed = Marking.DASHED
    lanes[outer] = replace(lanes[outer], left=dashed) if on_left else replace(lanes[outer], right=dashed)
    left, right = (Marking.SOLID, dashed) if on_left else (dashed, Marking.CURB)
    # A lane on its own is wider.
    wide = Profile.of(width)
    if kind != LANE_ENDS:
        wide = Profile((gore + 10.0, gore + 70.0), (width, max(width, 4.3)))
    leaving = RoadLane("x1", offset, wide, limit, begin=begin, end=end, left=left, right=right)
    if not on_left and kind == EXIT and limit > 16.0:
        before = strip("fs", lanes[0], 2.2, LaneKind.SHOULDER)
        lanes.append(replace(before, end=begin - WEDGE))
    if not on_left and kind == LANE_ENDS and limit > 16.0:
        after = strip("fs", lanes[0], 2.2, LaneKind.SHOULDER)
        lanes.append(replace(after, begin=gore + WEDGE))
    # Cut far from where lanes begin and end, or a change of lanes would have no room in its section.
    low = min(begin, gore - 9.0 * flow) - 40.0
    cuts += [c for c in regular_cuts(rng, length) if not low < c < gore + 60.0]
    road = Road(curve, (*lanes, leaving), tuple(cuts))

    inner = f"f{outer + 1}"
    last = gore - max(20.0, 1.0 * flow)
    if kind == LANE_ENDS:
        return Way(kind, road, "x1", ((inner, -np.inf, gore - 5.0),), gore, wedge)
    change = ("x1", begin + 6.0, last)
    if not twice:
        return Way(kind, road, inner, (change,), gore, wedge)
    second = f"f{outer}" if on_left else "f2"
    first = (inner, -np.inf, min(last, max(begin + 20.0, gore - 4.0 * flow)))
    return Way(kind, road, second, (first, change), gore, wedge)


def _wedge(curve: Curve, beside: float, width: float, wide: float, tip: float) -> NDArray[np.float64]:
    """Asphalt of a lane at offset `beside`: as wide as the lane at station `wide`, gone at station `tip`."""
    s = np.linspace(wide, tip, 24)
    inward = 0.5 * width if beside < 0.0 else -0.5 * width
    inner = Profile.of(beside + inward)
    low, high = (wide, tip) if wide < tip else (tip, wide)
    far, near = beside - inward, beside + inward
    outer = Profile((low, high), (far, near) if wide < tip else (near, far))
    a, b = lane_pose(curve, inner, s)[0], lane_pose(curve, outer, s)[0]
    return np.concatenate((a[:, :2], b[::-1, :2]))


def _add_others(
    rng: np.random.Generator, difficulty: float, stage: Stage, way: Way, flow: float, limit: float
) -> None:
    """Traffic on all lanes, some of which has to change lanes as the ego does."""
    headway = between(rng, difficulty, (2.6, 4.0), (1.2, 1.6))
    spread = (0.75 * headway, 1.4 * headway)
    polite = between(rng, difficulty, (0.6, 1.0), (0.3, 0.6))
    around = (START - 4.5 * flow, START + 9.0 * flow)
    mine = (START - 6.0 - 1.2 * flow, START + 9.0 + 1.5 * flow)
    taken: dict[str, tuple[float, float]] = {way.start: mine}
    name = way.changes[0][0]
    if way.road.lane(name).begin < START and rng.random() < 0.1 + 0.8 * difficulty:
        given = {"factor": 1.01 * flow / limit, "cooperate": polite}
        ahead = (-7.0, 7.0)
        taken[name] = beside(rng, stage.traffic, stage.lanes[name], START, flow, ahead, "beside", **given)
    # Most have left the lane that ends before.
    thin = 2.0 if way.kind == LANE_ENDS else 1.0
    share = 1.0 if way.kind == LANE_ENDS else 0.25
    lanes = [x for x in way.road.lanes if x.kind == LaneKind.LANE and x.begin < START]
    for n, lane in enumerate(sorted(lanes, key=lambda x: float(x.offset(np.array([START]))[0]))):
        level = flow * (float(rng.uniform(0.97, 1.03)) + 0.03 * n)
        gaps = (thin * spread[0], thin * spread[1]) if lane.name == "x1" else spread
        made = fill_lane(
            rng, stage.traffic, stage.lanes[lane.name], around, level, gaps, f"{lane.name}c",
            avoid=(taken[lane.name],) if lane.name in taken else (), factor=1.03 * level / limit,
            cooperate=polite,
        )  # fmt: skip
        name, begin, by = way.changes[-1]
        feeds = "x1" if way.kind == LANE_ENDS else way.changes[0][0] if len(way.changes) == 2 else way.start
        for i in made:
            if lane.name == feeds and rng.random() < share:
                stage.traffic.edit(i, tasks=(Task(stage.lanes[name], begin=begin, by=by),))
