"""CommonRoad files that cannot be used: one line each; what the source lists, skips and loads."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from drive.datasets.commonroad import SOURCE, read_commonroad
from drive.datasets.xml import MAX_DEPTH, parse_xml
from drive.errors import InputError, MapError, ScenarioError, UnknownNameError

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("commonroad_text.py"))))
document, points, lanelet, state, car, problem, ROAD, write = (
    TEXT.document,
    TEXT.points,
    TEXT.lanelet,
    TEXT.state,
    TEXT.car,
    TEXT.problem,
    TEXT.ROAD,
    TEXT.write,
)


# --- Bad input: one line, with the file and, where there is one, the line.

BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>\n<commonRoad>&c;</commonRoad>'
)
EXTERNAL = (
    '<?xml version="1.0"?>\n<!DOCTYPE commonRoad [<!ENTITY x SYSTEM "file:///etc/hostname">]>\n'
    "<commonRoad>&x;</commonRoad>"
)
DTD = '<?xml version="1.0"?>\n<!DOCTYPE commonRoad SYSTEM "http://127.0.0.1:9/x.dtd">\n<commonRoad/>'
NAN_LANE = ROAD.replace("<x>10.0</x>", "<x>nan</x>", 1)

BAD_FILES = {
    "empty": (b"", "line 1: not well-formed XML (no element found)"),
    "malformed": (document(ROAD + "<lanelet>"), "line 4: not well-formed XML (mismatched tag)"),
    "truncated": (document(ROAD + problem())[:-900], "not well-formed XML"),
    "binary": (bytes(range(256)), "line 1: not well-formed XML"),
    "billion laughs": (BOMB, "line 2: a document type or entity declaration is refused"),
    "external entity": (EXTERNAL, "line 2: a document type or entity declaration is refused"),
    "outside DTD": (DTD, "line 2: a document type or entity declaration is refused"),
    "undefined entity": (document("&a;"), "line 3: not well-formed XML (undefined entity)"),
    "deep": (document("<a>" * 100 + "</a>" * 100), f"line 3: elements are nested deeper than {MAX_DEPTH}"),
    "unknown encoding": (b'<?xml version="1.0" encoding="klingon"?><commonRoad/>', "encoding"),
    "another root": ("<net/>", "no CommonRoad scenario (root <net>)"),
    "a solution": ("<CommonRoadSolution/>", "no CommonRoad scenario (a solution, not a scenario)"),
    "unknown version": (document(ROAD, version="2031z"), "line 2: CommonRoad version 2031z is not supported"),
    "no time step": (document(ROAD, dt="soon"), "line 2: timeStepSize 'soon' is no step"),
    "no number": (
        document(ROAD.replace("<x>10.0</x>", "<x>ten</x>", 1)),
        "line 3: <x> holds 'ten', not a number",
    ),
    "no bound": (document('<lanelet id="4"></lanelet>'), "line 3: <lanelet> lacks the element <leftBound>"),
    "no state": (
        document(ROAD + '<planningProblem id="1"/>'),
        "<planningProblem> lacks the element <initialState>",
    ),
    "goal at infinity": (
        document(ROAD + problem(goal="<position><point><x>inf</x><y>0</y></point></position>")),
        "the goal's position is not finite",
    ),
    "no time": (
        document(ROAD + problem().replace("<exact>0</exact></time>", "<exact>1e99</exact></time>")),
        "no time step",
    ),
    "start at infinity": (document(ROAD + problem(x="inf")), "the initial position, orientation or velocity"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, case: str):
    text, message = BAD_FILES[case]
    with pytest.raises(InputError) as caught:
        read_commonroad(write(tmp_path, text))
    said = str(caught.value)
    assert said.startswith("scene.xml: ")
    assert message in said
    assert "\n" not in said
    assert str(tmp_path) not in said


def test_a_huge_or_missing_file_is_refused(tmp_path: Path):
    path = write(tmp_path, document(ROAD))
    with pytest.raises(InputError, match="exceed the limit of 100 bytes"):
        parse_xml(path, max_bytes=100)
    with pytest.raises(InputError, match=r"none\.xml: cannot be read \(No such file"):
        read_commonroad(tmp_path / "none.xml")


BAD_MAPS = {
    "empty map": ("", "scene.xml: the map is empty: the file has no lanelet"),
    "reversed bounds": (
        lanelet("7", 0, 100, 3, 0),
        "line 3: lane '7': its left bound lies right of its right",
    ),
    "zero length": (lanelet("7", 5, 5, 0, 3), "line 3: lane '7' has no length"),
    "not finite": (NAN_LANE, "line 3: lane '1': its left bound holds values that are not finite"),
    "far out": (lanelet("7", 1e9, 1e9 + 10, 0, 3), "line 3: lane '7' lies farther out than 1e8 m"),
    "twice": (ROAD + ROAD, "line 3: lane '1' is defined twice"),
    "one point": (
        f'<lanelet id="7"><leftBound>{points([(0, 3)])}</leftBound>'
        f"<rightBound>{points([(0, 0)])}</rightBound></lanelet>",
        "line 3: lane '7': its left bound needs at least two points",
    ),
}


@pytest.mark.parametrize("case", BAD_MAPS)
def test_a_bad_lanelet_is_refused_by_name(tmp_path: Path, case: str):
    body, message = BAD_MAPS[case]
    path = write(tmp_path, document(body + problem()))
    with pytest.raises(MapError) as caught:
        SOURCE.load(str(path))
    assert str(caught.value).startswith("scene.xml: ")
    assert message in str(caught.value)
    with pytest.raises(InputError, match=r"lane|map"):
        SOURCE.ids(str(path))


def test_a_bad_file_in_a_folder_is_told_and_the_others_stay(tmp_path: Path):
    write(tmp_path, document(ROAD + problem()), "good.xml")
    write(tmp_path, BOMB, "bomb.xml")
    write(tmp_path, document(lanelet("7", 0, 100, 3, 0) + problem()), "turned.xml")
    write(tmp_path, "<CommonRoadSolution/>", "good.solution.xml")
    assert SOURCE.matches(str(tmp_path))
    assert SOURCE.ids(str(tmp_path)) == [f"{tmp_path}/good.xml#9"]
    told = dict(SOURCE.skipped(str(tmp_path)))
    assert set(told) == {"bomb.xml", "turned.xml", "good.solution.xml"}
    assert "declaration is refused" in told["bomb.xml"]
    assert "reversed bounds" in told["turned.xml"]
    with pytest.raises(InputError, match="a solution, not a scenario"):
        SOURCE.ids(str(tmp_path / "good.solution.xml"))
    (tmp_path / "good.xml").unlink()
    with pytest.raises(InputError, match="none of the 3 files"):
        SOURCE.ids(str(tmp_path))


def test_what_the_source_takes_for_its_own(tmp_path: Path):
    scene = write(tmp_path, document(ROAD + problem()))
    assert SOURCE.matches(str(scene))
    assert SOURCE.matches(f"{scene}#9")
    assert SOURCE.matches(f"{scene}#x@3")
    assert SOURCE.matches(str(write(tmp_path, BOMB, "bomb.xml")))
    assert SOURCE.matches(str(write(tmp_path, document(ROAD).encode("utf-16"), "wide.xml")))
    assert not SOURCE.matches(str(write(tmp_path, "<routes/>", "a.rou.xml")))
    assert not SOURCE.matches(str(tmp_path / "none.xml"))
    assert not SOURCE.matches("gen/cut_in/17")


def test_problems_and_tracks_are_found_by_name(tmp_path: Path):
    moving = [(k, 2.0 * k, 1.5, 0.0, 20.0) for k in range(40)]
    body = ROAD + car("3", moving) + car("4", [(0, 50, 1.5)], tag="staticObstacle", kind="parkedVehicle")
    path = str(write(tmp_path, document(body + problem("9") + problem("11", x=20.0))))
    assert SOURCE.ids(path) == [f"{path}#9", f"{path}#11"]
    assert SOURCE.load(path).id == "scene.xml#9"
    assert SOURCE.load(f"{path}#11").tracks.states[0, 0, 0] == 20.0
    assert SOURCE.ids(path, ego="recorded") == [f"{path}#DEU_Test-1_1_T-1@3"]
    with pytest.raises(UnknownNameError, match="did you mean '11'"):
        SOURCE.load(f"{path}#12")
    with pytest.raises(UnknownNameError, match="choice of ego"):
        SOURCE.ids(path, ego="all")
    with pytest.raises(ScenarioError, match="no usable road user '77'"):
        SOURCE.load(f"{path}#@77")
    with pytest.raises(ScenarioError, match="static and cannot be the ego"):
        SOURCE.load(f"{path}#@4")


def test_a_file_without_planning_problem_needs_a_track(tmp_path: Path):
    body = ROAD + car("3", [(k, 2.0 * k, 1.5, 0.0, 20.0) for k in range(35)])
    path = str(write(tmp_path, document(body)))
    for call in (SOURCE.load, SOURCE.ids):
        with pytest.raises(ScenarioError, match="no planning problem"):
            call(path)
    assert SOURCE.load(f"{path}#@3").expert is not None
    off = str(write(tmp_path, document(ROAD + problem(y=500.0)), "off.xml"))
    with pytest.raises(ScenarioError, match="starts more than 25 m off every lane"):
        SOURCE.load(off)
