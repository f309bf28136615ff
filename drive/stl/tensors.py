"""A program's steps on torch tensors: differentiable in signals, parameters and temperature, on any device.

Nothing is read back from the device. Slopes of equal values share; those of the hard semantics reach one step
of one predicate.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, functional, torch
from drive.stl.semantics import LIMIT, Hard, Semantics

if TYPE_CHECKING:
    from collections.abc import Mapping


def prepared(
    signals: Mapping[str, Any], parameters: Mapping[str, Any], mask: Any
) -> tuple[dict[str, Any], tuple[int, ...], Tensor | None, Any]:
    """Values with time as their last axis, the full shape `(..., T)`, the mask and a tensor to make others
    like."""
    tensors = [v for v in (*signals.values(), *parameters.values()) if isinstance(v, Tensor)]
    floating = [t for t in tensors if t.is_floating_point()]
    if not floating:
        raise InputError("no signal is a tensor of floating-point numbers: compile with backend='numpy'")
    # Half precision holds neither what has no end nor a temperature times it.
    dtype = reduce(torch.promote_types, (t.dtype for t in floating), torch.float32)
    like = torch.zeros((), dtype=dtype, device=floating[0].device)

    values = {name: _tensor(value, like) for name, value in signals.items()}
    if any(v.ndim == 0 for v in values.values()):
        raise InputError("signals must be (..., T)")
    lengths = {v.shape[-1] for v in values.values()}
    if mask is not None:
        mask = torch.as_tensor(mask, device=like.device).bool()
        lengths.add(mask.shape[-1] if mask.ndim else 0)
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"the signals have {sorted(lengths)} steps: they need one number of steps, 1 or more"
        )
    if mask is not None:
        # A slope of what is not a number would not be one either, however it is masked afterwards.
        values = {name: torch.where(mask, v, torch.zeros_like(v)) for name, v in values.items()}
    values |= {name: _tensor(value, like)[..., None] for name, value in parameters.items()}
    shapes = [v.shape for v in values.values()] + ([] if mask is None else [mask.shape])
    try:
        shape = tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        told = ", ".join(f"{n} {tuple(v.shape)}" for n, v in values.items())
        raise InputError(f"signals and parameters do not fit together: {told}") from None
    return values, shape, None if mask is None else mask.expand(shape), like


def _tensor(value: Any, like: Tensor) -> Tensor:
    """A tensor of the type and device of `like`; a plain number is made there, which waits for nothing."""
    if isinstance(value, bool | int | float):
        return torch.full_like(like, float(value))
    return torch.as_tensor(value, device=like.device).to(like.dtype)


class TensorOperations:
    """`interpret.Operations` on tensors of one shape, type and device."""

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Tensor,
        mask: Tensor | None,
        semantics: Semantics,
        temperature: Any = None,
    ) -> None:
        self.shape, self.like, self.mask = shape, like, mask
        self.steps = shape[-1]
        self.form = None if isinstance(semantics, Hard) else semantics.form
        self.soft = self.form is not None
        self.endless = LIMIT if self.soft else math.inf
        if not isinstance(semantics, Hard):
            tau = semantics.temperature if temperature is None else temperature
            if isinstance(tau, int | float) and not 0.0 < tau < math.inf:
                raise InputError("a temperature is positive and finite")
            self.tau = _tensor(tau, like)[..., None]

    def full(self, value: float) -> Tensor:
        return self.like.new_full(self.shape, value)

    def margin(self, left: Any, right: Any, about: object) -> Tensor:
        value = _tensor(left - right, self.like).expand(self.shape)
        return value if self.form is None else value.clamp(-LIMIT, LIMIT)

    def flag(self, value: Tensor, about: str) -> Tensor:
        return torch.where(value > 0.0, self.full(self.endless), self.full(-self.endless))

    def absolute(self, value: Any) -> Any:
        return abs(value)

    def extreme(self, a: Any, b: Any, largest: bool) -> Any:
        pair = [v if isinstance(v, Tensor) else torch.full_like(self.like, v) for v in (a, b)]
        return torch.maximum(*pair) if largest else torch.minimum(*pair)

    def several(self, parts: list[Tensor], largest: bool) -> Tensor:
        if self.form is None:
            return reduce(torch.maximum if largest else torch.minimum, parts)
        return self._soft(torch.stack(parts, -1), largest, self.tau[..., None])

    def over(self, value: Tensor, largest: bool) -> Tensor:
        if self.form is None:
            return value.amax(-1, keepdim=True) if largest else value.amin(-1, keepdim=True)
        return self._soft(value, largest, self.tau)[..., None]

    def _soft(self, value: Tensor, largest: bool, tau: Tensor) -> Tensor:
        """Over the last axis."""
        scale = tau if largest else -tau
        if self.form == "average":
            return (torch.softmax(scale * value, -1) * value).sum(-1)
        total = torch.logsumexp(scale * value, -1)
        if self.form == "mellowmax":
            total = total - math.log(value.shape[-1])
        return total / scale[..., 0]

    def fill(self, value: Tensor, number: float) -> Tensor:
        return value if self.mask is None else torch.where(self.mask, value, self.full(number))

    def held(self, value: Tensor, last: bool) -> Tensor:
        if self.mask is None:
            return value[..., -1:] if last else value[..., :1]
        at = (self.mask.flip(-1) if last else self.mask).to(torch.uint8).argmax(-1, keepdim=True)
        return value.gather(-1, self.steps - 1 - at if last else at)

    def cut(self, value: Tensor, start: int, stop: int) -> Tensor:
        return value[..., start:stop]

    def _edge(self, value: Any, count: int) -> Tensor:
        edge = value if isinstance(value, Tensor) else torch.full_like(self.like, value)
        return edge.expand(*self.shape[:-1], count)

    def _between(self, value: Tensor, low: int, high: int, outside: tuple[Any, Any]) -> Tensor:
        """What lies at the steps from `low` to `T - 1 + high`."""
        count, width = self.steps, high - low + 1
        first = min(max(-low, 0), count + width - 1)
        last = min(max(high, 0), count + width - 1)
        inside = value[..., max(low, 0) : max(count + min(high, 0), 0)]
        return torch.cat((self._edge(outside[0], first), inside, self._edge(outside[1], last)), -1)

    def window(
        self, value: Tensor, low: int, high: int, outside: tuple[Any, Any], largest: bool, counted: bool
    ) -> Tensor:
        width = high - low + 1
        wide = self._between(value, low, high, outside)
        if self.form is None:
            return self._doubled(wide, width, torch.maximum if largest else torch.minimum)
        scale = self.tau if largest else -self.tau
        if self.form == "average":
            return self._mean(wide, scale, width)
        total = self._blocks(scale * wide, width)
        if self.form == "mellowmax":
            valid = torch.ones_like(value) if self.mask is None else self.mask.to(value.dtype)
            edge = 1.0 if counted else 0.0
            count = self._between(valid, low, high, (edge, edge))
            summed = functional.pad(count.cumsum(-1), (1, 0))
            total = total - (summed[..., width:] - summed[..., :-width]).clamp_min(1.0).log()
        return total / scale

    def _doubled(self, wide: Tensor, width: int, pick: Any) -> Tensor:
        """Windows of twice the width from two that overlap or touch: log2(width) operations."""
        have = 1
        while 2 * have <= width:
            wide = pick(wide[..., :-have], wide[..., have:])
            have *= 2
        if have == width:
            return wide
        rest = width - have
        return torch.as_tensor(pick(wide[..., :-rest], wide[..., rest:]))

    def _blocks(self, scaled: Tensor, width: int) -> Tensor:
        """log of the sum of exp over windows, by van Herk's blocks."""
        if width == 1:
            return scaled
        length = scaled.shape[-1]
        rest = -length % width
        padded = functional.pad(scaled, (0, rest))
        blocks = padded.reshape(*scaled.shape[:-1], (length + rest) // width, width)
        ahead = blocks.logcumsumexp(-1).flatten(-2)[..., width - 1 : width - 1 + self.steps]
        back = blocks.flip(-1).logcumsumexp(-1).flip(-1).flatten(-2)[..., : self.steps]
        whole = torch.arange(self.steps, device=scaled.device) % width == 0
        return torch.where(whole, back, torch.logaddexp(back, ahead))

    def _mean(self, value: Tensor, scale: Tensor, width: int) -> Tensor:
        """Means that weigh exp(scale x), of windows put together from such as are powers of two long."""
        log, mean = (scale * value).expand(value.shape), value
        total: tuple[Tensor, Tensor] | None = None
        have, at = 1, 0
        while True:
            if width & have:
                part = (log[..., at : at + self.steps], mean[..., at : at + self.steps])
                total = part if total is None else _mixed(*total, *part)
                at += have
            if at == width:
                break
            log, mean = _mixed(log[..., :-have], mean[..., :-have], log[..., have:], mean[..., have:])
            have *= 2
        if total is None:
            raise InputError("a window needs one step or more")
        return total[1]

    def shift(self, value: Tensor, by: int, outside: Any) -> Tensor:
        edge = self._edge(outside, abs(by))
        return torch.cat((value[..., by:], edge) if by >= 0 else (edge, value[..., :by]), -1)

    def scan(self, left: Tensor, right: Tensor, start: Any, forward: bool, strict: bool) -> Tensor:
        a, b = left.unbind(-1), right.unbind(-1)
        u = self._edge(start, 1)[..., 0]
        found = []
        for t in range(self.steps) if forward else reversed(range(self.steps)):
            if strict:
                u = self._pair(b[t], self._pair(a[t], u, False), True)
            else:
                u = self._pair(a[t], self._pair(b[t], u, True), False)
            found.append(u)
        return torch.stack(found if forward else found[::-1], -1)

    def _pair(self, a: Tensor, b: Tensor, largest: bool) -> Tensor:
        if self.form is None:
            return torch.maximum(a, b) if largest else torch.minimum(a, b)
        return self._soft(torch.stack((a, b), -1), largest, self.tau)


def _mixed(log: Tensor, mean: Tensor, other_log: Tensor, other_mean: Tensor) -> tuple[Tensor, Tensor]:
    total = torch.logaddexp(log, other_log)
    return total, (log - total).exp() * mean + (other_log - total).exp() * other_mean
