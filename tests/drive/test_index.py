"""The grid index gives what a search through all lanes gives, with bounded memory."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.geometry import points_in_polygon
from drive.roadmap import GridIndex, LaneKind, LaneSpec, RoadMapBuilder
from drive.roadmap import index as index_module


def random_map(seed, lanes=40, extent=150.0):
    """Curved lanes of all kinds, strewn about and crossing each other."""
    rng = np.random.default_rng(seed)
    builder = RoadMapBuilder()
    for i in range(lanes):
        n = int(rng.integers(2, 30))
        heading = rng.uniform(-np.pi, np.pi) + np.cumsum(rng.normal(0, 0.08, n))
        center = rng.uniform(0, extent, 2) + np.cumsum(
            2 * np.stack((np.cos(heading), np.sin(heading)), -1), axis=0
        )
        normal = np.stack((-np.sin(heading), np.cos(heading)), -1)
        kind = LaneKind.SIDEWALK if i % 7 == 0 else LaneKind.LANE
        builder.add(LaneSpec(f"{i}", center + 2 * normal, center - 1.5 * normal, center=center, kind=kind))
    return builder.build()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_lanes_at_points_are_those_of_a_full_search(seed):
    m = random_map(seed)
    points = np.random.default_rng(seed + 1).uniform(-20, 190, (300, 2))
    inside = np.stack([points_in_polygon(points, m.polygon(i)) for i in range(m.num_lanes)])
    for k, p in enumerate(points):
        assert GridIndex.of(m).lanes_at(p) == np.flatnonzero(inside[:, k]).tolist()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 60.0))
def test_nearest_lane_is_that_of_a_full_search(seed, radius):
    m = random_map(seed)
    points = np.random.default_rng(seed + 1).uniform(-40, 200, (200, 2))
    lines = np.array([shapely.LineString(m.centerline(i)) for i in range(m.num_lanes)])
    gap = shapely.distance(shapely.points(points)[:, None], lines)
    gap[:, m.kind == LaneKind.SIDEWALK] = np.inf
    for p, row in zip(points, gap, strict=True):
        found = GridIndex.of(m).nearest_lane(p, radius=radius)
        if abs(row.min() - radius) < 1e-6:
            continue
        assert (found is None) == (row.min() > radius)
        if found is not None:
            lane, station, offset = found
            assert row[lane] == pytest.approx(row.min(), abs=1e-9)
            assert 0.0 <= station <= m.length[lane]
            assert abs(offset) <= row.min() + 1e-9  # smaller where the foot lies beyond an end


def cross():
    """Two lanes of 4 m width that cross at the origin, one along x, one along y."""
    builder = RoadMapBuilder()
    at = np.linspace(-20, 20, 5)
    flat = at * 0
    builder.add(LaneSpec("east", np.stack((at, flat + 2), -1), np.stack((at, flat - 2), -1)))
    builder.add(LaneSpec("north", np.stack((flat - 2, at), -1), np.stack((flat + 2, at), -1)))
    return builder.build()


@pytest.mark.parametrize(
    ("point", "heading", "lane", "station", "offset"),
    [
        ((1.0, 0.5), None, 0, 21.0, 0.5),
        ((1.0, 0.5), 0.1, 0, 21.0, 0.5),
        ((1.0, 0.5), 1.5, 1, 20.5, -1.0),  # on the other lane, 1 m right of it
        ((0.5, 1.0), None, 1, 21.0, -0.5),
        ((25.0, 3.0), None, 0, 40.0, 3.0),  # beyond the end
    ],
)
def test_heading_decides_between_crossing_lanes(point, heading, lane, station, offset):
    assert GridIndex.of(cross()).nearest_lane(point, heading) == pytest.approx((lane, station, offset))


def test_lanes_at_a_crossing():
    index = GridIndex.of(cross())
    assert index.lanes_at((0.5, 0.5)) == [0, 1]
    assert index.lanes_at((10.0, 0.5)) == [0]
    assert index.lanes_at((10.0, 10.0)) == []


@pytest.mark.parametrize("point", [(1e9, 0.0), (-1e9, -1e9), (60.0, 60.0), (np.nan, 0.0), (np.inf, 0.0)])
def test_points_far_outside_or_not_finite_have_no_lane(point):
    index = GridIndex.of(cross())
    assert index.nearest_lane(point) is None
    assert index.lanes_at(point) == []


def entries(index: GridIndex) -> int:
    return len(index.start) + len(index.segments)


@pytest.mark.parametrize(
    "ends",
    [
        [((0, 0), (2e6, 0)), ((0, 2e6), (2e6, 2e6))],  # few lanes on a huge ground
        [((0, 0), (5e8, 1))],  # a very long and thin one
        [
            ((50.0 * i, 0), (50.0 * i + 3e4, 3e4)) for i in range(60)
        ],  # long diagonals, bounding boxes everywhere
    ],
)
def test_memory_is_bounded_on_huge_maps(ends):
    builder = RoadMapBuilder()
    for i, (a, b) in enumerate(ends):
        center = np.array([a, b], dtype=float)
        along = (center[1] - center[0]) / np.hypot(*(center[1] - center[0]))
        normal = np.array([-along[1], along[0]])
        builder.add(LaneSpec(f"{i}", center + 2 * normal, center - 2 * normal))
    m = builder.build()
    limit = index_module.MAX_CELLS + index_module.MAX_ENTRIES + len(m.points) + 1
    assert entries(GridIndex.of(m)) <= limit
    (x0, y0), (x1, y1) = ends[0]
    lane, station, offset = GridIndex.of(m).nearest_lane((x0 + 0.25 * (x1 - x0), y0 + 0.25 * (y1 - y0)))
    assert lane == 0
    assert station == pytest.approx(0.25 * m.length[0], rel=1e-9)
    assert offset == pytest.approx(0.0, abs=1e-6)


def test_lanes_near_a_square_are_all_found():
    m = random_map(3)
    rng = np.random.default_rng(0)
    pieces = np.array([shapely.Polygon(m.polygon(i)).buffer(0) for i in range(m.num_lanes)])
    for x, y, r in rng.uniform((-10, -10, 0), (170, 170, 30), (100, 3)):
        touched = np.flatnonzero(shapely.intersects(pieces, shapely.box(x - r, y - r, x + r, y + r)))
        assert set(touched.tolist()) <= set(GridIndex.of(m).near(x, y, r).tolist())
