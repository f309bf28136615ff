"""Where others are expected: what a forecaster is, and the simplest one. It is told what a planner is told.

Forecasters are registered in the entry-point group `drive.forecasters`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from drive.errors import InputError
from drive.geometry import unwrap_angle
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


__all__ = ["ConstantVelocity", "Forecaster", "expected"]
