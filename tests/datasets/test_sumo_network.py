"""SUMO networks: a hand-made one by numbers, the real ones against sumolib and the published counts."""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.datasets.sumo.network import read_network
from drive.datasets.sumo.roadmap import build_roadmap, offset_line, planned_signals
from drive.errors import InputError, MapError
from drive.roadmap import LaneKind
from drive.roadmap.builder import MIN_LANE_LENGTH
from drive.scenario import SignalState

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("sumo_text.py"))))
net_text = TEXT.net_text
DATA = Path(__file__).parents[2].parent / "shared" / "data"
NETS = sorted(
    f for part in ("sumo", "carla_opendrive", "commonroad") for f in DATA.glob(f"{part}/**/*.net.xml")
)
real = pytest.mark.skipif(not NETS, reason="the SUMO networks are not in ../shared/data")


def small(tmp_path: Path, text: str | None = None) -> Path:
    path = tmp_path / "small.net.xml"
    path.write_text(text or net_text())
    return path


def test_lanes_neighbours_successors_and_signals_of_a_small_network(tmp_path: Path) -> None:
    network = read_network(small(tmp_path))
    assert network.counts == {"edges": 3, "lanes": 5, "nodes": 3, "tls": 1}
    roadmap, notes = build_roadmap(network, (100.0, 0.0))
    assert notes == ()
    at = {name: k for k, name in enumerate(roadmap.lane_ids)}
    right, left, through = at["in_0"], at["in_1"], at[":b_0_0"]
    # SUMO counts lanes from the right.
    assert roadmap.left_lane[right] == left
    assert roadmap.right_lane[left] == right
    assert roadmap.left_change[right]
    assert roadmap.right_change[left]
    assert roadmap.successors(right).tolist() == [through]
    assert roadmap.successors(through).tolist() == [at["out_0"]]
    assert roadmap.kind[through] == LaneKind.CONNECTOR
    assert roadmap.intersection[through]
    assert not roadmap.left_change[through]
    assert roadmap.length[right] == pytest.approx(300.0)
    assert roadmap.speed_limit[at["back_0"]] == pytest.approx(8.33)
    # The centreline at y = -4.8 with 3.2 m of width, 100 m farther left.
    rows = roadmap.rows(right)
    np.testing.assert_allclose(roadmap.left[rows][:, 1], -3.2)
    np.testing.assert_allclose(roadmap.right[rows][:, 1], -6.4)
    np.testing.assert_allclose(roadmap.points[rows][[0, -1], 0], [-100.0, 200.0])
    assert np.diff(roadmap.station[rows]).max() <= 2.0 + 1e-9
    # The signal stands where the junction begins.
    assert roadmap.signal_ids == ("b:0", "b:1")
    assert roadmap.signal[through] == 0
    assert roadmap.stop_station[through] == 0.0
    # Lanes between the same junctions in opposite directions lie side by side at y = -1.6 and 1.6.
    assert roadmap.left_opposite[at["out_1"]] == at["back_0"]
    assert roadmap.left_opposite[at["back_0"]] == at["out_1"]
    assert roadmap.left_opposite[at["in_1"]] == -1


def test_signals_follow_their_program_from_its_offset(tmp_path: Path) -> None:
    network = read_network(small(tmp_path, net_text(offset=7.0)))
    roadmap, _ = build_roadmap(network)
    # A cycle of 63 s that begins at 7 s: green until 47, yellow until 50, red until 70.
    shown = planned_signals(network, roadmap, np.array([0.0, 6.9, 7.0, 46.9, 47.0, 49.9, 50.0, 69.9, 70.0]))
    red, green, yellow = SignalState.RED, SignalState.GREEN, SignalState.YELLOW
    assert shown[0].tolist() == [red, red, green, green, yellow, yellow, red, red, green]


def test_a_bus_lane_is_a_lane_that_cars_do_not_change_to(tmp_path: Path) -> None:
    network = read_network(small(tmp_path, net_text(out0='allow="bus"')))
    roadmap, _ = build_roadmap(network)
    at = {name: k for k, name in enumerate(roadmap.lane_ids)}
    assert network.lanes["out_0"].users == {"bus"}
    assert roadmap.kind[at["out_0"]] == LaneKind.LANE
    # Buses may use both lanes, so that the change is permitted to them; cars are kept off by their route.
    assert roadmap.left_lane[at["out_0"]] == at["out_1"]
    walk = read_network(small(tmp_path, net_text(out0='allow="pedestrian"')))
    assert build_roadmap(walk)[0].kind[at["out_0"]] == LaneKind.SIDEWALK
    assert not build_roadmap(walk)[0].left_change[at["out_0"]]
    rail = read_network(small(tmp_path, net_text(out0='allow="rail"')))
    roadmap, notes = build_roadmap(rail)
    assert "out_0" not in roadmap.lane_ids
    assert "1 lanes for none but rail" in notes[0]


def test_left_hand_traffic_has_its_lanes_mirrored(tmp_path: Path) -> None:
    text = net_text().replace('version="1.20"', 'version="1.20" lefthand="true"')
    roadmap, _ = build_roadmap(read_network(small(tmp_path, text)))
    at = {name: k for k, name in enumerate(roadmap.lane_ids)}
    assert roadmap.right_lane[at["in_0"]] == at["in_1"]
    assert roadmap.left_lane[at["in_1"]] == at["in_0"]


def test_bounds_keep_their_distance_round_a_corner() -> None:
    line = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    np.testing.assert_allclose(offset_line(line, 1.0), [[0.0, 1.0], [9.0, 1.0], [9.0, 10.0]], atol=1e-12)
    np.testing.assert_allclose(offset_line(line, -1.0), [[0.0, -1.0], [11.0, -1.0], [11.0, 10.0]], atol=1e-12)
    doubled = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
    np.testing.assert_allclose(offset_line(doubled, 2.0)[:, 1], 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('<net version="1.20">', "<network>"), "not well-formed|its root is"),
        (("</net>", ""), "not well-formed XML"),
        (('speed="13.89" length="10.00"', 'speed="nan" length="10.00"'), "line 5: <lane> has speed='nan'"),
        (('length="10.00"', 'length="ten"'), "length='ten', not a finite number"),
        (("300.00,-4.80 310.00,-4.80", "300.00,-4.80"), "a shape of 1 points, needs 2"),
        (("300.00,-4.80 310.00,-4.80", "300.00,-4.80 inf,-4.80"), "beyond all maps"),
        (("300.00,-4.80 310.00,-4.80", "300.00,x 310.00,-4.80"), "no list of points"),
        (('duration="40"', 'duration="-40"'), "no phases that take time"),
        (('width="3.20"', 'width="-3.20"'), "has width -3.2"),
        (('id="in_1"', 'id="in_0"'), "the lane 'in_0' is defined twice"),
        (('<?xml version="1.0" encoding="UTF-8"?>', '<!DOCTYPE net [<!ENTITY a "b">]>'), "document type"),
    ],
)  # fmt: skip
def test_broken_networks_are_refused_in_one_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = small(tmp_path, net_text().replace(*change, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_network(path)
    assert str(caught.value).startswith("small.net.xml: ")
    assert "\n" not in str(caught.value)


def test_an_empty_network_and_one_of_junction_lanes_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="has no road"):
        read_network(small(tmp_path, "<net/>"))


def test_connections_to_what_is_not_there_are_left_out_and_told(tmp_path: Path) -> None:
    text = net_text().replace(
        'to="out" fromLane="1" toLane="1" via=":b_0_1"', 'to="out" fromLane="1" toLane="7"'
    )
    network = read_network(small(tmp_path, text))
    assert network.notes == ("1 connections name lanes that the file lacks",)


def published(suffix: str) -> dict[str, dict[str, int]]:
    with open(DATA / "COUNTS.csv", newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["file"].endswith(suffix)]
    return {r["file"]: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", r["counts"])} for r in rows}


@real
def test_every_real_network_has_the_published_counts() -> None:
    counts = published(".net.xml")
    assert len(counts) == len(NETS) == 7
    for name, expected in counts.items():
        assert read_network(DATA / name).counts == expected, name


@cache
def oracle(path: Path):
    sumolib = pytest.importorskip("sumolib")
    return sumolib.net.readNet(str(path), withInternal=True)


@real
@pytest.mark.parametrize("path", NETS, ids=lambda path: path.name)
def test_lanes_and_their_links_are_those_that_sumolib_reads(path: Path) -> None:
    network = read_network(path)
    roadmap, _ = build_roadmap(network)
    at = {name: k for k, name in enumerate(roadmap.lane_ids)}
    theirs = {lane.getID(): lane for edge in oracle(path).getEdges(True) for lane in edge.getLanes()}
    assert set(theirs) == set(network.lanes)
    short = set()
    for name, lane in theirs.items():
        mine = network.lanes[name]
        assert (mine.speed, mine.length, mine.width) == (lane.getSpeed(), lane.getLength(), lane.getWidth())
        np.testing.assert_array_equal(mine.shape[:, :2], np.array(lane.getShape())[:, :2])
        assert mine.open_to("passenger") == lane.allows("passenger")
        assert mine.open_to("pedestrian") == lane.allows("pedestrian")
        if name not in at:
            short.add(name)
            continue
        k = at[name]
        line = np.array(lane.getShape())[:, :2]
        drawn = np.hypot(*np.diff(line, axis=0).T).sum()
        assert roadmap.length[k] == pytest.approx(drawn, abs=1e-9)
        # All lanes of an edge have one length by the file, however an edge bends.
        assert roadmap.length[k] == pytest.approx(lane.getLength(), abs=3.0)
    # What is missing has no length: 10 cm and less by the file, less as it is drawn.
    assert all(theirs[name].getLength() <= 0.1 for name in short)
    lengths = {name: np.hypot(*np.diff(network.lanes[name].shape[:, :2], axis=0).T).sum() for name in short}
    assert all(length < MIN_LANE_LENGTH for length in lengths.values())
    for name, k in at.items():
        ways = {c.getViaLaneID() or c.getToLane().getID() for c in theirs[name].getOutgoing()}
        beyond = {y for x in ways & short for y in (c.getToLane().getID() for c in theirs[x].getOutgoing())}
        assert {roadmap.lane_ids[j] for j in roadmap.successors(k)} == (ways - short) | beyond, name
        edge = theirs[name].getEdge()
        index = theirs[name].getIndex()
        left = edge.getLane(index + 1).getID() if index + 1 < edge.getLaneNumber() else None
        assert roadmap.left_lane[k] == (at[left] if left is not None else -1)


@real
def test_signals_stand_on_every_lane_through_a_signalled_junction() -> None:
    for path in NETS:
        network = read_network(path)
        roadmap, _ = build_roadmap(network)
        links = {f"{c.getTLSID()}:{c.getTLLinkIndex()}"
                 for edge in oracle(path).getEdges(True) for lane in edge.getLanes()
                 for c in lane.getOutgoing() if c.getTLSID()}  # fmt: skip
        assert set(roadmap.signal_ids) == links, path.name


@pytest.mark.parametrize("offset", [0.0, 17.0, -17.0])
def test_signals_show_what_sumo_shows(tmp_path: Path, offset: float) -> None:
    assert_signals_of_sumo(small(tmp_path, net_text(offset=offset)))


@real
def test_real_signals_show_what_sumo_shows() -> None:
    for path in NETS:
        assert_signals_of_sumo(path)


def assert_signals_of_sumo(path: Path) -> None:
    lib = TEXT.libsumo()
    programs = read_network(path).programs
    lib.start(["sumo", "-n", str(path), "--no-step-log", "--no-warnings"])
    try:
        assert set(lib.trafficlight.getIDList()) == set(programs)
        for _ in range(200):
            # What SUMO tells after a step is what held while the step was made.
            time = lib.simulation.getTime()
            lib.simulationStep()
            for name, program in programs.items():
                shown = lib.trafficlight.getRedYellowGreenState(name)
                assert shown == program.state_at(time), (path.name, name, time)
    finally:
        lib.close()
