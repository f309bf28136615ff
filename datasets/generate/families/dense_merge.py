"""Dense traffic where an on-ramp joins; the ego comes from the ramp, or meets those who do."""

from __future__ import annotations

from functools import partial

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

TAPER = 70.0
SHORTEST = 36.0
"""Metres of a lane change at the least, lest a slow car turns steeply across the road."""


def draw_road(rng: np.random.Generator, difficulty: float) -> tuple[Road, float, tuple[float, float]]:
    """A motorway with a ramp from the right, its limit and where the acceleration lane begins and ends."""
    limit = round(KMH * pick(rng, 70, 80, 100, 120), 3)
    count = 2 if rng.random() < 0.55 else 3
    width = round(float(rng.uniform(3.4, 3.75)), 2)
    length = road_length(limit) + 150.0
    curve = winding(rng, length, (max(300.0, limit**2 / 1.2), 3000.0), (100.0, 400.0), (50.0, 300.0), 0.5)
    lanes = carriageway(count, width, limit)
    begin = START + WARM_UP * 0.5 * limit + float(np.round(rng.uniform(60.0, 140.0)))
    end = begin + float(np.round(between(rng, difficulty, (250.0, 320.0), (150.0, 200.0))))
    beside = lanes[0].offset.values[0] - width
    apart = beside - float(rng.uniform(14.0, 26.0))
    turn = float(rng.uniform(150.0, 220.0))
    ramp = RoadLane(
        "r1", Profile((begin - 15.0 - turn, begin - 15.0), (apart, beside)), Profile.of(width), limit,
        end=end, left=Marking.DASHED, right=Marking.CURB, right_change=False,
    )  # fmt: skip
    shoulder = strip("fs", lanes[0], 2.4, LaneKind.SHOULDER)
    beyond = RoadLane(
        "fe", shoulder.offset, shoulder.width, limit, begin=end + TAPER, kind=LaneKind.SHOULDER,
        left=Marking.SOLID, right=Marking.CURB,
    )  # fmt: skip
    cuts = [c for c in regular_cuts(rng, length) if not begin - 30.0 < c < end + 30.0]
    return Road(curve, (*lanes, ramp, beyond), (begin, *cuts)), limit, (begin, end)


def taper(road: Road, end: float) -> np.ndarray:
    """The wedge of asphalt in which an acceleration lane ends."""
    ramp = road.lane("r1")
    s = np.linspace(end, end + TAPER, 24)
    inner = float(ramp.offset(np.array([end]))[0] + 0.5 * ramp.width(np.array([end]))[0])
    outer = Profile((end, end + TAPER), (inner - float(ramp.width(np.array([end]))[0]), inner - 0.05))
    near, far = lane_pose(road.curve, Profile.of(inner), s)[0], lane_pose(road.curve, outer, s)[0]
    return np.concatenate((near[:, :2], far[::-1, :2]))


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    road, limit, (begin, end) = draw_road(rng, difficulty)
    stage = Stage.of(road)
    count = sum(x.name[0] == "f" and x.kind == LaneKind.LANE for x in road.lanes)
    flow = float(rng.uniform(8.5, min(20.0, 0.85 * limit)))
    right, ramp = stage.lanes["f1"], stage.lanes["r1"]
    merge = Task(right, begin=begin + 8.0, by=end - max(25.0, 1.5 * flow), length=max(4.0 * flow, SHORTEST))
    headway = between(rng, difficulty, (1.8, 2.4), (1.1, 1.4))
    spread = (0.8 * headway, 1.4 * headway)
    polite = between(rng, difficulty, (0.6, 1.0), (0.25, 0.6))
    on_ramp = bool(rng.random() < 0.6)
    driver = draw_ego_driver(
        rng, factor=min(flow / limit * float(rng.uniform(0.98, 1.08)), 0.98), cooperate=0.6
    )
    if on_ramp:
        start = begin - float(rng.uniform(-40.0, 45.0)) - WARM_UP * flow
        ego = stage.traffic.add(
            Actor("ego", EGO_BODY, ramp, start, flow, driver, tasks=(merge,), wander=draw_wander(rng, 0.05))
        )
        free = [(start - 6.0 - 1.2 * flow, start + 9.0 + 1.3 * flow)]
        other, ahead = right, (-6.0, 6.0)
    else:
        start = begin + float(rng.uniform(-80.0, 10.0)) - WARM_UP * flow
        ego = stage.traffic.add(
            Actor("ego", EGO_BODY, right, start, flow, driver, wander=draw_wander(rng, 0.05))
        )
        free = [(start - 6.0 - 1.1 * flow, start + 9.0 + 1.3 * flow)]
        other, ahead = ramp, (1.0, 12.0)
    # Somebody right beside: no gap is where the ego is, one of the two has to make it.
    taken = []
    if rng.random() < 0.2 + 0.7 * difficulty:
        given = {"factor": flow / limit * 1.01, "cooperate": polite}
        taken = [beside(rng, stage.traffic, other, start, flow, ahead, "beside", **given)]
        if not on_ramp:
            stage.traffic.edit(len(stage.traffic.actors) - 1, tasks=(merge,))
    rarer = (1.5 * headway, 3.0 * headway)
    ramp_cars = fill_lane(
        rng, stage.traffic, ramp, (start - 4.5 * flow, start + 6.0 * flow), flow, rarer, "m",
        avoid=free if on_ramp else taken, tasks=(merge,), factor=flow / limit * 1.02,
    )  # fmt: skip
    around = (start - 45.0 - 2.0 * flow, start + 90.0 + 6.0 * flow)
    for n in range(1, count + 1):
        factor = flow / limit * float(rng.uniform(0.95, 1.03)) * (1.0 + 0.06 * (n - 1))
        fill_lane(
            rng, stage.traffic, stage.lanes[f"f{n}"], around, flow, spread, f"n{n}",
            avoid=() if n > 1 else taken if on_ramp else free, factor=factor, mobil=n > 1, cooperate=polite,
        )  # fmt: skip
    drive = stage.traffic.run(-WARM_UP, DURATION)
    if taken and not on_ramp:
        ramp_cars.append(next(i for i, a in enumerate(stage.traffic.actors) if a.name == "beside"))
    who = (
        [ego]
        if on_ramp
        else [i for i in ramp_cars if abs(drive.log[i, 75, 0] - drive.log[ego, 75, 0]) < 80.0]
    )
    latest = 10.3 if on_ramp else 12.0
    merged = [i for i in who if drive.moves[i] and 0.3 < drive.move_time[i, 0] < latest]
    if not merged:
        raise ScenarioError("nobody merges during the scenario")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])

    def wedge(atlas: Atlas) -> None:
        atlas.builder.add_area(taper(road, end), AreaKind.ROAD)

    place = road.curve.pose(np.array([0.5 * (begin + end)]))[0]
    return Draw(
        partial(stage.build_map, window, wedge),
        drive,
        ego,
        stage.lane_id("r1" if on_ramp else "f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        stage.visible(window),
        ("merge", "dense", "from_ramp" if on_ramp else "main_road"),
        commands=(((float(place[0]), float(place[1])), "lane_left"),) if on_ramp else (),
    )
