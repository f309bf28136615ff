"""Entities of a file, in place or from catalogs."""

from __future__ import annotations

from pathlib import Path

from drive.datasets.commonroad.parse import parse_xml
from drive.datasets.openscenario.element import Element
from drive.datasets.openscenario.model import Entity
from drive.errors import InputError
from drive.vehicle import AgentKind

KINDS = {
    "bus": AgentKind.BUS,
    "truck": AgentKind.TRUCK,
    "semitrailer": AgentKind.TRUCK,
    "trailer": AgentKind.TRUCK,
    "motorbike": AgentKind.MOTORCYCLE,
    "bicycle": AgentKind.BICYCLE,
}
OBJECTS = ("Vehicle", "Pedestrian", "MiscObject")
MAX_FILES = 200
USUAL = {"Vehicle": (4.5, 1.8, 1.5), "Pedestrian": (0.5, 0.6, 1.8), "MiscObject": (1.0, 1.0, 1.0)}
"""Length, width and height of who has no bounding box."""


def read_entities(root: Element, folder: Path) -> tuple[Entity, ...]:
    """The entities of a scenario in `folder`; raises InputError where a catalog or its entry is missing."""
    found: list[Entity] = []
    for item in root.need("Entities").children():
        if item.tag != "ScenarioObject":
            item.skip()
            continue
        name = item.text("name")
        if any(e.name == name for e in found):
            raise item.error(f"entity '{name}' is there twice")
        thing = item.find(*OBJECTS)
        if thing is None:
            reference = item.find("CatalogReference")
            if reference is None:
                item.skip("external objects and others without a body")
                continue
            thing = from_catalog(root, reference, folder)
        found.append(_entity(name, thing))
    return tuple(found)


def from_catalog(root: Element, reference: Element, folder: Path) -> Element:
    """The element that a <CatalogReference> names, with the parameters assigned there."""
    catalog, entry = reference.text("catalogName"), reference.text("entryName")
    holder = reference.find("ParameterAssignments")
    given = {
        a.node.attributes.get("parameterRef", "").strip().removeprefix("$"): a.text("value", "")
        for a in (holder.all("ParameterAssignment") if holder is not None else ())
    }
    places = root.find("CatalogLocations")
    seen = 0
    for location in places.children() if places is not None else ():
        directory = location.find("Directory")
        if directory is None:
            continue
        given_path = directory.text("path")
        # Files that were moved name folders that are gone; the usual place is tried then.
        place = next(
            (p for p in (folder / given_path, folder / "Catalogs" / Path(given_path).name) if p.is_dir()),
            None,
        )
        for path in sorted(place.glob("*.xosc")) if place is not None else ():
            seen += 1
            if seen > MAX_FILES:
                raise reference.error(f"more than {MAX_FILES} catalog files to look through")
            doc = parse_xml(path)
            node = doc.root.find("Catalog")
            if node is None or node.attributes.get("name", "").strip() != catalog:
                continue
            for child in node.children:
                if child.attributes.get("name", "").strip() == entry:
                    return Element(doc, child, root.parameters, root.skipped).with_declarations(given)
    raise reference.error(f"no catalog '{catalog}' with an entry '{entry}' in its catalog locations")


def _entity(name: str, thing: Element) -> Entity:
    if thing.tag not in OBJECTS:
        raise InputError(
            f"{thing.doc.name}: '{name}' is a <{thing.tag}>, not a vehicle, pedestrian or object"
        )
    category = thing.text(
        {"Vehicle": "vehicleCategory", "Pedestrian": "pedestrianCategory"}.get(
            thing.tag, "miscObjectCategory"
        ),
        "",
    )
    length, width, height, x = (*USUAL[thing.tag], 0.0)
    box = thing.find("BoundingBox")
    if box is not None:
        size = box.need("Dimensions")
        length, width, height = (size.number(key) for key in ("length", "width", "height"))
        if min(length, width, height) <= 0.0:
            # Files of other tools leave it empty.
            length, width, height = USUAL[thing.tag]
        center = box.find("Center")
        x = 0.0 if center is None else center.number("x", 0.0)
    axles = thing.find("Axles")
    axle = axles.find("FrontAxle") if axles is not None else None
    performance = thing.find("Performance")
    kind = {"Pedestrian": AgentKind.PEDESTRIAN, "MiscObject": AgentKind.STATIC}.get(thing.tag)
    return Entity(
        name,
        kind if kind is not None else KINDS.get(category, AgentKind.VEHICLE),
        category,
        length,
        width,
        height,
        x,
        None if axle is None else axle.maybe("positionX"),
        None if performance is None else performance.maybe("maxSpeed"),
    )
