"""Formulas of signal temporal logic as frozen trees, and their text.

Syntax: Maler and Nickovic (2004), with past operators and with arithmetic over named signals and parameters.
Two trees that are written alike are equal and have the same hash. Intervals are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, dataclass_transform

from drive.errors import InputError

Number = int | float
Bound = float | str
Node = TypeVar("Node")


class _Tree:
    """What expressions and formulas share. Hashes are kept: trees are looked up at every level."""

    @cached_property
    def _hash(self) -> int:
        own: Any = self
        return hash((type(self).__name__, *(getattr(self, f.name) for f in fields(own))))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return to_text(self)


class Expression(_Tree):
    """A number at every step: a signal, a parameter, or arithmetic of these."""


class Formula(_Tree):
    """Something that holds or not at every step, with a robustness: by how much."""


@dataclass_transform(frozen_default=True)
def _node(cls: type[Node]) -> type[Node]:
    made: Any = dataclass(frozen=True, repr=False)(cls)
    made.__hash__ = _Tree.__hash__
    made.__repr__ = lambda self: f"{type(self).__name__}({to_text(self)})"
    return made  # type: ignore[no-any-return]


@_node
class Constant(Expression):
    """A number in the unit of what it is compared with."""

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        if math.isnan(self.value):
            raise InputError("a formula cannot hold NaN")


@_node
class Name(Expression):
    """A signal `(..., T)` or a parameter `(...)`, whichever evaluation is given under that name."""

    name: str


@_node
class Arithmetic(Expression):
    """`left` and `right` under one of + - * /."""

    operator: str
    left: Expression
    right: Expression


@_node
class Negative(Expression):
    argument: Expression


@_node
class Call(Expression):
    """One of `FUNCTIONS` of expressions: plain arithmetic, never made soft."""

    function: str
    arguments: tuple[Expression, ...]


@_node
class Predicate(Formula):
    """`left comparison right` with >= or <=; its robustness is the difference. > and < are the same: there is
    no telling the border apart by a robustness."""

    left: Expression
    comparison: str
    right: Expression


@_node
class Flag(Formula):
    """A yes-or-no signal, yes above 0: its robustness is without end, so it never counts as a distance."""

    name: str


@_node
class Truth(Formula):
    """`true` or `false`."""

    value: bool


@_node
class Not(Formula):
    argument: Formula


@_node
class And(Formula):
    """All of two or more, in one minimum."""

    arguments: tuple[Formula, ...]


@_node
class Or(Formula):
    """Any of two or more, in one maximum."""

    arguments: tuple[Formula, ...]


@_node
class Implies(Formula):
    left: Formula
    right: Formula


@_node
class Interval(_Tree):
    """From `start` to `end` s, both ends included; `end` may be inf. A bound may name a parameter until
    `bind` replaces it."""

    start: Bound = 0.0
    end: Bound = math.inf

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if not isinstance(bound := getattr(self, name), str):
                object.__setattr__(self, name, float(bound))
        known = [b for b in (self.start, self.end) if not isinstance(b, str)]
        if any(not b >= 0.0 for b in known) or self.start == math.inf:
            raise InputError(f"an interval begins at 0 s or later, and [{self.start}, {self.end}] does not")
        if len(known) == 2 and not known[0] <= known[1]:
            raise InputError(f"the interval [{known[0]:g}, {known[1]:g}] s ends before it begins")

    def seconds(self) -> tuple[float, float]:
        """Both bounds; raises InputError while one of them is the name of a parameter."""
        for bound in (self.start, self.end):
            if isinstance(bound, str):
                raise InputError(f"the interval's bound '{bound}' has no value: bind it to a number first")
        return float(self.start), float(self.end)


EVER = Interval()


class Temporal(Formula):
    """An operator over the steps of an interval."""

    interval: Interval


@_node
class Always(Temporal):
    """At every step of the interval ahead (G)."""

    argument: Formula
    interval: Interval = EVER


@_node
class Eventually(Temporal):
    """At some step of the interval ahead (F)."""

    argument: Formula
    interval: Interval = EVER


@_node
class Historically(Temporal):
    """At every step of the interval back (H)."""

    argument: Formula
    interval: Interval = EVER


@_node
class Once(Temporal):
    """At some step of the interval back (O)."""

    argument: Formula
    interval: Interval = EVER


@_node
class Until(Temporal):
    """`right` at some step of the interval ahead, and `left` from now to it, it included (U)."""

    left: Formula
    right: Formula
    interval: Interval = EVER


@_node
class Since(Temporal):
    """`right` at some step of the interval back, and `left` from that step, included, to now (S)."""

    left: Formula
    right: Formula
    interval: Interval = EVER


FUNCTIONS = {"abs": (1, 1), "min": (2, None), "max": (2, None)}
"""Functions of expressions, and the least and largest number of their arguments."""
UNARY = {Always: "always", Eventually: "eventually", Historically: "historically", Once: "once"}
BINARY = {Until: "until", Since: "since"}
PAST = (Historically, Once, Since)


def children(node: Any) -> tuple[Any, ...]:
    """The expressions and formulas right below one."""
    out: list[Any] = []
    for field in fields(node):
        value = getattr(node, field.name)
        out += [v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, _Tree)]
    return tuple(out)


def walk(node: Any) -> Iterator[Any]:
    """A tree's nodes, each before those below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def names(node: Any) -> tuple[str, ...]:
    """What a tree must be given at evaluation: its signals and parameters, sorted."""
    found = {n.name for n in walk(node) if isinstance(n, Name | Flag)}
    spans = [n.interval for n in walk(node) if isinstance(n, Temporal)]
    return tuple(sorted(found | {b for s in spans for b in (s.start, s.end) if isinstance(b, str)}))


def bind(node: Node, values: Mapping[str, Number]) -> Node:
    """The tree with parameters replaced by numbers, in expressions and in intervals."""
    if isinstance(node, Name):
        return Constant(float(values[node.name])) if node.name in values else node  # type: ignore[return-value]
    if isinstance(node, tuple):
        return tuple(bind(v, values) for v in node)  # type: ignore[return-value]
    if isinstance(node, Interval):
        spans = [values.get(b, b) if isinstance(b, str) else b for b in (node.start, node.end)]
        return Interval(*spans)  # type: ignore[return-value]
    if not is_dataclass(node) or isinstance(node, type):
        return node
    made = replace(node, **{f.name: bind(getattr(node, f.name), values) for f in fields(node)})
    if isinstance(made, Negative) and isinstance(made.argument, Constant):
        return Constant(-made.argument.value)  # type: ignore[return-value]
    return made


def horizon(formula: Formula) -> float:
    """How far ahead a formula looks, in s; inf where an operator has no end."""
    return _reach(formula, ahead=True)


def memory(formula: Formula) -> float:
    """How far back a formula looks, in s; inf where an operator has no end."""
    return _reach(formula, ahead=False)


def _reach(node: Any, ahead: bool) -> float:
    low, high = _span(node)
    return max(high, 0.0) if ahead else max(-low, 0.0)


def _span(node: Any) -> tuple[float, float]:
    """Smallest and largest offset in s at which a predicate below a node is read."""
    spans = [_span(child) for child in children(node) if isinstance(child, Formula)]
    low = min((s[0] for s in spans), default=0.0)
    high = max((s[1] for s in spans), default=0.0)
    if not isinstance(node, Temporal):
        return low, high
    start, end = node.interval.seconds()
    # The left side of Until is read from now on.
    start = 0.0 if isinstance(node, Until | Since) else start
    if isinstance(node, PAST):
        start, end = -end, -start
    return low + start, high + end


# Text. Each level binds more tightly than the one before it.
_IMPLIES, _OR, _AND, _UNTIL, _UNARY, _ATOM = range(6)
_SUM, _PRODUCT, _SIGN, _TERM = range(4)


def to_text(node: Any) -> str:
    """The text of a tree, which `drive.stl.parse` reads back as an equal one."""
    if isinstance(node, Interval):
        return "" if node == EVER else f"[{_number(node.start)}, {_number(node.end)}]"
    if isinstance(node, Expression):
        return _expression(node)[0]
    return _formula(node)[0]


def _number(value: Bound) -> str:
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else repr(value)


def _expression(node: Expression) -> tuple[str, int]:
    def at(child: Expression, level: int) -> str:
        text, own = _expression(child)
        return text if own >= level else f"({text})"

    if isinstance(node, Constant):
        return _number(node.value), _TERM
    if isinstance(node, Name):
        return node.name, _TERM
    if isinstance(node, Negative):
        inner = at(node.argument, _SIGN)
        # A minus right before a number is read as the number's own.
        return f"-({inner})" if isinstance(node.argument, Constant) else f"-{inner}", _SIGN
    if isinstance(node, Call):
        return f"{node.function}({', '.join(_expression(a)[0] for a in node.arguments)})", _TERM
    if isinstance(node, Arithmetic):
        level = _SUM if node.operator in "+-" else _PRODUCT
        return f"{at(node.left, level)} {node.operator} {at(node.right, level + 1)}", level
    raise InputError(f"{type(node).__name__} is no expression")


def _formula(node: Formula) -> tuple[str, int]:
    def at(child: Formula, level: int) -> str:
        text, own = _formula(child)
        # A comparison would do without brackets under an operator, but not for a reader.
        bare = own >= level and not (level == _UNARY and isinstance(child, Predicate))
        return text if bare else f"({text})"

    if isinstance(node, Predicate):
        return f"{_expression(node.left)[0]} {node.comparison} {_expression(node.right)[0]}", _ATOM
    if isinstance(node, Flag):
        return node.name, _ATOM
    if isinstance(node, Truth):
        return "true" if node.value else "false", _ATOM
    if isinstance(node, Not):
        return f"not {at(node.argument, _UNARY)}", _UNARY
    if isinstance(node, And | Or):
        level, word = (_AND, "and") if isinstance(node, And) else (_OR, "or")
        if len(node.arguments) < 2:
            raise InputError(f"'{word}' needs two formulas or more")
        return f" {word} ".join(at(a, level + 1) for a in node.arguments), level
    if isinstance(node, Implies):
        return f"{at(node.left, _OR)} implies {at(node.right, _IMPLIES)}", _IMPLIES
    if isinstance(node, Until | Since):
        word = BINARY[type(node)]
        return f"{at(node.left, _UNARY)} {word}{node.interval} {at(node.right, _UNARY)}", _UNTIL
    if isinstance(node, Always | Eventually | Historically | Once):
        return f"{UNARY[type(node)]}{node.interval} {at(node.argument, _UNARY)}", _UNARY
    raise InputError(f"{type(node).__name__} is no formula")
