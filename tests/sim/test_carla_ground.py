"""The grid in which the CARLA world looks up what lane lies under a place, against a look at all lanes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive.roadmap.index import GridIndex
from drive.sim.carla.kernels.ground import BESIDE, nearest_piece
from drive.sim.carla.world.ground import CELL, PARTS, ground_arrays

sys.path.insert(0, str(Path(__file__).parent))
from carla_town import straight, town


def costs(x: float, y: float, z: float, town: Any) -> Any:
    """What each segment of a map costs at a place, infinite where it is out of reach: 4 a squared metre of
    height beyond the first, 1 a squared metre beyond the lane's edge, 0.001 one of distance, 0.01 without
    vehicles."""
    m = town.roadmap
    lane = np.repeat(np.arange(m.num_lanes), np.diff(m.lane_start))
    points = np.column_stack((m.points[:, 0], -m.points[:, 1]))
    step = np.diff(points, axis=0)
    square = (step**2).sum(1)
    t = ((np.array((x, y)) - points[:-1]) * step).sum(1) / np.where(square > 0.0, square, 1.0)
    t = np.clip(t, 0.0, 1.0)
    far = np.hypot(*(np.array((x, y)) - points[:-1] - t[:, None] * step).T)
    wide = m.half_width.min(1)
    high = m.elevation if len(m.elevation) else np.zeros(len(points))
    out = np.maximum(far - wide[:-1] - t * np.diff(wide), 0.0)
    above = np.maximum(np.abs(z - high[:-1] - t * np.diff(high)) - 1.0, 0.0)
    cost = out**2 + 1e-3 * far**2 + 4.0 * above**2 + np.where(m.kind[lane[:-1]] <= 1, 0.0, 1e-2)
    return np.where((lane[:-1] == lane[1:]) & (out < BESIDE), cost, np.inf)


@pytest.mark.parametrize("name", ["straight", "Town10HD", "Town01", "Town04"])
def test_the_grid_finds_what_a_look_at_all_lanes_finds(name: str, tmp_path: Path) -> None:
    place = straight(tmp_path, length=300.0).town if name == "straight" else town(name)
    ground, points = ground_arrays(place), place.roadmap.points
    rng = np.random.default_rng(1)
    at = np.concatenate(
        [
            points[rng.integers(0, len(points), 300)] + rng.normal(0.0, 4.0, (300, 2)),
            rng.uniform(points.min(0) - 20.0, points.max(0) + 20.0, (100, 2)),
        ]
    )
    found = 0
    for x, y in at * (1.0, -1.0):
        z = rng.uniform(-3.0, 12.0)
        p, lane, _ = nearest_piece(x, y, z, *ground[:5])
        wanted = costs(x, y, z, place)
        if p < 0:
            assert np.isinf(wanted).all()
            continue
        found += 1
        assert wanted[p] <= wanted.min() + 1e-9
        assert place.roadmap.lane_start[lane] <= p < place.roadmap.lane_start[lane + 1]
    assert found > 200


def test_only_flat_ground_is_cut(tmp_path: Path) -> None:
    """A lane above another would be left out where it is not seen from."""
    for slope, parts in ((0.0, PARTS), (0.05, 1)):
        place = straight(tmp_path, length=300.0, slope=slope).town
        (_, _, cell, columns, _), start, segments, *_ = ground_arrays(place)
        whole = GridIndex.build(place.roadmap, CELL, BESIDE)
        assert (cell, columns) == (CELL / parts, whole.columns * parts)
        assert len(start) == parts * parts * (len(whole.start) - 1) + 1
        # Of half a dozen lanes and sidewalks one or two can be the best one in two metres.
        fewer = np.diff(start).mean() / np.diff(whole.start).mean()
        assert fewer == 1.0 if parts == 1 else fewer < 0.5
        assert start[-1] == len(segments)
