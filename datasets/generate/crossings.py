"""The traffic where ways meet, while it is put together: who comes when, and who gives way to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    Driver,
    draw_body,
    draw_driver,
    draw_ego_driver,
    draw_wander,
)
from drive.datasets.generate.junctions import PAVEMENT, Junction, Movement, give_way
from drive.datasets.generate.kernels.base import WALKER
from drive.datasets.generate.roads import Profile, section_id
from drive.datasets.generate.traffic import Actor, Gate, Order, Slow, Traffic, TrafficLane, Zone
from drive.errors import ScenarioError
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import numpy as np

    from drive.datasets.generate.curves import Curve
    from drive.datasets.generate.junctions import Arm
    from drive.datasets.generate.projections import Projections
    from drive.datasets.generate.traffic import Drive

WIDE = 2.3
"""Metres between two middle lines below which two vehicles would touch."""
MERGE = 2.0
"""Metres of a common way after which who has joined in from a side road has become somebody to follow."""
PANIC = 3.8
"""m/s^2 that nobody brakes with, or the scene shows no good drivers."""
NOSE = 3.5
"""Metres from a rear axle to the front of a car."""
SPAWN = 8.0
"""Metres from an arm's far end at which nobody starts nearer."""


class Way(Protocol):
    """How somebody passes: by an inbound lane of an arm to an outbound lane of another."""

    @property
    def arm(self) -> int: ...
    @property
    def lane(self) -> int: ...
    @property
    def exit(self) -> int: ...
    @property
    def exit_lane(self) -> int: ...


W = TypeVar("W", bound=Way)
V = TypeVar("V", bound=Way, contravariant=True)


class Place(Protocol[V]):
    """A junction or a roundabout."""

    @property
    def arms(self) -> tuple[Arm, ...]: ...

    def path(self, m: V, /) -> tuple[Curve, float, float]:
        """Curve along a whole way, and the stations of its stop line and of its exit."""

    def limit(self, m: V, /) -> float: ...


@dataclass
class Scene(Generic[W]):
    """The traffic of a place; a way's frame and lane are made when it is first used.

    `begin` is the time in s at which the simulation starts, `stops` the stations of each way's stop line
    and exit, `walks` the first of the two frames of an arm's crosswalk.
    """

    place: Place[W]
    begin: float
    traffic: Traffic = field(default_factory=Traffic)
    lanes: dict[W, int] = field(default_factory=dict)
    stops: dict[W, tuple[float, float]] = field(default_factory=dict)
    walks: dict[int, int] = field(default_factory=dict)

    def lane(self, m: W) -> int:
        if m not in self.lanes:
            curve, stop, leave = self.place.path(m)
            frame = self.traffic.add_frame(curve)
            limit = max(self.place.limit(m), self.limit_behind(m))
            self.lanes[m] = self.traffic.add_lane(TrafficLane(frame, Profile.of(0.0), limit))
            self.stops[m] = (stop, leave)
        return self.lanes[m]

    def limit_behind(self, m: W) -> float:
        """Limit in m/s of the road that a way leads to."""
        return self.place.arms[m.exit].road.lane(f"f{m.exit_lane}").limit

    def frame(self, m: W) -> int:
        return self.traffic.lanes[self.lanes[m]].frame

    def arrive(
        self, name: str, m: W, time: float, speed: float, body: Body, driver: Driver, **given: Any
    ) -> int:
        """Add who would have its front at the stop line at `time` if nothing held it; -1 if the arm is too
        short, or it would be beyond the line from the start."""
        lane = self.lane(m)
        ahead = speed * (time - self.begin)
        station = self.stops[m][0] - ahead - 0.5 * body.length - body.rear
        if ahead < 2.0 or station < SPAWN:
            return -1
        return self.traffic.add(Actor(name, body, lane, station, speed, driver, **given))

    def keep_limits(self) -> None:
        """Who turns into a road with another limit drives by that one there, and not before."""
        ways = {lane: m for m, lane in self.lanes.items()}
        for i, actor in enumerate(self.traffic.actors):
            m = ways.get(actor.lane)
            if m is None:
                continue
            before, behind, leave = self.place.limit(m), self.limit_behind(m), self.stops[m][1]
            share = actor.driver.factor
            if before < behind:
                slow = Slow(0.0, leave, share * before)
            elif behind < before:
                slow = Slow(leave - NOSE, self.traffic.frames[self.frame(m)].length, share * behind)
            else:
                continue
            self.traffic.edit(i, slows=(*actor.slows, slow))

    def visible(self) -> dict[int, tuple[float, float]]:
        return {f: (0.0, c.length) for f, c in enumerate(self.traffic.frames)}


def stream(
    rng: np.random.Generator,
    scene: Scene[W],
    prefix: str,
    ways: Mapping[W, float],
    times: tuple[float, float],
    apart: tuple[float, float],
    speed: float,
    *,
    free: Sequence[tuple[float, float]] = (),
    heavy: float = 0.0,
    **given: Any,
) -> list[int]:
    """Vehicles that reach the stop line one after another between two times, but not in the `free` windows.

    `ways` are the ways from one inbound lane, with weights; `apart` is the time in s from a rear to the next
    front; `given` fixes properties of the drivers.
    """
    options, weights = list(ways), [float(w) for w in ways.values()]
    total = sum(weights)
    made: list[int] = []
    if not options:
        return made
    at, number = times[0] + float(rng.uniform(0.0, apart[1])), 0
    while at < times[1]:
        u, k = float(rng.random()) * total, 0
        while k < len(options) - 1 and u >= weights[k]:
            u, k = u - weights[k], k + 1
        body = draw_body(rng, heavy=heavy)
        driver = draw_driver(rng, **given)
        wander, gap = draw_wander(rng, 0.06), float(rng.uniform(*apart))
        ends = [end for start, end in free if start < at + body.length / speed and at < end]
        if ends:
            at = max(ends)
            continue
        who = scene.arrive(f"{prefix}{number}", options[k], at, speed, body, driver, wander=wander)
        if who >= 0:
            made.append(who)
            number += 1
        at += (body.length + 2.0) / speed + gap
    return made


def add_ego(rng: np.random.Generator, scene: Scene[W], m: W, time: float, speed: float, **given: Any) -> int:
    """The ego, who would be at the stop line at `time`; raises ScenarioError where its arm is too short."""
    driver = draw_ego_driver(rng, **given)
    who = scene.arrive("ego", m, time, speed, EGO_BODY, driver, wander=draw_wander(rng, 0.04))
    if who < 0:
        raise ScenarioError("the ego would start beyond its road")
    return who


def add_walkers(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    arm: int,
    greens: Sequence[tuple[float, float]],
    number: int,
) -> None:
    """Up to four pedestrians who cross an arm, each within one of the times in s that are theirs."""
    a = junction.arms[arm]
    across = (a.lanes_in + a.lanes_out) * a.width
    curve = junction.crossing(arm)
    frames = [scene.traffic.add_frame(curve), scene.traffic.add_frame(curve.reversed())]
    lanes = [scene.traffic.add_lane(TrafficLane(f, Profile.of(0.0), 1.0)) for f in frames]
    scene.walks[arm] = frames[0]
    # Each keeps to its own strip of the crosswalk, or they would walk through each other.
    strips = rng.permutation(4)
    for i in range(number if greens else 0):
        back = int(rng.integers(2))
        bias = (-1.2 + 0.8 * float(strips[i]) + float(rng.uniform(-0.05, 0.05))) * (-1.0 if back else 1.0)
        pace = float(rng.uniform(1.1, 1.7))
        green, end = greens[int(rng.integers(len(greens)))]
        leave = green + float(rng.uniform(0.5, 4.0))
        place = PAVEMENT - 1.0 - float(rng.uniform(0.0, 1.5))
        if leave > end - across / pace - 1.0:
            continue
        scene.traffic.add(
            Actor(
                f"p{arm}{i}", Body(AgentKind.PEDESTRIAN, 0.5, 0.6, 1.75, 0.0), lanes[back], place, 0.0,
                Driver(factor=pace), bias=bias, orders=(Order(-100.0, leave, 0.0),), mode=WALKER,
            )
        )  # fmt: skip


def add_light_gates(
    scene: Scene[Movement],
    seen: Projections,
    row: Callable[[Movement], int],
    protected: Callable[[Movement], bool],
) -> None:
    """Stop lines at lights (`row` of the signals), and turning traffic that gives way."""
    traffic = scene.traffic
    for m, (stop, leave) in scene.stops.items():
        frame = scene.frame(m)
        traffic.gates.append(Gate(frame, stop - 0.5, row(m)))
        # Green is no leave to drive into those who still clear the junction.
        clearing = []
        for x, (enter, _) in scene.stops.items():
            if (x.arm - m.arm) % 2:
                meet = seen.conflict(frame, scene.frame(x), (stop, leave), WIDE, 18.0)
                if meet is not None:
                    clearing.append(Zone(scene.frame(x), enter, meet[3], meet[1] - stop))
        if clearing:
            traffic.gates.append(Gate(frame, stop - 0.45, zones=tuple(clearing), occupied=True))
        if m.turn == "left" and not protected(m):
            against = [x for x in scene.stops if x.arm == (m.arm + 2) % 4 and x.turn != "left"]
            _give_way(scene, seen, m, against)
        _let_walk(scene, seen, m)


def add_priority_gates(scene: Scene[Movement], seen: Projections, minor: Sequence[int]) -> None:
    """Who comes in by a minor arm waits at its line; who turns left off the major road, inside."""

    def rank(m: Movement) -> int:
        if m.arm not in minor:
            return int(m.turn == "left")
        return {"right": 2, "straight": 3, "left": 4}[m.turn]

    for m, (stop, _) in scene.stops.items():
        before = [x for x in scene.stops if rank(x) < rank(m) and x.arm != m.arm]
        _give_way(scene, seen, m, before, stop - 0.5 if m.arm in minor else None)
        _let_walk(scene, seen, m)


def _give_way(
    scene: Scene[Movement], seen: Projections, m: Movement, others: list[Movement], at: float | None = None
) -> None:
    stop, leave = scene.stops[m]
    stretch = {scene.frame(x): MERGE if x.exit == m.exit else 18.0 for x in others}
    gate = give_way(seen, scene.frame(m), stretch, (stop, leave + 12.0), WIDE, 2.5, at)
    if gate is not None:
        scene.traffic.gates.append(gate)


def _let_walk(scene: Scene[Movement], seen: Projections, m: Movement) -> None:
    """Turning traffic lets those go first who walk over the arm that it leaves by."""
    if m.turn != "straight" and m.exit in scene.walks:
        stop, leave = scene.stops[m]
        walk = scene.walks[m.exit]
        gate = give_way(seen, scene.frame(m), {walk: 18.0, walk + 1: 18.0}, (stop, leave + 2.0), 2.2, 2.0)
        if gate is not None:
            scene.traffic.gates.append(gate)


def refuse_panic(drive: Drive) -> None:
    """Raise ScenarioError where somebody has to brake as people do only in an emergency."""
    hardest = drive.log[:, :, 2].min(axis=1)
    if hardest.min() < -PANIC:
        who = drive.traffic.actors[int(hardest.argmin())].name
        raise ScenarioError(f"'{who}' brakes with {-float(hardest.min()):.1f} m/s^2")


def route_ends(place: Place[W], scene: Scene[W], m: W, drive: Drive, ego: int) -> tuple[str, str]:
    """Ids of the map's lanes where the ego starts and where its arm of exit ends.

    Raises ScenarioError when the ego starts less than 6 m before its stop line.
    """
    approach, leave = place.arms[m.arm], place.arms[m.exit]
    start = scene.stops[m][0] - float(drive.log[ego, 0, 0])
    if start < 6.0:
        raise ScenarioError("the ego is in the junction before the scenario begins")
    sections = approach.road.sections(0.0, approach.road.curve.length)
    index = next(i for i, (_, b) in enumerate(sections) if start <= b + 2.0)
    last = len(leave.road.sections(0.0, leave.road.curve.length)) - 1
    return (
        section_id(approach.road, approach.road.lane(f"b{m.lane}"), index),
        section_id(leave.road, leave.road.lane(f"f{m.exit_lane}"), last),
    )


def command(place: Place[W], m: W, word: str) -> tuple[tuple[tuple[float, float], str], ...]:
    """The command of a route that turns: where its stop line is, and the word."""
    arm = place.arms[m.arm]
    stop = arm.inward(arm.place(f"b{m.lane}"))
    return (((float(stop[0]), float(stop[1])), word),)
