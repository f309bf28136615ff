"""Workers on a Ray cluster, or on a local Ray: each is an actor that keeps one process of the pool.

The actor only hands jobs on to that process, so that the watch over planners, and with it every result, is
that of the process pool. Ray's own retries are off: a job whose actor dies, with its machine or without, is
given to a fresh actor once, as the process pool does with a process.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from drive._imports import one_line
from drive.errors import DriveError, InputError, MissingExtraError
from drive.eval.bench.jobs import Drive, Job, Probe, Reply, Setup, Together, empty_record, failed, spread
from drive.eval.bench.pool import ATTEMPTS, Note, ProcessPool

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "ray"
_TICK = 1.0  # s between two looks at what is done


def address_of(executor: str) -> str | None:
    """The address in `ray:ADDRESS`, None for a Ray of this machine alone; InputError for anything else."""
    name, colon, address = executor.partition(":")
    if name != PREFIX or (colon and not address):
        hint = "process, ray (on this machine), ray:auto, or ray:ADDRESS of a cluster is"
        raise InputError(f"executor '{executor}' is not available; {hint}")
    return address or None


def reach(address: str, timeout: float = 5.0) -> None:
    """Raise OSError where nobody listens at `HOST:PORT`: Ray itself would try for many minutes.

    Other forms (`auto`, `ray://…`) are left to Ray, which answers within half a minute.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()


class Relay:
    """What an actor is made of: one process of the pool, and the lines that it had to say."""

    def __init__(self, setup: Setup, payload: bytes) -> None:
        self._lines: list[str] = []
        self._pool = ProcessPool(setup, payload, tuple(setup.scores), 1, self._lines.append)

    def handle(self, job: Job) -> tuple[Reply, list[str]]:
        """The job's answer with the lines since the last one; a DriveError goes as a `fatal` reply."""
        try:
            replies = dict(self._pool.run([job]))
            fatal = [one for one in replies.values() if "fatal" in one]
            if isinstance(job, Together) and not fatal:
                reply: Reply = {"replies": [replies[drive] for drive in job.drives]}
            else:
                reply = (fatal or list(replies.values()))[0]
        except DriveError as error:
            reply = {"fatal": str(error)}
        lines = self._lines[:]
        self._lines.clear()
        return reply, lines


@dataclass
class RayPool:
    """Up to `limit` actors; see `run`. `address` as `address_of` gives it."""

    setup: Setup
    payload: bytes
    limit: int | None
    note: Note
    address: str | None = None
    _ray: Any = None
    _ours: bool = False
    _actors: list[Any] = field(default_factory=list)
    _parts: tuple[Any, ...] = ()
    _told: set[str] = field(default_factory=set)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Probe | Drive, Reply]]:
        """Yield each job with its answer as soon as it is there.

        A job whose actor dies is given to a fresh one once, then answered by a failure. Raises DriveError
        where Ray cannot be reached, and where what a worker wrote is not on this machine.
        """
        ray = self._connect()
        waiting = deque(range(len(jobs)))
        attempts = [0] * len(jobs)
        idle = list(self._actors)
        pending: dict[Any, tuple[Any, int]] = {}
        limit = self._limit(ray)
        while waiting or pending:
            while waiting and (idle or len(self._actors) < limit):
                actor = idle.pop() if idle else self._start(ray)
                number = waiting.popleft()
                attempts[number] += 1
                pending[actor.handle.remote(jobs[number])] = (actor, number)
            done, _ = ray.wait(list(pending), num_returns=1, timeout=_TICK)
            for ref in done:
                actor, number = pending.pop(ref)
                try:
                    reply, lines = ray.get(ref)
                except ray.exceptions.RayActorError:
                    self._forget(actor)
                    if attempts[number] < ATTEMPTS:
                        waiting.appendleft(number)
                        continue
                    reply, lines = self._lost(jobs[number]), []
                except ray.exceptions.RayError as error:
                    raise DriveError(f"Ray failed: {one_line(error)}") from error
                else:
                    idle.append(actor)
                for line in lines:
                    self._tell(line)
                if "fatal" in reply and isinstance(jobs[number], Probe):
                    raise DriveError(reply["fatal"])
                for part, answer in spread(jobs[number], reply):
                    self._check_log(answer)
                    yield part, answer

    def close(self) -> None:
        """End all actors, and Ray itself where it was started here."""
        if self._ray is None:
            return
        for actor in self._actors[:]:
            self._forget(actor)
        if self._ours:
            self._ray.shutdown()
        self._ray = None

    def _connect(self) -> Any:
        if self._ray is not None:
            return self._ray
        try:
            ray = importlib.import_module("ray")
        except ModuleNotFoundError:
            raise MissingExtraError("ray", "ray") from None
        if not ray.is_initialized():
            local = {} if self.address else {"num_cpus": self.limit, "include_dashboard": False}
            try:
                reach(self.address or "")
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR", **local)
            except Exception as error:  # Ray raises whatever its start came upon
                where = f" at '{self.address}'" if self.address else ""
                raise DriveError(f"Ray cannot be reached{where}: {one_line(error)}") from error
            self._ours = True
        self._ray = ray
        # Once for all actors: scenarios given as objects may be large.
        self._parts = (ray.put(replace(self.setup, entries=())), ray.put(self.payload))
        return ray

    def _limit(self, ray: Any) -> int:
        """As many actors as asked for, else one a core of the whole cluster."""
        return self.limit or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _start(self, ray: Any) -> Any:
        actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Relay).remote(*self._parts)
        self._actors.append(actor)
        return actor

    def _forget(self, actor: Any) -> None:
        self._actors.remove(actor)
        with contextlib.suppress(Exception):  # It may have died already, or Ray with it.
            self._ray.kill(actor)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.note(line)

    def _check_log(self, reply: Reply) -> None:
        path: Path | None = self.setup.out / reply["run"] if reply.get("run") else None
        if path is not None and not path.exists():
            raise DriveError(
                f"a worker wrote '{reply['run']}', which is not below '{self.setup.out}' here: "
                "give --out a folder that all machines of the cluster share"
            )

    def _lost(self, job: Job) -> Reply:
        how = f"its worker died {ATTEMPTS} times"
        if isinstance(job, Probe):
            return {"failure": "invalid_scenario", "reason": f"{how} while it was loaded"}
        # Nobody can say what ended it; a machine that goes away is not the planner's fault.
        drives = (job,) if isinstance(job, Drive) else job.drives
        lost = [failed(empty_record(drive), self.setup.scores, "simulator_error", how) for drive in drives]
        return lost[0] if isinstance(job, Drive) else {"replies": lost}
