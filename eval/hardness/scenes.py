"""Thousands of scenes in one benchmark: is each accounted for, and does the memory stay flat?"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from drive.errors import DriveError
from drive.eval.bench.journal import NAME, RESULTS
from drive.eval.hardness.memory import Sample, growth, watch

FAMILIES = ("stop_for_lead", "cut_in", "dense_merge", "signalised_intersection", "parked_vehicle")
DISTINCT = 500
"""Generated scenes of which short ones are made."""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the scenes of a benchmark, and of its memory.

    `lines` of the journal, `rows` of the results, `logs` on the disk and `scored` of the rows; MiB after a
    tenth of the scenes and at their end, and KiB more a scene, of the command and of its largest child.
    """

    asked: int
    lines: int
    rows: int
    logs: int
    scored: int
    failures: dict[str, int]
    parent: tuple[float, float, float]
    child: tuple[float, float, float]
    seconds: float
    status: int

    @property
    def complete(self) -> bool:
        """Whether each scene asked for has one line, one row and a score or a failure."""
        return self.status == 0 and self.asked == self.lines == self.rows == self.scored + sum(
            self.failures.values()
        )

    def row(self) -> str:
        """One line of a table."""
        failed = ", ".join(f"{n} {what}" for what, n in sorted(self.failures.items())) or "none"
        held = "; ".join(
            f"{who} {a:.0f} MiB after a tenth, {b:.0f} at the end ({k:+.1f} KiB a scene)"
            for who, (a, b, k) in (("command", self.parent), ("worker", self.child))
        )
        counts = f"{self.lines} lines, {self.rows} rows, {self.logs} logs, {self.scored} scored"
        return (
            f"{self.asked} scenes: {counts}, failures: {failed}; {held}; {self.seconds:.0f} s, "
            f"exit status {self.status}"
        )


def write_scenes(folder: Path, count: int, steps: int, distinct: int = DISTINCT) -> Path:
    """`count` scene files of `steps` steps: the beginnings of `distinct` generated scenes, again and again.

    The benchmark gives those of one id ids of their own, and with these seeds of their own.
    """
    from drive.datasets.native import save_scene
    from drive.datasets.source import load
    from drive.eval.bench.worker import shortened

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06d}.scene.npz"
        if number < distinct:
            family, seed = FAMILIES[number % len(FAMILIES)], number // len(FAMILIES)
            save_scene(shortened(load(f"gen/{family}/{seed}"), steps), path)
        else:
            shutil.copyfile(folder / f"{number % distinct:06d}.scene.npz", path)
    return folder


def drive_many(
    count: int, out: Path, planner: str = "constant", jobs: int = 2, steps: int = 0, resume: bool = False
) -> Account:
    """Drive `count` generated scenes, those of `FAMILIES` in equal parts, by `drive bench`, and count.

    Whole ones where `steps` is 0, else files of their first steps (`write_scenes`), which lie in OUT-scenes.
    Memory over time goes to OUT-memory.csv, what the command says to OUT.log. Raises DriveError where the
    benchmark leaves no results.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if steps:
        scenes = [str(write_scenes(out.with_name(f"{out.name}-scenes"), count, steps))]
    else:
        parts = [count // len(FAMILIES) + (k < count % len(FAMILIES)) for k in range(len(FAMILIES))]
        scenes = [f"gen/{family}/0:{part}" for family, part in zip(FAMILIES, parts, strict=True) if part]
    arguments = [
        sys.executable, "-m", "drive", "bench", *scenes, "--planner", planner, "--jobs", str(jobs),
        "--out", str(out), "--resume" if resume else "--force",
    ]  # fmt: skip
    log = out.with_name(f"{out.name}.log")
    with open(out.with_name(f"{out.name}-memory.csv"), "w", newline="", encoding="utf-8") as file:
        seen = watch(arguments, log, _Lines(out / NAME).count, _Table(file).add)
    return account(count, out, seen.samples, seen.status, seen.printed)


def account(count: int, out: Path, samples: Sequence[Sample], status: int, printed: str) -> Account:
    """Count what lies in the folder of a benchmark of one planner."""
    try:
        rows = json.loads((out / RESULTS).read_text(encoding="utf-8"))["planners"][0]["scenarios"]
    except (OSError, ValueError) as error:
        raise DriveError(f"'{out}' holds no results ({error}): {printed.strip()[-200:]}") from None
    lines = [json.loads(line) for line in (out / NAME).read_text(encoding="utf-8").splitlines()[1:]]
    held: Counter[int] = Counter()
    for sample in samples:
        held.update({child: int(mib) for child, mib in sample.children.items()})
    largest = max(held, key=lambda child: held[child], default=None)
    return Account(
        asked=count,
        lines=len({line["scenario"] for line in lines}),
        rows=len({row["id"] for row in rows}),
        logs=sum((out / row["run"]).is_file() for row in rows if row["run"] is not None),
        scored=sum(row["valid"] and row["failure"] is None for row in rows),
        failures=dict(Counter(row["failure"] for row in rows if row["failure"] is not None)),
        parent=growth(samples),
        child=growth(samples, largest) if largest is not None else (float("nan"),) * 3,
        seconds=samples[-1].time if samples else 0.0,
        status=status,
    )


class _Lines:
    """Counts the drives in a journal that grows, reading each byte once."""

    def __init__(self, path: Path) -> None:
        self.path, self.at, self.found = path, 0, -1  # the first line is no drive

    def count(self) -> int:
        try:
            with open(self.path, "rb") as file:
                file.seek(self.at)
                data = file.read()
        except OSError:
            return 0
        self.at += len(data)
        self.found += data.count(b"\n")
        return max(self.found, 0)


class _Table:
    """Samples as rows of a table, each written at once: a run that is stopped has shown what it held."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.table = file, csv.writer(file)
        self.table.writerow(("seconds", "drives", "command_mib", "children_mib"))

    def add(self, s: Sample) -> None:
        children = " ".join(f"{held:.1f}" for held in s.children.values())
        self.table.writerow((f"{s.time:.1f}", s.done, f"{s.parent:.1f}", children))
        self.file.flush()
