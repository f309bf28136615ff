"""The vector sensor in a turned and in a mirrored world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.geometry import rotate, wrap_angle
from drive.nn.scene import SceneArrays
from drive.roadmap.model import Polygons

MOMENTS = SimpleNamespace(**run_path(str(Path(__file__).with_name("sensor_moments.py"))))
sense_all = MOMENTS.sense_all
assert_scenes = MOMENTS.assert_scenes
SCENES = MOMENTS.SCENES


@pytest.fixture(scope="module")
def drives(watched):
    return MOMENTS.drives_of(watched)


def turned_map(roadmap, angle, shift):
    def move(points):
        return rotate(points, angle) + shift

    areas = Polygons(move(roadmap.areas.points), roadmap.areas.start, roadmap.areas.kind)
    lines = {name: move(getattr(roadmap, name)) for name in ("points", "left", "right")}
    return replace(roadmap, **lines, heading=np.asarray(wrap_angle(roadmap.heading + angle)), areas=areas)


def turned_tracks(rows, angle, shift):
    out = rows.copy()
    out[..., :2] = rotate(rows[..., :2], angle) + shift
    out[..., 2] = wrap_angle(rows[..., 2] + angle)
    out[..., 3:5] = rotate(rows[..., 3:5], angle)
    return out


def turned_states(states, angle, shift):
    out = states.copy()
    out[..., :2] = rotate(states[..., :2], angle) + shift
    out[..., 2] = wrap_angle(states[..., 2] + angle)
    return out


def turned(o, angle, shift):
    return replace(
        o,
        ego=turned_states(o.ego, angle, shift),
        ego_history=turned_states(o.ego_history, angle, shift),
        agents=turned_tracks(o.agents, angle, shift),
        agent_history=turned_tracks(o.agent_history, angle, shift),
    )


ROOM = slice(6, 8)
"""Columns of the route's points that are measured on a grid which lies along the axes, to a millimetre."""


@pytest.mark.parametrize("ref", SCENES)
@pytest.mark.parametrize(
    ("angle", "shift"), [(0.0, (300.0, -700.0)), (1.2, (0.0, 0.0)), (-2.9, (50.0, 80.0))]
)
def test_a_turned_world_looks_the_same(drives, ref, angle, shift):
    task, observations = drives[ref]
    there = replace(
        task,
        environment=turned_map(task.roadmap, angle, shift),
        route=replace(task.route, line=rotate(task.route.line, angle) + shift),
    )
    ours = sense_all(task, observations)
    theirs = sense_all(there, [turned(o, angle, np.array(shift)) for o in observations])
    for a, b in zip(ours, theirs, strict=True):
        assert_rooms(a.route[:, ROOM], b.route[:, ROOM])
        a.route[:, ROOM] = b.route[:, ROOM] = 0.0
        # The union of lanes and areas rounds to some tenths of a millimetre.
        np.testing.assert_allclose(a.edges, b.edges, atol=1e-3)
        assert_scenes(a, b, skip=("edges",))


def assert_rooms(a, b):
    """Equal, but where an edge begins or ends right beside the line."""
    gap = np.abs(a - b)
    assert np.quantile(gap, 0.9) < 5e-3
    assert np.median(gap) < 2e-3


def mirrored_map(m):
    flip = np.array([1.0, -1.0])
    areas = Polygons(m.areas.points * flip, m.areas.start, m.areas.kind)
    return replace(
        m, points=m.points * flip, left=m.right * flip, right=m.left * flip, heading=-m.heading,
        curvature=-m.curvature, left_lane=m.right_lane, right_lane=m.left_lane, left_change=m.right_change,
        right_change=m.left_change, left_marking=m.right_marking, right_marking=m.left_marking,
        left_opposite=np.full_like(m.left_opposite, -1), right_opposite=np.zeros(0, dtype=np.int32),
        areas=areas,
    )  # fmt: skip


@pytest.mark.parametrize("ref", SCENES)
def test_a_mirrored_world_is_mirrored(drives, ref):
    task, observations = drives[ref]
    flip = np.array([1.0, -1.0])
    track = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
    state = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
    there = replace(
        task,
        environment=mirrored_map(task.roadmap),
        route=replace(task.route, line=task.route.line * flip),
    )
    theirs = sense_all(
        there,
        [
            replace(
                o, ego=o.ego * state, ego_history=o.ego_history * state, agents=o.agents * track,
                agent_history=o.agent_history * track,
            )
            for o in observations
        ],
    )  # fmt: skip
    for a, b in zip(sense_all(task, observations), theirs, strict=True):
        expected = SceneArrays(*(x.copy() for x in a))
        expected.ego[[2, 3, 5, 6]] *= -1.0
        expected.agents[..., [1, 3, 5]] *= -1.0
        expected.lanes[..., [1, 3]] *= -1.0
        expected.route[..., [1, 3, 4]] *= -1.0
        expected.route[..., [6, 7]] = b.route[..., [6, 7]]
        assert_rooms(a.route[:, [7, 6]], b.route[:, ROOM])
        assert_scenes(expected, b, skip=("edges",))
        # Edges run the other way about, and of two equally far ones the other may come first.
        edges = a.edges[a.edges_valid][:, ::-1] * [1.0, -1.0]
        order = [np.lexsort(np.round(e[:, 1].T, 2)) for e in (edges, b.edges[b.edges_valid])]
        np.testing.assert_allclose(edges[order[0]], b.edges[b.edges_valid][order[1]], atol=1e-3)
