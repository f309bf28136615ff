"""The vehicle ahead brakes to a stop, for a passenger or a queue; the ego stops behind it."""

from __future__ import annotations

from functools import partial

import numpy as np

from drive.datasets.generate.drivers import EGO_BODY, draw_body, draw_driver, draw_ego_driver, draw_wander
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
from drive.datasets.generate.roads import Road, carriageway, strip, winding
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.traffic import Actor, Order, fill_lane
from drive.errors import ScenarioError
from drive.roadmap import LaneKind


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 30, 40, 50, 50, 60, 70, 80), 3)
    count = int(rng.integers(1, 4))
    width = round(float(rng.uniform(3.0, 3.5)), 2)
    length = road_length(limit)
    curve = winding(rng, length, (max(120.0, limit**2 / 1.5), 1200.0), (80.0, 220.0), (20.0, 150.0), 0.7)
    forward = carriageway(count, width, limit, oncoming=True)
    backward = carriageway(count, width, limit, forward=False, oncoming=True)
    edges = []
    if rng.random() < 0.5:
        kind = LaneKind.PARKING if limit < 15.0 else LaneKind.SHOULDER
        edges = [strip("fs", forward[0], 2.2, kind), strip("bs", backward[0], 2.2, kind)]
    stage = Stage.of(Road(curve, (*forward, *backward, *edges), tuple(regular_cuts(rng, length))))

    lane = int(rng.integers(1, count + 1))
    own = stage.lanes[f"f{lane}"]
    driver = draw_ego_driver(rng, gap=float(rng.uniform(3.0, 4.0)))
    speed = float(rng.uniform(0.75, 0.92)) * limit
    ego = stage.traffic.add(Actor("ego", EGO_BODY, own, START, speed, driver, wander=draw_wander(rng, 0.06)))
    # From a high speed a stop takes longer; it must be seen to its end.
    stop = float(rng.uniform(0.0, 4.0) if speed < 11.0 else rng.uniform(-1.0, 2.0))
    go = stop + speed / 1.6 + float(rng.uniform(3.0, 12.0))
    brake = between(rng, difficulty, (1.2, 1.7), (2.5, 3.4))
    at = START + 4.0
    number = int(rng.integers(1, 4)) if speed < 11.0 else 1
    for i in range(number):
        at += 3.5 + speed * between(rng, difficulty, (2.0, 2.8), (1.1, 1.5))
        body = draw_body(rng, heavy=0.15)
        orders = (Order(stop, go, 0.0, brake),) if i == number - 1 else ()
        factor = speed / limit * float(rng.uniform(0.97, 1.05))
        who = draw_driver(rng, factor=factor)
        stage.traffic.add(
            Actor(f"lead{i}", body, own, at, speed, who, wander=draw_wander(rng), orders=orders)
        )
        at += body.length
    headways = (between(rng, difficulty, (2.0, 2.5), (1.2, 1.5)), 4.0)
    fill_lane(
        rng, stage.traffic, own, (START - 14.0 - 5.0 * speed, START - 4.0 - 1.2 * speed), speed, headways, "r"
    )
    for other in range(1, count + 1):
        if other != lane:
            around = (START - 4.0 * speed, START + 7.0 * speed)
            fill_lane(rng, stage.traffic, stage.lanes[f"f{other}"], around, speed, (1.5, 5.0), f"n{other}")
        there = oncoming_stations(stage, speed, speed)
        fill_lane(
            rng,
            stage.traffic,
            stage.lanes[f"b{other}"],
            there,
            speed,
            (2.5 * count, 8.0 * count),
            f"o{other}",
        )
    drive = stage.traffic.run(-WARM_UP, DURATION)
    slowest = float(drive.log[ego, :, 1].min())
    if slowest > 0.3:
        raise ScenarioError(f"the ego does not stop behind its lead but drives {slowest:.1f} m/s")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    goes = bool(drive.log[ego, -1, 1] > 1.0 and np.argmin(drive.log[ego, :, 1]) < 140)
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(f"f{lane}", window, s0),
        stage.lane_id(f"f{lane}", window, window[1]),
        stage.visible(window),
        ("stop", "queue" if number > 1 else "pickup", *(("restart",) if goes else ())),
    )
