"""What the rover planner is compared with: the same optimiser without its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drive.planners.rover.config import RoverConfig
from drive.planners.rover.planner import Rover


@dataclass(frozen=True, slots=True)
class RoverFreeConfig(RoverConfig):
    """As `RoverConfig`, but for the limits of power, which it does not know."""

    power: Literal["multipliers", "penalty", "off"] = "off"


@dataclass(frozen=True, slots=True)
class RoverSlopeConfig(RoverConfig):
    """As `RoverConfig`, but it keeps away from slopes where that one keeps its limits of power and energy."""

    slope_only: bool = True


class RoverFree(Rover):
    """The same optimiser and tracker without the limits of power."""

    config_type = RoverFreeConfig
    name = "rover_free"


class RoverSlope(Rover):
    """The same optimiser and tracker with a penalty on slopes alone."""

    config_type = RoverSlopeConfig
    name = "rover_slope"
