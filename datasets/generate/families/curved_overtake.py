"""Three lanes through tight S-bends, a slow leader, and somebody faster who comes up in the lane to go to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from drive.datasets.generate.crossings import refuse_panic
from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    draw_body,
    draw_driver,
    draw_ego_driver,
    draw_wander,
)
from drive.datasets.generate.families.stage import START, Stage, between, regular_cuts, road_length
from drive.datasets.generate.roads import Road, carriageway, strip, winding
from drive.datasets.generate.scene import Draw
from drive.datasets.generate.traffic import Actor, Order, Task
from drive.errors import ScenarioError
from drive.roadmap import LaneKind

LENGTH = 20.0
"""Seconds of a scene."""
WARM_UP = 2.0
LIMIT, SLOW, COUNT = 13.9, 8.0, 3
"""m/s on the road and of the leader; lanes."""
RADIUS = (80.0, 300.0)


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    """As the other families; the lane beside is free but for who comes up in it."""
    return draw_overtake(rng, difficulty, False)


def draw_overtake(rng: np.random.Generator, difficulty: float, blocked: bool) -> Draw:
    """The scene, with a target lane into which one gets, or one full of cars as slow as the leader."""
    stage = _stage(rng)
    own, beside, third = (stage.lanes[f"f{n}"] for n in (1, 2, 3))
    driver = draw_ego_driver(
        rng, lateral=float(rng.uniform(2.1, 2.5)), change_time=float(rng.uniform(3.4, 4.4))
    )
    speed = 0.8 * LIMIT
    pull_out = Task(beside, after=float(rng.uniform(0.5, 1.5)))
    ego = stage.traffic.add(
        Actor(
            "ego", EGO_BODY, own, START, speed, driver, tasks=() if blocked else (pull_out,),
            wander=draw_wander(rng, 0.04), orders=(Order(-WARM_UP, float(rng.uniform(0.2, 0.5)), speed),),
        )
    )  # fmt: skip
    body = draw_body(rng, heavy=0.0, vans=0.3)
    room = between(rng, difficulty, (30.0, 40.0), (18.0, 25.0)) + WARM_UP * (speed - SLOW)
    slow = _add(rng, stage, "slow", own, START + room + EGO_BODY.length, SLOW, body)
    if blocked:
        _block(rng, difficulty, stage, beside, slow)
        _column(rng, stage, third, between(rng, difficulty, (35.0, 60.0), (22.0, 35.0)), 0.95 * LIMIT)
    else:
        # Who comes up is beside or just behind the ego when it would pull out; the next one is far behind.
        fast = LIMIT * between(rng, difficulty, (0.9, 0.95), (0.93, 1.0))
        behind = WARM_UP * (fast - speed) + between(rng, difficulty, (25.0, 45.0), (8.0, 28.0))
        _add(rng, stage, "fast", beside, START - behind, fast)
        _add(rng, stage, "next", beside, START - behind - float(rng.uniform(5.0, 8.0)) * fast, fast)
        _add(rng, stage, "far", own, START + room + float(rng.uniform(70.0, 120.0)), 0.9 * LIMIT)
        _column(rng, stage, third, float(rng.uniform(40.0, 90.0)), 0.95 * LIMIT)
    drive = stage.traffic.run(-WARM_UP, LENGTH)
    refuse_panic(drive)
    if not blocked:
        if drive.moves[ego] == 0 or not 0.2 <= drive.move_time[ego, 0] <= 10.0:
            raise ScenarioError("the ego finds no gap to overtake in")
        if drive.log[ego, -1, 0] - drive.log[slow, -1, 0] < body.length + EGO_BODY.length + 5.0:
            raise ScenarioError("the ego is not past the slow vehicle by the end")
    window = stage.window(drive, ego, LIMIT)
    s0 = float(drive.log[ego, 0, 0])
    curvature = stage.road.curve.curvature_at(np.arange(s0, float(drive.log[ego, -1, 0])))
    if np.abs(curvature).max() < 1.0 / (0.8 * RADIUS[1]):
        raise ScenarioError("the road hardly bends where the ego drives")
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id("f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        stage.visible(window),
        ("overtake", "bends", "blocked" if blocked else "free"),
    )


def _stage(rng: np.random.Generator) -> Stage:
    length = road_length(LIMIT) + 200.0
    curve = winding(rng, length, RADIUS, (50.0, 130.0), (5.0, 40.0), 0.9)
    lanes = carriageway(COUNT, round(float(rng.uniform(3.4, 3.7)), 2), LIMIT)
    lanes.append(strip("fs", lanes[0], 1.5, LaneKind.SHOULDER))
    return Stage.of(Road(curve, tuple(lanes), tuple(regular_cuts(rng, length))))


def _add(
    rng: np.random.Generator,
    stage: Stage,
    name: str,
    lane: int,
    place: float,
    speed: float,
    body: Body | None = None,
    headway: float = 1.2,
) -> int:
    """A car with its rear end at the station `place`, which wants to keep its speed."""
    body = body or draw_body(rng, heavy=0.0, vans=0.1)
    driver = draw_driver(
        rng, factor=speed / LIMIT, lateral=2.6, headway=float(rng.uniform(1.0, 1.4)), gap=2.5
    )
    rear = place + 0.5 * body.length - body.rear
    return stage.traffic.add(Actor(name, body, lane, rear, speed, driver, wander=draw_wander(rng, 0.06)))


def _block(rng: np.random.Generator, difficulty: float, stage: Stage, lane: int, slow: int) -> None:
    """A queue beside the ego and the leader, too close for anybody to get into it; its first car is slow."""
    place = stage.traffic.actors[slow].station + float(rng.uniform(42.0, 50.0))
    for k in range(12):
        body = draw_body(rng, heavy=0.0, vans=0.1)
        headway = between(rng, difficulty, (0.7, 0.8), (0.5, 0.6))
        place -= body.length + 2.5 + headway * SLOW
        who = _add(rng, stage, f"queue{k}", lane, place, SLOW, body, headway)
        if k:
            # Held up by the first one, they keep close.
            stage.traffic.edit(who, driver=replace(stage.traffic.actors[who].driver, factor=0.95))


def _column(rng: np.random.Generator, stage: Stage, lane: int, apart: float, speed: float) -> None:
    """Cars in the third lane."""
    place = START - 60.0 + float(rng.uniform(0.0, apart))
    while place < START + 140.0:
        _add(rng, stage, f"third{int(place)}", lane, place, speed)
        place += apart + float(rng.uniform(0.0, 0.5 * apart))
