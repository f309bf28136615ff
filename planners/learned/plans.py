"""From a decision in the ego's frame to a plan in the scenario's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline

from drive.errors import PlanError
from drive.geometry import from_frame, unwrap_angle, wrap_angle
from drive.planner import Candidates, Plan
from drive.vehicle import HEADING, SPEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.learned.decision import Decision

    Floats = NDArray[np.float64]

STEP = 0.1
"""s between two states of a plan."""


def plan_of(decision: Decision, observation: Observation) -> Plan:
    """The plan, which begins with the ego's own state and goes on every `STEP` s."""
    own = np.asarray(decision.poses, dtype=np.float64)
    speed = None if decision.speed is None else np.asarray(decision.speed, dtype=np.float64)
    if own.ndim != 2 or own.shape[1] != 3 or len(own) == 0:
        raise PlanError(f"a decision's poses must be (T, 3), got {own.shape}")
    if abs(decision.dt - STEP) > 1e-9:
        own, speed = densified(own, decision.dt, float(observation.ego[SPEED]), speed)
    poses = from_frame(own, observation.ego[:3])
    plan = Plan.from_poses(observation, poses, STEP, speed)
    return replace(
        plan,
        control=decision.control,
        candidates=None if decision.candidates is None else _placed(decision.candidates, observation),
        status=decision.status,
        reason=decision.reason,
        figures=decision.figures,
        heat=decision.heat,
    )


def is_finite(decision: Decision) -> bool:
    """Whether every number that would be driven or drawn is one."""
    speed, control, others = decision.speed, decision.control, decision.candidates
    return bool(
        np.isfinite(decision.poses).all()
        and (speed is None or np.isfinite(speed).all())
        and (control is None or np.isfinite(control.values).all())
        and (others is None or np.isfinite(others.states).all())
    )


def densified(
    poses: Floats, dt: float, start_speed: float, speed: Floats | None = None
) -> tuple[Floats, Floats | None]:
    """Poses `(T, 3)` every `dt` s from the origin on as poses every `STEP` s up to the same end.

    The position follows a cubic spline that leaves with `start_speed` straight ahead; heading and speed are
    linear in time between two poses.
    """
    knots = dt * np.arange(len(poses) + 1)
    at = STEP * np.arange(1, round(knots[-1] / STEP) + 1)
    whole = np.concatenate((np.zeros((1, 3)), poses))
    free = np.zeros(2)
    line = CubicSpline(knots, whole[:, :2], bc_type=((1, np.array([start_speed, 0.0])), (2, free)))
    heading = np.interp(at, knots, unwrap_angle(whole[:, HEADING]))
    if speed is not None:
        speed = np.interp(at, knots, np.concatenate(([start_speed], speed)))
    return np.column_stack((line(at), wrap_angle(heading))), speed


def _placed(candidates: Candidates, observation: Observation) -> Candidates:
    """The candidates in scenario coordinates and absolute times, each with the ego's pose put first."""
    own = np.asarray(candidates.states, dtype=np.float64)
    start = np.broadcast_to(observation.ego[:3], (len(own), 1, 3))
    states = np.concatenate((start, from_frame(own[..., :3], observation.ego[:3])), axis=1)
    times = observation.time + np.concatenate(([0.0], candidates.times))
    return replace(candidates, times=times, states=states)
