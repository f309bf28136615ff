"""The streaming port: who reads which stream, and records out to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from drive.sim.carla.wire.transport import Peer

OBSERVER = 1
"""The stream of snapshots; a sensor's stream is its actor's id beyond SENSORS."""
SENSORS = 1 << 16


@dataclass(slots=True)
class Streams:
    """The readers of each stream."""

    known: Callable[[int], bool]
    """Whether a stream of that number is there."""
    readers: dict[int, set[Peer]] = field(default_factory=dict)
    welcome: Callable[[int, Peer], None] = lambda stream, peer: None
    """What to do for a new reader: the first snapshot, without which a client waits."""

    def greet(self, peer: Peer) -> Reader:
        return Reader(self, peer)

    def publish(self, stream: int, framed: bytes | memoryview) -> None:
        """Send one record, behind its length, to all who read the stream."""
        for peer in tuple(self.readers.get(stream, ())):
            peer.offer(framed)

    def end(self, stream: int) -> None:
        """Cut off the readers of a stream that is no more."""
        for peer in tuple(self.readers.pop(stream, ())):
            peer.close()

    @property
    def listened(self) -> list[int]:
        """The sensors' actors whose streams somebody reads."""
        return [stream - SENSORS for stream in self.readers if stream > SENSORS]


class Reader:
    """A connection to the streaming port: says the stream's number in four bytes, then only reads."""

    __slots__ = ("_head", "_peer", "_stream", "_streams")

    def __init__(self, streams: Streams, peer: Peer) -> None:
        self._streams, self._peer = streams, peer
        self._head = b""
        self._stream: int | None = None

    def received(self, data: bytes) -> None:
        if self._stream is not None:
            return  # a reader has nothing to say
        self._head += data[:4]
        if len(self._head) < 4:
            return
        stream = int.from_bytes(self._head[:4], "little")
        if not self._streams.known(stream):
            self._peer.close()
            return
        self._stream = stream
        self._streams.readers.setdefault(stream, set()).add(self._peer)
        self._streams.welcome(stream, self._peer)

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        if self._stream is not None:
            readers = self._streams.readers.get(self._stream)
            if readers is not None:
                readers.discard(self._peer)
                if not readers:
                    self._streams.readers.pop(self._stream, None)
