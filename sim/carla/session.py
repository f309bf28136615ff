"""One client's connection to the calling port: its requests in order, each answered once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.errors import DriveError
from drive.sim.carla.calls.bare import quick
from drive.sim.carla.calls.table import Kind
from drive.sim.carla.stall import Batches
from drive.sim.carla.wire.messages import (
    BrokenStreamError,
    Reader,
    Request,
    bad,
    bad_void,
    good,
    refusal,
    reply,
)

if TYPE_CHECKING:
    from typing import Any

    from drive.sim.carla.server import Server
    from drive.sim.carla.wire.transport import Peer

COMPLAINTS = 5
"""Faults that are told on the server's side for one connection; the rest are only answered."""


class Session:
    """What the server keeps of one connection."""

    __slots__ = (
        "_between",
        "_complaints",
        "_peer",
        "_reader",
        "_server",
        "batches",
        "heard",
        "keeps",
        "spawned",
        "traffic_managers",
    )

    def __init__(self, server: Server, peer: Peer) -> None:
        self._server, self._peer = server, peer
        self._reader = Reader(server.options.max_message)
        self._between = True
        """Whether no message waits to be taken apart or to be whole."""
        self._complaints = 0
        self.keeps = False
        """Whether it set synchronous mode or ticked: the world stands still when all who do are gone."""
        self.spawned: set[int] = set()
        self.traffic_managers: set[int] = set()
        """Ports of those that this client announced."""
        self.batches = Batches()
        self.heard = 0
        """How often it has sent something."""

    @property
    def address(self) -> str:
        return self._peer.address

    @property
    def local_address(self) -> tuple[int, int, int, int]:
        """The server's own address as this client reaches it."""
        return self._peer.local_address

    def received(self, data: bytes) -> None:
        self.heard += 1
        while self._between and not self._peer.full:
            answer, end = quick(self._server, self, data)
            if answer is None:
                break
            self._peer.send(answer)
            if end == len(data) or not self._peer.open:
                return
            data = data[end:]
        self._between = False
        try:
            self._reader.feed(data)
        except BrokenStreamError as error:
            self._break_off(error)
            return
        self.drained()

    def drained(self) -> None:
        """Answer what waits, as long as the client reads the answers."""
        try:
            while self._peer.open and not self._peer.full:
                request = self._reader.next()
                self._between = self._reader.empty
                if request is None:
                    return
                answer = self.answer(request)
                if answer is not None:
                    self._peer.send(answer)
        except BrokenStreamError as error:
            self._break_off(error)

    def closed(self) -> None:
        self._server.left(self)

    def _break_off(self, error: BrokenStreamError) -> None:
        self._complain("", str(error))
        self._peer.send(refusal(0, f"drive carla: {error}; the connection is closed"))
        self._peer.close()

    def answer(self, request: Request) -> bytes | None:
        """Do what is asked; None for a notification."""
        call = self._server.calls.get(request.name)
        number = request.number
        if call is None:
            message = f"drive carla: there is no call '{request.name[:80]}'"
            self._complain(request.name, message)
            return None if number is None else refusal(number, message)
        result: Any
        try:
            # The first parameter is the client's own: whether it waits for the answer.
            result = call.function(self._server, self, *call.parameters(request.parameters))
            if call.kind is Kind.VALUE:
                result = good(result)
        except Exception as error:  # a client must not be able to end the server, whatever it found
            result = self.fault(request.name, call.kind, error)
        if number is None:
            return None
        try:
            return refusal(number, result) if isinstance(result, str) else reply(number, result)
        except Exception as error:
            self._server.broken(request.name, error)
            return refusal(number, f"internal error: {type(error).__name__}")

    def fault(self, name: str, kind: Kind, error: Exception) -> Any:
        """What is answered to a call that raised."""
        message = str(error)
        if not isinstance(error, DriveError):
            self._server.broken(name, error)
            message = f"internal error: {type(error).__name__}: {error}"
        self._complain(name, message)
        line = f"{name}: {message}"
        return bad_void(line) if kind is Kind.VOID else line if kind is Kind.RAW else bad(line)

    def complain(self, message: str) -> None:
        """Tell the server's log of something that no answer tells the client."""
        self._complain("", message)

    def _complain(self, name: str, message: str) -> None:
        self._complaints += 1
        if self._complaints <= COMPLAINTS:
            self._server.log(f"{self.address}: {name[:40] + ': ' if name else ''}{message}")
        elif self._complaints == COMPLAINTS + 1:
            self._server.log(f"{self.address}: further faults are answered but not told here")
