"""The drivable area: compiled grid, kernel and shapely agree; slits are closed, holes are kept."""

import numpy as np
import pytest
import shapely
from shapely import affinity

from drive.roadmap import AreaKind, DrivableArea, LaneKind, LaneSpec, RoadMapBuilder
from drive.roadmap import drivable as drivable_module
from drive.roadmap.drivable import BOUNDARY, INSIDE, OUTSIDE, drivable_polygon
from drive.sim.kernels.compile import kernel
from drive.sim.kernels.scalar import in_area


@kernel
def many(points, x0, y0, cell, state, start, triangles, corners, out):
    """`in_area` of many points, compiled as the kernels compile it."""
    for i in range(len(points)):
        out[i] = in_area(points[i, 0], points[i, 1], x0, y0, cell, state, start, triangles, corners)


def arguments(area):
    at = (np.float32(v) for v in (area.x0, area.y0, area.cell))
    return (*at, area.state, area.start, area.triangles, area.corners)


def by_kernel(area, points):
    out = np.zeros(len(points), dtype=bool)
    many(np.ascontiguousarray(points, dtype=np.float32), *arguments(area), out)
    return out


def wild_polygon(seed, parts=3):
    """Stars with star-shaped holes, some of them touching cells of one another."""
    rng = np.random.default_rng(seed)

    def star(center, low, high, n=30):
        t = np.sort(rng.uniform(0, 2 * np.pi, n))
        return center + np.stack((np.cos(t), np.sin(t)), -1) * rng.uniform(low, high, n)[:, None]

    shapes = []
    for k in range(parts):
        center = np.array([70.0 * k, 15.0 * k])
        hole = shapely.Polygon(star(center, 4, 12))
        shapes.append(shapely.difference(shapely.Polygon(star(center, 15, 40)).buffer(0), hole.buffer(0)))
    return shapely.union_all(shapes)


@pytest.mark.parametrize("seed", range(4))
def test_kernel_equals_shapely_on_wild_polygons(seed):
    polygon = wild_polygon(seed)
    area = DrivableArea.build(polygon)
    assert {OUTSIDE, INSIDE, BOUNDARY} == set(np.unique(area.state).tolist())
    rng = np.random.default_rng(seed)
    x0, y0, x1, y1 = polygon.bounds
    points = rng.uniform((x0 - 5, y0 - 5), (x1 + 5, y1 + 5), (100_000, 2)).astype(np.float32).astype(float)
    truth = shapely.intersects_xy(polygon, points)
    assert 0.1 < truth.mean() < 0.9
    assert np.array_equal(area.contains(points), truth)
    differs = by_kernel(area, points) != truth
    boundary = shapely.boundary(polygon)
    assert shapely.distance(shapely.points(points[differs]), boundary).max(initial=0.0) < 1e-3
    some, inside = points[:2000], truth[:2000]
    gap = shapely.distance(shapely.points(some), boundary)
    assert area.distance_outside(some) == pytest.approx(np.where(inside, 0.0, gap))
    assert area.signed_distance(some) == pytest.approx(np.where(inside, gap, -gap))


def test_no_point_falls_through_the_edges_between_triangles():
    rng = np.random.default_rng(2)
    angles = np.linspace(0, 2 * np.pi, 50)[:-1]
    ring = np.stack((np.cos(angles), np.sin(angles)), -1) * rng.uniform(150, 400, 49)[:, None]
    far = affinity.translate(shapely.Polygon(ring), 3000.0, 3000.0)  # where single precision is coarse
    area = DrivableArea.build(far.union(shapely.box(0, 0, 4, 4)))
    corners = area.corners.reshape(-1, 3, 2).astype(float)
    n = 400_000
    t, e, w = rng.integers(0, len(corners), n), rng.integers(0, 3, n), rng.uniform(0, 1, (n, 1))
    local = w * corners[t, e] + (1 - w) * corners[t, (e + 1) % 3]
    column, row = (local / area.cell).astype(int).T
    on_edge = local[area.state[row, column] == BOUNDARY] + np.array([area.x0, area.y0])
    on_edge = on_edge.astype(np.float32).astype(float)
    deep = on_edge[area.signed_distance(on_edge) > 1e-3]
    assert len(deep) > 5000
    assert by_kernel(area, deep).all()


def test_a_triangle_without_height_holds_nothing():
    """Vertices that are one in float32, as unions of real lanes have them, do not make a whole cell road."""
    ring = [(0, 0), (30, 0), (30, 20), (17.0000002, 20), (17.0000001, 20.00000005), (17, 20), (0, 20)]
    area = DrivableArea.build(shapely.Polygon(ring))
    x, y = np.meshgrid(np.linspace(-3, 33, 181), np.linspace(-3, 23, 131))
    points = np.stack((x.ravel(), y.ravel()), -1)
    clear = np.abs(area.signed_distance(points)) > 1e-3
    assert np.array_equal(by_kernel(area, points)[clear], area.contains(points)[clear])


def test_plain_python_and_the_compiled_kernel_agree():
    area = DrivableArea.build(wild_polygon(5, parts=1))
    points = np.random.default_rng(0).uniform(-45, 45, (3000, 2)).astype(np.float32)
    plain = np.array([in_area(x, y, *arguments(area)) for x, y in points])
    compiled = by_kernel(area, points)
    assert 0.1 < plain.mean() < 0.9
    gap = np.abs(area.signed_distance(points.astype(float)))
    assert gap[plain != compiled].max(initial=0.0) < 1e-3


def test_state_of_cells_is_what_shapely_says():
    polygon = wild_polygon(7, parts=2)
    area = DrivableArea.build(polygon)
    r, c = (k.ravel() for k in np.indices(area.state.shape))
    x, y = area.x0 + c * area.cell, area.y0 + r * area.cell
    boxes = shapely.box(x, y, x + area.cell, y + area.cell)
    state = area.state.ravel()
    assert shapely.contains_properly(polygon, boxes[state == INSIDE]).all()
    assert not shapely.intersects(polygon, boxes[state == OUTSIDE]).any()
    # A cell is called cut only within a centimetre of the boundary.
    assert shapely.distance(shapely.boundary(polygon), boxes[state == BOUNDARY]).max() <= 0.0142 + 1e-9


def lane(lane_id, x0, x1, y0, y1, **fields):
    at = np.linspace(x0, x1, 4)
    return LaneSpec(lane_id, np.stack((at, at * 0 + y1), -1), np.stack((at, at * 0 + y0), -1), **fields)


def test_slits_between_neighbours_are_closed_and_other_kinds_left_out():
    builder = RoadMapBuilder()
    builder.add(lane("a", 0, 20, 0, 3))
    builder.add(lane("b", 0, 20, 3.008, 6))  # a slit of 8 mm
    builder.add(lane("far", 0, 20, 6.5, 9))  # half a metre of green: no slit
    builder.add(lane("walk", 0, 20, -3, 0, kind=LaneKind.SIDEWALK))
    builder.add(lane("bay", 20, 25, 0, 3, kind=LaneKind.PARKING))
    builder.add_area([[30, 0], [40, 0], [40, 10], [30, 10]], AreaKind.INTERSECTION)
    builder.add_area([[50, 0], [60, 0], [60, 10], [50, 10]], AreaKind.OCCLUDER)
    area = DrivableArea.of(builder.build())
    points = np.array([[5, 3.004], [5, 6.25], [5, 8], [5, -1], [22, 1], [35, 5], [55, 5], [5, 0.001]])
    expected = [True, False, True, False, True, True, False, True]
    assert area.contains(points).tolist() == expected
    assert by_kernel(area, points).tolist() == expected
    assert area.signed_distance([[5.0, 3.004]])[0] == pytest.approx(2.996, abs=1e-3)
    assert area.distance_outside([[5.0, -1.0], [5.0, 1.0]]) == pytest.approx([1.0, 0.0], abs=1e-3)
    assert area.polygon.area == pytest.approx(20 * 6 + 20 * 2.5 + 15 + 100, rel=1e-3)


def test_a_block_inside_the_roads_is_a_hole():
    builder = RoadMapBuilder()
    for k, (x0, x1, y0, y1) in enumerate([(0, 40, 0, 4), (0, 40, 36, 40), (0, 4, 0, 40), (36, 40, 0, 40)]):
        builder.add_area([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], AreaKind.ROAD, str(k))
    builder.add(lane("a", 0, 40, 0, 4))
    area = DrivableArea.of(builder.build())
    points = np.array([[20.0, 20.0], [2.0, 20.0], [20.0, 38.0]])
    assert by_kernel(area, points).tolist() == [False, True, True]
    assert area.signed_distance(points) == pytest.approx([-16.0, 2.0, 2.0], abs=1e-3)


def test_the_area_is_compiled_once_for_a_map():
    builder = RoadMapBuilder()
    builder.add(lane("a", 0, 40, 0, 4))
    m = builder.build()
    assert DrivableArea.of(m) is DrivableArea.of(m)
    assert drivable_polygon(m).area == pytest.approx(160.0, rel=1e-6)


def test_a_map_without_drivable_ground_has_an_empty_area():
    builder = RoadMapBuilder()
    builder.add(lane("a", 0, 40, 0, 4, kind=LaneKind.SIDEWALK))
    area = DrivableArea.of(builder.build())
    points = np.array([[5.0, 2.0], [0.0, 0.0], [-99.0, 1e6]])
    assert not area.contains(points).any()
    assert not by_kernel(area, points).any()
    assert np.isposinf(area.distance_outside(points)).all()
    assert np.isneginf(area.signed_distance(points)).all()


def test_points_outside_the_grid_or_not_finite_are_outside():
    area = DrivableArea.build(shapely.box(0, 0, 10, 10))
    points = np.array([[-1e6, 5], [5, -1e6], [1e6, 5], [5, 1e6], [np.nan, 5], [5, np.nan], [11, 11], [5, 5]])
    assert by_kernel(area, points).tolist() == [False] * 7 + [True]


def test_huge_areas_take_larger_cells():
    for polygon in (shapely.box(0, 0, 60_000, 10), shapely.LineString([(0, 0), (3e4, 3e4)]).buffer(5.0)):
        area = DrivableArea.build(polygon)
        assert area.state.size <= 1.1 * drivable_module.MAX_CELLS
        points = np.random.default_rng(1).uniform(0, 3e4, (2000, 2))
        points[:, 1] = points[:, 0] + np.random.default_rng(2).uniform(-9, 9, 2000)
        points = points.astype(np.float32).astype(float)
        differs = by_kernel(area, points) != area.contains(points)
        # Single precision resolves 2 mm at 30 km.
        assert np.abs(area.signed_distance(points[differs])).max(initial=0.0) < 0.01
