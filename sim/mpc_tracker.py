"""A tracker by linear time-varying MPC: one small quadratic programme for acceleration and steering rate.

It knows what the LQR tracker does not: the lags of drive and steering, the vehicle's limits, and how far the
vehicle is behind the plan. The model is `drive.sim.vehicles.bicycle_step` linearised about the plan, in the
errors along and aside of it (as in Rajamani, Vehicle Dynamics and Control, section 2.5; here in time, with
the lags); states are eliminated, so that the unknowns are the commands alone, which bounds never leave
without a solution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.sim.kernels.lqr import (
    ACCELERATION_LAG,
    STEERING_LAG,
    STOP_GAIN,
    STOP_SPEED,
    fit_profiles,
    lqr_settings,
    speed_factor,
)
from drive.vehicle import ACCELERATION, HEADING, SPEED, STEERING, X, Y

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.trajectory import Trajectory
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

ALONG, ASIDE, TURNED, V, A, D, NX = range(7)
"""Errors along, aside and in heading; speed, acceleration, steering angle."""
PUSH, STEER, NU = range(3)


@dataclass(frozen=True, slots=True)
class TrackerMPC:
    """Weights of the squares of the errors along and aside in m, in heading in rad, in speed in m/s and in
    acceleration in m/s^2 against the plan's; of the jerk in m/s^3 and of the steering rate in rad/s.

    `steps` of `dt` s are looked ahead; an error along of more than `reach` m is taken for that much.
    """

    dt: float = 0.1
    steps: int = 20
    along: float = 0.3
    aside: float = 1.0
    heading: float = 10.0
    speed: float = 1.0
    acceleration: float = 0.3
    jerk: float = 0.2
    steering_rate: float = 10.0
    reach: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dt) and self.dt > 0.0):
            raise InputError(f"a tracker's dt must be positive, got {self.dt}")
        if not 3 <= self.steps <= 100:
            raise InputError(f"a tracker's steps must lie between 3 and 100, got {self.steps}")
        for f in fields(self)[2:]:
            if not 0.0 <= getattr(self, f.name) < math.inf:
                raise InputError(f"a tracker's {f.name} must be 0 or more, got {getattr(self, f.name)}")
        if self.jerk == 0.0 or self.steering_rate == 0.0:
            raise InputError("a tracker's jerk and steering_rate must cost something")


@dataclass(slots=True, eq=False)
class MPCTracker:
    """The tracker of one vehicle in one drive: it keeps its solver, which begins where it ended."""

    settings: TrackerMPC = field(default_factory=TrackerMPC)
    _solver: Any = None
    _vehicle: VehicleParams | None = None

    def track(
        self, trajectory: Trajectory, time: float, state: Floats, vehicle: VehicleParams
    ) -> tuple[float, float]:
        """Acceleration in m/s^2 and steering rate in rad/s at `time` for the rear-axle state `(7,)`.

        Past the plan's end its last speed and curvature hold; a plan of a single state asks for a stop. One
        that overflows gives NaN.
        """
        c = self.settings
        if len(trajectory.times) < 2:
            return -float(state[SPEED]) / c.dt, 0.0
        # A plan to beyond any place overflows here, and is told of by commands that are not finite.
        with np.errstate(all="ignore"):
            return self._commands(*reference(trajectory, time, c.dt, c.steps, vehicle), state, vehicle)

    def _commands(
        self, pose: Floats, speed: Floats, curvature: Floats, state: Floats, vehicle: VehicleParams
    ) -> tuple[float, float]:
        if state[SPEED] <= STOP_SPEED and speed[1:].max() <= STOP_SPEED:
            return -STOP_GAIN * float(state[SPEED] - speed[-1]), 0.0
        first = self._errors(state, pose)
        form, linear, low, high = self._programme(first, speed, curvature, vehicle)
        if not (math.isfinite(float(form.sum())) and math.isfinite(float(linear.sum()))):
            return math.nan, math.nan
        found = self._run(form, linear, low, high, vehicle)
        return float(found[PUSH]), float(found[STEER])

    def _errors(self, state: Floats, pose: Floats) -> Floats:
        """The state (6,) of the model: errors against the plan's pose now, and the vehicle's own."""
        dx, dy = float(state[X] - pose[0]), float(state[Y] - pose[1])
        c, s = math.cos(pose[2]), math.sin(pose[2])
        reach = self.settings.reach
        return np.array(
            [
                min(max(c * dx + s * dy, -reach), reach),
                c * dy - s * dx,
                float(wrap_angle(float(state[HEADING] - pose[2]))),
                state[SPEED],
                state[ACCELERATION],
                state[STEERING],
            ]
        )

    def _programme(
        self, first: Floats, speed: Floats, curvature: Floats, vehicle: VehicleParams
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Form `(2 N, 2 N)`, linear term `(2 N,)` and bounds `(3 N,)` of the commands, of those of time 0
        first.

        Bounded are the accelerations, the steering rates, and by the sums of these the steering angle.
        """
        c = self.settings
        free, reach = self._predicted(first, speed, curvature, vehicle)
        n, dt = c.steps, c.dt
        target = np.zeros((n, NX))
        target[:, V] = speed[1:]
        target[:, A] = np.diff(speed) / dt
        weights = np.tile([c.along, c.aside, c.heading, c.speed, c.acceleration, 0.0], n)
        flat = reach.reshape(n * NX, NU * n)
        form = 2.0 * (flat.T * weights) @ flat
        linear = 2.0 * (flat.T * weights) @ (free - target).ravel()
        # The jerk is that of the acceleration behind the lag.
        change = np.diff(reach[:, A], axis=0, prepend=np.zeros((1, NU * n))) / dt
        jerk = np.diff(free[:, A], prepend=first[A]) / dt
        form += 2.0 * c.jerk * change.T @ change
        linear += 2.0 * c.jerk * change.T @ jerk
        steer = np.arange(STEER, NU * n, NU)
        form[steer, steer] += 2.0 * c.steering_rate
        # A command that costs next to nothing, as at the horizon's end, must not make the form singular.
        form[np.diag_indices(NU * n)] += 1e-6
        low, high = np.empty(3 * n), np.empty(3 * n)
        low[: NU * n : NU], high[: NU * n : NU] = -vehicle.max_braking, vehicle.max_acceleration
        low[STEER : NU * n : NU] = -vehicle.max_steering_rate
        high[STEER : NU * n : NU] = vehicle.max_steering_rate
        room, angle = vehicle.max_steering, min(max(float(first[D]), -1e3), 1e3)
        low[NU * n :], high[NU * n :] = min(-room - angle, 0.0), max(room - angle, 0.0)
        return form, linear, low, high

    def _predicted(
        self, first: Floats, speed: Floats, curvature: Floats, vehicle: VehicleParams
    ) -> tuple[Floats, Floats]:
        """States `(N, 6)` at the samples 1 to N without commands, and what the commands add `(N, 6, 2 N)`."""
        n, dt, base = self.settings.steps, self.settings.dt, vehicle.wheelbase
        # About the plan's steering, and a speed that comes near the plan's within a second.
        about = np.maximum(speed + (first[V] - speed[0]) * np.exp(-dt * np.arange(n + 1)), 0.0)
        bend = np.clip(base * curvature, -math.tan(vehicle.max_steering), math.tan(vehicle.max_steering))
        lag, wheel = dt / (dt + ACCELERATION_LAG), self._wheel()
        free, reach = np.empty((n, NX)), np.zeros((n, NX, NU * n))
        step = np.eye(NX)
        step[ALONG, V] = dt
        step[A, A] = 1.0 - lag
        step[V, A] = dt * (1.0 - lag)
        state, push = first, np.zeros((NX, NU * n))
        for k in range(n):
            v, b = about[k], bend[k]
            swing = v * (1.0 + b * b) / base
            step[ALONG, ASIDE] = dt * speed[k] * curvature[k]
            step[ASIDE, ALONG], step[ASIDE, TURNED] = -dt * speed[k] * curvature[k], dt * v
            step[TURNED, V], step[TURNED, D] = dt * b / base, dt * swing
            state = step @ state
            state[ALONG] -= dt * speed[k]
            # The loop's Euler step goes along the tangent, where the plan's way bends off.
            state[ASIDE] -= 0.5 * dt * dt * speed[k] ** 2 * curvature[k]
            state[TURNED] -= dt * (speed[k] * curvature[k] + swing * math.atan(b))
            push = step @ push
            push[V, NU * k + PUSH] += dt * lag
            push[A, NU * k + PUSH] += lag
            push[D, NU * k + STEER] += wheel
            free[k], reach[k] = state, push
        return free, reach

    def _run(self, form: Floats, linear: Floats, low: Floats, high: Floats, vehicle: VehicleParams) -> Floats:
        """The best commands `(2 N,)`; the best without bounds where they keep them, as nearly always."""
        free: Floats = np.asarray(np.linalg.solve(form, -linear), dtype=np.float64)
        n = len(linear)
        bounded = np.concatenate((free, self._wheel() * np.cumsum(free[STEER::NU])))
        if ((bounded >= low) & (bounded <= high)).all():
            return free
        return np.clip(self._bounded(form, linear, low, high, vehicle), low[:n], high[:n])

    def _wheel(self) -> float:
        """How far the steering angle moves in a step for each rad/s of its commanded rate."""
        return self.settings.dt**2 / (self.settings.dt + STEERING_LAG)

    def _bounded(
        self, form: Floats, linear: Floats, low: Floats, high: Floats, vehicle: VehicleParams
    ) -> Floats:
        """The best commands within the bounds; as the vehicle is now where the solver finds none."""
        import osqp
        from scipy.sparse import csc_matrix

        n = self.settings.steps
        if self._solver is None or self._vehicle != vehicle:
            rows = np.zeros((3 * n, NU * n))
            rows[: NU * n] = np.eye(NU * n)
            rows[NU * n :, STEER::NU] = self._wheel() * np.tri(n)
            # Every entry of the form is kept, also those that are 0 now: the pattern must stay.
            p = csc_matrix(np.triu(np.ones_like(form)))
            p.data[:] = _upper(form)
            self._solver, self._vehicle = osqp.OSQP(), vehicle
            self._solver.setup(
                p, linear, csc_matrix(rows), low, high, verbose=False, eps_abs=1e-5, eps_rel=1e-5,
                max_iter=4000, adaptive_rho_interval=50, polishing=False,
            )  # fmt: skip
        else:
            self._solver.update(q=linear, l=low, u=high, Px=_upper(form))
        found = self._solver.solve(raise_error=False).x
        if found is None or not np.isfinite(np.asarray(found, dtype=np.float64)).all():
            self._solver = None
            return np.zeros(NU * n)
        return np.asarray(found, dtype=np.float64)


def reference(
    trajectory: Trajectory, time: float, dt: float, steps: int, vehicle: VehicleParams
) -> tuple[Floats, Floats, Floats]:
    """The plan's pose `(3,)` at `time`, and its speed and curvature `(steps + 1,)` from then on.

    Both are the smooth ones that the LQR tracker fits to the poses; what a plan says of its speeds is not
    looked at. They are held past the plan's end.
    """
    times, start = trajectory.times, float(trajectory.times[0])
    count = max(int((times[-1] - start) / dt + 1e-6), 2)
    grid = np.asarray(start + dt * np.arange(count + 1), dtype=np.float64)
    poses = np.ascontiguousarray(_poses(trajectory, grid))
    speed, curvature = np.empty(4 * count), np.empty(count)
    settings, factor = lqr_settings(vehicle, dt, np.float64), speed_factor(count, dt, "fixed", "d")
    fit_profiles(poses[None], 0, factor, settings, speed, curvature)  # type: ignore[no-untyped-call]
    at = (time - start) / dt + np.arange(steps + 1)
    samples = np.arange(count)
    pose = _poses(trajectory, np.array([min(time, float(times[-1]))]))[0]
    return pose, np.interp(at, samples, speed[:count]), np.interp(at, samples, curvature)


def _poses(trajectory: Trajectory, at: Floats) -> Floats:
    """Poses `(T, 3)` at times, prolonged along the last segment."""
    times, states = trajectory.times, trajectory.states
    k = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    share = np.maximum((at - times[k]) / (times[k + 1] - times[k]), 0.0)
    step = states[k + 1, :3] - states[k, :3]
    step[:, 2] = wrap_angle(step[:, 2])
    return np.asarray(states[k, :3] + share[:, None] * step)


def _upper(form: Floats) -> Floats:
    """The upper triangle column by column, as a compressed-column matrix holds it."""
    return np.concatenate([form[: k + 1, k] for k in range(len(form))])
