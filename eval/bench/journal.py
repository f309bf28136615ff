"""`runs.jsonl`: one line a finished scenario-run, so that a killed benchmark goes on where it was.

The first line holds the configuration. Each line reaches the disk before the next drive counts; a last
line that was cut off is dropped when the file is read again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drive.errors import DriveError, InputError
from drive.files import parse_json

SCHEMA = "drive-bench-runs/1"
NAME = "runs.jsonl"
RESULTS = "results.json"

Record = dict[str, Any]
Key = tuple[str, str]
"""Scenario id and planner label."""


class OutputError(DriveError):
    """The output folder cannot be written; what was written stays."""


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other benchmarks out of the folder; a kill lets go of it as well.

    Raises `InputError` where another one is at work there. What is wrong with the folder `prepare` tells.
    """
    try:
        import fcntl

        out.mkdir(parents=True, exist_ok=True)
        folder = os.open(out, os.O_RDONLY)
    except (ImportError, OSError):  # not on every system
        yield
        return
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another benchmark is at work in '{out}'; wait for it, or give another --out"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(folder)


def prepare(out: Path, resume: bool, force: bool) -> None:
    """Make the folder, or say why it may not be used. With `force` an earlier benchmark in it is removed."""
    if resume and force:
        raise InputError("--resume and --force exclude each other")
    made = [out / RESULTS, out / NAME]
    if not resume and any(path.exists() for path in made):
        if not force:
            what = "a finished" if made[0].exists() else "an unfinished"
            raise InputError(
                f"'{out}' holds {what} benchmark: "
                "go on with --resume, replace it with --force, or give another --out"
            )
        for path in [*made, *sorted((out / "runs").glob("*/*.drive.npz"))]:
            path.unlink(missing_ok=True)
    try:
        (out / "runs").mkdir(parents=True, exist_ok=True)
        probe = out / f".write.{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write to '{out}': {error.strerror}; give another --out") from None


def read(out: Path, config: Mapping[str, Any]) -> dict[Key, Record]:
    """Finished scenario-runs in the folder, of which the logs are there too.

    Cuts off a damaged end. Raises `InputError` when they were made with another configuration.
    """
    path = out / NAME
    if not path.exists():
        return {}
    lines, good = _parse(path)
    if not lines:
        path.unlink()
        return {}
    if good < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(good)
    head = lines[0]
    if head.get("schema") != SCHEMA:
        raise InputError(f"'{path}' has version '{head.get('schema')}', this toolkit writes '{SCHEMA}'")
    differing = [key for key in config if head["config"].get(key) != config[key]]
    if differing:
        key = differing[0]
        place, was, now = _parted(key, head["config"].get(key), config[key])
        raise InputError(
            f"'{out}' was made with different {' and '.join(differing)} "
            f"({place}: {_short(was)}, now {_short(now)}); give another --out or drop --resume"
        )
    records = {(line["scenario"], line["planner"]): line for line in lines[1:]}
    return {
        key: record
        for key, record in records.items()
        if record["run"] is None or _is_there(out / record["run"])
    }


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


class Journal:
    """Appends lines that survive a kill."""

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        self._path = out / NAME
        fresh = not self._path.exists()
        try:
            self._file = self._path.open("ab")
        except OSError as error:
            raise OutputError(f"cannot write '{self._path}': {error.strerror}") from None
        if fresh:
            self._write({"schema": SCHEMA, "config": dict(config)})

    def append(self, record: Record) -> None:
        """Add a scenario-run; raises `OutputError` when the disk is full."""
        self._write(record)

    def close(self) -> None:
        self._file.close()

    def _write(self, line: Record) -> None:
        data = json.dumps(line, sort_keys=True, allow_nan=False).encode() + b"\n"
        try:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"cannot write '{self._path}': {error.strerror}; what is finished stays, go on with --resume"
            ) from None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}; go on with --resume") from None
    finally:
        part.unlink(missing_ok=True)


def _parse(path: Path) -> tuple[list[Record], int]:
    """The lines, and how many bytes of the file are good; damage anywhere but at the end raises."""
    data = path.read_bytes()
    lines: list[Record] = []
    good = start = 0
    bad = 0
    number = 0
    while start < len(data):
        end = data.find(b"\n", start)
        number += 1
        line = data[start : end if end >= 0 else len(data)]
        start = end + 1 if end >= 0 else len(data)
        try:
            value = parse_json(line)
            whole = end >= 0 and (_headed(value) if number == 1 else _recorded(value))
        except ValueError:
            whole = False
        if not whole:
            bad = bad or number
            continue
        if bad:
            raise InputError(f"'{path}' is damaged in line {bad}; give another --out or --force")
        lines.append(value)
        good = start
    return lines, good


def _headed(value: Any) -> bool:
    """Whether a first line may be one; what else stands there is its version's own matter."""
    if not isinstance(value, dict):
        return False
    return value.get("schema") != SCHEMA or isinstance(value.get("config"), dict)


def _recorded(value: Any) -> bool:
    """Whether a line is that of a scenario-run."""
    if not isinstance(value, dict) or not {"scenario", "planner", "run"} <= value.keys():
        return False
    named = isinstance(value["scenario"], str) and isinstance(value["planner"], str)
    return named and isinstance(value["run"], str | None)


def _parted(place: str, was: Any, now: Any) -> tuple[str, Any, Any]:
    """Where two values differ first, and what each has there; of lists of named things the names."""
    if isinstance(was, dict) and isinstance(now, dict):
        key = next(key for key in [*was, *now] if was.get(key) != now.get(key))
        return _parted(f"{place}.{key}", was.get(key), now.get(key))
    if not (isinstance(was, list) and isinstance(now, list)):
        return place, was, now
    names = [
        [item["name"] for item in side if isinstance(item, dict) and "name" in item] for side in (was, now)
    ]
    if not (names[0] and names[1]):
        return place, was, now
    if names[0] != names[1]:
        return place, ", ".join(names[0]), ", ".join(names[1])
    row = next((k for k in range(min(len(was), len(now))) if was[k] != now[k]), 0)
    return _parted(names[0][row], was[row], now[row])


def _short(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
