"""Parts of a road map keep their geometry and the graph between the lanes that are left."""

from __future__ import annotations

import numpy as np
import pytest

from drive.datasets.source import load
from drive.errors import MapError
from drive.roadmap.crop import areas_in, crop, lanes_in


def test_everything_kept_is_the_same_map() -> None:
    roadmap = load("gen/signalised_intersection/1").roadmap
    every = np.ones(roadmap.num_lanes, dtype=np.bool_)
    assert (
        crop(roadmap, every, np.ones(len(roadmap.areas), dtype=np.bool_)).content_hash == roadmap.content_hash
    )


def test_half_of_the_lanes() -> None:
    roadmap = load("gen/signalised_intersection/1").roadmap
    keep = np.arange(roadmap.num_lanes) % 2 == 0
    part = crop(roadmap, keep, np.zeros(len(roadmap.areas), dtype=np.bool_), (10.0, -5.0))
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
        crop(roadmap, np.zeros(roadmap.num_lanes, dtype=np.bool_), inside[:0])
