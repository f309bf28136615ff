"""Rules over many drives: who broke which, when and by what; drives of recorded drivers as they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.errors import DriveError, ScenarioError
from drive.eval.metrics.rules.score import judged
from drive.sim.driven import Lead
from drive.sim.loop import simulate
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from drive.eval.metrics.rules.score import Verdict
    from drive.runlog import RunLog
    from drive.scenario import Scenario
    from drive.stl.book import RuleBook

SEEN = 2.0  # s


@dataclass(frozen=True, slots=True)
class Listing:
    """What drives did about a rule book: verdicts by scenario and rule, and what could not be judged."""

    book: RuleBook
    verdicts: dict[str, dict[str, Verdict]]
    problems: tuple[str, ...] = ()

    def of(self, rule: str) -> dict[str, Verdict]:
        """The verdicts on one rule, by drive."""
        return {drive: found[rule] for drive, found in self.verdicts.items() if rule in found}

    def table(self) -> list[dict[str, Any]]:
        """For each rule: drives that it applies to, those that broke it, and their robustness."""
        rows = []
        for rule in self.book.rules:
            found = self.of(rule.name)
            values = [v.robustness for v in found.values()]
            finite = [v for v in values if math.isfinite(v)]
            rows.append(
                {
                    "rule": rule.name,
                    "text": rule.sentence,
                    "unit": rule.unit,
                    "applies": len(found),
                    "broken": sum(not v.kept for v in found.values()),
                    "least": min(finite) if finite else None,
                    "median": float(np.median(finite)) if finite else None,
                }
            )
        return rows

    def broken(self) -> list[dict[str, Any]]:
        """Every rule that a drive broke, rule by rule, the worst first."""
        rows = []
        for rule in self.book.rules:
            worst = sorted(self.of(rule.name).items(), key=lambda item: item[1].robustness)
            rows += [
                {
                    "rule": rule.name,
                    "drive": drive,
                    "broken_at": verdict.broken_at,
                    "robustness": verdict.robustness if math.isfinite(verdict.robustness) else None,
                    "unit": rule.unit,
                    "predicate": verdict.predicate,
                }
                for drive, verdict in worst
                if not verdict.kept
            ]
        return rows


def recorded_drive(scenario: Scenario) -> RunLog:
    """The run in which the ego does what its recorded driver did, among the others as recorded.

    Raises ScenarioError where there is no such driver.
    """
    expert = scenario.expert
    if expert is None or expert.source == "idm":
        raise ScenarioError(
            f"scenario '{scenario.id}' has no recorded driver; name one, as {scenario.id}@TRACK"
        )
    lead = Lead(expert.states[:, :7], driver=expert.source)
    run = simulate(
        scenario, registry.load_planner("log"), lead=lead, traffic="log", visibility="all",
        planner_name=f"{expert.source} driver",
    )  # fmt: skip
    return run


def everyone(load: Callable[[str], Scenario], refs: Sequence[str]) -> list[str]:
    """References of all motor vehicles that are seen for `SEEN` s in the scenes that references name."""
    scenes = {ref.rpartition("@")[0] or ref: ref for ref in reversed(refs)}
    found: dict[str, None] = {}
    for scene, ref in reversed(scenes.items()):
        try:
            scenario = load(ref)
        except DriveError:
            found[ref] = None  # told when its turn comes
            continue
        tracks = scenario.tracks
        long = tracks.valid.sum(1) * scenario.dt >= SEEN
        motor = [AgentKind(int(kind)).is_motor_vehicle for kind in tracks.kind]
        found |= dict.fromkeys(f"{scene}@{tracks.ids[k]}" for k in np.flatnonzero(long & motor))
    return list(found)


def listed(
    book: RuleBook,
    drives: Sequence[tuple[str, Callable[[], RunLog]]],
    keep: Callable[[RunLog], None] = lambda run: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Listing:
    """Judge drives, each named and made when its turn comes; one that cannot be made is told and left out."""
    verdicts: dict[str, dict[str, Verdict]] = {}
    problems = []
    for n, (name, make) in enumerate(drives):
        progress(n, len(drives))
        try:
            run = make()
            if run.terrain is not None:
                raise ScenarioError(f"{name} is a drive over terrain: the rules are for roads")
            if (failure := run.header.get("failure")) is not None:
                raise ScenarioError(f"{name} failed: {failure['reason']}")
            verdicts[name] = judged(book, run)
        except DriveError as error:
            problems.append(" ".join(str(error).split()))
            continue
        keep(run)
    progress(len(drives), len(drives))
    return Listing(book, verdicts, tuple(problems))
