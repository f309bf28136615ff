"""Road works close the ego's lane, or narrow it: merge before them, or keep to the room that is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    draw_body,
    draw_ego_driver,
    draw_wander,
)
from drive.datasets.generate.families.stage import (
    KMH,
    START,
    WARM_UP,
    Stage,
    between,
    oncoming_stations,
    pick,
    regular_cuts,
    road_length,
)
from drive.datasets.generate.roads import Profile, Road, RoadLane, carriageway, strip, winding
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.traffic import Actor, Slow, Task, fill_lane
from drive.datasets.generate.works import add_works
from drive.errors import ScenarioError
from drive.roadmap import LaneKind, Marking

if TYPE_CHECKING:
    from drive.datasets.generate.curves import Curve

FRONT = EGO_BODY.rear + 0.5 * EGO_BODY.length


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    return _closed(rng, difficulty) if rng.random() < 0.55 else _narrowed(rng, difficulty)


def _closed(rng: np.random.Generator, difficulty: float) -> Draw:
    """The right or the left one of two or three lanes is closed; the ego leaves it, or lets others in."""
    limit = round(KMH * pick(rng, 50, 60, 70, 80, 100), 3)
    count = 2 if rng.random() < 0.6 else 3
    width = round(float(rng.uniform(3.25, 3.7)), 2)
    length = road_length(limit) + 150.0
    curve = winding(rng, length, (max(250.0, limit**2 / 1.2), 2500.0), (80.0, 300.0), (80.0, 300.0), 0.5)
    closed, target = (1, 2) if rng.random() < 0.7 else (count, count - 1)
    known = bool(rng.random() < 0.5)
    flow = between(rng, difficulty, (9.0, 14.0), (7.0, 12.0))
    flow = min(flow, 0.85 * limit)
    # From `begin` on everybody wants to leave the lane, by `end` they must have; then the taper begins.
    begin = START + flow * (WARM_UP + float(rng.uniform(0.3, 1.5))) + FRONT
    end = begin + flow * between(rng, difficulty, (6.5, 8.0), (4.0, 5.0))
    taper = (end + 3.0, end + 3.0 + max(24.0, 2.6 * flow))
    works = taper[1] + float(rng.uniform(50.0, 110.0))

    lanes = carriageway(count, width, limit)
    if known:
        lanes[closed - 1] = replace(lanes[closed - 1], end=taper[1])
    sides = [
        strip("fs", lanes[0], 1.5, LaneKind.SHOULDER),
        RoadLane(
            "fm", Profile.of(0.4), Profile.of(0.8), limit, kind=LaneKind.SHOULDER,
            left=Marking.CURB, right=Marking.SOLID,
        ),
    ]  # fmt: skip
    if known:
        sides[0 if closed == 1 else 1] = replace(sides[0 if closed == 1 else 1], end=taper[1])
    cuts = [c for c in regular_cuts(rng, length) if abs(c - taper[1]) > 40.0]
    stage = Stage.of(Road(curve, (*lanes, *sides), tuple(cuts)))
    place = lanes[closed - 1].offset.values[0]
    toward = 1.0 if target > closed else -1.0
    faces = (place - toward * 0.5 * width, place + toward * (0.5 * width - 0.15))
    add_works(rng, stage.traffic, stage.forward, faces, taper, works)

    own, beside = stage.lanes[f"f{closed}"], stage.lanes[f"f{target}"]
    merge = Task(beside, begin=begin, by=end, length=max(30.0, 3.8 * flow))
    inside = bool(rng.random() < 0.75)
    mine = own if inside else beside
    driver = draw_ego_driver(
        rng, factor=min(flow / limit * float(rng.uniform(1.0, 1.06)), 0.98), cooperate=0.7
    )
    wander = draw_wander(rng, 0.05)
    tasks = (merge,) if inside else ()
    ego = stage.traffic.add(Actor("ego", EGO_BODY, mine, START, flow, driver, tasks=tasks, wander=wander))
    room = [(START - 6.0 - 1.2 * flow, START + 9.0 + 1.3 * flow)]
    around = (START - 40.0 - 2.5 * flow, START + 60.0 + 5.0 * flow)
    dense = (
        between(rng, difficulty, (1.7, 2.2), (1.1, 1.3)),
        between(rng, difficulty, (3.5, 4.5), (2.0, 2.6)),
    )
    factor = flow / limit
    leaving = fill_lane(
        rng, stage.traffic, own, (around[0], min(around[1], begin - 10.0)), flow, (1.5, 4.0), "m",
        avoid=room if inside else (), tasks=(merge,), factor=factor * 1.02, body=_light,
    )  # fmt: skip
    for n in range(1, count + 1):
        if n != closed:
            share = factor * (1.0 + 0.05 * (n - 1)) * float(rng.uniform(0.96, 1.03))
            fill_lane(
                rng, stage.traffic, stage.lanes[f"f{n}"], around, flow, dense if n == target else (1.5, 3.5),
                f"n{n}", avoid=room if n == target and not inside else (), factor=share,
            )  # fmt: skip
    drive = stage.traffic.run(-WARM_UP, DURATION)
    who = [ego] if inside else [i for i in leaving if abs(drive.log[i, 60, 0] - drive.log[ego, 60, 0]) < 60.0]
    if not any(drive.moves[i] and 0.2 < drive.move_time[i, 0] < 10.5 for i in who):
        raise ScenarioError("nobody leaves the closed lane during the scenario")
    goal_offset = lanes[target - 1].offset.values[0]
    beside_goal = abs(float(drive.offset(ego, drive.log[ego, -1:, 0])[0]) - goal_offset)
    if drive.log[ego, -1, 0] < end - 5.0 or beside_goal > 0.3 * width:
        raise ScenarioError("the ego does not come to the works")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    spot = curve.pose(np.array([0.5 * (begin + end)]))[0]
    start = f"f{closed if inside else target}"
    goal = f"f{target}" if known or not inside else start
    word = "lane_left" if toward > 0.0 else "lane_right"
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(start, window, s0),
        stage.lane_id(goal, window, window[1]),
        stage.visible(window),
        ("works", "closed", "mapped" if known else "unmapped", "leaves" if inside else "lets_in"),
        commands=(((float(spot[0]), float(spot[1])), word),) if inside and known else (),
    )


def _light(rng: np.random.Generator) -> Body:
    return draw_body(rng, heavy=0.03)


@dataclass(frozen=True, slots=True)
class Squeeze:
    """Works that take `taken` m of the right lane of a road with two ways, between the stations of `span`."""

    span: tuple[float, float]
    taper: tuple[float, float]
    taken: float
    limit: float


def _narrowed(rng: np.random.Generator, difficulty: float) -> Draw:
    """Works at the edge of a road with one lane each way; the map has the shifted lanes, or knows nothing."""
    limit = round(KMH * pick(rng, 50, 50, 60, 70, 80), 3)
    width = round(float(rng.uniform(3.4, 3.75)), 2)
    length = road_length(limit)
    curve = winding(rng, length, (max(200.0, limit**2 / 1.2), 1500.0), (60.0, 200.0), (60.0, 250.0), 0.5)
    known = bool(rng.random() < 0.5)
    slow = round(KMH * (30 if limit < 15.0 else 50), 3)
    driver = draw_ego_driver(rng)
    speed = 0.9 * driver.factor * slow if rng.random() < 0.4 else 0.9 * driver.factor * limit
    most = 2.0 * (width - 2.75) if known else width - 0.45 - 0.08 - 0.45 - 0.5 * EGO_BODY.width - 0.3
    taken = between(rng, difficulty, (0.5, 0.75), (0.8, 1.0)) * most
    way = 0.5 * (speed**2 - slow**2) / (0.7 * driver.brake) if speed > slow else 0.0
    at = START + FRONT + WARM_UP * speed + float(rng.uniform(1.2, 2.4)) * speed + way + 12.0
    taper = (at, at + float(rng.uniform(18.0, 30.0)))
    squeeze = Squeeze((at, taper[1] + float(rng.uniform(30.0, 80.0))), taper, taken, slow)
    road = _squeezed_road(rng, curve, width, limit, squeeze if known else None)
    stage = Stage.of(road)
    face = 0.35
    add_works(
        rng, stage.traffic, stage.forward, (-width - 0.9, -width + taken - (face if known else 0.0)), taper,
        squeeze.span[1], cones=6, barriers=6, lorry=False,
    )  # fmt: skip

    own = stage.lanes["f1"]
    slows = (Slow(at - 12.0, squeeze.span[1], min(0.97 * driver.factor * slow, slow)),)
    tasks = () if known else _round(rng, squeeze, width, own, EGO_BODY, difficulty)
    wander = draw_wander(rng, 0.03)
    ego = stage.traffic.add(
        Actor("ego", EGO_BODY, own, START, speed, driver, wander=wander, tasks=tasks, slows=slows)
    )
    ahead = (START + 20.0 + 1.5 * speed, min(START + 20.0 + 6.0 * speed, at - 60.0))
    behind = (START - 14.0 - 4.5 * speed, START - 6.0 - 1.2 * speed)
    for span, name in ((ahead, "a"), (behind, "r")):
        for i in fill_lane(rng, stage.traffic, own, span, speed, (1.8, 4.5), name, body=_light):
            actor = stage.traffic.actors[i]
            mine = () if known else _round(rng, squeeze, width, own, actor.body, difficulty)
            stage.traffic.edit(i, slows=slows, tasks=mine, wander=(0.04, 200.0, 0.0), bias=0.0)
    gaps = (
        between(rng, difficulty, (4.0, 5.0), (1.6, 2.0)),
        between(rng, difficulty, (9.0, 12.0), (3.5, 5.0)),
    )
    there = (curve.length - squeeze.span[1] - 20.0, curve.length - at + 15.0)
    meet = 0.8 * limit
    far = oncoming_stations(stage, speed, meet)
    for i in fill_lane(rng, stage.traffic, stage.lanes["b1"], far, meet, gaps, "o", body=_light):
        bias = 0.0 if known else -0.25
        pace = stage.traffic.actors[i].driver.factor * (slow if known else meet)
        stage.traffic.edit(i, bias=bias, wander=(0.04, 200.0, 0.0), slows=(Slow(*there, pace),))
    drive = stage.traffic.run(-WARM_UP, DURATION)
    if drive.log[ego, 0, 0] > at - FRONT - 5.0 or drive.log[ego, -1, 0] < taper[1]:
        raise ScenarioError("the ego does not come to the works")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id("f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        stage.visible(window),
        ("works", "narrowed", "mapped" if known else "unmapped"),
    )


def _squeezed_road(
    rng: np.random.Generator, curve: Curve, width: float, limit: float, squeeze: Squeeze | None
) -> Road:
    """One lane each way with shoulders; with `squeeze`, both are narrower and shifted beside the works."""
    forward = carriageway(1, width, limit, oncoming=True)
    backward = carriageway(1, width, limit, forward=False, oncoming=True)
    shoulders = [
        strip("fs", forward[0], 0.9, LaneKind.SHOULDER),
        strip("bs", backward[0], 0.9, LaneKind.SHOULDER),
    ]
    cuts = regular_cuts(rng, curve.length)
    if squeeze is None:
        return Road(curve, (*forward, *backward, *shoulders), tuple(cuts))
    (a, b), c = squeeze.taper, squeeze.span[1]
    narrow = width - 0.5 * squeeze.taken
    left = width - 0.5 * narrow

    def bent(lane: RoadLane, offset: float) -> RoadLane:
        usual = lane.offset.values[0]
        knots = (a - 12.0, b - 2.0, c + 6.0, c + 36.0)
        return replace(
            lane,
            offset=Profile(knots, (usual, offset, offset, usual)),
            width=Profile(knots, (width, narrow, narrow, width)),
            zone=(a - 12.0, c + 6.0, squeeze.limit),
        )

    lanes = (bent(forward[0], left - narrow), bent(backward[0], left))
    cuts = [x for x in cuts if min(abs(x - a + 12.0), abs(x - c - 6.0)) > 20.0]
    edge = replace(shoulders[0], end=a - 12.0)
    return Road(curve, (*lanes, edge, shoulders[1]), tuple(sorted((*cuts, a - 12.0, c + 6.0))))


def _round(
    rng: np.random.Generator, squeeze: Squeeze, width: float, own: int, body: Body, difficulty: float
) -> tuple[Task, ...]:
    """Tasks of who drives round works that the map does not know."""
    clearance = between(rng, difficulty, (0.6, 0.75), (0.4, 0.5))
    shift = -0.5 * width + squeeze.taken + 0.08 + clearance + 0.5 * body.width
    if shift <= 0.05:
        return ()
    size = max(20.0, 2.6 * squeeze.limit)
    front = body.rear + 0.5 * body.length
    begin = squeeze.taper[1] - size - front - 2.0
    return (
        Task(own, 0.08, begin=begin - 40.0, length=40.0),
        Task(own, shift, begin=begin, length=size),
        Task(own, 0.0, begin=squeeze.span[1] + 4.0, length=1.2 * size),
    )
