"""Suites: TOML files that name scenarios of the generator by family and seed, files, or both.

description = "One line for `drive list suites`."
families = ["cut_in", "dense_merge"]
seeds = "100:110"                    # half open; or a list of numbers
scenarios = ["recorded/one.xml"]     # relative to this file
ego = "planned"                      # or "recorded"
traffic = "log"                      # these three hold unless the benchmark is asked for others
visibility = "line_of_sight:80"
detection = "position=1.0/0.5"
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drive import registry
from drive.errors import InputError, UnknownNameError

_DEFAULTS = ("traffic", "visibility", "detection")
_KEYS = ("description", "families", "seeds", "scenarios", "ego", *_DEFAULTS)
EGOS = ("planned", "recorded")
SEED = re.compile(r"[0-9]{1,9}")
MOST = 100_000
"""Seeds of a suite, each with every family."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What to expand into scenarios: `refs` as `drive.datasets.source.expand` takes them.

    `traffic`, `visibility` and `detection` are those that its scenes are meant for, None the usual ones.
    """

    id: str
    refs: tuple[str, ...]
    ego: str = "planned"
    description: str = ""
    families: tuple[str, ...] = field(default=())
    traffic: str | None = None
    visibility: str | None = None
    detection: str | None = None


def suite_names() -> tuple[str, ...]:
    """The names of the suites that come with the toolkit and of those that plug-ins register."""
    folder = importlib.resources.files("drive.eval") / "suites"
    own = [file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")]
    return tuple(sorted({*own, *registry.names("drive.suites")}))


def load_suite(name: str | Path) -> Suite:
    """The suite of that name, or in the TOML file of that path.

    A plug-in registers a path of a TOML file under the entry-point group `drive.suites`.

    Raises `UnknownNameError` with the nearest name, and `InputError` for a file that is no suite.
    """
    text = str(name)
    if text.endswith(".toml"):
        return _read_file(Path(text))
    folder = importlib.resources.files("drive.eval") / "suites"
    own = folder / f"{text}.toml"
    if text.replace("_", "").replace("-", "").isalnum() and own.is_file():
        return parse_suite(text, own.read_text(encoding="utf-8"), None)
    if text in registry.names("drive.suites"):
        found = registry.load("drive.suites", text)
        if isinstance(found, str | Path):
            return _read_file(Path(found), text)
        raise InputError(f"suite '{text}' must be registered as the path of a TOML file")
    raise UnknownNameError("suite", text, suite_names())


def parse_suite(name: str, text: str, folder: Path | None) -> Suite:
    """A suite out of the text of a TOML file that lies in `folder`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"suite '{name}' is not TOML: {error}") from None
    for key in table:
        if key not in _KEYS:
            raise UnknownNameError(f"key in suite '{name}'", key, _KEYS)
    families = _texts(name, table, "families")
    files = _texts(name, table, "scenarios")
    seeds = _seeds(name, table.get("seeds", []))
    if bool(families) != bool(seeds):
        raise InputError(f"suite '{name}' needs both families and seeds, or neither")
    ego = table.get("ego", "planned")
    if ego not in EGOS:
        raise UnknownNameError(f"ego of suite '{name}'", str(ego), EGOS)
    refs = [f"gen/{family}/{seed}" for family in families for seed in seeds]
    refs += [str(folder / file) if folder is not None else file for file in files]
    if not refs:
        raise InputError(f"suite '{name}' names no scenarios")
    defaults = [table.get(key) for key in _DEFAULTS]
    for key, value in zip(_DEFAULTS, defaults, strict=True):
        if value is not None and not isinstance(value, str):
            raise InputError(f"suite '{name}': {key} must be a text")
    about = str(table.get("description", ""))
    return Suite(name, tuple(refs), ego, about, tuple(families), *defaults)


def suite_hash(scenarios: Iterable[tuple[str, str]]) -> str:
    """Digest over the ids and content hashes of a suite's scenarios, in any order."""
    text = json.dumps(sorted(scenarios))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _read_file(path: Path, name: str | None = None) -> Suite:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"suite '{path}' cannot be read: {reason}") from None
    return parse_suite(name or path.stem, text, path.parent)


def _texts(name: str, table: Mapping[str, Any], key: str) -> list[str]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"suite '{name}': {key} must be a list of texts")
    return values


def _seeds(name: str, value: object) -> list[int]:
    if isinstance(value, str):
        low, colon, high = value.partition(":")
        if colon and SEED.fullmatch(low.strip()) and SEED.fullmatch(high.strip()):
            first, last = int(low), int(high)
            if first < last <= first + MOST:
                return list(range(first, last))
    elif isinstance(value, list) and all(isinstance(seed, int) and seed >= 0 for seed in value):
        return value
    raise InputError(
        f"suite '{name}': seeds must be \"FIRST:LAST\" (half open, at most {MOST}) or a list of whole numbers"
    )
