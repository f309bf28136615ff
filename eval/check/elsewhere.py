"""The same drive in a process of its own, started as the benchmark starts its workers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from drive._imports import one_line
from drive.errors import DriveError
from drive.eval.bench.planners import pickled
from drive.eval.check.courses import course_of
from drive.eval.check.witness import Call, watch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from drive.eval.bench.planners import Entry

PATIENCE = 180.0
"""Seconds after which the process is given up: it may have to compile kernels, and to load weights."""
Answer = list[Call] | str


def drive_elsewhere(entry: Entry, seconds: float, allowance: float) -> Answer | None:
    """The calls of a drive through the first scene in a fresh process, or why there are none.

    None where the planner, given as an object, cannot be taken to another process.
    """
    payload = pickled((entry,))
    if payload is None:
        return None
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, payload, seconds, allowance), daemon=True)
    with _without_main(b"__main__" not in payload):
        process.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE):
            return f"it does not answer within {PATIENCE:g} s in another process"
        answer: Answer = ours.recv()
        return answer
    except (EOFError, OSError):
        process.join(5.0)
        return f"its process ends with status {process.exitcode}"
    finally:
        process.kill()
        process.join()


def _serve(connection: Connection[Any, Any], payload: bytes, seconds: float, allowance: float) -> None:
    from drive.eval.bench.serve import keep_to_ourselves

    keep_to_ourselves()
    # What a planner prints was counted in the drives before; it must not mix with what the command prints.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
    try:
        (entry,) = pickle.loads(payload)
        planner = entry.make()
        course = course_of(planner.spec)
        seen = watch(planner, course.first(), course.name, seconds=seconds, allowance=allowance)
        connection.send(seen.failure or seen.calls)
    except DriveError as error:
        connection.send(str(error))
    except Exception as error:
        connection.send(one_line(error))


@contextlib.contextmanager
def _without_main(wanted: bool) -> Iterator[None]:
    """Start a child that does not run the user's script again, unless the planner is defined in it."""
    main = sys.modules["__main__"]
    if wanted:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
