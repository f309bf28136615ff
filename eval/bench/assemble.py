"""From the records of all scenario-runs to what `results.json` holds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import drive
from drive.errors import DriveError, SimulationError
from drive.eval.bench.jobs import FAILURES, Chosen
from drive.eval.bench.results import SCHEMA
from drive.eval.bench.statistics import estimate, log_histogram, percentiles
from drive.eval.bench.suites import suite_hash
from drive.eval.metrics.base import Summary, check_columns, load_score

if TYPE_CHECKING:
    from drive.eval.bench.journal import Key, Record
    from drive.eval.bench.planners import Entry

_AT_FAULT = ("no_ego_at_fault_collisions", "number_of_all_at_fault_collisions")
_DROPS = ("simulator_error", "invalid_scenario")
_PACKAGES = ("numpy", "numba", "scipy", "shapely", "osqp", "cvxpy")


def config_elsewhere(
    suite: str,
    chosen: Sequence[Chosen],
    entries: Sequence[Entry],
    traffic: str,
    scores: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """What makes results comparable, of a benchmark that another simulator drives: nothing is hidden there,
    and nobody is late."""
    return {
        "suite": suite,
        "suite hash": suite_hash((c.id, c.hash) for c in chosen),
        "planners": [entry.identity for entry in entries],
        "traffic": traffic,
        "scores": {name: load_score(ref)[1].version for name, ref in scores.items()},
        "mode": "closed",
        "seed": seed,
        "realtime": False,
        "batch": {},
        "visibility": "all",
        "detection": "none",
        "ego": "planned",
        "version": versions()["drive"],
    }


def assemble(
    config: Mapping[str, Any],
    entries: Sequence[Entry],
    chosen: Sequence[Chosen],
    records: Mapping[Key, Record],
    skipped: Sequence[tuple[str, str]],
    command: Sequence[str],
    wall: float,
    scores: Mapping[str, str],
) -> dict[str, Any]:
    """The results, by the schema "drive-bench/1".

    A planner's failure scores 0 and counts; a simulator error or an invalid scenario drops the scenario for
    every planner, so that all means are over the same scenarios. `scores` are as `Setup` has them.
    """
    dropped = {item.id: "invalid_scenario" for item in chosen if item.reason is not None}
    experts: dict[str, str] = {}
    for (scenario, _), record in sorted(records.items()):
        if record["failure"] in _DROPS:
            dropped.setdefault(scenario, record["failure"])
        # A process that died could not say against whom its drive was measured; the others can.
        if record["expert_source"] is not None:
            experts[scenario] = record["expert_source"]
    loaded = {name: load_score(source)[1] for name, source in scores.items()}
    summed = {name: score for name, score in loaded.items() if isinstance(score, Summary)}
    suite = {
        "id": config["suite"],
        "hash": config["suite hash"],
        "scenarios": len(chosen),
        "valid": len(chosen) - len(dropped),
    }
    return {
        "schema": SCHEMA,
        "suite": suite,
        "mode": config["mode"],
        "ego": config["ego"],
        "traffic": config["traffic"],
        "seed": config["seed"],
        "realtime": config["realtime"],
        "batch": config["batch"],
        "visibility": config["visibility"],
        "detection": config["detection"],
        "tracker": config.get("tracker"),
        "scores": config["scores"],
        "score_metrics": _score_metrics(records),
        "score_remarks": {name: score.remark(suite) for name, score in summed.items()},
        "planners": [_planner(entry, config, chosen, records, dropped, summed) for entry in entries],
        "expert_sources": dict(
            sorted(
                Counter(experts.get(item.id, "unknown") for item in chosen if item.id not in dropped).items()
            )
        ),
        "dropped": [{"id": key, "failure": failure} for key, failure in dropped.items()],
        "skipped": [{"file": os.path.basename(file), "reason": reason} for file, reason in skipped],
        "command": list(command),
        "versions": versions(),
        "machine": machine(),
        "wall_s": round(wall, 3),
    }


def check_scores(data: Mapping[str, Any], scores: Mapping[str, str]) -> None:
    """Raise DriveError where a score that is about to be written is not what its own columns make.

    `scores` are what results call each score and the name that it is loaded by. A failed drive has none.
    """
    for name, ref in scores.items():
        _, score = load_score(ref)
        parts = data["score_metrics"].get(name, [])
        for planner in data["planners"]:
            for row in planner["scenarios"]:
                found = row["metrics"]
                if row["failure"] is not None or name not in found or not any(p in found for p in parts):
                    continue
                columns = {part.removeprefix(f"{name}/"): found.get(part) for part in parts}
                try:
                    check_columns(name, score, found[name], columns)
                except SimulationError as error:
                    raise DriveError(f"{planner['name']} in {row['id']}: {error}") from None


def versions() -> dict[str, str]:
    """Versions of the toolkit, of Python and of what results depend on."""
    found = {"drive": drive.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the latencies were measured on; no names."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": sys.implementation.name,
    }


def _planner(
    entry: Entry,
    config: Mapping[str, Any],
    chosen: Sequence[Chosen],
    records: Mapping[Key, Record],
    dropped: Mapping[str, str],
    summed: Mapping[str, Summary],
) -> dict[str, Any]:
    rows = [_row(item, records.get((item.id, entry.label)), dropped) for item in chosen]
    valid = [row for row in rows if row["valid"]]
    families = sorted({row["family"] for row in valid})
    latencies = [value for row in valid for value in records[row["id"], entry.label]["latency_ms"]]
    failures = Counter(row["failure"] for row in rows)
    metrics = dict.fromkeys(name for row in valid for name in row["metrics"])
    status: Counter[str] = Counter()
    for row in valid:
        status.update(row["plan_status"])
    return {
        "name": entry.label,
        "config": entry.config,
        "defaults": entry.defaults,
        "privileged": entry.privileged,
        "scores": {
            name: estimate([row["metrics"][name] for row in valid]).to_json() for name in config["scores"]
        },
        "families": {
            family: {
                name: estimate([row["metrics"][name] for row in valid if row["family"] == family]).to_json()
                for name in config["scores"]
            }
            for family in families
        },
        "summaries": {
            name: dict(score.summary([{**row, "metrics": _own(row["metrics"], name)} for row in valid]))
            for name, score in summed.items()
        },
        "metrics": {name: _mean(valid, name) for name in metrics if name not in config["scores"]},
        "latency_ms": percentiles(latencies, (50, 95, 99)),
        "latency_histogram_ms": log_histogram(latencies),
        "failures": {name: failures.get(name, 0) for name in FAILURES},
        "at_fault_collisions": _at_fault(valid),
        "goals": {
            "reached": sum(row["goal_reached"] is True for row in valid),
            "of": sum(row["goal_reached"] is not None for row in valid),
        },
        "plan_status": dict(sorted(status.items())),
        "scenarios": rows,
    }


def _row(item: Chosen, record: Record | None, dropped: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": item.id,
        "family": item.family,
        "tags": list(item.tags),
        "hash": item.hash,
        "valid": item.id not in dropped,
        "failure": None,
        "reason": None,
        "metrics": {},
        "metric_valid": {},
        "at_fault_collisions": None,
        "expert_source": None,
        "goal_reached": None,
        "latency_ms": percentiles((), (50, 95)),
        "plan_status": {},
        "run": None,
        "seed": None,
        "wall_s": None,
        "cpu_s": None,
    }
    if record is None:
        return {**row, "failure": "invalid_scenario", "reason": item.reason}
    row |= {key: record[key] for key in row if key in record and key != "latency_ms"}
    row["latency_ms"] = percentiles(record["latency_ms"], (50, 95))
    metric, figure = _AT_FAULT
    row["at_fault_collisions"] = record["statistics"].get(metric, {}).get(figure)
    if not row["valid"] and row["failure"] is None:
        row["reason"] = f"dropped: {dropped[item.id]} with another planner"
    return row


def _own(metrics: Mapping[str, Any], score: str) -> dict[str, Any]:
    """A scenario's metrics by a score's own names: those that another score has too carry its name."""
    plain = {key: value for key, value in metrics.items() if "/" not in key}
    prefix = f"{score}/"
    return plain | {key[len(prefix) :]: v for key, v in metrics.items() if key.startswith(prefix)}


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a metric over the drives in which it has a value."""
    values = [row["metrics"][name] for row in rows if row["metrics"].get(name) is not None]
    return sum(values) / len(values) if values else None


def _score_metrics(records: Mapping[Key, Record]) -> dict[str, list[str]]:
    """Which metrics each score is made of."""
    found: dict[str, dict[str, None]] = {}
    for _, record in sorted(records.items()):
        for score, names in record["scored"].items():
            found.setdefault(score, {}).update(dict.fromkeys(names))
    return {score: list(names) for score, names in found.items()}


def _at_fault(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """At-fault collisions over all drives, where the scores count them."""
    known = [row["at_fault_collisions"] for row in rows if row["at_fault_collisions"] is not None]
    return int(sum(known)) if known else None


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.lower().startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
