"""How a vehicle answers to its pedals: two models behind one interface, the time step part of each.

A state is (x, y, heading, speed) in the ego's frame: rear axle, x forward, y left. Pedals are throttle
0..1, steering -1..1 (positive to the left) and brake 0..1, the columns of `ControlKind.PEDALS`.

`PedalKinematics` is the fitted model of "World on Rails" that Hydra-NeXt rolls its controls out with
(its repository, team code of the Bench2Drive agent; the coefficients are facts read there). It was fitted at
0.05 s; the release calls it once per 0.1 s, so that its vehicle answers at half strength.
`EgoKinematics` is our simulator's ego: a bicycle under acceleration and steering angle, reached by a
`PedalModel`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

import numpy as np

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.sim.kernels.lqr import ACCELERATION_LAG

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

THROTTLE, STEER, BRAKE = range(3)
STEP, CALL = 0.1, 0.05
"""Seconds between two controls, and those for which the fitted polynomials tell the next speed."""
COMPATS = ("consistent", "hydra_next_release")

LAG, STEERING_LAG = float(STEP / np.log1p(STEP / ACCELERATION_LAG)), 1.5 * STEP
"""s: the exponential lag of which the simulator's ego, behind its own of 0.2 s, takes steps of 0.1 s; and
those by which its wheels, a step late, and its Euler steps are behind."""
STEER_ANGLE = 0.36848336
REAR, FRONT = 1.4178275, -0.090769015
THROTTLE_FIT = (
    9.63873001e-01, 4.37535692e-04, -3.80192912e-01, 1.74950069e00,
    9.16787414e-02, -7.05461530e-02, -1.05996152e-03, 6.71079346e-04,
)  # fmt: skip
BRAKE_FIT = (
    9.31711370e-03, 8.20967431e-02, -2.83832427e-03, 5.06587474e-05,
    -4.90357228e-07, 2.44419284e-09, -4.91381935e-12,
)  # fmt: skip


class Kinematics(Protocol):
    """A vehicle that holds each row of pedals for `dt` s."""

    @property
    def dt(self) -> float: ...

    def roll(self, start: ArrayLike, pedals: ArrayLike) -> Floats:
        """States `(..., T, 4)` after each of the pedals `(..., T, 3)`, from `start (..., 4)`."""


def to_lidar(poses: ArrayLike) -> Floats:
    """Poses `(..., >= 2)` in CARLA's lidar frame: x right, y forward, heading clockwise from forward.

    Columns are x, y and, where there is a third, the heading; further columns stay.
    """
    p = np.array(poses, dtype=np.float64)
    x = p[..., 0].copy()
    p[..., 0], p[..., 1] = -p[..., 1], x
    if p.shape[-1] > 2:
        p[..., 2] = -p[..., 2]
    return p


def from_lidar(poses: ArrayLike) -> Floats:
    """The way back of `to_lidar`."""
    p = np.array(poses, dtype=np.float64)
    x = p[..., 0].copy()
    p[..., 0], p[..., 1] = p[..., 1], -x
    if p.shape[-1] > 2:
        p[..., 2] = -p[..., 2]
    return p


def next_speed(speed: ArrayLike, throttle: ArrayLike, brake: ArrayLike) -> Floats:
    """Speed in m/s after one call of the fitted polynomials, 0.05 s later; never negative.

    A throttle below 0.3 without brake keeps the speed, as fitted.
    """
    v, u = np.asarray(speed, dtype=np.float64), np.asarray(throttle, dtype=np.float64)
    k = 3.6 * v
    pushed = np.stack((k, k * k, u, u * u, k * u, k * u * u, k * k * u, k * k * u * u), -1) @ THROTTLE_FIT
    braked = np.stack([k**n for n in range(1, 8)], -1) @ BRAKE_FIT
    new = np.where(np.asarray(brake) > 0.0, braked / 3.6, np.where(u < 0.3, v, pushed / 3.6))
    return np.asarray(np.maximum(new, 0.0))


@dataclass(frozen=True, slots=True)
class PedalKinematics:
    """The fitted model. `dt` is a multiple of 0.05 s, each 0.05 s of it one call.

    `compat` "hydra_next_release" calls once per `dt` whatever it is, as published with 0.1 s.
    """

    dt: float = 0.1
    compat: str = "consistent"

    def __post_init__(self) -> None:
        if self.compat not in COMPATS:
            raise InputError(f"compat must be one of {', '.join(COMPATS)}, got '{self.compat}'")
        calls = self.dt / CALL if np.isfinite(self.dt) else 0.0
        if calls < 1.0 - 1e-9 or abs(calls - round(calls)) > 1e-6:
            raise InputError(f"the fitted pedals need a dt that is a multiple of {CALL} s, got {self.dt}")

    def roll(self, start: ArrayLike, pedals: ArrayLike) -> Floats:
        calls = 1 if self.compat == "hydra_next_release" else round(self.dt / CALL)
        step = self.dt / calls
        state, p = _checked(start, pedals)
        lidar = to_lidar(state)
        x, y, psi, v = (lidar[..., k] for k in range(4))
        out = np.empty((*p.shape[:-1], 4))
        for row in range(p.shape[-2]):
            # A wheel turned to the right is positive there.
            delta = -STEER_ANGLE * p[..., row, STEER]
            slip = np.arctan(REAR / (FRONT + REAR) * np.tan(delta))
            for _ in range(calls):
                x = x + v * np.sin(psi + slip) * step
                y = y + v * np.cos(psi + slip) * step
                psi = psi + v / REAR * np.sin(slip) * step
                v = next_speed(v, p[..., row, THROTTLE], p[..., row, BRAKE])
            out[..., row, :] = from_lidar(np.stack((x, y, psi, v), -1))
        out[..., 2] = wrap_angle(out[..., 2])
        return out


@dataclass(frozen=True, slots=True)
class PedalModel:
    """What pedals ask of an ego that takes acceleration in m/s^2 and a steering angle in rad.

    Throttle u asks for `acceleration` u - `drag`, brake b for -`drag` - `braking` b; steering 1 is the angle
    `steering`. Backwards, decelerations up to `dead` beyond the drag are still no braking, and who stands and
    does not start is held by the brake at `hold`.
    """

    acceleration: float = 3.0
    braking: float = 8.0
    drag: float = 0.3
    steering: float = np.pi / 3.0
    dead: float = 0.1
    hold: float = 0.15

    def __post_init__(self) -> None:
        for f in fields(self):
            if not 0.0 < getattr(self, f.name) < np.inf:
                raise InputError(f"a pedal model's {f.name} must be positive, got {getattr(self, f.name)}")

    def motion(self, pedals: ArrayLike) -> tuple[Floats, Floats]:
        """Acceleration and steering angle `(...)` that pedals `(..., 3)` ask for while it moves."""
        p = np.asarray(pedals, dtype=np.float64)
        brake = p[..., BRAKE]
        asked = np.where(brake > 0.0, -self.braking * brake, self.acceleration * p[..., THROTTLE])
        return asked - self.drag, self.steering * p[..., STEER]

    def pedals(self, acceleration: ArrayLike, steering: ArrayLike, speed: ArrayLike) -> Floats:
        """Pedals `(..., 3)` that ask for an acceleration and a steering angle at a speed, all `(...)`."""
        a, d, v = (np.asarray(q, dtype=np.float64) for q in (acceleration, steering, speed))
        push = np.clip((a + self.drag) / self.acceleration, 0.0, 1.0)
        hard = np.clip((-a - self.drag) / self.braking, 0.0, 1.0)
        hard = np.where(a < -self.drag - self.dead, hard, 0.0)
        stands = (v < 0.1) & (a < 0.1)
        hard = np.where(stands, np.maximum(hard, self.hold), hard)
        push = np.where(hard > 0.0, 0.0, push)
        wheel = np.clip(d / self.steering, -1.0, 1.0)
        return np.stack(np.broadcast_arrays(push, wheel, hard), -1)


@dataclass(frozen=True, slots=True, eq=False)
class EgoKinematics:
    """Our simulator's bicycle of a `wheelbase` in m; what is asked for is reached after a lag.

    `acceleration` in m/s^2 and `steering` in rad are the present ones; these are numbers, or `(...)` that go
    with the starts. Lags are exponentials in time, and a step is an arc of the steering's mean, so that the
    result does not depend on the step: the speed not at all, the place to second order. It stays at rest.
    """

    wheelbase: float | Floats
    model: PedalModel = PedalModel()
    dt: float = 0.1
    acceleration: float | Floats = 0.0
    steering: float | Floats = 0.0
    lag: float = LAG
    steering_lag: float = STEERING_LAG

    def __post_init__(self) -> None:
        if not (np.isfinite(self.dt) and self.dt > 0.0):
            raise InputError(f"a vehicle's dt must be positive, got {self.dt}")
        if not np.all(np.asarray(self.wheelbase) > 0.0) or min(self.lag, self.steering_lag) <= 0.0:
            raise InputError("a wheelbase and lags must be positive")

    def roll(self, start: ArrayLike, pedals: ArrayLike) -> Floats:
        state, p = _checked(start, pedals)
        asked, angle = self.model.motion(p)
        x, y, h, v = (state[..., k] for k in range(4))
        a, wheel = (
            np.broadcast_to(np.asarray(q, float), v.shape) for q in (self.acceleration, self.steering)
        )
        faded = self.steering_lag * -np.expm1(-self.dt / self.steering_lag) / self.dt
        left = np.exp(-self.dt / self.steering_lag)
        out = np.empty((*p.shape[:-1], 4))
        for row in range(p.shape[-2]):
            way, gained, a = self._moved(v, a, asked[..., row])
            off = wheel - angle[..., row]
            half = 0.5 * np.tan(angle[..., row] + off * faded) / self.wheelbase * way
            wheel = angle[..., row] + off * left
            chord = way * np.sinc(half / np.pi)
            x, y = x + chord * np.cos(h + half), y + chord * np.sin(h + half)
            h, v = h + 2.0 * half, np.maximum(v + gained, 0.0)
            # Who stands is not braked any further.
            a = np.where(v > 0.0, a, np.maximum(a, 0.0))
            out[..., row, :] = np.stack((x, y, h, v), -1)
        out[..., 2] = wrap_angle(out[..., 2])
        return out

    def _moved(self, v: Floats, a: Floats, asked: Floats) -> tuple[Floats, Floats, Floats]:
        """Way and gain of speed in a step, and the acceleration at its end."""

        def after(t: Floats | float) -> tuple[Floats, Floats]:
            faded = self.lag * -np.expm1(-np.asarray(t) / self.lag)
            gained = asked * t + (a - asked) * faded
            return v * t + 0.5 * asked * np.square(t) + (a - asked) * self.lag * (t - faded), gained

        way, gained = after(self.dt)
        rests = v + gained < 0.0
        if rests.any():
            share = np.where(rests, v / np.where(rests, -gained, 1.0), 1.0)
            way = np.where(rests, np.maximum(after(share * self.dt)[0], 0.0), way)
        return way, gained, asked + (a - asked) * np.exp(-self.dt / self.lag)


def _checked(start: ArrayLike, pedals: ArrayLike) -> tuple[Floats, Floats]:
    """The start, one for each row of pedals, with no speed backwards; and the pedals."""
    p, s = np.asarray(pedals, dtype=np.float64), np.asarray(start, dtype=np.float64)
    if p.ndim < 2 or p.shape[-1] != 3 or s.shape[-1:] != (4,):
        raise InputError(f"a roll-out needs start (..., 4) and pedals (..., T, 3), got {s.shape}, {p.shape}")
    s = np.array(np.broadcast_to(s, (*p.shape[:-2], 4)))
    s[..., 3] = np.maximum(s[..., 3], 0.0)
    return s, p


__all__ = [
    "BRAKE",
    "STEER",
    "THROTTLE",
    "EgoKinematics",
    "Kinematics",
    "PedalKinematics",
    "PedalModel",
    "from_lidar",
    "next_speed",
    "to_lidar",
]
