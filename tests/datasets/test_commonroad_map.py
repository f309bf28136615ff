"""Lanelets to a road map, on small files with values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.datasets.commonroad import build_roadmap, read_commonroad, signal_states
from drive.roadmap import AreaKind, LaneKind, Marking

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("commonroad_text.py"))))
document, points, lanelet, write = TEXT.document, TEXT.points, TEXT.lanelet, TEXT.write


def roadmap_of(tmp_path: Path, body: str, **head):
    return build_roadmap(read_commonroad(write(tmp_path, document(body, **head))), (0.0, 0.0))


def test_neighbours_markings_and_the_right_to_change(tmp_path: Path):
    beside = '<adjacent{} ref="{}" drivingDir="{}"/>'
    body = (
        lanelet("1", 0, 50, 0, 3, beside.format("Left", "2", "same"), ("dashed", "solid"))
        + lanelet(
            "2",
            0,
            50,
            3,
            6,
            beside.format("Right", "1", "same") + beside.format("Left", "3", "same"),
            ("", "dashed"),
        )
        # Its right line is solid and is the left line of 2, which says nothing of it.
        + lanelet(
            "3",
            0,
            50,
            6,
            9,
            beside.format("Right", "2", "same") + beside.format("Left", "4", "opposite"),
            ("solid_solid", "broad_solid"),
        )
        + lanelet("4", 50, 0, 12, 9, beside.format("Left", "3", "opposite"), ("solid_solid", "curb"))
    )
    roadmap, _ = roadmap_of(tmp_path, body)
    assert roadmap.left_lane.tolist() == [1, 2, -1, -1]
    assert roadmap.right_lane.tolist() == [-1, 0, 1, -1]
    assert roadmap.left_opposite.tolist() == [-1, -1, 3, 2]
    assert roadmap.left_change.tolist() == [True, False, False, False]
    assert roadmap.right_change.tolist() == [False, True, False, False]
    assert roadmap.left_marking.tolist() == [
        Marking.DASHED,
        Marking.NONE,
        Marking.DOUBLE_SOLID,
        Marking.DOUBLE_SOLID,
    ]
    assert roadmap.right_marking.tolist() == [Marking.SOLID, Marking.DASHED, Marking.SOLID, Marking.CURB]
    assert len(roadmap.group_ids) == 2


@pytest.mark.parametrize(
    ("mark", "from_right", "from_left"), [("solid_dashed", True, False), ("dashed_solid", False, True)]
)
def test_a_double_line_binds_the_side_it_is_solid_on(
    tmp_path: Path, mark: str, from_right: bool, from_left: bool
):
    # The line between 1 (right) and 2 (left), named from the left.
    for marks in ((("", mark), ("", "")), (("", ""), (mark, ""))):
        body = lanelet("1", 0, 50, 0, 3, '<adjacentLeft ref="2" drivingDir="same"/>', marks[1]) + lanelet(
            "2", 0, 50, 3, 6, '<adjacentRight ref="1" drivingDir="same"/>', marks[0]
        )
        roadmap, _ = roadmap_of(tmp_path, body)
        assert (roadmap.left_change[0], roadmap.right_change[1]) == (from_right, from_left)


def test_kinds_crosswalks_and_intersections(tmp_path: Path):
    def kind(value: str) -> str:
        return f"<laneletType>{value}</laneletType>"

    body = (
        lanelet("1", 0, 50, 0, 3, '<successor ref="2"/><successor ref="404"/>' + kind("urban"))
        + lanelet("2", 50, 70, 0, 3, '<predecessor ref="1"/>')
        # Only its own predecessor entry links it to 2.
        + lanelet("3", 70, 100, 0, 3, '<predecessor ref="2"/>' + kind("urban") + kind("intersection"))
        + lanelet("4", 0, 50, 3, 5, kind("bicycleLane"))
        + lanelet("5", 0, 50, 5, 7, kind("sidewalk"))
        + lanelet("6", 0, 50, 7, 9, kind("parking"))
        + lanelet("7", 0, 50, 9, 11, kind("shoulder"))
        + lanelet("8", 0, 50, 11, 13, "<userOneWay>pedestrian</userOneWay>")
        + lanelet("9", 40, 44, -3, 9, kind("crosswalk"))
        + '<intersection id="80">'
        + '<incoming id="0"><incomingLanelet ref="1"/><successorsStraight ref="2"/></incoming>'
        + '<incoming id="0"/></intersection>'
        + '<environmentObstacle id="90"><type>building</type><shape><polygon>'
        + points([(0, 20), (10, 20), (10, 30)])
        + "</polygon></shape></environmentObstacle>"
    )
    roadmap, _ = roadmap_of(tmp_path, body)
    assert roadmap.lane_ids == ("1", "2", "3", "4", "5", "6", "7", "8")
    assert [LaneKind(k).name for k in roadmap.kind] == [
        "LANE", "CONNECTOR", "CONNECTOR", "BICYCLE", "SIDEWALK", "PARKING", "SHOULDER", "SIDEWALK"
    ]  # fmt: skip
    assert roadmap.intersection.tolist() == [False, True, True, False, False, False, False, False]
    assert [roadmap.successors(i).tolist() for i in range(3)] == [[1], [2], []]
    assert len(roadmap.areas.of_kind(AreaKind.CROSSWALK)) == 1
    assert roadmap.areas.of_kind(AreaKind.OCCLUDER)[0].tolist() == [[0, 20], [10, 20], [10, 30]]


@pytest.mark.parametrize(
    ("benchmark", "sign", "limit"),
    [
        ("DEU_X-1_1_T-1", "274", 13.5),
        ("USA_X-1_1_T-1", "R2-1", 13.5),
        ("C-ESP_X-1_1_T-1", "r301", 13.5),
        ("GRC_X-1_1_T-1", "\u03a1-32", 13.5),
        ("USA_X-1_1_T-1", "274", 13.5),
        ("DEU_X-1_1_T-1", "R2-1", math.nan),
        ("DEU_X-1_1_T-1", "278", math.nan),
    ],
)
def test_speed_limits_by_the_signs_of_the_country(tmp_path: Path, benchmark: str, sign: str, limit: float):
    def post(name: str, value: str) -> str:
        element = f"<trafficSignID>{sign}</trafficSignID><additionalValue>{value}</additionalValue>"
        return f'<trafficSign id="{name}"><trafficSignElement>{element}</trafficSignElement></trafficSign>'

    body = lanelet("1", 0, 50, 0, 3, "".join(f'<trafficSignRef ref="{r}"/>' for r in (50, 51, 99)))
    roadmap, _ = roadmap_of(tmp_path, body + post("50", "20.0") + post("51", "13.5"), benchmark=benchmark)
    np.testing.assert_equal(roadmap.speed_limit, [limit])


def test_speed_limit_of_2018b(tmp_path: Path):
    body = lanelet("1", 0, 50, 0, 3, "<speedLimit>11.176</speedLimit>") + lanelet("2", 50, 90, 0, 3)
    roadmap, _ = roadmap_of(tmp_path, body, version="2018b")
    np.testing.assert_equal(roadmap.speed_limit, [11.176, np.nan])


def light(name: str, phases, offset=0, direction="all", active="true") -> str:
    cycle = "".join(
        f"<cycleElement><duration>{d}</duration><color>{c}</color></cycleElement>" for c, d in phases
    )
    rest = f"<direction>{direction}</direction><active>{active}</active>"
    cycle = f"<cycle>{cycle}<timeOffset>{offset}</timeOffset></cycle>"
    return f'<trafficLight id="{name}">{cycle}{rest}</trafficLight>'


def test_lights_on_lanelets_and_their_cycles(tmp_path: Path):
    stop = f"<stopLine>{points([(45.0, 3.0), (47.0, 0.0)])}<lineMarking>solid</lineMarking></stopLine>"
    body = (
        lanelet("1", 0, 50, 0, 3, '<successor ref="2"/>' + stop + '<trafficLightRef ref="60"/>')
        + lanelet("2", 50, 90, 0, 3, '<trafficLightRef ref="61"/>')
        + light("60", [("red", 3), ("redYellow", 1), ("green", 4), ("yellow", 2)], offset=2)
        + light("61", [("green", 5)], active="false")
        + light("62", [("green", 5)])
    )
    file = read_commonroad(write(tmp_path, document(body)))
    roadmap, notes = build_roadmap(file, (0.0, 0.0))
    assert roadmap.signal_ids == ("60", "61")
    assert roadmap.signal.tolist() == [0, 1]
    assert roadmap.stop_station.tolist() == [46.0, 40.0]
    assert notes == ("traffic light 62: no lanelet refers to it",)
    states = signal_states(file, roadmap, np.arange(14.0))
    # The cycle of ten steps starts at step 2: before it, the end of the cycle before.
    assert states[0].tolist() == [2, 2, 3, 3, 3, 3, 1, 1, 1, 1, 2, 2, 3, 3]
    assert states[1].tolist() == [0] * 14


def test_directed_lights_stand_where_the_turn_begins(tmp_path: Path):
    arc = np.linspace(0.0, np.pi / 2, 7)
    bend = [
        "".join(f"<point><x>{50 + r * math.sin(a)}</x><y>{20 - r * math.cos(a)}</y></point>" for a in arc)
        for r in (17.0, 20.0)
    ]
    turn = f'<lanelet id="3"><leftBound>{bend[0]}</leftBound><rightBound>{bend[1]}</rightBound></lanelet>'
    refs = '<successor ref="2"/><successor ref="3"/><trafficLightRef ref="60"/><trafficLightRef ref="61"/>'
    stop = f"<stopLine>{points([(46.0, 3.0), (46.0, 0.0)])}</stopLine>"
    body = (
        lanelet("1", 0, 50, 0, 3, refs + stop)
        + lanelet("2", 50, 90, 0, 3)
        + turn
        + light("60", [("red", 10)], direction="straightRight")
        + light("61", [("green", 10)], direction="left")
    )
    roadmap, _ = roadmap_of(tmp_path, body)
    assert [roadmap.signal_ids[s] if s >= 0 else None for s in roadmap.signal] == [None, "60", "61"]
    assert roadmap.stop_station.tolist()[1:] == pytest.approx([-4.0, -4.0])
