"""Obstacles to tracks, on small files with values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.datasets.commonroad import SOURCE, read_commonroad
from drive.sim.sight import Sight
from drive.sim.visibility import Visibility
from drive.vehicle import AgentKind

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("commonroad_text.py"))))
document, points, lanelet, exact, state, car, problem, ROAD, write = (
    TEXT.document,
    TEXT.points,
    TEXT.lanelet,
    TEXT.exact,
    TEXT.state,
    TEXT.car,
    TEXT.problem,
    TEXT.ROAD,
    TEXT.write,
)


def rectangle(length: float, width: float, turn: float, center: tuple[float, float]) -> str:
    size = f"<length>{length}</length><width>{width}</width><orientation>{turn}</orientation>"
    return f"<rectangle>{size}<center><x>{center[0]}</x><y>{center[1]}</y></center></rectangle>"


def test_shapes_become_boxes_about_their_centre(tmp_path: Path):
    shifted = rectangle(6, 2, 0, (1.5, 0))
    round_ = "<circle><radius>0.5</radius><center><x>0</x><y>0</y></center></circle>"
    many = f"<polygon>{points([(-1, -1), (3, -1), (3, 2), (-1, 2)])}</polygon>"
    cross = rectangle(6, 2, math.pi / 2, (0, 0))
    body = ROAD
    for name, shape in (("1", shifted), ("2", round_), ("3", many), ("4", cross)):
        first = state("initialState", 0, 10.0, 1.0, math.pi / 2, 5.0)
        motion = f"<trajectory>{state('state', 1, 10.0, 1.5, math.pi / 2, 5.0)}</trajectory>"
        body += f'<dynamicObstacle id="{name}"><type>car</type><shape>{shape}</shape>'
        body += f"{first}{motion}</dynamicObstacle>"
    one, two, three, four = read_commonroad(write(tmp_path, document(body))).obstacles
    # It heads along +y, so an offset of 1.5 m forward is +1.5 in y, and 0.5 m to the left is -0.5 in x.
    assert one.size == (6.0, 2.0)
    np.testing.assert_allclose(one.states[0], [10.0, 2.5, math.pi / 2, 0.0, 5.0], atol=1e-12)
    assert two.size == pytest.approx((1.0, 1.0))
    assert three.size == (4.0, 3.0)
    np.testing.assert_allclose(three.states[0, :2], [9.5, 2.0], atol=1e-12)
    assert four.size == pytest.approx((2.0, 6.0))


def test_uncertain_states_take_the_middle(tmp_path: Path):
    def between(tag: str, low: float, high: float) -> str:
        return f"<{tag}><intervalStart>{low}</intervalStart><intervalEnd>{high}</intervalEnd></{tag}>"

    area = rectangle(2, 1, 0.3, (7, 1))
    vague = f"<position>{area}</position>" + between("orientation", -0.2, 0.4) + between("velocity", 8, 10)
    box = "<rectangle><length>4</length><width>2</width></rectangle>"
    body = ROAD + (
        f'<obstacle id="5"><role>dynamic</role><type>truck</type><shape>{box}</shape>'
        f"<initialState>{vague}{exact('time', 0)}</initialState>"
        f"<trajectory>{state('state', 1, 8.0, 1.0, 0.0, 9.0)}</trajectory></obstacle>"
    )
    (truck,) = read_commonroad(write(tmp_path, document(body, version="2018b"))).obstacles
    assert truck.kind == AgentKind.TRUCK
    expected = [7.0, 1.0, 0.1, 9.0 * math.cos(0.1), 9.0 * math.sin(0.1)]
    np.testing.assert_allclose(truck.states[0], expected, atol=1e-12)


def test_velocities_along_across_and_missing(tmp_path: Path):
    sideways = exact("velocityY", 1.0)
    turned = state("initialState", 0, 0, 0, math.pi / 2, 4.0, sideways)
    body = ROAD + "".join(
        f'<dynamicObstacle id="{name}"><type>car</type><shape><circle><radius>1</radius></circle></shape>'
        f"{first}<trajectory>{rest}</trajectory></dynamicObstacle>"
        for name, first, rest in (
            ("1", turned, state("state", 1, 0, 0.4, math.pi / 2, 4.0)),
            ("2", state("initialState", 0, 0, 0, None, 3.0, exact("velocityY", 4.0)),
             state("state", 1, 0.3, 0.4, None, 3.0, exact("velocityY", 4.0))),
            ("3", state("initialState", 0, 0, 0), state("state", 1, 0.5, 0) + state("state", 2, 1.0, 0)),
        )
    )  # fmt: skip
    one, two, three = read_commonroad(write(tmp_path, document(body))).obstacles
    np.testing.assert_allclose(one.states[0, 3:], [-1.0, 4.0], atol=1e-12)
    np.testing.assert_allclose(two.states[0, 2:], [math.atan2(4, 3), 3.0, 4.0], atol=1e-12)
    np.testing.assert_allclose(three.states[:, 3:], [[5.0, 0.0]] * 3, atol=1e-12)


def test_useless_road_users_are_counted_and_a_bad_sample_is_not_valid(tmp_path: Path):
    moving = [(k, 2.0 * k, 1.5, 0.0, 20.0) for k in range(40)]
    holed = [(k, "nan" if k == 20 else 2.0 * k, 1.5, 0.0, 20.0) for k in range(40)]
    lost = [(k, "nan", 1.5, 0.0, 20.0) for k in range(40)]
    sets = (
        '<dynamicObstacle id="5"><type>car</type><shape><circle><radius>1</radius></circle></shape>'
        + state("initialState", 0, 0, 0)
        + f"<occupancySet><occupancy><shape><circle><radius>2</radius></circle></shape>{exact('time', 1)}"
        "</occupancy></occupancySet></dynamicObstacle>"
    )
    body = ROAD + car("1", moving) + car("2", holed) + car("3", lost) + car("4", moving[:1]) + sets
    body += car("6", moving, size=(0.0, 2.0)) + '<phantomObstacle id="7"/>' + problem()
    path = str(write(tmp_path, document(body)))
    file = read_commonroad(path)
    assert [o.id for o in file.obstacles] == ["1", "2"]
    assert file.skipped == (
        "obstacle 3: fewer than two valid samples",
        "obstacle 4: fewer than two valid samples",
        "obstacle 5: a set-based prediction, no motion to replay",
        "obstacle 6: its shape has no size",
        "phantom obstacle 7: only a set of occupancies",
    )
    scenario = SOURCE.load(path)
    assert scenario.tracks.ids == ("ego", "1", "2")
    assert np.flatnonzero(~scenario.tracks.valid[2]).tolist() == [20, 40]
    assert set(file.skipped) <= set(scenario.provenance.notes)
    # The longest stretch without a hole is what the vehicle can be followed on.
    assert SOURCE.load(f"{path}#@2").duration == pytest.approx(1.9)


def test_static_things_stand_all_the_time(tmp_path: Path):
    body = (
        ROAD
        + car("1", [(0, 50.0, 1.0, 0.5)], kind="parkedVehicle", tag="staticObstacle")
        + car("2", [(0, 60.0, 1.0, 0.0)], kind="constructionZone", tag="staticObstacle")
        + problem()
    )
    tracks = SOURCE.load(str(write(tmp_path, document(body)))).tracks
    assert tracks.valid[1:].all()
    assert [AgentKind(k) for k in tracks.kind] == [AgentKind.VEHICLE, AgentKind.STATIC, AgentKind.STATIC]
    np.testing.assert_array_equal(tracks.states[1], [[50.0, 1.0, 0.5, 0.0, 0.0]] * 41)


@pytest.mark.parametrize(("kind", "hides"), [("parkedVehicle", False), ("truck", True), ("pillar", True)])
def test_what_stands_hides_others_by_its_type(tmp_path: Path, kind: str, hides: bool):
    body = (
        ROAD
        + car("1", [(0, 30.0, 1.5)], kind=kind, tag="staticObstacle")
        + car("2", [(k, 50.0 + k, 1.5, 0.0, 10.0) for k in range(41)])
        + problem(y=1.5)
    )
    scenario = SOURCE.load(str(write(tmp_path, document(body))))
    tracks = scenario.tracks
    sight = Sight.of(scenario, scenario.ego, scenario.vehicle, Visibility())
    assert sight.look(tracks.states[:, 0].copy(), tracks.valid[:, 0].copy()).tolist() == [
        False,
        True,
        not hides,
    ]


def test_quarter_second_steps_are_sampled_every_tenth(tmp_path: Path):
    # Headings cross the wrap: 3.0 rad, then -3.0, the short way is 0.283 rad across pi.
    turn = 2.0 * math.pi - 6.0
    states = [(k, 90.0 - 2.0 * k, 1.5, 3.0 if k == 0 else -3.0, 8.0) for k in range(13)]
    body = lanelet("1", 100, 0, 3, 0) + car("1", states)
    scenario = SOURCE.load(f"{write(tmp_path, document(body, dt='0.25'))}#@1")
    assert scenario.dt == 0.1
    assert scenario.duration == pytest.approx(3.0)
    track = scenario.tracks.states[0]
    np.testing.assert_allclose(track[:, 0], 90.0 - 8.0 * 0.1 * np.arange(31), atol=1e-9)
    assert track[1, 2] == pytest.approx(3.0 + 0.4 * turn)
    assert track[2, 2] == pytest.approx(3.0 + 0.8 * turn - 2.0 * math.pi)
