"""Waymo Open Motion: scenarios from records that Google's protobuf encoded, and from a user's own files."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import drive
from drive.datasets.source import expand_all
from drive.datasets.waymo import SOURCE, read_records, read_scene
from drive.datasets.waymo.records import masked_crc, read_record
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.roadmap import AreaKind, DrivableArea, LaneKind, Marking
from drive.scenario import SignalState
from drive.vehicle import AgentKind

pytest.importorskip("google.protobuf")
RECORDS = SimpleNamespace(**run_path(str(Path(__file__).with_name("waymo_records.py"))))
ORIGIN = (8000.0, -3000.0)
OWN_DATA = os.environ.get("DRIVE_WAYMO_DATA")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    second = {**RECORDS.scenario(), "scenario_id": "def456"}
    folder = tmp_path_factory.mktemp("waymo")
    return str(RECORDS.write(folder / "training.tfrecord-00000-of-01000", RECORDS.scenario(), second))


@pytest.fixture(scope="module")
def scene(file: str):
    return SOURCE.load(f"{file}#abc123")


def test_a_file_stands_for_the_recording_cars_of_its_scenarios(file: str) -> None:
    assert SOURCE.matches(file)
    assert SOURCE.ids(file) == [f"{file}#abc123", f"{file}#def456"]
    assert SOURCE.load(file).id == SOURCE.load(f"{file}#abc123").id == f"{Path(file).name}#abc123@900"


def test_tracks_are_those_that_were_written(scene) -> None:
    t = scene.tracks
    assert (scene.dt, scene.duration, scene.origin) == (0.1, pytest.approx(9.0), ORIGIN)
    assert t.ids == ("900", "901", "902", "903", "904")  # 905 has no valid state
    kinds = [AgentKind.VEHICLE, AgentKind.PEDESTRIAN, AgentKind.BICYCLE, AgentKind.VEHICLE, AgentKind.UNKNOWN]
    assert t.kind.tolist() == kinds
    assert np.flatnonzero(t.valid[1]).tolist() == list(range(5, 60))
    assert t.valid[3].sum() == 81
    np.testing.assert_allclose(t.states[0, 10], [28.0, 0.0, 0.0, 8.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(t.size[0], [4.5, 2.0, 1.5])
    assert scene.expert.source == "recorded"
    assert "Non-Commercial" in scene.provenance.licence


def test_lanes_have_the_widths_that_lines_neighbours_and_edges_leave(scene) -> None:
    m = scene.roadmap
    assert m.lane_ids == ("1", "2", "3", "4", "5", "7")  # 6 is a point
    half = {lane: m.half_width[m.rows(m.lane_index(lane))] for lane in m.lane_ids}
    # Lines at 1.5 m on the left and 1.75 m on the right, which the lane names.
    np.testing.assert_allclose(half["1"], np.broadcast_to([1.5, 1.75], half["1"].shape), atol=1e-9)
    # Half of the way to lane 1, and a road edge 1.5 m off.
    np.testing.assert_allclose(half["2"], np.broadcast_to([1.75, 1.5], half["2"].shape), atol=1e-9)
    # An edge 3 m off on the left; nothing on the right.
    np.testing.assert_allclose(half["3"], np.broadcast_to([3.0, 1.75], half["3"].shape), atol=1e-9)
    np.testing.assert_allclose(half["7"], 1.75, atol=1e-9)
    # South of the bike lane is nothing; the edge lies 1.5 m north of it.
    np.testing.assert_allclose(half["5"], np.broadcast_to([1.5, 0.9], half["5"].shape), atol=1e-9)


def test_lanes_have_kinds_links_limits_and_marks(scene) -> None:
    m = scene.roadmap
    # 4 crosses 3; 7 crosses it as well, ten metres above.
    kinds = [
        LaneKind.LANE,
        LaneKind.LANE,
        LaneKind.CONNECTOR,
        LaneKind.CONNECTOR,
        LaneKind.BICYCLE,
        LaneKind.LANE,
    ]
    assert m.kind.tolist() == kinds
    assert m.intersection.tolist() == [False, False, True, True, False, False]
    assert m.successors(0).tolist() == [2]
    np.testing.assert_allclose(m.speed_limit[:2], 11.176)
    assert np.isnan(m.speed_limit[2])
    assert (m.right_lane[0], m.left_lane[1]) == (1, 0)
    assert m.right_change[0]
    assert m.left_change[1]
    assert (m.left_marking[0], m.right_marking[0]) == (Marking.DOUBLE_SOLID, Marking.DASHED)


def test_ground_reaches_to_the_edges_and_four_metres_from_middles(scene) -> None:
    m = scene.roadmap
    area = DrivableArea.of(m)
    inside = [[50, 2.9], [50, -4.9], [140, -3.9], [121.2, 20], [22, -7], [125, 10]]
    outside = [[50, 3.2], [50, -5.3], [140, -4.2], [120.8, 20], [40, -9], [160, 0]]
    assert area.contains(inside).all()
    assert not area.contains(outside).any()
    assert len(m.areas.of_kind(AreaKind.CROSSWALK)) == 1


def test_signals_and_stop_signs_stand_on_their_lanes(scene) -> None:
    m = scene.roadmap
    assert m.signal_ids == ("3",)
    third = m.lane_index("3")
    assert m.signal[third] == 0
    assert m.stop_station[third] == pytest.approx(-4.0)  # before the lane's start
    expected = [SignalState.RED] * 30 + [SignalState.GREEN] * 61
    expected[50] = SignalState.UNKNOWN
    assert scene.signals[0].tolist() == expected
    fourth = m.lane_index("4")
    assert m.signal[fourth] == -1
    assert m.stop_station[fourth] == pytest.approx(20.0)


def test_what_is_left_out_or_guessed_is_said(scene) -> None:
    notes = "; ".join(scene.provenance.notes)
    for words in (
        "1 lanes of one point",
        "1 speed bumps",
        "drivable ground is approximated",
        "lane widths are",
    ):
        assert words in notes


def test_solid_lines_and_short_stretches_forbid_changes(tmp_path: Path) -> None:
    parts = copy.deepcopy(RECORDS.features())
    parts[0]["lane"]["right_neighbors"][0]["boundaries"][0]["boundary_type"] = 2
    parts[1]["lane"]["left_neighbors"][0] |= {"self_start_index": 100, "neighbor_start_index": 100}
    m = SOURCE.load(str(RECORDS.write(tmp_path / "a.tfrecord", RECORDS.scenario(map_features=parts)))).roadmap
    assert m.right_lane[0] == 1
    assert not m.right_change[0]
    assert m.left_lane[1] == -1


def test_recorded_egos_are_told_apart_from_the_recording_car(file: str) -> None:
    assert SOURCE.ids(file, "recorded")[:2] == [f"{file}#abc123@903", f"{file}#abc123@900"]
    s = SOURCE.load(f"{file}#abc123@903")
    assert s.expert.source == "human"
    assert s.num_steps == 80
    # The clock begins where the ego does: 1 s later in the record, so does the light's red phase end.
    assert s.signals[0].tolist()[:21] == [SignalState.RED] * 20 + [SignalState.GREEN]


@pytest.mark.parametrize(
    ("ref", "fault"),
    [("#zzz", "unknown scenario"), ("#abc123@901", "is a pedestrian"), ("#abc123@777", "no track '777'")],
)
def test_scenarios_and_tracks_that_are_not_there(file: str, ref: str, fault: str) -> None:
    with pytest.raises((ScenarioError, UnknownNameError), match=fault):
        SOURCE.load(file + ref)


def edited(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(RECORDS.scenario())
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (edited(("tracks",), []), "no motion scenario"),
        (edited(("scenario_id",), None), "holds no motion scenario with an id"),
        (edited(("map_features",), []), "the map is empty"),
        (edited(("sdc_track_index",), 17), r"recording car's track \(17\) is none of the 6"),
        (edited(("sdc_track_index",), 5), "the recording car's track '905' has no valid state"),
        (edited(("timestamps_seconds", 40), 4.4), "time steps are not 0.1 s apart"),
        (edited(("timestamps_seconds", 40), "NaN"), "time steps are not 0.1 s apart"),
        (edited(("tracks", 2, "states", 90), None), "track '902' has 90 states for 91 time steps"),
        (edited(("tracks", 2, "id"), 900), "two tracks have the same id"),
        (edited(("tracks", 2, "states", 4, "center_x"), "NaN"), "track 902, step 4: .* not finite"),
        (edited(("tracks", 2, "states", 4, "heading"), "Infinity"), "track 902, step 4: .* not finite"),
        (edited(("tracks", 4, "states"), [{"valid": True}] * 91), "track '904' has no size"),
        (edited(("dynamic_map_states",), [{}]), "signals at 1 of 91"),
        (
            edited(("map_features", 0, "lane", "polyline", 3, "x"), "NaN"),
            "feature 1 holds points that are not",
        ),
        (edited(("map_features", 1, "id"), 1), "lane '1' is defined twice"),
    ],
)
def test_scenarios_that_cannot_be_are_refused(tmp_path: Path, data: dict[str, Any], fault: str) -> None:
    path = RECORDS.write(tmp_path / "bad.tfrecord", data)
    with pytest.raises(InputError, match=fault) as told:
        SOURCE.load(str(path))
    assert str(told.value).startswith("bad.tfrecord: ")


def test_whatever_the_damage_is_the_answer_is_one_line(tmp_path: Path) -> None:
    """Bytes changed inside of records whose checksums fit, as a program with a fault would write them."""
    whole = RECORDS.encode(RECORDS.scenario(tracks=RECORDS.scenario()["tracks"][:2]))
    path = tmp_path / "a.tfrecord"
    rng = np.random.default_rng(3)
    told: list[str] = []
    for _ in range(25):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 10)):
            data[at] = rng.integers(0, 256)
        head = len(data).to_bytes(8, "little")
        checks = [masked_crc(part).to_bytes(4, "little") for part in (head, bytes(data))]
        path.write_bytes(head + checks[0] + data + checks[1])
        try:
            SOURCE.load(str(path))
        except InputError as error:
            told.append(str(error))
    assert len(told) > 5
    assert not any("\n" in line for line in told)


def test_an_ego_with_a_gap_drives_its_longest_stretch(tmp_path: Path) -> None:
    data = edited(("tracks", 0, "states", 20), {"valid": False})
    assert SOURCE.load(str(RECORDS.write(tmp_path / "a.tfrecord", data))).num_steps == 69


def test_bad_files_in_a_folder_are_skipped_and_told(tmp_path: Path) -> None:
    good = RECORDS.write(tmp_path / "a.tfrecord", RECORDS.scenario())
    bad = RECORDS.write(tmp_path / "b.tfrecord", RECORDS.scenario())
    bad.write_bytes(bad.read_bytes()[:-3])
    found = expand_all([str(tmp_path)])
    assert found.refs == (f"{good}#abc123",)
    assert found.skipped == ((str(bad), "record 0 is truncated"),)


def test_scenarios_without_a_driver_are_told_when_recorded_ones_are_asked_for(tmp_path: Path) -> None:
    alone = RECORDS.scenario(tracks=RECORDS.scenario()["tracks"][1:3], sdc_track_index=0, scenario_id="x")
    path = RECORDS.write(tmp_path / "a.tfrecord", RECORDS.scenario(), alone)
    found = expand_all([str(path)], "recorded")
    assert len(found.refs) == 2
    ((_, reason),) = found.skipped
    assert "scenario 'x'" in reason
    assert "no recorded motor vehicle" in reason


def test_pdm_stops_at_the_light_and_drives_on(file: str) -> None:
    log = drive.run("pdm", f"{file}#abc123")
    assert log.header["failure"] is None
    front = log.ego[:, 0] + 4.5 - 0.22 * 4.5
    # Until 3 s the light at x = 96 m is red.
    assert front[30] < 96.0
    assert log.header["scores"]["nuplan_cls"]["metrics"]["drivable_area_compliance"] == 1.0


@pytest.mark.skipif(not OWN_DATA, reason="DRIVE_WAYMO_DATA names no folder with files of the data set")
def test_a_users_files_are_read_as_google_reads_them() -> None:
    found = expand_all([str(OWN_DATA)])
    assert found.refs
    for ref in found.refs[:20]:
        s = SOURCE.load(ref)
        _same_as_google(ref)
        assert s.num_steps >= 10
        ego = s.tracks.states[s.ego, s.tracks.valid[s.ego], :2]
        off = DrivableArea.of(s.roadmap).distance_outside(ego)
        assert np.quantile(off, 0.9) < 1.0


def _same_as_google(ref: str) -> None:
    path, _, scene = ref.partition("#")
    for at, data in read_records(Path(path)):
        theirs = RECORDS.message_class("Scenario")()
        theirs.ParseFromString(data)
        if theirs.scenario_id != scene:
            continue
        ours = read_scene(read_record(Path(path), at), "x")
        seen = [t for t in theirs.tracks if any(state.valid for state in t.states)]
        assert ours.tracks.ids == tuple(str(t.id) for t in seen)
        for row, track in enumerate(seen):
            assert ours.tracks.valid[row].tolist() == [state.valid for state in track.states]
            places = np.array([(p.center_x, p.center_y, p.velocity_x) for p in track.states if p.valid])
            states = ours.tracks.states[row, ours.tracks.valid[row]]
            np.testing.assert_allclose(states[:, :2] + ours.origin, places[:, :2], atol=1e-9)
            np.testing.assert_array_equal(states[:, 3], places[:, 2])
        m = ours.roadmap
        for feature in theirs.map_features:
            if feature.HasField("lane") and str(feature.id) in m.lane_ids:
                lane = m.lane_index(str(feature.id))
                ends = [(p.x, p.y) for p in (feature.lane.polyline[0], feature.lane.polyline[-1])]
                np.testing.assert_allclose(m.centerline(lane)[[0, -1]] + ours.origin, ends, atol=2e-3)
                known = {m.lane_index(str(i)) for i in feature.lane.exit_lanes if str(i) in m.lane_ids}
                assert known <= set(m.successors(lane).tolist())
