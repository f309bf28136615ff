"""What a Traffic Manager calls every tick, read and answered from its bytes.

Taking a message apart and packing its answer costs more than the call itself, and most of what is asked for
seldom changes, so that it is packed once. Few steps count here: between two calls the client works, which
leaves nothing of the server in the processor's caches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.batch import quick_batch
from drive.sim.carla.calls.table import Kind
from drive.sim.carla.wire.messages import good, pack
from drive.sim.carla.wire.shapes import Settings

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session

_REQUEST, _REPLY, _NO_ERROR = b"\x94\x00", b"\x94\x01", b"\xc0"
_METADATA = (b"\x91\x91\xc2", b"\x91\x91\xc3")
"""The parameters of a call that has none: the client's own, whether it waits."""
_BATCHES = tuple(pack("apply_batch") + b"\x93" + waits[1:] for waits in _METADATA)
"""Name and first parameter of a batch; its commands and a flag follow."""
_SHORTEST = 8
_WIDTH = {0xCC: 1, 0xCD: 2, 0xCE: 4}
_BEGIN = bytes(3 if head < 0x80 else 3 + _WIDTH[head] if head in _WIDTH else 0 for head in range(256))
"""Where a request's name begins, by the first byte of its number, which tells how many follow; 0: nowhere."""


def front(data: bytes) -> tuple[int, bytes]:
    """Where the name of the request that `data` begins with stands, and its bytes with the first three of the
    parameters; (0, nothing) for what is no request with a short name."""
    begin = _BEGIN[data[2]] if data[:2] == _REQUEST and len(data) >= _SHORTEST else 0
    return begin, data[begin : begin + 4 + (data[begin] & 0x1F)] if begin else b""


def quick(server: Server, session: Session, data: bytes) -> tuple[bytes | bytearray | None, int]:
    """The answer to the call that `data` begins with, None where it is none of those known here; and where
    what follows it begins."""
    begin, name = front(data)
    asked = _ASKED.get(name)
    if asked is not None:
        value = asked[0](server)
        kept = server.packed.get(name)
        if kept is None or kept[0] is not value:
            kept = server.packed[name] = value, _NO_ERROR + pack(good(asked[1](value)))
        return _REPLY + data[2:begin] + kept[1], begin + len(name)
    if name in _TICKS:
        return _REPLY + data[2:begin] + _tick(server, session), begin + len(name)
    if name in _BATCHES and (batch := quick_batch(server, data)) is not None:
        session.batches.came()
        return batch, len(data)
    return None, 0


def _tick(server: Server, session: Session) -> bytes:
    try:
        return _NO_ERROR + pack(good(server.tick(session)))
    except Exception as error:  # as for every call: a client must not be able to end the server
        return _NO_ERROR + pack(session.fault("tick_cue", Kind.VALUE, error))


def _named(name: str) -> tuple[bytes, ...]:
    return tuple(pack(name) + metadata for metadata in _METADATA)


_TICKS = _named("tick_cue")
# What tells, and how it is packed: one object until it changes, so that it is packed once.
_ASKED: dict[bytes, tuple[Callable[[Server], Any], Callable[[Any], Any]]] = {
    name: (get, shape)
    for call, get, shape in (
        ("get_episode_settings", lambda server: server.settings, Settings.packed),
        ("get_weather_parameters", lambda server: server.weather, list),
        ("get_vehicle_light_states", lambda server: server.world.vehicle_light_states(), list),
    )
    for name in _named(call)
}

__all__ = ["front", "quick"]
