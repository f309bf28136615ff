"""From a trajectory to pedals: the two PID controllers of Hydra-NeXt's agent (those of TCP, Wu et al. 2022).

`RELEASED` holds the published numbers, for a vehicle that takes throttle, brake and steer at 20 Hz and is
described in its lidar's frame. `EGO` is the same scheme for our simulator's ego: 10 Hz, the rear axle as
origin, the angle to the aim turned into the steering that leads there, the speed's controller in m/s^2.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.planners.hydra_next.kinematics import PedalModel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NEAREST = 2.0
"""m; an aim nearer than this counts as so far away: who crawls does not turn the wheels for an inch."""
SPACING, WAYPOINTS = 0.5, 6
"""Seconds between two waypoints, and how many of a trajectory are followed."""


@dataclass(frozen=True, slots=True)
class PIDSettings:
    """Gains are (proportional, integral, derivative): of the error, the mean of `window` and the last change.

    `aim` in m: the waypoint whose middle to the next one is about so far away is steered for. `pursuit` makes
    the turning error the steering, a share of the pedal model's, that a circle to the aim needs; else it is
    its angle as a share of a right angle. `metric` makes the speed's output an acceleration; else a throttle
    of at most `max_throttle` for a shortfall of at most `max_delta` m/s, and full brake where less than
    `stop_speed` is wanted or the speed is above `brake_ratio` times the wanted one.
    """

    turn: tuple[float, float, float] = (1.0, 0.0, 0.0)
    speed: tuple[float, float, float] = (0.67, 0.0, 0.0)
    window: int = 20
    aim: float = 5.4
    pursuit: bool = True
    metric: bool = True
    max_throttle: float = 0.75
    max_delta: float = 0.25
    stop_speed: float = 0.4
    brake_ratio: float = 1.1
    use_target: bool = False

    def __post_init__(self) -> None:
        if self.window < 1 or not 0.0 < self.aim < math.inf:
            raise InputError("a PID needs a window of at least 1 and an aim ahead of it")
        if not np.isfinite((*self.turn, *self.speed)).all() or len(self.turn) != 3 or len(self.speed) != 3:
            raise InputError("a PID's gains must be three finite numbers each")


RELEASED = PIDSettings(
    (0.75, 0.75, 0.3), (5.0, 0.5, 1.0), window=40, aim=4.0, pursuit=False, metric=False, use_target=True
)
EGO = PIDSettings()


@dataclass(slots=True, eq=False)
class Errors:
    """What the two controllers remember of a run."""

    turn: deque[float] = field(default_factory=deque)
    speed: deque[float] = field(default_factory=deque)


def aim_of(waypoints: ArrayLike, distance: float) -> int:
    """Which waypoint `(M, 2)` to steer for: the first of the pair whose middle is most nearly so far away.

    Of equals the first; the last waypoint is never an aim.
    """
    w = np.asarray(waypoints, dtype=np.float64)
    middle = np.linalg.norm(0.5 * (w[1:, :2] + w[:-1, :2]), axis=-1)
    return int(np.argmin(np.abs(middle - distance)))


def wanted_speed(waypoints: ArrayLike) -> float:
    """The mean speed in m/s between waypoints `(M, 2)` half a second apart."""
    steps = np.diff(np.asarray(waypoints, dtype=np.float64)[:, :2], axis=0)
    return float(np.linalg.norm(steps, axis=-1).mean() / SPACING)


def drive(
    waypoints: ArrayLike,
    speed: float,
    wheelbase: float,
    settings: PIDSettings,
    model: PedalModel,
    memory: Errors,
    target: ArrayLike | None = None,
) -> Floats:
    """Pedals (3,) that follow `waypoints (M, >= 2)`, half a second apart, in the ego's frame.

    `target (2,)` is the route's next point: with `use_target` it is steered for instead of the aim if its
    angle is smaller, or differs by more than 0.3 of a right angle while it is nearer than 10 m.
    """
    w = np.asarray(waypoints, dtype=np.float64)
    wanted = wanted_speed(w)
    aim = w[aim_of(w, settings.aim), :2]
    if settings.use_target and target is not None:
        aim = _chosen(aim, np.asarray(target, dtype=np.float64)[:2])
    if wanted < 0.01 and float(np.hypot(*aim)) < 0.5:
        error = 0.0  # It is to stand still: whoever lies before the wheels tells no direction.
    elif settings.pursuit:
        error = _pursued(aim, wheelbase, model)
    else:
        error = _angle(aim)
    steer = min(max(_pid(memory.turn, error, settings.turn, settings.window), -1.0), 1.0)
    if settings.metric:
        push = _pid(memory.speed, wanted - speed, settings.speed, settings.window)
        pedals = model.pedals(push, 0.0, speed if wanted < settings.stop_speed else max(speed, 0.2))
        pedals[1] = steer
        return pedals
    short = min(max(wanted - speed, 0.0), settings.max_delta)
    throttle = _pid(memory.speed, short, settings.speed, settings.window)
    stop = wanted < settings.stop_speed or speed / wanted > settings.brake_ratio
    return np.array([0.0 if stop else min(max(throttle, 0.0), settings.max_throttle), steer, float(stop)])


def _pid(errors: deque[float], error: float, gains: tuple[float, float, float], window: int) -> float:
    errors.append(error)
    while len(errors) > window:
        errors.popleft()
    change = errors[-1] - errors[-2] if len(errors) > 1 else 0.0
    mean = sum(errors) / len(errors) if len(errors) > 1 else 0.0
    return gains[0] * error + gains[1] * mean + gains[2] * change


def _angle(aim: Floats) -> float:
    """The angle to a point, positive to the left, as a share of a right angle."""
    return math.atan2(float(aim[1]), float(aim[0])) / (0.5 * math.pi)


def _pursued(aim: Floats, wheelbase: float, model: PedalModel) -> float:
    """The steering that drives the rear axle through a point on a circle (pure pursuit, Coulter 1992)."""
    bend = 2.0 * float(aim[1]) / max(float(aim @ aim), NEAREST**2)
    return math.atan(bend * wheelbase) / model.steering


def _chosen(aim: Floats, target: Floats) -> Floats:
    own, other = _angle(aim), _angle(target)
    far = abs(other - own) > 0.3 and float(np.hypot(*target)) < 10.0
    return target if abs(other) < abs(own) or far else aim


__all__ = ["EGO", "RELEASED", "WAYPOINTS", "Errors", "PIDSettings", "aim_of", "drive", "wanted_speed"]
