"""What stands there for good and may be passed in the lanes of others: parked cars, works; not queues."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drive.planners.field.kernels import layout as la
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from drive.planners.field.scene import Crowd
    from drive.planners.road.guide import RoadScene

MOVES = 0.5
"""m/s: who was seen faster than that stands in a queue and is waited for."""
ASIDE = 0.6
"""m from the middle of the lane at which somebody who stands is taken to be parked."""
PATIENCE = 5.0
"""s for which the ego stands behind somebody in the middle of the lane before it passes."""
REACH = 80.0


@dataclass(slots=True, eq=False)
class Standing:
    """Who has been seen to move, and for how long the ego has stood."""

    moved: set[int] = field(default_factory=set)
    since: float = math.inf

    def look(self, time: float, scene: RoadScene, crowd: Crowd, aim: float, half: float) -> list[int]:
        """The crowd's rows that stand for good in the ego's way, beginning with the nearest."""
        o, start = scene.others, scene.state
        fast = o.id[o.speeds[:, 0] > MOVES]
        self.moved.update(fast.tolist())
        if start[1] > MOVES:
            self.since = time
        self.since = min(self.since, time)
        found = []
        for m, row in enumerate(crowd.row.tolist()):
            ahead, d = float(crowd.now[m, la.OS] - start[0]), float(crowd.now[m, la.OD])
            reach = float(crowd.body[m, la.HALF_WIDTH]) + half + 0.3
            if int(o.id[row]) in self.moved or not -5.0 < ahead < REACH or abs(d - aim) > reach:
                continue
            if o.kind[row] == AgentKind.PEDESTRIAN:
                continue
            waits = math.isfinite(scene.hold.station) and scene.hold.station > crowd.now[m, la.OS] - 10.0
            aside = o.kind[row] == AgentKind.STATIC or abs(d) > ASIDE
            if aside or (time - self.since > PATIENCE and not waits):
                found.append((ahead, m))
        return [m for _, m in sorted(found)]
