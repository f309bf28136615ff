"""Routes in a CARLA world as a benchmark: `results.json`, run logs and replays as others leave them.

Each drive runs in a process beside this one, because a fault inside of CARLA's client ends its process; the
drive then counts as a simulator error, and the next one begins in a new process.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.eval.bench import journal
from drive.eval.bench.assemble import assemble, check_scores, config_elsewhere
from drive.eval.bench.harness import run_seed
from drive.eval.bench.jobs import Chosen, Drive, Reply, Setup, empty_record, failed, run_path
from drive.eval.bench.planners import entries_of
from drive.eval.bench.results import Results
from drive.eval.metrics.base import load_scores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from drive.datasets.carla_routes.reader import CarlaRoute

SCORES = ("carla_2.1", "bench2drive", "nuplan_cls")
FIRST_CALL = 600.0
"""Seconds for a call in a planner's first drive: its kernels may compile then."""
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class CarlaOptions:
    """`routes` is a leaderboard route file, `ids` those of it (all without any); `port` the server's;
    `traffic` the cars around each route, that `drivers` drive; `maps` the towns that the server has, None
    for all of them."""

    routes: Path
    planners: Sequence[str]
    host: str
    port: int
    out: Path
    ids: Sequence[str] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    traffic: int = 0
    drivers: str = "carla_tm"
    scenarios: bool = True
    seed: int = 0
    scores: Sequence[str] = SCORES
    towns: frozenset[str] | None = None
    replays: bool = True
    resume: bool = False
    force: bool = False
    command: Sequence[str] = ()


def run_carla(options: CarlaOptions, say: Callable[[str], None] = lambda line: None) -> Results:
    """Drive every planner along every route; returns what `results.json` holds.

    A route whose town the server does not have is reported and skipped. Raises a DriveError with one line.
    """
    with ExitStack() as held:
        return _run(options, say, held)


def _run(options: CarlaOptions, say: Callable[[str], None], held: ExitStack) -> Results:
    """The benchmark; `held` keeps its folder until all is written."""
    started = time.time()
    routes = choose_routes(options)
    entries = entries_of(options.planners, options.settings)
    from drive.sim.carla.bridge import check_drivers, check_planner

    check_drivers(options.drivers)
    for entry in entries:
        check_planner(entry.make())
    here = [r for r in routes if options.towns is None or _bare(r.town) in options.towns]
    skipped = [
        (options.routes.name, f"route {r.id}: the server has no map {r.town}")
        for r in routes
        if r not in here
    ]
    for _, reason in skipped:
        say(f"skipped {reason}")
    if not here:
        raise InputError(
            f"{options.routes.name}: the server has the town of none of its {len(routes)} routes"
        )
    held.enter_context(journal.alone(options.out))
    journal.prepare(options.out, options.resume, options.force)
    scores = load_scores(list(options.scores))
    traffic = f"{options.drivers}:{options.traffic}" if options.traffic else "none"
    setup = Setup(entries, (), traffic, scores, False, "all", "none", 60.0, options.out, "closed", 1)
    chosen = [
        Chosen(
            f"{options.routes.name}#{r.id}",
            r.id,
            "carla_routes",
            (r.town, *dict.fromkeys(r.scenarios)),
            _hash(r),
        )
        for r in here
    ]
    config = config_elsewhere(options.routes.stem, chosen, entries, traffic, scores, options.seed)
    records = journal.read(options.out, config)
    book = journal.Journal(options.out, config)
    hand = _Hand(options, setup)
    try:
        total = len(chosen) * len(entries)
        for item, route in zip(chosen, here, strict=True):
            for number, entry in enumerate(entries):
                key = (item.id, entry.label)
                if key in records:
                    continue
                path = run_path(entry.label, item.id)
                job = Drive(route.id, item.id, number, entry.label, run_seed(options.seed, item.id), path)
                record = hand.drive(job, route)
                if "fatal" in record:
                    raise journal.OutputError(str(record["fatal"]))
                records[key] = record
                book.append(record)
                say(f"{len(records)}/{total} {route.id} {route.town} {entry.label}: {_told(record, scores)}")
    finally:
        hand.close()
        book.close()
    data = assemble(config, entries, chosen, records, skipped, options.command, time.time() - started, scores)
    check_scores(data, scores)
    journal.write_json(options.out / journal.RESULTS, data)
    return Results(data, options.out)


def choose_routes(options: CarlaOptions) -> list[CarlaRoute]:
    """The routes that are asked for, in the file's order. Raises InputError, UnknownNameError."""
    from drive.datasets.carla_routes.reader import read_routes

    routes = {r.id: r for r in read_routes(options.routes)}
    for name in options.ids:
        if name not in routes:
            raise UnknownNameError(f"route of {options.routes.name}", name, routes)
    return [r for name, r in routes.items() if not options.ids or name in options.ids]


class _Hand:
    """The process that drives; a new one after each that died."""

    def __init__(self, options: CarlaOptions, setup: Setup) -> None:
        self._options, self._setup = options, setup
        self._process: Any = None
        self._pipe: Connection | None = None

    def drive(self, job: Drive, route: CarlaRoute) -> Reply:
        if self._process is None:
            self._pipe, theirs = SPAWN.Pipe()
            self._process = SPAWN.Process(
                target=_work, args=(theirs, self._options, self._setup), daemon=True
            )
            self._process.start()
            theirs.close()
        assert self._pipe is not None
        try:
            self._pipe.send((job, route))
            reply: Reply = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5.0)
            status = self._process.exitcode
            self.close()
            reason = f"CARLA's client ended its process (status {status})"
            return failed(empty_record(job), self._setup.scores, "simulator_error", reason)
        return reply

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(5.0)
            if self._process.is_alive():
                # SIGTERM lets it give the world back.
                self._process.terminate()
                self._process.join(10.0)
        self._process = self._pipe = None


def _work(pipe: Connection, options: CarlaOptions, setup: Setup) -> None:
    """Drive what comes down the pipe, until it closes."""
    import signal

    from drive.eval.bench.serve import keep_to_ourselves
    from drive.eval.bench.worker import Worker

    keep_to_ourselves()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker, planners, client = Worker(setup), {}, None
    while True:
        try:
            job, route = pipe.recv()
        except (EOFError, OSError):
            return
        started, cpu = time.perf_counter(), time.process_time()
        run: Any
        try:
            if client is None:
                from drive.sim.carla.client import connect

                client = connect(options.host, options.port)
            patience = setup.watchdog
            if job.planner not in planners:
                planners[job.planner] = setup.entries[job.planner].make()
                patience = FIRST_CALL
            run = _one(client, planners[job.planner], job, route, options, setup, patience)
        except Exception as error:
            run = error
        wall, used = time.perf_counter() - started, time.process_time() - cpu
        reply = worker.finished(job, run, wall, used)
        if options.replays and reply.get("run"):
            _replay(setup.out, job)
        with suppress(OSError):
            pipe.send(reply)


def _one(
    client: Any,
    planner: Any,
    job: Drive,
    route: CarlaRoute,
    options: CarlaOptions,
    setup: Setup,
    patience: float,
) -> Any:
    from drive.datasets.carla_routes.errand import errand_of
    from drive.sim.carla.bridge import Ride, drive_route
    from drive.sim.carla.scenes import scenes_of

    return drive_route(
        client,
        route.town,
        lambda text: errand_of(text, route.town, route, options.routes.name, job.scenario),
        planner,
        Ride(options.traffic, options.drivers, job.seed, watchdog=patience),
        planner_name=job.label,
        planner_config=setup.entries[job.planner].config,
        extra=scenes_of(route.events) if options.scenarios and route.events else None,
    )


def _replay(out: Path, job: Drive) -> None:
    from drive.eval.replay import write_replay
    from drive.files import file_stem
    from drive.runlog import RunLog

    page = out / "replays" / file_stem(job.label) / f"{file_stem(job.scenario)}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_replay(RunLog.load(out / job.path), page)


def _told(record: Reply, scores: Mapping[str, str]) -> str:
    if record["failure"] is not None:
        return f"{record['failure']}: {record['reason']}"
    found = ", ".join(f"{name} {record['metrics'][name]:.3f}" for name in scores)
    return f"{found}, {100.0 * (record['metrics'].get('route_completion') or 0.0):.0f} % of the route"


def _hash(route: CarlaRoute) -> str:
    data = np.round(route.points, 3).tobytes() + repr((route.town, route.events)).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _bare(town: str) -> str:
    from drive.sim.carla.maps import bare_name

    return bare_name(town)


__all__ = ["SCORES", "CarlaOptions", "choose_routes", "run_carla"]
