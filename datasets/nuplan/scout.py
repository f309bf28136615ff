"""Map and route for a planner in the devkit's simulation: what its adapter hands on of the map's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.nuplan.city import load_city
from drive.datasets.nuplan.route import route_along

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drive.roadmap import RoadMap
    from drive.scenario import Route


def scout(
    gpkg: Path,
    pose: tuple[float, float, float],
    roadblocks: Sequence[str],
    goal: tuple[float, float] | None,
) -> tuple[RoadMap, Route, tuple[float, float]]:
    """The map as the devkit sees it, the route along the roadblocks, and the map's origin.

    `pose` of the rear axle and `goal` are in the map's projection.
    """
    city = load_city(gpkg, restore=False)
    x, y = city.origin
    here = np.array([pose[0] - x, pose[1] - y, pose[2]])
    there = None if goal is None else np.array([goal[0] - x, goal[1] - y])
    return city.roadmap, route_along(city.roadmap, roadblocks, here, there)[0], city.origin
