"""Logs, maps and lists that cannot be used: one line each, with the file and what is wrong in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely

pytest.importorskip("pyogrio", reason="the extra nuplan is not installed")

from drive.datasets.nuplan import SOURCE, city, write_nuplan
from drive.datasets.nuplan.city import build_city
from drive.datasets.nuplan.scenario import read_scenario
from drive.datasets.nuplan.sqlite import open_database, run
from drive.datasets.nuplan.tokens import read_filter
from drive.datasets.source import expand_all, load
from drive.errors import InputError, MapError, ScenarioError

FILES = SimpleNamespace(**run_path(str(Path(__file__).with_name("nuplan_files.py"))))


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cache")
    patch.setattr(city, "cache_folder", lambda *parts: folder)
    patch.delenv("NUPLAN_MAPS_ROOT", raising=False)
    patch.delenv("NUPLAN_DATA_ROOT", raising=False)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("good") / "data"
    one = write_nuplan([load("gen/cut_in/1")], folder)[0]
    FILES.make_foreign(folder)
    return folder, one.log.name, one.token


@pytest.fixture
def data(good: tuple[Path, str, str], tmp_path: Path) -> tuple[Path, Path, str]:
    """A copy to spoil: its folder, its log and the scenario's token."""
    shutil.copytree(good[0], tmp_path / "data")
    return tmp_path / "data", tmp_path / "data" / "logs" / good[1], good[2]


def fault(path: Path, token: str) -> str:
    with pytest.raises(InputError) as error:
        read_scenario(path, token)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("keep", [0, 10, 100, 5000, 0.5, 0.9])
def test_truncated_logs(data: Any, keep: float) -> None:
    _, log, token = data
    whole = log.read_bytes()
    log.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    told = fault(log, token)
    assert told.startswith(log.name)
    assert any(word in told for word in ("SQLite", "damaged", "missing"))


def test_garbage_inside_a_log(data: Any) -> None:
    _, log, token = data
    raw = bytearray(log.read_bytes())
    raw[4096 : len(raw) // 2] = b"\xa5" * (len(raw) // 2 - 4096)
    log.write_bytes(raw)
    assert "damaged" in fault(log, token)


@pytest.mark.parametrize(
    "table", ["log", "ego_pose", "lidar_box", "scene", "traffic_light_status", "category"]
)
def test_missing_tables(data: Any, table: str) -> None:
    _, log, token = data
    FILES.change_log(log, f"DROP TABLE {table}")
    assert f"the table '{table}' is missing" in fault(log, token)


def test_missing_columns(data: Any) -> None:
    _, log, token = data
    FILES.change_log(log, "ALTER TABLE ego_pose RENAME COLUMN qw TO q0")
    assert "the table 'ego_pose' has no column 'qw'" in fault(log, token)


def test_poses_that_are_no_numbers(data: Any) -> None:
    _, log, token = data
    frame = "timestamp = (SELECT MAX(timestamp) - 1000000 FROM lidar_pc)"
    where = f"token = (SELECT ego_pose_token FROM lidar_pc WHERE {frame})"
    FILES.change_log(log, f"UPDATE ego_pose SET x = NULL WHERE {where}")
    assert "pose of frame" in fault(log, token)
    FILES.change_log(log, f"UPDATE ego_pose SET x = 'far' WHERE {where}")
    assert "text where numbers belong" in fault(log, token)
    FILES.change_log(log, f"UPDATE ego_pose SET x = 9e999 WHERE {where}")  # SQLite stores infinity
    assert "not finite" in fault(log, token)


def test_boxes_that_are_no_boxes_are_left_out_and_told(data: Any) -> None:
    _, log, token = data
    was = read_scenario(log, token)
    FILES.change_log(
        log,
        "UPDATE lidar_box SET yaw = NULL WHERE rowid % 10 = 0",
        "UPDATE lidar_box SET length = -1.0 WHERE rowid % 10 = 1",
        "UPDATE lidar_box SET vx = NULL WHERE rowid % 10 = 2",
        "UPDATE category SET name = 'spaceship'",
    )
    now = read_scenario(log, token)
    assert now.tracks.valid.sum() == pytest.approx(0.8 * was.tracks.valid.sum(), rel=0.05)
    assert np.isfinite(now.tracks.states).all()
    assert any("boxes with values" in note for note in now.provenance.notes)
    assert any("spaceship" in note for note in now.provenance.notes)


def test_gaps_in_a_log(data: Any) -> None:
    _, log, token = data
    first = "(SELECT MIN(timestamp) FROM lidar_pc)"
    late = f"timestamp > {first} + {{a}} AND timestamp < {first} + {{b}}"
    with closing(sqlite3.connect(log)) as db:
        db.execute("DELETE FROM lidar_pc WHERE " + late.format(a=7_500_000, b=8_000_000))
        db.commit()
    now = read_scenario(log, token)  # the scenario starts 2.5 s into the log
    assert now.duration == pytest.approx(5.0)
    assert any("gap" in note for note in now.provenance.notes)
    FILES.change_log(log, "DELETE FROM lidar_pc WHERE " + late.format(a=4_000_000, b=5_000_000))
    assert "gap at 1.6 s" in fault(log, token)


def test_a_single_missing_frame_is_a_gap_too_but_not_one_between(data: Any) -> None:
    _, log, token = data
    # The 20 Hz rows between the clock's ticks are not needed.
    FILES.change_log(
        log,
        "DELETE FROM lidar_pc WHERE (timestamp - (SELECT MIN(timestamp) FROM lidar_pc)) % 100000 = 50000",
    )
    assert read_scenario(log, token).duration == pytest.approx(15.0)


def test_no_maps_no_city_no_version(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, log, token = data
    index = folder / "maps" / "nuplan-maps-v1.0.json"
    text = index.read_text()
    index.write_text(text.replace("us-nv-las-vegas-strip", "us-nv-reno"))
    assert "unknown city" in fault(log, token)
    index.write_text("[1, 2")
    assert "no index of nuPlan maps" in fault(log, token)
    index.write_text(json.dumps({FILES.CITY: {"version": "../../../etc"}}))
    assert "no version of a map" in fault(log, token)
    index.write_text(json.dumps({FILES.CITY: {"version": "1.2.3"}}))
    assert "is missing" in fault(log, token)
    index.rename(folder / "maps" / "nuplan-maps-v2.0.json")
    assert "of another version" in fault(log, token)
    shutil.rmtree(folder / "maps")
    assert "NUPLAN_MAPS_ROOT" in fault(log, token)
    monkeypatch.setenv("NUPLAN_MAPS_ROOT", str(folder / "nowhere"))
    assert "nuplan-maps-v1.0.json is missing" in fault(log, token)
    FILES.change_log(log, "UPDATE log SET map_version = '../../x'")
    assert "no name of a city" in fault(log, token)


@pytest.mark.parametrize(
    "layer", ["lanes_polygons", "lane_connectors", "boundaries", "stop_polygons", "meta"]
)
def test_missing_layers(data: Any, layer: str) -> None:
    folder, log, token = data
    FILES.rewrite(
        FILES.map_path(folder),
        lambda name, shapes, columns: None if name == layer else (shapes, columns, "EPSG:4326"),
    )
    told = fault(log, token)
    assert "map.gpkg" in told
    assert layer in told


def test_missing_columns_of_a_layer(data: Any) -> None:
    folder, log, token = data

    def change(name: str, shapes: Any, columns: Any) -> Any:
        return shapes, {k: v for k, v in columns.items() if k != "lane_group_fid"}, "EPSG:4326"

    FILES.rewrite(FILES.map_path(folder), change)
    assert "the layer 'lanes_polygons' has no column 'lane_group_fid'" in fault(log, token)


def test_wrong_coordinate_systems(data: Any) -> None:
    folder, log, token = data
    path = FILES.map_path(folder)
    FILES.rewrite(path, lambda name, shapes, columns: (shapes, columns, "EPSG:3857"))
    assert "is in EPSG:3857" in fault(log, token)
    FILES.rewrite(
        path,
        lambda name, s, c: (
            s if s is None else shapely.transform(s, lambda xy: xy + np.array([90.0, 0.0])),
            c,
            "EPSG:4326",
        ),
    )
    assert any(word in fault(log, token) for word in ("far outside the zone", "in degrees"))
    FILES.change_log(path, "UPDATE meta SET value = 'EPSG:4326' WHERE key = 'projectedCoordSystem'")
    assert "not a UTM zone" in fault(log, token)


def test_truncated_maps(data: Any) -> None:
    folder, log, token = data
    path = FILES.map_path(folder)
    whole = path.read_bytes()
    for keep in (0, 50, len(whole) // 3):
        path.write_bytes(whole[:keep])
        assert fault(log, token).startswith("map.gpkg")


def test_shapes_that_are_none(data: Any) -> None:
    """Null, empty and broken geometry costs the lanes that it belongs to, not the map."""
    folder, log, token = data
    path = FILES.map_path(folder)
    was = read_scenario(log, token)
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        first, second, third = (
            f for (f,) in db.execute("SELECT fid FROM baseline_paths WHERE lane_fid NOT NULL LIMIT 3")
        )
        db.execute("UPDATE baseline_paths SET geom = NULL WHERE fid = ?", (first,))
        db.execute("UPDATE baseline_paths SET geom = x'00' WHERE fid = ?", (second,))
        db.execute("UPDATE baseline_paths SET geom = substr(geom, 1, 30) WHERE fid = ?", (third,))
        db.execute("UPDATE boundaries SET geom = NULL WHERE fid IN (SELECT fid FROM boundaries LIMIT 1)")
        db.commit()
    now = read_scenario(log, token)
    assert now.roadmap.num_lanes < was.roadmap.num_lanes
    assert any("without a centreline" in note for note in now.provenance.notes)


def test_an_ego_far_from_every_lane(data: Any) -> None:
    """A small map is taken whole, but no route begins where no lane is."""
    _, log, token = data
    FILES.change_log(log, "UPDATE ego_pose SET x = x + 1e5")
    scenario = read_scenario(log, token)
    assert not scenario.route.known
    assert any("no lane within 25 m" in note for note in scenario.provenance.notes)


def test_a_bad_log_among_good_ones_is_told(data: Any) -> None:
    folder, log, token = data
    (log.parent / "broken.db").write_bytes(log.read_bytes()[:3000])
    (log.parent / "empty.db").write_bytes(b"")
    other = log.with_name("tagless.db")
    shutil.copy(log, other)
    FILES.change_log(other, "DELETE FROM scenario_tag")
    found = expand_all([str(folder)])
    assert [Path(r.split("#")[0]).name for r in found.refs] == [log.name]
    reasons = {Path(file).name: reason for file, reason in found.skipped}
    assert set(reasons) == {"broken.db", "empty.db", "tagless.db"}
    assert "no tagged frame" in reasons["tagless.db"]
    with pytest.raises(ScenarioError, match="no tagged frame"):
        SOURCE.load(str(other))
    with pytest.raises(ScenarioError, match="no frame 'xyz'"):
        SOURCE.load(f"{log}#xyz")
    # Four scenes are too few: the third has only one behind it.
    FILES.change_log(log, "DELETE FROM scene WHERE name = (SELECT MAX(name) FROM scene)")
    with pytest.raises(ScenarioError, match="no tagged frame"):
        SOURCE.ids(str(log))
    assert SOURCE.load(f"{log}#{token}").duration == pytest.approx(15.0)


def test_the_connection_cannot_write(data: Any) -> None:
    _, log, _ = data
    before = log.read_bytes()
    with closing(open_database(log)) as db, pytest.raises(InputError):
        run(db, log, "DELETE FROM lidar_pc")
    assert log.read_bytes() == before
    assert [p.name for p in log.parent.iterdir()] == [log.name]  # no journal beside it


def test_words_of_ours_that_are_not_ours(tmp_path: Path) -> None:
    one = write_nuplan([load("gen/cut_in/1")], tmp_path)[0]
    with closing(sqlite3.connect(one.log)) as db:
        was = dict(db.execute("SELECT key, value FROM drive_export").fetchall())
    for key, value in (
        ("offset", "[1"),
        ("vehicle", '{"wings": 2}'),
        ("initial", "[NaN,0,0,0,0,0,0]"),
        ("world", "x"),
    ):
        FILES.change_log(one.log, f"UPDATE drive_export SET value = '{value}' WHERE key = '{key}'")
        assert "drive_export" in fault(one.log, one.token)
        FILES.change_log(one.log, f"UPDATE drive_export SET value = '{was[key]}' WHERE key = '{key}'")
    assert read_scenario(one.log, one.token).family == "cut_in"
    path = FILES.map_path(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE lanes_polygons SET drive = '{\"world\": 0}'")
        db.commit()
    with pytest.raises(MapError, match="do not fit together"):
        build_city(path)
    assert build_city(path, restore=False).roadmap.num_lanes > 0


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "0123456789abcdef\nnot a token\n", "line 2"),
        ("a.json", '["0123456789abcdef", 7]', "no token"),
        ("a.json", '{"scenario_tokens": ', "no JSON"),
        ("a.yaml", "scenario_tokens: [0123456789abcdeg]\n", "no token"),
        ("a.yaml", "scenario_tokens:\n\t- x\n  ? odd\n", "line"),
        ("a.yaml", "scenario_types: 5\n", "no list of names"),
        ("a.yaml", "scenario_types: null\nlimit_total_scenarios: -1\n", "not a positive number"),
        ("a.yaml", "scenario_types: [a, b\n", "does not end"),
        ("a.yaml", "num_scenarios_per_type: 0.5\n", "less than one"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=told) as error:
        read_filter(path)
    assert str(error.value).startswith(name)


def test_what_is_no_list_is_left_to_others(tmp_path: Path) -> None:
    for name, text in (
        ("results.json", '{"hash": "0123456789abcdef0123456789abcdef"}'),
        ("hashes.json", '["0123456789abcdef0123456789abcdef"]'),
        ("notes.txt", "seen 0123456789abcdef in the log of yesterday\n"),
        ("config.yaml", "planner: pdm\n"),
        ("tokens.csv", "0123456789abcdef\n"),
    ):
        (tmp_path / name).write_text(text)
        assert not SOURCE.matches(str(tmp_path / name))


def test_a_list_without_logs(tmp_path: Path) -> None:
    path = tmp_path / "val14.txt"
    path.write_text("0123456789abcdef\n")
    with pytest.raises(InputError, match="NUPLAN_DATA_ROOT"):
        SOURCE.ids(str(path))
