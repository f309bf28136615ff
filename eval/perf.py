"""`drive perf`: how fast the toolkit is on this machine.

Every figure is a median of repeated runs after a warm-up, in process time beside wall time: on a machine
that others use as well the wall clock tells about them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.eval.bench.assemble import machine, versions
from drive.geometry import arc_length, polyline_heading, unwrap_angle
from drive.roadmap import LaneSpec, RoadMap, RoadMapBuilder
from drive.scenario import Expert, Goal, Route, Scenario, tracks_from_rows
from drive.vehicle import SPEED, AgentKind, VehicleParams

if TYPE_CHECKING:
    from drive.planner import Planner

SCHEMA = "drive-perf/1"
AGENTS, STEPS, DT = 32, 150, 0.1
WORLDS = 1024
_LANES, _WIDTH, _SPACING = 3, 3.5, 22.0


def measure(
    planners: Sequence[str] = ("pdm",), note: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """All figures: planners' calls, a whole scenario, the batch step, and the start of the command.

    Raises DriveError for a planner that does not exist.
    """
    made = {name: registry.load_planner(name) for name in planners}
    found: dict[str, Any] = {"schema": SCHEMA, "machine": machine(), "versions": versions()}
    found["planners"] = {}
    for name, planner in made.items():
        note(f"driving {name} ({STEPS * DT:g} s, {AGENTS} agents)")
        found["planners"][name] = planner_figures(planner)
    note(f"stepping {WORLDS} worlds")
    found["agent_steps_per_cpu_s"] = {"step": batch_step(1), "step_20": batch_step(20)}
    note("starting the command")
    found["start_s"] = {
        "import drive": start_time(["-c", "import drive"]),
        "drive --help": start_time(["-m", "drive", "--help"]),
    }
    return found


def planner_figures(planner: Planner, repeats: int = 5) -> dict[str, Any]:
    """Time of one call, and of a whole scenario with and without metrics."""
    from drive.sim.loop import simulate

    scenario = busy_road(0)
    score = registry.load("drive.metrics", "nuplan_cls")
    log = simulate(scenario, planner)
    score.evaluate(log)
    drives, metrics, latencies = [], [], []
    for _ in range(repeats):
        drives.append(_timed(lambda: latencies.append(simulate(scenario, planner).plan_latency)))
        metrics.append(_timed(lambda: score.evaluate(log)))
    calls = 1e3 * np.concatenate(latencies)
    drive, metric = np.median(drives, axis=0), np.median(metrics, axis=0)
    return {
        "call_ms": {f"p{q}": float(np.percentile(calls, q)) for q in (50, 95, 99)},
        "calls": len(calls),
        "scenario": {"agents": AGENTS, "seconds": STEPS * DT},
        "drive_s": {"cpu": float(drive[0]), "wall": float(drive[1])},
        "metrics_s": {"cpu": float(metric[0]), "wall": float(metric[1])},
        "total_s": {"cpu": float(drive[0] + metric[0]), "wall": float(drive[1] + metric[1])},
        "failure": log.header["failure"],
    }


def batch_step(steps: int, repeats: int = 7) -> float:
    """Agent steps in one second of process time: IDM, lane projection, bicycle and box collision.

    `steps` are made in one visit of a world; agents that have left the road do not count.
    """
    from drive.sim.kernels.layout import Controller
    from drive.sim.traffic.compile import cast
    from drive.sim.traffic.model import load_traffic
    from drive.sim.world import compile_world, step

    idm = load_traffic("idm")
    casts = [cast(scenario, idm, {scenario.ego: Controller.IDM}) for scenario in map(busy_road, range(16))]
    start = compile_world([casts[k % len(casts)] for k in range(WORLDS)], DT)
    visits = 40 // steps
    rates = []
    for repeat in range(repeats + 1):
        world, done = step(start, steps=steps), 0
        begin = time.process_time()
        for _ in range(visits):
            world = step(world, steps=steps, out=world)
        used = time.process_time() - begin
        done = int(world.present.sum()) * visits * steps
        if repeat:  # the first one warms up
            rates.append(done / used)
    return float(np.median(rates))


def start_time(arguments: Sequence[str], repeats: int = 5) -> dict[str, float]:
    """Seconds of a fresh Python that runs `arguments`: process time and wall time."""
    times = []
    for _ in range(repeats + 1):
        before, begin = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - begin, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        times.append((used, wall))
    cpu, wall = np.median(times[1:], axis=0)
    return {"cpu": float(cpu), "wall": float(wall)}


def busy_road(seed: int) -> Scenario:
    """A gently winding road of three lanes with 32 cars, the ego in their midst; made for timing only."""
    generator = np.random.default_rng(seed)
    roadmap = _winding_road()
    vehicle = VehicleParams()
    times = DT * np.arange(STEPS + 1)
    rows = []
    for k in range(AGENTS + 1):
        lane, column = (k % _LANES, k // _LANES) if k else (1, 5)
        if k and (lane, column) == (1, 5):
            lane, column = 0, AGENTS // _LANES + 1
        start = 60.0 + _SPACING * column + generator.uniform(-4.0, 4.0)
        speed = 10.0 if k == 0 else generator.uniform(7.0, 11.0)
        line = roadmap.centerline(lane)
        station = start + speed * times
        s = arc_length(line)
        heading = np.interp(station, s, unwrap_angle(polyline_heading(line)))
        x, y = (np.interp(station, s, line[:, i]) for i in range(2))
        states = np.stack((x, y, heading, speed * np.cos(heading), speed * np.sin(heading)), axis=1)
        rows.append(
            (f"car{k}", AgentKind.VEHICLE, (4.8, 1.9, 1.6), states, np.ones(STEPS + 1, dtype=np.bool_))
        )
    tracks = tracks_from_rows(rows)
    expert = np.zeros((STEPS + 1, 7))
    expert[:, :3], expert[:, SPEED] = tracks.rear_axle_poses(0), 10.0
    line = roadmap.centerline(1)[:, :2]
    return Scenario(
        id=f"perf/busy_road/{seed}",
        dt=DT,
        duration=STEPS * DT,
        environment=roadmap,
        tracks=tracks,
        ego=0,
        initial=expert[0],
        vehicle=vehicle,
        route=Route((1,), (), line, Goal(position=line[-1])),
        expert=Expert(expert, "generated"),
        signals=np.zeros((0, STEPS + 1), dtype=np.uint8),
        family="perf",
    )


def _winding_road() -> RoadMap:
    x = np.linspace(0.0, 1200.0, 601)
    middle = np.stack((x, 12.0 * np.sin(x / 120.0)), axis=1)
    tangent = np.gradient(middle, axis=0)
    normal = np.stack((-tangent[:, 1], tangent[:, 0]), axis=1) / np.hypot(*tangent.T)[:, None]
    builder = RoadMapBuilder()
    for lane in range(_LANES):
        right, left = (_WIDTH * (lane - 0.5 * _LANES + side) for side in (0, 1))
        builder.add(
            LaneSpec(
                f"lane{lane}",
                middle + left * normal,
                middle + right * normal,
                speed_limit=13.9,
                left_lane=f"lane{lane + 1}" if lane + 1 < _LANES else None,
                right_lane=f"lane{lane - 1}" if lane else None,
            )
        )
    return builder.build()


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall
