"""A neighbour changes into the ego's lane close ahead of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drive.datasets.generate.drivers import EGO_BODY, draw_body, draw_driver, draw_ego_driver, draw_wander
from drive.datasets.generate.families.stage import (
    KMH,
    START,
    WARM_UP,
    Stage,
    between,
    pick,
    regular_cuts,
    road_length,
)
from drive.datasets.generate.roads import Road, carriageway, strip, winding
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.traffic import Actor, Order, Task, fill_lane
from drive.errors import ScenarioError
from drive.roadmap import LaneKind

if TYPE_CHECKING:
    import numpy as np

CLOSEST, WIDEST = 0.5, 1.6
"""Time gaps in s between which the cut must happen."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 40, 50, 60, 70, 80, 100, 120, 130), 3)
    count = int(rng.integers(2, 5)) if limit > 16.0 else 2
    width = round(float(rng.uniform(3.0, 3.3) if limit < 20.0 else rng.uniform(3.4, 3.75)), 2)
    length = road_length(limit)
    curve = winding(rng, length, (max(150.0, limit**2 / 1.2), 3000.0), (100.0, 400.0), (50.0, 300.0), 0.6)
    lanes = carriageway(count, width, limit)
    if limit > 20.0:
        lanes.append(strip("fs", lanes[0], 2.4, LaneKind.SHOULDER))
    stage = Stage.of(Road(curve, tuple(lanes), tuple(regular_cuts(rng, length))))

    lane = int(rng.integers(1, count + 1))
    sides = [n for n in (lane - 1, lane + 1) if 1 <= n <= count]
    side = sides[int(rng.integers(len(sides)))]
    own, other = stage.lanes[f"f{lane}"], stage.lanes[f"f{side}"]
    driver = draw_ego_driver(rng)
    speed = driver.factor * limit * float(rng.uniform(0.9, 1.0))
    driver = replace(driver, factor=speed / limit)
    ego = stage.traffic.add(Actor("ego", EGO_BODY, own, START, speed, driver, wander=draw_wander(rng, 0.05)))

    # The cutter comes past slowly and cuts when the gap behind it is as wide as it wants.
    gap = between(rng, difficulty, (1.0, 1.5), (0.5, 0.75)) * speed
    faster = between(rng, difficulty, (1.2, 2.4), (0.3, 0.9))
    when = float(rng.uniform(1.5, 8.0))
    body = draw_body(rng, heavy=0.08)
    front = START + EGO_BODY.rear + 0.5 * EGO_BODY.length + gap - faster * (WARM_UP + when)
    rear = front + 0.5 * body.length - body.rear
    cutter_driver = draw_driver(
        rng, factor=(speed + faster) / limit, polite=0.0, change_time=between(rng, difficulty, (3.6, 4.6), (2.4, 3.0))
    )
    task = Task(own, behind=ego, gap=gap, after=0.5)
    cutter = stage.traffic.add(
        Actor(
            "cutter", body, other, rear, speed + faster, cutter_driver, tasks=(task,), wander=draw_wander(rng)
        )
    )
    if rng.random() < 0.8 * difficulty:
        # It had looked at the ego only, and finds itself too fast for its new lane.
        begin = when + float(rng.uniform(2.0, 3.5))
        slow_down = Order(begin, begin + 3.0, speed * between(rng, difficulty, (0.85, 0.95), (0.6, 0.75)), 1.8)
        stage.traffic.edit(cutter, orders=(slow_down,))
    # Why it does so: somebody slow ahead of it, or nobody but its exit.
    keep = 40.0 + 2.2 * speed
    if rng.random() < 0.7:
        slow = draw_body(rng, heavy=0.5)
        far = rear + body.length + keep + 3.0 * (WARM_UP + when)
        slow_driver = draw_driver(rng, factor=(speed - float(rng.uniform(0.0, 3.0))) / limit)
        stage.traffic.add(Actor("slow", slow, other, far, slow_driver.factor * limit, slow_driver))
    ahead = front + body.length + 1.2 * speed + 3.0 * (WARM_UP + when)
    fill_lane(
        rng,
        stage.traffic,
        own,
        (ahead, ahead + 5.0 * speed),
        speed,
        (1.5, 4.0),
        "a",
        factor=(speed + 1.0) / limit,
    )
    fill_lane(
        rng, stage.traffic, own, (START - 6.0 - 4.0 * speed, START - 6.0 - speed), speed, (1.3, 3.0), "r"
    )
    fill_lane(
        rng, stage.traffic, other, (rear - 10.0 - 5.0 * speed, rear - 4.0 - speed), speed, (1.3, 3.5), "b"
    )
    for n in range(1, count + 1):
        if n not in (lane, side):
            around = (START - 4.0 * speed, START + 7.0 * speed)
            fill_lane(rng, stage.traffic, stage.lanes[f"f{n}"], around, speed, (1.2, 4.0), f"n{n}")
    drive = stage.traffic.run(-WARM_UP, DURATION)
    if drive.moves[cutter] == 0 or not 0.5 <= drive.move_time[cutter, 0] <= 11.0:
        raise ScenarioError("nobody cuts in during the scenario")
    step = int(drive.move_time[cutter, 0] * 10.0)
    reach = 0.5 * (EGO_BODY.length + body.length)
    free = drive.log[cutter, step, 0] + body.rear - drive.log[ego, step, 0] - EGO_BODY.rear - reach
    headway = float(free / max(drive.log[ego, step, 1], 1.0))
    if not CLOSEST <= headway <= WIDEST:
        raise ScenarioError(f"the cut leaves a time gap of {headway:.2f} s")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    return Draw(
        stage.build_map(window),
        drive,
        ego,
        stage.lane_id(f"f{lane}", window, s0),
        stage.lane_id(f"f{lane}", window, window[1]),
        stage.visible(window),
        ("cut_in", "from_left" if side > lane else "from_right", "close" if headway < 0.9 else "wide"),
    )
