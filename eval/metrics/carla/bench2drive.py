"""Bench2Drive's driving score, success, efficiency, comfort and abilities, applied to runs of ours.

Source: Bench2Drive 0.0.4 (7ec25d1), `leaderboard/leaderboard/utils/statistics_manager.py`, `tools/*.py`; read
for facts only, its licence forbids more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.eval.metrics.base import Evaluation, MetricResult
from drive.eval.metrics.carla.abilities import ABILITIES, JUNCTION_POINTS, abilities_of, scenario_type
from drive.eval.metrics.carla.comfort import Motion, comfortness
from drive.eval.metrics.carla.constants import RULES_BENCH2DRIVE
from drive.eval.metrics.carla.driving import driving_score, metrics_of
from drive.eval.metrics.carla.explain import OURS, texts
from drive.eval.metrics.carla.record import Record, observe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drive.runlog import RunLog

MAX_EFFICIENCY = 1000.0  # %, what lies above is no checkpoint's value
_TOOL = "Source: Bench2Drive 0.0.4, tools/"


def efficiency(speeds: Sequence[float]) -> float | None:
    """Mean of a route's checkpoints up to 1000 %, in per cent; None where there is none."""
    kept = [p for p in speeds if p <= MAX_EFFICIENCY]
    return sum(kept) / len(kept) if kept else None


def passed_the_sign(
    completion: float, junction: float | None, length: float, counts: Mapping[str, float]
) -> bool:
    """Whether a failed route still shows that signs are obeyed: beyond the first junction by 8 route points,
    and no stop sign or red light run. `completion` and `junction` in per cent, `length` in m."""
    if junction is None or counts.get("stop_infraction", 0) or counts.get("red_light", 0):
        return False
    return completion > junction + 100.0 * JUNCTION_POINTS / max(length, 1.0)


@dataclass(frozen=True, slots=True)
class Bench2DriveScore:
    """A route's driving score; success, efficiency, comfort and abilities are metrics beside it."""

    name: str = "bench2drive"
    version: str = RULES_BENCH2DRIVE.source

    def evaluate(self, run: RunLog) -> Evaluation:
        """Judge a run. A failed run keeps its metrics and scores 0. Raises InputError on terrain."""
        if run.terrain is not None:
            raise InputError("the score 'bench2drive' is for runs on roads")
        record = observe(run, RULES_BENCH2DRIVE)
        if record is None:
            missing = ("route_completion", "infraction_penalty")
            return Evaluation(0.0, {name: MetricResult.missing() for name in missing})
        failed = run.header.get("failure") is not None
        metrics = metrics_of(record, RULES_BENCH2DRIVE) | self._figures(run, record, failed)
        values = {name: metric.score for name, metric in metrics.items()}
        return Evaluation(0.0 if failed else self.recompute(values), metrics)

    def recompute(self, metrics: Mapping[str, float | None]) -> float:
        """The score from the metrics' values, as a table of results holds them; 0 without a route."""
        completion, penalty = metrics.get("route_completion"), metrics.get("infraction_penalty")
        if completion is None or penalty is None:
            return 0.0
        return driving_score(RULES_BENCH2DRIVE, 100.0 * completion, penalty)

    def _figures(self, run: RunLog, record: Record, failed: bool) -> dict[str, MetricResult]:
        success = record.successful and not failed
        speed = efficiency([p for _, p in record.min_speed])
        motion = Motion.of(run, record.end)
        found: dict[str, float | None] = {
            "success": float(success),
            "efficiency": None if speed is None else speed / 100.0,
            "comfortness": comfortness(motion, quirks=True),
            "comfortness_fixed": comfortness(motion, quirks=False),
        }
        scenario = run.header["scenario"]
        kind = scenario_type(str(scenario.get("family") or ""), tuple(scenario.get("tags") or ()))
        able = abilities_of(kind) if kind else ()
        read = passed_the_sign(record.completion, record.junction, record.length, record.counts())
        for name in ABILITIES:
            passed = success or (name == "traffic_signs" and read and not failed)
            found[f"ability_{name}"] = float(passed) if name in able else None
        return {k: MetricResult(v, valid=v is not None, scored=False) for k, v in found.items()}

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """The benchmark's figures over the routes of one planner, each `{"metrics": …, "family", "tags"}`.

        A route without metrics (a planner that failed) counts 0 in score, success and its abilities. An
        ability that no route asks for is None, and so is the mean of the five where one of them is.
        """
        n = len(rows)
        metrics = [row["metrics"] for row in rows]
        found: dict[str, float | None] = {
            "driving_score": sum(m.get(self.name) or 0.0 for m in metrics) / n if n else None,
            "success_rate": sum(m.get("success") or 0.0 for m in metrics) / n if n else None,
            "efficiency": _mean([m.get("efficiency") for m in metrics]),
            "comfortness": _mean([m.get("comfortness") for m in metrics]),
        }
        for name in ABILITIES:
            asked = [
                row["metrics"].get(f"ability_{name}") or 0.0
                for row in rows
                if name in abilities_of(scenario_type(row["family"], row["tags"]) or "")
            ]
            found[f"ability_{name}"] = _mean(asked)
        five = [value for name in ABILITIES if (value := found[f"ability_{name}"]) is not None]
        found["ability_mean"] = sum(five) / len(five) if len(five) == len(ABILITIES) else None
        return found

    def remark(self, suite: Mapping[str, Any]) -> str:
        """What these figures are not: of our suites none is Bench2Drive's route set."""
        return (
            f"bench2drive: the formulas applied to our runs. The scenes' hash {suite['hash'][:16]} is that "
            f"of none "
            "of Bench2Drive's two route sets: these are no figures of that benchmark. 'give_way' has no "
            "scene of ours, so that the abilities have no mean."
        )

    def explain(self) -> dict[str, str]:
        """Rule, source and quirks of each metric, and of the score under its own name."""
        return texts(self.name, RULES_BENCH2DRIVE) | {
            "success": OURS + "1 where the route was completed and nothing was written down but slow "
            "checkpoints. " + _TOOL + "merge_route_json.py.",
            "efficiency": "Not scored. Mean share of the traffic's speed over 20 checkpoints, those above 10 "
            "left out; above 1 is usual. " + _TOOL + "efficiency_smoothness_benchmark.py.",
            "comfortness": "Not scored. Share of the stretches of 20 samples at 20 Hz that keep nuPlan's six "
            "bounds, with the published tool's three slips: 'yaw acceleration' is the yaw rate again, 0.1 s "
            "are "
            "taken for the step, and degrees are held against bounds in radians. "
            + _TOOL
            + "efficiency_smoothness_benchmark.py.",
            "comfortness_fixed": "Not scored. The same without the slips.",
            **{
                f"ability_{name}": "Not scored. Success in scenes whose type counts for this ability; a "
                "generated family stands for the type that asks for the same, others for none. "
                + (
                    "A failed route still counts where it went 8 m beyond its first junction without "
                    "running a "
                    "light or a stop sign. "
                    if name == "traffic_signs"
                    else ""
                )
                + _TOOL
                + "ability_benchmark.py."
                for name in ABILITIES
            },
        }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


BENCH2DRIVE = Bench2DriveScore()
