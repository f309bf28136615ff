"""The lane-change intention: KEEP, PREPARE, CHANGE, ABORT, with hysteresis, driven by the field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.planners.field.config import FieldConfig


class Stage(StrEnum):
    KEEP = "keep"
    PREPARE = "prepare"
    CHANGE = "change"
    ABORT = "abort"


PAUSE = 3.0
"""s after a change or an abort before the next one is prepared."""
GIVE_UP = 6.0
"""s for which a change is prepared before it is let go."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that can be driven in: its centre's offset now, the mean field along it and U_c."""

    offset: float
    risk: float
    deficit: float


@dataclass(slots=True)
class Intention:
    """What one ego is about to do; lanes are named -1, 0, 1: right of the reference line, on it, left of it.

    `lane` is the one that it keeps or leaves, `target` the one that it would go to.
    """

    config: FieldConfig
    stage: Stage = Stage.KEEP
    lane: int = 0
    target: int = 0
    since: float = -math.inf
    wished: float = math.inf
    rests: float = -math.inf
    deficit: float = 0.0

    @property
    def aim(self) -> int:
        """The lane that the ego steers for."""
        return self.target if self.stage is Stage.CHANGE else self.lane

    def update(self, time: float, offset: float, lanes: Mapping[int, Lane]) -> None:
        """A moment later: the ego's offset, and the lanes there are; without the kept one 0 becomes it."""
        if self.lane not in lanes:
            self.lane, self.stage, self.wished = 0, Stage.KEEP, math.inf
        if self.stage is Stage.CHANGE:
            self._change(time, offset, lanes)
        elif self.stage is Stage.ABORT:
            if abs(offset - lanes[self.lane].offset) < 0.5 or time - self.since > GIVE_UP:
                self._go(Stage.KEEP, time)
                self.rests = time + PAUSE
        else:
            self._weigh(time, lanes)

    def _change(self, time: float, offset: float, lanes: Mapping[int, Lane]) -> None:
        to, origin = lanes.get(self.target), lanes[self.lane]
        if to is None:
            self._go(Stage.ABORT, time)
            return
        width = abs(to.offset - origin.offset)
        crossed = abs(offset - origin.offset)
        risen = to.deficit > max(2.0 * self.deficit, 2.0 * self.config.change_below)
        if crossed < 0.5 * width and risen:
            self._go(Stage.ABORT, time)
        elif abs(offset - to.offset) < 0.4:
            self.lane = self.target
            self._go(Stage.KEEP, time)
            self.rests = time + PAUSE

    def _weigh(self, time: float, lanes: Mapping[int, Lane]) -> None:
        wish = self._wish(lanes)
        if self.stage is Stage.PREPARE:
            gain = self._gain(lanes, self.target) if self.target in lanes else -1.0
            if gain < self.config.delta_off or time - self.since > GIVE_UP:
                self.rests = time + 0.5 * PAUSE
                self._go(Stage.KEEP, time)
            elif lanes[self.target].deficit < self.config.change_below:
                self.deficit = lanes[self.target].deficit
                self._go(Stage.CHANGE, time)
            return
        if wish == self.lane or time < self.rests:
            self.wished = math.inf
            return
        if wish != self.target or self.wished == math.inf:
            self.target, self.wished = wish, time
        if time - self.wished >= self.config.prepare_time - 1e-9:
            self._go(Stage.PREPARE, time)

    def _gain(self, lanes: Mapping[int, Lane], lane: int) -> float:
        """By how much a lane is better than the kept one; the route's own lane is taken where it is free."""
        gain = lanes[self.lane].risk - lanes[lane].risk
        if lane == 0 and lanes[0].risk < self.config.delta_off:
            gain += self.config.delta_on + self.config.delta_off
        return gain

    def _wish(self, lanes: Mapping[int, Lane]) -> int:
        gains = {k: self._gain(lanes, k) for k in sorted(lanes) if abs(k - self.lane) == 1}
        best = max(gains, key=lambda k: gains[k], default=self.lane)
        return best if gains and gains[best] >= self.config.delta_on else self.lane

    def _go(self, stage: Stage, time: float) -> None:
        self.stage, self.since, self.wished = stage, time, math.inf
