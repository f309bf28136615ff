"""Follow a winding road with others before, behind and oncoming."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

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
from drive.datasets.generate.traffic import Actor, fill_lane
from drive.roadmap import LaneKind

if TYPE_CHECKING:
    import numpy as np

    from drive.datasets.generate.drivers import Body


def draw_road(rng: np.random.Generator, difficulty: float) -> tuple[Road, float, str, int]:
    """A road, its limit in m/s, its class and the number of lanes of each direction."""
    u = rng.random()
    kind = "urban" if u < 0.52 else "rural" if u < 0.84 else "motorway"
    # m/s^2 of who drives the tightest bend at the limit.
    lateral = between(rng, difficulty, (1.4, 2.0), (2.5, 3.2))
    if kind == "urban":
        limit = KMH * pick(rng, 30, 40, 50)
        tightest = max(30.0, limit**2 / lateral)
        count = 1 if rng.random() < 0.6 else 2
        width = float(rng.uniform(3.2, 3.5) if tightest < 50 else rng.uniform(2.95, 3.3))
        gentle = between(rng, difficulty, (150.0, 200.0), (80.0, 120.0))
        shape: dict[str, Any] = {
            "radius": (
                tightest,
                max(gentle, 1.6 * tightest),
            ),
            "bend_length": (35.0, 110.0),
            "straight": (5.0, 50.0),
        }
    elif kind == "rural":
        limit = KMH * pick(rng, 60, 70, 80, 90, 100)
        tightest = max(80.0, limit**2 / lateral)
        count = 1 if rng.random() < 0.75 else 2
        width = float(rng.uniform(3.25, 3.6))
        gentle = between(rng, difficulty, (500.0, 700.0), (250.0, 350.0))
        shape = {
            "radius": (
                tightest,
                max(gentle, 1.5 * tightest),
            ),
            "bend_length": (90.0, 260.0),
            "straight": (5.0, 90.0),
        }
    else:
        limit = KMH * pick(rng, 100, 120, 130)
        count = int(rng.integers(2, 5))
        width = float(rng.uniform(3.5, 3.75))
        shape = {
            "radius": (1.25 * limit**2 / lateral, 1800.0),
            "bend_length": (200.0, 450.0),
            "straight": (20.0, 150.0),
        }
    width, limit = round(width, 2), round(limit, 3)
    length = road_length(limit)
    curve = winding(rng, length, **shape)
    median = 1.6 if kind == "motorway" else 0.0
    forward = carriageway(count, width, limit, center=-median, oncoming=not median)
    backward = carriageway(count, width, limit, forward=False, center=median, oncoming=not median)
    side = {"urban": 0.0, "rural": round(float(rng.uniform(0.5, 1.5)), 1), "motorway": 2.5}[kind]
    edges = []
    if side:
        edges = [
            strip("fs", forward[0], side, LaneKind.SHOULDER),
            strip("bs", backward[0], side, LaneKind.SHOULDER),
        ]
    elif count == 1 and rng.random() < 0.4:
        edges = [
            strip("fc", forward[0], 1.7, LaneKind.BICYCLE),
            strip("bc", backward[0], 1.7, LaneKind.BICYCLE),
        ]
    cuts = tuple(regular_cuts(rng, length))
    return Road(curve, (*forward, *backward, *edges), cuts), limit, kind, count


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    road, limit, kind, count = draw_road(rng, difficulty)
    stage = Stage.of(road)
    heavy = 0.0 if kind == "urban" else 0.12

    def body(r: np.random.Generator) -> Body:
        return draw_body(r, heavy=heavy)

    lane = int(rng.integers(1, count + 1))
    driver = draw_ego_driver(rng)
    speed = 0.8 * limit
    own = stage.lanes[f"f{lane}"]
    ego = stage.traffic.add(Actor("ego", EGO_BODY, own, START, speed, driver, wander=draw_wander(rng, 0.06)))
    slower = rng.random() < 0.4 + 0.4 * difficulty
    if slower:
        ahead = START + 5.0 + speed * between(rng, difficulty, (2.4, 3.5), (1.4, 2.0))
        slow = draw_driver(rng, factor=between(rng, difficulty, (0.75, 0.85), (0.6, 0.72)))
        stage.traffic.add(Actor("lead", body(rng), own, ahead, 0.75 * limit, slow, wander=draw_wander(rng)))
        ahead += 12.0 + 1.5 * speed
    else:
        ahead = START + 60.0 + 4.0 * speed
    least = between(rng, difficulty, (2.4, 3.2), (1.3, 1.8))
    sparse = (least, (3.0 if kind != "motorway" else 2.2) * least)
    meets = between(rng, difficulty, (4.0, 6.0), (1.5, 2.5)) * (1.0 if count == 1 else 1.7 * count)
    fill_lane(rng, stage.traffic, own, (ahead, ahead + 5.0 * speed), speed, sparse, "a", body=body)
    fill_lane(
        rng,
        stage.traffic,
        own,
        (START - 20.0 - 4.5 * speed, START - 6.0 - speed),
        speed,
        sparse,
        "r",
        body=body,
    )
    for other in range(1, count + 1):
        if other != lane:
            around = (START - 4.0 * speed, START + 7.0 * speed)
            fill_lane(
                rng,
                stage.traffic,
                stage.lanes[f"f{other}"],
                around,
                speed,
                sparse,
                f"n{other}",
                body=body,
                mobil=True,
            )
        there = oncoming_stations(stage, speed, speed)
        fill_lane(
            rng,
            stage.traffic,
            stage.lanes[f"b{other}"],
            there,
            speed,
            (meets, 4.0 * meets),
            f"o{other}",
            body=body,
        )
    drive = stage.traffic.run(-WARM_UP, DURATION)
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])
    tags = (kind, "curve", *(("slow_lead",) if slower else ()))
    return Draw(
        partial(stage.build_map, window),
        drive,
        ego,
        stage.lane_id(f"f{lane}", window, s0),
        stage.lane_id(f"f{lane}", window, window[1]),
        stage.visible(window),
        tags,
    )
