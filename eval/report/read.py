"""What a report shows of `results.json`; fields that a writer left out are worked out or left blank."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from drive.eval.bench.statistics import estimate


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
    hash: str
    family: str
    tags: tuple[str, ...]
    valid: bool
    failure: str | None
    reason: str
    values: Mapping[str, float | None]
    run: str | None
    latency: Mapping[str, float | None]
    status: Mapping[str, int]
    expert: str | None


@dataclass(frozen=True, slots=True)
class PlannerEntry:
    """One planner. `defaults` is what its settings hold where nothing was set, None where nobody knows.

    `histogram`: edges `(K + 1,)` in ms and counts `(K,)` of the planner's calls, both empty without any.
    """

    name: str
    config: Mapping[str, Any]
    defaults: Mapping[str, Any] | None
    privileged: bool
    scores: Mapping[str, Mean]
    metrics: Mapping[str, float | None]
    latency: Mapping[str, float | None]
    histogram: tuple[tuple[float, ...], tuple[int, ...]]
    failures: Mapping[str, int]
    collisions: int | None
    goals: tuple[int, int] | None
    status: Mapping[str, int]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The scenarios of one family or with one tag: how many count, and each planner's mean of the scores."""

    kind: str
    key: str
    count: int
    means: tuple[Mapping[str, Mean], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """`scores` in order, the first is what planners are ranked by; `scored` are the metrics in [0, 1]."""

    data: Mapping[str, Any]
    scores: tuple[str, ...]
    scored: tuple[str, ...]
    figures: tuple[str, ...]
    planners: tuple[PlannerEntry, ...]
    scenarios: tuple[str, ...]
    families: tuple[Group, ...]
    tags: tuple[Group, ...]

    @property
    def main(self) -> str:
        return self.scores[0] if self.scores else ""

    def made_of(self, score: str) -> tuple[str, ...]:
        """The metrics that make up a score; all of them where the results do not say whose they are."""
        parts = self.data.get("score_metrics")
        if not isinstance(parts, Mapping):
            return self.scored
        known = set(self.scored)
        return tuple(n for n in parts.get(score) or () if n in known)


LEVELS = ("easy", "medium", "hard")
MAX_TAGS = 14
LEAST = 2
MOST = 1e300


def read(data: Mapping[str, Any]) -> Report:
    """The report's view of the results, planners ranked by their first score."""
    entries = [p for p in _list(data.get("planners")) if isinstance(p, Mapping)]
    told = [n for p in entries for n in _names(p.get("scores"))]
    scores = tuple(dict.fromkeys([*_names(data.get("scores")), *told]))
    planners = [_planner(p, scores) for p in entries]
    main = scores[0] if scores else ""
    planners.sort(key=lambda p: (-(_value(p.scores.get(main)) if main else 0.0), p.name))
    rows = [row for p in planners for row in p.rows]
    metrics = dict.fromkeys(n for row in rows for n in row.values if n not in scores)
    parts = data.get("score_metrics")
    scored = [n for names in parts.values() for n in names] if isinstance(parts, Mapping) else list(metrics)
    families = {row.scenario: {row.family} for row in rows}
    tags = {row.scenario: set(row.tags) for row in rows}
    by_family = _groups("family", families, planners, scores)
    return Report(
        data,
        scores,
        tuple(n for n in dict.fromkeys(scored) if n in metrics),
        tuple(n for n in metrics if n not in scored),
        tuple(planners),
        tuple(dict.fromkeys(row.scenario for row in rows)),
        tuple(sorted(by_family, key=lambda g: g.key)),
        _worth_showing(_groups("tag", tags, planners, scores), tags, families),
    )


def number(value: object) -> float | None:
    """A finite number, of a bare one or of an object with a `score`; None otherwise."""
    if isinstance(value, Mapping):
        value = value.get("score")
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float) or abs(value) > MOST:
        return None
    return float(value) if math.isfinite(value) else None


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
    rows = tuple(_row(r) for r in _list(entry.get("scenarios")) if isinstance(r, Mapping))
    valid = [r for r in rows if r.valid]
    given, told = _table(entry.get("scores")), _table(entry.get("metrics"))
    metrics = dict.fromkeys(n for r in valid for n in r.values if n not in scores)
    collisions = number(entry.get("at_fault_collisions"))
    defaults = entry.get("defaults")
    return PlannerEntry(
        name=str(entry.get("name", "?")),
        config=_table(entry.get("config")),
        defaults=defaults if isinstance(defaults, Mapping) else None,
        privileged=bool(entry.get("privileged")),
        scores={n: _mean(given.get(n), [r.values.get(n) for r in valid]) for n in scores},
        metrics={n: _mean(told.get(n), [r.values.get(n) for r in valid]).value for n in metrics},
        latency={str(k): number(v) for k, v in _table(entry.get("latency_ms")).items()},
        histogram=_histogram(_table(entry.get("latency_histogram_ms"))),
        failures=_counts(entry.get("failures")),
        collisions=None if collisions is None else int(collisions),
        goals=_goals(_table(entry.get("goals"))),
        status=_counts(entry.get("plan_status")),
        rows=rows,
    )


def _row(row: Mapping[str, Any]) -> Row:
    run, expert = row.get("run"), row.get("expert_source")
    return Row(
        scenario=str(row.get("id", "?")),
        hash=str(row.get("hash") or ""),
        family=str(row.get("family") or ""),
        tags=tuple(str(tag) for tag in _list(row.get("tags"))),
        valid=bool(row.get("valid", True)),
        failure=None if row.get("failure") is None else str(row["failure"]),
        reason=str(row.get("reason") or ""),
        values={str(k): number(v) for k, v in _table(row.get("metrics")).items()},
        run=run if isinstance(run, str) else None,
        latency={str(k): number(v) for k, v in _table(row.get("latency_ms")).items()},
        status=_counts(row.get("plan_status")),
        expert=str(expert) if expert else None,
    )


def _groups(
    kind: str,
    keys: Mapping[str, set[str]],
    planners: Sequence[PlannerEntry],
    scores: Sequence[str],
) -> list[Group]:
    """Each key's scenarios, with the planners' means and bootstrap intervals over those that count."""
    valid = [row for p in planners for row in p.rows if row.valid]
    counts: dict[str, set[str]] = {}
    for row in valid:
        for key in keys[row.scenario]:
            counts.setdefault(key, set()).add(row.scenario)
    found = []
    for key, members in counts.items():
        means = [
            {
                score: _estimated([r.values.get(score) for r in p.rows if r.valid and r.scenario in members])
                for score in scores
            }
            for p in planners
        ]
        found.append(Group(kind, key, len(members), tuple(means)))
    return found


def _worth_showing(
    groups: Sequence[Group], tags: Mapping[str, set[str]], families: Mapping[str, set[str]]
) -> tuple[Group, ...]:
    """Tags that divide the scenarios otherwise than the families do: levels first, then the most frequent."""

    def members(key: str, keys: Mapping[str, set[str]]) -> frozenset[str]:
        return frozenset(scene for scene, found in keys.items() if key in found)

    known = {members(key, families) for found in families.values() for key in found}
    known.add(frozenset(tags))
    rest = [g for g in groups if g.key in LEVELS or (g.count >= LEAST and members(g.key, tags) not in known)]
    rest.sort(key=lambda g: (LEVELS.index(g.key) if g.key in LEVELS else len(LEVELS), -g.count, g.key))
    return tuple(rest[:MAX_TAGS])


def _estimated(values: Sequence[float | None]) -> Mean:
    found = estimate([v for v in values if v is not None])
    low, high = found.ci95 or (None, None)
    return Mean(found.mean, low, high, found.n)


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


def _histogram(told: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    edges = [number(v) for v in _list(told.get("edges"))]
    counts = [number(v) for v in _list(told.get("counts"))]
    rising = [e for e in edges if e is not None and e > 0.0]
    heights = [int(c) for c in counts if c is not None and c >= 0.0]
    if len(rising) != len(edges) or len(heights) != len(counts) or len(edges) != len(counts) + 1:
        return (), ()
    return (tuple(rising), tuple(heights)) if rising == sorted(set(rising)) else ((), ())


def _goals(told: Mapping[str, Any]) -> tuple[int, int] | None:
    of = number(told.get("of"))
    return (int(number(told.get("reached")) or 0), int(of)) if of else None


def _counts(told: object) -> dict[str, int]:
    found = {str(k): number(v) for k, v in _table(told).items()}
    return {k: int(v) for k, v in found.items() if v}


def _value(mean: Mean | None) -> float:
    return -1.0 if mean is None or mean.value is None else mean.value


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _names(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, Mapping | list | tuple) else []
