"""What is installed under a name: planners, traffic, forecasters, data sets, metrics and suites.

Everything is found through the entry points of installed distributions, ours and other people's alike, and
loaded when asked for by name. Nothing is registered by importing it.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive._configure import configure, flatten
from drive._imports import import_target, is_file, one_line
from drive.errors import DriveError, InputError, UnknownNameError

if TYPE_CHECKING:
    from drive.forecast import Forecaster
    from drive.planner import Planner

__all__ = [
    "GROUPS",
    "Entry",
    "configuration",
    "configure",
    "entries",
    "entry",
    "load",
    "load_forecaster",
    "load_planner",
    "load_toml",
    "merge",
    "names",
    "parse_set",
]

# Each entry-point group, and what one of its members is called in a message.
GROUPS = {
    "drive.planners": "planner",
    "drive.traffic": "traffic model",
    "drive.forecasters": "forecaster",
    "drive.datasets": "data set",
    "drive.metrics": "metric",
    "drive.suites": "suite",
    "drive.recipes": "recipe",
    "drive.hosts": "planner host",
}

VARIED = ("drive.traffic", "drive.forecasters")

Settings = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered name: where its object lies, and which distribution brought it."""

    group: str
    name: str
    target: str
    distribution: str
    version: str


@cache
def entries(group: str) -> tuple[Entry, ...]:
    """Everything registered in `group`, sorted by name. Raises `UnknownNameError` for an unknown group."""
    if group not in GROUPS:
        raise UnknownNameError("registry group", group, GROUPS)
    found = [
        Entry(
            group,
            point.name,
            point.value,
            *((point.dist.name, point.dist.version) if point.dist else ("?", "?")),
        )
        for point in importlib.metadata.entry_points(group=group)
    ]
    return tuple(sorted(found, key=lambda item: (item.name, item.distribution)))


def names(group: str) -> tuple[str, ...]:
    """The names registered in `group`, sorted."""
    return tuple(dict.fromkeys(item.name for item in entries(group)))


def entry(group: str, name: str) -> Entry:
    """The entry of that name; of traffic and forecasters, what stands behind a colon is a variant
    (`rift:safe`).

    Raises `UnknownNameError`, with the nearest name, when nobody registered it, and `DriveError` when two
    distributions did: which one was meant would depend on the order of installation.
    """
    own = name.partition(":")[0] if group in VARIED else name
    found = [item for item in entries(group) if item.name == own]
    if not found:
        raise UnknownNameError(GROUPS[group], name, names(group))
    if len(found) > 1:
        owners = " and ".join(item.distribution for item in found)
        raise DriveError(f"{GROUPS[group]} '{name}' is registered by {owners}; uninstall one of them")
    return found[0]


def load(group: str, name: str) -> Any:
    """The object registered under that name; its module is imported now.

    Raises `UnknownNameError`, `MissingExtraError`, or `DriveError` naming the distribution that is broken.
    """
    item = entry(group, name)
    found = import_target(item.target, f"{GROUPS[group]} '{name}' of {item.distribution} {item.version}")
    variant = name[len(item.name) + 1 :]
    if callable(make := getattr(found, "variant", None)):
        return make(variant)
    if variant:
        raise InputError(f"{GROUPS[group]} '{item.name}' has no variants, so none is called '{variant}'")
    return found


def load_planner(name: str, overrides: Mapping[str, object] | None = None) -> Planner:
    """A planner, configured.

    `name` is a registered name, or `module:attribute`, or `path/to/file.py:attribute`, or the
    name of a host before what it makes a planner of (`exec:COMMAND`). What it names is a planner; or a class
    (or function) with an attribute `config_type`, a frozen dataclass, which is called with an instance of
    it; or a class that needs no argument.

    Raises `UnknownNameError` for a name or a setting that does not exist, `InputError` for a value that does
    not fit, `DriveError` for what cannot be loaded or is not a planner.
    """
    overrides = overrides or {}
    owner = f"planner '{name}'"
    host, _, place = name.partition(":")
    if ":" in name and host in names("drive.hosts"):
        if overrides:
            raise InputError(f"{owner} takes its settings as arguments of its command")
        hosted: Planner = load("drive.hosts", host)(place)
        return hosted
    if is_file(name) and name.endswith(".py"):
        raise InputError(f"'{name}' is a file: write which planner in it is meant, {name}:NAME")
    found = import_target(name, owner) if ":" in name else load("drive.planners", name)
    config_type = getattr(found, "config_type", None)
    if _is_planner(found) or config_type is None:
        if overrides:
            raise InputError(f"{owner} has no settings, so {', '.join(sorted(overrides))} cannot be set")
        made = found if _is_planner(found) else _make(found, owner)
    else:
        made = _make(found, owner, configure(config_type, overrides))
    if not _is_planner(made):
        raise DriveError(
            f"{owner} is not a planner: it is of type {type(made).__name__}, without 'spec' and 'start'"
        )
    planner: Planner = made
    return planner


def load_forecaster(name: str) -> Forecaster:
    """A forecaster by its registered name. Raises `UnknownNameError`, `DriveError` for what is none."""
    from drive.forecast import Forecaster

    made = load("drive.forecasters", name)
    found = made() if isinstance(made, type) else made
    if not isinstance(found, Forecaster):
        raise DriveError(f"forecaster '{name}' has no method forecast")
    return found


def configuration(planner: object) -> dict[str, object]:
    """The settings a planner was made with (its attribute `config`), for results and run logs."""
    config = getattr(planner, "config", None)
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}


def parse_set(settings: Iterable[str]) -> Settings:
    """`["cpto.branches=5", "cpto.cost.progress=2"]` as `{"cpto": {"branches": "5", "cost.progress": "2"}}`.

    The planner may be named by module or file as well: `my/planner.py:Mine.gain=2`. Of two values for one
    setting the later holds. Raises `InputError` for what is not of the form PLANNER.SETTING=VALUE.
    """
    parsed: Settings = {}
    for text in settings:
        key, equals, value = text.partition("=")
        place, colon, rest = key.strip().rpartition(":")
        planner, dot, field = rest.partition(".")
        if not (equals and dot and planner and field):
            raise InputError(
                f"'{text}' is not a setting: write PLANNER.SETTING=VALUE, for instance idm.headway=1.2"
            )
        parsed.setdefault(place + colon + planner, {})[field] = value.strip()
    return parsed


def load_toml(path: str | Path) -> Settings:
    """The settings in a TOML file that has one table for each planner, in the form of `parse_set`.

    Raises `InputError` when the file cannot be read, is not TOML, or has values outside a table.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not TOML: {' '.join(str(error).split())}") from error
    settings: Settings = {}
    for planner, table in document.items():
        if not isinstance(table, dict):
            raise InputError(f"'{path}': '{planner}' lies outside a table; write [PLANNER] above it")
        settings[planner] = flatten(table)
    return settings


def merge(*settings: Mapping[str, Mapping[str, object]]) -> Settings:
    """Settings of several sources as one; the later source wins."""
    merged: Settings = {}
    for source in settings:
        for planner, changes in source.items():
            merged.setdefault(planner, {}).update(changes)
    return merged


def _is_planner(thing: object) -> bool:
    return not isinstance(thing, type) and hasattr(thing, "spec") and callable(getattr(thing, "start", None))


def _make(found: Any, owner: str, *arguments: object) -> Any:
    """Call a class or factory; what it wants beyond `arguments` is an error that says so."""
    if not callable(found):
        raise DriveError(
            f"{owner} is not a planner: it is of type {type(found).__name__}, without 'spec' and 'start'"
        )
    try:
        inspect.signature(found).bind(*arguments)
    except TypeError as error:
        hint = "a class needs the attribute 'config_type', a function the decorator of drive.planner"
        raise DriveError(f"{owner} cannot be made ({error}); {hint}") from None
    except ValueError:  # no signature to be had; the call will tell
        pass
    try:
        return found(*arguments)
    except DriveError:
        raise
    except Exception as error:
        raise DriveError(f"{owner} cannot be made: {one_line(error)}") from error
