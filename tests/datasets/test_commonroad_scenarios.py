"""Planning problems and recorded vehicles as egos, on small files."""

from __future__ import annotations

import math
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.datasets.commonroad import SOURCE
from drive.errors import ScenarioError
from drive.vehicle import rear_to_center

TEXT = SimpleNamespace(**run_path(str(Path(__file__).with_name("commonroad_text.py"))))
document, lanelet, car, problem, ROAD, write = (
    TEXT.document,
    TEXT.lanelet,
    TEXT.car,
    TEXT.problem,
    TEXT.ROAD,
    TEXT.write,
)


def test_a_planning_problem_becomes_a_scenario(tmp_path: Path):
    region = (
        "<position><rectangle><length>10</length><width>2</width><orientation>0</orientation>"
        "<center><x>4080</x><y>1001.5</y></center></rectangle></position>"
        "<velocity><intervalStart>5</intervalStart><intervalEnd>12</intervalEnd></velocity>"
    )
    body = lanelet("1", 4000, 4100, 1000, 1003) + problem(x=4005.0, y=1001.5, goal=region)
    body += car("8", [(k, 4030.0 + k, 1001.5, 0.0, 10.0) for k in range(35, 60)])
    scenario = SOURCE.load(str(write(tmp_path, document(body))))
    assert scenario.id == "scene.xml#9"
    assert scenario.origin == (4000.0, 1000.0)
    assert scenario.duration == pytest.approx(5.9)
    assert scenario.expert is None
    assert scenario.ego == 0
    assert scenario.tracks.valid[0].tolist() == [True] + [False] * 59
    assert np.flatnonzero(scenario.tracks.valid[1]).tolist() == list(range(35, 60))
    # The BMW 320i's rear axle lies 1.4227 m behind the centre of gravity.
    np.testing.assert_allclose(scenario.initial, [5.0 - 1.4227171, 1.5, 0.0, 10.0, 0.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(
        rear_to_center(scenario.initial, scenario.vehicle.rear_axle_to_center), [5.0, 1.5]
    )
    assert (scenario.vehicle.length, scenario.vehicle.width) == (4.508, 1.61)
    assert scenario.vehicle.wheelbase == pytest.approx(2.5789, abs=1e-4)
    goal = scenario.route.goal
    assert goal.lanes == (0,)
    assert goal.time == pytest.approx((0.0, 4.0))
    assert goal.speed == (5.0, 12.0)
    assert goal.polygon is not None
    np.testing.assert_allclose(sorted(goal.polygon[:, 0]), [75, 75, 85, 85])
    np.testing.assert_allclose(goal.position, [80.0, 1.5])
    assert "short" not in scenario.tags
    assert scenario.provenance.source == "scene.xml"
    again = SOURCE.load(str(write(tmp_path, document(body), "copy.xml")))
    assert again.content_hash == scenario.content_hash


def test_length_of_a_scenario(tmp_path: Path):
    # The goal's latest time, but no less than the recording, and 20 s at most; under 3 s it is called short.
    assert SOURCE.load(
        str(write(tmp_path, document(ROAD + problem(end=500)), "a.xml"))
    ).duration == pytest.approx(20.0)
    brief = SOURCE.load(str(write(tmp_path, document(ROAD + problem(end=12)), "b.xml")))
    assert brief.duration == pytest.approx(1.2)
    assert "short" in brief.tags
    assert "only 1.2 s long" in brief.provenance.notes
    longer = ROAD + car("1", [(k, float(k), 1.5, 0.0, 10.0) for k in range(71)]) + problem(end=12)
    assert SOURCE.load(str(write(tmp_path, document(longer), "c.xml"))).duration == pytest.approx(7.0)


def fork(change: str) -> str:
    """Two lanes 1 and 2 side by side, followed by 3 and 4; the line between 1 and 2 is `change`."""
    return (
        lanelet(
            "1", 0, 100, 0, 3, '<adjacentLeft ref="2" drivingDir="same"/><successor ref="3"/>', (change, "")
        )
        + lanelet(
            "2", 0, 100, 3, 6, '<adjacentRight ref="1" drivingDir="same"/><successor ref="4"/>', ("", change)
        )
        + lanelet("3", 100, 200, 0, 3)
        + lanelet("4", 100, 200, 3, 6)
    )


@pytest.mark.parametrize(
    ("change", "note"), [("dashed", None), ("solid", "the way to the goal crosses a solid line")]
)
def test_the_route_leads_to_the_goal_lane(tmp_path: Path, change: str, note: str | None):
    goal = '<position><lanelet ref="4"/></position>'
    scenario = SOURCE.load(str(write(tmp_path, document(fork(change) + problem(x=50.0, goal=goal)))))
    assert [scenario.roadmap.lane_ids[i] for i in scenario.route.lanes] == ["1", "2", "4"]
    assert scenario.route.goal.lanes == (3,)
    line = scenario.route.line
    # The change happens on what is left of the lane, beyond the ego at 50 m.
    assert np.interp([50.0, 60.0, 90.0, 150.0], line[:, 0], line[:, 1]).tolist() == pytest.approx(
        [1.5, 1.5, 4.5, 4.5]
    )
    assert (note in scenario.provenance.notes) == (note is not None)


def test_without_a_goal_region_the_route_goes_straight_on(tmp_path: Path):
    scenario = SOURCE.load(str(write(tmp_path, document(fork("dashed") + problem()))))
    assert [scenario.roadmap.lane_ids[i] for i in scenario.route.lanes] == ["1", "3"]
    behind = '<position><lanelet ref="1"/></position>'
    lost = SOURCE.load(
        str(write(tmp_path, document(fork("dashed") + problem(x=150.0, goal=behind)), "b.xml"))
    )
    assert [lost.roadmap.lane_ids[i] for i in lost.route.lanes] == ["3"]
    assert "no lanes lead from the start to the goal; the route goes straight on" in lost.provenance.notes


def test_a_recorded_vehicle_is_the_ego_and_its_own_expert(tmp_path: Path):
    # It changes from lane 1 to lane 2 between x = 110 and 130, after it has driven into lanes 3 and 4.
    def at(k: int) -> tuple[int, float, float, float, float]:
        x = 60.0 + 2.0 * k
        y = float(np.interp(x, [110.0, 130.0], [1.5, 4.5]))
        return 10 + k, x, y, math.atan2(3.0, 20.0) if 110.0 < x < 130.0 else 0.0, 20.0

    beside = fork("solid").replace(
        '<lanelet id="3">', '<lanelet id="3"><adjacentLeft ref="4" drivingDir="same"/>'
    )
    body = beside + car("7", [at(k) for k in range(51)], size=(5.0, 2.0))
    body += car("8", [(k, 10.0 + k, 4.5, 0.0, 10.0) for k in range(100)]) + problem()
    path = str(write(tmp_path, document(body, source="Next Generation Simulation (NGSIM)")))
    assert SOURCE.ids(path, ego="recorded") == [f"{path}#DEU_Test-1_1_T-1@7", f"{path}#DEU_Test-1_1_T-1@8"]
    scenario = SOURCE.load(f"{path}#DEU_Test-1_1_T-1@7")
    assert scenario.family == "commonroad/recorded"
    assert scenario.duration == pytest.approx(5.0)
    assert scenario.tracks.ids == ("7", "8")
    assert scenario.ego == 0
    # The clock starts at the ego's first sample, step 10, where the other one is at 20 m.
    assert scenario.tracks.states[1, 0, 0] == pytest.approx(20.0)
    assert [scenario.roadmap.lane_ids[i] for i in scenario.route.lanes] == ["1", "3", "4"]
    np.testing.assert_allclose(scenario.route.goal.position, [160.0, 4.5])

    expert = scenario.expert
    assert expert is not None
    assert expert.source == "human"
    np.testing.assert_array_equal(scenario.initial, expert.states[0])
    centers = rear_to_center(expert.states, scenario.vehicle.rear_axle_to_center)
    np.testing.assert_allclose(centers[:, 0], 60.0 + 2.0 * np.arange(51), atol=1e-9)
    np.testing.assert_allclose(expert.states[:, 3], 20.0, atol=1e-9)
    # The heading rises by 0.149 rad and falls again: so do the yaw rate and the steering, and they sum to 0.
    assert expert.states[:, 6].max() > 0.3
    assert 0.1 * expert.states[:, 6].sum() == pytest.approx(0.0, abs=1e-9)
    assert np.sign(expert.states[:, 5]).tolist() == np.sign(expert.states[:, 6]).tolist()


@pytest.mark.parametrize(
    ("source", "expert"),
    [("SUMO Traffic Simulator, Ko-HAF", "simulated"), ("BMW", "human"), ("", "recorded")],
)
def test_who_drove(tmp_path: Path, source: str, expert: str):
    body = ROAD + car("3", [(k, 2.0 * k, 1.5, 0.0, 20.0) for k in range(35)])
    scenario = SOURCE.load(f"{write(tmp_path, document(body, source=source))}#@3")
    assert scenario.expert is not None
    assert scenario.expert.source == expert


def test_vehicles_that_leap_or_stand_are_no_egos(tmp_path: Path):
    leaping = [(k, 2.0 * k + (5.0 if k > 20 else 0.0), 1.5, 0.0, 20.0) for k in range(40)]
    standing = [(k, 50.0, 1.5, 0.0, 0.0) for k in range(40)]
    walking = [(k, 30.0 + 0.2 * k, 1.5, 0.0, 2.0) for k in range(40)]
    brief = [(k, 2.0 * k, 1.5, 0.0, 20.0) for k in range(20)]
    body = (
        ROAD + car("1", leaping) + car("2", standing) + car("3", walking, kind="pedestrian") + car("4", brief)
    )
    path = str(write(tmp_path, document(body)))
    # None is recorded for 3 s: the longest one, and it is called short.
    assert SOURCE.ids(path, ego="recorded") == [f"{path}#DEU_Test-1_1_T-1@4"]
    assert "short" in SOURCE.load(f"{path}#@4").tags
    alone = str(write(tmp_path, document(ROAD + car("2", standing)), "alone.xml"))
    with pytest.raises(ScenarioError, match="no recorded motor vehicle that moves on a lane"):
        SOURCE.ids(alone, ego="recorded")
