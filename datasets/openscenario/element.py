"""An element of a file with the parameters that hold there: what readers of its parts share."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.datasets.openscenario.parameters import resolve
from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drive.datasets.commonroad.parse import Document, Node

MAX_NUMBER = 1e9


@dataclass(frozen=True, slots=True)
class Element:
    """A node, its document, the parameters in its scope, and the count of what is not read."""

    doc: Document
    node: Node
    parameters: Mapping[str, str]
    skipped: Counter[str]

    @property
    def tag(self) -> str:
        return self.node.tag

    def error(self, message: str) -> InputError:
        return self.doc.error(self.node, message)

    def scoped(self, node: Node, parameters: Mapping[str, str] | None = None) -> Element:
        return Element(self.doc, node, self.parameters if parameters is None else parameters, self.skipped)

    def find(self, *tags: str) -> Element | None:
        """The first child of any of these tags."""
        return next((self.scoped(child) for child in self.node.all(*tags)), None)

    def need(self, *tags: str) -> Element:
        found = self.find(*tags)
        if found is None:
            raise self.error(f"<{self.tag}> lacks the element <{tags[0]}>")
        return found

    def all(self, *tags: str) -> Iterator[Element]:
        return (self.scoped(child) for child in self.node.all(*tags))

    def children(self) -> Iterator[Element]:
        return (self.scoped(child) for child in self.node.children)

    def only(self) -> Element:
        """The first child of an element that chooses between several."""
        if not self.node.children:
            raise self.error(f"<{self.tag}> is empty")
        return self.scoped(self.node.children[0])

    def text(self, name: str, default: str | None = None) -> str:
        raw = self.node.attributes.get(name, "").strip()
        if not raw:
            if default is None:
                raise self.error(f"<{self.tag}> lacks the attribute {name}")
            return default
        try:
            return resolve(raw, self.parameters)
        except InputError as error:
            raise self.error(f"<{self.tag}> {name}: {error}") from None

    def label(self) -> str:
        """The element's name, as it is written where it holds no parameter that can be resolved."""
        try:
            return self.text("name", "")
        except InputError:
            return self.node.attributes["name"].strip()

    def number(self, name: str, default: float | None = None) -> float:
        text = self.text(name, None if default is None else repr(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) < MAX_NUMBER:
            raise self.error(f"<{self.tag}> has {name}='{text[:24]}', not a number that makes sense")
        return value

    def maybe(self, name: str) -> float | None:
        """A number that may be missing."""
        return self.number(name) if self.node.attributes.get(name, "").strip() else None

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.number(name, None if default is None else float(default))
        if not value.is_integer():
            raise self.error(f"<{self.tag}> has {name}={value:g}, not a whole number")
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        text = self.text(name, "true" if default else "false").lower()
        if text not in ("true", "false", "1", "0"):
            raise self.error(f"<{self.tag}> has {name}='{text[:24]}'; it must be true or false")
        return text in ("true", "1")

    def skip(self, name: str | None = None) -> str:
        """Count what is not read; returns its name."""
        name = self.tag if name is None else name
        self.skipped[name] += 1
        return name

    def with_declarations(self, given: Mapping[str, str] | None = None) -> Element:
        """The same with the parameters that it declares, each in the scope of those before.

        `given` are the values that who refers to it assigns to them.
        """
        holder = self.node.find("ParameterDeclarations")
        if holder is None:
            return self
        parameters = dict(self.parameters)
        for child in holder.all("ParameterDeclaration"):
            name = child.attributes.get("name", "").strip().removeprefix("$")
            if name and name in (given or {}):
                parameters[name] = (given or {})[name]
            elif name:
                parameters[name] = self.scoped(child, parameters).text("value", "")
        return self.scoped(self.node, parameters)
