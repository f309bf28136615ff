"""One search of the planner as plain arrays: what the kernels are given, and the swarm called on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.cost import cost_of, paced
from drive.planners.field.kernels.swarm import swarm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.field.config import FieldConfig
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

NO_PARTICLE = np.full(la.PARTICLE, np.nan)


def settings(config: FieldConfig, vehicle: VehicleParams, road_step: float) -> Floats:
    """The kernels' settings `(SETTINGS,)`."""
    c, out = config, np.zeros(la.SETTINGS)
    for at, value in (
        (la.W_JERK, c.weight_jerk),
        (la.W_OFFSET, c.weight_offset),
        (la.W_SPEED, c.weight_speed),
        (la.W_FIELD, c.weight_field),
        (la.W_CHANGE, c.weight_change),
        (la.W_HARD, c.weight_hard),
        (la.W_COMFORT, c.weight_comfort),
        (la.K_LANE, c.lane_pull),
        (la.LANE_WIDTH, c.lane_width),
        (la.K_EDGE, c.edge_push),
        (la.EDGE_LENGTH, c.edge_length),
        (la.K_FRONT, c.strength),
        (la.ANGLE_ZERO, c.angle_zero),
        (la.SIGMA_ZERO, c.sigma_zero),
        (la.SIGMA_SPEED, c.sigma_speed),
        (la.SIGMA_CLOSING, c.sigma_closing),
        (la.SIGMA_SIDE, c.sigma_side),
        (la.SIGMA_SIDE_SPEED, c.sigma_side_speed),
        (la.SIGMA_SIDE_CLOSING, c.sigma_side_closing),
        (la.W_STEER, c.weight_steer * vehicle.wheelbase**2),
        (la.ACCEL_MAX, min(c.max_acceleration, vehicle.max_acceleration)),
        (la.ACCEL_WISH, c.comfortable_acceleration),
        (la.BRAKE_SOFT, c.comfortable_braking),
        (la.BRAKE_MAX, min(c.max_braking, vehicle.max_braking)),
        (la.LATERAL_MAX, c.max_lateral),
        (la.LATERAL_SOFT, c.comfortable_lateral),
        (la.CURVATURE_MAX, math.tan(vehicle.max_steering) / vehicle.wheelbase),
        (la.EGO_HALF_LENGTH, 0.5 * vehicle.length),
        (la.EGO_HALF_WIDTH, 0.5 * vehicle.width),
        (la.EGO_CENTRE, vehicle.rear_axle_to_center),
        (la.MIN_LENGTH, c.min_length),
        (la.MIN_GAP, c.min_gap),
        (la.BRAKE_LEAD, 6.0),
        (la.LITERAL, float(c.literal)),
        (la.ROAD_STEP, road_step),
        (la.DT, c.dt),
    ):
        out[at] = value
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What one search depends on; shapes and columns in `kernels/layout.py`.

    `others` reach over all samples of the plan, the search looks at every `stride`th.
    """

    start: Floats
    road: Floats
    others: Floats
    body: Floats
    stops: Floats
    pace: Floats
    last: Floats
    setting: Floats
    low: Floats
    high: Floats
    seeds: Floats
    stride: int

    def cost(self, particles: Floats, stride: int | None = None) -> tuple[Floats, Floats]:
        """Costs `(N,)` and reports `(N, 6)` of particles `(N, 6)`."""
        n = len(particles)
        costs, reports = np.empty(n), np.empty((n, 6))
        cost_of(
            np.ascontiguousarray(particles), self.start, self.road, self.others, self.body, self.stops,
            self.pace, self.last, self.setting, stride or self.stride, costs, reports,
        )  # fmt: skip
        return costs, reports

    def with_(self, **changes: Any) -> Problem:
        return replace(self, **changes)


def pace_of(start: Floats, road: Floats, setting: Floats, samples: int) -> Floats:
    """The wished speeds `(samples,)` of the cost, see `kernels.cost.paced`."""
    out = np.empty(samples)
    paced(start, road, setting, out)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Scratch of one swarm of N particles."""

    place: Floats
    speed: Floats
    best: Floats
    cost: Floats
    report: Floats

    @classmethod
    def of(cls, particles: int) -> Memory:
        shape = (particles, la.PARTICLE)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(particles), np.zeros(6))


def search(
    problem: Problem, memory: Memory, generations: int, seed: int, cycle: int, improved: bool = True
) -> tuple[Floats, float, int]:
    """The best particle `(6,)`, its cost, and the evaluations made; equal for equal (seed, cycle)."""
    p, m, out = problem, memory, np.empty(la.PARTICLE + 1)
    made = swarm(
        p.start, p.road, p.others, p.body, p.stops, p.pace, p.last, p.setting, p.stride, p.low, p.high,
        p.seeds, generations, int(improved), seed, cycle, m.place, m.speed, m.best, m.cost, out, m.report,
    )  # fmt: skip
    return out[: la.PARTICLE].copy(), float(out[la.PARTICLE]), int(made)
