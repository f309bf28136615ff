"""What the parent asks of a worker process, and the shape of what it answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.runlog import SUFFIX

if TYPE_CHECKING:
    from drive.eval.bench.planners import Entry
    from drive.scenario import Scenario

Reply = dict[str, Any]
FAILURES = ("planner_error", "planner_timeout", "simulator_error", "invalid_scenario")


PULSE_CELLS = 3
CLOSED = 77
"""Exit status of a worker whose connection was closed from within."""
COMPILING = "compiling kernels (first run only)…"


class Phase(IntEnum):
    """What a worker is about; only in `DRIVE` is silence the planner's fault."""

    IDLE = 0
    LOAD = 1
    DRIVE = 2
    SCORE = 3


@dataclass(frozen=True, slots=True)
class Chosen:
    """One scenario of the benchmark as its probe described it, or why it cannot be driven."""

    id: str
    ref: str | int
    family: str = ""
    tags: tuple[str, ...] = ()
    hash: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """Numbers in memory shared with the parent: a count that grows while work goes on, the phase, and
    whether Numba compiles.
    """

    cells: MutableSequence[int] = field(default_factory=lambda: [0] * PULSE_CELLS)

    @property
    def private(self) -> bool:
        """Whether nobody else listens."""
        return isinstance(self.cells, list)

    def beat(self, *_: object) -> None:
        self.cells[0] += 1

    def tell_compiling(self, now: bool) -> None:
        self.cells[2] = int(now)

    def enter(self, phase: Phase) -> None:
        self.cells[1] = int(phase)
        self.cells[0] += 1


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same for all jobs of a benchmark; scenarios given as objects are referred to by index.

    `scores` are what results call each score, and the name that it is loaded by; `mode` is one of
    `drive.runlog.MODES`, `stages` those of a pseudo-closed loop.
    """

    entries: tuple[Entry, ...]
    scenarios: tuple[Scenario, ...]
    traffic: str
    scores: Mapping[str, str]
    realtime: bool
    visibility: str
    detection: str
    watchdog: float
    out: Path
    mode: str = "closed"
    stages: int = 1
    tracker: str = "lqr"


@dataclass(frozen=True, slots=True)
class Probe:
    """Load a scenario and describe it."""

    ref: str | int


@dataclass(frozen=True, slots=True)
class Drive:
    """Drive a scenario with the planner number `planner`; the log goes to `path` below the output folder.

    `warm` lets a process drive a few steps that do not count before a planner's first drive.
    """

    ref: str | int
    scenario: str
    planner: int
    label: str
    seed: int
    path: str
    warm: bool = True


@dataclass(frozen=True, slots=True)
class Together:
    """Drives of one planner through several scenarios in lockstep, so that its `plan_batch` answers them.

    Its reply holds one reply for each of them, under "replies".
    """

    drives: tuple[Drive, ...]


Job = Probe | Drive | Together


def spread(job: Job, reply: Reply) -> Iterator[tuple[Probe | Drive, Reply]]:
    """A job's answer as answers to what it is made of; one that is fatal goes with the first."""
    if not isinstance(job, Together):
        yield job, reply
    elif "replies" in reply:
        yield from zip(job.drives, reply["replies"], strict=True)
    else:
        yield job.drives[0], reply


def run_path(label: str, scenario: str) -> str:
    """Where the log of a scenario-run lies below the output folder."""
    parts = [re.sub(r"[^\w.@#+=~-]", "_", part).lstrip(".") or "_" for part in (label, scenario)]
    return f"runs/{parts[0]}/{parts[1]}{SUFFIX}"


def empty_record(job: Drive) -> Reply:
    """A scenario-run of which nothing is known yet."""
    return {
        "scenario": job.scenario,
        "planner": job.label,
        "seed": job.seed,
        "failure": None,
        "reason": None,
        "metrics": {},
        "metric_valid": {},
        "statistics": {},
        "scored": {},
        "expert_source": None,
        "goal_reached": None,
        "latency_ms": [],
        "plan_status": {},
        "run": None,
        "wall_s": None,
        "cpu_s": None,
    }


def failed(record: Reply, scores: Iterable[str], failure: str, reason: str) -> Reply:
    """The record with a failure; a planner's failure counts as a score of 0."""
    entries: Reply = {"failure": failure, "reason": " ".join(reason.split())}
    if failure in ("planner_error", "planner_timeout"):
        entries |= {"metrics": dict.fromkeys(scores, 0.0)}
    return {**record, **entries}
