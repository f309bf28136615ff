"""The traffic that drivers make together: where they are, what they are asked to do, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.generate.curves import blend
from drive.datasets.generate.drivers import Driver, draw_body, draw_driver, draw_wander
from drive.datasets.generate.kernels import base as k
from drive.datasets.generate.kernels.drive import drive_all
from drive.datasets.generate.projections import project
from drive.datasets.generate.roads import Profile, lane_pose, offset_pose, rounded
from drive.errors import ScenarioError
from drive.vehicle import VehicleParams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.curves import Curve
    from drive.datasets.generate.drivers import Body
    from drive.datasets.generate.projections import Projections

    Floats = NDArray[np.float64]

STEP = 0.05
"""Seconds of one simulation step; every second one is logged."""


@dataclass(frozen=True, slots=True)
class Task:
    """Move to `lane` with `bias` metres beside its centre: not before station `begin` or time `after`,
    at the latest at station `by`, over `length` metres (None: as long as the driver's lane change takes).

    With `behind`, only once the gap to that agent behind is `gap` metres.
    """

    lane: int
    bias: float = 0.0
    begin: float = -np.inf
    by: float = np.inf
    length: float | None = None
    after: float = -np.inf
    behind: int = -1
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """Between two times, drive at most at `speed`, braking by at most `brake` m/s^2."""

    begin: float
    end: float
    speed: float
    brake: float = 2.0


@dataclass(frozen=True, slots=True)
class Slow:
    """Between two stations of its rear axle a driver goes at most at `speed`, reached by gentle braking."""

    begin: float
    end: float
    speed: float


@dataclass(frozen=True, slots=True)
class Actor:
    """A road user at the start of the simulation: rear-axle station (m) and speed on a lane of the traffic.

    `bias` is its place beside the lane's centre; `wander` (amplitude m, wavelength m, phase rad) how it
    weaves; `yaw` turns a parked vehicle.
    """

    name: str
    body: Body
    lane: int
    station: float
    speed: float
    driver: Driver = field(default_factory=Driver)
    bias: float = 0.0
    wander: tuple[float, float, float] = (0.0, 200.0, 0.0)
    tasks: tuple[Task, ...] = ()
    orders: tuple[Order, ...] = ()
    slows: tuple[Slow, ...] = ()
    mode: int = k.VEHICLE
    yaw: float = 0.0


@dataclass(frozen=True, slots=True)
class TrafficLane:
    """A lane of a frame: offset from its curve, limit in m/s, lanes to change to (left, right), where."""

    frame: int
    offset: Profile
    limit: float
    near: tuple[int, int] = (-1, -1)
    span: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class Zone:
    """Stretch [enter, leave] of another frame that crosses the way, left behind `clear` metres on."""

    frame: int
    enter: float
    leave: float
    clear: float


@dataclass(frozen=True, slots=True)
class Gate:
    """A stop line on a frame: of a signal (its row), or of who has to give way to `zones`.

    `occupied`: give way only to who is inside a zone, as at a light that has just turned green.
    """

    frame: int
    station: float
    signal: int = -1
    zones: tuple[Zone, ...] = ()
    occupied: bool = False


@dataclass
class Traffic:
    """Frames (curves that agents follow), lanes, gates and actors, to be driven by `run`."""

    frames: list[Curve] = field(default_factory=list)
    lanes: list[TrafficLane] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)

    def add_frame(self, curve: Curve) -> int:
        self.frames.append(curve)
        return len(self.frames) - 1

    def add_lane(self, lane: TrafficLane) -> int:
        self.lanes.append(lane)
        return len(self.lanes) - 1

    def add(self, actor: Actor) -> int:
        self.actors.append(actor)
        return len(self.actors) - 1

    def edit(self, index: int, **changes: Any) -> None:
        self.actors[index] = replace(self.actors[index], **changes)

    def run(
        self,
        begin: float,
        end: float,
        signals: NDArray[np.uint8] | None = None,
        seen: Projections | None = None,
        aware: Floats | None = None,
    ) -> Drive:
        """Simulate from `begin` (negative: a warm-up) to `end` in s.

        `signals (S, N)` are on the simulation's steps; `seen` are the frames' projections, if they are known.
        `aware (A, A)` is the time from which a driver (row) takes notice of somebody; without it, always.
        """
        steps = round((end - begin) / STEP) + 1
        if signals is None:
            signals = np.zeros((1, steps), dtype=np.uint8)
        seen = seen or project(self.frames)
        lane = _lane_tables(self)
        actors = _actor_tables(self.actors)
        gates, zones = _gate_tables(self.gates)
        n = len(self.actors)
        moves = np.zeros(n, dtype=np.int64)
        begin_at, length, when = (np.zeros((n, k.MAX_MOVES)) for _ in range(3))
        lanes, bias = np.zeros((n, k.MAX_MOVES + 1), dtype=np.int64), np.zeros((n, k.MAX_MOVES + 1))
        out = np.zeros((steps, n, 3))
        for i, a in enumerate(self.actors):
            lanes[i, 0], bias[i, 0] = a.lane, a.bias
            out[0, i, :2] = a.station, a.speed
        frame = np.asarray([self.lanes[a.lane].frame for a in self.actors])
        mode = np.asarray([a.mode for a in self.actors])
        drive_all(
            seen.size, seen.step, seen.start, seen.table, seen.near, *lane, frame, mode, *actors,
            np.zeros((0, 0)) if aware is None else aware,
            moves, begin_at, length, lanes, bias, when, gates, zones, signals, begin, STEP,
            *_scratch(steps, n, len(gates), int(seen.size.max())), out,
        )  # fmt: skip
        first = round(-begin / STEP)
        log = np.ascontiguousarray(out[first::2].transpose(1, 0, 2))
        return Drive(self, log, moves, begin_at, length, lanes, bias, when, out, begin)


@dataclass(frozen=True, eq=False)
class Drive:
    """What came of it: `log (A, T, 3)` station, speed, acceleration every 0.1 s from time 0, and the moves.

    `full (N, A, 3)` is the whole simulation on its own steps, from time `begin`; `states` keeps the rear-axle
    states that were asked for.
    """

    traffic: Traffic
    log: Floats
    moves: NDArray[np.int64]
    move_begin: Floats
    move_length: Floats
    move_lane: NDArray[np.int64]
    move_bias: Floats
    move_time: Floats
    full: Floats
    begin: float
    states: dict[int, Floats] = field(default_factory=dict, repr=False)

    def frame(self, agent: int) -> int:
        return self.traffic.lanes[self.traffic.actors[agent].lane].frame

    def from_calm(self, agent: int, samples: int, most: float, earliest: int = 0) -> tuple[Drive, int]:
        """The first `samples` moments that begin while an agent accelerates by at most `most` m/s^2.

        Also how many logged samples were left out before them, at least `earliest`; raises ScenarioError
        where none are calm.
        """
        spare = self.log.shape[1] - samples
        calm = np.abs(self.log[agent, : spare + 1, 2]) <= most
        calm[:earliest] = False
        if not calm.any():
            raise ScenarioError("the ego brakes or accelerates hard wherever it could begin")
        k = int(np.argmax(calm))
        log = np.ascontiguousarray(self.log[:, k : k + samples])
        return replace(
            self, log=log, move_time=self.move_time - 0.1 * k, begin=self.begin - 0.1 * k, states={}
        ), k

    def offset(self, agent: int, station: Floats) -> Floats:
        """Lateral offset from the frame's curve: lane, moves and wander."""
        actor, lanes = self.traffic.actors[agent], self.traffic.lanes
        targets = [
            lanes[self.move_lane[agent, m]].offset(station) + self.move_bias[agent, m]
            for m in range(self.moves[agent] + 1)
        ]
        d = targets[0]
        for m in range(self.moves[agent]):
            u = (station - self.move_begin[agent, m]) / self.move_length[agent, m]
            d = d + blend(u) * (targets[m + 1] - targets[m])
        amplitude, wavelength, phase = actor.wander
        return np.asarray(d + amplitude * np.sin(2.0 * np.pi * station / wavelength + phase))

    def lane_now(self, agent: int, step: int) -> int:
        """Lane that an agent drives in or moves to at a logged sample."""
        started = self.move_time[agent, : self.moves[agent]] <= 0.1 * step
        return int(self.move_lane[agent, int(started.sum())])

    def rear_states(self, agent: int) -> Floats:
        """States `(T, 7)` at the rear axle, in the columns of `drive.vehicle`, rounded."""
        if agent not in self.states:
            self.states[agent] = self._rear_states(agent)
        return self.states[agent]

    def _rear_states(self, agent: int) -> Floats:
        s, v, a = self.log[agent].T
        actor, curve = self.traffic.actors[agent], self.traffic.frames[self.frame(agent)]
        d, up, down = self.offset(agent, s), self.offset(agent, s + 0.5), self.offset(agent, s - 0.5)
        pose, kappa = offset_pose(curve, s, d, up - down, 4.0 * (up - 2.0 * d + down))
        heading = pose[:, 2] + actor.yaw
        heading = -((-heading + np.pi) % (2.0 * np.pi) - np.pi)
        wheelbase = VehicleParams().wheelbase if actor.name == "ego" else 0.6 * actor.body.length
        steering = np.arctan(wheelbase * kappa)
        columns = [pose[:, 0], pose[:, 1], heading, v, a, steering, v * kappa]
        digits = (4, 4, 6, 4, 4, 6, 6)
        return np.stack([rounded(c, n) for c, n in zip(columns, digits, strict=True)], axis=-1)


def _lane_tables(traffic: Traffic) -> tuple[Any, ...]:
    offsets, kappas, starts, at = [], [], [], 0
    for lane in traffic.lanes:
        curve = traffic.frames[lane.frame]
        s = curve.station
        starts.append(at)
        at += len(s)
        offsets.append(np.round(lane.offset(s), 9))
        kappas.append(np.round(lane_pose(curve, lane.offset, s)[1], 9))
    for curve in traffic.frames:
        starts.append(at)
        at += len(curve.points)
        offsets.append(np.zeros(len(curve.points)))
        kappas.append(np.round(curve.curvature, 9))
    lanes = traffic.lanes
    return (
        np.asarray([x.frame for x in lanes]),
        np.asarray(starts),
        np.concatenate(offsets),
        np.concatenate(kappas),
        np.asarray([x.near for x in lanes]).reshape(-1, 2),
        np.asarray([x.span for x in lanes]).reshape(-1, 2),
        np.asarray([x.limit for x in lanes]),
    )


def _actor_tables(actors: Sequence[Actor]) -> tuple[Any, ...]:
    n = len(actors)
    par = np.zeros((n, k.NUM_PARAMS))
    task_count, order_count, slow_count = (np.zeros(n, dtype=np.int64) for _ in range(3))
    tasks = np.zeros((n, max(1, *(len(a.tasks) for a in actors), 1), k.NUM_TASK))
    orders = np.zeros((n, max(1, *(len(a.orders) for a in actors), 1), k.NUM_ORDER))
    slows = np.zeros((n, max(1, *(len(a.slows) for a in actors), 1), k.NUM_SLOW))
    for i, a in enumerate(actors):
        d = a.driver
        par[i] = (
            d.factor, d.headway, d.accel, d.brake, d.gap, d.lateral, round(d.delay / STEP), d.jerk, d.polite,
            d.cooperate, d.change_time, d.critical, a.body.length, a.body.width, a.body.rear, d.mobil,
        )  # fmt: skip
        task_count[i], order_count[i], slow_count[i] = len(a.tasks), len(a.orders), len(a.slows)
        for m, t in enumerate(a.tasks):
            tasks[i, m] = (t.lane, t.bias, t.begin, t.by, t.length or 0.0, t.after, t.behind, t.gap)
        for m, o in enumerate(a.orders):
            orders[i, m] = (o.begin, o.end, o.speed, o.brake)
        for m, z in enumerate(a.slows):
            slows[i, m] = (z.begin, z.end, z.speed)
    return par, tasks, task_count, orders, order_count, slows, slow_count


def _scratch(steps: int, agents: int, gates: int, samples: int) -> tuple[Any, ...]:
    """What `drive_all` works in: speed caps, logs of both edges, columns of agents, decisions at gates."""
    log = np.empty((2, steps, agents))
    return (
        np.empty((agents, samples)), log[0], log[1], np.empty((k.NUM_NOW, agents)),
        np.empty((agents, gates), dtype=np.int64), np.empty((2, agents), dtype=np.int64),
    )  # fmt: skip


def _gate_tables(gates: Sequence[Gate]) -> tuple[Floats, Floats]:
    rows: list[tuple[float, ...]] = []
    zones: list[tuple[float, ...]] = []
    for g in gates:
        rows.append((g.frame, g.station, g.signal, len(zones), len(zones) + len(g.zones), g.occupied))
        zones += [(z.frame, z.enter, z.leave, z.clear) for z in g.zones]
    return (
        np.asarray(rows, dtype=np.float64).reshape(-1, k.NUM_GATE),
        np.asarray(zones, dtype=np.float64).reshape(-1, k.NUM_ZONE),
    )


def fill_lane(
    rng: np.random.Generator,
    traffic: Traffic,
    lane: int,
    stations: tuple[float, float],
    speed: float,
    headway: tuple[float, float],
    prefix: str,
    *,
    avoid: Sequence[tuple[float, float]] = (),
    body: Callable[[np.random.Generator], Body] = draw_body,
    tasks: tuple[Task, ...] = (),
    **given: Any,
) -> list[int]:
    """Actors along a lane, gaps drawn as time headways in s at `speed`; `avoid` are stretches kept free."""
    made: list[int] = []
    at, number = stations[0] + float(rng.uniform(0.0, 1.0)) * headway[1] * speed, 0
    while True:
        b = body(rng)
        driver = draw_driver(rng, **given)
        front = at + b.length
        if front > stations[1]:
            return made
        blocked = [end for start, end in avoid if at < end and front > start]
        if blocked:
            at = max(blocked)
            continue
        bias, wander = float(rng.uniform(-0.12, 0.12)), draw_wander(rng)
        rear = at + 0.5 * b.length - b.rear
        made.append(
            traffic.add(
                Actor(
                    f"{prefix}{number}", b, lane, rear, speed, driver, bias=bias, wander=wander, tasks=tasks
                )
            )
        )
        at = front + 2.0 + speed * float(rng.uniform(*headway))
        number += 1
