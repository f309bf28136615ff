"""A part of a road map has the same lanes, links and areas as the whole, as far as it goes."""

from __future__ import annotations

import numpy as np
import pytest

from drive.errors import MapError
from drive.roadmap import AreaKind, LaneSpec, RoadMap, RoadMapBuilder, crop


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
