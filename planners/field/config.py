"""Settings of the field planner; docs/field.md says which of them are ours: nearly all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drive.errors import InputError

_POSITIVE = (
    "dt", "lane_width", "edge_length", "angle_zero", "sigma_zero", "sigma_side", "max_acceleration",
    "max_braking", "max_lateral", "comfortable_acceleration", "comfortable_braking", "comfortable_lateral",
    "min_time", "max_time", "min_speed_time", "fallback_speed", "min_length",
)  # fmt: skip
_NOT_NEGATIVE = (
    "weight_jerk", "weight_offset", "weight_speed", "weight_field", "weight_change", "weight_hard",
    "weight_comfort", "weight_steer", "lane_pull", "edge_push", "strength", "sigma_speed", "sigma_closing",
    "sigma_side_speed", "sigma_side_closing", "min_gap", "delta_on", "delta_off", "prepare_time",
    "change_below", "seed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldConfig:
    """Lengths in m, times in s, speeds in m/s, accelerations in m/s^2, angles in rad.

    Swarm: `particles`, `generations`, `restart` whether a second swarm is sent out where the first one's
    best breaks a limit or is much worse than the last plan; `seed` is added to the scene's. The plan covers
    `steps` samples of `dt`, of which the swarm looks at every `stride`th.

    Cost: weights w of jerk, offset, speed, field, change against the last plan, violations, and of lateral
    acceleration and braking beyond the comfortable ones, and of the rate (rad/s) of the steering angle.

    Field: U_a `lane_pull` (m offset per `lane_width`), `edge_push` and `edge_length`; U_b `strength`,
    `angle_zero`, and the spreads; `literal` takes the published angle term; U_c `change_below` permits a
    change of lanes.

    Intention: a change is prepared when the lane beside has been better by `delta_on` (of the field's mean
    and of the speed that is lost, each as a share) for `prepare_time`, until it is by less than `delta_off`.

    `draw` adds the field about the ego to each plan, for the replay.
    """

    particles: int = 20
    generations: int = 20
    restart: bool = True
    seed: int = 0
    dt: float = 0.1
    steps: int = 60
    stride: int = 2
    neighbours: int = 12
    weight_jerk: float = 0.1
    weight_offset: float = 1.0
    weight_speed: float = 0.3
    weight_field: float = 20.0
    weight_change: float = 2.0
    weight_hard: float = 1000.0
    weight_comfort: float = 2.0
    weight_steer: float = 150.0
    lane_pull: float = 0.02
    lane_width: float = 3.5
    edge_push: float = 0.05
    edge_length: float = 0.3
    strength: float = 1.0
    angle_zero: float = math.radians(20.0)
    literal: bool = False
    sigma_zero: float = 2.0
    sigma_speed: float = 0.15
    sigma_closing: float = 0.8
    sigma_side: float = 0.5
    sigma_side_speed: float = 0.01
    sigma_side_closing: float = 0.25
    max_acceleration: float = 2.3
    max_braking: float = 6.0
    comfortable_acceleration: float = 1.5
    comfortable_braking: float = 3.0
    max_lateral: float = 4.0
    comfortable_lateral: float = 1.6
    min_length: float = 8.0
    min_gap: float = 2.0
    min_time: float = 1.5
    max_time: float = 6.0
    min_speed_time: float = 1.0
    fallback_speed: float = 15.0
    delta_on: float = 0.25
    delta_off: float = 0.1
    prepare_time: float = 0.5
    change_below: float = 0.2
    draw: bool = False

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"field's {name} must be positive and finite, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InputError(f"field's {name} must not be negative, got {getattr(self, name)}")
        for name, least in (
            ("particles", 4),
            ("generations", 1),
            ("steps", 10),
            ("stride", 1),
            ("neighbours", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(f"field's {name} must be at least {least}, got {getattr(self, name)}")
        if self.min_time >= self.max_time:
            raise InputError("field's min_time must be below its max_time")
        if self.steps % self.stride:
            raise InputError(
                f"field's steps must be a multiple of its stride, got {self.steps}, {self.stride}"
            )
