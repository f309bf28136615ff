"""OpenSCENARIO files: expressions, entities, storyboard and bad input by hand, real files by their counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from drive.datasets.openscenario import read_openscenario
from drive.datasets.openscenario.model import (
    AssignRoute,
    ChangeLane,
    Compare,
    Condition,
    Dynamics,
    ElementState,
    FollowTrajectory,
    LanePosition,
    Orientation,
    RelativeLanePosition,
    SetSpeed,
    Teleport,
    Unsupported,
    WorldPosition,
)
from drive.datasets.openscenario.parameters import resolve
from drive.errors import InputError
from drive.vehicle import AgentKind

DATA = Path(__file__).parents[2].parent / "shared" / "data"

# --- Expressions.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$speed", "36"),
        ("${$speed / 3.6}", "10"),
        ("${-$speed}", "-36"),
        ("${30 + (-10.0 * (-18 / 3.6))}", "80"),
        ("${round(2.5) + floor(1.9) + ceil(1.1)}", "6"),
        ("${pow(2, 3) % 5}", "3"),
        ("${not $on}", "false"),
        ("${$on and true}", "true"),
        ("${1 / 3}", repr(1 / 3)),
    ],
)
def test_expressions(text, value):
    assert resolve(text, {"speed": "36", "on": "true"}) == value


@pytest.mark.parametrize(
    "text",
    [
        "$gone",
        "${$gone + 1}",
        "${__import__('os')}",
        "${().__class__}",
        "${'a' * 9}",
        "${1 / 0}",
        "${9 ** 9}",
        "${pow(10, 400)}",
        "${" + "-" * 100 + "1}",
        "${" + "1+" * 2000 + "1}",
        "${[1 for _ in (1,)]}",
        "${$word + 1}",
        "${}",
        "${1 if 1 else 2}",
    ],
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(InputError):
        resolve(text, {"word": "__import__('os')"})


# --- A scenario by hand.

VEHICLE = """<Vehicle name="{name}" vehicleCategory="{kind}">{declared}
<BoundingBox><Center x="{x}" y="0" z="0.7"/>
<Dimensions width="1.8" length="{length}" height="1.5"/></BoundingBox>
<Performance maxSpeed="50" maxDeceleration="9" maxAcceleration="9"/>
<Axles><FrontAxle positionX="2.7" positionZ="0.3"/>
<RearAxle positionX="0" positionZ="0.3"/></Axles></Vehicle>"""
CATALOG = """<OpenSCENARIO><FileHeader revMajor="1" revMinor="1"/><Catalog name="cars">
{entries}</Catalog></OpenSCENARIO>"""
SCENARIO = """<?xml version="1.0"?>
<OpenSCENARIO><FileHeader revMajor="1" revMinor="{minor}" description="d"/>
<ParameterDeclarations><ParameterDeclaration name="kmh" parameterType="double" value="72"/>
<ParameterDeclaration name="half" parameterType="double" value="${{$kmh / 2}}"/></ParameterDeclarations>
<CatalogLocations><VehicleCatalog><Directory path="catalogs"/></VehicleCatalog></CatalogLocations>
<RoadNetwork><LogicFile filepath="../road.xodr"/></RoadNetwork>
<Entities>
<ScenarioObject name="Ego"><CatalogReference catalogName="cars" entryName="truck">
<ParameterAssignments><ParameterAssignment parameterRef="long" value="${{$kmh / 9}}"/></ParameterAssignments>
</CatalogReference></ScenarioObject>
<ScenarioObject name="Walker"><Pedestrian name="p" pedestrianCategory="pedestrian" mass="80"/>
</ScenarioObject>
</Entities>
<Storyboard><Init><Actions>{init}</Actions></Init><Story name="S">
<ParameterDeclarations><ParameterDeclaration name="who" parameterType="string" value="Walker"/>
</ParameterDeclarations><Act name="A"><ManeuverGroup name="G" maximumExecutionCount="1">
<Actors selectTriggeringEntities="false"><EntityRef entityRef="$who"/></Actors>
<Maneuver name="M"><Event name="E" priority="overwrite">{actions}<StartTrigger><ConditionGroup>{conditions}
</ConditionGroup></StartTrigger></Event></Maneuver></ManeuverGroup>
<StartTrigger><ConditionGroup>{soon}</ConditionGroup></StartTrigger></Act></Story><StopTrigger/></Storyboard>
</OpenSCENARIO>"""
SOON = (
    '<Condition name="t" delay="0" conditionEdge="none"><ByValueCondition>'
    '<SimulationTimeCondition value="0" rule="greaterThan"/></ByValueCondition></Condition>'
)


def private(*actions: str) -> str:
    inside = "".join(f"<PrivateAction>{a}</PrivateAction>" for a in actions)
    return f'<Private entityRef="Ego">{inside}</Private>'


def action(inside: str) -> str:
    return f'<Action name="a"><PrivateAction>{inside}</PrivateAction></Action>'


def teleport(position: str) -> str:
    return f"<TeleportAction><Position>{position}</Position></TeleportAction>"


def speed(target: str, shape: str = "step") -> str:
    return (
        f'<LongitudinalAction><SpeedAction><SpeedActionDynamics dynamicsShape="{shape}" '
        f'dynamicsDimension="rate" value="-2"/><SpeedActionTarget>{target}</SpeedActionTarget>'
        "</SpeedAction></LongitudinalAction>"
    )


def by_entity(inside: str) -> str:
    return (
        '<Condition name="c" delay="0.5" conditionEdge="rising"><ByEntityCondition><TriggeringEntities '
        'triggeringEntitiesRule="all"><EntityRef entityRef="Ego"/></TriggeringEntities>'
        f"<EntityCondition>{inside}</EntityCondition></ByEntityCondition></Condition>"
    )


def written(folder: Path, init: str = "", actions: str = "", conditions: str = SOON, minor: int = 1) -> Path:
    (folder / "catalogs").mkdir(exist_ok=True)
    declared = '<ParameterDeclarations><ParameterDeclaration name="long" value="5"/></ParameterDeclarations>'
    entries = VEHICLE.format(name="truck", kind="truck", declared=declared, x="2.5", length="$long")
    (folder / "catalogs" / "cars.xosc").write_text(CATALOG.format(entries=entries))
    path = folder / "scene.xosc"
    path.write_text(
        SCENARIO.format(init=init, actions=actions, conditions=conditions, soon=SOON, minor=minor)
    )
    return path


def test_entities_come_with_their_parameters(tmp_path):
    s = read_openscenario(written(tmp_path))
    ego, walker = s.entities
    assert (ego.kind, ego.length, ego.width, ego.center_x) == (AgentKind.TRUCK, 8.0, 1.8, 2.5)
    assert (ego.wheelbase, ego.max_speed) == (2.7, 50.0)
    assert (walker.kind, walker.length) == (AgentKind.PEDESTRIAN, 0.5)
    assert s.road == "../road.xodr"
    assert s.parameters == {"kmh": "72", "half": "36"}
    again = read_openscenario(tmp_path / "scene.xosc", {"kmh": "90"})
    assert again.entities[0].length == 10.0
    assert again.parameters["half"] == "45"
    with pytest.raises(InputError, match="declares no parameter 'mph'"):
        read_openscenario(tmp_path / "scene.xosc", {"mph": "1"})


def test_the_start(tmp_path):
    turned = '<Orientation type="relative" h="3"/>'
    lane = f'<LanePosition roadId="7" laneId="-2" s="${{$kmh + 1}}" offset="0.5">{turned}</LanePosition>'
    beside = '<RelativeLanePosition entityRef="Ego" dLane="1" dsLane="20"/>'
    init = private(
        teleport(lane),
        teleport(beside),
        speed('<AbsoluteTargetSpeed value="${$kmh / 3.6}"/>'),
        "<FlyAction/>",
    )
    s = read_openscenario(written(tmp_path, init))
    assert [who for who, _ in s.init] == ["Ego"] * 4
    found = [a for _, a in s.init]
    assert found[0] == Teleport(LanePosition("7", -2, 73.0, 0.5, Orientation(3.0, True)))
    assert found[1] == Teleport(RelativeLanePosition("Ego", 1, 20.0, True, 0.0, None))
    assert found[2] == SetSpeed(Dynamics("step", "rate", 2.0), 20.0)
    assert found[3] == Unsupported("FlyAction")
    assert s.skipped == {"FlyAction": 1}


def test_the_storyboard(tmp_path):
    change = (
        '<LateralAction><LaneChangeAction targetLaneOffset="0.2"><LaneChangeActionDynamics value="3" '
        'dynamicsShape="sinusoidal" dynamicsDimension="time"/><LaneChangeTarget><RelativeTargetLane '
        'entityRef="Ego" value="-1"/></LaneChangeTarget></LaneChangeAction></LateralAction>'
    )
    vertices = "".join(
        f'<Vertex time="{t}"><Position><WorldPosition x="{t}" y="1" h="0.5"/></Position></Vertex>'
        for t in (0, 2)
    )
    follow = (
        '<RoutingAction><FollowTrajectoryAction><TrajectoryRef><Trajectory name="t" closed="false"><Shape>'
        f"<Polyline>{vertices}</Polyline></Shape></Trajectory></TrajectoryRef><TimeReference><Timing "
        'domainAbsoluteRelative="absolute" scale="2" offset="1"/></TimeReference></FollowTrajectoryAction>'
        "</RoutingAction>"
    )
    place = '<Position><WorldPosition x="1" y="2"/></Position>'
    to = f"<RoutingAction><AcquirePositionAction>{place}</AcquirePositionAction></RoutingAction>"
    relative = (
        '<RelativeTargetSpeed entityRef="Ego" value="0.5" speedTargetValueType="factor" continuous="true"/>'
    )
    headway = (
        '<TimeHeadwayCondition entityRef="$who" value="2" freespace="true" coordinateSystem="lane" '
        'rule="lessThan"/>'
    )
    state = (
        '<Condition name="s" delay="0" conditionEdge="none"><ByValueCondition>'
        '<StoryboardElementStateCondition storyboardElementType="event" storyboardElementRef="E" '
        'state="completeState"/></ByValueCondition></Condition>'
    )
    path = written(
        tmp_path,
        actions="".join(map(action, (change, follow, to, speed(relative, "linear"))))
        + '<Action name="none"/>',
        conditions=by_entity(headway) + state,
    )
    s = read_openscenario(path)
    (group,) = s.acts[0].groups
    assert group.actors == ("Walker",)
    (event,) = s.events
    assert (event.name, event.priority, event.most) == ("E", "override", 1)
    assert [a for _, a in event.actions] == [
        ChangeLane(Dynamics("sinusoidal", "time", 3.0), -1, "Ego", 0.2),
        FollowTrajectory(
            (0.0, 2.0),
            (WorldPosition(0.0, 1.0, 0.5), WorldPosition(2.0, 1.0, 0.5)),
            False,
            "position",
            (False, 2.0, 1.0),
        ),
        AssignRoute((WorldPosition(1.0, 2.0, 0.0),), closed=False),
        SetSpeed(Dynamics("linear", "rate", 2.0), 0.5, "Ego", True, True),
        Unsupported("Action without content"),
    ]
    gap = Compare("headway", "lessThan", 2.0, "Walker", freespace=True, along_road=True)
    assert event.start == (
        (
            Condition("c", gap, ("Ego",), True, "rising", 0.5),
            Condition("s", ElementState("event", "E", "completeState")),
        ),
    )
    assert s.acts[0].start == ((Condition("t", Compare("time", "greaterThan", 0.0)),),)
    assert s.stop is None


# --- Bad input: one line, with the file and the line.


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("<OpenSCENARIO>", "<OpenDRIVE>"), "not well-formed"),
        (('revMajor="1"', 'revMajor="0"'), "OpenSCENARIO 0.1 is not supported"),
        (("<Storyboard>", "<Story>"), "not well-formed"),
        (("catalogName=", "catalog="), "<CatalogReference> lacks the attribute catalogName"),
        (('entryName="truck"', 'entryName="tram"'), "no catalog 'cars' with an entry 'tram'"),
        (('name="Walker"', 'name="Ego"'), "entity 'Ego' is there twice"),
        (('"overwrite"', '"now"'), "<Event> has the priority 'now'"),
        (('value="0" rule', 'value="nan" rule'), "<SimulationTimeCondition> has value='nan', not a number"),
        (("$who", "$whom"), "the parameter '[$]whom' is declared nowhere"),
        (("$kmh / 2", "$kmh / 0"), "is no expression that has a value"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, change, reason):
    path = written(tmp_path)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=reason) as caught:
        read_openscenario(path)
    assert str(caught.value).startswith("scene.xosc: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_scenario_is_told(tmp_path):
    path = written(tmp_path)
    with pytest.raises(InputError, match=r"cars.xosc: a catalog, not a scenario"):
        read_openscenario(path.parent / "catalogs" / "cars.xosc")
    path.write_text("<net/>")
    with pytest.raises(InputError, match=r"scene.xosc: no OpenSCENARIO file \(root <net>\)"):
        read_openscenario(path)
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><OpenSCENARIO/>')
    with pytest.raises(InputError, match="a document type or entity declaration is refused"):
        read_openscenario(path)


# --- Real files.


def counted() -> list[tuple[str, str, dict[str, str]]]:
    if not (DATA / "COUNTS.csv").exists():
        return []
    with (DATA / "COUNTS.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["file"].endswith(".xosc")]
    out = []
    for row in rows:
        kind, _, version, *rest = row["counts"].split(" ")
        pairs = dict(pair.split("=", 1) for pair in rest)
        out.append((row["file"], kind, {"version": version, **pairs}))
    return out


MISSING = "car_walk.xosc"
"""Its catalogs are not part of the data."""
FROM_CATALOG = ("synchronize.xosc", "auto_light.xosc", "CatalogExample.xosc")
"""They have events in catalogs of maneuvers, where the counts do not see them."""


@pytest.mark.parametrize(
    ("name", "kind", "want"), counted(), ids=[n.rsplit("/")[-1] for n, _, _ in counted()]
)
def test_real_files_have_their_counts_or_are_refused_with_the_reason(name, kind, want):
    path = DATA / name
    if kind != "scenario":
        with pytest.raises(InputError, match="not a scenario"):
            read_openscenario(path)
        return
    if path.name == MISSING:
        with pytest.raises(InputError, match=r"no catalog 'openx_assets_3d\.catalog'"):
            read_openscenario(path)
        return
    s = read_openscenario(path)
    assert s.version == want["version"]
    assert len(s.entities) == int(want["entities"])
    if path.name in FROM_CATALOG:
        assert len(s.events) > int(want["events"])
    else:
        assert len(s.events) == int(want["events"])
    if not want["road"].startswith("$"):
        assert s.road == want["road"]
