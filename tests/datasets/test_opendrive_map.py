"""OpenDRIVE roads as lanes of a map: shapes against quadrature, borders, links, marks and signs by hand."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad

from drive.datasets.opendrive import build_roadmap, read_opendrive
from drive.datasets.opendrive.model import Geometry
from drive.datasets.opendrive.plan import reference_line
from drive.datasets.opendrive.signals import signal_states
from drive.errors import InputError, MapError
from drive.roadmap import AreaKind, LaneKind, Marking

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("opendrive_text.py"))))
document, geometry, lane, road, section, width, write = (
    TEXT.document,
    TEXT.geometry,
    TEXT.lane,
    TEXT.road,
    TEXT.section,
    TEXT.width,
    TEXT.write,
)


def build(folder: Path, *parts: str):
    return build_roadmap(read_opendrive(write(folder, document(*parts))), (0.0, 0.0))


def names(roadmap, lanes) -> list[str]:
    return [roadmap.lane_ids[int(i)] for i in lanes]


def follow(roadmap, name: str) -> list[str]:
    return names(roadmap, roadmap.successors(roadmap.lane_index(name)))


# --- The reference line.


@pytest.mark.parametrize(
    ("kind", "values", "turn"),
    [
        ("arc", (0.02,), lambda s: 0.02 * s),
        ("arc", (1e-14,), lambda s: 0.0),
        ("spiral", (0.0, 0.05), lambda s: 0.05 / 80.0 * s * s / 2.0),
        ("spiral", (-0.03, 0.04), lambda s: -0.03 * s + 0.07 / 80.0 * s * s / 2.0),
        ("spiral", (0.02, 0.0), lambda s: 0.02 * s - 0.02 / 80.0 * s * s / 2.0),
        ("spiral", (0.01, 0.01 + 1e-9), lambda s: 0.01 * s + 1e-9 / 80.0 * s * s / 2.0),
    ],
)
def test_curves_are_the_integrals_of_their_heading(kind, values, turn):
    piece = Geometry(0.0, 5.0, -3.0, 0.7, 80.0, kind, values)
    s = np.array([0.0, 13.0, 40.0, 80.0])
    points, heading, _ = reference_line([piece], s)
    for k, at in enumerate(s):
        x = 5.0 + quad(lambda u: np.cos(0.7 + turn(u)), 0.0, at)[0]
        y = -3.0 + quad(lambda u: np.sin(0.7 + turn(u)), 0.0, at)[0]
        assert points[k] == pytest.approx([x, y], abs=1e-6)
        assert heading[k] == pytest.approx(0.7 + turn(at), abs=1e-6)


def test_cubic_curves_are_run_through_by_arc_length():
    """A straight line in disguise: the parameter speeds up along it, the station does not."""
    normal = Geometry(0.0, 0.0, 0.0, 0.0, 60.0, "paramPoly3", (0.0, 20.0, 40.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    points, heading, curvature = reference_line([normal], np.array([0.0, 15.0, 45.0, 60.0]))
    assert points[:, 0] == pytest.approx([0.0, 15.0, 45.0, 60.0], abs=1e-4)
    assert not heading.any()
    assert not curvature.any()


@pytest.mark.parametrize("kind", ["poly3", "paramPoly3"])
def test_a_parabola_has_its_own_length(kind):
    """v = u^2 / 100 over u = 0 … 50: length, end, slope and curvature by hand."""
    length = quad(lambda u: np.hypot(1.0, u / 50.0), 0.0, 50.0)[0]
    values = {"poly3": (0.0, 0.0, 0.01, 0.0), "paramPoly3": (0.0, 50.0, 0.0, 0.0, 0.0, 0.0, 25.0, 0.0, 1.0)}
    piece = Geometry(0.0, 0.0, 0.0, 0.0, length, kind, values[kind])
    points, heading, curvature = reference_line([piece], np.array([0.0, length]))
    assert points[1] == pytest.approx([50.0, 25.0], abs=1e-3)
    assert heading[1] == pytest.approx(np.arctan(1.0), abs=1e-4)
    assert curvature[0] == pytest.approx(0.02, abs=1e-6)
    assert curvature[1] == pytest.approx(0.02 / 2.0**1.5, abs=1e-6)


# --- Lanes and their borders.


def test_widths_offsets_and_heights_make_the_borders(tmp_path):
    offset = '<laneOffset s="0" a="1" b="0" c="0" d="0"/><laneOffset s="50" a="1" b="0.02" c="0" d="0"/>'
    wide = width((0, 3.0, 0.0, 0.0, 0.0), (40, 3.0, 0.05, 0.0, 0.0), (60, 4.0, 0.0, 0.0, 0.0))
    high = '<elevationProfile><elevation s="0" a="2" b="0.1" c="0" d="0"/></elevationProfile>'
    lanes = section(lane(1), lane(-1, wide), lane(-2, kind="shoulder"))
    m = build(tmp_path, road(sections=lanes, offsets=offset, more=high)).roadmap
    own = m.rows(m.lane_index("1.0.-1"))
    x = m.points[own, 0]
    inner = 1.0 + np.where(x > 50.0, 0.02 * (x - 50.0), 0.0)
    expected = np.interp(x, [0.0, 40.0, 60.0, 100.0], [3.0, 3.0, 4.0, 4.0])
    assert m.left[own, 1] == pytest.approx(inner, abs=1e-9)
    assert m.right[own, 1] == pytest.approx(inner - expected, abs=1e-9)
    assert m.elevation[own] == pytest.approx(2.0 + 0.1 * x, abs=1e-9)
    back = m.rows(m.lane_index("1.0.1"))
    assert m.points[back][0, 0] == 100.0  # lane 1 drives against s
    assert m.left[back][-1, 1] == pytest.approx(1.0)
    assert m.right[back][-1, 1] == pytest.approx(4.5)


def test_borders_stand_in_for_widths(tmp_path):
    lanes = section(
        lane(1, '<border sOffset="0" a="3" b="0" c="0" d="0"/>'),
        lane(-1, '<border sOffset="0" a="-3.25" b="0" c="0" d="0"/>'),
        lane(-2, '<border sOffset="0" a="-5" b="0" c="0" d="0"/>', "shoulder"),
    )
    m = build(tmp_path, road(sections=lanes)).roadmap
    found = {n: m.half_width[m.rows(m.lane_index(n))].sum(1) for n in m.lane_ids}
    assert {n: w.round(6).tolist()[0] for n, w in found.items()} == {
        "1.0.1": 3.0,
        "1.0.-1": 3.25,
        "1.0.-2": 1.75,
    }


def test_a_border_may_jump_where_a_section_begins(tmp_path):
    """Two sections with the centre moved sideways at the cut: the lane goes straight through."""
    offset = '<laneOffset s="0" a="0" b="0" c="0" d="0"/><laneOffset s="60" a="-3.5" b="0" c="0" d="0"/>'
    first = section(lane(-1, kind="none"), lane(-2, link='<successor id="-1"/>'))
    second = section(lane(-1, link='<predecessor id="-2"/>'), s=60.0)
    m = build(tmp_path, road(sections=first + second, offsets=offset)).roadmap
    assert follow(m, "1.0.-2") == ["1.1.-1"]
    for name in ("1.0.-2", "1.1.-1"):
        assert m.centerline(m.lane_index(name))[:, 1] == pytest.approx(-5.25)


def test_a_section_of_no_length_is_passed_through(tmp_path):
    lanes = [
        section(lane(-1, link='<successor id="-2"/>')),
        section(lane(-1, kind="none"), lane(-2), s=50.0),
        section(lane(-1), s=50.01),
    ]
    found = build(tmp_path, road(sections="".join(lanes)))
    assert found.roadmap.lane_ids == ("1.0.-1", "1.2.-1")
    assert follow(found.roadmap, "1.0.-1") == []  # nothing links the last two
    lanes[2] = section(lane(-1, link='<predecessor id="-2"/>'), s=50.01)
    assert follow(build(tmp_path, road(sections="".join(lanes))).roadmap, "1.0.-1") == ["1.2.-1"]


def test_in_left_hand_traffic_lanes_of_positive_id_drive_along_the_road(tmp_path):
    lanes = section(lane(2), lane(1), lane(-1))
    m = build(tmp_path, road(sections=lanes, rule="LHT")).roadmap
    outer, inner, other = (m.lane_index(f"1.0.{k}") for k in (2, 1, -1))
    assert m.heading[m.rows(inner)][0] == 0.0
    assert abs(m.heading[m.rows(other)][0]) == pytest.approx(np.pi)
    assert m.left_lane[inner] == outer
    assert m.right_opposite[inner] == other
    assert m.right_lane[outer] == inner


def test_types_of_lanes(tmp_path):
    kinds = ["driving", "shoulder", "biking", "sidewalk", "parking", "none", "median", "onRamp", "stop"]
    found = build(tmp_path, road(sections=section(*(lane(-k - 1, kind=t) for k, t in enumerate(kinds)))))
    have = dict(zip(found.roadmap.lane_ids, found.roadmap.kind.tolist(), strict=True))
    assert have == {
        "1.0.-1": LaneKind.LANE,
        "1.0.-2": LaneKind.SHOULDER,
        "1.0.-3": LaneKind.BICYCLE,
        "1.0.-4": LaneKind.SIDEWALK,
        "1.0.-5": LaneKind.PARKING,
        "1.0.-8": LaneKind.LANE,
        "1.0.-9": LaneKind.SHOULDER,
    }
    assert found.notes == ("lanes of type median: 1", "lanes of type none: 1")


def test_speed_limits_come_in_their_units(tmp_path):
    types = (
        '<type s="0" type="town"><speed max="50" unit="km/h"/></type>'
        '<type s="60" type="town"><speed max="30" unit="mph"/></type>'
    )
    own = '<speed sOffset="0" max="7"/>'
    lanes = section(lane(-1), lane(-2, own)) + section(lane(-1), s=60.0)
    m = build(tmp_path, road(sections=lanes, more=types)).roadmap
    limits = dict(zip(m.lane_ids, m.speed_limit.round(4).tolist(), strict=True))
    assert limits == {"1.0.-1": 13.8889, "1.0.-2": 7.0, "1.1.-1": 13.4112}
    free = '<type s="0" type="motorway"><speed max="no limit" unit="km/h"/></type>'
    assert np.isnan(build(tmp_path, road(more=free)).roadmap.speed_limit).all()


# --- Marks.


def mark(kind: str, change: str = "", offset: float = 0.0) -> str:
    change = f' laneChange="{change}"' if change else ""
    return f'<roadMark sOffset="{offset}" type="{kind}"{change}/>'


@pytest.mark.parametrize(
    ("painted", "left_may", "right_may", "seen"),
    [
        (mark("broken"), True, True, (Marking.DASHED, Marking.DASHED)),
        (mark("solid"), False, False, (Marking.SOLID, Marking.SOLID)),
        (mark("solid solid"), False, False, (Marking.DOUBLE_SOLID, Marking.DOUBLE_SOLID)),
        # The first word is the inner line, that of lane -1.
        (mark("solid broken"), True, False, (Marking.SOLID, Marking.DASHED)),
        (mark("broken solid"), False, True, (Marking.DASHED, Marking.SOLID)),
        # Ids grow to the left: from -2 to -1 they increase.
        (mark("broken", "increase"), True, False, (Marking.DASHED, Marking.DASHED)),
        (mark("solid", "decrease"), False, True, (Marking.SOLID, Marking.SOLID)),
        (mark("broken", "none"), False, False, (Marking.DASHED, Marking.DASHED)),
        # Of several the longest.
        (mark("broken") + mark("solid", offset=80.0), True, True, (Marking.DASHED, Marking.DASHED)),
        (mark("broken") + mark("solid", offset=30.0), False, False, (Marking.SOLID, Marking.SOLID)),
    ],
)
def test_a_mark_between_two_lanes_says_who_may_cross(tmp_path, painted, left_may, right_may, seen):
    m = build(tmp_path, road(sections=section(lane(-1, painted), lane(-2)))).roadmap
    inner, outer = m.lane_index("1.0.-1"), m.lane_index("1.0.-2")
    assert (bool(m.left_change[outer]), bool(m.right_change[inner])) == (left_may, right_may)
    assert (m.right_marking[inner], m.left_marking[outer]) == seen


def test_the_centre_line_is_the_left_one_of_both_directions(tmp_path):
    m = build(tmp_path, road(sections=section(lane(1), lane(-1), center=mark("solid broken")))).roadmap
    assert m.left_marking[m.lane_index("1.0.1")] == Marking.SOLID
    assert m.left_marking[m.lane_index("1.0.-1")] == Marking.DASHED
    assert m.left_opposite[m.lane_index("1.0.1")] == m.lane_index("1.0.-1")
    assert not m.left_change.any()


# --- Links.


def between(tag: str, other: int, contact: str) -> str:
    return f'<{tag} elementType="road" elementId="{other}" contactPoint="{contact}"/>'


def to_junction(tag: str) -> str:
    return f'<{tag} elementType="junction" elementId="9"/>'


def both(successor: int | None = None, predecessor: int | None = None) -> str:
    rows = (("predecessor", predecessor), ("successor", successor))
    return "".join(f'<{tag} id="{k}"/>' for tag, k in rows if k is not None)


def test_two_roads_may_meet_with_their_ends(tmp_path):
    """Road 2 runs towards road 1: lane -1 goes on as lane 1 there, against that road's s."""
    plan = geometry(x=200.0, hdg=np.pi)
    m = build(
        tmp_path,
        road(1, section(lane(1, link=both(-1)), lane(-1, link=both(1))), link=between("successor", 2, "end")),
        road(2, section(lane(1), lane(-1)), plan, link=between("successor", 1, "end")),
    ).roadmap
    assert follow(m, "1.0.-1") == ["2.0.1"]
    assert follow(m, "2.0.-1") == ["1.0.1"]
    assert follow(m, "1.0.1") == []


def crossing(kind: str = "default") -> list[str]:
    """Road 1 leads to a junction, from there connecting road 5 (driven along s) to road 2."""
    one = lane(-1, link=both(-1, -1))
    straight = [
        road(1, section(lane(-1)), link=to_junction("successor")),
        road(2, section(lane(-1)), geometry(x=120.0), link=to_junction("predecessor")),
        road(
            5,
            section(one),
            geometry(x=100.0, length=20.0),
            20.0,
            between("predecessor", 1, "end") + between("successor", 2, "start"),
            9,
        ),
    ]
    other = "linkedRoad" if kind == "direct" else "connectingRoad"
    target = 2 if kind == "direct" else 5
    connection = (
        f'<connection id="0" incomingRoad="1" {other}="{target}" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
    )
    roads = straight[:2] if kind == "direct" else straight
    return [*roads, f'<junction id="9" name="" type="{kind}">{connection}</junction>']


def test_a_junction_leads_through_its_connecting_road(tmp_path):
    m = build(tmp_path, *crossing()).roadmap
    assert follow(m, "1.0.-1") == ["5.0.-1"]
    assert follow(m, "5.0.-1") == ["2.0.-1"]
    assert names(m, m.predecessors(m.lane_index("2.0.-1"))) == ["5.0.-1"]
    inside = m.lane_index("5.0.-1")
    assert m.kind[inside] == LaneKind.CONNECTOR
    assert m.intersection.tolist() == [False, False, True]


def test_a_direct_junction_links_roads_themselves(tmp_path):
    assert follow(build(tmp_path, *crossing("direct")).roadmap, "1.0.-1") == ["2.0.-1"]


def test_links_that_lead_nowhere_or_backwards_are_counted(tmp_path):
    lost = road(1, section(lane(-1, link=both(7))), link=between("successor", 2, "start"))
    found = build(tmp_path, lost, road(2, section(lane(-1)), geometry(x=100.0)))
    assert found.notes == ("lane links to a lane that does not exist: 1",)
    wrong = road(1, section(lane(-1, link=both(1))), link=between("successor", 2, "start"))
    found = build(tmp_path, wrong, road(2, section(lane(1)), geometry(x=100.0)))
    assert "lane links against the driving direction: 2" in found.notes
    assert follow(found.roadmap, "1.0.-1") == []
    gone = road(1, section(lane(-1, link=both(-1))), link=between("successor", 3, "start"))
    assert build(tmp_path, gone).notes == ("road links to a road that does not exist: 1",)


# --- Signals and objects.


def signal(
    name: str, s: float, orientation: str, kind: str = "1000001", lanes: str = "", tag: str = "signal"
) -> str:
    kinds = f' type="{kind}" dynamic="yes"' if tag == "signal" else ""
    return f'<{tag} id="{name}" s="{s}" t="-4" orientation="{orientation}"{kinds}>{lanes}</{tag}>'


def validity(low: int, high: int) -> str:
    return f'<validity fromLane="{low}" toLane="{high}"/>'


def at_signals(m) -> dict[str, tuple[str, float]]:
    lit = np.flatnonzero(m.signal >= 0)
    return {m.lane_ids[i]: (m.signal_ids[m.signal[i]], round(float(m.stop_station[i]), 6)) for i in lit}


def test_a_signal_rules_the_lanes_of_its_direction(tmp_path):
    more = f"<signals>{signal('a', 90.0, '+')}{signal('b', 10.0, '-')}</signals>"
    m = build(tmp_path, road(sections=section(lane(1), lane(-1), lane(-2)), more=more)).roadmap
    assert at_signals(m) == {"1.0.1": ("b", 90.0), "1.0.-1": ("a", 90.0), "1.0.-2": ("a", 90.0)}


def test_validity_names_lanes_whatever_way_the_signal_looks(tmp_path):
    more = (
        f"<signals>{signal('a', 90.0, '-', lanes=validity(-2, -2))}"
        f"{signal('b', 90.0, '-', lanes=validity(0, 0))}{signal('walk', 90.0, '+', '1000002')}</signals>"
    )
    m = build(tmp_path, road(sections=section(lane(1), lane(-1), lane(-2)), more=more)).roadmap
    assert at_signals(m) == {"1.0.-2": ("a", 90.0)}


def test_a_signal_on_a_connecting_road_stops_before_the_junction(tmp_path):
    parts = crossing()
    lights = "<signals>" + signal("a", 3.0, "-", lanes=validity(-1, -1), tag="signalReference") + "</signals>"
    post = "<signals>" + signal("a", 99.0, "+", lanes=validity(0, 0)) + "</signals>"
    parts[2] = parts[2].replace("<lanes>", lights + "<lanes>")
    parts[0] = parts[0].replace("<lanes>", post + "<lanes>")
    assert at_signals(build(tmp_path, *parts).roadmap) == {"5.0.-1": ("a", 0.0)}
    paint = 'type="-1" name="StopLine" s="96" t="-1.75" length="3" width="0.4"'
    line = f'<objects><object id="1" {paint}/></objects>'
    parts[0] = parts[0].replace("<lanes>", line + "<lanes>")
    assert at_signals(build(tmp_path, *parts).roadmap) == {"5.0.-1": ("a", -4.0)}


def test_a_stop_sign_makes_a_give_way_line(tmp_path):
    m = build(tmp_path, road(more=f"<signals>{signal('s', 80.0, '+', '206')}</signals>")).roadmap
    assert m.stop_station[m.lane_index("1.0.-1")] == 80.0
    assert m.signal[m.lane_index("1.0.-1")] == -1
    assert np.isnan(m.stop_station[m.lane_index("1.0.1")])


def test_the_controllers_of_a_junction_are_green_in_turn(tmp_path):
    parts = crossing()
    parts[0] = parts[0].replace("<lanes>", f"<signals>{signal('a', 99.0, '+')}</signals><lanes>")
    second = road(3, section(lane(-1)), geometry(y=50.0), link=to_junction("successor"))
    second = second.replace("<lanes>", f"<signals>{signal('b', 99.0, '+')}</signals><lanes>")
    six = road(
        6,
        section(lane(-1, link=both(-1, -1))),
        geometry(x=100.0, y=50.0, length=20.0),
        20.0,
        between("predecessor", 3, "end"),
        9,
    )
    connection = (
        '<connection id="1" incomingRoad="3" connectingRoad="6" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
    )
    order = '<controller id="c2" sequence="0"/><controller id="c1" sequence="1"/>'
    parts[3] = parts[3].replace("</junction>", connection + order + "</junction>")
    pairs = (("c1", "a"), ("c2", "b"))
    controllers = "".join(f'<controller id="{c}"><control signalId="{x}"/></controller>' for c, x in pairs)
    found = build(tmp_path, *parts, second, six, controllers)
    assert found.phases == ((("b",), ("a",)),)
    times = np.array([0.0, 9.9, 10.0, 12.9, 13.0, 14.9, 15.0, 24.9, 25.0, 28.0, 29.9, 30.0])
    g, y, r = 1, 2, 3
    states = signal_states(found, ("a", "b"), times)
    assert states.tolist() == [[r, r, r, r, r, r, g, g, y, r, r, r], [g, g, y, y, r, r, r, r, r, r, r, g]]
    assert signal_states(found, ("nobody",), times).max() == 0


def test_crosswalks_parking_spaces_and_buildings_become_areas(tmp_path):
    def thing(kind: str, inside: str = "", **more: float) -> str:
        given = "".join(f' {k}="{v}"' for k, v in more.items())
        return f'<object id="{kind}" type="{kind}" name=""{given}>{inside}</object>'

    local = "".join(f'<cornerLocal u="{u}" v="{v}" z="0"/>' for u, v in ((2, 1), (-2, 1), (-2, -1), (2, -1)))
    placed = "".join(
        f'<cornerRoad s="{s}" t="{t}" dz="0" height="0"/>' for s, t in ((20, 4), (25, 4), (25, 6))
    )
    objects = (
        thing("crosswalk", f"<outline>{local}</outline>", s=50, t=0, hdg=np.pi / 2)
        + thing("parkingSpace", f"<outlines><outline>{placed}</outline></outlines>")
        + thing("building", s=10, t=12, length=8, width=4)
        + thing("tree", s=10, t=5)
    )
    found = build(tmp_path, road(more=f"<objects>{objects}</objects>"))
    walk, space, house = (found.roadmap.areas[i] for i in range(3))
    assert walk == pytest.approx(np.array([[49, 2], [49, -2], [51, -2], [51, 2]]))
    assert space == pytest.approx(np.array([[20, 4], [25, 4], [25, 6]]))
    assert house == pytest.approx(np.array([[14, 14], [6, 14], [6, 10], [14, 10]]))
    assert found.roadmap.areas.kind.tolist() == [AreaKind.CROSSWALK, AreaKind.PARKING, AreaKind.OCCLUDER]
    assert found.notes == ("objects of type tree: 1",)


# --- Bad input: one line, with the file and, where there is one, the line.

BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
    "<OpenDRIVE>&b;</OpenDRIVE>"
)
BAD = {
    "empty": ("", "line 1: not well-formed XML"),
    "truncated": (document(road())[:-60], "not well-formed XML"),
    "binary": (bytes(range(256)), "not well-formed XML"),
    "billion laughs": (BOMB, "line 2: a document type or entity declaration is refused"),
    "another root": ("<net><edge/></net>", r"no OpenDRIVE road network \(root <net>\)"),
    "no road": (document(), "the road network is empty"),
    "future": (
        document(road(), header='<header revMajor="2" revMinor="0"/>'),
        "OpenDRIVE 2.0 is not supported",
    ),
    "old": (document(road(), header='<header revMajor="1" revMinor="1"/>'), "OpenDRIVE 1.1 is not supported"),
    "no version": (document(road(), header="<header/>"), "gives no OpenDRIVE version"),
    "NaN": (document(road(plan=geometry(x=float("nan")))), "line 3: <geometry> has x='nan', not a number"),
    "word": (document(road()).replace('hdg="0.0"', 'hdg="north"'), "has hdg='north', not a number"),
    "no plan": (document(road()).replace("planView", "plan"), "line 3: <road> lacks the element <planView>"),
    "no shape": (document(road(plan=geometry("<bezier/>"))), "road '1': <geometry> holds none of line, arc"),
    "no length": (document(road(length=0.0)), "road '1' is 0 m long"),
    "huge": (document(road(length=1e7)), "road '1' is 1e[+]07 m long"),
    "negative piece": (document(road(plan=geometry(length=-3.0))), "a <geometry> has the length -3"),
    "no section": (document(road(sections=" ")), "road '1' has no <laneSection>"),
    "twice": (document(road(), road()), "road '1' is defined twice"),
    "lane twice": (document(road(sections=section(lane(-1), lane(-1)))), "lane -1 is there twice"),
    "gap": (document(road(sections=section(lane(-1), lane(-3)))), "lane ids are not consecutive"),
    "lane id": (document(road()).replace('lane id="1"', 'lane id="one"'), "id='one', not the id of a lane"),
    "contact": (document(road(link=between("successor", 2, "middle"))), "must be start or end"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    text, reason = BAD[name]
    with pytest.raises(InputError, match=reason) as caught:
        read_opendrive(write(tmp_path, text))
    assert str(caught.value).startswith("road.xodr: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"gone.xodr: cannot be read \(No such file"):
        read_opendrive(tmp_path / "gone.xodr")


def test_a_network_without_driving_lanes_is_told(tmp_path):
    lanes = section(lane(-1, kind="sidewalk"))
    with pytest.raises(MapError, match=r"road.xodr: the map is empty: it has no lane that motor vehicles"):
        build(tmp_path, road(sections=lanes))


def test_a_later_minor_version_is_read_and_said_so(tmp_path):
    text = document(road(), header='<header revMajor="1" revMinor="8"/>')
    file = read_opendrive(write(tmp_path, text))
    assert file.version == "1.8"
    assert "what OpenDRIVE 1.8 has beyond 1.7" in file.skipped


def test_a_million_metres_of_road_are_bounded(tmp_path):
    plan = geometry('<arc curvature="0.9"/>', length=900_000.0)
    with pytest.raises(MapError, match=r"road.xodr: line 3: road '1': a section is too long to be sampled"):
        build(tmp_path, road(plan=plan, length=900_000.0))
