"""Constants of PDM-Closed. The defaults are the published ones (tuplan_garage) unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drive.errors import InputError
from drive.sim.kernels.lqr import COMPATS


@dataclass(frozen=True, slots=True)
class PDMConfig:
    """Lengths in m, times in s, speeds in m/s, accelerations in m/s^2.

    Three defaults leave the released code, each for a reason, and can be set back:
    `leader_at_start` (released: off) looks for a leader before the first step; without it every
    proposal of a moving vehicle brakes at the limit for one step, and the speed limit is never reached.
    `radius_time` (released: 0) widens the circle of agents with the speed; 50 m are too few to stop
    for a standing vehicle from above 60 km/h. `lateral_comfort` (released, and here: off) counts v
    times the yaw rate as lateral acceleration; nuPlan's bicycle reports none at the rear axle.
    `lqr_compat` "reference" keeps the finite-difference fault of the released batch tracker.

    The released rule takes the best score by whatever margin: the ego cuts bends on the inner path, stays
    beside the centre afterwards, and changes paths for centimetres. `prefer_centre` (released, and here:
    0) raises the scores on the path nearest to the centreline by that share, 0.05 for 5 %; the rules that
    a proposal breaks weigh as before, and the candidates' scores are told without it.
    """

    offsets: tuple[float, ...] = (0.0, -1.0, 1.0)
    speed_fractions: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    fallback_speed: float = 15.0
    min_gap: float = 1.0
    headway: float = 1.5
    max_acceleration: float = 1.5
    max_deceleration: float = 3.0
    exponent: float = 10.0
    dt: float = 0.1
    proposal_steps: int = 40
    horizon_steps: int = 80
    leader_every: int = 2
    leader_at_start: bool = True
    radius: float = 50.0
    radius_time: float = 5.0
    max_vehicles: int = 50
    max_pedestrians: int = 25
    max_bicycles: int = 10
    max_static: int = 50
    search_depth: int = 30
    path_step: float = 1.0
    path_ahead: float = 1500.0
    path_extension: float = 200.0
    reroute_margin: float = 1.5
    lane_change_time: float = 5.0
    stop_line_tolerance: float = 0.5
    lqr_compat: str = "reference"
    lateral_comfort: bool = False
    weight_progress: float = 5.0
    weight_ttc: float = 5.0
    weight_comfort: float = 2.0
    progress_threshold: float = 0.1
    prefer_centre: float = 0.0
    emergency_time: float = 2.0
    emergency_speed: float = 5.0

    def __post_init__(self) -> None:
        if not self.offsets or not self.speed_fractions:
            raise InputError("pdm needs at least one offset and one speed fraction")
        if not all(np.isfinite(self.offsets)) or not all(f > 0.0 for f in self.speed_fractions):
            raise InputError("pdm's offsets must be finite and its speed fractions positive")
        for name in ("fallback_speed", "min_gap", "max_acceleration", "max_deceleration", "dt", "path_step"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"pdm's {name} must be positive, got {getattr(self, name)}")
        if not 0.0 <= self.prefer_centre <= 1.0:
            raise InputError(f"pdm's prefer_centre must lie in [0, 1], got {self.prefer_centre}")
        if not 3 <= self.proposal_steps <= self.horizon_steps:
            raise InputError("pdm's proposal_steps must be at least 3 and at most horizon_steps")
        for name in ("leader_every", "search_depth"):
            if getattr(self, name) < 1:
                raise InputError(f"pdm's {name} must be at least 1, got {getattr(self, name)}")
        if self.lqr_compat not in COMPATS:
            raise InputError(f"pdm's lqr_compat must be one of {', '.join(COMPATS)}, got '{self.lqr_compat}'")
