"""Where others are expected: what a forecaster is, and the simplest one. It is told what a planner is told.

Forecasters are registered in the entry-point group `drive.forecasters`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from drive.errors import InputError
from drive.geometry import unwrap_angle, wrap_angle
from drive.planner import Forecasts
from drive.scenario import TRACK_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.planner import Observation

    Floats = NDArray[np.float64]

_X, _Y, _HEADING, _VX, _VY = (TRACK_COLUMNS.index(name) for name in ("x", "y", "heading", "vx", "vy"))


@runtime_checkable
class Forecaster(Protocol):
    """Says where the agents of an observation will be. Holds no state of a session; knows no future."""

    def forecast(self, observation: Observation, times: Floats) -> Forecasts:
        """Forecasts for all rows of the observation's agents at absolute `times (T,)`, not before now."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantVelocity:
    """Everybody goes on with velocity and heading as they are; the deviation of a place grows by `spread` m
    a second on what the sensor's already is."""

    spread: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.spread < np.inf:
            raise InputError(f"a forecast's spread is 0 or more, not {self.spread}")

    def forecast(self, observation: Observation, times: Floats) -> Forecasts:
        agents, at = observation.agents, np.asarray(times, dtype=np.float64)
        ahead = _ahead(observation, at)
        mean = np.empty((len(agents), 1, len(at), 3))
        mean[:, 0, :, 0] = agents[:, _X, None] + agents[:, _VX, None] * ahead
        mean[:, 0, :, 1] = agents[:, _Y, None] + agents[:, _VY, None] * ahead
        mean[:, 0, :, 2] = agents[:, _HEADING, None]
        grown = np.square(self.spread * ahead)[:, None, None] * np.eye(2)
        covariance = observation.covariance[:, None, None, :2, :2] + grown
        return Forecasts(at, mean, covariance, np.ones((len(agents), 1)))


@dataclass(frozen=True, slots=True)
class Steady:
    """Who brakes goes on braking until it stands, who turns goes on turning for a while, others keep their
    velocity: constant turn rate and deceleration, as measured over the last `window` s.

    Turning fades with the time constant `turning` s; nobody is taken to brake harder than `hardest` m/s^2.
    `spread` is `ConstantVelocity`'s.
    """

    window: float = 0.5
    turning: float = 1.5
    hardest: float = 6.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        for name in ("window", "turning", "hardest"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError(f"a forecast's {name} is positive, not {getattr(self, name)}")
        if not 0.0 <= self.spread < np.inf:
            raise InputError(f"a forecast's spread is 0 or more, not {self.spread}")

    def forecast(self, observation: Observation, times: Floats) -> Forecasts:
        found = ConstantVelocity(self.spread).forecast(observation, times)
        agents = observation.agents
        if not len(agents):
            return found
        braking, turn = self._measured(observation)
        moved = (braking > 0.1) | (np.abs(turn) > 0.02)
        if not moved.any():
            return found
        rows = np.flatnonzero(moved)
        ahead = _ahead(observation, found.times)
        fine = np.linspace(0.0, max(float(ahead.max()), 1e-6), 64)
        speed = np.maximum(
            np.hypot(agents[rows, _VX], agents[rows, _VY])[:, None] - braking[rows, None] * fine, 0.0
        )
        turned = turn[rows, None] * self.turning * (1.0 - np.exp(-fine / self.turning))
        course = np.arctan2(agents[rows, _VY], agents[rows, _VX])[:, None] + turned
        for column, way in ((0, speed * np.cos(course)), (1, speed * np.sin(course))):
            step = 0.5 * (way[:, 1:] + way[:, :-1]) * np.diff(fine)
            place = np.concatenate((np.zeros((len(rows), 1)), step.cumsum(1)), 1)
            place += agents[rows, (_X, _Y)[column], None]
            found.mean[rows, 0, :, column] = [np.interp(ahead, fine, one) for one in place]
        for row, angle in zip(rows, turned, strict=True):
            found.mean[row, 0, :, 2] = wrap_angle(agents[row, _HEADING] + np.interp(ahead, fine, angle))
        return found

    def _measured(self, observation: Observation) -> tuple[Floats, Floats]:
        """Deceleration in m/s^2 and turn rate in rad/s of each agent; 0 where its past is not known."""
        o = observation
        dt = o.time / o.step if o.step > 0 and o.time > 0.0 else 0.1
        back = min(max(round(self.window / dt), 1), o.agent_history.shape[1] - 1)
        if back < 1:
            return np.zeros(len(o.agents)), np.zeros(len(o.agents))
        past, there = o.agent_history[:, -1 - back], o.agent_history_valid[:, -1 - back] & o.agent_valid
        now = np.hypot(o.agents[:, _VX], o.agents[:, _VY])
        gain = (now - np.hypot(past[:, _VX], past[:, _VY])) / (back * dt)
        turn = wrap_angle(o.agents[:, _HEADING] - past[:, _HEADING]) / (back * dt)
        braking = np.clip(-gain, 0.0, self.hardest)
        moving = there & (now > 0.3)
        return np.where(moving, braking, 0.0), np.where(moving, np.clip(turn, -0.8, 0.8), 0.0)


def expected(forecasts: Forecasts, times: ArrayLike) -> Floats:
    """The poses `(A, T, 3)` of each agent's likeliest mode at `times (T,)`, linear in between.

    Beyond its ends a forecast stands still.
    """
    at = np.asarray(times, dtype=np.float64)
    rows = np.arange(len(forecasts.mean))
    mean = forecasts.mean[rows, forecasts.probability.argmax(1)] if len(rows) else forecasts.mean[:, 0]
    if forecasts.times.shape == at.shape and np.allclose(forecasts.times, at, rtol=0.0, atol=1e-6):
        return np.array(mean)
    out = np.empty((len(mean), len(at), 3))
    for row, poses in enumerate(mean):
        for k, values in enumerate((poses[:, 0], poses[:, 1], unwrap_angle(poses[:, 2]))):
            out[row, :, k] = np.interp(at, forecasts.times, values)
    return out


def _ahead(observation: Observation, times: Floats) -> Floats:
    if times.ndim != 1 or not np.isfinite(times).all() or (times < observation.time - 1e-6).any():
        raise InputError("a forecast is asked for finite times (T,), none before the observation")
    return times - observation.time


__all__ = ["ConstantVelocity", "Forecaster", "Steady", "expected"]
