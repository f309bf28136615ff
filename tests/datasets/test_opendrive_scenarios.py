"""Drives on bare OpenDRIVE maps: what the source lists, that a seed says it all, and who may not crash."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from drive.datasets import source
from drive.datasets.generate.check import first_overlap, track_corners
from drive.datasets.opendrive import SOURCE
from drive.errors import InputError, MapError, ScenarioError
from drive.geometry import arc_length, project_to_polyline
from drive.registry import load as registered
from drive.roadmap import DrivableArea, LaneKind
from drive.runlog import RunLog
from drive.scenario import SignalState
from drive.sim.loop import simulate

HERE = Path(__file__).parent
TEXT = SimpleNamespace(**run_path(str(HERE / "opendrive_text.py")))
SMALL = HERE / "opendrive_small.xodr"
DATA = HERE.parents[1].parent / "shared" / "data"
TOWNS = [DATA / f"carla_opendrive/{name}.xodr" for name in ("Town01", "Town03_2019", "Town04", "Town10HD")]
LONG = TEXT.document(TEXT.road(length=900.0, plan=TEXT.geometry(length=900.0)))


def test_references():
    assert SOURCE.matches(str(SMALL))
    assert SOURCE.matches(f"{SMALL}#3")
    assert not SOURCE.matches(str(SMALL.with_name("gone.xodr")))
    assert SOURCE.ids(str(SMALL)) == [f"{SMALL}#{k}" for k in range(5)]
    assert SOURCE.ids(f"{SMALL}#2:4") == [f"{SMALL}#2", f"{SMALL}#3"]
    assert SOURCE.ids(f"{SMALL}#1.0.-1>2.0.-1") == [f"{SMALL}#1.0.-1>2.0.-1"]
    assert source.expand([f"{SMALL}#7"]) == [f"{SMALL}#7"]
    for ref, reason in (
        (f"{SMALL}#x", "names no drive; write FILE#SEED"),
        (f"{SMALL}#4:4", "names no seeds"),
        (f"{SMALL}#1>2.0.-1", "the map has no lane '1'"),
        (f"{SMALL}#2.0.-1>1.0.-1", "no way leads from lane '2.0.-1' to lane '1.0.-1'"),
        (f"{SMALL}#0:2", "stands for 2 drives; name one"),
    ):
        with pytest.raises((InputError, MapError, ScenarioError), match=reason):
            SOURCE.load(ref)
    with pytest.raises(InputError, match="holds no recorded drive"):
        SOURCE.ids(str(SMALL), ego="recorded")


def test_a_bad_file_among_good_ones_is_told(tmp_path):
    TEXT.write(tmp_path, LONG, "good.xodr")
    TEXT.write(tmp_path, LONG.replace('length="900.0"', 'length="x"', 1), "bad.xodr")
    found = source.expand_all([str(tmp_path)])
    assert [Path(ref).name for ref in found.refs] == [f"good.xodr#{k}" for k in range(5)]
    (name, reason) = found.skipped[0]
    assert Path(name).name == "bad.xodr"
    assert reason.startswith("line 3: <road> has length='x'")


def test_a_seed_says_it_all(tmp_path):
    path = TEXT.write(tmp_path, LONG, "long.xodr")
    one, again, other = (SOURCE.load(f"{path}#{k}") for k in (1, 1, 2))
    assert one.id == "long.xodr#1"
    assert one.content_hash == again.content_hash != other.content_hash
    assert one.provenance.seed == 1
    assert str(tmp_path) not in repr(one.provenance)
    path.write_text(LONG.replace('x="0.0"', 'x="5.0"'))
    assert SOURCE.load(f"{path}#1").content_hash != one.content_hash  # the map was read anew


def test_a_named_way_leads_from_lane_to_lane():
    s = SOURCE.load(f"{SMALL}#1.0.-1>2.0.-1")
    lanes = [s.roadmap.lane_ids[i] for i in s.route.lanes]
    assert lanes == ["1.0.-1", "1.1.-1", "10.0.-1", "2.0.-1", "3.0.-1"]  # the last one lies beyond
    assert np.hypot(*(s.route.goal.position - s.roadmap.centerline(s.route.lanes[-2])[-1])) < 1e-6
    assert np.hypot(*(s.expert.states[:, :2] - s.route.goal.position).T).min() < 2.0
    s = SOURCE.load(f"{SMALL}#1.0.-1>4.0.1")
    assert [s.roadmap.lane_ids[i] for i in s.route.lanes] == [
        "1.0.-1",
        "1.1.-1",
        "1.1.-2",
        "12.0.-1",
        "4.0.1",
    ]


def test_a_road_too_short_to_drive_is_refused(tmp_path):
    path = TEXT.write(tmp_path, TEXT.document(TEXT.road(length=60.0, plan=TEXT.geometry(length=60.0))))
    with pytest.raises(ScenarioError, match=r"road.xodr: the \d+ m of road are too short for a drive of 5 s"):
        SOURCE.load(f"{path}#0")


def sound(s) -> None:
    """What must hold of every drive: its start and traffic on the road, nobody in another one's box, no red
    light run by the expert, and a map of no more than what lies around the route."""
    m, expert, line = s.roadmap, s.expert.states, s.route.line
    assert first_overlap(track_corners(s.tracks), s.tracks.valid) is None
    station, offset, _ = project_to_polyline(expert[:, :2], line)
    assert np.abs(offset).max() < 1.0
    assert (np.diff(station) > -0.05).all()
    area = DrivableArea.of(m).polygon
    middle = s.tracks.states[s.tracks.valid][:, :2]
    assert shapely.contains_xy(area.buffer(0.5), middle).mean() > 0.99
    gaps = [np.hypot(*(line - p).T).min() for p in m.points[:: max(len(m.points) // 200, 1)]]
    assert np.median(gaps) < 400.0
    for lane in s.route.lanes:
        if m.signal[lane] < 0 or m.stop_station[lane] > 0.0:
            continue
        start = project_to_polyline(m.centerline(lane)[:1], line)[0][0]
        stop = start + m.stop_station[lane]
        front = station + s.vehicle.length
        crosses = np.flatnonzero((front[:-1] < stop) & (front[1:] >= stop))
        assert not (s.signals[m.signal[lane], crosses] == SignalState.RED).any()


@pytest.mark.parametrize("town", TOWNS, ids=lambda path: path.stem)
def test_a_town_gives_a_sound_drive(town):
    if not town.exists():
        pytest.skip("the towns are not in ../shared/data")
    s = SOURCE.load(f"{town}#0")
    assert s.duration == 15.0
    assert arc_length(s.expert.states[:, :2])[-1] > 20.0
    assert s.tracks.num_agents > 5
    assert (s.tracks.speed[1:].max(1) > 1.0).mean() > 0.7
    sound(s)


@pytest.mark.parametrize("path", sorted(DATA.glob("[eo]s*/**/*.xodr")), ids=lambda path: path.name)
def test_every_other_network_gives_a_sound_drive(path):
    s = SOURCE.load(f"{path}#0")
    assert s.duration >= 5.0
    sound(s)


def test_a_planner_drives_on_a_bare_map(tmp_path):
    s = SOURCE.load(f"{SMALL}#0")
    log = simulate(s, registered("drive.planners", "idm")())
    assert log.header.get("failure") is None
    path = tmp_path / "run.drive.npz"
    log.save(path)
    assert path.stat().st_size < 2_000_000
    again = RunLog.load(path)
    moved = arc_length(again.ego[:, :2])[-1]
    assert moved > 30.0
    assert again.header["scenario"]["id"] == "opendrive_small.xodr#0"
    assert (s.roadmap.kind == LaneKind.CONNECTOR).sum() == 4
