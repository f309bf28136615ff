"""A vehicle stands in the ego's only lane; there is room over the centre line, when nobody comes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from drive.datasets.generate.drivers import (
    CITY_BUS,
    EGO_BODY,
    Body,
    draw_body,
    draw_driver,
    draw_ego_driver,
    draw_van,
    draw_wander,
)
from drive.datasets.generate.families.stage import KMH, START, WARM_UP, between, pick
from drive.datasets.generate.kernels.base import PARKED
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.street import Street, draw_street
from drive.datasets.generate.traffic import Actor, Gate, Slow, Task, Zone, fill_lane
from drive.errors import ScenarioError
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    import numpy as np

EDGE = 0.45
"""Metres that the ego's centre keeps to its own side of the centre line: beyond it, it drives the wrong way,
and the usual trackers overshoot by a good part of it."""
YAW = 0.08
SPACE = 1.2
SLOW_AHEAD = 8.0
FRONT = EGO_BODY.rear + 0.5 * EGO_BODY.length


@dataclass(frozen=True, slots=True)
class Narrow:
    """The place: where what is parked begins and ends, how far it reaches into the lane, how it is passed."""

    first: float
    last: float
    reach: float
    shift: float
    gate: float
    out: float
    speed: float

    def moved(self, by: float) -> Narrow:
        return replace(self, first=self.first + by, last=self.last + by, gate=self.gate + by)


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 30, 40, 50, 50), 3)
    width = round(float(rng.uniform(3.05, 3.75)), 2)
    room = round(float(rng.uniform(1.9, 2.3)), 2)
    median = round(float(rng.uniform(1.2, 1.8)), 2) if rng.random() < 0.35 else 0.0
    parking = (room if rng.random() < 0.5 else 0.0, room if rng.random() < 0.4 else 0.0)
    cycle = round(float(rng.uniform(1.5, 1.9)), 2) if rng.random() < 0.4 else 0.0
    street = draw_street(rng, limit, width, parking=parking, cycle=cycle, median=median)
    stage = street.stage
    own = stage.lanes["f1"]
    driver = draw_ego_driver(rng, critical=0.6)
    speed = 0.9 * driver.factor * limit
    place, bodies = _place(rng, difficulty, street)
    # Who has seen it from afar is slow already; who has not still brakes after the scene's start.
    early = place.speed < speed - 1.0 and rng.random() < 0.4 + 0.5 * difficulty
    if early:
        speed, before = place.speed, place.speed * between(rng, difficulty, (2.0, 4.0), (2.0, 3.0))
        arrival = before / speed
    else:
        shed = max(speed - place.speed, 0.0) / (0.7 * driver.brake)
        wait = float(rng.uniform(1.1, 1.8))
        before = speed * wait + 0.5 * (speed + place.speed) * shed + SLOW_AHEAD
        arrival = wait + shed + SLOW_AHEAD / place.speed
    place = place.moved(START + FRONT + WARM_UP * speed + before - place.gate)
    _park(rng, street, place, bodies)
    stage.traffic.gates.append(Gate(stage.forward, place.gate, zones=(_meeting(street, place),)))
    ego = stage.traffic.add(
        Actor(
            "ego", EGO_BODY, own, START, speed, driver, wander=draw_wander(rng, 0.03),
            tasks=_passing(rng, place, own),
            slows=(Slow(START - 5.0 if early else place.gate - SLOW_AHEAD, place.last, place.speed),),
        )
    )  # fmt: skip
    _oncoming(rng, difficulty, street, place, arrival)
    fill_lane(
        rng, stage.traffic, own, (place.last + 60.0, place.last + 60.0 + 6.0 * speed), speed, (2.0, 5.0), "a"
    )
    if rng.random() < 0.6:
        body, who = draw_body(rng, heavy=0.0), draw_driver(rng)
        back = START - body.length - float(rng.uniform(6.0, 25.0)) - 1.2 * speed
        stage.traffic.add(
            Actor(
                "r0", body, own, back, speed, who, wander=draw_wander(rng, 0.05),
                tasks=_passing(rng, place, own),
                slows=(Slow(place.gate - SLOW_AHEAD, place.last, place.speed),),
            )
        )  # fmt: skip
    street.add_cyclists(rng, (place.last + 15.0, place.last + 120.0))
    street.add_walkers(rng, (place.first - 60.0, place.last + 70.0))
    drive = stage.traffic.run(-WARM_UP, DURATION)
    station = drive.log[ego, :, 0]
    if station[0] > place.gate - FRONT - 5.0 or station[145] < place.first + 1.0:
        raise ScenarioError("the ego does not come to pass what stands in its lane")
    waited = bool(drive.log[ego, :, 1].min() < 0.5)
    window = stage.window(drive, ego, limit)
    s0 = float(station[0])
    return Draw(
        partial(street.build_map, rng, window, (s0 - 60.0, place.last + 110.0)),
        drive,
        ego,
        stage.lane_id("f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        stage.visible(window),
        ("parked", "two_way", "waits" if waited else "passes", *(("median",) if median else ())),
    )


def _place(rng: np.random.Generator, difficulty: float, street: Street) -> tuple[Narrow, list[Body]]:
    """A delivery van, a lorry, a bus or a row of cars, at most as far out as the ego can still pass them.

    The first of them begins at station 0.
    """
    clearance = between(rng, difficulty, (0.7, 0.9), (0.45, 0.55))
    width = street.width
    u = rng.random()
    if u < 0.45:
        bodies = [draw_van(rng)]
    elif u < 0.6:
        bodies = [CITY_BUS]
    elif u < 0.75:
        bodies = [Body(AgentKind.TRUCK, round(float(rng.uniform(7.0, 9.5)), 2), 2.45, 3.4, 2.2)]
    else:
        bodies = [draw_body(rng, heavy=0.0, vans=0.3) for _ in range(int(rng.integers(1, 4)))]
    most = width + street.median - EDGE - YAW - clearance - 0.5 * EGO_BODY.width
    # What stands about the middle of a lane might as well be queueing.
    most = min(most, 0.5 * width - 0.65 + 0.5 * bodies[0].width)
    # At least so far that nobody gets by without moving over.
    reach = max(between(rng, difficulty, (0.5, 0.65), (0.88, 1.0)) * most, 0.5 * width - 1.0)
    last = sum(b.length for b in bodies) + SPACE * (len(bodies) - 1)
    shift = -0.5 * width + reach + YAW + clearance + 0.5 * EGO_BODY.width
    speed = min(0.9 * street.limit, between(rng, difficulty, (7.0, 9.0), (5.0, 6.5)))
    out = max(17.0, 2.6 * speed) * float(rng.uniform(1.0, 1.2))
    return Narrow(0.0, last, reach, shift, -out - 2.0, out, speed), bodies


def _park(rng: np.random.Generator, street: Street, place: Narrow, bodies: list[Body]) -> None:
    at, lane = place.first, street.stage.lanes["f1"]
    for i, body in enumerate(bodies):
        into = place.reach if i == 0 else place.reach * float(rng.uniform(0.7, 1.0))
        street.stage.traffic.add(
            Actor(
                f"parked{i}", body, lane, at + 0.5 * body.length - body.rear, 0.0,
                bias=-0.5 * street.width + into - 0.5 * body.width, mode=PARKED,
                yaw=float(rng.uniform(-0.015, 0.015)),
            )
        )  # fmt: skip
        at += body.length + SPACE


def _meeting(street: Street, place: Narrow) -> Zone:
    """The stretch of the other lane that whoever passes reaches into."""
    length = street.stage.road.curve.length
    begin, end = place.first - 5.0, place.last + 7.0
    # Gates reckon with 4.5 m/s of who has stood: with its own speed, it is gone so much the sooner.
    own = EGO_BODY.length
    clear = 4.5 / max(place.speed, 4.5) * (end - place.gate + own) - own
    return Zone(street.stage.backward, length - end, length - begin, clear)


def _passing(rng: np.random.Generator, place: Narrow, own: int) -> tuple[Task, ...]:
    """Who passes looks out to the left first, moves over once it is free, and comes back."""
    begin = place.gate - FRONT - 1.2
    return (
        Task(own, 0.1, begin=begin - 45.0, length=45.0),
        Task(own, place.shift, begin=begin, length=place.out),
        Task(own, 0.0, begin=place.last + float(rng.uniform(2.0, 4.0)), length=1.1 * place.out),
    )


def _oncoming(
    rng: np.random.Generator, difficulty: float, street: Street, place: Narrow, arrival: float
) -> None:
    """Vehicles that come to the narrow place one after another, with one gap that is wide enough."""
    stage = street.stage
    lane, length = stage.lanes["b1"], stage.road.curve.length
    opens = arrival + between(rng, difficulty, (-8.0, -3.0), (-2.0, 1.2))
    closes = max(opens, arrival) + between(rng, difficulty, (14.0, 18.0), (10.5, 12.0))
    at, number = float(rng.uniform(-6.0, 0.0)), 0
    while at < 26.0:
        if not opens < at < closes:
            who = draw_driver(rng, factor=float(rng.uniform(0.85, 0.98)))
            speed = who.factor * street.limit
            body = draw_body(rng, heavy=0.06)
            front = length - place.last - 8.0 - speed * (at + WARM_UP)
            rear = front - body.rear - 0.5 * body.length
            if rear > 5.0:
                stage.traffic.add(
                    Actor(
                        f"o{number}", body, lane, rear, speed, who,
                        bias=float(rng.uniform(-0.25, 0.1)), wander=draw_wander(rng, 0.06),
                    )
                )  # fmt: skip
                number += 1
        at += between(rng, difficulty, (4.0, 12.0), (2.2, 5.0))
