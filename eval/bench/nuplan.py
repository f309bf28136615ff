"""Our planners in the nuPlan devkit's own closed loop as a benchmark: `results.json` and run logs as others
leave them.

Scores are ours of the devkit's states. Where it drives, it writes a score of its own as well: the largest
difference between the two is told, and each stands in its run log's header, under "nuplan".
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.datasets.source import expand_all
from drive.errors import InputError, SimulationError
from drive.eval.bench import journal
from drive.eval.bench.assemble import assemble, check_scores, config_elsewhere
from drive.eval.bench.harness import run_seed
from drive.eval.bench.jobs import Chosen, Drive, Probe, Setup, run_path
from drive.eval.bench.planners import Entry, entries_of
from drive.eval.bench.results import Results
from drive.eval.bench.suites import load_suite
from drive.eval.bench.worker import Worker
from drive.eval.metrics.base import load_scores

if TYPE_CHECKING:
    from drive.eval.bench.jobs import Reply
    from drive.runlog import RunLog

SCORE = "nuplan_cls"


@dataclass(frozen=True, slots=True)
class NuplanOptions:
    """`scenarios` or the scenes of a `suite`, which are written as nuPlan's files first; `traffic` "log" (the
    log is replayed) or "idm" (the devkit's reactive agents)."""

    planners: Sequence[str]
    out: Path
    scenarios: Sequence[str] = ()
    suite: str | None = None
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    traffic: str = "log"
    resume: bool = False
    force: bool = False
    command: Sequence[str] = ()


def run_nuplan(options: NuplanOptions, say: Callable[[str], None] = lambda line: None) -> Results:
    """Drive every planner through every scene in the devkit; returns what `results.json` holds.

    The devkit has to be importable (`drive.sim.nuplan.devkit.find_devkit`). Raises a DriveError with one line
    for whatever the user can mend; a drive that fails is kept as what it is.
    """
    with ExitStack() as held:
        return _run(options, say, held)


def _run(options: NuplanOptions, say: Callable[[str], None], held: ExitStack) -> Results:
    from drive.sim.nuplan.run import CHALLENGES, quiet_devkit

    started = time.time()
    if options.traffic not in CHALLENGES:
        raise InputError(f"the devkit's traffic is {' or '.join(CHALLENGES)}, not '{options.traffic}'")
    if bool(options.scenarios) == bool(options.suite):
        raise InputError("give scenarios, or a suite")
    entries = entries_of(options.planners, options.settings)
    made = [entry.make() for entry in entries]
    _check(entries, made)
    suite = load_suite(options.suite) if options.suite else None
    refs = expand_all(list(suite.refs if suite else options.scenarios))
    held.enter_context(journal.alone(options.out))
    journal.prepare(options.out, options.resume, options.force)
    scores = load_scores([SCORE])
    setup = Setup(entries, (), options.traffic, scores, False, "all", "none", 60.0, options.out)
    worker = Worker(setup)
    chosen = [_chosen(worker, ref) for ref in refs.refs]
    name = suite.id if suite else "custom"
    config = config_elsewhere(name, chosen, entries, f"nuplan:{options.traffic}", scores, 0)
    records = journal.read(options.out, config)
    book = journal.Journal(options.out, config)
    quiet_devkit()
    try:
        for item in chosen:
            for number, entry in enumerate(entries):
                if item.reason is not None or (item.id, entry.label) in records:
                    continue
                path = run_path(entry.label, item.id)
                job = Drive(item.ref, item.id, number, entry.label, run_seed(0, item.id), path)
                record = _driven(worker, job, made[number], options)
                if "fatal" in record:
                    raise journal.OutputError(str(record["fatal"]))
                records[item.id, entry.label] = record
                book.append(record)
                say(f"{len(records)}/{len(chosen) * len(entries)} {item.id} {entry.label}: {_told(record)}")
    finally:
        book.close()
        shutil.rmtree(options.out / "devkit", ignore_errors=True)
    data = assemble(
        config, entries, chosen, records, refs.skipped, options.command, time.time() - started, scores
    )
    check_scores(data, scores)
    journal.write_json(options.out / journal.RESULTS, data)
    return Results(data, options.out)


def _check(entries: Sequence[Entry], made: Sequence[Any]) -> None:
    """Raises InputError for a planner that the devkit cannot ask."""
    from drive.datasets.nuplan.scout import scout
    from drive.sim.nuplan.planner import ToolkitPlanner

    for entry, planner in zip(entries, made, strict=True):
        try:
            ToolkitPlanner(planner, scout)
        except InputError as error:
            raise InputError(f"{entry.label}: {error}") from None


def _chosen(worker: Worker, ref: str) -> Chosen:
    found = worker.handle(Probe(ref))
    if found["failure"] is None and found["environment"] != "road":
        found = {**found, "failure": "invalid_scenario", "reason": "the devkit has roads alone"}
    if found["failure"] is not None:
        return Chosen(ref, ref, reason=str(found["reason"]))
    return Chosen(found["id"], ref, found["family"], tuple(found["tags"]), found["hash"])


def _driven(worker: Worker, job: Drive, planner: Any, options: NuplanOptions) -> Reply:
    started, cpu = time.perf_counter(), time.process_time()
    run: RunLog | Exception
    try:
        run = _log_of(str(job.ref), planner, options)
    except Exception as error:  # judged below: a drive that fails ends no benchmark
        run = error
    return worker.finished(job, run, time.perf_counter() - started, time.process_time() - cpu)


def _log_of(ref: str, planner: Any, options: NuplanOptions) -> RunLog:
    from drive.eval.devkit.drives import drive_once

    official = drive_once(ref, planner, options.traffic, options.out / "devkit", keep_logs=False)
    if official.made_of is None:
        raise SimulationError(f"the devkit's simulation failed: {official.failure}")
    log: RunLog = official.made_of
    about = {**log.header.get("nuplan", {}), "score": official.score}
    return log.with_header(nuplan=about)


def _told(record: Reply) -> str:
    if record["failure"] is not None:
        return f"{record['failure']}: {record['reason']}"
    return f"{record['metrics'][SCORE]:.3f}"


def official_scores(results: Results) -> dict[tuple[str, str], tuple[float, float]]:
    """The devkit's own score and ours `(official, ours)` by scene and planner, from the run logs; without
    drives that failed."""
    from drive.runlog import RunLog

    found: dict[tuple[str, str], tuple[float, float]] = {}
    for name in results.planners:
        for row in results.planner(name)["scenarios"]:
            if row["run"] and row["failure"] is None:
                own = RunLog.load(results.path / row["run"]).header["nuplan"]["score"]
                found[row["id"], name] = (float(own), float(row["metrics"][SCORE]))
    return found


__all__ = ["NuplanOptions", "official_scores", "run_nuplan"]
