"""Eighteen cars on six lanes, each with a pace of its own, the ego faster than most of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from drive.datasets.generate.crossings import refuse_panic
from drive.datasets.generate.drivers import EGO_BODY, draw_body, draw_driver, draw_ego_driver, draw_wander
from drive.datasets.generate.families.stage import (
    START,
    Stage,
    between,
    regular_cuts,
    road_length,
)
from drive.datasets.generate.roads import Road, carriageway, strip, winding
from drive.datasets.generate.scene import Draw
from drive.datasets.generate.traffic import Actor, Order, Task
from drive.errors import ScenarioError
from drive.roadmap import LaneKind

if TYPE_CHECKING:
    import numpy as np

    from drive.datasets.generate.traffic import Drive

LENGTH = 20.0
"""Seconds of a scene."""
WARM_UP = 2.0
LIMIT, SPEED = 20.0, 15.0
"""m/s: of the road, and of the ego at the start."""
COUNT, CARS = 6, 18
GAP, HEADWAY, ACCEL = 3.0, 1.0, 3.0
"""Those of the others: m, s, m/s^2."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    stage = wide_stage(rng, COUNT)
    lane = int(rng.integers(2, COUNT))
    ego = add_ego(rng, stage, lane, SPEED)
    spacing = between(rng, difficulty, (38.0, 46.0), (25.0, 31.0))
    for n in range(1, COUNT + 1):
        pace = between(rng, difficulty, (11.5, 12.5), (10.0, 11.5)) + 0.8 * (n - 1)
        # At the start there is a car beside the ego's place in every lane, and in its own one somebody ahead.
        middle = START + WARM_UP * (SPEED - pace) + float(rng.uniform(-0.5, 0.5)) * spacing
        places = [middle - spacing, middle, middle + spacing]
        if n == lane:
            pace = min(pace, 13.0)
            ahead = START + WARM_UP * (SPEED - pace) + EGO_BODY.length
            ahead += between(rng, difficulty, (38.0, 48.0), (28.0, 36.0))
            places = [START - 1.1 * spacing, ahead, ahead + spacing]
        add_cars(rng, stage, n, places, pace, 1.2)
    drive = stage.traffic.run(-WARM_UP, LENGTH)
    refuse_panic(drive)
    if len(stage.traffic.actors) != CARS + 1:
        raise ScenarioError("not everybody finds room")
    return hand_over(stage, drive, ego, lane, ("highway", "dense"))


def wide_stage(rng: np.random.Generator, count: int) -> Stage:
    """A motorway of `count` lanes in one direction, with wide bends and a shoulder."""
    length = road_length(LIMIT) + 300.0
    curve = winding(rng, length, (600.0, 4000.0), (150.0, 400.0), (50.0, 300.0), 0.4)
    lanes = carriageway(count, round(float(rng.uniform(3.5, 3.75)), 2), LIMIT)
    lanes.append(strip("fs", lanes[0], 2.5, LaneKind.SHOULDER))
    return Stage.of(Road(curve, tuple(lanes), tuple(regular_cuts(rng, length))))


def add_ego(
    rng: np.random.Generator, stage: Stage, lane: int, speed: float, tasks: tuple[Task, ...] = ()
) -> int:
    """The ego, which keeps its speed until just after time 0, and whose driver changes lanes for its gain."""
    driver = replace(draw_ego_driver(rng), mobil=True, polite=0.2)
    own = stage.lanes[f"f{lane}"]
    return stage.traffic.add(
        Actor(
            "ego", EGO_BODY, own, START, speed, driver, wander=draw_wander(rng, 0.05),
            tasks=tasks, orders=(Order(-WARM_UP, float(rng.uniform(0.2, 0.8)), speed),),
        )
    )  # fmt: skip


def add_cars(
    rng: np.random.Generator, stage: Stage, lane: int, places: list[float], pace: float, spread: float
) -> None:
    """Cars whose middles begin at the stations `places`, as fast as `pace` give or take `spread`, in m/s."""
    for k, place in enumerate(places):
        body = draw_body(rng, heavy=0.0, vans=0.1)
        speed = pace + float(rng.uniform(-spread, spread))
        driver = draw_driver(
            rng,
            factor=speed / LIMIT,
            gap=GAP,
            headway=HEADWAY,
            accel=ACCEL,
            delay=float(rng.uniform(0.2, 0.4)),
        )
        stage.traffic.add(
            Actor(
                f"n{lane}_{k}", body, stage.lanes[f"f{lane}"], place - body.rear, speed, driver,
                bias=float(rng.uniform(-0.12, 0.12)), wander=draw_wander(rng),
            )
        )  # fmt: skip


def hand_over(stage: Stage, drive: Drive, ego: int, lane: int, tags: tuple[str, ...]) -> Draw:
    """The draw; its route stays in the lane that the ego begins in. Refuses who has left it by then."""
    if drive.moves[ego] and drive.move_time[ego, 0] < 0.2:
        raise ScenarioError("the ego changes lanes before the scene begins")
    window = stage.window(drive, ego, LIMIT)
    now = f"f{lane}"
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(now, window, float(drive.log[ego, 0, 0])),
        stage.lane_id(now, window, window[1]),
        stage.visible(window),
        (*tags, *(("changes_lane",) if drive.moves[ego] else ())),
    )
