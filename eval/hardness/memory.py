"""How much memory a command and its children hold while it runs, read from /proc (Linux)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drive.errors import DriveError

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """At `time` s, with `done` units of work done: MiB of the command, and of each of its children by id."""

    time: float
    done: int
    parent: float
    children: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """A command that has ended: its exit status, what it printed, and its memory over time."""

    status: int
    printed: str
    samples: tuple[Sample, ...]


def watch(
    arguments: Sequence[str],
    log: Path,
    done: Callable[[], int],
    tell: Callable[[Sample], None] = lambda sample: None,
    every: float = 1.0,
) -> Watched:
    """Run a command to its end and look at its memory every `every` s.

    `done()` counts its work, `tell` hears each sample; what it prints goes to the file `log`.

    Raises DriveError without /proc.
    """
    if not (PROC / "self" / "statm").exists():
        raise DriveError("memory is read from /proc, which this system lacks")
    samples: list[Sample] = []
    began = time.monotonic()
    with open(log, "wb") as file:
        process = subprocess.Popen(arguments, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        while process.poll() is None:
            children = {child: resident(child) for child in children_of(process.pid)}
            samples.append(Sample(time.monotonic() - began, done(), resident(process.pid), children))
            tell(samples[-1])
            time.sleep(every)
    return Watched(process.returncode, log.read_text(encoding="utf-8", errors="replace"), tuple(samples))


def resident(pid: int) -> float:
    """MiB that a process holds; 0 where it has ended."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE / 2**20
    except (OSError, IndexError):
        return 0.0


def children_of(pid: int) -> list[int]:
    """The ids of the processes that a process has started and that live."""
    try:
        text = (PROC / str(pid) / "task" / str(pid) / "children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def growth(samples: Sequence[Sample], child: int | None = None) -> tuple[float, float, float]:
    """(MiB after a tenth of the work, MiB at its end, KiB more a unit of work) of the command or of a child.

    The slope is that of the least squares line through the last nine tenths.
    """
    points = [(s.done, s.parent if child is None else s.children.get(child, 0.0)) for s in samples]
    last = max((done for done, _ in points), default=0)
    late = np.array(
        [(done, held) for done, held in points if held > 0.0 and done >= 0.1 * last], dtype=np.float64
    )
    if len(late) < 3 or np.ptp(late[:, 0]) == 0.0:
        return (float("nan"),) * 3
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0])
    return float(late[0, 1]), float(late[-1, 1]), 1024.0 * slope
