"""What is fuzzed: each reader of the toolkit, and the ways in which its files are spoilt."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drive import registry
from drive.errors import InputError
from drive.eval.hardness import spoil as ways

LARGEST_SEED = 400_000
"""Bytes: what is larger costs more time than it finds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a spoilt file lies, among links to its neighbours, and what its reader is told."""

    path: Path
    ref: Path

    def write(self, data: bytes, number: int = 0) -> None:
        """Put the file there; each `number` has a time of change of its own, for caches that look at it."""
        self.path.write_bytes(data)
        os.utime(self.path, ns=(number * 1_000_000, number * 1_000_000))


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """A sound file: its name, bytes and folder, what is read where that is another file (relative to the
    folder), and how many folders above it belong to it."""

    name: str
    data: bytes
    folder: Path | None = None
    ref: str = ""
    levels: int = 1

    @classmethod
    def of(cls, path: Path, ref: str = "", levels: int = 1) -> Seed:
        return cls(path.name, path.read_bytes(), path.parent.resolve(), ref, levels)

    def place(self, folder: Path) -> Place:
        """A folder for the file, with links to all that lay beside it and beside the folders above it."""
        folder.mkdir()
        if self.folder is None:
            return Place(folder / self.name, folder / self.name)
        root = self.folder.parents[self.levels - 1]
        for name in self.folder.relative_to(root).parts:
            _link(root, folder, name)
            root, folder = root / name, folder / name
            folder.mkdir()
        _link(root, folder, self.name)
        return Place(folder / self.name, Path(os.path.normpath(folder / (self.ref or self.name))))


def _link(there: Path, here: Path, but: str) -> None:
    for beside in there.iterdir():
        if beside.name != but:
            (here / beside.name).symlink_to(beside)


@dataclass(frozen=True, slots=True)
class Target:
    """A reader: what it is fed, and the ways to spoil that."""

    name: str
    read: Callable[[Path], object]
    spoil: Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def _in(these: Sequence[ways.Spoiler]) -> Callable[[random.Random, bytes, Sequence[bytes]], bytes]:
    return lambda rng, data, others: ways.spoil(rng, data, these, others)


def scenario_of(name: str, path: Path) -> object:
    """What `drive inspect` and `drive bench` do with a file of that source: list, load, hash."""
    source = registry.load("drive.datasets", name)
    ref = str(path)
    if not source.matches(ref):
        raise InputError(f"no reader takes '{path.name}'")
    found = []
    for ego in ("planned", "recorded"):
        try:
            refs = source.ids(ref, ego)
            getattr(source, "skipped", lambda *_: [])(ref, ego)
        except InputError:
            if ego == "planned":
                raise
            continue  # many hold no recorded drive
        for one in refs[:1]:
            source.environment(one)
            found.append(source.load(one).content_hash)
    return found


def _records(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """TFRecords: the files themselves, or, with right checksums, what is in them."""
    from drive.datasets.waymo.records import CHECK, HEAD, masked_crc

    if rng.random() < 0.1:
        return ways.spoil(rng, data, ways.BYTES, others)
    (length,) = struct.unpack_from("<Q", data)
    inside = ways.spoil(rng, data[HEAD.size : HEAD.size + length], ways.BYTES)
    head = struct.pack("<Q", len(inside))
    return HEAD.pack(len(inside), masked_crc(head)) + inside + CHECK.pack(masked_crc(inside))


def _zip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A zip of arrays: now and then its bytes, mostly what is in it."""
    return ways.spoil(rng, data, ways.BYTES if rng.random() < 0.15 else (ways.arrays,))


def _scene(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A scene of ours, mostly with the hash that belongs to what is in it now."""
    from drive.roadmap import hash_arrays

    out = _zip(rng, data, others)
    try:
        with zipfile.ZipFile(io.BytesIO(out)) as archive:
            held = ways.held(out)
            names = archive.namelist()
    except zipfile.BadZipFile:
        return out
    if not held or "hash" not in held or len(names) != len(held) or rng.random() < 0.05:
        return out
    del held["hash"]
    return ways.packed({**held, "hash": np.frombuffer(hash_arrays(held).encode(), dtype=np.uint8)})


def _tensors(path: Path) -> object:
    from drive.nn.tensors import read_tensors

    return read_tensors(path)


def _card(path: Path) -> object:
    from drive.nn.weights import read_card

    return read_card(path.with_suffix(".safetensors"))


def _run_log(path: Path) -> object:
    from drive.runlog import RunLog

    return RunLog.load(path)


def _vocabulary(path: Path) -> object:
    from drive.nn.vocabulary import Vocabulary

    return Vocabulary.load(path)


def _training(path: Path) -> object:
    from drive.nn.store import TrainingSet

    found = TrainingSet.open(path.parent)
    found.keys  # noqa: B018 - read from the header
    return found.take([0, -1]) if len(found) else found


def _journal(path: Path) -> object:
    from drive.eval.bench.journal import read

    return read(path.parent, {"seed": 0})


def _results(path: Path) -> object:
    from drive.eval.bench.results import Results, compare_folders

    results = Results.load(path.parent)
    return repr(results), compare_folders([path.parent, path.parent]), results.values(results.planners[0])


def _suite(path: Path) -> object:
    from drive.eval.bench.suites import load_suite

    return load_suite(path)


def _book(path: Path) -> object:
    from drive.stl.book import load_book

    return load_book(path).digest


def _settings(path: Path) -> object:
    return registry.load_toml(path)


def _formula(path: Path) -> object:
    from drive.stl.grammar import parse

    return str(parse(path.read_text(encoding="utf-8", errors="surrogateescape")))


def _filter(path: Path) -> object:
    from drive.eval.bench.harness import FILTER_NAMES
    from drive.eval.bench.select import parse_filter

    row = {"id": "a", "family": "cut_in", "tags": ["x"], "duration": 8.0, "agents": 3, "format": "gen"}
    return parse_filter(path.read_text(encoding="utf-8", errors="surrogateescape"), FILTER_NAMES)(row)


def _reference(path: Path) -> object:
    from drive.datasets.source import source_of

    ref = path.read_text(encoding="utf-8", errors="surrogateescape")
    return len(source_of(ref).ids(ref))


def _message(path: Path) -> object:
    """A message of a planner's own program, and the plan in it."""
    host = sys.modules[registry.load("drive.hosts", "exec").__module__]
    data = path.read_bytes()
    length = int.from_bytes(data[:4], "little")
    try:
        told = host.wire.unpack(data[8 : 8 + length], data[8 + length :])
    except host.wire.ProtocolError as error:
        raise InputError(" ".join(str(error).split())[:300]) from None
    if "spec" in told:
        host._spec_of(told, "program")
    return host.plan_of(told.get("plan"), _observation(), 0.1)


def _observation() -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(time=0.0, ego=np.array([0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]))


def _requests(path: Path) -> object:
    """What comes in at the calling port of the light CARLA server."""
    from drive.sim.carla.wire.messages import CHUNK, Reader

    reader, found = Reader(), []
    data = path.read_bytes()
    for begin in range(0, len(data), CHUNK):
        reader.feed(data[begin : begin + CHUNK])
        while (request := reader.next()) is not None:
            found.append(request)
    return found


def targets() -> dict[str, Target]:
    """All of them by name; the readers of scenarios, those of plug-ins as well, are `scenes:NAME`."""
    text: dict[str, Callable[[random.Random, bytes, Sequence[bytes]], bytes]] = {
        "argoverse2": _in(ways.BYTES),
        "dem": lambda rng, data, others: (_zip if data[:2] == b"PK" else _in(ways.BYTES))(rng, data, others),
        "native": _scene,
        "nuplan": _in(ways.BYTES),
        "waymo": _records,
    }
    scenes = [
        Target(f"scenes:{name}", partial(scenario_of, name), text.get(name, _in(ways.XML)))
        for name in registry.names("drive.datasets")
        if name != "gen"
    ]
    others = [
        Target("argoverse2 map", partial(scenario_of, "argoverse2"), _in(ways.JSON)),
        Target("run log", _run_log, _zip),
        Target("weights", _tensors, _in((*ways.BYTES, ways.json_value, ways.number, ways.word))),
        Target("card", _card, _in(ways.JSON)),
        Target("vocabulary", _vocabulary, _zip),
        Target("training set", _training, _in(ways.JSON)),
        Target("training array", _training, _in(ways.BYTES)),
        Target("journal", _journal, _in(ways.JSON)),
        Target("results", _results, _in(ways.JSON)),
        Target("suite", _suite, _in((*ways.TEXT, ways.word))),
        Target("rule book", _book, _in((*ways.TEXT, ways.word))),
        Target("settings", _settings, _in((*ways.TEXT, ways.word))),
        Target("formula", _formula, _in(ways.TEXT)),
        Target("filter", _filter, _in(ways.TEXT)),
        Target("reference", _reference, _in(ways.TEXT)),
        Target("planner message", _message, _in((*ways.BYTES, ways.json_value, ways.number, ways.word))),
        Target("CARLA request", _requests, _in(ways.BYTES)),
    ]
    return {target.name: target for target in (*scenes, *others)}


def seeds_in(paths: Iterable[Path]) -> dict[str, list[Seed]]:
    """The files of the readers of scenarios, by target; a folder stands for all files below it."""
    from drive.datasets.source import sources

    found: dict[str, list[Seed]] = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        if not files:
            raise InputError(f"'{path}' holds no file")
        for file in files:
            if file.stat().st_size > LARGEST_SEED:
                continue
            if file.name.startswith("log_map_archive"):
                for table in file.parent.glob("*.parquet"):
                    found.setdefault("argoverse2 map", []).append(Seed.of(file, table.name))
                continue
            source = next((s for s in sources() if s.matches(str(file))), None)
            if source is not None:
                found.setdefault(f"scenes:{source.name}", []).append(Seed.of(file))
    return found
