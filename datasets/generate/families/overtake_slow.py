"""A slow vehicle ahead, and a lane beside it in which faster traffic leaves gaps."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    draw_body,
    draw_driver,
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
from drive.datasets.generate.roads import Road, carriageway, strip, winding
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.traffic import Actor, Task, fill_lane
from drive.errors import ScenarioError
from drive.roadmap import LaneKind
from drive.vehicle import AgentKind

LATEST = 10.0
"""Seconds by which the expert must have begun to overtake."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    who = ("cyclist", "tractor", "truck")[int(rng.integers(3))]
    limit, slow_speed, slow_body, bias = draw_slow(rng, difficulty, who)
    count = 3 if who == "truck" and rng.random() < 0.4 else 2
    stage = _stage(rng, who, limit, count)
    own, beside = stage.lanes["f1"], stage.lanes["f2"]

    driver = draw_ego_driver(rng, accel=float(rng.uniform(1.4, 1.9)))
    cruise = driver.factor * limit
    closing = cruise - slow_speed
    # Seconds at time 0 until the ego would have to brake; negative: it has followed for long.
    easy = (1.0, 3.0) if who == "truck" else (4.0, 6.5)
    left = between(rng, difficulty, easy, (-6.0, 1.0))
    follows = left < -WARM_UP + 2.0
    speed = slow_speed if follows else cruise
    room = 3.0 + driver.headway * speed + (0.0 if follows else (WARM_UP + left) * closing + 0.8 * closing)
    front = START + EGO_BODY.rear + 0.5 * EGO_BODY.length + room
    slow_rear = front + 0.5 * slow_body.length - slow_body.rear
    slow_driver = draw_driver(rng, factor=slow_speed / limit, accel=0.9, gap=3.0)
    pull_out = Task(
        beside, begin=START + 0.5 * speed * WARM_UP, after=float(rng.uniform(0.3, 1.2) + max(left - 2.5, 0.0))
    )
    ego = stage.traffic.add(
        Actor("ego", EGO_BODY, own, START, speed, driver, tasks=(pull_out,), wander=draw_wander(rng, 0.05))
    )
    slow = stage.traffic.add(
        Actor(
            "slow", slow_body, own, slow_rear, slow_speed, slow_driver, bias=bias,
            wander=draw_wander(rng, 0.08),
        )
    )  # fmt: skip

    flow = cruise * between(rng, difficulty, (0.95, 1.03), (0.98, 1.06))
    headway = between(rng, difficulty, (3.0, 5.0), (1.1, 1.6))
    spread = (0.8 * headway, 1.7 * headway)
    faster: dict[str, Any] = {
        "factor": flow / limit,
        "cooperate": between(rng, difficulty, (0.5, 0.9), (0.1, 0.4)),
    }
    ahead = slow_rear + slow_body.length + WARM_UP * slow_speed
    far = (ahead + 6.0 * cruise, ahead + 11.0 * cruise)
    fill_lane(rng, stage.traffic, own, far, cruise, (2.5, 6.0), "a")
    behind = (START - 10.0 - 4.0 * speed, START - 8.0 - 1.3 * speed)
    fill_lane(rng, stage.traffic, own, behind, speed, (1.6, 4.0), "r", mobil=not follows)
    # Whoever passes the ego in the next fifteen seconds is still far behind now.
    reach = (DURATION + WARM_UP) * max(flow - 0.5 * (speed + cruise), 0.0)
    around = (max(START - 3.0 * flow - 0.7 * reach, 20.0), START + 5.0 * flow)
    fill_lane(rng, stage.traffic, beside, around, flow, spread, "n2", **faster)
    for n in range(3, count + 1):
        around = (START - 4.0 * flow, START + 6.0 * flow)
        fill_lane(rng, stage.traffic, stage.lanes[f"f{n}"], around, 1.05 * flow, spread, f"n{n}")
    if stage.backward >= 0:
        for n in range(1, count + 1):
            there = oncoming_stations(stage, cruise, cruise)
            fill_lane(
                rng, stage.traffic, stage.lanes[f"b{n}"], there, cruise, (4.0 * count, 10.0 * count), f"o{n}"
            )
    keeps_right = who != "cyclist" or rng.random() < 0.5
    drive = stage.traffic.run(-WARM_UP, DURATION)
    clear = drive.log[ego, :, 0] - drive.log[slow, :, 0] - 0.5 * (EGO_BODY.length + slow_body.length)
    past = np.flatnonzero(clear + EGO_BODY.rear - slow_body.rear > 4.0 + 0.8 * drive.log[ego, :, 1])
    if len(past) and past[0] < 130 and keeps_right:
        # The same drive up to here; then back to the right, where one leaves the fast lane to others.
        back = Task(own, begin=float(drive.log[ego, past[0], 0]))
        stage.traffic.edit(ego, tasks=(pull_out, back))
        drive = stage.traffic.run(-WARM_UP, DURATION)
    if drive.moves[ego] == 0 or not 0.2 <= drive.move_time[ego, 0] <= LATEST:
        raise ScenarioError("the ego finds no gap to overtake in")
    gained = drive.log[ego, -1, 0] - drive.log[slow, -1, 0]
    if gained < (-10.0 if who == "truck" else 0.0):
        raise ScenarioError("the ego is not past the slow vehicle by the end")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    waited = bool(drive.log[ego, :, 1].min() < 0.5 * (slow_speed + cruise))
    returned = bool(drive.moves[ego] > 1)
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id("f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        stage.visible(window),
        ("overtake", who, *(("waits",) if waited else ()), *(("returns",) if returned else ())),
    )


def draw_slow(rng: np.random.Generator, difficulty: float, who: str) -> tuple[float, float, Body, float]:
    """The limit and the slow one's speed in m/s, its body, and its place beside the lane's centre in m."""
    if who == "cyclist":
        limit = KMH * pick(rng, 50, 50, 60, 70)
        body = Body(AgentKind.BICYCLE, 1.8, 0.6, 1.7, 0.0)
        return (
            round(limit, 3),
            between(rng, difficulty, (5.5, 7.0), (4.0, 5.0)),
            body,
            float(rng.uniform(-1.0, -0.5)),
        )
    if who == "tractor":
        limit = KMH * pick(rng, 60, 70, 80, 90, 100)
        length = round(float(rng.uniform(4.5, 9.5)), 2)
        body = Body(AgentKind.TRUCK, length, round(float(rng.uniform(2.2, 2.5)), 2), 2.9, 0.28 * length)
        return (
            round(limit, 3),
            KMH * between(rng, difficulty, (34.0, 42.0), (20.0, 28.0)),
            body,
            float(rng.uniform(-0.3, 0.0)),
        )
    limit = KMH * pick(rng, 100, 110, 120, 130)
    body = draw_body(rng, heavy=1.0)
    return (
        round(limit, 3),
        KMH * between(rng, difficulty, (70.0, 80.0), (55.0, 65.0)),
        body,
        float(rng.uniform(-0.15, 0.1)),
    )


def _stage(rng: np.random.Generator, who: str, limit: float, count: int) -> Stage:
    """A road fit for who is slow on it."""
    length = road_length(limit) + 60.0
    width = round(float(rng.uniform(3.0, 3.3) if who == "cyclist" else rng.uniform(3.3, 3.75)), 2)
    tightest = max(180.0, limit**2 / 1.2)
    curve = winding(rng, length, (tightest, 2500.0), (80.0, 300.0), (40.0, 250.0), 0.5)
    median = 1.6 if who == "truck" else 0.0
    lanes = carriageway(count, width, limit, center=-median, oncoming=not median)
    shoulder = {"cyclist": 0.0, "tractor": 0.8, "truck": 2.5}[who]
    if shoulder:
        lanes.append(strip("fs", lanes[0], shoulder, LaneKind.SHOULDER))
    if not median:
        lanes += carriageway(count, width, limit, forward=False, oncoming=True)
    return Stage.of(Road(curve, tuple(lanes), tuple(regular_cuts(rng, length))))
