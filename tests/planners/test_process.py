"""Planners in a process of their own: the wire, the same drive as inside, and every way to die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drive.api import bench, load_scenario
from drive.errors import DriveError, InputError
from drive.planner import Plan, planner
from drive.planners.process.client import drive_client as wire
from drive.registry import load_planner
from drive.runlog import RunLog
from drive.scenario import Scenario
from drive.sim.loop import simulate

STRAIGHT = """
import os, sys, time
import numpy as np
import drive_client

def plan(observation, task):
    e = observation.ego
    ahead = e[3] * 0.1 * np.arange(1, 41)
    return np.stack((e[0] + ahead * np.cos(e[2]), e[1] + ahead * np.sin(e[2]), np.full(40, e[2])), axis=1)
"""
SERVE = "drive_client.serve(plan, name='straight', horizon=4.0)\n"


@planner(name="straight", horizon=4.0)
def straight(observation: Any, task: Any) -> Plan:
    e = observation.ego
    ahead = e[3] * 0.1 * np.arange(1, 41)
    poses = np.stack((e[0] + ahead * np.cos(e[2]), e[1] + ahead * np.sin(e[2]), np.full(40, e[2])), axis=1)
    return Plan.from_poses(observation, poses)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Writes a program; the planner's name that runs it."""

    def write(text: str) -> str:
        path = tmp_path / "my planner.py"
        path.write_text(text)
        return f"exec:'{sys.executable}' '{path}'"

    return write


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("gen/cut_in/17")


def drive_it(name: str, scenario: Scenario, watchdog: float = 20.0) -> RunLog:
    return simulate(scenario, load_planner(name), watchdog=watchdog, stop=40)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text(min_size=2).filter(lambda name: name != "arrays"), values, max_size=4),
    st.lists(
        arrays.arrays(
            st.sampled_from([np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_]),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=3,
    ),
)
def test_messages_come_through_as_they_are(tables: dict[str, Any], given: list[Any]) -> None:
    data = wire.pack({**tables, "x": given})
    head = int.from_bytes(data[:4], "little")
    assert len(data) == 8 + head + int.from_bytes(data[4:8], "little")
    back = wire.unpack(data[8 : 8 + head], data[8 + head :])
    assert {name: value for name, value in back.items() if name != "x"} == tables
    for one, other in zip(given, back["x"], strict=True):
        assert other.dtype == one.dtype
        np.testing.assert_array_equal(one, other)


def test_damaged_messages_are_named_as_such() -> None:
    generator = np.random.default_rng(0)
    data = wire.pack({"type": "plan", "plan": {"poses": np.zeros((5, 3)), "figures": {"a": 1.0}}})
    head = int.from_bytes(data[:4], "little")
    refused = 0
    for _ in range(3000):
        damaged = bytearray(data[8:])
        for place in generator.integers(0, len(damaged), generator.integers(1, 4)):
            damaged[place] = generator.integers(0, 256)
        try:
            wire.unpack(bytes(damaged[:head]), bytes(damaged[head:]))
        except wire.ProtocolError:
            refused += 1
    assert refused > 300


def test_it_drives_as_the_same_planner_does_inside(program: Callable[[str], str], scenario: Scenario) -> None:
    inside = simulate(scenario, straight, stop=40)
    outside = drive_it(program(STRAIGHT + SERVE), scenario)
    assert outside.header["failure"] is None
    np.testing.assert_array_equal(outside.ego, inside.ego)


def test_it_is_told_the_map_and_the_route(program: Callable[[str], str], scenario: Scenario) -> None:
    tell = """
class Mine:
    spec = {"name": "mine", "horizon": 4.0, "needs": ["road", "route"]}
    def start(self, task):
        self.task = task
        return self
    def plan(self, observation):
        t = self.task
        figures = {"lanes": len(t.roadmap.lane_ids), "goal": t.route.goal.position is not None,
                   "length": t.vehicle.length, "points": float(t.roadmap.points.sum()), "dt": t.dt,
                   "valid": float(observation.agent_valid.sum())}
        return {"poses": plan(observation, t), "figures": figures, "status": "degraded", "reason": "as told"}
drive_client.serve(Mine)
"""
    log = drive_it(program(STRAIGHT + tell), scenario)
    assert log.header["failure"] is None
    assert log.header["planner"]["name"] == "mine"
    assert set(log.header["plan_reason"]) == {"as told"}
    figures = {name.rpartition(".")[2]: values[0] for name, values in log.series.items()}
    roadmap = scenario.roadmap
    assert figures["lanes"] == len(roadmap.lane_ids)
    assert figures["points"] == pytest.approx(roadmap.points.sum())
    assert figures["length"] == pytest.approx(scenario.vehicle.length)


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("raise ValueError('no way')", "planner_error", "ValueError: no way"),
        ("print('out of oil', flush=True); os._exit(3)", "planner_error", "has ended with 3: out of oil"),
        ("os.kill(os.getpid(), 9)", "planner_error", "has ended by SIGKILL"),
        ("time.sleep(600)", "planner_timeout", "did not answer within 2 s"),
        ("return np.full((40, 3), np.nan)", "planner_error", "not finite"),
        ("return {'way': 1}", "planner_error", "a plan needs poses"),
        ("return {'poses': 'left'}", "planner_error", "a plan that cannot be read"),
        ("return {'poses': np.zeros((3, 3)), 'status': 'fine'}", "planner_error", "fine"),
        ("os.write(CONNECTION, b'x' * 64); time.sleep(600)", "planner_error", "a message of"),
        ("os.closerange(1, 3); return plan(observation, task)", None, ""),
    ],
)
def test_what_it_does_to_itself_is_its_own_failure(
    program: Callable[[str], str], scenario: Scenario, body: str, kind: str | None, reason: str
) -> None:
    text = f"""
def at_half_a_second(observation, task):
    if observation.time < 0.45:
        return plan(observation, task)
    {body}
CONNECTION = 0
real = drive_client.connect
def connect():
    global CONNECTION
    made = real()
    CONNECTION = made.fileno()
    return made
drive_client.connect = connect
drive_client.serve(at_half_a_second, name="odd", horizon=4.0)
"""
    made = load_planner(program(STRAIGHT + text))
    log = simulate(scenario, made, watchdog=2.0, stop=10)
    failure = log.header["failure"]
    assert (failure and failure["class"]) == kind
    assert reason in (failure or {"reason": ""})["reason"]
    # It serves the next drive as if nothing had been, in a new process where the old one is gone.
    again = simulate(scenario, made, watchdog=20.0, stop=3)  # a new process starts
    assert again.header["failure"] is None
    assert len(again.times) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print('nothing to see')", "ended before it said hello with 0: nothing to see"),
        ("import no_such_package", "ended before it said hello with 1: ModuleNotFoundError"),
        (STRAIGHT + "drive_client.PROTOCOL = 9\n" + SERVE, "speaks protocol 9, this toolkit 1"),
        (STRAIGHT + "drive_client.serve(plan, privileged=True)", "has no 'privileged' in its spec"),
        (STRAIGHT + "drive_client.serve(plan, horizon='long')", "its spec cannot be read"),
        (STRAIGHT + "drive_client.serve(plan, rate=-1.0)", "its rate must be positive"),
        ("import drive_client\ndrive_client.connect().send(b'hello world, hello world')", "a message of"),
    ],
)
def test_programs_that_are_no_planners(program: Callable[[str], str], text: str, said: str) -> None:
    with pytest.raises(DriveError, match=said.replace("(", r"\(")):
        load_planner(program(text))


def test_names_that_start_nothing(tmp_path: Path) -> None:
    for name, said in (
        ("exec:", "write which program"),
        ("exec:./no-such-planner", "there is no program"),
        ("exec:'", "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            load_planner(name)
    with pytest.raises(InputError, match="arguments of its command"):
        load_planner("exec:true", {"gain": 2})


def alive(number: int) -> bool:
    try:
        return b"Z" not in Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at processes in /proc")
def test_it_leaves_with_the_toolkit_even_while_it_hangs(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    text = f"""
open({str(note)!r}, "w").write(str(os.getpid()))
def hang(observation, task):
    time.sleep(600)
drive_client.serve(hang, name="hang", horizon=4.0)
"""
    name = program(STRAIGHT + text)
    host = subprocess.Popen(
        [sys.executable, "-m", "drive", "run", "gen/cut_in/17", "--planner", name, "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60.0
        while not (note.exists() and note.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        number = int(note.read_text())
        assert alive(number)
    finally:
        os.kill(host.pid, signal.SIGKILL)
        host.wait()
    until = time.monotonic() + 30.0
    while alive(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(number)


def test_a_benchmark_drives_it_in_its_workers(program: Callable[[str], str], tmp_path: Path) -> None:
    results = bench(
        ["constant", program(STRAIGHT + SERVE)], scenarios=["gen/cut_in/17", "gen/cut_in/18"],
        out=str(tmp_path / "out"), jobs=2,
    )  # fmt: skip
    assert results.planners == ("constant", "straight")
    assert len(results.values("straight", "nuplan_cls")) == 2
    assert not any(row["failure"] for row in results.planner("straight")["scenarios"])
