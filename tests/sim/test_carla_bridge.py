"""The bridge with the real client: a route to its end, the world as it was after whatever happens."""

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

HERE = Path(__file__).parent
serving = run_path(str(HERE / "carla_server.py"))["serving"]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("carla") is None,
    reason="CARLA's client is not installed: pip install carla==0.9.16",
)


def start(port: int, case: str, **more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(HERE / "carla_bridge_cases.py"), str(port), case]
    env = {**os.environ, **more}
    return subprocess.Popen(command, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def case(port: int, name: str) -> dict[str, Any]:
    process = start(port, name)
    out, err = process.communicate(timeout=180.0)
    assert process.returncode == 0, f"{name}: status {process.returncode}\n{out}\n{err[-3000:]}"
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving("small", unfreeze_after=None) as (server, _):
        yield server.port


def test_a_route_is_driven_to_its_end_and_the_world_is_as_it_was(port: int) -> None:
    found = case(port, "drives")
    assert found["end"] == "route completed"
    assert math.dist(found["last"][:2], found["goal"]) < 6.0
    assert found["offset"] < 0.35  # metres beside a line that bends both ways, at 6 m/s
    assert found["speed"][0] > 5.6
    assert found["speed"][1] < 6.4
    assert found["hashes"][0] == found["hashes"][1]
    assert found["after"] == [False, []]
    assert found["busy"] >= 1
    assert found["after_busy"] == [False, []]
    assert found["failure"]["class"] == "planner_error"
    assert "no idea" in found["failure"]["reason"]
    assert found["samples"] == 5
    assert found["after_failure"] == [False, []]
    assert found["no_town"].startswith("this CARLA has no map Nowhere (it has: ")


def test_the_traffic_policy_drives_the_cars_around_the_ego(port: int) -> None:
    pytest.importorskip("torch", reason="the traffic policy needs torch")
    found = case(port, "policy")
    assert found["traffic"] == "rift:safe:4"
    assert found["end"] == "route completed"
    assert found["hashes"][0] == found["hashes"][1]
    # CARLA's physics moves them, and no faster than the town's 50 km/h and a little.
    assert max(found["moved"]) > 50.0
    assert max(found["speed"]) < 16.0
    assert found["after"] == [False, []]


def test_an_error_a_dead_client_and_a_silent_one_leave_no_trace(port: int) -> None:
    found = case(port, "broken")
    assert found["inside"] is True
    assert found["after"] == [False, []]
    assert found["left"] == [True, ["vehicle.tesla.model3"]]
    assert found["thawed"] == [True, 1]
    assert found["awake"] == [False, []]
    assert found["again"] == [False, 0]
    assert found["watched"] == [False, []]
    assert "the CARLA world was given back" in found["given_back"]


def test_what_is_seen_by_hand(port: int) -> None:
    """A car at CARLA's (100, 50), 30 degrees to the right of x; another 10 m along both of CARLA's axes."""
    found = case(port, "facts")
    rear, c, s = found["rear"], math.cos(math.radians(-30.0)), math.sin(math.radians(-30.0))
    x, y, heading, speed = found["ego"][:4]
    assert (x, y) == pytest.approx((99.0 + rear * c, -52.0 + rear * s), abs=1e-3)
    assert heading == pytest.approx(-math.pi / 6.0, abs=1e-5)
    assert speed == pytest.approx(0.0, abs=1e-6)
    # Its middle is the box's, and the box of this car lies at the actor's origin.
    ox, oy, turned, _, _ = found["other"]
    assert found["middle"] == pytest.approx((0.0, 0.0), abs=0.2)
    assert (ox, oy) == pytest.approx((109.0, -62.0), abs=0.2)
    assert turned == pytest.approx(-math.pi / 2.0, abs=1e-5)
    assert found["size"] == pytest.approx((3.705, 1.789, 1.549), abs=0.002)
    assert found["length"] == pytest.approx(4.792, abs=0.002)
    assert found["wheelbase"] == pytest.approx(2.88, abs=0.05)
    assert 0.0 < found["share"] < 0.5 * found["length"]
    assert found["steer"] == pytest.approx(70.0)
    assert found["deep"] is False  # kept below the ground by a scenario
    assert found["signals"][0] in (1, 2, 3)
    # CARLA's +y is our -y.
    assert found["moving"][3] == pytest.approx(0.0, abs=0.3)
    assert found["moving"][4] < -3.0


@pytest.mark.skipif(not hasattr(signal, "SIGTERM"), reason="no such signal here")
def test_a_terminated_drive_gives_the_world_back(tmp_path: Path) -> None:
    with serving("small", unfreeze_after=None) as (server, _):
        mark = tmp_path / "mark"
        process = start(server.port, "killed", DRIVE_TEST_MARK=str(mark))
        end = time.monotonic() + 120.0
        while not mark.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        assert server.settings.synchronous
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30.0)
        assert process.returncode == 128 + signal.SIGTERM
        assert not server.settings.synchronous
        kinds = [fact.type_id for fact in server.world.actors.facts]
        assert not [k for k in kinds if k.startswith(("vehicle.", "walker."))]


def test_nobody_there_and_another_release_are_told_in_one_line() -> None:
    from drive.errors import InputError
    from drive.sim.carla.client import connect, free_port

    with pytest.raises(
        InputError, match=r"^no CARLA answers on 127.0.0.1:\d+ \(.*start one, or drive carla serve$"
    ):
        connect(port=free_port())
