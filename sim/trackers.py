"""Trackers: what turns a plan into the commands of a vehicle in the single closed loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.sim.kernels.lqr import COMPATS, HORIZON, lqr_settings, speed_factor, track_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.trajectory import Trajectory
    from drive.vehicle import VehicleParams


TRACKERS = ("lqr", "mpc")


class Tracker(Protocol):
    """Follows one vehicle's plans in one drive."""

    def track(
        self, trajectory: Trajectory, time: float, state: NDArray[np.float64], vehicle: VehicleParams
    ) -> tuple[float, float]:
        """Acceleration in m/s^2 and steering rate in rad/s at `time` for the rear-axle state `(7,)`."""
        ...


def make_tracker(name: str, dt: float) -> Tracker:
    """The tracker of one of `TRACKERS` for a drive with steps of `dt` s."""
    check_tracker(name)
    if name == "lqr":
        return LQRTracker(dt)
    from drive.sim.mpc_tracker import MPCTracker, TrackerMPC

    return MPCTracker(TrackerMPC(dt))


def check_tracker(name: str, mode: str = "closed") -> None:
    """Raise UnknownNameError for a tracker that there is not, InputError where none can be chosen."""
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    if name != "lqr" and mode != "closed":
        raise InputError(f"a tracker is chosen in closed loop on roads only: no --tracker in mode '{mode}'")


@dataclass(frozen=True, slots=True)
class LQRTracker:
    """The LQR tracker of the nuPlan devkit; `dt` in s is its sampling step.

    `compat` "fixed" is the devkit's scalar tracker, right; "reference" repeats the finite-difference
    fault of the released batch tracker that PDM-Closed and PDMS were published with.
    """

    dt: float = 0.1
    compat: str = "fixed"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.dt) and self.dt > 0.0):
            raise InputError(f"a tracker's dt must be positive, got {self.dt}")
        if self.compat not in COMPATS:
            raise InputError(f"lqr compat must be one of {', '.join(COMPATS)}, got '{self.compat}'")

    def track(
        self, trajectory: Trajectory, time: float, state: NDArray[np.float64], vehicle: VehicleParams
    ) -> tuple[float, float]:
        """Acceleration in m/s^2 and steering rate in rad/s at `time` for the rear-axle state `(7,)`.

        Past the plan's end its last speed and curvature hold. A plan shorter than two steps is
        prolonged along its last segment; one of a single state asks for a stop where it stands.
        """
        times, states = trajectory.times, trajectory.states
        if len(times) < 2:
            return -float(state[3]) / self.dt, 0.0
        count = max(int((times[-1] - times[0]) / self.dt + 1e-6), 2)
        scratch = np.empty(8 * count + 3 + HORIZON + 2)
        out = scratch[-2:]
        track_once(
            times,
            states,
            float(time),
            np.ascontiguousarray(state, dtype=np.float64),
            speed_factor(count, self.dt, self.compat, "d"),
            lqr_settings(vehicle, self.dt, np.float64),
            scratch[: 3 * count + 3].reshape(1, -1, 3),
            scratch[3 * count + 3 : 7 * count + 3],
            scratch[7 * count + 3 : 8 * count + 3],
            scratch[8 * count + 3 : -2],
            out,
        )
        return float(out[0]), float(out[1])
