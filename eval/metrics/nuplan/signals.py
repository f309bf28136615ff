"""The ego's smoothed accelerations, jerks and yaw signals, and the statistics of a series.

Source: nuplan-devkit `planning/metrics/utils/state_extractors.py`, `common/actor_state/dynamic_car_state.py`.
An even window's inner outputs lie half a sample late, which the published figures contain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.base import finite
from drive.eval.metrics.nuplan import constants as c
from drive.savgol import savgol
from drive.vehicle import ACCELERATION, HEADING, SPEED, YAW_RATE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

TWO_PI = 2.0 * math.pi


def unwrap(heading: ArrayLike) -> Floats:
    """Headings `(N,)` without the jumps of a whole turn."""
    h = np.asarray(heading, dtype=np.float64)
    turns = np.concatenate(([0.0], np.cumsum(np.round(np.diff(h) / TWO_PI))))
    return h - TWO_PI * turns


@dataclass(frozen=True, slots=True, eq=False)
class Dynamics:
    """Series `(N,)` that the comfort metric bounds, smoothed and rounded as in the devkit."""

    longitudinal_acceleration: Floats
    lateral_acceleration: Floats
    jerk: Floats
    longitudinal_jerk: Floats
    yaw_rate: Floats
    yaw_acceleration: Floats


def dynamics(run: RunLog, dt: float) -> Dynamics:
    """The ego's signals as the metrics read them.

    Longitudinal and lateral acceleration are those of the box centre, which the devkit shifts from the rear
    axle by d (omega^2 + alpha) along the heading (not the rigid body's -d omega^2 ahead and d alpha to the
    left); the magnitude, and so the jerk, is of the rear axle. A kinematic bicycle reports no lateral
    acceleration at its rear axle, hence the lateral one is 0 in every run of ours; runs that begin with a
    logged state, as the devkit's do, bring it in their series `ego_lateral_acceleration`.
    """
    a, omega = run.ego[:, ACCELERATION], run.ego[:, YAW_RATE]
    lateral = np.asarray(run.series.get("ego_lateral_acceleration", np.zeros(len(a))), dtype=np.float64)
    shift = run.vehicle.rear_axle_to_center * (omega**2 + run.ego_yaw_acceleration)
    return smooth(a + shift, lateral, np.hypot(a, lateral), run.ego[:, HEADING], dt)


def smooth(longitudinal: Floats, lateral: Floats, magnitude: Floats, heading: Floats, dt: float) -> Dynamics:
    """Smooth raw accelerations `(N,)` and headings `(N,)` sampled every `dt` seconds."""

    def acceleration(raw: Floats) -> Floats:
        return np.round(savgol(raw, *c.ACCELERATION_FILTER), c.DECIMALS)

    def jerk(smoothed: Floats) -> Floats:
        return np.round(savgol(smoothed, *c.JERK_FILTER, deriv=1, dt=dt), c.DECIMALS)

    lon, h = acceleration(longitudinal), unwrap(heading)
    return Dynamics(
        lon,
        acceleration(lateral),
        jerk(acceleration(magnitude)),
        jerk(lon),
        np.round(savgol(h, *c.YAW_RATE_FILTER, deriv=1, dt=dt), c.DECIMALS),
        np.round(savgol(h, *c.YAW_ACCELERATION_FILTER, deriv=2, dt=dt), c.DECIMALS),
    )


def centripetal_acceleration(run: RunLog) -> Floats:
    """Speed times yaw rate `(N,)` in m/s^2, smoothed: the lateral acceleration that a passenger feels."""
    return savgol(run.ego[:, SPEED] * run.ego[:, YAW_RATE], *c.ACCELERATION_FILTER)


def series_statistics(name: str, values: Floats) -> dict[str, float | int | bool | None]:
    """Largest, smallest, mean and 90th percentile of a series, named as in the devkit."""
    if len(values) == 0:
        return {f"{which}_{name}": None for which in ("max", "min", "avg", "p90")}
    return {
        f"max_{name}": finite(values.max()),
        f"min_{name}": finite(values.min()),
        f"avg_{name}": finite(values.mean()),
        f"p90_{name}": finite(percentile_90(values)),
    }


def percentile_90(values: Floats) -> float:
    """The observation closest to the 90th percentile of `values (N,)`, N >= 1.

    Of two that are equally close (N an odd multiple of 5) it is the one with the even rank counted from 0, as
    in NumPy before 2, which the devkit is published with; NumPy 2 counts from 1. Source: numpy 1.23
    `numpy/lib/function_base.py`, `_closest_observation`.
    """
    nine = 9 * len(values) - 15  # ten times the rank, which is a whole number only at a tie
    rank, rest = divmod(nine, 10)
    if rest or rank % 2:
        rank += 1
    return float(np.sort(values)[min(max(rank, 0), len(values) - 1)])
