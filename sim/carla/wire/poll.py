"""Which sockets are ready: Linux's own `select.epoll`, and elsewhere the same calls over `selectors`.

Every message passes here: what `selectors` wraps around epoll costs as much as answering a small call.
"""

from __future__ import annotations

import select
import selectors
import sys
from typing import Protocol

READ, WRITE = 1, 4
"""Epoll's numbers. What else it tells (an end, an error) is found out by reading or writing."""


class Poller(Protocol):
    """What is used of `select.epoll`."""

    def register(self, fd: int, eventmask: int, /) -> None: ...

    def modify(self, fd: int, eventmask: int, /) -> None: ...

    def unregister(self, fd: int, /) -> None: ...

    def poll(self, timeout: float, /) -> list[tuple[int, int]]: ...

    def close(self) -> None: ...


class Selected:
    """`selectors` behind the calls of epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, eventmask: int, /) -> None:
        self._selector.register(fd, _ours_to_theirs(eventmask))

    def modify(self, fd: int, eventmask: int, /) -> None:
        self._selector.modify(fd, _ours_to_theirs(eventmask))

    def unregister(self, fd: int, /) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        return [(key.fd, _theirs_to_ours(events)) for key, events in self._selector.select(timeout)]

    def close(self) -> None:
        self._selector.close()


def _ours_to_theirs(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


def _theirs_to_ours(mask: int) -> int:
    return (READ if mask & selectors.EVENT_READ else 0) | (WRITE if mask & selectors.EVENT_WRITE else 0)


def poller() -> Poller:
    """The system's best one."""
    return Selected() if sys.platform != "linux" else select.epoll()
