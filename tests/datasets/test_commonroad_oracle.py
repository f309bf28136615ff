"""The reader against commonroad-io, called live on every real file that it opens."""

from __future__ import annotations

import csv
import logging
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import shapely

from drive.datasets.commonroad import SOURCE, build_roadmap, read_commonroad, signal_states
from drive.datasets.commonroad.roadmap import speed_limit
from drive.geometry import box_corners, project_to_polyline, wrap_angle
from drive.roadmap import AreaKind, DrivableArea
from drive.roadmap.index import GridIndex
from drive.vehicle import rear_to_center

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FOLDER = DATA / "commonroad"
FILES = sorted(FOLDER.rglob("*.xml")) if FOLDER.is_dir() else []
NO_SCENARIO = (".net.xml", ".rou.xml", ".solution.xml")
SCENARIOS = [f for f in FILES if not f.name.endswith(NO_SCENARIO) and not f.name.startswith("solution_")]
ORACLE_REFUSES = "DEU_Frankfurt-34_11_I-1.cr.xml"
# Fixtures in which a road is missing; everything else must give a road map.
NO_MAP = ("test_reading_obstacles.xml", "test_reading_planning_problem.xml")

pytestmark = pytest.mark.skipif(not SCENARIOS, reason="the CommonRoad files are not in ../shared/data")


def ids(path: Path) -> str:
    return path.name


@cache
def oracle(path: Path):
    """The file as commonroad-io reads it: (scenario, planning problems)."""
    reader = pytest.importorskip("commonroad.common.file_reader")
    logging.getLogger("commonroad").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reader.CommonRoadFileReader(str(path)).open()


def counts_of(row: str) -> dict[str, int]:
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)(?: |$)", row)}


def published_counts() -> dict[str, dict[str, int]]:
    with open(DATA / "COUNTS.csv", newline="", encoding="utf-8") as file:
        rows = [
            r for r in csv.DictReader(file) if r["file"].startswith("commonroad/") and r["status"] == "ok"
        ]
    return {Path(r["file"]).name: counts_of(r["counts"]) for r in rows if "lanelets=" in r["counts"]}


def test_the_oracle_opens_all_but_one_file():
    opened = set(published_counts())
    assert {f.name for f in SCENARIOS} - opened == {ORACLE_REFUSES}
    assert len(opened) == 52


@pytest.mark.parametrize("path", [f for f in SCENARIOS if f.name != ORACLE_REFUSES], ids=ids)
def test_counts_positions_and_limits_equal_the_oracle(path: Path):
    scenario, problems = oracle(path)
    ours = read_commonroad(path)
    published = published_counts()[path.name]

    # Lanelets, road users, lights, problems: what is left out is told, one line each.
    unused = [s for s in ours.skipped if s.startswith("obstacle ")]
    dynamic = [o for o in ours.obstacles if not o.static]
    assert len(ours.lanelets) == len(scenario.lanelet_network.lanelets) == published["lanelets"]
    assert len(dynamic) + len(unused) == len(scenario.dynamic_obstacles) == published["agents"]
    assert (
        len(ours.obstacles) - len(dynamic) == len(scenario.static_obstacles) == published["static_obstacles"]
    )
    assert len(ours.lights) == len(scenario.lanelet_network.traffic_lights) == published["traffic_lights"]
    assert len(ours.problems) == len(problems.planning_problem_dict) == published["planning_problems"]
    assert len(ours.intersections) == len(scenario.lanelet_network.intersections) == published["inter"]
    assert ours.dt == scenario.dt

    # Time steps and states of every trajectory.
    longest = 0
    for obstacle in dynamic:
        theirs = scenario.obstacle_by_id(int(obstacle.id))
        states = {theirs.initial_state.time_step: theirs.initial_state}
        states |= {s.time_step: s for s in theirs.prediction.trajectory.state_list}
        assert obstacle.steps.tolist() == sorted(states)
        longest = max(longest, len(states))
        shape = theirs.obstacle_shape
        if hasattr(shape, "length"):
            np.testing.assert_allclose(obstacle.size, (shape.length, shape.width), atol=1e-9)
        for k in (0, len(states) // 2, len(states) - 1):
            state = states[int(obstacle.steps[k])]
            if not isinstance(getattr(state, "position", None), np.ndarray):
                continue  # an uncertain position, tested by hand below
            np.testing.assert_allclose(obstacle.states[k, :2], state.position, atol=1e-9)
            assert abs(wrap_angle(obstacle.states[k, 2] - state.orientation)) < 1e-9
            if getattr(state, "velocity", None) is not None and not hasattr(state, "velocity_y"):
                speed = obstacle.states[k, 3:] @ [np.cos(state.orientation), np.sin(state.orientation)]
                assert speed == pytest.approx(state.velocity, abs=1e-9)
    if dynamic and not unused:
        assert longest == published["timesteps"]

    # The lanes' centres, and the graph.
    network = scenario.lanelet_network
    if path.name in NO_MAP:
        return
    origin = (10.0, -20.0)
    roadmap, _ = build_roadmap(ours, origin)
    crosswalks = len(roadmap.areas.of_kind(AreaKind.CROSSWALK))
    assert roadmap.num_lanes + crosswalks == len(network.lanelets)
    for lane, name in enumerate(roadmap.lane_ids):
        theirs = network.find_lanelet_by_id(int(name))
        center = roadmap.centerline(lane) + origin
        if len(center) == len(theirs.center_vertices):  # vertices on top of each other are merged
            np.testing.assert_allclose(center, theirs.center_vertices, atol=1e-9)
        np.testing.assert_allclose(center[[0, -1]], theirs.center_vertices[[0, -1]], atol=1e-2)
        linked = {int(roadmap.lane_ids[s]) for s in roadmap.successors(lane)}
        on_map = {s for s in theirs.successor if str(s) in roadmap.lane_ids}
        assert on_map <= linked
        same = theirs.adj_left if theirs.adj_left_same_direction else None
        left = int(roadmap.left_lane[lane])
        assert (int(roadmap.lane_ids[left]) if left >= 0 else None) in (same, None)


@pytest.mark.parametrize(
    "path",
    [f for f in SCENARIOS if f.name[:3] in ("USA", "DEU", "ZAM", "ESP", "C-D") and f.name != ORACLE_REFUSES],
    ids=ids,
)
def test_speed_limits_equal_the_oracles_interpreter(path: Path):
    interpreter = pytest.importorskip("commonroad.scenario.traffic_sign_interpreter")
    signs = pytest.importorskip("commonroad.scenario.traffic_sign")
    scenario, _ = oracle(path)
    ours = read_commonroad(path)
    country = signs.SupportedTrafficSignCountry(ours.country)
    rules = interpreter.TrafficSignInterpreter(country, scenario.lanelet_network)
    for lane in ours.lanelets:
        assert speed_limit(ours, lane) == rules.speed_limit(frozenset({int(lane.id)}))


@pytest.mark.parametrize(
    "path",
    [f for f in SCENARIOS if b"<trafficLight " in f.read_bytes() and f.name != ORACLE_REFUSES],
    ids=ids,
)
def test_light_colours_equal_the_oracle_at_every_step(path: Path):
    ours = read_commonroad(path)
    assert ours.lights
    scenario, _ = oracle(path)
    for name, light in ours.lights.items():
        theirs = scenario.lanelet_network.find_traffic_light_by_id(int(name))
        for step in range(0, 1200, 7):
            assert light.color(step) == theirs.get_state_at_time_step(step).value


@pytest.mark.parametrize("path", [f for f in SCENARIOS if f.name != ORACLE_REFUSES], ids=ids)
def test_initial_states_and_goals_equal_the_oracle(path: Path):
    _, problems = oracle(path)
    for problem in read_commonroad(path).problems:
        theirs = problems.planning_problem_dict[int(problem.id)]
        start = theirs.initial_state
        np.testing.assert_allclose((problem.x, problem.y), start.position, atol=1e-9)
        assert (problem.heading, problem.speed, problem.step) == (
            start.orientation,
            start.velocity,
            start.time_step,
        )
        assert len(problem.goals) == len(theirs.goal.state_list)
        for k, (goal, state) in enumerate(zip(problem.goals, theirs.goal.state_list, strict=True)):
            assert goal.time == (state.time_step.start, state.time_step.end)
            if getattr(state, "velocity", None) is not None:
                assert goal.speed == (state.velocity.start, state.velocity.end)
            lanelets = (theirs.goal.lanelets_of_goal_position or {}).get(k, [])
            assert [int(i) for i in goal.lanelets] == list(lanelets)
            if goal.polygon is not None:
                ring, region = shapely.Polygon(goal.polygon), state.position
                shape = region.shapely_object
                if hasattr(region, "radius"):
                    # Its circle as a polygon has half the radius that it read; the radius itself is right.
                    away = np.hypot(*(goal.polygon - goal.center).T)
                    np.testing.assert_allclose(away, region.radius, atol=1e-9)
                else:
                    assert ring.symmetric_difference(shape).area < 1e-6 * shape.area
                np.testing.assert_allclose(goal.center, shapely.get_coordinates(shape.centroid)[0], atol=1e-6)


def test_interactive_file_with_repeated_incoming_ids_is_read():
    path = next(f for f in SCENARIOS if f.name == ORACLE_REFUSES)
    with pytest.raises(ValueError, match="ID 0 is already used"):
        oracle(path)
    ours = read_commonroad(path)
    assert len(ours.lanelets) == 19
    # The traffic is SUMO's: the file holds initial states only, and every one is accounted for.
    assert len(ours.obstacles) == 0
    assert len(ours.skipped) == path.read_text().count("<dynamicObstacle ")
    scenario = SOURCE.load(str(path))
    assert scenario.family == "commonroad/interactive"
    assert scenario.duration == pytest.approx(20.0)
    # UTM coordinates of 5.5e6 m stay exact, since they are relative to a float64 origin.
    assert scenario.origin == (469000.0, 5545000.0)
    assert scenario.tracks.states[0, 0, :2] + scenario.origin == pytest.approx(
        (468632.1998, 5544562.3802), abs=1e-9
    )


def test_motorway_recording_of_a_fifth_of_a_second_is_sampled_every_tenth():
    scenario = SOURCE.load(f"{FOLDER / 'recorded' / 'DEU_A9-3_1_T-1.xml'}#@3536")
    assert scenario.origin == (0.0, -6000.0)
    assert scenario.duration == pytest.approx(6.0)
    track = scenario.tracks.states[scenario.ego]
    # From the file: centres of the position rectangles and middles of the intervals at the first two steps.
    first, second = (351.6643758281, -5866.331045464546), (357.0545917691177, -5866.296812159101)
    np.testing.assert_allclose(track[0, :2] + scenario.origin, first, atol=1e-9)
    np.testing.assert_allclose(track[1, :2] + scenario.origin, np.mean([first, second], axis=0), atol=1e-9)
    np.testing.assert_allclose(track[2, :2] + scenario.origin, second, atol=1e-9)
    assert track[0, 2] == pytest.approx(0.0179)
    assert track[1, 2] == pytest.approx(0.018275)
    assert np.hypot(*track[0, 3:]) == pytest.approx(27.2506, abs=1e-4)
    assert scenario.expert is not None
    assert scenario.expert.source == "human"


# Two corners of one hand-made start lie behind the map's beginning; the other is a reader's fixture.
STARTS_OUTSIDE = {"DEU_IV21-2_1_T-1.xml#7": 2, "test_reading_all.xml#1000": 3}


@pytest.mark.parametrize("ego", ["planned", "recorded"])
def test_every_usable_file_gives_a_scenario_that_starts_on_its_road(ego: str):
    listing = SOURCE.listing(str(FOLDER), ego)
    refs, unusable = listing.refs, {name for name, _ in listing.skipped}
    assert len({r.partition("#")[0] for r in refs}) + len(unusable) == len(FILES)
    if ego == "planned":
        assert {Path(n).name for n in unusable if "fixtures" in n} == {
            *NO_MAP,
            "test_reading_intersection_traffic_sign.xml",  # its problem starts 100 m off its roads
        }
        assert len(refs) == 50
    outside = {}
    for ref in refs:
        scenario = SOURCE.load(ref)
        vehicle, roadmap = scenario.vehicle, scenario.roadmap
        center = rear_to_center(scenario.initial, vehicle.rear_axle_to_center)
        corners = box_corners(center, scenario.initial[2], vehicle.length, vehicle.width)
        count = 4 - int(DrivableArea.of(roadmap).contains(corners).sum())
        if count:
            outside[scenario.id] = count
        assert GridIndex.of(roadmap).nearest_lane(center, float(scenario.initial[2])) is not None
        assert scenario.route.known
        s, d, _ = project_to_polyline(center[None], scenario.route.line)
        assert abs(d[0]) < 1.5
        assert -5.0 <= s[0] <= np.hypot(*np.diff(scenario.route.line, axis=0).T).sum()
        if ego == "recorded":
            assert scenario.tracks.valid[scenario.ego].all()
            assert scenario.expert is not None
            assert np.abs(np.diff(scenario.expert.states[:, :2], axis=0)).max() < 5.0
    assert outside == (STARTS_OUTSIDE if ego == "planned" else {})


def test_signals_of_lankershim_stand_where_the_intersection_sends_them():
    path = FOLDER / "recorded" / "USA_Lanker-1_4_T-1.xml"
    ours = read_commonroad(path)
    roadmap, notes = build_roadmap(ours, (0.0, 0.0))
    assert notes == ()

    def signal(lane: str) -> tuple[str | None, float]:
        i = roadmap.lane_index(lane)
        s = int(roadmap.signal[i])
        return (roadmap.signal_ids[s] if s >= 0 else None), float(roadmap.stop_station[i])

    # Read off the file: 3561 carries the lights 3772 (left) and 3773 (straightRight); its one successor,
    # 3671, is among the intersection's left successors. 3570 leads to 3632 (straight) and 3678 (right),
    # where the arrow 3774 joins 3773. 3473 carries a light for all directions.
    assert signal("3671") == ("3772", 0.0)
    assert signal("3632") == ("3773", 0.0)
    assert signal("3678") == ("3774|3773", 0.0)
    assert signal("3561")[0] is None
    assert signal("3473")[0] == "3775"
    assert signal("3473")[1] == pytest.approx(float(roadmap.length[roadmap.lane_index("3473")]))
    assert roadmap.intersection[roadmap.lane_index("3671")]
    assert not roadmap.intersection[roadmap.lane_index("3561")]

    # 3774: from 730 on green for 220 steps, yellow 40, inactive 740. 3773: from 370 on green 310, yellow 40,
    # red 650. While the arrow is inactive, the main light decides.
    joined = roadmap.signal_ids.index("3774|3773")
    states = signal_states(ours, roadmap, np.array([730.0, 949.0, 955.0, 1371.0, 1690.0, 700.0]))
    assert states[joined].tolist() == [1, 1, 2, 1, 2, 2]
    assert signal_states(ours, roadmap, np.array([0.0, 1080.0, 1369.0]))[joined].tolist() == [3, 3, 3]
