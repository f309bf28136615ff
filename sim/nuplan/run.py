"""The devkit's own closed loop, driven from Python: the official simulation, metrics and score.

It composes the devkit's configuration as its `run_simulation.py` does (commit e924167) and runs in this
process, one scenario after the other; the PDF summary, which needs an old NumPy, is left out.
"""

from __future__ import annotations

import copy
import logging
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.sim.nuplan.devkit import find_devkit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CHALLENGES = {"log": "closed_loop_nonreactive_agents", "idm": "closed_loop_reactive_agents"}
"""The devkit's closed-loop challenges by who drives the others."""


@dataclass(frozen=True, slots=True)
class Official:
    """What the devkit wrote about one drive: `score`, the `metrics` that carry one, all `statistics`, the
    `failure` that it reports, and the processor seconds that simulation and metrics took for `steps`."""

    scenario: str
    log: str
    planner: str
    score: float | None
    metrics: dict[str, float]
    statistics: dict[str, float | bool | None]
    failure: str | None
    seconds: float
    steps: int
    made_of: Any = field(default=None, repr=False)


def simulate_devkit(
    databases: Sequence[str | Path],
    maps: str | Path,
    planners: Sequence[Any],
    traffic: str,
    out: str | Path,
    *,
    tokens: Sequence[str] | None = None,
    on_end: Callable[[Any, Any], Any] | None = None,
    overrides: Sequence[str] = (),
    keep_logs: bool = False,
    devkit: str | Path | None = None,
) -> list[Official]:
    """Run scenarios of the database files with planners of the devkit, e.g. `ToolkitPlanner`s.

    `tokens` names the scenarios; without them each frame of a log is one, which takes for ever.

    `maps` is the folder of the maps, `traffic` "log" (the log is replayed) or "idm" (reactive agents), `out`
    where the devkit writes its parquet files and logs, into a new folder named after its challenge. `on_end`
    gets each finished runner and its report; what it returns is kept as `made_of`. `overrides` are further
    lines of the devkit's configuration; with `keep_logs` it also writes its simulation logs, which its viewer
    reads. A scenario that fails is kept, with its failure and without a score. Raises InputError for unknown
    traffic or files without scenarios, DriveError where there is no devkit.
    """
    if traffic not in CHALLENGES:
        raise InputError(f"the devkit's traffic is {' or '.join(CHALLENGES)}, not '{traffic}'")
    find_devkit(devkit)
    # The devkit aggregates only what lies below its challenge's name.
    out = Path(out).resolve() / CHALLENGES[traffic]
    if out.exists() and any(out.iterdir()):
        raise InputError(f"the folder '{out.name}' in '{out.parent}' has results already: name another one")
    folders = {"NUPLAN_DATA_ROOT": out, "NUPLAN_MAPS_ROOT": Path(maps).resolve(), "NUPLAN_EXP_ROOT": out}
    with _environment({name: str(folder) for name, folder in folders.items()}):
        return _simulate(databases, maps, planners, traffic, out, tokens, on_end, overrides, keep_logs)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that the devkit's configuration reads; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _simulate(
    databases: Sequence[str | Path],
    maps: str | Path,
    planners: Sequence[Any],
    traffic: str,
    out: Path,
    tokens: Sequence[str] | None,
    on_end: Callable[[Any, Any], Any] | None,
    overrides: Sequence[str],
    keep_logs: bool,
) -> list[Official]:
    from nuplan.planning.script.builders.simulation_builder import build_simulations
    from nuplan.planning.script.builders.simulation_callback_builder import build_simulation_callbacks
    from nuplan.planning.script.utils import save_runner_reports, set_up_common_builder
    from nuplan.planning.simulation.runner.executor import run_simulation

    cfg = _configuration(databases, maps, traffic, out, tokens, overrides, keep_logs)
    common = set_up_common_builder(cfg=cfg, profiler_name="building_simulation")
    callbacks = build_simulation_callbacks(cfg=cfg, output_dir=common.output_dir, worker=None)
    runners = build_simulations(
        cfg=cfg,
        worker=common.worker,
        callbacks=callbacks,
        callbacks_worker=None,
        pre_built_planners=list(planners),
    )
    if not runners:
        raise InputError(f"the devkit finds no scenario in {', '.join(Path(d).name for d in databases)}")
    reports, kept, seconds, steps = [], [], [], []
    for runner in runners:
        begin = time.process_time()
        report = run_simulation(runner)
        seconds.append(time.process_time() - begin)
        reports.append(report)
        steps.append(len(runner.simulation.history))
        kept.append(on_end(runner, report) if on_end is not None and report.succeeded else None)
        runner.simulation.history.reset()  # its plans weigh a hundred megabytes
    save_runner_reports(reports, common.output_dir, cfg.runner_report_file)
    common.multi_main_callback.on_run_simulation_end()
    scores = _scores(common.output_dir / cfg.aggregated_metric_folder_name)
    statistics = _statistics(common.output_dir / cfg.metric_dir)
    found = []
    for report, spent, count, made in zip(reports, seconds, steps, kept, strict=True):
        key = (report.scenario_name, report.planner_name)
        metrics = scores.get(key, {})
        found.append(
            Official(
                scenario=report.scenario_name,
                log=report.log_name,
                planner=report.planner_name,
                score=metrics.get("score"),
                metrics={k: v for k, v in metrics.items() if k != "score" and v is not None},
                statistics=statistics.get(key, {}),
                failure=None if report.succeeded else _last_line(report.error_message),
                seconds=spent,
                steps=count,
                made_of=made,
            )
        )
    return found


def _configuration(
    databases: Sequence[str | Path],
    maps: str | Path,
    traffic: str,
    out: Path,
    tokens: Sequence[str] | None,
    overrides: Sequence[str],
    keep_logs: bool,
) -> Any:
    """The configuration of one of the devkit's challenges for these files."""
    from omegaconf import open_dict

    files = [str(Path(d).resolve()) for d in databases]
    missing = [f for f in files if not Path(f).exists()]
    if missing or not files:
        raise InputError(f"there is no database {missing[0] if missing else 'to simulate'}")
    cfg = copy.deepcopy(_composed(traffic, tuple(overrides)))
    with open_dict(cfg):
        cfg.output_dir = cfg.group = str(out)
        cfg.scenario_builder.db_files = files
        cfg.scenario_builder.data_root = str(Path(files[0]).parent)
        cfg.scenario_builder.map_root = str(Path(maps).resolve())
        cfg.scenario_filter.scenario_tokens = None if tokens is None else list(tokens)
        if not keep_logs:
            cfg.callback = {}
    return cfg


@lru_cache(maxsize=4)
def _composed(traffic: str, overrides: tuple[str, ...]) -> Any:
    """The composed configuration, which takes seconds; paths are put into a copy of it."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("nuplan.planning.script.config.simulation", version_base="1.1"):
        return hydra.compose(
            config_name="default_simulation",
            overrides=[
                f"+simulation={CHALLENGES[traffic]}",
                "scenario_builder=nuplan",
                "scenario_filter=all_scenarios",
                "worker=sequential",
                "main_callback=[time_callback,metric_file_callback,metric_aggregator_callback]",
                "experiment_name=drive",
                "logger_level=error",
                "gpu=false",
                "hydra.searchpath=[pkg://nuplan.planning.script.config.common,"
                "pkg://nuplan.planning.script.experiments]",
                *overrides,
            ],
        )


def _scores(folder: Path) -> dict[tuple[str, str], dict[str, float | None]]:
    """Score and scored metrics by scenario and planner, from the aggregator's parquet file."""
    import pandas as pd

    files = sorted(folder.glob("*.parquet"))
    if not files:
        return {}
    frame = pd.read_parquet(files[-1])
    names = set(frame.columns) - _LABELS
    frame = frame[frame["log_name"].notna()]
    return {
        (str(row["scenario"]), str(row["planner_name"])): {
            n: None if pd.isna(row[n]) else float(row[n]) for n in sorted(names)
        }
        for _, row in frame.iterrows()
    }


_LABELS = {"scenario", "log_name", "scenario_type", "num_scenarios", "planner_name", "aggregator_type"}


def _statistics(folder: Path) -> dict[tuple[str, str], dict[str, float | bool | None]]:
    """All statistics by scenario and planner, from the metrics' parquet files."""
    import pandas as pd

    found: dict[tuple[str, str], dict[str, float | bool | None]] = {}
    for file in sorted(folder.glob("*.parquet")):
        frame = pd.read_parquet(file)
        columns = [c for c in frame.columns if c.endswith("_stat_value")]
        for _, row in frame.iterrows():
            mine = found.setdefault((str(row["scenario_name"]), str(row["planner_name"])), {})
            for column in columns:
                mine[column.removesuffix("_stat_value")] = _plain(row[column])
    return found


def _plain(value: Any) -> float | bool | None:
    import pandas as pd

    if value is None or (not isinstance(value, bool) and pd.isna(value)):
        return None
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return bool(value)
    return float(value)


def _last_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else "the devkit reports a failure without a reason"


def quiet_devkit() -> None:
    """Keep the devkit's and its libraries' chatter off the terminal."""
    import warnings

    warnings.filterwarnings("ignore")
    for name in ("nuplan", "hydra", "pytorch_lightning", "lightning", "lightning.fabric", "botocore"):
        logging.getLogger(name).setLevel(logging.ERROR)


__all__ = ["CHALLENGES", "Official", "quiet_devkit", "simulate_devkit"]
