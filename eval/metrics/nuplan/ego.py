"""The ego of a run as the metrics read it: rear axle, box centre, corners, speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import box_corners
from drive.vehicle import HEADING, SPEED, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ego:
    """`rear`, `center (N, 2)`; `heading`, `speed (N,)`; `corners (N, 4, 2)` front left, rear left, rear
    right, front right; `dt` the mean sample time in s. The speed is the magnitude of the rear axle's, as
    the devkit's `DynamicCarState.speed` is: a reversing ego has a positive one."""

    rear: Floats
    center: Floats
    heading: Floats
    speed: Floats
    corners: Floats
    length: float
    width: float
    dt: float

    @classmethod
    def of(cls, run: RunLog) -> Ego:
        v = run.vehicle
        center = rear_to_center(run.ego, v.rear_axle_to_center)
        heading = run.ego[:, HEADING]
        dt = float(np.mean(np.diff(run.times))) if len(run.times) > 1 else run.dt
        return cls(
            run.ego[:, :2],
            center,
            heading,
            np.abs(run.ego[:, SPEED]),
            box_corners(center, heading, v.length, v.width),
            v.length,
            v.width,
            # The devkit's clock is in whole microseconds.
            round(dt * 1e6) * 1e-6,
        )

    def __len__(self) -> int:
        return len(self.heading)
