"""Which reader is responsible for a reference, and what a folder of files expands to.

A reference is an id of the generator (`gen/cut_in/17`), a family (`gen/cut_in`), a file, a folder, one
scenario of a file (`file#scenario`), or one with another ego (`file#scenario@track`). Readers are found
through the entry-point group `drive.datasets`; the first one that says yes is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from drive import registry
from drive.errors import DriveError, InputError
from drive.files import file_stem

if TYPE_CHECKING:
    from drive.scenario import Scenario

# A file that looks like a scenario and that nobody can read is reported; a README is not.
_DATA_SUFFIXES = (".xml", ".xosc", ".xodr", ".parquet", ".db", ".tfrecord", ".pb")


@runtime_checkable
class Source(Protocol):
    """A reader of scenarios. `matches` answers at once, from the name and at most the file's first bytes.

    A source may add `skipped(ref, ego) -> [(file, reason)]`: what of a file `ids` leaves out;
    `environment(ref)`, "road" or "terrain", which otherwise takes loading a scenario; and
    `write(scenarios: Sequence[Scenario], out: Path) -> list[Path]`, which writes scenarios of any origin into
    the folder `out`, or into the file `out` where its name ends as the source's files do, and returns what it
    wrote. It raises InputError for a scenario that the format cannot hold. A source that writes may say
    `written`, the ending of its files, by which `drive convert` finds it; and `separate = True` where each
    scenario makes files of its own, so that they may be handed over one at a time.
    """

    name: str

    def matches(self, ref: str) -> bool: ...

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """The references that `load` takes, of a file, folder or family; `ego` "planned" or "recorded"."""
        ...

    def load(self, ref: str) -> Scenario: ...


@dataclass(frozen=True, slots=True)
class Expansion:
    """References that can be loaded, and what had to be left out with the reason."""

    refs: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@cache
def _installed() -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """The readers that can be loaded, and one line about each of the others."""
    found: list[Source] = []
    broken: list[str] = []
    for name in registry.names("drive.datasets"):
        try:
            found.append(registry.load("drive.datasets", name))
        except DriveError as error:
            broken.append(str(error))
    return tuple(found), tuple(broken)


def sources() -> tuple[Source, ...]:
    """All registered readers that can be loaded; one that lacks an extra must not stop the others."""
    return _installed()[0]


def source_of(ref: str) -> Source:
    """The first reader that takes `ref`; raises `InputError` saying what is wrong with it."""
    try:
        for source in sources():
            if source.matches(ref):
                return source
    except (OSError, ValueError) as error:  # a name that is too long, or that no system takes
        why = getattr(error, "strerror", None) or error
        raise InputError(f"'{ref[:80]}' cannot be looked up: {why}") from None
    known = ", ".join(source.name for source in sources()) or "none"
    about = f"(known: {known})" + "".join(f"; {line}" for line in _installed()[1])
    if Path(ref.partition("#")[0]).exists():
        raise InputError(f"no reader takes '{ref}' {about}")
    raise InputError(f"there is no scenario '{ref}': no such file, and no reader takes it {about}")


def load(ref: str) -> Scenario:
    """The scenario that `ref` names; raises `InputError` or one of its kinds."""
    return source_of(ref).load(ref)


def expand(refs: Iterable[str], ego: str = "planned") -> list[str]:
    """References that can be loaded; what cannot be read raises. `expand_all` skips bad files in folders."""
    expansion = expand_all(refs, ego)
    if expansion.skipped:
        file, reason = expansion.skipped[0]
        raise InputError(f"'{file}' cannot be used: {reason}")
    return list(expansion.refs)


def expand_all(refs: Iterable[str], ego: str = "planned") -> Expansion:
    """Expand files, folders and families, each reference once and in the given order.

    A bad file in a folder is skipped and told; a bad file that was named itself raises `InputError`.
    """
    found: dict[str, None] = {}
    skipped: list[tuple[str, str]] = []
    for ref in refs:
        if Path(ref).is_dir():
            inside, bad = _expand_folder(Path(ref), ego)
            skipped += bad
        else:
            source = source_of(ref)
            inside = source.ids(ref, ego)
            skipped += _left_out(source, ref, ego)
            if not inside:
                raise InputError(f"'{ref}' holds no scenario with a {ego} ego")
        found |= dict.fromkeys(inside)
    return Expansion(tuple(found), tuple(skipped))


def split_ref(ref: str) -> tuple[str, str, str]:
    """(path, scene, track) of a reference `path#scene@track`; what is not named is empty."""
    path, _, rest = ref.partition("#")
    scene, _, track = rest.partition("@")
    return path, scene, track


def file_key(path: Path, limit: int | None = None) -> tuple[str, int, int]:
    """Path, time of change and size: a file that was written anew is read anew. Raises InputError for a
    file that is missing or larger than `limit` bytes.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    if limit is not None and stat.st_size > limit:
        raise InputError(f"{path.name}: {stat.st_size >> 20} MiB is more than the {limit >> 20} MiB read")
    return str(path), stat.st_mtime_ns, stat.st_size


def paths_of(scenarios: Sequence[Scenario], out: Path, suffix: str) -> list[tuple[Scenario, Path]]:
    """Which file each scenario is written to, where a file holds one. Raises InputError where `out` names a
    file and there are several, and where two have the same id."""
    if out.name.endswith(suffix):
        if len(scenarios) != 1:
            raise InputError(f"{out.name} holds one scenario, not {len(scenarios)}; name a folder")
        return [(scenarios[0], out)]
    named = [(scenario, out / f"{file_stem(scenario.id)}{suffix}") for scenario in scenarios]
    if len({path for _, path in named}) != len(named):
        raise InputError("two of the scenarios have the same id, and one file each cannot hold them")
    return named


def _expand_folder(folder: Path, ego: str) -> tuple[list[str], list[tuple[str, str]]]:
    found: list[str] = []
    skipped: list[tuple[str, str]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(file)
        source = next((s for s in sources() if s.matches(name)), None)
        if source is None:
            if file.suffix.lower() in _DATA_SUFFIXES:
                skipped.append((name, "no reader takes it"))
            continue
        try:
            inside = source.ids(name, ego)
        except DriveError as error:
            skipped.append((name, str(error).removeprefix(f"{file.name}: ")))
            continue
        skipped += _left_out(source, name, ego)
        if not inside:
            skipped.append((name, f"it holds no scenario with a {ego} ego"))
        found += inside
    if not found:
        # Some formats are whole folders; their reader knows.
        source = next((s for s in sources() if s.matches(str(folder))), None)
        found = source.ids(str(folder), ego) if source is not None else []
    if not found:
        reason = f": {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"the folder '{folder}' holds no scenario that can be read{reason}")
    return found, skipped


def _left_out(source: Source, ref: str, ego: str) -> list[tuple[str, str]]:
    tell = getattr(source, "skipped", None)
    if tell is None:
        return []
    return [(ref, str(reason).removeprefix(f"{Path(ref).name}: ")) for _, reason in tell(ref, ego)]
