"""The vector sensor's tools: the cutter of lines and the follower of the way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drive.eval.check.scenes import straight_map
from drive.nn.scene import SceneSizes, empty_scene
from drive.planner import PlannerSpec
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.scenario import Route
from drive.sim.road.follow import Follower
from drive.sim.sensors.pieces import cut_lines, outline


def test_lines_are_cut_evenly():
    station = np.array([0.0, 3.0, 10.0, 0.0, 45.0, 0.0, 1.0])
    row, share, owner = cut_lines(station, np.array([0, 3, 5, 7]), np.array([0, 1, 2]), 20.0, 3)
    np.testing.assert_array_equal(owner, [0, 1, 1, 2])
    at = station[row] + share * (station[row + 1] - station[row])
    np.testing.assert_allclose(at, [[0, 5, 10], [0, 11.25, 22.5], [22.5, 33.75, 45], [0, 0.5, 1.0]])


def test_the_outline_of_a_road_with_a_hole():
    """A ring road: the outer ring runs counter-clockwise, the inner one clockwise, both closed."""
    angle = np.linspace(0.0, 2.0 * np.pi, 73)
    unit = np.stack((np.cos(angle), np.sin(angle)), -1)
    builder = RoadMapBuilder()
    builder.add(LaneSpec("ring", 20.0 * unit, 24.0 * unit, speed_limit=8.0))
    rings = outline(builder.build())
    area = [0.5 * np.sum(r[:-1, 0] * r[1:, 1] - r[:-1, 1] * r[1:, 0]) for r in rings]
    # Polygons of 72 corners inscribed in circles.
    per_square = 36.0 * math.sin(2.0 * math.pi / 72.0)
    assert sorted(area) == pytest.approx([-per_square * 400.0, per_square * 576.0], rel=5e-3)
    assert all((r[0] == r[-1]).all() for r in rings)


def test_a_follower_renews_its_way_when_it_is_left():
    roadmap = straight_map()
    follower = Follower(roadmap, Route())
    frame, state = follower.follow(np.array([50.0, 0.0, 0.0, 10.0, 0, 0, 0]), 0.0)
    assert state[[0, 3]] == pytest.approx([frame.nearest(50.0, 0.0), 0.0], abs=0.3)
    assert follower.follow(np.array([51.0, 0.2, 0.0, 10.0, 0, 0, 0]), 0.1)[0] is frame
    # 9 m beside the way: a new one where there is a road again, the old one as long as there is none.
    again, _ = follower.follow(np.array([52.0, 9.0, 0.0, 10.0, 0, 0, 0]), 0.2)
    assert again is frame
    again, state = follower.follow(np.array([90.0, 9.0, 0.0, 10.0, 0, 0, 0]), 1.0)
    assert again is not frame
    assert abs(state[3]) < 9.0
    assert Follower(roadmap, Route()).follow(np.array([1e5, 1e5, 0.0, 0, 0, 0, 0]), 0.0) is None


def test_empty_scenes_have_nothing_valid():
    assert not any(x.any() for x in empty_scene(SceneSizes()))
    assert PlannerSpec("x", history=1.5).history >= (SceneSizes().history - 1) * SceneSizes().history_dt
