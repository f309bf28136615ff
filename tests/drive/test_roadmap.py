"""Building a road map: what is refused, what is derived, and the round trip through flat arrays."""

import numpy as np
import pytest

from drive.errors import MapError
from drive.roadmap import (
    AreaKind,
    LaneKind,
    LaneSpec,
    Marking,
    Polygons,
    RoadMap,
    RoadMapBuilder,
    hash_arrays,
)


def strip(lane_id, y, length=20.0, points=5, x=0.0, **fields):
    """A straight lane along x of 4 m width, its centre at `y`."""
    at = np.linspace(x, x + length, points)
    left, right = (np.stack((at, np.full(points, y + side)), -1) for side in (2.0, -2.0))
    return LaneSpec(lane_id, left, right, **fields)


def built(*lanes, origin=(0.0, 0.0)):
    builder = RoadMapBuilder(origin)
    for lane in lanes:
        builder.add(lane)
    return builder.build()


def two_roads():
    """a1 beside a2, both followed by b1 and b2; c comes the other way left of a2; x crosses nothing."""
    builder = RoadMapBuilder((1000.0, 2000.0))
    at = {"x": 1000.0}
    for lane in (
        strip(
            "a1", 2000, **at, successors=("b1",), left_lane="a2", left_marking=Marking.DASHED, speed_limit=10
        ),
        strip(
            "a2",
            2004,
            **at,
            successors=("b2", "gone"),
            right_lane="a1",
            right_change=False,
            left_opposite="c",
        ),
        strip("b1", 2000, x=1020.0, left_lane="b2", signal="s1", stop_station=0.0, kind=LaneKind.CONNECTOR),
        strip("b2", 2004, x=1020.0, right_lane="b1", intersection=True),
        strip("w", 1990, **at, kind=LaneKind.SIDEWALK),
    ):
        builder.add(lane)
    left = np.array([[1020.0, 2006.0], [1000.0, 2006.0]])
    builder.add(LaneSpec("c", left, left + np.array([0, 4]), left_opposite="a2"))
    builder.add_area([[1005, 1995], [1008, 1995], [1008, 2010], [1005, 2010]], AreaKind.CROSSWALK, "zebra")
    builder.add_area(
        [[1030, 2010], [1040, 2010], [1040, 2020], [1030, 2020], [1030, 2010]], AreaKind.OCCLUDER
    )
    return builder.build()


def test_positions_are_relative_to_the_origin_and_lengths_follow():
    m = two_roads()
    assert m.lane_ids == ("a1", "a2", "b1", "b2", "w", "c")
    assert m.centerline(0)[[0, -1]].tolist() == [[0, 0], [20, 0]]
    assert m.length.tolist() == [20.0] * 6
    assert m.heading[m.rows(5)] == pytest.approx(np.full(2, np.pi))
    assert m.half_width == pytest.approx(np.full((len(m.points), 2), 2.0))
    assert m.bounds == (0.0, -12.0, 40.0, 10.0)
    assert m.polygon(0)[[0, -1]].tolist() == [[0, 2], [0, -2]]


def test_graph_neighbours_and_rights_to_change():
    m = two_roads()
    a1, a2, b1, b2, w, c = range(6)
    assert m.successors(a1).tolist() == [b1]
    assert m.successors(a2).tolist() == [b2]  # "gone" was never added
    assert m.predecessors(b2).tolist() == [a2]
    assert (m.left_lane[a1], m.right_lane[a2], m.left_lane[a2]) == (a2, a1, -1)
    assert (bool(m.left_change[a1]), bool(m.right_change[a2]), bool(m.left_change[a2])) == (
        True,
        False,
        False,
    )
    assert (m.left_opposite[a2], m.left_opposite[c], m.right_opposite[c]) == (c, a2, -1)
    assert m.lane_index("b2") == b2
    with pytest.raises(MapError, match="no lane 'b9'"):
        m.lane_index("b9")
    assert m.group[a1] == m.group[a2] != m.group[b1] == m.group[b2]
    assert len({int(m.group[i]) for i in (a1, b1, w, c)}) == 4
    assert m.group_lanes(int(m.group[a1])).tolist() == [a1, a2]


def test_signals_limits_and_areas():
    m = two_roads()
    assert m.signal.tolist() == [-1, -1, 0, -1, -1, -1]
    assert m.signal_ids == ("s1",)
    assert m.stop_station[2] == 0.0
    assert np.isnan(m.stop_station[0])
    assert m.limit(0, 99.0) == 10.0
    assert m.limit(2, 99.0) == 10.0  # from its predecessor
    assert m.limit(1, 13.5) == 13.5
    assert len(m.areas) == 2
    assert m.areas.of_kind(AreaKind.CROSSWALK)[0].tolist() == [[5, -5], [8, -5], [8, 10], [5, 10]]
    assert len(m.areas[1]) == 4  # the closing point is dropped
    assert m.area_ids == ("zebra", "")


def test_limits_that_are_no_speeds_count_as_unknown():
    m = built(*(strip(f"l{i}", 10.0 * i, speed_limit=v) for i, v in enumerate((0.0, -5.0, np.nan, None, 8))))
    assert np.isnan(m.speed_limit[:4]).all()
    assert m.speed_limit[4] == 8.0


def test_groups_of_the_source_are_kept():
    m = built(
        strip("a", 0, group="road7"),
        strip("b", 30, group="road7"),
        strip("c", 4, left_lane="d"),
        strip("d", 8, right_lane="c"),
        strip("e", 12, left_lane="a"),
    )
    assert m.group[0] == m.group[1]
    assert m.group[2] == m.group[3]
    assert len(set(m.group.tolist())) == 3  # a lane without a group does not join a named one
    assert m.group_ids[m.group[0]] == "road7"


def test_neighbours_and_successors_named_twice_or_oneself():
    m = built(strip("a", 0, left_lane="a", successors=("a", "b", "b")), strip("b", 0, x=20.0))
    assert m.left_lane[0] == -1
    assert not m.left_change[0]
    assert m.successors(0).tolist() == [0, 1]  # a ring may follow itself


def test_bounds_and_centre_may_have_different_points():
    left = np.array([[0, 2], [4, 2], [20, 2.0]])
    right = np.array([[0, -2], [20, -2.0]])
    m = built(
        LaneSpec("a", left, right),
        LaneSpec("b", left, right, center=np.array([[0, 1], [9, 1], [10, 1], [20, 1.0]])),
    )
    assert m.points[m.rows(0)].tolist() == [[0, 0], [4, 0], [20, 0]]
    assert m.length.tolist() == [20.0, 20.0]
    assert m.half_width[m.rows(1)][0] == pytest.approx([1.0, 3.0])


def test_finely_sampled_lanes_keep_their_length():
    at = np.linspace(0.0, 5.0, 20_001)  # steps of a quarter millimetre
    m = built(LaneSpec("a", np.stack((at, at * 0 + 1), -1), np.stack((at, at * 0 - 1), -1)))
    assert m.length[0] == pytest.approx(5.0, abs=2e-3)
    assert len(m.points) < 6000


def test_heights_are_kept_where_every_lane_has_them():
    def tilted(lane_id, x):
        at = np.linspace(x, x + 10, 3)
        return LaneSpec(
            lane_id, np.stack((at, at * 0 + 2, at + 1), -1), np.stack((at, at * 0 - 2, at - 1), -1)
        )

    m = built(tilted("a", 0.0), tilted("b", 10.0))
    assert m.elevation == pytest.approx(m.points[:, 0])
    assert m.points.shape == (6, 2)
    assert built(tilted("a", 0.0), strip("b", 0, x=10.0)).elevation.shape == (0,)


NAN = np.array([[0, 2], [np.nan, 2], [9, 2.0]])
GOOD = np.array([[0, -2], [5, -2], [9, -2.0]])
UP = np.array([0.0, 4.0])


@pytest.mark.parametrize(
    ("lane", "message"),
    [
        (LaneSpec("a", NAN, GOOD), "lane 'a': its left bound holds values that are not finite"),
        (LaneSpec("a", GOOD, NAN), "right bound holds"),
        (LaneSpec("a", GOOD + UP, GOOD, center=NAN), "centreline holds"),
        (LaneSpec("a", GOOD[:1], GOOD), "at least two points"),
        (LaneSpec("a", np.zeros((0, 2)), GOOD), "at least two points"),
        (LaneSpec("a", np.arange(5.0), GOOD), "at least two points"),
        (LaneSpec("a", GOOD + UP, GOOD, center=GOOD[:1]), "its centreline needs"),
        (LaneSpec("a", GOOD * 0 + UP, GOOD * 0), "has no length"),
        (LaneSpec("a", GOOD, GOOD + UP), "reversed bounds"),
    ],
)
def test_impossible_lanes_are_refused(lane, message):
    with pytest.raises(MapError, match=message):
        RoadMapBuilder().add(lane)


def test_duplicates_and_empty_maps_are_refused():
    with pytest.raises(MapError, match="'a' is defined twice"):
        built(strip("a", 0), strip("a", 8))
    with pytest.raises(MapError, match="empty"):
        RoadMapBuilder().build()


@pytest.mark.parametrize(
    "ring",
    [[[0, 0], [1, 1]], [[0, 0], [1, 0], [0, 0]], [[0, 0], [1, np.inf], [2, 0]], [[0, 0], [1, 1], [2, 2]], []],
)
def test_areas_that_are_no_polygons_are_refused(ring):
    with pytest.raises(MapError, match="crosswalk"):
        RoadMapBuilder().add_area(ring, AreaKind.CROSSWALK)


def test_flat_arrays_hold_all_of_a_map():
    m = two_roads()
    arrays = m.to_arrays()
    assert all(not a.dtype.hasobject for a in arrays.values())
    again = RoadMap.from_arrays(arrays)
    assert again.content_hash == m.content_hash
    assert again.lane_ids == m.lane_ids
    assert hash_arrays(again.to_arrays()) == hash_arrays(arrays)
    older = {k: v for k, v in arrays.items() if k not in ("right_opposite", "area_ids", "elevation")}
    assert RoadMap.from_arrays(older).num_lanes == 6
    with pytest.raises(MapError, match="lacks the array 'heading'"):
        RoadMap.from_arrays({k: v for k, v in arrays.items() if k != "heading"})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("points", lambda a: a[:-1], "shape"),
        ("speed_limit", lambda a: a[:-1], "'speed_limit' has the shape"),
        ("left", lambda a: a * np.nan, "left hold values that are not finite"),
        ("successor", lambda a: a + 100, "successor array names something"),
        ("signal", lambda a: a + 1, "signal array names something"),
        ("lane_start", lambda a: a[::-1].copy(), "lane_start"),
        ("successor_start", lambda a: a * 2, "successor_start does not fit"),
        ("area_start", lambda a: a[:-1], "polygons need"),
        ("lane_ids", lambda a: a[:-1], "names 5 lanes"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name, change, message):
    arrays = two_roads().to_arrays()
    with pytest.raises(MapError, match=message):
        RoadMap.from_arrays({**arrays, name: change(arrays[name])})


def test_hash_sees_values_names_types_and_shapes_but_not_order():
    a, b = np.arange(6.0), np.ones(2)
    base = hash_arrays({"a": a, "b": b})
    assert base == hash_arrays({"b": b, "a": a.copy()})
    others = [{"a": b, "b": a}, {"a": a}, {"a": a.reshape(2, 3), "b": b}, {"a": a.astype("f4"), "b": b}]
    changed = a.copy()
    changed[3] = np.nextafter(3.0, 4.0)
    assert len({base, *(hash_arrays(o) for o in others), hash_arrays({"a": changed, "b": b})}) == 6


def test_polygons_in_compressed_rows():
    p = Polygons.from_rings([], [])
    assert (len(p), p.points.shape) == (0, (0, 2))
    p = Polygons.from_rings([np.eye(3)[:, :2], np.ones((4, 2))], [AreaKind.ROAD, AreaKind.STOP])
    assert [len(r) for r in p.of_kind(AreaKind.STOP, AreaKind.ROAD)] == [3, 4]
