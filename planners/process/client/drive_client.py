"""A planner of the drive toolkit in a program of its own: `drive bench --planner exec:./my_planner`.

One file for Python 3.7 and later that needs NumPy alone; the toolkit puts it on the path of the programs that
it starts, so that `import drive_client` works there without an installation. Messages (protocol 1): eight
bytes, the lengths of head and body as little-endian 32-bit numbers; the head, JSON in UTF-8; the body, the
bytes of all arrays, each from a multiple of eight on. In the head stands `"arrays": [[type, shape, begin],
...]`, and `{"$": n}` wherever a value is the n-th of them. docs/planners.md has the messages.
"""

from __future__ import annotations

import json
import os
import platform
import select
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

PROTOCOL = 1
_TYPES = {
    name: np.dtype(name)
    for name in ("<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "|b1")
}
TYPES = tuple(_TYPES)
_NAMES = {kind: name for name, kind in _TYPES.items()}
MOST_HEAD, MOST_BODY = 1 << 26, 1 << 30
"""Bytes; who announces more has lost its place in the stream."""
_LENGTHS = struct.Struct("<II")


class ProtocolError(Exception):
    """A message that does not keep the protocol."""


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes."""
    arrays: list[np.ndarray[Any, Any]] = []
    head = {name: _lowered(value, arrays) for name, value in message.items()}
    parts: list[bytes] = []
    table, begin = [], 0
    for array in arrays:
        data = array.tobytes()
        rest = -len(data) % 8
        table.append([_NAMES[array.dtype], array.shape, begin])
        parts += (data, b"\0" * rest) if rest else (data,)
        begin += len(data) + rest
    head["arrays"] = table
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join([_LENGTHS.pack(len(text), begin), text, *parts])


def _lowered(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype not in _NAMES:
            value = value.astype(value.dtype.newbyteorder("<"))
            if value.dtype not in _NAMES:
                raise ProtocolError(f"arrays of type {value.dtype} cannot be sent")
        arrays.append(value)
        return {"$": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(name): _lowered(item, arrays) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lowered(item, arrays) for item in value]
    return value


def unpack(head: bytes, body: bytes) -> dict[str, Any]:
    """The message of a head and a body; raises ProtocolError where they do not fit."""
    try:
        message = json.loads(head.decode())
        arrays = [_array(entry, body) for entry in message.pop("arrays")]
        lifted = _lifted(message, arrays)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"a message that cannot be read ({error})") from error
    if not isinstance(lifted, dict):
        raise ProtocolError("a message that is no table")
    return lifted


def _array(entry: Any, body: bytes) -> np.ndarray[Any, Any]:
    name, shape, begin = entry
    kind, count = _TYPES.get(name), 1
    for n in shape:
        count *= n if type(n) is int and n >= 0 else -1
    if kind is None or type(begin) is not int or begin < 0 or count < 0:
        raise ProtocolError(f"an array of type {name!r} and shape {shape!r}")
    if begin + count * kind.itemsize > len(body):
        raise ProtocolError("an array that reaches beyond its message")
    return np.ndarray(shape, kind, body, begin)


def _lifted(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and "$" in value:
            return arrays[value["$"]]
        return {name: _lifted(item, arrays) for name, item in value.items()}
    if isinstance(value, list):
        return [_lifted(item, arrays) for item in value]
    return value


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Write a message."""
    connection.sendall(pack(message))


def receive(connection: socket.socket) -> dict[str, Any]:
    """Read a message; raises EOFError where the other side has gone, ProtocolError where it is none."""
    head, body = _LENGTHS.unpack(_exactly(connection, _LENGTHS.size))
    if head > MOST_HEAD or body > MOST_BODY:
        raise ProtocolError(f"a message of {head} and {body} bytes")
    return unpack(_exactly(connection, head), _exactly(connection, body))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray(count)
    view, have = memoryview(data), 0
    while have < count:
        got = connection.recv_into(view[have:])
        if got == 0:
            raise EOFError("the other side has closed the connection")
        have += got
    return bytes(data)


def connect() -> socket.socket:
    """A connection to the toolkit that started this program; exits where nothing did."""
    place = os.environ.get("DRIVE_SOCKET", "")
    if not place:
        sys.exit(f"this program is a planner: drive bench --planner 'exec:{' '.join(sys.argv)}'")
    if place.startswith("tcp:"):
        connection = socket.create_connection(("127.0.0.1", int(place[4:])))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(place)
    return connection


def serve(planner: Any, **spec: Any) -> None:
    """Answer the toolkit until it is done; call it last in the program.

    `planner` is a function of (observation, task), or an object (or class) with `start(task)` that gives an
    object with `plan(observation)`. `spec` are the fields of PlannerSpec: name, horizon, dt, rate, history,
    needs, deterministic; or they stand in a dict `spec` of the planner. A plan is an array of future poses
    (T, 3) at the rear axle, the first one `dt` after now, or a dict: `poses` with or without `speed (T,)`
    and `dt`, or `times (T,)` and `states (T, 7)`; and status, reason, figures, candidates, control.
    """
    made = planner() if isinstance(planner, type) else planner
    told = dict(getattr(made, "spec", None) or {}, **spec)
    told.setdefault("name", os.path.splitext(os.path.basename(sys.argv[0]))[0])
    start: Callable[[Any], Any] = made.start if hasattr(made, "start") else _Function(made)
    connection = connect()
    _leave_with(connection)
    send(
        connection,
        {
            "type": "hello", "protocol": PROTOCOL, "token": os.environ.get("DRIVE_TOKEN", ""), "spec": told,
            "client": f"Python {platform.python_version()}, NumPy {np.__version__}",
        },
    )  # fmt: skip
    sessions: dict[int, tuple[Any, Any]] = {}
    while True:
        try:
            message = receive(connection)
        except (EOFError, OSError):
            return
        try:
            answer = _answer(message, sessions, start)
        except Exception as error:
            told_as = f"{type(error).__name__}: {error}"
            answer = {"type": "error", "reason": told_as, "traceback": traceback.format_exc()}
        if answer is not None:
            send(connection, answer)


def _answer(message: dict[str, Any], sessions: dict[int, tuple[Any, Any]], start: Any) -> Any:
    kind, number = message["type"], message.get("session", -1)
    if kind == "start":
        task = _named(message["task"])
        sessions[number] = (start(task), task)
        return {"type": "started", "session": number}
    if kind == "plan":
        plan = sessions[number][0].plan(_named(message["observation"]))
        return {
            "type": "plan",
            "session": number,
            "plan": plan if isinstance(plan, dict) else {"poses": np.asarray(plan)},
        }
    if kind == "end":
        sessions.pop(number, None)
        return None
    raise ProtocolError(f"a message of the unknown type {kind!r}")


class _Function:
    """A planner without memory."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function

    def __call__(self, task: Any) -> Any:
        return SimpleNamespace(plan=lambda observation: self.function(observation, task))


_TABLES = ("images", "extras", "info")
"""Tables whose names are data."""


def _named(value: Any) -> Any:
    """Tables as objects with attributes, as planners inside the toolkit have them."""
    if isinstance(value, dict):
        return SimpleNamespace(
            **{name: item if name in _TABLES else _named(item) for name, item in value.items()}
        )
    return [_named(item) for item in value] if isinstance(value, list) else value


def _leave_with(connection: socket.socket) -> None:
    """End this process when the toolkit is gone, even while the planner computes or hangs."""
    if not hasattr(select, "poll"):
        return

    def watch() -> None:
        poll = select.poll()
        poll.register(connection, getattr(select, "POLLRDHUP", 0))
        while not any(what & ~select.POLLNVAL for _, what in poll.poll()):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
