"""Which rules of a rule book a drive kept, by how much, and when and by what it broke one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.eval.metrics.rules.signals import SIGNALS
from drive.eval.metrics.rules.way import Drive
from drive.stl import compile, criticals, explain, horizon, names
from drive.stl.book import Rule, RuleBook, load_book

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

OF_RUN = "series_"
"""A signal of that beginning is the run's own series of the name that follows."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a drive did about one rule.

    `robustness` in the rule's unit, inf where nothing came near it; `trace (N,)` that of the rule's body at
    every sample, NaN where it has no value; `broken_at` s, None where it was kept; `predicate` what decided,
    and `deciding (N,)` which of `predicates` did at each sample, -1 where none.
    """

    rule: Rule
    robustness: float
    trace: Floats
    broken_at: float | None
    predicate: str
    predicates: tuple[str, ...]
    deciding: NDArray[np.int64]

    @property
    def kept(self) -> bool:
        return self.robustness >= 0.0


@dataclass(frozen=True, slots=True, eq=False)
class RuleEvaluation(Evaluation):
    """An evaluation that also says when and by what rules were broken."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    def to_header(self) -> dict[str, Any]:
        header = Evaluation.to_header(self)
        header["moments"] = {n: v.broken_at for n, v in self.verdicts.items() if v.broken_at is not None}
        header["rules"] = {
            name: {
                "text": v.rule.sentence,
                "unit": v.rule.unit,
                "robustness": v.robustness if math.isfinite(v.robustness) else None,
                "broken_at": v.broken_at,
                "predicate": v.predicate,
                "predicates": list(v.predicates),
            }
            for name, v in self.verdicts.items()
        }
        return header


@dataclass(frozen=True, slots=True)
class RulesScore:
    """The share of the rules that a drive kept, of those that apply to it."""

    book: RuleBook = field(default_factory=load_book)
    modes: tuple[str, ...] = ("closed", "open")

    def __post_init__(self) -> None:
        for name in self.book.signals:
            if name not in SIGNALS and not name.startswith(OF_RUN):
                raise UnknownNameError("signal in a rule", name, SIGNALS)

    @property
    def name(self) -> str:
        return self.book.name

    @property
    def version(self) -> str:
        return f"rule book '{self.book.name}' ({self.book.digest}), {len(self.book.rules)} rules"

    def evaluate(self, run: RunLog) -> RuleEvaluation:
        """Judge a run on a road; a rule that does not apply is None. Raises InputError on terrain."""
        if run.terrain is not None:
            raise InputError(f"the score '{self.name}' is for runs on roads")
        verdicts = judged(self.book, run)
        metrics: dict[str, MetricResult] = {}
        for rule in self.book.rules:
            verdict = verdicts.get(rule.name)
            metrics[rule.name] = MetricResult.missing() if verdict is None else _metric(verdict)
        for name, verdict in verdicts.items():
            value = verdict.robustness if math.isfinite(verdict.robustness) else None
            metrics[f"robustness_{name}"] = MetricResult(value, value is not None, scored=False)
        failed = run.header.get("failure") is not None
        columns = {rule.name: metrics[rule.name].score for rule in self.book.rules}
        return RuleEvaluation(0.0 if failed else self.recompute(columns), metrics, verdicts)

    def recompute(self, columns: Mapping[str, float | None]) -> float:
        """The score from the values of its metrics; 1 where no rule applies."""
        known = [v for name, v in columns.items() if v is not None]
        return float(np.mean(known)) if known else 1.0

    def explain(self) -> dict[str, str]:
        """What each rule says, as formula and in words."""
        texts = {
            self.name: "The share of the rules that a drive kept, of those that apply to it. Rules are "
            "formulas of signal temporal logic in a rule book (docs/rules.md)."
        }
        for rule in self.book.rules:
            values = ", ".join(f"{k} = {v:g}" for k, v in rule.parameters.items())
            unit = f", in {rule.unit}" if rule.unit else ""
            texts[rule.name] = f"{rule.sentence}: {rule.formula}" + (f" ({values})" if values else "")
            texts[f"robustness_{rule.name}"] = (
                f"Not scored. By how much that was kept{unit}, or broken where it is negative."
            )
        return texts


def judged(book: RuleBook, run: RunLog) -> dict[str, Verdict]:
    """What a drive did about the rules that apply to it."""
    if len(run.ego) < 2 or not np.isfinite(run.ego).all():
        return {}
    drive, made = Drive(run), dict[str, "Floats | None"]()

    def signal(name: str) -> Floats | None:
        if name not in made:
            made[name] = _own_series(run, name) if name.startswith(OF_RUN) else SIGNALS[name][0](drive)
        return made[name]

    out = {}
    for rule in book.rules:
        values = {name: signal(name) for name in rule.signals}
        known = {name: v for name, v in values.items() if v is not None}
        if len(known) == len(values) and all((known[name] > 0.0).any() for name in rule.when):
            verdict = _verdict(rule, known, run.dt)
            if verdict is not None:
                out[rule.name] = verdict
    return out


def _own_series(run: RunLog, name: str) -> Floats | None:
    values = run.series.get(name.removeprefix(OF_RUN))
    return values if values is not None and values.shape == (len(run.ego),) else None


def _verdict(rule: Rule, signals: Mapping[str, Floats], dt: float) -> Verdict | None:
    whole, body = rule.bound, rule.body
    used = {name: signals[name] for name in names(whole)}
    valid = ~np.isnan(np.stack(list(used.values()))).any(0)
    if not valid.any():
        return None
    mask = None if valid.all() else valid
    options: dict[str, Any] = {"end": rule.end, "rounding": "nearest"}
    trace = compile(body, dt, **options).trace(used, mask=mask)
    found = explain(whole, used, dt, mask=mask, **options)
    at = criticals(body, used, dt, mask=mask, **options)
    text_of = {predicate: _plain(predicate) for predicate in {c.predicate for c in at}}
    texts = [text_of[c.predicate] for c in at]
    predicates = tuple(sorted({text for text in texts if text}))
    code = np.asarray([predicates.index(text) if text else -1 for text in texts])
    broken_at = None
    decided = _plain(found.predicate)
    if found.robustness < 0.0:
        # An `always` is broken from the first sample on at which its body is; of what was to come about, only
        # the end of the time for it tells.
        ahead, last = horizon(whole), int(np.flatnonzero(valid)[-1])
        waited = last if math.isinf(ahead) else min(round(ahead / dt), last)
        broken_at = dt * (waited if body == whole else int(np.flatnonzero(trace < 0.0)[0]))
    return Verdict(rule, found.robustness, trace, broken_at, decided, predicates, code)


def _plain(predicate: Any) -> str:
    return "" if predicate is None else str(predicate)


def _metric(verdict: Verdict) -> MetricResult:
    name = verdict.rule.name
    trace = verdict.trace
    known = trace[~np.isnan(trace)]
    statistics: dict[str, float | int | bool | None] = {
        "robustness": verdict.robustness if math.isfinite(verdict.robustness) else None,
        "broken_at": verdict.broken_at,
        "broken_share": float((known < 0.0).mean()) if len(known) else None,
    }
    series = {f"rule.{name}": trace, f"rule.{name}.predicate": verdict.deciding.astype(np.float64)}
    return MetricResult(float(verdict.kept), statistics=statistics, series=series)
