"""CARLA's own client, unmodified, against our server: each case in a process of its own."""

import math
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import pytest

from drive.sim.carla.wire.versions import VERSIONS

OURS = SimpleNamespace(**run_path(str(Path(__file__).with_name("carla_server.py"))))
RELEASE = OURS.client_version()
if RELEASE is None:
    pytest.skip("the package carla, which has CARLA's client, is not installed", allow_module_level=True)


def serving(town: str = "small", **options: Any) -> Any:
    return OURS.serving(town, release=VERSIONS[RELEASE], **options)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serving() as (running, said):
        yield running
    assert not [line for line in said if "internal error" in line]


@pytest.fixture
def port(server: Any) -> Iterator[int]:
    yield server.port
    left = [n for n in server.world.actor_ids() if server.world.actor(n).kind in ("vehicle", "walker")]
    for number in left:  # of a case that failed; the next one wants the road free
        OURS.tell(server.port, "destroy_actor", number)


def test_connect(port: int) -> None:
    found = OURS.client(port, "connect")
    assert found["versions"][0] == found["versions"][1]
    assert found["map"] == "Carla/Maps/small"
    assert "/Game/Carla/Maps/small" in found["available"]
    assert found["topology"] == 17, "as carla.Map counts in the file itself"
    # Spawn points lie on the lanes' centres, half a metre up, as the towns' own do.
    assert found["points"] > 10
    assert max(abs(o - 0.5) for o in found["offsets"]) < 0.05
    assert found["settings"] == [False, False]
    assert found["ticks_alone"]
    assert found["spectator"] == "spectator"
    assert (found["boxes"], found["objects"], found["lights"]) == (0, 0, 0)


def test_blueprints(port: int) -> None:
    found = OURS.client(port, "blueprints")
    assert found["counts"]["vehicle"] >= 30
    assert found["counts"]["walker"] >= 25
    assert found["counts"]["sensor"] >= 10
    assert found["wheels"] == 4
    assert found["colors"] >= 1
    assert all(0 <= c <= 255 for c in found["red_green_blue"])
    assert found["range"] == 10.0, "the lidar's documented default"


def test_spawn_and_destroy(port: int) -> None:
    found = OURS.client(port, "spawn")
    assert found["before_tick"] == [0.0, 0.0, 0.0, 0.0], "as in CARLA, until the first tick"
    assert found["again"], "a taken place gives None"
    assert "in the way" in found["raises"]
    assert found["apart"] < 1.0
    assert found["yaw"] < 1.0
    assert (found["alive"], found["type"], found["role"]) == (True, "vehicle.tesla.model3", "hero")
    assert found["box"][:3] == pytest.approx([2.396, 1.0815, 0.744], abs=1e-3), "CARLA's catalogue"
    assert found["tags"] == [14], "a car's label since 0.9.14"
    assert found["physics"][1] == 4
    assert found["new_mass"] == 2345.0
    assert found["found"] == [True]
    assert found["destroyed"]
    assert found["left"] == 0


def test_control(port: int) -> None:
    found = OURS.client(port, "control")
    assert 5.0 < found["moved"] < 40.0
    assert found["along"] > 0.99, "a car drives where it looks"
    assert found["throttle"] == pytest.approx(0.7)
    assert found["speed_limit"] == pytest.approx(50.0), "the road's own"
    assert found["after_nan"][:2] == pytest.approx([0.7, 0.0]), "NaN changes nothing"
    assert all(math.isfinite(v) for v in found["after_nan"])
    assert found["stopped"] < 0.1
    assert found["backwards"] < -0.5
    assert found["steer_right_turns"] > 5.0, "to the right is clockwise seen from above, yaw grows"
    assert found["put"] < 0.3
    assert found["ackermann_speed"] == pytest.approx(5.0, abs=0.5)
    assert found["lamps"] == 8


def test_ticks_and_snapshots(port: int) -> None:
    found = OURS.client(port, "ticks")
    assert found["steps"]
    assert found["callbacks"] == 30
    assert found["dt"] == pytest.approx(0.05)
    assert found["frame"]
    assert found["still"], "nothing moves without a tick"


def test_batch_with_a_future_actor(port: int) -> None:
    found = OURS.client(port, "batch")
    assert found["spawned"] == 2
    assert "in the way" in found["error"]
    assert min(found["speeds"]) > 1.0, "the control of the actor to be reached it"
    assert found["unknown"] == [False, False, True]
    assert "NaN" in found["nan"]
    assert found["left"] == 0


def test_walkers(port: int) -> None:
    found = OURS.client(port, "walkers")
    assert found["moved"][0] == pytest.approx(3.0, abs=0.3), "1.5 m/s for 2 s"
    assert abs(found["moved"][1]) < 0.1
    assert found["told"] == [1.0, 1.5]
    assert found["tags"] == [12]
    assert found["put"] < 1.0


def test_traffic_lights(port: int) -> None:
    found = OURS.client(port, "lights")
    assert found["count"] == 1
    assert all(found["ids"])
    assert found["group"]
    assert found["same"]
    # The client finds them from the map and the trigger volume, as its Traffic Manager does.
    assert min(found["stops"]) >= 1
    assert min(found["affected"]) >= 1
    assert min(found["extent"]) > 0.5
    assert found["frozen"] == ["Red", True, 7.0]
    assert found["cycle"] == ["Green", "Red", "Yellow"]


def test_weather_drawing_and_what_is_lacking(port: int) -> None:
    found = OURS.client(port, "weather")
    assert found["same"]
    assert found["other"], "another client reads it too"
    assert "no recorder" in found["recorder"]


def test_sensors(port: int) -> None:
    found = OURS.client(port, "sensors")
    assert found["parent"]
    assert all(found["frames"].values())
    assert found["apart"] == pytest.approx(math.hypot(0.5, 2.0), abs=0.05)
    told = found["told"]
    # Without noise as the client's own map has it, the sign of its release included.
    assert told["gnss"] == pytest.approx(found["geo"], abs=2e-6)
    assert told["lidar"][0] == 32
    assert told["lidar"][1] == told["lidar"][2] > 100
    assert told["lidar"][3]
    assert {1, 14} <= set(told["semantic"][2]), "the road and the car ahead"
    assert told["radar"][0] > 0
    assert told["radar"][1]
    for camera in ("rgb", "depth", "classes", "instances"):
        assert told[camera] == [64, 48, 90.0, 64 * 48 * 4]
    assert found["left"] == 0


def test_collision_obstacle_and_lane_invasion(port: int) -> None:
    found = OURS.client(port, "crash")
    assert found["hits"] > 0
    assert found["who"] == [True, True]
    assert found["impulse"] > 500.0
    assert found["gap"] > 3.5, "two cars of 4.8 and 4.2 m do not lie in each other"
    assert found["obstacles"] > 0
    assert 0.0 < found["distance"] <= 10.5
    assert found["lines"] > 0


def test_worlds_are_loaded(port: int) -> None:
    found = OURS.client(port, "load", "small", "small")
    assert found["map"] == "Carla/Maps/small"
    assert found["episodes"][1] == found["episodes"][0] + 1
    assert found["asynchronous"]
    assert found["vehicles"] == 0
    assert "unknown map 'Atlantis'" in found["unknown"]
    assert found["kept"] == "Carla/Maps/small"
    assert found["reload"][0] > found["episodes"][1]
    assert found["generated"] == ["Carla/Maps/OpenDriveMap", 17]
    assert found["again"] == ["Carla/Maps/small", True]


def test_two_clients(port: int) -> None:
    found = OURS.client(port, "two")
    assert found["frames"][0] == found["frames"][1]
    assert found["sees"] == [True, True]
    assert found["synchronous"]
    assert found["driven"] > 3.0


def die(port: int) -> "subprocess.CompletedProcess[str]":
    """A client that is killed while it drives."""
    command = OURS.command(port, "die")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=OURS.environment())


def test_a_killed_client_does_not_freeze_the_world(port: int) -> None:
    died = die(port)
    assert died.returncode == -9
    assert "ready" in died.stdout
    found = OURS.client(port, "recover")
    assert not found["synchronous"]
    assert found["runs"]
    assert (found["orphans"], found["destroyed"], found["left"]) == (1, [True], 0)


def test_the_actors_of_the_dead_go_where_that_is_asked_for() -> None:
    with serving(reclaim=True) as (server, _):
        die(server.port)
        found = OURS.client(server.port, "recover")
        assert (found["synchronous"], found["orphans"], found["left"]) == (False, 0, 0)


def test_a_world_may_be_left_frozen() -> None:
    with serving(unfreeze_after=None) as (server, _):
        die(server.port)
        assert server.settings.synchronous


def test_three_episodes_are_equal_bit_by_bit(port: int) -> None:
    found = [OURS.client(port, "episode", "small", 500) for _ in range(3)]
    assert found[0]["cars"] == 8
    assert found[0]["moved"] > 100.0
    assert len({episode["hash"] for episode in found}) == 1


def _driven(track: list[Any], car: int) -> float:
    """Metres that a car drove."""
    return sum(math.dist(a[car][:2], b[car][:2]) for a, b in pairwise(track))


def _idle(track: list[Any], car: int) -> int:
    """The longest time, in s, that a car stood while no light held it, nobody was within 15 m ahead of it,
    and nobody drove across within 45 m ahead."""
    longest = now = 0
    for moment in track:
        x, y, yaw, speed, held = moment[car]
        ahead = [
            math.hypot(ox - x, oy - y) - (30.0 if other > 1.0 else 0.0)
            for k, (ox, oy, _, other, _) in enumerate(moment)
            if k != car and abs((math.degrees(math.atan2(oy - y, ox - x)) - yaw + 180) % 360 - 180) < 60
        ]
        now = now + 1 if speed < 0.1 and not held and min(ahead, default=99.0) > 15.0 else 0
        longest = max(longest, now)
    return longest


def _traffic(town: str) -> dict[str, Any]:
    """Without a second try: where the client's Traffic Manager meets its race, the server wakes it."""
    with serving(town) as (server, said):
        tm_port = 18000 + server.port % 1000
        found: dict[str, Any] = OURS.client(server.port, "traffic", 50, 600, tm_port)
    assert not [line for line in said if "internal error" in line]
    return found


@pytest.mark.skipif(not OURS.TOWNS.is_dir(), reason="CARLA's towns are not in ../shared/data")
@pytest.mark.parametrize("town", ["Town01", "Town10HD"])
def test_carlas_traffic_manager_drives(town: str) -> None:
    """50 cars for 30 s: finite, nobody in another, nobody who stands without a reason, and they get on."""
    found = _traffic(town)
    track = found["track"]
    assert found["cars"] == 50
    assert found["finite"]
    assert sorted(_driven(track, car) for car in range(50))[25] > 50.0
    assert max(_idle(track, car) for car in range(50)) < 10
    for moment in track:
        near = [math.dist(a[:2], b[:2]) for i, a in enumerate(moment) for b in moment[:i]]
        assert min(near) > 1.5, "two cars are in one place"
