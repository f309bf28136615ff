"""What can be set of the planner `stl_diffusion`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from drive.errors import InputError
from drive.planners.stl_diffusion.choice import ChoiceSettings
from drive.planners.stl_diffusion.patience import PatienceSettings
from drive.planners.stl_diffusion.sampling import SampleSettings
from drive.planners.stl_diffusion.scorer import GuidanceSettings
from drive.planners.stl_diffusion.template import MODES


@dataclass(frozen=True, slots=True)
class STLDiffusionConfig:
    """`weights` are a file, the name of shipped ones, or "" for the shipped ones.

    `mode` is keep, left, right, or any; `vmin` to `thmax` are the formula's parameters in SI units (`vmax` 0:
    the way's limit). A call draws `candidates` in each mode; the paths of the best `variants` of them may be
    driven at other speeds too; of those that obey, `choice` picks one; `shown` are told of. With `rti_steps`
    a call goes on from the last one's samples in so many denoising steps from `rti_from` down, made noisy
    first if `rti_noise`, guided in the last `rti_guidance`; it begins anew where no sample obeys, or where
    the last plan has lost more than `rti_jump` of its robustness, if the last time was `rti_wait` s ago.
    Samples are judged by how a tracker follows them that goes for a plan's speed `lag` s ahead (0: as drawn).
    Whoever walks is taken to be `walkers` m wider and longer to each side than it is: it may turn round.
    Who stands for nothing loses its `patience`. `others` are the nearest agents that are looked at,
    `forecaster` a name of the registry. `device` "cpu", "cuda" or "auto".
    """

    weights: str = ""
    mode: str = "keep"
    vmin: float = -0.3
    vmax: float = 0.0
    dmin: float = -1.0
    dmax: float = 1.9
    dsafe: float = 0.5
    thmax: float = 0.15
    candidates: int = 16
    sampling: SampleSettings = field(
        default_factory=lambda: SampleSettings(count=10, guidance=GuidanceSettings(steps=3))
    )
    choice: ChoiceSettings = field(default_factory=ChoiceSettings)
    patience: PatienceSettings = field(default_factory=PatienceSettings)
    variants: int = 2
    rti_steps: int = 3
    rti_from: int = 10
    rti_noise: bool = False
    rti_guidance: int = 0
    rti_jump: float = 1.0
    rti_wait: float = 0.5
    lag: float = 1.0
    walkers: float = 0.6
    others: int = 12
    forecaster: str = "steady"
    shown: int = 16
    seed: int = 0
    device: str = "cpu"
    batch: int = 1

    def __post_init__(self) -> None:
        if self.mode not in (*MODES, "any"):
            raise InputError(f"stl_diffusion's mode is {', '.join(MODES)} or any, not '{self.mode}'")
        for name in (
            "vmin",
            "vmax",
            "dmin",
            "dmax",
            "dsafe",
            "thmax",
            "rti_jump",
            "rti_wait",
            "lag",
            "walkers",
        ):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"stl_diffusion's {name} must be a finite number, not {getattr(self, name)}")
        if self.dmin >= self.dmax or (self.vmax > 0.0 and self.vmin >= self.vmax):
            raise InputError("stl_diffusion's bounds leave nothing: dmin below dmax, vmin below vmax")
        if self.thmax <= 0.0:
            raise InputError(f"stl_diffusion's thmax is above 0, not {self.thmax}")
        if (
            min(self.candidates, self.others) < 1
            or min(self.rti_steps, self.rti_from, self.rti_guidance, self.shown, self.variants) < 0
            or min(self.lag, self.walkers) < 0.0
        ):
            raise InputError("stl_diffusion's candidates and others are 1 or more, its steps 0 or more")


__all__ = ["STLDiffusionConfig"]
