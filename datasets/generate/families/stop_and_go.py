"""A jam whose waves travel backwards: the ego rolls, stops or nearly so, and rolls again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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
from drive.datasets.generate.traffic import Actor, Order, Task, fill_lane
from drive.errors import ScenarioError
from drive.roadmap import LaneKind

if TYPE_CHECKING:
    from drive.datasets.generate.drivers import Body

CRAWL, ROLL = 1.0, 2.0
"""m/s that the ego falls below, and that it reaches again."""
ROOM = ((6, 6), (6, 4), (3, 3), (2, 2))
"""Cars beyond the one that makes the wave and behind the ego, on one to four lanes."""
NEXT = 1.3
"""Seconds that a wave takes from one car to the next, about."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    stage, limit, count = _stage(rng)
    pace = between(rng, difficulty, (4.0, 6.0), (5.5, 9.0))
    lane = int(rng.integers(1, count + 1))
    ego = -1
    for n in range(1, count + 1):
        # The waves of the lanes are alike, not the same.
        stop = between(rng, difficulty, (0.0, 2.0), (0.5, 4.0))
        made = _fill(
            rng, difficulty, stage, count, n, lane, pace * float(rng.uniform(0.92, 1.08)), stop, limit
        )
        ego = made if made >= 0 else ego
    if count > 1 and rng.random() < 0.6 * difficulty:
        _push_in(rng, stage, lane, ego)
    if stage.backward >= 0:
        _oncoming(rng, stage, count, limit)
    drive = stage.traffic.run(-WARM_UP, DURATION)
    speed = drive.log[ego, :, 1]
    least = int(np.argmin(speed))
    if speed[least] > CRAWL or speed[: least + 1].max() < ROLL or speed[least:].max() < ROLL:
        raise ScenarioError("the ego does not stop and go")
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(f"f{lane}", window, s0),
        stage.lane_id(f"f{lane}", window, window[1]),
        stage.visible(window),
        ("jam", "stops" if speed[least] < 0.1 else "crawls"),
    )


def _stage(rng: np.random.Generator) -> tuple[Stage, float, int]:
    """A motorway, or an arterial with oncoming traffic; its limit in m/s and the lanes of a direction."""
    motorway = rng.random() < 0.6
    limit = round(KMH * (pick(rng, 80, 100, 120) if motorway else pick(rng, 50, 60, 70)), 3)
    count = int(rng.integers(2, 5)) if motorway else int(rng.integers(1, 4))
    width = round(float(rng.uniform(3.4, 3.75) if motorway else rng.uniform(3.0, 3.4)), 2)
    length = road_length(limit) + 80.0
    tightest = max(150.0, limit**2 / 1.2)
    curve = winding(rng, length, (tightest, 3000.0), (80.0, 400.0), (40.0, 250.0), 0.5)
    lanes = carriageway(count, width, limit, oncoming=not motorway)
    if motorway:
        lanes.append(strip("fs", lanes[0], 2.5, LaneKind.SHOULDER))
    else:
        lanes += carriageway(count, width, limit, forward=False, oncoming=True)
    return Stage.of(Road(curve, tuple(lanes), tuple(regular_cuts(rng, length)))), limit, count


def _fill(
    rng: np.random.Generator,
    difficulty: float,
    stage: Stage,
    count: int,
    number: int,
    lane: int,
    pace: float,
    stop: float,
    limit: float,
) -> int:
    """A column on lane `number`; the wave reaches the ego's place about time `stop`. The ego, or -1."""
    headway = between(rng, difficulty, (1.5, 1.8), (1.0, 1.2))
    before = round(between(rng, difficulty, (0.6, 3.4), (2.6, 6.4)))
    # As many as make a jam, and no more than are counted as road users near the ego.
    after, behind = ROOM[count - 1]
    # Jam drivers want some more than the column gives, the first ones just its pace.
    ego, at = -1, START
    rows: list[tuple[float, int]] = []
    for k in range(before + after + 1):
        mine = number == lane and k == 0
        body = EGO_BODY if mine else draw_body(rng, heavy=0.25 if number == 1 else 0.05)
        rear = at + 0.5 * body.length - body.rear
        rows.append((rear, _car(rng, stage, number, k, mine, body, rear, pace, headway, limit)))
        if mine:
            ego = rows[-1][1]
        at += body.length + 2.5 + pace * headway * float(rng.uniform(0.85, 1.25))
    at = START
    for k in range(behind):
        body = draw_body(rng, heavy=0.25 if number == 1 else 0.05)
        at -= body.length + 2.5 + pace * headway * float(rng.uniform(0.85, 1.25))
        rear = at + 0.5 * body.length - body.rear
        _car(rng, stage, number, -1 - k, False, body, rear, pace, headway, limit)
    begin = stop - NEXT * before
    low = max(between(rng, difficulty, (-1.0, 0.6), (-3.0, 0.4)), 0.0)
    brake = between(rng, difficulty, (1.0, 1.5), (2.0, 3.0))
    lasts = pace / brake + between(rng, difficulty, (2.5, 3.5), (1.5, 4.0))
    first = rows[before][1]
    stage.traffic.edit(first, orders=(Order(begin, begin + lasts, low, brake),))
    return ego


def _car(
    rng: np.random.Generator, stage: Stage, number: int, k: int, ego: bool, body: Body, rear: float,
    pace: float, headway: float, limit: float,
) -> int:  # fmt: skip
    """One car of a column, the k-th ahead of the ego's place."""
    given = {"factor": pace * float(rng.uniform(1.15, 1.6)) / limit, "headway": headway}
    driver = (
        draw_ego_driver(rng, gap=float(rng.uniform(3.0, 3.8)), **given) if ego else draw_driver(rng, **given)
    )
    name = "ego" if ego else f"c{number}{'a' if k >= 0 else 'r'}{abs(k)}"
    bias = 0.0 if ego else float(rng.uniform(-0.15, 0.15))
    return stage.traffic.add(
        Actor(
            name, body, stage.lanes[f"f{number}"], rear, pace, driver, bias=bias,
            wander=draw_wander(rng, 0.05),
        )
    )  # fmt: skip


def _push_in(rng: np.random.Generator, stage: Stage, lane: int, ego: int) -> None:
    """Somebody in the next lane comes over before the ego, as soon as half a car's length is free."""
    mine, here = stage.lanes[f"f{lane}"], stage.traffic.actors[ego].station
    near = [n for n in stage.traffic.lanes[mine].near if n >= 0]
    found = [
        i
        for i, a in enumerate(stage.traffic.actors)
        if a.lane in near and 0.0 < a.station - here < 25.0 and a.body.length < 6.9
    ]
    if found:
        who = found[int(rng.integers(len(found)))]
        task = Task(mine, behind=ego, gap=float(rng.uniform(2.0, 4.0)), after=float(rng.uniform(0.5, 7.0)))
        stage.traffic.edit(who, tasks=(task,))


def _oncoming(rng: np.random.Generator, stage: Stage, count: int, limit: float) -> None:
    speed = 0.85 * limit
    there = oncoming_stations(stage, 5.0, speed)
    for n in range(1, count + 1):
        gaps = (3.0 * count, 9.0 * count)
        fill_lane(rng, stage.traffic, stage.lanes[f"b{n}"], there, speed, gaps, f"o{n}")
