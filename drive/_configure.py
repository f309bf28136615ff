"""Frozen dataclasses made from text: what `--set planner.field=value` and TOML tables become."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from math import isnan
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from drive.errors import InputError, UnknownNameError

Config = TypeVar("Config")

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class _UnfitError(Exception):
    """A value does not fit a type; the message says what was expected."""


def configure(
    config_type: type[Config], overrides: Mapping[str, object], base: Config | None = None
) -> Config:
    """An instance of the dataclass `config_type` with some of its fields overridden.

    Values may be text, which is read by the type of the field (int, float, bool, str, Path, Literal,
    Optional, tuple, Enum), or of that type already. The fields of a nested dataclass are reached by dotted
    keys (`cost.progress`) or by a mapping. Fields not named keep the value of `base`, or their default.

    Raises `UnknownNameError` for a field that does not exist and `InputError` for a value that does not fit.
    """
    if not dataclasses.is_dataclass(config_type):
        raise TypeError(f"{config_type!r} is not a dataclass")
    title = config_type.__name__
    hints = get_type_hints(config_type)
    fields = {field.name: field for field in dataclasses.fields(config_type) if field.init}
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, object]] = {}
    for key, value in overrides.items():
        head, dot, tail = key.partition(".")
        if head not in fields:
            raise UnknownNameError(f"setting of {title}", head, fields)
        nested = _dataclass_in(hints[head])
        if dot and nested is None:
            raise InputError(f"{title}.{head} has no settings of its own, so '{key}' cannot be set")
        if dot:
            inner.setdefault(head, {})[tail] = value
        elif nested is not None and isinstance(value, Mapping):
            inner.setdefault(head, {}).update(value)
        else:
            try:
                values[head] = _coerce(value, hints[head])
            except _UnfitError as error:
                raise InputError(f"{title}.{head} must be {error}, not {value!r}") from None
    for head, changes in inner.items():
        nested = _dataclass_in(hints[head])
        assert nested is not None
        start = values[head] if head in values else _present(fields[head], base)
        values[head] = configure(nested, changes, start)
    if base is None:
        _require(title, fields, values)
    try:
        made: Config = config_type(**values) if base is None else dataclasses.replace(base, **values)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:  # the dataclass's own checks
        raise InputError(f"{title}: {' '.join(str(error).split())}") from error
    return made


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested tables as one mapping with dotted keys."""
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _present(field: dataclasses.Field[Any], base: object) -> Any:
    """What a nested field holds before it is changed, or None where it has no default."""
    if base is not None:
        return getattr(base, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def _require(title: str, fields: Mapping[str, dataclasses.Field[Any]], values: Mapping[str, object]) -> None:
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if name not in values and not optional:
            raise InputError(f"{title} needs a value for '{name}', which has no default")


def _dataclass_in(annotation: Any) -> type[Any] | None:
    """The dataclass in `annotation`, also inside an Optional."""
    for part in get_args(annotation) if _is_union(annotation) else (annotation,):
        if isinstance(part, type) and dataclasses.is_dataclass(part):
            return part
    return None


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _coerce(value: Any, annotation: Any) -> Any:
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is Any or annotation is object:
        return value
    if _is_union(annotation):
        return _coerce_union(value, parts)
    if origin is Literal:
        for option in parts:
            if value == option or (isinstance(value, str) and value == str(option)):
                return option
        raise _UnfitError("one of " + ", ".join(str(option) for option in parts))
    if annotation is tuple or origin is tuple:
        return _coerce_tuple(value, parts)
    if isinstance(annotation, type):
        return _coerce_plain(value, annotation)
    raise _UnfitError(f"set from Python, being a {annotation}")


def _coerce_union(value: Any, parts: tuple[Any, ...]) -> Any:
    none = type(None) in parts
    if none and (value is None or (isinstance(value, str) and value.lower() in {"none", "null"})):
        return None
    expected = []
    for part in parts:
        if part is not type(None):
            try:
                return _coerce(value, part)
            except _UnfitError as error:
                expected.append(str(error))
    raise _UnfitError(" or ".join([*expected, "none"] if none else expected))


def _coerce_tuple(value: Any, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        text = value.strip().removeprefix("(").removeprefix("[").removesuffix(")").removesuffix("]")
        items: list[Any] = [item.strip() for item in text.split(",")]
        if items[-1] == "":  # "" is the empty tuple, "1," the one with one item
            items.pop()
    elif isinstance(value, Sequence):
        items = list(value)
    else:
        raise _UnfitError("a list such as 1,2,3")
    if not parts:
        return tuple(items)
    if len(parts) == 2 and parts[1] is Ellipsis:
        parts = (parts[0],) * len(items)
    if len(items) != len(parts):
        raise _UnfitError(f"a list of {len(parts)} values")
    try:
        return tuple(_coerce(item, part) for item, part in zip(items, parts, strict=True))
    except _UnfitError as error:
        raise _UnfitError(f"a list of which each value is {error}") from None


def _coerce_plain(value: Any, wanted: type[Any]) -> Any:
    if issubclass(wanted, Enum):
        return _coerce_enum(value, wanted)
    if wanted is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        raise _UnfitError("true or false")
    if wanted in (int, float) and not isinstance(value, bool):
        what = "a whole number" if wanted is int else "a number"
        try:
            number = float(value)
            if isnan(number) or (wanted is int and number != int(number)):
                raise _UnfitError(what)
            # Text of a whole number is read as it stands: a float would round a long seed.
            return number if wanted is float else _whole(value)
        except (TypeError, ValueError, OverflowError):
            raise _UnfitError(what) from None
    if isinstance(value, wanted) and wanted not in (int, float):
        return value
    if wanted is Path and isinstance(value, str):
        return Path(value)
    names = {str: "text", int: "a whole number", float: "a number"}
    raise _UnfitError(names.get(wanted, f"a {wanted.__name__}"))


def _whole(value: Any) -> int:
    try:
        return int(value)
    except ValueError:  # "1e3"
        return int(float(value))


def _coerce_enum(value: Any, wanted: type[Enum]) -> Enum:
    if isinstance(value, wanted):
        return value
    for member in wanted:
        if (
            value == member.value
            or str(value) == str(member.value)
            or str(value).lower() == member.name.lower()
        ):
            return member
    raise _UnfitError("one of " + ", ".join(member.name.lower() for member in wanted))
