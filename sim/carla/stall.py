"""Helps a client's Traffic Manager out of the race in which it stands still for ever.

CARLA's Traffic Manager runs in the client. In synchronous mode its worker waits to be woken by
`world.tick()`; where the worker is late, the wake-up falls between its look at the flag and its sleep, and is
lost: the flag is set, the worker sleeps, and the tick waits for the worker without a time limit (carla issue
9172, all of the client's own making). From here it is seen by what is missing: each
tick's answer is followed by the worker's batch of controls, and now none comes, nor anything else.

A Traffic Manager also has a port for other clients, who may switch its synchronous mode. Switching it off
wakes the worker, which looks at its flag, does its work and lets the tick return; switching it on again, in
the same packet, leaves everything as it was.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from drive.sim.carla.wire.messages import CHUNK, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from drive.sim.carla.session import Session

EVERY, LOOKS = 0.5, (2, 6, 20)
"""Seconds between two looks, and how many in a row find one silent who owes a batch before he is woken; more
often it would not help."""
PACED = 5
"""Ticks in a row that were followed by a batch, before a missing one means anything: only then is it known
that the client's Traffic Manager is synchronous."""
PATIENCE = 2.0
WAKE = b"".join(pack([0, k, "set_synchronous_mode", [on]]) for k, on in enumerate((False, True)))


class Batches:
    """What a client's Traffic Manager owes after a tick."""

    __slots__ = ("_heard", "_looks", "owed", "paced")

    def __init__(self) -> None:
        self.owed, self.paced = True, 0
        self._heard = -1
        self._looks = 0

    def ticked(self) -> None:
        self.paced = 0 if self.owed else self.paced + 1
        self.owed = True

    def came(self) -> None:
        self.owed = False

    def missing(self, heard: int) -> bool:
        """Whether it is time to wake who owes one; `heard` grows with all that he says."""
        silent = self.owed and self.paced >= PACED and heard == self._heard
        self._heard = heard
        self._looks = self._looks + 1 if silent else 0
        return self._looks in LOOKS


def wake(address: str, ports: set[int], told: Callable[[str], None]) -> None:
    """Wake the Traffic Managers at these ports of a client, without waiting for it."""

    def call() -> None:
        for port in sorted(ports):
            with suppress(OSError), socket.create_connection((address, port), timeout=PATIENCE) as sock:
                sock.sendall(WAKE)
                sock.recv(CHUNK)

    told("a Traffic Manager stood still after a tick (carla issue 9172): woken")
    threading.Thread(target=call, daemon=True, name="wake").start()


def look_after(session: Session, running: Collection[int], told: Callable[[str], None]) -> None:
    """One look at a client whose Traffic Managers may be among the `running` ports."""
    ports = session.traffic_managers.intersection(running)
    if ports and session.batches.missing(session.heard):
        wake(session.address.rpartition(":")[0], ports, told)


__all__ = ["Batches", "look_after", "wake"]
