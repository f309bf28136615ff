"""The main function of a worker process."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import MutableSequence
from dataclasses import replace
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from drive._imports import one_line
from drive.eval.bench.jobs import CLOSED, Pulse, Setup
from drive.eval.bench.worker import Worker, kernels_are_cold

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def serve(connection: Connection, cells: MutableSequence[int]) -> None:
    """Answer jobs until the parent hangs up.

    The first message is the setup, the second the pickled planners: they come through the pipe, because
    what a process is started with would tie it to the parent's `__main__`.
    """
    keep_to_ourselves()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    os.dup2(2, 1)  # a planner that prints must not spoil what the command prints for programs
    sys.stdout = sys.stderr
    pulse = Pulse(cells)
    threading.Thread(target=_watch, args=(pulse,), daemon=True).start()
    try:
        setup: Setup = connection.recv()
        payload = connection.recv_bytes()
        try:
            setup = replace(setup, entries=pickle.loads(payload))
        except Exception as error:  # of the planners' own modules
            reason = f"a planner cannot be taken to another process: {one_line(error)}"
            connection.send({"fatal": f"{reason}; give it by name, as FILE.py:NAME"})
            return
        worker = Worker(setup, pulse)
        connection.send({"ready": True, "cold": kernels_are_cold()})
        own = os.getpid()
        while True:
            reply = worker.handle(connection.recv())
            if os.getpid() != own:
                os._exit(0)  # a planner forked: the copy's answer would be taken for that to the next job
            connection.send(reply)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        os._exit(CLOSED)


def keep_to_ourselves() -> None:
    """Let no program that a planner starts hold the pipes by whose end the parent knows of ours.

    What a process is started with is inheritable, and a program outlives us.
    """
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):  # most are not open
            os.set_inheritable(descriptor, False)


def _watch(pulse: Pulse) -> None:
    """Leave when the parent was killed, and keep the pulse up while Numba compiles: that is no hang."""
    from numba.core.compiler_lock import global_compiler_lock

    lock = getattr(global_compiler_lock, "_lock", None)
    parent = parent_process()
    held = 0
    while parent is None or parent.is_alive():
        if lock is not None and not lock.acquire(blocking=False):
            pulse.beat()
            held += 1
        elif lock is not None:
            lock.release()
            held = 0
        # Machine code that is read from the disk holds the lock as well, but not for long.
        pulse.tell_compiling(held >= 4)
        time.sleep(0.25)
    # Read only where the parent lives after all: then the planner has closed what we see it by.
    os._exit(CLOSED)
