"""Speeds for bends, which CARLA's towns do not tell.

Their limits are those of roads, 30 to 90 km/h, and hold in the turns of a crossing too; nuPlan's maps, which
planners were made for, have lower limits there. So a planner's map gets, in each lane, no more than the speed
at which its sharpest bend asks for `SIDEWAYS`. The run log keeps the map as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from drive.roadmap import RoadMap

SIDEWAYS = 3.0
"""m/s^2; CARLA's own agents take a crossing's turn with about as much."""
OVER = 6.0
"""Metres of lane over which a bend is measured: kinks where two pieces meet are none."""
SLOWEST = 3.0


def advised(roadmap: RoadMap) -> RoadMap:
    """The map with lower limits in lanes that bend."""
    limit = np.array(roadmap.speed_limit)
    for lane in range(roadmap.num_lanes):
        rows = roadmap.rows(lane)
        s, h = roadmap.station[rows], roadmap.heading[rows]
        if s[-1] < 1.0:
            continue
        turned = np.concatenate(([0.0], np.cumsum(wrap_angle(np.diff(h)))))
        ahead = np.minimum(s + OVER, s[-1])
        bend = np.abs(np.interp(ahead, s, turned) - turned) / np.maximum(ahead - s, 0.5 * OVER)
        most = float(bend.max())
        if most > 1e-3:
            # A lane without a limit (NaN) is given one too.
            limit[lane] = np.fmin(limit[lane], max(np.sqrt(SIDEWAYS / most), SLOWEST))
    return replace(roadmap, speed_limit=limit)
