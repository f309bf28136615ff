"""What the written logs and maps hold: looked at with sqlite3 and GDAL, not with our reader."""

from __future__ import annotations

import json
import pickle
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely

pytest.importorskip("pyogrio", reason="the extra nuplan is not installed")

import pyogrio.raw as gdal
from pyogrio import list_layers

from drive.datasets.nuplan import SOURCE, Written, write_nuplan
from drive.datasets.nuplan.city import build_city, load_city
from drive.datasets.nuplan.scenario import read_scenario
from drive.datasets.source import load
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.scenario import Route, Scenario

FILES = SimpleNamespace(**run_path(str(Path(__file__).with_name("nuplan_files.py"))))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Scenario], list[Written], Path]:
    folder = tmp_path_factory.mktemp("nuplan")
    scenarios = [load(f"gen/{name}/1") for name in ("signalised_intersection", "cut_in", "roundabout")]
    return scenarios, write_nuplan(scenarios, folder), folder


def rows(log: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(log)) as db:
        return db.execute(query).fetchall()


def layer(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    meta, fids, wkb, data = gdal.read(FILES.map_path(folder), layer=name, return_fids=True)
    return fids, shapely.from_wkb(wkb), dict(zip(meta["fields"].tolist(), data, strict=True))


def test_the_log_has_what_the_devkit_looks_for(made: Any) -> None:
    scenarios, written, _ = made
    for scenario, one in zip(scenarios, written, strict=True):
        scenes = rows(one.log, "SELECT name FROM scene ORDER BY name")
        assert len(scenes) == 5
        # The scenario's frames lie in the third: two scenes before, two after.
        third = rows(one.log, "SELECT token FROM scene ORDER BY name LIMIT 1 OFFSET 2")[0][0]
        inside = rows(one.log, f"SELECT COUNT(*) FROM lidar_pc WHERE scene_token = x'{third.hex()}'")[0][0]
        assert inside == round(scenario.duration / 0.05) + 1
        times = np.asarray(rows(one.log, "SELECT timestamp FROM lidar_pc ORDER BY timestamp"))[:, 0]
        assert (np.diff(times) == 50_000).all()
        start = int(rows(one.log, "SELECT value FROM drive_export WHERE key = 'start_us'")[0][0])
        assert start - times[0] >= 2_100_000  # 2.0 s and one step of history
        assert rows(one.log, "SELECT channel FROM lidar") == [("MergedPointCloud",)]
        assert rows(one.log, "SELECT map_version FROM log") == [(FILES.CITY,)]
        tag = rows(
            one.log,
            "SELECT lp.timestamp, hex(lp.token), st.type FROM scenario_tag st "
            "JOIN lidar_pc lp ON lp.token = st.lidar_pc_token",
        )
        # A type that nuPlan's mapping does not know begins at its frame.
        assert tag == [(start, one.token.upper(), one.type)]
        assert all(len(token) == 8 for (token,) in rows(one.log, "SELECT token FROM lidar_box LIMIT 50"))
        assert "extrapolated" in rows(one.log, "SELECT value FROM drive_export WHERE key = 'history'")[0][0]


def test_a_type_of_nuplan_starts_three_seconds_before_its_frame(tmp_path: Path) -> None:
    scenario = load("gen/cut_in/2")
    one = write_nuplan([scenario], tmp_path, scenario_type="changing_lane")[0]
    start = int(rows(one.log, "SELECT value FROM drive_export WHERE key = 'start_us'")[0][0])
    tagged = rows(
        one.log,
        "SELECT lp.timestamp FROM lidar_pc lp JOIN scenario_tag st ON lp.token = st.lidar_pc_token",
    )
    assert tagged == [(start + 3_000_000,)]
    read = read_scenario(one.log, one.token)
    assert read.duration == pytest.approx(15.0)
    np.testing.assert_allclose(read.initial[:2], scenario.initial[:2], atol=1e-9)


def test_poses_and_boxes_are_the_scenario_s_own_every_second_row(made: Any) -> None:
    scenarios, written, _ = made
    scenario, one = scenarios[1], written[1]
    offset = json.loads(rows(one.log, "SELECT value FROM drive_export WHERE key = 'offset'")[0][0])
    poses = np.asarray(
        rows(
            one.log,
            "SELECT ep.x, ep.y, ep.qw, ep.qz, ep.vx, ep.acceleration_x FROM lidar_pc lp "
            "JOIN ego_pose ep ON ep.token = lp.ego_pose_token ORDER BY lp.timestamp",
        )
    )
    assert len(poses) == 50 + 301
    log = poses[50::2]
    np.testing.assert_allclose(log[:, :2] - offset, scenario.expert.states[:, :2], atol=1e-8)
    np.testing.assert_allclose(
        2.0 * np.arctan2(log[:, 3], log[:, 2]), scenario.expert.states[:, 2], atol=1e-9
    )
    np.testing.assert_allclose(log[:, 4:], scenario.expert.states[:, 3:5], atol=1e-12)
    # History: straight back at the start's speed, since this ego does not turn.
    back = np.hypot(*np.diff(poses[:51, :2], axis=0).T) / 0.05
    np.testing.assert_allclose(back, scenario.initial[3], rtol=1e-6)
    count = rows(one.log, "SELECT COUNT(DISTINCT track_token) FROM lidar_box")[0][0]
    assert count == scenario.tracks.num_agents - 1  # all but the ego


def test_history_of_a_turning_ego_keeps_its_turn_rate(tmp_path: Path) -> None:
    scenario = load("gen/cut_in/1")
    initial = scenario.initial.copy()
    initial[3], initial[6] = 8.0, 0.2
    one = write_nuplan([scenario.with_(initial=initial)], tmp_path)[0]
    poses = np.asarray(
        rows(
            one.log,
            "SELECT ep.x, ep.y, ep.qw, ep.qz FROM lidar_pc lp "
            "JOIN ego_pose ep ON ep.token = lp.ego_pose_token ORDER BY lp.timestamp LIMIT 51",
        )
    )
    heading = np.unwrap(2.0 * np.arctan2(poses[:, 3], poses[:, 2]))
    np.testing.assert_allclose(np.diff(heading), 0.2 * 0.05, atol=1e-9)
    # On a circle of radius v / w = 40 m a chord of the angle a is 2 r sin(a / 2) long.
    np.testing.assert_allclose(np.hypot(*np.diff(poses[:, :2], axis=0).T), 80.0 * np.sin(0.005), atol=1e-6)


def test_pickled_columns_are_constant_and_harmless(made: Any) -> None:
    _, written, _ = made
    found = {tuple(rows(one.log, "SELECT translation, rotation FROM lidar")[0]) for one in written}
    assert len(found) == 1
    translation, rotation = found.pop()
    assert pickle.loads(translation) == [0.0, 0.0, 0.0]
    assert pickle.loads(rotation) == [1.0, 0.0, 0.0, 0.0]


def test_four_cities_and_the_layers_that_the_devkit_opens(made: Any) -> None:
    _, _, folder = made
    index = json.loads((folder / "maps" / "nuplan-maps-v1.0.json").read_text())
    assert sorted(index) == [
        "sg-one-north",
        "us-ma-boston",
        "us-nv-las-vegas-strip",
        "us-pa-pittsburgh-hazelwood",
    ]
    for city, about in index.items():
        path = folder / "maps" / city / about["version"] / "map.gpkg"
        assert {"lane_connectors", "meta"} <= set(list_layers(path)[:, 0])
    _, _, _, (keys, values) = gdal.read(FILES.map_path(folder), layer="meta")
    assert dict(zip(keys, values, strict=True))["projectedCoordSystem"] == "EPSG:32611"


def test_lanes_meet_only_through_connectors_and_never_overlap(made: Any) -> None:
    _, _, folder = made
    fids, polygons, lanes = layer(folder, "lanes_polygons")
    connectors, _, links = layer(folder, "lane_connectors")
    assert (lanes["lane_fid"] == fids).all()
    assert not set(fids) & set(connectors)
    assert set(links["exit_lane_fid"]) | set(links["entry_lane_fid"]) <= set(fids)
    boundaries = set(layer(folder, "boundaries")[0])
    assert set(lanes["left_boundary_fid"]) | set(lanes["right_boundary_fid"]) <= boundaries
    baselines = layer(folder, "baseline_paths")[2]
    assert sorted(v for v in baselines["lane_fid"] if v == v) == sorted(fids)
    assert sorted(v for v in baselines["lane_connector_fid"] if v == v) == sorted(connectors)
    groups = set(layer(folder, "lane_groups_polygons")[0])
    assert set(lanes["lane_group_fid"]) == groups
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    overlap = shapely.area(
        shapely.intersection(polygons[first[first < second]], polygons[second[first < second]])
    )
    assert overlap.max() < 1e-6
    # Lanes side by side count from the left: index 0 has no lane on its left within its group.
    for group in list(groups)[:20]:
        assert sorted(lanes["lane_index"][lanes["lane_group_fid"] == group]) == list(
            range(int((lanes["lane_group_fid"] == group).sum()))
        )


def test_the_route_alternates_and_is_separated_by_single_spaces(made: Any) -> None:
    _, written, folder = made
    groups = {str(f) for f in layer(folder, "lane_groups_polygons")[0]}
    fids, _, ends = layer(folder, "lane_group_connectors")
    link = {
        str(f): (str(a), str(b))
        for f, a, b in zip(fids, ends["from_lane_group_fid"], ends["to_lane_group_fid"], strict=True)
    }
    for one in written:
        text = rows(one.log, "SELECT roadblock_ids FROM scene LIMIT 1")[0][0]
        route = text.split(" ")
        assert "" not in route
        assert len(route) >= 3
        assert all(block in (groups if k % 2 == 0 else link) for k, block in enumerate(route))
        for k in range(1, len(route) - 1, 2):
            assert link[route[k]] == (route[k - 1], route[k + 1])


def test_lights_stand_on_connectors_with_a_stop_polygon(made: Any) -> None:
    scenarios, written, folder = made
    fids, _, columns = layer(folder, "lane_connectors")
    polygons = dict(
        zip(layer(folder, "stop_polygons")[0].tolist(), layer(folder, "stop_polygons")[1], strict=True)
    )
    lit = {int(f): t for f, t in zip(fids, columns["traffic_light_stop_line_fids"], strict=True) if t}
    assert len(lit) == int((scenarios[0].roadmap.signal >= 0).sum())  # one connector for each of its lanes
    assert all(int(stop) in polygons for text in lit.values() for stop in text.split(","))
    seen = rows(written[0].log, "SELECT DISTINCT lane_connector_id FROM traffic_light_status")
    assert {c for (c,) in seen} == set(lit)
    assert {w for (w,) in rows(written[0].log, "SELECT DISTINCT status FROM traffic_light_status")} <= {
        *("green", "yellow", "red", "unknown"),
    }
    assert rows(written[1].log, "SELECT COUNT(*) FROM traffic_light_status") == [(0,)]


def awkward() -> Any:
    """Connectors behind each other and with loose ends, a lane that both a lane and a connector follow, and
    two lanes that overlap."""
    builder = RoadMapBuilder()

    def add(name: str, start: Any, end: Any, kind: Any, follow: Any = (), **more: Any) -> None:
        a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
        line = a + np.linspace(0.0, 1.0, 11)[:, None] * (b - a)
        side = np.array([-(b - a)[1], (b - a)[0]]) / np.hypot(*(b - a)) * 1.75
        builder.add(LaneSpec(name, line + side, line - side, line, kind, successors=follow, **more))

    lane, connector = LaneKind.LANE, LaneKind.CONNECTOR
    add("loose", (-30, 0), (0, 0), connector, ["a"])
    add("a", (0, 0), (50, 0), lane, ["b", "turn"])
    add("b", (50, 0), (100, 0), lane, ["c1"])
    add("turn", (50, 0), (70, -20), connector, ["end"])
    add("end", (70, -20), (70, -60), connector)
    add("c1", (100, 0), (120, 0), connector, ["c2", "c3"])
    add("c2", (120, 0), (140, 0), connector, ["d"])
    add("c3", (120, 0), (135, 15), connector, ["d"])
    add("d", (140, 0), (200, 0), lane)
    add("beside", (150, 1.5), (200, 1.5), lane)
    return builder.build()


def test_any_graph_of_lanes_fits_and_comes_back(tmp_path: Path) -> None:
    base = load("gen/cut_in/1")
    roadmap = awkward()
    route = Route(tuple(roadmap.lane_index(k) for k in ("a", "b", "c1", "c2", "d")))
    one = write_nuplan([base.with_(environment=roadmap, route=route)], tmp_path)[0]
    assert any("overlaps" in note for note in one.notes)
    fids, polygons, _ = layer(tmp_path, "lanes_polygons")
    _, _, links = layer(tmp_path, "lane_connectors")
    assert set(links["exit_lane_fid"]) | set(links["entry_lane_fid"]) <= set(fids)
    pairs = [(i, j) for i in range(len(fids)) for j in range(i)]
    assert max(polygons[i].intersection(polygons[j]).area for i, j in pairs) < 1e-6
    raw = load_city(FILES.map_path(tmp_path), restore=False).roadmap
    for k in range(raw.num_lanes):
        assert all(raw.kind[n] != raw.kind[k] for n in raw.successors(k))
        if raw.kind[k] == LaneKind.CONNECTOR:
            assert len(raw.successors(k)) == len(raw.predecessors(k)) == 1
    back = read_scenario(one.log, one.token).roadmap
    assert back.lane_ids == roadmap.lane_ids
    np.testing.assert_allclose(back.points, roadmap.points, atol=1e-8)
    for k in range(roadmap.num_lanes):
        assert set(back.successors(k)) == set(roadmap.successors(k))
    text = rows(one.log, "SELECT roadblock_ids FROM scene LIMIT 1")[0][0].split(" ")
    assert len(text) >= 7
    blocks = {name: k for k, name in enumerate(raw.group_ids)}
    # Every step of the route is one of the map's links.
    for a, b in pairwise(text):
        of_a, of_b = (np.flatnonzero(raw.group == blocks[x]) for x in (a, b))
        assert any(n in of_b for k in of_a for n in raw.successors(int(k)))


def test_maps_lie_side_by_side_and_equal_ones_once(tmp_path: Path) -> None:
    first, second = load("gen/cut_in/1"), load("gen/cut_in/2")
    moved = first.with_(id="again", initial=first.initial)
    written = write_nuplan([first, second, moved], tmp_path)
    city = build_city(FILES.map_path(tmp_path))
    assert city.roadmap.num_lanes == first.roadmap.num_lanes + second.roadmap.num_lanes
    assert len({one.token for one in written}) == 3
    offsets = [
        json.loads(rows(one.log, "SELECT value FROM drive_export WHERE key = 'offset'")[0][0])
        for one in written
    ]
    assert offsets[0] == offsets[2] != offsets[1]
    for scenario, one in zip((first, second), written, strict=False):
        np.testing.assert_allclose(
            read_scenario(one.log, one.token).roadmap.points, scenario.roadmap.points, atol=1e-8
        )


def test_numbers_as_ids_are_kept(tmp_path: Path) -> None:
    first = write_nuplan([load("gen/cut_in/1")], tmp_path / "a")[0]
    raw = read_scenario(first.log, first.token, restore=False)
    again = write_nuplan([raw], tmp_path / "b")[0]
    fids = set(layer(tmp_path / "b", "lanes_polygons")[0]) | set(layer(tmp_path / "b", "lane_connectors")[0])
    assert {str(f) for f in fids} == set(raw.roadmap.lane_ids)
    assert rows(again.log, "SELECT roadblock_ids FROM scene LIMIT 1")[0][0].split() == [
        raw.roadmap.group_ids[g] for g in raw.route.groups
    ]


def test_the_source_writes_and_says_what_cannot_be(tmp_path: Path) -> None:
    paths = SOURCE.write([load("gen/cut_in/1")], tmp_path)
    assert [p.suffix for p in paths] == [".db"]
    assert paths[0].is_file()
    with pytest.raises(InputError, match="no scenario to write"):
        write_nuplan([], tmp_path)
    assert SOURCE.write([load("gen/cut_in/1")], tmp_path) == paths  # the same again is no harm
    with pytest.raises(InputError, match="holds logs already"):
        write_nuplan([load("gen/cut_in/2")], tmp_path)
    assert SOURCE.load(str(paths[0])).family == "cut_in"
    with pytest.raises(UnknownNameError, match="us-ma-boston"):
        write_nuplan([load("gen/cut_in/1")], tmp_path, city="us-ma-bosten")
    with pytest.raises(ScenarioError, match="terrain"):
        write_nuplan([load("gen/lunar_hills/0")], tmp_path / "rover")
