"""Parameters and expressions of OpenSCENARIO attributes: `$name` and `${2 * $name + 1}`."""

from __future__ import annotations

import ast
import math
import operator
import re
from typing import TYPE_CHECKING, Any

from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_LENGTH = 2000
MAX_DEPTH = 40
NAME = re.compile(r"\$([A-Za-z_][A-Za-z0-9_.:-]*)")
INSIDE = re.compile(r"\$([A-Za-z_]\w*)")
BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: math.fmod,
}
UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "round": lambda x: float(math.floor(x + 0.5)),
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "pow": lambda a, b: math.pow(a, b),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "abs": abs,
    "min": min,
    "max": max,
}


def resolve(text: str, parameters: Mapping[str, str]) -> str:
    """An attribute with its parameters put in and its expression evaluated.

    Raises InputError for an unknown parameter, and for an expression that is none: only numbers,
    parameters, + - * / %, comparisons by words (and, or, not) and a few functions are.
    """
    text = text.strip()
    if text.startswith("${") and text.endswith("}"):
        return _format(_evaluate(text[2:-1], parameters))
    match = NAME.fullmatch(text)
    return _value(match.group(1), parameters) if match else text


def _value(name: str, parameters: Mapping[str, str]) -> str:
    try:
        return parameters[name]
    except KeyError:
        raise InputError(f"the parameter '${name}' is declared nowhere") from None


def _evaluate(text: str, parameters: Mapping[str, str]) -> float | bool:
    if len(text) > MAX_LENGTH:
        raise InputError(f"an expression of {len(text)} characters is too long")
    # Parameters go in as numbers, never as text: they cannot change what the expression says.
    values: dict[str, float | bool] = {}

    def put(match: re.Match[str]) -> str:
        name = f"p{len(values)}"
        values[name] = _number(_value(match.group(1), parameters))
        return name

    try:
        tree = ast.parse(INSIDE.sub(put, text).strip(), mode="eval")
        found: float | bool = _walk(tree.body, values, 0)
        return found
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        raise InputError(f"'${{{text[:60]}}}' is no expression that has a value") from None


def _number(text: str) -> float | bool:
    if text in ("true", "false"):
        return text == "true"
    return float(text)


def _walk(node: ast.expr, values: Mapping[str, float | bool], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        if node.id in ("true", "false"):
            return node.id == "true"
        if node.id in values:
            return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        sides = (_walk(side, values, depth + 1) for side in (node.left, node.right))
        return BINARY[type(node.op)](*(float(side) for side in sides))
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)](_walk(node.operand, values, depth + 1))
    if isinstance(node, ast.BoolOp):
        found = [bool(_walk(part, values, depth + 1)) for part in node.values]
        return all(found) if isinstance(node.op, ast.And) else any(found)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = FUNCTIONS.get(node.func.id)
        if function is not None:
            return function(*(float(_walk(part, values, depth + 1)) for part in node.args))
    raise ValueError


def _format(value: float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not math.isfinite(value):
        raise InputError("an expression gives no finite number")
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
