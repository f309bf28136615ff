"""Plain NumPy reference of the roll-out: the published formulation, float64, matrices written out.

It shares no code with the kernels: the least squares are solved with dense matrices in the unknowns
of the source (first value and derivatives), the lateral LQR by products of 3 x 3 matrices.
Sources: nuPlan devkit, tracker/lqr.py and tracker_utils.py, kinematic_bicycle.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]


def difference_matrix(rows: int, compat: str) -> Floats:
    """`(rows, rows + 1)`: x_(i+1) - x_i, or the released batch tracker's matrix.

    The released code writes ones on the upper diagonal and then assigns a negated identity to all
    columns but the last, which erases every one of those ones but the last.
    """
    out = np.zeros((rows, rows + 1))
    out[:, 1:] = np.eye(rows)
    if compat == "reference":
        out[:, :-1] = -np.eye(rows)
    else:
        out[:, :-1] -= np.eye(rows)
    return out


def profiles(poses: Floats, dt: float, compat: str) -> tuple[Floats, Floats]:
    """Speed and curvature profiles `(M,)` of poses `(M + 1, 3)` by dense least squares."""
    step = np.diff(poses, axis=0)
    count = len(step)
    heading = poses[:-1, 2]
    lower = np.tri(count)
    shape = np.where(np.arange(count) == 0, dt, dt**2) * lower
    a = np.empty((2 * count, count))
    a[0::2], a[1::2] = np.cos(heading)[:, None] * shape, np.sin(heading)[:, None] * shape
    r = np.hstack((np.zeros((count - 2, 1)), difference_matrix(count - 2, compat)))
    x = np.linalg.solve(a.T @ a + 1e-4 * r.T @ r, a.T @ step[:, :2].reshape(-1))
    speed = x[0] + np.concatenate(([0.0], np.cumsum(x[1:] * dt)))
    a = speed[:, None] * shape
    q = np.diag(np.where(np.arange(count) == 0, 1e-10, 1e-2))
    x = np.linalg.solve(a.T @ a + q, a.T @ wrap_angle(step[:, 2]))
    return speed, x[0] + np.concatenate(([0.0], np.cumsum(x[1:] * dt)))


def lateral_rate(error: Floats, speeds: Floats, curvatures: Floats, wheelbase: float, dt: float) -> float:
    """Steering rate of the one-step LQR on the lifted system; `error (3,)` lateral, heading, steering."""
    a, b, g = np.eye(3), np.zeros((3, 1)), np.zeros(3)
    for v, k in zip(speeds, curvatures, strict=True):
        m = np.array([[1.0, v * dt, 0.0], [0.0, 1.0, v * dt / wheelbase], [0.0, 0.0, 1.0]])
        a, b, g = m @ a, m @ b + [[0.0], [0.0], [dt]], m @ g + [0.0, -v * k * dt, 0.0]
    left = a @ error + g
    left[1:] = wrap_angle(left[1:])
    q = np.diag([1.0, 10.0, 0.0])
    return float(-np.linalg.solve(b.T @ q @ b + np.eye(1), b.T @ q @ left)[0])


def commands(
    state: Floats, pose: Floats, target: float, curvatures: Floats, vehicle: VehicleParams, dt: float
) -> tuple[float, float]:
    """Acceleration and steering rate for a state `(7,)` against the reference pose `(3,)`."""
    if state[3] <= 0.2 and target <= 0.2:
        return -0.5 * (state[3] - target), 0.0
    reach = dt * len(curvatures)
    acceleration = -(state[3] - target) * reach * 10.0 / (reach * 10.0 * reach + 1.0)
    gap = state[:2] - pose[:2]
    lateral = -gap[0] * np.sin(pose[2]) + gap[1] * np.cos(pose[2])
    error = np.array([lateral, float(wrap_angle(state[2] - pose[2])), state[5]])
    speeds = state[3] + acceleration * dt * np.arange(len(curvatures))
    return float(acceleration), lateral_rate(error, speeds, curvatures, vehicle.wheelbase, dt)


def step(state: Floats, acceleration: float, rate: float, vehicle: VehicleParams, dt: float) -> Floats:
    """One Euler step of the rear-axle bicycle, commands behind lags of 0.2 s and 0.05 s."""
    x, y, h, v, a, d, _ = state
    a = a + dt / (dt + 0.2) * (acceleration - a)
    d_next = d + dt / (dt + 0.05) * dt * rate
    d_next = np.clip(d_next, -vehicle.max_steering, vehicle.max_steering)
    v_next = v + a * dt
    h_next = float(wrap_angle(h + v * np.tan(d) / vehicle.wheelbase * dt))
    yaw_rate = v_next * np.tan(d_next) / vehicle.wheelbase
    return np.array([x + v * np.cos(h) * dt, y + v * np.sin(h) * dt, h_next, v_next, a, d_next, yaw_rate])


def rollout_reference(
    poses: Floats, start: Floats, vehicle: VehicleParams, dt: float = 0.1, compat: str = "reference"
) -> Floats:
    """States `(B, T, 7)` of references `poses (B, T, 3)` from `start (7,)`."""
    batch, samples = poses.shape[:2]
    out = np.empty((batch, samples, 7))
    for b in range(batch):
        speed, curvature = profiles(poses[b], dt, compat)
        out[b, 0] = start
        for k in range(samples - 1):
            ahead = np.minimum(np.arange(k, k + 10), samples - 2)
            target = speed[min(k + 10, samples - 2)]
            u = commands(out[b, k], poses[b, k], float(target), curvature[ahead], vehicle, dt)
            out[b, k + 1] = step(out[b, k], *u, vehicle, dt)
    return out


def controls_reference(controls: Floats, start: Floats, vehicle: VehicleParams, dt: float = 0.1) -> Floats:
    """States `(B, T, 7)` of `controls (B, T - 1, 2)` through the rear-axle bicycle without lags.

    Explicit Euler, as in the nuPlan devkit's kinematic_bicycle.py: the pose moves with the speed and the
    steering angle before the step.
    """
    batch, steps = controls.shape[:2]
    acceleration, rate = controls[..., 0], controls[..., 1]
    speed = start[3] + dt * np.concatenate((np.zeros((batch, 1)), np.cumsum(acceleration, axis=1)), axis=1)
    steering = np.full((batch, steps + 1), start[5])
    for k in range(steps):
        turned = steering[:, k] + dt * rate[:, k]
        steering[:, k + 1] = np.clip(turned, -vehicle.max_steering, vehicle.max_steering)
    yaw_rate = speed * np.tan(steering) / vehicle.wheelbase
    out = np.empty((batch, steps + 1, 7))
    out[:, 0] = start
    heading = np.full((batch, steps + 1), start[2])
    heading[:, 1:] += dt * np.cumsum(yaw_rate[:, :-1], axis=1)
    moved = speed[:, :-1] * dt
    out[:, 1:, 0] = start[0] + np.cumsum(moved * np.cos(heading[:, :-1]), axis=1)
    out[:, 1:, 1] = start[1] + np.cumsum(moved * np.sin(heading[:, :-1]), axis=1)
    out[:, 1:, 2] = wrap_angle(heading[:, 1:])
    out[:, 1:, 3], out[:, 1:, 4] = speed[:, 1:], acceleration
    out[:, 1:, 5], out[:, 1:, 6] = steering[:, 1:], yaw_rate[:, 1:]
    return out
