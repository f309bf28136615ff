"""Settings of the planner `hydra_next`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from drive.errors import InputError, UnknownNameError
from drive.planners.hydra_next.kinematics import COMPATS
from drive.planners.hydra_next.pid import PIDSettings
from drive.planners.hydra_next.profiles import PROFILES
from drive.planners.learned.profiles import emphasised, find_profile

BRANCHES = ("trajectory", "control", "match_trajectory", "match_control", "average")
"""Who proposes a control: the trajectory decoder by its PID, the control decoder, the diffusion's proposal
nearest to either, and the plain average of all proposals."""


@dataclass(frozen=True, slots=True)
class HydraNextConfig:
    """How the trained network drives.

    `weights` is a file, or the name of shipped ones; "" the shipped default. `candidates` of the vocabulary,
    those nearest in speed, are scored; `proposals` control sequences are drawn in `denoising` steps (0: all
    of training's), with the randomness `eta`: 0 is DDIM, 1 DDPM. The first noise is the same at every call,
    so that equal moments give equal controls.

    `branches` of BRANCHES take part in the fusion, half of them decide on braking; `drive` "trajectory"
    leaves the plan to the simulator's tracker instead of giving a control. `profile` of PROFILES weighs
    the heads, `emphasis` multiplies some of the weights, as "ep=3,nc=0.5"; `red_lights` as of `gtrs`. A
    brake is believed above `brake_threshold`; `likeliest` takes the most probable bin instead of the
    mean. `compat` "hydra_next_release" matches by the published vehicle, at half its strength.
    """

    weights: str = ""
    device: str = "cpu"
    candidates: int = 512
    proposals: int = 10
    denoising: int = 10
    eta: float = 0.0
    seed: int = 0
    branches: tuple[str, ...] = ("trajectory", "control", "match_trajectory", "match_control")
    drive: str = "control"
    profile: str = "closed_loop"
    emphasis: str = ""
    red_lights: float = 20.0
    brake_threshold: float = 0.6
    likeliest: bool = False
    compat: str = "consistent"
    shown: int = 12
    batch: int = 1
    pid: PIDSettings = field(default_factory=PIDSettings)

    def __post_init__(self) -> None:
        for name in self.branches:
            if name not in BRANCHES:
                raise UnknownNameError("branch of hydra_next", name, BRANCHES)
        if not self.branches or len(set(self.branches)) != len(self.branches):
            raise InputError("hydra_next needs at least one branch, each of them once")
        if self.drive not in ("control", "trajectory"):
            raise InputError(f"hydra_next drives by 'control' or 'trajectory', not '{self.drive}'")
        if self.compat not in COMPATS:
            raise InputError(f"hydra_next's compat must be one of {', '.join(COMPATS)}, got '{self.compat}'")
        for name in ("candidates", "proposals", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"hydra_next's {name} must be at least 1, got {getattr(self, name)}")
        for name in ("denoising", "shown", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"hydra_next's {name} must be 0 or more, got {getattr(self, name)}")
        if not 0.0 <= self.red_lights < math.inf:
            raise InputError(f"hydra_next's red_lights must be 0 or more, got {self.red_lights}")
        for name in ("eta", "brake_threshold"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"hydra_next's {name} must lie within 0 and 1, got {getattr(self, name)}")
        emphasised(find_profile(self.profile, PROFILES), self.emphasis)

    @property
    def proposes(self) -> bool:
        """Whether any branch needs the diffusion policy."""
        return any(name in self.branches for name in ("match_trajectory", "match_control", "average"))

    @property
    def decodes(self) -> bool:
        """Whether any branch needs the control decoder."""
        return any(name in self.branches for name in ("control", "match_control"))


__all__ = ["BRANCHES", "HydraNextConfig"]
