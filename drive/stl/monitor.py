"""Formulas made ready to be evaluated on batches of traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from drive.errors import InputError
from drive.stl.formula import Formula
from drive.stl.grammar import parse
from drive.stl.interpret import Operations, Run, given
from drive.stl.program import Program, Rounding, lower
from drive.stl.semantics import End, Hard, Semantics

Backend = Literal["numpy", "torch"]


@dataclass(frozen=True, slots=True)
class Monitor:
    """A formula at one sample time, under one semantics, for one back end; made by `compile`.

    `signals` maps names to values `(..., T)`, `parameters` to numbers or `(...)`, one a trace; leading axes
    broadcast against each other. `mask (..., T)` says which steps exist: operators pass over the others, and
    what they hold does not matter. `temperature`, a number or `(...)`, replaces that of soft semantics.
    """

    formula: Formula
    dt: float
    program: Program
    semantics: Semantics
    backend: Backend

    def trace(
        self,
        signals: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
        *,
        mask: Any = None,
        temperature: Any = None,
    ) -> Any:
        """Robustness `(..., T)` at every step, NaN at steps that are not valid.

        Raises UnknownNameError for a name that is not given, InputError on shapes that do not fit and, with
        NumPy, on a predicate that is not a number at a valid step.
        """
        run, _ = self._run(signals, parameters, mask, temperature)
        return run.ops.fill(run.trace(len(self.program.steps) - 1), float("nan"))

    def robustness(
        self,
        signals: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
        *,
        mask: Any = None,
        temperature: Any = None,
    ) -> Any:
        """Robustness `(...)` at the first valid step, NaN where none is; raises as `trace` does."""
        run, mask = self._run(signals, parameters, mask, temperature)
        last = len(self.program.steps) - 1
        if mask is None:
            return run.first(last)[..., 0]
        return run.ops.held(run.ops.fill(run.trace(last), float("nan")), False)[..., 0]

    __call__ = robustness

    def _run(
        self, signals: Mapping[str, Any], parameters: Mapping[str, Any] | None, mask: Any, temperature: Any
    ) -> tuple[Run, Any]:
        parameters = parameters or {}
        given(self.program, {**parameters, **signals}, set(signals) & set(parameters))
        wanted = set(self.program.names)
        # What the formula does not read need not fit; but some signal must say how many steps there are.
        used = {k: v for k, v in signals.items() if k in wanted} or dict(list(signals.items())[:1])
        kept = {k: v for k, v in parameters.items() if k in wanted}
        if not used:
            raise InputError("a formula is evaluated on one signal or more")
        ops: Operations
        if self.backend == "numpy":
            from drive.stl import arrays

            values, shape, mask, dtype = arrays.prepared(used, kept, mask)
            ops = arrays.ArrayOperations(shape, dtype, mask, self.semantics, temperature)
        else:
            from drive.stl import tensors

            values, shape, mask, like = tensors.prepared(used, kept, mask)
            ops = tensors.TensorOperations(shape, like, mask, self.semantics, temperature)
        return Run(self.program, ops, values, mask is not None), mask


def compile(
    formula: Formula | str,
    dt: float,
    *,
    end: End = "clip",
    semantics: Semantics | None = None,
    strict: bool = False,
    rounding: Rounding = "exact",
    backend: Backend = "numpy",
) -> Monitor:
    """A formula, or its text, for traces sampled every `dt` s.

    `end` says what lies beyond a trace; `strict` makes Until not ask for its left side at the witness (as
    rtamt does). Raises InputError for text that is no formula and for an interval that is no whole number of
    steps, unless `rounding` is "nearest"; MissingExtraError for backend "torch" without torch.
    """
    tree = parse(formula) if isinstance(formula, str) else formula
    if backend not in ("numpy", "torch"):
        raise InputError(f"unknown back end '{backend}': numpy, torch")
    if backend == "torch":
        from drive.stl import tensors  # noqa: F401
    return Monitor(tree, dt, lower(tree, dt, end, strict, rounding), semantics or Hard(), backend)


def columns(values: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Signals by name from trajectories `(..., T, channels)` as planners make them."""
    if values.shape[-1] != len(names):
        raise InputError(f"{values.shape[-1]} channels cannot have {len(names)} names")
    return {name: values[..., k] for k, name in enumerate(names)}
