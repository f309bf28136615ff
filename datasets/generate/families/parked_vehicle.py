"""Parked vehicles or an object reach into the ego's lane; there is another lane in its direction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from drive.datasets.generate.crossings import refuse_panic
from drive.datasets.generate.drivers import EGO_BODY, Body, draw_body, draw_ego_driver, draw_wander
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
from drive.datasets.generate.kernels.base import PARKED
from drive.datasets.generate.roads import Road, carriageway, strip, winding
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.traffic import Actor, Task, fill_lane
from drive.errors import ScenarioError
from drive.roadmap import LaneKind
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    import numpy as np


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 30, 40, 50, 50, 60), 3)
    count = 2 if rng.random() < 0.7 else 3
    width = round(float(rng.uniform(3.0, 3.5)), 2)
    length = road_length(limit)
    curve = winding(rng, length, (max(150.0, limit**2 / 1.2), 1500.0), (60.0, 200.0), (60.0, 250.0), 0.5)
    forward = carriageway(count, width, limit, oncoming=True)
    backward = carriageway(count, width, limit, forward=False, oncoming=True)
    room = round(float(rng.uniform(2.0, 2.4)), 2)
    edges = [
        strip("fs", forward[0], room, LaneKind.PARKING),
        strip("bs", backward[0], room, LaneKind.PARKING),
    ]
    stage = Stage.of(Road(curve, (*forward, *backward, *edges), tuple(regular_cuts(rng, length))))
    own, beside = stage.lanes["f1"], stage.lanes["f2"]

    driver = draw_ego_driver(rng)
    speed = 0.85 * driver.factor * limit
    first = START + speed * (WARM_UP + between(rng, difficulty, (3.5, 7.0), (2.5, 5.0)))
    reach = between(rng, difficulty, (0.3, 1.2), (0.9, 1.95))
    last = _park(rng, stage, own, width, first, reach)
    clearance = between(rng, difficulty, (0.75, 1.05), (0.55, 0.75))
    passing = _passing(rng, clearance, limit, first, last, reach, width, own, beside, EGO_BODY)
    ego = stage.traffic.add(
        Actor("ego", EGO_BODY, own, START, speed, driver, tasks=passing, wander=draw_wander(rng, 0.05))
    )
    beyond = last + 10.0
    fill_lane(rng, stage.traffic, own, (beyond, beyond + 4.0 * speed), speed, (1.5, 4.0), "a")
    others = fill_lane(
        rng, stage.traffic, own, (START + 10.0 + 1.5 * speed, first - 70.0), speed, (2.0, 4.0), "l"
    )
    others += fill_lane(
        rng, stage.traffic, own, (START - 5.0 * speed, START - 5.0 - speed), speed, (1.5, 4.0), "r"
    )
    for i in others:
        body = stage.traffic.actors[i].body
        stage.traffic.edit(
            i, tasks=_passing(rng, clearance, limit, first, last, reach, width, own, beside, body)
        )
    for n in range(2, count + 1):
        around = (START - 6.0 * speed, START + 7.0 * speed)
        density = (
            between(rng, difficulty, (2.5, 3.0), (1.2, 1.4)),
            between(rng, difficulty, (6.0, 8.0), (2.4, 3.2)),
        )
        fill_lane(rng, stage.traffic, stage.lanes[f"f{n}"], around, speed, density, f"n{n}")
    for n in range(1, count + 1):
        there = oncoming_stations(stage, speed, speed)
        fill_lane(rng, stage.traffic, stage.lanes[f"b{n}"], there, speed, (2.0 * count, 6.0 * count), f"o{n}")
    drive = stage.traffic.run(-WARM_UP, DURATION)
    refuse_panic(drive)
    passed = drive.log[ego, :, 0] > last
    waited = bool(drive.log[ego, :, 1].min() < 0.5)
    if drive.log[ego, 0, 0] > first - 25.0 or not (passed.any() or waited):
        raise ScenarioError("the ego does not come to pass the parked vehicle")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id("f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        stage.visible(window),
        ("parked", "wide" if reach > 1.0 else "narrow", *(("waits",) if waited else ())),
    )


def _park(
    rng: np.random.Generator, stage: Stage, own: int, width: float, first: float, reach: float
) -> float:
    """Park one to three vehicles (or stand one object) from station `first` on; where the last one ends.

    The first reaches `reach` metres into the lane of `width`, the others less.
    """
    at, end = first, first
    for i in range(int(rng.integers(1, 4))):
        into = reach if i == 0 else float(rng.uniform(0.0, min(reach, 0.6)))
        if i == 0 and reach < 0.9 and rng.random() < 0.25:
            body = Body(AgentKind.STATIC, 1.2, round(float(rng.uniform(0.6, 1.6)), 2), 1.2, 0.0)
        else:
            body = draw_body(rng, heavy=0.1 if reach > 0.5 else 0.0, vans=0.4)
        bias = -0.5 * width + into - 0.5 * body.width
        rear = at + 0.5 * body.length - body.rear
        yaw = float(rng.uniform(-0.03, 0.03))
        stage.traffic.add(Actor(f"parked{i}", body, own, rear, 0.0, bias=bias, mode=PARKED, yaw=yaw))
        end = at + body.length
        at = end + float(rng.uniform(0.8, 7.0))
        if body.kind == AgentKind.STATIC:
            break
    return end


def _passing(
    rng: np.random.Generator,
    clearance: float,
    limit: float,
    first: float,
    last: float,
    reach: float,
    width: float,
    own: int,
    beside: int,
    body: Body,
) -> tuple[Task, ...]:
    """Tasks of who passes: move over as far as the clearance needs and no farther, and come back."""
    shift = -0.5 * width + reach + 0.1 + clearance + 0.5 * body.width
    if shift <= 0.0:
        return ()
    length = float(rng.uniform(1.0, 1.25)) * max(26.0, 2.6 * limit)
    by = first - length - 0.5 * body.length - body.rear - 1.0
    begin = by - float(rng.uniform(0.7, 1.3)) * (15.0 + 2.5 * limit)
    lane, bias = (own, shift) if shift < 0.6 * width else (beside, max(shift - width, -0.4))
    back = last + 0.5 * body.length - body.rear + float(rng.uniform(1.5, 6.0))
    return (
        Task(lane, bias, begin=begin, by=by, length=length),
        Task(own, 0.0, begin=back, length=float(rng.uniform(1.0, 1.3)) * max(28.0, 2.8 * limit)),
    )
