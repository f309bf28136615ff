"""Which drive a branch starts from: options times rules, driven and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.cpto.kernels.propose import (
    CONTACT,
    EFFORT,
    NEAR,
    NUM_ROWS,
    PROGRESS,
    SPEED,
    Driver,
    Others,
    propose,
)
from drive.planners.cpto.options import KEEP, LANE_LEFT, LANE_RIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.cpto.config import CPTOConfig
    from drive.planners.cpto.options import Options
    from drive.planners.cpto.view import View
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

RULES = np.array([(1.0, 1.0), (1.0, 2.5), (0.75, 1.0), (0.5, 1.5), (0.25, 2.5), (0.0, 0.0)])
"""Share of the speed cap, seconds of foresight."""
COARSE = 2
"""Samples of the forecasts to one of a drive."""
# What a metre, a second or a change is worth, found on scenes of other seeds than the suites'.
CONTACT_COST, NEAR_COST, EFFORT_COST = 20.0, 3.0, 0.25
LANE_COST, AROUND_COST, BEYOND_COST = 0.35, 0.05, 0.25
SAME_OPTION, SAME_RULE = 0.6, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Drives:
    """All drives `tracks (V, 6, K)` with their `option (V,)`, `rule (V,)` and `cost (V,)`."""

    tracks: Floats
    judgements: Floats
    option: NDArray[np.int64]
    rule: NDArray[np.int64]
    cost: Floats

    @property
    def best(self) -> int:
        return int(np.argmin(self.cost))


def make_driver(config: CPTOConfig, vehicle: VehicleParams) -> Driver:
    c = config
    return Driver(
        c.min_gap,
        c.headway,
        c.speed_up,
        c.comfort,
        c.brake,
        3.0,
        0.5 * vehicle.length - vehicle.rear_axle_to_center,
        0.5 * vehicle.length + vehicle.rear_axle_to_center,
        0.5 * vehicle.width,
        c.side_gap,
        1.2,
        1.3,
        1.5,
        COARSE * c.dt,
    )


def drive_all(
    options: Options,
    view: View,
    used: NDArray[np.uint8],
    driver: Driver,
    start: Floats,
    samples: int,
    before: tuple[int, int],
    begin: int = 0,
    only: int = -1,
) -> Drives:
    """Every rule on every option (or the one numbered `only`) from `start (6,)` at a forecasts' sample.

    `before`: kind of the option and rule that were chosen last.
    """
    kinds = np.array(options.kind)
    numbers = np.arange(len(kinds)) if only < 0 else np.array([only])
    option = np.repeat(numbers, len(RULES))
    rule = np.tile(np.arange(len(RULES)), len(numbers))
    tracks, judgements = np.empty((len(option), NUM_ROWS, samples)), np.empty((len(option), 4))
    others = Others(np.ascontiguousarray(view.pose[:, :, ::COARSE]), view.half, used)
    propose(options.road, others, driver, RULES[rule], option, start, begin // COARSE, tracks, judgements)
    span = driver.dt * (samples - 1)
    # Progress is measured against driving at the limit.
    wanted = max(float(options.road.cap.mean()) * span, 1.0)
    cost = (
        CONTACT_COST * (1.0 - judgements[:, CONTACT] / span)
        + NEAR_COST * (1.0 - judgements[:, NEAR] / span)
        + EFFORT_COST * judgements[:, EFFORT]
        - 5.0 * np.minimum(judgements[:, PROGRESS] / wanted, 1.0)
        + 0.3 * (1.0 - tracks[:, SPEED, -1] / max(float(options.road.cap.max()), 1.0))
    )
    # A contact at once costs on top: later ones may be mended by later plans.
    cost += 5.0 * (judgements[:, CONTACT] < 3.0)
    chosen = kinds[option]
    lane = (chosen == LANE_LEFT) | (chosen == LANE_RIGHT)
    cost += LANE_COST * lane + AROUND_COST * ((chosen != KEEP) & ~lane)
    cost += BEYOND_COST * options.beyond[option]
    cost -= SAME_OPTION * (chosen == before[0]) + SAME_RULE * (rule == before[1])
    return Drives(tracks, judgements, option, rule, cost)


def refine(track: Floats, samples: int) -> Floats:
    """A drive `(6, K)` at the forecasts' samples."""
    at, known = np.arange(samples) / COARSE, np.arange(track.shape[1])
    return np.stack([np.interp(at, known, row) for row in track])
