"""The nuPlan LQR tracker as kernels: profile fits, the commands, and the lagged bicycle step.

Two regularised least squares turn poses into a speed and a curvature profile. Written in the profile
itself instead of its derivatives, the speed's normal matrix does not depend on the poses and has five
bands (it is factored once, see `speed_factor`), and the curvature's has three, with a random walk's
structure: an information filter and its backward pass solve it without the cancellation that a plain
elimination suffers in float32 when the vehicle stands. Sources: nuPlan devkit, tracker/lqr.py and
tracker_utils.py; tuplan_garage, simulation/batch_lqr.py, for the "reference" variant.

The functions work in the precision of their arguments. `settings (SETTINGS,)` holds every constant.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import bicycle_move

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.vehicle import VehicleParams

HORIZON = 10
"""Steps that the LQR looks ahead."""
COMPATS = ("fixed", "reference")
Q_LONGITUDINAL, R_LONGITUDINAL = 10.0, 1.0
Q_LATERAL, R_LATERAL = (1.0, 10.0, 0.0), 1.0
JERK_PENALTY, CURVATURE_RATE_PENALTY, INITIAL_CURVATURE_PENALTY = 1e-4, 1e-2, 1e-10
STOP_GAIN, STOP_SPEED = 0.5, 0.2
ACCELERATION_LAG, STEERING_LAG = 0.2, 0.05
"""Time constants in s of the drive's and brake's and of the steering's response."""
SETTINGS = 18
BEYOND = np.float32(1e30)


def lqr_settings(vehicle: VehicleParams, dt: float = 0.1, dtype: Any = np.float32) -> NDArray[Any]:
    """All constants of the tracker and the bicycle, `(SETTINGS,)`, as the kernels unpack them."""
    return _settings(vehicle.wheelbase, vehicle.max_steering, dt, np.dtype(dtype).char)


@lru_cache(maxsize=64)
def _settings(wheelbase: float, max_steering: float, dt: float, dtype: str) -> NDArray[Any]:
    values = np.array(
        [
            dt,
            wheelbase,
            max_steering,
            dt / (dt + ACCELERATION_LAG),
            dt / (dt + STEERING_LAG),
            Q_LONGITUDINAL,
            R_LONGITUDINAL,
            *Q_LATERAL,
            R_LATERAL,
            STOP_GAIN,
            STOP_SPEED,
            CURVATURE_RATE_PENALTY / dt**2,
            INITIAL_CURVATURE_PENALTY,
            math.pi,
            2.0 * math.pi,
            dt * HORIZON,
        ],
        dtype=dtype,
    )
    values.flags.writeable = False
    return values


@lru_cache(maxsize=128)
def speed_factor(count: int, dt: float, compat: str = "fixed", dtype: str = "f") -> NDArray[Any]:
    """Factor of the speed fit's normal matrix for `count` displacements: `(count, 3)` of d, l1, l2.

    The matrix is I + w D'D with w = jerk penalty / dt^4 and D = G F, where F takes the first
    differences of the speed. In "fixed" G takes differences again (jerk), as the devkit does. In
    "reference" it is what the released batch tracker computes: the second assignment to its banded
    matrix overwrites all ones of the first but the last, so that accelerations are penalised instead
    of their changes. L D L' with unit lower triangular L: l1, l2 are its first two subdiagonals.
    """
    if compat not in COMPATS:
        raise InputError(f"lqr compat must be one of {', '.join(COMPATS)}, got '{compat}'")
    if count < 2:
        raise InputError(f"the speed fit needs at least two displacements, got {count}")
    outer = np.diff(np.eye(count - 1), axis=0)
    if compat == "reference":
        outer[:-1] = np.minimum(outer[:-1], 0.0)
    difference = outer @ np.diff(np.eye(count), axis=0)
    matrix = np.eye(count) + (JERK_PENALTY / dt**4) * difference.T @ difference
    lower = np.linalg.cholesky(matrix)
    pivot = np.diag(lower)
    factor = np.zeros((count, 3))
    factor[:, 0] = pivot**2
    factor[1:, 1] = np.diag(lower, -1) / pivot[:-1]
    factor[2:, 2] = np.diag(lower, -2) / pivot[:-2]
    factor = np.ascontiguousarray(factor, dtype=dtype)
    factor.flags.writeable = False
    return factor


@scalar
def fit_profiles(poses, b, factor, settings, speed, curvature):
    """Speed and curvature of the poses `poses[b] (M + 1, >= 3)`.

    Written into the first M of `speed (4 M,)`, whose last 2 M become the cosines and sines of the poses'
    headings, and into `curvature (M,)`.
    """
    dt, rate_weight, start_weight = settings[0], settings[13], settings[14]
    pi, two_pi = settings[15], settings[16]
    count = factor.shape[0]
    before = dt - dt
    last = before
    for k in range(count):
        heading = poses[b, k, 2]
        dx = poses[b, k + 1, 0] - poses[b, k, 0]
        dy = poses[b, k + 1, 1] - poses[b, k, 1]
        cos, sin = math.cos(heading), math.sin(heading)
        speed[2 * count + k], speed[3 * count + k] = cos, sin
        measured = (dx * cos + dy * sin) / dt
        value = measured - factor[k, 1] * last - factor[k, 2] * before
        before = last
        last = value
        speed[k] = value
    after = dt - dt
    nxt = after
    for i in range(count):
        k = count - 1 - i
        value = speed[k] / factor[k, 0]
        if i > 0:
            value = value - factor[k + 1, 1] * nxt
        if i > 1:
            value = value - factor[k + 2, 2] * after
        after = nxt
        nxt = value
        speed[k] = value
    # Information filter forward: `weight` and `vector` of what is known about the curvature at k.
    weight, vector = start_weight, dt - dt
    for k in range(count):
        turn = wrap_to(poses[b, k + 1, 2] - poses[b, k, 2], pi, two_pi)
        if k > 0:
            share = rate_weight / (weight + rate_weight)
            weight = weight * share
            vector = vector * share
        distance = speed[k] * dt
        weight = weight + distance * distance
        vector = vector + distance * turn
        curvature[k] = vector
        # The weight is needed again on the way back and fits nowhere else.
        speed[count + k] = weight
    nxt = curvature[count - 1] / weight
    curvature[count - 1] = nxt
    for i in range(1, count):
        k = count - 1 - i
        nxt = (curvature[k] + rate_weight * nxt) / (speed[count + k] + rate_weight)
        curvature[k] = nxt


@scalar
def longitudinal_command(speed, target, settings):
    """Acceleration in m/s^2: one-step LQR over the horizon, or the stopping controller's P term."""
    if speed <= settings[12] and target <= settings[12]:
        return -settings[11] * (speed - target)
    reach = settings[17]
    return reach * settings[5] * (target - speed) / (reach * reach * settings[5] + settings[6])


@scalar
def wrap_to(angle, pi, two_pi):
    """Angle wrapped to (-pi, pi] in the precision of its arguments."""
    a = angle
    if not abs(a) < two_pi * two_pi:
        if not abs(a) < BEYOND:
            return a - a  # not finite in Python either, where floor() would raise
        a = a - two_pi * math.floor(a / two_pi)
        if not abs(a) < two_pi * two_pi:
            return a - a  # beyond any angle
    while a > pi:
        a = a - two_pi
    while a <= -pi:
        a = a + two_pi
    return a


@scalar
def lateral_terms(lateral, heading, zero_input, gain_0, gain_1, gain_2, settings):
    """Steering rate in rad/s that minimises the lifted error: -B'Qx / (B'QB + r)."""
    q0, q1, q2, r = settings[7], settings[8], settings[9], settings[10]
    heading = wrap_to(heading, settings[15], settings[16])
    top = gain_0 * q0 * lateral + gain_1 * q1 * heading + gain_2 * q2 * zero_input
    return -top / (gain_0 * gain_0 * q0 + gain_1 * gain_1 * q1 + gain_2 * gain_2 * q2 + r)


@scalar
def steering_command(lateral, heading, steering, speed, acceleration, curvature, step, settings):
    """Steering rate in rad/s from the lateral and heading errors, profile samples from index `step` on."""
    dt, wheelbase = settings[0], settings[1]
    last = curvature.shape[0] - 1
    e, h = lateral, heading
    b0, b1, b2 = dt - dt, dt - dt, dt - dt
    v = speed
    for k in range(HORIZON):
        ahead = v * dt
        e = e + ahead * h
        h = h + ahead * (steering / wheelbase - curvature[min(step + k, last)])
        b0 = b0 + ahead * b1
        b1 = b1 + ahead / wheelbase * b2
        b2 = b2 + dt
        v = v + acceleration * dt
    return lateral_terms(e, h, steering, b0, b1, b2, settings)


@scalar
def lagged_step(x, y, heading, speed, acceleration, steering, tangent, command, rate, settings):
    """One Euler step of the bicycle behind its lags: the seven columns of the next state.

    `tangent` is the steering angle's; the next one's comes last, since it costs as much as the rest.
    """
    dt, wheelbase, limit = settings[0], settings[1], settings[2]
    pushed = acceleration + settings[3] * (command - acceleration)
    nx, ny, nh, nv, ns = bicycle_move(
        x, y, heading, speed, steering, math.cos(heading), math.sin(heading), tangent,
        pushed, settings[4] * rate, wheelbase, limit, dt,
    )  # fmt: skip
    nh = wrap_to(nh, settings[15], settings[16])
    next_tangent = math.tan(ns)
    return nx, ny, nh, nv, pushed, ns, nv * next_tangent / wheelbase, next_tangent


@scalar
def _pose_at(times, states, at, hint):
    """Pose at a time, searching on from segment `hint`; held before the start, prolonged past the end."""
    last = times.shape[0] - 2
    k = hint
    while k < last and times[k + 1] <= at:
        k += 1
    w = max((at - times[k]) / (times[k + 1] - times[k]), 0.0)
    turn = states[k + 1, 2] - states[k, 2]
    turn = turn - 2.0 * math.pi * math.floor(turn / (2.0 * math.pi) + 0.5)
    return (
        states[k, 0] + w * (states[k + 1, 0] - states[k, 0]),
        states[k, 1] + w * (states[k + 1, 1] - states[k, 1]),
        states[k, 2] + w * turn,
        k,
    )


@scalar
def _profile_at(profile, count, position):
    """Linear interpolation in `profile[:count]` at a position in samples, held at both ends."""
    p = min(max(position, 0.0), count - 1.0)
    k = min(int(p), count - 2)
    return profile[k] + (p - k) * (profile[k + 1] - profile[k])


@kernel
def track_once(times, states, time, state, factor, settings, poses, speed, curvature, window, out):
    """Commands for one vehicle in float64: `out (2,)` acceleration, steering rate.

    The plan `times (T,)`, `states (T, >= 3)` is sampled every dt from its start on into `poses
    (1, M + 1, 3)`; `speed (4 M,)`, `curvature (M,)` and `window (HORIZON,)` are scratch.
    """
    dt, count = settings[0], factor.shape[0]
    hint = 0
    for i in range(count + 1):
        x, y, h, hint = _pose_at(times, states, times[0] + i * dt, hint)
        poses[0, i, 0], poses[0, i, 1], poses[0, i, 2] = x, y, h
    fit_profiles(poses, 0, factor, settings, speed, curvature)
    now = (time - times[0]) / dt
    target = _profile_at(speed, count, now + HORIZON)
    acceleration = longitudinal_command(state[3], target, settings)
    out[0] = acceleration
    if state[3] <= settings[12] and target <= settings[12]:
        out[1] = 0.0
        return
    for i in range(HORIZON):
        window[i] = _profile_at(curvature, count, now + i)
    rx, ry, rh, hint = _pose_at(times, states, min(time, times[-1]), 0)
    lateral = -(state[0] - rx) * math.sin(rh) + (state[1] - ry) * math.cos(rh)
    heading = wrap_to(state[2] - rh, settings[15], settings[16])
    out[1] = steering_command(lateral, heading, state[5], state[3], acceleration, window, 0, settings)
