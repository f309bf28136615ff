"""Feeds spoilt files to a reader, in a process of its own, and says how each ended.

An input is fixed by the target, the seed and its number. A reader may take it or refuse it: with one of
`drive.errors` in one line. Anything else is a finding: another exception, a warning, a message of several
lines, more than LIMIT_S seconds of processor time, more memory than LIMIT_MIB, or the end of the process.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import mmap
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from drive._imports import one_line
from drive.cache import cache_folder
from drive.errors import LONGEST, DriveError
from drive.eval.hardness.targets import Place, Seed, Target

LIMIT_S = 5.0
LIMIT_MIB = 1024
SILENT_S = 120.0
"""Wall time after which a process that does not even answer its alarm is killed."""
ENDS = ("read", "refused", "fault", "hang", "memory", "crash")
_CELLS = struct.Struct(f"<{1 + len(ENDS)}q")
"""The input that is being read, and how many ended how: shared with the process that reads."""


class _TooLongError(BaseException):
    """Raised by the alarm; no reader catches it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that ended in none of the two ways in which it may: where it lies, and what was said."""

    target: str
    number: int
    kind: str
    where: str
    text: str
    data: bytes


@dataclass(slots=True)
class Tally:
    """How the inputs of a target ended, and one finding for each place in the code."""

    target: str
    seeds: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    seconds: float = 0.0
    grown: float = 0.0

    @property
    def inputs(self) -> int:
        return sum(self.ends.values())

    @property
    def bad(self) -> int:
        """Inputs that ended neither read nor refused."""
        return self.inputs - self.ends["read"] - self.ends["refused"]

    def row(self) -> str:
        """One line of a table in Markdown."""
        counts = " | ".join(str(self.ends[end]) for end in ENDS)
        begin, end = f"{self.target} | {self.seeds} | {self.inputs}", f"{self.grown:.0f} | {self.seconds:.0f}"
        return f"| {begin} | {counts} | {end} |"


HEAD = (
    "| reader | seeds | inputs | "
    + " | ".join(ENDS)
    + " | MiB grown | s |\n"
    + "|---" * (5 + len(ENDS))
    + "|"
)


def fuzz(
    target: Target,
    seeds: Sequence[Seed],
    count: int,
    seed: int = 0,
    first: int = 0,
    keep: Path | None = None,
    note: Callable[[str], None] = print,
) -> Tally:
    """Try the inputs `first` to `first + count`; the findings go to files in the folder `keep`.

    Seeds that the reader does not take as they are are told and left out; raises DriveError without others.
    """
    fit = {name: "" for name in range(len(seeds))}
    _apart(_try_seeds, target, seeds, answer=fit.update)
    for at, reason in fit.items():
        if reason:
            note(f"{target.name} does not take '{seeds[at].name}' as it is: {reason}")
    seeds = [one for at, one in enumerate(seeds) if not fit[at]]
    if not seeds:
        raise DriveError(f"{target.name} takes none of the seeds")
    tally = Tally(target.name, len(seeds))
    began = time.monotonic()
    number, end = first, first + count
    while number < end:
        number = _process(target, seeds, seed, number, end, tally)
    tally.seconds = time.monotonic() - began
    if keep is not None:
        for found in tally.findings.values():
            save(found, keep)
    return tally


def spoilt(target: Target, seeds: Sequence[Seed], seed: int, number: int) -> tuple[Seed, bytes]:
    """The input of that number: which seed it is made of, and its bytes."""
    rng = random.Random(f"{target.name}:{seed}:{number}")
    one = seeds[rng.randrange(len(seeds))]
    others = [other.data for other in seeds if other is not one and len(other.data) < 1 << 20]
    return one, target.spoil(rng, one.data, others)


def save(found: Finding, folder: Path) -> Path:
    """Keep an input that broke a reader, with what was said beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{found.target}-{hashlib.blake2b(found.where.encode(), digest_size=4).hexdigest()}"
    (folder / f"{name}.txt").write_text(
        f"{found.kind} at input {found.number} of {found.target}: {found.where}\n{found.text}\n",
        "utf-8",
        "backslashreplace",
    )
    path = folder / f"{name}.bin"
    path.write_bytes(found.data)
    return path


def _process(target: Target, seeds: Sequence[Seed], seed: int, number: int, end: int, tally: Tally) -> int:
    """Run a child from that number on until it is done or dies; the number to go on with."""
    cells = mmap.mmap(-1, _CELLS.size)
    cells[:] = _CELLS.pack(number, *(0 for _ in ENDS))
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_child, args=(target, seeds, seed, number, end, cells, theirs), daemon=True
    )
    process.start()
    theirs.close()
    done = killed = False
    moved, last = time.monotonic(), -1
    with contextlib.suppress(EOFError):
        while not done:
            if ours.poll(1.0):
                kind, told = ours.recv()
                if kind == "unfit":
                    raise DriveError(told)
                if kind == "done":
                    done, tally.grown = True, max(tally.grown, told)
                else:
                    tally.findings.setdefault(told.where, told)
            at = _CELLS.unpack(cells[:])[0]
            if at != last:
                moved, last = time.monotonic(), at
            elif time.monotonic() - moved > SILENT_S:
                killed = True
                process.kill()
    process.join()
    at, *counts = _CELLS.unpack(cells[:])
    tally.ends.update(dict(zip(ENDS, counts, strict=True)))
    if done:
        return end
    kind = "hang" if killed else "crash"
    tally.ends[kind] += 1
    where = f"{kind} of the process"
    text = "it was silent" if killed else f"it ended with {process.exitcode}"
    found = Finding(target.name, at, kind, where, text, spoilt(target, seeds, seed, at)[1])
    tally.findings.setdefault(where, found)
    return int(at) + 1


def _apart(main: Callable[..., None], *arguments: Any, answer: Callable[[Any], None]) -> None:
    """Run a function in a process of its own, and hand what it sends to `answer`."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=main, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    with contextlib.suppress(EOFError):
        while True:
            answer(ours.recv())
    process.join()


def _try_seeds(target: Target, seeds: Sequence[Seed], pipe: Connection[Any, Any]) -> None:
    """Send what is wrong with each seed."""
    with tempfile.TemporaryDirectory(prefix="drive-fuzz-", dir=_fast_folder()) as work:
        for at, one in enumerate(seeds):
            pipe.send({at: "the process that read it ended"})
            place = one.place(Path(work) / str(at))
            place.write(one.data)
            try:
                target.read(place.ref)
                pipe.send({at: ""})
            except Exception as error:
                pipe.send({at: one_line(error)})


def _child(
    target: Target,
    seeds: Sequence[Seed],
    seed: int,
    number: int,
    end: int,
    cells: mmap.mmap,
    pipe: Connection[Any, Any],
) -> None:
    """The main function of the process that reads."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    counts = dict.fromkeys(ENDS, 0)
    kernels = cache_folder("kernels")
    with tempfile.TemporaryDirectory(prefix="drive-fuzz-", dir=_fast_folder()) as work:
        # What is made of spoilt files must not fill the user's cache; the machine code is the same.
        cache = Path(work, "cache")
        cache.mkdir()
        (cache / "kernels").symlink_to(kernels)
        os.environ["DRIVE_CACHE_DIR"] = str(cache)
        lonely = cache.joinpath(*("deep" * 8))
        lonely.mkdir(parents=True)
        os.chdir(lonely)  # a reference such as `../..` stands for an empty folder that is ours
        try:
            places = {id(one): one.place(Path(work) / str(k)) for k, one in enumerate(seeds)}
            for one in seeds:
                places[id(one)].write(one.data)
                target.read(places[id(one)].ref)  # what is loaded on use is loaded before memory is counted
            gc.collect()
            _bound_memory()
            before = _peak()
            for at in range(number, end):
                cells[:] = _CELLS.pack(at, *counts.values())
                one, data = spoilt(target, seeds, seed, at)
                kind, where, text = _one(target, places[id(one)], data, at + 1)
                if kind not in ("read", "refused"):
                    pipe.send(("found", Finding(target.name, at, kind, where, text, data)))
                counts[kind] += 1
            cells[:] = _CELLS.pack(end, *counts.values())
            pipe.send(("done", _peak() - before))
        except BaseException:
            pipe.send(("unfit", f"{target.name}: {traceback.format_exc()}"))


def _one(target: Target, place: Place, data: bytes, number: int) -> tuple[str, str, str]:
    """How one input ends: kind, place in the code, what was said."""
    peak = _peak()
    try:
        with warnings.catch_warnings(), _alarm(LIMIT_S):
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", ResourceWarning)
            place.write(data, number)
            target.read(place.ref)
        kind, where, text = "read", "", ""
    except DriveError as error:
        kind, where, text = "refused", "", str(error)
        if len(text.splitlines()) != 1 or not text.strip() or len(text) > LONGEST:
            kind, where = "fault", f"message of {len(text.splitlines())} lines: {_place_of(error)}"
    except _TooLongError as error:
        kind, where, text = "hang", f"hang: {_place_of(error)}", f"more than {LIMIT_S:g} s\n{_told()}"
    except MemoryError as error:
        kind, where, text = "memory", f"MemoryError: {_place_of(error)}", _told()
    except Exception as error:
        kind, where, text = "fault", f"{type(error).__name__}: {_place_of(error)}", _told()
    grown = _peak() - peak
    if grown > LIMIT_MIB / 2 and kind in ("read", "refused"):
        kind, where, text = "memory", "peak", f"{grown:.0f} MiB more at its peak; {text}"
    return kind, where, text


def _place_of(error: BaseException) -> str:
    """The last place of ours that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/drive/" in f.filename or "site-packages" not in f.filename]
    ours = [f for f in ours if "hardness" not in f.filename and "/lib/python" not in f.filename] or ours
    last = ours[-1] if ours else frames[-1]
    return f"{'/'.join(Path(last.filename).parts[-3:])}:{last.lineno}"


def _told() -> str:
    return traceback.format_exc()[-3000:]


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise after so much processor time: a machine that is busy otherwise makes no hang."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _bound_memory() -> None:
    """No more than LIMIT_MIB beyond what is held now."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + (LIMIT_MIB << 20), resource.RLIM_INFINITY))


def _peak() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fast_folder() -> str | None:
    return (
        "/dev/shm"
        if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 1 << 30
        else None
    )
