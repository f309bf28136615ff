"""Reads an OpenSCENARIO 1.x file: its entities, its start and its storyboard.

Written from the standard's published description (ASAM OpenSCENARIO XML 1.0 to 1.3).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.opendrive import build_roadmap, read_opendrive
from drive.datasets.openscenario.actions import action, private
from drive.datasets.openscenario.catalogs import Catalogs
from drive.datasets.openscenario.conditions import trigger
from drive.datasets.openscenario.places import Ground
from drive.datasets.openscenario.text import declared, open_text
from drive.errors import InputError
from drive.sim.traffic.story.lanes import Lanes
from drive.sim.traffic.story.model import (
    Act,
    Action,
    Entity,
    Event,
    Group,
    Maneuver,
    NoMotion,
    Storyboard,
    Teleport,
)
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.datasets.opendrive import BuiltMap
    from drive.datasets.openscenario.text import Text
    from drive.roadmap.model import RoadMap

EGO_NAMES = ("ego", "hero", "egovehicle", "ego_vehicle", "host")
MAPS = "DRIVE_CARLA_MAPS"
"""The environment variable with the folder in which towns are found that a file only names."""
BESIDE = (".", "../xodr", "road_networks", "../road_networks")
KINDS = {
    "car": AgentKind.VEHICLE, "van": AgentKind.VEHICLE, "truck": AgentKind.TRUCK,
    "semitrailer": AgentKind.TRUCK, "trailer": AgentKind.TRUCK, "bus": AgentKind.BUS,
    "motorbike": AgentKind.MOTORCYCLE, "bicycle": AgentKind.BICYCLE, "tram": AgentKind.BUS,
    "train": AgentKind.BUS,
}  # fmt: skip
WALKER = (0.5, 0.5, 1.8)
"""m, the box of somebody on foot where the file gives none."""
MAX_ENTITIES = 500


@dataclass(frozen=True, eq=False)
class OpenScenario:
    """A file as it can be played: the ego is the first of the storyboard's entities.

    `scripted` says whether the file itself has the ego act after the start; `skipped` counts what was not
    read, by name.
    """

    name: str
    version: str
    description: str
    licence: str
    map: BuiltMap
    board: Storyboard
    scripted: bool
    skipped: Mapping[str, int]


def read_openscenario(path: str | Path, parameters: Mapping[str, str] | None = None) -> OpenScenario:
    """Read a scenario with parameters put in place of the file's. Raises InputError or MapError, one line."""
    path = Path(path)
    text = open_text(path, parameters)
    header = text.child("FileHeader")
    about = "" if header is None else header.text("description", "")
    if text.child("Storyboard") is None:
        what = "catalog" if text.child("Catalog") else "distribution of parameters"
        raise InputError(f"{path.name}: it is a {what}, not a scenario that can be played")
    catalogs = Catalogs.of(text, path.parent)
    road = _road_file(text, path.parent)
    network = read_opendrive(road)
    built = build_roadmap(network)
    numbers, leftward = _lane_numbers(built.roadmap, network.roads)
    ground = Ground(
        network, built.origin, Lanes(built.roadmap, numbers, leftward), catalogs, about.startswith("CARLA:")
    )
    entities, controlled = _entities(text, catalogs)
    ego = _ego(entities, controlled)
    entities = (entities[ego], *entities[:ego], *entities[ego + 1 :])
    text = replace(text, entities=frozenset(e.name for e in entities))
    board = text.need("Storyboard")
    init = []
    for block in board.need("Init").need("Actions").children("Private"):
        who = block.entity()
        for one in block.children("PrivateAction"):
            doing = private(one, ground)
            if doing is not None:
                init.append((who, doing))
    # Positions may be relative to those who are put later in the file.
    placed = [row for row in init if isinstance(row[1], Teleport)]
    init = [*placed, *(row for row in init if row not in placed)]
    acts = tuple(
        _act(act, story.text("name", ""), ground)
        for story in (s.at(s.node, declared(s, {})) for s in board.children("Story"))
        for act in story.children("Act")
    )
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16)
    digest.update(repr(sorted((parameters or {}).items())).encode())
    digest.update(road.read_bytes())
    licence = None if header is None else header.child("License")
    groups = [group for act in acts for group in act.groups]
    return OpenScenario(
        path.name,
        "1" if header is None else f"{header.text('revMajor', '1')}.{header.text('revMinor', '0')}",
        about,
        "" if licence is None else licence.text("spdxId", licence.text("name", "")),
        built,
        Storyboard(
            entities, tuple(init), acts, trigger(board.child("StopTrigger"), ground), numbers, leftward,
            digest.hexdigest(),
        ),
        any(_has_act(group, entities[0].name) for group in groups),
        dict(sorted(text.skipped.items())),
    )  # fmt: skip


def _has_act(group: Group, who: str) -> bool:
    actions = [a for maneuver in group.maneuvers for event in maneuver.events for a in event.actions]
    return any(who in (a.actors or group.actors) and not isinstance(a.doing, NoMotion) for a in actions)


# -- roads --------------------------------------------------------------------------------------------


def _road_file(text: Text, folder: Path) -> Path:
    logic = text.need("RoadNetwork").child("LogicFile")
    name = "" if logic is None else logic.text("filepath", "").replace("\\", "/")
    if not name:
        raise InputError(f"{text.doc.name}: it names no road network (RoadNetwork/LogicFile)")
    direct = folder / name
    if direct.suffix == ".xodr" and direct.is_file():
        return direct
    base = name.rsplit("/", 1)[-1]
    base = base if base.endswith(".xodr") else f"{base}.xodr"
    maps = os.environ.get(MAPS)
    for place in (*(folder / b for b in BESIDE), *([Path(maps)] if maps else [])):
        if (place / base).is_file():
            return place / base
    raise InputError(
        f"{text.doc.name}: its road network '{name}' is not there; put {base} beside it, or name its folder "
        f"in {MAPS}"
    )


def _lane_numbers(roadmap: RoadMap, roads: Mapping[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """The OpenDRIVE number of every lane, and whether the next greater one is to the left of its traffic."""
    numbers = np.zeros(roadmap.num_lanes, dtype=np.int32)
    leftward = np.zeros(roadmap.num_lanes, dtype=np.bool_)
    for k, name in enumerate(roadmap.lane_ids):
        road, _, lane = name.split("@")[0].rsplit(".", 2)
        numbers[k] = int(lane)
        leftward[k] = roads[road].runs_forward(int(lane))  # type: ignore[attr-defined]
    return numbers, leftward


# -- entities -----------------------------------------------------------------------------------------


def _entities(text: Text, catalogs: Catalogs) -> tuple[tuple[Entity, ...], set[str]]:
    """The entities, and the names of those with a controller of their own."""
    out: list[Entity] = []
    controlled: set[str] = set()
    for thing in text.need("Entities").children():
        if thing.tag != "ScenarioObject":
            thing.skip(thing.tag)
            continue
        name = thing.text("name")
        body = next(iter(thing.children("Vehicle", "Pedestrian", "MiscObject")), None)
        body = body or catalogs.entry(thing.child("CatalogReference"))
        if body is None or body.tag not in ("Vehicle", "Pedestrian", "MiscObject"):
            raise thing.fault(f"entity '{name}' is neither vehicle, pedestrian nor object")
        if thing.child("ObjectController") is not None:
            controlled.add(name)
        if any(e.name == name for e in out):
            raise thing.fault(f"entity '{name}' is defined twice")
        out.append(_entity(name, body))
        if len(out) > MAX_ENTITIES:
            raise thing.fault(f"it has more than {MAX_ENTITIES} entities")
    if not any(e.kind not in (AgentKind.PEDESTRIAN, AgentKind.STATIC) for e in out):
        raise InputError(f"{text.doc.name}: none of its entities is a vehicle that a planner could drive")
    return tuple(out), controlled


def _entity(name: str, body: Text) -> Entity:
    box = body.need("BoundingBox")
    size, centre = box.need("Dimensions"), box.need("Center")
    length, width, height = (size.number(k) for k in ("length", "width", "height"))
    if min(length, width) <= 0.0:
        if body.tag == "Vehicle":
            raise box.fault(f"the box of entity '{name}' has no size")
        body.skip("BoundingBox without size")
        length, width, height = WALKER
    if body.tag == "Vehicle":
        kind = KINDS.get(body.text("vehicleCategory", "car"), AgentKind.VEHICLE)
        if body.child("Trailer") or body.child("TrailerHitch"):
            body.skip("Trailer")
    else:
        kind = AgentKind.PEDESTRIAN if body.tag == "Pedestrian" else AgentKind.STATIC
    limits = body.child("Performance")
    most = {}
    if limits is not None:
        most = {
            "max_speed": max(limits.number("maxSpeed", 70.0), 0.1),
            "max_acceleration": max(limits.number("maxAcceleration", 10.0), 0.1),
            "max_braking": max(limits.number("maxDeceleration", 10.0), 0.1),
        }
    rear = centre.number("x", 0.0)
    return Entity(name, kind, (length, width, max(height, 0.1)), rear, **most)


def _ego(entities: tuple[Entity, ...], controlled: set[str]) -> int:
    """The one named so, else the first vehicle that has a controller, else the first vehicle."""
    cars = [k for k, e in enumerate(entities) if e.kind not in (AgentKind.PEDESTRIAN, AgentKind.STATIC)]
    named = [k for k in cars if entities[k].name.lower() in EGO_NAMES]
    given = [k for k in cars if entities[k].name in controlled]
    return (named or given or cars)[0]


# -- the storyboard -----------------------------------------------------------------------------------


def _act(text: Text, story: str, ground: Ground) -> Act:
    groups = tuple(_group(g, ground) for g in text.children("ManeuverGroup"))
    start = trigger(text.child("StartTrigger"), ground)
    return Act(text.text("name", ""), groups, start, trigger(text.child("StopTrigger"), ground), story)


def _group(text: Text, ground: Ground) -> Group:
    block = text.child("Actors")
    actors = () if block is None else tuple(
        ref.entity() for ref in block.children("EntityRef")
    )  # fmt: skip
    if block is not None and block.flag("selectTriggeringEntities"):
        text.skip("selectTriggeringEntities")
    parts = []
    for child in text.children("Maneuver", "CatalogReference"):
        maneuver = child if child.tag == "Maneuver" else ground.catalogs.entry(child)
        if maneuver is not None:
            events = tuple(_event(e, ground) for e in maneuver.children("Event"))
            parts.append(Maneuver(maneuver.text("name", ""), events))
    if text.number("maximumExecutionCount", 1.0) > 1.0:
        text.skip("ManeuverGroup that is executed again")
    return Group(text.text("name", ""), actors, tuple(parts))


def _event(text: Text, ground: Ground) -> Event:
    actions = []
    for one in text.children("Action"):
        doing, who = action(one, ground)
        if doing is not None:
            actions.append(Action(one.text("name", ""), doing, who))
    start = trigger(text.child("StartTrigger"), ground)
    count = max(text.whole("maximumExecutionCount", 1), 1)
    return Event(text.text("name", ""), tuple(actions), start, text.text("priority", "parallel"), count)
