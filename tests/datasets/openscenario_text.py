"""Small OpenSCENARIO files on a straight OpenDRIVE road, for tests."""

from __future__ import annotations

from pathlib import Path

ROAD = """<?xml version="1.0"?>
<OpenDRIVE>
  <header revMajor="1" revMinor="6"/>
  <road name="" length="1000" id="7" junction="-1" rule="RHT">
    <planView><geometry s="0" x="0" y="0" hdg="0" length="1000"><line/></geometry></planView>
    <lanes><laneSection s="0">
      <left><lane id="1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></left>
      <center><lane id="0" type="none"/></center>
      <right>
        <lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>
        <lane id="-2" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>
      </right>
    </laneSection></lanes>
  </road>
</OpenDRIVE>
"""

CAR = """<Vehicle name="c" vehicleCategory="car">
  <BoundingBox><Center x="1.5" y="0" z="0.7"/><Dimensions width="2" length="5" height="1.5"/></BoundingBox>
  <Performance maxSpeed="60" maxAcceleration="8" maxDeceleration="9"/>
  <Axles/></Vehicle>"""
WALKER = """<Pedestrian name="p" pedestrianCategory="pedestrian" mass="80" model="">
  <BoundingBox><Center x="0" y="0" z="0.9"/><Dimensions width="0.6" length="0.6" height="1.8"/></BoundingBox>
  </Pedestrian>"""


def lane(s: float | str, number: int = -1, road: str = "7", offset: float = 0.0) -> str:
    return f'<Position><LanePosition roadId="{road}" laneId="{number}" s="{s}" offset="{offset}"/></Position>'


def teleport(position: str) -> str:
    return f"<PrivateAction><TeleportAction>{position}</TeleportAction></PrivateAction>"


def speed(value: float | str, shape: str = "step", dimension: str = "time", over: float | str = 0.0) -> str:
    return (
        "<PrivateAction><LongitudinalAction><SpeedAction>"
        f'<SpeedActionDynamics dynamicsShape="{shape}" dynamicsDimension="{dimension}" value="{over}"/>'
        f'<SpeedActionTarget><AbsoluteTargetSpeed value="{value}"/></SpeedActionTarget>'
        "</SpeedAction></LongitudinalAction></PrivateAction>"
    )


def change(target: str, shape: str = "sinusoidal", dimension: str = "time", over: float = 3.0) -> str:
    return (
        "<PrivateAction><LateralAction><LaneChangeAction>"
        f'<LaneChangeActionDynamics dynamicsShape="{shape}" dynamicsDimension="{dimension}" value="{over}"/>'
        f"<LaneChangeTarget>{target}</LaneChangeTarget></LaneChangeAction></LateralAction></PrivateAction>"
    )


def after(seconds: float, edge: str = "rising", delay: float = 0.0) -> str:
    return when(f'<ByValueCondition><SimulationTimeCondition value="{seconds}" rule="greaterOrEqual"/>'
                "</ByValueCondition>", edge, delay)  # fmt: skip


def when(condition: str, edge: str = "rising", delay: float = 0.0) -> str:
    return (
        "<StartTrigger><ConditionGroup>"
        f'<Condition name="c" delay="{delay}" conditionEdge="{edge}">{condition}</Condition>'
        "</ConditionGroup></StartTrigger>"
    )


def of_entity(who: str, condition: str) -> str:
    return (
        '<ByEntityCondition><TriggeringEntities triggeringEntitiesRule="any">'
        f'<EntityRef entityRef="{who}"/></TriggeringEntities>'
        f"<EntityCondition>{condition}</EntityCondition></ByEntityCondition>"
    )


def event(name: str, action: str, start: str, priority: str = "parallel") -> str:
    inner = f'<Action name="{name}Action">{action}</Action>{start}'
    return f'<Event name="{name}" priority="{priority}">{inner}</Event>'


def write(
    folder: Path,
    events: str = "",
    actor: str = "Other",
    init: str | None = None,
    entities: str = "",
    parameters: str = "",
    stop: str = "",
    name: str = "scene",
) -> Path:
    """A scenario with the ego at s = 50 m and "Other" at s = 80 m, both in lane -1, with 10 m/s."""
    (folder / "road.xodr").write_text(ROAD)
    if init is None:
        init = (
            f'<Private entityRef="Ego">{teleport(lane(50))}{speed(10)}</Private>'
            f'<Private entityRef="Other">{teleport(lane(80))}{speed(10)}</Private>'
        )
    story = (
        '<Story name="s"><Act name="a"><ManeuverGroup maximumExecutionCount="1" name="g">'
        f'<Actors selectTriggeringEntities="false"><EntityRef entityRef="{actor}"/></Actors>'
        f'<Maneuver name="m">{events}</Maneuver></ManeuverGroup>{after(0, "none")}</Act></Story>'
        if events
        else ""
    )
    text = f"""<?xml version="1.0"?>
<OpenSCENARIO>
  <FileHeader revMajor="1" revMinor="1" date="2020-01-01T00:00:00" description="" author=""/>
  <ParameterDeclarations>{parameters}</ParameterDeclarations>
  <CatalogLocations/>
  <RoadNetwork><LogicFile filepath="road.xodr"/></RoadNetwork>
  <Entities><ScenarioObject name="Ego">{CAR}</ScenarioObject>
  <ScenarioObject name="Other">{CAR}</ScenarioObject>{entities}</Entities>
  <Storyboard><Init><Actions>{init}</Actions></Init>{story}{stop or "<StopTrigger/>"}</Storyboard>
</OpenSCENARIO>"""
    path = folder / f"{name}.xosc"
    path.write_text(text)
    return path
