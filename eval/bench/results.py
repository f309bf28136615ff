"""The results of a benchmark, as an object: tables, pairs, the files they came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError, MissingExtraError, UnknownNameError
from drive.eval.bench.journal import NAME, RESULTS
from drive.eval.bench.statistics import Estimate, paired_difference
from drive.files import parse_json

if TYPE_CHECKING:
    from drive.runlog import RunLog

SCHEMA = "drive-bench/1"
PARTS = ("suite", "scores", "planners")
ROW = {"id", "family", "valid", "failure", "reason", "expert_source", "goal_reached", "seed", "run"}
"""What each scenario of a planner has, beside its hash, metrics and times."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of `first - second` over the scenarios of both, with its 95 % interval.

    `unpaired` counts scenarios that only one of them has, or that differ in content.
    """

    score: str
    first: str
    second: str
    mean: float | None
    ci95: tuple[float, float] | None
    n: int
    unpaired: int = 0

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.ci95 is not None and (self.ci95[0] > 0.0 or self.ci95[1] < 0.0)


@dataclass(frozen=True, eq=False)
class Results:
    """What `results.json` holds (`data`, schema "drive-bench/1") and the folder it lies in."""

    data: Mapping[str, Any]
    path: Path

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Read the results in a folder; raises `InputError` saying what is wrong with it."""
        path = Path(folder)
        file = path if path.name == RESULTS else path / RESULTS
        try:
            data = parse_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            hint = "; it is unfinished, go on with --resume" if (path / NAME).exists() else ""
            raise InputError(f"'{folder}' holds no {RESULTS}{hint}") from None
        except NotADirectoryError:
            raise InputError(f"'{folder}' is a file; give a folder that drive bench wrote") from None
        except (OSError, ValueError) as error:
            raise InputError(f"'{file}' cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            version = data.get("schema") if isinstance(data, dict) else None
            raise InputError(f"'{file}' has version '{version}', this toolkit reads '{SCHEMA}'")
        if missing := [name for name in PARTS if name not in data]:
            raise InputError(f"'{file}' is incomplete: it lacks {', '.join(missing)}")
        if wrong := _wrong(data):
            raise InputError(f"'{file}' is damaged: {wrong}; go on with --resume to write it again")
        return cls(data, file.parent)

    def __repr__(self) -> str:
        about = f"{', '.join(self.planners)} in {self.data['suite']['scenarios']} scenarios"
        return f"Results({about}, '{self.path}')"

    @property
    def planners(self) -> tuple[str, ...]:
        return tuple(planner["name"] for planner in self.data["planners"])

    @property
    def scores(self) -> tuple[str, ...]:
        return tuple(self.data["scores"])

    @property
    def score(self) -> str:
        """The first of the scores; raises `InputError` where there is none."""
        if not self.scores:
            raise InputError(f"the results in '{self.path}' have no score")
        return self.scores[0]

    def planner(self, name: str) -> Mapping[str, Any]:
        """The entry of one planner; raises `UnknownNameError`."""
        for planner in self.data["planners"]:
            if planner["name"] == name:
                found: Mapping[str, Any] = planner
                return found
        raise UnknownNameError("planner in these results", name, self.planners)

    def values(self, planner: str, score: str | None = None) -> dict[str, float]:
        """Scenario id -> score (or metric) of a planner, over the scenarios that count."""
        name = score or self.score
        rows = [row for row in self.planner(planner)["scenarios"] if row["valid"]]
        found = {row["id"]: row["metrics"][name] for row in rows if row["metrics"].get(name) is not None}
        if not found and rows:
            known = dict.fromkeys(key for row in rows for key in row["metrics"])
            raise UnknownNameError("score or metric in these results", name, known)
        return found

    def hashes(self, planner: str) -> dict[str, str]:
        """Scenario id -> content hash."""
        return {row["id"]: row.get("hash", "") for row in self.planner(planner)["scenarios"]}

    def paired(self, first: str, second: str, score: str | None = None) -> PairedDifference:
        """How much better `first` is than `second`, scenario by scenario."""
        return compare((self, first), (self, second), score)

    def run_log(self, planner: str, scenario: str) -> RunLog:
        """The log of one scenario-run."""
        from drive.runlog import RunLog

        rows = {row["id"]: row for row in self.planner(planner)["scenarios"]}
        if scenario not in rows:
            raise UnknownNameError("scenario in these results", scenario, rows)
        if rows[scenario].get("run") is None:
            raise InputError(f"{planner} left no log of {scenario}: {rows[scenario].get('reason')}")
        return RunLog.load(self.path / rows[scenario]["run"])

    def to_pandas(self) -> Any:
        """A pandas DataFrame: one row a planner and scenario, one column a metric."""
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise MissingExtraError("pandas", "pandas") from None
        rows = [
            {
                "planner": planner["name"],
                **{key: row[key] for key in row if key in ROW},
                **row["metrics"],
                "latency_p50_ms": (row.get("latency_ms") or {}).get("p50"),
                "latency_p95_ms": (row.get("latency_ms") or {}).get("p95"),
                "wall_s": row.get("wall_s"),
                "cpu_s": row.get("cpu_s"),
            }
            for planner in self.data["planners"]
            for row in planner["scenarios"]
        ]
        return pd.DataFrame(rows)


def _wrong(data: Mapping[str, Any]) -> str | None:
    """What in results is not as it is written, of that which everything else relies on."""
    if not isinstance(data["suite"], dict) or not isinstance(data["suite"].get("scenarios"), int):
        return "its suite has no number of scenarios"
    if not isinstance(data["scores"], dict):
        return "its scores are no table"
    planners = data["planners"]
    if not isinstance(planners, list) or not all(isinstance(planner, dict) for planner in planners):
        return "its planners are no list of tables"
    for planner in planners:
        if not isinstance(planner.get("name"), str) or not isinstance(planner.get("scores"), dict):
            return "a planner lacks its name or scores"
        rows = planner.get("scenarios")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and _sound(row) for row in rows):
            return f"the scenarios of planner '{planner['name']:.40}' are not whole"
    return None


def _sound(row: Mapping[str, Any]) -> bool:
    """Whether a planner's entry for one scenario has what it must, and nothing of another kind: what was
    written by other versions may lack the rest."""
    metrics = row.get("metrics")
    return (
        isinstance(row.get("id"), str)
        and isinstance(row.get("valid"), bool)
        and isinstance(metrics, dict)
        and all(value is None or _number(value) for value in metrics.values())
        and all(row.get(key) is None or _number(row[key]) for key in ("wall_s", "cpu_s"))
        and all(isinstance(row.get(key), str | None) for key in ("hash", "family", "run", "reason"))
        and isinstance(row.get("latency_ms"), dict | None)
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def compare(
    first: tuple[Results, str], second: tuple[Results, str], score: str | None = None
) -> PairedDifference:
    """Paired difference between two planners, of one benchmark or of two.

    Scenarios pair where id and content are equal: a file that changed is another scenario.
    """
    name = score or first[0].score
    values = [results.values(planner, name) for results, planner in (first, second)]
    hashes = [results.hashes(planner) for results, planner in (first, second)]
    same = {key for key in values[0].keys() & values[1].keys() if hashes[0][key] == hashes[1][key]}
    found: Estimate = paired_difference(*({key: v[key] for key in same} for v in values))
    unpaired = len(values[0].keys() | values[1].keys()) - len(same)
    return PairedDifference(name, first[1], second[1], found.mean, found.ci95, found.n, unpaired)


def compare_folders(folders: Sequence[str | Path], score: str | None = None) -> list[PairedDifference]:
    """All differences worth a look: between the planners of one folder, or of each planner between folders.

    With several folders each later one is compared with the first; planners pair by name, or where each
    folder has a single planner, those two. Without a `score` all that both have are compared.
    """
    if not folders:
        raise InputError("give at least one folder with results")
    loaded = [Results.load(folder) for folder in folders]
    found: list[PairedDifference] = []
    if len(loaded) == 1:
        only = loaded[0]
        best = ranked(only, score)
        if len(best) < 2:
            raise InputError(f"'{folders[0]}' has one planner only; give a second folder to compare it with")
        wanted = only.scores if score is None else (score,)
        return [only.paired(a, b, s) for s in wanted for i, a in enumerate(best) for b in best[i + 1 :]]
    base, base_folder = loaded[0], folders[0]
    for other, folder in zip(loaded[1:], folders[1:], strict=True):
        pairs = [(name, name) for name in base.planners if name in other.planners]
        if not pairs and len(base.planners) == len(other.planners) == 1:
            pairs = [(base.planners[0], other.planners[0])]
        if not pairs:
            raise InputError(f"'{base_folder}' and '{folder}' have no planner in common")
        names = [s for s in base.scores if s in other.scores] if score is None else [score]
        if not names:
            told = f"{', '.join(base.scores)}; {', '.join(other.scores)}"
            raise InputError(f"'{base_folder}' and '{folder}' have no score in common ({told})")
        for name in names:
            for a, b in pairs:
                difference = compare((other, b), (base, a), name)
                found.append(replace(difference, first=f"{folder}: {b}", second=f"{base_folder}: {a}"))
    return found


def ranked(results: Results, score: str | None = None) -> list[str]:
    """The planners, best mean first."""
    name = score or results.score

    def mean(planner: str) -> float:
        values = results.values(planner, name)
        return sum(values.values()) / len(values) if values else -1.0

    return sorted(results.planners, key=lambda planner: (-mean(planner), planner))
