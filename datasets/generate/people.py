"""People on foot and on bicycles: their bodies and paces, who walks on pavements, who crosses, who rides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.curves import chain
from drive.datasets.generate.drivers import Body, Driver, draw_driver
from drive.datasets.generate.kernels.base import WALKER
from drive.datasets.generate.roads import Profile
from drive.datasets.generate.traffic import Actor, Order, TrafficLane
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from drive.datasets.generate.curves import Curve
    from drive.datasets.generate.traffic import Traffic

STRIP = 0.8
"""Metres of a pavement that one walker needs beside another."""
BICYCLE_SPEED = (3.6, 6.2)


def walker_body(rng: np.random.Generator, child: bool = False) -> Body:
    height = float(rng.uniform(1.0, 1.4) if child else rng.uniform(1.55, 1.9))
    return Body(AgentKind.PEDESTRIAN, 0.4 if child else 0.5, 0.45 if child else 0.6, round(height, 2), 0.0)


def draw_pace(rng: np.random.Generator) -> float:
    """Walking speed in m/s: most people between 1.1 and 1.6, some slower, some in a hurry."""
    u = rng.random()
    low, high = (0.7, 1.1) if u < 0.15 else (1.6, 2.1) if u > 0.88 else (1.1, 1.6)
    return float(rng.uniform(low, high))


def bicycle(rng: np.random.Generator) -> Body:
    return Body(AgentKind.BICYCLE, round(float(rng.uniform(1.7, 1.9)), 2), 0.6, 1.75, 0.0)


def cyclist_driver(rng: np.random.Generator, limit: float) -> Driver:
    """How somebody rides on a lane whose limit is `limit` m/s."""
    return draw_driver(
        rng, factor=float(rng.uniform(*BICYCLE_SPEED)) / limit, accel=float(rng.uniform(0.6, 1.0)), gap=1.5
    )


def weaving(rng: np.random.Generator, size: float = 0.12) -> tuple[float, float, float]:
    """The `wander` of who rides or walks: a little to and fro every ten or twenty metres."""
    return (
        float(rng.uniform(0.4, 1.0)) * size,
        float(rng.uniform(12.0, 26.0)),
        float(rng.uniform(0.0, 6.28)),
    )


def stroll(
    rng: np.random.Generator,
    traffic: Traffic,
    frames: tuple[int, int],
    offset: float,
    width: float,
    span: tuple[float, float],
    prefix: str,
    *,
    spacing: tuple[float, float] = (9.0, 45.0),
    most: int = 8,
    times: tuple[float, float] = (-6.0, 15.0),
) -> list[int]:
    """Walkers on a pavement of `width` m with its middle `offset` m left of the first frame's curve.

    `frames` are the curve and the same curve reversed (-1: all walk the first one's way), `span` the
    first frame's stations at the simulation's start, `times` when it begins and ends. Each walker or
    group keeps to its own strip and pace, so that nobody walks through anybody; some of them stop to
    look at something. At most `most` walkers; returns their indices.
    """
    count = max(int(width / STRIP), 1)
    wide = width / count
    lanes = []
    for frame, sign in zip(frames, (1.0, -1.0), strict=True):
        if frame >= 0:
            lanes.append((traffic.add_lane(TrafficLane(frame, Profile.of(sign * offset), 1.0)), sign))
    made: list[int] = []
    k = 0
    while k < count:
        size = 2 if k + 1 < count and rng.random() < 0.3 else 1
        lane, sign = lanes[int(rng.integers(len(lanes)))]
        length = traffic.frames[traffic.lanes[lane].frame].length
        pace = draw_pace(rng)
        at = span[0] + float(rng.random()) * spacing[1]
        while at < span[1]:
            station = at if sign > 0 else length - at
            for member in range(size):
                if len(made) >= most:
                    return made
                bias = sign * (-0.5 * width + wide * (k + member + 0.5))
                orders: tuple[Order, ...] = ()
                if size == 1 and rng.random() < 0.25:
                    begin = float(rng.uniform(times[0], times[1] - 4.0))
                    orders = (Order(begin, begin + float(rng.uniform(1.0, 3.5)), 0.0),)
                made.append(
                    traffic.add(
                        Actor(
                            f"{prefix}{len(made)}", walker_body(rng), lane,
                            station + float(rng.uniform(-0.25, 0.25)), pace, Driver(factor=pace),
                            bias=bias, wander=weaving(rng, 0.05), orders=orders, mode=WALKER,
                        )
                    )
                )  # fmt: skip
            at += float(rng.uniform(*spacing))
        k += size
    return made


def ride(
    rng: np.random.Generator,
    traffic: Traffic,
    lane: int,
    stations: tuple[float, float],
    bias: float,
    prefix: str,
    *,
    spacing: tuple[float, float] = (25.0, 120.0),
    most: int = 3,
) -> list[int]:
    """Cyclists along a lane of the traffic, `bias` metres left of its centre (the right edge: negative).

    They begin the simulation between two stations of the lane's frame; returns their indices.
    """
    made: list[int] = []
    at = stations[0] + float(rng.random()) * spacing[1]
    while at < stations[1] and len(made) < most:
        driver = cyclist_driver(rng, traffic.lanes[lane].limit)
        speed = driver.factor * traffic.lanes[lane].limit
        name = f"{prefix}{len(made)}"
        made.append(
            traffic.add(Actor(name, bicycle(rng), lane, at, speed, driver, bias=bias, wander=weaving(rng)))
        )
        at += float(rng.uniform(*spacing))
    return made


@dataclass(frozen=True, slots=True)
class Crossing:
    """A straight way over a road: its frame, a lane on it, its length, and the road curve's place on it."""

    frame: int
    lane: int
    length: float
    middle: float

    def at(self, offset: float) -> float:
        """Station on the way where it meets the line `offset` metres left of the road's curve."""
        return abs(offset - self.middle)


def add_crossing(traffic: Traffic, curve: Curve, station: float, begin: float, end: float) -> Crossing:
    """A way over a road at a station of its curve, from the offset `begin` to the offset `end` (m)."""
    x, y, h = curve.pose(np.array([station]))[0]
    turn = 0.5 * np.pi if end > begin else -0.5 * np.pi
    start = (x - begin * np.sin(h), y + begin * np.cos(h), h + turn)
    length = abs(end - begin)
    frame = traffic.add_frame(chain([(length, 0.0, 0.0)], 0.5).moved(start))
    return Crossing(frame, traffic.add_lane(TrafficLane(frame, Profile.of(0.0), 1.0)), length, begin)


def add_walker(
    traffic: Traffic,
    crossing: Crossing,
    name: str,
    body: Body,
    pace: float,
    begin: float,
    leave: float,
    *,
    bias: float = 0.0,
    accel: float = 1.5,
    stop_at: float | None = None,
) -> int:
    """Somebody who stands at station `begin` of a crossing, and crosses from time `leave` s on at `pace`.

    With `stop_at` it walks up to that station only, and stands there to let the others pass.
    """
    orders = [Order(-1e3, leave, 0.0)]
    if stop_at is not None:
        way = stop_at - begin - stop_way(pace, accel) + start_lag(pace, accel)
        orders.append(Order(leave + way / pace, 1e3, 0.0, accel))
    return traffic.add(
        Actor(
            name, body, crossing.lane, begin, 0.0, Driver(factor=pace, accel=accel, brake=accel), bias=bias,
            orders=tuple(orders), mode=WALKER,
        )
    )  # fmt: skip


def start_lag(pace: float, accel: float) -> float:
    """Metres by which a walker who starts from a stand lags behind one who has its pace at once.

    Walkers accelerate by the smaller of `accel` and twice the missing speed per second.
    """
    steady = max(pace - 0.5 * accel, 0.0)
    return pace * steady / accel - 0.5 * steady * steady / accel + 0.5 * (pace - steady)


def stop_way(pace: float, brake: float) -> float:
    """Metres in which a walker stops: it brakes by the smaller of `brake` and its speed per second."""
    last = min(pace, brake)
    return (pace * pace - last * last) / (2.0 * brake) + last
