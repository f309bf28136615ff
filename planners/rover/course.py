"""A motion on the clock: where the rover is to be when, and the turn on the spot before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle
from drive.planners.rover.kernels import cost as k
from drive.vehicle import ACCELERATION, HEADING, SPEED, STATE_SIZE, YAW_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.rover.optimise import Motion

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A motion from the time `begin` on; before it, until then, a turn on the spot from `heading`."""

    motion: Motion
    begin: float
    turn_from: float
    turn_start: float

    def states(self, times: Floats) -> Floats:
        """States `(T, 7)` at absolute times; the rover stands at the end."""
        m = self.motion
        places = np.clip((times - self.begin) / m.duration, 0.0, 1.0)
        table = m.table(places)
        out = np.zeros((len(times), STATE_SIZE))
        out[:, 0:2] = table[:, k.X : k.Y + 1]
        out[:, HEADING] = np.arctan2(table[:, k.Y1], table[:, k.X1])
        out[:, SPEED], out[:, ACCELERATION] = table[:, k.V], table[:, k.ACCELERATION]
        out[:, YAW_RATE] = table[:, k.TURN]
        over = times > self.begin + m.duration
        out[over, SPEED] = out[over, ACCELERATION] = out[over, YAW_RATE] = 0.0
        before = times < self.begin
        if before.any():
            first = np.arctan2(m.points[1, 1], m.points[0, 1])
            span = self.begin - self.turn_start
            turn = float(wrap_angle(first - self.turn_from))
            share = np.clip((times[before] - self.turn_start) / max(span, 1e-9), 0.0, 1.0)
            out[before, 0:2] = m.points[:, 0]
            out[before, HEADING] = wrap_angle(self.turn_from + share * turn)
            out[before, SPEED] = out[before, ACCELERATION] = 0.0
            out[before, YAW_RATE] = turn / span
        return out
