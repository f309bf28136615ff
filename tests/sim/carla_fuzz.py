"""Valid requests to every call, and ways to spoil them."""

import random
import struct
from typing import Any

import msgpack

POSE = [[10.0, 2.0, 0.5], [0.0, 90.0, 0.0]]
CONTROL = [0.5, 0.1, 0.0, False, False, False, 1]
CAR = [14, "vehicle.tesla.model3", [["role_name", 4, "hero"]]]
WEATHER = [5.0] * 14
SETTINGS = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
BATCH = [
    [[0, [CAR, POSE, [False], 0, "", [[[2, [0, CONTROL]]]]]]],
    [[2, [3, CONTROL]]],
    [[6, [3, POSE]]],
    [[4, [4, [[1.0, 0.0, 0.0], 1.4, False]]]],
    [[1, [99]]],
    [[18, [3, [1]]]],
]
ARGUMENTS: dict[str, list[Any]] = {
    "spawn_actor": [CAR, POSE],
    "spawn_actor_with_parent": [[1, "sensor.other.gnss", []], POSE, 3, 0, ""],
    "set_episode_settings": [SETTINGS],
    "set_weather_parameters": [WEATHER],
    "apply_control_to_vehicle": [3, CONTROL],
    "apply_ackermann_control_to_vehicle": [3, [0.1, 0.0, 5.0, 1.0, 0.0]],
    "apply_control_to_walker": [4, [[1.0, 0.0, 0.0], 1.4, False]],
    "apply_batch": [BATCH, False],
    "get_actors_by_id": [[1, 2, 3, 4]],
    "set_actor_transform": [3, POSE],
    "set_actor_location": [3, POSE[0]],
    "project_point": [[0.0, 0.0, 5.0], [0.0, 0.0, -1.0], 50.0],
    "cast_ray": [[0.0, 0.0, 5.0], [50.0, 0.0, 0.0]],
    "get_sensor_token": [1],
    "add_traffic_manager_running": [["127.0.0.1", 8000]],
}
VECTORS = ("velocity", "impulse", "force", "torque")
SLOW = ("load_new_episode", "copy_opendrive_to_file")
"""Calls that build a world: one in a thousand of them is enough."""
ODD: list[Any] = [
    None, True, -1, 0, 1 << 31, (1 << 64) - 1, -(1 << 63), 1e308, float("nan"), float("inf"), "", "x" * 300,
    b"\0\xff", [], [[]], {}, {"a": 1}, [0] * 40, "\udc80", msgpack.ExtType(5, b"abc"),
]  # fmt: skip


def arguments(name: str) -> list[Any]:
    if name in ARGUMENTS:
        return ARGUMENTS[name]
    if any(word in name for word in VECTORS):
        return [3, [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    if name in SLOW:
        return ["NoTown", False, 0]
    return [3, True]


def message(rng: random.Random, number: int, name: str) -> bytes:
    """A request to `name` whose values are spoilt, three in four times; it still is a request."""
    parameters = _copy(arguments(name))
    if rng.random() < 0.75:
        for _ in range(rng.randint(1, 3)):
            parameters = _spoil(rng, parameters)
        if not isinstance(parameters, list):
            parameters = [parameters]
    return _packed([0, number, name, [[False], *parameters]])


def broken_message(rng: random.Random, number: int, name: str) -> bytes:
    """A message whose form or bytes are spoilt: after it nothing that this connection says can be read."""
    value = [0, number, name, [[False], *_copy(arguments(name))]]
    kind = rng.randrange(5)
    if kind == 0:
        return _packed(_spoil(rng, value))
    data = bytearray(_packed(value))
    at = rng.randrange(len(data))
    if kind == 1:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        data[at:at] = rng.randbytes(rng.randint(1, 30))
    else:
        head = rng.choice((b"\xdd", b"\xdb", b"\xdf", b"\xc6", b"\xc9"))
        data[at:at] = head + struct.pack(">I", rng.choice((1 << 16, 1 << 20, (1 << 32) - 1)))
    return bytes(data)


def _packed(value: Any) -> bytes:
    data: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return data


def _copy(value: Any) -> Any:
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _spoil(rng: random.Random, value: Any) -> Any:
    """The value with one of its parts, wherever it lies, made something else."""
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        how = rng.random()
        if how < 0.08:
            return value[:at] + value[at + 1 :]
        if how < 0.12:
            return value[:at] + [value[at]] * rng.randint(2, 50) + value[at:]
        return [*value[:at], _spoil(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, bool | int | float) and rng.random() < 0.5:
        return rng.choice((0, 1, 2, 3, 5, 17, 65537, -0.5, 1e9, rng.random() * 100))
    return rng.choice(ODD)
