"""Filter expressions over scenarios: `family == 'cut_in' and 'dense' in tags`.

The expression is Python's grammar cut down to comparisons, `and`, `or`, `not`, names and constants; it
is read as a tree and evaluated here, never by `eval`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from drive.errors import InputError, UnknownNameError

Predicate = Callable[[Mapping[str, Any]], bool]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, whole: item in whole,
    ast.NotIn: lambda item, whole: item not in whole,
}


def parse_filter(text: str, names: tuple[str, ...]) -> Predicate:
    """The predicate that `text` describes, over mappings that have `names`.

    Raises `InputError` for what is no such expression, `UnknownNameError` for a name that does not exist.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"the filter {text!r} cannot be read: {what}") from None
    _check(tree, text, names)

    def predicate(row: Mapping[str, Any]) -> bool:
        try:
            return bool(_value(tree, row))
        except TypeError as error:
            raise InputError(f"the filter {text!r} compares what cannot be compared: {error}") from None

    return predicate


def _check(node: ast.expr, text: str, names: tuple[str, ...]) -> None:
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise UnknownNameError("name in a filter", node.id, names)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return
    parts: list[ast.expr]
    if isinstance(node, ast.BoolOp):
        parts = node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        parts = [node.operand]
    elif isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.Tuple | ast.List):
        parts = node.elts
    else:
        raise InputError(
            f"the filter {text!r} may hold comparisons, in, and, or, not, names and constants only, "
            f"not '{ast.unparse(node)}'"
        )
    for part in parts:
        _check(part, text, names)


def _value(node: ast.expr, row: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return row[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return [_value(item, row) for item in node.elts]
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, row)
        return (not value) if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.BoolOp):
        decides = isinstance(node.op, ast.Or)
        return (
            any(bool(_value(v, row)) for v in node.values)
            if decides
            else all(bool(_value(v, row)) for v in node.values)
        )
    assert isinstance(node, ast.Compare)
    left = _value(node.left, row)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = _value(comparator, row)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True
