"""One benchmark from its options to its results: the order of things, and who is told what."""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.datasets.source import expand_all
from drive.errors import DriveError, InputError, UnknownNameError
from drive.eval.bench import journal
from drive.eval.bench.assemble import assemble, check_scores, versions
from drive.eval.bench.environment import ROAD, check_planners, default_scores, environment_of_all
from drive.eval.bench.jobs import Chosen, Drive, Probe, Reply, Setup, Together, run_path
from drive.eval.bench.planners import Entry, code_of, entries_of, runnable_planners
from drive.eval.bench.pool import Pool, make_pool
from drive.eval.bench.ray_pool import address_of
from drive.eval.bench.results import Results
from drive.eval.bench.select import parse_filter
from drive.eval.bench.suites import EGOS, Suite, load_suite, suite_hash
from drive.eval.metrics.base import choose_mode, load_score, load_scores, stages_of
from drive.progress import Listener
from drive.runlog import MODES
from drive.sim.detection import Detection
from drive.sim.trackers import check_tracker
from drive.sim.traffic.model import load_traffic
from drive.sim.visibility import Visibility

if TYPE_CHECKING:
    from drive.planner import Planner
    from drive.scenario import Scenario

FILTER_NAMES = ("id", "family", "tags", "duration", "agents", "format")
WATCHDOG = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a benchmark is asked to do; see `drive bench --help`.

    `planners` are names or planner objects (none: all that can run), `scenarios` references or scenario
    objects, all on roads or all on terrain; `scores` None for those of that environment and mode; `settings`
    as `drive.registry.parse_set` gives them, `out` None for a temporary folder; `mode` None is the one that
    the scores were made for. Where `traffic`, `visibility`, `detection` and `ego` are None, the suite's hold,
    or else the usual ones. `batch` is how many scenarios a process drives at once where the planner has
    `plan_batch`, None for as many as it likes.
    """

    planners: Sequence[str | Planner] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    suite: str | Path | None = None
    scenarios: Sequence[str | Path | Scenario] = ()
    filter: str | None = None
    traffic: str | None = None
    scores: Sequence[str] | None = None
    mode: str | None = None
    executor: str = "process"
    jobs: int | None = None
    batch: int | None = None
    seed: int = 0
    realtime: bool = False
    visibility: str | None = None
    detection: str | None = None
    tracker: str = "lqr"
    ego: str | None = None
    out: str | Path | None = None
    resume: bool = False
    force: bool = False
    watchdog: float = WATCHDOG
    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who drives the others, and what planners perceive of them: as asked, as the suite has it, or usual."""

    traffic: str
    visibility: str
    detection: str
    ego: str

    @classmethod
    def of(cls, options: Options, suite: Suite | None) -> Surroundings:
        """Raises InputError, or one of its kinds, for a value that nobody knows."""
        found = {"traffic": "idm", "visibility": "line_of_sight", "detection": "none", "ego": "planned"}
        for key in found:
            for asked in (getattr(options, key), getattr(suite, key, None)):
                if asked is not None:
                    found[key] = asked
                    break
        made = cls(
            found["traffic"],
            str(Visibility.parse(found["visibility"])),
            str(Detection.parse(found["detection"])),
            found["ego"],
        )
        load_traffic(made.traffic)
        return made


def run_seed(seed: int, scenario: str) -> int:
    """The seed of a scenario-run: of the benchmark's seed and the scenario's id.

    It depends on neither the order of work nor the planner, so that planners meet the same traffic.
    """
    digest = hashlib.blake2b(f"{seed}:{scenario}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def run_bench(options: Options, listener: Listener | None = None) -> Results:
    """Drive, score and write everything below the output folder; returns what `results.json` holds.

    Raises a DriveError with one line for whatever the user can mend.
    """
    with ExitStack() as held:
        return _run(options, listener or Listener(), held)


def _run(options: Options, told: Listener, held: ExitStack) -> Results:
    """The benchmark; `held` keeps its folder until all is written."""
    started = time.time()
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker reads the script again to find the planner's class; it must not begin a benchmark itself.
        raise DriveError("put what runs in this script under: if __name__ == '__main__':")
    _check(options)
    suite = None if len(options.scenarios) else load_suite(options.suite or "mini")
    scene = Surroundings.of(options, suite)
    names: Sequence[str | Planner] = options.planners
    # A slip in a planner's name is told before any scenario is read.
    entries = entries_of(names, options.settings) if names else ()
    suite_id, refs, given, skipped = _scenarios(options, suite, scene.ego)
    environment = environment_of_all(given, refs)
    if not names:
        names, notes = runnable_planners(environment)
        for note in notes:
            told.note(note)
        entries = entries_of(names, options.settings)
    check_planners(entries, environment)
    for file, reason in skipped:
        told.note(f"skipped {file}: {reason}")
    out = Path(options.out) if options.out is not None else Path(tempfile.mkdtemp(prefix="drive-bench-"))
    held.enter_context(journal.alone(out))
    journal.prepare(out, options.resume, options.force)

    scores = load_scores(options.scores or default_scores(environment, options.mode))
    mode = choose_mode(scores.values(), options.mode)
    if options.mode is None and mode != "closed":
        told.note(f"mode {mode}, for which {next(iter(scores))} is made (--mode says otherwise)")
    setup = Setup(
        entries,
        given,
        scene.traffic,
        scores,
        options.realtime,
        scene.visibility,
        scene.detection,
        options.watchdog,
        out.absolute(),
        mode,
        stages_of(scores.values()),
        options.tracker,
    )
    batches = [batch_size(entry, options, environment, scene.traffic) for entry in entries]
    pool = make_pool(setup, options.jobs, told.note, options.executor)
    try:
        chosen = _choose(pool, [*range(len(given)), *refs], options.filter, environment, told)
        config = {
            "suite": suite_id,
            "suite hash": suite_hash((c.id, c.hash) for c in chosen),
            "planners": [entry.identity for entry in entries],
            "traffic": "none" if environment != ROAD else "log" if mode == "open" else scene.traffic,
            "scores": {name: _version(ref) for name, ref in scores.items()},
            "mode": mode,
            "seed": options.seed,
            "realtime": options.realtime,
            "batch": {entry.label: n for entry, n in zip(entries, batches, strict=True) if n > 1},
            "visibility": scene.visibility,
            "detection": scene.detection,
            "ego": scene.ego,
            "tracker": options.tracker,
            "version": versions()["drive"],
        }
        done = journal.read(out, config)
        records = _drive_all(pool, setup, chosen, options.seed, batches, done, config, told)
    finally:
        pool.close()
    data = assemble(config, entries, chosen, records, skipped, options.command, time.time() - started, scores)
    check_scores(data, scores)
    journal.write_json(out / journal.RESULTS, data)
    return Results(data, out)


def _check(options: Options) -> None:
    if options.mode is not None and options.mode not in MODES:
        raise UnknownNameError("mode", options.mode, MODES)
    if options.realtime and options.mode not in (None, "closed"):
        raise InputError(f"plans are late in closed loop only: no --realtime in mode '{options.mode}'")
    if options.executor != "process":
        address_of(options.executor)
    if options.batch is not None and options.batch < 1:
        raise InputError(f"--batch must be at least 1, not {options.batch}")
    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs must be at least 1, not {options.jobs}")
    if not options.watchdog > 0.0:
        raise InputError(f"the watchdog's limit must be positive, not {options.watchdog}")
    if options.scores is not None and not options.scores:
        raise InputError("a benchmark needs at least one score")
    if options.ego is not None and options.ego not in EGOS:
        raise UnknownNameError("ego", options.ego, EGOS)
    if options.suite is not None and len(options.scenarios):
        raise InputError("give a suite or scenarios, not both")
    mode = choose_mode(
        load_scores(options.scores or default_scores(ROAD, options.mode)).values(), options.mode
    )
    check_tracker(options.tracker, mode)
    if options.filter is not None:
        parse_filter(options.filter, FILTER_NAMES)


def _version(score: str) -> str:
    """A score's version, and of one in a file its digest, so that an edit is noticed."""
    return " ".join(filter(None, (load_score(score)[1].version, code_of(score))))


def _scenarios(
    options: Options, suite: Suite | None, ego: str
) -> tuple[str, tuple[str, ...], tuple[Scenario, ...], tuple[tuple[str, str], ...]]:
    """The suite's name, references that can be loaded, scenarios given as objects, and what was skipped."""
    from drive.scenario import Scenario

    given: tuple[Scenario, ...] = ()
    if suite is None:
        name = "custom"
        given = tuple(item for item in options.scenarios if isinstance(item, Scenario))
        wanted = [str(item) for item in options.scenarios if not isinstance(item, Scenario)]
    else:
        name, wanted = suite.id, list(suite.refs)
    expansion = expand_all(wanted, ego)
    return name, expansion.refs, given, expansion.skipped


def _choose(
    pool: Pool, refs: Iterable[str | int], expression: str | None, environment: str, told: Listener
) -> list[Chosen]:
    """Load every scenario once: what its id, hash and family are, and whether it passes the filter.

    Raises InputError where some are on roads and some on terrain: no planner and no score goes with both.
    """
    jobs = [Probe(ref) for ref in refs]
    replies: dict[str | int, Reply] = {}
    told.progress("loading scenarios", 0, len(jobs))
    for job, reply in pool.run(jobs):
        replies[job.ref] = reply
        told.progress("loading scenarios", len(replies), len(jobs))
    accepts = parse_filter(expression, FILTER_NAMES) if expression else None
    chosen: dict[str, Chosen] = {}
    for job in jobs:
        reply = replies[job.ref]
        if reply["failure"] is None:
            if accepts is not None and not accepts({name: reply[name] for name in FILTER_NAMES}):
                continue
            if reply["environment"] != environment:
                both = f"{reply['id']} is on {reply['environment']}, others are on {environment}"
                raise InputError(f"a benchmark is on roads or on terrain: {both}")
            item = Chosen(
                _free_id(reply["id"], chosen), job.ref, reply["family"], tuple(reply["tags"]), reply["hash"]
            )
        else:
            name = Path(str(job.ref)).name if Path(str(job.ref)).is_absolute() else str(job.ref)
            item = Chosen(_free_id(name, chosen), job.ref, reason=reply["reason"])
            told.note(f"invalid scenario {item.id}: {item.reason}")
        chosen[item.id] = item
    if not chosen:
        raise InputError(
            f"no scenario passes the filter {expression!r}" if expression else "there is no scenario"
        )
    if all(item.reason is not None for item in chosen.values()):
        first = next(iter(chosen.values()))
        raise InputError(f"no scenario can be used; {first.id}: {first.reason}")
    return list(chosen.values())


def _drive_all(
    pool: Pool,
    setup: Setup,
    chosen: Sequence[Chosen],
    seed: int,
    batches: Sequence[int],
    done: Mapping[journal.Key, journal.Record],
    config: Mapping[str, Any],
    told: Listener,
) -> dict[journal.Key, journal.Record]:
    """Drive what is missing; every record is on the disk before the next one counts."""
    records = dict(done)
    wanted = _wanted(setup, [item for item in chosen if item.reason is None], seed, batches, done)
    left = sum(len(job.drives) if isinstance(job, Together) else 1 for job in wanted)
    total = left + len(done)
    if done:
        told.note(f"{len(done)} scenario-runs were finished before; {left} are left")
    lines = journal.Journal(setup.out, config)
    try:
        told.progress("driving", len(done), total)
        for job, reply in pool.run(wanted):
            assert isinstance(job, Drive)
            if "fatal" in reply:
                raise journal.OutputError(reply["fatal"])
            for line in reply.pop("notes", ()):
                told.note(line)
            if reply["failure"] is not None:
                told.note(f"{reply['failure']}: {job.label} in {job.scenario}: {reply['reason']}")
            lines.append(reply)
            records[job.scenario, job.label] = reply
            told.progress("driving", len(records), total)
    finally:
        lines.close()
    return records


def _wanted(
    setup: Setup,
    items: Sequence[Chosen],
    seed: int,
    batches: Sequence[int],
    done: Container[journal.Key],
) -> list[Drive | Together]:
    """What is left to drive, scenario by scenario; drives that go together are neighbours in that order.

    Who goes with whom depends on neither the number of processes nor what else is driven.
    """
    paths = _paths(setup, items)

    def drive(item: Chosen, number: int) -> Drive:
        label = setup.entries[number].label
        return Drive(item.ref, item.id, number, label, run_seed(seed, item.id), paths[item.id, label])

    found: list[Drive | Together] = []
    for first in range(len(items)):
        for number, size in enumerate(batches):
            if first % size:
                continue
            label = setup.entries[number].label
            group = [item for item in items[first : first + size] if (item.id, label) not in done]
            drives = tuple(drive(item, number) for item in group)
            if drives:
                found.append(Together(drives) if len(drives) > 1 else drives[0])
    return found


def batch_size(entry: Entry, options: Options, environment: str, traffic: str) -> int:
    """How many scenarios a process drives at once by that planner.

    One where the clock counts, on terrain, and where a program beside ours drives the others: it can run but
    one scene.
    """
    size = options.batch or entry.batch
    if not entry.batch or size == 1 or options.realtime or environment != ROAD:
        return 1
    return size if load_traffic(traffic).director is None else 1


def _paths(setup: Setup, chosen: Sequence[Chosen]) -> dict[tuple[str, str], str]:
    """A log's path for each scenario-run; ids that differ only in odd characters get different ones."""
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for entry in setup.entries:
        for item in chosen:
            path = run_path(entry.label, item.id)
            if path.lower() in taken:
                tag = hashlib.blake2b(item.id.encode(), digest_size=4).hexdigest()
                path = run_path(entry.label, f"{item.id}~{tag}")
            taken.add(path.lower())
            found[item.id, entry.label] = path
    return found


def _free_id(wanted: str, taken: Mapping[str, object]) -> str:
    number, name = 2, wanted
    while name in taken:
        name, number = f"{wanted}~{number}", number + 1
    return name
