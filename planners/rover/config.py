"""Settings of the rover planner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drive.errors import InputError


@dataclass(frozen=True, slots=True)
class RoverConfig:
    """Lengths in m, times in s, speeds in m/s, powers in W.

    `power` says how the limit on the load is kept: by multipliers, by a soft penalty of weight `penalty`, or
    not at all ("off", for comparison). `slope_only` leaves out the limits of power and energy and keeps away
    from slopes instead, by the weight `avoid_slope`. Every piece of the motion covers about `piece_length`;
    `samples` of it are constrained, `fine` times as many are checked, and where the load exceeds `near` of
    its limit some of those are constrained as well. `tolerance` is the share by which a limit may be
    exceeded between them. `jerk`, `slope` and `load` are weights beside the duration's, which is 1. `creep`
    is the speed at which a motion begins and ends.

    `track` says who follows the motion: "hold" the planner's own tracker, which holds the limits of power
    under slip as long as `power` is not "off", or "host" the loop's, which follows whatever is drawn.
    `horizon` is what a plan covers, called `rate` times a second; the old motion is kept as long as the
    rover is within `keep` of it, sideways and along. `search_cell` is the front end's grid. `margin` is the
    share of the limits of power and light that a plan leaves to the tracker, `slope_share` the part of the
    steepest slope that it uses: wheels find stones that the smooth ground does not have.
    """

    power: Literal["multipliers", "penalty", "off"] = "multipliers"
    slope_only: bool = False
    avoid_slope: float = 20.0
    penalty: float = 0.05
    sharpness: float = 0.5
    piece_length: float = 2.5
    max_pieces: int = 96
    samples: int = 8
    fine: int = 10
    near: float = 0.97
    tolerance: float = 0.01
    jerk: float = 50.0
    slope: float = 2.0
    load: float = 2e-4
    creep: float = 0.05
    inner: int = 60
    outer: int = 10
    stiffness: float = 30.0
    growth: float = 3.0
    max_stiffness: float = 3000.0
    rounds: int = 3
    horizon: float = 60.0
    dt: float = 0.2
    rate: float = 5.0
    track: Literal["hold", "host"] = "hold"
    keep: float = 1.0
    search_cell: float = 0.5
    margin: float = 0.0
    slope_share: float = 0.9

    def __post_init__(self) -> None:
        positive = (
            "sharpness",
            "piece_length",
            "jerk",
            "creep",
            "stiffness",
            "growth",
            "search_cell",
            "keep",
        )
        for name in positive:
            if not getattr(self, name) > 0.0:
                raise InputError(f"rover's {name} must be positive, got {getattr(self, name)}")
        for name in ("samples", "fine", "inner", "outer", "rounds"):
            if getattr(self, name) < 1:
                raise InputError(f"rover's {name} must be at least 1, got {getattr(self, name)}")
        if not 4 <= self.max_pieces <= 200:
            raise InputError(f"rover's max_pieces must lie between 4 and 200, got {self.max_pieces}")
        if not 0.1 <= self.slope_share <= 1.0:
            raise InputError(f"rover's slope_share must lie in [0.1, 1], got {self.slope_share}")
        if not 0.0 <= self.margin < 0.5:
            raise InputError(f"rover's margin must lie in [0, 0.5), got {self.margin}")
        if self.track not in ("hold", "host"):
            raise InputError(f"rover's track must be hold or host, got '{self.track}'")
        if self.power not in ("multipliers", "penalty", "off"):
            raise InputError(f"rover's power must be multipliers, penalty or off, got '{self.power}'")
