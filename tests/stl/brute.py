"""Robustness by its definition: every window is looked through step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from drive import stl

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
CALLS: dict[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}


def hard(values: list[float], largest: bool) -> float:
    if not values:
        return -math.inf if largest else math.inf
    return max(values) if largest else min(values)


def soft(form: str, tau: float) -> Callable[[list[float], bool], float]:
    def aggregate(values: list[float], largest: bool) -> float:
        if not values:
            return -stl.LIMIT if largest else stl.LIMIT
        sign = 1.0 if largest else -1.0
        x = np.asarray(values) * sign
        weight = np.exp(tau * (x - x.max()))
        if form == "average":
            return float(sign * (weight * x).sum() / weight.sum())
        total = np.log(weight.sum()) / tau + x.max()
        return float(sign * (total - (math.log(len(x)) / tau if form == "mellowmax" else 0.0)))

    return aggregate


class Brute:
    """One trace. `aggregate` is `hard`, or a soft one, of which Until is defined by its three parts."""

    def __init__(self, values, dt, end="clip", strict=False, mask=None, aggregate=hard):
        self.values, self.dt, self.end, self.strict = values, dt, end, strict
        self.length = len(next(v for v in values.values() if np.ndim(v)))
        self.valid = np.ones(self.length, dtype=bool) if mask is None else mask
        self.aggregate, self.soft = aggregate, aggregate is not hard
        self.infinite = stl.LIMIT if self.soft else math.inf
        self.known: dict[Any, float] = {}

    def number(self, node, t):
        if isinstance(node, stl.Constant):
            return node.value
        if isinstance(node, stl.Name):
            value = self.values[node.name]
            return float(value[t]) if np.ndim(value) else float(value)
        if isinstance(node, stl.Negative):
            return -self.number(node.argument, t)
        if isinstance(node, stl.Arithmetic):
            return OPERATORS[node.operator](self.number(node.left, t), self.number(node.right, t))
        return CALLS[node.function](*(self.number(a, t) for a in node.arguments))

    def at(self, node, t, positive=True):
        key = (node, t, positive)
        if key not in self.known:
            self.known[key] = self.value(node, t, positive)
        return self.known[key]

    def outside(self, node, t, positive):
        """A formula's value beyond the trace, None where nothing is there."""
        if self.end == "clip":
            return None
        if self.end == "hold_last":
            known = np.flatnonzero(self.valid)
            return self.at(node, int(known[-1] if t >= self.length else known[0]), positive)
        return -self.infinite if (self.end == "pessimistic") == positive else self.infinite

    def read(self, node, t, positive):
        """The value at a step, None where there is none."""
        if 0 <= t < self.length:
            return self.at(node, t, positive) if self.valid[t] else None
        return self.outside(node, t, positive)

    def window(self, node, times, positive, largest):
        return self.aggregate([v for k in times if (v := self.read(node, k, positive)) is not None], largest)

    def value(self, node, t, positive):
        limit = self.infinite
        if isinstance(node, stl.Predicate):
            left, right = self.number(node.left, t), self.number(node.right, t)
            return max(min(left - right if node.comparison == ">=" else right - left, limit), -limit)
        if isinstance(node, stl.Flag):
            return limit if self.values[node.name][t] > 0 else -limit
        if isinstance(node, stl.Truth):
            return limit if node.value else -limit
        if isinstance(node, stl.Not):
            return -self.at(node.argument, t, not positive)
        if isinstance(node, (stl.And, stl.Or)):
            return self.aggregate([self.at(a, t, positive) for a in node.arguments], isinstance(node, stl.Or))
        if isinstance(node, stl.Implies):
            return self.aggregate(
                [-self.at(node.left, t, not positive), self.at(node.right, t, positive)], True
            )
        past = isinstance(node, (stl.Once, stl.Historically, stl.Since))
        way = -1 if past else 1
        start, end = node.interval.seconds()
        low = round(start / self.dt)
        to_end = t if past else self.length - 1 - t
        high = round(end / self.dt) if math.isfinite(end) else to_end
        span = range(low, high + 1)
        if not isinstance(node, (stl.Until, stl.Since)):
            largest = isinstance(node, (stl.Eventually, stl.Once))
            return self.window(node.argument, [t + way * k for k in span], positive, largest)
        if self.soft:
            return self.soft_until(node, t, positive, low, math.isfinite(end) and high, way)
        found = -math.inf
        for k in span:
            right = self.read(node.right, t + way * k, positive)
            if right is None:
                continue
            before = range(k if self.strict else k + 1)
            found = max(
                found, min(right, self.window(node.left, [t + way * j for j in before], positive, False))
            )
        return found

    def soft_until(self, node, t, positive, low, high, way):
        def scan(at):
            if not 0 <= at < self.length:
                if high is False or self.end == "clip":
                    return -self.infinite
                parts = [self.outside(n, at, positive) for n in (node.left, node.right)]
                if self.end != "hold_last":
                    return parts[0]
                return parts[1] if self.strict else self.aggregate(parts, False)
            key = ("scan", node, at, positive)
            if key not in self.known:
                later = scan(at + way)
                left, right = self.read(node.left, at, positive), self.read(node.right, at, positive)
                left = self.infinite if left is None else left
                right = -self.infinite if right is None else right
                if self.strict:
                    now = self.aggregate([right, self.aggregate([left, later], False)], True)
                else:
                    now = self.aggregate([left, self.aggregate([right, later], True)], False)
                self.known[key] = now
            return self.known[key]

        at = t + way * low
        if high is not False and self.end == "hold_last" and not 0 <= at < self.length:
            known = np.flatnonzero(self.valid)
            at = int(known[-1] if way > 0 else known[0])
        parts = [scan(at)]
        if low:
            steps = [t + way * j for j in range(low if self.strict else low + 1)]
            parts.append(self.window(node.left, steps, positive, False))
        if high is not False:
            parts.append(self.window(node.right, [t + way * k for k in range(low, high + 1)], positive, True))
        return parts[0] if len(parts) == 1 else self.aggregate(parts, False)

    def trace(self, node):
        return np.array([self.at(node, t) if self.valid[t] else np.nan for t in range(self.length)])


def random_formula(rng, depth, dt=0.5, past=True, plain=False):
    """A formula over the signals x, y, the flag z and the parameter p."""

    def interval():
        if rng.random() < 0.25:
            return stl.EVER
        start = int(rng.integers(0, 4))
        end = math.inf if rng.random() < 0.15 else dt * (start + int(rng.integers(0, 8)))
        return stl.Interval(dt * start, end)

    def below():
        return random_formula(rng, depth - 1, dt, past, plain)

    if depth == 0 or rng.random() < 0.12:
        return random_predicate(rng, plain)
    unary = [stl.Always, stl.Eventually] + ([stl.Historically, stl.Once] if past else [])
    binary = [stl.Until] + ([stl.Since] if past else [])
    kind = rng.integers(0, 8)
    if kind < 3:
        return unary[rng.integers(len(unary))](below(), interval())
    if kind < 5:
        return binary[rng.integers(len(binary))](below(), below(), interval())
    if kind == 5:
        return stl.Not(below())
    if kind == 6:
        return stl.Implies(below(), below())
    parts = tuple(below() for _ in range(int(rng.integers(2, 4))))
    return (stl.And if rng.random() < 0.5 else stl.Or)(parts)


def random_predicate(rng, plain):
    x, y, p = stl.Name("x"), stl.Name("y"), stl.Name("p")
    number = stl.Constant(float(rng.integers(-2, 3)) / 2)
    choices = [
        stl.Predicate(x, ">=", number),
        stl.Predicate(y, "<=", number),
        stl.Predicate(stl.Arithmetic("-", x, stl.Arithmetic("*", y, stl.Constant(0.5))), ">=", number),
    ]
    if not plain:
        choices += [
            stl.Predicate(stl.Call("abs", (stl.Arithmetic("+", x, p),)), "<=", stl.Constant(1.5)),
            stl.Predicate(stl.Negative(stl.Call("max", (x, y, number))), "<=", p),
            stl.Flag("z"),
            stl.Truth(bool(rng.random() < 0.5)),
        ]
    return choices[rng.integers(len(choices))]


def random_signals(rng, steps, batch=()):
    x, y = rng.normal(size=(2, *batch, steps))
    return {"x": x, "y": y, "z": (rng.random((*batch, steps)) < 0.5).astype(float)}
