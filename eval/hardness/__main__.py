"""`python -m drive.eval.hardness fuzz | kills | scenes`: tries to break the toolkit and counts."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from drive.errors import DriveError, UnknownNameError


def main() -> int:
    """The command; 0 where nothing broke."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.hardness", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    scenes = commands.add_parser(
        "scenes", help="many generated scenes in one benchmark: all counted, memory flat?"
    )
    scenes.add_argument("--count", type=int, default=10_000)
    scenes.add_argument("--planner", default="constant")
    scenes.add_argument("--steps", type=int, default=0, help="only so many steps of each; 0: all of them")
    scenes.add_argument("--jobs", type=int, default=2)
    scenes.add_argument("--resume", action="store_true")
    scenes.add_argument("--out", type=Path, default=Path("out/hardness/scenes"))
    fuzz = commands.add_parser("fuzz", help="spoilt files for every reader: each must be read or refused")
    fuzz.add_argument(
        "path", nargs="*", type=Path, help="sound files and folders of scenes, beside our own seeds"
    )
    fuzz.add_argument("--inputs", type=int, default=10_000, help="of each reader")
    fuzz.add_argument("--first", type=int, default=0, help="the number of the first input")
    fuzz.add_argument("--seed", type=int, default=0)
    fuzz.add_argument("--reader", action="append", help="only this one; may be repeated")
    fuzz.add_argument("--out", type=Path, default=Path("out/hardness/fuzz"), help="where findings are kept")
    kills = commands.add_parser(
        "kills", help="a benchmark killed at random moments: resumed to equal results?"
    )
    kills.add_argument("--times", type=int, default=100)
    kills.add_argument("--seed", type=int, default=0)
    kills.add_argument("--scenes", nargs="+", default=["gen/stop_for_lead/0:20", "gen/cut_in/0:20"])
    kills.add_argument("--out", type=Path, default=Path("out/hardness/kills"))
    options = parser.parse_args()
    try:
        return run(options)
    except DriveError as error:
        print(f"drive: error: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """What the options ask for."""
    if options.command == "fuzz":
        return _fuzz(options)
    if options.command == "kills":
        from drive.eval.hardness.kills import kill_often

        killed = kill_often(options.times, options.out, options.scenes, options.seed, note=_note)
        print(killed.row())
        return 0 if killed.equal and killed.logs_equal else 1
    from drive.eval.hardness.scenes import drive_many

    account = drive_many(
        options.count, options.out, options.planner, options.jobs, options.steps, options.resume
    )
    print(account.row())
    return 0 if account.complete else 1


def _fuzz(options: argparse.Namespace) -> int:
    from drive.eval.hardness.fuzz import HEAD, fuzz
    from drive.eval.hardness.seeds import make_seeds
    from drive.eval.hardness.targets import seeds_in, targets

    known = targets()
    for name in options.reader or ():
        if name not in known:
            raise UnknownNameError("reader", name, known)
    with tempfile.TemporaryDirectory(prefix="drive-seeds-") as folder:
        seeds = make_seeds(Path(folder), _note, options.reader or ())
        for name, more in seeds_in(options.path).items():
            seeds.setdefault(name, []).extend(more)
        print(HEAD, flush=True)
        bad = 0
        for name, target in known.items():
            if name not in seeds or (options.reader and name not in options.reader):
                continue
            try:
                tally = fuzz(
                    target, seeds[name], options.inputs, options.seed, options.first, options.out, _note
                )
            except DriveError as error:
                _note(f"drive: error: {error}")
                bad += 1
                continue
            bad += tally.bad
            print(tally.row(), flush=True)
            for found in tally.findings.values():
                _note(f"{name}: input {found.number}: {found.where}")
    return 1 if bad else 0


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
