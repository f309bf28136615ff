"""What of the batch primitives is timed on a GPU: `drive perf --only cuda`.

A time runs from the launch until the device is done, results left on it; process and wall time are the
same figure, since the processor only waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from drive.eval.perf import Row, Times
from drive.eval.perf_rows import CANDIDATES, OTHERS
from drive.eval.perf_scenes import AGENTS, CANDIDATE_STEPS, batch_world, candidate_batch
from drive.sim import cuda
from drive.sim.candidates import TERMS
from drive.sim.cuda.device import gpu

WORLDS = (1024, 4096, 16384)
REPEATS = 20


def cuda_rows(worlds: tuple[int, ...] = WORLDS, candidates: int = CANDIDATES) -> list[Row]:
    """Step, roll-out and score on the GPU; InputError or MissingExtraError where there is none."""
    name = device_name()
    around = f"{candidates} candidates x {CANDIDATE_STEPS} steps, {name}"
    steps = float(candidates * CANDIDATE_STEPS)
    rows = [
        Row(
            f"cuda/step/{count}" if visit > 1 else f"cuda/step/{count}/1", "agent-step",
            lambda count=count, visit=visit: lambda: advance(count, visit),  # type: ignore[misc]
            count * (AGENTS + 1.0) * visit,
            f"{count} worlds x {AGENTS + 1} agents, IDM, {visit} steps a visit, {name}",
        )
        for count in worlds
        for visit in (20, 1)
    ]  # fmt: skip
    rows += [
        Row("cuda/rollout", "candidate-step", lambda: roll(candidates), steps, f"LQR and bicycle, {around}"),
        Row("cuda/rollout/controls", "candidate-step", lambda: roll(candidates, True), steps, around),
        Row("cuda/score", "candidate-step", lambda: judge(candidates), steps, f"{OTHERS} agents, {around}"),
    ]
    rows += [
        Row(
            f"cuda/score/{term}", "candidate-step",
            lambda term=term: judge(candidates, (term,)), steps, f"that term alone, {around}",  # type: ignore[misc]
        )
        for term in TERMS
    ]  # fmt: skip
    return rows


def device_name() -> str:
    """What the GPU calls itself."""
    name = getattr(gpu().get_current_device(), "name", b"simulator")
    return name.decode() if isinstance(name, bytes) else str(name)


def advance(worlds: int, steps: int) -> Times:
    """Times of an agent step while 40 steps are made; agents that have left the road do not count."""
    world = cuda.upload(batch_world(worlds))
    wait = gpu().synchronize
    visits = max(40 // steps, 1)
    out = []
    for repeat in range(6):
        # The first one compiles.
        world = cuda.upload(world.world)
        world.step(steps=steps)
        wait()
        clock = time.perf_counter()
        for _ in range(visits):
            world.step(steps=steps)
        wait()
        used = time.perf_counter() - clock
        if repeat:
            out.append(used / (max(int(world.to_host().present.sum()), 1) * visits * steps))
    return Times(out, out)


def timed(work: Callable[[], Any], units: float) -> Times:
    """Times of a unit of what is launched, after two calls to warm up."""
    wait = gpu().synchronize
    out = []
    for repeat in range(REPEATS + 2):
        wait()
        clock = time.perf_counter()
        work()
        wait()
        if repeat > 1:
            out.append((time.perf_counter() - clock) / units)
    return Times(out, out)


def roll(candidates: int, controls: bool = False) -> Callable[[], Any]:
    """Work: roll out a batch that lies on the device into a buffer there."""
    c = candidate_batch(candidates, OTHERS)
    send = gpu().to_device
    start, given, out = send(c.start[None]), send(c.controls if controls else c.poses), send(c.states)
    work = cuda.DeviceWork.make(candidates, c.states.shape[1])
    wish = {"controls" if controls else "poses": given}
    units = float(candidates * CANDIDATE_STEPS)
    return lambda: timed(lambda: cuda.rollout(c.vehicle, start, **wish, out=out, work=work), units)


def judge(candidates: int, terms: tuple[str, ...] | None = None) -> Callable[[], Any]:
    """Work: score a batch that lies on the device into buffers there."""
    c = candidate_batch(candidates, OTHERS)
    states, scenes, out = (
        gpu().to_device(c.states),
        cuda.upload_scenes(c.scene),
        cuda.DeviceScores.empty(candidates),
    )
    work = cuda.DeviceWork.make(candidates, c.states.shape[1], scenes.agents)
    units = float(candidates * CANDIDATE_STEPS)
    return lambda: timed(lambda: cuda.score(states, scenes, terms=terms, out=out, work=work), units)
