"""The figures of speed in the documentation, measured again: `python -m drive.eval.perf_docs [planners]`.

Run in the folder of the sources; with `planners`, only their table is measured. Each block of figures is
found by the command that stands in the text above it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from drive.errors import InputError
from drive.eval import perf_growth, perf_planners
from drive.eval.perf_table import everything, printed, rate, seconds

COMMAND, GROWTH = "drive perf --cold", "drive perf --growth docs/images/perf_growth.svg"
PLANNERS = "drive perf --planners"
SHORT = (
    "step", "step/20", "rollout", "score", "pdm/call", "pdm/drive", "pdm/metrics", "pdm/total",
    "start/import", "start/help",
)  # fmt: skip
"""The rows that the README shows."""
KEPT = ("name", "unit", "threads", "cpu_s", "wall_s")
"""What a reference keeps of a row."""
DIGITS = 4


def main() -> None:
    """Measure everything, and write the reference of this processor, the tables and the picture."""
    asked = sys.argv[1:]
    if asked not in ([], ["planners"]):
        raise SystemExit("give no argument, or planners to measure nothing else")
    root = Path.cwd()
    files = {name: root / name for name in ("README.md", "docs/performance.md", "eval/perf_reference.json")}
    for name, path in files.items():
        if not path.is_file():
            raise SystemExit(f"there is no {name} here; run this in the folder of the sources")

    def note(line: str) -> None:
        print(f"{line} ...", file=sys.stderr)

    calls = perf_planners.measure(perf_planners.planner_table(others=False), note=note)
    guide = refilled(files["docs/performance.md"].read_text(), PLANNERS, perf_planners.printed(calls))
    files["docs/performance.md"].write_text(guide)
    if asked:
        return
    found, grown = everything(("pdm",), True, (), note), perf_growth.measure(note)
    readme = files["README.md"].read_text()
    readme = refilled(readme, COMMAND, short(found))
    guide = refilled(refilled(guide, COMMAND, printed(found)), GROWTH, perf_growth.table(grown))
    kept = json.loads(files["eval/perf_reference.json"].read_text())
    kept[found["machine"]["cpu"]] = reference(found)
    files["README.md"].write_text(readme)
    files["docs/performance.md"].write_text(guide)
    files["eval/perf_reference.json"].write_text(json.dumps(kept, indent=1) + "\n")
    (root / "docs" / "images" / "perf_growth.svg").write_text(perf_growth.svg(grown))


def refilled(text: str, command: str, block: str) -> str:
    """A Markdown text whose first indented block after `command`, as code, is this one.

    Raises InputError where there is no such command or no block after it.
    """
    lines = text.splitlines()
    named = [k for k, line in enumerate(lines) if f"`{command}`" in line]
    begin = next((k for k in range(named[0], len(lines)) if lines[k].startswith("    ")), -1) if named else -1
    if begin < 0:
        raise InputError(f"the text has no indented block after `{command}`")
    end = begin
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    filled = [f"    {line}".rstrip() for line in block.rstrip().splitlines()]
    return "\n".join([*lines[:begin], *filled, "", *lines[end:]]).rstrip() + "\n"


def short(found: dict[str, Any]) -> str:
    """The rows in SHORT, process times only."""
    by_name = {row["name"]: row for row in found["rows"]}
    rows = [by_name[name] for name in SHORT]
    head = f"{'what':<14}{'process time':>13}  {'of a':<15}{'a second':>9}"
    return "\n".join([head, *(_short(row) for row in rows)])


def _short(row: dict[str, Any]) -> str:
    often = rate(row["per_cpu_s"]) if row["unit"].endswith("-step") else ""
    return f"{row['name']:<14}{seconds(row['cpu_s']):>13}  {row['unit']:<15}{often:>9}  {row['about']}"


def reference(found: dict[str, Any]) -> dict[str, Any]:
    """What `perf_reference.json` keeps of the figures: rounded, and without what is worked out from them."""
    rows = [
        {key: float(f"{row[key]:.{DIGITS}g}") if key.endswith("_s") else row[key] for key in KEPT}
        for row in found["rows"]
    ]
    return {
        "command": f"{COMMAND} --json",
        "machine": found["machine"],
        "versions": found["versions"],
        "rows": rows,
    }


if __name__ == "__main__":
    main()
