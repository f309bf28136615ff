"""Parameters and expressions of OpenSCENARIO: `$name`, and `${…}` with arithmetic (from version 1.1 on)."""

from __future__ import annotations

import ast
import math
import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_LENGTH = 1000
_NAME = re.compile(r"\$([A-Za-z_][\w-]*)")
_OPERATORS: Mapping[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "sqrt": math.sqrt, "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin,
    "acos": math.acos, "atan": math.atan, "abs": abs, "round": round, "floor": math.floor, "ceil": math.ceil,
    "pow": math.pow, "min": min, "max": max, "sign": lambda v: math.copysign(1.0, v) if v else 0.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values by name, as text."""

    values: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, text: str) -> str:
        """The text with its parameter or expression replaced by the value; raises ValueError."""
        text = text.strip()
        if text.startswith("${") and text.endswith("}"):
            value = self._evaluate(text[2:-1])
            return ("true" if value else "false") if isinstance(value, bool) else repr(float(value))
        if text.startswith("$"):
            return self._value(text[1:])
        return text

    def with_(self, more: Mapping[str, str]) -> Parameters:
        return Parameters({**self.values, **more})

    def _value(self, name: str) -> str:
        if name in self.values:
            return self.values[name]
        raise ValueError(f"there is no parameter '{name}'")

    def _evaluate(self, text: str) -> float | bool:
        if len(text) > MAX_LENGTH:
            raise ValueError("an expression is too long")
        plain = _NAME.sub(lambda m: f"({self._value(m.group(1))})", text)
        try:
            tree = ast.parse(plain.strip(), mode="eval")
            value: float | bool = _number(tree.body)
        except (SyntaxError, TypeError, ZeroDivisionError, OverflowError, KeyError, RecursionError) as error:
            raise ValueError(f"the expression ${{{text}}} has no value") from error
        return value


def _number(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_number(node.left), _number(node.right))
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_number(node.operand))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _FUNCTIONS[node.func.id](*(_number(a) for a in node.args))
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        return node.id == "true"
    raise ValueError("an expression holds what is no arithmetic")


def parse_assignments(text: str) -> dict[str, str]:
    """`NAME=VALUE,NAME=VALUE` of a reference; raises InputError."""
    out = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not (equals and name.strip()):
            raise InputError(f"'{part}' sets no parameter; write NAME=VALUE")
        out[name.strip()] = value.strip()
    return out
