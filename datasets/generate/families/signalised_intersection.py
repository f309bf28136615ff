"""A junction of four arms with traffic lights: queues, cross traffic, turning, pedestrians."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.check import MAX_START_ACCELERATION
from drive.datasets.generate.crossings import (
    Scene,
    add_light_gates,
    add_walkers,
    command,
    route_ends,
)
from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    draw_body,
    draw_driver,
    draw_ego_driver,
    draw_wander,
)
from drive.datasets.generate.families.stage import KMH, between, pick
from drive.datasets.generate.junctions import Junction, Movement, draw_arms
from drive.datasets.generate.projections import project
from drive.datasets.generate.scene import DURATION, SAMPLES, Draw, reach
from drive.datasets.generate.signals import Programme, at_onset
from drive.datasets.generate.traffic import STEP, Actor
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM_UP = 12.0
SPARE = 4.0
"""Seconds by which the scenario may begin later, once the ego drives calmly."""


class Lights:
    """Which signal rules whom: each arm has one, and a main road's protected left turn its own."""

    def __init__(self, protected: bool) -> None:
        self.protected = protected

    def group(self, m: Movement) -> str:
        main = m.arm % 2 == 0
        if main and self.protected and m.turn == "left":
            return "main_left"
        return "main" if main else "side"

    def signal(self, m: Movement) -> str:
        return f"arm{m.arm}_left" if self.group(m) == "main_left" else f"arm{m.arm}"

    def is_protected(self, m: Movement) -> bool:
        return self.group(m) == "main_left"


def draw_junction(rng: np.random.Generator, ego_arm: int, turn: str) -> tuple[Junction, bool, float]:
    """A junction, whether its main road's left turns have their own phase, and the ego's limit."""
    limit = round(KMH * pick(rng, 30, 40, 50, 50, 60), 3)
    side_limit = round(min(limit, KMH * pick(rng, 30, 40, 50)), 3)
    limits = [limit, side_limit, limit, side_limit]
    width = round(float(rng.uniform(3.0, 3.5)), 2)
    main, side = int(rng.integers(1, 4)), 1 if rng.random() < 0.6 else 2
    protected = main >= 2 and bool(rng.random() < 0.6)
    exit_arm = (ego_arm + {"right": 1, "straight": 2, "left": 3}[turn]) % 4
    inbound = [main, side, main, side]
    # Lanes that go straight on decide how many lanes leave on the other side.
    through = [max(1, main - (1 if protected or main == 3 else 0)), side]
    lanes = [(inbound[k], through[k % 2]) for k in range(4)]
    lengths = [170.0 + 6.0 * limits[k] for k in range(4)]
    lengths[ego_arm] = 140.0 + (WARM_UP + 5.0) * limits[ego_arm]
    lengths[exit_arm] = max(lengths[exit_arm], reach(max(limits)) + 60.0)
    arms, at = draw_arms(rng, lanes, [float(np.round(x)) for x in lengths], limits, width)
    movements = []
    for k in range(4):
        n, straight = inbound[k], through[k % 2]
        opposite, right, left = (k + 2) % 4, (k + 1) % 4, (k + 3) % 4
        movements += [Movement(k, i, opposite, i) for i in range(1, straight + 1)]
        movements.append(Movement(k, 1, right, 1))
        movements.append(Movement(k, n, left, lanes[left][1]))
    return Junction(arms, tuple(movements), at), protected, limits[ego_arm]


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    ego_arm = int(rng.integers(4))
    turn = ("straight", "left", "right")[int(np.searchsorted([0.42, 0.74], rng.random()))]
    junction, protected, limit = draw_junction(rng, ego_arm, turn)
    lights, scene = Lights(protected), Scene(junction, -WARM_UP)
    mine = [m for m in junction.movements if m.arm == ego_arm and m.turn == turn]
    own = mine[int(rng.integers(len(mine)))]
    programme, event = _programme(rng, lights, own, limit)
    ego = _add_ego(rng, scene, junction, own, event, limit)
    _add_vehicles(rng, scene, junction, own, difficulty)
    for k in range(4):
        if rng.random() < 0.25 + 0.6 * difficulty:
            greens = programme.greens("side" if k % 2 == 0 else "main", -WARM_UP, 11.0)
            add_walkers(rng, scene, junction, k, greens, int(rng.integers(1, 3 + round(2.0 * difficulty))))
    ids = list(dict.fromkeys(lights.signal(m) for m in junction.movements))
    groups = {lights.signal(m): lights.group(m) for m in junction.movements}
    scene.keep_limits()
    seen = project(scene.traffic.frames)
    add_light_gates(scene, seen, lambda m: ids.index(lights.signal(m)), lights.is_protected)

    times = -WARM_UP + STEP * np.arange(round((WARM_UP + DURATION + SPARE) / STEP) + 1)
    signals = np.stack([programme.states(groups[s], times) for s in ids])
    drive = scene.traffic.run(-WARM_UP, DURATION + SPARE, signals, seen)
    drive, late = drive.from_calm(ego, SAMPLES, MAX_START_ACCELERATION)
    ends = route_ends(junction, scene, own, drive, ego)

    first = round(WARM_UP / STEP) + 2 * late
    return Draw(
        partial(junction.build_map, lights.signal),
        drive,
        ego,
        *ends,
        scene.visible(),
        ("intersection", turn, event, *(("protected",) if lights.is_protected(own) else ())),
        commands=command(junction, own, turn),
        signals=dict(zip(ids, signals[:, first::2][:, :SAMPLES], strict=True)),
    )


def _programme(
    rng: np.random.Generator, lights: Lights, own: Movement, limit: float
) -> tuple[Programme, str]:
    """Lights such that the ego's change in its view, or stay green; times in tenths of a second."""

    def tenth(low: float, high: float) -> float:
        return float(np.round(rng.uniform(low, high), 1))

    order = [("main", tenth(14.0, 24.0)), ("side", tenth(13.0, 20.0))]
    if lights.protected:
        order.insert(0, ("main_left", tenth(8.0, 13.0)))
    yellow = 3.0 if limit < 14.5 else 4.0
    u = rng.random()
    event = "turns_green" if u < 0.5 else "turns_red" if u < 0.8 else "green"
    if event == "turns_green":
        when, which = tenth(0.8, 5.5), "green"
    elif event == "turns_red":
        when, which = tenth(0.5, 5.5), "yellow"
    else:
        when, which = tenth(-4.0, -1.0), "green"
    return at_onset(order, yellow, 2.0, lights.group(own), when, which), event


def _ways(junction: Junction, arm: int, lane: int) -> Sequence[Movement]:
    return [m for m in junction.movements if (m.arm, m.lane) == (arm, lane)]


def _add_ego(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    own: Movement,
    event: str,
    limit: float,
) -> int:
    """The ego and the queue ahead of it."""
    lane = scene.lane(own)
    stop, _ = scene.stops[own]
    speed = 0.8 * limit
    if event == "turns_green":
        away = float(rng.uniform(30.0, 60.0 + 0.7 * WARM_UP * speed))
    else:
        away = float(rng.uniform(40.0, 85.0)) + WARM_UP * 0.88 * limit
    driver = draw_ego_driver(rng, lateral=float(rng.uniform(1.1, 1.5)))
    station = stop - away - EGO_BODY.length
    ego = scene.traffic.add(
        Actor("ego", EGO_BODY, lane, station, speed, driver, wander=draw_wander(rng, 0.04))
    )
    ahead = station + 6.0 + 1.2 * speed
    for i in range(int(rng.integers(0, 3))):
        if ahead > stop - 12.0:
            break
        # Who queues ahead goes the ego's way or another way from the same lane.
        ways = _ways(junction, own.arm, own.lane)
        way = own if rng.random() < 0.6 else ways[int(rng.integers(len(ways)))]
        body = draw_body(rng, heavy=0.1 if way.turn == "straight" else 0.0)
        v = speed * min(1.0, max(stop - ahead, 10.0) / 40.0)
        scene.traffic.add(
            Actor(f"q{i}", body, scene.lane(way), ahead, v, draw_driver(rng), wander=draw_wander(rng, 0.06))
        )
        ahead += body.length + 4.0 + speed * float(rng.uniform(1.0, 2.2))
    return ego


def _add_vehicles(
    rng: np.random.Generator, scene: Scene[Movement], junction: Junction, own: Movement, difficulty: float
) -> None:
    """Vehicles on every inbound lane, each with a way from that lane."""
    for k, arm in enumerate(junction.arms):
        for lane in range(1, arm.lanes_in + 1):
            ways = _ways(junction, k, lane)
            length = arm.road.curve.length - 14.0
            limit = arm.road.lane(f"b{lane}").limit
            speed = 0.75 * limit
            ours = (k, lane) == (own.arm, own.lane)
            if ours:
                mine = scene.traffic.actors[0].station
                at, number = mine - 9.0 - 1.2 * speed, int(rng.integers(0, 3))
            else:
                at = length - float(rng.uniform(0.0, 90.0))
                number = round(between(rng, difficulty, (0.5, 3.5), (2.5, 5.5)))
            for i in range(number):
                way = ways[int(rng.integers(len(ways)))]
                body = draw_body(rng, heavy=0.1 if way.turn == "straight" else 0.0)
                driver = draw_driver(rng, critical=between(rng, difficulty, (1.2, 2.0), (0.5, 1.2)))
                bias = float(rng.uniform(-0.1, 0.1))
                if not ours and lane == 1 and way.turn == "straight" and rng.random() < 0.12:
                    body = Body(AgentKind.BICYCLE, 1.8, 0.6, 1.7, 0.0)
                    pace = float(rng.uniform(4.0, 6.0))
                    driver, bias = draw_driver(rng, factor=pace / limit, accel=0.9), -0.8
                rear = at - body.length
                if rear < 12.0:
                    break
                v = min(speed, driver.factor * limit) * min(1.0, max(length - at, 8.0) / 40.0)
                wander = draw_wander(rng, 0.06)
                scene.traffic.add(
                    Actor(f"v{k}{lane}{i}", body, scene.lane(way), rear, v, driver, bias=bias, wander=wander)
                )
                at = rear - 4.0 - speed * between(rng, difficulty, (2.5, 5.5), (1.2, 2.8))
