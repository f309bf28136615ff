"""Background cars of a CARLA world driven by the traffic policy instead of CARLA's Traffic Manager.

The policy (`drive.sim.traffic.rift`) decides twice a second for all cars in one batch, from what they do; in
between each car's pedals follow the motion that was chosen (`drive.sim.carla.pedals`), in CARLA's physics.
Every car has a way of its own through the town, drawn by the seed; where it leaves the map around the route
it is put down again at another place, out of the ego's sight.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, SimulationError
from drive.sim.carla.advice import advised
from drive.sim.carla.client import client_module, line
from drive.sim.carla.eyes import SMOOTHING, Eyes, ego_row, figures_of, unseen
from drive.sim.carla.pedals import Foot
from drive.sim.traffic.paths import match_lanes
from drive.sim.traffic.rift.critical import Critical
from drive.sim.traffic.rift.fleet import EVERY, Crowd, Fleet, bodies_of, crowd_states
from drive.sim.traffic.rift.lines import ways_lines
from drive.sim.traffic.rift.net import SIZES
from drive.vehicle import ACCELERATION, SPEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap
    from drive.sim.carla.eyes import Figures
    from drive.sim.carla.pilot import Errand
    from drive.sim.carla.stage import Stage
    from drive.sim.kernels.layout import Paths
    from drive.sim.traffic.rift.policy import Driver
    from drive.sim.traffic.rift.traffic import RiftDirector

    Floats = NDArray[np.float64]

WAY = 1200.0
"""m of way that is drawn at a time."""
LEFT = 120.0
"""m of line ahead below which new lines are made."""
OFF_LANE = 4.0
"""m beside every lane from which on a car just keeps its line."""
OUT_OF_SIGHT, FREE = 80.0, 15.0
"""m from the ego, and from everybody, where a car that has left is put down again."""
DT = 0.1


def director_of(name: str) -> RiftDirector:
    """The policy's style of traffic `rift:STYLE`. Raises InputError for traffic that drives no CARLA cars."""
    from drive.sim.traffic.model import load_traffic
    from drive.sim.traffic.rift.traffic import RiftDirector

    model = load_traffic(name)
    if not isinstance(model.director, RiftDirector):
        raise InputError(f"cars in CARLA are driven by carla_tm or by rift:STYLE, not by '{name}'")
    return model.director


@dataclass(slots=True, eq=False)
class Car:
    """One car: its actor's id, figures, pedals, way (lanes) and last row `(7,)` at the rear axle."""

    id: int
    figures: Figures
    foot: Foot
    way: list[int]
    row: Floats | None = None
    frame: int = 0
    held: bool = False


@dataclass(slots=True, eq=False)
class PolicyCars:
    """Cars of a stage under the policy. `decide` at samples, `press` before each step of the world."""

    stage: Stage
    errand: Errand
    roadmap: RoadMap
    eyes: Eyes
    driver: Driver
    tuned: Any
    critical: Critical | None
    cars: list[Car]
    places: Sequence[Any]
    rng: random.Random
    fleet: Fleet | None = None
    paths: Paths | None = None
    leaves: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    plans: NDArray[np.float64] | None = None
    since: float = -np.inf
    past: list[dict[int, tuple[float, ...]]] = field(default_factory=list)

    @classmethod
    def of(
        cls, stage: Stage, errand: Errand, ego: Any, ids: Sequence[int], places: Sequence[Any],
        director: RiftDirector, seed: int = 0,
    ) -> PolicyCars:  # fmt: skip
        """For the spawned vehicles `ids`, that stand on lanes; those that do not are left standing."""
        from drive.sim.traffic.rift.policy import Driver, load_policy

        tuned = load_policy(director.weights or director.style)[0]
        base = load_policy("base")[0] if director.only_critical else tuned
        rng, roadmap = random.Random(seed), advised(errand.roadmap)
        figures = figures_of(ego)
        eyes = Eyes(stage.world, ego.id, figures, errand.origin, errand.roadmap.signal_ids, np.inf)
        eyes.strangers |= unseen(stage.world)
        snapshot = stage.world.get_snapshot()
        cars = []
        for actor in sorted(stage.world.get_actors(list(ids)), key=lambda a: int(a.id)):
            about = figures_of(actor)
            seen = snapshot.find(actor.id)
            if seen is None:
                continue
            row = ego_row(
                seen.get_transform(), seen.get_velocity(), seen.get_angular_velocity(), about, errand.origin
            )
            lane, gap = match_lanes(roadmap, row[None, :3])
            if lane[0] >= 0 and gap[0] < OFF_LANE:
                way = drawn_way(roadmap, int(lane[0]), rng)
                cars.append(Car(actor.id, about, Foot(about), way, row, snapshot.frame))
        critical = None
        if director.only_critical:
            critical = Critical.of(errand, len(cars), director.most)
        return cls(
            stage, errand, roadmap, eyes, Driver(base), tuned if director.only_critical else None, critical,
            cars, places, rng,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.cars)

    def decide(self, now: float, snapshot: Any) -> None:
        """Decide anew where it is due; `snapshot` is the world's now."""
        if not self.cars or now - self.since < EVERY - 0.5 * DT:
            return
        from drive.sim.traffic.rift.policy import drive_on

        seen = self.eyes.look(snapshot)
        self._notice(snapshot)
        if any(car.row is None for car in self.cars):
            self._forget()
        states = np.stack([car.row for car in self.cars if car.row is not None])
        if self.fleet is None or self._short():
            self._find_lines(states)
        assert self.fleet is not None
        assert self.paths is not None
        self.fleet.states = np.ascontiguousarray(states, dtype=np.float32)
        self.fleet.states[:, SPEED] = np.maximum(self.fleet.states[:, SPEED], 0.0)
        crowd = self._crowd(seen)
        chosen = None
        if self.critical is not None:
            chosen = self.critical.choose(seen.ego, self.fleet, self.paths)
        decision = self.driver.decide(self.fleet, crowd, self.paths, None, self.tuned, chosen)
        self.plans = drive_on(self.fleet, decision).astype(np.float64)
        self.since = now
        self._put_back(seen.ego)

    def press(self, now: float, snapshot: Any) -> None:
        """Send every car's pedals for the coming step."""
        if self.plans is None:
            return
        from drive.planner import Plan
        from drive.trajectory import Trajectory

        carla, batch = client_module(), []
        self._notice(snapshot)
        for car, states in zip(self.cars, self.plans, strict=True):
            if car.held or car.row is None:
                control = carla.VehicleControl(brake=1.0)
            else:
                plan = Plan(Trajectory.uniform(self.since, DT, states))
                p = car.foot.follow(plan, now, car.row)
                control = carla.VehicleControl(throttle=p.throttle, steer=p.steer, brake=p.brake)
            batch.append(carla.command.ApplyVehicleControl(car.id, control))
        try:
            self.stage.client.apply_batch_sync(batch, False)
        except RuntimeError as error:
            raise SimulationError(f"CARLA did not take the traffic's controls: {line(error)}") from None

    def hold(self, ids: set[int], held: bool) -> None:
        """Have some cars brake as hard as they can, or let them go on."""
        for car in self.cars:
            if car.id in ids:
                car.held = held

    def _notice(self, snapshot: Any) -> None:
        """Bring all cars' rows up to a snapshot."""
        step = float(snapshot.timestamp.delta_seconds)
        for car in self.cars:
            seen = snapshot.find(car.id)
            if seen is None or (car.row is not None and snapshot.frame == car.frame):
                continue
            row = ego_row(
                seen.get_transform(), seen.get_velocity(), seen.get_angular_velocity(), car.figures,
                self.errand.origin,
            )  # fmt: skip
            if car.row is not None:
                fresh = (row[SPEED] - car.row[SPEED]) / ((snapshot.frame - car.frame) * step)
                old = car.row[ACCELERATION]
                row[ACCELERATION] = old + SMOOTHING * (fresh - old)
            car.row, car.frame = row, snapshot.frame

    def _forget(self) -> None:
        """Cars that somebody has destroyed are nobody's any more."""
        self.cars = [car for car in self.cars if car.row is not None]
        self.fleet = None
        if self.critical is not None:
            self.critical = Critical.of(self.errand, len(self.cars), self.critical.most)

    def _short(self) -> bool:
        """Whether somebody's line ends soon, though the map goes on."""
        assert self.fleet is not None
        assert self.paths is not None
        f, p = self.fleet, self.paths
        ahead = p.step[f.path] * (p.start[f.path + 1] - 1 - f.at)
        whole = p.step[f.path] * (p.start[f.path + 1] - 1 - p.start[f.path])
        return bool((np.isinf(self.leaves[f.path]) & (ahead < np.minimum(LEFT, 0.5 * whole))).any())

    def _find_lines(self, states: Floats) -> None:
        lane, gap = match_lanes(self.roadmap, states[:, :3])
        for n, car in enumerate(self.cars):
            if lane[n] >= 0 and gap[n] < OFF_LANE:
                car.way = drawn_way(self.roadmap, int(lane[n]), self.rng, car.way)
        self.paths, self.leaves, path = ways_lines(self.roadmap, [car.way for car in self.cars])
        params = [car.figures.params for car in self.cars]
        own = np.array([(v.length, v.width, v.rear_axle_to_center, v.wheelbase) for v in params])
        count = len(self.cars)
        self.fleet = Fleet.of(np.zeros(count), 1 + np.arange(count), path, states, own)

    def _crowd(self, seen: Any) -> Crowd:
        """The ego is row 0, the cars follow, then everybody else."""
        ego = seen.ego
        c, s = np.cos(ego[2]), np.sin(ego[2])
        rear = self.eyes.figures.params.rear_axle_to_center
        own = (ego[0] + rear * c, ego[1] + rear * s, ego[2], ego[3] * c, ego[3] * s)
        rows: dict[int, tuple[float, ...]] = {self.eyes.ego: own, **seen.others}
        self.past = [rows, *self.past][: SIZES.history]
        mine = [self.eyes.ego, *(car.id for car in self.cars)]
        known = set(mine)
        ids = mine + sorted(i for i in rows if i not in known)
        history = []
        for back in range(SIZES.history):
            then = self.past[back] if back < len(self.past) else {}
            there = np.array([i in then for i in ids])
            history.append(crowd_states(np.array([then.get(i, (0.0,) * 5) for i in ids]), there)[None])
        vehicle = self.eyes.figures.params
        bodies = [self.eyes.bodies.get(i) for i in ids]
        size = np.array([(vehicle.length, vehicle.width) if b is None else b.size[:2] for b in bodies])
        kind = np.array([0 if b is None else int(b.kind) for b in bodies], dtype=np.uint8)
        lights = seen.signals[None] if len(seen.signals) else np.zeros((1, 1), dtype=np.uint8)
        return Crowd(np.stack(history), bodies_of(size, kind)[None], np.ascontiguousarray(lights))

    def _put_back(self, ego: Floats) -> None:
        """Put down again who leaves the map."""
        assert self.fleet is not None
        assert self.paths is not None
        assert self.plans is not None
        gone = np.flatnonzero(self.fleet.leaving(self.paths, self.leaves))
        if len(gone) == 0:
            return
        taken = [np.asarray(row[:2]) for row in self.past[0].values()]
        where = list(self.places)
        self.rng.shuffle(where)
        for n in gone.tolist():
            place = next((p for p in where if self._is_free(p, taken, ego)), None)
            actor = self.stage.world.get_actor(self.cars[n].id)
            if place is None or actor is None:
                continue
            actor.set_transform(place)
            actor.set_target_velocity(self.stage.carla.Vector3D(0.0, 0.0, 0.0))
            taken.append(self._spot(place))
            car = self.cars[n]
            car.row, car.foot, car.way = None, Foot(car.figures), []
            self.fleet = None

    def _spot(self, place: Any) -> Floats:
        x, y = self.errand.origin
        return np.array((place.location.x - x, -place.location.y - y))

    def _is_free(self, place: Any, taken: Sequence[Floats], ego: Floats) -> bool:
        spot = self._spot(place)
        if float(np.hypot(*(spot - ego[:2]))) < OUT_OF_SIGHT:
            return False
        return bool(np.hypot(*(np.stack(taken) - spot).T).min() > FREE)


def drawn_way(roadmap: RoadMap, lane: int, rng: random.Random, before: Sequence[int] = ()) -> list[int]:
    """Lanes from `lane` on for `WAY` m, by chance where they part; as `before` as long as that leads on."""
    way, length = [lane], float(roadmap.length[lane])
    if lane in before:
        rest = list(before)[list(before).index(lane) + 1 :]
        way += rest
        length += float(sum(roadmap.length[n] for n in rest))
    while length < WAY:
        nxt = [int(n) for n in roadmap.successors(way[-1]) if roadmap.kind[n] <= 1]
        # Not round and round the same block.
        fresh = [n for n in nxt if n not in way] or nxt
        if not fresh:
            break
        way.append(rng.choice(fresh))
        length += max(float(roadmap.length[way[-1]]), 1.0)
    return way


__all__ = ["Car", "PolicyCars", "director_of", "drawn_way"]
