"""Formulas lowered to a short list of steps, each written once, that every back end runs.

Whatever means something is decided here: seconds become steps, Until becomes windows and one scan, negation
turns worst into best. A back end only knows arithmetic, least and largest of several, of a window, and the
scan. Closed Until on [a, b] is G[0, a] left, F[a, b] right and, a later, the Until without bounds, which is
exact for least and largest values; soft semantics are defined by the same three parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from drive.errors import InputError
from drive.stl.formula import (
    Always,
    And,
    Arithmetic,
    Call,
    Constant,
    Eventually,
    Expression,
    Flag,
    Formula,
    Historically,
    Implies,
    Interval,
    Name,
    Negative,
    Not,
    Once,
    Or,
    Predicate,
    Since,
    Truth,
    Until,
)
from drive.stl.semantics import ENDS, End

Rounding = Literal["exact", "nearest"]
MOST_STEPS = 1_000_000
_CLOSE = 1e-6

Kind = Literal[
    "constant", "name", "+", "-", "*", "/", "negative", "abs", "min", "max",
    "margin", "flag", "truth", "not", "least", "largest", "window_least", "window_largest", "shift", "scan",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the results of earlier steps `inputs`.

    Of windows: from `low` to `high` steps away (negative: back), `low` or `high` None for the start or the
    end of the trace; `beyond` what is outside of it: "nothing", "hold", or a number. A shift reads what was
    made `low` steps away, whether that step is valid or not. Of a scan of `left` and `right`: backwards in
    time, or `forward`; `strict` leaves out `left` at the witness.
    """

    kind: Kind
    inputs: tuple[int, ...] = ()
    value: float = 0.0
    name: str = ""
    low: int | None = 0
    high: int | None = 0
    beyond: float | str = "nothing"
    forward: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """Steps in order, the last one the formula; `leaf` says which predicate each leaf step is."""

    steps: tuple[Step, ...]
    leaf: dict[int, Formula]
    dt: float

    @property
    def names(self) -> tuple[str, ...]:
        """The signals and parameters that it reads."""
        return tuple(sorted({s.name for s in self.steps if s.name}))


def lower(
    formula: Formula, dt: float, end: End = "clip", strict: bool = False, rounding: Rounding = "exact"
) -> Program:
    """The program of a formula on samples every `dt` s. Raises InputError on an interval that is no whole
    number of steps (`rounding` "nearest" takes the nearest one)."""
    if not (math.isfinite(dt) and dt > 0.0):
        raise InputError(f"samples every {dt} s make no clock")
    if end not in ENDS:
        raise InputError(f"unknown end of a trace '{end}': {', '.join(ENDS)}")
    lowering = _Lowering(dt, end, strict, rounding)
    lowering.formula(formula, True)
    return Program(tuple(lowering.steps), lowering.leaf, dt)


def steps_of(interval: Interval, dt: float, rounding: Rounding = "exact") -> tuple[int, int | None]:
    """An interval's bounds as numbers of steps, None for no end."""
    counted: list[int | None] = []
    for seconds in interval.seconds():
        if math.isinf(seconds):
            counted.append(None)
            continue
        count = seconds / dt
        if count > MOST_STEPS:
            raise InputError(f"the interval {interval} s has more than {MOST_STEPS} steps of {dt:g} s")
        if rounding == "exact" and abs(count - round(count)) > _CLOSE * max(1.0, count):
            raise InputError(
                f"{seconds:g} s is no whole number of steps of {dt:g} s; "
                "change the interval, or compile with rounding='nearest'"
            )
        counted.append(round(count))
    return counted[0] or 0, counted[1]


@dataclass
class _Lowering:
    dt: float
    end: End
    strict: bool
    rounding: Rounding
    steps: list[Step] = field(default_factory=list)
    leaf: dict[int, Formula] = field(default_factory=dict)
    _at: dict[Step, int] = field(default_factory=dict)
    _known: dict[tuple[Formula, bool], int] = field(default_factory=dict)

    def add(self, step: Step) -> int:
        """The step's place; one that was there before is used again."""
        if step not in self._at:
            self._at[step] = len(self.steps)
            self.steps.append(step)
        return self._at[step]

    def expression(self, node: Expression) -> int:
        if isinstance(node, Constant):
            return self.add(Step("constant", value=node.value))
        if isinstance(node, Name):
            return self.add(Step("name", name=node.name))
        if isinstance(node, Negative):
            return self.add(Step("negative", (self.expression(node.argument),)))
        if isinstance(node, Arithmetic):
            kinds: dict[str, Kind] = {"+": "+", "-": "-", "*": "*", "/": "/"}
            if node.operator not in kinds:
                raise InputError(f"unknown operator '{node.operator}'")
            inputs = (self.expression(node.left), self.expression(node.right))
            return self.add(Step(kinds[node.operator], inputs))
        if isinstance(node, Call):
            calls: dict[str, Kind] = {"abs": "abs", "min": "min", "max": "max"}
            if node.function not in calls:
                raise InputError(f"unknown function '{node.function}'")
            return self.add(Step(calls[node.function], tuple(self.expression(a) for a in node.arguments)))
        raise InputError(f"{type(node).__name__} is no expression")

    def formula(self, node: Formula, positive: bool) -> int:
        """The place of a formula; `positive` unless under an odd number of negations."""
        # Only where worst and best differ do the two sides of a negation.
        positive = positive or self.end not in ("pessimistic", "optimistic")
        key = (node, positive)
        if key not in self._known:
            self._known[key] = self._lower(node, positive)
        return self._known[key]

    def _lower(self, node: Formula, positive: bool) -> int:
        if isinstance(node, Predicate):
            left, right = self.expression(node.left), self.expression(node.right)
            return self._leaf(
                Step("margin", (left, right) if node.comparison == ">=" else (right, left)), node
            )
        if isinstance(node, Flag):
            return self._leaf(Step("flag", name=node.name), node)
        if isinstance(node, Truth):
            return self._leaf(Step("truth", value=math.inf if node.value else -math.inf), node)
        if isinstance(node, Not):
            return self.add(Step("not", (self.formula(node.argument, not positive),)))
        if isinstance(node, And | Or):
            inputs = tuple(self.formula(a, positive) for a in node.arguments)
            if len(inputs) < 2:
                raise InputError("'and' and 'or' need two formulas or more")
            return self.add(Step("least" if isinstance(node, And) else "largest", inputs))
        if isinstance(node, Implies):
            left = self.add(Step("not", (self.formula(node.left, not positive),)))
            return self.add(Step("largest", (left, self.formula(node.right, positive))))
        if isinstance(node, Always | Eventually | Historically | Once):
            low, high = steps_of(node.interval, self.dt, self.rounding)
            kind: Kind = "window_least" if isinstance(node, Always | Historically) else "window_largest"
            past = isinstance(node, Historically | Once)
            return self.window(kind, self.formula(node.argument, positive), low, high, past, positive)
        if isinstance(node, Until | Since):
            return self.until(node, positive)
        raise InputError(f"{type(node).__name__} is no formula")

    def _leaf(self, step: Step, node: Formula) -> int:
        place = self.add(step)
        self.leaf.setdefault(place, node)
        return place

    def window(self, kind: Kind, inner: int, low: int, high: int | None, past: bool, positive: bool) -> int:
        if low == high == 0:
            return inner
        span = (None if high is None else -high, -low) if past else (low, high)
        beyond = self.beyond(high is None, positive)
        return self.add(Step(kind, (inner,), low=span[0], high=span[1], beyond=beyond))

    def beyond(self, endless: bool, positive: bool) -> float | str:
        """What lies outside of the trace; what has no end looks no farther than the trace goes."""
        if endless or self.end == "clip":
            return "nothing"
        return "hold" if self.end == "hold_last" else self._unknown(positive)

    def until(self, node: Until | Since, positive: bool) -> int:
        low, high = steps_of(node.interval, self.dt, self.rounding)
        past = isinstance(node, Since)
        left, right = self.formula(node.left, positive), self.formula(node.right, positive)
        outside = self.beyond(high is None, positive)
        parts = [self.add(Step("scan", (left, right), beyond=outside, forward=past, strict=self.strict))]
        if low:
            away = -low if past else low
            parts[0] = self.add(Step("shift", (parts[0],), low=away, high=away, beyond=outside))
            parts.append(self.window("window_least", left, 0, low - self.strict, past, positive))
        if high is not None:
            parts.append(self.window("window_largest", right, low, high, past, positive))
        return parts[0] if len(parts) == 1 else self.add(Step("least", tuple(dict.fromkeys(parts))))

    def _unknown(self, positive: bool) -> float:
        return math.inf if positive == (self.end == "optimistic") else -math.inf
