"""What a tick with a Traffic Manager costs the server: its five calls from a plain socket, without CARLA.

Run as `carla_share.py PORT PID [CARS]` with the server's process id (Linux) while nobody else is connected;
prints milliseconds of its processor time a round, and of each call.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

CAR = "vehicle.audi.tt"
ROUNDS, TIMES = 25, 40


class Caller:
    """A client's calls, and a reader of the snapshots, which a server only makes for somebody."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.packer, self.unpacker, self.number = msgpack.Packer(use_single_float=True), msgpack.Unpacker(), 0
        stream = socket.create_connection(("127.0.0.1", port + 1))
        stream.sendall(struct.pack("<I", 1))
        threading.Thread(target=self._drain, args=(stream,), daemon=True).start()

    @staticmethod
    def _drain(stream: socket.socket) -> None:
        room = bytearray(1 << 20)
        while stream.recv_into(room):
            pass

    def __call__(self, name: str, *parameters: Any) -> Any:
        self.number += 1
        self.sock.sendall(self.packer.pack([0, self.number, name, [[False], *parameters]]))
        while True:
            self.unpacker.feed(self.sock.recv(1 << 16))
            for answer in self.unpacker:
                return answer[3]


def spent(pid: int) -> float:
    """Milliseconds of processor time of a process's first thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def cost(pid: int, call: Callable[[], Any]) -> float:
    """Median of what a call costs the server, in ms."""
    found = []
    for _ in range(TIMES):
        before = spent(pid)
        for _ in range(ROUNDS):
            call()
        found.append((spent(pid) - before) / ROUNDS)
    return round(sorted(found)[TIMES // 2], 4)


def main(port: int, pid: int, cars: int = 50) -> None:
    call = Caller(port)
    settings = call("get_episode_settings")[0][1]
    call("set_episode_settings", [True, settings[1], [True, 0.05], *settings[3:]])
    ids: list[int] = []
    for point in call("get_map_info")[0][1][1]:
        if len(ids) < cars:
            kind, made = call("spawn_actor", [0, CAR, []], point)[0]
            ids += [made[0]] if kind == 1 else []
    controls = [[[2, [i, [0.5, -0.01, 0.0, False, False, False, 0]]]] for i in ids]
    calls: dict[str, Callable[[], Any]] = {
        "tick_cue": lambda: call("tick_cue"),
        "get_episode_settings": lambda: call("get_episode_settings"),
        "get_vehicle_light_states": lambda: call("get_vehicle_light_states"),
        "get_weather_parameters": lambda: call("get_weather_parameters"),
        "apply_batch": lambda: call("apply_batch", controls, False),
    }
    round_ = cost(pid, lambda: [one() for one in calls.values()])
    print(json.dumps({"cars": len(ids), "round": round_, **{k: cost(pid, one) for k, one in calls.items()}}))
    call("apply_batch", [[[1, [i]]] for i in ids], False)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
