"""Writing CommonRoad files: what our reader and CommonRoad's own find in them is what was written."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely import Polygon

from drive.datasets.commonroad import SOURCE
from drive.datasets.commonroad.write import benchmark_id, commonroad_xml
from drive.datasets.source import load
from drive.errors import InputError
from drive.roadmap import AreaKind, LaneKind
from drive.scenario import Scenario, SignalState
from drive.vehicle import AgentKind, rear_to_center

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "commonroad"
FILES = sorted(p for p in DATA.rglob("*.xml") if SOURCE.matches(str(p)))[::9] if DATA.is_dir() else []
SCENES = (
    "gen/signalised_intersection/3",
    "gen/occluded_pedestrian/2",
    "gen/unprotected_left/2",
    "gen/cut_in/17",
)


def written(scenario: Scenario, folder: Path) -> tuple[Path, Scenario]:
    (path,) = SOURCE.write([scenario], folder)
    return path, SOURCE.load(str(path))


@pytest.fixture(scope="module", params=SCENES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    scenario = load(request.param)
    path, back = written(scenario, tmp_path_factory.mktemp("cr"))
    return scenario, back, path


def test_lanes_come_back(pair) -> None:
    a, b = (s.roadmap for s in pair[:2])
    assert a.num_lanes == b.num_lanes
    np.testing.assert_array_equal(a.lane_start, b.lane_start)
    for name in ("left", "right"):
        mine, theirs = (getattr(s.roadmap, name) + np.asarray(s.origin) for s in pair[:2])
        np.testing.assert_allclose(theirs, mine, atol=1e-9)
    for name in ("successor", "successor_start", "left_lane", "right_lane", "intersection", "speed_limit"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for side in ("left", "right"):
        near = getattr(a, f"{side}_lane") >= 0
        change = getattr(b, f"{side}_change")
        np.testing.assert_array_equal(getattr(a, f"{side}_change")[near], change[near])
    # The format knows connectors only as lanes inside of intersections.
    inside = a.intersection & np.isin(a.kind, (LaneKind.LANE, LaneKind.CONNECTOR))
    np.testing.assert_array_equal(np.where(inside, LaneKind.CONNECTOR, a.kind), b.kind)


def test_areas_come_back(pair) -> None:
    a, b = (s.roadmap.areas for s in pair[:2])
    for kind in (AreaKind.CROSSWALK, AreaKind.OCCLUDER):
        mine, theirs = a.of_kind(kind), b.of_kind(kind)
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            shift = np.asarray(pair[1].origin) - np.asarray(pair[0].origin)
            assert Polygon(one).symmetric_difference(Polygon(other + shift)).area < 1e-6


def test_signals_come_back(pair) -> None:
    a, b, _ = pair
    assert len(a.signals) == len(b.signals)
    for lane in np.flatnonzero(a.roadmap.signal >= 0):
        mine, theirs = (s.signals[s.roadmap.signal[lane]] for s in (a, b))
        n = min(len(mine), len(theirs))
        np.testing.assert_array_equal(mine[:n], theirs[:n])
        stop = np.clip(a.roadmap.stop_station[lane], 0.0, a.roadmap.length[lane])
        assert b.roadmap.stop_station[lane] == pytest.approx(stop, abs=0.3)


def test_road_users_come_back(pair) -> None:
    a, b, _ = pair
    others = [i for i in range(a.tracks.num_agents) if i != a.ego and a.tracks.valid[i].sum() > 1]
    n = min(a.tracks.num_steps, b.tracks.num_steps)
    row = 1  # the ego is the first one
    shift = np.asarray(a.origin) - np.asarray(b.origin)
    for i in others:
        steps = np.flatnonzero(a.tracks.valid[i])
        if (np.diff(steps) != 1).any():
            pytest.fail("the generator's tracks have no gaps")
        assert b.tracks.kind[row] == a.tracks.kind[i]
        np.testing.assert_allclose(b.tracks.size[row, :2], a.tracks.size[i, :2])
        if a.tracks.kind[i] != AgentKind.STATIC:
            np.testing.assert_array_equal(b.tracks.valid[row, :n], a.tracks.valid[i, :n])
        seen = steps[steps < n]
        theirs = b.tracks.states[row, seen]
        mine = a.tracks.states[i, seen]
        np.testing.assert_allclose(theirs[:, :2], mine[:, :2] + shift, atol=1e-9)
        np.testing.assert_allclose(np.cos(theirs[:, 2] - mine[:, 2]), 1.0, atol=1e-12)
        np.testing.assert_allclose(theirs[1:, 3:], mine[1:, 3:], atol=1e-9)
        row += 1
    assert row == b.tracks.num_agents


def test_the_planning_problem_is_the_egos_start_and_goal(pair) -> None:
    a, b, _ = pair
    centres = [
        rear_to_center(s.initial, s.vehicle.rear_axle_to_center) + np.asarray(s.origin) for s in (a, b)
    ]
    np.testing.assert_allclose(centres[1], centres[0], atol=1e-9)
    np.testing.assert_allclose(b.initial[2:5], a.initial[2:5], atol=1e-12)
    assert b.route.goal.time is not None
    assert b.route.goal.time[1] <= a.duration + 1e-9
    if a.route.goal.position is not None:
        goal = a.route.goal.position + np.asarray(a.origin) - np.asarray(b.origin)
        np.testing.assert_allclose(b.route.goal.position, goal, atol=1e-9)
    lanes = set(a.route.lanes) & set(b.route.lanes)
    assert b.route.lanes[0] == a.route.lanes[0]
    assert len(lanes) >= min(len(a.route.lanes), len(b.route.lanes)) - 2


def test_commonroads_own_tools_open_it(pair) -> None:
    reader = pytest.importorskip("commonroad.common.file_reader")
    logging.getLogger("commonroad").setLevel(logging.CRITICAL)
    a, _, path = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario, problems = reader.CommonRoadFileReader(str(path)).open()
    m = a.roadmap
    crosswalks = len(m.areas.of_kind(AreaKind.CROSSWALK))
    assert len(scenario.lanelet_network.lanelets) == m.num_lanes + crosswalks
    assert len(scenario.lanelet_network.traffic_lights) == len(m.signal_ids)
    assert scenario.dt == a.dt
    (problem,) = problems.planning_problem_dict.values()
    centre = rear_to_center(a.initial, a.vehicle.rear_axle_to_center) + np.asarray(a.origin)
    np.testing.assert_allclose(problem.initial_state.position, centre)
    obstacles = [*scenario.static_obstacles, *scenario.dynamic_obstacles]
    assert len(obstacles) >= sum(
        a.tracks.valid[i].sum() > 1 for i in range(a.tracks.num_agents) if i != a.ego
    )
    moving = next(i for i in range(a.tracks.num_agents) if i != a.ego and a.tracks.speed[i].max() > 1.0)
    k = int(np.flatnonzero(a.tracks.valid[moving])[5])
    places = [o.state_at_time(k).position for o in obstacles if o.state_at_time(k) is not None]
    mine = a.tracks.states[moving, k, :2] + np.asarray(a.origin)
    assert min(np.hypot(*(np.asarray(place) - mine)) for place in places) < 1e-9


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_the_fields_own_files_come_back(file: Path, tmp_path: Path) -> None:
    refs = SOURCE.ids(str(file)) if not SOURCE.listing(str(file)).skipped else []
    if not refs:
        pytest.skip("the file has no planning problem that can be driven")
    a = SOURCE.load(refs[0])
    _, b = written(a, tmp_path)
    np.testing.assert_allclose(b.roadmap.points, a.roadmap.points, atol=1e-7)
    np.testing.assert_array_equal(b.roadmap.successor, a.roadmap.successor)
    np.testing.assert_array_equal(b.roadmap.left_change, a.roadmap.left_change)
    np.testing.assert_allclose(b.initial, a.initial, atol=1e-7)


def test_a_track_with_gaps_becomes_several_obstacles(tmp_path: Path) -> None:
    a = load("gen/cut_in/17")
    moving = next(i for i in range(a.tracks.num_agents) if i != a.ego and a.tracks.valid[i].all())
    valid = a.tracks.valid.copy()
    valid[moving, 40:50] = False
    valid[moving, 60:] = False
    valid[moving, 70] = True  # one sample alone has no place in the format
    states = np.where(valid[..., None], a.tracks.states, 0.0)
    _, b = written(a.with_(tracks=replace(a.tracks, valid=valid, states=states)), tmp_path)
    assert b.tracks.num_agents == a.tracks.num_agents + 1
    spans = [tuple(np.flatnonzero(v)[[0, -1]]) for v in b.tracks.valid[1:]]
    assert {(0, 39), (50, 59)} <= set(spans)


def test_unknown_signals_are_inactive_and_terrain_is_refused() -> None:
    a = load("gen/signalised_intersection/3")
    dark = a.with_(signals=np.full_like(a.signals, SignalState.UNKNOWN))
    text = commonroad_xml(dark)
    assert "<color>inactive</color>" in text
    assert "<color>red</color>" not in text
    with pytest.raises(InputError, match="this is terrain"):
        commonroad_xml(load("gen/lunar_hills/1"))


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [("gen/cut_in/17", "ZAM_GenCutIn17-1_1_T-1"), ('ä<&">', "ZAM_Scene-1_1_T-1")],
)
def test_ids_have_commonroads_form(name: str, benchmark: str) -> None:
    assert benchmark_id(name) == benchmark
