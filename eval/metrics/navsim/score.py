"""NAVSIM's scores of a run: version 1, version 2, and version 2 with two stages.

In a pseudo-closed loop they are NAVSIM's: one plan, driven for four seconds. In a closed loop the drive is
cut into stretches of four seconds: a rule that multiplies holds as in the worst of them, the others by
their means, so that the score is still made of its columns.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.eval.metrics.navsim import constants as c
from drive.eval.metrics.navsim.aggregate import (
    COMPATS,
    PROGRESS_MODES,
    ego_progress,
    epdms,
    human_filter,
    pdms,
    stage_weights,
    two_stages,
)
from drive.eval.metrics.navsim.comfort import extended_comfort, extended_differences, history_comfort
from drive.eval.metrics.navsim.course import course_of
from drive.eval.metrics.navsim.explain import EPDMS_TEXTS, PDMS_TEXTS, TWO_STAGE_TEXTS
from drive.eval.metrics.navsim.moments import Moment, frame_moment, planned, windows
from drive.eval.metrics.navsim.rules import find
from drive.frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drive.eval.metrics.navsim.aggregate import Columns
    from drive.runlog import RunLog

NAMES_1 = (*c.MULTIPLIERS_1, *c.WEIGHTS_1)
NAMES_2 = (*c.MULTIPLIERS_2, *c.WEIGHTS_2)
FIGURES = ("metres", "pdm_metres", "filtered")
_KINDS = {"now": FrameKind.NOW, "previous": FrameKind.PREVIOUS}


@dataclass(frozen=True, slots=True)
class PDMScore:
    """PDMS, version 1. `progress` is one of `PROGRESS_MODES`, `track_speed` "first" or "now" (see `find`)."""

    name: str = "pdms"
    version: str = c.VERSION_1
    progress: str = "v1"
    track_speed: str = "first"
    modes: tuple[str, ...] = ("pseudo", "closed")

    def __post_init__(self) -> None:
        _check(self.progress, self.track_speed)

    def evaluate(self, run: RunLog) -> Evaluation:
        """The score of a run; a failed one scores 0. Raises InputError for a run without a road map."""
        _check_road(run, self.name)
        moments = _moments(run)
        metrics = _merge([self._columns(run, m) for m in moments], c.MULTIPLIERS_1, NAMES_1)
        return _evaluation(run, metrics, self.recompute)

    def recompute(self, columns: Mapping[str, float | None]) -> float:
        """The score from the values of its metrics."""
        return pdms(columns)

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        return dict(PDMS_TEXTS)

    def _columns(self, run: RunLog, moment: Moment) -> Columns:
        course = course_of(run, moment)
        if course is None:
            return {}
        drives = [course.reference, moment.ego]
        theirs, own = find(run, moment, course, drives, first=True, track_speed=self.track_speed)
        kept, they_kept = own.product(c.MULTIPLIERS_1), theirs.product(c.MULTIPLIERS_1)
        columns: Columns = {name: getattr(own, name) for name in NAMES_1 if name != "ego_progress"}
        columns["ego_progress"] = ego_progress(own.progress, kept, theirs.progress, they_kept, self.progress)
        return {**columns, "metres": own.progress, "pdm_metres": theirs.progress}


@dataclass(frozen=True, slots=True)
class ExtendedPDMScore:
    """EPDMS, version 2. `stages` is 1 or 2; `compat` "2025_09" is right, "pre_2025_09" is before the fix:
    the human filter then changes what is told of a drive, and not its score.
    """

    name: str = "epdms"
    version: str = c.VERSION_2
    stages: int = 1
    compat: str = "2025_09"
    human_filter: bool = True
    progress: str = "v2"
    track_speed: str = "first"

    def __post_init__(self) -> None:
        _check(self.progress, self.track_speed)
        if self.compat not in COMPATS:
            raise UnknownNameError("compat", self.compat, COMPATS)
        if self.stages not in (1, 2):
            raise InputError(f"epdms has 1 or 2 stages, not {self.stages}")

    @property
    def modes(self) -> tuple[str, ...]:
        return ("pseudo", "closed") if self.stages == 1 else ("pseudo",)

    def evaluate(self, run: RunLog) -> Evaluation:
        """The score of a run; a failed one scores 0. Raises InputError for a run without a road map."""
        _check_road(run, self.name)
        if self.stages == 2:
            return _evaluation(run, self._two_stages(run), self.recompute)
        if run.mode == "pseudo":
            now = frame_moment(run, FrameKind.NOW)
            before = frame_moment(run, FrameKind.PREVIOUS)
            rows = [] if now is None else [self._columns(run, now, _extended(now, before))]
        else:
            rows = [self._columns(run, m, _extended_of_plans(run, m.time)) for m in windows(run)]
        return _evaluation(run, _merge(rows, c.MULTIPLIERS_2, NAMES_2), self.recompute)

    def recompute(self, columns: Mapping[str, float | None]) -> float:
        """The score from the values of its metrics."""
        if self.stages == 1:
            return epdms(columns)
        firsts = [epdms({n: columns.get(f"{kind}.{n}") for n in NAMES_2}) for kind in _KINDS]
        seconds = [columns.get(f"{kind}.second_stage") or 0.0 for kind in _KINDS]
        return two_stages(list(zip(firsts, seconds, strict=True)))

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        texts = dict(EPDMS_TEXTS if self.stages == 1 else TWO_STAGE_TEXTS)
        if self.name != "epdms":
            texts[self.name] = texts.pop("epdms")
        return texts

    def _columns(self, run: RunLog, moment: Moment, extended: float | None) -> Columns:
        course = course_of(run, moment)
        if course is None:
            return {}
        theirs, own = find(run, moment, course, [course.reference, moment.ego], track_speed=self.track_speed)
        kept, they_kept = own.product(c.MULTIPLIERS_2), theirs.product(c.MULTIPLIERS_2)
        held = history_comfort(moment.past, moment.ego, run.vehicle.rear_axle_to_center)
        columns: Columns = {name: getattr(own, name, None) for name in NAMES_2}
        columns["ego_progress"] = ego_progress(own.progress, kept, theirs.progress, they_kept, self.progress)
        columns["history_comfort"] = float(all(held.values()))
        columns["two_frame_extended_comfort"] = extended
        filtered = columns
        if self.human_filter and moment.human is not None:
            (human,) = find(run, moment.human, course, [moment.human.ego], track_speed=self.track_speed)
            filtered = human_filter(columns, asdict(human))
        changed = sum(filtered[name] != value for name, value in columns.items())
        figures = {"metres": own.progress, "pdm_metres": theirs.progress, "filtered": float(changed)}
        return {**(columns if self.compat == "pre_2025_09" else filtered), **figures}

    def _two_stages(self, run: RunLog) -> dict[str, MetricResult]:
        frames = run.frames
        if frames is None:
            return {}
        pairs = sorted({int(p) for p in frames.pair if p > 0})
        metrics: dict[str, MetricResult] = {}
        extended = {
            pair: _extended(*(frame_moment(run, kind, pair) for kind in _KINDS.values()))
            for pair in (0, *pairs)
        }
        for name, kind in _KINDS.items():
            first = frame_moment(run, kind)
            later = [m for p in pairs if (m := frame_moment(run, kind, p)) is not None]
            if first is None or first.end is None or not later:
                return {}
            columns = self._columns(run, first, extended[0])
            rows = [self._columns(run, m, extended[p]) for m, p in zip(later, pairs, strict=True)]
            weights = stage_weights(first.end, [m.ego[0, :2] for m in later])
            second = float(np.dot(weights, [epdms(row) for row in rows]))
            metrics |= {f"{name}.{n}": _metric(columns.get(n)) for n in NAMES_2}
            metrics[f"{name}.second_stage"] = MetricResult(
                second, statistics={"starts": len(rows), "largest_weight": float(weights.max())}
            )
            # Told as NAVSIM does: means that do not multiply to the score.
            for n in NAMES_2:
                told = [
                    (v, float(w))
                    for w, row in zip(weights, rows, strict=True)
                    if (v := row.get(n)) is not None
                ]
                share = sum(w for _, w in told)
                mean = sum(v * w for v, w in told) / share if share > 0.0 else None
                metrics[f"{name}.second_stage.{n}"] = MetricResult(mean, mean is not None, scored=False)
        return metrics


def _check(progress: str, track_speed: str) -> None:
    if progress not in PROGRESS_MODES:
        raise UnknownNameError("progress mode", progress, PROGRESS_MODES)
    if track_speed not in ("first", "now"):
        raise UnknownNameError("track speed", track_speed, ("first", "now"))


def _check_road(run: RunLog, name: str) -> None:
    if run.terrain is not None or run.roadmap is None:
        raise InputError(f"the score '{name}' is for runs on roads with a road map")


def _moments(run: RunLog) -> list[Moment]:
    if run.mode != "pseudo":
        return windows(run)
    now = frame_moment(run, FrameKind.NOW)
    return [] if now is None else [now]


def _extended(now: Moment | None, before: Moment | None) -> float | None:
    """Extended comfort of two frames; None without both."""
    if now is None or before is None:
        return None
    return extended_comfort(extended_differences(now.ego, before.ego))


def _extended_of_plans(run: RunLog, time: float) -> float | None:
    """Extended comfort of the plans that held at a time of a closed loop and half a second later."""
    before, now = planned(run, time), planned(run, time + c.APART * c.DT)
    return None if before is None or now is None else extended_comfort(extended_differences(now, before))


def _metric(value: float | None) -> MetricResult:
    return MetricResult.missing() if value is None else MetricResult(float(value))


def _merge(
    rows: Sequence[Columns], multipliers: Sequence[str], names: Sequence[str]
) -> dict[str, MetricResult]:
    """Of several stretches the worst of each multiplier, the mean of each other metric, sums of figures."""
    metrics: dict[str, MetricResult] = {}
    for name in (*names, *FIGURES):
        values = [v for row in rows if (v := row.get(name)) is not None]
        if name in FIGURES:
            if values:
                metrics[name] = MetricResult(float(sum(values)), scored=False)
        elif not values:
            metrics[name] = MetricResult.missing()
        else:
            value = min(values) if name in multipliers else sum(values) / len(values)
            metrics[name] = MetricResult(float(value), statistics={"stretches": len(values)})
    return metrics


def _evaluation(
    run: RunLog, metrics: dict[str, MetricResult], recompute: Callable[[Columns], float]
) -> Evaluation:
    failed = run.header.get("failure") is not None or not metrics
    columns: Columns = {name: metric.score for name, metric in metrics.items() if metric.scored}
    return Evaluation(0.0 if failed else recompute(columns), metrics)


PDMS = PDMScore()
EPDMS = ExtendedPDMScore()
EPDMS_PRE_2025_09 = ExtendedPDMScore("epdms_pre_2025_09", compat="pre_2025_09")
EPDMS_TWO_STAGE = ExtendedPDMScore("epdms_two_stage", stages=2)
EPDMS_TWO_STAGE_PRE_2025_09 = ExtendedPDMScore("epdms_two_stage_pre_2025_09", stages=2, compat="pre_2025_09")
