"""Argoverse 2's own samples: what the field's tools find in them, and a drive through each."""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import drive
from drive.datasets.argoverse2 import SOURCE, read_log, read_map, read_motion
from drive.datasets.recording import Recording
from drive.datasets.source import expand_all
from drive.geometry import project_to_polyline
from drive.roadmap import AreaKind, DrivableArea

pytest.importorskip("pyarrow")
DATA = Path(__file__).parents[2].parent / "shared" / "data"
FOLDER = DATA / "argoverse2"
MAPS = sorted(FOLDER.rglob("*.json"))
LOGS = sorted(FOLDER.glob("sensor_logs/*"))
TABLES = sorted(FOLDER.rglob("*.parquet"))
pytestmark = pytest.mark.skipif(not MAPS, reason="the Argoverse 2 samples are not in ../shared/data")


def counts(path: Path) -> dict[str, str]:
    with open(DATA / "COUNTS.csv", newline="", encoding="utf-8") as file:
        row = next(r for r in csv.DictReader(file) if r["file"] == path.relative_to(DATA).as_posix())
    return dict(re.findall(r"(\w+)=(\S+)", row["counts"]))


@cache
def recording(path: Path) -> Recording:
    return read_log(path) if path.is_dir() else read_motion(path)


@pytest.mark.parametrize("path", MAPS, ids=lambda p: p.name[-20:])
def test_maps_hold_what_av2_counts(path: Path) -> None:
    m, notes = read_map(path, (0.0, 0.0))
    found = {
        "lane_segments": m.num_lanes,
        "drivable_areas": len(m.areas.of_kind(AreaKind.ROAD)),
        "crossings": len(m.areas.of_kind(AreaKind.CROSSWALK)),
        "intersections": int(m.intersection.sum()),
    }
    assert {name: str(value) for name, value in found.items()} == counts(path)
    # Nothing but the way out of the map is left out.
    assert len(notes) == 1
    assert "outside of the map" in notes[0]


@pytest.mark.parametrize("path", TABLES, ids=lambda p: p.name[-20:])
def test_tables_hold_what_av2_counts(path: Path) -> None:
    r, expected = recording(path), counts(path)
    # Four of the tracks are pieces of others, by their own positions; see the test below.
    (said,) = [note for note in r.notes if "are joined to it" in note]
    assert r.tracks.num_agents + int(said.split()[0]) == int(expected["tracks"])
    assert str(r.tracks.num_steps) == expected["timesteps"]
    assert r.planned[0] == expected["focal"]
    assert r.tags == (expected["city"],)
    assert not any("unknown" in note for note in r.notes)


def test_the_car_that_waits_at_the_crossing_is_one_car() -> None:
    """Four ids in turn, all within 0.2 m of one place at their ends, which a plot of the table shows."""
    t = recording(TABLES[0]).tracks
    waits = t.ids.index("139482")
    assert not {"139590", "139644", "139696"} & set(t.ids)
    assert np.flatnonzero(~t.valid[waits]).tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.ptp(t.states[waits, 35:, :2], axis=0), 0.0, atol=0.6)


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.name[:8])
def test_logs_hold_what_pyarrow_counts(path: Path) -> None:
    r = recording(path)
    expected = counts(next(path.glob("annotations*.feather")))
    # One of the files annotates the recording car too; in ours it has a track anyway.
    own = 0 if expected["ego_in_annot"] != "0" else 1
    assert r.tracks.num_agents == int(expected["tracks"]) + own
    assert r.tracks.num_steps == int(expected["timesteps"])
    car = r.tracks.ids.index(r.own)
    assert r.tracks.valid[car].all()
    # The poses begin and end a third of a second outside of the boxes.
    path = float(np.hypot(*np.diff(r.tracks.rear_axle_poses(car)[:, :2], axis=0).T).sum())
    length, longer = float(expected["ego_path_m"]), 0.4 * float(r.tracks.speed[car].max())
    assert length - longer - 0.1 < path <= length
    # A sample is valid where the file has a box at that time, or one 0.1 s before and after.
    boxes = int(expected["rows"]) - int(expected["ego_in_annot"])
    assert int(np.delete(r.tracks.valid, car, axis=0).sum()) == pytest.approx(boxes, rel=0.005)


def test_middles_are_those_that_the_data_set_gives() -> None:
    """The motion forecasting maps come with centrelines that the data set's own tools made."""
    (path,) = [p for p in MAPS if "motion_forecasting" in p.parts]
    m, _ = read_map(path, (0.0, 0.0))
    for key, lane in json.loads(path.read_text())["lane_segments"].items():
        given = np.asarray([(p["x"], p["y"]) for p in lane["centerline"]])
        _, off, _ = project_to_polyline(given, m.centerline(m.lane_index(key)))
        # Rounded to centimetres, and between its few points a chord of the bend.
        assert np.abs(off).max() < 0.1, key
        assert np.median(np.abs(off)) < 0.04, key


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.name[:8])
def test_recording_cars_keep_to_the_ground_and_off_each_other(path: Path) -> None:
    from drive.geometry import box_corners, boxes_overlap

    r = recording(path)
    t, car = r.tracks, r.tracks.ids.index(r.own)
    corners = box_corners(t.states[..., :2], t.states[..., 2], t.size[:, :1], t.size[:, 1:2])
    assert DrivableArea.of(r.roadmap).contains(corners[car]).all()
    for k in range(t.num_steps):
        others = [i for i in np.flatnonzero(t.valid[:, k]) if i != car]
        assert not boxes_overlap(
            corners[others, k], np.broadcast_to(corners[car, k], (len(others), 4, 2))
        ).any()


@pytest.mark.parametrize("place", [*TABLES, *LOGS], ids=lambda p: p.name[:14])
def test_pdm_drives_in_closed_loop(place: Path) -> None:
    log = drive.run("pdm", str(place))
    assert log.header["failure"] is None
    metrics = log.header["scores"]["nuplan_cls"]["metrics"]
    assert metrics["drivable_area_compliance"] == 1.0
    assert metrics["ego_is_making_progress"] == 1.0


def test_the_folder_expands_to_every_scenario() -> None:
    planned, recorded = (expand_all([str(FOLDER)], ego) for ego in ("planned", "recorded"))
    assert len(planned.refs) == len(TABLES) + len(LOGS)
    assert len(recorded.refs) == SOURCE.egos * (len(TABLES) + len(LOGS))
    assert not planned.skipped
    assert not recorded.skipped
