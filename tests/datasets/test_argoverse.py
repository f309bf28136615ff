"""Argoverse 2 on small files whose values were set by hand, and on everything that is not such a file."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.datasets.argoverse2 import SOURCE, read_log, read_map
from drive.datasets.argoverse2.roadmap import marking
from drive.datasets.source import expand_all
from drive.errors import InputError, MapError, ScenarioError, UnknownNameError
from drive.roadmap import AreaKind, DrivableArea, LaneKind, Marking
from drive.vehicle import AgentKind, rear_to_center

pytest.importorskip("pyarrow")
FILES = SimpleNamespace(**run_path(str(Path(__file__).with_name("argoverse_files.py"))))
ORIGIN = (4000.0, 1000.0)


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(FILES.write_motion(tmp_path_factory.mktemp("av2")))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FILES.write_log(tmp_path_factory.mktemp("log"), *FILES.sensor_tables())


@pytest.fixture(scope="module")
def roadmap(tmp_path_factory: pytest.TempPathFactory):
    return read_map(FILES.write_map(tmp_path_factory.mktemp("map")), ORIGIN)


def test_lanes_keep_their_ids_kinds_links_and_bounds(roadmap) -> None:
    m, notes = roadmap
    assert m.lane_ids == ("1", "2", "11", "21", "31")
    kinds = [LaneKind.LANE, LaneKind.CONNECTOR, LaneKind.LANE, LaneKind.LANE, LaneKind.BICYCLE]
    assert m.kind.tolist() == kinds
    assert m.intersection.tolist() == [False, True, False, False, False]
    assert m.successors(0).tolist() == [1]
    assert any("1 successors lie outside" in note for note in notes)
    np.testing.assert_allclose(m.centerline(0)[[0, -1]], [[-50, 0], [50, 0]], atol=1e-9)
    np.testing.assert_allclose(m.centerline(3)[[0, -1]], [[50, 8], [-50, 8]], atol=1e-9)
    np.testing.assert_allclose(m.half_width[m.rows(0)], 2.0)
    assert np.isnan(m.speed_limit).all()
    assert set(m.elevation.tolist()) == {10.0}


def test_neighbours_run_the_same_way_and_others_are_oncoming(roadmap) -> None:
    m, _ = roadmap
    assert m.left_lane[0] == 2
    assert m.right_lane[2] == 0
    assert m.left_lane[2] == -1
    assert m.left_opposite[2] == 3
    assert m.left_opposite[3] == 2
    # A dashed line may be crossed; of SOLID_DASH the left one lies next to a lane on the left.
    assert m.left_change[0]
    assert not m.right_change[2]
    assert m.group[0] == m.group[2] != m.group[3]


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("NONE", Marking.NONE, Marking.NONE),
        ("DASHED_YELLOW", Marking.DASHED, Marking.DASHED),
        ("SOLID_BLUE", Marking.SOLID, Marking.SOLID),
        ("DOUBLE_SOLID_YELLOW", Marking.DOUBLE_SOLID, Marking.DOUBLE_SOLID),
        ("DOUBLE_DASH_WHITE", Marking.DASHED, Marking.DASHED),
        ("DASH_SOLID_YELLOW", Marking.SOLID, Marking.DASHED),
        ("SOLID_DASH_WHITE", Marking.DASHED, Marking.SOLID),
        ("WIGGLY", Marking.NONE, Marking.NONE),
    ],
)
def test_of_two_lines_the_near_one_counts(name: str, left: Marking, right: Marking) -> None:
    assert (marking(name, left=True), marking(name, left=False)) == (left, right)


def test_areas_and_crossings_whichever_way_their_edges_run(roadmap) -> None:
    m, _ = roadmap
    area = DrivableArea.of(m)
    assert area.contains([[0, -4.9], [249, 10.9], [0, -5.2]]).tolist() == [True, True, False]
    rings = m.areas.of_kind(AreaKind.CROSSWALK)
    assert [sorted(map(tuple, ring)) for ring in rings] == [
        [(40, -5), (40, 11), (44, -5), (44, 11)],
        [(60, -5), (60, 11), (64, -5), (64, 11)],
    ]
    from shapely import Polygon

    assert [Polygon(ring).area for ring in rings] == [64.0, 64.0]


def test_the_focal_track_is_the_planned_ego(motion: str) -> None:
    assert SOURCE.matches(motion)
    (ref,) = SOURCE.ids(motion)
    assert ref == f"{motion}#@501"
    s = SOURCE.load(ref)
    assert s.content_hash == SOURCE.load(motion).content_hash
    assert s.origin == ORIGIN
    assert (s.dt, s.num_steps, s.duration) == (0.1, 109, pytest.approx(10.9))
    assert s.tracks.ids == ("501", "502", "503", "504", "AV")
    assert s.expert.source == "human"
    assert s.provenance.licence.startswith("CC BY-NC-SA 4.0")
    centre = rear_to_center(s.initial, s.vehicle.rear_axle_to_center)
    np.testing.assert_allclose(centre, [-10.0, 0.0], atol=1e-9)
    assert s.initial[3] == pytest.approx(10.0)
    assert [s.roadmap.lane_ids[lane] for lane in s.route.lanes] == ["1", "2"]
    np.testing.assert_allclose(s.route.goal.position, [-10.0 + 10.0 * 10.9, 0.0], atol=1e-9)


def test_tracks_have_gaps_kinds_and_typical_sizes(motion: str) -> None:
    t = SOURCE.load(motion).tracks
    bus = t.ids.index("502")
    assert np.flatnonzero(t.valid[bus]).tolist() == [*range(20, 60), *range(70, 75)]
    kinds = [AgentKind.VEHICLE, AgentKind.BUS, AgentKind.PEDESTRIAN, AgentKind.VEHICLE, AgentKind.VEHICLE]
    assert t.kind.tolist() == kinds
    assert t.size[bus, 0] > 10.0 > t.size[0, 0] > 4.0 > 1.0 > t.size[t.ids.index("503"), 0]
    assert (t.states[~t.valid] == 0.0).all()


def test_the_recording_car_gives_its_rear_axle(motion: str) -> None:
    s = SOURCE.load(f"{motion}#@AV")
    np.testing.assert_allclose(s.initial[:2], [-40.0, 0.0], atol=1e-9)
    assert s.expert.source == "recorded"
    assert s.vehicle.wheelbase == 2.85


def test_an_ego_with_a_gap_drives_its_longest_stretch(motion: str) -> None:
    s = SOURCE.load(f"{motion}#{FILES.LOG}@502")
    assert s.num_steps == 39
    # At step 20 of the file it is 10 m on; the others are cut to the same clock.
    np.testing.assert_allclose(s.tracks.states[s.ego, 0, :2], [10.0, 4.0])
    np.testing.assert_allclose(s.tracks.states[s.tracks.ids.index("501"), 0, 0], 10.0)
    assert any("5 more samples" in note for note in s.provenance.notes)


def test_recorded_egos_are_those_that_drive_farthest_on_lanes(motion: str) -> None:
    # 504 drives as fast as 501, but on no lane; 502 as far as 20 m; the pedestrian is no driver.
    assert SOURCE.ids(motion, "recorded") == [f"{motion}#@{track}" for track in ("501", "AV", "502")]


@pytest.mark.parametrize(
    ("ref", "fault"),
    [
        ("#@777", "no track '777'"),
        ("#@503", "is a pedestrian; only a motor vehicle"),
        ("#@504", "never is on a lane"),
        ("#elsewhere@501", "unknown scenario"),
    ],
)
def test_tracks_that_cannot_be_the_ego(motion: str, ref: str, fault: str) -> None:
    with pytest.raises((ScenarioError, UnknownNameError), match=fault):
        SOURCE.load(motion + ref)


def test_a_focal_pedestrian_leaves_the_wheel_to_the_recording_car(tmp_path: Path) -> None:
    table = [{**row, "focal_track_id": "503"} for row in FILES.motion_table()]
    assert SOURCE.ids(str(FILES.write_motion(tmp_path, table)))[0].endswith("@AV")


def with_pieces(*pieces: tuple[str, str, range, float, float, float]) -> list[dict[str, object]]:
    """The table with more road users, each (id, type, steps, x and y at step 0, speed)."""
    extra = [row for piece in pieces for row in FILES.rows(*piece)]
    about = {
        k: FILES.motion_table()[0][k] for k in ("scenario_id", "num_timestamps", "focal_track_id", "city")
    }
    return FILES.motion_table() + [{**row, **about} for row in extra]


def test_pieces_of_one_car_are_joined(tmp_path: Path) -> None:
    # One car under three ids, with a gap of two samples and an overlap of three.
    table = with_pieces(
        ("b", "vehicle", range(30), 0.0, 4.0, 5.0),
        ("c", "vehicle", range(32, 60), 0.3, 4.0, 5.0),
        ("a", "vehicle", range(57, 110), 0.0, 4.2, 5.0),
    )
    s = SOURCE.load(str(FILES.write_motion(tmp_path, table)))
    t = s.tracks
    assert "a" not in t.ids
    assert "c" not in t.ids
    car = t.ids.index("b")
    assert t.valid[car].all()
    np.testing.assert_allclose(t.states[car, 29:33, 0], [14.5, 15.1, 15.7, 16.3], atol=1e-9)
    np.testing.assert_allclose(t.states[car, [59, 60], 1], [4.0, 4.2])
    assert any("c to b, a to c" in note for note in s.provenance.notes)


@pytest.mark.parametrize(
    "second",
    [
        ("z", "vehicle", range(36, 60), 0.0, 4.0, 5.0),  # 0.7 s later
        ("z", "vehicle", range(32, 60), 2.0, 4.0, 5.0),  # two metres ahead
        ("z", "bus", range(32, 60), 0.0, 4.0, 5.0),  # something else
        ("z", "vehicle", range(20, 60), 0.0, 4.0, 5.0),  # both are seen for a second
        ("z", "vehicle", range(10, 25), 0.0, 4.0, 5.0),  # it ends before the first one does
        ("z", "vehicle", range(31, 32), 0.0, 4.0, 5.0),  # one sample alone
    ],
)
def test_others_are_not_joined(tmp_path: Path, second: tuple) -> None:
    table = with_pieces(("b", "vehicle", range(30), 0.0, 4.0, 5.0), second)
    t = SOURCE.load(str(FILES.write_motion(tmp_path, table))).tracks
    assert {"b", "z"} <= set(t.ids)


def test_of_two_that_could_go_on_the_nearest_does(tmp_path: Path) -> None:
    table = with_pieces(
        ("b", "vehicle", range(30), 0.0, 4.0, 5.0),
        ("far", "vehicle", range(30, 60), 0.0, 4.8, 5.0),
        ("near", "vehicle", range(30, 60), 0.0, 4.1, 5.0),
    )
    t = SOURCE.load(str(FILES.write_motion(tmp_path, table))).tracks
    assert "near" not in t.ids
    assert {"b", "far"} <= set(t.ids)


def changed(**values: object) -> list[dict[str, object]]:
    table = FILES.motion_table()
    table[150].update(values)
    return table


def every(**values: object) -> list[dict[str, object]]:
    return [{**row, **values} for row in FILES.motion_table()]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (changed(position_x=float("nan")), "row 150: position_x is nan"),
        (changed(position_y=1e12), "row 150: position_y is 1e\\+12"),
        (changed(velocity_x=400.0), "row 150: a road user faster than"),
        (changed(timestep=200), "time steps 0 to 200 of 110"),
        (changed(timestep=3), "two rows at one time step"),
        (changed(scenario_id="b"), "'scenario_id' has 2 values"),
        (every(heading="east"), "'heading' holds string, not a number"),
        (every(heading=None), "'heading' holds null, not a number"),
        ([{k: v for k, v in row.items() if k != "city"} for row in FILES.motion_table()], "lacks .* city"),
        (changed(heading=None), "'heading' lacks 1 values"),
        (changed(track_id="x" * 300), "'track_id' holds a text of 300 bytes"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_are_refused(tmp_path: Path, table: list, fault: str) -> None:
    path = FILES.write_motion(tmp_path, table)
    with pytest.raises(InputError, match=fault) as told:
        SOURCE.load(str(path))
    assert path.name in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_table_is_refused_by_name(tmp_path: Path, kept: float) -> None:
    path = FILES.write_motion(tmp_path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(InputError, match=r"scenario_00000000-test\.parquet.*truncated"):
        SOURCE.load(str(path))


def edited(**lanes: dict[str, object]) -> dict[str, object]:
    data = FILES.vector_map()
    for key, values in lanes.items():
        data["lane_segments"][key.strip("_")].update(values)
    return data


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("{", "truncated, or no JSON"),
        ("[" * 100_000, "truncated, or no JSON"),
        ("[1, 2]", "no vector map"),
        ('{"a": 1}', "lacks 'lane_segments'"),
        ({"lane_segments": {}}, "the map is empty"),
        ({"lane_segments": [1]}, "no table of objects"),
        (edited(_1={"left_lane_boundary": [{"x": 1.0}]}), "lane 1: 'left_lane_boundary' is no list"),
        (edited(_1={"left_lane_boundary": FILES.points((0, 2))}), "lane 1: .* needs two points"),
        (edited(_1={"left_lane_boundary": FILES.points((0, 2), (float("nan"), 2))}), "lane 1: .* all finite"),
        (edited(_1={"left_lane_boundary": FILES.points((-50, -6), (50, -6))}), "lane '1'.*reversed bounds"),
        (edited(_1={"successors": 7}), "'successors' is no list"),
    ],
)  # fmt: skip
def test_maps_that_cannot_be_are_refused(tmp_path: Path, data: object, fault: str) -> None:
    path = FILES.write_map(tmp_path, data)
    with pytest.raises(InputError, match=fault) as told:
        read_map(path, ORIGIN)
    assert path.name in str(told.value)


def test_a_table_without_its_map_says_what_to_put_where(tmp_path: Path) -> None:
    path = FILES.write_motion(tmp_path, with_map=False)
    with pytest.raises(InputError, match=f"put log_map_archive_{FILES.LOG}.json there"):
        SOURCE.load(str(path))


def test_a_map_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = FILES.write_motion(tmp_path)
    before = SOURCE.load(str(path)).roadmap.num_lanes
    data = FILES.vector_map()
    del data["lane_segments"]["31"]
    FILES.write_map(tmp_path, data)
    assert (before, SOURCE.load(str(path)).roadmap.num_lanes) == (5, 4)


def test_bad_files_in_a_folder_are_skipped_and_told(tmp_path: Path) -> None:
    good = FILES.write_motion(tmp_path / "good")
    bad = FILES.write_motion(tmp_path / "bad", changed(heading=float("inf")))
    other = FILES.write_motion(tmp_path / "other", with_map=False)
    found = expand_all([str(tmp_path)])
    assert found.refs == (f"{good}#@501",)
    assert sorted(file for file, _ in found.skipped) == [str(bad), str(other)]
    assert any("row 150: heading is inf" in reason for _, reason in found.skipped)


def test_a_log_stands_for_the_car_that_recorded_it(log: Path) -> None:
    boxes = log / "annotations.feather"
    assert all(SOURCE.matches(str(p)) for p in (log, boxes))
    assert not SOURCE.matches(str(log / "city_SE3_egovehicle.feather"))
    assert SOURCE.ids(str(log)) == SOURCE.ids(str(boxes)) == [f"{log}#@EGO_VEHICLE"]
    s = SOURCE.load(str(log))
    assert s.num_steps == 30
    np.testing.assert_allclose(s.initial[:4], [-30.0, 0.0, 0.0, 10.0], atol=1e-6)
    np.testing.assert_allclose(s.expert.states[-1, :4], [0.0, 0.0, 0.0, 10.0], atol=1e-6)
    assert s.expert.source == "recorded"


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_boxes_are_turned_from_the_cars_frame_into_the_citys(tmp_path: Path, turn: float) -> None:
    log = read_log(FILES.write_log(tmp_path, *FILES.sensor_tables(turn=turn)))
    t = log.tracks
    parked, lead = t.ids.index("parked"), t.ids.index("lead")
    assert t.valid[[parked, lead]].all()
    # The parked car stands whichever way the recording car turns; the other one drives with it.
    np.testing.assert_allclose(t.states[parked, :, :2], np.broadcast_to([60.0, 3.0], (31, 2)), atol=1e-6)
    np.testing.assert_allclose(t.states[parked, :, 2:], 0.0, atol=1e-6)
    times = 0.1 * np.arange(31)
    np.testing.assert_allclose(t.states[lead, :, 0], -10.0 + 10.0 * times, atol=1e-6)
    np.testing.assert_allclose(t.states[lead, :, 1:3], 0.0, atol=1e-6)
    np.testing.assert_allclose(t.states[lead, :, 3:], np.broadcast_to([10.0, 0.0], (31, 2)), atol=1e-5)
    np.testing.assert_allclose(t.states[t.ids.index(log.own), :, 2], turn * times, atol=1e-6)
    assert t.size[lead].tolist() == [12.0, 3.0, 3.2]
    kinds = {"parked": AgentKind.VEHICLE, "lead": AgentKind.BUS, "odd": AgentKind.UNKNOWN}
    assert {i: AgentKind(int(k)) for i, k in zip(t.ids, t.kind, strict=True) if i in kinds} == kinds
    assert any("HOVERCRAFT" in note for note in log.notes)


def test_a_box_that_is_lost_for_a_while_leaves_a_gap(tmp_path: Path) -> None:
    box, pose = FILES.sensor_tables()
    first = box["timestamp_ns"][0]

    def kept(i: int) -> bool:
        step = (box["timestamp_ns"][i] - first) // 100_000_000
        return box["track_uuid"][i] != "lead" or step not in (5, 10, 11, 12)

    rows = [i for i in range(len(box["qw"])) if kept(i)]
    box = {name: [values[i] for i in rows] for name, values in box.items()}
    t = SOURCE.load(str(FILES.write_log(tmp_path, box, pose))).tracks
    # One lost box is bridged, as 0.2 s are; three are not.
    assert np.flatnonzero(~t.valid[t.ids.index("lead")]).tolist() == [10, 11, 12]


def broken(table: str, name: str, row: int, value: object):
    box, pose = FILES.sensor_tables()
    {"box": box, "pose": pose}[table][name][row] = value
    return box, pose


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        (broken("box", "tx_m", 4, float("nan")), "annotations.feather: row 4: tx_m is nan"),
        (broken("pose", "qw", 4, float("nan")), "city_SE3_egovehicle.feather: row 4: qw is nan"),
        (broken("pose", "qw", 7, 3.0), "city_SE3_egovehicle.feather: row 7: the rotation is no unit"),
        (broken("box", "width_m", 2, 0.0), "row 2: a box without a size"),
        (broken("box", "timestamp_ns", 3, 315_970_000_000_000_000), "'parked' has two boxes at one time"),
        (broken("box", "timestamp_ns", 3, 1), "make no clock"),
    ],
)
def test_logs_that_cannot_be_are_refused(tmp_path: Path, tables, fault: str) -> None:
    log = FILES.write_log(tmp_path, *tables)
    with pytest.raises(InputError, match=fault):
        SOURCE.load(str(log))


def test_parts_of_a_log_that_are_missing_are_named(tmp_path: Path) -> None:
    log = FILES.write_log(tmp_path, *FILES.sensor_tables())
    (log / "map" / f"log_map_archive_{FILES.LOG}.json").unlink()
    with pytest.raises(InputError, match="0 maps beside it in 'map'"):
        SOURCE.load(str(log))
    (log / "city_SE3_egovehicle.feather").rename(log / "poses")
    with pytest.raises(InputError, match=r"lacks city_SE3_egovehicle\.feather"):
        SOURCE.load(str(log))
    (log / "poses").rename(log / "city_SE3_egovehicle.feather")
    (log / "annotations.feather").unlink()
    with pytest.raises(InputError, match=r"no annotations.feather \(the test split has no boxes\)"):
        SOURCE.load(str(log))
    assert "no annotations.feather" in json.dumps(_reasons(tmp_path))


def _reasons(folder: Path) -> list[str]:
    FILES.write_motion(folder / "fine")
    return [reason for _, reason in expand_all([str(folder)]).skipped]


def test_a_truncated_log_is_refused_by_name(tmp_path: Path) -> None:
    log = FILES.write_log(tmp_path, *FILES.sensor_tables())
    path = log / "city_SE3_egovehicle.feather"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match=r"city_SE3_egovehicle\.feather: truncated"):
        SOURCE.load(str(log))


def test_map_errors_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(MapError):
        read_map(FILES.write_map(tmp_path, {"lane_segments": {}}), ORIGIN)


def test_an_ego_from_beyond_the_map_begins_on_it(tmp_path: Path) -> None:
    table = with_pieces(("far", "vehicle", range(110), -70.0, 0.0, 10.0))
    s = SOURCE.load(str(FILES.write_motion(tmp_path, table)) + "#@far")
    # The road begins at x = -50: at step 23 the car's rear end, 2.25 m behind its middle, is on it.
    np.testing.assert_allclose(
        rear_to_center(s.initial, s.vehicle.rear_axle_to_center), [-47.0, 0.0], atol=1e-9
    )
    assert s.num_steps == 109 - 23
    assert any("23 more samples of the ego" in note for note in s.provenance.notes)
    assert [s.roadmap.lane_ids[lane] for lane in s.route.lanes] == ["1", "2"]


def test_an_ego_drives_where_its_lanes_hang_together(tmp_path: Path) -> None:
    # It comes from a lane that leads nowhere, and goes on along lanes 1 and 2.
    data = FILES.vector_map()
    data["lane_segments"]["41"] = FILES.segment(41, (-90, -52), (-2, 2))
    table = with_pieces(("far", "vehicle", range(110), -80.0, 0.0, 10.0))
    path = FILES.write_motion(tmp_path, table)
    FILES.write_map(tmp_path, data)
    s = SOURCE.load(f"{path}#@far")
    assert [s.roadmap.lane_ids[lane] for lane in s.route.lanes] == ["1", "2"]
    assert s.tracks.states[s.ego, 0, 0] == pytest.approx(-50.0)
    assert s.tracks.states[s.ego, -1, 0] == pytest.approx(29.0)


def test_text_may_be_kept_as_a_dictionary(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = FILES.write_motion(tmp_path)
    before = SOURCE.load(str(path)).content_hash
    table = pyarrow.parquet.read_table(path)
    at = table.schema.get_field_index("track_id")
    table = table.set_column(at, "track_id", table.column("track_id").dictionary_encode())
    pyarrow.parquet.write_table(table, path)
    assert SOURCE.load(str(path)).content_hash == before


def test_a_table_with_too_many_rows_is_not_read(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(FILES.motion_table()[:1])
    path = tmp_path / "scenario_a.parquet"
    pyarrow.parquet.write_table(table.take(np.zeros(1_000_001, dtype=np.int64)), path)
    with pytest.raises(InputError, match="a table of 1000001 rows"):
        SOURCE.load(str(path))


@pytest.mark.parametrize("name", ["annotations.feather", "city_SE3_egovehicle.feather", "parquet", "json"])
def test_whatever_the_damage_is_the_answer_is_one_line(tmp_path: Path, name: str) -> None:
    if name.endswith("feather"):
        place = FILES.write_log(tmp_path, *FILES.sensor_tables())
        file = place / name
    else:
        place = FILES.write_motion(tmp_path)
        file = place if name == "parquet" else next(tmp_path.glob("*.json"))
    whole = file.read_bytes()
    rng = np.random.default_rng(7)
    told: list[str] = []
    for _ in range(25):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 10)):
            data[at] = rng.integers(0, 256)
        cut = rng.integers(0, len(data))
        file.write_bytes(data if rng.random() < 0.7 else data[:cut] + data[cut + rng.integers(1, 50) :])
        try:
            SOURCE.load(str(place))
        except InputError as error:
            told.append(str(error))
    assert len(told) > 5
    assert not any("\n" in line for line in told)
