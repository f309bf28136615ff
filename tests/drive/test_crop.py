"""A part of a road map has the same lanes, links and areas as the whole, as far as it goes."""

from __future__ import annotations

import numpy as np
import pytest

from drive.datasets.source import load
from drive.errors import MapError
from drive.roadmap import AreaKind, LaneSpec, RoadMap, RoadMapBuilder, crop
from drive.roadmap.crop import areas_in, lanes_in, select


def chain(count: int = 6) -> RoadMap:
    """Two lanes side by side of `count` pieces of 100 m along x, a light on every second one."""
    builder = RoadMapBuilder()
    for k in range(count):
        for row, name in enumerate(("a", "b")):
            x, y = np.linspace(100.0 * k, 100.0 * (k + 1), 11), 3.5 * row
            builder.add(
                LaneSpec(
                    id=f"{name}{k}",
                    left=np.stack((x, np.full(11, y + 1.75)), axis=-1),
                    right=np.stack((x, np.full(11, y - 1.75)), axis=-1),
                    successors=(f"{name}{k + 1}",),
                    left_lane=f"b{k}" if name == "a" else None,
                    right_lane=f"a{k}" if name == "b" else None,
                    signal=f"light{k}" if k % 2 else None,
                    stop_station=90.0 if k % 2 else None,
                    speed_limit=10.0 + k,
                )
            )
        square = np.array([[0.0, 10.0], [5.0, 10.0], [5.0, 15.0]]) + np.array([100.0 * k, 0.0])
        builder.add_area(square, AreaKind.CROSSWALK, f"walk{k}")
    return builder.build()


def test_a_part_keeps_lanes_links_lights_and_areas_near_the_line():
    whole = chain()
    part = crop(whole, [[250.0, 0.0], [340.0, 0.0]], 30.0, origin=(200.0, 0.0))
    assert part.lane_ids == ("a2", "b2", "a3", "b3")
    a2, b3 = part.lane_index("a2"), part.lane_index("b3")
    assert np.array_equal(part.centerline(a2), whole.centerline(whole.lane_index("a2")) - [200.0, 0.0])
    assert [part.lane_ids[i] for i in part.successors(a2)] == ["a3"]
    assert [part.lane_ids[i] for i in part.predecessors(b3)] == ["b2"]
    assert len(part.successors(b3)) == 0
    assert part.lane_ids[part.left_lane[a2]] == "b2"
    assert part.left_change[a2]
    assert part.group[a2] == part.group[part.lane_index("b2")] != part.group[b3]
    assert part.signal_ids == ("light3",)
    assert part.signal[a2] == -1
    assert part.signal_ids[part.signal[b3]] == "light3"
    assert part.speed_limit[b3] == 13.0
    assert part.area_ids == ("walk3",)
    assert np.array_equal(part.areas[0], whole.areas[3] - [200.0, 0.0])


def test_all_of_a_map_is_the_map():
    whole = chain()
    assert crop(whole, [[0.0, 0.0], [600.0, 0.0]], 50.0).content_hash == whole.content_hash


def test_one_point_will_do():
    assert crop(chain(), [20.0, 1.0], 5.0).lane_ids == ("a0", "b0")


def test_nothing_near_is_an_error():
    with pytest.raises(MapError, match="no lane of the map lies within 50 m"):
        crop(chain(), [[0.0, 900.0]], 50.0)


def test_everything_kept_is_the_same_map() -> None:
    roadmap = load("gen/signalised_intersection/1").roadmap
    every = np.ones(roadmap.num_lanes, dtype=np.bool_)
    assert (
        select(roadmap, every, np.ones(len(roadmap.areas), dtype=np.bool_)).content_hash
        == roadmap.content_hash
    )


def test_half_of_the_lanes() -> None:
    roadmap = load("gen/signalised_intersection/1").roadmap
    keep = np.arange(roadmap.num_lanes) % 2 == 0
    part = select(roadmap, keep, np.zeros(len(roadmap.areas), dtype=np.bool_), (10.0, -5.0))
    assert len(part.areas) == 0
    rows = np.flatnonzero(keep)
    for k, old in enumerate(rows.tolist()):
        assert part.lane_ids[k] == roadmap.lane_ids[old]
        np.testing.assert_allclose(
            part.centerline(k), roadmap.centerline(old) + np.array([10.0, -5.0]), atol=1e-12
        )
        left = int(roadmap.left_lane[old])
        assert part.left_lane[k] == (np.flatnonzero(rows == left)[0] if left >= 0 and keep[left] else -1)
        assert not (part.left_change[k] and part.left_lane[k] < 0)
        for name in ("successors", "predecessors"):
            now = [part.lane_ids[n] for n in getattr(part, name)(k)]
            assert now == [roadmap.lane_ids[n] for n in getattr(roadmap, name)(old) if keep[n]]
        assert part.group_ids[part.group[k]] == roadmap.group_ids[roadmap.group[old]]
        light = int(roadmap.signal[old])
        assert (part.signal_ids[part.signal[k]] if part.signal[k] >= 0 else None) == (
            roadmap.signal_ids[light] if light >= 0 else None
        )
    assert set(part.group.tolist()) == set(range(len(part.group_ids)))


def test_what_lies_in_a_box() -> None:
    roadmap = load("gen/signalised_intersection/1").roadmap
    low, high = np.array([-20.0, -20.0]), np.array([20.0, 20.0])
    inside = lanes_in(roadmap, low, high)
    for k in range(roadmap.num_lanes):
        p = roadmap.centerline(k)
        assert inside[k] == bool(((np.abs(p[:, 0]) <= 20.0) & (np.abs(p[:, 1]) <= 20.0)).any())
    assert areas_in(roadmap.areas, low, high).sum() == 5  # the junction and its four crosswalks
    assert not areas_in(roadmap.areas, low + 1e4, high + 1e4).any()
    with pytest.raises(MapError, match="no lane"):
        select(roadmap, np.zeros(roadmap.num_lanes, dtype=np.bool_), inside[:0])
