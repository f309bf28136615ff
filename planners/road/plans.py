"""From motions on a frame to plans, and the plan that brakes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle
from drive.planner import Control, ControlKind, Plan, PlanStatus
from drive.trajectory import Trajectory
from drive.vehicle import ACCELERATION, HEADING, SPEED, STATE_SIZE, STEERING, YAW_RATE, X, Y

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.planner import Candidates, Observation
    from drive.sim.road.frame import RoadFrame
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]


STOPPING = 0.4
"""s in which the last of the speed is braked away."""


def plan_on_frame(
    frame: RoadFrame,
    frenet: Floats,
    dt: float,
    observation: Observation,
    vehicle: VehicleParams,
    status: PlanStatus = PlanStatus.OK,
    reason: str = "",
    candidates: Candidates | None = None,
    figures: Mapping[str, float] | None = None,
    controlled: bool = False,
) -> Plan:
    """The plan of Frenet states `(T, 6)` in time, `dt` s apart, the first one now.

    It begins where `frenet` does, which may be the ego's foot; speed, acceleration and steering of the first
    state are the ego's own. A plan that is `controlled` carries its accelerations and steering angles, which
    a host that accepts them applies for as long as the plan holds, in place of its tracker.
    """
    states = frame.states(frenet, vehicle, float(observation.ego[HEADING]))
    control = None
    if controlled:
        values = states[1:, [ACCELERATION, STEERING]].copy()
        # What is asked for arrives late: braking must fade before the speed does, or the ego rolls backwards.
        values[:, 0] = np.maximum(values[:, 0], -np.maximum(states[:-1, SPEED], 0.0) / STOPPING)
        control = Control(ControlKind.ACCELERATION_STEERING, values, dt)
    states[0, SPEED:STATE_SIZE] = observation.ego[SPEED:STATE_SIZE]
    return Plan(
        Trajectory.uniform(observation.time, dt, states),
        control,
        candidates=candidates,
        status=status,
        reason=reason,
        figures=figures or {},
    )


def braking_plan(
    observation: Observation,
    vehicle: VehicleParams,
    reason: str,
    status: PlanStatus = PlanStatus.FALLBACK,
    braking: float = 5.0,
    dt: float = 0.1,
    horizon: float = 4.0,
    figures: Mapping[str, float] | None = None,
) -> Plan:
    """Come to rest with `braking` m/s^2 on the circle that the wheels are set to."""
    ego = observation.ego
    v0, psi = max(float(ego[SPEED]), 0.0), float(ego[HEADING])
    bend = math.tan(float(ego[STEERING])) / vehicle.wheelbase
    t = dt * np.arange(round(horizon / dt) + 1)
    b = min(braking, vehicle.max_braking)
    rest = v0 / b
    way = np.where(t < rest, v0 * t - 0.5 * b * t * t, 0.5 * v0 * rest)
    states = np.zeros((len(t), STATE_SIZE))
    turn = bend * way
    if abs(bend) < 1e-9:
        ahead, left = way, np.zeros_like(way)
    else:
        ahead, left = np.sin(turn) / bend, (1.0 - np.cos(turn)) / bend
    c, s = math.cos(psi), math.sin(psi)
    states[:, X], states[:, Y] = ego[X] + c * ahead - s * left, ego[Y] + s * ahead + c * left
    states[:, HEADING] = wrap_angle(psi + turn)
    states[:, SPEED] = np.maximum(v0 - b * t, 0.0)
    states[:, ACCELERATION] = np.where(states[:, SPEED] > 0.0, -b, 0.0)
    states[:, STEERING] = ego[STEERING]
    states[:, YAW_RATE] = bend * states[:, SPEED]
    states[0] = ego[:STATE_SIZE]
    return Plan(
        Trajectory.uniform(observation.time, dt, states), status=status, reason=reason, figures=figures or {}
    )
