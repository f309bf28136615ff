"""Ctrl-C and SIGTERM during a training: they end it after the step that runs, not in the midst of it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, the first signal is only remembered; the second one ends at once.

    Handlers belong to the main thread: in another one nothing is changed.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def end(self) -> NoReturn:
        """Raise what the signal would have raised: KeyboardInterrupt, or SystemExit with status 143."""
        if self.caught == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.caught = self.caught is not None, number
        if again:
            self.end()


__all__ = ["Interrupts"]
