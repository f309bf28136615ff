"""A motorway near its capacity: full lanes, trucks on the right, drivers who change lanes for their gain."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from drive.datasets.generate.crossings import refuse_panic
from drive.datasets.generate.drivers import EGO_BODY, draw_body, draw_ego_driver, draw_wander
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

FEWEST, MOST = 19, 40
"""Road users of a scene, the ego among them."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 100, 110, 120, 130), 3)
    count = 3 if rng.random() < 0.55 else 4
    # The denser the slower: 115 km/h where it still flows, 75 where it is about to break down.
    flow = min(KMH * between(rng, difficulty, (105.0, 120.0), (75.0, 95.0)), 0.97 * limit)
    stage = _stage(rng, limit, count)

    lane = int(rng.integers(1, count + 1))
    own = stage.lanes[f"f{lane}"]
    apart = between(rng, difficulty, (0.03, 0.05), (0.08, 0.12))
    paces = [flow * (1.0 + apart * (n - 0.5 * (count - 1))) for n in range(count)]
    pace = min(paces[lane - 1], 0.97 * limit)
    changes = rng.random() < 0.35
    driver = replace(draw_ego_driver(rng), factor=min(1.03 * pace / limit, 0.98), mobil=changes)
    ego = stage.traffic.add(Actor("ego", EGO_BODY, own, START, pace, driver, wander=draw_wander(rng, 0.05)))

    headway = between(rng, difficulty, (1.7, 2.1), (0.95, 1.25))
    spread = (0.7 * headway, 1.35 * headway)
    keeps = between(rng, difficulty, (1.2, 1.5), (0.9, 1.1))
    free = (START - 6.0 - 0.9 * headway * flow, START + 9.0 + headway * flow)
    room = (4.5 if count == 3 else 3.5) * headway * flow
    around = (START - 0.8 * room, START + 1.5 * room)
    for n in range(1, count + 1):
        heavy = {1: 0.45, 2: 0.12}.get(n, 0.0)
        made = fill_lane(
            rng, stage.traffic, stage.lanes[f"f{n}"], around, paces[n - 1], spread, f"n{n}",
            avoid=(free,) if n == lane else (), body=partial(draw_body, heavy=heavy),
        )  # fmt: skip
        for i in made:
            _temper(rng, stage, i, paces[n - 1], limit, keeps, n)
    _trouble(rng, difficulty, stage, lane, ego, pace)
    drive = stage.traffic.run(-WARM_UP, DURATION)
    refuse_panic(drive)
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    near = abs(drive.log[:, 0, 0] - s0) < 250.0
    if not near.sum() >= FEWEST - 1 or len(near) > MOST:
        raise ScenarioError(f"{int(near.sum())} vehicles are no dense traffic")
    if drive.log[ego, :, 1].mean() < KMH * 55.0:
        raise ScenarioError("the traffic has broken down")
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(f"f{lane}", window, s0),
        stage.lane_id(f"f{lane}", window, window[1]),
        stage.visible(window),
        ("highway", "dense", *(("changes_lane",) if drive.moves[ego] else ())),
    )


def _stage(rng: np.random.Generator, limit: float, count: int) -> Stage:
    length = road_length(limit) + 100.0
    width = round(float(rng.uniform(3.5, 3.75)), 2)
    curve = winding(rng, length, (limit**2 / 1.2, 4000.0), (150.0, 450.0), (50.0, 300.0), 0.45)
    lanes = carriageway(count, width, limit)
    lanes.append(strip("fs", lanes[0], 2.5, LaneKind.SHOULDER))
    return Stage.of(Road(curve, tuple(lanes), tuple(regular_cuts(rng, length))))


def _temper(
    rng: np.random.Generator, stage: Stage, who: int, pace: float, limit: float, keeps: float, lane: int
) -> None:
    """Wishes that differ about the lane's pace; whoever wants more than its lane gives may change it."""
    actor = stage.traffic.actors[who]
    heavy = actor.body.length > 6.9
    wish = min(pace * float(rng.uniform(0.98, 1.12)), KMH * 88.0 if heavy else limit)
    driver = replace(
        actor.driver,
        factor=wish / limit,
        headway=keeps * float(rng.uniform(0.9, 1.2)) * (1.25 if heavy else 1.0),
        mobil=not heavy and rng.random() < 0.6,
        polite=0.4,
    )
    stage.traffic.edit(who, driver=driver, speed=min(actor.speed, wish))


def _trouble(
    rng: np.random.Generator, difficulty: float, stage: Stage, lane: int, ego: int, pace: float
) -> None:
    """Somebody ahead brakes, or comes over from the next lane, as happens all the time near capacity."""
    actors = stage.traffic.actors
    mine = stage.lanes[f"f{lane}"]
    here = actors[ego].station
    ahead = sorted((a.station, i) for i, a in enumerate(actors) if a.lane == mine and a.station > here)
    if len(ahead) > 1:
        who = ahead[int(rng.integers(1, min(len(ahead), 4)))][1]
        begin = float(rng.uniform(0.0, 5.0))
        slow = pace * between(rng, difficulty, (0.85, 0.95), (0.4, 0.65))
        brake = between(rng, difficulty, (0.8, 1.3), (1.8, 2.6))
        stage.traffic.edit(who, orders=(Order(begin, begin + float(rng.uniform(3.0, 6.0)), slow, brake),))
    near = [n for n in stage.traffic.lanes[mine].near if n >= 0]
    # Who has been held up in the slower lane comes over before the faster ego.
    slower = [n for n in near if n < mine] if rng.random() < 0.3 + 0.6 * difficulty else near
    ready = float(rng.uniform(0.5, 6.0))
    found = []
    for i, a in enumerate(actors):
        room = a.station - here + (a.speed - pace) * (WARM_UP + ready)
        if a.lane in slower and a.body.length < 6.9 and 0.4 * pace + 6.0 < room < 1.8 * pace:
            found.append(i)
    if found and rng.random() < 0.4 + 0.6 * difficulty:
        who = found[int(rng.integers(len(found)))]
        gap = pace * between(rng, difficulty, (0.8, 1.1), (0.4, 0.6))
        # Without a station by which it must: who finds no gap drives on, and does not stop for one.
        task = Task(mine, behind=ego, gap=gap, after=ready)
        driver = replace(
            actors[who].driver, mobil=False, change_time=between(rng, difficulty, (3.6, 4.6), (2.6, 3.2))
        )
        stage.traffic.edit(who, tasks=(task,), driver=driver)
