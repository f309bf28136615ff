"""Reads OpenSCENARIO XML 1.0 to 1.3 into plain data.

Written from the format's published description (ASAM OpenSCENARIO XML 1.2.0 and its 1.0 predecessor).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.commonroad.parse import parse_xml
from drive.datasets.openscenario.actions import read_actions
from drive.datasets.openscenario.conditions import read_trigger
from drive.datasets.openscenario.element import Element
from drive.datasets.openscenario.entities import from_catalog, read_entities
from drive.datasets.openscenario.model import Act, Event, ManeuverGroup, ScenarioFile, Unsupported
from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.datasets.openscenario.model import Action

PRIORITIES = {"overwrite": "override", "override": "override", "skip": "skip", "parallel": "parallel"}


def read_openscenario(path: str | Path, parameters: Mapping[str, str] | None = None) -> ScenarioFile:
    """Read a scenario; `parameters` replace the values that the file declares.

    Raises InputError with the file's name and the line of the fault, also for catalogs and variations,
    which are no scenarios, and for other versions.
    """
    path, given = Path(path), dict(parameters or {})
    doc = parse_xml(path)
    if doc.root.tag != "OpenSCENARIO":
        raise InputError(f"{doc.name}: no OpenSCENARIO file (root <{doc.root.tag}>)")
    bare = Element(doc, doc.root, {}, Counter())
    header = bare.need("FileHeader")
    version = f"{header.whole('revMajor')}.{header.whole('revMinor')}"
    for tag, what in (("Catalog", "a catalog"), ("ParameterValueDistribution", "a parameter variation")):
        if bare.find(tag) is not None:
            raise InputError(f"{doc.name}: {what}, not a scenario")
    if version not in ("1.0", "1.1", "1.2", "1.3"):
        raise header.error(f"OpenSCENARIO {version} is not supported (1.0 to 1.3 are)")
    root = bare.with_declarations(given)
    unknown = sorted(given.keys() - root.parameters.keys())
    if unknown:
        raise InputError(f"{doc.name}: declares no parameter '{unknown[0]}'")
    board, road = root.need("Storyboard"), root.find("RoadNetwork")
    logic = road.find("LogicFile") if road is not None else None
    entities = read_entities(root, path.parent)
    init = tuple(_init(board.need("Init")))
    acts = tuple(
        _act(root, a, path.parent) for s in board.all("Story") for a in s.with_declarations().all("Act")
    )
    return ScenarioFile(
        doc.name,
        version,
        header.text("description", ""),
        "" if logic is None else logic.text("filepath", ""),
        dict(root.parameters),
        entities,
        init,
        acts,
        read_trigger(board.find("StopTrigger")),
        dict(root.skipped),
    )


def _init(init: Element) -> list[tuple[str, Action]]:
    found: list[tuple[str, Action]] = []
    for item in init.need("Actions").children():
        if item.tag == "Private":
            who = item.text("entityRef")
            for action in item.all("PrivateAction"):
                found += [(who, a) for a in read_actions(action)]
        elif item.tag == "GlobalAction":
            found += [("", a) for a in read_actions(item)]
        else:
            found.append(("", Unsupported(item.skip())))
    return found


def _act(root: Element, act: Element, folder: Path) -> Act:
    groups = tuple(_group(root, g, folder) for g in act.all("ManeuverGroup"))
    return Act(
        act.label(),
        groups,
        read_trigger(act.find("StartTrigger")),
        read_trigger(act.find("StopTrigger")),
    )


def _group(root: Element, group: Element, folder: Path) -> ManeuverGroup:
    actors = group.find("Actors")
    maneuvers = [m.with_declarations() for m in group.all("Maneuver")]
    for reference in group.all("CatalogReference"):
        found = from_catalog(root, reference, folder)
        if found.tag == "Maneuver":
            maneuvers.append(found)
        else:
            found.skip()
    return ManeuverGroup(
        group.label(),
        max(group.whole("maximumExecutionCount", 1), 0),
        () if actors is None else tuple(e.text("entityRef") for e in actors.all("EntityRef")),
        actors is not None and actors.flag("selectTriggeringEntities"),
        tuple((m.label(), tuple(_event(e) for e in m.all("Event"))) for m in maneuvers),
    )


def _event(event: Element) -> Event:
    priority = event.text("priority", "parallel")
    if priority not in PRIORITIES:
        raise event.error(f"<Event> has the priority '{priority}'")
    actions: list[tuple[str, Action]] = []
    for action in event.all("Action"):
        name = action.label()
        inner = action.find("PrivateAction", "GlobalAction")
        if inner is not None:
            actions += [(name, a) for a in read_actions(inner)]
        else:
            other = next((c.tag for c in action.children()), "Action without content")
            actions.append((name, Unsupported(action.skip(other))))
    start = read_trigger(event.find("StartTrigger"))
    return Event(
        event.label(),
        PRIORITIES[priority],
        event.whole("maximumExecutionCount", 1),
        tuple(actions),
        start,
    )
