"""A batch of controls read from its bytes, and a Traffic Manager that is woken; neither needs a client."""

import socket
import time
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np
import pytest

from drive.sim.carla import stall
from drive.sim.carla.calls.bare import front
from drive.sim.carla.calls.batch import Room, quick_batch
from drive.sim.carla.stall import Batches
from drive.sim.carla.wire.poll import Selected, poller
from drive.sim.carla.wire.transport import Loop

OURS = SimpleNamespace(**run_path(str(Path(__file__).with_name("carla_server.py"))))
CAR = "vehicle.tesla.model3"
FLOATS = msgpack.Packer(use_single_float=True)
"""CARLA's client sends floats of four bytes."""


def batch(ids: list[int], number: int = 7, tick: bool = False, kind: int = 2, **control: Any) -> bytes:
    one = {"throttle": 0.5, "steer": -0.25, "brake": 0.0, "hand": False, "reverse": True, "manual": False}
    row = [*[*{**one, **control}.values()][:6], control.get("gear", -1)]
    commands = [[[kind, [i, row]]] for i in ids]
    packed: bytes = FLOATS.pack([0, number, "apply_batch", [[False], commands, tick]])
    return packed


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A world with some cars, as a server holds it."""
    world = OURS.world_of(OURS.SMALL, "small")
    cars = [world.spawn(CAR, pose) for pose in world.spawn_points[:20:2]]
    world.apply_control(cars[0], throttle=0.125)
    return SimpleNamespace(world=world, room=Room(), cars=cars)


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65535, 65536, 4_000_000_000])
def test_a_batch_is_applied_and_answered_as_msgpack_says(town: Any, number: int) -> None:
    for cars in (town.cars[:1], town.cars):
        answer = quick_batch(town, batch(cars, number))
        assert answer is not None
        assert msgpack.unpackb(answer) == [1, number, None, [[[1, i]] for i in cars]]
        assert answer == msgpack.packb([1, number, None, [[[1, i]] for i in cars]])
    for i in town.cars:
        assert town.world.vehicle_control(i).tolist() == [0.5, -0.25, 0.0, 0.0, 1.0, 0.0, -1.0]


def test_controls_are_clamped_like_others(town: Any) -> None:
    assert quick_batch(town, batch(town.cars, throttle=3.0, steer=-2.0, brake=-1.0, gear=-9))
    assert town.world.vehicle_control(town.cars[1]).tolist() == [1.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0]


def test_what_is_anything_else_is_left_alone(town: Any) -> None:
    cars = town.cars
    good = batch(cars)
    lights = [i for i in town.world.actor_ids() if i not in cars]
    others = [
        batch(cars, tick=True),
        batch([*cars, 9999]),
        batch([*cars, lights[0]]),
        batch(cars, kind=4),
        batch(cars, throttle=float("nan")),
        batch(cars, brake=float("inf")),
        batch(cars, throttle=1),
        batch(cars, hand=None),
        batch(cars, gear="1"),
        batch([]),
        good + good,
        good.replace(b"apply_batch", b"apply_botch"),
        b"",
        b"\xc2",
        *(good[:n] for n in range(0, len(good), 7)),
        *(good[:n] + b"\xc2" for n in range(0, len(good) - 1, 5)),
    ]
    for data in others:
        assert quick_batch(town, data) is None
    assert town.world.vehicle_control(cars[0])[0] == 0.125, "and nothing of it was applied"


def test_mutated_batches_are_read_as_msgpack_reads_them_or_not_at_all(town: Any) -> None:
    """Where the quick way answers, the slow way would have applied the same."""
    rng, good = np.random.default_rng(3), batch(town.cars)
    taken = 0
    for _ in range(3000):
        data = bytearray(good)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        answer = quick_batch(town, bytes(data))
        if answer is None:
            continue
        taken += 1
        kind, number, name, (_, commands, tick) = msgpack.unpackb(bytes(data))
        assert (kind, name, tick) == (0, "apply_batch", False)
        assert msgpack.unpackb(answer) == [1, number, None, [[[1, c[0][1][0]]] for c in commands]]
        for ((_, (actor, control)),) in commands[-1:]:
            wanted = np.clip(np.array(control, dtype=float), [0, -1, 0, 0, 0, 0, -1], [1, 1, 1, 1, 1, 1, 16])
            assert town.world.vehicle_control(actor).tolist() == wanted.tolist()
    assert taken > 100


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65535, 65536, 4_000_000_000])
def test_a_request_is_read_as_msgpack_has_it(number: int) -> None:
    for waits in (True, False):
        data = msgpack.packb([0, number, "get_episode_settings", [[waits]]])
        for more in (b"", data):
            begin, name = front(data + more)
            assert msgpack.unpackb(data[2:begin]) == number
            assert name == data[begin:], "and where the next one begins"


def test_mutated_requests_are_read_as_msgpack_reads_them_or_not_at_all() -> None:
    rng, taken, known = np.random.default_rng(4), 0, msgpack.packb("tick_cue") + b"\x91\x91"
    for number in (5, 200, 4000, 70_000):
        good = msgpack.packb([0, number, "tick_cue", [[False]]])
        assert [front(data) for data in (b"", good[:2], b"\x94\x01" + good[2:])] == [(0, b"")] * 3
        for _ in range(1000):
            data = bytearray(good)
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
            begin, name = front(bytes(data))
            if name in (known + b"\xc2", known + b"\xc3"):
                taken += 1
                read = msgpack.unpackb(bytes(data))
                assert read[:3] == [0, msgpack.unpackb(data[2:begin]), "tick_cue"]
                assert read[3] in ([[True]], [[False]])
    assert taken > 100


class Talk:
    """A plain socket to a server, and what came back."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20.0)
        self.unpacker = msgpack.Unpacker()

    def answers(self, data: bytes, count: int) -> list[Any]:
        """Numbers and results of the next answers."""
        self.sock.sendall(data)
        got: list[Any] = []
        while len(got) < count:
            self.unpacker.feed(self.sock.recv(1 << 16))
            got += [(answer[1], answer[3]) for answer in self.unpacker]
        return got

    def call(self, name: str, *parameters: Any) -> Any:
        ((_, result),) = self.answers(msgpack.packb([0, 1, name, [[False], *parameters]]), 1)
        return result[0][1]


@pytest.fixture(params=[Selected, poller], ids=["selectors", "the best one"])
def talk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Talk]:
    monkeypatch.setattr(Loop, "__init__", partialmethod(Loop.__init__, request.param))
    with OURS.serving() as (server, _):
        found = Talk(server.port)
        with found.sock:
            yield found


def test_what_is_known_by_heart_is_what_is_so(talk: Talk) -> None:
    """A call the quick way answers as one the slow way, which a parameter more makes it go."""

    def ask(name: str) -> Any:
        quick, slow = (msgpack.packb([0, 300, name, [[False], *more]]) for more in ([], [None]))
        # Alone, two in one packet, and the quick one behind one that is not and before half of one.
        got = talk.answers(quick, 1) + talk.answers(quick + quick, 2) + talk.answers(slow + quick, 2)
        got += talk.answers(quick + slow[:9], 1) + talk.answers(slow[9:] + quick, 2)
        assert all(one == got[0] for one in got)
        assert got[0][0] == 300
        return got[0][1][0][1]

    settings = ask("get_episode_settings")
    talk.call("set_episode_settings", [True, True, [True, 0.05], *settings[3:]])
    assert ask("get_episode_settings") == [True, True, [True, 0.05], *settings[3:]]
    weather = [float(k) for k in range(len(ask("get_weather_parameters")))]
    talk.sock.sendall(msgpack.packb([2, "set_weather_parameters", [[False], weather]]))
    assert ask("get_weather_parameters") == weather
    point = talk.call("get_map_info")[1][0]
    actor = talk.call("spawn_actor", [0, CAR, []], point)[0]
    assert ask("get_vehicle_light_states") == [[actor, 0]]
    talk.sock.sendall(msgpack.packb([2, "set_vehicle_light_state", [[False], actor, [5]]]))
    assert ask("get_vehicle_light_states") == [[actor, 5]]


def test_ticks_and_batches_in_one_packet_come_in_their_order(talk: Talk) -> None:
    settings = talk.call("get_episode_settings")
    talk.call("set_episode_settings", [True, True, [True, 0.05], *settings[3:]])
    point = talk.call("get_map_info")[1][0]
    actor = talk.call("spawn_actor", [0, CAR, []], point)[0]
    frame = talk.call("tick_cue")
    tick, controls = msgpack.packb([0, 4, "tick_cue", [[False]]]), batch([actor], 5)
    got = talk.answers(tick + tick + controls, 3)
    assert got == [(4, [[1, frame + 1]]), (4, [[1, frame + 2]]), (5, [[[1, actor]]])]
    got = talk.answers(controls + tick, 2)
    assert got == [(5, [[[1, actor]]]), (4, [[1, frame + 3]])]


def test_a_tick_that_fails_is_an_error_of_that_call() -> None:
    with OURS.serving() as (server, said):
        one = Talk(server.port)
        with one.sock:
            settings = one.call("get_episode_settings")
            one.call("set_episode_settings", [True, True, [True, 0.05], *settings[3:]])
            tick, server.world.tick = server.world.tick, lambda dt: 1 // 0
            ((_, result),) = one.answers(msgpack.packb([0, 4, "tick_cue", [[False]]]), 1)
            assert result[0][0] == 0
            assert "ZeroDivisionError" in result[0][1][0]
            assert any("internal error in tick_cue" in line for line in said)
            server.world.tick = tick
            assert one.call("tick_cue") == server.frame


def test_only_a_batch_that_always_came_is_missed() -> None:
    owed = Batches()
    for _ in range(stall.PACED + 1):
        owed.ticked()
        owed.came()
    assert not any(owed.missing(5) for _ in range(4)), "the batch came: the user thinks"
    owed.ticked()
    assert [k for k in range(40) if owed.missing(6)] == [2, 6, 20], "three times, then it is left alone"
    assert [owed.missing(7), owed.missing(7)] == [False, False], "it spoke again"
    fresh = Batches()
    for _ in range(9):
        fresh.ticked()
    assert not any(fresh.missing(9) for _ in range(4)), "no Traffic Manager answers ticks here"


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A port that listens as a Traffic Manager's does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20.0)
        yield listening


def test_a_traffic_manager_that_stands_still_is_woken(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "EVERY", 0.05)
    monkeypatch.setattr("drive.sim.carla.server.EVERY", 0.05)
    with OURS.serving() as (server, said), socket.create_connection(("127.0.0.1", server.port)) as client:
        unpacker = msgpack.Unpacker()

        def call(name: str, *parameters: Any) -> Any:
            client.sendall(msgpack.packb([0, 1, name, [[False], *parameters]]))
            while True:
                unpacker.feed(client.recv(1 << 16))
                for answer in unpacker:
                    return answer[3][0][1] if name != "apply_batch" else answer[3]

        settings = call("get_episode_settings")
        call("set_episode_settings", [True, settings[1], [True, 0.05], *settings[3:]])
        assert call("add_traffic_manager_running", ["10.1.2.3", manager.getsockname()[1]])
        for _ in range(stall.PACED + 1):
            call("tick_cue")
            call("apply_batch", [], False)
        call("tick_cue")
        # It is called where its client is, whatever address it gave.
        theirs, _ = manager.accept()
        with theirs:
            found = msgpack.Unpacker()
            deadline = time.monotonic() + 10.0
            calls: list[Any] = []
            while len(calls) < 2 and time.monotonic() < deadline:
                found.feed(theirs.recv(1 << 16))
                calls += list(found)
        assert [c[2:] for c in calls] == [
            ["set_synchronous_mode", [False]],
            ["set_synchronous_mode", [True]],
        ]
        assert any("stood still" in line for line in said)
        assert call("get_available_maps"), "and the server serves"
