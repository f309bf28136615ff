"""msgpack-rpc, the way CARLA's clients speak it: requests in, replies out.

A request is `[0, id, "name", [metadata, ...]]` (or `[2, "name", [...]]`, a notification), a reply
`[1, id, error, result]`. CARLA's own result is a variant: `[[1, value]]` or `[[0, ["message"]]]` for a call
that returns something, `[[false]]` or `[[true, ["message"]]]` for one that returns nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from drive.errors import InputError, MissingExtraError

try:
    import msgpack
except ModuleNotFoundError:
    raise MissingExtraError("msgpack", "carla") from None

MAX_MESSAGE = 64 << 20
"""Bytes of the longest message that is read: a town's OpenDRIVE text has 20 MB at most."""
MAX_ITEMS = 1 << 16
"""Items of the longest array; a nested claim of more would only cost memory."""
MAX_ITEM_BYTES = 2 << 20
"""Bytes of a message that are not one text: a batch of ten thousand commands has one million."""
CHUNK = 1 << 16
"""Bytes that are read from a connection at once; a larger buffer is mapped anew at each reading."""


class WireError(InputError):
    """A message is not what the protocol says; the connection that sent it hears so."""


class BrokenStreamError(WireError):
    """The bytes are no messages, and where the next would begin is not known: the connection ends."""


class Request(NamedTuple):
    """One call: `number` is None for a notification, which nobody answers."""

    number: int | None
    name: str
    parameters: list[Any]


class Reader:
    """Cuts a stream of bytes into requests, in bounded memory.

    A long text is only kept; items cost some sixty times their bytes once they are objects, so that a message
    may be `limit` bytes long but have only `MAX_ITEM_BYTES` of items.
    """

    __slots__ = ("_fed", "_items", "_limit", "_pending", "_unpacker")

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._unpacker = msgpack.Unpacker(
            raw=False,
            unicode_errors="surrogateescape",
            strict_map_key=False,
            use_list=True,
            max_buffer_size=limit + CHUNK,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=MAX_ITEMS,
        )
        self._pending = 0  # bytes of a message that is not whole yet
        self._items = 0  # bytes of its that were taken apart already
        self._fed = 0

    @property
    def empty(self) -> bool:
        """Whether all that came was taken."""
        return bool(self._unpacker.tell() == self._fed)

    def feed(self, data: bytes) -> None:
        """Take the next bytes, at most CHUNK of them. Raises BrokenStreamError when a message is too long."""
        self._pending += len(data)
        self._fed += len(data)
        if self._pending > self._limit:
            raise BrokenStreamError(f"the message is longer than {self._limit} bytes")
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            raise BrokenStreamError(f"the message is longer than {self._limit} bytes") from None

    def next(self) -> Request | None:
        """The next whole request, None when more bytes are needed. Raises BrokenStreamError."""
        before = self._unpacker.tell()
        if before == self._fed:
            return None
        try:
            item = self._unpacker.unpack()
        except msgpack.OutOfData:
            self._items += min(self._unpacker.tell() - before, CHUNK)
            if self._items > MAX_ITEM_BYTES:
                raise BrokenStreamError("the message has too many items") from None
            return None
        except Exception as error:
            raise BrokenStreamError(f"not msgpack: {type(error).__name__}") from None
        self._pending = self._items = 0
        return _request(item)


def _request(item: Any) -> Request:
    match item:
        case [0, int(number), str(name), list(parameters)] if 0 <= number < 1 << 32:
            return Request(number, name, parameters)
        case [2, str(name), list(parameters)]:
            return Request(None, name, parameters)
    raise BrokenStreamError("not a request of msgpack-rpc")


def reply(number: int, result: Any) -> bytes:
    """The answer to request `number`."""
    return pack([1, number, None, result])


def refusal(number: int, message: str) -> bytes:
    """The answer to a request that cannot be called at all: an unknown name, too few parameters."""
    return pack([1, number, message, None])


_PACKER = msgpack.Packer(use_bin_type=True, unicode_errors="surrogateescape")


def pack(value: Any) -> bytes:
    packed: bytes = _PACKER.pack(value)
    return packed


def good(value: Any) -> list[Any]:
    """`Response<T>` with a value."""
    return [[1, value]]


def bad(message: str) -> list[Any]:
    """`Response<T>` with an error."""
    return [[0, [message]]]


VOID = [[False]]
"""`Response<void>` of a call that went well."""


def bad_void(message: str) -> list[Any]:
    """`Response<void>` with an error."""
    return [[True, [message]]]
