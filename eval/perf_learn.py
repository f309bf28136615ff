"""What of learning is timed: a step with what is read of all agents, a vector world, and the sensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.eval.perf import Row, Times
from drive.eval.perf_scenes import AGENTS, CROWD, DT, Recorder, busy_road, busy_roads
from drive.sim.features import features, new_memory, series
from drive.sim.ground import compile_ground
from drive.sim.kernels.features import ROW
from drive.sim.kernels.layout import Controller
from drive.sim.kernels.series import WIDTH
from drive.sim.loop import simulate
from drive.sim.sensors.raster import RasterSensor
from drive.sim.sensors.vector import VectorSensor
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import load_traffic
from drive.sim.vector import VectorWorld
from drive.sim.world import compile_world, step

if TYPE_CHECKING:
    from drive.planner import Observation
    from drive.scenario import Task
    from drive.sim.ground import Ground
    from drive.sim.world import World

REPEATS, VISITS, SENSED = 7, 20, 60


def learn_rows(worlds: int) -> list[Row]:
    """One step a visit, then what a learner reads of every agent; beside it the reading alone."""
    about = f"{worlds} worlds x {CROWD} agents"
    rows = [
        ("step_observe", True, ("features",), "IDM, one step a visit, then the features of all agents"),
        ("step_observe/features", False, ("features",), "the features of all agents, alone"),
        ("step_score", True, ("series",), "IDM, one step a visit, then the series of all agents"),
        ("step_score/series", False, ("series",), "the series of all agents, alone"),
    ]
    return [
        Row(name, "agent-step", _work(worlds, moves, reads), float(worlds * CROWD), f"{about}, {what}")
        for name, moves, reads, what in rows
    ] + [
        Row(
            "vector", "world step", lambda: lambda: drive_vector(worlds), float(worlds),
            f"{about}: VectorWorld.step with controls, one ego a world, reward and reset in it",
        ),
        *(
            Row(name, "call", lambda kind=kind: lambda: sense_all(kind), 1.0, f"{AGENTS} agents, {what}")  # type: ignore[misc]
            for name, kind, what in (
                ("sense/vector", VectorSensor, "a moment as the arrays of drive.nn.scene"),
                ("sense/raster", RasterSensor, "a moment as 8 channels of 128 x 128 cells"),
            )
        ),
    ]  # fmt: skip


def _work(worlds: int, moves: bool, reads: tuple[str, ...]) -> Callable[[], Callable[[], Times]]:
    return lambda: lambda: read_all(worlds, moves, reads)


@lru_cache(maxsize=1)
def batch_ground(worlds: int) -> tuple[World, Ground]:
    """Busy roads side by side, all agents under IDM, and what lies along their paths."""
    roads = busy_roads(worlds)
    idm = load_traffic("idm")
    casts = [cast(s, idm, {s.ego: Controller.IDM}) for s in roads]
    which = np.arange(worlds) % len(roads)
    ground = compile_ground([casts[k] for k in which], [roads[k].roadmap for k in which])
    return compile_world([casts[k] for k in which], DT), ground


def read_all(worlds: int, moves: bool, reads: tuple[str, ...]) -> Times:
    """Times of an agent step in which everybody `moves` and `reads` are made of everybody."""
    start, ground = batch_ground(worlds)
    shape = (worlds, start.num_agents)
    rows = np.zeros((*shape, ROW), dtype=np.float32)
    told, memory = np.zeros((*shape, WIDTH), dtype=np.float32), new_memory(*shape)
    cpu, wall = [], []
    for repeat in range(REPEATS + 1):
        world = step(start)
        process, clock = time.process_time(), time.perf_counter()
        for _ in range(VISITS):
            if moves:
                step(world, out=world)
            if "features" in reads:
                features(world, ground, out=rows)
            if "series" in reads:
                series(world, ground, memory, out=told)
        used = time.process_time() - process, time.perf_counter() - clock
        done = max(int(world.present.sum()), 1) * VISITS
        if repeat:  # the first one warms up
            cpu.append(used[0] / done)
            wall.append(used[1] / done)
    return Times(cpu, wall)


@lru_cache(maxsize=1)
def watched() -> tuple[Task, list[Observation]]:
    """What a planner that reads 1.5 s of history is told on the busy road, driven by idm."""
    planner = registry.load_planner("idm")
    recorder = Recorder(planner)
    recorder.spec = replace(planner.spec, history=1.5)
    simulate(busy_road(0), recorder, stop=SENSED)
    assert recorder.task is not None
    return recorder.task, recorder.observations


def sense_all(sensor: type[VectorSensor] | type[RasterSensor]) -> Times:
    """Times of a sensor's calls over some seconds of a drive; the first pass warms up."""
    task, observations = watched()
    cpu, wall = [], []
    for repeat in range(REPEATS + 1):
        session = sensor.start(task)
        for observation in observations:
            process, clock = time.process_time(), time.perf_counter()
            session.sense(observation)
            used = time.process_time() - process, time.perf_counter() - clock
            if repeat:
                cpu.append(used[0])
                wall.append(used[1])
    return Times(cpu, wall)


def drive_vector(worlds: int) -> Times:
    """Times of one environment's step in a vector world of busy roads, under gentle random controls."""
    vector = VectorWorld.of(busy_roads(worlds), worlds)
    generator = np.random.default_rng(0)
    controls: Any = generator.normal(0.0, (1.0, 0.02), (VISITS, worlds, 2))
    cpu, wall = [], []
    for repeat in range(REPEATS + 1):
        process, clock = time.process_time(), time.perf_counter()
        for control in controls:
            vector.step(control)
        used = time.process_time() - process, time.perf_counter() - clock
        if repeat:
            cpu.append(used[0] / (VISITS * worlds))
            wall.append(used[1] / (VISITS * worlds))
    return Times(cpu, wall)
