"""Which drive a branch starts from: options times rules, driven and judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
    make_near,
    propose,
)

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
"""Samples of a trajectory to one of the forecasts and of a drive."""
# What a metre, a second or a change is worth, found on scenes of other seeds than the suites'.
CONTACT_COST, NEAR_COST, EFFORT_COST = 20.0, 3.0, 0.25
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
    option, rule, rules = _every_rule(len(options.kind), only)
    extra = np.zeros(len(option))
    if only < 0:
        costs = options.extra - SAME_OPTION * (np.array(options.kind) == before[0])
        extra = costs[option] - SAME_RULE * (rule == before[1])
    tracks, judgements = np.empty((len(option), NUM_ROWS, samples)), np.empty((len(option), 4))
    others = Others(view.pose, view.half, used)
    near = make_near(len(view.pose), view.pose.shape[2], samples)
    propose(options.road, others, driver, rules, option, start, begin // COARSE, near, tracks, judgements)
    span = driver.dt * (samples - 1)
    # Progress is measured against driving at the limit.
    contact = judgements[:, CONTACT]
    cost = (
        CONTACT_COST * (1.0 - contact / span)
        + NEAR_COST * (1.0 - judgements[:, NEAR] / span)
        + EFFORT_COST * judgements[:, EFFORT]
        - 5.0 * np.minimum(judgements[:, PROGRESS] / max(options.pace * span, 1.0), 1.0)
        - 0.3 * tracks[:, SPEED, -1] / max(options.fastest, 1.0)
        # A contact soon costs on top: later ones may be mended by later plans.
        + 5.0 * (contact < min(3.0, span))
        + extra
    )
    return Drives(tracks, judgements, option, rule, cost)


@lru_cache(maxsize=32)
def _every_rule(options: int, only: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Option, rule and `RULES` `(V, 2)` of each drive."""
    option = np.repeat(np.arange(options), len(RULES)) if only < 0 else np.full(len(RULES), only)
    rule = np.resize(np.arange(len(RULES)), len(option))
    return option, rule, RULES[rule]


def refine(track: Floats, samples: int) -> Floats:
    """A drive `(6, K)` at the forecasts' samples: every second one is between two of its own."""
    out = np.empty((len(track), COARSE * track.shape[1] - 1))
    out[:, ::2], out[:, 1::2] = track, 0.5 * (track[:, 1:] + track[:, :-1])
    return out[:, :samples]
