"""Bench2Drive's comfort: the share of stretches of 20 samples that keep nuPlan's six bounds.

Source: Bench2Drive 0.0.4 `tools/efficiency_smoothness_benchmark.py` (facts only: its licence forbids more).
The published tool has three slips, which `quirks` mirrors for the sake of comparison: what it calls yaw
acceleration is the yaw rate again, never differentiated; it takes 0.1 s between samples that come at 20 Hz;
and CARLA's angular velocity is in degrees a second where the bounds are in radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla.course import ticks
from drive.eval.metrics.nuplan.comfort import within_bounds
from drive.eval.metrics.nuplan.signals import Dynamics, unwrap
from drive.savgol import savgol
from drive.vehicle import ACCELERATION, SPEED, YAW_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

CHUNK = 20  # samples
WINDOW, ORDER = 7, 2
ASSUMED_DT = 0.1  # s, what the tool takes for the step


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Accelerations of the box centre ahead and to the left in m/s^2 and yaw rate in rad/s `(N,)`."""

    ahead: Floats
    left: Floats
    yaw_rate: Floats
    dt: float

    @classmethod
    def of(cls, run: RunLog, end: int) -> Motion:
        """The ego's motion up to the sample `end`, at 20 Hz; the rigid body's at the box centre."""
        fine, _ = ticks(run.times[: end + 1])
        a, v, rate = (run.ego[: end + 1, k] for k in (ACCELERATION, SPEED, YAW_RATE))
        d = run.vehicle.rear_axle_to_center
        ahead, left = a - d * rate**2, v * rate + d * run.ego_yaw_acceleration[: end + 1]
        ahead, left, rate = (np.interp(fine, run.times[: end + 1], x) for x in (ahead, left, rate))
        return cls(ahead, left, rate, float(fine[1] - fine[0]) if len(fine) > 1 else ASSUMED_DT)


def comfortable(motion: Motion, quirks: bool) -> bool:
    """Whether one stretch keeps all six bounds (strictly)."""

    def smooth(values: Floats) -> Floats:
        return savgol(values, WINDOW, ORDER)

    def slope(values: Floats) -> Floats:
        return savgol(values, WINDOW, ORDER, deriv=1, dt=ASSUMED_DT if quirks else motion.dt)

    ahead, left = smooth(motion.ahead), smooth(motion.left)
    jerk = slope(smooth(np.hypot(motion.ahead, motion.left)))
    # The published tool also takes whole turns out of the rate, as if it were an angle.
    rate = smooth(unwrap(np.degrees(motion.yaw_rate)) if quirks else motion.yaw_rate)
    turning = rate if quirks else slope(motion.yaw_rate)
    return all(within_bounds(Dynamics(ahead, left, jerk, slope(ahead), rate, turning)).values())


def comfortness(motion: Motion, quirks: bool) -> float | None:
    """Share of the whole stretches of 20 samples that are comfortable; None without three samples.

    A drive of 20 samples or fewer is one stretch; of a longer one an incomplete last stretch is left out.
    """
    count = len(motion.ahead)
    if count <= ORDER:
        return None
    starts = [0] if count <= CHUNK else range(0, count - CHUNK + 1, CHUNK)
    held = []
    for k in starts:
        part = slice(k, k + CHUNK)
        piece = Motion(motion.ahead[part], motion.left[part], motion.yaw_rate[part], motion.dt)
        held.append(comfortable(piece, quirks))
    return float(np.mean(held))
