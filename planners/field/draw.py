"""The field on a raster around the ego, for the replay; only made where the setting `draw` asks for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Heat
from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.field import raster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.field.scene import Crowd
    from drive.sim.road.frame import RoadFrame

    Floats = NDArray[np.float64]

CELL, BEHIND, AHEAD, ASIDE = 1.0, 20.0, 70.0, 14.0
"""m: the raster's cells, and how far it reaches from the rear axle."""


def drawn(
    pose: Floats, speed: float, station: float, frame: RoadFrame, road: Floats, crowd: Crowd, setting: Floats
) -> Heat:
    """U about the rear axle's `pose (3,)`, as an ego of that speed feels it now.

    The pull to the lane is drawn as well; off the road, where hard bounds hold, it is 0.
    """
    columns, rows = round((BEHIND + AHEAD) / CELL), round(2.0 * ASIDE / CELL)
    along = CELL * (np.arange(columns) + 0.5) - BEHIND
    across = CELL * (np.arange(rows) + 0.5) - ASIDE
    c, s = math.cos(pose[2]), math.sin(pose[2])
    points = np.stack(
        (
            pose[0] + along[None, :] * c - across[:, None] * s,
            pose[1] + along[None, :] * s + across[:, None] * c,
        ),
        axis=-1,
    )
    # Each row in the other direction than the last: the search of the feet then never jumps.
    points[1::2] = points[1::2, ::-1].copy()
    nodes = frame.locate(points.reshape(-1, 2), max(station - BEHIND, 0.0))
    felt = np.empty(len(nodes))
    raster(speed, nodes, road, crowd.now, crowd.body, setting, felt)
    row = np.clip(np.rint(nodes[:, 0] / frame.step).astype(np.intp), 0, len(road) - 1)
    off = (nodes[:, 1] > road[row, la.EDGE_LEFT]) | (nodes[:, 1] < road[row, la.EDGE_RIGHT])
    felt[off] = 0.0
    values = felt.reshape(rows, columns)
    values[1::2] = values[1::2, ::-1].copy()
    corner = (pose[0] - BEHIND * c + ASIDE * s, pose[1] - BEHIND * s - ASIDE * c, pose[2])
    return Heat("risk field", values, np.array(corner, dtype=np.float64), CELL)
