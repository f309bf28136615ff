"""The world behind the CARLA server: a town, its actors, and their ticks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.sim.carla.kernels.layout import (
    COLLIDES,
    GROUND,
    HALF_X,
    L_ACTOR,
    LIGHT,
    OTHER,
    REST,
    ROW_LIGHT,
    SIGN,
    SLOPE_X,
    SLOPE_Y,
    WALKER,
    X0,
    Y0,
    X,
    Y,
    Z,
)
from drive.sim.carla.kernels.tick import advance, boxes_meet, height_at, refresh
from drive.sim.carla.world.ackermann import follow
from drive.sim.carla.world.actors import KIND_NAMES, Actor, Actors
from drive.sim.carla.world.blueprints import BY_UID, Blueprint, find_blueprint
from drive.sim.carla.world.errors import ActorError, SpawnError
from drive.sim.carla.world.ground import ground_arrays
from drive.sim.carla.world.handles import Handles, numbers
from drive.sim.carla.world.light_handles import LightHandles
from drive.sim.carla.world.lights import Lights
from drive.sim.carla.world.making import equip
from drive.sim.carla.world.pedals import throttle_table
from drive.sim.carla.world.physics import VehiclePhysics, physics_of, set_physics
from drive.sim.carla.world.scans import all_between, project
from drive.sim.carla.world.sensing import measure
from drive.sim.carla.world.spawn import spawn_points
from drive.sim.carla.world.studio import Studio, frame_of
from drive.sim.carla.world.town import TRAFFIC_LIGHT, Sign, Town
from drive.sim.carla.world.walks import Walk, advance_walks, stroll

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SUBSTEP, LONGEST = 0.01, 10.0
"""CARLA's physics steps, s; and the longest tick."""
MOST_ACTORS = 20_000
SIGN_TAG, LIGHT_TAG = 8, 7


class CarlaWorld(Handles, LightHandles):
    """A running town. All poses are CARLA's: x forward, y right, z up in metres; pitch, yaw, roll in degrees.

    Equal calls give equal bits. Not for several threads at once.
    """

    def __init__(self, town: Town) -> None:
        self.town = town
        self.actors = Actors()
        self.frame = 0
        self.time = 0.0
        self.dt = 0.05
        self.spawn_points: Floats = spawn_points(town.roadmap)
        self.lights = Lights.of(town)
        self.ground = ground_arrays(town)
        self.flat = not np.ptp(self.ground[3][:, 2]) > 0.0
        # Whether the geographic north is +y, as the map of client 0.9.16 has it (see geodesy).
        self.y_is_north = False
        self.ackermann: dict[int, tuple[float, ...]] = {}
        self.walks: dict[int, Walk] = {}
        self.physics_set: dict[int, VehiclePhysics] = {}
        # By sensor: when it measured last, and a lidar's angle.
        self.measured: dict[int, float] = {}
        self.turned: dict[int, float] = {}
        self.studio = Studio()
        self._table = throttle_table()
        self._lamps = None
        self._pairs = np.zeros((256, 2), dtype=np.int64)
        self._hits = np.zeros((256, 2), dtype=np.int64)
        self._what = np.zeros((256, 2))
        self._met = 0
        self._crowd = 0
        self._arrays: tuple[NDArray[Any], ...] = (self._what,)
        self.spectator_id = self._place("spectator", OTHER, (0.0, 0.0, 10.0, -20.0, 0.0, 0.0))
        lamp = 0
        for sign in town.signs:
            kind = LIGHT if sign.type == TRAFFIC_LIGHT else SIGN
            row = self.actors.row(self._place(sign.type_id, kind, sign.pose, sign))
            if kind == LIGHT:
                self.actors.flag[row, ROW_LIGHT] = lamp
                self.lights.lamp[lamp, L_ACTOR] = row
                lamp += 1
        self._tell()

    @classmethod
    def load(cls, town: Town) -> CarlaWorld:
        """The world of a town with nobody in it yet but its lights, its signs and the spectator."""
        return cls(town)

    # Actors.

    def actor_ids(self) -> list[int]:
        return [fact.id for fact in self.actors.facts]

    def blueprint(self, actor: int) -> Blueprint:
        """The blueprint that an actor was made from. Raises ActorError for lights and signs."""
        found = BY_UID.get(self.actor(actor).uid)
        if found is None:
            raise ActorError(f"actor {actor} was made from no blueprint")
        return found

    def stroll(self, actor: int, speed: float = 1.4) -> bool:
        """Let a walker go along the sidewalks for ever; False where the map has none."""
        row = self.actors.row_as(actor, WALKER)
        (pace,) = numbers((speed,), 1, f"the speed of walker {actor}", 100.0)
        walk = stroll(self, row, max(pace, 0.0))
        if walk is not None:
            self.walks[actor] = walk
        return walk is not None

    def physics_control(self, actor: int) -> VehiclePhysics:
        """A vehicle's physics by CARLA's names."""
        return physics_of(self, actor)

    def set_physics_control(self, actor: int, given: VehiclePhysics) -> None:
        """Keep a vehicle's physics; mass, largest steering angle and brake torque count."""
        set_physics(self, actor, given)

    def actor(self, actor: int) -> Actor:
        """What is told of an actor once. Raises ActorError."""
        return self.actors.facts[self.actors.row(actor)]

    def _place(self, type_id: str, kind: int, pose: ArrayLike, sign: Sign | None = None) -> int:
        """An actor that has a place and nothing else."""
        labels = () if sign is None else (LIGHT_TAG if kind == LIGHT else SIGN_TAG,)
        none = (0.0, 0.0, 0.0)
        name = ("light" if kind == LIGHT else "sign") if sign else "spectator"
        fact = Actor(
            self.actors.next_id, 0, 0, type_id, name,
            (("role_name", "string", "default"),), sign.center if sign else none, sign.half if sign else none,
            labels, sign.id if sign else "",
        )  # fmt: skip
        row = self.actors.add(fact, kind)
        self.set_transform(fact.id, pose)
        if sign is not None:
            self.actors.records[row]["sign_id"] = sign.id.encode()
        return fact.id

    def spawn(
        self,
        blueprint: str | Blueprint,
        pose: ArrayLike,
        attributes: Mapping[str, str] | None = None,
        parent: int = 0,
        attachment: int = 0,
    ) -> int:
        """Make an actor; returns its id. With a `parent` the pose is relative to it (attachment 0, rigid, is
        what all kinds are taken as).

        Raises SpawnError where the blueprint, an attribute or the parent is unknown or the place is taken,
        and InputError for numbers that are none.
        """
        b = find_blueprint(blueprint) if isinstance(blueprint, str) else blueprint
        p = numbers(pose, 6, f"the pose of a {b.id}")
        settled = b.settle(attributes or {})
        if self.actors.count >= MOST_ACTORS:
            raise SpawnError(f"the world is full: it has {MOST_ACTORS} actors")
        if parent and parent not in self.actors.row_of:
            raise SpawnError(f"{b.id} cannot be attached: there is no actor {parent}")
        types = {a.id: a.type for a in b.attributes}
        kind_name = "controller" if b.id.startswith("controller") else KIND_NAMES[b.kind]
        fact = Actor(
            self.actors.next_id, parent, b.uid, b.id, kind_name,
            tuple((name, types[name], value) for name, value in settled.items()),
            b.center, b.half, b.labels,
        )  # fmt: skip
        if b.id.startswith("sensor.camera."):
            frame_of(fact)
        row = self.actors.add(fact, b.kind)
        if parent:
            self.actors.relative[row] = (*p[:3], *np.radians(p[3:]))
        else:
            equip(self.actors, row, b)
            self.set_transform(fact.id, p)
            other = self._taken(row)
            if other >= 0:
                near = self.actors.facts[other]
                self.actors.remove([fact.id])
                raise SpawnError(f"{b.id} cannot be made here: {near.type_id} ({near.id}) is in the way")
        self._tell()
        return fact.id

    def _taken(self, row: int) -> int:
        """The row of something solid that the actor of a row stands in, or -1."""
        a = self.actors
        if not a.flag[row, COLLIDES]:
            return -1
        n = a.count
        gap = np.hypot(*(a.body[:n, X : Y + 1] - a.body[row, X : Y + 1]).T)
        reach = np.hypot(a.param[:n, HALF_X], a.param[:n, HALF_X + 1])
        near = np.flatnonzero((gap < reach + reach[row]) & (a.flag[:n, COLLIDES] != 0))
        for other in near.tolist():
            if other != row and boxes_meet(row, other, a.body, a.param):
                return int(other)
        return -1

    def destroy(self, ids: Collection[int]) -> list[bool]:
        """Take actors out; by id whether there was one that can go (lights, signs and the spectator stay)."""
        known = [self.actors.row_of.get(i, -1) for i in ids]
        fixed = (LIGHT, SIGN)
        good = [
            r >= 0 and self.actors.flag[r, 1] not in fixed and i != self.spectator_id
            for i, r in zip(ids, known, strict=True)
        ]
        gone = {i for i, ok in zip(ids, good, strict=True) if ok}
        if gone:
            new = self.actors.remove(gone)
            self.lights.lamp[:, L_ACTOR] = new[self.lights.lamp[:, L_ACTOR]]
            for kept in (self.ackermann, self.walks, self.physics_set, self.measured, self.turned):
                for actor in gone:
                    kept.pop(actor, None)
            self._met = 0
            self._tell()
        return good

    def _fit_ground(self, row: int) -> None:
        body = self.actors.body[row]
        body[[X0, Y0]] = body[[X, Y]]
        # Until a lane is found below, things stand where they are put.
        body[GROUND] = body[Z] - self.actors.param[row, REST]
        body[[SLOPE_X, SLOPE_Y]] = 0.0

    # Time.

    def tick(self, dt: float = 0.05) -> int:
        """Advance by `dt` s; returns the frame. Raises InputError for a time that is none."""
        if not 0.0 < dt <= LONGEST:
            raise InputError(f"a tick lasts more than 0 and at most {LONGEST:g} s, not {dt!r}")
        a = self.actors
        if a.count > self._crowd:
            self._crowd = max(2 * a.count, 64)
            room = min(self._crowd * self._crowd // 2, 60 * self._crowd)
            self._pairs = np.zeros((room, 2), dtype=np.int64)
            self._hits = np.zeros((4 * self._crowd, 2), dtype=np.int64)
            self._what = np.zeros((4 * self._crowd, 2))
            self._gather_arrays()
        for actor, wish in self.ackermann.items():
            follow(self, actor, a.row(actor), wish)
        if self.walks:
            advance_walks(self)
        if self._arrays[0] is not a.body:
            self._gather_arrays()
        self._met = advance(a.count, *self._arrays, dt, max(math.ceil(dt / SUBSTEP - 1e-9), 1))
        self.frame += 1
        self.time += dt
        self.dt = dt
        return self.frame

    def _gather_arrays(self) -> None:
        """What `advance` works on; the actors' arrays are others once there are more of them."""
        a, light = self.actors, self.lights
        self._arrays = (
            a.body, a.param, a.control, a.flag, a.relative, self._table, self._pairs, self._hits, self._what,
            *self.ground, light.lamp, light.cycle, light.elapsed, light.span, light.box, a.records,
        )  # fmt: skip

    def ground_height(self, place: ArrayLike) -> float:
        """Height of the ground under a place `(3,)`; where no lane is near, its own height without a fall."""
        x, y, z = (float(v) for v in np.asarray(place)[:3])
        return float(height_at(x, y, z, 0.0 if self.flat else z, *self.ground[:-1]))

    def project_point(
        self, place: ArrayLike, way: ArrayLike, reach: float
    ) -> tuple[tuple[float, float, float], int] | None:
        """Where a ray from a place meets something first within `reach` m, and its semantic label."""
        return project(self, numbers(place, 3, "a place"), numbers(way, 3, "a direction"), float(reach))

    def cast_ray(self, start: ArrayLike, end: ArrayLike) -> list[tuple[tuple[float, float, float], int]]:
        """All that lies between two places, nearest first: where each is met and its semantic label."""
        return all_between(self, numbers(start, 3, "a place"), numbers(end, 3, "a place"))

    def _tell(self) -> None:
        self._lamps = None
        a, light = self.actors, self.lights
        refresh(
            a.count, a.body, a.control, a.flag, a.relative, light.lamp, light.cycle, light.elapsed,
            light.span, a.records,
        )  # fmt: skip

    def snapshot(self) -> NDArray[Any]:
        """Every actor's record (`layout.ACTOR_STATE`), by id; a view that the next tick overwrites."""
        return self.actors.records[: self.actors.count]

    def measure(self, sensors: Collection[int]) -> list[tuple[int, str, Any]]:
        """What these sensors measured in the last tick (drive.sim.carla.world.sensing)."""
        return measure(self, sensors)

    def contacts(self) -> list[tuple[int, int, tuple[float, float, float]]]:
        """Who met whom in the last tick: ids, and the impulse (N s) on the first."""
        flag = self.actors.flag
        return [
            (int(flag[i, 0]), int(flag[j, 0]), (float(w[0]), float(w[1]), 0.0))
            for (i, j), w in zip(
                self._hits[: self._met].tolist(), self._what[: self._met].tolist(), strict=True
            )
        ]
