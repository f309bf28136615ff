"""Stops a planner that does not come back."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from drive.errors import PlannerTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def watchdog(seconds: float | None) -> Iterator[None]:
    """Raise PlannerTimeoutError inside the block after `seconds`; None or 0 waits for ever.

    Works in the main thread on systems with alarms, and interrupts Python code and sleeps. Code that
    never returns to the interpreter is for the benchmark's parent process to kill.
    """
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not seconds or not usable:
        yield
        return

    def expired(number: int, frame: FrameType | None) -> None:
        raise PlannerTimeoutError(f"the planner did not answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
