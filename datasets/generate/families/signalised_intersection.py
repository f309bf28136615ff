"""A junction of four arms with traffic lights: queues, cross traffic, turning, pedestrians."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    Driver,
    draw_body,
    draw_driver,
    draw_ego_driver,
    draw_wander,
)
from drive.datasets.generate.families.stage import KMH, pick
from drive.datasets.generate.junctions import PAVEMENT, Junction, Movement, conflict, four_arms, give_way
from drive.datasets.generate.kernels.base import WALKER
from drive.datasets.generate.roads import Atlas, Profile, section_id
from drive.datasets.generate.scene import DURATION, SAMPLES, Draw, reach
from drive.datasets.generate.signals import Programme, at_onset
from drive.datasets.generate.traffic import STEP, Actor, Gate, Order, Traffic, TrafficLane, Zone
from drive.errors import ScenarioError
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WARM_UP = 12.0


@dataclass
class Scene:
    """The junction's traffic while it is put together."""

    junction: Junction
    protected: bool
    traffic: Traffic = field(default_factory=Traffic)
    lanes: dict[Movement, int] = field(default_factory=dict)
    stops: dict[Movement, tuple[float, float]] = field(default_factory=dict)
    walks: dict[int, int] = field(default_factory=dict)

    def lane(self, m: Movement) -> int:
        """The traffic lane of a movement, made when it is first used."""
        if m not in self.lanes:
            curve, stop, leave = self.junction.path(m)
            frame = self.traffic.add_frame(curve)
            limit = self.junction.arms[m.arm].road.lane(f"b{m.lane}").limit
            self.lanes[m] = self.traffic.add_lane(TrafficLane(frame, Profile.of(0.0), limit))
            self.stops[m] = (stop, leave)
        return self.lanes[m]

    def frame(self, m: Movement) -> int:
        return self.traffic.lanes[self.lanes[m]].frame

    def group(self, m: Movement) -> str:
        main = m.arm % 2 == 0
        if main and self.protected and m.turn == "left":
            return "main_left"
        return "main" if main else "side"

    def signal_id(self, m: Movement) -> str:
        return f"arm{m.arm}_left" if self.group(m) == "main_left" else f"arm{m.arm}"


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
    lengths = [230.0 + 6.0 * limits[k] for k in range(4)]
    lengths[ego_arm] = 230.0 + (WARM_UP + 5.0) * limits[ego_arm]
    lengths[exit_arm] = max(lengths[exit_arm], reach(max(limits)) + 60.0)
    arms, at = four_arms(rng, lanes, [float(np.round(x)) for x in lengths], limits, width)
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
    scene = Scene(junction, protected)
    mine = [m for m in junction.movements if m.arm == ego_arm and m.turn == turn]
    own = mine[int(rng.integers(len(mine)))]
    programme, event = _programme(rng, scene, own)
    ego = _add_ego(rng, scene, own, event, limit)
    _add_vehicles(rng, scene, own)
    _add_walkers(rng, scene, programme)
    signal_ids = list(dict.fromkeys(scene.signal_id(m) for m in junction.movements))
    groups = {scene.signal_id(m): scene.group(m) for m in junction.movements}
    tables = scene.traffic.projections()
    _add_gates(scene, signal_ids, tables)

    times = -WARM_UP + STEP * np.arange(round((WARM_UP + DURATION) / STEP) + 1)
    signals = np.stack([programme.states(groups[s], times) for s in signal_ids])
    drive = scene.traffic.run(-WARM_UP, DURATION, signals, tables)

    atlas = Atlas()
    junction.add_to(atlas, scene.signal_id)
    roadmap = atlas.build()
    first = round(WARM_UP / STEP)
    logged = signals[[signal_ids.index(s) for s in roadmap.signal_ids], first::2]
    assert logged.shape[1] == SAMPLES
    approach, leave = junction.arms[own.arm], junction.arms[own.exit]
    start = scene.stops[own][0] - float(drive.log[ego, 0, 0])
    if start < 6.0:
        raise ScenarioError("the ego is in the junction before the scenario begins")
    sections = approach.road.sections(0.0, approach.road.curve.length)
    index = next(i for i, (_, b) in enumerate(sections) if start <= b + 2.0)
    last = len(leave.road.sections(0.0, leave.road.curve.length)) - 1
    stop = approach.inward(approach.place(f"b{own.lane}"))
    return Draw(
        roadmap,
        drive,
        ego,
        section_id(approach.road, approach.road.lane(f"b{own.lane}"), index),
        section_id(leave.road, leave.road.lane(f"f{own.exit_lane}"), last),
        {f: (0.0, c.length) for f, c in enumerate(scene.traffic.frames)},
        ("intersection", turn, event, *(("protected",) if scene.group(own) == "main_left" else ())),
        commands=(((float(stop[0]), float(stop[1])), turn),),
        signals=logged,
    )


def _programme(rng: np.random.Generator, scene: Scene, own: Movement) -> tuple[Programme, str]:
    """Lights such that the ego's change in its view, or stay green; times in tenths of a second."""

    def tenth(low: float, high: float) -> float:
        return float(np.round(rng.uniform(low, high), 1))

    order = [("main", tenth(14.0, 24.0)), ("side", tenth(13.0, 20.0))]
    if scene.protected:
        order.insert(0, ("main_left", tenth(8.0, 13.0)))
    limit = scene.junction.arms[own.arm].road.lane("b1").limit
    yellow = 3.0 if limit < 14.5 else 4.0
    u = rng.random()
    event = "turns_green" if u < 0.5 else "turns_red" if u < 0.8 else "green"
    group = scene.group(own)
    if event == "turns_green":
        when, which = tenth(0.8, 5.5), "green"
    elif event == "turns_red":
        when, which = tenth(0.5, 5.5), "yellow"
    else:
        when, which = tenth(-4.0, -1.0), "green"
    return at_onset(order, yellow, 2.0, group, when, which), event


def _add_ego(rng: np.random.Generator, scene: Scene, own: Movement, event: str, limit: float) -> int:
    """The ego and the queue ahead of it."""
    lane = scene.lane(own)
    stop, _ = scene.stops[own]
    speed = 0.8 * limit
    if event == "turns_green":
        away = float(rng.uniform(30.0, 60.0 + 0.7 * WARM_UP * speed))
    else:
        away = float(rng.uniform(20.0, 75.0)) + WARM_UP * 0.85 * speed
    driver = draw_ego_driver(rng, lateral=float(rng.uniform(1.1, 1.5)))
    station = stop - away - EGO_BODY.length
    ego = scene.traffic.add(
        Actor("ego", EGO_BODY, lane, station, speed, driver, wander=draw_wander(rng, 0.04))
    )
    ahead = station + 6.0 + 1.2 * speed
    number = int(rng.integers(0, 3))
    for i in range(number):
        if ahead > stop - 12.0:
            break
        # Who queues ahead goes the ego's way or another way from the same lane.
        ways = [m for m in scene.junction.movements if (m.arm, m.lane) == (own.arm, own.lane)]
        way = own if rng.random() < 0.6 else ways[int(rng.integers(len(ways)))]
        body = draw_body(rng, heavy=0.1 if way.turn == "straight" else 0.0)
        v = speed * min(1.0, max(stop - ahead, 10.0) / 40.0)
        scene.traffic.add(
            Actor(f"q{i}", body, scene.lane(way), ahead, v, draw_driver(rng), wander=draw_wander(rng, 0.06))
        )
        ahead += body.length + 4.0 + speed * float(rng.uniform(1.0, 2.2))
    return ego


def _add_vehicles(rng: np.random.Generator, scene: Scene, own: Movement) -> None:
    """Vehicles on every inbound lane, each with a way from that lane."""
    arms = scene.junction.arms
    for k, arm in enumerate(arms):
        for lane in range(1, arm.lanes_in + 1):
            ways = [m for m in scene.junction.movements if (m.arm, m.lane) == (k, lane)]
            length = arm.road.curve.length - 14.0
            limit = arm.road.lane(f"b{lane}").limit
            speed = 0.75 * limit
            ours = (k, lane) == (own.arm, own.lane)
            if ours:
                mine = scene.traffic.actors[0].station
                at, number = mine - 9.0 - 1.2 * speed, int(rng.integers(0, 3))
            else:
                at, number = length - float(rng.uniform(0.0, 90.0)), int(rng.integers(1, 5))
            for i in range(number):
                way = ways[int(rng.integers(len(ways)))]
                body = draw_body(rng, heavy=0.1 if way.turn == "straight" else 0.0)
                driver, bias = draw_driver(rng), float(rng.uniform(-0.1, 0.1))
                if not ours and lane == 1 and way.turn == "straight" and rng.random() < 0.12:
                    body = Body(AgentKind.BICYCLE, 1.8, 0.6, 1.7, 0.0)
                    driver, bias = (
                        draw_driver(rng, factor=float(rng.uniform(4.0, 6.0)) / limit, accel=0.9),
                        -0.8,
                    )
                rear = at - body.length
                if rear < 12.0:
                    break
                v = min(speed, driver.factor * limit) * min(1.0, max(length - at, 8.0) / 40.0)
                name = f"v{k}{lane}{i}"
                scene.traffic.add(
                    Actor(
                        name, body, scene.lane(way), rear, v, driver, bias=bias, wander=draw_wander(rng, 0.06)
                    )
                )
                at = rear - 4.0 - speed * float(rng.uniform(1.2, 5.0))


def _add_walkers(rng: np.random.Generator, scene: Scene, programme: Programme) -> None:
    """Pedestrians who cross an arm while the traffic beside them has green."""
    for k, arm in enumerate(scene.junction.arms):
        if rng.random() < 0.35:
            continue
        group = "side" if k % 2 == 0 else "main"
        across = (arm.lanes_in + arm.lanes_out) * arm.width
        curve = scene.junction.crossing(k)
        frames = [scene.traffic.add_frame(curve), scene.traffic.add_frame(curve.reversed())]
        lanes = [scene.traffic.add_lane(TrafficLane(f, Profile.of(0.0), 1.0)) for f in frames]
        scene.walks[k] = frames[0]
        # Each keeps to its own strip of the crosswalk, or they would walk through each other.
        strips = rng.permutation(4)
        for i in range(int(rng.integers(1, 5))):
            back = int(rng.integers(2))
            strip = (-1.2 + 0.8 * float(strips[i]) + float(rng.uniform(-0.05, 0.05))) * (
                -1.0 if back else 1.0
            )
            pace = float(rng.uniform(1.1, 1.7))
            greens = programme.greens(group, -WARM_UP, 11.0)
            if not greens:
                break
            green, yellow = greens[int(rng.integers(len(greens)))]
            latest = yellow - across / pace - 1.0
            leave = green + float(rng.uniform(0.5, 4.0))
            if leave > latest:
                continue
            body = Body(AgentKind.PEDESTRIAN, 0.5, 0.6, 1.75, 0.0)
            place = PAVEMENT - 1.0 - float(rng.uniform(0.0, 1.5))
            scene.traffic.add(
                Actor(
                    f"p{k}{i}", body, lanes[back], place, 0.0, Driver(factor=pace),
                    bias=strip, orders=(Order(-100.0, leave, 0.0),), mode=WALKER,
                )
            )  # fmt: skip


def _add_gates(
    scene: Scene, signal_ids: Sequence[str], tables: tuple[NDArray[np.float64], NDArray[np.int64]]
) -> None:
    """Stop lines, and where turning traffic gives way to oncoming traffic and to pedestrians."""
    traffic = scene.traffic
    for m, (stop, leave) in scene.stops.items():
        frame = scene.frame(m)
        traffic.gates.append(Gate(frame, stop - 0.5, signal_ids.index(scene.signal_id(m))))
        # Green is no leave to drive into those who still clear the junction.
        clearing = []
        for x, (enter, _) in scene.stops.items():
            if (x.arm - m.arm) % 2:
                meet = conflict(tables, traffic, frame, scene.frame(x), (stop, leave), 2.3, 18.0)
                if meet is not None:
                    clearing.append(Zone(scene.frame(x), enter, meet[3], meet[1] - stop))
        if clearing:
            traffic.gates.append(Gate(frame, stop - 0.45, zones=tuple(clearing), occupied=True))
        if m.turn == "straight":
            continue
        if m.turn == "left":
            against = [
                scene.frame(x)
                for x in scene.stops
                if x.arm == (m.arm + 2) % 4 and x.turn != "left" and scene.group(m) != "main_left"
            ]
            gate = give_way(tables, traffic, frame, against, (stop, leave + 12.0), 2.3, 2.5)
            if gate is not None:
                traffic.gates.append(gate)
        if m.exit in scene.walks:
            walk = scene.walks[m.exit]
            gate = give_way(tables, traffic, frame, [walk, walk + 1], (stop, leave + 2.0), 2.2, 2.0)
            if gate is not None:
                traffic.gates.append(gate)
