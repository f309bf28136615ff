"""What can be done to actors: controls, poses, velocities, pushes, physics. Bad values raise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.sim.carla.kernels.layout import (
    BRAKE,
    C_JUMP,
    C_SPEED,
    C_Z,
    COLLIDES,
    DEAD,
    FORCE_X,
    FORCE_Z,
    GRAVITY,
    HELD,
    HELD_X,
    ID,
    INERTIA,
    KIND,
    LAMPS,
    MASS,
    PARENT,
    PHYSICS,
    PITCH,
    PROP,
    ROLL,
    STEER,
    THROTTLE,
    TORQUE,
    VEHICLE,
    VX,
    VZ,
    WALKER,
    WX,
    WZ,
    YAW,
    X,
    Y,
    Z,
)
from drive.sim.carla.world.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from drive.sim.carla.world.actors import Actors

    Floats = NDArray[np.float64]

FARTHEST, STRONGEST = 1e6, 1e9
"""Metres (or m/s) and newtons beyond which a value is a mistake."""
LOW = np.array([0.0, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0])
HIGH = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 16.0])
"""Ranges of throttle, steer, brake, hand brake, reverse, manual gear shift, gear."""


def numbers(values: ArrayLike, count: int, what: str, most: float = FARTHEST) -> Floats:
    """Finite numbers `(count,)`. Raises InputError."""
    try:
        out = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        out = np.zeros(0)
    if len(out) != count or not (np.abs(out) <= most).all():
        raise InputError(f"{what} must be {count} finite numbers of at most {most:g}")
    return out


class Handles:
    """Setters and getters of single actors, by id. Poses are x, y, z, pitch, yaw, roll in m and degrees."""

    actors: Actors
    ackermann: dict[int, tuple[float, ...]]
    walks: dict[int, Walk]
    _lamps: list[tuple[int, int]] | None

    # Controls.

    def apply_control(
        self,
        actor: int,
        throttle: float = 0.0,
        steer: float = 0.0,
        brake: float = 0.0,
        hand_brake: bool = False,
        reverse: bool = False,
        manual: bool = False,
        gear: int = 0,
    ) -> None:
        """Pedals and steering of a vehicle from now on, clipped to their ranges."""
        row = self.actors.row_as(actor, VEHICLE)
        values = (throttle, steer, brake, hand_brake, reverse, manual, gear)
        self.ackermann.pop(actor, None)
        self.actors.control[row] = np.clip(numbers(values, 7, f"the control of actor {actor}"), LOW, HIGH)

    def apply_controls(self, ids: ArrayLike, values: ArrayLike) -> None:
        """`apply_control` of many vehicles at once: `ids (N,)`, `values (N, 7)`. All or none."""
        controls = np.asarray(values, dtype=np.float64)
        known, wanted = self.actors.row_of, np.asarray(ids).reshape(-1).tolist()
        rows = [known.get(i, -1) for i in wanted]
        if rows and (min(rows) < 0 or (self.actors.flag[rows, KIND] != VEHICLE).any()):
            rows = [self.actors.row_as(i, VEHICLE) for i in wanted]  # raises for the one that is none
        if controls.shape != (len(rows), 7) or not np.isfinite(controls).all():
            raise InputError("controls must be 7 finite numbers for each vehicle")
        self.actors.control[rows] = np.clip(controls, LOW, HIGH)
        if self.ackermann:
            for i in np.asarray(ids).reshape(-1).tolist():
                self.ackermann.pop(i, None)

    def apply_ackermann(
        self,
        actor: int,
        steer: float = 0.0,
        steer_speed: float = 0.0,
        speed: float = 0.0,
        acceleration: float = 0.0,
        jerk: float = 0.0,
    ) -> None:
        """Follow a wheel angle (rad, positive right) and a speed (m/s) until another control comes."""
        self.actors.row_as(actor, VEHICLE)
        values = (steer, steer_speed, speed, acceleration, jerk)
        wish = numbers(values, 5, f"the Ackermann control of actor {actor}")
        self.ackermann[actor] = tuple(float(v) for v in wish)

    def set_pedals(self, row: int, throttle: float, steer: float, brake: float, reverse: bool) -> None:
        self.actors.control[row] = np.clip((throttle, steer, brake, 0.0, reverse, 0.0, 0.0), LOW, HIGH)

    def vehicle_control(self, actor: int) -> Floats:
        """The seven numbers of a vehicle's control."""
        return np.array(self.actors.control[self.actors.row_as(actor, VEHICLE)])

    def apply_walker_control(
        self, actor: int, direction: Sequence[float], speed: float, jump: bool = False
    ) -> None:
        """Where a walker goes from now on, m/s. A direction of any length counts as one of length 1."""
        row = self.actors.row_as(actor, WALKER)
        way = numbers(direction, 3, f"the direction of walker {actor}")
        (pace,) = numbers((speed,), 1, f"the speed of walker {actor}", 100.0)
        self.walks.pop(actor, None)
        self.actors.control[row, : C_Z + 1] = way
        self.actors.control[row, C_SPEED] = max(pace, 0.0)
        self.actors.control[row, C_JUMP] = float(jump)
        if jump:
            self._jump(row)

    def direct(self, row: int, way: tuple[float, float, float], speed: float) -> None:
        self.actors.control[row, : C_SPEED + 1] = (*way, speed)

    def send_walker(self, actor: int, goal: ArrayLike, speed: float = 1.4) -> None:
        """Let a walker go straight to a place and stop there."""
        self.actors.row_as(actor, WALKER)
        place = numbers(goal, 3, f"the goal of walker {actor}")
        (pace,) = numbers((speed,), 1, f"the speed of walker {actor}", 100.0)
        self.walks[actor] = Walk(place[None, :2], max(pace, 0.0))

    def _jump(self, row: int) -> None:
        body = self.actors.body[row]
        # Unreal's characters leave the ground with 4.2 m/s.
        if abs(body[VZ]) < 0.5:
            body[VZ] = 4.2
            body[Z] += 0.03

    # Places and velocities.

    def transform(self, actor: int) -> Floats:
        """Pose `(6,)` of an actor."""
        body = self.actors.body[self.actors.row(actor)]
        return np.array((body[X], body[Y], body[Z], *np.degrees(body[[PITCH, YAW, ROLL]])))

    def set_transform(self, actor: int, pose: ArrayLike) -> None:
        """Put an actor somewhere at once; its velocity stays. Attached ones go relative to their parent."""
        row = self.actors.row(actor)
        p = numbers(pose, 6, f"the transform of actor {actor}")
        turned = np.radians(p[3:])
        turned[1] = math.atan2(math.sin(turned[1]), math.cos(turned[1]))
        if self.actors.flag[row, PARENT] >= 0:
            self.actors.relative[row] = (*p[:3], *turned)
            return
        self.actors.body[row, X : Z + 1] = p[:3]
        self.actors.body[row, PITCH : ROLL + 1] = turned
        self._fit_ground(row)

    def _fit_ground(self, row: int) -> None:
        """After a jump the known ground is no longer under an actor; the next tick finds it."""

    def set_location(self, actor: int, location: ArrayLike) -> None:
        self.set_transform(actor, (*numbers(location, 3, "a location"), *self.transform(actor)[3:]))

    def velocity(self, actor: int) -> Floats:
        """Velocity `(3,)` in m/s."""
        row = self.actors.row(actor)
        return np.array(self.actors.body[row, VX : VZ + 1])

    def set_target_velocity(self, actor: int, velocity: ArrayLike) -> None:
        """Give an actor a velocity (m/s, world axes); what drives it goes on from there."""
        row = self.actors.row_as(actor, VEHICLE, WALKER, PROP)
        given = numbers(velocity, 3, f"the velocity of actor {actor}")
        if self.actors.flag[row, PHYSICS]:
            self.actors.body[row, VX : VZ + 1] = given

    def set_target_angular_velocity(self, actor: int, rates: ArrayLike) -> None:
        """Give an actor an angular velocity (deg/s); upright bodies only turn about z."""
        row = self.actors.row_as(actor, VEHICLE, WALKER, PROP)
        given = numbers(rates, 3, f"the angular velocity of actor {actor}")
        if self.actors.flag[row, PHYSICS]:
            self.actors.body[row, WZ] = math.radians(given[2])

    def enable_constant_velocity(self, actor: int, velocity: ArrayLike) -> None:
        """Hold a velocity (m/s, the actor's own axes) whatever the pedals say."""
        row = self.actors.row_as(actor, VEHICLE, WALKER)
        given = numbers(velocity, 3, f"the constant velocity of actor {actor}", 1e3)
        self.actors.body[row, HELD_X : HELD_X + 3] = given
        self.actors.flag[row, HELD] = 1

    def disable_constant_velocity(self, actor: int) -> None:
        self.actors.flag[self.actors.row_as(actor, VEHICLE, WALKER), HELD] = 0

    # Pushes.

    def add_impulse(self, actor: int, impulse: ArrayLike) -> None:
        """An impulse (N s, world axes) at the origin, now."""
        row = self._loose(actor)
        if row >= 0:
            given = numbers(impulse, 3, "an impulse", STRONGEST)
            self.actors.body[row, VX : VZ + 1] += given / self.actors.param[row, MASS]

    def add_force(self, actor: int, force: ArrayLike) -> None:
        """A force (N, world axes) during the next tick."""
        row = self._loose(actor)
        if row >= 0:
            self.actors.body[row, FORCE_X : FORCE_Z + 1] += numbers(force, 3, "a force", STRONGEST)

    def add_angular_impulse(self, actor: int, impulse: ArrayLike) -> None:
        """An angular impulse (N m s); of it only z turns an upright body."""
        row = self._loose(actor)
        if row >= 0:
            given = numbers(impulse, 3, "an angular impulse", STRONGEST)
            self.actors.body[row, WZ] += given[2] / self.actors.param[row, INERTIA]

    def add_torque(self, actor: int, torque: ArrayLike) -> None:
        """A torque (N m) during the next tick; of it only z turns an upright body."""
        row = self._loose(actor)
        if row >= 0:
            self.actors.body[row, TORQUE] += numbers(torque, 3, "a torque", STRONGEST)[2]

    def _loose(self, actor: int) -> int:
        """The row of something that physics moves, or -1."""
        row = self.actors.row_as(actor, VEHICLE, WALKER, PROP)
        return row if self.actors.flag[row, PHYSICS] else -1

    # Physics.

    def set_simulate_physics(self, actor: int, enabled: bool = True) -> None:
        """Without physics an actor stays where it is put, and others bump into it as into a wall."""
        row = self.actors.row(actor)
        if self.actors.flag[row, PARENT] >= 0:
            return
        self.actors.flag[row, PHYSICS] = int(enabled)
        if not enabled:
            self.actors.body[row, VX : WX + 3] = 0.0
            self.actors.body[row, [THROTTLE, STEER, BRAKE]] = 0.0

    def set_gravity(self, actor: int, enabled: bool = True) -> None:
        self.actors.flag[self.actors.row(actor), GRAVITY] = int(enabled)

    def set_collisions(self, actor: int, enabled: bool = True) -> None:
        self.actors.flag[self.actors.row(actor), COLLIDES] = int(enabled)

    def set_dead(self, actor: int) -> None:
        """A dead walker stands where it is; a dead vehicle keeps its last control."""
        self.actors.flag[self.actors.row(actor), DEAD] = 1

    def set_light_state(self, actor: int, lamps: int) -> None:
        """A vehicle's lamps, bit flags."""
        row = self.actors.row_as(actor, VEHICLE)
        self.actors.flag[row, LAMPS] = int(lamps) & 0xFFFFFFFF
        self._lamps = None

    def light_state(self, actor: int) -> int:
        """A vehicle's lamps."""
        return int(self.actors.flag[self.actors.row_as(actor, VEHICLE), LAMPS])

    def wheel_steer_angle(self, actor: int, wheel: int = 0) -> float:
        """Degrees that a front wheel (0, 1) stands to the right; rear ones do not steer."""
        row = self.actors.row_as(actor, VEHICLE)
        return 70.0 * float(self.actors.body[row, STEER]) if wheel in (0, 1) else 0.0

    def telemetry(self, actor: int) -> tuple[float, float, float, int, float]:
        """Throttle, steering, brake as the vehicle follows them, the gear shown, and its speed in m/s."""
        row = self.actors.row_as(actor, VEHICLE)
        body = self.actors.body[row]
        speed = float(np.sqrt((body[VX : VZ + 1] ** 2).sum()))
        gear = int(self.actors.records[row]["gear"])
        return float(body[THROTTLE]), float(body[STEER]), float(body[BRAKE]), gear, speed

    def vehicle_light_states(self) -> list[tuple[int, int]]:
        """(id, lamps) of all vehicles."""
        # A Traffic Manager asks every tick, and they seldom change.
        if self._lamps is None:
            rows = self.actors.flag[: self.actors.count]
            self._lamps = list(map(tuple, rows[rows[:, KIND] == VEHICLE][:, [ID, LAMPS]].tolist()))
        return self._lamps
