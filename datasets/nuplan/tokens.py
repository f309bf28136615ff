"""Lists of scenarios, as the field passes them round: Val14, Test14 and their like.

Three kinds of text file: the devkit's scenario filters (YAML with `scenario_tokens`, `scenario_types`,
`log_names` and so on), JSON of the same or of a plain list, and one token a line, alone or behind the name of
its log.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drive.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 64_000_000
TOKEN = re.compile(r"[0-9a-f]{16}")
JSON_LIST = re.compile(r'\s*\[\s*(\[\s*"[^"]*"\s*,\s*)?"[0-9a-f]{16}"')
"""How a plain list of tokens, or of pairs of log and token, begins."""
KEYS = (
    *("scenario_types", "scenario_tokens", "log_names", "map_names", "num_scenarios_per_type"),
    *("limit_total_scenarios", "timestamp_threshold_s", "remove_invalid_goals"),
)
"""What of the devkit's filter is followed."""
IGNORED = frozenset(("_target_", "_convert_", "expand_scenarios", "shuffle", "defaults"))


@dataclass(frozen=True, slots=True)
class ScenarioFilter:
    """Which scenarios of a set of logs are wanted; None where all are.

    `tokens` maps a token to its log's name ("" where the list does not say). `per_type` is the most of each
    type, taken at equal distances; `limit` the most in all, a float up to 1.0 a share of them; `threshold`
    the seconds between two of one type.
    """

    types: frozenset[str] | None = None
    tokens: dict[str, str] | None = None
    logs: frozenset[str] | None = None
    maps: frozenset[str] | None = None
    per_type: int | None = None
    limit: float | None = None
    threshold: float | None = None
    goals_only: bool = False
    unused: tuple[str, ...] = ()


def is_list(path: Path) -> bool:
    """Whether a file looks like a list of scenarios, by its name and its first bytes."""
    if path.suffix.lower() not in (".yaml", ".yml", ".json", ".txt") or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096).decode("utf-8", "replace")
    if any(f"{key}:" in head or f'"{key}"' in head for key in KEYS[:3]):
        return True
    if path.suffix.lower() == ".json":
        return JSON_LIST.match(head) is not None
    first = next((s for line in head.splitlines() if (s := line.strip()) and not s.startswith("#")), "")
    words = re.split(r"[\s,;]+", first)
    return path.suffix.lower() == ".txt" and len(words) <= 2 and bool(TOKEN.fullmatch(words[-1]))


def read_filter(path: Path) -> ScenarioFilter:
    """Read a list. Raises InputError naming the file and the line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name}: a list of scenarios of more than {MAX_BYTES // 1_000_000} MB")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read as text ({error})") from None
    if path.suffix.lower() == ".txt":
        return ScenarioFilter(tokens=_lines(text, path.name))
    if path.suffix.lower() == ".json":
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path.name}: it is no JSON ({error})") from None
        value = {"scenario_tokens": value} if isinstance(value, list) else value
    else:
        value = _yaml(text, path.name)
    if not isinstance(value, dict):
        raise InputError(f"{path.name}: it is no filter of scenarios")
    return _filter(value, path.name)


def _lines(text: str, name: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(
            r"[\s,;]+", line.partition("#")[0].strip().strip(",").replace('"', "").replace("'", "")
        )
        if words == [""]:
            continue
        if not TOKEN.fullmatch(words[-1]) or len(words) > 2:
            raise InputError(f"{name}: line {number}: '{line.strip()[:40]}' is no token of 16 hex digits")
        out[words[-1]] = words[0] if len(words) == 2 else ""
    return out


def _filter(value: dict[str, Any], name: str) -> ScenarioFilter:
    def names(key: str) -> frozenset[str] | None:
        given = value.get(key)
        if given is None:
            return None
        if not isinstance(given, list) or not all(isinstance(v, str) for v in given):
            raise InputError(f"{name}: '{key}' is no list of names")
        return frozenset(given)

    def number(key: str) -> float | None:
        given = value.get(key)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
            raise InputError(f"{name}: '{key}' is '{given}', not a positive number")
        return given

    tokens = None
    if value.get("scenario_tokens") is not None:
        given = value["scenario_tokens"]
        tokens = {}
        for item in given if isinstance(given, list) else [given]:
            pair = [item] if isinstance(item, str) else item
            if not isinstance(pair, list) or not 1 <= len(pair) <= 2 or not TOKEN.fullmatch(str(pair[-1])):
                raise InputError(
                    f"{name}: '{str(item)[:40]}' in 'scenario_tokens' is no token of 16 hex digits"
                )
            tokens[str(pair[-1])] = str(pair[0]).removesuffix(".db") if len(pair) == 2 else ""
    per_type = number("num_scenarios_per_type")
    if per_type is not None and per_type < 1:
        raise InputError(f"{name}: 'num_scenarios_per_type' is '{per_type}', less than one")
    unused = [k for k, v in value.items() if k not in KEYS and k not in IGNORED and v not in (None, False)]
    return ScenarioFilter(
        names("scenario_types"),
        tokens,
        names("log_names"),
        names("map_names"),
        None if per_type is None else int(per_type),
        number("limit_total_scenarios"),
        number("timestamp_threshold_s"),
        value.get("remove_invalid_goals") is True,
        tuple(sorted(unused)),
    )


def _yaml(text: str, name: str) -> dict[str, Any]:
    """The part of YAML that filters are written in: keys with scalars, lists in brackets or one item a line,
    and lists of two in such lists."""
    out: dict[str, Any] = {}
    key = ""
    open_list: list[Any] | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _without_comment(raw)
        if not line.strip() or line.strip() == "---":
            continue
        try:
            stripped = line.strip()
            if stripped.startswith("- "):
                if not key:
                    raise ValueError("an item outside a list")
                items = out[key] if isinstance(out[key], list) else []
                out[key] = items
                item = stripped[2:].strip()
                if item.startswith("- "):
                    open_list = [_scalar(item[2:])]
                    items.append(open_list)
                elif open_list is not None and len(line) - len(line.lstrip()) > 2 and len(open_list) == 1:
                    open_list.append(_scalar(item))
                else:
                    open_list = None
                    items.append(_value(item))
                continue
            found = re.fullmatch(r"([A-Za-z_][\w.]*)\s*:(?:\s+(.*))?", stripped)
            if found is None or line[0].isspace():
                raise ValueError("neither a key nor an item of a list")
            key, open_list = found.group(1), None
            out[key] = _value(found.group(2) or "null")
        except ValueError as error:
            raise InputError(f"{name}: line {number}: '{raw.strip()[:40]}' ({error})") from None
    return out


def _without_comment(line: str) -> str:
    quote = ""
    for k, c in enumerate(line):
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c == "#" and (k == 0 or line[k - 1].isspace()):
            return line[:k]
    return line


def _value(text: str) -> Any:
    text = text.strip()
    if not text.startswith("["):
        return _scalar(text)
    if not text.endswith("]"):
        raise ValueError("a list in brackets that does not end on its line")
    inner = text[1:-1].strip()
    parts = re.findall(r"\[[^\[\]]*\]|\"[^\"]*\"|'[^']*'|[^,\[\]]+", inner)
    return [_value(part) for part in parts if part.strip()]


def _scalar(text: str) -> Any:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in ("null", "~", "Null", "NULL", ""):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    # A token of digits alone, or with one e, is a name and not a number.
    if TOKEN.fullmatch(text):
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
