"""ego_is_comfortable: six bounds that every sample must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.base import MetricResult
from drive.eval.metrics.nuplan import constants as c
from drive.eval.metrics.nuplan.signals import Dynamics, centripetal_acceleration, dynamics, series_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]


def within_bounds(signals: Dynamics) -> dict[str, bool]:
    """Which of the six bounds hold; all are strict."""

    def under(values: Floats, bound: float) -> bool:
        return bool((np.abs(values) < bound).all())

    lon = signals.longitudinal_acceleration
    low, high = c.LON_ACCELERATION
    return {
        "ego_lon_acceleration": bool(((lon > low) & (lon < high)).all()),
        "ego_lat_acceleration": under(signals.lateral_acceleration, c.LAT_ACCELERATION),
        "ego_jerk": under(signals.jerk, c.JERK),
        "ego_lon_jerk": under(signals.longitudinal_jerk, c.LON_JERK),
        "ego_yaw_rate": under(signals.yaw_rate, c.YAW_RATE),
        "ego_yaw_acceleration": under(signals.yaw_acceleration, c.YAW_ACCELERATION),
    }


def ego_is_comfortable(run: RunLog, dt: float) -> MetricResult:
    """1 where all six bounds hold at every sample, else 0."""
    signals = dynamics(run, dt)
    held = within_bounds(signals)
    statistics: dict[str, float | int | bool | None] = {"ego_is_comfortable": all(held.values())}
    for name, values in (
        ("ego_lon_acceleration", signals.longitudinal_acceleration),
        ("ego_lat_acceleration", signals.lateral_acceleration),
        ("ego_jerk", signals.jerk),
        ("ego_lon_jerk", signals.longitudinal_jerk),
        ("ego_yaw_rate", signals.yaw_rate),
        ("ego_yaw_acceleration", signals.yaw_acceleration),
    ):
        statistics.update(series_statistics(name, values))
        statistics[f"abs_{name}_within_bounds"] = held[name]
    series = {
        "longitudinal_acceleration": signals.longitudinal_acceleration,
        "lateral_acceleration": centripetal_acceleration(run),
        "jerk": signals.jerk,
        "longitudinal_jerk": signals.longitudinal_jerk,
        "yaw_rate": signals.yaw_rate,
        "yaw_acceleration": signals.yaw_acceleration,
    }
    return MetricResult(float(all(held.values())), statistics=statistics, series=series)
