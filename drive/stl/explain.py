"""Which predicate decided a formula's robustness, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from drive.errors import InputError
from drive.stl import arrays
from drive.stl.formula import Formula
from drive.stl.grammar import parse
from drive.stl.interpret import Run, given
from drive.stl.program import Program, Rounding, Step, lower
from drive.stl.semantics import End, Hard


@dataclass(frozen=True, slots=True)
class Critical:
    """The formula's `robustness`, which is, up to its sign, the `margin` of one `predicate` at `step`,
    `time` s after the first sample. `predicate` is None where the end of the trace decided."""

    robustness: float
    predicate: Formula | None
    margin: float
    step: int
    time: float

    @property
    def holds(self) -> bool:
        return self.robustness >= 0.0

    def __str__(self) -> str:
        what = "the end of the trace" if self.predicate is None else str(self.predicate)
        return f"{what} at {self.time:g} s, by {self.margin:g}"


def explain(
    formula: Formula | str,
    signals: Mapping[str, Any],
    dt: float,
    parameters: Mapping[str, float] | None = None,
    *,
    mask: Any = None,
    end: End = "clip",
    strict: bool = False,
    rounding: Rounding = "exact",
    at: int | None = None,
) -> Critical:
    """What decided the hard robustness of one trace, signals `(T,)`, at step `at` or the first valid one.

    Of several that decide alike the first one is told. Raises as `Monitor.trace` does.
    """
    tree = parse(formula) if isinstance(formula, str) else formula
    program = lower(tree, dt, end, strict, rounding)
    run, valid = _run(program, signals, parameters or {}, mask)
    at = int(np.argmax(valid)) if at is None else at
    if not (0 <= at < len(valid) and valid[at]):
        raise InputError(f"step {at} is not a valid step of the trace")
    return _critical(program, run, valid, at)


def criticals(
    formula: Formula,
    signals: Mapping[str, Any],
    dt: float,
    *,
    mask: Any = None,
    end: End = "clip",
    rounding: Rounding = "exact",
) -> list[Critical]:
    """`explain` at every step of one trace; of a step that is not valid the predicate is None."""
    program = lower(formula, dt, end, rounding=rounding)
    run, valid = _run(program, signals, {}, mask)
    nothing = (Critical(float("nan"), None, float("nan"), t, t * dt) for t in range(len(valid)))
    return [_critical(program, run, valid, t) if valid[t] else c for t, c in enumerate(nothing)]


def _run(
    program: Program, signals: Mapping[str, Any], parameters: Mapping[str, float], mask: Any
) -> tuple[Run, Any]:
    given(program, {**parameters, **signals}, set(signals) & set(parameters))
    values, shape, mask, dtype = arrays.prepared(signals, parameters, mask)
    if len(shape) != 1:
        raise InputError(f"one trace is explained at a time, and the signals are {shape}")
    run = Run(program, arrays.ArrayOperations(shape, dtype, mask, Hard()), values, mask is not None)
    return run, np.ones(shape, dtype=np.bool_) if mask is None else mask


def _critical(program: Program, run: Run, valid: Any, at: int) -> Critical:
    place = len(program.steps) - 1
    robustness = float(run.trace(place)[at])
    step: int | None = at
    while step is not None and place not in program.leaf:
        place, step = _below(run, valid, place, step)
    if step is None:
        last = len(valid) - 1
        return Critical(robustness, None, robustness, last, last * program.dt)
    margin = float(run.trace(place)[step])
    return Critical(robustness, program.leaf[place], margin, step, step * program.dt)


def _below(run: Run, valid: Any, place: int, at: int) -> tuple[int, int | None]:
    """The step and the time that a step's value at a time was taken from; None for beyond the trace."""
    step = run.program.steps[place]
    if step.kind in ("not", "shift"):
        to = at + (step.low or 0) if step.kind == "shift" else at
        return step.inputs[0], _within(step, valid, to)
    if step.kind in ("least", "largest"):
        values = [float(run.trace(i)[at]) for i in step.inputs]
        return step.inputs[int(np.argmax(values) if step.kind == "largest" else np.argmin(values))], at
    if step.kind == "scan":
        return _witness(run, valid, step, at)
    inner = run.trace(step.inputs[0])
    low = 0 if step.low is None else max(at + step.low, 0)
    high = len(valid) - 1 if step.high is None else min(at + step.high, len(valid) - 1)
    # What is held beyond the trace decides only where nothing within does.
    same = valid[low : high + 1] & (inner[low : high + 1] == run.trace(place)[at])
    if same.any():
        return step.inputs[0], low + int(np.argmax(same))
    edge = high + 1 if step.high is not None and at + step.high >= len(valid) else -1
    return step.inputs[0], _within(step, valid, edge)


def _within(step: Step, valid: Any, at: int) -> int | None:
    if 0 <= at < len(valid):
        return at
    if step.beyond != "hold":
        return None
    known = np.flatnonzero(valid)
    return int(known[-1] if at >= len(valid) else known[0])


def _witness(run: Run, valid: Any, step: Step, at: int) -> tuple[int, int | None]:
    """The nearest step whose left or right side the scan's value at a time was taken from."""
    u = run.trace(run.program.steps.index(step))[at]
    along = slice(at, None, -1) if step.forward else slice(at, None)
    left, right = (valid[along] & (run.trace(place)[along] == u) for place in step.inputs)
    if not (left | right).any():
        return step.inputs[0], None
    away = int(np.argmax(left | right))
    first = right if step.strict else left
    side = step.inputs[(first is right) == bool(first[away])]
    return side, at - away if step.forward else at + away
