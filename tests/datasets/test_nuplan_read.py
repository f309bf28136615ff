"""Logs and maps read natively: round trips, foreign files, lists of scenarios, the devkit's own rules."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely

pytest.importorskip("pyogrio", reason="the extra nuplan is not installed")

import pyogrio.raw as gdal

from drive.datasets.nuplan import SOURCE, Written, city, write_nuplan
from drive.datasets.nuplan.gpkg import read_layers
from drive.datasets.nuplan.logdb import open_log
from drive.datasets.nuplan.mapping import SCENARIO_TYPES, window_of
from drive.datasets.nuplan.scenario import read_scenario
from drive.datasets.nuplan.utm import to_utm
from drive.datasets.source import expand_all, load
from drive.errors import ScenarioError
from drive.geometry import project_to_polyline
from drive.roadmap import AreaKind
from drive.scenario import Expert, Scenario
from drive.vehicle import AgentKind

FILES = SimpleNamespace(**run_path(str(Path(__file__).with_name("nuplan_files.py"))))
NAMES = ("signalised_intersection/1", "occluded_pedestrian/1", "roundabout/1", "dense_merge/1")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Maps of the tests are not left in the user's cache."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cache")
    patch.setattr(city, "cache_folder", lambda *parts: folder)
    patch.delenv("NUPLAN_MAPS_ROOT", raising=False)
    patch.delenv("NUPLAN_DATA_ROOT", raising=False)
    yield folder
    patch.undo()


Made = tuple[list[Scenario], list[Written], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("nuplan")
    scenarios = [load(f"gen/{name}") for name in NAMES]
    return scenarios, write_nuplan(scenarios, folder), folder


@pytest.fixture(scope="module")
def foreign(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files with nothing of ours in them, maps in degrees."""
    folder = tmp_path_factory.mktemp("foreign") / "data"
    shutil.copytree(made[2], folder)
    FILES.make_foreign(folder)
    return folder


@pytest.mark.parametrize("which", range(len(NAMES)))
def test_what_was_written_is_read_as_it_was(made: Made, which: int) -> None:
    was, one = made[0][which], made[1][which]
    now = read_scenario(one.log, one.token)
    a, b = was.roadmap.to_arrays(), now.roadmap.to_arrays()
    for name in a:
        if name in ("heading", "station", "curvature"):
            continue  # the generator derives them before it rounds the points
        if a[name].dtype.kind == "f":
            np.testing.assert_allclose(b[name], a[name], atol=1e-8, err_msg=name)
        else:
            np.testing.assert_array_equal(b[name], a[name], err_msg=name)
    np.testing.assert_allclose(now.tracks.states, was.tracks.states, atol=1e-4)
    for name in ("valid", "kind"):
        np.testing.assert_array_equal(getattr(now.tracks, name), getattr(was.tracks, name))
    np.testing.assert_allclose(now.tracks.size, was.tracks.size, atol=1e-9)
    assert now.tracks.ids == was.tracks.ids
    assert was.expert is not None
    assert now.expert is not None
    # Steering is not in nuPlan's files: it follows from yaw rate and speed.
    np.testing.assert_allclose(now.expert.states, was.expert.states[:, :7], atol=1e-4)
    np.testing.assert_array_equal(now.initial, was.initial[:7])
    np.testing.assert_array_equal(now.signals, was.signals)
    assert (now.ego, now.route.lanes, now.route.groups) == (was.ego, was.route.lanes, was.route.groups)
    np.testing.assert_allclose(now.route.line, was.route.line, atol=1e-8)
    assert now.route.goal.lanes == was.route.goal.lanes
    assert (now.dt, now.duration, now.family, now.tags) == (was.dt, was.duration, was.family, was.tags)
    assert now.expert.source == was.expert.source
    assert now.vehicle == was.vehicle


def test_half_time_samples_are_between_and_gaps_stay_gaps(tmp_path: Path) -> None:
    """A scenario of 0.2 s steps comes back at 0.1 s: its samples, and between them where both are there."""
    base = load("gen/cut_in/1")
    t = base.tracks
    valid = t.valid[:, ::2].copy()
    valid[2, 10:15] = False
    states = np.where(valid[..., None], t.states[:, ::2], 0.0)
    tracks = replace(t, states=states, valid=valid)
    assert base.expert is not None
    expert = Expert(base.expert.states[:150:2], "generated")
    tracks = replace(tracks, states=states[:, :75], valid=valid[:, :75])
    signals = base.signals[:, :150:2]
    coarse = base.with_(dt=0.2, duration=14.8, tracks=tracks, expert=expert, signals=signals)
    one = write_nuplan([coarse], tmp_path)[0]
    read = read_scenario(one.log, one.token)
    assert (read.dt, read.duration) == (0.1, pytest.approx(14.8))
    np.testing.assert_allclose(read.tracks.states[:, ::2], coarse.tracks.states, atol=1e-4)
    middle = 0.5 * (coarse.tracks.states[1, 3, :2] + coarse.tracks.states[1, 4, :2])
    np.testing.assert_allclose(read.tracks.states[1, 7, :2], middle, atol=1e-8)
    assert not read.tracks.valid[2, 19:30].any()
    assert read.tracks.valid[2, 18]
    assert read.tracks.valid[2, 30]


@pytest.mark.parametrize("which", range(len(NAMES)))
def test_foreign_files_give_the_same_scene(made: Made, foreign: Path, which: int) -> None:
    """Degrees, boundaries against the lane and with other rows, ids as floats and text, no word of ours."""
    was, one = made[0][which], made[1][which]
    now = read_scenario(foreign / "logs" / one.log.name, one.token)
    shift = np.asarray(now.origin) - np.asarray(read_scenario(one.log, one.token).origin)
    raw = read_scenario(one.log, one.token, restore=False)
    # All maps of the city are one now, where the scenario has left none out.
    at = [now.roadmap.lane_index(name) for name in raw.roadmap.lane_ids]
    for j, k in enumerate(at):
        np.testing.assert_allclose(now.roadmap.centerline(k) + shift, raw.roadmap.centerline(j), atol=1e-6)
        names = {now.roadmap.lane_ids[n] for n in now.roadmap.successors(k)}
        assert names == {raw.roadmap.lane_ids[n] for n in raw.roadmap.successors(j)}
        # Bounds are the nearest points of the boundary, so they lie on it, if not at the same rows.
        _, gap, _ = project_to_polyline(
            now.roadmap.left[now.roadmap.rows(k)] + shift, raw.roadmap.left[raw.roadmap.rows(j)]
        )
        assert np.abs(gap).max() < 0.01
    np.testing.assert_array_equal(now.roadmap.speed_limit[at], raw.roadmap.speed_limit)
    # The ego comes first, all else in the order of the log.
    assert now.ego == 0
    assert now.tracks.ids[0] == "ego"
    assert now.tracks.num_agents == was.tracks.num_agents
    where = now.tracks.states[..., :2] + shift
    for k in range(was.tracks.num_agents):
        first = int(np.argmax(was.tracks.valid[k]))
        same = now.tracks.valid[:, first] & (
            np.hypot(*(where[:, first] - was.tracks.states[k, first, :2]).T) < 1e-3
        )
        assert same.any()
    assert now.expert is not None
    assert now.expert.source == "human"
    assert was.expert is not None
    np.testing.assert_allclose(now.expert.states[:, :2] + shift, was.expert.states[:, :2], atol=1e-6)
    assert now.family == f"nuplan/{one.type}"
    assert now.tags == (one.type, FILES.CITY)
    # The route goes the same way: every point of the old line is on the new one, as far as that goes.
    _, gap, _ = project_to_polyline(was.route.line[::3], now.route.line + shift)
    assert np.abs(gap).max() < 0.01
    # Each connector shows what the light before it showed.
    assert (now.signals > 0).sum() >= (was.signals > 0).sum()


def test_lights_of_foreign_files_hold_the_ego_at_the_same_line(made: Made, foreign: Path) -> None:
    was, one = made[0][0], made[1][0]
    now = read_scenario(foreign / "logs" / one.log.name, one.token)

    def held(s: Scenario) -> tuple[float, list[int]]:
        for lane in s.route.lanes:
            k = int(s.roadmap.signal[lane])
            if k >= 0:
                point = s.roadmap.centerline(lane)[0]
                s0, _, _ = project_to_polyline(point[None], s.route.line)
                return float(s0[0]) + float(s.roadmap.stop_station[lane]), s.signals[k].tolist()
        raise AssertionError("no light on the route")

    (old, states), (new, again) = held(was), held(now)
    assert states == again
    shift = project_to_polyline(
        (now.route.line[:1] + now.origin) - read_scenario(one.log, one.token).origin, was.route.line
    )
    assert old == pytest.approx(new + float(shift[0][0]), abs=0.05)


def test_the_reader_agrees_with_gdal(made: Made) -> None:
    path = FILES.map_path(made[2])
    layers, epsg = read_layers(
        path, {"boundaries": ((), ()), "lanes_polygons": (("lane_fid",), ("drive", "none"))}, frozenset()
    )
    assert epsg == 32611
    for name, ours in layers.items():
        _, fids, wkb, _ = gdal.read(path, layer=name, return_fids=True)
        np.testing.assert_array_equal(ours.fids, fids)
        assert shapely.equals_exact(ours.shapes, shapely.from_wkb(wkb), tolerance=0.0).all()
    assert "none" not in layers["lanes_polygons"].columns


def test_utm_by_another_program() -> None:
    """Values of pyproj 3.7.2 (PROJ) for Las Vegas, Singapore, and Sydney south of the equator."""
    for lon_lat, epsg, xy in (
        ((-115.1725, 36.1147), 32611, (664477.9783692104, 3998216.8431063397)),
        ((103.7914, 1.2931), 32648, (365537.07063782564, 142958.6539581318)),
        ((151.2093, -33.8688), 32756, (334368.633648097, 6250948.345385009)),
    ):
        np.testing.assert_allclose(to_utm(np.array([lon_lat]), epsg), [xy], rtol=0.0, atol=1e-8)


def test_windows_are_the_devkit_s() -> None:
    assert len(SCENARIO_TYPES) == 73
    w = window_of("starting_left_turn")
    assert (w.duration, w.offset, w.stride) == (15.0, -3.0, 2)
    w = window_of("unknown")
    assert (w.duration, w.offset, w.stride) == (20.0, 0.0, 2)


def test_untagged_frames_run_to_the_log_s_end(made: Made) -> None:
    """Any frame can be named; without a tag it takes 20 s, or what is left of the log."""
    one = made[1][0]
    with closing(sqlite3.connect(one.log)) as db:
        ((token,),) = db.execute(
            "SELECT hex(token) FROM lidar_pc "
            "WHERE timestamp = (SELECT MAX(timestamp) - 4000000 FROM lidar_pc)"
        ).fetchall()
    read = SOURCE.load(f"{one.log}#{token.lower()}")
    assert read.duration == pytest.approx(4.0)
    whole = SOURCE.load(f"{one.log}#{one.token}")
    np.testing.assert_allclose(
        read.tracks.states[read.ego, 0, :2], whole.tracks.states[whole.ego, 110, :2], atol=1e-6
    )


@pytest.mark.parametrize("left_us", [200_000, 250_000, 2_950_000])
def test_the_last_frames_of_a_log(made: Made, left_us: int) -> None:
    """An odd number of rows to the end: the devkit takes every second one, and so the last is not taken."""
    one = made[1][0]
    with closing(sqlite3.connect(one.log)) as db:
        ((token,),) = db.execute(
            "SELECT hex(token) FROM lidar_pc "
            f"WHERE timestamp = (SELECT MAX(timestamp) - {left_us} FROM lidar_pc)"
        ).fetchall()
    assert SOURCE.load(f"{one.log}#{token.lower()}").num_steps == left_us // 100_000


def test_the_source_lists_loads_and_records(made: Made) -> None:
    _, written, folder = made
    everything = expand_all([str(folder)])
    assert [r.split("#")[1] for r in everything.refs] == [w.token for w in written]
    assert everything.skipped == ()
    log = str(written[3].log)
    assert SOURCE.matches(log)
    assert SOURCE.load(log).id == f"{written[3].log.name}#{written[3].token}"
    refs = SOURCE.ids(log, "recorded")
    assert len(refs) == 3
    was = made[0][3]
    recorded = SOURCE.load(refs[0])
    name = refs[0].partition("@")[2]
    k = was.tracks.ids.index(name)
    assert AgentKind(int(was.tracks.kind[k])).is_motor_vehicle
    assert recorded.tracks.ids[recorded.ego] == name
    first = int(np.argmax(was.tracks.valid[k]))
    np.testing.assert_allclose(
        recorded.tracks.states[recorded.ego, 0, :2], was.tracks.states[k, first, :2], atol=1e-6
    )
    assert recorded.expert is not None
    assert recorded.expert.source == "recorded"
    assert was.tracks.ids[was.ego] in recorded.tracks.ids  # the logging car is one of the others now
    with pytest.raises(ScenarioError, match="no road user 'nobody'"):
        SOURCE.load(f"{log}#{written[3].token}@nobody")


LISTS = {
    "val.yaml": "_target_: nuplan.planning.scenario_builder.scenario_filter.ScenarioFilter\n"
    "_convert_: all\n\n"
    "scenario_types: null  # all of them\nscenario_tokens:\n  - '{0}'\n  - \"{1}\"\nlog_names: null\n"
    "shuffle: false\nexpand_scenarios: false\nnum_scenarios_per_type: null\n",
    "flow.yaml": "scenario_tokens: [\"{0}\", '{1}']\n",
    "pairs.yaml": "scenario_tokens: [[{3}, {0}], [{4}, {1}]]\n",
    "nested.yaml": "scenario_tokens:\n  - [{3}, '{0}']\n  - - {4}\n    - '{1}'\n",
    "plain.txt": "# two of them\n{0}\n{1}\n",
    "logs.txt": "{3} {0}\n{4},{1}\n",
    "list.json": '["{0}", "{1}"]',
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_scenarios(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _, written, folder = made
    monkeypatch.setenv("NUPLAN_DATA_ROOT", str(folder))
    words = [*(w.token for w in written[:3]), *(w.log.stem for w in written[:2])]
    path = tmp_path / name
    path.write_text(LISTS[name].format(*words))
    assert SOURCE.matches(str(path))
    found = expand_all([str(path)])
    assert [r.rpartition("#")[2] for r in found.refs] == [w.token for w in written[:2]]
    assert found.skipped == ()


def test_filters_of_types_logs_and_counts(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, written, folder = made
    monkeypatch.setenv("NUPLAN_DATA_ROOT", str(folder))
    path = tmp_path / "filter.yaml"

    def tokens(text: str) -> set[str]:
        path.write_text(text)
        return {r.rpartition("#")[2] for r in SOURCE.ids(str(path))}

    kinds = {w.type: w.token for w in written}
    assert tokens("scenario_types: [roundabout, dense_merge]\n") == {
        kinds["roundabout"],
        kinds["dense_merge"],
    }
    assert tokens(f"scenario_types: null\nlog_names:\n  - {written[1].log.stem}\n") == {written[1].token}
    assert len(tokens("scenario_types: null\nlimit_total_scenarios: 2\n")) == 2
    assert len(tokens("scenario_types: null\nlimit_total_scenarios: 0.5\n")) == 2
    assert len(tokens("scenario_types: null\nlimit_total_scenarios: 1.0\n")) == 4
    assert len(tokens("scenario_types: null\nlimit_total_scenarios: 1\n")) == 1
    assert len(tokens("scenario_types: null\nnum_scenarios_per_type: 1\n")) == 4
    with pytest.raises(ScenarioError):
        tokens("scenario_types: null\nmap_names: [us-ma-boston]\n")
    path.write_text(f"scenario_tokens: ['{written[0].token}', 00000000000000ff]\nego_route_radius: 5.0\n")
    reasons = [reason for _, reason in SOURCE.skipped(str(path))]
    assert any("00000000000000ff" in r for r in reasons)
    assert any("ego_route_radius" in r for r in reasons)


def test_many_tags_are_thinned_as_the_devkit_does(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(made[2], folder)
    log = sorted((folder / "logs").glob("*.db"))[0]
    FILES.change_log(
        log,
        "INSERT INTO scenario_tag SELECT randomblob(8), token, 'on_intersection', NULL FROM lidar_pc",
        "INSERT INTO scenario_tag SELECT randomblob(8), token, 'a_first_word', NULL FROM lidar_pc",
    )
    refs = SOURCE.ids(str(log))
    assert len(refs) == 301  # the frames before lie in scenes without two before them
    listing = tmp_path / "thin.yaml"
    monkeypatch.setenv("NUPLAN_DATA_ROOT", str(folder))

    def found(kind: str, more: str = "") -> list[str]:
        listing.write_text(f"scenario_types: [{kind}]\nlog_names: [{log.stem}]\n{more}")
        return SOURCE.ids(str(listing))

    # A frame is found under each of its tags; its own type is the last of them by name.
    assert len(found("on_intersection")) == 301
    assert (
        len(found("a_first_word")) == 299
    )  # it begins at the frame, and the last two have nothing behind them
    with open_log(log) as opened:
        kinds = [one.type for one in opened.tagged()]
    assert kinds == ["signalised_intersection", *(["on_intersection"] * 300)]
    # 301 frames in 15 s, and 5 s apart: at 0, 5, 10 and 15 s.
    assert len(found("on_intersection", "timestamp_threshold_s: 5.0\n")) == 4
    # The same where the type that begins 3 s earlier is not theirs any more.
    last = "(SELECT token FROM lidar_pc ORDER BY timestamp DESC LIMIT 2)"
    where = f"type = 'on_intersection' AND lidar_pc_token IN {last}"
    FILES.change_log(log, f"DELETE FROM scenario_tag WHERE {where}")
    assert len(SOURCE.ids(str(log))) == 299
    assert any("2 tagged frames at its end" in reason for _, reason in SOURCE.skipped(str(log)))


def test_a_part_of_a_city(tmp_path: Path, own_cache: Path) -> None:
    scenario = FILES.city_scenario(6, agents=5, spacing=4.0)
    one = write_nuplan([scenario], tmp_path)[0]
    FILES.make_foreign(tmp_path)
    before = len(list(own_cache.glob("*.npz")))
    now = read_scenario(one.log, one.token)
    whole = city.load_city(FILES.map_path(tmp_path))
    assert len(list(own_cache.glob("*.npz"))) == before + 1
    assert now.roadmap.num_lanes < whole.roadmap.num_lanes
    names = {now.roadmap.lane_ids[k] for k in now.route.lanes}
    raw = {whole.roadmap.group_ids[whole.roadmap.group[whole.roadmap.lane_index(n)]] for n in names}
    assert len(raw) >= 6  # the whole route is in the part, though it reaches beyond 200 m
    at = [whole.roadmap.lane_index(n) for n in now.roadmap.lane_ids]
    shift = np.asarray(whole.origin) - np.asarray(now.origin)
    for k, j in enumerate(at):
        np.testing.assert_allclose(now.roadmap.centerline(k) - shift, whole.roadmap.centerline(j), atol=1e-9)
        inside = {
            n
            for n in (whole.roadmap.lane_ids[m] for m in whole.roadmap.successors(j))
            if n in now.roadmap.lane_ids
        }
        assert {now.roadmap.lane_ids[m] for m in now.roadmap.successors(k)} == inside
    # From the cache on disk it is the same map; a damaged file there is built anew.
    first = whole.roadmap.content_hash
    for damage in (False, True):
        city._load.cache_clear()
        kept = next(
            p
            for p in own_cache.glob("*.npz")
            if p.stat().st_mtime == max(q.stat().st_mtime for q in own_cache.glob("*.npz"))
        )
        if damage:
            kept.write_bytes(kept.read_bytes()[:1000])
        assert city.load_city(FILES.map_path(tmp_path)).roadmap.content_hash == first


def test_holes_are_cut_open(made: Made) -> None:
    from drive.datasets.nuplan.areas import simple_rings

    outer = shapely.Point(0, 0).buffer(10.0)
    area = outer.difference(shapely.Point(3, 0).buffer(2.0)).difference(shapely.Point(-4, 1).buffer(1.0))
    rings = [shapely.Polygon(ring) for ring in simple_rings(area)]
    assert all(r.is_valid for r in rings)
    assert sum(r.area for r in rings) == pytest.approx(area.area)
    assert shapely.union_all(rings).symmetric_difference(area).area < 1e-9
    foreign_area = read_scenario(made[1][1].log, made[1][1].token, restore=False).roadmap.areas
    assert len(foreign_area.of_kind(AreaKind.ROAD)) >= 1
