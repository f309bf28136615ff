"""The toolkit from Python: `drive.run`, `drive.bench`, `drive.check` and `drive.load_scenario(s)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive import registry
from drive.cli._load import load
from drive.errors import InputError

if TYPE_CHECKING:
    from drive.planner import Planner
    from drive.runlog import RunLog
    from drive.scenario import Scenario


def load_scenario(ref: str | Path) -> Scenario:
    """The scenario that `ref` names: `gen/cut_in/17`, a file, `file#scenario` or `file#scenario@track`.

    Raises `InputError`, or one of its kinds, saying what is wrong with it.
    """
    scenario: Scenario = load("drive.datasets.source:load")(str(ref))
    return scenario


def load_scenarios(refs: str | Path | Sequence[str | Path]) -> list[Scenario]:
    """All scenarios that one or several references name: families (`gen/cut_in/0:64`), files, folders.

    Raises `InputError`, or one of its kinds, for a reference that cannot be used.
    """
    names = [refs] if isinstance(refs, str | Path) or not hasattr(refs, "__iter__") else list(refs)
    for name in names:
        if not isinstance(name, str | Path):
            raise InputError(f"a scenario is named by a text or a path, got {type(name).__name__}")
    return [load_scenario(ref) for ref in load("drive.datasets.source:expand")([str(n) for n in names])]


def run(
    planner: str | Planner,
    scenario: str | Path | Scenario,
    *,
    traffic: str = "idm",
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    scores: Sequence[str] | None = None,
    realtime: bool = False,
    visibility: str = "line_of_sight",
    detection: str = "none",
    tracker: str = "lqr",
    watchdog: float | None = 60.0,
    start: float | None = None,
    debug: bool = False,
    mode: str | None = None,
) -> RunLog:
    """Drive one scenario with one planner; the log holds the scores in its header.

    The run is the one that a benchmark with that `seed` makes. `settings` are those of a planner given
    by its name, `visibility` says whom it sees and `detection` how well (see `drive.sim.simulate`),
    `tracker`, "lqr" or "mpc", who follows plans without controls; no `scores` are those of the environment,
    "nuplan_cls" on roads and "rover" on terrain. A planner that fails ends the run early, and
    `header["failure"]` says why.

    `mode` says how plans are used (see `drive.sim.modes`): "closed", "pseudo" or "open"; None is the one that
    the scores were made for. With `start` the ego follows the scenario's expert until that time in s, and the
    planner takes over there: it is not called before. `debug` stops in the debugger right before that first
    call.
    """
    chosen = load("drive.eval.metrics.base:load_scores")(scores or ())  # a slip here must not cost a drive
    if chosen:
        wanted = "closed" if mode is None and start is not None else mode
        mode = load("drive.eval.metrics.base:choose_mode")(chosen.values(), wanted)
    name, config = None, {}
    if isinstance(planner, str):
        name = None if ":" in planner else planner
        planner = registry.load_planner(planner, settings)
    elif settings:
        raise TypeError("settings are for planners given by name; configure the object instead")
    config = load("drive.eval.bench.planners:plain")(registry.configuration(planner))
    if isinstance(scenario, str | Path):
        scenario = load_scenario(scenario)
    identity, lead = scenario.id, None
    if start is not None:
        scenario, lead = load("drive.eval.replan:taken_over")(scenario, start)
    if lead is not None and mode not in (None, "closed"):
        raise InputError(f"a planner takes over in closed loop only, not in mode '{mode}'")
    log: RunLog = load("drive.sim.modes:simulate_mode")(
        mode or "closed",
        scenario,
        load("drive.eval.replan:At")(planner, 0, debug) if debug else planner,
        stages=load("drive.eval.metrics.base:stages_of")(chosen.values()),
        traffic=traffic,
        seed=load("drive.eval.bench.harness:run_seed")(seed, identity),
        planner_name=name,
        planner_config=config,
        realtime=realtime,
        visibility=visibility,
        detection=detection,
        tracker=tracker,
        watchdog=None if debug else watchdog,
        **({} if lead is None else {"lead": lead}),
    )
    return evaluated(log, scores)


def evaluated(log: RunLog, scores: Sequence[str] | None = None) -> RunLog:
    """The log with scores in its header and the metrics' series beside its own.

    Scores are registered names, or `path/to/file.py:NAME`; none are those of the log's environment and mode.
    """
    if scores is None:
        environment = "road" if log.terrain is None else "terrain"
        scores = load("drive.eval.bench.environment:default_scores")(environment, log.mode)
    header: dict[str, Any] = dict(log.header.get("scores") or {})
    series: dict[str, Any] = {}
    for name, ref in load("drive.eval.metrics.base:load_scores")(scores).items():
        evaluation = load("drive.eval.metrics.base:judge")(ref, log)
        header[name] = evaluation.to_header()
        series = {**evaluation.series, **series}
    return log.with_header(scores=header).with_series(**series)


def replay_frame(log: RunLog) -> str:
    """The run's replay page in a frame, as HTML for a notebook."""
    return str(load("drive.eval.replay:notebook_frame")(log))


def check(
    planner: str | Planner, settings: Mapping[str, object] | None = None, *, fresh_process: bool = True
) -> Any:
    """Whether a planner keeps the contract; returns a `drive.eval.check.Report`.

    In a test: `assert report.ok, report`. Without `fresh_process` the drive in a process of its own, which
    takes a second or two, is left out.
    """
    return load("drive.eval.check:check_planner")(planner, settings, fresh_process=fresh_process)


def bench(
    planners: Sequence[str | Planner] = (),
    *,
    suite: str | Path | None = None,
    scenarios: Sequence[str | Path | Scenario] = (),
    filter: str | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    traffic: str | None = None,
    scores: Sequence[str] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    realtime: bool = False,
    visibility: str | None = None,
    detection: str | None = None,
    tracker: str = "lqr",
    ego: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    report: bool = True,
    watchdog: float = 60.0,
    executor: str = "process",
    mode: str | None = None,
) -> Any:
    """Drive planners through a suite or through scenarios; returns `drive.eval.bench.Results`.

    No planners means all that can run here, neither suite nor scenarios the suite "mini", no `out` a
    temporary folder, no `jobs` one process a core. Traffic, visibility and detection that are not given are
    the suite's, or else "idm", "line_of_sight" and "none"; no `mode` is the one that the scores were made for
    ("closed" for the usual ones, see `drive.sim.modes`). `settings` are by planner:
    `{"idm": {"headway": 1.2}}`. A planner may be an object: one that can be pickled drives in worker
    processes, any other in this one.
    `executor` "ray" or "ray:ADDRESS" has them in Ray's (docs/ray.md).
    In a script that defines such a planner, call this under `if __name__ == "__main__":`.
    """
    options = load("drive.eval.bench.harness:Options")(
        planners=[planners] if isinstance(planners, str) else planners,
        settings=settings or {},
        suite=suite,
        scenarios=[scenarios] if isinstance(scenarios, str | Path) else scenarios,
        filter=filter,
        traffic=traffic,
        scores=scores,
        jobs=jobs,
        seed=seed,
        realtime=realtime,
        visibility=visibility,
        detection=detection,
        tracker=tracker,
        ego=ego,
        out=out,
        resume=resume,
        force=force,
        watchdog=watchdog,
        executor=executor,
        mode=mode,
    )
    results = load("drive.eval.bench.harness:run_bench")(options)
    if report:
        load("drive.eval.report:write_report")(results.path)
    return results
