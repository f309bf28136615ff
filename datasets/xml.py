"""Reads an XML file from an unknown hand: bounded in size and depth, without DTD, entities or fetches."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
MAX_TEXT = 65536
MAX_STEP = 10**9
MAX_NUMBER = 1e15
MAX_COORDINATE = 1e8
"""Metres; beyond it no map projection of the Earth reaches."""
SNIFF_BYTES = 65536


@dataclass(slots=True)
class Node:
    """One element: tag, attributes, text before its first child, children, and its line in the file."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def find(self, tag: str) -> Node | None:
        for child in self.children:
            if child.tag == tag:
                return child
        return None

    def all(self, *tags: str) -> Iterator[Node]:
        return (child for child in self.children if child.tag in tags)

    def value(self, tag: str) -> str | None:
        """Stripped text of the first child of that tag; None without the child or without text."""
        child = self.find(tag)
        return (child.text.strip() or None) if child is not None else None

    def refs(self, *tags: str) -> tuple[str, ...]:
        """The `ref` attributes of the children of these tags, in the file's order."""
        return tuple(
            child.attributes["ref"].strip() for child in self.all(*tags) if "ref" in child.attributes
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its name (never its path), for error messages, and its root."""

    name: str
    root: Node

    def error(self, node: Node, message: str) -> InputError:
        return InputError(f"{self.name}: line {node.line}: {message}")

    def require(self, node: Node, tag: str) -> Node:
        child = node.find(tag)
        if child is None:
            raise self.error(node, f"<{node.tag}> lacks the element <{tag}>")
        return child

    def attribute(self, node: Node, name: str) -> str:
        value = node.attributes.get(name, "").strip()
        if not value:
            raise self.error(node, f"<{node.tag}> lacks the attribute {name}")
        return value

    def number(self, node: Node) -> float:
        """The text of a node as a float; NaN for what is not finite or absurdly large: the caller decides."""
        try:
            value = float(node.text)
        except ValueError:
            raise self.error(node, f"<{node.tag}> holds '{_short(node.text)}', not a number") from None
        return value if abs(value) < MAX_NUMBER else math.nan

    def exact(self, node: Node) -> tuple[float, float]:
        """(low, high) of a value that is exact or an interval."""
        exact = node.find("exact")
        if exact is not None:
            value = self.number(exact)
            return value, value
        low, high = node.find("intervalStart"), node.find("intervalEnd")
        if low is None or high is None:
            raise self.error(node, f"<{node.tag}> has neither <exact> nor <intervalStart> and <intervalEnd>")
        return self.number(low), self.number(high)

    def middle(self, node: Node | None) -> float:
        """The exact value, the middle of an interval, or NaN without the node."""
        if node is None:
            return math.nan
        low, high = self.exact(node)
        return 0.5 * (low + high)

    def step(self, node: Node) -> int:
        """A time step: the exact value or the interval's middle, rounded down."""
        value = self.middle(self.require(node, "time"))
        if not abs(value) <= MAX_STEP:
            raise self.error(node, f"<{node.tag}> has no time step that is a number up to {MAX_STEP}")
        return math.floor(value + 1e-9)

    def point(self, node: Node) -> tuple[float, float]:
        """(x, y) of an element with <x> and <y>; <z> is left aside."""
        return self.number(self.require(node, "x")), self.number(self.require(node, "y"))


def parse_xml(
    path: Path, max_bytes: int = MAX_BYTES, on_child: Callable[[Document, Node], None] | None = None
) -> Document:
    """Parse a file. Raises InputError, one line with file and line, for anything that is not plain XML.

    A document type declaration is refused outright: with it go entity bombs, external entities and
    parameter entities, none of which a scenario needs. With `on_child`, each child of the root is handed
    to it as soon as it is complete, and then forgotten: a large file never lies in memory as a tree.
    """
    try:
        size = os.stat(path).st_size
        if size > max_bytes:
            raise InputError(
                f"{path.name}: {size} bytes exceed the limit of {max_bytes} bytes for a scenario file"
            )
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    return Document(path.name, _build(path.name, data, on_child))


def _build(name: str, data: bytes, on_child: Callable[[Document, Node], None] | None = None) -> Node:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    root: list[Node] = []
    stack: list[Node] = []

    def fail(message: str) -> InputError:
        return InputError(f"{name}: line {parser.CurrentLineNumber}: {message}")

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag, attributes, parser.CurrentLineNumber)
        if len(stack) >= MAX_DEPTH:
            raise fail(f"elements are nested deeper than {MAX_DEPTH}")
        (stack[-1].children if stack else root).append(node)
        stack.append(node)

    def end(tag: str) -> None:
        node = stack.pop()
        if on_child is not None and len(stack) == 1:
            root[0].children.pop()
            on_child(Document(name, root[0]), node)

    def text(data: str) -> None:
        # A bound on the text kept: appending without end would take quadratic time.
        if stack and not stack[-1].children and len(stack[-1].text) < MAX_TEXT:
            stack[-1].text += data

    def refuse(*_: object) -> None:
        raise fail("a document type or entity declaration is refused; remove <!DOCTYPE …> from the file")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse  # type: ignore[assignment]
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(
            f"{name}: line {error.lineno}: not well-formed XML ({expat.ErrorString(error.code)})"
        ) from None
    except (ValueError, LookupError) as error:
        # An encoding that Python does not know, or knows but expat cannot use.
        raise InputError(f"{name}: line 1: the file's encoding cannot be read ({error})") from None
    return root[0]


def root_tag(path: Path) -> str | None:
    """The tag of a file's root element by a look at its first bytes; None where none is in sight."""
    try:
        with open(path, "rb") as file:
            head = file.read(SNIFF_BYTES)
    except OSError:
        return None
    # Zero bytes go, so that a file in UTF-16 shows its tags as well.
    head = re.sub(rb"<!--.*?(-->|$)", b"", head.replace(b"\0", b""), flags=re.DOTALL)
    match = re.search(rb"<([A-Za-z_][\w.:-]*)", head)
    return match.group(1).decode("ascii", "replace") if match else None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 24 else text[:23] + "…"
