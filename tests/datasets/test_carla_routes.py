"""CARLA's route files: what is read, how key points become lanes, what is missing is told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from drive.datasets import source
from drive.datasets.carla_routes import SOURCE, read_routes, trace_route
from drive.datasets.opendrive.source import load_map
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.geometry import arc_length, project_to_polyline

HERE = Path(__file__).parent
SMALL = HERE / "opendrive_small.xodr"
DATA = HERE.parents[1].parent / "shared" / "data"
ROUTES = DATA / "carla_routes"
COUNTED = ("routes", "towns", "waypoints", "scenarios", "scenario_types", "weathers")


@pytest.fixture(autouse=True)
def _no_maps(monkeypatch):
    monkeypatch.delenv("DRIVE_CARLA_MAPS", raising=False)


def points_along(lanes: str, every: int) -> np.ndarray:
    """Every so many points of the centrelines of lanes of the small network."""
    m = load_map(SMALL).roadmap
    line = np.concatenate([m.centerline(m.lane_index(name)) for name in lanes.split()])
    return np.concatenate((line[::every], line[-1:])) + load_map(SMALL).origin


def routes_file(folder: Path, points: np.ndarray, town: str = "Small", more: str = "") -> Path:
    """A file of one route; CARLA's y points to the right."""
    rows = "".join(f'<position x="{x}" y="{-y}" z="0"/>' for x, y in points)
    scenario = '<scenario name="A_1" type="ParkingExit"><trigger_point x="0" y="0" z="0" yaw="0"/></scenario>'
    text = (
        f'<routes><route id="7" town="{town}"><weathers><weather cloudiness="5"/></weathers>'
        f"<waypoints>{rows}</waypoints><scenarios>{scenario}</scenarios></route>{more}</routes>"
    )
    path = folder / "routes.xml"
    path.write_text(text)
    return path


THROUGH = "1.0.-1 1.1.-1 10.0.-1 2.0.-1 3.0.-1"
TO_THE_RIGHT = "1.0.-1 1.1.-2 12.0.-1 4.0.1"


def test_a_route_is_read_and_mirrored(tmp_path):
    path = routes_file(tmp_path, np.array([[1.0, 2.0], [3.0, -4.0]]))
    (route,) = read_routes(path)
    assert (route.id, route.town, route.scenarios, route.weathers) == ("7", "Small", ("ParkingExit",), 1)
    assert route.points.tolist() == [[1.0, 2.0, 0.0], [3.0, -4.0, 0.0]]


def test_the_old_form_of_routes(tmp_path):
    path = tmp_path / "routes.xml"
    way = '<waypoint pitch="0" roll="0" x="1" y="2" yaw="0" z="0"/>'
    path.write_text(f'<routes><route id="0" town="Town01">{way}{way.replace("1", "9")}</route></routes>')
    assert read_routes(path)[0].points[:, 0].tolist() == [1.0, 9.0]


@pytest.mark.parametrize("every", [1, 4, 12])
@pytest.mark.parametrize("lanes", [THROUGH, TO_THE_RIGHT, "3.0.1 2.0.1 11.0.-1 1.1.1 1.0.1"])
def test_points_of_lanes_are_traced_to_these_lanes(lanes, every):
    """Also where the points are far apart, and where oncoming lanes and others of the junction lie beside."""
    m, origin = load_map(SMALL).roadmap, load_map(SMALL).origin
    traced, start, end = trace_route(m, points_along(lanes, every) - origin)
    found = [m.lane_ids[i] for i in traced]
    # To get from lane -1 to the lane that turns right, it has to be changed.
    expected = lanes.replace("1.0.-1 1.1.-2", "1.0.-1 1.1.-1 1.1.-2").split()
    assert found == expected
    assert start == pytest.approx(0.0, abs=1e-6)
    assert end == pytest.approx(m.length[traced[-1]], abs=1e-6)


def test_points_off_the_road_and_ways_that_do_not_exist_are_told():
    m = load_map(SMALL).roadmap
    on = m.centerline(m.lane_index("2.0.-1"))[5]
    with pytest.raises(ScenarioError, match=r"the route's point \(5000.0, 0.0\) lies off every lane"):
        trace_route(m, np.array([on, [5000.0, 0.0]]))
    back = m.centerline(m.lane_index("4.0.-1"))[[0, -1]]
    with pytest.raises(ScenarioError, match="no way leads along the lanes from"):
        trace_route(m, np.array([back[0], on]))


def test_a_route_becomes_a_scenario(tmp_path, monkeypatch):
    path = routes_file(tmp_path, points_along(THROUGH, 3))
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "Small.xodr").write_bytes(SMALL.read_bytes())
    assert SOURCE.matches(str(path))
    assert source.expand([str(path)]) == [f"{path}#7"]
    s = SOURCE.load(f"{path}#7")
    assert s.id == "routes.xml#7"
    assert s.tags == ("Small", "ParkingExit")
    assert "scenario not simulated: ParkingExit" in s.provenance.notes
    assert "weather not simulated" in s.provenance.notes
    assert s.initial[3] == 0.0
    gap = np.hypot(*(s.expert.states[:, :2] - s.route.goal.position).T)
    assert gap[0] > 100.0
    assert gap.min() < 2.0
    # The same file with its map in a folder that the environment names.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "maps" / "Small.xodr").rename(elsewhere / "Small.xodr")
    with pytest.raises(InputError, match=r"routes.xml: no map Small.xodr beside it; put it there, or name"):
        SOURCE.load(f"{path}#7")
    monkeypatch.setenv("DRIVE_CARLA_MAPS", str(elsewhere))
    assert SOURCE.load(f"{path}#7").content_hash == s.content_hash
    with pytest.raises(UnknownNameError, match=r"route of routes\.xml"):
        SOURCE.load(f"{path}#8")


def test_towns_without_a_map_are_told(tmp_path):
    two = '<position x="1" y="2"/>' * 2
    other = f'<route id="8" town="Town99"><waypoints>{two}</waypoints></route>'
    path = routes_file(tmp_path, points_along(THROUGH, 3), more=other)
    (tmp_path / "Small.xodr").write_bytes(SMALL.read_bytes())
    found = source.expand_all([str(path)])
    assert found.refs == (f"{path}#7",)
    assert [reason for _, reason in found.skipped] == [
        "1 routes: no map Town99.xodr, here or in DRIVE_CARLA_MAPS"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<routes/>", r"no CARLA routes in it \(root <routes>\)"),
        ('<routes><route id="1" town="T"><waypoints/></route></routes>', "route '1' has 0 positions"),
        ('<routes><route id="1"/></routes>', "<route> lacks the attribute town"),
        ('<routes><route id="1" town="T"><position x="nan" y="0"/></route></routes>', "x='nan', no metres"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><routes/>', "a document type or entity declaration is refused"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "routes.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        read_routes(path)
    assert str(caught.value).startswith("routes.xml: ")


def test_routes_of_sumo_are_left_to_others(tmp_path):
    path = tmp_path / "a.rou.xml"
    path.write_text('<routes><vType id="a"/><route id="r" edges="a b"/></routes>')
    assert not SOURCE.matches(str(path))


def counted() -> list[tuple[str, dict[str, int]]]:
    if not (DATA / "COUNTS.csv").exists():
        return []
    with (DATA / "COUNTS.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith("carla_routes/")]
    return [(r["file"], {k: int(v) for k, v in (p.split("=") for p in r["counts"].split())}) for r in rows]


@pytest.mark.parametrize(("name", "want"), counted(), ids=[name.rsplit("/")[-1] for name, _ in counted()])
def test_published_files_have_their_counts(name, want):
    routes = read_routes(DATA / name)
    types = [t for r in routes for t in r.scenarios]
    found = (
        len(routes),
        len({r.town for r in routes}),
        sum(len(r.points) for r in routes),
        len(types),
        len(set(types)),
        sum(r.weathers for r in routes),
    )
    assert dict(zip(COUNTED, found, strict=True)) == want


@pytest.mark.skipif(not ROUTES.is_dir(), reason="the CARLA routes are not in ../shared/data")
def test_published_routes_run_through_the_points_that_carla_planned():
    """Bench2Drive gives a point every 2 m, as CARLA's own planner laid them through its lane graph: the lanes
    traced from them, and from every tenth of them, run through all of them, no way longer than they."""
    seen = 0
    for route in read_routes(ROUTES / "bench2drive_nc_nd/bench2drive220.xml"):
        town = DATA / f"carla_opendrive/{route.town}.xodr"
        if not town.exists():
            continue
        built = load_map(town)
        m, points = built.roadmap, route.points - [*built.origin, 0.0]
        dense, start, end = trace_route(m, points)
        line = np.concatenate([m.centerline(i) for i in dense])
        _, offset, _ = project_to_polyline(points[:, :2], line)
        assert np.abs(offset).max() < 0.1
        length = m.length[list(dense)].sum() - start - (m.length[dense[-1]] - end)
        assert length == pytest.approx(arc_length(points)[-1], rel=0.09)
        sparse, *_ = trace_route(m, np.concatenate((points[::10], points[-1:])))
        assert sparse == dense
        seen += 1
    assert seen == 20
