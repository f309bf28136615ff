"""Worker processes, each with a pipe and a pulse of its own, so that one that dies or hangs costs one drive.

The pools of the standard library lose every pending job with a worker that is killed, and cannot end one
that hangs in C code.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection as ipc
from multiprocessing.sharedctypes import RawArray
from typing import TYPE_CHECKING, Any, Protocol

from drive.errors import DriveError
from drive.eval.bench.jobs import (
    CLOSED,
    COMPILING,
    PULSE_CELLS,
    Drive,
    Job,
    Phase,
    Probe,
    Reply,
    Setup,
    Together,
    empty_record,
    failed,
    spread,
)
from drive.eval.bench.planners import pickled
from drive.eval.bench.serve import serve
from drive.eval.bench.worker import Worker

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Note = Callable[[str], None]
ATTEMPTS = 2
_STALL = 900.0  # seconds of silence outside of a planner, for instance while a large file is read
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Pool(Protocol):
    """Answers jobs, in the order in which they finish; one of several drives by an answer for each drive."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Probe | Drive, Reply]]: ...

    def close(self) -> None: ...


def make_pool(setup: Setup, jobs: int | None, note: Note, executor: str = "process") -> Pool:
    """Processes, or this process alone where a planner given as an object cannot go to another one; with the
    executor `ray` or `ray:ADDRESS` Ray's. `jobs` None: one a core."""
    payload = pickled(setup.entries)
    if payload is None:
        note("a planner defined in this process cannot go to others: it drives in this one, unwatched")
        return LocalPool(Worker(setup, note=note))
    if executor != "process":
        from drive.eval.bench.ray_pool import RayPool, address_of

        address = address_of(executor)
        return RayPool(setup, payload, jobs if address else jobs or _cores(), note, address)
    jobs = jobs or _cores()
    return ProcessPool(replace(setup, entries=()), payload, tuple(setup.scores), jobs, note)


@dataclass
class LocalPool:
    """Jobs done one after the other in this process."""

    worker: Worker

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Probe | Drive, Reply]]:
        own = os.getpid()
        for job in jobs:
            reply = self.worker.handle(job)
            if os.getpid() != own:
                os._exit(0)  # a planner forked: one benchmark goes on
            yield from spread(job, reply)

    def close(self) -> None:
        pass


@dataclass
class _Process:
    process: SpawnProcess
    pipe: ipc.Connection[Any, Any]
    cells: Any
    started: float
    ready: bool = False
    job: int | None = None
    seen: int = -1
    changed: float = 0.0

    def silence(self, now: float) -> float:
        """Seconds since the pulse last moved, as far as the parent has looked."""
        if self.cells[0] != self.seen:
            self.seen, self.changed = self.cells[0], now
        return now - self.changed

    @property
    def phase(self) -> Phase:
        return Phase(self.cells[1])


@dataclass
class ProcessPool:
    """Up to `limit` spawned processes; see `run`."""

    setup: Setup
    payload: bytes
    scores: tuple[str, ...]
    limit: int
    note: Note
    _alive: list[_Process] = field(default_factory=list)
    _cold: bool = False
    _still_births: int = 0
    _told: bool = False
    _hanging: set[int] = field(default_factory=set)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Probe | Drive, Reply]]:
        """Yield each job with its answer as soon as it is there.

        A job whose process dies is given to a fresh one once, then answered by a failure; a planner that
        is silent beyond the watchdog is killed and answered at once. Where either happens to drives that go
        together, each is driven alone, so that only the one at fault fails. Raises DriveError where no
        process can be started.
        """
        jobs = list(jobs)
        waiting = deque(range(len(jobs)))
        attempts = [0] * len(jobs)
        left = len(jobs)
        tick = min(0.5, self.setup.watchdog / 4.0)
        while left:
            self._assign(jobs, waiting, attempts)
            for worker in self._ready_ones(tick):
                number = worker.job
                reply = self._receive(worker)
                if reply is None or number is None:
                    if worker.process.exitcode is None:
                        continue
                    self._bury(worker)
                    if number is None:
                        continue
                    job = jobs[number]
                    if isinstance(job, Together):
                        left += _parted(job, jobs, waiting, attempts)
                        continue
                    if attempts[number] < ATTEMPTS:
                        waiting.appendleft(number)
                        continue
                    reply = self._lost(job, worker)
                worker.job = None
                self._cold = self._cold and isinstance(jobs[number], Probe)
                left -= 1
                yield from spread(jobs[number], reply)
            for worker in self._hung():
                number = worker.job
                assert number is not None
                phase = worker.phase
                self._bury(worker)
                job = jobs[number]
                if isinstance(job, Together):
                    left += _parted(job, jobs, waiting, attempts)
                    continue
                left -= 1
                yield job, self._stalled(job, phase)

    def close(self) -> None:
        """End all processes; one that does not leave by itself is killed."""
        for worker in self._alive:
            worker.pipe.close()
            if worker.job is not None:
                worker.process.kill()
        for worker in self._alive:
            worker.process.join(2.0)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._alive.clear()

    def _assign(self, jobs: Sequence[Job], waiting: deque[int], attempts: list[int]) -> None:
        busy = sum(worker.job is not None for worker in self._alive)
        while len(self._alive) < min(self.limit, busy + len(waiting)):
            self._alive.append(self._start())
        for worker in self._alive:
            if not waiting:
                return
            if worker.ready and worker.job is None:
                if self._cold and busy and not isinstance(jobs[waiting[0]], Probe):
                    return  # one process compiles, the others then find the machine code on the disk
                worker.job = waiting.popleft()
                attempts[worker.job] += 1
                worker.changed = time.monotonic()
                busy += 1
                job = jobs[worker.job]
                if isinstance(job, Drive) and job.planner in self._hanging:
                    job = replace(job, warm=False)  # its warm-up would hang as well
                with contextlib.suppress(OSError):  # it has died; its sentinel tells
                    worker.pipe.send(job)

    def _start(self) -> _Process:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        cells = RawArray("Q", PULSE_CELLS)
        process = context.Process(target=serve, args=(theirs, cells), name="drive-bench", daemon=True)
        with _deaf_to_interrupts(), _single_threaded(), _detached_main(b"__main__" in self.payload):
            process.start()
        theirs.close()
        with contextlib.suppress(OSError):
            ours.send(self.setup)
            ours.send_bytes(self.payload)
        return _Process(process, ours, cells, time.monotonic())

    def _ready_ones(self, tick: float) -> list[_Process]:
        handles = [handle for worker in self._alive for handle in (worker.process.sentinel, worker.pipe)]
        found = ipc.wait(handles, tick)
        return [w for w in self._alive if w.process.sentinel in found or w.pipe in found]

    def _receive(self, worker: _Process) -> Reply | None:
        """The next answer of a worker, or None: it has died, or it only said that it is there."""
        try:
            while worker.pipe.poll():
                message: Reply = worker.pipe.recv()
                if "ready" in message:
                    worker.ready = True
                    self._still_births = 0
                    self._cold = self._cold or message["cold"]
                elif worker.job is None:
                    raise DriveError(message["fatal"])
                else:
                    return message
        except (EOFError, OSError):
            worker.process.join(5.0)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
        return None

    def _bury(self, worker: _Process) -> None:
        """Forget a process, killing it if it lives; raises where processes die before they are ready."""
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()
        self._alive.remove(worker)
        if not worker.ready:
            self._still_births += 1
        if self._still_births >= ATTEMPTS:
            hint = ""
            if b"__main__" in self.payload:
                hint = "; in a script, put what runs under: if __name__ == '__main__':"
            raise DriveError(f"a worker process could not start ({_end_of(worker.process.exitcode)}){hint}")

    def _hung(self) -> list[_Process]:
        now = time.monotonic()
        if not self._told and any(worker.cells[2] for worker in self._alive):
            self._told = True
            self.note(COMPILING)
        watchdog = self.setup.watchdog
        # The loop itself notices a late answer; this is for answers that never come.
        limits = {Phase.DRIVE: watchdog + max(0.5, 0.05 * watchdog)}
        return [
            worker
            for worker in self._alive
            if worker.job is not None and worker.silence(now) > limits.get(worker.phase, _STALL)
        ]

    def _stalled(self, job: Probe | Drive, phase: Phase) -> Reply:
        if isinstance(job, Probe):
            return {"failure": "invalid_scenario", "reason": f"its reader was silent for {_STALL:g} s"}
        if phase is Phase.DRIVE:
            self._hanging.add(job.planner)
            reason = f"no answer within {self.setup.watchdog:g} s; the process was ended"
            return failed(empty_record(job), self.scores, "planner_timeout", reason)
        reason = f"the simulator was silent for {_STALL:g} s"
        return failed(empty_record(job), self.scores, "simulator_error", reason)

    def _lost(self, job: Probe | Drive, worker: _Process) -> Reply:
        how = f"the process {_end_of(worker.process.exitcode)}, {ATTEMPTS} times"
        if isinstance(job, Probe):
            return {"failure": "invalid_scenario", "reason": f"{how} while it was loaded"}
        kind = "planner_error" if worker.phase is Phase.DRIVE else "simulator_error"
        if worker.process.exitcode == CLOSED:
            kind, how = "planner_error", "the planner closed what its process had open"
        return failed(empty_record(job), self.scores, kind, how)


def _parted(job: Together, jobs: list[Job], waiting: deque[int], attempts: list[int]) -> int:
    """Put the drives of a job in its place, each alone, to be done next; how many jobs there are more."""
    first = len(jobs)
    jobs.extend(job.drives)
    attempts.extend([0] * len(job.drives))
    waiting.extendleft(reversed(range(first, len(jobs))))
    return len(job.drives) - 1


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _end_of(status: int | None) -> str:
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the whole group; children inherit that they do not hear it, and the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Children start with one thread for linear algebra: as many processes as cores do the rest."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update({name: value or "1" for name, value in before.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextlib.contextmanager
def _detached_main(needed: bool) -> Iterator[None]:
    """Start a child that does not run the user's script again, unless a planner is defined in it."""
    main = sys.modules["__main__"]
    if not needed:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
