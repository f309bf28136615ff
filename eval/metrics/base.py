"""What a score says about one run, and the shape that every score has."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from drive import registry
from drive._imports import import_target, is_file, one_line
from drive.errors import InputError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Statistic = float | int | bool | None

TOLERANCE = 1e-9
"""By how much a score may differ from what its exported columns make."""


@dataclass(frozen=True, slots=True, eq=False)
class MetricResult:
    """One metric of one run.

    `score` lies in [0, 1] and is None where the metric cannot be computed (then `valid` is False and the
    aggregate leaves it out). Where `scored` is False the metric is a bare figure that no aggregate uses,
    and `score` holds that figure in its own unit, or None where it is infinite. `statistics` are finite or
    None; `series` are per sample `(N,)` and may hold NaN (no value) or inf.
    """

    score: float | None
    valid: bool = True
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    series: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    scored: bool = True

    @classmethod
    def missing(cls, scored: bool = True) -> MetricResult:
        """A metric that has no value for this run."""
        return cls(None, valid=False, scored=scored)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A score in [0, 1] and the metrics that it was made of."""

    score: float
    metrics: Mapping[str, MetricResult]

    @property
    def series(self) -> dict[str, NDArray[np.float64]]:
        """The series of all metrics, by name."""
        return {name: values for metric in self.metrics.values() for name, values in metric.series.items()}

    def to_header(self) -> dict[str, Any]:
        """What a run log's `header["scores"][name]` holds: plain numbers and None.

        `scored` names the metrics that make up the score, in their order; the others are bare figures.
        """
        return {
            "score": self.score,
            "metrics": {name: m.score for name, m in self.metrics.items()},
            "scored": [name for name, m in self.metrics.items() if m.scored],
        }


class Score(Protocol):
    """A benchmark's way to judge a run. Objects of this shape are registered under `drive.metrics`,
    or given as FILE.py:NAME. A class without arguments does as well.

    It may also have: `modes`, of `drive.runlog.MODES`, in which it can judge, the one that it was made
    for first (without it: the closed loop); `stages`, 2 where a pseudo-closed loop must have follow-up
    frames; and `recompute(columns) -> float`, the score from the values of its scored metrics alone, by
    which whatever is exported is checked.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def evaluate(self, run: RunLog) -> Evaluation:
        """Judge a run; it need not be complete. Never raises for a short or failed run."""
        ...

    def explain(self) -> dict[str, str]:
        """For each metric: what it measures, where the rule comes from, and its quirks."""
        ...


@runtime_checkable
class Summary(Protocol):
    """What a score may have besides: figures over all scenarios of a planner that are no plain means."""

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, float | None]:
        """Figures from `rows`, one a scenario that counts: `metrics` by this score's own names (of a failed
        run none but the score), `family`, `tags`."""
        ...

    def remark(self, suite: Mapping[str, Any]) -> str:
        """A line on what these figures are on this suite (`id`, `hash`, `scenarios`)."""
        ...


def load_score(name: str) -> tuple[str, Score]:
    """A score and the name that results call it by: a registered one, the one at FILE.py:NAME, or that of
    the rule book in FILE.toml, called by the book's own name.

    Raises UnknownNameError for a name that nobody registered and InputError for what is no score.
    """
    owner = f"score '{name}'"
    if name.endswith(".toml"):
        return _of_book(name)
    by_name = ":" not in name and not is_file(name)
    if is_file(name) and name.endswith(".py"):
        raise InputError(f"'{name}' is a file: write which score in it is meant, {name}:NAME")
    found = registry.load("drive.metrics", name) if by_name else import_target(name, owner)
    score = found() if isinstance(found, type) else found
    missing = [part for part in ("name", "version") if not isinstance(getattr(score, part, None), str)]
    missing += [part for part in ("evaluate", "explain") if not callable(getattr(score, part, None))]
    if missing:
        hint = "drive.eval.metrics.base.Score says what a score has"
        raise InputError(f"{owner} is no score: it lacks {', '.join(missing)}; {hint}")
    return (name if by_name else score.name), score


def _of_book(path: str) -> tuple[str, Score]:
    from drive.eval.metrics.rules import RulesScore
    from drive.stl.book import load_book

    score = RulesScore(load_book(path))
    return score.name, score


def load_scores(names: Sequence[str]) -> dict[str, str]:
    """What results call each score, and the name that it is loaded by; of two equal ones the first counts."""
    found: dict[str, str] = {}
    for name in names:
        label, _ = load_score(name)
        if found.setdefault(label, name) != name:
            raise InputError(f"two scores are called '{label}': {found[label]} and {name}")
    return found


def modes_of(score: Score) -> tuple[str, ...]:
    """The modes in which a score can judge, the one that it was made for first."""
    return tuple(getattr(score, "modes", ("closed",)))


def choose_mode(scores: Iterable[str], asked: str | None = None) -> str:
    """The mode in which all these scores can judge: `asked`, or the first score's first that suits all.

    Raises InputError naming a score that cannot judge in it, or two that share none.
    """
    by_name = {label: modes_of(score) for label, score in map(load_score, scores)}
    if asked is not None:
        for label, modes in by_name.items():
            if asked not in modes:
                raise InputError(
                    f"score '{label}' cannot judge in mode '{asked}', only in {', '.join(modes)}"
                )
        return asked
    kinds = list(by_name.items())
    shared = [mode for mode in kinds[0][1] if all(mode in modes for _, modes in kinds)] if kinds else []
    if not shared:
        told = "; ".join(f"{label}: {', '.join(modes)}" for label, modes in kinds)
        raise InputError(f"these scores have no mode in common ({told}): one benchmark for each mode")
    return shared[0]


def stages_of(scores: Iterable[str]) -> int:
    """How many stages of frames the scores need in a pseudo-closed loop."""
    return max((int(getattr(load_score(name)[1], "stages", 1)) for name in scores), default=1)


def check_columns(label: str, score: Score, total: float, columns: Mapping[str, float | None]) -> None:
    """Raise SimulationError where a score is not what the values of its scored metrics make."""
    recompute = getattr(score, "recompute", None)
    if recompute is None:
        return
    made = float(recompute(columns))
    if not abs(made - total) <= TOLERANCE:
        raise SimulationError(f"score '{label}' is {total:.6f}, but its metrics make {made:.6f}")


def judge(name: str, run: RunLog) -> Evaluation:
    """The score's evaluation of a run.

    SimulationError names a score that fails, leaves [0, 1], or is not what its own metrics make.
    """
    label, score = load_score(name)
    if run.mode not in modes_of(score):
        raise InputError(f"score '{label}' cannot judge in mode '{run.mode}'")
    try:
        found = score.evaluate(_apart(run))
    except (Exception, SystemExit) as error:
        raise SimulationError(f"score '{label}' failed: {one_line(error)}") from error
    if not isinstance(found, Evaluation):
        raise SimulationError(f"score '{label}' returned {type(found).__name__} instead of an Evaluation")
    if not _is_number(found.score):
        raise SimulationError(f"score '{label}' is {type(found.score).__name__}, not a number")
    for metric, result in found.metrics.items():
        if not isinstance(result, MetricResult):
            raise SimulationError(
                f"score '{label}': its metric '{metric}' is {type(result).__name__}, not a MetricResult"
            )
        if result.score is not None and not _is_number(result.score):
            kind = type(result.score).__name__
            raise SimulationError(f"score '{label}': its metric '{metric}' is {kind}, not a number")
    if not 0.0 <= found.score <= 1.0:
        raise SimulationError(f"score '{label}' is {found.score}, outside of [0, 1]")
    if run.header.get("failure") is None and found.metrics:
        columns = {n: m.score for n, m in found.metrics.items() if m.scored}
        check_columns(label, score, found.score, columns)
    return found


def _apart(run: RunLog) -> RunLog:
    """The run with arrays of its own: the log is saved after a score has worked with it."""
    arrays: dict[str, Any] = {
        f.name: value.copy() for f in fields(run) if isinstance(value := getattr(run, f.name), np.ndarray)
    }
    return replace(run, **arrays, frames=None if run.frames is None else run.frames.copy())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number))


def finite(value: float | np.floating[Any]) -> float | None:
    """The value as a float, or None where it is NaN or infinite (JSON has neither)."""
    return float(value) if np.isfinite(value) else None
