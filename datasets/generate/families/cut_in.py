"""A neighbour changes into the ego's lane close ahead of it."""

from __future__ import annotations

from functools import partial
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
FRONT = START + EGO_BODY.rear + 0.5 * EGO_BODY.length
"""Station of the ego's front bumper when the simulation begins."""


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
    driver = draw_ego_driver(rng, factor=float(rng.uniform(0.93, 0.985)))
    speed = driver.factor * limit
    ego = stage.traffic.add(Actor("ego", EGO_BODY, own, START, speed, driver, wander=draw_wander(rng, 0.05)))

    pulls_out = rng.random() < 0.15 + 0.6 * difficulty
    cut = _pull_out if pulls_out else _come_past
    cutter, rear, ahead, pace = cut(rng, difficulty, stage, ego, own, other, speed, limit)
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
    fill_lane(rng, stage.traffic, other, (rear - 10.0 - 5.0 * pace, rear - 4.0 - pace), pace, (1.3, 3.5), "b")
    for n in range(1, count + 1):
        if n not in (lane, side):
            around = (START - 4.0 * speed, START + 7.0 * speed)
            fill_lane(rng, stage.traffic, stage.lanes[f"f{n}"], around, speed, (1.2, 4.0), f"n{n}")
    drive = stage.traffic.run(-WARM_UP, DURATION)
    if drive.moves[cutter] == 0 or not 0.5 <= drive.move_time[cutter, 0] <= 11.0:
        raise ScenarioError("nobody cuts in during the scenario")
    step = int(drive.move_time[cutter, 0] * 10.0)
    body = stage.traffic.actors[cutter].body
    reach = 0.5 * (EGO_BODY.length + body.length)
    free = drive.log[cutter, step, 0] + body.rear - drive.log[ego, step, 0] - EGO_BODY.rear - reach
    headway = float(free / max(drive.log[ego, step, 1], 1.0))
    if not CLOSEST <= headway <= WIDEST + pulls_out:
        raise ScenarioError(f"the cut leaves a time gap of {headway:.2f} s")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(f"f{lane}", window, s0),
        stage.lane_id(f"f{lane}", window, window[1]),
        stage.visible(window),
        (
            "cut_in",
            "from_left" if side > lane else "from_right",
            "pulls_out" if pulls_out else "close" if headway < 0.9 else "wide",
        ),
    )


def _come_past(
    rng: np.random.Generator, difficulty: float, stage: Stage, ego: int, own: int, other: int,
    speed: float, limit: float,
) -> tuple[int, float, float, float]:  # fmt: skip
    """The cutter comes past slowly and cuts when the gap behind it is as wide as it wants.

    Returns it, its station, from which station on others may drive ahead, and the pace of its lane.
    """
    gap = between(rng, difficulty, (1.0, 1.5), (0.5, 0.75)) * speed
    faster = between(rng, difficulty, (1.2, 2.4), (0.3, 0.9))
    when = float(rng.uniform(1.5, 8.0))
    body = draw_body(rng, heavy=0.08)
    front = FRONT + gap - faster * (WARM_UP + when)
    rear = front + 0.5 * body.length - body.rear
    quick = between(rng, difficulty, (3.6, 4.6), (2.4, 3.0))
    driver = draw_driver(rng, factor=(speed + faster) / limit, polite=0.0, change_time=quick)
    tasks = (Task(own, behind=ego, gap=gap, after=0.5),)
    orders: tuple[Order, ...] = ()
    if rng.random() < 0.8 * difficulty:
        # It had looked at the ego only, and finds itself too fast for its new lane.
        begin = when + float(rng.uniform(2.0, 3.5))
        low = speed * between(rng, difficulty, (0.85, 0.95), (0.6, 0.75))
        orders = (Order(begin, begin + 3.0, low, 1.8),)
    wander = draw_wander(rng)
    cutter = stage.traffic.add(
        Actor("cutter", body, other, rear, speed + faster, driver, tasks=tasks, orders=orders, wander=wander)
    )
    # Why it does so: somebody slow ahead of it, or nobody but its exit.
    if rng.random() < 0.7:
        far = rear + body.length + 40.0 + 2.2 * speed + 3.0 * (WARM_UP + when)
        slow = draw_driver(rng, factor=(speed - float(rng.uniform(0.0, 3.0))) / limit)
        heavy = draw_body(rng, heavy=0.5)
        stage.traffic.add(Actor("slow", heavy, other, far, slow.factor * limit, slow))
    return cutter, rear, front + body.length + 1.2 * speed + 3.0 * (WARM_UP + when), speed


def _pull_out(
    rng: np.random.Generator, difficulty: float, stage: Stage, ego: int, own: int, other: int,
    speed: float, limit: float,
) -> tuple[int, float, float, float]:  # fmt: skip
    """The cutter is held up by somebody slow and pulls out before the faster ego, as `_come_past`."""
    closing = min(between(rng, difficulty, (1.0, 2.5), (3.0, 6.5)), 0.4 * speed)
    slowly = speed - closing
    when = float(rng.uniform(1.5, 6.0))
    # The ego would be there in so many seconds, at its speed.
    room = max(
        closing * between(rng, difficulty, (5.0, 6.5), (2.6, 3.6)),
        between(rng, difficulty, (1.0, 1.3), (0.6, 0.8)) * speed,
    )
    body = draw_body(rng, heavy=0.04)
    front = FRONT + room + closing * (WARM_UP + when)
    rear = front + 0.5 * body.length - body.rear
    driver = draw_driver(
        rng, accel=float(rng.uniform(1.5, 2.0)), headway=float(rng.uniform(0.9, 1.1)), polite=0.0,
        change_time=between(rng, difficulty, (3.4, 4.2), (2.6, 3.2)),
    )  # fmt: skip
    # Whom the truck ahead leaves no time takes a gap that it would else leave.
    hurry = rear + slowly * (WARM_UP + when) + 60.0
    task = Task(own, behind=ego, gap=0.8 * room, after=when, by=hurry)
    cutter = stage.traffic.add(
        Actor("cutter", body, other, rear, slowly, driver, tasks=(task,), wander=draw_wander(rng))
    )
    far = rear + body.length + 3.0 + slowly * 1.1
    slow = draw_driver(rng, factor=slowly / limit)
    stage.traffic.add(Actor("slow", draw_body(rng, heavy=0.7), other, far, slowly, slow))
    return cutter, rear, front + body.length + 1.5 * speed, slowly
