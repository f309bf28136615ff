"""A trajectory: states at times, with interpolation, resampling, rigid motion and curvature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.geometry import from_frame, polyline_curvature, to_frame, unwrap_angle, wrap_angle
from drive.vehicle import ACCELERATION, HEADING, SPEED, STATE_SIZE, YAW_RATE, X, Y

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """`times (T,)` in seconds, strictly increasing, and `states (T, S)` in the columns of `drive.vehicle`.

    S is at least 7 (`STATE_SIZE`). Build one from fewer columns with `from_poses`.
    """

    times: NDArray[np.float64]
    states: NDArray[np.float64]

    def __post_init__(self) -> None:
        times = np.ascontiguousarray(self.times, dtype=np.float64)
        states = np.ascontiguousarray(self.states, dtype=np.float64)
        if times.ndim != 1 or states.ndim != 2 or len(times) != len(states) or len(times) == 0:
            shapes = f"{times.shape}, {states.shape}"
            raise InputError(f"a trajectory needs times (T,) and states (T, S), got {shapes}")
        if states.shape[1] < STATE_SIZE:
            raise InputError(f"a trajectory needs {STATE_SIZE} state columns, got {states.shape[1]}")
        # Between two finite ends whatever increases is finite.
        ends = math.isfinite(times[0]) and math.isfinite(times[-1])
        if not (ends and bool((times[1:] > times[:-1]).all())):
            raise InputError("a trajectory's times must be finite and strictly increase")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "states", states)

    def __len__(self) -> int:
        return len(self.times)

    def copy(self) -> Trajectory:
        """The same with arrays of its own; what was checked is not checked again."""
        made: Trajectory = object.__new__(Trajectory)
        object.__setattr__(made, "times", self.times.copy())
        object.__setattr__(made, "states", self.states.copy())
        return made

    @property
    def duration(self) -> float:
        return float(self.times[-1] - self.times[0])

    @classmethod
    def uniform(cls, start: float, dt: float, states: NDArray[np.float64]) -> Trajectory:
        """States `(T, S)` every `dt` seconds from the time `start` on."""
        return cls(np.asarray(start + dt * np.arange(len(states)), dtype=np.float64), states)

    @classmethod
    def from_poses(cls, times: ArrayLike, poses: ArrayLike, speed: ArrayLike | None = None) -> Trajectory:
        """Fill in speed, acceleration and yaw rate of `poses (T, 3)` by finite differences.

        The steering column stays 0: it depends on the vehicle.
        """
        t, p = np.asarray(times, dtype=np.float64), np.asarray(poses, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] < 3 or len(p) != len(t):
            raise InputError(f"poses must be (T, 3) with T = {len(t)}, got {p.shape}")
        states = np.zeros((len(t), STATE_SIZE))
        states[:, :3] = p[:, :3]
        if len(t) > 1:
            if speed is None:
                dx, dy = np.gradient(p[:, 0], t), np.gradient(p[:, 1], t)
                speed = dx * np.cos(p[:, 2]) + dy * np.sin(p[:, 2])
            states[:, SPEED] = speed
            states[:, ACCELERATION] = np.gradient(states[:, SPEED], t)
            states[:, YAW_RATE] = np.gradient(unwrap_angle(p[:, 2]), t)
        elif speed is not None:
            states[:, SPEED] = speed
        return cls(t, states)

    def at(self, times: ArrayLike) -> NDArray[np.float64]:
        """States `(..., S)` at `times (...)`; linear between samples, held constant outside."""
        t = np.asarray(times, dtype=np.float64)
        flat = t.reshape(-1)
        if len(self.times) == 1:
            return np.broadcast_to(self.states[0], (*t.shape, self.states.shape[1])).copy()
        k = np.clip(np.searchsorted(self.times, flat, side="right") - 1, 0, len(self.times) - 2)
        t0, t1 = self.times[k], self.times[k + 1]
        w = np.clip((flat - t0) / (t1 - t0), 0.0, 1.0)[:, None]
        a, b = self.states[k], self.states[k + 1]
        out = a + w * (b - a)
        turn = wrap_angle(b[:, HEADING] - a[:, HEADING])
        out[:, HEADING] = wrap_angle(a[:, HEADING] + w[:, 0] * turn)
        return np.asarray(out.reshape(*t.shape, -1))

    def resample(self, dt: float, horizon: float | None = None) -> Trajectory:
        """Sample every `dt` seconds from the first time on, for `horizon` seconds (default: its own)."""
        length = self.duration if horizon is None else horizon
        if not (dt > 0.0 and np.isfinite(dt) and 0.0 <= length < np.inf):
            raise InputError(f"cannot resample {length} s of a trajectory every {dt} s")
        times = self.times[0] + dt * np.arange(int(np.floor(length / dt + 1e-9)) + 1)
        return Trajectory(times, self.at(times))

    def transform_to(self, frame: ArrayLike) -> Trajectory:
        """The same motion expressed in the frame of the pose `frame (3,)`."""
        states = self.states.copy()
        states[:, :3] = to_frame(states[:, :3], frame)
        return Trajectory(self.times, states)

    def transform_from(self, frame: ArrayLike) -> Trajectory:
        """Inverse of `transform_to`."""
        states = self.states.copy()
        states[:, :3] = from_frame(states[:, :3], frame)
        return Trajectory(self.times, states)

    @property
    def curvature(self) -> NDArray[np.float64]:
        """Signed curvature `(T,)` of the path in its direction of travel, 1/m; 0 where the vehicle stands."""
        moving = np.concatenate(([True], np.hypot(*np.diff(self.states[:, [X, Y]], axis=0).T) > 1e-4))
        kappa = np.zeros(len(self.times))
        if moving.sum() >= 3:
            kappa[moving] = polyline_curvature(self.states[moving][:, [X, Y]])
        return kappa
