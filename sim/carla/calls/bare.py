"""Calls without parameters that a Traffic Manager makes every tick, read and answered from their bytes.

Taking a message apart and packing its answer costs more than the call itself. What these answer seldom
changes, so that it is packed once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from drive.sim.carla.wire.messages import Request, good, pack

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session
    from drive.sim.carla.wire.shapes import Settings

_REQUEST, _REPLY, _NO_ERROR = b"\x94\x00", b"\x94\x01", b"\xc0"
_METADATA = (b"\x91\x91\xc2", b"\x91\x91\xc3")
"""The parameters of a call that has none: the client's own, whether it waits."""
_WIDTH = {0xCC: 1, 0xCD: 2, 0xCE: 4}
"""Bytes of a request's number behind its first one, which tells of more than it says itself."""

_TICK = pack("tick_cue")


def split(data: bytes) -> tuple[bytes, bytes] | None:
    """The number and the name, both as msgpack has them, of a message that is one request without
    parameters and with a short name; None for any other."""
    if data[:2] != _REQUEST or data[-3:] not in _METADATA or len(data) < 8:
        return None
    first = data[2]
    begin = 3 + (0 if first < 0x80 else _WIDTH.get(first, len(data)))
    name = data[begin:-3]
    if not name or name[0] != 0xA0 + len(name) - 1 or len(name) > 32:
        return None
    return data[2:begin], name


def quick_call(server: Server, session: Session, data: bytes) -> bytes | None:
    """The answer to a whole message that is a tick's cue or asks for something known by heart; None for any
    other."""
    parts = split(data)
    if parts is None:
        return None
    number, name = parts
    if name == _TICK:
        return session.answer(Request(value_of(number), "tick_cue", [[False]]))
    known = _KNOWN.get(name)
    return None if known is None else _REPLY + number + _NO_ERROR + known(server)


def value_of(number: bytes) -> int:
    """The number that msgpack has in these bytes."""
    return number[0] if len(number) == 1 else int.from_bytes(number[1:], "big")


@lru_cache(maxsize=8)
def _settings(settings: Settings) -> bytes:
    return pack(good(settings.packed()))


@lru_cache(maxsize=8)
def _weather(weather: tuple[float, ...]) -> bytes:
    return pack(good(list(weather)))


def _lamps(server: Server) -> bytes:
    # The world keeps one list until any of them changes.
    states = server.world.vehicle_light_states()
    if server.packed_lamps[0] is not states:
        server.packed_lamps = (states, pack(good(states)))
    return server.packed_lamps[1]


_KNOWN: dict[bytes, Callable[[Any], bytes]] = {
    pack("get_episode_settings"): lambda server: _settings(server.settings),
    pack("get_weather_parameters"): lambda server: _weather(server.weather),
    pack("get_vehicle_light_states"): _lamps,
}

__all__ = ["quick_call", "split", "value_of"]
