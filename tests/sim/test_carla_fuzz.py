"""What no client should send: the server answers the one who sent it, and goes on for the others."""

import random
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest

from drive.sim.carla.calls import CALLS
from drive.sim.carla.server import Server
from drive.sim.carla.streams import OBSERVER
from drive.sim.carla.wire.transport import Loop

HERE = Path(__file__)
FUZZ = SimpleNamespace(**run_path(str(HERE.with_name("carla_fuzz.py"))))
SERVER = SimpleNamespace(**run_path(str(HERE.with_name("carla_server.py"))))
serving, tell = SERVER.serving, SERVER.tell
CONTROL, POSE = FUZZ.CONTROL, FUZZ.POSE
NAMES = sorted(set(CALLS) - set(FUZZ.SLOW))


class Caller:
    """A client of the calling port made of a socket and msgpack."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20.0)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")
        self.number = 0

    def send(self, name: str, *parameters: Any) -> None:
        self.number += 1
        self.sock.sendall(msgpack.packb([0, self.number, name, [[False], *parameters]]))

    def receive(self) -> Any:
        while True:
            for item in self.unpacker:
                return item
            data = self.sock.recv(1 << 16)
            if not data:
                raise ConnectionError("closed by the server")
            self.unpacker.feed(data)

    def call(self, name: str, *parameters: Any) -> Any:
        """The value of an answer, or its error as a RuntimeError."""
        self.send(name, *parameters)
        kind, number, error, result = self.receive()
        assert (kind, number) == (1, self.number)
        if error is not None:
            raise RuntimeError(error)
        if name == "apply_batch" or result == [[False]]:
            return result
        (variant,) = result
        if variant[0] is True or (variant[0] is not False and variant[0] == 0):
            raise RuntimeError(variant[1][0])
        return variant[1]

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def caller() -> Iterator[tuple[Caller, Server, list[str]]]:
    with serving() as (server, said):
        one = Caller(server.port)
        yield one, server, said
        one.close()


def test_answers_of_a_plain_socket(caller: tuple[Caller, Server, list[str]]) -> None:
    one, server, _ = caller
    assert one.call("version") == "0.9.16"
    name, points = one.call("get_map_info")
    assert name == "Carla/Maps/small"
    assert len(points) > 5
    assert one.call("get_map_data").startswith("<?xml")
    assert one.call("tick_cue") >= 0
    assert server.episode == 1


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("fly", (), "there is no call 'fly'"),
        ("spawn_actor", (), "needs 2 parameters"),
        ("spawn_actor", ([1, "vehicle.flying.saucer", []], POSE), "unknown blueprint"),
        ("spawn_actor", ([1, "vehicle.audi.tt", [["wings", 3, "2"]]], POSE), "no attribute 'wings'"),
        ("spawn_actor", ([1, "vehicle.audi.tt", []], [[float("nan"), 0.0, 0.0], [0.0] * 3]), "not finite"),
        ("spawn_actor_with_parent", ([1, "sensor.other.imu", []], POSE, 70000, 0), "no actor 70000"),
        ("apply_control_to_vehicle", (1, CONTROL), "actor 1"),
        ("set_episode_settings", ([True, False, [True, -1.0]],), "fixed_delta_seconds"),
        ("load_new_episode", ("Atlantis", True, 0), "unknown map 'Atlantis'"),
        ("copy_opendrive_to_file", (3, []), "not a text"),
        ("start_recorder", ("x.log", False), "no recorder"),
        ("get_sensor_token", (77777,), "no stream 77777"),
        ("get_physics_control", (4_000_000_000,), "4000000000"),
        ("apply_batch", (3, False), "not an array"),
    ],
)
def test_a_fault_is_answered_where_it_was_made(
    caller: tuple[Caller, Server, list[str]], name: str, parameters: tuple[Any, ...], says: str
) -> None:
    one, server, said = caller
    other = Caller(server.port)
    with pytest.raises(RuntimeError, match=says):
        one.call(name, *parameters)
    assert one.call("version") == other.call("version") == "0.9.16"
    assert not [line for line in said if "internal error" in line]
    other.close()


def test_a_bad_map_of_a_client_changes_nothing(caller: tuple[Caller, Server, list[str]]) -> None:
    one, server, said = caller
    bomb = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;&b;">]><OpenDRIVE>&d;</OpenDRIVE>'
    for text in ("", "no xml", "<OpenDRIVE/>", bomb, "<OpenDRIVE><road id='1' length='nan'/></OpenDRIVE>"):
        assert one.call("copy_opendrive_to_file", text, []) == [[False]]
        with pytest.raises(RuntimeError):
            one.call("load_new_episode", "OpenDriveMap", True, 0)
    assert (server.map_name, server.episode) == ("small", 1)
    assert one.call("get_map_info")[0] == "Carla/Maps/small"
    assert not [line for line in said if "internal error" in line]


@pytest.mark.parametrize(
    "rubbish", [b"\xc1", b"GET / HTTP/1.1\r\n\r\n", b"\xdd\xff\xff\xff\xff", b"\x91" * 5000]
)
def test_rubbish_ends_one_connection_only(caller: tuple[Caller, Server, list[str]], rubbish: bytes) -> None:
    one, server, said = caller
    bad = socket.create_connection(("127.0.0.1", server.port), timeout=10.0)
    bad.sendall(rubbish)
    answer = b""
    while data := bad.recv(4096):
        answer += data
    assert b"the connection is closed" in answer
    assert one.call("version") == "0.9.16"
    assert any("not msgpack" in line or "not a request" in line for line in said)
    bad.close()


def test_a_message_without_end_is_cut_off() -> None:
    with serving(max_message=1 << 20) as (server, _):
        bad = socket.create_connection(("127.0.0.1", server.port), timeout=20.0)
        message = b"\x94\x00\x01\xa1a\x91\xdb\x3f\xff\xff\xff" + b"x" * (64 << 20)
        with pytest.raises(OSError, match=r"(?i)broken pipe|reset"):
            bad.sendall(message)
        bad.close()
        good = Caller(server.port)
        assert good.call("version") == "0.9.16"
        good.close()


def test_a_caller_who_does_not_read_costs_no_memory(caller: tuple[Caller, Server, list[str]]) -> None:
    """Ten thousand times the map asked for, no answer read: the server stops to answer, others go on."""
    one, server, _ = caller
    lazy = socket.create_connection(("127.0.0.1", server.port), timeout=1.0)
    ask = msgpack.packb([0, 1, "get_actor_definitions", [[False]]])
    try:
        for _ in range(10):
            lazy.sendall(ask * 1000)
    except OSError:
        pass  # its own buffers are full
    for _ in range(20):
        assert one.call("version") == "0.9.16"
    (waiting,) = [p for p in server.loop.peers if p.full]
    assert waiting.waiting < 4 << 20
    lazy.close()


def test_a_slow_reader_of_a_stream_loses_old_snapshots_only(
    caller: tuple[Caller, Server, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drive.sim.carla.wire.transport.STREAM_BYTES", 200_000)
    one, server, _ = caller
    one.call("set_episode_settings", [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 1.0, 1.0, True])
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(20.0)
    slow.connect(("127.0.0.1", server.streaming_port))
    slow.sendall(struct.pack("<I", OBSERVER))
    _exact(slow, struct.unpack("<I", _exact(slow, 4))[0])  # the greeting
    frames = [one.call("tick_cue") for _ in range(20_000)]
    (reader,) = server.streams.readers[OBSERVER]
    assert reader.waiting <= 200_000
    seen = []
    while not seen or seen[-1] < frames[-1]:
        (length,) = struct.unpack("<I", _exact(slow, 4))
        seen.append(struct.unpack_from("<Q", _exact(slow, length), 8)[0])
    assert seen == sorted(set(seen)), "whole records, in order, each as it was when it was due"
    assert len(seen) < len(frames)
    slow.close()


def _exact(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, "the stream has ended"
        data += part
    return data


@pytest.mark.parametrize("said", [b"", b"\1", struct.pack("<I", 4_000_000_000), b"\xff" * 100_000])
def test_rubbish_on_the_streaming_port(caller: tuple[Caller, Server, list[str]], said: bytes) -> None:
    one, server, _ = caller
    with socket.create_connection(("127.0.0.1", server.streaming_port), timeout=20.0) as bad:
        with suppress(OSError):
            bad.sendall(said)
        assert one.call("version") == "0.9.16"
        if len(said) >= 4:
            with suppress(ConnectionResetError):
                assert bad.recv(1) == b"", "there is no such stream"
    assert one.call("version") == "0.9.16"
    assert not server.streams.readers


def _fuzz(count: int, seed: int) -> None:
    """`count` spoilt messages, forty on each connection, the last of them beyond reading."""
    rng = random.Random(seed)
    with serving() as (server, said):
        calm = Caller(server.port)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        longest = 0.0
        answers = 0
        for first in range(0, count, 40):
            names = [rng.choice(NAMES) for _ in range(40)]
            if first % 4000 == 0:
                names[0] = rng.choice(FUZZ.SLOW)
            sent = [FUZZ.message(rng, first + k, name) for k, name in enumerate(names[1:])]
            bad = socket.create_connection(("127.0.0.1", server.port), timeout=30.0)
            bad.sendall(b"".join(sent))
            unpacker = msgpack.Unpacker(raw=True, max_buffer_size=0)
            told: list[Any] = []
            while len(told) < len(sent):
                data = bad.recv(1 << 20)
                assert data, "the connection ended though the form of every message was right"
                unpacker.feed(data)
                told += list(unpacker)
            assert [t[1] for t in told] == list(range(first, first + len(sent)))
            answers += len(told)
            bad.sendall(FUZZ.broken_message(rng, 1, names[0]))
            bad.close()
            began = time.monotonic()
            assert calm.call("version") == "0.9.16"
            longest = max(longest, time.monotonic() - began)
        assert answers > 0.9 * count
        assert longest < 10.0, "others had to wait"
        assert not [line for line in said if "internal error" in line]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 500, f"{grown:.0f} MB more than before"
        calm.close()


def test_spoilt_messages_neither_end_nor_hold_the_server() -> None:
    _fuzz(4_000, seed=1)


@pytest.mark.slow
@pytest.mark.skipif(
    "not config.getoption('markexpr')", reason="10^5 messages take minutes: pytest -m slow runs it"
)
def test_a_hundred_thousand_spoilt_messages() -> None:
    _fuzz(100_000, seed=2)


def test_a_free_port_has_a_free_one_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    listen = Loop.listen

    def taken_once(self: Loop, host: str, port: int, greet: Any) -> int:
        asked.append(port)
        if len(asked) == 2:
            # Somebody else listens there.
            with socket.socket() as other:
                other.bind((host, port))
                other.listen()
                return listen(self, host, port, greet)
        return listen(self, host, port, greet)

    monkeypatch.setattr(Loop, "listen", taken_once)
    with serving() as (server, _):
        assert len(asked) == 4
        assert asked[0] == asked[2] == 0
        assert server.streaming_port == server.port + 1 == asked[3]
        assert tell(server.port, "version")[2] is None  # no error
        # Nobody listens any more at the first try's port.
        if asked[1] - 1 != server.port:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", asked[1] - 1), timeout=5.0)
