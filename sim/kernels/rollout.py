"""Roll candidates out: trajectories through the LQR tracker and the lagged bicycle, controls through the
plain bicycle.

Source of the procedure: tuplan_garage, simulation/pdm_simulator.py. Candidates are independent: one
alone gives the same bits as in a batch. The public face, which checks its input, is
`drive.sim.candidates`.
"""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.lqr import (
    HORIZON,
    fit_profiles,
    lagged_step,
    longitudinal_command,
    steering_command,
    wrap_to,
)
from drive.sim.kernels.scalar import bicycle_step


@scalar
def roll_candidate(poses, b, start, row, factor, settings, speed, curvature, states):
    """Fill `states[b] (T, 7)` by driving the reference `poses[b] (T, >= 3)` from `start[row] (7,)`."""
    count = factor.shape[0]
    fit_profiles(poses, b, factor, settings, speed, curvature)
    x, y, h = start[row, 0], start[row, 1], start[row, 2]
    v, a, d = start[row, 3], start[row, 4], start[row, 5]
    for c in range(7):
        states[b, 0, c] = start[row, c]
    tangent = math.tan(d)
    pi, two_pi = settings[15], settings[16]
    for k in range(count):
        target = speed[min(k + HORIZON, count - 1)]
        command = longitudinal_command(v, target, settings)
        rate = settings[0] - settings[0]
        if v > settings[12] or target > settings[12]:
            rx, ry, rh = poses[b, k, 0], poses[b, k, 1], poses[b, k, 2]
            lateral = (y - ry) * speed[2 * count + k] - (x - rx) * speed[3 * count + k]
            heading = wrap_to(h - rh, pi, two_pi)
            rate = steering_command(lateral, heading, d, v, command, curvature, k, settings)
        x, y, h, v, a, d, w, tangent = lagged_step(x, y, h, v, a, d, tangent, command, rate, settings)
        states[b, k + 1, 0], states[b, k + 1, 1], states[b, k + 1, 2] = x, y, h
        states[b, k + 1, 3], states[b, k + 1, 4], states[b, k + 1, 5] = v, a, d
        states[b, k + 1, 6] = w


@scalar
def drive_controls(controls, b, start, row, settings, states):
    """Fill `states[b] (T, 7)` by applying `controls[b] (T - 1, 2)` from `start[row] (7,)`."""
    dt, wheelbase, limit = settings[0], settings[1], settings[2]
    for c in range(7):
        states[b, 0, c] = start[row, c]
    x, y, h, v, d = start[row, 0], start[row, 1], start[row, 2], start[row, 3], start[row, 5]
    for k in range(controls.shape[1]):
        a = controls[b, k, 0]
        x, y, h, v, d, w = bicycle_step(x, y, h, v, d, a, controls[b, k, 1], wheelbase, limit, dt)
        h = wrap_to(h, settings[15], settings[16])
        states[b, k + 1, 0], states[b, k + 1, 1], states[b, k + 1, 2] = x, y, h
        states[b, k + 1, 3], states[b, k + 1, 4], states[b, k + 1, 5] = v, a, d
        states[b, k + 1, 6] = w


@kernel
def rollout(poses, start, scene, low, high, factor, settings, speed, curvature, states):
    """Roll out the trajectories `low .. high - 1` of a batch.

    `poses (N, T, >= 3)` references sampled every dt, near the origin (float32 has 7 digits);
    `start (S, 7)` and `scene (N,)` the row of it from which each begins; `factor (T - 1, 3)` of
    `speed_factor`; `settings` of `lqr_settings`; scratch `speed (4 (T - 1),)` and `curvature (T - 1,)`;
    result `states (N, T, 7)`. All of one precision.
    """
    for b in range(low, high):
        roll_candidate(poses, b, start, scene[b], factor, settings, speed, curvature, states)


@kernel
def rollout_controls(controls, start, scene, low, high, settings, states):
    """Roll out the controls `low .. high - 1` of a batch: the kinematic bicycle without lags.

    `controls (N, T - 1, 2)`: acceleration and steering rate in each step; the rest as in `rollout`. The
    acceleration of a state is the one that led to it.
    """
    for b in range(low, high):
        drive_controls(controls, b, start, scene[b], settings, states)
