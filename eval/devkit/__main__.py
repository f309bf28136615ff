"""Regenerates the golden comparison where the devkit is at hand: `python -m drive.eval.devkit --help`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from drive.errors import DriveError
from drive.eval.devkit.scenes import SCENES, SCRIPTS, TRAFFIC, planners_of
from drive.eval.devkit.scripted import Scripted


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m drive.eval.devkit",
        description="Drive the golden scenes in the nuPlan devkit and compare it with ours. Finished drives "
        "are kept in the working folder, so that a run that was stopped goes on.",
    )
    parser.add_argument("--devkit", type=Path, help="the devkit's checkout, if it is not installed")
    parser.add_argument("--work", type=Path, default=Path("out/devkit"), help="where drives are kept")
    parser.add_argument("--scene", action="append", help="only this scene; may be repeated")
    parser.add_argument("--table", type=Path, help="where the table goes, as JSON")
    parser.add_argument("--states", type=Path, help="where the drives for the tests go, as npz")
    parser.add_argument("--no-drive", action="store_true", help="compare what the working folder holds")
    parser.add_argument("--speed", action="store_true", help="measure the speed on the scenes instead")
    options = parser.parse_args()
    try:
        return run(options)
    except DriveError as error:
        print(f"drive: error: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """What the options ask for; 1 where A finds a difference or a drive failed."""
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    scenes = options.scene or SCENES
    if options.speed or not options.no_drive:
        from drive.sim.nuplan.devkit import find_devkit

        find_devkit(options.devkit)
    if options.speed:
        from drive.eval.devkit.speed import speed

        found = speed(scenes, work)
        print(f"median {found['median_ratio']:.1f} times, smallest {found['smallest_ratio']:.1f} times")
        return 0
    if not options.no_drive:
        from drive.eval.devkit.drives import drive_scene

        for scene in dict.fromkeys((*SCRIPTS, *SCENES)):
            if scene not in scenes:
                continue
            for traffic in TRAFFIC:
                scripts = [Scripted(s) for s in SCRIPTS.get(scene, ())] if traffic == "log" else []
                drive_scene(scene, [*planners_of(scene, traffic), *scripts], traffic, work)
    from drive.eval.devkit.store import save
    from drive.eval.devkit.table import make_table, pick

    table, drives = make_table(list(work.glob("*.json")), work)
    if options.table is not None:
        options.table.write_text(dumps(table), encoding="utf-8")
    if options.states is not None:
        save(options.states, pick(drives))
    rows = table["drives"]
    bad = [row for row in rows if row["failure"] or "different" in row or row["score_difference"] > 1e-6]
    flipped = [row for row in rows if row.get("own_loop", {}).get("cause")]
    print(f"{len(rows)} drives; {len(bad)} differ or failed; {len(flipped)} flipped in our own loop")
    return 1 if bad else 0


def dumps(table: dict[str, object]) -> str:
    """The table as JSON, one drive a line."""
    rows = table["drives"]
    assert isinstance(rows, list)
    lines = ",\n".join(json.dumps(row, sort_keys=True, allow_nan=False) for row in rows)
    return f'{{"versions": {json.dumps(table["versions"], sort_keys=True)},\n"drives": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    sys.exit(main())
