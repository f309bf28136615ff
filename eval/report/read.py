"""What a report shows of `results.json`; fields that a writer left out are worked out or left blank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % interval, where there is one, over `n` scenarios."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One planner in one scenario. `run` is its log's path below the results, None where there is none."""

    scenario: str
    family: str
    valid: bool
    failure: str | None
    reason: str
    values: Mapping[str, float | None]
    run: str | None
    latency: float | None
    expert: str | None


@dataclass(frozen=True, slots=True)
class PlannerEntry:
    name: str
    config: Mapping[str, Any]
    privileged: bool
    scores: Mapping[str, Mean]
    families: Mapping[str, Mapping[str, Mean]]
    metrics: Mapping[str, float | None]
    latency: Mapping[str, float | None]
    failures: Mapping[str, int]
    collisions: int | None
    goals: tuple[int, int] | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """`scores` in order, the first is what planners are ranked by; `scored` are the metrics in [0, 1]."""

    data: Mapping[str, Any]
    scores: tuple[str, ...]
    scored: tuple[str, ...]
    figures: tuple[str, ...]
    planners: tuple[PlannerEntry, ...]
    families: tuple[str, ...]
    scenarios: tuple[str, ...]
    pages: Mapping[str, str] = field(default_factory=dict)

    @property
    def main(self) -> str:
        return self.scores[0] if self.scores else ""


def read(data: Mapping[str, Any]) -> Report:
    """The report's view of the results, planners ranked by their first score."""
    entries = [p for p in data.get("planners") or () if isinstance(p, Mapping)]
    scores = tuple(
        dict.fromkeys([*_names(data.get("scores")), *(n for p in entries for n in p.get("scores") or ())])
    )
    planners = [_planner(p, scores) for p in entries]
    main = scores[0] if scores else ""
    planners.sort(key=lambda p: (-(_value(p.scores.get(main)) if main else 0.0), p.name))
    rows = [row for p in planners for row in p.rows]
    metrics = dict.fromkeys(n for row in rows for n in row.values if n not in scores)
    told = data.get("score_metrics")
    scored = [n for names in told.values() for n in names] if isinstance(told, Mapping) else list(metrics)
    return Report(
        data,
        scores,
        tuple(n for n in metrics if n in scored),
        tuple(n for n in metrics if n not in scored),
        tuple(planners),
        tuple(sorted({row.family for row in rows if row.valid})),
        tuple(dict.fromkeys(row.scenario for row in rows)),
    )


def number(value: object) -> float | None:
    """A finite number, of a bare one or of an object with a `score`; None otherwise."""
    if isinstance(value, Mapping):
        value = value.get("score")
    if isinstance(value, bool):
        return float(value)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def run_below(folder: Path, run: str | None) -> Path | None:
    """The log's file, if it lies inside the folder and is there; results may come from anybody."""
    if not run:
        return None
    path = PurePosixPath(run)
    if path.is_absolute() or ".." in path.parts or "\\" in run:
        return None
    found = folder / path
    return found if found.is_file() else None


def _planner(entry: Mapping[str, Any], scores: Sequence[str]) -> PlannerEntry:
    rows = tuple(_row(r) for r in entry.get("scenarios") or () if isinstance(r, Mapping))
    valid = [r for r in rows if r.valid]
    given = entry.get("scores") or {}
    families = entry.get("families") or {}
    metrics = dict.fromkeys(n for r in valid for n in r.values if n not in scores)
    told = entry.get("metrics") or {}
    collisions = entry.get("at_fault_collisions")
    return PlannerEntry(
        name=str(entry.get("name", "?")),
        config=entry.get("config") or {},
        privileged=bool(entry.get("privileged")),
        scores={n: _mean(given.get(n), [r.values.get(n) for r in valid]) for n in scores},
        families={
            f: {
                n: _mean((families.get(f) or {}).get(n), [r.values.get(n) for r in valid if r.family == f])
                for n in scores
            }
            for f in sorted({r.family for r in valid})
        },
        metrics={n: _mean(told.get(n), [r.values.get(n) for r in valid]).value for n in metrics},
        latency={str(k): number(v) for k, v in (entry.get("latency_ms") or {}).items()},
        failures={str(k): int(v) for k, v in (entry.get("failures") or {}).items() if v},
        collisions=collisions if isinstance(collisions, int) else None,
        goals=_goals(entry.get("goals")),
        rows=rows,
    )


def _row(row: Mapping[str, Any]) -> Row:
    latency = row.get("latency_ms")
    run = row.get("run")
    return Row(
        scenario=str(row.get("id", "?")),
        family=str(row.get("family") or ""),
        valid=bool(row.get("valid", True)),
        failure=None if row.get("failure") is None else str(row["failure"]),
        reason=str(row.get("reason") or ""),
        values={str(k): number(v) for k, v in (row.get("metrics") or {}).items()},
        run=run if isinstance(run, str) else None,
        latency=number(latency.get("p50")) if isinstance(latency, Mapping) else None,
        expert=row.get("expert_source") or None,
    )


def _mean(told: object, values: Sequence[float | None]) -> Mean:
    known = [v for v in values if v is not None]
    if number(told) is not None and not isinstance(told, Mapping):
        return Mean(number(told), n=len(known))
    if not isinstance(told, Mapping) or "mean" not in told:
        return Mean(sum(known) / len(known) if known else None, n=len(known))
    interval = told.get("ci95")
    low, high = interval if isinstance(interval, list | tuple) and len(interval) == 2 else (None, None)
    count = told.get("n")
    return Mean(
        number(told.get("mean")), number(low), number(high), count if isinstance(count, int) else None
    )


def _goals(told: object) -> tuple[int, int] | None:
    if not isinstance(told, Mapping) or not told.get("of"):
        return None
    return int(told.get("reached") or 0), int(told["of"])


def _value(mean: Mean | None) -> float:
    return -1.0 if mean is None or mean.value is None else mean.value


def _names(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, Mapping | list | tuple) else []
