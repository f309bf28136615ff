"""What runs of `autovla` tell: how often its answers are sound, where it thinks slowly, and what that costs.

drive bench --suite test --planner autovla --out out/vla
python -m drive.planners.autovla.told out/vla
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drive.errors import DriveError, InputError
from drive.runlog import SUFFIX, RunLog


@dataclass(slots=True)
class Told:
    """Calls of some runs: latencies in s of fast and of slow answers, how many had none, and scores."""

    fast: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    invalid: int = 0
    other: int = 0
    scores: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """All of them."""
        return len(self.fast) + len(self.slow) + self.invalid + self.other

    def add(self, log: RunLog) -> None:
        """Count a run's calls. Raises InputError for a run of another planner."""
        slow = log.series.get("plan.slow")
        status = log.header.get("plan_status")
        if slow is None or not isinstance(status, list):
            raise InputError(f"{log!r} is no run of autovla")
        for latency, mode, told in zip(log.plan_latency.tolist(), slow.tolist(), status, strict=False):
            if told == "ok" and np.isfinite(mode):
                (self.slow if mode else self.fast).append(latency)
            elif told == "invalid":
                self.invalid += 1
            else:
                self.other += 1
        found = (log.header.get("scores") or {}).get("nuplan_cls")
        if isinstance(found, dict) and isinstance(found.get("score"), float):
            self.scores.append(found["score"])


def told_of(folder: Path) -> dict[str, Told]:
    """By the scenario's family, and under "all"; other planners' runs beside them are passed over.

    Raises InputError where there is no run of autovla.
    """
    found: dict[str, Told] = defaultdict(Told)
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        log = RunLog.load(path)
        if "plan.slow" not in log.series:
            continue
        about = log.header.get("scenario") or {}
        name = str(about.get("id", "")).split("/")
        family = name[1] if len(name) > 2 else "other"
        for key in (family, "all"):
            found[key].add(log)
    if not found:
        raise InputError(f"'{folder}' holds no runs of autovla")
    return dict(found)


def table(found: dict[str, Told]) -> str:
    """One row a family."""
    lines = [f"{'family':<26}{'calls':>7}{'sound':>8}{'slow':>7}{'fast ms':>9}{'slow ms':>9}{'score':>8}"]
    for name, one in sorted(found.items(), key=lambda item: (item[0] == "all", item[0])):
        asked = max(one.calls - one.other, 1)
        shares = (1.0 - one.invalid / asked, len(one.slow) / max(len(one.slow) + len(one.fast), 1))
        cost = [f"{1000.0 * float(np.median(x)):.0f}" if x else "-" for x in (one.fast, one.slow)]
        score = f"{np.mean(one.scores):.3f}" if one.scores else "-"
        lines.append(
            f"{name:<26}{one.calls:>7}{shares[0]:>8.3f}{shares[1]:>7.2f}{cost[0]:>9}{cost[1]:>9}{score:>8}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a folder's runs."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) != 1:
        print("usage: python -m drive.planners.autovla.told FOLDER", file=sys.stderr)
        return 2
    try:
        print(table(told_of(Path(given[0]))))
    except DriveError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
