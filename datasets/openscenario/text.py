"""An OpenSCENARIO file as elements whose attributes are read with parameters put in."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.openscenario.expressions import Parameters
from drive.datasets.xml import Document, parse_xml
from drive.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from drive.datasets.xml import Node

MAX_BYTES = 32 * 1024 * 1024
MAX_NUMBER = 1e9


@dataclass(frozen=True, slots=True)
class Text:
    """A file's element with the parameters that hold there; what is not understood goes to `skipped`."""

    doc: Document
    node: Node
    parameters: Parameters
    skipped: Counter[str] = field(default_factory=Counter)
    entities: frozenset[str] = frozenset()

    @property
    def tag(self) -> str:
        return self.node.tag

    def at(self, node: Node, parameters: Parameters | None = None) -> Text:
        return replace(self, node=node, parameters=parameters or self.parameters)

    def children(self, *tags: str) -> Iterator[Text]:
        """The children of these tags, or all."""
        return (self.at(child) for child in self.node.children if not tags or child.tag in tags)

    def child(self, tag: str) -> Text | None:
        found = self.node.find(tag)
        return None if found is None else self.at(found)

    def need(self, tag: str) -> Text:
        return self.at(self.doc.require(self.node, tag))

    def only(self) -> Text:
        """The one child that says which kind of thing this is."""
        for child in self.node.children:
            return self.at(child)
        raise self.fault(f"<{self.tag}> is empty")

    def fault(self, message: str) -> InputError:
        return self.doc.error(self.node, message)

    def text(self, name: str, default: str | None = None) -> str:
        """An attribute; raises InputError where it is missing and has no default."""
        raw = self.node.attributes.get(name)
        if raw is None or not raw.strip():
            if default is None:
                raise self.fault(f"<{self.tag}> lacks the attribute {name}")
            return default
        try:
            return self.parameters.resolve(raw)
        except ValueError as error:
            raise self.fault(f"<{self.tag}> {name}: {error}") from None

    def choice(self, name: str, known: Collection[str], default: str | None = None) -> str:
        """An attribute that is one of a few words; raises InputError for another one."""
        value = self.text(name, default)
        if value not in known:
            raise self.fault(f"<{self.tag}> {name} is '{value[:40]}'; known: {', '.join(known)}")
        return value

    def entity(self, name: str = "entityRef", default: str | None = None) -> str:
        """An attribute that names an entity of the scenario, or its default; InputError for a stranger."""
        value = self.text(name, default)
        if value != default and value not in self.entities:
            raise self.fault(f"there is no entity '{value}'")
        return value

    def reference(self, name: str) -> str:
        """The parameter that an attribute names, which files write with and without its sign; or nothing."""
        return self.node.attributes.get(name, "").strip().lstrip("$")

    def number(self, name: str, default: float | None = None) -> float:
        if default is not None and not self.node.attributes.get(name, "").strip():
            return default
        raw = self.text(name)
        try:
            value = float(raw)
        except ValueError:
            raise self.fault(f"<{self.tag}> {name} is '{raw[:40]}', not a number") from None
        if not abs(value) <= MAX_NUMBER:
            # Files write 1e10 or INF for "as much as there is".
            if math.isnan(value):
                raise self.fault(f"<{self.tag}> {name} is not a number")
            return math.copysign(MAX_NUMBER, value)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.number(name, None if default is None else float(default))
        if value != round(value):
            raise self.fault(f"<{self.tag}> {name} is {value:g}, not a whole number")
        return round(value)

    def flag(self, name: str, default: bool = False) -> bool:
        return self.text(name, "true" if default else "false").lower() in ("true", "1", "1.0")

    def skip(self, what: str) -> None:
        """Note something that is not read, by its name."""
        self.skipped[what] += 1


def open_text(path: Path, parameters: Mapping[str, str] | None = None, any_version: bool = False) -> Text:
    """A file's root, with its declared parameters, those given put in their place.

    Raises InputError where the file is no OpenSCENARIO, or of another version than 1.x unless any will do, or
    lacks one of the parameters given.
    """
    doc = parse_xml(path, MAX_BYTES)
    if doc.root.tag != "OpenSCENARIO":
        raise InputError(f"{doc.name}: no OpenSCENARIO file (root <{doc.root.tag}>)")
    text = Text(doc, doc.root, Parameters())
    header = text.child("FileHeader")
    if not any_version and header is not None and header.whole("revMajor", 1) != 1:
        raise header.fault("its version is not 1.x; OpenSCENARIO XML 1.0 to 1.3 can be read")
    parameters = parameters or {}
    known = declared(text, parameters)
    unknown = sorted(parameters.keys() - known.values.keys())
    if unknown:
        raise UnknownNameError(f"parameter of {doc.name}", unknown[0], list(known.values))
    return text.at(doc.root, known)


def declared(text: Text, given: Mapping[str, str]) -> Parameters:
    """The parameters that an element declares, each with its default or the value given for it."""
    out = text.parameters
    block = text.child("ParameterDeclarations")
    for node in () if block is None else block.children("ParameterDeclaration"):
        name = node.text("name").lstrip("$")
        value = given.get(name, node.at(node.node, out).text("value", ""))
        out = out.with_({name: value})
    return out
