"""A program's steps on NumPy arrays; windows and scans are compiled loops."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.stl.kernels import scan_hard, scan_log, window_hard, window_log, window_mean
from drive.stl.semantics import LIMIT, Hard, Semantics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[Any]

WIDEST = 20_000_000
"""Numbers that one row of a window with held ends may take as scratch."""


def prepared(
    signals: Mapping[str, Any], parameters: Mapping[str, Any], mask: Any
) -> tuple[dict[str, Any], tuple[int, ...], NDArray[np.bool_] | None, Any]:
    """Values with time as their last axis, the full shape `(..., T)`, the mask and the type.

    Numbers that are no arrays do not decide the type: float32 where all arrays are of it, else float64.
    """
    arrays = {name: np.asarray(value) for name, value in signals.items()}
    for name, array in arrays.items():
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            raise InputError(f"the signal '{name}' must be numbers (..., T)")
    lengths = {array.shape[-1] for array in arrays.values()}
    if mask is not None:
        mask = np.asarray(mask, dtype=np.bool_)
        lengths.add(mask.shape[-1] if mask.ndim else 0)
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"the signals have {sorted(lengths)} steps: they need one number of steps, 1 or more"
        )
    given = {name: np.asarray(value)[..., None] for name, value in parameters.items()}
    typed = [a.dtype for a in arrays.values() if a.dtype.kind == "f"]
    typed += [
        given[n].dtype for n, v in parameters.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"
    ]
    dtype = np.result_type(*typed, np.float32) if typed else np.dtype(np.float64)
    values = {name: a if a.dtype == dtype else a.astype(dtype) for name, a in (arrays | given).items()}
    parts = [*values.values()] + ([] if mask is None else [mask])
    try:
        shape = np.broadcast_shapes(*(p.shape for p in parts))
    except ValueError:
        told = ", ".join(f"{n} {v.shape}" for n, v in values.items())
        raise InputError(f"signals and parameters do not fit together: {told}") from None
    if mask is not None:
        mask = np.broadcast_to(mask, shape)
    return values, shape, mask, dtype


class ArrayOperations:
    """`interpret.Operations` on NumPy arrays of one shape and type."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        mask: NDArray[np.bool_] | None,
        semantics: Semantics,
        temperature: Any = None,
    ) -> None:
        self.shape, self.dtype, self.mask = shape, np.dtype(dtype), mask
        self.steps = shape[-1]
        self.form = None if isinstance(semantics, Hard) else semantics.form
        self.soft = self.form is not None
        self.endless = LIMIT if self.soft else math.inf
        if not isinstance(semantics, Hard):
            tau = np.asarray(semantics.temperature if temperature is None else temperature, dtype=self.dtype)
            if not bool((np.isfinite(tau) & (tau > 0.0)).all()):
                raise InputError("a temperature is positive and finite")
            self.tau = tau[..., None]

    def full(self, value: float) -> Floats:
        return np.full(self.shape, value, dtype=self.dtype)

    def margin(self, left: Any, right: Any, about: object) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            value = np.broadcast_to(np.asarray(left - right, dtype=self.dtype), self.shape)
        wrong = np.isnan(value)
        if self.mask is not None and wrong.any():
            value, wrong = np.where(self.mask, value, 0.0).astype(self.dtype), wrong & self.mask
        if wrong.any():
            raise InputError(f"'{about}' is not a number at {int(wrong.sum())} valid steps: mask them")
        return value if self.form is None else np.clip(value, -LIMIT, LIMIT)

    def flag(self, value: Floats, about: str) -> Floats:
        return self.margin(
            np.where(np.isnan(value), value, np.where(value > 0.0, np.inf, -np.inf)), 0.0, about
        )

    def absolute(self, value: Any) -> Any:
        return np.abs(value)

    def extreme(self, a: Any, b: Any, largest: bool) -> Any:
        return np.maximum(a, b) if largest else np.minimum(a, b)

    def several(self, parts: list[Floats], largest: bool) -> Floats:
        if self.form is None:
            return np.asarray(reduce(np.maximum if largest else np.minimum, parts))
        return self._soft(np.stack(np.broadcast_arrays(*parts), axis=-1), largest, self.tau[..., None])

    def over(self, value: Floats, largest: bool) -> Floats:
        if self.form is None:
            return np.asarray(value.max(-1, keepdims=True) if largest else value.min(-1, keepdims=True))
        return self._soft(value, largest, self.tau)[..., None]

    def _soft(self, value: Floats, largest: bool, tau: Floats) -> Floats:
        """Over the last axis."""
        scaled = (tau if largest else -tau) * value
        top = scaled.max(-1, keepdims=True)
        weight = np.exp(scaled - top)
        total = weight.sum(-1)
        if self.form == "average":
            return np.asarray((weight * value).sum(-1) / total)
        if self.form == "mellowmax":
            total = total / value.shape[-1]
        found = (top[..., 0] + np.log(total)) / tau[..., 0]
        return np.asarray(found if largest else -found)

    def fill(self, value: Floats, number: float) -> Floats:
        if self.mask is None:
            return value
        return np.where(self.mask, value, np.asarray(number, dtype=self.dtype))

    def held(self, value: Floats, last: bool) -> Floats:
        if self.mask is None:
            return value[..., -1:] if last else value[..., :1]
        at = np.argmax(self.mask[..., ::-1] if last else self.mask, axis=-1)
        return np.take_along_axis(value, (self.steps - 1 - at if last else at)[..., None], axis=-1)

    def cut(self, value: Floats, start: int, stop: int) -> Floats:
        return value[..., start:stop]

    def _row(self, value: Any) -> Floats:
        """One number a row `(N,)`."""
        per_row = np.asarray(value, dtype=self.dtype)
        per_row = per_row[..., 0] if per_row.ndim else per_row
        return np.ascontiguousarray(np.broadcast_to(per_row, self.shape[:-1])).reshape(-1)

    def window(
        self, value: Floats, low: int, high: int, outside: tuple[Any, Any], largest: bool, counted: bool
    ) -> Floats:
        width, sign = high - low + 1, self.dtype.type(1.0 if largest else -1.0)
        length = self.steps + width - 1
        if length > WIDEST:
            raise InputError(f"a window of {width} steps beyond the trace is too wide")
        rows = np.ascontiguousarray(value).reshape(-1, self.steps)
        before, after = (self._row(edge) for edge in outside)
        work = np.empty((4 if self.form == "average" else 2, length), dtype=self.dtype)
        out = np.empty_like(rows)
        if self.form is None:
            window_hard(rows, low, width, before, after, sign, work, out)
            return out.reshape(self.shape)
        scale = sign * self._row(self.tau)
        loop = window_mean if self.form == "average" else window_log
        loop(rows, low, width, before, after, scale, work, out)
        found = out.reshape(self.shape)
        if self.form == "mellowmax":
            count = self._count(low, width, counted)
            found = found - np.log(np.maximum(count, 1.0)).astype(self.dtype) / (sign * self.tau)
        return found

    def _count(self, low: int, width: int, counted: bool) -> NDArray[np.float64]:
        """How many values each window holds."""
        valid = np.ones(self.shape, dtype=np.bool_) if self.mask is None else self.mask
        edge = [(0, 0)] * (valid.ndim - 1)
        at = np.arange(self.steps) + low + width
        inside = np.pad(np.cumsum(valid, axis=-1), [*edge, (1, 0)])
        upper, lower = np.clip(at, 0, self.steps), np.clip(at - width, 0, self.steps)
        count = (inside[..., upper] - inside[..., lower]).astype(np.float64)
        return count + (width - (upper - lower)) if counted else count

    def shift(self, value: Floats, by: int, outside: Any) -> Floats:
        edge = np.broadcast_to(np.asarray(outside, dtype=self.dtype), (*self.shape[:-1], 1))
        edge = np.broadcast_to(edge, (*self.shape[:-1], abs(by)))
        if by >= 0:
            return np.concatenate((value[..., by:], edge), axis=-1)
        return np.concatenate((edge, value[..., :by]), axis=-1)

    def scan(self, left: Floats, right: Floats, start: Any, forward: bool, strict: bool) -> Floats:
        if self.form != "average":
            a, b = (np.ascontiguousarray(v).reshape(-1, self.steps) for v in (left, right))
            out = np.empty_like(a)
            if self.form is None:
                scan_hard(a, b, self._row(start), forward, strict, out)
            else:
                loss = self.dtype.type(math.log(2.0) if self.form == "mellowmax" else 0.0)
                scan_log(a, b, self._row(start), self._row(self.tau), loss, forward, strict, out)
            return out.reshape(self.shape)
        out = np.empty(self.shape, dtype=self.dtype)
        u = np.broadcast_to(np.asarray(start, dtype=self.dtype), (*self.shape[:-1], 1))
        for k in range(self.steps):
            t = k if forward else self.steps - 1 - k
            a, b = left[..., t : t + 1], right[..., t : t + 1]
            if strict:
                u = self.several([b, self.several([a, u], False)], True)
            else:
                u = self.several([a, self.several([b, u], True)], False)
            out[..., t : t + 1] = u
        return out
