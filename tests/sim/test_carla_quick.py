"""A batch of controls read from its bytes, and a Traffic Manager that is woken; neither needs a client."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np
import pytest

from drive.sim.carla import stall
from drive.sim.carla.calls.bare import split, value_of
from drive.sim.carla.calls.batch import quick_batch, room
from drive.sim.carla.stall import Batches

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
    return SimpleNamespace(world=world, scratch=room(), cars=cars)


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
def test_a_call_without_parameters_is_read_as_msgpack_has_it(number: int) -> None:
    for waits in (True, False):
        parts = split(msgpack.packb([0, number, "get_episode_settings", [[waits]]]))
        assert parts is not None
        assert (value_of(parts[0]), msgpack.unpackb(parts[1])) == (number, "get_episode_settings")


def test_mutated_calls_are_read_as_msgpack_reads_them_or_not_at_all() -> None:
    rng, taken = np.random.default_rng(4), 0
    for number in (5, 200, 4000, 70_000):
        good = msgpack.packb([0, number, "tick_cue", [[False]]])
        assert [split(data) for data in (good + good, good[:-1], b"")] == [None] * 3
        for _ in range(1000):
            data = bytearray(good)
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
            parts = split(bytes(data))
            if parts is not None:
                taken += 1
                read = msgpack.unpackb(bytes(data), raw=True)
                assert read in [[0, value_of(parts[0]), parts[1][1:], [[on]]] for on in (True, False)]
    assert taken > 100


def test_what_is_known_by_heart_is_what_is_so() -> None:
    """One message alone takes the quick way, two in one packet the slow one: both answer the same."""
    with OURS.serving() as (server, _), socket.create_connection(("127.0.0.1", server.port)) as client:
        unpacker = msgpack.Unpacker()

        def answers(data: bytes, count: int) -> list[Any]:
            client.sendall(data)
            got: list[Any] = []
            while len(got) < count:
                unpacker.feed(client.recv(1 << 16))
                got += [answer[3] for answer in unpacker]
            return got

        def ask(name: str, *parameters: Any) -> Any:
            one = msgpack.packb([0, 9, name, [[False], *parameters]])
            (alone,), (first, second) = answers(one, 1), answers(one + one, 2)
            assert alone == first == second
            return alone[0][1]

        settings = ask("get_episode_settings")
        assert answers(
            msgpack.packb(
                [0, 1, "set_episode_settings", [[False], [True, True, [True, 0.05], *settings[3:]]]]
            ),
            1,
        )
        assert ask("get_episode_settings") == [True, True, [True, 0.05], *settings[3:]]
        weather = [float(k) for k in range(len(ask("get_weather_parameters")))]
        answers(msgpack.packb([0, 1, "set_weather_parameters", [[False], weather]]), 1)
        assert ask("get_weather_parameters") == weather
        point = ask("get_map_info")[1][0]
        actor = answers(msgpack.packb([0, 2, "spawn_actor", [[False], [0, CAR, []], point]]), 1)[0][0][1][0]
        assert ask("get_vehicle_light_states") == [[actor, 0]]
        answers(msgpack.packb([0, 3, "set_vehicle_light_state", [[False], actor, [5]]]), 1)
        assert ask("get_vehicle_light_states") == [[actor, 5]]
        tick = msgpack.packb([0, 4, "tick_cue", [[False]]])
        frame = answers(tick, 1)[0][0][1]
        assert [a[0][1] for a in answers(tick + tick, 2)] == [frame + 1, frame + 2], "and time went on"
        assert answers(tick, 1)[0][0][1] == frame + 3


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
