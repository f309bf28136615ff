"""Annotates a plan: is it drivable, free of boxes, on the road? It never changes the plan.

The loop executes what a planner returns, or the harness would be scored instead of the planner. A
planner that can fail calls `validate` itself and degrades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import box_corners, boxes_overlap, wrap_angle
from drive.roadmap.model import RoadMap
from drive.vehicle import HEADING, SPEED, VehicleParams, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation, Plan
    from drive.scenario import Task
    from drive.trajectory import Trajectory

    Floats = NDArray[np.float64]

MARGIN = 1.5
"""How far accelerations may exceed the vehicle's limits: finite differences of rounded poses are noisy."""
SLIP = 0.1
"""Sideways motion that passes, as a share of the way; 5 cm a sample pass in any case."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Times in s from the plan's start, infinite where the fault does not occur.

    `kinematic_time`: a limit of the vehicle is broken, or the path is not one that it can follow;
    `collision_time`: the ego's box meets an agent's, moved at constant velocity (or as forecast);
    `off_road_time`: a corner leaves the drivable area; `violations` are sentences.
    """

    kinematic_time: float
    collision_time: float
    off_road_time: float
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.violations


def validate(plan: Plan, observation: Observation, task: Task, dt: float = 0.05) -> PlanReport:
    """Check a plan: boxes and drivable area on a grid of `dt` seconds, kinematics at its own samples.

    Agents move at constant velocity, or along their most probable forecast where there is one.
    """
    vehicle = task.vehicle
    found: list[str] = []
    kinematic = _kinematic_time(plan.trajectory, vehicle)
    if np.isfinite(kinematic):
        found.append(f"the motion breaks the vehicle's limits at {kinematic:.2f} s")

    fine = plan.trajectory.resample(dt)
    rel, s = fine.times - fine.times[0], fine.states
    center = rear_to_center(s, vehicle.rear_axle_to_center)
    ego = box_corners(center, s[:, HEADING], vehicle.length, vehicle.width)
    live = np.flatnonzero(observation.agent_valid)
    collision = np.inf
    if len(live):
        boxes = _agent_corners(observation, live, fine.times)
        collision = _first(rel, np.any(boxes_overlap(ego[None], boxes), axis=0))
        if np.isfinite(collision):
            found.append(f"the plan meets another road user's box at {collision:.2f} s")

    off_road = np.inf
    if isinstance(task.environment, RoadMap):
        from drive.roadmap.drivable import DrivableArea

        outside = ~DrivableArea.of(task.environment).contains(ego)
        off_road = _first(rel, np.any(outside, axis=-1))
        if np.isfinite(off_road):
            found.append(f"the plan leaves the drivable area at {off_road:.2f} s")
    return PlanReport(kinematic, collision, off_road, tuple(found))


def _kinematic_time(motion: Trajectory, vehicle: VehicleParams) -> float:
    """When the motion first breaks a limit, judged at its own samples.

    Between them it is interpolated linearly, so that a finer grid would only see jumps of the speed.
    A rear axle that does not slip moves along its mean heading on an arc.
    """
    s, dt = motion.states, np.diff(motion.times)
    if len(dt) == 0:
        return float("inf")
    step = np.diff(s[:, :2], axis=0)
    turn = wrap_angle(np.diff(s[:, HEADING]))
    middle = s[:-1, HEADING] + 0.5 * turn
    ahead = step[:, 0] * np.cos(middle) + step[:, 1] * np.sin(middle)
    aside = step[:, 1] * np.cos(middle) - step[:, 0] * np.sin(middle)
    speed = ahead / dt
    # Towards standing still it is braking, away from it accelerating, forwards and backwards alike.
    change = np.diff(np.concatenate((s[:1, SPEED], speed)))
    change /= np.concatenate((dt[:1], 0.5 * (dt[:-1] + dt[1:])))
    gains = np.diff(np.abs(np.concatenate((s[:1, SPEED], speed)))) > 0.0
    curvature = np.tan(vehicle.max_steering) / vehicle.wheelbase
    bad = np.abs(change) > MARGIN * np.where(gains, vehicle.max_acceleration, vehicle.max_braking)
    bad |= np.abs(turn) / dt > curvature * np.maximum(np.abs(speed), 0.5) + 0.05
    bad |= np.abs(aside) > SLIP * np.abs(ahead) + 0.05
    bad |= np.maximum(np.abs(speed), np.abs(s[1:, SPEED])) > vehicle.max_speed
    return _first(motion.times[1:] - motion.times[0], bad)


def _first(times: Floats, bad: NDArray[Any]) -> float:
    hit = np.flatnonzero(bad)
    return float(times[hit[0]]) if len(hit) else float("inf")


def _agent_corners(observation: Observation, rows: NDArray[Any], times: Floats) -> Floats:
    """Corners `(A, T, 4, 2)` of the agents' boxes at absolute times."""
    agents, size = observation.agents[rows], observation.agent_size[rows]
    f = observation.forecasts
    if f is None:
        ahead = (times - observation.time)[None, :, None]
        center = agents[:, None, :2] + ahead * agents[:, None, 3:5]
        heading = np.broadcast_to(agents[:, 2:3], center.shape[:2])
        return box_corners(center, heading, size[:, 0:1], size[:, 1:2])
    mode = np.argmax(f.probability[rows], axis=1)
    poses = f.mean[rows, mode]
    known = f.times
    if known[0] > observation.time:  # a forecast may begin at its first step
        known = np.concatenate(([observation.time], known))
        poses = np.concatenate((agents[:, None, :3], poses), axis=1)
    poses = np.concatenate((poses[..., :2], np.unwrap(poses[..., 2:3], axis=1)), axis=-1)
    at = np.stack([np.stack([np.interp(times, known, p[:, k]) for k in range(3)], axis=-1) for p in poses])
    return box_corners(at[..., :2], at[..., 2], size[:, 0:1], size[:, 1:2])
