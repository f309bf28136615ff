"""OpenSCENARIO: what a file says happens, at the places and times that follow by hand."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive.datasets.openscenario import SOURCE, make_scenario, read_openscenario
from drive.datasets.openscenario.expressions import Parameters
from drive.datasets.openscenario.variation import read_variation
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.sim import simulate
from drive.sim.traffic.story import rehearse

sys.path.insert(0, str(Path(__file__).parent))
from openscenario_text import (
    WALKER,
    after,
    change,
    event,
    lane,
    of_entity,
    speed,
    teleport,
    when,
    write,
)

DT = 0.1


def played(path: Path, longest: float = 20.0, **given: str) -> dict[str, np.ndarray]:
    """Rear-axle states by entity of the file played without a planner, every 0.1 s."""
    file = read_openscenario(path, given)
    found = rehearse(file.board, file.map.roadmap, DT, longest)
    x0, y0 = file.map.origin
    found.states[..., 0] += x0
    found.states[..., 1] += y0
    return {e.name: s for e, s in zip(file.board.entities, found.states, strict=True)}


def test_who_has_nothing_to_do_keeps_its_speed_in_its_lane(tmp_path: Path) -> None:
    other = played(write(tmp_path))["Other"]
    t = DT * np.arange(len(other))
    np.testing.assert_allclose(other[:, 0], 80.0 + 10.0 * t, atol=1e-6)
    np.testing.assert_allclose(other[:, 1], -1.75, atol=1e-9)
    np.testing.assert_allclose(other[:, 3], 10.0)


@pytest.mark.parametrize(
    ("shape", "dimension", "over", "seconds"),
    [
        ("linear", "time", 4.0, 4.0),
        ("linear", "rate", 2.0, 2.0),  # 4 m/s at 2 m/s^2
        ("sinusoidal", "rate", math.pi, 2.0),  # the steepest slope of a sine over T is pi/2 times the mean
        ("cubic", "rate", 3.0, 2.0),  # that of 3p^2 - 2p^3 is 1.5 times the mean
        ("sinusoidal", "time", 3.0, 3.0),
    ],
)
def test_speeds_reach_their_target_when_they_should(
    tmp_path: Path, shape: str, dimension: str, over: float, seconds: float
) -> None:
    path = write(tmp_path, event("e", speed(14, shape, dimension, over), after(2.0)))
    v = played(path)["Other"][:, 3]
    begins = 21  # the condition turns true at sample 20, and the motion of the step from there is the first
    assert v[begins - 1] == 10.0
    end = begins - 1 + round(seconds / DT)
    assert 10.0 < v[end - 1] < 14.0
    assert v[end] == pytest.approx(14.0)
    assert v[begins - 1 + round(0.5 * seconds / DT)] == pytest.approx(12.0, abs=1e-6)


def test_a_lane_change_takes_its_time_and_ends_in_the_middle_of_the_lane(tmp_path: Path) -> None:
    path = write(tmp_path, event("e", change('<AbsoluteTargetLane value="-2"/>'), after(1.0)))
    other = played(path)["Other"]
    y = other[:, 1]
    assert y[10] == pytest.approx(-1.75)
    assert y[25] == pytest.approx(-3.5, abs=1e-6)
    assert y[40] == pytest.approx(-5.25, abs=1e-6)
    assert y[39] > -5.25 + 1e-4
    assert y[-1] == pytest.approx(-5.25)
    # Along and across together it keeps its speed.
    np.testing.assert_allclose(np.hypot(*np.diff(other[:, :2], axis=0).T), 1.0, atol=1e-6)


def test_a_lane_change_by_distance_and_by_rate(tmp_path: Path) -> None:
    by_way = change('<RelativeTargetLane entityRef="Other" value="-1"/>', "linear", "distance", 50.0)
    y = played(write(tmp_path, event("e", by_way, after(1.0))))["Other"][:, 1]
    assert y[10 + 25] == pytest.approx(-3.5, abs=1e-6)
    assert y[10 + 50] == pytest.approx(-5.25, abs=1e-6)
    by_rate = change('<RelativeTargetLane entityRef="Other" value="-1"/>', "sinusoidal", "rate", 1.0)
    y = played(write(tmp_path, event("e", by_rate, after(1.0))))["Other"][:, 1]
    assert np.abs(np.diff(y)).max() / DT == pytest.approx(1.0, rel=2e-3)


def test_lanes_are_counted_past_the_middle_of_the_road(tmp_path: Path) -> None:
    path = write(tmp_path, event("e", change('<RelativeTargetLane entityRef="Ego" value="1"/>'), after(1.0)))
    other = played(path)["Other"]
    assert other[-1, 1] == pytest.approx(1.75)
    # It drives there against the traffic, as it did before.
    assert other[-1, 2] == pytest.approx(0.0)


def test_a_cut_in_waits_for_the_headway(tmp_path: Path) -> None:
    init = (
        f'<Private entityRef="Ego">{teleport(lane(50))}{speed(20)}</Private>'
        f'<Private entityRef="Other">{teleport(lane(150, -2))}{speed(10)}</Private>'
    )
    headway = '<TimeHeadwayCondition entityRef="Other" value="2" freespace="true" rule="lessThan"/>'
    cut_in = event(
        "e", change('<RelativeTargetLane entityRef="Ego" value="0"/>'), when(of_entity("Ego", headway))
    )
    other = played(write(tmp_path, cut_in, init=init))["Other"]
    # Bumpers are 95 m apart at first; 40 m are left after 5.5 s, and the next sample finds less.
    moved = np.flatnonzero(np.abs(other[:, 1] + 5.25) > 1e-9)[0]
    assert moved * DT == pytest.approx(5.7)


@pytest.mark.parametrize(
    ("condition", "first"),
    [
        ('<SpeedCondition value="13" rule="greaterThan"/>', 3.1),
        ('<TraveledDistanceCondition value="30"/>', 2.5),
        ('<AccelerationCondition value="1.5" rule="greaterThan"/>', 0.1),
        (f'<ReachPositionCondition tolerance="0.3">{lane(111.4)}</ReachPositionCondition>', 2.5),
    ],
)
def test_conditions_of_entities_hold_when_they_should(tmp_path: Path, condition: str, first: float) -> None:
    quicken = event(
        "quicken", speed(20, "linear", "rate", 1.0 if "Speed" in condition else 2.0), after(0, "none")
    )
    aside = event(
        "e", change('<AbsoluteTargetLane value="-2"/>', "step"), when(of_entity("Other", condition), "none")
    )
    y = played(write(tmp_path, quicken + aside))["Other"][:, 1]
    assert DT * (np.flatnonzero(y < -5.0)[0] - 1) == pytest.approx(first)


def test_an_event_follows_another_one(tmp_path: Path) -> None:
    done = (
        '<ByValueCondition><StoryboardElementStateCondition storyboardElementType="action" '
        'storyboardElementRef="firstAction" state="completeState"/></ByValueCondition>'
    )
    first = event("first", speed(12, "linear", "time", 1.0), after(1.0))
    second = event("second", speed(0, "linear", "time", 2.0), when(done, "none", delay=0.5))
    v = played(write(tmp_path, first + second))["Other"][:, 3]
    # Done at 2.0 s; the delay lets it be seen at 2.5 s.
    assert v[20] == pytest.approx(12.0)
    assert v[25] == pytest.approx(12.0)
    assert v[26] == pytest.approx(11.4)
    assert v[45] == pytest.approx(0.0, abs=1e-9)


def test_an_event_that_overwrites_stops_the_one_before(tmp_path: Path) -> None:
    slow = event("slow", speed(0, "linear", "time", 10.0), after(1.0))
    quick = event("quick", change('<AbsoluteTargetLane value="-2"/>'), after(3.0), "overwrite")
    v = played(write(tmp_path, slow + quick))["Other"][:, 3]
    assert v[30] == pytest.approx(8.0)
    np.testing.assert_allclose(v[31:], 8.0)


def test_a_trajectory_is_followed_by_its_times(tmp_path: Path) -> None:
    vertices = "".join(
        f'<Vertex time="{t}"><Position><WorldPosition x="{x}" y="{y}"/></Position></Vertex>'
        for t, x, y in ((0, 90, -1.75), (2, 120, -1.75), (4, 120, -41.75))
    )
    follow = (
        "<PrivateAction><RoutingAction><FollowTrajectoryAction>"
        f'<Trajectory name="t" closed="false"><Shape><Polyline>{vertices}</Polyline></Shape></Trajectory>'
        '<TimeReference><Timing domainAbsoluteRelative="relative" scale="1" offset="0"/></TimeReference>'
        '<TrajectoryFollowingMode followingMode="position"/>'
        "</FollowTrajectoryAction></RoutingAction></PrivateAction>"
    )
    other = played(write(tmp_path, event("e", follow, after(1.0))))["Other"]
    np.testing.assert_allclose(other[10 + 10, :2], (105.0, -1.75), atol=1e-6)
    np.testing.assert_allclose(other[10 + 30, :2], (120.0, -21.75), atol=1e-6)
    assert other[10 + 30, 3] == pytest.approx(20.0)


def test_who_synchronises_is_there_when_the_other_is(tmp_path: Path) -> None:
    init = (
        f'<Private entityRef="Ego">{teleport(lane(50))}{speed(10)}</Private>'
        f'<Private entityRef="Other">{teleport(lane(20, -2))}{speed(5)}</Private>'
    )
    sync = (
        '<PrivateAction><SynchronizeAction masterEntityRef="Ego">'
        f"<TargetPositionMaster>{lane(150)[10:-11]}</TargetPositionMaster>"
        f"<TargetPosition>{lane(110, -2)[10:-11]}</TargetPosition>"
        '<FinalSpeed><AbsoluteSpeed value="6"/></FinalSpeed></SynchronizeAction></PrivateAction>'
    )
    found = played(write(tmp_path, event("e", sync, after(0, "none")), init=init))
    there = int(np.argmin(np.abs(found["Ego"][:, 0] - 150.0)))
    assert found["Other"][there, 0] == pytest.approx(110.0, abs=1.0)
    assert found["Other"][there, 3] == pytest.approx(6.0, abs=0.5)


def test_people_cross_and_parameters_are_put_in(tmp_path: Path) -> None:
    cross = '<Private entityRef="P"><PrivateAction><TeleportAction><Position>'
    cross += '<LanePosition roadId="7" laneId="-2" '
    cross += (
        's="200" offset="-4"><Orientation type="relative" h="1.5707963267948966"/></LanePosition></Position>'
    )
    cross += f"</TeleportAction></PrivateAction>{speed('${$walk / 3.6}')}</Private>"
    path = write(
        tmp_path,
        init=f'<Private entityRef="Ego">{teleport(lane(50))}{speed("$v")}</Private>{cross}'
        f'<Private entityRef="Other">{teleport(lane(80))}</Private>',
        entities=f'<ScenarioObject name="P">{WALKER}</ScenarioObject>',
        parameters='<ParameterDeclaration name="v" parameterType="double" value="10"/>'
        '<ParameterDeclaration name="walk" parameterType="double" value="7.2"/>',
    )
    found = played(path, v="15")
    assert found["Ego"][0, 3] == 15.0
    np.testing.assert_allclose(found["P"][[0, 50], 1], (-9.25, 0.75), atol=1e-9)
    np.testing.assert_allclose(found["P"][[0, 50], 0], 200.0, atol=1e-9)
    with pytest.raises(UnknownNameError, match=r"parameter of scene\.xosc"):
        read_openscenario(path, {"w": "1"})


def test_the_storyboard_waits_for_what_a_planner_does(tmp_path: Path) -> None:
    from drive.planners.constant import Constant

    near = '<RelativeDistanceCondition entityRef="Other" relativeDistanceType="longitudinal" value="20" '
    near += 'freespace="false" rule="lessThan"/>'
    aside = event("away", change('<AbsoluteTargetLane value="-2"/>', "step"), when(of_entity("Ego", near)))
    init = (
        f'<Private entityRef="Ego">{teleport(lane(50))}{speed(10)}</Private>'
        f'<Private entityRef="Other">{teleport(lane(120))}</Private>'
    )
    scenario = SOURCE.load(str(write(tmp_path, aside, init=init)))
    assert scenario.tracks.ids == ("Ego", "Other")
    for traffic in ("log", "idm"):
        run = simulate(scenario, Constant(), traffic=traffic)
        y = run.agents[0, :, 1] + scenario.origin[1]
        # The ego needs 5 s for the 50 m that are too many; the sample after finds fewer.
        assert y[51] == pytest.approx(-1.75, abs=1e-5)
        assert y[52] == pytest.approx(-5.25, abs=1e-5)
        story = [e for e in run.header["events"] if e["kind"] == "story"]
        assert [e["detail"] for e in story] == ["away begins", "away ends"]


def test_conditions_name_entities_that_are_there(tmp_path: Path) -> None:
    near = '<RelativeDistanceCondition entityRef="Ghost" relativeDistanceType="longitudinal" value="1" '
    near += 'freespace="false" rule="lessThan"/>'
    path = write(tmp_path, event("e", speed(5), when(of_entity("Ego", near))))
    with pytest.raises(InputError, match="no entity 'Ghost'"):
        SOURCE.load(str(path))


def test_a_relative_place_needs_somebody(tmp_path: Path) -> None:
    beside = '<Position><RelativeLanePosition dLane="0" ds="5"/></Position>'
    path = write(tmp_path, init=f'<Private entityRef="Ego">{teleport(beside)}</Private>')
    with pytest.raises(InputError, match="lacks the attribute entityRef"):
        SOURCE.load(str(path))


def test_acts_of_one_name_are_all_played(tmp_path: Path) -> None:
    path = write(tmp_path, event("e", speed(14), after(1.0)))
    text = path.read_text()
    story = text[text.index("<Story ") : text.index("</Story>") + len("</Story>")]
    later = story.replace('value="14"', 'value="6"').replace('value="1.0"', 'value="3.0"')
    path.write_text(text.replace(story, story + later))
    v = played(path)["Other"][:, 3]
    assert (v[20], v[40]) == (14.0, 6.0)


def test_equal_files_are_equal_scenarios(tmp_path: Path) -> None:
    path = write(tmp_path, event("e", speed(5), after(1.0)))
    first, second = (SOURCE.load(str(path)).content_hash for _ in range(2))
    assert first == second
    write(tmp_path, event("e", speed(6), after(1.0)))
    assert SOURCE.load(str(path)).content_hash != first


def test_a_converted_storyboard_is_its_recording_and_says_so(tmp_path: Path) -> None:
    from drive.datasets.native import load_scene, save_scene

    scenario = SOURCE.load(str(write(tmp_path, event("e", speed(5), after(1.0)))))
    back = load_scene(save_scene(scenario, tmp_path / "x.scene.npz"))
    assert not back.live
    np.testing.assert_array_equal(back.tracks.states, scenario.tracks.states)
    assert back.provenance.notes[-1] == "only the recording of its live traffic (storyboard)"


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    odd = when(of_entity("Ego", '<RelativeClearanceCondition oppositeLanes="false" freeSpace="true"/>'))
    scenario = SOURCE.load(str(write(tmp_path, event("e", speed(5), odd))))
    assert "RelativeClearanceCondition: 1" in scenario.provenance.notes


@pytest.mark.parametrize(
    ("change_text", "message"),
    [
        (('filepath="road.xodr"', 'filepath="gone.xodr"'), "road network 'gone.xodr' is not there"),
        (('laneId="-1" s="80"', 'laneId="-9" s="80"'), "has no lane -9"),
        (('roadId="7" laneId="-1" s="50"', 'roadId="8" laneId="-1" s="50"'), "has no road '8'"),
        (('revMajor="1"', 'revMajor="2"'), "version is not 1.x"),
        (('<AbsoluteTargetSpeed value="10"/>', '<AbsoluteTargetSpeed value="fast"/>'), "not a number"),
        (('<AbsoluteTargetSpeed value="10"/>', '<AbsoluteTargetSpeed value="$v"/>'), "no parameter 'v'"),
        (('width="2" length="5"', 'width="2" length="0"'), "has no size"),
        (('entityRef="Other"', 'entityRef="Nobody"'), "no entity 'Nobody'"),
        (('rule="greaterOrEqual"', 'rule="atLeast"'), "rule is 'atLeast'"),
        (('dynamicsShape="step"', 'dynamicsShape="steep"'), "dynamicsShape is 'steep'"),
        (('dynamicsDimension="time"', 'dynamicsDimension="space"'), "dynamicsDimension is 'space'"),
        (("<OpenSCENARIO>", '<!DOCTYPE x [<!ENTITY a "b">]><OpenSCENARIO>'), "document type"),
        (("</OpenSCENARIO>", ""), "not well-formed"),
    ],
)
def test_faults_are_told_in_one_line(tmp_path: Path, change_text: tuple[str, str], message: str) -> None:
    path = write(tmp_path, event("e", speed(5), after(1.0)))
    text = path.read_text()
    assert change_text[0] in text
    path.write_text(text.replace(*change_text))
    with pytest.raises((InputError, ScenarioError), match=message) as caught:
        make_scenario(read_openscenario(path), "x")
    assert "\n" not in str(caught.value)
    # In a folder the fault is reported beside what can be used.
    write(tmp_path, name="good")
    assert SOURCE.ids(str(tmp_path)) == [str(tmp_path / "good.xosc")]
    assert [name for name, _ in SOURCE.skipped(str(tmp_path))] == ["scene.xosc"]


def test_expressions_compute_and_refuse_what_is_none() -> None:
    known = Parameters({"v": "36", "name": "car"})
    assert float(known.resolve("${$v / 3.6 + 2 * sqrt(16)}")) == pytest.approx(18.0)
    assert known.resolve("$name") == "car"
    for bad in ("${__import__('os')}", "${$v.real}", "${[1][0]}", "$gone", "${1/0}", "${9**9**9}"):
        with pytest.raises(ValueError, match=r"no value|no parameter|no arithmetic"):
            known.resolve(bad)


def test_distributions_give_every_combination(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        init=f'<Private entityRef="Ego">{teleport(lane(50))}{speed("$v")}</Private>'
        f'<Private entityRef="Other">{teleport(lane("$s"))}</Private>',
        parameters='<ParameterDeclaration name="v" parameterType="double" value="1"/>'
        '<ParameterDeclaration name="s" parameterType="double" value="80"/>',
    )
    many = tmp_path / "many.xosc"
    many.write_text(
        '<OpenSCENARIO><FileHeader revMajor="1" revMinor="1"/><ParameterValueDistribution>'
        f'<ScenarioFile filepath="{path.name}"/><Deterministic>'
        '<DeterministicSingleParameterDistribution parameterName="v"><DistributionRange stepWidth="5">'
        '<Range lowerLimit="5" upperLimit="15"/></DistributionRange>'
        "</DeterministicSingleParameterDistribution>"
        '<DeterministicSingleParameterDistribution parameterName="s"><DistributionSet><Element value="100"/>'
        '<Element value="120"/></DistributionSet></DeterministicSingleParameterDistribution>'
        "</Deterministic></ParameterValueDistribution></OpenSCENARIO>"
    )
    variation = read_variation(many)
    assert len(variation) == 6
    assert variation.values(3) == {"v": "10.0", "s": "120"}
    assert len(SOURCE.ids(str(many))) == 6
    scenario = SOURCE.load(f"{many}#5")
    assert scenario.initial[3] == 15.0
    with pytest.raises(InputError, match="6 combinations"):
        SOURCE.load(f"{many}#6")


SHARED: Any = Path(__file__).parents[2].parent / "shared" / "data"
COUNTS = SHARED / "COUNTS.csv"


@pytest.mark.skipif(not COUNTS.is_file(), reason="the shared OpenSCENARIO files are not there")
def test_every_shared_scenario_is_played_or_refused_for_a_reason() -> None:
    """Entities and events as `scenariogeneration` counts them, which COUNTS.csv records."""
    import csv
    import re

    rows = [r for r in csv.reader(COUNTS.read_text().splitlines()) if r and r[0].endswith(".xosc")]
    kinds = {r[0]: r[3] for r in rows}
    seen, refused = 0, {}
    for name, what in kinds.items():
        if not name.startswith(("esmini/", "osc_alks/")) or not what.startswith("scenario"):
            continue
        try:
            board = read_openscenario(SHARED / name).board
        except InputError as error:
            refused[name.rsplit("/", 1)[-1]] = str(error)
            continue
        events = sum(len(m.events) for a in board.acts for g in a.groups for m in g.maneuvers)
        want = re.search(r"entities=(\d+) events=(\d+)", what)
        assert want is not None
        assert len(board.entities) == int(want[1]), name
        # Events of manoeuvres in catalogs are counted here, and only here.
        assert events >= int(want[2]), name
        seen += 1
    assert seen >= 35
    assert set(refused) == {
        "auto_light.xosc", "car_walk.xosc", "parking_lot.xosc", "truck_with_rotating_axle.xosc",
    }  # fmt: skip
