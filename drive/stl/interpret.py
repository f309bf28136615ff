"""Runs a program on batches of traces; what differs between NumPy and torch is in `Operations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Protocol

from drive.errors import InputError, UnknownNameError
from drive.stl.program import Program, Step

Array = Any
"""An array or a tensor `(..., T)`."""


class Operations(Protocol):
    """What a back end can do, on arrays `(..., T)`. `endless` is its infinity; `largest` and `least` differ
    in sign alone."""

    endless: float
    steps: int
    soft: bool

    def margin(self, left: Array, right: Array, about: object) -> Array:
        """`left - right`, in full shape; may refuse NaN at valid steps, naming `about`."""
        ...

    def flag(self, value: Array, about: str) -> Array:
        """+-endless, in full shape."""
        ...

    def full(self, value: float) -> Array: ...

    def absolute(self, value: Array) -> Array: ...

    def extreme(self, a: Array, b: Array, largest: bool) -> Array:
        """The larger or smaller of two, never soft."""
        ...

    def several(self, parts: list[Array], largest: bool) -> Array:
        """Over a list, soft if the semantics are."""
        ...

    def fill(self, value: Array, number: float) -> Array:
        """`number` at the steps that are not valid."""
        ...

    def held(self, value: Array, last: bool) -> Array:
        """The value `(..., 1)` at the last or first valid step."""
        ...

    def window(
        self, value: Array, low: int, high: int, outside: tuple[Any, Any], largest: bool, counted: bool
    ) -> Array:
        """Over the steps from `low` to `high` away; before and after the trace lie the values `outside`,
        which count as steps or not."""
        ...

    def shift(self, value: Array, by: int, outside: Any) -> Array:
        """What lies `by` steps away."""
        ...

    def scan(self, left: Array, right: Array, start: Any, forward: bool, strict: bool) -> Array:
        """Beginning with `start`, a number or `(..., 1)`: u = min(left, max(right, u of the next step));
        strict: u = max(right, min(left, u of the next step))."""
        ...

    def cut(self, value: Array, start: int, stop: int) -> Array:
        """The steps from `start` to before `stop`."""
        ...

    def over(self, value: Array, largest: bool) -> Array:
        """Over all steps that are given, `(..., 1)`."""
        ...


@dataclass
class Run:
    """One evaluation: every step's trace is made when it is first asked for, and kept."""

    program: Program
    ops: Operations
    values: Mapping[str, Array]
    masked: bool
    _made: dict[int, Array] = field(default_factory=dict)

    def trace(self, place: int) -> Array:
        """The result `(..., T)` of a step; `(..., 1)` of arithmetic without signals."""
        if place not in self._made:
            step = self.program.steps[place]
            self._made[place] = _MAKE.get(step.kind, _arithmetic)(self, step, place)
        return self._made[place]

    def first(self, place: int) -> Array:
        """The result `(..., 1)` at step 0, without the rest of the trace where that can be had."""
        step = self.program.steps[place]
        if place in self._made or self.masked:
            return self.ops.cut(self.trace(place), 0, 1)
        if step.kind == "not":
            return -self.first(step.inputs[0])
        if step.kind in ("least", "largest"):
            return self.ops.several([self.first(i) for i in step.inputs], step.kind == "largest")
        if step.kind.startswith("window"):
            last = self.ops.steps - 1
            low, high = step.low, last if step.high is None else step.high
            inside = low is not None and 0 <= low <= last and (high <= last or step.beyond == "nothing")
            if inside and low is not None:
                part = self.ops.cut(self.trace(step.inputs[0]), low, min(high, last) + 1)
                return self.ops.over(part, step.kind == "window_largest")
        return self.ops.cut(self.trace(place), 0, 1)


def given(program: Program, values: Mapping[str, Any], both: set[str]) -> None:
    """Raise where a program reads a name that nobody gave, or that is a signal and a parameter."""
    for name in program.names:
        if name not in values:
            raise UnknownNameError("signal or parameter", name, values)
        if name in both:
            raise InputError(f"'{name}' is given both as a signal and as a parameter")


def _arithmetic(run: Run, step: Step, place: int) -> Array:
    if step.kind == "constant":
        return step.value
    if step.kind == "name":
        return run.values[step.name]
    inputs = [run.trace(i) for i in step.inputs]
    if step.kind == "negative":
        return -inputs[0]
    if step.kind == "abs":
        return run.ops.absolute(inputs[0])
    if step.kind in ("min", "max"):
        return reduce(lambda a, b: run.ops.extreme(a, b, step.kind == "max"), inputs)
    left, right = inputs
    if step.kind == "+":
        return left + right
    if step.kind == "-":
        return left - right
    if step.kind == "*":
        return left * right
    if isinstance(right, float) and right == 0.0:
        raise InputError("a formula divides by 0")
    return left / right


def _margin(run: Run, step: Step, place: int) -> Array:
    left, right = (run.trace(i) for i in step.inputs)
    return run.ops.margin(left, right, run.program.leaf[place])


def _flag(run: Run, step: Step, place: int) -> Array:
    return run.ops.flag(run.values[step.name], step.name)


def _truth(run: Run, step: Step, place: int) -> Array:
    return run.ops.full(run.ops.endless if step.value > 0.0 else -run.ops.endless)


def _not(run: Run, step: Step, place: int) -> Array:
    return -run.trace(step.inputs[0])


def _several(run: Run, step: Step, place: int) -> Array:
    return run.ops.several([run.trace(i) for i in step.inputs], step.kind == "largest")


def _outside(run: Run, step: Step, inner: Array, neutral: float) -> tuple[Any, Any]:
    if step.beyond == "hold":
        return run.ops.held(inner, False), run.ops.held(inner, True)
    value = (
        neutral if isinstance(step.beyond, str) else max(min(step.beyond, run.ops.endless), -run.ops.endless)
    )
    return value, value


def _window(run: Run, step: Step, place: int) -> Array:
    largest, steps = step.kind == "window_largest", run.ops.steps
    neutral = -run.ops.endless if largest else run.ops.endless
    inner = run.ops.fill(run.trace(step.inputs[0]), neutral)
    low = -steps if step.low is None else step.low
    high = steps if step.high is None else step.high
    if step.beyond == "nothing" or not run.ops.soft:
        # One step outside says as much as many.
        low, high = (min(max(k, -steps), steps) for k in (low, high))
    outside = _outside(run, step, inner, neutral)
    return run.ops.window(inner, low, high, outside, largest, step.beyond != "nothing")


def _shift(run: Run, step: Step, place: int) -> Array:
    inner, by = run.trace(step.inputs[0]), step.low or 0
    before, after = _outside(run, step, inner, -run.ops.endless)
    by = min(max(by, -run.ops.steps), run.ops.steps)
    return run.ops.shift(inner, by, before if by < 0 else after)


def _scan(run: Run, step: Step, place: int) -> Array:
    limit = run.ops.endless
    left, right = (run.trace(i) for i in step.inputs)
    # A step that is not valid changes nothing: true for who must hold, false for who is waited for.
    left, right = run.ops.fill(left, limit), run.ops.fill(right, -limit)
    held, bound = (_outside(run, step, v, -limit) for v in (right, left))
    start = held[0 if step.forward else 1]
    if step.beyond == "hold" and not step.strict:
        start = run.ops.several([start, bound[0 if step.forward else 1]], False)
    return run.ops.scan(left, right, start, step.forward, step.strict)


_MAKE: dict[str, Callable[[Run, Step, int], Array]] = {
    "margin": _margin,
    "flag": _flag,
    "truth": _truth,
    "not": _not,
    "least": _several,
    "largest": _several,
    "window_least": _window,
    "window_largest": _window,
    "shift": _shift,
    "scan": _scan,
}
