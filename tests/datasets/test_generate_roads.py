"""The shapes that generated roads are made of."""

import numpy as np
import pytest
from scipy.special import fresnel

from drive.datasets.generate import generate
from drive.datasets.generate.curves import blend, chain, connect, join, parallel
from drive.datasets.generate.roads import (
    Atlas,
    LaneEnd,
    Profile,
    Road,
    add_road,
    carriageway,
    lane_pose,
    winding,
)
from drive.datasets.generate.signals import at_onset
from drive.geometry import project_to_polyline, wrap_angle
from drive.roadmap import LaneKind, find_route
from drive.roadmap.index import GridIndex
from drive.scenario import SignalState


@pytest.mark.parametrize(("length", "radius"), [(60.0, 40.0), (120.0, 200.0), (250.0, 900.0)])
def test_clothoid_ends_where_the_fresnel_integrals_say(length: float, radius: float) -> None:
    c = chain([(length, 0.0, 1.0 / radius)])
    # Curvature s / a^2 with a^2 = radius * length: the curve is a * sqrt(pi) * (C, S)(s / (a sqrt(pi))).
    a = np.sqrt(radius * length)
    s, co = fresnel(length / (a * np.sqrt(np.pi)))
    assert c.points[-1] == pytest.approx(a * np.sqrt(np.pi) * np.array([co, s]), abs=1e-8)
    assert c.heading[-1] == pytest.approx(length / (2.0 * radius), abs=1e-12)


def test_arc_is_a_circle() -> None:
    c = chain([(50.0 * np.pi, 0.02, 0.02)])
    assert c.points[-1] == pytest.approx([0.0, 100.0], abs=1e-9)
    assert np.hypot(c.points[:, 0], c.points[:, 1] - 50.0) == pytest.approx(50.0, abs=1e-9)


def test_pose_between_samples_lies_on_the_curve_and_beyond_the_ends_on_its_tangents() -> None:
    c = chain([(100.0, 0.0, 0.03)], step=1.0)
    fine = chain([(100.0, 0.0, 0.03)], step=0.1)
    assert np.abs(c.pose(fine.station) - np.column_stack((fine.points, fine.heading))).max() < 1e-5
    assert c.pose(np.array([-5.0]))[0] == pytest.approx([-5.0, 0.0, 0.0])
    end, beyond = c.pose(np.array([100.0, 107.0]))
    assert beyond[:2] - end[:2] == pytest.approx(7.0 * np.array([np.cos(1.5), np.sin(1.5)]))


def test_parallel_of_an_arc_is_an_arc_of_the_other_radius() -> None:
    p = parallel(chain([(60.0, 0.02, 0.02)]), 3.5)
    assert p.length == pytest.approx(60.0 * 46.5 / 50.0, abs=1e-6)
    assert np.hypot(p.points[:, 0], p.points[:, 1] - 50.0) == pytest.approx(46.5, abs=3e-4)
    assert p.curvature == pytest.approx(1.0 / 46.5, abs=1e-9)


@pytest.mark.parametrize(
    "end",
    [
        (20.0, -16.0, -np.pi / 2),
        (14.0, 21.0, np.pi / 2 + 0.1),
        (32.0, 0.5, 0.12),
        (30.0, 3.0, 0.0),
        (18.0, -18.0, -1.2),
    ],
)
def test_connections_meet_both_poses_straight(end: tuple[float, float, float]) -> None:
    c = connect((0.0, 0.0, 0.0), end)
    assert c.points[0] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert c.points[-1] == pytest.approx(end[:2], abs=1e-4)
    assert wrap_angle(c.heading[-1] - end[2]) == pytest.approx(0.0, abs=1e-4)
    assert c.curvature[[0, -1]] == pytest.approx([0.0, 0.0], abs=1e-6)
    # The wheel is turned, not jerked; no tighter than a car can turn.
    assert np.abs(c.curvature).max() < 1.0 / 6.0
    assert np.abs(np.diff(c.curvature)).max() < 0.03


def test_join_keeps_lengths_and_ends() -> None:
    a = chain([(31.3, 0.0, 0.01)])
    b = chain([(20.0, 0.01, 0.01)]).moved((*a.points[-1], a.heading[-1]))
    c = join([a, b])
    assert c.length == pytest.approx(51.3)
    assert c.points[-1] == pytest.approx(b.points[-1], abs=1e-6)
    whole = chain([(31.3, 0.0, 0.01), (20.0, 0.01, 0.01)])
    assert np.abs(c.points - whole.pose(c.station)[:, :2]).max() < 1e-4


def test_blend_is_half_in_the_middle_and_flat_at_both_ends() -> None:
    assert blend([-1.0, 0.0, 0.5, 1.0, 2.0]) == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])
    assert blend([1e-3, 1.0 - 1e-3]) == pytest.approx([0.0, 1.0], abs=2e-8)


def test_profile_mirrored_is_the_profile_of_who_comes_the_other_way() -> None:
    p = Profile((10.0, 40.0, 60.0), (0.0, -3.0, 1.0))
    s = np.linspace(-5.0, 105.0, 23)
    assert p.mirrored(100.0)(100.0 - s) == pytest.approx(-p(s))


def test_winding_roads_never_turn_back_nor_bend_too_sharply() -> None:
    for seed in range(20):
        rng = np.random.Generator(np.random.PCG64(seed))
        c = winding(rng, 800.0, (40.0, 150.0), (35.0, 110.0), (5.0, 50.0))
        assert c.length >= 800.0
        assert np.abs(c.heading).max() < 1.25
        assert np.abs(c.curvature).max() <= 1.0 / 40.0 + 1e-9
        # Continuous curvature: over a metre it changes by no more than a clothoid does.
        assert np.abs(np.diff(c.curvature)).max() < 0.01


def test_offset_lane_has_the_curvature_of_its_own_circle() -> None:
    arc = chain([(80.0, 0.02, 0.02)])
    s = np.linspace(5.0, 75.0, 15)
    pose, curvature = lane_pose(arc, Profile.of(-4.0), s)
    assert curvature == pytest.approx(1.0 / 54.0, abs=1e-9)
    assert np.hypot(pose[:, 0], pose[:, 1] - 50.0) == pytest.approx(54.0, abs=1e-5)


def test_road_knows_neighbours_directions_and_sections() -> None:
    there = carriageway(2, 3.5, 14.0, oncoming=True)
    back = carriageway(1, 3.5, 14.0, forward=False, oncoming=True)
    lanes = (*there, *back)
    road = Road(chain([(300.0, 0.0, 0.001)]), lanes, cuts=(100.0, 200.0))
    atlas = Atlas()
    add_road(atlas, road, 0.0, 300.0, {"b1": LaneEnd(("elsewhere",))})
    m = atlas.build()
    assert m.num_lanes == 9
    at = m.lane_index
    assert m.left_lane[at("f1.1")] == at("f2.1")
    assert m.right_lane[at("f2.1")] == at("f1.1")
    assert m.left_opposite[at("f2.1")] == at("b1.1")
    assert m.left_opposite[at("b1.1")] == at("f2.1")
    assert m.left_lane[at("b1.1")] == -1
    assert list(m.successors(at("f1.0"))) == [at("f1.1")]
    assert list(m.successors(at("b1.1"))) == [at("b1.0")]
    assert m.group[at("f1.1")] == m.group[at("f2.1")] != m.group[at("b1.1")]
    assert find_route(m, at("f1.0"), [at("f2.2")]) is not None
    assert m.points[m.rows(at("b1.2")).start][0] > 250.0


@pytest.mark.parametrize(
    ("family", "seed"),
    [("lane_follow_curved", 3), ("dense_merge", 2), ("parked_vehicle", 1), ("signalised_intersection", 2)],
)
def test_map_lanes_continue_each_other(family: str, seed: int) -> None:
    m = generate(family, seed).roadmap
    joints = 0
    for lane in range(m.num_lanes):
        end = m.lane_start[lane + 1] - 1
        for nxt in m.successors(lane):
            begin = m.lane_start[nxt]
            joints += 1
            assert np.hypot(*(m.points[end] - m.points[begin])) < 1e-3
            assert abs(wrap_angle(m.heading[end] - m.heading[begin])) < 1e-3
            assert np.hypot(*(m.left[end] - m.left[begin])) < 0.01
            assert np.hypot(*(m.right[end] - m.right[begin])) < 0.01
            assert abs(m.curvature[end] - m.curvature[begin]) < 2e-3
    assert joints > 3
    driven = np.isin(m.kind, (LaneKind.LANE, LaneKind.CONNECTOR))
    rows = np.repeat(driven, np.diff(m.lane_start))
    width = np.hypot(*(m.left - m.right).T)[rows]
    assert width.min() > 2.85
    assert width.max() < 3.8
    assert np.abs(m.curvature).max() < 1.0 / 5.5
    # Stored headings are the curves' own; the polyline's directions agree with them to its step.
    for lane in range(m.num_lanes):
        r = m.rows(lane)
        p, h = m.points[r], m.heading[r]
        seg = np.diff(p, axis=0)
        middle = np.arctan2(seg[:, 1], seg[:, 0])
        assert np.abs(wrap_angle(middle - 0.5 * (h[1:] + wrap_angle(h[:-1] - h[1:]) + h[1:]))).max() < 0.01


def test_comfortable_speed_in_the_sharpest_bend_is_near_the_limit() -> None:
    for seed in range(6):
        s = generate("lane_follow_curved", seed)
        limit = s.roadmap.limit(s.route.lanes[0], 0.0)
        assert limit**2 * np.abs(s.roadmap.curvature).max() < 3.6


def test_acceleration_lane_ends_and_can_be_left_before() -> None:
    s = next(x for x in (generate("dense_merge", k) for k in range(9)) if "from_ramp" in x.tags)
    m = s.roadmap
    last = max((i for i, n in enumerate(m.lane_ids) if n.startswith("r1")), key=lambda i: m.lane_ids[i])
    assert len(m.successors(last)) == 0
    assert m.left_change[last]
    assert m.length[last] > 150.0
    assert s.expert is not None
    lane, _, _ = GridIndex.of(m).nearest_lane(s.expert.states[-1, :2], s.expert.states[-1, 2])
    assert not m.lane_ids[lane].startswith("r1")
    assert s.route.commands[0][1] == "lane_left"
    _, offset, _ = project_to_polyline(s.expert.states[[-1], :2], s.route.line)
    assert abs(offset[0]) < 2.0


def test_lights_change_at_their_times_and_never_let_both_roads_go() -> None:
    p = at_onset([("main", 20.0), ("side", 15.0)], 3.0, 2.0, "side", 4.0, "green")
    assert p.cycle == pytest.approx(45.0)
    t = np.array([-1.1, 3.9, 4.0, 18.9, 19.0, 21.9, 22.0, 24.0, 44.0])
    side, main = p.states("side", t), p.states("main", t)
    g, y, r = SignalState.GREEN, SignalState.YELLOW, SignalState.RED
    assert side.tolist() == [r, r, g, g, y, y, r, r, r]
    assert main.tolist() == [g, r, r, r, r, r, r, g, y]
    fine = np.arange(-60.0, 60.0, 0.05)
    assert ((p.states("side", fine) == r) | (p.states("main", fine) == r)).all()
    assert np.asarray(p.greens("side", 0.0, 60.0)) == pytest.approx(np.array([(4.0, 19.0), (49.0, 64.0)]))
