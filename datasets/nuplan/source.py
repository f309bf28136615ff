"""nuPlan logs, folders of them and lists of scenarios as a source.

References: `log.db` (its tagged frames), `log.db#TOKEN` (any frame, by its 16 hex digits),
`log.db#TOKEN@TRACK` (a recorded vehicle as the ego), a folder, and a list of scenarios (`val14.yaml`,
`tokens.txt`), whose logs are below `NUPLAN_DATA_ROOT` or below the list's own folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.nuplan.logdb import Tagged, open_log
from drive.datasets.nuplan.mapping import UNKNOWN_TYPE
from drive.datasets.nuplan.maps import map_file
from drive.datasets.nuplan.rows import DT, SHORTEST, read_rows
from drive.datasets.nuplan.scenario import read_scenario
from drive.datasets.nuplan.tokens import ScenarioFilter, is_list, read_filter
from drive.datasets.nuplan.tracks import recordable
from drive.datasets.nuplan.write import write_nuplan
from drive.errors import InputError, ScenarioError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drive.scenario import Scenario


LEAST = DT - 1e-6
"""Seconds of log that a scenario needs."""


@dataclass(frozen=True, slots=True)
class NuplanSource:
    """The source "nuplan"; `egos` is the number of recorded vehicles that a scenario offers as egos."""

    name: str = "nuplan"
    egos: int = 3

    def matches(self, ref: str) -> bool:
        path = Path(ref.partition("#")[0])
        if path.is_dir():
            return "#" not in ref and next(path.rglob("*.db"), None) is not None
        return path.is_file() and (path.suffix == ".db" or ("#" not in ref and is_list(path)))

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """References to the scenarios of a log, a folder or a list.

        `ego` "planned" gives the logging vehicle, "recorded" the vehicles that drive farthest. Raises
        InputError for what cannot be used at all; what a list or folder leaves out is in `skipped`.
        """
        refs, faults = self._look(ref, ego)
        if not refs:
            raise ScenarioError(f"{faults[0][0]}: {faults[0][1]}" if faults else f"'{ref}' holds no scenario")
        return refs

    def skipped(self, ref: str, ego: str = "planned") -> list[tuple[str, str]]:
        """(file, reason) of everything that `ids` leaves out."""
        return [] if "#" in ref else self._look(ref, ego)[1]

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """Load one scenario; of a log alone, its first. Raises InputError, MapError or ScenarioError."""
        where, _, rest = ref.partition("#")
        token, at, track = rest.partition("@")
        path = Path(where)
        if is_list(path):
            return self.load(self.ids(ref)[0])
        if not token:
            found = _tagged(*_key(path))
            if not found:
                raise ScenarioError(f"{path.name}: no tagged frame; name one ({path.name}#TOKEN)")
            token = found[0].token
        return read_scenario(path, token, track if at else None)

    def write(self, scenarios: Sequence[Scenario], out: Path) -> list[Path]:
        """Write scenarios as logs and a map folder that nuPlan's devkit opens; returns the logs."""
        return [written.log for written in write_nuplan(scenarios, out)]

    def _look(self, ref: str, ego: str) -> tuple[list[str], list[tuple[str, str]]]:
        if ego not in ("planned", "recorded"):
            raise UnknownNameError("choice of ego", ego, ("planned", "recorded"))
        if "#" in ref:
            return [ref], []
        path = Path(ref)
        if path.is_dir():
            return self._expanded(path, sorted(path.rglob("*.db")), ScenarioFilter(), ego)
        if path.suffix == ".db":
            return self._expanded(path.parent, [path], ScenarioFilter(), ego)
        wanted = read_filter(path)
        root = Path(os.environ.get("NUPLAN_DATA_ROOT") or path.parent)
        logs = sorted(root.rglob("*.db"))
        if not logs:
            raise InputError(
                f"{path.name}: there are no logs below '{root}'; set NUPLAN_DATA_ROOT to the data"
            )
        refs, faults = self._expanded(root, logs, wanted, ego)
        faults += [(path.name, f"the filter's '{key}' is not followed") for key in wanted.unused]
        return refs, faults

    def _expanded(
        self, root: Path, logs: list[Path], wanted: ScenarioFilter, ego: str
    ) -> tuple[list[str], list[tuple[str, str]]]:
        """Scenarios of some logs that a filter lets through, and what had to be left out."""
        faults: list[tuple[str, str]] = []
        found: list[tuple[Path, Tagged]] = []
        missing = dict(wanted.tokens or {})
        named = {log for log in (wanted.tokens or {}).values() if log}
        for log in logs:
            if wanted.logs is not None and log.stem not in wanted.logs:
                continue
            if named and len(named) == len(set((wanted.tokens or {}).values())) and log.stem not in named:
                continue
            name = str(log.relative_to(root))
            try:
                inside = _wanted_of(log, wanted, missing)
                if not inside:
                    if wanted == ScenarioFilter():
                        faults.append((name, "no tagged frame in it; single frames can be named, #TOKEN"))
                    continue
                map_file(log, inside[0].map)
            except InputError as error:
                faults.append((name, str(error).removeprefix(f"{log.name}: ")))
                continue
            for one in inside:
                missing.pop(one.token, None)
            found += [(log, one) for one in inside if one.seconds >= LEAST]
            short = sum(one.seconds < LEAST for one in inside)
            if short:
                faults.append((name, f"{short} tagged frames at its end have no {DT} s of log behind them"))
        faults += [(where or "?", f"the frame '{token}' is in no log") for token, where in missing.items()]
        found = _limited(found, wanted)
        if ego == "planned":
            return [f"{log}#{one.token}" for log, one in found], faults
        refs = []
        for log, one in found:
            try:
                inside2 = recordable(read_rows(log, one.token), self.egos)
            except InputError as error:
                faults.append((log.name, str(error).removeprefix(f"{log.name}: ")))
                continue
            refs += [f"{log}#{one.token}@{track}" for track in inside2]
            if not inside2:
                faults.append((log.name, f"'{one.token}' holds no vehicle that drives for {SHORTEST:.0f} s"))
        return refs, faults


def _wanted_of(log: Path, wanted: ScenarioFilter, missing: dict[str, str]) -> list[Tagged]:
    """The tagged frames of a log that a filter wants; of a list of tokens, untagged ones as well."""
    inside = list(_tagged(*_key(log), wanted.types))
    if wanted.tokens is not None:
        known = {one.token for one in inside}
        inside = [one for one in inside if one.token in wanted.tokens]
        others = [t for t, where in missing.items() if t not in known and where in ("", log.stem)]
        with open_log(log) as opened:
            inside += [opened.frame(token)[0] for token in sorted(opened.holds(others))]
    if wanted.types is not None:
        inside = [one for one in inside if one.type in wanted.types]
    if wanted.maps is not None:
        inside = [one for one in inside if one.map in wanted.maps]
    if wanted.goals_only and inside:
        with open_log(log) as opened:
            inside = [one for one in inside if opened.frame(one.token)[3] is not None]
    return inside


def _limited(found: list[tuple[Path, Tagged]], wanted: ScenarioFilter) -> list[tuple[Path, Tagged]]:
    """What the devkit's filters leave, in their order: so many of a type, so many in all, apart in time."""
    if wanted.per_type is not None:
        found = [item for row in _by_type(found).values() for item in _spread(row, wanted.per_type)]
    if wanted.limit is not None:
        share = isinstance(wanted.limit, float) and wanted.limit <= 1.0
        count = ceil(wanted.limit * len(found)) if share else ceil(wanted.limit)
        if count < len(found):
            plain = [item for item in found if item[1].type == UNKNOWN_TYPE]
            tagged = sorted((i for i in found if i[1].type != UNKNOWN_TYPE), key=lambda i: i[1].token)
            # Frames without a tag go first.
            more = count - len(tagged)
            found = tagged + _spread(plain, more) if more > 0 else _spread(tagged, count)
    if wanted.threshold is not None:
        kept: list[tuple[Path, Tagged]] = []
        for row in _by_type(found).values():
            last: int | None = None
            for item in sorted(row, key=lambda item: item[1].time_us):
                if last is None or item[1].time_us - last >= wanted.threshold * 1e6:
                    kept.append(item)
                    last = item[1].time_us
        found = kept
    return found


def _by_type(found: list[tuple[Path, Tagged]]) -> dict[str, list[tuple[Path, Tagged]]]:
    out: dict[str, list[tuple[Path, Tagged]]] = {}
    for item in found:
        out.setdefault(item[1].type, []).append(item)
    return out


def _spread(row: list[tuple[Path, Tagged]], count: int) -> list[tuple[Path, Tagged]]:
    """At most `count` items at equal distances."""
    step = max(len(row) // count, 1)
    return row[::step][:count]


def _key(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    return str(path), stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=256)
def _tagged(path: str, changed: int, size: int, types: frozenset[str] | None = None) -> tuple[Tagged, ...]:
    with open_log(Path(path)) as log:
        return tuple(log.tagged(types))


SOURCE = NuplanSource()
