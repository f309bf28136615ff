"""Scenarios from SUMO: what is recorded is what SUMO drove, and what cannot be used is refused."""

from __future__ import annotations

import csv
import gzip
import os
import re
import shutil
import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drive.datasets import source
from drive.datasets.sumo import SOURCE
from drive.datasets.sumo.config import demand_counts, read_configuration
from drive.errors import InputError, MissingExtraError, ScenarioError, SimulationError, UnknownNameError
from drive.planners.constant import Constant
from drive.scenario import SignalState
from drive.sim import simulate
from drive.vehicle import AgentKind

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("sumo_text.py"))))
net_text, write_demand = TEXT.net_text, TEXT.write_demand
DATA = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not (DATA / "sumo").is_dir(), reason="the SUMO files are not in ../shared/data")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def lib() -> Any:
    return TEXT.libsumo()


def engine_of(config: Path, **more: Any) -> Any:
    from drive.sim.sumo.engine import Engine

    return Engine.open(read_configuration(config).files, **more)


def test_a_network_alone_is_an_empty_road_with_its_signals(tmp_path: Path) -> None:
    path = tmp_path / "small.net.xml"
    path.write_text(net_text())
    assert source.source_of(str(path)) is SOURCE
    s = source.load(str(path))
    assert (s.tracks.num_agents, s.expert, s.num_steps) == (1, None, 150)
    assert s.tags == ("empty_road",)
    # Green for 40 s from the start.
    assert (s.signals == SignalState.GREEN).all()
    lanes = [s.roadmap.lane_ids[k] for k in s.route.lanes]
    assert lanes == ["in_0", ":b_0_0", "out_0"]
    np.testing.assert_allclose(s.initial[:2] + s.origin, [10.0, -4.8])
    assert [s.roadmap.lane_ids[k] for k in source.load(f"{path}#back").route.lanes] == ["back_0"]
    assert source.load(f"{path}#in>out").route.goal.position is not None
    with pytest.raises(UnknownNameError, match="'inn'; did you mean 'in'"):
        source.load(f"{path}#inn")
    with pytest.raises(ScenarioError, match="no lanes lead from 'out' to 'in'"):
        source.load(f"{path}#out>in")


def test_a_vehicle_of_the_demand_is_the_ego_and_sumos_drive_its_expert(tmp_path: Path, lib: Any) -> None:
    config = write_demand(tmp_path / "here")
    s = source.load(f"{config}#v12")
    assert s.id == "small.sumocfg#v12"
    assert s.tracks.ids[s.ego] == "v12"
    assert s.expert is not None
    assert s.expert.source == "simulated"
    assert s.provenance.notes[0] == "'v12' departs at 37 s; the clock begins at 38 s"
    # The same by libsumo itself: to 38 s in steps of 1 s, then from the saved state in steps of 0.1 s.
    state = s.live["sumo"].state
    files = ["-n", config.parent / "small.net.xml", "-r", config.parent / "small.rou.xml"]
    more = ["-a", s.live["sumo"].files.additional[0], "--load-state", state]
    quiet = ["--no-step-log", "--no-warnings", "--step-length", "0.1", "--time-to-teleport", "-1"]
    smooth = ["--collision.action", "warn", "--lanechange.duration", "3"]
    lib.start(["sumo", *map(str, [*files, *more]), *quiet, *smooth])
    try:
        assert lib.simulation.getTime() == pytest.approx(38.0)
        for k in range(0, 151):
            if k:
                lib.simulationStep()
            present = set()
            for name in lib.vehicle.getIDList():
                x, y = lib.vehicle.getPosition(name)
                # Shown are 150 m and more around the way that the ego can get along.
                if x > 500.0:
                    continue
                present.add(name)
                row = s.tracks.ids.index(name)
                length = lib.vehicle.getLength(name)
                # Every road here runs along x.
                center = np.array([x - 0.5 * length, y])
                np.testing.assert_allclose(s.tracks.states[row, k, :2] + s.origin, center, atol=0.05)
                assert s.tracks.states[row, k, 3] == pytest.approx(lib.vehicle.getSpeed(name), abs=0.02)
            here = {n for n, v in zip(s.tracks.ids, s.tracks.valid[:, k], strict=True) if v}
            assert present <= here <= set(lib.vehicle.getIDList())
            letters = lib.trafficlight.getRedYellowGreenState("b")
            wanted = {"G": SignalState.GREEN, "y": SignalState.YELLOW, "r": SignalState.RED}[letters[0]]
            assert s.signals[s.roadmap.signal_ids.index("b:0"), k] == wanted
    finally:
        lib.close()
    # The coach of 12 m among them.
    coach = s.tracks.ids.index("v5")
    assert s.tracks.kind[coach] == AgentKind.BUS
    assert s.tracks.size[coach, 0] == 12.0
    # Red from 43 s on, 5 s after the clock begins.
    assert s.signals[0, 60] == SignalState.RED


def test_loading_again_takes_the_recording_and_gives_an_equal_scenario(
    tmp_path: Path, lib: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_demand(tmp_path / "here")
    first = source.load(f"{config}#v12")
    monkeypatch.setattr("drive.datasets.sumo.record.Engine.open", None)  # SUMO is not asked again
    assert source.load(f"{config}#v12").content_hash == first.content_hash
    moved = tmp_path / "there"
    shutil.copytree(config.parent, moved)
    assert source.load(f"{moved}/small.sumocfg#v12").content_hash == first.content_hash


def test_people_on_foot_are_recorded_and_vehicles_glide_between_lanes_by_sublanes(
    tmp_path: Path, lib: Any
) -> None:
    config = write_demand(tmp_path / "here")
    routes = config.parent / "small.rou.xml"
    walk = '<walk edges="in out" arrivalPos="200"/>'
    person = f'<person id="walker" depart="30" departPos="60">{walk}</person>'
    lines = routes.read_text().splitlines()
    at = next(k for k, line in enumerate(lines) if 'id="v11"' in line)
    routes.write_text("\n".join([*lines[:at], person, *lines[at:]]))
    text = config.read_text()
    config.write_text(text.replace("<processing>", '<processing><lateral-resolution value="0.8"/>'))
    s = source.load(f"{config}#v12")
    assert "--lateral-resolution" in s.live["sumo"].files.options
    row = s.tracks.ids.index("walker")
    assert s.tracks.kind[row] == AgentKind.PEDESTRIAN
    assert s.tracks.rear_to_centre[row] == 0.0
    walked = s.tracks.states[row, -1, 0] - s.tracks.states[row, 0, 0]
    # SUMO's people walk at 1.39 m/s and a little more or less.
    assert 10.0 < walked < 30.0
    valid = s.tracks.valid[:, 1:] & s.tracks.valid[:, :-1]
    assert np.abs(np.diff(s.tracks.states[..., 1]))[valid].max() < 0.3
    run = simulate(s, Constant(), traffic="sumo", stop=50)
    live = run.agents[run.agent_ids.index("walker"), :, 0]
    assert run.agent_valid[run.agent_ids.index("walker")].all()
    assert live[0] == pytest.approx(s.tracks.states[row, 0, 0], abs=1e-3)
    assert 3.0 < live[-1] - live[0] < 10.0


def test_other_names_of_egos(tmp_path: Path, lib: Any) -> None:
    config = write_demand(tmp_path / "here")
    listed = SOURCE.ids(str(config))
    # All cars go the same way, and the demand is over before 300 s: the first one to depart is the one.
    assert listed == [f"{config}#v0"]
    assert source.load(f"{config}#1").id == source.load(str(config)).id == "small.sumocfg#v0"
    later = source.load(f"{config}#v12@50")
    assert later.provenance.notes[0].endswith("the clock begins at 50 s")
    with pytest.raises(InputError, match="it offers 1 cars as egos, no number 2"):
        source.load(f"{config}#2")
    with pytest.raises(UnknownNameError, match=r"unknown vehicle that departs in .* 'v99'"):
        source.load(f"{config}#v99")
    with pytest.raises(ScenarioError, match="'v0' was on the road from 1 to"):
        source.load(f"{config}#v0@100")


def test_nothing_is_written_beside_the_users_files(tmp_path: Path, lib: Any) -> None:
    config = write_demand(tmp_path / "here")
    before = sorted(p.name for p in config.parent.iterdir())
    s = source.load(f"{config}#v3")
    assert sorted(p.name for p in config.parent.iterdir()) == before
    notes = " ".join(s.provenance.notes)
    assert "option tripinfo-output is not carried over" in notes
    assert "small.add.xml: e1Detector not carried over" in notes
    (acting,) = s.live["sumo"].files.additional
    assert "busStop" in acting.read_text()
    assert "loops.xml" not in acting.read_text()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("small.sumocfg", ("small.net.xml", "gone.net.xml"), "small.sumocfg: gone.net.xml cannot be read"),
        ("small.sumocfg", ('<net-file value="small.net.xml"/>', ""), "it names no network"),
        ("small.sumocfg", ("<route-files", "<other-files"), "no car of its demand departs"),
        ("small.sumocfg", ('value="3600"', 'value="soon"'), "end is 'soon', which is no time in seconds"),
        ("small.sumocfg", ("<time>", '<time><step-length value="0"/>'), "its step-length is 0 s"),
        ("small.sumocfg", ("</configuration>", ""), "small.sumocfg: line .* not well-formed"),
        ("small.rou.xml", ("<routes>", "<!DOCTYPE r []><routes>"), "small.rou.xml: a document type"),
        ("small.rou.xml", ('edges="in out"', 'edges="in nowhere"'), "nowhere"),
        ("small.rou.xml", ("</routes>", ""), "SUMO"),
        ("small.add.xml", ("</additional>", ""), "small.sumocfg: small.add.xml: line .* not well-formed"),
        ("small.net.xml", ('length="10.00"', 'length="-10"'), "the lane ':b_0_0' has width"),
    ],
)  # fmt: skip
def test_broken_demands_are_refused_in_one_line(
    tmp_path: Path, lib: Any, capfd: Any, file: str, change: tuple[str, str], message: str
) -> None:
    config = write_demand(tmp_path / "here")
    path = config.parent / file
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        source.load(f"{config}#v12")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not lib.isLoaded()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_compressed_and_endless_files_are_refused(tmp_path: Path, lib: Any) -> None:
    config = write_demand(tmp_path / "here")
    routes = config.parent / "small.rou.xml"
    routes.write_bytes(gzip.compress(routes.read_bytes()))
    with pytest.raises(InputError, match=r"small\.rou\.xml is compressed; unpack it"):
        source.load(f"{config}#v12")
    if os.path.exists("/dev/zero"):
        routes.unlink()
        routes.symlink_to("/dev/zero")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("drive.datasets.sumo.config.MAX_ROUTE_BYTES", 1 << 22)
            with pytest.raises(InputError, match="exceeds the limit of 4194304 bytes"):
                source.load(f"{config}#v12")


def test_one_simulation_a_process_and_none_without_the_extra(
    tmp_path: Path, lib: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_demand(tmp_path / "here")
    engine = engine_of(config)
    with pytest.raises(SimulationError, match="another simulation is still open"):
        engine_of(config)
    engine.close()
    monkeypatch.setitem(sys.modules, "libsumo", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'drive-toolkit\[sumo\]'"):
        source.load(f"{config}#v12")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.rou.xml",
            "<routes><vehicle/><flow/><flow/></routes>",
            "a demand of 1 vehicles, 0 trips, 2 flows",
        ),
        ("a.edg.xml", "<edges/>", "plain edges; make a .net.xml"),
        ("a.add.xml", "<routes/>", "additional elements"),
    ],
)
def test_files_without_scenarios_say_what_they_are(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        source.expand([str(tmp_path / name)])
    with pytest.raises(InputError, match=message):
        source.load(str(tmp_path / name))


@real
def test_the_published_counts_of_demands_are_found(lib: Any) -> None:
    with open(DATA / "COUNTS.csv", newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["file"].startswith("sumo/")]
    seen = 0
    for row in rows:
        counts = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", row["counts"])}
        path = DATA / row["file"]
        if path.name.endswith(".rou.xml"):
            assert demand_counts(path) == counts, path.name
            seen += 1
        elif path.name.endswith(".sumocfg"):
            engine = engine_of(path)
            inserted = 0
            while engine.time < 300.0:
                engine.step()
                inserted += len(engine.departed)
            found = {"inserted": inserted, "running_at_end": len(engine.vehicles)}
            engine.close()
            assert found == counts, path.name
            seen += 1
    assert seen == 14


@real
def test_a_folder_of_sumo_files_gives_its_scenarios_and_names_the_rest(lib: Any) -> None:
    folder = DATA / "sumo" / "sumo_rl" / "single-intersection"
    found = source.expand_all([str(folder)])
    network, *cars = (Path(r).name for r in found.refs)
    assert network == "single-intersection.net.xml"
    # One of each way, of the hundreds that depart.
    ways = [re.fullmatch(r"single-intersection\.sumocfg#(flow_\w\w)\.\d+", car) for car in cars]
    assert sorted(way[1] for way in ways if way) == ["flow_ns", "flow_we"]
    assert sorted(Path(f).name for f, _ in found.skipped) == [
        "single-intersection.edg.xml",
        "single-intersection.nod.xml",
        "single-intersection.rou.xml",
    ]
