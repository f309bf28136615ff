"""Sockets: one thread, one poller, and connections whose memory is bounded on both sides.

One thread suffices (a tick's work is a fraction of what the client does with it), keeps every client's calls
in order, and needs no lock around the world. An empty call's round trip over loopback took 32 us at the
median here and with asyncio's protocols, 46 us with its streams, 15 us with a thread a connection.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from drive.errors import InputError
from drive.sim.carla.wire.messages import CHUNK
from drive.sim.carla.wire.poll import READ, WRITE, Poller, poller

HIGH_WATER = 1 << 20
"""Bytes that wait for a caller who does not read; nothing more is read from it until they are gone."""
STREAM_BYTES = 32 << 20
"""Bytes that wait for the reader of a stream; the oldest whole records are dropped beyond."""
STALLED_AFTER = 30.0
"""Seconds after which a stream's reader that takes nothing is cut off."""
MAX_PEERS = 256
LONG = 1e6
"""Seconds to wait where nothing is to be done at any time."""


Buffer = bytes | bytearray | memoryview


class Handler(Protocol):
    """What a connection's bytes are given to."""

    def received(self, data: bytes) -> None: ...

    def drained(self) -> None: ...

    def closed(self) -> None: ...


class Peer:
    """One connection: bytes out in order, never more than a bound of them in memory."""

    __slots__ = ("_loop", "_out", "_queued", "_sock", "_took", "address", "fd", "full", "handler", "open")

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop, self._sock, self.fd = loop, sock, sock.fileno()
        self._out: deque[memoryview] = deque()
        self._queued = 0
        self._took = time.monotonic()
        self.address: str = "{}:{}".format(*sock.getpeername()[:2])
        self.handler: Handler | None = None
        self.open = True
        self.full = False
        """Whether so much waits to be sent that nothing more should be answered."""

    @property
    def local_address(self) -> tuple[int, int, int, int]:
        """The server's own address as the other side reaches it (of IPv4; else loopback)."""
        with suppress(OSError, ValueError):
            a, b, c, d = (int(part) for part in self._sock.getsockname()[0].split("."))
            return a, b, c, d
        return 127, 0, 0, 1

    @property
    def waiting(self) -> int:
        """Bytes that the other side has yet to take."""
        return self._queued

    def send(self, data: Buffer) -> None:
        """Send all of it, now or when the other side takes it; what is given may change afterwards."""
        sent = 0
        if not self._out:
            if not self.open:
                return
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.close()
                return
            if sent == len(data):
                return
        self._keep(bytes(memoryview(data)[sent:]))

    def _keep(self, rest: bytes) -> None:
        """Hold what cannot be sent yet."""
        if not self._out:
            self._took = time.monotonic()
        self._out.append(memoryview(rest))
        self._count(len(rest))
        self._loop.watch(self, writing=True, reading=not self.full)

    def _count(self, more: int) -> None:
        self._queued += more
        self.full = self._queued > HIGH_WATER

    def offer(self, data: Buffer) -> None:
        """Send a record of a stream; where the reader is slow the oldest records that wait are dropped."""
        if self._out:
            if time.monotonic() - self._took > STALLED_AFTER:
                self.close()
                return
            while len(self._out) > 1 and self._queued + len(data) > STREAM_BYTES:
                first = self._out.popleft()  # perhaps half sent: it stays
                self._count(-len(self._out.popleft()))
                self._out.appendleft(first)
        self.send(data)

    def ready(self, events: int) -> None:
        """Read, or write what waits; either finds out where the other side has gone."""
        if events != READ:
            if self._out:
                self._write()
            if events == WRITE or self.full or not self.open:
                return
        try:
            data = self._sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self.handler is not None:
            self.handler.received(data)

    def _write(self) -> None:
        while self._out:
            view = self._out[0]
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
                return
            self._took = time.monotonic()
            self._count(-sent)
            if sent < len(view):
                self._out[0] = view[sent:]
                return
            self._out.popleft()
        self._loop.watch(self, writing=False, reading=True)
        if self.handler is not None:
            self.handler.drained()

    def close(self) -> None:
        """End the connection; what waits to be sent is lost."""
        if not self.open:
            return
        self.open = False
        self._out.clear()
        self._count(-self._queued)
        self._loop.forget(self)
        if self.handler is not None:
            self.handler.closed()

    def hang_up(self) -> None:
        """End the connection once what was said has had its chance to leave."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)
        self.close()

    def shut(self) -> None:
        with suppress(OSError):
            self._sock.close()


class Loop:
    """The poller, the listening sockets and the timers."""

    def __init__(self, by: Callable[[], Poller] = poller) -> None:
        self._poller = by()
        self._poll = self._poller.poll
        # By file descriptor: what to do when it is ready.
        self._owners: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._due = time.monotonic() + LONG
        self._order = itertools.count()
        self._listening: list[socket.socket] = []
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._own(self._woken.fileno(), self._wakened)
        self.peers: set[Peer] = set()

    def _own(self, fd: int, ready: Callable[[int], None]) -> None:
        self._poller.register(fd, READ)
        self._owners[fd] = ready

    def _disown(self, fd: int) -> None:
        if self._owners.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def listen(self, host: str, port: int, greet: Callable[[Peer], Handler]) -> int:
        """Accept connections, each given to what `greet` answers; returns the port (0: a free one)."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(64)
        except (OSError, OverflowError) as error:
            sock.close()
            raise InputError(f"cannot listen on {host}:{port}: {error}; is another server there?") from None
        sock.setblocking(False)
        self._listening.append(sock)
        self._own(sock.fileno(), partial(self._accept, sock, greet))
        return int(sock.getsockname()[1])

    def deaf(self) -> None:
        """Accept no more connections, anywhere."""
        for sock in self._listening:
            self._disown(sock.fileno())
            sock.close()
        self._listening.clear()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))
        self._due = self._timers[0][0]

    def watch(self, peer: Peer, *, reading: bool, writing: bool) -> None:
        if peer.open:
            self._poller.modify(peer.fd, (READ if reading else 0) | (WRITE if writing else 0))

    def forget(self, peer: Peer) -> None:
        self.peers.discard(peer)
        self._disown(peer.fd)
        peer.shut()

    def wake(self) -> None:
        """Let `once` return; the one call that another thread or a signal's handler may make."""
        with suppress(OSError):
            self._waker.send(b"\0")

    def _wakened(self, _: int) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)

    def once(self) -> None:
        """Do what is due, wait for what comes next, and do that."""
        now = time.monotonic()
        if now >= self._due:
            self._ring(now)
            now = time.monotonic()
        wait = self._due - now
        # To wait for less than nothing would be for ever.
        for fd, events in self._poll(wait if wait > 0.0 else 0.0):
            owner = self._owners.get(fd)
            if owner is not None:  # not closed by one before it
                owner(events)

    def _ring(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self._due = self._timers[0][0] if self._timers else now + LONG

    def _accept(self, listening: socket.socket, greet: Callable[[Peer], Handler], _: int) -> None:
        try:
            sock, _address = listening.accept()
        except OSError:
            return
        if len(self.peers) >= MAX_PEERS:
            sock.close()
            return
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            peer = Peer(self, sock)
        except OSError:
            sock.close()
            return
        self.peers.add(peer)
        self._own(peer.fd, peer.ready)
        peer.handler = greet(peer)

    def close(self) -> None:
        for peer in list(self.peers):
            peer.close()
        for sock in [*self._listening, self._woken, self._waker]:
            self._disown(sock.fileno())
            sock.close()
        self._poller.close()
