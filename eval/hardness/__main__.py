"""`python -m drive.eval.hardness fuzz | kills | scenes`: tries to break the toolkit and counts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from drive.errors import DriveError


def main() -> int:
    """The command; 0 where nothing broke."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.hardness", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    scenes = commands.add_parser(
        "scenes", help="many generated scenes in one benchmark: all counted, memory flat?"
    )
    scenes.add_argument("--count", type=int, default=10_000)
    scenes.add_argument("--planner", default="constant")
    scenes.add_argument("--jobs", type=int, default=2)
    scenes.add_argument("--resume", action="store_true")
    scenes.add_argument("--out", type=Path, default=Path("out/hardness/scenes"))
    options = parser.parse_args()
    try:
        return run(options)
    except DriveError as error:
        print(f"drive: error: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """What the options ask for."""
    from drive.eval.hardness.scenes import drive_many

    account = drive_many(options.count, options.out, options.planner, options.jobs, resume=options.resume)
    print(account.row())
    return 0 if account.complete else 1


if __name__ == "__main__":
    sys.exit(main())
