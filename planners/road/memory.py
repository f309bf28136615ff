"""Whom one planner saw in a run, in the order of first sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.road.kernels import memory as columns
from drive.planners.road.kernels.memory import remember

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Memory:
    """K road users: `id (K,)`, and what is known of each, `table (K, 15)`.

    The table's columns are those of `drive.planners.road.kernels.memory`.
    """

    id: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    table: Floats = field(default_factory=lambda: np.zeros((0, columns.NUM_COLUMNS)))
    _place: dict[int, int] = field(default_factory=dict)

    def note(self, observation: Observation) -> None:
        """Take up an observation, and forget in whom nobody believes any more."""
        place = self._places(observation)
        if min(place, default=0) < 0:
            new = np.flatnonzero((np.array(place) < 0) & observation.agent_valid)
            if len(new):
                self._add(observation, new)
                place = self._places(observation)
        lost = remember(
            self.table, np.array(place, dtype=np.int64), observation.agents, observation.agent_valid,
            observation.existence, float(observation.time),
        )  # fmt: skip
        if lost:
            kept = self.table[:, columns.BELIEF] >= columns.LEAST_EXISTENCE
            self.id, self.table = self.id[kept], self.table[kept]
            self._number()

    def _places(self, observation: Observation) -> list[int]:
        find = self._place.get
        return [find(key, -1) for key in observation.agent_id.tolist()]

    def _add(self, observation: Observation, new: NDArray[np.intp]) -> None:
        rows = np.zeros((len(new), columns.NUM_COLUMNS))
        rows[:, :5] = agents = observation.agents[new]
        rows[:, [columns.LENGTH, columns.WIDTH]] = observation.agent_size[new, :2]
        rows[:, columns.KIND] = observation.agent_kind[new]
        rows[:, columns.TIME] = rows[:, columns.MOVED] = observation.time
        rows[:, columns.SPEED] = agents[:, 3] * np.cos(agents[:, 2]) + agents[:, 4] * np.sin(agents[:, 2])
        rows[:, columns.PATH], rows[:, columns.ASKED] = -1.0, -np.inf
        self.id = np.concatenate((self.id, observation.agent_id[new]))
        self.table = np.concatenate((self.table, rows))
        self._number()

    def _number(self) -> None:
        self._place = {key: k for k, key in enumerate(self.id.tolist())}
