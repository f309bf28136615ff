"""The consensus planner's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drive.errors import InputError

CONSENSUS = ("exact", "admm", "none")
BARRIERS = ("time", "iterate")
POLISHES = ("never", "failed", "always")


@dataclass(frozen=True, slots=True)
class CPTOConfig:
    """Times in s, lengths in m, speeds in m/s, accelerations in m/s^2.

    The problem: `steps` samples of `dt`; all branches share the first `joint` seconds (`consensus`: "exact"
    one trunk, "admm" a copy a branch, "none" nothing shared); at most `branches` hypotheses (1: only what
    is most probable) and `obstacles` in each; `phantoms` are expected behind occlusion edges.

    The loop: `iterations`, from the duals of the last call if `warm`, penalties `rho` and `tie` (of the
    consensus), over-relaxation `relax`, and the barrier ("time": along the horizon, "iterate": along the
    iterations) with `gamma` now, 1 at the end. `discs` of the own vehicle against who is turned more than
    `turned` rad to the road. Costs `w_...` of acceleration, jerk, speed, place along and across the road,
    and heading.

    Driving: as IDM, `speed_up`, `comfort` and `brake` limit the acceleration, `sideways` that across the
    road, and `bends` what its bends may ask for. `polish` solves a quadratic programme after the loop.
    """

    steps: int = 50
    dt: float = 0.1
    joint: float = 1.0
    branches: int = 5
    obstacles: int = 10
    consensus: str = "exact"
    barrier: str = "time"
    iterations: int = 20
    warm: bool = False
    phantoms: bool = True
    always_brake: bool = False
    gamma: float = 0.5
    rho: float = 3.0
    tie: float = 50.0
    relax: float = 1.6
    dual_limit: float = 2.0
    discs: int = 3
    turned: float = 0.23
    w_acceleration: float = 0.1
    w_jerk: float = 0.05
    w_speed: float = 2.0
    w_place: float = 2.0
    w_lane: float = 5.0
    w_heading: float = 0.02
    speed_up: float = 1.6
    comfort: float = 2.0
    brake: float = 6.0
    sideways: float = 2.5
    bends: float = 1.7
    min_gap: float = 1.8
    headway: float = 1.1
    side_gap: float = 0.25
    lane_changes: bool = True
    phantom_speed: float = 10.0
    phantom_walk: float = 1.6
    polish: str = "never"

    def __post_init__(self) -> None:
        for name, allowed in (("consensus", CONSENSUS), ("barrier", BARRIERS), ("polish", POLISHES)):
            if getattr(self, name) not in allowed:
                raise InputError(f"cpto's {name} must be one of {', '.join(allowed)}")
        if not 20 <= self.steps <= 200:
            raise InputError(f"cpto's steps must lie in 20 ... 200, got {self.steps}")
        if not 4.0 * self.dt <= self.joint <= 0.5 * self.dt * (self.steps - 1):
            raise InputError("cpto's joint must lie between four steps and half the horizon")
        if self.branches < 1 or self.obstacles < 1 or self.iterations < 1 or self.discs not in (1, 2, 3):
            raise InputError("cpto needs a branch, an obstacle, an iteration, and 1 to 3 discs")
        if not 0.0 < self.gamma <= 1.0 or not 1.0 <= self.relax < 2.0:
            raise InputError("cpto's gamma must lie in (0, 1], its relax in [1, 2)")
        if self.polish != "never" and self.consensus != "exact":
            raise InputError("cpto polishes only with consensus 'exact'")
        positive = (
            "dt", "rho", "speed_up", "comfort", "brake", "sideways", "bends", "dual_limit", "min_gap",
            "w_speed", "w_place", "w_lane",
        )  # fmt: skip
        for name in positive:
            if not (math.isfinite(value := getattr(self, name)) and value > 0.0):
                raise InputError(f"cpto's {name} must be positive and finite, got {value}")
        for name in (
            "tie", "turned", "headway", "side_gap", "phantom_speed", "phantom_walk", "w_acceleration",
            "w_jerk", "w_heading",
        ):  # fmt: skip
            if not (math.isfinite(value := getattr(self, name)) and value >= 0.0):
                raise InputError(f"cpto's {name} must be finite and not negative, got {value}")
