"""The planners of a benchmark: from what the user named to what a worker process can make again."""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.errors import DriveError, InputError, MissingExtraError, MissingWeightsError, UnknownNameError
from drive.eval.bench.environment import ROAD, fits
from drive.planner import FunctionPlanner

if TYPE_CHECKING:
    from drive.planner import Planner


@dataclass(frozen=True, slots=True)
class Entry:
    """One planner: made by `name` and `overrides`, or the object itself.

    `label` is its name in the results; `config` is plain data, `defaults` what it holds where nothing was
    set (None where that is not known); `code` a digest of the file it comes from, or of its weights (a
    planner's `digest`), so that a resumed benchmark notices a change; `batch` how many sessions it likes to
    be asked about at once, 0 where it has no `plan_batch`.
    """

    label: str
    name: str | None
    overrides: dict[str, object]
    config: dict[str, Any]
    privileged: bool
    code: str = ""
    planner: Any = None
    defaults: dict[str, Any] | None = None
    batch: int = 0

    def make(self) -> Planner:
        """The planner, made anew where it has a name."""
        if self.name is None:
            given: Planner = self.planner
            return given
        return registry.load_planner(self.name, self.overrides)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for results to be comparable."""
        found: dict[str, Any] = {"name": self.label, "config": self.config}
        return {**found, "code": self.code} if self.code else found


def entries_of(
    planners: Iterable[str | Planner], settings: Mapping[str, Mapping[str, object]]
) -> tuple[Entry, ...]:
    """Entries in the given order; raises for unknown names, bad settings and settings that nobody takes."""
    found: list[Entry] = []
    taken: set[str] = set()
    names: set[str] = set()
    for item in planners:
        if isinstance(item, str):
            if item in names:
                continue
            names.add(item)
            overrides = dict(settings.get(item, {}))
            made = registry.load_planner(item, overrides)
            label = made.spec.name if ":" in item else item
            entry = Entry(
                label="",
                name=item,
                overrides=overrides,
                config=plain(registry.configuration(made)),
                privileged=made.spec.privileged,
                code=code_of(item) or str(getattr(made, "digest", "")),
                defaults=defaults_of(made),
                batch=batch_of(made),
            )
        else:
            if not (hasattr(item, "spec") and callable(getattr(item, "start", None))):
                raise InputError(f"a {type(item).__name__} is no planner: it lacks 'spec' and 'start'")
            label = item.spec.name
            config = plain(registry.configuration(item))
            entry = Entry(
                "",
                None,
                {},
                config,
                item.spec.privileged,
                code=str(getattr(item, "digest", "")),
                planner=item,
                defaults=defaults_of(item),
                batch=batch_of(item),
            )
        number, base = 2, label
        while label in taken:
            label, number = f"{base}-{number}", number + 1
        taken.add(label)
        found.append(replace(entry, label=label))
    for name in settings:
        if name not in names:
            raise UnknownNameError("planner in --set", name, names)
    return tuple(found)


def batch_of(planner: object) -> int:
    """How many sessions a planner likes to be asked about at once: what its `batch` says, or 1.

    0 where it has no `plan_batch`.
    """
    if not callable(getattr(planner, "plan_batch", None)):
        return 0
    wished = getattr(planner, "batch", 1)
    return wished if isinstance(wished, int) and wished > 0 else 1


def defaults_of(planner: object) -> dict[str, Any] | None:
    """The settings of a planner of this kind where nothing was set; None where they have no defaults."""
    config = getattr(planner, "config", None)
    if not is_dataclass(config) or isinstance(config, type):
        return None
    try:
        found: dict[str, Any] = plain(asdict(type(config)()))
    except Exception:  # a setting without a default, or a check in somebody's own class
        return None
    return found


def runnable_planners(environment: str = ROAD) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the installed planners that can drive in that environment, and a line about each other one."""
    names: list[str] = []
    notes: list[str] = []
    for name in registry.names("drive.planners"):
        try:
            spec = registry.load_planner(name).spec
        except (MissingExtraError, MissingWeightsError) as error:
            notes.append(f"{name} is left out: {error}")
            continue
        if not fits(spec, environment):
            notes.append(f"{name} is left out: it drives on {'terrain' if environment == ROAD else 'roads'}")
        else:
            names.append(name)
    if not names:
        raise DriveError("no planner is installed that can run; see drive list planners")
    return tuple(names), tuple(notes)


def pickled(entries: tuple[Entry, ...]) -> bytes | None:
    """The entries for another process, or None where a planner cannot go there."""
    if not all(_can_be_imported(entry.planner) for entry in entries if entry.planner is not None):
        return None
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(entries)
    except Exception:  # whatever a planner's own reducers raise: it cannot go
        return None
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    """Takes planners made by the decorator along: their function's name leads to the planner, not to it."""

    def reducer_override(self, value: Any) -> Any:
        function = getattr(value, "function", None)
        if isinstance(value, FunctionPlanner) and function is not None:
            place, name = function.__module__, function.__qualname__
            if getattr(sys.modules.get(place), name, None) is value:
                return _attribute, (place, name)
        return NotImplemented


def _attribute(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclass tables, lists, text, finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value if value is None or isinstance(value, str | bool | int) else repr(value)


def code_of(name: str) -> str:
    """A digest of the file that FILE.py:NAME names; empty for registered names."""
    place, colon, _ = name.rpartition(":")
    if not (colon and place.endswith(".py")):
        return ""
    return hashlib.blake2b(Path(place).read_bytes(), digest_size=8).hexdigest()


def _can_be_imported(planner: object) -> bool:
    """Whether another process finds the planner's class: not that of a notebook or of a loose file."""
    module = type(planner).__module__
    if module == "__main__":
        return hasattr(sys.modules["__main__"], "__file__")
    return any(finder.find_spec(module.partition(".")[0], None) is not None for finder in sys.meta_path)
